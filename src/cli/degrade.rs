//! `pixmend degrade`

use std::path::{Path, PathBuf};

use image::ColorType;

use super::{output::same_file, tell};
use crate::{
    encoding::Encoding,
    error::{Error, Result},
    picture::{Format, Metadata, Picture, PictureWriter, formats::Header},
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
    /// bicubic, srgan, blind, jpeg, noise, watermark, damage, grey, or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "bicubic")]
    recipe: String,
    /// Write where the recipe laid marks, too: white on them, black elsewhere
    #[arg(long, value_name = "MASK")]
    mask: Option<PathBuf>,
    /// How many times smaller; 1 keeps the size
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16))]
    scale: u32,
    /// Draws the same again
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Replace results that exist
    #[arg(long)]
    overwrite: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let recipe = Recipe::find(&arguments.recipe)?;
    check_outputs(arguments, &recipe)?;
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
    let existing = if arguments.overwrite { Existing::Replace } else { Existing::Refuse };
    let size = worse.picture.dimensions();
    let mut files =
        vec![begin(&arguments.output, size, ColorType::Rgb8, worse.picture.into_raw())?];
    if let Some((path, mask)) = arguments.mask.as_ref().zip(worse.mask) {
        files.push(begin(path, size, ColorType::L8, mask.into_raw())?);
    }
    for file in files {
        let written = file.finish(existing)?;
        tell(&format!("{} ({} x {} pixels)", written.display(), size.0, size.1));
    }
    Ok(())
}

/// Finds out what would fail when the work is done.
fn check_outputs(arguments: &Arguments, recipe: &Recipe) -> Result<()> {
    let outputs = std::iter::once(&arguments.output).chain(&arguments.mask);
    for path in outputs {
        // A link that leads nowhere takes the name, too.
        if !arguments.overwrite && path.symlink_metadata().is_ok() {
            return Err(Error::Exists { path: path.clone() });
        }
        if same_file(path, &arguments.input) {
            return Err(Error::OutputIsInput { path: path.clone() });
        }
    }
    let Some(mask) = &arguments.mask else { return Ok(()) };
    if !recipe.masks() {
        return Err(Error::Setting(format!(
            "the recipe {} makes no mask: it lays no watermark and no damage on the picture",
            arguments.recipe
        )));
    }
    if Format::of_path(mask) == Some(Format::Jpeg) {
        return Err(Error::Setting(
            "a mask cannot be a JPEG file, which would blur it: use .png".to_owned(),
        ));
    }
    if place(mask) == place(&arguments.output) {
        return Err(Error::Setting("the result and the mask need two different names".to_owned()));
    }
    Ok(())
}

/// The path without detours, of a file that may not exist yet.
fn place(path: &Path) -> PathBuf {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    folder.join(path.file_name().unwrap_or_default())
}

/// A file that gets its name when it is finished.
fn begin(
    path: &Path,
    (width, height): (u32, u32),
    color: ColorType,
    pixels: Vec<u8>,
) -> Result<PictureWriter> {
    let header = Header {
        width,
        height,
        color,
        metadata: Metadata::default(),
        encoding: Encoding::default(),
    };
    let mut writer = PictureWriter::create(path, header)?;
    writer.push(pixels)?;
    Ok(writer)
}
