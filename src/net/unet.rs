//! The U-Net on a residual encoder.
//!
//! O. Ronneberger et al., "U-Net", 2015, in the form that J. Howard and S. Gugger describe in
//! "fastai: a layered API for deep learning" (2020): the encoder is a ResNet (K. He et al., 2016;
//! ResNet-34 at full size, with the names of torchvision's weights), its maps cross over and are
//! concatenated as in a DenseNet, and each step up is a pixel shuffle that begins as a nearest
//! enlargement (ICNR) and is blurred.

use burn::{
    module::Module,
    nn::{
        BatchNorm, BatchNormConfig, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
        pool::{MaxPool2d, MaxPool2dConfig},
    },
    tensor::{Device, Tensor, TensorData, activation::relu},
};
use serde::{Deserialize, Serialize};

use super::{
    Generator, Reach,
    blocks::{
        IMAGENET_DEVIATION, IMAGENET_MEAN, Interpolation, ShuffleUp, continued_to, conv, enlarge,
        normed, same_conv, zero,
    },
    direct::{Beside, Filter, Graph, Value},
};

/// The encoder halves a picture this many times.
const HALVINGS: u32 = 5;

/// Shape of a [`Unet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnetConfig {
    /// Channels of the first stage; the others have one, two, four and eight times as many.
    pub width: usize,
    /// Residual blocks of each stage.
    pub blocks: [usize; 4],
    /// Batch normalisation in the encoder and where its maps cross over.
    pub batch_norm: bool,
    /// Output size over input size: 1, 2, 4 or 8.
    pub scale: usize,
    /// Whether a fourth channel says what is to be filled: 1 inside the mask, 0 outside. Then the
    /// scale is 1.
    pub mask: bool,
    /// Whether three more channels follow the mask: the picture as it was given, marks and all. The
    /// first three, to which the answer is added, then hold it with what is marked continued
    /// smoothly: so the network begins with a fair fill, and still sees what shines through.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub marked: bool,
}

impl UnetConfig {
    /// On ResNet-34: 41 million parameters.
    #[must_use]
    pub const fn full() -> Self {
        Self {
            width: 64,
            blocks: [3, 4, 6, 3],
            batch_norm: true,
            scale: 1,
            mask: false,
            marked: false,
        }
    }

    /// A size that can be shipped: 2 million parameters.
    #[must_use]
    pub const fn small() -> Self {
        Self {
            width: 16,
            blocks: [2, 2, 2, 2],
            batch_norm: false,
            scale: 1,
            mask: false,
            marked: false,
        }
    }

    /// Why there can be no such network.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let sound = (4..=512).contains(&self.width)
            && self.width.is_multiple_of(4)
            && self.blocks.iter().all(|count| (1..=64).contains(count))
            && [1, 2, 4, 8].contains(&self.scale)
            // Each step of the enlargement halves the channels of the last block.
            && (3 * self.width / 2) >> self.scale.ilog2() > 0;
        if self.marked && !self.mask {
            return Err("what is marked is told by a mask");
        }
        if self.mask && self.scale > 1 {
            return Err("a network that fills a mask does not enlarge");
        }
        if sound { Ok(()) } else { Err("its width, blocks or scale is out of range") }
    }

    const fn inputs(&self) -> usize {
        3 + self.mask as usize + 3 * self.marked as usize
    }

    /// A network whose weights are still to be drawn or read.
    #[must_use]
    pub fn init(&self, device: &Device) -> Unet {
        let Self { width, batch_norm, .. } = *self;
        let norm = |channels| batch_norm.then(|| BatchNormConfig::new(channels).init(device));
        let stage = |index: usize| {
            let (input, output) = match index {
                0 => (width, width),
                _ => (width << (index - 1), width << index),
            };
            let block = |block| match block {
                0 => EncoderBlock::new(input, output, 1 + usize::from(index > 0), *self, device),
                _ => EncoderBlock::new(output, output, 1, *self, device),
            };
            (0..self.blocks[index]).map(block).collect::<Vec<_>>()
        };
        let deepest = 8 * width;
        let conv = |input, output| same_conv(input, output, 3, device);

        let mut decoder = Vec::new();
        let mut channels = deepest;
        for (index, crossing) in [4 * width, 2 * width, width, width].into_iter().enumerate() {
            let joined = channels / 2 + crossing;
            // The last one is wide in pixels, so it is narrow in channels.
            channels = if index == 3 { joined / 2 } else { joined };
            decoder.push(DecoderBlock {
                up: ShuffleUp::new(2 * (joined - crossing), joined - crossing, true, device),
                norm: norm(crossing),
                conv1: conv(joined, channels),
                conv2: conv(channels, channels),
            });
        }
        // fastai does not blur the step that undoes the encoder's first one.
        let mut enlarge = vec![ShuffleUp::new(channels, channels, false, device)];
        for _ in 0..self.scale.ilog2() {
            enlarge.push(ShuffleUp::new(channels, channels / 2, true, device));
            channels /= 2;
        }
        let joined = channels + self.inputs();
        let kernel = |stride: usize, size: usize, input, output| {
            let pad = size / 2;
            Conv2dConfig::new([input, output], [size, size])
                .with_stride([stride, stride])
                .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
                .with_bias(!batch_norm)
                .init(device)
        };
        Unet {
            conv1: kernel(2, 7, self.inputs(), width),
            bn1: norm(width),
            pool: MaxPool2dConfig::new([3, 3])
                .with_strides([2, 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(),
            layer1: stage(0),
            layer2: stage(1),
            layer3: stage(2),
            layer4: stage(3),
            norm: norm(deepest),
            middle1: conv(deepest, 2 * deepest),
            middle2: conv(2 * deepest, deepest),
            decoder,
            enlarge,
            last1: conv(joined, joined),
            last2: conv(joined, joined),
            tail: same_conv(joined, 3, 1, device),
            scale: self.scale,
            mask: self.mask,
            marked: self.marked,
        }
    }
}

/// The basic block of a ResNet.
#[derive(Module, Debug)]
struct EncoderBlock {
    conv1: Conv2d,
    bn1: Option<BatchNorm>,
    conv2: Conv2d,
    bn2: Option<BatchNorm>,
    downsample: Option<Downsample>,
}

/// The shortcut where size and channels change: a 1x1 convolution.
#[derive(Module, Debug)]
struct Downsample {
    conv: Conv2d,
    bn: Option<BatchNorm>,
}

impl EncoderBlock {
    fn new(input: usize, output: usize, stride: usize, of: UnetConfig, device: &Device) -> Self {
        let norm = || of.batch_norm.then(|| BatchNormConfig::new(output).init(device));
        let conv = |input, kernel: usize, stride| {
            let pad = kernel / 2;
            Conv2dConfig::new([input, output], [kernel, kernel])
                .with_stride([stride, stride])
                .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
                .with_bias(!of.batch_norm)
                .init(device)
        };
        Self {
            conv1: conv(input, 3, stride),
            bn1: norm(),
            conv2: conv(output, 3, 1),
            bn2: norm(),
            downsample: (stride > 1)
                .then(|| Downsample { conv: conv(input, 1, stride), bn: norm() }),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let inner = relu(normed(self.bn1.as_ref(), conv(&self.conv1, input.clone())));
        let inner = normed(self.bn2.as_ref(), conv(&self.conv2, inner));
        let shortcut = match &self.downsample {
            Some(layer) => normed(layer.bn.as_ref(), conv(&layer.conv, input)),
            None => input,
        };
        relu(inner + shortcut)
    }

    fn steps(&self, graph: &mut Graph, input: Value) -> Option<Value> {
        let first = Filter::of(&self.conv1)?.normed(self.bn1.as_ref())?.sloped(0.0);
        let inner = graph.conv(input, first, Beside::NOTHING);
        let shortcut = match &self.downsample {
            Some(layer) => {
                let filter = Filter::of(&layer.conv)?.normed(layer.bn.as_ref())?;
                graph.conv(input, filter, Beside::NOTHING)
            }
            None => input,
        };
        let second = Filter::of(&self.conv2)?.normed(self.bn2.as_ref())?.sloped(0.0);
        Some(graph.conv(inner, second, Beside::plus_early(shortcut)))
    }
}

/// A step up: twice the size, joined with what the encoder saw at that size.
#[derive(Module, Debug)]
struct DecoderBlock {
    up: ShuffleUp,
    norm: Option<BatchNorm>,
    conv1: Conv2d,
    conv2: Conv2d,
}

impl DecoderBlock {
    fn forward(&self, below: Tensor<4>, crossing: Tensor<4>) -> Tensor<4> {
        let crossing = normed(self.norm.as_ref(), crossing);
        let joined = relu(Tensor::cat(vec![self.up.forward(below), crossing], 1));
        relu(conv(&self.conv2, relu(conv(&self.conv1, joined))))
    }

    fn steps(&self, graph: &mut Graph, below: Value, crossing: Value) -> Option<Value> {
        let joined = self.conv1.weight.val().dims()[1];
        let room = graph.channels(crossing);
        // What comes from below is not negative, as its own activation came before the blur.
        let both = self.up.steps(graph, below, room)?;
        graph.normed_relu_into(crossing, self.norm.as_ref(), both, joined - room)?;
        let inner = graph.conv(both, Filter::of(&self.conv1)?.sloped(0.0), Beside::NOTHING);
        Some(graph.conv(inner, Filter::of(&self.conv2)?.sloped(0.0), Beside::NOTHING))
    }
}

/// See the module's documentation; made by [`UnetConfig::init`].
#[derive(Module, Debug)]
pub struct Unet {
    conv1: Conv2d,
    bn1: Option<BatchNorm>,
    pool: MaxPool2d,
    layer1: Vec<EncoderBlock>,
    layer2: Vec<EncoderBlock>,
    layer3: Vec<EncoderBlock>,
    layer4: Vec<EncoderBlock>,
    norm: Option<BatchNorm>,
    middle1: Conv2d,
    middle2: Conv2d,
    decoder: Vec<DecoderBlock>,
    /// To the size of the input, then to the size of the output.
    enlarge: Vec<ShuffleUp>,
    last1: Conv2d,
    last2: Conv2d,
    tail: Conv2d,
    scale: usize,
    mask: bool,
    marked: bool,
}

impl Unet {
    /// The maps of the encoder, from half the size of the input, which both sides of must be
    /// multiples of 32, to a thirty-second: `[n, width, h/2, w/2]`, `[n, width, h/4, w/4]`,
    /// `[n, 2 * width, h/8, w/8]` and so on.
    #[must_use]
    pub fn encode(&self, input: Tensor<4>) -> [Tensor<4>; 5] {
        let first = relu(normed(self.bn1.as_ref(), conv(&self.conv1, normalised(input))));
        let run = |stage: &[EncoderBlock], input: Tensor<4>| {
            stage.iter().fold(input, |features, block| block.forward(features))
        };
        let second = run(&self.layer1, self.pool.forward(first.clone()));
        let third = run(&self.layer2, second.clone());
        let fourth = run(&self.layer3, third.clone());
        let fifth = run(&self.layer4, fourth.clone());
        [first, second, third, fourth, fifth]
    }

    /// To train from nothing: steps up that repeat pixels, and an answer that is the (enlarged)
    /// input.
    #[must_use]
    pub fn starting_from_input(mut self) -> Self {
        for block in &mut self.decoder {
            block.up = block.up.clone().icnr();
        }
        self.enlarge = self.enlarge.into_iter().map(ShuffleUp::icnr).collect();
        zero(&mut self.tail);
        self
    }

    /// Its steps for the CPU path; `None` if weights cannot be read.
    pub(super) fn graph(&self) -> Option<Graph> {
        let inputs = self.inputs();
        let normal = || {
            let deviations =
                IMAGENET_DEVIATION.iter().chain(&[1.0]).chain(&IMAGENET_DEVIATION).take(inputs);
            let means = IMAGENET_MEAN.iter().chain(&[0.0]).chain(&IMAGENET_MEAN).take(inputs);
            let addends = means.zip(deviations.clone()).map(|(mean, deviation)| -mean / deviation);
            (deviations.map(|deviation| 1.0 / deviation).collect(), addends.collect())
        };
        let mut graph = Graph::new(inputs, 1 << HALVINGS);
        let (factor, addend) = normal();
        let picture = graph.picture(factor, addend);
        let relu = |conv| Some(Filter::of(conv)?.sloped(0.0));
        let first = Filter::of(&self.conv1)?.normed(self.bn1.as_ref())?.sloped(0.0);
        let first = graph.conv(picture, first, Beside::NOTHING);
        let mut features = graph.pool(first);
        let mut crossings = vec![first];
        for stage in [&self.layer1, &self.layer2, &self.layer3, &self.layer4] {
            for block in stage {
                features = block.steps(&mut graph, features)?;
            }
            crossings.push(features);
        }
        crossings.pop();
        // After the activation of the last block, without a norm this changes nothing.
        let mut features = match &self.norm {
            Some(norm) => graph.normed_relu(features, Some(norm))?,
            None => features,
        };
        for conv in [&self.middle1, &self.middle2] {
            features = graph.conv(features, relu(conv)?, Beside::NOTHING);
        }
        for (block, crossing) in self.decoder.iter().zip(crossings.into_iter().rev()) {
            features = block.steps(&mut graph, features, crossing)?;
        }
        let last = self.enlarge.len() - 1;
        for (number, stage) in self.enlarge.iter().enumerate() {
            let room = if number == last { inputs } else { 0 };
            features = stage.steps(&mut graph, features, room)?;
        }
        let own = graph.channels(features) - inputs;
        graph.picture_into(features, own, (self.scale, Interpolation::Bilinear), normal());
        let inner = graph.conv(features, relu(&self.last1)?, Beside::NOTHING);
        let answer = graph.conv(inner, relu(&self.last2)?, Beside::plus_early(features));
        let answer = graph.conv(answer, Filter::of(&self.tail)?, Beside::NOTHING);
        Some(graph.finished(answer, self.scale, 1, Some(Interpolation::Bilinear)))
    }
}

/// Colours as ImageNet encoders expect them; a mask stays 0 or 1.
fn normalised(input: Tensor<4>) -> Tensor<4> {
    let channels = input.dims()[1];
    let (device, dtype) = (input.device(), input.dtype());
    let constant = |values: [f32; 3], rest: f32| {
        let values = values.into_iter().chain([rest]).chain(values);
        let values: Vec<f32> = values.take(channels).collect();
        Tensor::<4>::from_data(TensorData::new(values, [1, channels, 1, 1]), &device).cast(dtype)
    };
    (input - constant(IMAGENET_MEAN, 0.0)) / constant(IMAGENET_DEVIATION, 1.0)
}

impl Generator for Unet {
    /// Any size: to multiples of 32 the picture is continued by its last row and column.
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = input.dims();
        let padded = continued_to(input, 1 << HALVINGS);
        let [first, second, third, fourth, deepest] = self.encode(padded.clone());
        let middle = relu(normed(self.norm.as_ref(), deepest));
        let middle = relu(conv(&self.middle2, relu(conv(&self.middle1, middle))));
        let crossings = [fourth, third, second, first];
        let mut features = self
            .decoder
            .iter()
            .zip(crossings)
            .fold(middle, |below, (block, crossing)| block.forward(below, crossing));
        for stage in &self.enlarge {
            features = stage.forward(features);
        }
        let large = enlarge(padded, self.scale, Interpolation::Bilinear);
        let joined = Tensor::cat(vec![features, normalised(large.clone())], 1);
        let inner = conv(&self.last2, relu(conv(&self.last1, joined.clone())));
        let answer = conv(&self.tail, relu(joined + inner)) + large.narrow(1, 0, 3);
        answer.narrow(2, 0, height * self.scale).narrow(3, 0, width * self.scale)
    }

    fn scale(&self) -> u32 {
        self.scale as u32
    }

    fn channels(&self) -> u32 {
        3
    }

    fn takes_mask(&self) -> bool {
        self.mask
    }

    fn takes_marked(&self) -> bool {
        self.marked
    }

    /// In truth a thousand pixels or so, and in steps of 32: no halo is worth that.
    fn reach(&self) -> Reach {
        Reach::Whole
    }

    fn grid(&self) -> u32 {
        1 << HALVINGS
    }

    fn parameters(&self) -> usize {
        self.num_params()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny(scale: usize, mask: bool) -> UnetConfig {
        UnetConfig { width: 4, blocks: [1; 4], scale, mask, ..UnetConfig::small() }
    }

    fn wave(shape: [usize; 4]) -> Tensor<4> {
        let values = (0..shape.iter().product()).map(|i| 0.5 + 0.4 * (i as f32 * 0.37).sin());
        Tensor::from_data(TensorData::new(values.collect::<Vec<_>>(), shape), &Device::flex())
    }

    #[test]
    fn every_size_goes_through_and_a_new_one_answers_with_its_input() {
        let device = Device::flex();
        for (scale, mask) in [(1, false), (1, true), (4, false)] {
            let network = tiny(scale, mask).init(&device).starting_from_input();
            let input = wave([2, 3 + usize::from(mask), 21, 34]);
            let answer = network.forward(input.clone());
            assert_eq!(answer.dims(), [2, 3, 21 * scale, 34 * scale]);
            let expected = enlarge(input.narrow(1, 0, 3), scale, Interpolation::Bilinear);
            assert!((answer - expected).abs().max().into_scalar::<f32>() < 1e-6);
        }
    }

    #[test]
    fn the_full_size_is_that_of_fastai() {
        // Numbers of fastai 2.8.12 on torch 2.15 (`DynamicUnet` on torchvision's resnet34 with
        // blur and last_cross), convolutions filled by the same formula, norms at 1 and 0.
        let device = Device::flex();
        let network = UnetConfig::full().init(&device);
        let slots = crate::net::slots::of(&network);
        assert_eq!(slots.iter().map(crate::net::slots::Slot::len).sum::<usize>(), 41_240_340);
        let convs: Vec<_> = slots.iter().filter(|slot| slot.shape.len() == 4).collect();
        let wave = |i: usize, t: usize| (0.37 * i as f64 + 0.1 * t as f64).sin();
        let network = crate::net::slots::filled(network, &device, |path| {
            let of = |name: &str| convs.iter().position(|slot| slot.path == name);
            if let Some(t) = of(path) {
                let shape = &convs[t].shape;
                let scale = (2.0 / (shape[1] * shape[2] * shape[3]) as f64).sqrt();
                return Some((0..convs[t].len()).map(|i| (wave(i, t) * scale) as f32).collect());
            }
            let t = of(&format!("{}.weight", path.strip_suffix(".bias")?))?;
            Some((0..convs[t].shape[0]).map(|i| (0.05 * wave(i, t)) as f32).collect())
        });
        let at =
            |c: usize, y: usize, x: usize| 0.5 + 0.5 * (0.1 * (c * 7 + y * 3 + x * 5) as f64).sin();
        let places = (0..3 * 64 * 64).map(|i| at(i / 4096, i / 64 % 64, i % 64) as f32);
        let data = TensorData::new(places.collect::<Vec<_>>(), [1, 3, 64, 64]);
        let input = Tensor::<4>::from_data(data, &device);

        let deepest = network.encode(input.clone())[4].clone();
        assert_eq!(deepest.dims(), [1, 512, 2, 2]);
        let mean = deepest.mean().into_scalar::<f32>();
        assert!((mean - 0.001_704_133).abs() < 1e-7, "{mean}");

        // Ours adds its input.
        let added = network.forward(input.clone()) - input;
        let row: Vec<f32> = added.clone().into_data().try_into_vec().unwrap();
        let expected = [0.060_819_495, -1.151_569_4, -1.898_850_5, -1.425_168, 0.264_451_7];
        for (value, expected) in row.iter().zip(expected) {
            assert!((value - expected).abs() < 2e-5, "{value} instead of {expected}");
        }
        let mean = added.abs().mean().into_scalar::<f32>();
        assert!((mean - 1.566_997).abs() < 1e-5, "{mean}");
    }
}
