//! Where a scan is scratched or dusty: a proposal for a mask, to be looked at.
//!
//! Scratches and dust are lighter or darker than everything around them, and thin. A grey opening
//! takes away what is lighter and thinner than its disc, a closing what is darker (J. Serra, "Image
//! analysis and mathematical morphology", 1982); what they took away is marked where it stands out
//! from what they take away nearby, so that grass is not taken for scratches.

use image::{GrayImage, Luma, imageops};
use imageproc::{
    filter::box_filter,
    morphology::{Mask, grayscale_close, grayscale_open},
    region_labelling::{Connectivity, connected_components},
};

use super::grown;

/// Larger pictures are looked at in a smaller size, which takes minutes less.
const LONGEST: u32 = 2400;

/// Radii of the discs in pixels.
const RADII: [u8; 2] = [2, 4];

/// Side of what is nearby, over two, in pixels.
const NEARBY: u32 = 24;

/// Levels that a mark differs from what is around it, at least.
const LEAST: f32 = 12.0;

/// A line is longer than this, in pixels; shorter marks are specks.
const LINE: u32 = 20;

/// Pixels of the largest speck.
const SPECK: u32 = 60;

/// Marks scratches and dust. `sensitivity` is from 0 to 1; 0.5 is a good beginning.
#[must_use]
pub fn scratches(picture: &GrayImage, sensitivity: f32) -> GrayImage {
    let (width, height) = picture.dimensions();
    let longest = width.max(height);
    if longest > LONGEST {
        let side = |side: u32| (u64::from(side) * u64::from(LONGEST) / u64::from(longest)) as u32;
        let (small_width, small_height) = (side(width).max(1), side(height).max(1));
        let triangle = imageops::FilterType::Triangle;
        let small = imageops::resize(picture, small_width, small_height, triangle);
        let found = scratches(&small, sensitivity);
        let large = imageops::resize(&found, width, height, imageops::FilterType::Nearest);
        return grown(&large, longest as f32 / LONGEST as f32 / 2.0);
    }
    let taken = thin(picture);
    let nearby = box_filter(&taken, NEARBY, NEARBY);
    // Times what is usual nearby.
    let factor = 8.0 - 5.0 * sensitivity.clamp(0.0, 1.0);
    let pairs = || taken.iter().zip(nearby.iter());
    let clear = |(taken, nearby): (&u8, &u8), share: f32| {
        f32::from(*taken) >= share * (factor * f32::from(*nearby)).max(LEAST)
    };
    // A mark is clear somewhere and hangs together where it is half as clear.
    let weak = GrayImage::from_fn(width, height, |x, y| {
        let pair = (&taken.get_pixel(x, y).0[0], &nearby.get_pixel(x, y).0[0]);
        Luma([if clear(pair, 0.5) { 255 } else { 0 }])
    });
    let labels = connected_components(&weak, Connectivity::Eight, Luma([0]));
    let mut parts = vec![Part::default(); labels.iter().max().map_or(0, |most| *most as usize + 1)];
    for ((x, y, label), pair) in labels.enumerate_pixels().zip(pairs()) {
        if label.0[0] > 0 {
            parts[label.0[0] as usize].add(x, y, clear(pair, 1.0));
        }
    }
    let mut mask = GrayImage::new(width, height);
    for (to, label) in mask.iter_mut().zip(labels.iter()) {
        *to = if parts[*label as usize].is_mark() { 255 } else { 0 };
    }
    // Its soft border belongs to it.
    grown(&mask, 1.5)
}

/// What an opening takes away of each pixel, or a closing adds to it: whichever is more.
fn thin(picture: &GrayImage) -> GrayImage {
    let mut taken = GrayImage::new(picture.width(), picture.height());
    for radius in RADII {
        let disc = Mask::disk(radius);
        let (open, close) = (grayscale_open(picture, &disc), grayscale_close(picture, &disc));
        for (((to, value), low), high) in
            taken.iter_mut().zip(picture.iter()).zip(open.iter()).zip(close.iter())
        {
            *to = (*to).max(value.saturating_sub(*low)).max(high.saturating_sub(*value));
        }
    }
    taken
}

/// Pixels that hang together.
#[derive(Clone, Copy, Default)]
struct Part {
    area: u32,
    clear: u32,
    /// Left, top, right and bottom; meaningless without an area.
    span: [u32; 4],
}

impl Part {
    fn add(&mut self, x: u32, y: u32, clear: bool) {
        let [left, top, right, bottom] = self.span;
        self.span = if self.area == 0 {
            [x, y, x, y]
        } else {
            [left.min(x), top.min(y), right.max(x), bottom.max(y)]
        };
        self.area += 1;
        self.clear += u32::from(clear);
    }

    /// A line that is much longer than wide, or a speck most of which is clear.
    const fn is_mark(&self) -> bool {
        if self.area == 0 || self.clear == 0 {
            return false;
        }
        let [left, top, right, bottom] = self.span;
        let (across, down) = (right - left + 1, bottom - top + 1);
        let squared = across * across + down * down;
        let line =
            squared >= LINE * LINE && squared >= 8 * self.area && 4 * self.clear >= self.area;
        let speck = self.area <= SPECK && squared <= 4 * self.area && 2 * self.clear >= self.area;
        line || speck
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::{count, paint::stroke};

    /// A soft picture with some grain.
    fn picture() -> GrayImage {
        GrayImage::from_fn(300, 200, |x, y| {
            let wave = (x as f32 / 40.0).sin() * 40.0 + (y as f32 / 25.0).cos() * 30.0;
            let grain = ((x * 7919 + y * 104_729) % 7) as f32;
            Luma([(120.0 + wave + grain) as u8])
        })
    }

    #[test]
    fn scratches_and_dust_are_found_and_clean_pictures_are_left_alone() {
        assert!(count(&scratches(&picture(), 0.5)) < 50);
        let mut marks = GrayImage::new(300, 200);
        for (from, to, radius) in [
            ([20.0, 30.0], [260.0, 90.0], 1.0),
            ([150.0, 10.0], [140.0, 190.0], 1.5),
            ([60.0, 150.0], [60.0, 150.0], 2.0),
        ] {
            stroke(&mut marks, from, to, radius, true);
        }
        for level in [250, 5] {
            let mut worn = picture();
            for (value, mark) in worn.iter_mut().zip(marks.iter()) {
                if *mark > 0 {
                    *value = level;
                }
            }
            let found = scratches(&worn, 0.5);
            let hit = marks.iter().zip(found.iter()).filter(|(m, f)| **m > 0 && **f > 0).count();
            assert!(hit as f64 > 0.95 * count(&marks) as f64, "{hit} of {}", count(&marks));
            let near = grown(&marks, 4.0);
            let wrong = near.iter().zip(found.iter()).filter(|(m, f)| **m == 0 && **f > 0).count();
            assert!(wrong < 50, "{wrong}");
        }
    }

    #[test]
    fn more_sensitivity_finds_more() {
        let mut worn = picture();
        for x in 30..200 {
            let pixel = worn.get_pixel_mut(x, 100);
            pixel.0[0] = pixel.0[0].saturating_add(20);
        }
        let found = [0.0, 0.5, 1.0].map(|sensitivity| count(&scratches(&worn, sensitivity)));
        assert!(found.is_sorted() && found[2] > 300, "{found:?}");
    }
}
