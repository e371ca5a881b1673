//! Whether training has made a model better: the base and the new one on photos that neither the
//! steps nor the choice of the best have seen.

use fastrand::Rng;
use image::{RgbImage, imageops};
use serde::{Deserialize, Serialize};

use super::{data::Photo, degrade::Recipe};
use crate::{
    device::Chosen,
    error::Result,
    metric::{self, Score},
    model::Model,
    picture::Picture,
    restore::evaluate::upscale_rgb,
};

/// One held-out photo.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// File name.
    pub photo: String,
    /// Figures of the base model.
    pub base: Score,
    /// Figures of the new one.
    pub tuned: Score,
}

/// What held-out photos say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// One row a photo.
    pub photos: Vec<Row>,
    /// Photos on which the new model has the higher PSNR.
    pub better_on: usize,
    /// Mean of the differences in PSNR, in dB.
    pub gain_db: f64,
    /// Better on most photos and on the mean.
    pub is_better: bool,
    /// The same in words.
    pub sentence: String,
}

/// Compares two models on photos that are made worse by `recipe`.
///
/// # Errors
/// Those of opening and enlarging.
pub fn compare(
    base: &Model,
    tuned: &Model,
    photos: &[Photo],
    recipe: &Recipe,
    seed: u64,
    device: &Chosen,
) -> Result<Verdict> {
    let scale = base.scale();
    let mut rows = Vec::new();
    for (photo, pair) in photos.iter().zip(pairs(photos, recipe, scale, seed, u32::MAX)?) {
        let score = |model: &Model| -> Result<Score> {
            let answer = upscale_rgb(&pair.small, f64::from(model.scale()), model, device)?;
            let score = Score::of(&answer, &pair.large, scale);
            Ok(Score { psnr: score.psnr.min(PERFECT), ..score })
        };
        rows.push(Row {
            photo: photo.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            base: score(base)?,
            tuned: score(tuned)?,
        });
    }
    let gains: Vec<f64> = rows.iter().map(|row| row.tuned.psnr - row.base.psnr).collect();
    let better_on = gains.iter().filter(|gain| **gain > 0.0).count();
    let gain_db = gains.iter().sum::<f64>() / gains.len().max(1) as f64;
    let is_better = gain_db > 0.0 && 2 * better_on > gains.len();
    let count = gains.len();
    let sentence = if is_better {
        format!("better than the base on {better_on} of {count} held-out photos, {gain_db:+.2} dB")
    } else {
        format!(
            "not better: keep the base ({better_on} of {count} held-out photos, {gain_db:+.2} dB)"
        )
    };
    Ok(Verdict { photos: rows, better_on, gain_db, is_better, sentence })
}

/// An original and what is made of it.
pub(super) struct Pair {
    pub(super) small: RgbImage,
    pub(super) large: RgbImage,
}

/// Pairs of the middles of photos, at most `side` wide and high.
pub(super) fn pairs(
    photos: &[Photo],
    recipe: &Recipe,
    scale: u32,
    seed: u64,
    side: u32,
) -> Result<Vec<Pair>> {
    let pair = |(index, photo): (usize, &Photo)| {
        let picture = Picture::open(&photo.path)?.pixels.into_rgb8();
        let cut = |length: u32| {
            let kept = length.min(side) / scale * scale;
            ((length - kept) / 2, kept)
        };
        let ((x, width), (y, height)) = (cut(picture.width()), cut(picture.height()));
        let large = imageops::crop_imm(&picture, x, y, width, height).to_image();
        let mut rng = Rng::with_seed(seed.wrapping_add(index as u64));
        Ok(Pair { small: recipe.apply(&large, scale, &mut rng)?, large })
    };
    photos.iter().enumerate().map(pair).collect()
}

/// An answer that equals the original has an infinite PSNR, with which no mean can be made.
const PERFECT: f64 = 100.0;

/// Mean PSNR in dB of a model over pairs.
pub(super) fn mean_psnr(model: &Model, pairs: &[Pair], device: &Chosen) -> Result<f64> {
    let mut sum = 0.0;
    for pair in pairs {
        let answer = upscale_rgb(&pair.small, f64::from(model.scale()), model, device)?;
        sum += Score::of(&answer, &pair.large, model.scale()).psnr.min(PERFECT);
    }
    Ok(sum / pairs.len().max(1) as f64)
}

/// The smallest photo side that the verdict can score.
pub(super) const fn smallest_side(scale: u32) -> u32 {
    2 * scale + metric::SMALLEST + scale
}
