//! 3x3 convolution of stride 1 by Winograd's minimal filtering, F(4x4, 3x3).
//!
//! A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, with
//! the points 0, ±√½, ±√2 and infinity, whose rounding error is that of direct convolution.
//! 36 multiplications give 16 outputs where the direct way takes 144.
//!
//! Tiles of 4x4 outputs go in blocks through three phases: input transform, one small matrix
//! product per transform point, and output transform with bias, activation and residual. The
//! scratch of a block stays in the second-level cache.
//!
//! The gradient of the weights ([`Correlation`]) goes through the same steps turned round: input
//! transform of the inputs, the output transform's transpose of the gradient, a matrix product
//! over the tiles for each point, and the weight transform's transpose at the end.

use std::{marker::PhantomData, mem::MaybeUninit, ops::Range};

use super::{
    map::{Aligned, Map},
    output::{Output, Target},
    simd::{Isa, Kernel},
};

/// Outputs of a tile, in each direction.
pub(super) const TILE: usize = 4;

/// Inputs of a tile, in each direction.
const SIDE: usize = TILE + 2;

/// Transform points of a tile.
const POINTS: usize = SIDE * SIDE;

/// Tiles that go through the phases together; a multiple of every register tile.
pub(super) const BLOCK: usize = 24;

/// Values of the longest vector.
const MOST_LANES: usize = 16;

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

impl Layer {
    /// What takes a gradient of the outputs to that of the inputs: channels change places, and
    /// the kernels turn by half a circle.
    pub(super) fn transposed(weight: &[f32], inputs: usize, outputs: usize) -> Self {
        let mut turned = vec![0.0; weight.len()];
        for (output, kernels) in weight.chunks_exact(inputs * 9).enumerate() {
            for (input, kernel) in kernels.chunks_exact(9).enumerate() {
                let to = &mut turned[(input * outputs + output) * 9..][..9];
                for (to, value) in to.iter_mut().zip(kernel.iter().rev()) {
                    *to = *value;
                }
            }
        }
        Self {
            inputs: outputs,
            outputs: inputs,
            weight: turned,
            bias: vec![0.0; inputs],
            after: After::Linear,
        }
    }
}

const R2: f64 = std::f64::consts::SQRT_2;

/// Transform of three weights.
#[inline(always)]
unsafe fn transform_weight<S: Isa>(g: [S::V; 3]) -> [S::V; SIDE] {
    unsafe {
        let c = |x: f64| S::splat(x as f32);
        let even1 = S::fma(c(-1. / 3.), g[2], S::mul(c(-2. / 3.), g[0]));
        let even2 = S::fma(c(1. / 3.), g[2], S::mul(c(1. / 6.), g[0]));
        let (odd1, odd2) = (S::mul(c(R2 / 3.), g[1]), S::mul(c(R2 / 6.), g[1]));
        [
            g[0],
            S::sub(even1, odd1),
            S::add(even1, odd1),
            S::add(even2, odd2),
            S::sub(even2, odd2),
            g[2],
        ]
    }
}

/// The transpose of [`transform_weight`].
#[inline(always)]
unsafe fn gradient_of_weight<S: Isa>(u: [S::V; SIDE]) -> [S::V; 3] {
    unsafe {
        let c = |x: f64| S::splat(x as f32);
        let (a, b) = (S::add(u[1], u[2]), S::sub(u[2], u[1]));
        let (e, f) = (S::add(u[3], u[4]), S::sub(u[3], u[4]));
        [
            S::fma(c(1. / 6.), e, S::fma(c(-2. / 3.), a, u[0])),
            S::fma(c(R2 / 6.), f, S::mul(c(R2 / 3.), b)),
            S::fma(c(1. / 3.), e, S::fma(c(-1. / 3.), a, u[5])),
        ]
    }
}

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

/// The transpose of [`transform_output`].
#[inline(always)]
unsafe fn gradient_of_sums<S: Isa>(d: [S::V; TILE]) -> [S::V; SIDE] {
    unsafe {
        let c = |x: f64| S::splat(x as f32);
        let even1 = S::fma(c(0.5), d[2], d[0]);
        let odd1 = S::fma(c(R2 / 4.), d[3], S::mul(c(R2 / 2.), d[1]));
        let even2 = S::fma(c(2.), d[2], d[0]);
        let odd2 = S::fma(c(R2 * 2.), d[3], S::mul(c(R2), d[1]));
        [
            d[0],
            S::add(even1, odd1),
            S::sub(even1, odd1),
            S::add(even2, odd2),
            S::sub(even2, odd2),
            d[3],
        ]
    }
}

/// Output vectors that are summed at once, of so many.
pub(super) fn group_of<S: Isa>(blocks: usize) -> usize {
    let most = if S::REGISTERS == 32 { 4 } else { 2 };
    (1..=most).rev().find(|n| blocks.is_multiple_of(*n)).unwrap_or(1)
}

/// Values from one transform point to the next where each has so many vectors: a cache line more
/// than the contents, or all points of a tile would share a cache set.
#[inline(always)]
const fn point_step<S: Isa>(blocks: usize) -> usize {
    blocks * BLOCK * S::LANES + 16
}

/// A layer with its weights transformed and laid out for an instruction set.
pub(super) struct Winograd<S: Isa> {
    inputs: usize,
    outputs: usize,
    /// Output vectors that are summed at once.
    group: usize,
    /// `[output group][point][input][vector of the group][lane]`
    weights: Aligned,
    /// `[output group][point]`: whether all weights are zero, as where kernels of 2x2 that came of
    /// repeated pixels are written as 3x3.
    empty: Vec<bool>,
    bias: Aligned,
    slope: Option<Aligned>,
    set: PhantomData<S>,
}

/// Scratch of one thread, lent for as long as it works: transformed inputs and sums.
pub(super) struct Scratch {
    inputs: Aligned,
    sums: Aligned,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self { inputs: Aligned::zeroed(0), sums: Aligned::zeroed(0) }
    }
}

impl<S: Isa> Winograd<S> {
    /// With its weights in such memory, of any content.
    pub(super) fn new(layer: &Layer, memory: fn(usize) -> Aligned) -> Self {
        assert!(S::available());
        let lanes = S::LANES;
        let blocks = layer.outputs.div_ceil(lanes);
        let group = group_of::<S>(blocks);
        let weights = memory(blocks * lanes * POINTS * layer.inputs);
        // SAFETY: the instruction set is there, and the memory of sufficient size.
        unsafe { S::enter(Prepare { layer, group, weights: weights.pointer() }) };
        let slope = match &layer.after {
            After::Linear => None,
            After::Slope(slopes) => Some(Aligned::padded(slopes, lanes)),
        };
        let of_point = weights.slice().chunks_exact(layer.inputs * group * lanes);
        let empty = of_point.map(|weights| weights.iter().all(|weight| *weight == 0.0)).collect();
        Self {
            inputs: layer.inputs,
            outputs: layer.outputs,
            group,
            weights,
            empty,
            bias: Aligned::padded(&layer.bias, lanes),
            slope,
            set: PhantomData,
        }
    }

    #[inline(always)]
    const fn input_step(&self) -> usize {
        point_step::<S>(self.inputs.div_ceil(S::LANES))
    }

    #[inline(always)]
    const fn sum_step(&self) -> usize {
        point_step::<S>(self.group)
    }

    /// Computes some tiles of the output, which are numbered row by row through all images.
    ///
    /// # Safety
    /// No other thread may use these tiles of the output, nor write what they depend on in `from`
    /// and in the residual; `from` is not written to. The maps fit the layer and the instruction
    /// set, which this processor has.
    pub(super) unsafe fn run(
        &self,
        from: &Map,
        output: Output<'_>,
        tiles: Range<usize>,
        scratch: &mut Scratch,
    ) {
        assert!(tiles.end <= from.tiles());
        assert!(from.channels == self.inputs && from.lanes == S::LANES && from.border > 0);
        output.check(self.outputs, [from.images, from.height, from.width], S::LANES);
        let grow = |memory: &mut Aligned, length: usize| {
            if memory.len() < length {
                *memory = Aligned::lent(length);
            }
        };
        grow(&mut scratch.inputs, POINTS * self.input_step());
        grow(&mut scratch.sums, POINTS * self.sum_step());
        let (inputs, sums) = (scratch.inputs.pointer(), scratch.sums.pointer());
        // SAFETY: the caller's promises, and scratch of sufficient size.
        unsafe { S::enter(Run { layer: self, from, output, tiles, inputs, sums }) }
    }
}

struct Run<'a, S: Isa> {
    layer: &'a Winograd<S>,
    from: &'a Map,
    output: Output<'a>,
    tiles: Range<usize>,
    inputs: *mut f32,
    sums: *mut f32,
}

/// Transforms the weights: U = G g Gᵀ.
struct Prepare<'a> {
    layer: &'a Layer,
    group: usize,
    /// As in [`Winograd`].
    weights: *mut f32,
}

impl<S: Isa> Kernel<S> for Prepare<'_> {
    #[inline(always)]
    unsafe fn run(self) {
        let Prepare { layer, group, weights } = self;
        let (lanes, inputs) = (S::LANES, layer.inputs);
        // [place in the kernel][output of a vector]
        let mut kernels = [0.0_f32; 9 * MOST_LANES];
        for block in 0..layer.outputs.div_ceil(lanes) {
            for input in 0..inputs {
                for lane in 0..lanes {
                    let output = block * lanes + lane;
                    if output < layer.outputs {
                        let kernel = &layer.weight[(output * inputs + input) * 9..][..9];
                        for (k, value) in kernel.iter().enumerate() {
                            kernels[k * lanes + lane] = *value;
                        }
                    } else {
                        (0..9).for_each(|k| kernels[k * lanes + lane] = 0.0);
                    }
                }
                unsafe {
                    let zero = S::splat(0.0);
                    let kernel = |k: usize| S::load(kernels.as_ptr().add(k * lanes));
                    // [row point][x]
                    let mut half = [[zero; 3]; SIDE];
                    for x in 0..3 {
                        let line = [kernel(x), kernel(3 + x), kernel(6 + x)];
                        for (half, value) in half.iter_mut().zip(transform_weight::<S>(line)) {
                            half[x] = value;
                        }
                    }
                    let length = inputs * group * lanes;
                    let (first, vector) = (block / group, block % group);
                    let target = weights.add(first * POINTS * length);
                    let target = target.add((input * group + vector) * lanes);
                    for y in 0..SIDE {
                        let line = transform_weight::<S>(half[y]);
                        for (x, value) in line.iter().enumerate() {
                            S::store(target.add((y * SIDE + x) * length), *value);
                        }
                    }
                }
            }
        }
    }
}

/// A tile in its picture, and where its inputs begin in a block of channels.
#[derive(Clone, Copy, Default)]
struct Place {
    corner: usize,
    image: usize,
    /// Of its outputs, in pixels.
    top: usize,
    left: usize,
}

/// The tiles of a block, of which the last one may have fewer.
type Places = [Place; BLOCK];

impl Map {
    /// Tiles in all images.
    pub(super) const fn tiles(&self) -> usize {
        self.images * self.height.div_ceil(TILE) * self.width.div_ceil(TILE)
    }

    /// The tiles from `first` on.
    #[inline(always)]
    fn places(&self, first: usize) -> Places {
        let (down, across) = (self.height.div_ceil(TILE), self.width.div_ceil(TILE));
        let mut places = [Place::default(); BLOCK];
        for (number, place) in (first..).zip(&mut places) {
            let (row, column) = (number / across, number % across);
            let (image, row) = (row / down, row % down);
            let (top, left) = (row * TILE, column * TILE);
            let corner = image * self.image + self.index_before(0, [top, 1], [left, 1]);
            *place = Place { corner, image, top, left };
        }
        places
    }
}

impl<S: Isa> Kernel<S> for Run<'_, S> {
    #[inline(always)]
    unsafe fn run(self) {
        let Range { start: mut first, end } = self.tiles;
        while first < end {
            let count = BLOCK.min(end - first);
            let places = self.from.places(first);
            let places = &places[..count];
            unsafe {
                transform_inputs::<S>(self.from, self.inputs, places);
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
                        let target = self.output.target(group * self.layer.group + vector);
                        for (number, place) in places.iter().enumerate() {
                            self.output([group, vector, number], *place, &target);
                        }
                    }
                }
            }
            first += count;
        }
    }
}

/// Transforms the inputs of some tiles: `[point][channel block][tile][lane]`.
#[inline(always)]
unsafe fn transform_inputs<S: Isa>(from: &Map, inputs: *mut f32, places: &[Place]) {
    let blocks = from.channels.div_ceil(S::LANES);
    for block in 0..blocks {
        for (number, place) in places.iter().enumerate() {
            unsafe {
                let source = from.data.pointer().add(block * from.block + place.corner);
                let target = inputs.add((block * BLOCK + number) * S::LANES);
                transform_tile::<S>(source, from.row, target, point_step::<S>(blocks));
            }
        }
    }
}

/// Transforms the inputs of one tile and one block of channels.
#[inline(always)]
unsafe fn transform_tile<S: Isa>(source: *const f32, row: usize, target: *mut f32, step: usize) {
    let lanes = S::LANES;
    unsafe {
        let zero = S::splat(0.0);
        // [column point][y]; not initialised, or every tile would pay for a memset.
        let mut half = [[MaybeUninit::<S::V>::uninit(); SIDE]; SIDE];
        for y in 0..SIDE {
            let mut line = [zero; SIDE];
            for (x, value) in line.iter_mut().enumerate() {
                *value = S::load(source.add(y * row + x * lanes));
            }
            let line = transform_input::<S>(line);
            for x in 0..SIDE {
                half[x][y].write(line[x]);
            }
        }
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

impl<S: Isa> Run<'_, S> {
    /// For every transform point: weights of an output group times inputs of all tiles.
    #[inline(always)]
    unsafe fn products<const GROUP: usize, const PIXELS: usize>(&self, group: usize, count: usize) {
        const { assert!(BLOCK.is_multiple_of(PIXELS)) };
        let (lanes, layer) = (S::LANES, self.layer);
        let length = layer.inputs * GROUP * lanes;
        unsafe {
            for point in 0..POINTS {
                if layer.empty[group * POINTS + point] {
                    let target = self.sums.add(point * layer.sum_step());
                    target.write_bytes(0, GROUP * BLOCK * lanes);
                    continue;
                }
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
    unsafe fn output(&self, [group, vector, number]: [usize; 3], place: Place, target: &Target) {
        let (lanes, layer) = (S::LANES, self.layer);
        unsafe {
            let block = group * layer.group + vector;
            let source = self.sums.add((vector * BLOCK + number) * lanes);
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
            let slope =
                layer.slope.as_ref().map(|slope| S::load(slope.pointer().add(block * lanes)));
            let target = target.at::<S>(place.image, place.top, place.left);
            for (y, half) in half.iter().enumerate().take(self.from.height - place.top) {
                let mut line = [zero; SIDE];
                for (value, half) in line.iter_mut().zip(half) {
                    *value = half.assume_init();
                }
                let line = transform_output::<S>(line);
                for (x, value) in line.iter().enumerate().take(self.from.width - place.left) {
                    target.put::<S>(y, x, S::add(*value, bias), slope);
                }
            }
        }
    }
}

/// Gradients of the weights and biases of a layer, out of its inputs and the gradients of its
/// outputs.
pub(super) struct Correlation<S: Isa> {
    inputs: usize,
    outputs: usize,
    group: usize,
    set: PhantomData<S>,
}

impl<S: Isa> Correlation<S> {
    pub(super) fn new(inputs: usize, outputs: usize) -> Self {
        assert!(S::available());
        let group = group_of::<S>(outputs.div_ceil(S::LANES));
        Self { inputs, outputs, group, set: PhantomData }
    }

    /// Inputs with those that fill the last vector up.
    #[inline(always)]
    const fn padded_inputs(&self) -> usize {
        self.inputs.next_multiple_of(S::LANES)
    }

    /// Values of [`Self::add`]'s sums: `[output group][point][input][vector of the group][lane]`,
    /// and one for each output.
    pub(super) const fn len(&self) -> usize {
        self.outputs.next_multiple_of(S::LANES) * (POINTS * self.padded_inputs() + 1)
    }

    /// Units that the sums can be finished in.
    pub(super) const fn units(&self) -> usize {
        self.outputs.div_ceil(S::LANES) * self.inputs
    }

    /// Adds the products of inputs and gradients over some tiles, which are numbered as in
    /// [`Winograd::run`]; what the sums held before does not count if they are `fresh`.
    pub(super) fn add(
        &self,
        from: &Map,
        gradient: &Map,
        tiles: Range<usize>,
        sums: &mut Aligned,
        fresh: bool,
    ) {
        assert!(from.channels == self.inputs && gradient.channels == self.outputs);
        assert!(from.lanes == S::LANES && gradient.lanes == S::LANES);
        assert!(tiles.end <= from.tiles() && sums.len() == self.len());
        let sizes = |map: &Map| [map.images, map.height, map.width, map.image, map.row];
        assert!(sizes(from) == sizes(gradient));
        assert!(from.border > 0 && from.border == gradient.border);
        let steps = |channels: usize| POINTS * point_step::<S>(channels.div_ceil(S::LANES));
        let scratch = [Aligned::lent(steps(self.inputs)), Aligned::lent(steps(self.outputs))];
        let [inputs, gradients] = [scratch[0].pointer(), scratch[1].pointer()];
        let sums = sums.pointer();
        // SAFETY: `new` has looked for the instruction set; the sizes were compared.
        unsafe {
            S::enter(Add { of: self, from, gradient, tiles, inputs, gradients, sums, fresh });
        }
    }

    /// Adds sums up in their order and finishes one unit of them.
    ///
    /// # Safety
    /// `weight` has as many values as the layer has weights and `bias` as it has outputs; nobody
    /// else uses those of this unit.
    pub(super) unsafe fn finish(
        &self,
        parts: &[Aligned],
        unit: usize,
        weight: *mut f32,
        bias: *mut f32,
    ) {
        assert!(unit < self.units() && parts.iter().all(|sums| sums.len() == self.len()));
        // SAFETY: `new` has looked for the instruction set; the caller's promise.
        unsafe { S::enter(Finish { of: self, parts, unit, weight, bias }) };
    }
}

struct Add<'a, S: Isa> {
    of: &'a Correlation<S>,
    from: &'a Map,
    gradient: &'a Map,
    tiles: Range<usize>,
    inputs: *mut f32,
    gradients: *mut f32,
    sums: *mut f32,
    fresh: bool,
}

impl<S: Isa> Kernel<S> for Add<'_, S> {
    #[inline(always)]
    unsafe fn run(self) {
        let Range { start: mut first, end } = self.tiles;
        let mut fresh = self.fresh;
        while first < end {
            let count = BLOCK.min(end - first);
            let places = self.from.places(first);
            let places = &places[..count];
            unsafe {
                transform_inputs::<S>(self.from, self.inputs, places);
                for block in 0..self.of.outputs.div_ceil(S::LANES) {
                    self.gradient(block, places, fresh);
                }
                for group in 0..self.of.outputs.div_ceil(S::LANES * self.of.group) {
                    // Group times inputs sums and the group's gradients fit into the registers;
                    // all numbers of inputs divide the lanes.
                    match (S::LANES, self.of.group) {
                        (16, 3) => self.products::<3, 8>(group, count, fresh),
                        (16, 2) => self.products::<2, 8>(group, count, fresh),
                        (16, 1) => self.products::<1, 16>(group, count, fresh),
                        (8, 1) => self.products::<1, 8>(group, count, fresh),
                        (_, 4) => self.products::<4, 4>(group, count, fresh),
                        (_, 3) => self.products::<3, 4>(group, count, fresh),
                        (_, 2) => self.products::<2, 4>(group, count, fresh),
                        _ => self.products::<1, 4>(group, count, fresh),
                    }
                }
            }
            fresh = false;
            first += count;
        }
    }
}

impl<S: Isa> Add<'_, S> {
    /// Transforms the gradients of some tiles and one block of outputs, and sums them.
    #[inline(always)]
    unsafe fn gradient(&self, block: usize, places: &[Place], fresh: bool) {
        let (lanes, map) = (S::LANES, self.gradient);
        let blocks = self.of.outputs.div_ceil(lanes);
        let step = point_step::<S>(blocks);
        unsafe {
            let zero = S::splat(0.0);
            let total = self.sums.add(self.of.len() - (blocks - block) * lanes);
            let mut bias = if fresh { zero } else { S::load(total) };
            for (number, place) in places.iter().enumerate() {
                let corner = block * map.block + place.corner;
                let source = map.data.pointer().add(corner + map.row + lanes);
                // [column point][y]
                let mut half = [[MaybeUninit::<S::V>::uninit(); TILE]; SIDE];
                for y in 0..TILE {
                    let mut line = [zero; TILE];
                    for (x, value) in line.iter_mut().enumerate() {
                        *value = S::load(source.add(y * map.row + x * lanes));
                    }
                    let sum = S::add(S::add(line[0], line[1]), S::add(line[2], line[3]));
                    bias = S::add(bias, sum);
                    let line = gradient_of_sums::<S>(line);
                    for x in 0..SIDE {
                        half[x][y].write(line[x]);
                    }
                }
                let target = self.gradients.add((block * BLOCK + number) * lanes);
                for (x, half) in half.iter().enumerate() {
                    let mut line = [zero; TILE];
                    for (value, half) in line.iter_mut().zip(half) {
                        *value = half.assume_init();
                    }
                    let line = gradient_of_sums::<S>(line);
                    for (y, value) in line.iter().enumerate() {
                        S::store(target.add((y * SIDE + x) * step), *value);
                    }
                }
            }
            S::store(total, bias);
        }
    }

    /// For every transform point: gradients of an output group times inputs, over all tiles.
    #[inline(always)]
    unsafe fn products<const GROUP: usize, const INPUTS: usize>(
        &self,
        group: usize,
        count: usize,
        fresh: bool,
    ) {
        let (lanes, of) = (S::LANES, self.of);
        let input_step = point_step::<S>(of.inputs.div_ceil(lanes));
        let gradient_step = point_step::<S>(of.outputs.div_ceil(lanes));
        unsafe {
            for point in 0..POINTS {
                let gradients = self.gradients.add(point * gradient_step);
                let gradients = gradients.add(group * GROUP * BLOCK * lanes);
                let target = (group * POINTS + point) * of.padded_inputs() * GROUP * lanes;
                for first in (0..of.inputs).step_by(INPUTS) {
                    let target = self.sums.add(target + first * GROUP * lanes);
                    let mut sums = [[S::splat(0.0); INPUTS]; GROUP];
                    if !fresh {
                        for input in 0..INPUTS {
                            for i in 0..GROUP {
                                sums[i][input] = S::load(target.add((input * GROUP + i) * lanes));
                            }
                        }
                    }
                    let place = first / lanes * BLOCK * lanes + first % lanes;
                    let mut input = self.inputs.add(point * input_step + place);
                    let mut gradient = gradients;
                    for _ in 0..count {
                        let mut vectors = [S::load(gradient); GROUP];
                        for (i, vector) in vectors.iter_mut().enumerate().skip(1) {
                            *vector = S::load(gradient.add(i * BLOCK * lanes));
                        }
                        for j in 0..INPUTS {
                            let value = S::splat(*input.add(j));
                            for i in 0..GROUP {
                                sums[i][j] = S::fma(vectors[i], value, sums[i][j]);
                            }
                        }
                        gradient = gradient.add(lanes);
                        input = input.add(lanes);
                    }
                    for input in 0..INPUTS {
                        for i in 0..GROUP {
                            S::store(target.add((input * GROUP + i) * lanes), sums[i][input]);
                        }
                    }
                }
            }
        }
    }
}

struct Finish<'a, S: Isa> {
    of: &'a Correlation<S>,
    parts: &'a [Aligned],
    unit: usize,
    weight: *mut f32,
    bias: *mut f32,
}

impl<S: Isa> Kernel<S> for Finish<'_, S> {
    #[inline(always)]
    unsafe fn run(self) {
        let (lanes, of) = (S::LANES, self.of);
        let (block, input) = (self.unit / of.inputs, self.unit % of.inputs);
        let (group, vector) = (block / of.group, block % of.group);
        let length = of.padded_inputs() * of.group * lanes;
        let outputs = (of.outputs - block * lanes).min(lanes);
        unsafe {
            let zero = S::splat(0.0);
            let total = |at: usize| {
                let mut sum = zero;
                for part in self.parts {
                    sum = S::add(sum, S::load(part.pointer().add(at)));
                }
                sum
            };
            let mut lane = [0.0_f32; MOST_LANES];
            let first = group * POINTS * length + (input * of.group + vector) * lanes;
            // [x][row point]
            let mut half = [[zero; SIDE]; 3];
            for y in 0..SIDE {
                let mut line = [zero; SIDE];
                for (x, value) in line.iter_mut().enumerate() {
                    *value = total(first + (y * SIDE + x) * length);
                }
                for (half, value) in half.iter_mut().zip(gradient_of_weight::<S>(line)) {
                    half[y] = value;
                }
            }
            for (x, half) in half.iter().enumerate() {
                for (y, value) in gradient_of_weight::<S>(*half).iter().enumerate() {
                    S::store(lane.as_mut_ptr(), *value);
                    for (i, value) in lane.iter().enumerate().take(outputs) {
                        let output = block * lanes + i;
                        let at = (output * of.inputs + input) * 9 + y * 3 + x;
                        self.weight.add(at).write(*value);
                    }
                }
            }
            if input == 0 {
                let padded = of.outputs.next_multiple_of(lanes);
                S::store(lane.as_mut_ptr(), total(of.len() - padded + block * lanes));
                for (i, value) in lane.iter().enumerate().take(outputs) {
                    self.bias.add(block * lanes + i).write(*value);
                }
            }
        }
    }
}
