//! The CPU path: chains of 3x3 convolutions by Winograd's method in vector instructions.
//!
//! Burn's CPU backend works through im2col on one thread; on two cores this path took between
//! a sixth and an eighteenth of its time. It covers networks of 3x3 convolutions of stride 1 with residuals; what it does
//! not cover stays with Burn, which is also the reference in tests (differences below 1e-4).
#![expect(unsafe_code, reason = "vector instructions, and maps that threads share")]

use std::sync::{Mutex, PoisonError};

use burn::{
    module::Param,
    nn::conv::Conv2d,
    tensor::{Device, Tensor, TensorData},
};

use self::{
    chain::{Chain, Step},
    enlarge::shuffle_onto_bilinear,
    map::Map,
    simd::{Isa, Portable},
    winograd::{After, Layer},
};
use super::{Generator, Reach, ResidualUpscaler, blocks::Activation};

mod chain;
mod enlarge;
mod map;
mod memory;
mod prelu;
mod simd;
mod train;
#[expect(clippy::needless_range_loop, reason = "kernels walk several arrays by one index")]
mod winograd;

pub use self::{enlarge::onto_bilinear, memory::KeptMemory, prelu::prelu, train::convolution};

/// The instruction sets that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionSet {
    /// x86-64, sixteen lanes.
    Avx512,
    /// x86-64, eight lanes.
    Avx2,
    /// 64-bit ARM, four lanes.
    Neon,
    /// Any processor.
    Portable,
}

impl InstructionSet {
    /// Those that this processor has, the fastest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if simd::Avx512::available() {
                sets.push(Self::Avx512);
            }
            if simd::Avx2::available() {
                sets.push(Self::Avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        sets.push(Self::Neon);
        sets.push(Self::Portable);
        sets
    }

    fn run<W: OnSet>(self, work: W) -> W::Answer {
        assert!(Self::available().contains(&self), "this processor does not have {self:?}");
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => work.run::<simd::Avx512>(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => work.run::<simd::Avx2>(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => work.run::<simd::Neon>(),
            _ => work.run::<Portable>(),
        }
    }
}

/// Work that any instruction set can do.
trait OnSet {
    type Answer;
    fn run<S: Isa>(self) -> Self::Answer;
}

/// Makes a chain.
struct Steps(Vec<Step>);

impl OnSet for Steps {
    type Answer = Box<dyn Runner>;

    fn run<S: Isa>(self) -> Box<dyn Runner> {
        Box::new(Chain::<S>::new(self.0))
    }
}

/// A chain without its instruction set.
trait Runner: Send {
    fn run(&mut self, planes: &[f32], height: usize, width: usize, threads: usize) -> &Map;
    fn set(&self) -> &'static str;
}

impl<S: Isa> Runner for Chain<S> {
    fn run(&mut self, planes: &[f32], height: usize, width: usize, threads: usize) -> &Map {
        Self::run(self, planes, height, width, threads)
    }

    fn set(&self) -> &'static str {
        S::NAME
    }
}

/// A [`ResidualUpscaler`] of 3x3 convolutions, for the CPU.
pub struct Direct {
    chain: Mutex<Box<dyn Runner>>,
    threads: usize,
    scale: usize,
    reach: Reach,
    parameters: usize,
}

impl Direct {
    /// The same network on the fastest instruction set and all threads of the pool; `None` if
    /// it has layers that this path does not know.
    #[must_use]
    pub fn of(network: &ResidualUpscaler) -> Option<Self> {
        let set = InstructionSet::available()[0];
        Self::on(network, set, rayon::current_num_threads())
    }

    /// The same network on a chosen instruction set and number of threads.
    ///
    /// # Panics
    /// If this processor does not have the instruction set.
    #[must_use]
    pub fn on(network: &ResidualUpscaler, set: InstructionSet, threads: usize) -> Option<Self> {
        Some(Self {
            chain: Mutex::new(set.run(Steps(steps_of(network)?))),
            threads,
            scale: network.scale() as usize,
            reach: network.reach(),
            parameters: network.parameters(),
        })
    }
}

/// The picture.
const INPUT: usize = 0;
/// Features of the head, kept for the shortcut around the body.
const HEAD: usize = 1;
/// Features between blocks.
const BODY: usize = 2;
/// Features within a block.
const INNER: usize = 3;
/// What the pixel shuffle takes.
const RESULT: usize = 4;

fn steps_of(network: &ResidualUpscaler) -> Option<Vec<Step>> {
    let parts = network.parts()?;
    let mut steps =
        vec![Step { layer: layer_of(parts.head, None)?, from: INPUT, to: HEAD, residual: None }];
    let mut from = HEAD;
    for block in parts.body {
        let (conv1, activation, conv2) = block.parts()?;
        let layer = layer_of(conv1, Some(activation))?;
        steps.push(Step { layer, from, to: INNER, residual: None });
        let layer = layer_of(conv2, None)?;
        steps.push(Step { layer, from: INNER, to: BODY, residual: Some(from) });
        from = BODY;
    }
    // The inner map is free again after the last block.
    let layer = layer_of(parts.body_conv, None)?;
    steps.push(Step { layer, from, to: INNER, residual: Some(HEAD) });
    let layer = layer_of(parts.upsample, None)?;
    steps.push(Step { layer, from: INNER, to: RESULT, residual: None });
    Some(steps)
}

/// A convolution as this path knows it; `None` for any other kind.
fn layer_of(conv: &Conv2d, activation: Option<&Activation>) -> Option<Layer> {
    let [outputs, inputs, rows, columns] = conv.weight.val().dims();
    let plain = conv.stride == [1, 1] && conv.dilation == [1, 1] && conv.groups == 1;
    if !plain || (rows, columns) != (3, 3) {
        return None;
    }
    let bias = match &conv.bias {
        Some(bias) => values(bias)?,
        None => vec![0.0; outputs],
    };
    let after = match activation {
        None => After::Linear,
        Some(Activation::Relu(_)) => After::Slope(vec![0.0; outputs]),
        Some(Activation::LeakyRelu(leaky)) => {
            After::Slope(vec![leaky.negative_slope as f32; outputs])
        }
        Some(Activation::PRelu(layer)) => {
            let slopes = values(&layer.alpha)?;
            After::Slope(if slopes.len() == 1 { slopes.repeat(outputs) } else { slopes })
        }
    };
    Some(Layer { inputs, outputs, weight: values(&conv.weight)?, bias, after })
}

fn values<const D: usize>(param: &Param<Tensor<D>>) -> Option<Vec<f32>> {
    param.val().try_into_data().ok()?.try_into_vec::<f32>().ok()
}

impl Generator for Direct {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [count, channels, height, width] = input.dims();
        let planes = input.into_data().try_into_vec::<f32>().unwrap_or_default();
        let (big_height, big_width) = (height * self.scale, width * self.scale);
        let mut answer = vec![0.0; count * 3 * big_height * big_width];
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        let inputs = planes.chunks_exact(channels * height * width);
        for (input, answer) in inputs.zip(answer.chunks_exact_mut(3 * big_height * big_width)) {
            let result = chain.run(input, height, width, self.threads);
            let feature = |channel, y, x| result.data.slice()[result.index(channel, y, x)];
            shuffle_onto_bilinear(feature, input, [height, width], self.scale, answer);
        }
        let shape = [count, 3, big_height, big_width];
        Tensor::from_data(TensorData::new(answer, shape), &Device::flex())
    }

    fn scale(&self) -> u32 {
        self.scale as u32
    }

    fn channels(&self) -> u32 {
        3
    }

    fn reach(&self) -> Reach {
        self.reach
    }

    fn parameters(&self) -> usize {
        self.parameters
    }

    fn kernels(&self) -> String {
        let chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        format!("Winograd, {}", chain.set())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            blocks::ActivationKind,
            residual::{ResidualConfig, Upsampler},
        },
        winograd::{TILE, Winograd},
        *,
    };

    pub(super) fn noise(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
        let next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    fn layer(inputs: usize, outputs: usize, seed: u32) -> Layer {
        let norm = 1.0 / (9.0 * inputs as f32).sqrt();
        Layer {
            inputs,
            outputs,
            weight: noise(outputs * inputs * 9, seed).iter().map(|w| w * norm).collect(),
            bias: noise(outputs, seed + 1),
            after: After::Slope(noise(outputs, seed + 2)),
        }
    }

    /// The plain sum in double precision.
    fn expected(
        layer: &Layer,
        input: &[f32],
        residual: &[f32],
        height: usize,
        width: usize,
    ) -> Vec<f32> {
        let mut result = Vec::new();
        for output in 0..layer.outputs {
            for y in 0..height {
                for x in 0..width {
                    let mut sum = f64::from(layer.bias[output]);
                    for channel in 0..layer.inputs {
                        for k in 0..9 {
                            let (sy, sx) =
                                ((y + k / 3).wrapping_sub(1), (x + k % 3).wrapping_sub(1));
                            if sy < height && sx < width {
                                let value = input[(channel * height + sy) * width + sx];
                                let weight =
                                    layer.weight[(output * layer.inputs + channel) * 9 + k];
                                sum += f64::from(value) * f64::from(weight);
                            }
                        }
                    }
                    if let (true, After::Slope(slopes)) = (sum < 0.0, &layer.after) {
                        sum *= f64::from(slopes[output]);
                    }
                    let place = (output * height + y) * width + x;
                    result.push(sum as f32 + residual[place]);
                }
            }
        }
        result
    }

    fn check_kernel<S: Isa>() {
        if !S::available() {
            return; // `every_available_set_is_tested` counts those that are.
        }
        let sizes = [
            (3, 48, 5, 9),
            (48, 48, 13, 31),
            (64, 64, 8, 12),
            (64, 48, 4, 4),
            (32, 16, 1, 3),
            (16, 32, 7, 1),
            (28, 50, 9, 10),
            (5, 3, 6, 17),
            (1, 1, 1, 1),
        ];
        for (seed, (inputs, outputs, height, width)) in (1..).zip(sizes) {
            let layer = layer(inputs, outputs, seed);
            let input = noise(inputs * height * width, 77);
            let residual = noise(outputs * height * width, 78);
            let map = |channels, values: &[f32]| {
                let mut map =
                    Map::zeroed(map::Sizes { images: 1, channels, height, width }, S::LANES, TILE);
                let place = map::Place { height, first: 0, images: 1, rows: 0..height };
                map.fill::<S>(values, &place);
                map
            };
            let from = map(inputs, &input);
            // Added in place, as the body of a network does.
            let to = map(outputs, &residual);
            let rows = 0..height.div_ceil(TILE);
            // SAFETY: availability was asked for, and nobody else uses the maps.
            unsafe { Winograd::<S>::new(&layer).run(&from, &to, Some(&to), rows) };
            let expected = expected(&layer, &input, &residual, height, width);
            let mut inside = 0.0;
            for (i, expected) in expected.iter().enumerate() {
                let (channel, place) = (i / (height * width), i % (height * width));
                let got = to.data.slice()[to.index(channel, place / width, place % width)];
                assert!((got - expected).abs() < 1e-5, "{} {i}: {got} {expected}", S::NAME);
                inside += f64::from(got.abs());
            }
            let total: f64 = to.data.slice().iter().map(|value| f64::from(value.abs())).sum();
            assert!((total - inside).abs() <= 1e-6 * total, "the border was written to");
        }
    }

    #[test]
    fn every_available_set_computes_the_plain_sum() {
        check_kernel::<Portable>();
        #[cfg(target_arch = "x86_64")]
        {
            check_kernel::<simd::Avx2>();
            check_kernel::<simd::Avx512>();
        }
        #[cfg(target_arch = "aarch64")]
        check_kernel::<simd::Neon>();
    }

    fn network(activation: ActivationKind) -> ResidualUpscaler {
        let config = ResidualConfig {
            channels: 20,
            blocks: 3,
            batch_norm: false,
            activation,
            upsampler: Upsampler::Direct,
            scale: 4,
        };
        config.init(&Device::flex())
    }

    fn answer(network: &dyn Generator, height: usize, width: usize) -> Vec<f32> {
        let input = noise(3 * height * width, 5);
        let input = TensorData::new(input, [1, 3, height, width]);
        let answer = network.forward(Tensor::from_data(input, &Device::flex()));
        answer.into_data().try_into_vec::<f32>().unwrap()
    }

    #[test]
    fn networks_answer_as_with_burn() {
        for activation in [
            ActivationKind::Relu,
            ActivationKind::LeakyRelu { slope: 0.2 },
            ActivationKind::PRelu,
            ActivationKind::PReluPerChannel,
        ] {
            let network = network(activation);
            for (height, width) in [(1, 1), (2, 9), (23, 31)] {
                let expected = answer(&network, height, width);
                for set in InstructionSet::available() {
                    let direct = Direct::on(&network, set, 2).unwrap();
                    let got = answer(&direct, height, width);
                    assert_eq!(got.len(), expected.len());
                    let worst = got.iter().zip(&expected).map(|(a, b)| (a - b).abs());
                    let worst = worst.fold(0.0, f32::max);
                    assert!(worst < 1e-4, "{set:?} {height}x{width}: {worst}");
                }
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let network = network(ActivationKind::PReluPerChannel);
        for set in InstructionSet::available() {
            let one = answer(&Direct::on(&network, set, 1).unwrap(), 70, 33);
            for threads in [2, 3, 7] {
                let several = answer(&Direct::on(&network, set, threads).unwrap(), 70, 33);
                assert!(one == several, "{set:?}, {threads} threads");
            }
        }
    }

    #[test]
    fn other_layers_stay_with_burn() {
        let network = ResidualConfig::srgan().init(&Device::flex());
        assert!(Direct::of(&network).is_none(), "9x9 convolutions are not known");
    }
}
