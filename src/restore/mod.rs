//! A picture in, a picture out, tile by tile.
//!
//! Nothing here knows who is watching: progress, cancelling and finished
//! patches go through [`Monitor`].

use std::{sync::Arc, time::Duration};

use image::{ColorType, DynamicImage, imageops::replace};

use crate::{error::Result, rect::Rect};

pub mod blend;
mod cells;
pub mod colour;
pub mod colour_lock;
mod consistency;
pub mod diffuse;
pub mod estimate;
pub mod evaluate;
pub mod file;
mod half;
pub mod invented;
pub mod mend;
mod opaque;
pub mod plain;
pub mod plan;
pub mod recipe;
pub mod repaint;
pub mod report;
pub mod sheet;
pub mod steps;
pub mod strips;
pub mod texture;
pub mod tiled;
mod unveil;
pub mod upscale;

pub use upscale::{Receipt, UpscaleOptions, upscale};

/// A finished piece of the result.
#[derive(Clone, Debug)]
pub struct Patch {
    /// Where it belongs, in pixels of the result.
    pub area: Rect,
    /// Its pixels, of the result's kind.
    pub pixels: DynamicImage,
}

/// How far a job has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Pixels of the result that are finished.
    pub done: u64,
    /// Pixels of the whole result.
    pub total: u64,
    /// Estimate from the tiles measured so far; `None` before there are any.
    pub remaining: Option<Duration>,
}

/// What is known before the first tile.
#[derive(Clone, Debug)]
pub struct Start {
    /// Size of the result in pixels.
    pub size: (u32, u32),
    /// Kind of its pixels.
    pub color: ColorType,
    /// Device in use.
    pub device: String,
    /// Runs of the network to come.
    pub tiles: usize,
}

/// How a running job talks to whoever started it.
///
/// Every method may return [`crate::Error::Cancelled`], which leaves the job
/// at once: progress, cancelling and "is anyone still there" are one call.
pub trait Monitor {
    /// The job knows what it will make.
    ///
    /// # Errors
    /// To end the job.
    fn start(&mut self, start: &Start) -> Result<()> {
        let _ = start;
        Ok(())
    }

    /// Called before each tile and once at the end.
    ///
    /// # Errors
    /// To end the job.
    fn progress(&mut self, progress: Progress) -> Result<()> {
        let _ = progress;
        Ok(())
    }

    /// A piece of the result is finished. With [`Self::next`] at its default, pieces come from the
    /// top down, row of tiles by row of tiles.
    ///
    /// # Errors
    /// To end the job, for example when the disk is full.
    fn patch(&mut self, patch: Patch) -> Result<()>;

    /// What a network answered for an area of the result, if it was asked before and the answer was
    /// kept: red, green and blue, each row by row, as [`Self::keep`] got them. Its tile is left
    /// out then.
    fn kept(&mut self, area: Rect) -> Option<Vec<f32>> {
        let _ = area;
        None
    }

    /// An answer as the network gave it, which may be kept: three planes of whole multiples of
    /// 1/65535.
    fn keep(&mut self, area: Rect, planes: &[f32]) {
        let _ = (area, planes);
    }

    /// Which of the waiting areas of the source to do next; they are in
    /// reading order and never empty.
    fn next(&mut self, waiting: &[Rect]) -> usize {
        let _ = waiting;
        0
    }

    /// Something the user may want to know, and the job goes on.
    fn note(&mut self, note: &str) {
        log::info!("{note}");
    }
}

/// Puts a piece at its place; both are of one kind.
fn paste(piece: &DynamicImage, whole: &mut DynamicImage, area: Rect) {
    use DynamicImage::{
        ImageLuma8, ImageLuma16, ImageLumaA8, ImageLumaA16, ImageRgb8, ImageRgb16, ImageRgba8,
        ImageRgba16,
    };
    let (x, y) = (i64::from(area.x), i64::from(area.y));
    match (piece, whole) {
        (ImageLuma8(piece), ImageLuma8(whole)) => replace(whole, piece, x, y),
        (ImageLumaA8(piece), ImageLumaA8(whole)) => replace(whole, piece, x, y),
        (ImageRgb8(piece), ImageRgb8(whole)) => replace(whole, piece, x, y),
        (ImageRgba8(piece), ImageRgba8(whole)) => replace(whole, piece, x, y),
        (ImageLuma16(piece), ImageLuma16(whole)) => replace(whole, piece, x, y),
        (ImageLumaA16(piece), ImageLumaA16(whole)) => replace(whole, piece, x, y),
        (ImageRgb16(piece), ImageRgb16(whole)) => replace(whole, piece, x, y),
        (ImageRgba16(piece), ImageRgba16(whole)) => replace(whole, piece, x, y),
        // A `Picture` has no other kinds, and a patch has the kind of its result.
        (piece, whole) => unreachable!("{:?} into {:?}", piece.color(), whole.color()),
    }
}

/// A result in pieces, as a window holds it and as it is saved.
#[derive(Clone, Debug)]
pub struct Mosaic {
    /// Pixels of the whole.
    pub size: (u32, u32),
    /// Kind of pixels of all patches.
    pub color: ColorType,
    /// In no particular order; they do not overlap.
    pub patches: Vec<Arc<Patch>>,
}

impl Mosaic {
    /// All patches as one picture; black where there is none.
    #[must_use]
    pub fn pixels(&self) -> DynamicImage {
        self.area(Rect::of_size(self.size.0, self.size.1))
    }

    /// A part of it; black where there is no patch.
    #[must_use]
    pub fn area(&self, area: Rect) -> DynamicImage {
        let mut pixels = DynamicImage::new(area.width, area.height, self.color);
        for patch in &self.patches {
            let Some(common) = patch.area.intersection(&area) else { continue };
            let Rect { x, y, width, height } = common;
            let piece = patch.pixels.crop_imm(x - patch.area.x, y - patch.area.y, width, height);
            paste(&piece, &mut pixels, Rect { x: x - area.x, y: y - area.y, width, height });
        }
        pixels
    }

    /// Whether the patches cover the whole.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let covered: u64 = self.patches.iter().map(|patch| patch.area.area()).sum();
        covered == u64::from(self.size.0) * u64::from(self.size.1)
    }
}
