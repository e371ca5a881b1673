//! What is not a convolution: pooling, blur, sums, and scale and shift on the way to another map.

use std::ops::Range;

use super::{
    map::{Aligned, Map},
    simd::{Isa, Kernel},
};

/// The largest of 3x3 values, at every second place.
pub(super) struct Pool<'a> {
    pub(super) from: &'a Map,
    pub(super) to: &'a Map,
    /// Of the output.
    pub(super) rows: Range<usize>,
}

impl<S: Isa> Kernel<S> for Pool<'_> {
    #[inline(always)]
    unsafe fn run(self) {
        let Self { from, to, rows } = self;
        unsafe {
            for block in 0..from.channels.div_ceil(S::LANES) {
                for y in rows.clone() {
                    let lines = (2 * y).saturating_sub(1)..(2 * y + 2).min(from.height);
                    for x in 0..to.width {
                        let mut largest = S::splat(f32::NEG_INFINITY);
                        for line in lines.clone() {
                            for column in (2 * x).saturating_sub(1)..(2 * x + 2).min(from.width) {
                                let at = from.index(block * S::LANES, line, column);
                                largest = S::max(largest, S::load(from.data.pointer().add(at)));
                            }
                        }
                        let at = to.index(block * S::LANES, y, x);
                        S::store(to.data.pointer().add(at), largest);
                    }
                }
            }
        }
    }
}

/// The mean of each pixel and those above and to the left of it; at the edge, of itself instead.
/// Writes to the first channels of `to`.
pub(super) struct Blur<'a> {
    pub(super) from: &'a Map,
    pub(super) to: &'a Map,
    pub(super) rows: Range<usize>,
}

impl<S: Isa> Kernel<S> for Blur<'_> {
    #[inline(always)]
    unsafe fn run(self) {
        let Self { from, to, rows } = self;
        unsafe {
            let quarter = S::splat(0.25);
            for block in 0..from.channels.div_ceil(S::LANES) {
                for y in rows.clone() {
                    let line = |y| from.data.pointer().add(from.index(block * S::LANES, y, 0));
                    let (above, here) = (line(y.saturating_sub(1)), line(y));
                    let target = to.data.pointer().add(to.index(block * S::LANES, y, 0));
                    let sum = |at: usize| S::add(S::load(above.add(at)), S::load(here.add(at)));
                    let mut left = sum(0);
                    for at in (0..from.width).map(|x| x * S::LANES) {
                        let right = sum(at);
                        S::store(target.add(at), S::mul(quarter, S::add(left, right)));
                        left = right;
                    }
                }
            }
        }
    }
}

/// A factor and an addend for each channel, and perhaps a slope of what is then negative.
pub(super) struct Affine {
    factor: Aligned,
    addend: Aligned,
    slope: Option<f32>,
}

impl Affine {
    pub(super) fn new(factor: &[f32], addend: &[f32], slope: Option<f32>, lanes: usize) -> Self {
        let padded = |values| Aligned::padded(values, lanes);
        Self { factor: padded(factor), addend: padded(addend), slope }
    }
}

/// [`Affine`] from a map to some channels of another.
pub(super) struct Copy<'a> {
    pub(super) affine: &'a Affine,
    pub(super) from: &'a Map,
    pub(super) to: &'a Map,
    /// The first channel to write.
    pub(super) channel: usize,
    pub(super) rows: Range<usize>,
}

impl<S: Isa> Kernel<S> for Copy<'_> {
    #[inline(always)]
    unsafe fn run(self) {
        let Self { affine, from, to, channel, rows } = self;
        let lanes = S::LANES;
        unsafe {
            let (zero, one) = (S::splat(0.0), S::splat(1.0));
            let slope = affine.slope.map_or(one, |slope| S::splat(slope));
            let mut values = [0.0_f32; 16];
            for block in 0..from.channels.div_ceil(lanes) {
                let factor = S::load(affine.factor.pointer().add(block * lanes));
                let addend = S::load(affine.addend.pointer().add(block * lanes));
                let first = channel + block * lanes;
                for y in rows.clone() {
                    for x in 0..from.width {
                        let at = from.index(block * lanes, y, x);
                        let value = S::load(from.data.pointer().add(at));
                        let value = S::fma(value, factor, addend);
                        let value = S::fma(slope, S::min(value, zero), S::max(value, zero));
                        if channel.is_multiple_of(lanes) {
                            S::store(to.data.pointer().add(to.index(first, y, x)), value);
                            continue;
                        }
                        S::store(values.as_mut_ptr(), value);
                        let count = lanes.min(from.channels - block * lanes);
                        for (lane, value) in values.iter().enumerate().take(count) {
                            *to.data.pointer().add(to.index(first + lane, y, x)) = *value;
                        }
                    }
                }
            }
        }
    }
}

/// The sum of two maps, each times a factor.
pub(super) struct Mix<'a> {
    pub(super) from: [(&'a Map, f32); 2],
    pub(super) to: &'a Map,
    pub(super) rows: Range<usize>,
}

impl<S: Isa> Kernel<S> for Mix<'_> {
    #[inline(always)]
    unsafe fn run(self) {
        let Self { from: [(first, one), (second, other)], to, rows } = self;
        unsafe {
            let (one, other) = (S::splat(one), S::splat(other));
            for channel in (0..to.channels).step_by(S::LANES) {
                for y in rows.clone() {
                    let line = |map: &Map| map.data.pointer().add(map.index(channel, y, 0));
                    let (a, b, target) = (line(first), line(second), line(to));
                    for at in (0..to.width).map(|x| x * S::LANES) {
                        let sum = S::mul(other, S::load(b.add(at)));
                        S::store(target.add(at), S::fma(one, S::load(a.add(at)), sum));
                    }
                }
            }
        }
    }
}
