//! Masks: what of a picture is marked. A mask is a grey picture of the photo's size, in which every
//! pixel that is not black is marked: white wholly, grey as much as it is bright where that is asked
//! for, and else wholly, too. What is protected is a mask as well.
//!
//! Distances are from middle to middle of pixels (P. Felzenszwalb and D. Huttenlocher, "Distance
//! transforms of sampled functions", 2012).

use std::{borrow::Cow, path::Path};

use image::{GrayImage, ImageBuffer, Luma};
use imageproc::{
    distance_transform::euclidean_squared_distance_transform,
    region_labelling::{Connectivity, connected_components},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    picture::{Format, Picture},
    rect::Rect,
};

pub mod detect;
pub mod editor;
pub mod find;
pub mod paint;
pub mod sidecar;
pub mod trace;

/// Furthest that a mask is grown, shrunk or feathered, in pixels.
pub const MOST: f32 = 256.0;

/// See [`grown_within`].
pub const EXACT: u64 = 2 << 20;

/// Side of the squares by which marks are told to be near each other.
const SQUARE: u32 = 32;

/// Grey levels of a soft mask that are grown one by one.
const LEVELS: u8 = 15;

/// What can be painted on a photo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layer {
    /// What is to change.
    #[default]
    Marks,
    /// What is to stay, whatever is marked.
    Protected,
}

impl Layer {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Marks, Self::Protected];
}

/// What of a picture may change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'a> {
    /// What is marked; all of it if `None`.
    pub mask: Option<&'a GrayImage>,
    /// What stays; nothing if `None`.
    pub protected: Option<&'a GrayImage>,
}

impl<'a> Scope<'a> {
    /// How much each pixel may change, 0 to 255; `None` if all may change wholly. Both masks must
    /// have the same size.
    #[must_use]
    pub fn shares(&self) -> Option<Cow<'a, GrayImage>> {
        let Some(protected) = self.protected else { return self.mask.map(Cow::Borrowed) };
        let mut shares = match self.mask {
            Some(mask) => mask.clone(),
            None => GrayImage::from_pixel(protected.width(), protected.height(), Luma([255])),
        };
        protect(&mut shares, protected);
        Some(Cow::Owned(shares))
    }
}

impl<'a> From<&'a GrayImage> for Scope<'a> {
    fn from(mask: &'a GrayImage) -> Self {
        Self { mask: Some(mask), protected: None }
    }
}

/// Takes from shares, 0 to 255, as much as each pixel is protected.
pub fn protect(shares: &mut GrayImage, protected: &GrayImage) {
    for (share, protected) in shares.iter_mut().zip(protected.iter()) {
        let left = u32::from(*share) * u32::from(255 - protected);
        *share = ((left + 127) / 255) as u8;
    }
}

/// Everything within `pixels` of what is marked; with a negative number, what is further than that
/// from all that is not.
#[must_use]
pub fn grown(mask: &GrayImage, pixels: f32) -> GrayImage {
    if pixels == 0.0 {
        return feathered(mask, 0.0);
    }
    let within = |distances: &ImageBuffer<Luma<f64>, Vec<f64>>, near: u8, far: u8| {
        let most = f64::from(pixels) * f64::from(pixels);
        let mut answer = GrayImage::new(mask.width(), mask.height());
        for (to, distance) in answer.iter_mut().zip(distances.iter()) {
            *to = if *distance <= most { near } else { far };
        }
        answer
    };
    if pixels >= 0.0 {
        within(&euclidean_squared_distance_transform(mask), 255, 0)
    } else {
        within(&euclidean_squared_distance_transform(&inverted(mask)), 0, 255)
    }
}

/// What of an area [`grown`] would mark, for the screen: to the pixel for areas of up to
/// [`EXACT`] pixels, else as far as a smaller picture of the mask shows it.
#[must_use]
pub fn grown_within(mask: &GrayImage, area: Rect, pixels: f32) -> GrayImage {
    let around = pixels.abs().ceil() as u32 + 1;
    let wide = area.grown_within(around, mask.width(), mask.height());
    let step = (wide.area() as f64 / EXACT as f64).sqrt().ceil().max(1.0) as u32;
    let small =
        GrayImage::from_fn(wide.width.div_ceil(step), wide.height.div_ceil(step), |x, y| {
            // Thin marks should not fall between.
            let (left, top) = (wide.x + x * step, wide.y + y * step);
            let right = (left + step).min(wide.right());
            let bottom = (top + step).min(wide.bottom());
            let mut places = (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y)));
            Luma([if places.any(|(x, y)| mask.get_pixel(x, y).0[0] > 0) { 255 } else { 0 }])
        });
    let small = grown(&small, pixels / step as f32);
    GrayImage::from_fn(area.width, area.height, |x, y| {
        *small.get_pixel((area.x - wide.x + x) / step, (area.y - wide.y + y) / step)
    })
}

/// Where a mask that was made for one photo lies on another of a different size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anchor {
    /// As far from the left and top as on its own photo.
    TopLeft,
    /// As far from the right and top.
    TopRight,
    /// As far from the left and bottom.
    BottomLeft,
    /// As far from the right and bottom.
    BottomRight,
    /// As far from the middle.
    Centre,
    /// Resized along with the photo.
    Stretch,
}

impl Anchor {
    /// All of them with their names for the command line.
    pub const NAMED: [(&str, Self); 6] = [
        ("top-left", Self::TopLeft),
        ("top-right", Self::TopRight),
        ("bottom-left", Self::BottomLeft),
        ("bottom-right", Self::BottomRight),
        ("centre", Self::Centre),
        ("stretch", Self::Stretch),
    ];

    /// One by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find_map(|(own, anchor)| (own == name).then_some(anchor))
    }
}

/// A mask for a photo of another size than its own: what falls outside is left out.
#[must_use]
pub fn placed(mask: &GrayImage, (width, height): (u32, u32), anchor: Anchor) -> GrayImage {
    let (own_width, own_height) = mask.dimensions();
    if anchor == Anchor::Stretch {
        // Each pixel has the marks of all that it covers, so that thin ones are not lost.
        let span = |at: u32, to: u32, from: u32| {
            let first = u64::from(at) * u64::from(from) / u64::from(to);
            let end = (u64::from(at + 1) * u64::from(from)).div_ceil(u64::from(to));
            first as u32..(end as u32).max(first as u32 + 1).min(from)
        };
        return GrayImage::from_fn(width, height, |x, y| {
            let rows = span(y, height, own_height);
            let marks = rows.flat_map(|y| span(x, width, own_width).map(move |x| (x, y)));
            Luma([marks.map(|(x, y)| mask.get_pixel(x, y).0[0]).max().unwrap_or(0)])
        });
    }
    let (right, down) =
        (i64::from(width) - i64::from(own_width), i64::from(height) - i64::from(own_height));
    let (x, y) = match anchor {
        Anchor::TopLeft | Anchor::Stretch => (0, 0),
        Anchor::TopRight => (right, 0),
        Anchor::BottomLeft => (0, down),
        Anchor::BottomRight => (right, down),
        Anchor::Centre => (right / 2, down / 2),
    };
    let mut answer = GrayImage::new(width, height);
    image::imageops::replace(&mut answer, mask, x, y);
    answer
}

/// A mask from a file: whatever is not black, nor wholly transparent, is marked.
///
/// # Errors
/// As [`Picture::open`]; [`Error::Setting`] for a JPEG.
pub fn open(path: &Path) -> Result<GrayImage> {
    let picture = Picture::open(path)?;
    if picture.format == Format::Jpeg {
        return Err(Error::Setting(format!(
            "{} cannot be a mask: JPEG blurs its borders (use PNG)",
            path.display()
        )));
    }
    let color = picture.pixels.color();
    let bytes = usize::from(color.bytes_per_pixel());
    let alpha = if color.has_alpha() { bytes / usize::from(color.channel_count()) } else { 0 };
    let mut mask = picture.pixels.to_luma8();
    let pixels = picture.pixels.as_bytes().chunks_exact(bytes);
    for (mark, pixel) in mask.iter_mut().zip(pixels) {
        let (colours, alpha) = pixel.split_at(bytes - alpha);
        let clear = !alpha.is_empty() && alpha.iter().all(|byte| *byte == 0);
        let black = colours.iter().all(|byte| *byte == 0);
        // The darkest colours round to black.
        *mark = if clear || black { 0 } else { (*mark).max(1) };
    }
    Ok(mask)
}

/// The other pixels.
#[must_use]
pub fn inverted(mask: &GrayImage) -> GrayImage {
    let mut answer = mask.clone();
    answer.iter_mut().for_each(|value| *value = if *value == 0 { 255 } else { 0 });
    answer
}

/// Shares from 0 to 255: all of what is marked, and less and less of what lies within `pixels`
/// around it.
#[must_use]
pub fn feathered(mask: &GrayImage, pixels: f32) -> GrayImage {
    let mut answer = mask.clone();
    if pixels <= 0.0 {
        answer.iter_mut().for_each(|value| *value = if *value == 0 { 0 } else { 255 });
        return answer;
    }
    let distances = euclidean_squared_distance_transform(mask);
    for (to, distance) in answer.iter_mut().zip(distances.iter()) {
        let share = 1.0 - distance.sqrt() as f32 / (pixels + 1.0);
        *to = (share.max(0.0) * 255.0 + 0.5) as u8;
    }
    answer
}

/// Shares from 0 to 255 of a mask whose grey pixels are marked as much as they are bright: the mask,
/// grown and feathered by so many pixels. Of one that is only black and white, what [`grown`] and
/// [`feathered`] give; not grown and not feathered, the mask itself.
#[must_use]
pub fn softened(mask: &GrayImage, grow: f32, feather: f32) -> GrayImage {
    if grow == 0.0 && feather <= 0.0 {
        return mask.clone();
    }
    let is_used = |level: &u8| {
        let below = level - 255 / LEVELS;
        mask.iter().any(|value| *value > below && value <= level)
    };
    let levels = (1..=LEVELS).map(|number| 255 / LEVELS * number);
    let mut answer = GrayImage::new(mask.width(), mask.height());
    for level in levels.filter(is_used) {
        // Its brightest pixel, so that what is white stays white and no grey gets brighter.
        let below = level - 255 / LEVELS;
        let bright = mask.iter().filter(|value| **value <= level).max().copied().unwrap_or(0);
        let mut part = mask.clone();
        part.iter_mut().for_each(|value| *value = if *value > below { 255 } else { 0 });
        let part = feathered(&grown(&part, grow), feather);
        for (share, part) in answer.iter_mut().zip(part.iter()) {
            let value = (u32::from(*part) * u32::from(bright) + 127) / 255;
            *share = (*share).max(value as u8);
        }
    }
    answer
}

/// How far the pixel that lies deepest in the mask is from its border, in pixels; 0 if none is
/// marked. The border of the picture does not count.
#[must_use]
pub fn depth(mask: &GrayImage) -> f32 {
    depths(mask).into_iter().fold(0.0, f32::max)
}

/// How far each pixel of the mask is from its border, in pixels, row by row; 0 outside. The border
/// of the picture does not count.
#[must_use]
pub fn depths(mask: &GrayImage) -> Vec<f32> {
    let clear = inverted(mask);
    if clear.iter().all(|value| *value == 0) {
        return vec![mask.width().max(mask.height()) as f32; mask.len()];
    }
    let distances = euclidean_squared_distance_transform(&clear);
    distances.iter().map(|distance| distance.sqrt() as f32).collect()
}

/// The smallest box around all that is marked.
#[must_use]
pub fn extent(mask: &GrayImage) -> Option<Rect> {
    let mut found = None;
    for (y, row) in (0..).zip(mask.as_raw().chunks_exact(mask.width().max(1) as usize)) {
        let first = row.iter().position(|value| *value > 0);
        let last = row.iter().rposition(|value| *value > 0);
        if let (Some(first), Some(last)) = (first, last) {
            join(&mut found, Rect::spanning(first as u32, y, last as u32 + 1, y + 1));
        }
    }
    found
}

/// How many pixels are marked.
#[must_use]
pub fn count(mask: &GrayImage) -> u64 {
    mask.iter().filter(|value| **value > 0).count() as u64
}

/// What is marked, in parts that lie apart from each other.
#[derive(Clone, Debug)]
pub struct Regions {
    /// Side of the squares by which marks are told to be near each other.
    square: u32,
    /// The part that each square belongs to, from 1; 0 where nothing is marked.
    labels: ImageBuffer<Luma<u32>, Vec<u32>>,
    /// The box around each part.
    boxes: Vec<Rect>,
}

impl Regions {
    /// Parts that are more than `apart` pixels from each other, in reading order; what is nearer
    /// than that, or than twice as much, comes into one part.
    #[must_use]
    pub fn of(mask: &GrayImage, apart: u32) -> Self {
        let square = apart.max(SQUARE);
        let (width, height) = mask.dimensions();
        let mut squares = GrayImage::new(width.div_ceil(square), height.div_ceil(square));
        let mut spans = vec![None; (squares.width() * squares.height()) as usize];
        for (y, row) in (0..).zip(mask.as_raw().chunks_exact(width.max(1) as usize)) {
            for (x, _) in (0..).zip(row).filter(|(_, mark)| **mark > 0) {
                squares.put_pixel(x / square, y / square, Luma([255]));
                let span = &mut spans[(y / square * squares.width() + x / square) as usize];
                join(span, Rect { x, y, width: 1, height: 1 });
            }
        }
        let labels = connected_components(&squares, Connectivity::Eight, Luma([0]));
        let most = labels.iter().copied().max().unwrap_or(0);
        let mut boxes = vec![None; most as usize];
        for (label, span) in labels.iter().zip(spans) {
            if let (Some(index), Some(span)) = (label.checked_sub(1), span) {
                join(&mut boxes[index as usize], span);
            }
        }
        Self { square, labels, boxes: boxes.into_iter().flatten().collect() }
    }

    /// The box around each part. Boxes of parts that are entangled overlap.
    #[must_use]
    pub fn boxes(&self) -> &[Rect] {
        &self.boxes
    }

    /// What a piece of the mask, which lies at `area`, has of one part.
    #[must_use]
    pub fn own(&self, part: usize, piece: &GrayImage, area: Rect) -> GrayImage {
        GrayImage::from_fn(piece.width(), piece.height(), |x, y| {
            let place = ((area.x + x) / self.square, (area.y + y) / self.square);
            let mine = self.labels.get_pixel(place.0, place.1).0[0] as usize == part + 1;
            if mine { *piece.get_pixel(x, y) } else { Luma([0]) }
        })
    }
}

/// The smallest box around both.
fn join(of: &mut Option<Rect>, other: Rect) {
    *of = Some(of.map_or(other, |rect| rect.joined(&other)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(width: u32, height: u32, marked: impl Fn(u32, u32) -> bool) -> GrayImage {
        GrayImage::from_fn(width, height, |x, y| Luma([if marked(x, y) { 255 } else { 0 }]))
    }

    #[test]
    fn growing_and_shrinking_go_by_distance() {
        let mask = drawn(40, 30, |x, y| (x, y) == (12, 14) || (x > 25 && y < 9));
        for pixels in [0.0, 1.0, 1.5, 2.9, 6.0_f32] {
            let grown = grown(&mask, pixels);
            for (x, y, pixel) in grown.enumerate_pixels() {
                let near = mask.enumerate_pixels().any(|(mx, my, marked)| {
                    let away = (mx.abs_diff(x).pow(2) + my.abs_diff(y).pow(2)) as f32;
                    marked.0[0] > 0 && away <= pixels * pixels
                });
                assert_eq!(pixel.0[0] == 255, near, "{x} {y} by {pixels}");
            }
            if pixels > 0.0 {
                let shrunk = super::grown(&mask, -pixels);
                let other = inverted(&super::grown(&inverted(&mask), pixels));
                assert!(shrunk == other, "{pixels}");
            }
        }
        assert_eq!(grown(&GrayImage::new(5, 4), 3.0), GrayImage::new(5, 4), "nothing to grow");
    }

    #[test]
    fn a_mask_is_placed_on_photos_of_other_sizes() {
        let mask = drawn(40, 30, |x, y| (35..38).contains(&x) && y == 27);
        let marks = |size, anchor| {
            let placed = placed(&mask, size, anchor);
            assert_eq!(placed.dimensions(), size);
            extent(&placed)
        };
        assert_eq!(
            marks((60, 50), Anchor::BottomRight),
            Some(Rect::spanning(55, 47, 58, 48)),
            "as far from the corner"
        );
        assert_eq!(marks((60, 50), Anchor::TopLeft), Some(Rect::spanning(35, 27, 38, 28)));
        assert_eq!(marks((60, 50), Anchor::TopRight), Some(Rect::spanning(55, 27, 58, 28)));
        assert_eq!(marks((60, 50), Anchor::BottomLeft), Some(Rect::spanning(35, 47, 38, 48)));
        assert_eq!(marks((60, 50), Anchor::Centre), Some(Rect::spanning(45, 37, 48, 38)));
        assert_eq!(marks((20, 16), Anchor::TopLeft), None, "it lies outside");
        assert_eq!(marks((20, 16), Anchor::BottomRight), Some(Rect::spanning(15, 13, 18, 14)));
        assert_eq!(marks((80, 60), Anchor::Stretch), Some(Rect::spanning(70, 54, 76, 56)));
        assert!(marks((13, 7), Anchor::Stretch).is_some(), "thin marks are not lost");
    }

    #[test]
    fn growing_within_an_area_is_that_of_the_whole() {
        let mask = drawn(90, 60, |x, y| (x, y) == (12, 14) || (x > 55 && y < 19));
        for pixels in [-3.0, 0.0, 4.5, 20.0] {
            let whole = grown(&mask, pixels);
            for area in [Rect::of_size(90, 60), Rect::spanning(5, 7, 40, 33)] {
                let piece = grown_within(&mask, area, pixels);
                let expected =
                    image::imageops::crop_imm(&whole, area.x, area.y, area.width, area.height);
                assert!(piece == expected.to_image(), "{pixels} {area:?}");
            }
        }
        // Large areas go by a smaller picture: no thin mark is lost, and little is off.
        let mask = drawn(3000, 2000, |x, y| x == 1501 && y > 100);
        let piece = grown_within(&mask, Rect::of_size(3000, 2000), 10.0);
        assert!(piece.get_pixel(1501, 1999).0[0] > 0 && piece.get_pixel(1508, 900).0[0] > 0);
        assert!(piece.get_pixel(1520, 900).0[0] == 0 && piece.get_pixel(1501, 60).0[0] == 0);
        assert_eq!(extent(&mask), Some(Rect::spanning(1501, 101, 1502, 2000)));
        assert_eq!(extent(&GrayImage::new(4, 4)), None);
    }

    #[test]
    fn a_feather_falls_from_the_mask_to_its_end() {
        let mask = drawn(30, 1, |x, _| x < 10);
        let soft = feathered(&mask, 4.0);
        let row: Vec<u8> = soft.iter().copied().collect();
        assert!(row[..10].iter().all(|share| *share == 255));
        assert_eq!(row[10..16], [204, 153, 102, 51, 0, 0]);
        assert!(feathered(&mask, 0.0) == mask);
        assert!(feathered(&GrayImage::new(9, 9), 5.0) == GrayImage::new(9, 9));
    }

    #[test]
    fn soft_masks_are_grown_and_feathered_level_by_level() {
        let hard = drawn(60, 40, |x, y| (20..30).contains(&x) && (15..20).contains(&y));
        for (grow, feather) in [(0.0, 0.0), (3.0, 0.0), (2.0, 4.0), (-1.0, 2.0)] {
            let expected = feathered(&grown(&hard, grow), feather);
            assert!(softened(&hard, grow, feather) == expected, "{grow} {feather}");
        }
        let soft = GrayImage::from_fn(60, 1, |x, _| Luma([(x * 4) as u8]));
        assert!(softened(&soft, 0.0, 0.0) == soft);
        let grown = softened(&soft, 5.0, 0.0);
        for x in 0..55 {
            // The brightest within five pixels, to one level of fifteen.
            let expected = soft.get_pixel(x + 5, 0).0[0];
            let value = grown.get_pixel(x, 0).0[0];
            assert!(value.abs_diff(expected) <= 17, "{x}: {value}, not {expected}");
        }
        assert!(
            super::grown(&soft, 5.0)
                .iter()
                .zip(softened(&soft, 5.0, 0.0).iter())
                .all(|(hard, soft)| *hard > 0 || *soft == 0)
        );
        assert!(softened(&GrayImage::new(9, 9), 3.0, 3.0) == GrayImage::new(9, 9));
    }

    #[test]
    fn what_is_protected_has_no_share() {
        let mask = drawn(20, 10, |x, _| x < 10);
        let protected = GrayImage::from_fn(20, 10, |x, y| {
            Luma([if y > 5 {
                255
            } else if x == 3 {
                51
            } else {
                0
            }])
        });
        let scope = Scope { mask: Some(&mask), protected: Some(&protected) };
        let shares = scope.shares().unwrap();
        assert_eq!(
            [(3, 2), (4, 2), (4, 7), (15, 2)].map(|(x, y)| shares.get_pixel(x, y).0[0]),
            [204, 255, 0, 0]
        );
        let shares = Scope { mask: None, ..scope }.shares().unwrap();
        assert_eq!(shares.get_pixel(15, 2).0[0], 255);
        assert!(Scope::default().shares().is_none());
        assert!(*Scope::from(&mask).shares().unwrap() == mask);
    }

    #[test]
    fn parts_hold_all_marks_and_keep_far_ones_apart() {
        let mask = drawn(400, 300, |x, y| {
            (x == 3 && y == 299) || ((200..230).contains(&x) && y == 100) || (x == 250 && y == 110)
        });
        let regions = Regions::of(&mask, 0);
        let mut boxes = regions.boxes().to_vec();
        boxes.sort_by_key(|rect| rect.x);
        assert_eq!(
            boxes,
            [
                Rect { x: 3, y: 299, width: 1, height: 1 },
                Rect { x: 200, y: 100, width: 51, height: 11 },
            ]
        );
        let whole = Rect::of_size(400, 300);
        let parts: Vec<GrayImage> = (0..2).map(|part| regions.own(part, &mask, whole)).collect();
        assert_eq!(count(&parts[0]) + count(&parts[1]), 32);
        assert!(parts[0].iter().zip(parts[1].iter()).all(|(a, b)| *a == 0 || *b == 0));
        assert_eq!(Regions::of(&mask, 300).boxes().len(), 1, "nearer than that");
        assert!(Regions::of(&GrayImage::new(50, 50), 0).boxes().is_empty());
        let all = drawn(70, 80, |_, _| true);
        assert_eq!(Regions::of(&all, 0).boxes(), [Rect::of_size(70, 80)]);
        assert_eq!(count(&mask), 32);
    }

    #[test]
    fn the_depth_is_that_of_the_widest_part() {
        assert_eq!(depth(&GrayImage::new(9, 9)), 0.0);
        assert_eq!(depth(&drawn(30, 30, |x, _| x == 4)), 1.0);
        assert_eq!(depth(&drawn(30, 30, |x, y| (5..14).contains(&x) && (5..14).contains(&y))), 5.0);
        assert_eq!(depth(&drawn(30, 20, |_, _| true)), 30.0);
    }
}
