//! Whether training has made a model better: the base and the new one on photos that neither the
//! steps nor the choice of the best have seen.

use fastrand::Rng;
use image::{GrayImage, RgbImage, imageops};
use serde::{Deserialize, Serialize};

use super::{data::Photo, degrade::Recipe};
use crate::{
    device::Chosen,
    error::Result,
    metric::{self, Score},
    model::{Model, features::Perceptual},
    picture::Picture,
    restore::evaluate::restored_rgb,
};

/// What models are compared by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// PSNR: for models that learnt to be true to the pixels.
    #[default]
    Psnr,
    /// Distance of features: for models that learnt to look alike.
    FeatureDistance,
}

/// Figures of one picture, or means of several.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// PSNR in dB and SSIM on luma.
    #[serde(flatten)]
    pub score: Score,
    /// Mean squared error of red, green and blue, where white is 255.
    pub mse: f64,
    /// PSNR in dB of red, green and blue inside the mask, where there is one.
    pub inside: Option<f64>,
    /// Distance of features, where a network for them was given; less is better.
    pub distance: Option<f64>,
}

impl Figures {
    /// By what a model is better; more is better.
    pub(super) fn by(&self, measure: Measure) -> f64 {
        match (measure, self.distance) {
            (Measure::FeatureDistance, Some(distance)) => -distance,
            _ => self.score.psnr,
        }
    }

    /// The means; `None` of nothing.
    pub(super) fn mean(all: &[Self]) -> Option<Self> {
        let scores: Vec<Score> = all.iter().map(|figures| figures.score).collect();
        let mean = |values: Vec<f64>| {
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        Some(Self {
            score: Score::mean(&scores)?,
            mse: mean(all.iter().map(|figures| figures.mse).collect())?,
            inside: mean(all.iter().filter_map(|figures| figures.inside).collect()),
            distance: mean(all.iter().filter_map(|figures| figures.distance).collect()),
        })
    }
}

/// One held-out photo.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// File name.
    pub photo: String,
    /// Figures of the base model.
    pub base: Figures,
    /// Figures of the new one.
    pub tuned: Figures,
}

/// What held-out photos say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// What was compared by.
    pub measure: Measure,
    /// One row a photo.
    pub photos: Vec<Row>,
    /// Means of the base model.
    pub base: Option<Figures>,
    /// Means of the new one.
    pub tuned: Option<Figures>,
    /// Photos on which the new model is better.
    pub better_on: usize,
    /// Mean of the differences in PSNR, in dB.
    pub gain_db: f64,
    /// Better on most photos and on the mean.
    pub is_better: bool,
    /// The same in words.
    pub sentence: String,
}

/// Compares two models on photos that are made worse by `recipe`; with `features`, by them.
///
/// # Errors
/// Those of opening and enlarging.
pub(super) fn compare(
    [base, tuned]: [&Model; 2],
    photos: &[Photo],
    recipe: &Recipe,
    seed: u64,
    device: &Chosen,
    (measure, features): (Measure, Option<&Perceptual>),
) -> Result<Verdict> {
    let mut rows = Vec::new();
    for (photo, pair) in photos.iter().zip(pairs(photos, recipe, base.scale(), seed, u32::MAX)?) {
        rows.push(Row {
            photo: photo.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            base: figures(base, &pair, device, features)?,
            tuned: figures(tuned, &pair, device, features)?,
        });
    }
    Ok(judged(rows, measure))
}

/// What the rows say.
fn judged(rows: Vec<Row>, measure: Measure) -> Verdict {
    let means = |of: fn(&Row) -> Figures| Figures::mean(&rows.iter().map(of).collect::<Vec<_>>());
    let (base, tuned) = (means(|row| row.base), means(|row| row.tuned));
    let gains = |of: &dyn Fn(&Figures) -> f64| -> Vec<f64> {
        rows.iter().map(|row| of(&row.tuned) - of(&row.base)).collect()
    };
    let mean = |gains: &[f64]| gains.iter().sum::<f64>() / gains.len().max(1) as f64;
    let measured = gains(&|figures| figures.by(measure));
    let gain_db = mean(&gains(&|figures| figures.score.psnr));
    let (count, better_on) = (rows.len(), measured.iter().filter(|gain| **gain > 0.0).count());
    let is_better = mean(&measured) > 0.0 && 2 * better_on > count;
    let by = match measure {
        Measure::Psnr => format!("{gain_db:+.2} dB"),
        // A smaller distance is what was gained.
        Measure::FeatureDistance => {
            format!("{:+.4} feature distance, {gain_db:+.2} dB", -mean(&measured))
        }
    };
    let sentence = if is_better {
        format!("better than the base on {better_on} of {count} held-out photos, {by}")
    } else {
        format!("not better: keep the base ({better_on} of {count} held-out photos, {by})")
    };
    Verdict { measure, photos: rows, base, tuned, better_on, gain_db, is_better, sentence }
}

/// An original and what is made of it.
pub(super) struct Pair {
    pub(super) small: RgbImage,
    /// What of `small` was damaged, where the recipe says.
    pub(super) mask: Option<GrayImage>,
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
        let worse = recipe.apply(&large, scale, &mut rng)?;
        Ok(Pair { small: worse.picture, mask: worse.mask, large })
    };
    photos.iter().enumerate().map(pair).collect()
}

/// An answer that equals the original has an infinite PSNR, with which no mean can be made.
const PERFECT: f64 = 100.0;

/// The figures of a model on one pair.
fn figures(
    model: &Model,
    pair: &Pair,
    device: &Chosen,
    features: Option<&Perceptual>,
) -> Result<Figures> {
    let answer = restored_rgb(&pair.small, pair.mask.as_ref(), model, device)?;
    let score = Score::of(&answer, &pair.large, model.scale());
    let everywhere = |_: usize| true;
    let masked = |mask: &GrayImage, i: usize| mask.as_raw()[i] > 0;
    let inside = pair.mask.as_ref().filter(|mask| mask.dimensions() == answer.dimensions());
    let inside = inside.and_then(|mask| squared(&answer, &pair.large, |i| masked(mask, i)));
    Ok(Figures {
        score: Score { psnr: score.psnr.min(PERFECT), ..score },
        mse: squared(&answer, &pair.large, everywhere).unwrap_or(0.0),
        inside: inside.map(|mse| (10.0 * (255.0 * 255.0 / mse).log10()).min(PERFECT)),
        distance: features.map(|by| by.distance(&answer, &pair.large)).transpose()?,
    })
}

/// Mean squared error of the pixels that count; `None` if none does.
fn squared(a: &RgbImage, b: &RgbImage, counts: impl Fn(usize) -> bool) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_usize);
    let pixels = a.pixels().zip(b.pixels()).enumerate().filter(|(index, _)| counts(*index));
    for (_, (a, b)) in pixels {
        sum +=
            a.0.iter().zip(b.0).map(|(a, b)| (f64::from(*a) - f64::from(b)).powi(2)).sum::<f64>();
        count += 3;
    }
    (count > 0).then(|| sum / count as f64)
}

/// Mean figures of a model over pairs.
pub(super) fn mean_figures(
    model: &Model,
    pairs: &[Pair],
    device: &Chosen,
    features: Option<&Perceptual>,
) -> Result<Figures> {
    let all: Result<Vec<Figures>> =
        pairs.iter().map(|pair| figures(model, pair, device, features)).collect();
    // There is always a photo to choose by: `data::split` sees to that.
    let nothing = Score { psnr: 0.0, ssim: 0.0 };
    let nothing = Figures { score: nothing, mse: 0.0, inside: None, distance: None };
    Ok(Figures::mean(&all?).unwrap_or(nothing))
}

/// The smallest photo side that the verdict can score.
pub(super) const fn smallest_side(scale: u32) -> u32 {
    2 * scale + metric::SMALLEST + scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(base: (f64, f64), tuned: (f64, f64)) -> Row {
        let figures = |(psnr, distance)| Figures {
            score: Score { psnr, ssim: 0.9 },
            mse: 10.0,
            inside: None,
            distance: Some(distance),
        };
        Row { photo: "p".to_owned(), base: figures(base), tuned: figures(tuned) }
    }

    #[test]
    fn a_model_is_called_better_only_if_it_is() {
        // By PSNR: better on two of three and on the mean.
        let rows = vec![
            row((30.0, 0.2), (30.5, 0.3)),
            row((30.0, 0.2), (30.4, 0.3)),
            row((30.0, 0.2), (29.9, 0.3)),
        ];
        let verdict = judged(rows.clone(), Measure::Psnr);
        assert!(verdict.is_better && verdict.better_on == 2, "{}", verdict.sentence);
        assert_eq!(verdict.sentence, "better than the base on 2 of 3 held-out photos, +0.27 dB");
        // The same rows by features: worse on all.
        let verdict = judged(rows, Measure::FeatureDistance);
        assert!(!verdict.is_better && verdict.better_on == 0, "{}", verdict.sentence);
        assert!(verdict.sentence.contains("+0.1000 feature distance"), "{}", verdict.sentence);
        // One large gain does not outvote most photos, nor most photos one large loss.
        let one = vec![
            row((30.0, 0.2), (35.0, 0.2)),
            row((30.0, 0.2), (29.9, 0.2)),
            row((30.0, 0.2), (29.9, 0.2)),
        ];
        assert!(!judged(one, Measure::Psnr).is_better);
        let most = vec![
            row((30.0, 0.2), (20.0, 0.2)),
            row((30.0, 0.2), (30.1, 0.2)),
            row((30.0, 0.2), (30.1, 0.2)),
        ];
        assert!(!judged(most, Measure::Psnr).is_better);
    }

    #[test]
    fn errors_are_counted_inside_the_mask_only() {
        let a = RgbImage::from_fn(4, 2, |x, _| image::Rgb([10 * x as u8, 0, 0]));
        let b = RgbImage::new(4, 2);
        let all = squared(&a, &b, |_| true).unwrap();
        assert!((all - (0.0 + 100.0 + 400.0 + 900.0) / 12.0).abs() < 1e-9);
        let last = squared(&a, &b, |i| i % 4 == 3).unwrap();
        assert!((last - 300.0).abs() < 1e-9);
        assert_eq!(squared(&a, &b, |_| false), None);
    }
}
