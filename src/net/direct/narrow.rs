//! Convolution to few outputs, as at the tail of a network.
//!
//! Vectors of outputs would be nearly empty, so vectors run along the input channels, and their
//! lanes are added at the end.

use std::ops::Range;

use super::{
    map::{Aligned, Map},
    simd::{Isa, Kernel},
};

/// Outputs that are summed at once.
const TOGETHER: usize = 3;

/// Pixels that are computed at once, on 32 registers and on 16. Maps to read from are wide enough
/// for whole numbers of either.
const WIDE: usize = 8;
const SLIM: usize = 4;

/// What the width of a map to read from is rounded up to.
pub(super) const TILE: usize = WIDE;

/// More outputs than this are for other kernels.
pub(super) const MOST: usize = 12;

/// A layer of stride 1, with padding of half its kernel, laid out for an instruction set.
pub(super) struct Narrow<S: Isa> {
    inputs: usize,
    outputs: usize,
    kernel: usize,
    /// `[part of the outputs][channel block][tap][output of the part][lane]`
    weights: Aligned,
    bias: Vec<f32>,
    slope: Option<Vec<f32>>,
    set: std::marker::PhantomData<S>,
}

impl<S: Isa> Narrow<S> {
    /// `weight` is `[outputs][inputs][kernel][kernel]`.
    pub(super) fn new(
        [inputs, outputs, kernel]: [usize; 3],
        weight: &[f32],
        bias: &[f32],
        slope: Option<&[f32]>,
    ) -> Self {
        let (lanes, area) = (S::LANES, kernel * kernel);
        let blocks = inputs.div_ceil(lanes);
        let parts = outputs.div_ceil(TOGETHER);
        let mut weights = Aligned::zeroed(parts * TOGETHER * blocks * lanes * area);
        for (place, value) in weights.slice_mut().iter_mut().enumerate() {
            let (lane, rest) = (place % lanes, place / lanes);
            let (inner, rest) = (rest % TOGETHER, rest / TOGETHER);
            let (tap, rest) = (rest % area, rest / area);
            let (block, part) = (rest % blocks, rest / blocks);
            let (input, output) = (block * lanes + lane, part * TOGETHER + inner);
            if input < inputs && output < outputs {
                *value = weight[(output * inputs + input) * area + tap];
            }
        }
        let (bias, slope) = (bias.to_vec(), slope.map(<[f32]>::to_vec));
        Self { inputs, outputs, kernel, weights, bias, slope, set: std::marker::PhantomData }
    }

    /// Computes some rows of the output.
    ///
    /// # Safety
    /// No other thread may use these rows of `to` nor write to `from`, which is another map and
    /// has a border of half the kernel. The maps fit the layer and the instruction set, which
    /// this processor has.
    pub(super) unsafe fn run(&self, from: &Map, to: &Map, rows: Range<usize>) {
        assert!(rows.end <= to.height && (from.height, from.width) == (to.height, to.width));
        assert!(from.channels == self.inputs && to.channels >= self.outputs);
        assert!(from.lanes == S::LANES && from.border >= self.kernel / 2);
        assert!(from.row / from.lanes >= from.width.next_multiple_of(TILE) + 2 * from.border);
        // SAFETY: the caller's promises.
        unsafe { S::enter(Run { layer: self, from, to, rows }) }
    }
}

struct Run<'a, S: Isa> {
    layer: &'a Narrow<S>,
    from: &'a Map,
    to: &'a Map,
    rows: Range<usize>,
}

impl<S: Isa> Kernel<S> for Run<'_, S> {
    #[inline(always)]
    unsafe fn run(self) {
        unsafe {
            for part in 0..self.layer.outputs.div_ceil(TOGETHER) {
                for y in self.rows.clone() {
                    if S::REGISTERS == 32 {
                        self.row::<WIDE>(part, y);
                    } else {
                        self.row::<SLIM>(part, y);
                    }
                }
            }
        }
    }
}

impl<S: Isa> Run<'_, S> {
    #[inline(always)]
    unsafe fn row<const PIXELS: usize>(&self, part: usize, y: usize) {
        let (from, layer, lanes) = (self.from, self.layer, S::LANES);
        let (kernel, pad) = (layer.kernel, layer.kernel / 2);
        let blocks = layer.inputs.div_ceil(lanes);
        let first = part * TOGETHER;
        unsafe {
            let length = blocks * kernel * kernel * TOGETHER * lanes;
            for x in (0..from.width).step_by(PIXELS) {
                let mut weight = layer.weights.pointer().add(part * length);
                let mut sums = [[S::splat(0.0); PIXELS]; TOGETHER];
                for block in 0..blocks {
                    let corner = from.index_before(block, [y, pad], [x, pad]);
                    let corner = from.data.pointer().add(corner);
                    for ky in 0..kernel {
                        let mut input = corner.add(ky * from.row);
                        for _ in 0..kernel {
                            let mut weights = [S::load(weight); TOGETHER];
                            for (i, value) in weights.iter_mut().enumerate().skip(1) {
                                *value = S::load(weight.add(i * lanes));
                            }
                            for pixel in 0..PIXELS {
                                let value = S::load(input.add(pixel * lanes));
                                for i in 0..TOGETHER {
                                    sums[i][pixel] = S::fma(weights[i], value, sums[i][pixel]);
                                }
                            }
                            weight = weight.add(TOGETHER * lanes);
                            input = input.add(lanes);
                        }
                    }
                }
                // In registers they stay only if they are never indexed by what is not constant.
                let mut done = [[[0.0_f32; 16]; PIXELS]; TOGETHER];
                for i in 0..TOGETHER {
                    for pixel in 0..PIXELS {
                        S::store(done[i][pixel].as_mut_ptr(), sums[i][pixel]);
                    }
                }
                for (i, done) in done.iter_mut().enumerate().take(layer.outputs - first) {
                    let slope = layer.slope.as_ref().map_or(1.0, |slope| slope[first + i]);
                    let at = self.to.index(first + i, y, x);
                    for (pixel, lanes) in done.iter_mut().enumerate().take(from.width - x) {
                        let mut value = total(&mut lanes[..S::LANES]) + layer.bias[first + i];
                        if value < 0.0 {
                            value *= slope;
                        }
                        *self.to.data.pointer().add(at + pixel * self.to.lanes) = value;
                    }
                }
            }
        }
    }
}

/// The sum of all lanes, which are a power of two.
#[inline(always)]
fn total(lanes: &mut [f32]) -> f32 {
    let mut count = lanes.len();
    while count > 1 {
        count /= 2;
        for i in 0..count {
            lanes[i] += lanes[i + count];
        }
    }
    lanes[0]
}
