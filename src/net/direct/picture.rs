//! From the planes of a picture to maps and back, enlarged where a network adds to its input.

use std::ops::Range;

use super::map::Map;
use crate::net::blocks::Interpolation;

/// The planes of a picture, `[channel][y][x]`.
#[derive(Clone, Copy)]
pub(super) struct Picture<'a> {
    pub(super) planes: &'a [f32],
    pub(super) height: usize,
    pub(super) width: usize,
}

/// Enlarges rows, with half-pixel centres and clamped edges.
pub(super) struct Sampler {
    scale: usize,
    radius: usize,
    /// For each position within an enlarged pixel: weights of the pixels around it, from `radius`
    /// before to `radius` after.
    taps: Vec<f32>,
}

impl Sampler {
    pub(super) fn new(scale: usize, interpolation: Interpolation) -> Self {
        let radius = interpolation.radius();
        let taps = |phase: usize| {
            let offset = (phase as f32 + 0.5) / scale as f32 - 0.5;
            let weight = move |k| interpolation.weight(k as f32 - radius as f32 - offset);
            (0..=2 * radius).map(weight)
        };
        Self { scale, radius, taps: (0..scale).flat_map(taps).collect() }
    }

    /// One enlarged row of one channel, from its left on. Beyond the picture it goes on with the
    /// last row and column.
    fn row(
        &self,
        from: Picture<'_>,
        [channel, y]: [usize; 2],
        mixed: &mut Vec<f32>,
        row: &mut [f32],
    ) {
        let (scale, radius) = (self.scale, self.radius);
        let side = 2 * radius + 1;
        let plane = &from.planes[channel * from.height * from.width..];
        mixed.clear();
        mixed.resize(row.len().div_ceil(scale).max(from.width) + 2 * radius, 0.0);
        for (k, weight) in self.taps[y % scale * side..][..side].iter().enumerate() {
            let line = (y / scale + k).saturating_sub(radius).min(from.height - 1) * from.width;
            for (mixed, value) in mixed[radius..].iter_mut().zip(&plane[line..][..from.width]) {
                *mixed += weight * value;
            }
        }
        let (first, last) = (mixed[radius], mixed[radius + from.width - 1]);
        mixed[..radius].fill(first);
        mixed[radius + from.width..].fill(last);
        match radius {
            0 => self.along::<1>(mixed, row),
            1 => self.along::<3>(mixed, row),
            _ => self.along::<5>(mixed, row),
        }
    }

    /// Enlarges a row that goes on for `radius` pixels at both ends.
    fn along<const SIDE: usize>(&self, from: &[f32], row: &mut [f32]) {
        assert!(SIDE == 2 * self.radius + 1);
        let taps = self.taps.as_chunks::<SIDE>().0;
        for (around, pixels) in from.array_windows::<SIDE>().zip(row.chunks_mut(self.scale)) {
            for (pixel, taps) in pixels.iter_mut().zip(taps) {
                *pixel = (0..SIDE).map(|k| taps[k] * around[k]).sum();
            }
        }
    }

    /// Some rows of a map: the enlarged picture, each channel times a factor and plus an addend,
    /// from a channel on.
    ///
    /// # Safety
    /// Nobody else uses these rows of these channels.
    pub(super) unsafe fn fill(
        &self,
        from: Picture<'_>,
        (factor, addend): (&[f32], &[f32]),
        to: &Map,
        first: usize,
        rows: Range<usize>,
    ) {
        assert!(rows.end <= to.height && first + factor.len() <= to.channels);
        let (mut mixed, mut row) = (Vec::new(), vec![0.0; to.width]);
        for y in rows {
            for (channel, (factor, addend)) in factor.iter().zip(addend).enumerate() {
                self.row(from, [channel, y], &mut mixed, &mut row);
                let at = to.index(first + channel, y, 0);
                for (x, value) in row.iter().enumerate() {
                    // SAFETY: a place of the map, which the caller leaves to us.
                    unsafe {
                        *to.data.pointer().add(at + x * to.lanes) = value * factor + addend;
                    }
                }
            }
        }
    }
}

/// How features become the answer.
pub(super) struct Finish {
    /// Pixel shuffle by this factor.
    pub(super) shuffle: usize,
    /// Whether the hyperbolic tangent is taken, and -1 to 1 moved to 0 to 1.
    pub(super) tanh: bool,
    /// The enlarged picture that they are added to.
    pub(super) onto: Option<Sampler>,
}

impl Finish {
    /// One row of one channel of the answer. `features` gives a row of one of their channels, and
    /// perhaps what lies behind it.
    #[inline]
    pub(super) fn row<'a, I: Iterator<Item = &'a f32>>(
        &self,
        features: impl Fn(usize, usize) -> I,
        picture: Picture<'_>,
        [channel, y]: [usize; 2],
        row: &mut [f32],
    ) {
        match &self.onto {
            Some(sampler) => sampler.row(picture, [channel, y], &mut Vec::new(), row),
            None => row.fill(0.0),
        }
        let factor = self.shuffle;
        let first = (channel * factor + y % factor) * factor;
        for phase in 0..factor {
            let source = features(first + phase, y / factor);
            for (to, value) in row.iter_mut().skip(phase).step_by(factor).zip(source) {
                *to += if self.tanh { f32::midpoint(value.tanh(), 1.0) } else { *value };
            }
        }
    }
}
