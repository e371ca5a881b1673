//! How good a model is on pictures whose original is known.

use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, RgbImage, imageops::crop_imm};
use serde::Serialize;

use super::{Monitor, Mosaic, Patch, Receipt, UpscaleOptions, mend::mend, strips, upscale};
use crate::{
    device::Chosen,
    error::{Error, Result},
    metric::{self, Score},
    model::{Model, features::Perceptual},
    net::features,
    picture::{
        Format, Picture,
        resample::{resize_exact, shrink_exact},
    },
};

/// One picture's figures.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// File name without its ending.
    pub name: String,
    /// The model's figures.
    #[serde(flatten)]
    pub score: Score,
    /// Bicubic interpolation's.
    pub bicubic: Score,
    /// How far both are from the original to a feature network, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<Distance>,
}

/// Feature distances from the original, or means of several; see [`Perceptual`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distance {
    /// The model's.
    pub model: f64,
    /// Bicubic interpolation's.
    pub bicubic: f64,
}

/// The figures of a set of pictures.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// One row a picture, by name.
    pub pictures: Vec<Row>,
    /// Of the model's figures.
    pub mean: Score,
    /// Mean of bicubic interpolation's figures: tells a reader whether the
    /// protocol is that of the papers.
    pub bicubic: Score,
    /// Means of the feature distances, if a network was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<Distance>,
    /// What the feature distance is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance_name: Option<String>,
}

/// Scores `model` on the pictures in `originals`.
///
/// Each original is cut at the top left to a multiple of the scale. Its small
/// version is read from `small` (a file of the same name) or made by
/// [`shrink_exact`]. The result is rounded to 8 bit; see [`Score::of`]. With `perceptual` it is
/// compared by features too, border and all.
///
/// # Errors
/// [`Error::NoPictures`], [`Error::Mismatch`], or those of opening and
/// enlarging.
pub fn evaluate(
    originals: &Path,
    small: Option<&Path>,
    model: &Model,
    device: &Chosen,
    options: &UpscaleOptions,
    perceptual: Option<&Perceptual>,
    mut each: impl FnMut(&Row) -> Result<()>,
) -> Result<Evaluation> {
    let scale = options.scale as u32;
    if f64::from(scale) != options.scale || scale == 0 {
        return Err(Error::Setting("a scale must be a whole number here".to_owned()));
    }
    let smallest = perceptual.map_or(0, |_| features::SMALLEST).max(2 * scale + metric::SMALLEST);
    let files = pictures_in(originals)?;
    let mut pictures = Vec::new();
    for file in &files {
        let original = Picture::open(file)?.pixels.into_rgb8();
        let (width, height) = (original.width() / scale * scale, original.height() / scale * scale);
        if width.min(height) < smallest {
            return Err(Error::Mismatch {
                path: file.clone(),
                reason: "the picture is too small to be scored".to_owned(),
            });
        }
        let original = crop_imm(&original, 0, 0, width, height).to_image();
        let low = match small {
            Some(folder) => given(folder, file, (width / scale, height / scale))?,
            None => shrink_exact(&original, scale),
        };
        let bicubic = resize_exact(&low, width, height);
        let result = upscale_rgb(&low, options.scale, model, device)?;
        let distance = perceptual.map(|perceptual| {
            let to = |picture| perceptual.distance(picture, &original);
            Ok::<_, Error>(Distance { model: to(&result)?, bicubic: to(&bicubic)? })
        });
        let row = Row {
            name: file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            score: Score::of(&result, &original, scale),
            bicubic: Score::of(&bicubic, &original, scale),
            distance: distance.transpose()?,
        };
        each(&row)?;
        pictures.push(row);
    }
    let mean = |of: fn(&Row) -> Score| Score::mean(&pictures.iter().map(of).collect::<Vec<_>>());
    let (Some(model_mean), Some(bicubic)) = (mean(|row| row.score), mean(|row| row.bicubic)) else {
        return Err(Error::NoPictures { path: originals.to_owned() });
    };
    let distances: Vec<Distance> = pictures.iter().filter_map(|row| row.distance).collect();
    let mean =
        |of: fn(&Distance) -> f64| distances.iter().map(of).sum::<f64>() / distances.len() as f64;
    let distance = perceptual.map(|_| Distance {
        model: mean(|distance| distance.model),
        bicubic: mean(|distance| distance.bicubic),
    });
    let distance_name = perceptual.map(|perceptual| perceptual.name().to_owned());
    Ok(Evaluation { mean: model_mean, bicubic, pictures, distance, distance_name })
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
        .filter(|path| path.is_file() && Format::of_path(path).is_some())
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
    let options = UpscaleOptions { scale, tile: None };
    gathered(low, |picture, gather| upscale(picture, model, device, &options, gather))
}

/// A picture by what a model is for, whole in memory: what `mask` marks is filled by one that takes
/// masks; any other enlarges it by its scale, which may be 1.
///
/// # Errors
/// As [`upscale()`] and [`mend()`].
pub fn restored_rgb(
    low: &RgbImage,
    mask: Option<&GrayImage>,
    model: &Model,
    device: &Chosen,
) -> Result<RgbImage> {
    match mask.filter(|_| model.takes_mask()) {
        Some(mask) => gathered(low, |picture, gather| mend(picture, mask, model, device, gather)),
        None => upscale_rgb(low, f64::from(model.scale()), model, device),
    }
}

fn gathered(
    low: &RgbImage,
    run: impl FnOnce(&Picture, &mut Gather) -> Result<Receipt>,
) -> Result<RgbImage> {
    let picture = Picture::from_pixels("evaluated", DynamicImage::from(low.clone()));
    let mut gather = Gather(Vec::new());
    let receipt = run(&picture, &mut gather)?;
    let (width, height) = receipt.output_size;
    let mosaic = Mosaic {
        size: receipt.output_size,
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
