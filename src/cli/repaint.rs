//! `pixmend clean` and `pixmend colour`

use std::path::PathBuf;

use super::{
    batch::{self, Batch, lasting},
    mend::marks,
    output::Destination,
};
use crate::{
    error::Result,
    jobs::queue::operation::Operation,
    mask::Anchor,
    restore::repaint::RepaintOptions,
    settings::{CLEANING_MODEL, COLOURING_MODEL},
};

/// Arguments of both.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Photo: JPEG, PNG, WebP, TIFF, BMP, GIF, QOI or PNM; or many photos, and folders of them
    #[arg(value_name = "IN", required = true)]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    destination: Destination,
    /// How much of the network's answer is taken, 0 to 1
    #[arg(long, default_value_t = 1.0)]
    strength: f32,
    /// Picture of the photo's size: only what is not black in it changes
    #[arg(long, value_name = "MASK")]
    mask: Option<PathBuf>,
    /// Picture of the photo's size: nothing that is white in it changes
    #[arg(long, value_name = "MASK")]
    protect: Option<PathBuf>,
    /// Where the masks lie on a photo of another size than their own
    #[arg(long, value_name = "PLACE", value_parser = Anchor::NAMED.map(|(name, _)| name))]
    anchor: Option<String>,
    /// Name of a shipped model, or a model file [default: clean or colour]
    #[arg(long, value_name = "NAME|FILE")]
    model: Option<String>,
    /// auto, gpu, cpu or the name of an adapter; with :f32 behind it, never numbers of 16 bit
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Side of a tile in pixels of the photo, for cleaning [default: what suits the device]
    #[arg(long, value_name = "N")]
    tile: Option<u32>,
    #[command(flatten)]
    batch: Batch,
}

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    Clean,
    Colour,
}

pub(super) fn run(arguments: &Arguments, job: Job) -> Result<()> {
    let usual = match job {
        Job::Clean => CLEANING_MODEL,
        Job::Colour => COLOURING_MODEL,
    };
    let Arguments { inputs, destination, batch, strength, tile, .. } = arguments;
    let model = lasting(arguments.model.as_deref().unwrap_or(usual));
    let marks = marks(
        arguments.mask.as_deref(),
        arguments.protect.as_deref(),
        arguments.anchor.as_deref(),
    )?;
    let device = arguments.device.clone();
    let operation = match job {
        Job::Clean => Operation::Clean {
            model,
            device,
            marks,
            options: RepaintOptions { strength: *strength, tile: *tile },
        },
        Job::Colour => Operation::Colour { model, device, marks, strength: *strength },
    };
    batch::run(inputs, destination, batch, &operation, None)
}
