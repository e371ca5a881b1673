//! Convolution of any kernel size and stride as a matrix product.
//!
//! The inputs of a few pixels are copied to a panel, tap by tap and whole channel blocks at a
//! time, with zeros for what lies beyond the picture; then weights stream past it. Only panels of
//! pixels in work exist, never those of a picture.

use std::{cell::RefCell, ops::Range};

use super::{
    map::{Aligned, Map},
    output::Output,
    simd::{Isa, Kernel},
    winograd::group_of,
};

/// Values of the panels that are made before weights stream past them: they stay in the
/// second-level cache.
const PANELS: usize = 64 << 10;

/// Most panels at once.
const MOST: usize = 64;

/// A convolution with padding of half its kernel.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    /// Whether the input is planes, and not blocks of channels.
    pub(super) planes: bool,
}

/// A layer with its weights laid out for an instruction set.
pub(super) struct Gemm<S: Isa> {
    shape: Shape,
    /// Output vectors that are summed at once.
    group: usize,
    /// Numbers of inputs that follow each other in a panel's vectors; the rest of a vector is
    /// not used.
    lengths: Vec<usize>,
    /// `[output group][input of the panel][vector of the group][lane]`
    weights: Aligned,
    bias: Aligned,
    slope: Option<Aligned>,
    set: std::marker::PhantomData<S>,
}

thread_local! {
    static SCRATCH: RefCell<Aligned> = RefCell::new(Aligned::zeroed(0));
}

/// Pixels of a panel: times the group they are the sums that fit into the registers.
const fn pixels(registers: usize, group: usize) -> usize {
    match (registers, group) {
        (32, 3 | 4) | (16, 2) => 6,
        _ => 12,
    }
}

impl<S: Isa> Gemm<S> {
    /// `weight` is `[outputs][inputs][kernel][kernel]`.
    pub(super) fn new(shape: Shape, weight: &[f32], bias: &[f32], slope: Option<&[f32]>) -> Self {
        let lanes = S::LANES;
        let blocks = shape.outputs.div_ceil(lanes);
        let group = group_of::<S>(blocks);
        let area = shape.kernel * shape.kernel;
        // In the order of the panel: number in the input channels' kernels, `[input][tap]`.
        let order: Vec<usize> = if shape.planes {
            (0..shape.inputs * area).collect()
        } else {
            (0..area).flat_map(|tap| (0..shape.inputs).map(move |i| i * area + tap)).collect()
        };
        let run = if shape.planes { order.len() } else { shape.inputs };
        let lengths: Vec<usize> = (0..order.len() / run.max(1))
            .flat_map(|_| (0..run).step_by(lanes).map(|first| (run - first).min(lanes)))
            .collect();
        let mut weights = Aligned::zeroed(blocks * lanes * order.len());
        let mut values = weights.slice_mut().iter_mut();
        for first in (0..blocks * lanes).step_by(group * lanes) {
            for place in &order {
                for (output, value) in (first..first + group * lanes).zip(&mut values) {
                    if output < shape.outputs {
                        *value = weight[output * shape.inputs * area + place];
                    }
                }
            }
        }
        Self {
            shape,
            group,
            lengths,
            weights,
            bias: Aligned::padded(bias, lanes),
            slope: slope.map(|slope| Aligned::padded(slope, lanes)),
            set: std::marker::PhantomData,
        }
    }

    const fn pixels(&self) -> usize {
        pixels(S::REGISTERS, self.group)
    }

    /// Values of a panel.
    const fn panel(&self) -> usize {
        self.lengths.len() * self.pixels() * S::LANES
    }

    /// Pixels that one unit of work has.
    pub(super) fn unit(&self) -> usize {
        (PANELS / self.panel()).clamp(1, MOST) * self.pixels()
    }

    /// How many groups of outputs there are, which can be computed apart.
    pub(super) const fn groups(&self) -> usize {
        self.shape.outputs.div_ceil(S::LANES * self.group)
    }

    /// Height or width of the output.
    pub(super) const fn side(&self, input: usize) -> usize {
        (input + 2 * (self.shape.kernel / 2) - self.shape.kernel) / self.shape.stride + 1
    }

    /// Computes some output pixels, which are numbered row by row, of some output groups. At most
    /// [`Self::unit`] pixels.
    ///
    /// # Safety
    /// No other thread may use these pixels of the output, nor write to `from` and the residual
    /// where they depend on them; `from` is not written to. The maps fit the layer and the
    /// instruction set, which this processor has.
    pub(super) unsafe fn run(
        &self,
        from: &Map,
        output: Output<'_>,
        pixels: Range<usize>,
        groups: Range<usize>,
    ) {
        let (height, width) = (self.side(from.height), self.side(from.width));
        assert!(pixels.end <= height * width && pixels.len() <= self.unit());
        assert!(groups.end <= self.groups() && from.channels >= self.shape.inputs);
        assert!(from.lanes == if self.shape.planes { 1 } else { S::LANES });
        assert!(!self.shape.planes || from.border >= self.shape.kernel / 2);
        output.check(self.shape.outputs, [1, height, width], S::LANES);
        SCRATCH.with_borrow_mut(|scratch| {
            let whole = self.panel() * pixels.len().div_ceil(self.pixels());
            let length = whole + self.group * self.pixels() * S::LANES;
            if scratch.len() < length {
                *scratch = Aligned::zeroed(length);
            }
            let panels = scratch.pointer();
            // SAFETY: the caller's promises, and scratch of this thread of sufficient size.
            unsafe {
                let sums = panels.add(whole);
                S::enter(Run { layer: self, from, output, width, pixels, groups, panels, sums });
            }
        });
    }
}

struct Run<'a, S: Isa> {
    layer: &'a Gemm<S>,
    from: &'a Map,
    output: Output<'a>,
    /// Of the output.
    width: usize,
    pixels: Range<usize>,
    groups: Range<usize>,
    panels: *mut f32,
    /// Sums of a panel on their way out: the array of those that are in work stays in registers
    /// only if it is never indexed by what is not constant.
    sums: *mut f32,
}

impl<S: Isa> Kernel<S> for Run<'_, S> {
    #[inline(always)]
    unsafe fn run(self) {
        let layer = self.layer;
        unsafe {
            for (number, first) in self.pixels.clone().step_by(layer.pixels()).enumerate() {
                let panel = self.panels.add(number * layer.panel());
                for lane in 0..layer.pixels().min(self.pixels.end - first) {
                    let (y, x) = ((first + lane) / self.width, (first + lane) % self.width);
                    if layer.shape.planes {
                        self.pack_planes(panel, lane, y, x);
                    } else {
                        self.pack_blocks(panel, lane, y, x);
                    }
                }
            }
            for group in self.groups.clone() {
                match (S::REGISTERS, layer.group) {
                    (32, 4) => self.products::<4, 6>(group),
                    (32, 3) => self.products::<3, 6>(group),
                    (32, 2) => self.products::<2, 12>(group),
                    (_, 2) => self.products::<2, 6>(group),
                    _ => self.products::<1, 12>(group),
                }
            }
        }
    }
}

impl<S: Isa> Run<'_, S> {
    /// The inputs of one output pixel: `[tap][channel block][lane]`, pixels in between.
    #[inline(always)]
    unsafe fn pack_blocks(&self, panel: *mut f32, lane: usize, y: usize, x: usize) {
        let (from, layer, lanes) = (self.from, self.layer, S::LANES);
        let Shape { kernel, stride, inputs, .. } = layer.shape;
        let (blocks, step) = (inputs.div_ceil(lanes), layer.pixels() * lanes);
        unsafe {
            let mut to = panel.add(lane * lanes);
            for ky in 0..kernel {
                let row = (y * stride + ky).wrapping_sub(kernel / 2);
                for kx in 0..kernel {
                    let column = (x * stride + kx).wrapping_sub(kernel / 2);
                    if row < from.height && column < from.width {
                        let mut source = from.data.pointer().add(from.index(0, row, column));
                        for _ in 0..blocks {
                            S::store(to, S::load(source));
                            (to, source) = (to.add(step), source.wrapping_add(from.block));
                        }
                    } else {
                        for _ in 0..blocks {
                            S::store(to, S::splat(0.0));
                            to = to.wrapping_add(step);
                        }
                    }
                }
            }
        }
    }

    /// The inputs of one output pixel: `[channel][tap]`, vectors of them with pixels in between.
    /// The planes have zeros around them.
    #[inline(always)]
    unsafe fn pack_planes(&self, panel: *mut f32, lane: usize, y: usize, x: usize) {
        let (from, layer, lanes) = (self.from, self.layer, S::LANES);
        let Shape { kernel, stride, inputs, .. } = layer.shape;
        let pad = kernel / 2;
        let mut to = panel.wrapping_add(lane * lanes);
        let mut left = lanes;
        unsafe {
            for channel in 0..inputs {
                let corner = from.index_before(channel, [y * stride, pad], [x * stride, pad]);
                let corner = from.data.pointer().add(corner);
                for ky in 0..kernel {
                    let line = corner.add(ky * from.row);
                    for kx in 0..kernel {
                        *to = *line.add(kx);
                        (to, left) = (to.wrapping_add(1), left - 1);
                        if left == 0 {
                            to = to.wrapping_add((layer.pixels() - 1) * lanes);
                            left = lanes;
                        }
                    }
                }
            }
        }
    }

    /// Weights of an output group times the panels.
    #[inline(always)]
    unsafe fn products<const GROUP: usize, const PIXELS: usize>(&self, group: usize) {
        let (lanes, layer) = (S::LANES, self.layer);
        debug_assert_eq!(PIXELS, layer.pixels());
        unsafe {
            let length: usize = layer.lengths.iter().sum();
            let weights = layer.weights.pointer().add(group * length * GROUP * lanes);
            for (number, first) in self.pixels.clone().step_by(PIXELS).enumerate() {
                let mut sums = [[S::splat(0.0); PIXELS]; GROUP];
                let (mut weight, mut vector) = (weights, self.panels.add(number * layer.panel()));
                for length in &layer.lengths {
                    let mut input = vector;
                    for _ in 0..*length {
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
                    vector = vector.add(PIXELS * lanes);
                }
                for (i, sums) in sums.iter().enumerate() {
                    for (pixel, sum) in sums.iter().enumerate() {
                        S::store(self.sums.add((i * PIXELS + pixel) * lanes), *sum);
                    }
                }
                self.finish::<GROUP, PIXELS>(group, first);
            }
        }
    }

    /// Takes the sums of a panel to the output.
    #[inline(always)]
    unsafe fn finish<const GROUP: usize, const PIXELS: usize>(&self, group: usize, first: usize) {
        let (lanes, layer) = (S::LANES, self.layer);
        unsafe {
            for i in 0..GROUP {
                let block = group * GROUP + i;
                let bias = S::load(layer.bias.pointer().add(block * lanes));
                let slope = layer.slope.as_ref();
                let slope = slope.map(|slope| S::load(slope.pointer().add(block * lanes)));
                let target = self.output.target(block);
                let (mut y, mut x) = (first / self.width, first % self.width);
                for pixel in 0..PIXELS.min(self.pixels.end - first) {
                    let sum = S::load(self.sums.add((i * PIXELS + pixel) * lanes));
                    target.put::<S>(y, x, S::add(sum, bias), slope);
                    x += 1;
                    if x == self.width {
                        (y, x) = (y + 1, 0);
                    }
                }
            }
        }
    }
}
