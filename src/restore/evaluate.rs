//! How good a model is on pictures whose original is known.

use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, RgbImage, imageops::crop_imm};
use serde::Serialize;

use super::{
    Monitor, Mosaic, Patch, UpscaleOptions,
    colour::colour,
    mend::{Filler, MendOptions, mend},
    strips, upscale,
};
use crate::{
    device::Chosen,
    error::{Error, Result},
    mask::Scope,
    metric::{self, Figures},
    model::{Model, features::Perceptual},
    net::features,
    picture::{
        Format, Picture,
        resample::{resize_exact, shrink_exact},
    },
    size::Size,
};

/// One picture's figures.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// File name without its ending.
    pub name: String,
    /// The model's figures.
    #[serde(flatten)]
    pub model: Figures,
    /// Those of bicubic interpolation; of what the model was given, where it does not enlarge.
    pub bicubic: Figures,
}

/// The figures of a set of pictures.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// One row a picture, by name.
    pub pictures: Vec<Row>,
    /// Of the model's figures.
    pub mean: Figures,
    /// Mean of bicubic interpolation's figures: tells a reader whether the
    /// protocol is that of the papers.
    pub bicubic: Figures,
    /// What the feature distance is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance_name: Option<String>,
}

/// What a model is given, and what of it is marked.
pub type Given = (RgbImage, Option<GrayImage>);

/// Where the pictures come from that a model is given.
pub enum Source<'a> {
    /// Made by [`shrink_exact`].
    Shrunk,
    /// Files of the originals' names in a folder.
    Folder(&'a Path),
    /// Made from the original, whose sides are multiples of the scale, and its place in the list.
    Made(&'a dyn Fn(&RgbImage, usize) -> Result<Given>),
}

/// Scores `model` on the pictures in `originals`.
///
/// Each original is cut at the top left to a multiple of the scale. The result is rounded
/// to 8 bit; see [`Figures::of`]. With `perceptual` it is compared by features too, border and all.
///
/// # Errors
/// [`Error::NoPictures`], [`Error::Mismatch`], or those of opening and
/// enlarging.
pub fn evaluate(
    originals: &Path,
    source: &Source<'_>,
    scale: u32,
    model: &Model,
    device: &Chosen,
    perceptual: Option<&Perceptual>,
    mut each: impl FnMut(&Row) -> Result<()>,
) -> Result<Evaluation> {
    if scale == 0 {
        return Err(Error::Setting("a scale is 1 or more".to_owned()));
    }
    let smallest = smallest(scale, perceptual);
    let files = pictures_in(originals)?;
    let mut pictures = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let original = Picture::open(file)?.pixels.into_rgb8();
        let (width, height) = (original.width() / scale * scale, original.height() / scale * scale);
        if width.min(height) < smallest {
            return Err(Error::Mismatch {
                path: file.clone(),
                reason: "the picture is too small to be scored".to_owned(),
            });
        }
        let original = crop_imm(&original, 0, 0, width, height).to_image();
        let (low, mask) = match source {
            Source::Shrunk => (shrink_exact(&original, scale), None),
            Source::Folder(folder) => (given(folder, file, (width / scale, height / scale))?, None),
            Source::Made(make) => make(&original, index)?,
        };
        let figures = |result: &RgbImage| -> Result<Figures> {
            figures_of(result, &original, mask.as_ref(), scale, perceptual)
        };
        let row = Row {
            name: file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            model: figures(&restored_rgb(&low, mask.as_ref(), scale, model, device)?)?,
            bicubic: figures(&resize_exact(&low, width, height))?,
        };
        each(&row)?;
        pictures.push(row);
    }
    let mean =
        |of: fn(&Row) -> Figures| Figures::mean(&pictures.iter().map(of).collect::<Vec<_>>());
    let (Some(model), Some(bicubic)) = (mean(|row| row.model), mean(|row| row.bicubic)) else {
        return Err(Error::NoPictures { path: originals.to_owned() });
    };
    let distance_name = perceptual.map(|perceptual| perceptual.name().to_owned());
    Ok(Evaluation { mean: model, bicubic, pictures, distance_name })
}

/// Side of the smallest picture that can be scored.
#[must_use]
pub fn smallest(scale: u32, perceptual: Option<&Perceptual>) -> u32 {
    let smallest = 2 * metric::shaved(scale) + metric::SMALLEST;
    perceptual.map_or(0, |_| features::SMALLEST).max(smallest)
}

/// All figures of a result whose original is known, of the same size.
///
/// # Errors
/// As [`Perceptual::distance`].
pub fn figures_of(
    result: &RgbImage,
    original: &RgbImage,
    mask: Option<&GrayImage>,
    scale: u32,
    perceptual: Option<&Perceptual>,
) -> Result<Figures> {
    let distance = perceptual.map(|by| by.distance(result, original)).transpose()?;
    Ok(Figures { distance, ..Figures::of(result, original, mask, scale) })
}

/// The small picture of the same name in `folder`.
fn given(folder: &Path, original: &Path, size: (u32, u32)) -> Result<RgbImage> {
    let stem = original.file_stem();
    let found = pictures_in(folder)?.into_iter().find(|file| file.file_stem() == stem);
    let file = found.ok_or_else(|| Error::Missing {
        path: folder.join(original.file_name().unwrap_or_default()),
    })?;
    let low = Picture::open(&file)?.pixels.into_rgb8();
    if low.dimensions() == size {
        return Ok(low);
    }
    Err(Error::Mismatch {
        path: file,
        reason: format!(
            "the small picture has {} x {} pixels instead of {} x {}",
            low.width(),
            low.height(),
            size.0,
            size.1
        ),
    })
}

/// The files in a folder whose ending names a picture, by name.
fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotADirectory => Error::NoPictures { path: folder.to_owned() },
        _ => Error::read(folder, error),
    })?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_file() && Format::named(path).is_some())
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(Error::NoPictures { path: folder.to_owned() });
    }
    Ok(files)
}

/// A picture enlarged `scale` times, whole in memory.
///
/// # Errors
/// As [`upscale()`].
pub fn upscale_rgb(low: &RgbImage, scale: f64, model: &Model, device: &Chosen) -> Result<RgbImage> {
    // It is the network that is measured.
    let options = UpscaleOptions {
        size: Size::Scale(scale),
        colour_lock: false,
        ..UpscaleOptions::default()
    };
    gathered(low, |picture, gather| {
        Ok(upscale(picture, model, device, &options, gather)?.output_size)
    })
}

/// A picture by what a model is for, whole in memory: what `mask` marks is filled by one that takes
/// masks; any other enlarges it `scale` times, which may be once.
///
/// # Errors
/// As [`upscale()`] and [`mend()`].
pub fn restored_rgb(
    low: &RgbImage,
    mask: Option<&GrayImage>,
    scale: u32,
    model: &Model,
    device: &Chosen,
) -> Result<RgbImage> {
    match mask.filter(|_| model.takes_mask()) {
        Some(mask) => gathered(low, |picture, gather| {
            let filler = Filler::Network { model, device };
            Ok(mend(picture, mask, filler, MendOptions::default(), gather)?.size)
        }),
        None if model.gives_colours() => gathered(low, |picture, gather| {
            let receipt = colour(picture, Scope::default(), model, device, 1.0, gather)?;
            Ok(receipt.output_size)
        }),
        None => upscale_rgb(low, f64::from(scale), model, device),
    }
}

fn gathered(
    low: &RgbImage,
    run: impl FnOnce(&Picture, &mut Gather) -> Result<(u32, u32)>,
) -> Result<RgbImage> {
    let picture = Picture::from_pixels("evaluated", DynamicImage::from(low.clone()));
    let mut gather = Gather(Vec::new());
    let (width, height) = run(&picture, &mut gather)?;
    let mosaic = Mosaic {
        size: (width, height),
        color: picture.pixels.color(),
        patches: gather.0.into_iter().map(Into::into).collect(),
    };
    let rows = strips::of_mosaic(&mosaic).collect::<Vec<_>>().concat();
    RgbImage::from_raw(width, height, rows)
        .ok_or_else(|| Error::Setting("the result is larger than the memory".to_owned()))
}

struct Gather(Vec<Patch>);

impl Monitor for Gather {
    fn patch(&mut self, patch: Patch) -> Result<()> {
        self.0.push(patch);
        Ok(())
    }
}
