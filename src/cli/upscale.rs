//! `pixmend upscale`

use std::path::PathBuf;

use super::output::{Destination, chosen};
use crate::{
    error::Result,
    model::Model,
    picture::Picture,
    restore::{self, UpscaleOptions},
    settings::DEFAULT_MODEL,
};

/// Arguments of `pixmend upscale`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Photo to enlarge: JPEG, PNG, WebP, TIFF or BMP
    #[arg(value_name = "IN")]
    input: PathBuf,
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
    /// Leave the colours as the network made them, even where they drift from the photo's
    #[arg(long)]
    no_colour_lock: bool,
    /// Side of a tile in pixels of the photo [default: what suits the device]
    #[arg(long, value_name = "N")]
    tile: Option<u32>,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let model = Model::find(&arguments.model)?;
    let model = if arguments.ensemble { model.as_ensemble()? } else { model };
    let picture = Picture::open(&arguments.input)?;
    let scale = arguments.scale.unwrap_or_else(|| f64::from(model.scale()));
    let options =
        UpscaleOptions { scale, colour_lock: !arguments.no_colour_lock, tile: arguments.tile };
    let size = options.output_size(picture.size(), &model)?;

    // What can fail is tried before the long part.
    let default = picture.default_output(&format!("{}x", options.scale));
    let target = arguments.destination.target(&arguments.input, default, size)?;
    let device = chosen(&arguments.device)?;
    target.fill(
        &picture,
        |monitor| restore::upscale(&picture, &model, &device, &options, monitor),
        |receipt| {
            let (width, height) = receipt.output_size;
            format!("{width} x {height} pixels, {:.1} s on {}", receipt.seconds, receipt.device)
        },
    )
}
