//! `pixmend upscale`

use std::path::PathBuf;

use super::{
    batch::{self, Batch, lasting},
    output::Destination,
};
use crate::{
    error::Result,
    jobs::queue::operation::Operation,
    restore::UpscaleOptions,
    settings::DEFAULT_MODEL,
    size::{Print, Size},
};

/// Arguments of `pixmend upscale`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Photo to enlarge: JPEG, PNG, WebP, TIFF, BMP, GIF, QOI or PNM; or many photos, and folders of them
    #[arg(value_name = "IN", required = true)]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    destination: Destination,
    #[command(flatten)]
    size: SizeArguments,
    /// Name of a model, or a model file
    #[arg(long, value_name = "NAME|FILE", default_value = DEFAULT_MODEL)]
    model: String,
    /// Ask the model eight times, for the picture turned and mirrored, and take the mean: slower,
    /// and a little nearer to the truth
    #[arg(long)]
    ensemble: bool,
    /// auto, gpu, cpu or the name of an adapter; with :f32 behind it, never numbers of 16 bit
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Leave the colours as the network made them, even where they drift from the photo's
    #[arg(long)]
    no_colour_lock: bool,
    /// How much of the network's answer is taken, 0 to 1; the rest is the photo, enlarged by bicubic
    /// interpolation
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    strength: f32,
    /// Side of a tile in pixels of the photo [default: what suits the device]
    #[arg(long, value_name = "N")]
    tile: Option<u32>,
    /// Picture of where detail was invented, over the photo in grey; of one photo
    #[arg(long, value_name = "FILE")]
    heat_map: Option<PathBuf>,
    #[command(flatten)]
    batch: Batch,
}

/// How large the result is to be; without any, as large as the model makes it.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(multiple = false)]
struct SizeArguments {
    /// How many times larger, 0.5 or 2.5 or 16 for example
    #[arg(long, value_name = "FACTOR")]
    scale: Option<f64>,
    /// Pixels of the result's width
    #[arg(long, value_name = "PIXELS")]
    width: Option<u32>,
    /// Pixels of the result's height
    #[arg(long, value_name = "PIXELS")]
    height: Option<u32>,
    /// Pixels of the result's longer side
    #[arg(long, value_name = "PIXELS")]
    long_side: Option<u32>,
    /// Million pixels of the result
    #[arg(long, value_name = "COUNT")]
    megapixels: Option<f64>,
    /// As large as fits on a sheet of paper, 30x20cm@300 or 12x8in@240 for example
    #[arg(long, value_name = "SHEET@DPI")]
    print: Option<Print>,
}

impl SizeArguments {
    fn size(self) -> Size {
        self.scale
            .map(Size::Scale)
            .or(self.width.map(Size::Width))
            .or(self.height.map(Size::Height))
            .or(self.long_side.map(Size::LongSide))
            .or(self.megapixels.map(Size::Megapixels))
            .or(self.print.map(Size::Print))
            .unwrap_or_default()
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { inputs, destination, batch, model, .. } = arguments;
    let operation = Operation::Upscale {
        model: lasting(model),
        ensemble: arguments.ensemble,
        device: arguments.device.clone(),
        options: UpscaleOptions {
            size: arguments.size.size(),
            colour_lock: !arguments.no_colour_lock,
            strength: arguments.strength,
            tile: arguments.tile,
        },
    };
    batch::run(inputs, destination, batch, &operation, arguments.heat_map.as_deref())
}
