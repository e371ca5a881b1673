//! How close a picture is to its original: PSNR and SSIM as papers report them.
//!
//! Both are computed on luma (ITU-R BT.601, 16 to 235, kept in floating point)
//! of 8-bit pictures, with `shave` pixels cut from every border.

use image::RgbImage;

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
}
