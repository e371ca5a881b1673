//! The same kernels in training: a convolution with its gradients, as an operation of Burn's.
//!
//! A batch is cut into units: bands of one picture, or several small pictures. A thread takes a
//! unit, brings it into blocks of channels, and does all that is to be done with it while it lies
//! in the cache. Gradients of the weights are summed in a few parts, which follow from the sizes
//! alone, and the parts in their order: they are the same to the bit for any number of threads.

use std::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};

use burn::{
    backend::{
        Autodiff, DType, Flex, TensorMetadata as _,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
            grads::Gradients as Found,
            ops::{Backward, NodeGuard, Ops, OpsKind},
        },
        flex::FlexTensor,
        tensor::FloatTensor,
    },
    tensor::{Tensor, TensorData},
};

use super::{
    InstructionSet, OnSet,
    map::{Aligned, Map, Place, Shape},
    output::Output,
    simd::Isa,
    winograd::{After, Correlation, Layer, Scratch, TILE, Winograd},
};

/// Tiles of a unit: so many that the weights are read for several of them, and so few that they
/// stay in the cache.
const UNIT: usize = 64;

/// Parts that gradients of weights are summed in; threads beyond this number have nothing to do.
const PARTS: usize = 16;

/// Values that all parts may have together.
const MOST_SUMS: usize = 1 << 25;

/// How a batch is cut.
#[derive(Clone, Copy)]
struct Cut {
    images: usize,
    height: usize,
    width: usize,
    /// Pictures of a unit.
    together: usize,
    /// Rows of tiles of a unit, in each of its pictures.
    rows: usize,
}

impl Cut {
    fn new(images: usize, height: usize, width: usize) -> Self {
        let (down, across) = (height.div_ceil(TILE), width.div_ceil(TILE));
        let tiles = (images * down * across / PARTS).clamp(UNIT / 4, UNIT);
        let together = (tiles / (down * across)).clamp(1, images);
        let rows = (tiles / across).clamp(2.min(down), down);
        Self { images, height, width, together, rows }
    }

    fn bands(&self) -> usize {
        self.height.div_ceil(self.rows * TILE)
    }

    fn units(&self) -> usize {
        self.images.div_ceil(self.together) * self.bands()
    }

    fn unit(&self, number: usize) -> Place {
        let (first, band) = (number / self.bands() * self.together, number % self.bands());
        let top = band * self.rows * TILE;
        let rows = top..(top + self.rows * TILE).min(self.height);
        let images = self.together.min(self.images - first);
        Place { height: self.height, first, images, rows }
    }

    /// The tiles of a unit in its [`Self::map`].
    const fn tiles(&self, unit: &Place) -> Range<usize> {
        let down = (unit.rows.end - unit.rows.start).div_ceil(TILE);
        0..unit.images * down * self.width.div_ceil(TILE)
    }

    /// Room for one unit.
    fn map<S: Isa>(&self, channels: usize) -> Map {
        let (images, lanes, border, tile) = (self.together, S::LANES, 1, TILE);
        let (height, width) = ((self.rows * TILE).min(self.height), self.width);
        Map::lent(&Shape { images, channels, height, width, lanes, border, tile })
    }

    fn values(&self, channels: usize) -> usize {
        self.images * channels * self.height * self.width
    }
}

/// Values that threads write, each its own.
pub(super) struct Shared {
    start: *mut f32,
}

// SAFETY: whoever writes answers for it, see `Self::start`.
unsafe impl Sync for Shared {}

impl Shared {
    /// Of a list with room for them.
    pub(super) const fn of(values: &mut Vec<f32>) -> Self {
        Self { start: values.as_mut_ptr() }
    }

    pub(super) const fn start(&self) -> *mut f32 {
        self.start
    }
}

/// Runs `work` on up to so many threads; each gets a source of numbers below `count`, of which
/// every one is given once.
pub(super) fn spread(
    threads: usize,
    count: usize,
    work: impl Fn(&dyn Fn() -> Option<usize>) + Sync,
) {
    let next = AtomicUsize::new(0);
    let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count);
    std::thread::scope(|scope| {
        for _ in 1..threads.min(count) {
            // Those that the system does not give are done without.
            let helper = std::thread::Builder::new().spawn_scoped(scope, || work(&take));
            if helper.is_err() {
                break;
            }
        }
        work(&take);
    });
}

/// A convolution of a batch.
struct Forward<'a> {
    cut: Cut,
    layer: Layer,
    planes: &'a [f32],
    threads: usize,
}

impl OnSet for Forward<'_> {
    type Answer = Vec<f32>;

    fn run<S: Isa>(self) -> Vec<f32> {
        let Self { cut, layer, planes, threads } = self;
        assert!(planes.len() == cut.values(layer.inputs));
        let kernel = Winograd::<S>::new(&layer, Aligned::lent);
        let mut answer = Vec::with_capacity(cut.values(layer.outputs));
        let shared = Shared::of(&mut answer);
        spread(threads, cut.units(), |take| {
            let (mut from, to) = (cut.map::<S>(layer.inputs), cut.map::<S>(layer.outputs));
            let mut scratch = Scratch::new();
            while let Some(number) = take() {
                let unit = cut.unit(number);
                from.fill::<S>(planes, &unit);
                // SAFETY: the maps are this thread's, and units are disjoint.
                unsafe {
                    kernel.run(&from, Output::plain(&to, None), cut.tiles(&unit), &mut scratch);
                    to.write::<S>(shared.start(), &unit);
                }
            }
        });
        // SAFETY: all units were written.
        unsafe { answer.set_len(cut.values(layer.outputs)) };
        answer
    }
}

/// Which gradients are asked for.
#[derive(Clone, Copy)]
struct Wanted {
    input: bool,
    weight: bool,
}

/// The gradients of a convolution.
struct Gradients {
    input: Option<Vec<f32>>,
    /// Of the weights and of the biases.
    weight: Option<(Vec<f32>, Vec<f32>)>,
}

/// The way back through [`Forward`].
struct Back<'a> {
    cut: Cut,
    inputs: usize,
    outputs: usize,
    weight: &'a [f32],
    planes: &'a [f32],
    /// Of the outputs.
    gradient: &'a [f32],
    wanted: Wanted,
    threads: usize,
}

impl OnSet for Back<'_> {
    type Answer = Gradients;

    fn run<S: Isa>(self) -> Gradients {
        let Self { cut, inputs, outputs, threads, .. } = self;
        assert!(self.planes.len() == cut.values(inputs));
        assert!(self.gradient.len() == cut.values(outputs));
        let turned = Layer::transposed(self.weight, inputs, outputs);
        let kernel = self.wanted.input.then(|| Winograd::<S>::new(&turned, Aligned::lent));
        let correlation = self.wanted.weight.then(|| Correlation::<S>::new(inputs, outputs));

        let size = correlation.as_ref().map_or(1, Correlation::len);
        let units = cut.units();
        let each = units.div_ceil(PARTS.min(MOST_SUMS / size).max(1));
        let parts = units.div_ceil(each);
        let count = if kernel.is_some() { cut.values(inputs) } else { 0 };
        let mut input = Vec::with_capacity(count);
        let shared = Shared::of(&mut input);
        let sums = std::sync::Mutex::new(Vec::new());
        spread(threads, parts, |take| {
            let (mut from, mut slope) = (cut.map::<S>(inputs), cut.map::<S>(outputs));
            let to = kernel.as_ref().map(|_| cut.map::<S>(inputs));
            let mut scratch = Scratch::new();
            while let Some(part) = take() {
                let mut sum = correlation.as_ref().map(|of| Aligned::lent(of.len()));
                for number in part * each..((part + 1) * each).min(units) {
                    let unit = cut.unit(number);
                    slope.fill::<S>(self.gradient, &unit);
                    if let (Some(of), Some(sum)) = (&correlation, &mut sum) {
                        from.fill::<S>(self.planes, &unit);
                        of.add(&from, &slope, cut.tiles(&unit), sum, number == part * each);
                    }
                    if let (Some(kernel), Some(to)) = (&kernel, &to) {
                        // SAFETY: the maps are this thread's, and units are disjoint.
                        unsafe {
                            let output = Output::plain(to, None);
                            kernel.run(&slope, output, cut.tiles(&unit), &mut scratch);
                            to.write::<S>(shared.start(), &unit);
                        }
                    }
                }
                let mut sums = sums.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                sums.extend(sum.map(|sum| (part, sum)));
            }
        });
        // SAFETY: all units were written.
        unsafe { input.set_len(count) };
        let mut sums = sums.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        sums.sort_by_key(|(part, _)| *part);
        let sums: Vec<Aligned> = sums.into_iter().map(|(_, sum)| sum).collect();
        let weight = correlation.map(|of| {
            let (mut weight, mut bias) = (vec![0.0; inputs * outputs * 9], vec![0.0; outputs]);
            let shared = (Shared::of(&mut weight), Shared::of(&mut bias));
            let shared = &shared;
            spread(threads, of.units(), |take| {
                while let Some(unit) = take() {
                    // SAFETY: every unit is taken once.
                    unsafe { of.finish(&sums, unit, shared.0.start(), shared.1.start()) };
                }
            });
            (weight, bias)
        });
        Gradients { input: kernel.is_some().then_some(input), weight }
    }
}

/// What computes.
#[derive(Clone, Copy, Debug)]
pub(super) struct By {
    pub(super) set: InstructionSet,
    pub(super) threads: usize,
}

impl By {
    pub(super) fn all() -> Self {
        Self { set: InstructionSet::available()[0], threads: rayon::current_num_threads() }
    }

    fn forward(
        self,
        input: &FlexTensor,
        weight: &FlexTensor,
        bias: Option<&FlexTensor>,
    ) -> FlexTensor {
        let (cut, inputs, outputs) = sizes(input, weight);
        let bias = bias.map_or_else(|| vec![0.0; outputs], |bias| values(bias).to_vec());
        let weight = values(weight).to_vec();
        let layer = Layer { inputs, outputs, weight, bias, after: After::Linear };
        let forward = Forward { cut, layer, planes: values(input), threads: self.threads };
        let answer = self.set.run(forward);
        tensor(answer, [cut.images, outputs, cut.height, cut.width])
    }

    fn back(
        self,
        input: &FlexTensor,
        weight: &FlexTensor,
        gradient: &FlexTensor,
        wanted: Wanted,
    ) -> Gradients {
        let (cut, inputs, outputs) = sizes(input, weight);
        let (weight, planes) = (values(weight), values(input));
        let (gradient, threads) = (values(gradient), self.threads);
        self.set.run(Back { cut, inputs, outputs, weight, planes, gradient, wanted, threads })
    }
}

fn sizes(input: &FlexTensor, weight: &FlexTensor) -> (Cut, usize, usize) {
    let (input, weight) = (input.shape(), weight.shape());
    (Cut::new(input[0], input[2], input[3]), weight[1], weight[0])
}

/// Of a tensor that [`plain`] gave.
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().unwrap_or_default()
}

pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// The values in the order of their dimensions.
pub(super) fn plain(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// The operation in Burn's graph. Its parents are input, weight and perhaps bias.
#[derive(Debug)]
struct Convolution;

impl<const N: usize> Backward<Flex, N> for Convolution {
    type State = (By, FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, N>, found: &mut Found, _: &mut Checkpointer) {
        let (by, input, weight) = ops.state;
        let gradient = plain(found.consume::<Flex>(&ops.node));
        let mut parents = ops.parents.into_iter();
        let mut parent = || parents.next().flatten();
        let [of_input, of_weight, of_bias] = [parent(), parent(), parent()];
        let wanted =
            Wanted { input: of_input.is_some(), weight: of_weight.is_some() || of_bias.is_some() };
        let gradients = by.back(&input, &weight, &gradient, wanted);
        if let (Some(node), Some(values)) = (of_input, gradients.input) {
            let shape: [usize; 4] = input.shape().dims();
            found.register::<Flex>(node.id, tensor(values, shape));
        }
        let (values, biases) = gradients.weight.unwrap_or_default();
        if let Some(node) = of_weight {
            let shape: [usize; 4] = weight.shape().dims();
            found.register::<Flex>(node.id, tensor(values, shape));
        }
        if let Some(node) = of_bias {
            let shape = [biases.len()];
            found.register::<Flex>(node.id, tensor(biases, shape));
        }
    }
}

/// The backend that training on the CPU runs on.
type Tracked = Autodiff<Flex>;

pub(super) fn tracked<const D: usize>(tensor: &Tensor<D>) -> Option<FloatTensor<Tracked>> {
    let tensor = tensor.clone().try_into_primitive::<Tracked>().ok()?;
    (tensor.dtype() == DType::F32).then_some(tensor)
}

/// A 3x3 convolution of stride 1 with zero padding of 1, and its gradients; `None` for tensors
/// that are not of 32 bit and on the CPU with gradients.
#[must_use]
pub fn convolution(
    input: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
) -> Option<Tensor<4>> {
    convolution_by(By::all(), input, weight, bias)
}

fn convolution_by(
    by: By,
    input: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
) -> Option<Tensor<4>> {
    let (input, weight) = (tracked(input)?, tracked(weight)?);
    let (input, of_input) = input.into_parts();
    let (weight, of_weight) = weight.into_parts();
    let (input, weight) = (plain(input), plain(weight));
    let state = (by, input.clone(), weight.clone());
    let answer = match bias {
        Some(bias) => {
            let (bias, of_bias) = tracked(bias)?.into_parts();
            let bias = plain(bias);
            let answer = by.forward(&input, &weight, Some(&bias));
            registered(Convolution, [of_input, of_weight, of_bias], state, answer)
        }
        None => {
            let answer = by.forward(&input, &weight, None);
            registered(Convolution, [of_input, of_weight], state, answer)
        }
    };
    Some(answer)
}

/// An operation with its answer, in Burn's graph.
pub(super) fn registered<O: Backward<Flex, N>, const N: usize>(
    operation: O,
    parents: [NodeGuard; N],
    state: O::State,
    answer: FlexTensor,
) -> Tensor<4> {
    let answer = match operation.prepare::<NoCheckpointing>(parents).compute_bound().stateful() {
        OpsKind::Tracked(operation) => operation.finish(state, answer),
        OpsKind::UnTracked(operation) => operation.finish(answer),
    };
    Tensor::from_primitive::<Tracked>(answer)
}

#[cfg(test)]
mod tests {
    use burn::{
        module::Module as _,
        optim::GradientsParams,
        tensor::{Device, module::conv2d, ops::ConvOptions},
    };

    use super::{
        super::{super::residual::ResidualConfig, tests::noise},
        *,
    };
    use crate::net::{Generator as _, ResidualUpscaler, slots};

    /// Images, inputs, outputs, height and width.
    const CASES: [[usize; 5]; 9] = [
        [1, 3, 48, 1, 1],
        [3, 48, 48, 5, 7],
        [2, 48, 3, 33, 31],
        [2, 5, 7, 33, 31],
        [40, 7, 5, 3, 2],
        [1, 20, 33, 70, 9],
        [2, 64, 64, 9, 12],
        [5, 16, 32, 17, 4],
        [1, 1, 1, 2, 130],
    ];

    fn leaf<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        let device = Device::flex().autodiff();
        Tensor::from_data(TensorData::new(values, shape), &device).require_grad()
    }

    fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    /// Answer, and the gradients of input, weight and bias.
    fn all(
        [images, inputs, outputs, height, width]: [usize; 5],
        convolution: impl Fn(&Tensor<4>, &Tensor<4>, &Tensor<1>) -> Tensor<4>,
    ) -> [Vec<f32>; 4] {
        let input =
            leaf(noise(images * inputs * height * width, 3), [images, inputs, height, width]);
        let weight = leaf(noise(outputs * inputs * 9, 4), [outputs, inputs, 3, 3]);
        let bias = leaf(noise(outputs, 5), [outputs]);
        let answer = convolution(&input, &weight, &bias);
        let slope = leaf(noise(images * outputs * height * width, 6), answer.dims());
        let found = (answer.clone() * slope).sum().backward();
        let gradients = [
            read(input.grad(&found).unwrap()),
            read(weight.grad(&found).unwrap()),
            read(bias.grad(&found).unwrap()),
        ];
        let [of_input, of_weight, of_bias] = gradients;
        [read(answer), of_input, of_weight, of_bias]
    }

    fn by(set: InstructionSet, threads: usize, case: [usize; 5]) -> [Vec<f32>; 4] {
        let by = By { set, threads };
        all(case, |input, weight, bias| convolution_by(by, input, weight, Some(bias)).unwrap())
    }

    fn close(got: &[f32], expected: &[f32], what: &str) {
        assert_eq!(got.len(), expected.len());
        let largest = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let worst = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-4 * largest, "{what}: {worst} of {largest}");
    }

    #[test]
    fn gradients_are_those_of_burn() {
        for case in CASES {
            let expected = all(case, |input, weight, bias| {
                let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
                conv2d(input.clone(), weight.clone(), Some(bias.clone()), options)
            });
            for set in InstructionSet::available() {
                let got = by(set, 2, case);
                for (index, (got, expected)) in got.iter().zip(&expected).enumerate() {
                    close(got, expected, &format!("{set:?} {case:?} {index}"));
                }
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit_of_gradients() {
        for case in CASES {
            for set in InstructionSet::available() {
                let one = by(set, 1, case);
                for threads in [2, 3] {
                    assert!(one == by(set, threads, case), "{set:?} {case:?} {threads}");
                }
            }
        }
    }

    /// The sum of squares of a convolution's answer, in double precision.
    fn squares(sizes: [usize; 5], input: &[f64], weight: &[f64], bias: &[f64]) -> f64 {
        let [images, inputs, outputs, height, width] = sizes;
        let mut squares = 0.0;
        for image in 0..images {
            for output in 0..outputs {
                for place in 0..height * width {
                    let (y, x) = (place / width, place % width);
                    let mut sum = bias[output];
                    for channel in 0..inputs {
                        for k in 0..9 {
                            let (y, x) = ((y + k / 3).wrapping_sub(1), (x + k % 3).wrapping_sub(1));
                            if y < height && x < width {
                                let plane = image * inputs + channel;
                                sum += input[(plane * height + y) * width + x]
                                    * weight[(output * inputs + channel) * 9 + k];
                            }
                        }
                    }
                    squares += sum * sum;
                }
            }
        }
        squares
    }

    #[test]
    fn gradients_are_finite_differences() {
        let sizes @ [images, inputs, outputs, height, width] = [2, 2, 3, 5, 3];
        let numbers = [
            noise(images * inputs * height * width, 7),
            noise(outputs * inputs * 9, 8),
            noise(outputs, 9),
        ];
        let input = leaf(numbers[0].clone(), [images, inputs, height, width]);
        let weight = leaf(numbers[1].clone(), [outputs, inputs, 3, 3]);
        let bias = leaf(numbers[2].clone(), [outputs]);
        let answer = convolution(&input, &weight, Some(&bias)).unwrap();
        let found = (answer.clone() * answer).sum().backward();
        let gradients = [
            read(input.grad(&found).unwrap()),
            read(weight.grad(&found).unwrap()),
            read(bias.grad(&found).unwrap()),
        ];
        let exact = numbers.map(|values| values.into_iter().map(f64::from).collect::<Vec<_>>());
        for (which, gradient) in gradients.iter().enumerate() {
            let difference = |place: usize| {
                let at = |shift: f64| {
                    let mut exact = exact.clone();
                    exact[which][place] += shift;
                    squares(sizes, &exact[0], &exact[1], &exact[2])
                };
                // Exact for a square but for rounding.
                ((at(1e-3) - at(-1e-3)) / 2e-3) as f32
            };
            let expected: Vec<f32> = (0..gradient.len()).map(difference).collect();
            close(gradient, &expected, "finite differences");
        }
    }

    #[test]
    fn what_does_not_learn_has_no_gradient() {
        let case = [2, 5, 7, 6, 9];
        let together = by(InstructionSet::available()[0], 2, case);
        let no_input = all(case, |input, weight, bias| {
            let fixed = convolution(&input.clone().detach(), weight, Some(bias)).unwrap();
            fixed + input.clone().sum().reshape([1, 1, 1, 1]) * 0.0
        });
        assert!(no_input[1].iter().all(|value| *value == 0.0));
        assert!(no_input[2] == together[2] && no_input[3] == together[3]);
        let no_weight = all(case, |input, weight, bias| {
            let fixed = convolution(input, &weight.clone().detach(), None).unwrap();
            fixed + (weight.clone().sum() + bias.clone().sum()).reshape([1, 1, 1, 1]) * 0.0
        });
        assert!(no_weight[1] == together[1]);
    }

    #[test]
    fn other_tensors_stay_with_burn() {
        let weight = |device: &Device| Tensor::<4>::zeros([2, 2, 3, 3], device);
        let plain = Device::flex();
        assert!(convolution(&weight(&plain), &weight(&plain), None).is_none());
        let half = weight(&plain.autodiff()).cast(DType::F64);
        assert!(convolution(&half, &half, None).is_none());
    }

    /// The gradients of a network's weights for a step of training.
    fn step(network: &ResidualUpscaler, kind: DType) -> Vec<Vec<f32>> {
        struct Collect<'a>(&'a GradientsParams, Vec<Vec<f32>>);
        impl burn::module::ModuleVisitor for Collect<'_> {
            fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
                self.1.push(read(self.0.get::<D>(param.id).unwrap()));
            }
        }
        let device = Device::flex().autodiff();
        let input = TensorData::new(noise(4 * 3 * 9 * 11, 12), [4, 3, 9, 11]);
        let input = Tensor::<4>::from_data(input, &device).cast(kind);
        let answer = slots::cast(network.clone(), kind).forward(input);
        let goal = TensorData::new(noise(4 * 3 * 36 * 44, 13), [4, 3, 36, 44]);
        let goal = Tensor::<4>::from_data(goal, &device).cast(kind);
        let difference = answer - goal;
        let loss = (difference.clone() * difference).mean();
        let mut collect =
            Collect(&GradientsParams::from_grads(loss.backward(), network), Vec::new());
        network.visit(&mut collect);
        collect.1
    }

    #[test]
    fn a_network_learns_as_with_burn() {
        let config = ResidualConfig { channels: 20, blocks: 2, ..ResidualConfig::starter() };
        let network = config.init(&Device::flex().autodiff());
        // In double precision all is Burn's.
        let expected = step(&network, DType::F64);
        for (got, expected) in step(&network, DType::F32).iter().zip(&expected) {
            close(got, expected, "a network");
        }
    }
}
