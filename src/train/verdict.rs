//! Whether training has made a model better: the base and the new one on photos that neither the
//! steps nor the choice of the best have seen.

use fastrand::Rng;
use image::{GrayImage, RgbImage, imageops};
use serde::{Deserialize, Serialize};

use super::{data::Photo, degrade::Recipe};
use crate::{
    device::Chosen,
    error::Result,
    metric::{self, Figures, Score},
    model::{Model, features::Perceptual},
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
    /// PSNR of red, green and blue: for models that learnt to colour.
    Colours,
}

impl Measure {
    /// The PSNR that goes with it: of luma, unless colours are all that is to be learnt.
    pub(super) fn psnr(self, figures: &Figures) -> f64 {
        match self {
            Self::Colours => figures.psnr_of_colours(),
            Self::Psnr | Self::FeatureDistance => figures.score.psnr,
        }
    }
}

/// By what a model is better; more is better.
pub(super) fn merit(psnr: f64, distance: Option<f64>, measure: Measure) -> f64 {
    match (measure, distance) {
        (Measure::FeatureDistance, Some(distance)) => -distance,
        _ => psnr,
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

/// Compares two models on photos that are made worse by `recipe`; with `features`, by them. `each`
/// is asked before each photo and can end it.
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
    mut each: impl FnMut() -> Result<()>,
) -> Result<Verdict> {
    let mut rows = Vec::new();
    for (photo, pair) in photos.iter().zip(pairs(photos, recipe, base.scale(), seed, Piece::Whole)?)
    {
        each()?;
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
    let measured = gains(&|figures| merit(measure.psnr(figures), figures.distance, measure));
    let gain_db = mean(&gains(&|figures| measure.psnr(figures)));
    let (count, better_on) = (rows.len(), measured.iter().filter(|gain| **gain > 0.0).count());
    let is_better = mean(&measured) > 0.0 && 2 * better_on > count;
    let by = match measure {
        Measure::Psnr | Measure::Colours => format!("{gain_db:+.2} dB"),
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

/// Which piece of a photo is looked at; its sides are multiples of the scale.
#[derive(Clone, Copy)]
pub(super) enum Piece {
    /// All of it.
    Whole,
    /// Its middle, at most this wide and high.
    Middle(u32),
    /// Where most happens, at most this wide and high.
    Detailed(u32),
}

impl Piece {
    fn of(self, photo: &RgbImage, scale: u32) -> RgbImage {
        let side = match self {
            Self::Whole => u32::MAX,
            Self::Middle(side) | Self::Detailed(side) => side,
        };
        let kept = |length: u32| length.min(side) / scale * scale;
        let (width, height) = (kept(photo.width()), kept(photo.height()));
        let (x, y) = match self {
            Self::Detailed(_) => most_detailed(photo, width, height),
            _ => ((photo.width() - width) / 2, (photo.height() - height) / 2),
        };
        imageops::crop_imm(photo, x, y, width, height).to_image()
    }
}

/// Where neighbours differ most, among places a quarter of the piece apart.
fn most_detailed(photo: &RgbImage, width: u32, height: u32) -> (u32, u32) {
    let green = |x: u32, y: u32| i64::from(photo.get_pixel(x, y).0[1]);
    let detail = |x: u32, y: u32| {
        let inside =
            (y..y + height - 1).step_by(2).flat_map(|y| (x..x + width - 1).map(move |x| (x, y)));
        let each = inside.map(|(x, y)| {
            let here = green(x, y);
            (green(x + 1, y) - here).abs() + (green(x, y + 1) - here).abs()
        });
        each.sum::<i64>()
    };
    let places = |length: u32, kept: u32| (0..=length - kept).step_by((kept as usize / 4).max(1));
    let all = places(photo.height(), height)
        .flat_map(|y| places(photo.width(), width).map(move |x| (x, y)));
    all.max_by_key(|(x, y)| detail(*x, *y)).unwrap_or((0, 0))
}

/// Pairs of pieces of photos.
pub(super) fn pairs(
    photos: &[Photo],
    recipe: &Recipe,
    scale: u32,
    seed: u64,
    piece: Piece,
) -> Result<Vec<Pair>> {
    let pair = |(index, photo): (usize, &Photo)| {
        let large = piece.of(&photo.pixels()?, scale);
        let mut rng = Rng::with_seed(seed.wrapping_add(index as u64));
        let worse = recipe.apply(&large, scale, &mut rng)?;
        Ok(Pair { small: worse.picture, mask: worse.mask, large })
    };
    photos.iter().enumerate().map(pair).collect()
}

/// The figures of a model on one pair.
fn figures(
    model: &Model,
    pair: &Pair,
    device: &Chosen,
    features: Option<&Perceptual>,
) -> Result<Figures> {
    let mask = pair.mask.as_ref();
    let answer = restored_rgb(&pair.small, mask, model.scale(), model, device)?;
    let distance = features.map(|by| by.distance(&answer, &pair.large)).transpose()?;
    Ok(Figures { distance, ..Figures::of(&answer, &pair.large, mask, model.scale()) })
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
    let nothing =
        Figures { score: nothing, mse: 0.0, colourfulness: 0.0, inside: None, distance: None };
    Ok(Figures::mean(&all?).unwrap_or(nothing))
}

/// The smallest photo side that the verdict can score.
pub(super) const fn smallest_side(scale: u32) -> u32 {
    2 * metric::shaved(scale) + metric::SMALLEST + scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(base: (f64, f64), tuned: (f64, f64)) -> Row {
        let figures = |(psnr, distance)| Figures {
            score: Score { psnr, ssim: 0.9 },
            mse: 10.0,
            colourfulness: 30.0,
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
    fn the_detailed_piece_is_where_something_happens() {
        let photo = RgbImage::from_fn(100, 80, |x, y| {
            let busy = (60..80).contains(&x) && (10..30).contains(&y);
            image::Rgb([if busy { (x * 97 + y * 31) as u8 } else { 90 }; 3])
        });
        let piece = Piece::Detailed(20).of(&photo, 4);
        assert_eq!(piece.dimensions(), (20, 20));
        assert!(piece == imageops::crop_imm(&photo, 60, 10, 20, 20).to_image());
        assert_eq!(Piece::Detailed(500).of(&photo, 3).dimensions(), (99, 78));
        assert_eq!(Piece::Middle(50).of(&photo, 4).dimensions(), (48, 48));
    }
}
