//! `pixmend upscale`

use std::path::PathBuf;

use super::{
    batch::{self, Batch, lasting},
    output::Destination,
};
use crate::{
    error::Result, jobs::queue::operation::Operation, model::Model, restore::UpscaleOptions,
    settings::DEFAULT_MODEL,
};

/// Arguments of `pixmend upscale`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Photo to enlarge: JPEG, PNG, WebP, TIFF or BMP; or many photos, and folders of them
    #[arg(value_name = "IN", required = true)]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    destination: Destination,
    /// How many times larger [default: what the model does]
    #[arg(long)]
    scale: Option<f64>,
    /// Name of a model, or a model file
    #[arg(long, value_name = "NAME|FILE", default_value = DEFAULT_MODEL)]
    model: String,
    /// Ask the model eight times, for the picture turned and mirrored, and take the mean: slower,
    /// and a little nearer to the truth
    #[arg(long)]
    ensemble: bool,
    /// auto, gpu, cpu or the name of an adapter
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Side of a tile in pixels of the photo [default: what suits the device]
    #[arg(long, value_name = "N")]
    tile: Option<u32>,
    #[command(flatten)]
    batch: Batch,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let scale = match arguments.scale {
        Some(scale) => scale,
        None => f64::from(Model::find(&arguments.model)?.scale()),
    };
    let operation = Operation::Upscale {
        model: lasting(&arguments.model),
        ensemble: arguments.ensemble,
        device: arguments.device.clone(),
        options: UpscaleOptions { scale, tile: arguments.tile },
    };
    let Arguments { inputs, destination, batch, .. } = arguments;
    batch::run(inputs, destination, batch, &operation)
}
