//! `pixmend upscale`

use std::path::PathBuf;

use super::output::{Destination, chosen};
use crate::{
    error::Result,
    model::Model,
    picture::Picture,
    restore::{
        self, Receipt, UpscaleOptions, estimate::Estimate, recipe::Recipe, report::Enlarged,
    },
    settings::DEFAULT_MODEL,
    size::{Print, Size},
};

/// From as many pixels on it is told beforehand what a result will take: smaller ones are there at
/// once.
const TOLD: f64 = 16e6;

/// Arguments of `pixmend upscale`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Photo to enlarge: JPEG, PNG, WebP, TIFF, BMP, GIF, QOI or PNM
    #[arg(value_name = "IN")]
    input: PathBuf,
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
    let model = Model::find(&arguments.model)?;
    let model = if arguments.ensemble { model.as_ensemble()? } else { model };
    let picture = Picture::open(&arguments.input)?;
    let options = UpscaleOptions {
        size: arguments.size.size(),
        colour_lock: !arguments.no_colour_lock,
        tile: arguments.tile,
    };
    let steps = options.steps(picture.size(), &model)?;

    // What can fail is tried before the long part.
    let default = picture.default_output(&options.size.label(model.scale()));
    let target = arguments.destination.target(&arguments.input, default, steps.output)?;
    let device = chosen(&arguments.device)?;
    let format = Some(target.format());
    let estimate = Estimate::of(&picture, &model, &device, &options, format, false)?;
    if steps.output.0 as f64 * steps.output.1 as f64 >= TOLD {
        target.tell(&format!("{steps}: {}", estimate.in_words()));
    }
    let recipe = Recipe {
        model: arguments.model.clone(),
        device: arguments.device.clone(),
        options,
        encoding: target.encoding(),
        strip_location: target.strips_location(),
    };
    let mut command = recipe.command(&arguments.input);
    command += if arguments.ensemble { " --ensemble" } else { "" };
    target.fill(
        &picture,
        |monitor| {
            let receipt = restore::upscale(&picture, &model, &device, &options, monitor)?;
            Ok(Enlarged { receipt, estimate: Some(estimate), command })
        },
        |done| in_words(&done.receipt),
    )
}

fn in_words(receipt: &Receipt) -> String {
    let (width, height) = receipt.output_size;
    let shift = receipt.colour_shift.map_or_else(String::new, |shift| {
        format!(", colours off by {:.2} dE00 (network: {:.2})", shift.after, shift.before)
    });
    format!("{width} x {height} pixels, {:.1} s on {}{shift}", receipt.seconds, receipt.device)
}
