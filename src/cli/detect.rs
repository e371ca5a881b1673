//! `pixmend detect`

use std::path::PathBuf;

use image::ColorType;

use super::{output::same_file, tell};
use crate::{
    error::{Error, Result},
    mask,
    picture::{Format, Metadata, Picture, PictureWriter, formats::Header},
    settings::Existing,
};

/// Arguments of `pixmend detect`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Photo: JPEG, PNG, WebP, TIFF or BMP
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The mask, to be looked at and given to `mend`
    #[arg(short, long, value_name = "MASK.png")]
    output: PathBuf,
    /// From 0, for the clearest marks only, to 1
    #[arg(long, default_value_t = 0.5)]
    sensitivity: f32,
    /// Replace the mask if it exists
    #[arg(long)]
    overwrite: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let path = &arguments.output;
    if !(0.0..=1.0).contains(&arguments.sensitivity) {
        return Err(Error::Setting("a sensitivity is a number from 0 to 1".to_owned()));
    }
    if !arguments.overwrite && path.symlink_metadata().is_ok() {
        return Err(Error::Exists { path: path.clone() });
    }
    if same_file(path, &arguments.input) {
        return Err(Error::OutputIsInput { path: path.clone() });
    }
    if Format::of_path(path) == Some(Format::Jpeg) {
        return Err(Error::Setting(
            "a mask cannot be a JPEG file, which would blur it: use .png".to_owned(),
        ));
    }
    let picture = Picture::open(&arguments.input)?;
    let (width, height) = picture.size();
    let found = mask::detect::scratches(&picture.pixels.to_luma8(), arguments.sensitivity);
    let (marked, regions) = (mask::count(&found), mask::regions(&found).len());
    let header = Header { width, height, color: ColorType::L8, metadata: Metadata::default() };
    let mut writer = PictureWriter::create(path, header)?;
    writer.push(found.into_raw())?;
    let existing = if arguments.overwrite { Existing::Replace } else { Existing::Refuse };
    let written = writer.finish(existing)?;
    let share = 100.0 * marked as f64 / (f64::from(width) * f64::from(height));
    tell(&format!("{} ({share:.1} % marked, in {regions} regions)", written.display()));
    Ok(())
}
