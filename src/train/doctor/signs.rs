//! What gives away how a photo was treated before it came here.

use image::RgbImage;

/// Brightness of a photo, 0 to 255, row by row.
pub(super) struct Luma {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

/// Segments of a photo whose frequencies are looked at, at most in each direction.
const SEGMENTS: usize = 6000;

/// One part in so many of the segments: those with most detail say how sharp a photo is, since its
/// background may be out of focus; those with least say how noisy it is.
const PARTS: usize = 8;

/// Power at which detail is lost, where a sharp photo has 1.
const LOST: f32 = 0.0025;

/// Power of the rounding of three channels to whole numbers, in a Hann window.
const ROUNDING: f32 = 0.014;

/// Sizes of the pattern that enlarging by whole and half factors leaves behind, in pixels.
const PERIODS: [usize; 3] = [2, 3, 4];

/// A multiple of all periods, and of JPEG's blocks.
const COMMON: usize = 24;

impl Luma {
    /// By BT.601.
    pub(super) fn of(photo: &RgbImage) -> Self {
        let luma = |pixel: &image::Rgb<u8>| {
            let [r, g, b] = pixel.0.map(f32::from);
            0.299 * r + 0.587 * g + 0.114 * b
        };
        Self {
            width: photo.width() as usize,
            height: photo.height() as usize,
            values: photo.pixels().map(luma).collect(),
        }
    }

    fn turned(&self) -> Self {
        let value = |i: usize| self.values[(i % self.height) * self.width + i / self.height];
        Self {
            width: self.height,
            height: self.width,
            values: (0..self.values.len()).map(value).collect(),
        }
    }

    /// Power by frequency of pieces of its rows.
    fn spectra(&self, length: usize) -> Vec<Vec<f32>> {
        let wave = Wave::new(length);
        let across = (self.width - length) / (length / 2) + 1;
        let every = (across * self.height).div_ceil(SEGMENTS).max(1);
        let starts = (0..across * self.height).step_by(every);
        starts
            .map(|i| {
                let start = i / across * self.width + i % across * (length / 2);
                wave.power(&self.values[start..start + length])
            })
            .collect()
    }

    /// The highest frequency at which it has detail, as a share of the highest that its pixels can
    /// hold: near 1 for a sharp photo, below a half for one that is as sharp at half its size.
    /// `None` if it is too small to tell.
    pub(super) fn finest(&self) -> Option<f32> {
        let length = match self.width.min(self.height) {
            128.. => 128,
            64..128 => 64,
            _ => return None,
        };
        let mut spectra = self.spectra(length);
        spectra.extend(self.turned().spectra(length));
        let fine = |spectrum: &Vec<f32>| spectrum[length / 8..].iter().sum::<f32>();
        spectra.sort_by(|a, b| fine(a).total_cmp(&fine(b)));
        let count = (spectra.len() / PARTS).max(1);
        let mean = |part: &[Vec<f32>]| -> Vec<f32> {
            let at = |k: usize| part.iter().map(|s| s[k]).sum::<f32>() / part.len() as f32;
            (0..length / 2).map(at).collect()
        };
        let (flat, detailed) = (mean(&spectra[..count]), mean(&spectra[spectra.len() - count..]));
        let last = &flat[length * 3 / 8..];
        let noise = 2.0 * (last.iter().sum::<f32>() / last.len() as f32).max(ROUNDING);
        // The power of photographs falls with the square of the frequency: levelled, it is even.
        let levelled: Vec<f32> = detailed
            .iter()
            .enumerate()
            .map(|(k, power)| (power - noise).max(0.0) * (k * k) as f32)
            .collect();
        let low = &levelled[length / 32..=length / 16];
        let usual = low.iter().sum::<f32>() / low.len() as f32;
        // A picture of nothing is not out of focus.
        let finest = levelled.iter().rposition(|power| *power > LOST * usual)?;
        Some(2.0 * (finest + 1) as f32 / length as f32)
    }

    /// By how many of 256 levels neighbours differ more across the borders of JPEG's blocks of 8x8
    /// pixels than anywhere else, wherever the blocks begin.
    pub(super) fn blocks(&self) -> f32 {
        let of = |luma: &Self| {
            let mut means = luma.profile(8, alone);
            means.sort_by(f64::total_cmp);
            // Enlarging leaves patterns too, but these have more than one peak in eight.
            (means[7] - means[6]) as f32
        };
        of(self).min(of(&self.turned()))
    }

    /// How much more pixels at some places, at regular distances, differ from their neighbours than
    /// those at others: about 1, unless they were put in between by enlarging (A. Gallagher,
    /// "Detection of linear and cubic interpolation in JPEG compressed images", 2005).
    pub(super) fn interpolation(&self) -> f32 {
        let of = |luma: &Self| {
            // Exact doubling shows in the one, all else in the other.
            let profiles = [luma.profile(COMMON, alone), luma.profile(COMMON, bend)];
            let each = profiles.iter().flat_map(|means| PERIODS.map(|of| unevenness(means, of)));
            each.fold(1.0, f32::max)
        };
        of(self).min(of(&self.turned()))
    }

    /// Means of what four neighbours in a row give, by place modulo `period`. One strong edge
    /// counts little: what is looked for is everywhere.
    fn profile(&self, period: usize, of: impl Fn([f32; 4]) -> f32) -> Vec<f64> {
        let mut sums = vec![0.0; period];
        // Each place as often as any other.
        let often = self.width.saturating_sub(3) / period;
        for row in self.values.chunks_exact(self.width) {
            for (x, four) in row.windows(4).take(often * period).enumerate() {
                let value = of([four[0], four[1], four[2], four[3]]);
                sums[x % period] += f64::from(value.clamp(0.0, 16.0));
            }
        }
        let count = (often * self.height).max(1) as f64;
        sums.into_iter().map(|sum| sum / count).collect()
    }
}

/// What the middle two of four pixels differ more than those on both sides: an edge of one pixel.
fn alone([a, b, c, d]: [f32; 4]) -> f32 {
    (c - b).abs() - 0.5 * ((b - a).abs() + (d - c).abs())
}

/// What a pixel differs from the mean of its neighbours.
fn bend([_, a, b, c]: [f32; 4]) -> f32 {
    (2.0 * b - a - c).abs()
}

/// The largest mean over the smallest, by place modulo `period`.
fn unevenness(means: &[f64], period: usize) -> f32 {
    let phases = (0..period).map(|phase| {
        let mut all: Vec<f64> = means.iter().skip(phase).step_by(period).copied().collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 4] // Borders of JPEG's blocks are above.
    });
    let (low, high) = phases.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), mean| {
        (low.min(mean), high.max(mean))
    });
    if high > 0.0 { (high / low.max(high * 1e-3)) as f32 } else { 1.0 }
}

/// Turns pieces of rows into power by frequency.
struct Wave {
    length: usize,
    /// The Hann window.
    window: Vec<f32>,
    cosine: Vec<f32>,
    sine: Vec<f32>,
}

impl Wave {
    fn new(length: usize) -> Self {
        let turn = std::f32::consts::TAU / length as f32;
        let all = |of: fn(f32) -> f32| (0..length).map(|i| of(i as f32 * turn)).collect::<Vec<_>>();
        Self {
            length,
            window: all(|angle| 0.5 - 0.5 * angle.cos()),
            cosine: all(f32::cos),
            sine: all(f32::sin),
        }
    }

    fn power(&self, values: &[f32]) -> Vec<f32> {
        let mean = values.iter().sum::<f32>() / self.length as f32;
        let windowed: Vec<f32> = values
            .iter()
            .zip(&self.window)
            .map(|(value, window)| (value - mean) * window)
            .collect();
        let at = |k: usize| {
            let (mut real, mut imaginary) = (0.0, 0.0);
            for (i, value) in windowed.iter().enumerate() {
                let angle = i * k % self.length;
                real += value * self.cosine[angle];
                imaginary += value * self.sine[angle];
            }
            (real * real + imaginary * imaginary) / self.length as f32
        };
        (0..self.length / 2).map(at).collect()
    }
}

/// Whether a photo has no colour worth the name.
pub(super) fn is_grey(photo: &RgbImage) -> bool {
    /// Colours of scanners and of JPEG stay below.
    const FAINT: u8 = 12;
    let coloured = photo.pixels().filter(|pixel| {
        let [r, g, b] = pixel.0;
        r.max(g).max(b) - r.min(g).min(b) > FAINT
    });
    coloured.count() * 200 < photo.pixels().len()
}

/// The quality that a JPEG file was saved with as libjpeg counts, 1 to 100, from its table for
/// brightness; `None` for other files.
pub(super) fn jpeg_quality(file: &[u8]) -> Option<u32> {
    /// Sum of the table at quality 50: ITU-T T.81, table K.1.
    const SUM_AT_50: u32 = 3688;
    let mut rest = file.strip_prefix(&[0xFF, 0xD8])?;
    loop {
        let [0xFF, marker, high, low, ..] = *rest else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (mut segment, after) = (rest.get(4..2 + length)?, rest.get(2 + length..)?);
        while marker == 0xDB && !segment.is_empty() {
            let (wide, number) = (segment[0] >> 4 == 1, segment[0] & 15);
            let table = segment.get(1..if wide { 129 } else { 65 })?;
            if number == 0 {
                let pairs = table.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1]));
                let sum: u32 =
                    if wide { pairs.sum() } else { table.iter().map(|v| u32::from(*v)).sum() };
                let percent = 100.0 * sum as f32 / SUM_AT_50 as f32;
                let quality =
                    if percent > 100.0 { 5000.0 / percent } else { (200.0 - percent) / 2.0 };
                return Some(quality.round().clamp(1.0, 100.0) as u32);
            }
            segment = &segment[table.len() + 1..];
        }
        if marker == 0xDA {
            return None; // The picture begins, and had no such table.
        }
        rest = after;
    }
}
