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
    /// For each position within an enlarged pixel: neighbours and their weights.
    taps: Vec<Vec<(isize, f32)>>,
}

impl Sampler {
    pub(super) fn new(scale: usize, interpolation: Interpolation) -> Self {
        let radius = interpolation.radius() as isize;
        let taps = |phase: usize| {
            let offset = (phase as f32 + 0.5) / scale as f32 - 0.5;
            let weight = |shift: isize| (shift, interpolation.weight(shift as f32 - offset));
            (-radius..=radius).map(weight).filter(|(_, weight)| *weight != 0.0).collect()
        };
        Self { scale, taps: (0..scale).map(taps).collect() }
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
        let near = |position: usize, shift: isize, length: usize| {
            position.saturating_add_signed(shift).min(length - 1)
        };
        // A position left of the first pixel saturates at it, as clamping wants.
        let plane = &from.planes[channel * from.height * from.width..];
        mixed.clear();
        mixed.resize(from.width, 0.0);
        for (shift, weight) in &self.taps[y % self.scale] {
            let line = near(y / self.scale, *shift, from.height) * from.width;
            for (mixed, value) in mixed.iter_mut().zip(&plane[line..]) {
                *mixed += weight * value;
            }
        }
        for (x, pixels) in row.chunks_mut(self.scale).enumerate() {
            for (pixel, taps) in pixels.iter_mut().zip(&self.taps) {
                let value =
                    |(shift, weight): &(isize, f32)| weight * mixed[near(x, *shift, from.width)];
                *pixel = taps.iter().map(value).sum();
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
