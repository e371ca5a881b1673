//! How close a picture is to its original: PSNR and SSIM as papers report them.
//!
//! Both are computed on luma (ITU-R BT.601, 16 to 235, kept in floating point)
//! of 8-bit pictures, with `shave` pixels cut from every border.

use image::{GrayImage, RgbImage};

pub mod colour;

/// PSNR in decibels and SSIM of one picture, or means of several.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Score {
    /// Peak signal-to-noise ratio in dB; infinite for equal pictures.
    pub psnr: f64,
    /// Structural similarity, at most 1.
    pub ssim: f64,
}

impl Score {
    /// Scores `result` against `original`; both must have one size, and of it at least
    /// [`SMALLEST`] pixels left after shaving.
    ///
    /// `shave` border pixels do not count: the scale, in super-resolution.
    #[must_use]
    pub fn of(result: &RgbImage, original: &RgbImage, shave: u32) -> Self {
        assert_eq!(result.dimensions(), original.dimensions(), "a picture of another size");
        let (result, original) = (Luma::of(result, shave), Luma::of(original, shave));
        Self { psnr: psnr(&result, &original), ssim: ssim(&result, &original) }
    }

    /// The arithmetic mean of each figure; `None` without scores.
    #[must_use]
    pub fn mean(scores: &[Self]) -> Option<Self> {
        let count = scores.len() as f64;
        (!scores.is_empty()).then(|| Self {
            psnr: scores.iter().map(|score| score.psnr).sum::<f64>() / count,
            ssim: scores.iter().map(|score| score.ssim).sum::<f64>() / count,
        })
    }
}

/// All that is measured on one picture, or means of several.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Figures {
    /// On luma.
    #[serde(flatten)]
    pub score: Score,
    /// Mean squared error of red, green and blue, where white is 255.
    pub mse: f64,
    /// Of the result; see [`colourfulness`].
    pub colourfulness: f64,
    /// PSNR in dB of red, green and blue inside the mask, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside: Option<f64>,
    /// Distance of features, where a network for them was given; less is better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<f64>,
}

/// An answer that equals the original has an infinite PSNR, with which no mean can be made.
const PERFECT: f64 = 100.0;

impl Figures {
    /// Of pictures as for [`Score::of`]. Papers shave as many pixels as the picture was enlarged
    /// times, and none where it was not. The `mask` has the size before the enlargement; one of another size
    /// does not count.
    #[must_use]
    pub fn of(
        result: &RgbImage,
        original: &RgbImage,
        mask: Option<&GrayImage>,
        scale: u32,
    ) -> Self {
        let score = Score::of(result, original, shaved(scale));
        let (width, height) = result.dimensions();
        let fits =
            |mask: &&GrayImage| (mask.width() * scale, mask.height() * scale) == (width, height);
        let inside = mask.filter(fits).and_then(|mask| {
            squared(result, original, |i| {
                let (x, y) = (i as u32 % width, i as u32 / width);
                mask.get_pixel(x / scale, y / scale).0[0] > 0
            })
        });
        Self {
            score: Score { psnr: score.psnr.min(PERFECT), ..score },
            mse: squared(result, original, |_| true).unwrap_or(0.0),
            colourfulness: colourfulness(result),
            inside: inside.map(|mse| (10.0 * (255.0 * 255.0 / mse).log10()).min(PERFECT)),
            distance: None,
        }
    }

    /// PSNR in dB of red, green and blue, by their [`Self::mse`].
    #[must_use]
    pub fn psnr_of_colours(&self) -> f64 {
        (10.0 * (255.0 * 255.0 / self.mse).log10()).min(PERFECT)
    }

    /// The means; `None` of nothing.
    #[must_use]
    pub fn mean(all: &[Self]) -> Option<Self> {
        let scores: Vec<Score> = all.iter().map(|figures| figures.score).collect();
        let mean = |values: Vec<f64>| {
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        Some(Self {
            score: Score::mean(&scores)?,
            mse: mean(all.iter().map(|figures| figures.mse).collect())?,
            colourfulness: mean(all.iter().map(|figures| figures.colourfulness).collect())?,
            inside: mean(all.iter().filter_map(|figures| figures.inside).collect()),
            distance: mean(all.iter().filter_map(|figures| figures.distance).collect()),
        })
    }
}

/// Border pixels that do not count for pictures enlarged `scale` times.
#[must_use]
pub const fn shaved(scale: u32) -> u32 {
    if scale == 1 { 0 } else { scale }
}

/// How colourful a picture is: 0 for greys, 15 for "slightly" and 59 for "quite" colourful in the
/// eyes of people (D. Hasler and S. Süsstrunk, "Measuring colourfulness in natural images", 2003,
/// equation 3).
#[must_use]
pub fn colourfulness(picture: &RgbImage) -> f64 {
    let opponents = picture.pixels().map(|pixel| {
        let [red, green, blue] = pixel.0.map(f64::from);
        [red - green, f64::midpoint(red, green) - blue]
    });
    let (mut sums, mut squares) = ([0.0; 2], [0.0; 2]);
    for values in opponents {
        for ((sum, square), value) in sums.iter_mut().zip(&mut squares).zip(values) {
            *sum += value;
            *square += value * value;
        }
    }
    let count = f64::from(picture.width()) * f64::from(picture.height());
    let means = sums.map(|sum| sum / count.max(1.0));
    let spread: f64 = squares.iter().zip(means).map(|(sum, mean)| sum / count - mean * mean).sum();
    spread.max(0.0).sqrt() + 0.3 * means[0].hypot(means[1])
}

/// Mean squared error of the pixels that count, by their place in reading order; `None` if none
/// does.
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

/// One plane of luma, 16 to 235.
struct Luma {
    width: usize,
    height: usize,
    values: Vec<f64>,
}

impl Luma {
    fn of(picture: &RgbImage, shave: u32) -> Self {
        let (width, height) = picture.dimensions();
        let (inner_width, inner_height) = (width - 2 * shave, height - 2 * shave);
        let mut values = Vec::with_capacity((inner_width * inner_height) as usize);
        for y in shave..height - shave {
            for x in shave..width - shave {
                let [r, g, b] = picture.get_pixel(x, y).0.map(f64::from);
                values.push(16.0 + (65.481 * r + 128.553 * g + 24.966 * b) / 255.0);
            }
        }
        Self { width: inner_width as usize, height: inner_height as usize, values }
    }
}

fn psnr(a: &Luma, b: &Luma) -> f64 {
    let error: f64 = a.values.iter().zip(&b.values).map(|(a, b)| (a - b).powi(2)).sum();
    10.0 * (255.0_f64.powi(2) * a.values.len() as f64 / error).log10()
}

/// Side of the Gaussian window of SSIM.
const WINDOW: usize = 11;

/// The smallest side that can be scored, after shaving.
pub const SMALLEST: u32 = WINDOW as u32;

/// Z. Wang et al., "Image quality assessment: from error visibility to
/// structural similarity", 2004: 11x11 Gaussian of sigma 1.5, K1 = 0.01,
/// K2 = 0.03, only windows that lie inside the picture.
fn ssim(a: &Luma, b: &Luma) -> f64 {
    let mut kernel = [0.0; WINDOW];
    for (i, weight) in kernel.iter_mut().enumerate() {
        *weight = (-(i as f64 - 5.0).powi(2) / (2.0 * 1.5 * 1.5)).exp();
    }
    let sum: f64 = kernel.iter().sum();
    kernel.iter_mut().for_each(|weight| *weight /= sum);

    let product = |f: &dyn Fn(f64, f64) -> f64| {
        let plane: Vec<f64> = a.values.iter().zip(&b.values).map(|(&a, &b)| f(a, b)).collect();
        blur(&plane, a.width, a.height, &kernel)
    };
    let mean_a = product(&|a, _| a);
    let mean_b = product(&|_, b| b);
    let square_a = product(&|a, _| a * a);
    let square_b = product(&|_, b| b * b);
    let cross = product(&|a, b| a * b);

    let (c1, c2) = ((0.01_f64 * 255.0).powi(2), (0.03_f64 * 255.0).powi(2));
    let mut total = 0.0;
    for i in 0..mean_a.len() {
        let (ma, mb) = (mean_a[i], mean_b[i]);
        let (va, vb) = (square_a[i] - ma * ma, square_b[i] - mb * mb);
        let covariance = cross[i] - ma * mb;
        total += (2.0 * ma * mb + c1) * (2.0 * covariance + c2)
            / ((ma * ma + mb * mb + c1) * (va + vb + c2));
    }
    total / mean_a.len() as f64
}

/// Separable filter, only where the kernel lies inside.
fn blur(plane: &[f64], width: usize, height: usize, kernel: &[f64; WINDOW]) -> Vec<f64> {
    let (out_width, out_height) = (width + 1 - WINDOW, height + 1 - WINDOW);
    let mut wide = Vec::with_capacity(out_width * height);
    for row in plane.chunks_exact(width) {
        for window in row.windows(WINDOW) {
            wide.push(window.iter().zip(kernel).map(|(v, k)| v * k).sum::<f64>());
        }
    }
    let mut result = vec![0.0; out_width * out_height];
    for (y, row) in result.chunks_exact_mut(out_width).enumerate() {
        for (i, weight) in kernel.iter().enumerate() {
            let source = &wide[(y + i) * out_width..][..out_width];
            for (sum, value) in row.iter_mut().zip(source) {
                *sum += weight * value;
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u32) -> RgbImage {
        RgbImage::from_fn(40, 30, |x, y| {
            let v = (x * 31 + y * 17 + seed * 7)
                .wrapping_mul(2_654_435_761_u32.rotate_left(x % 13))
                >> 24;
            image::Rgb([v as u8; 3])
        })
    }

    #[test]
    fn equal_pictures_score_infinity_and_one() {
        let score = Score::of(&noise(1), &noise(1), 4);
        assert!(score.psnr.is_infinite());
        assert!((score.ssim - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_constant_offset_gives_the_psnr_of_its_square() {
        let a = RgbImage::from_pixel(32, 32, image::Rgb([100; 3]));
        let b = RgbImage::from_pixel(32, 32, image::Rgb([110; 3]));
        // 10 levels of RGB are 10 * 219 / 255 levels of luma.
        let expected = 20.0 * (255.0_f64 / (10.0 * 219.0 / 255.0)).log10();
        assert!((Score::of(&a, &b, 4).psnr - expected).abs() < 1e-9);
        // Flat windows leave only the luminance term of SSIM.
        let (x, y) = (16.0 + 100.0 * 219.0 / 255.0, 16.0 + 110.0 * 219.0 / 255.0);
        let c1 = (0.01_f64 * 255.0).powi(2);
        let ssim = (2.0 * x * y + c1) / (x * x + y * y + c1);
        assert!((Score::of(&a, &b, 4).ssim - ssim).abs() < 1e-9);
    }

    #[test]
    fn the_border_is_shaved() {
        let a = noise(1);
        let mut b = a.clone();
        for x in 0..b.width() {
            b.put_pixel(x, 3, image::Rgb([0; 3]));
        }
        assert!(Score::of(&b, &a, 4).psnr.is_infinite());
        assert!(Score::of(&b, &a, 3).psnr.is_finite());
    }

    #[test]
    fn greys_have_no_colour_and_flags_have_much() {
        assert!(colourfulness(&noise(1)) < 1e-9);
        // One colour: no spread, 0.3 times the length of its opponents.
        let plain = RgbImage::from_pixel(4, 4, image::Rgb([100, 60, 20]));
        assert!((colourfulness(&plain) - 0.3 * 40.0_f64.hypot(60.0)).abs() < 1e-9);
        let flag =
            RgbImage::from_fn(4, 4, |x, _| image::Rgb([[255, 0, 0], [0, 0, 255]][x as usize % 2]));
        assert!(colourfulness(&flag) > 100.0);
    }

    #[test]
    fn errors_are_counted_inside_the_mask_only() {
        let a = RgbImage::from_fn(16, 12, |x, _| image::Rgb([10 * (x % 4) as u8, 0, 0]));
        let b = RgbImage::new(16, 12);
        let mask = GrayImage::from_fn(16, 12, |x, _| image::Luma([u8::from(x % 4 == 3)]));
        let figures = Figures::of(&a, &b, Some(&mask), 1);
        assert!((figures.mse - (100.0 + 400.0 + 900.0) / 12.0).abs() < 1e-9);
        let expected = 10.0 * (255.0_f64.powi(2) / 300.0).log10();
        assert!((figures.inside.unwrap() - expected).abs() < 1e-9);
        assert_eq!(Figures::of(&a, &b, Some(&GrayImage::new(16, 12)), 1).inside, None);
        let equal = Figures::of(&a, &a, Some(&mask), 1);
        assert_eq!((equal.mse, equal.inside, equal.score.psnr), (0.0, Some(100.0), 100.0));
    }
}
