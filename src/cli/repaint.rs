//! `pixmend clean` and `pixmend colour`

use std::path::PathBuf;

use super::{
    mend::{COMPRESSED, open_mask},
    output::{Destination, chosen},
    tell,
};
use crate::{
    error::{Error, Result},
    model::Model,
    picture::Picture,
    restore::repaint::{RepaintOptions, in_colour, repaint},
    settings::CLEANING_MODEL,
};

/// Arguments of both.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Photo: JPEG, PNG, WebP, TIFF, BMP, GIF, QOI or PNM
    #[arg(value_name = "IN")]
    input: PathBuf,
    #[command(flatten)]
    destination: Destination,
    /// How much of the network's answer is taken, 0 to 1
    #[arg(long, default_value_t = 1.0)]
    strength: f32,
    /// Picture of the photo's size: only what is not black in it changes
    #[arg(long, value_name = "MASK")]
    mask: Option<PathBuf>,
    /// Name of a shipped model, or a model file [default: the one for cleaning; none for colouring ships yet]
    #[arg(long, value_name = "NAME|FILE")]
    model: Option<String>,
    /// auto, gpu, cpu or the name of an adapter
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Side of a tile in pixels of the photo [default: what suits the device]
    #[arg(long, value_name = "N")]
    tile: Option<u32>,
}

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    Clean,
    Colour,
}

pub(super) fn run(arguments: &Arguments, job: Job) -> Result<()> {
    let (usual, done) = match job {
        Job::Clean => (Some(CLEANING_MODEL), "clean"),
        Job::Colour => (None, "colour"),
    };
    let name = arguments.model.as_deref().or(usual).ok_or_else(|| {
        Error::Setting(
            "no model for colouring ships with this version: name a file with --model (`pixmend \
             train --base new --network unet-small --degradation grey` makes one)"
                .to_owned(),
        )
    })?;
    let model = Model::find(name)?;
    let mut picture = Picture::open(&arguments.input)?;
    let mask = arguments.mask.as_deref().map(open_mask).transpose()?;
    if job == Job::Colour {
        picture = in_colour(picture);
    }
    let options = RepaintOptions {
        strength: arguments.strength,
        tile: arguments.tile,
        keeps_luma: job == Job::Colour,
    };
    let default = match mask {
        Some(_) => picture.default_output_kept(done),
        None => picture.default_output(done),
    };
    let target = arguments.destination.target(&arguments.input, default, picture.size())?;
    if mask.is_some() && target.is_lossy() {
        tell(COMPRESSED);
    }
    let device = chosen(&arguments.device)?;
    target.fill(
        &picture,
        |monitor| repaint(&picture, mask.as_ref(), &model, &device, options, monitor),
        |receipt| format!("by {}, {:.1} s on {}", receipt.model, receipt.seconds, receipt.device),
    )
}
