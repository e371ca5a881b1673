//! 3x3 convolution of stride 1 by Winograd's minimal filtering, F(4x4, 3x3).
//!
//! A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, with
//! the points 0, ±√½, ±√2 and infinity, whose rounding error is that of direct convolution.
//! 36 multiplications give 16 outputs where the direct way takes 144.
//!
//! Tiles of 4x4 outputs go in blocks through three phases: input transform, one small matrix
//! product per transform point, and output transform with bias, activation and residual. The
//! scratch of a block stays in the second-level cache.

use std::{cell::RefCell, mem::MaybeUninit, ops::Range};

use super::{
    map::{Aligned, Map},
    simd::{Isa, Kernel},
};

/// Outputs of a tile, in each direction.
pub(super) const TILE: usize = 4;

/// Inputs of a tile, in each direction.
const SIDE: usize = TILE + 2;

/// Transform points of a tile.
const POINTS: usize = SIDE * SIDE;

/// Tiles that go through the phases together; a multiple of every register tile.
const BLOCK: usize = 24;

/// What a layer does after its sum.
#[derive(Clone, Debug)]
pub(super) enum After {
    /// Nothing.
    Linear,
    /// Negative values times a slope, one for each channel: `ReLU`, leaky `ReLU` and `PReLU`.
    Slope(Vec<f32>),
}

/// A 3x3 convolution of stride 1 with zero padding of 1.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// `[outputs][inputs][3][3]`
    pub(super) weight: Vec<f32>,
    /// One for each output.
    pub(super) bias: Vec<f32>,
    pub(super) after: After,
}

const R2: f64 = std::f64::consts::SQRT_2;

/// Transform of the weights.
const G: [[f64; 3]; SIDE] = [
    [1., 0., 0.],
    [-2. / 3., -R2 / 3., -1. / 3.],
    [-2. / 3., R2 / 3., -1. / 3.],
    [1. / 6., R2 / 6., 1. / 3.],
    [1. / 6., -R2 / 6., 1. / 3.],
    [0., 0., 1.],
];

/// Transform of six inputs.
#[inline(always)]
unsafe fn transform_input<S: Isa>(d: [S::V; SIDE]) -> [S::V; SIDE] {
    unsafe {
        let c = |x: f64| S::splat(x as f32);
        let even1 = S::fma(c(-2.), d[2], d[4]);
        let odd1 = S::fma(c(-2.), d[1], d[3]);
        let even2 = S::fma(c(-0.5), d[2], d[4]);
        let odd2 = S::fma(c(-0.5), d[1], d[3]);
        [
            S::fma(c(-2.5), d[2], S::add(d[0], d[4])),
            S::fma(c(R2 / 2.), odd1, even1),
            S::fma(c(-R2 / 2.), odd1, even1),
            S::fma(c(R2), odd2, even2),
            S::fma(c(-R2), odd2, even2),
            S::fma(c(-2.5), d[3], S::add(d[1], d[5])),
        ]
    }
}

/// Transform of six sums to four outputs.
#[inline(always)]
unsafe fn transform_output<S: Isa>(m: [S::V; SIDE]) -> [S::V; TILE] {
    unsafe {
        let c = |x: f64| S::splat(x as f32);
        let (a, b) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        let (e, f) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
        [
            S::add(m[0], S::add(a, e)),
            S::fma(c(R2), f, S::mul(c(R2 / 2.), b)),
            S::fma(c(2.), e, S::mul(c(0.5), a)),
            S::fma(c(R2 * 2.), f, S::fma(c(R2 / 4.), b, m[5])),
        ]
    }
}

/// A layer with its weights transformed and laid out for an instruction set.
pub(super) struct Winograd<S: Isa> {
    inputs: usize,
    outputs: usize,
    /// Output vectors that are summed at once.
    group: usize,
    /// `[output group][point][input][vector of the group][lane]`
    weights: Aligned,
    bias: Aligned,
    slope: Option<Aligned>,
    set: std::marker::PhantomData<S>,
}

/// Scratch of one thread: transformed inputs and sums.
struct Scratch {
    inputs: Aligned,
    sums: Aligned,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { inputs: Aligned::zeroed(0), sums: Aligned::zeroed(0) });
}

impl<S: Isa> Winograd<S> {
    pub(super) fn new(layer: &Layer) -> Self {
        let lanes = S::LANES;
        let blocks = layer.outputs.div_ceil(lanes);
        let most = if S::REGISTERS == 32 { 4 } else { 2 };
        let group = (1..=most).rev().find(|n| blocks.is_multiple_of(*n)).unwrap_or(1);
        // U = G g Gᵀ
        let transformed = |output: usize, input: usize, point: usize| -> f32 {
            if output >= layer.outputs {
                return 0.0;
            }
            let kernel = &layer.weight[(output * layer.inputs + input) * 9..][..9];
            let (row, column) = (G[point / SIDE], G[point % SIDE]);
            let terms = (0..9).map(|k| row[k / 3] * column[k % 3] * f64::from(kernel[k]));
            terms.sum::<f64>() as f32
        };
        let mut weights = Aligned::zeroed(blocks * lanes * POINTS * layer.inputs);
        let mut values = weights.slice_mut().iter_mut();
        for first in (0..blocks * lanes).step_by(group * lanes) {
            for point in 0..POINTS {
                for input in 0..layer.inputs {
                    for (output, value) in (first..first + group * lanes).zip(&mut values) {
                        *value = transformed(output, input, point);
                    }
                }
            }
        }
        let slope = match &layer.after {
            After::Linear => None,
            After::Slope(slopes) => Some(Aligned::padded(slopes, lanes)),
        };
        Self {
            inputs: layer.inputs,
            outputs: layer.outputs,
            group,
            weights,
            bias: Aligned::padded(&layer.bias, lanes),
            slope,
            set: std::marker::PhantomData,
        }
    }

    /// Values from one transform point to the next, in the inputs and in the sums: a cache line
    /// more than the contents, or all points of a tile would share a cache set.
    #[inline(always)]
    const fn input_step(&self) -> usize {
        self.inputs.div_ceil(S::LANES) * BLOCK * S::LANES + 16
    }

    #[inline(always)]
    const fn sum_step(&self) -> usize {
        self.group * BLOCK * S::LANES + 16
    }

    /// `to = after(conv(from)) + residual`, for some rows of tiles. `residual` may be `to`.
    ///
    /// # Safety
    /// No other thread may use these rows of `to`, nor write the rows of `from` and `residual`
    /// that they depend on; `from` is not `to`. The maps fit the layer and the instruction set,
    /// which this processor has.
    pub(super) unsafe fn run(
        &self,
        from: &Map,
        to: &Map,
        residual: Option<&Map>,
        rows: Range<usize>,
    ) {
        assert!(rows.end <= to.height.div_ceil(TILE));
        assert!(from.channels == self.inputs && to.channels == self.outputs);
        assert!(from.lanes == S::LANES && to.lanes == S::LANES);
        assert!((from.height, from.width) == (to.height, to.width));
        if let Some(residual) = residual {
            assert!(residual.block == to.block && residual.channels == to.channels);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let grow = |memory: &mut Aligned, length: usize| {
                if memory.len() < length {
                    *memory = Aligned::zeroed(length);
                }
            };
            grow(&mut scratch.inputs, POINTS * self.input_step());
            grow(&mut scratch.sums, POINTS * self.sum_step());
            let (inputs, sums) = (scratch.inputs.pointer(), scratch.sums.pointer());
            // SAFETY: the caller's promises, and scratch of this thread of sufficient size.
            unsafe { S::enter(Run { layer: self, from, to, residual, rows, inputs, sums }) }
        });
    }
}

struct Run<'a, S: Isa> {
    layer: &'a Winograd<S>,
    from: &'a Map,
    to: &'a Map,
    residual: Option<&'a Map>,
    rows: Range<usize>,
    inputs: *mut f32,
    sums: *mut f32,
}

/// A tile of a block: its number there, and its place in the map.
#[derive(Clone, Copy)]
struct Place {
    number: usize,
    row: usize,
    column: usize,
}

impl<S: Isa> Kernel<S> for Run<'_, S> {
    #[inline(always)]
    unsafe fn run(self) {
        let across = self.to.width.div_ceil(TILE);
        let (mut first, end) = (self.rows.start * across, self.rows.end * across);
        while first < end {
            let count = BLOCK.min(end - first);
            let place = |number: usize| Place {
                number,
                row: (first + number) / across,
                column: (first + number) % across,
            };
            unsafe {
                for block in 0..self.layer.inputs.div_ceil(S::LANES) {
                    for number in 0..count {
                        self.input(block, place(number));
                    }
                }
                let groups = self.layer.outputs.div_ceil(S::LANES * self.layer.group);
                for group in 0..groups {
                    // Group times pixels sums, the group's weights and one input fit into the
                    // registers; all numbers of pixels divide BLOCK.
                    match (S::REGISTERS, self.layer.group) {
                        (32, 4) => self.products::<4, 6>(group, count),
                        (32, 3) => self.products::<3, 6>(group, count),
                        (32, 2) => self.products::<2, 12>(group, count),
                        (_, 2) => self.products::<2, 6>(group, count),
                        _ => self.products::<1, 12>(group, count),
                    }
                    for vector in 0..self.layer.group {
                        for number in 0..count {
                            self.output(group, vector, place(number));
                        }
                    }
                }
            }
            first += count;
        }
    }
}

impl<S: Isa> Run<'_, S> {
    /// Transforms the inputs of one tile and one block of channels.
    #[inline(always)]
    unsafe fn input(&self, block: usize, place: Place) {
        let (lanes, from) = (S::LANES, self.from);
        unsafe {
            let corner =
                block * from.block + place.row * TILE * from.row + place.column * TILE * lanes;
            let source = from.data.pointer().add(corner);
            let zero = S::splat(0.0);
            // [column point][y]; not initialised, or every tile would pay for a memset.
            let mut half = [[MaybeUninit::<S::V>::uninit(); SIDE]; SIDE];
            for y in 0..SIDE {
                let mut line = [zero; SIDE];
                for (x, value) in line.iter_mut().enumerate() {
                    *value = S::load(source.add(y * from.row + x * lanes));
                }
                let line = transform_input::<S>(line);
                for x in 0..SIDE {
                    half[x][y].write(line[x]);
                }
            }
            let target = self.inputs.add((block * BLOCK + place.number) * lanes);
            let step = self.layer.input_step();
            for (x, half) in half.iter().enumerate() {
                let mut line = [zero; SIDE];
                for (value, half) in line.iter_mut().zip(half) {
                    *value = half.assume_init();
                }
                let line = transform_input::<S>(line);
                for (y, value) in line.iter().enumerate() {
                    S::store(target.add((y * SIDE + x) * step), *value);
                }
            }
        }
    }

    /// For every transform point: weights of an output group times inputs of all tiles.
    #[inline(always)]
    unsafe fn products<const GROUP: usize, const PIXELS: usize>(&self, group: usize, count: usize) {
        const { assert!(BLOCK.is_multiple_of(PIXELS)) };
        let (lanes, layer) = (S::LANES, self.layer);
        let length = layer.inputs * GROUP * lanes;
        unsafe {
            for point in 0..POINTS {
                let weights = layer.weights.pointer().add((group * POINTS + point) * length);
                for first in (0..count).step_by(PIXELS) {
                    let mut sums = [[S::splat(0.0); PIXELS]; GROUP];
                    let mut weight = weights;
                    for block in 0..layer.inputs.div_ceil(lanes) {
                        let place = point * layer.input_step() + (block * BLOCK + first) * lanes;
                        let mut input = self.inputs.add(place);
                        for _ in 0..(layer.inputs - block * lanes).min(lanes) {
                            let mut vectors = [S::load(weight); GROUP];
                            for (i, vector) in vectors.iter_mut().enumerate().skip(1) {
                                *vector = S::load(weight.add(i * lanes));
                            }
                            for pixel in 0..PIXELS {
                                let value = S::splat(*input.add(pixel * lanes));
                                for i in 0..GROUP {
                                    sums[i][pixel] = S::fma(vectors[i], value, sums[i][pixel]);
                                }
                            }
                            weight = weight.add(GROUP * lanes);
                            input = input.add(1);
                        }
                    }
                    let target = self.sums.add(point * layer.sum_step() + first * lanes);
                    for (i, sums) in sums.iter().enumerate() {
                        for (pixel, sum) in sums.iter().enumerate() {
                            S::store(target.add((i * BLOCK + pixel) * lanes), *sum);
                        }
                    }
                }
            }
        }
    }

    /// Transforms the sums of one tile and one output vector, and finishes them.
    #[inline(always)]
    unsafe fn output(&self, group: usize, vector: usize, place: Place) {
        let (lanes, layer, to) = (S::LANES, self.layer, self.to);
        unsafe {
            let block = group * layer.group + vector;
            let source = self.sums.add((vector * BLOCK + place.number) * lanes);
            let step = layer.sum_step();
            let zero = S::splat(0.0);
            // [y][column point]
            let mut half = [[MaybeUninit::<S::V>::uninit(); SIDE]; TILE];
            for x in 0..SIDE {
                let mut line = [zero; SIDE];
                for (y, value) in line.iter_mut().enumerate() {
                    *value = S::load(source.add((y * SIDE + x) * step));
                }
                let line = transform_output::<S>(line);
                for y in 0..TILE {
                    half[y][x].write(line[y]);
                }
            }
            let bias = S::load(layer.bias.pointer().add(block * lanes));
            let (top, left) = (place.row * TILE, place.column * TILE);
            let corner = block * to.block + (top + 1) * to.row + (left + 1) * lanes;
            for (y, half) in half.iter().enumerate().take(to.height - top) {
                let mut line = [zero; SIDE];
                for (value, half) in line.iter_mut().zip(half) {
                    *value = half.assume_init();
                }
                let line = transform_output::<S>(line);
                for (x, value) in line.iter().enumerate().take(to.width - left) {
                    let at = corner + y * to.row + x * lanes;
                    let mut value = S::add(*value, bias);
                    if let Some(slope) = &layer.slope {
                        let slope = S::load(slope.pointer().add(block * lanes));
                        value = S::fma(slope, S::min(value, zero), S::max(value, zero));
                    }
                    if let Some(residual) = self.residual {
                        value = S::add(value, S::load(residual.data.pointer().add(at)));
                    }
                    S::store(to.data.pointer().add(at), value);
                }
            }
        }
    }
}
