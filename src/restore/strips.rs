//! Patches put together into rows, from the top down, for a file.

use std::sync::Arc;

use image::ColorType;

use super::{Mosaic, Patch};
use crate::rect::Rect;

/// Rows that are cut from a complete [`Mosaic`] at once.
const ROWS: u32 = 64;

/// Copies what `patch` has of the rows from `top` on into `rows`.
fn copy(patch: &Patch, rows: &mut [u8], top: u32, width: u32, color: ColorType) {
    let pixel = usize::from(color.bytes_per_pixel());
    let stride = width as usize * pixel;
    let band = Rect::spanning(0, top, width, top + (rows.len() / stride) as u32);
    let Some(common) = patch.area.intersection(&band) else {
        return;
    };
    let bytes = patch.pixels.as_bytes();
    let patch_stride = patch.area.width as usize * pixel;
    for y in common.y..common.bottom() {
        let from = (y - patch.area.y) as usize * patch_stride;
        let to = (y - top) as usize * stride + patch.area.x as usize * pixel;
        rows[to..to + patch_stride].copy_from_slice(&bytes[from..from + patch_stride]);
    }
}

/// Gathers patches that arrive in reading order into strips of whole rows.
#[derive(Debug)]
pub struct Strips {
    width: u32,
    color: ColorType,
    top: u32,
    bottom: u32,
    waiting: Vec<Patch>,
}

impl Strips {
    /// For a result of this width and kind.
    #[must_use]
    pub const fn new(width: u32, color: ColorType) -> Self {
        Self { width, color, top: 0, bottom: 0, waiting: Vec::new() }
    }

    /// Takes a patch and gives the rows it completes, if any.
    pub fn push(&mut self, patch: Patch) -> Option<Vec<u8>> {
        self.bottom = self.bottom.max(patch.area.bottom());
        self.waiting.push(patch);
        let covered: u64 = self.waiting.iter().map(|patch| patch.area.area()).sum();
        if covered < u64::from(self.width) * u64::from(self.bottom - self.top) {
            return None;
        }
        let stride = self.width as usize * usize::from(self.color.bytes_per_pixel());
        let mut rows = vec![0; stride * (self.bottom - self.top) as usize];
        for patch in self.waiting.drain(..) {
            copy(&patch, &mut rows, self.top, self.width, self.color);
        }
        self.top = self.bottom;
        Some(rows)
    }
}

/// The rows of a complete mosaic, strip by strip.
pub fn of_mosaic(mosaic: &Mosaic) -> impl Iterator<Item = Vec<u8>> + '_ {
    let (width, height) = mosaic.size;
    let stride = width as usize * usize::from(mosaic.color.bytes_per_pixel());
    (0..height).step_by(ROWS as usize).map(move |top| {
        let mut rows = vec![0; stride * ROWS.min(height - top) as usize];
        let patches: &[Arc<Patch>] = &mosaic.patches;
        for patch in patches {
            copy(patch, &mut rows, top, width, mosaic.color);
        }
        rows
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, GrayImage};

    fn patch(area: Rect) -> Patch {
        let pixels = GrayImage::from_fn(area.width, area.height, |x, y| {
            image::Luma([((area.y + y) * 16 + area.x + x) as u8])
        });
        Patch { area, pixels: DynamicImage::ImageLuma8(pixels) }
    }

    #[test]
    fn streamed_and_gathered_rows_are_the_picture() {
        let areas = [
            Rect::spanning(0, 0, 7, 5),
            Rect::spanning(7, 0, 12, 5),
            // A tile that was done again in pieces.
            Rect::spanning(0, 5, 7, 8),
            Rect::spanning(0, 8, 7, 11),
            Rect::spanning(7, 5, 12, 11),
        ];
        let expected: Vec<u8> = (0..11).flat_map(|y| (0..12).map(move |x| y * 16 + x)).collect();
        let mut strips = Strips::new(12, ColorType::L8);
        let pushed: Vec<Vec<u8>> =
            areas.iter().filter_map(|area| strips.push(patch(*area))).collect();
        assert_eq!(pushed.len(), 2, "one strip for each row of tiles");
        assert_eq!(pushed.concat(), expected);

        let mosaic = Mosaic {
            size: (12, 11),
            color: ColorType::L8,
            patches: areas.iter().rev().map(|area| Arc::new(patch(*area))).collect(),
        };
        assert!(mosaic.is_complete());
        assert_eq!(of_mosaic(&mosaic).collect::<Vec<_>>().concat(), expected);
    }
}
