//! Bicubic resampling with antialiasing, as the super-resolution papers use it.
//!
//! The kernel is Keys' cubic with a = -0.5 (R. Keys, "Cubic convolution
//! interpolation for digital image processing", 1981), widened by the factor
//! when shrinking: what MATLAB's `imresize(.., 'bicubic')` does. Weights are
//! normalised, and taps outside the picture take the edge pixel.
//!
//! Two faces: [`shrink_exact`] makes the low-resolution pictures of a benchmark
//! to the bit (vertical pass first, rounding to 8 bit after each pass), and
//! [`Resampler`] works in floating point on any rectangle of a larger picture,
//! so that tiles can be resampled apart and fit together.

use image::RgbImage;
use rayon::prelude::*;

use crate::rect::Rect;

/// The source positions and weights that make one output position.
#[derive(Clone, Debug)]
struct Tap {
    /// First source position; may lie outside, see [`clamped`].
    first: i64,
    /// Weights of `first`, `first + 1`, ...; they sum to 1.
    weights: Vec<f64>,
}

/// Keys' cubic with a = -0.5.
pub(crate) fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x <= 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x <= 2.0 {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}

/// One [`Tap`] per output position of an axis.
fn taps(input: u32, output: u32) -> Vec<Tap> {
    let scale = f64::from(output) / f64::from(input);
    let shrink = scale.min(1.0);
    let width = 4.0 / shrink;
    (0..output)
        .map(|out| {
            let centre = (f64::from(out) + 0.5) / scale - 0.5;
            let first = (centre - width / 2.0).ceil() as i64;
            let last = (centre + width / 2.0).floor() as i64;
            let mut weights: Vec<f64> =
                (first..=last).map(|tap| cubic((centre - tap as f64) * shrink)).collect();
            let sum: f64 = weights.iter().sum();
            for weight in &mut weights {
                *weight /= sum;
            }
            Tap { first, weights }
        })
        .collect()
}

/// A position beyond the picture reads its edge.
fn clamped(position: i64, length: u32) -> usize {
    position.clamp(0, i64::from(length) - 1) as usize
}

/// Shrinks by an integer `factor`, exact to the bit with the published
/// low-resolution pictures of Set5, Set14, BSD100 and Urban100.
///
/// The size must be a multiple of `factor`.
#[must_use]
pub fn shrink_exact(picture: &RgbImage, factor: u32) -> RgbImage {
    resize_exact(picture, picture.width() / factor, picture.height() / factor)
}

/// Resizes with rounding to 8 bit after each pass, vertical pass first.
#[must_use]
pub fn resize_exact(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (in_width, in_height) = picture.dimensions();
    let round = |sum: f64| (sum + 0.5).floor().clamp(0.0, 255.0) as u8;
    let source = picture.as_raw();
    let stride = in_width as usize * 3;

    let mut tall = vec![0_u8; stride * height as usize];
    tall.par_chunks_mut(stride).zip(taps(in_height, height)).for_each(|(row, tap)| {
        for (column, value) in row.iter_mut().enumerate() {
            let at = |y: i64| f64::from(source[clamped(y, in_height) * stride + column]);
            *value = round((tap.first..).zip(&tap.weights).map(|(y, w)| w * at(y)).sum());
        }
    });

    let columns = taps(in_width, width);
    let mut result = RgbImage::new(width, height);
    result.par_chunks_mut(width as usize * 3).zip(tall.par_chunks(stride)).for_each(
        |(row, source)| {
            for (pixel, tap) in row.chunks_exact_mut(3).zip(&columns) {
                for (channel, value) in pixel.iter_mut().enumerate() {
                    let at = |x: i64| f64::from(source[clamped(x, in_width) * 3 + channel]);
                    *value = round((tap.first..).zip(&tap.weights).map(|(x, w)| w * at(x)).sum());
                }
            }
        },
    );
    result
}

/// Resizes planes of one fixed size to another, a rectangle at a time.
#[derive(Clone, Debug)]
pub struct Resampler {
    columns: Vec<Narrow>,
    rows: Vec<Narrow>,
    input: (u32, u32),
}

/// A [`Tap`] with weights of the values' own precision.
#[derive(Clone, Debug)]
struct Narrow {
    first: i64,
    weights: Vec<f32>,
}

fn narrow(taps: &[Tap]) -> Vec<Narrow> {
    let weights = |tap: &Tap| tap.weights.iter().map(|weight| *weight as f32).collect();
    taps.iter().map(|tap| Narrow { first: tap.first, weights: weights(tap) }).collect()
}

impl Resampler {
    /// From `input` to `output`, both width and height in pixels.
    #[must_use]
    pub fn new(input: (u32, u32), output: (u32, u32)) -> Self {
        let (columns, rows) = (taps(input.0, output.0), taps(input.1, output.1));
        Self { columns: narrow(&columns), rows: narrow(&rows), input }
    }

    /// How many source pixels the kernel reaches beyond the nearest one.
    #[must_use]
    pub fn reach(input: u32, output: u32) -> u32 {
        let shrink = (f64::from(output) / f64::from(input)).min(1.0);
        (2.0 / shrink).ceil() as u32
    }

    /// Computes `area` of the output from one plane.
    ///
    /// `plane` holds the source pixels of `window`, row by row; it must cover
    /// what the kernel reaches around `area`, except beyond the picture.
    /// Values outside `window` that the kernel asks for are read from its edge.
    #[must_use]
    pub fn area(&self, plane: &[f32], window: Rect, area: Rect) -> Vec<f32> {
        let (stride, width) = (window.width as usize, area.width as usize);
        let local = |position: i64, length: u32, start: u32, count: u32| {
            let inside = clamped(position, length) as i64 - i64::from(start);
            inside.clamp(0, i64::from(count) - 1) as usize
        };
        let columns = &self.columns[area.x as usize..][..width];
        let mut result = vec![0.0; width * area.height as usize];
        let rows = result.par_chunks_exact_mut(width.max(1)).zip(&self.rows[area.y as usize..]);
        // Vertically first, over the columns that the horizontal pass reads.
        rows.for_each_init(
            || vec![0.0_f32; stride],
            |line, (row, tap)| {
                line.fill(0.0);
                for (y, weight) in (tap.first..).zip(&tap.weights) {
                    let y = local(y, self.input.1, window.y, window.height);
                    for (sum, value) in line.iter_mut().zip(&plane[y * stride..][..stride]) {
                        *sum += weight * value;
                    }
                }
                for (value, tap) in row.iter_mut().zip(columns) {
                    let start = tap.first - i64::from(window.x);
                    let count = tap.weights.len();
                    // Most columns read a run of pixels; only those at an edge repeat it.
                    *value = if start >= 0 && start as usize + count <= stride {
                        let run = &line[start as usize..][..count];
                        run.iter().zip(&tap.weights).map(|(value, weight)| weight * value).sum()
                    } else {
                        let at = |x| line[local(x, self.input.0, window.x, window.width)];
                        (tap.first..).zip(&tap.weights).map(|(x, weight)| weight * at(x)).sum()
                    };
                }
            },
        );
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_and_a_constant_stays_constant() {
        for (input, output) in [(16, 4), (4, 16), (17, 5), (1, 4), (7, 7)] {
            for tap in taps(input, output) {
                assert!((tap.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            }
        }
        let grey = RgbImage::from_pixel(32, 20, image::Rgb([77, 130, 255]));
        let small = shrink_exact(&grey, 4);
        assert_eq!(small.dimensions(), (8, 5));
        assert!(small.pixels().all(|p| p.0 == [77, 130, 255]));
    }

    #[test]
    fn the_kernel_is_keys_cubic() {
        assert_eq!(cubic(0.0), 1.0);
        assert_eq!(cubic(1.0), 0.0);
        assert_eq!(cubic(2.0), 0.0);
        assert!((cubic(0.5) - 0.5625).abs() < 1e-12);
        assert!((cubic(1.5) + 0.0625).abs() < 1e-12);
    }

    #[test]
    fn a_rectangle_of_the_output_equals_the_whole_output() {
        let (width, height) = (23_u32, 19_u32);
        let plane: Vec<f32> =
            (0..width * height).map(|i| (i * 7919 % 251) as f32 / 251.0).collect();
        let whole = Rect::of_size(width, height);
        for output in [(92, 76), (46, 38), (11, 9)] {
            let resampler = Resampler::new((width, height), output);
            let all = resampler.area(&plane, whole, Rect::of_size(output.0, output.1));
            let part = Rect {
                x: output.0 / 3,
                y: output.1 / 4,
                width: output.0 / 2,
                height: output.1 / 2,
            };
            let cut = resampler.area(&plane, whole, part);
            for y in 0..part.height {
                for x in 0..part.width {
                    let expected = all[((part.y + y) * output.0 + part.x + x) as usize];
                    assert_eq!(cut[(y * part.width + x) as usize], expected);
                }
            }
        }
    }
}
