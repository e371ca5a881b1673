//! A picture in, a picture out, tile by tile.
//!
//! Nothing here knows who is watching: progress, cancelling and finished
//! patches go through [`Monitor`].

use std::{sync::Arc, time::Duration};

use image::{ColorType, DynamicImage};

use crate::{error::Result, rect::Rect};

pub mod blend;
pub mod diffuse;
pub mod evaluate;
pub mod mend;
pub mod plan;
pub mod repaint;
pub mod strips;
pub mod texture;
pub mod tiled;
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

    /// A piece of the result is finished. With [`Self::next`] at its default,
    /// pieces come in reading order of the tiles.
    ///
    /// # Errors
    /// To end the job, for example when the disk is full.
    fn patch(&mut self, patch: Patch) -> Result<()>;

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
    /// Whether the patches cover the whole.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let covered: u64 = self.patches.iter().map(|patch| patch.area.area()).sum();
        covered == u64::from(self.size.0) * u64::from(self.size.1)
    }
}
