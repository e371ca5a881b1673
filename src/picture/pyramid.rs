//! Ever smaller versions of a picture, for looking at it from afar.

use image::{DynamicImage, RgbaImage};
use rayon::prelude::*;

use super::colour::Screen;
use crate::rect::Rect;

/// The smallest level is no larger than this in either direction.
const SMALLEST: u32 = 256;

/// Levels 1, 2, ... of a picture, each half the size of the one before, as
/// 8-bit RGBA with the colours multiplied by alpha. Level 0 is the picture
/// itself and not kept here. Places not yet known are transparent.
#[derive(Clone, Debug)]
pub struct Pyramid {
    size: (u32, u32),
    levels: Vec<RgbaImage>,
}

impl Pyramid {
    /// All levels of a picture of this size, transparent.
    #[must_use]
    pub fn empty(width: u32, height: u32) -> Self {
        let mut levels = Vec::new();
        let (mut w, mut h) = (width, height);
        while w.max(h) > SMALLEST {
            (w, h) = (w.div_ceil(2), h.div_ceil(2));
            levels.push(RgbaImage::new(w, h));
        }
        Self { size: (width, height), levels }
    }

    /// All levels of a picture, as the screen shows it.
    #[must_use]
    pub fn of(picture: &DynamicImage, screen: Option<&Screen>) -> Self {
        let mut pyramid = Self::empty(picture.width(), picture.height());
        pyramid.update(&shown(picture, screen), Rect::of_size(picture.width(), picture.height()));
        pyramid
    }

    /// The number of the smallest level.
    #[must_use]
    pub fn last(&self) -> u32 {
        self.levels.len() as u32
    }

    /// Width and height of a level.
    #[must_use]
    pub fn size_of(&self, level: u32) -> (u32, u32) {
        match level {
            0 => self.size,
            _ => self.levels[level as usize - 1].dimensions(),
        }
    }

    /// A level from 1 on.
    #[must_use]
    pub fn level(&self, level: u32) -> &RgbaImage {
        &self.levels[level as usize - 1]
    }

    /// Brings all levels up to date with a piece of level 0.
    ///
    /// `pixels` are those of `area`, colours multiplied by alpha.
    pub fn update(&mut self, pixels: &RgbaImage, area: Rect) {
        let mut changed = area;
        for index in 0..self.levels.len() {
            let (finer, coarser) = self.levels.split_at_mut(index);
            let target = &mut coarser[0];
            let half = Rect::spanning(
                changed.x / 2,
                changed.y / 2,
                changed.right().div_ceil(2).min(target.width()),
                changed.bottom().div_ceil(2).min(target.height()),
            );
            match finer.last() {
                None => halve(pixels, (area.x, area.y), target, half),
                Some(source) => halve(source, (0, 0), target, half),
            }
            changed = half;
        }
    }
}

/// Fills `area` of `target` with means of 2x2 pixels of `source`, whose top
/// left pixel lies at `origin` of the finer level. Pixels beyond `source` do
/// not count.
fn halve(source: &RgbaImage, origin: (u32, u32), target: &mut RgbaImage, area: Rect) {
    let stride = target.width() as usize * 4;
    let rows = &mut target.as_flat_samples_mut().samples
        [area.y as usize * stride..area.bottom() as usize * stride];
    let fine = source.as_raw();
    let (width, height) = source.dimensions();
    let pair = |position: u32, origin: u32, length: u32| {
        let first = (2 * position).saturating_sub(origin).min(length - 1);
        let second = (2 * position + 1).saturating_sub(origin).min(length - 1);
        (first as usize, second as usize)
    };
    rows.par_chunks_mut(stride).zip(area.y..area.bottom()).for_each(|(row, y)| {
        let (upper, lower) = pair(y, origin.1, height);
        for x in area.x..area.right() {
            let (left, right) = pair(x, origin.0, width);
            for channel in 0..4 {
                let at =
                    |x: usize, y: usize| u32::from(fine[(y * width as usize + x) * 4 + channel]);
                let sum = at(left, upper) + at(right, upper) + at(left, lower) + at(right, lower);
                row[x as usize * 4 + channel] = ((sum + 2) / 4) as u8;
            }
        }
    });
}

/// 8-bit RGBA in the colours of the screen, multiplied by alpha.
#[must_use]
pub fn shown(picture: &DynamicImage, screen: Option<&Screen>) -> RgbaImage {
    let mut pixels = screen.map_or_else(|| picture.to_rgba8(), |screen| screen.show(picture));
    if picture.color().has_alpha() {
        for pixel in pixels.pixels_mut() {
            let alpha = u32::from(pixel.0[3]);
            for value in &mut pixel.0[..3] {
                *value = ((u32::from(*value) * alpha + 127) / 255) as u8;
            }
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_in_pieces_gives_the_levels_of_the_whole() {
        let picture = RgbaImage::from_fn(1030, 517, |x, y| {
            image::Rgba([(x / 3) as u8, (y / 2) as u8, (x + y) as u8, 255])
        });
        let whole = Pyramid::of(&picture.clone().into(), None);
        assert_eq!(whole.last(), 3);
        assert_eq!(whole.size_of(3), (129, 65));
        let mut pieces = Pyramid::empty(1030, 517);
        for top in (0..517).step_by(200) {
            for left in (0..1030).step_by(300) {
                let area = Rect::spanning(left, top, (left + 300).min(1030), (top + 200).min(517));
                let crop =
                    image::imageops::crop_imm(&picture, area.x, area.y, area.width, area.height);
                pieces.update(&crop.to_image(), area);
            }
        }
        for level in 1..=whole.last() {
            assert!(whole.level(level) == pieces.level(level), "level {level}");
        }
    }
}
