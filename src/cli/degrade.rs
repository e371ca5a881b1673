//! `pixmend degrade`

use std::path::PathBuf;

use super::tell;
use crate::{
    error::{Error, Result},
    picture::{Metadata, Picture, PictureWriter, formats::Header},
    settings::Existing,
    train::degrade::Recipe,
};

/// Arguments of `pixmend degrade`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Photo to make worse
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Result
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// bicubic, srgan, blind, jpeg, noise, or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "bicubic")]
    recipe: String,
    /// How many times smaller
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16))]
    scale: u32,
    /// Draws the same again
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Replace the result if it exists
    #[arg(long)]
    overwrite: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let recipe = Recipe::find(&arguments.recipe)?;
    let picture = Picture::open(&arguments.input)?;
    let pixels = picture.pixels.into_rgb8();
    let scale = arguments.scale;
    let (width, height) = (pixels.width() / scale * scale, pixels.height() / scale * scale);
    if width == 0 || height == 0 {
        return Err(Error::Mismatch {
            path: arguments.input.clone(),
            reason: format!("the picture is smaller than the scale of {scale}"),
        });
    }
    let pixels = image::imageops::crop_imm(&pixels, 0, 0, width, height).to_image();
    let worse = recipe.apply(&pixels, scale, &mut fastrand::Rng::with_seed(arguments.seed))?;
    let header = Header {
        width: worse.width(),
        height: worse.height(),
        color: image::ColorType::Rgb8,
        metadata: Metadata::default(),
    };
    let mut writer = PictureWriter::create(&arguments.output, header)?;
    let size = worse.dimensions();
    writer.push(worse.into_raw())?;
    let existing = if arguments.overwrite { Existing::Replace } else { Existing::Refuse };
    let written = writer.finish(existing)?;
    tell(&format!("{} ({} x {} pixels)", written.display(), size.0, size.1));
    Ok(())
}
