//! The residual family: SRResNet and its relatives.
//!
//! C. Ledig et al., "Photo-realistic single image super-resolution using a
//! generative adversarial network", CVPR 2017, figure 4 (SRResNet, the
//! generator of SRGAN), and leaner forms of it without batch normalisation
//! that add their result to a bilinear enlargement.

use burn::{
    module::Module,
    nn::{
        BatchNorm, BatchNormConfig, PaddingConfig2d, PixelShuffle, PixelShuffleConfig,
        conv::{Conv2d, Conv2dConfig},
    },
    tensor::{Device, Tensor},
};
use serde::{Deserialize, Serialize};

use super::{
    Generator, Reach,
    blocks::{
        Activation, ActivationKind, Interpolation, ResidualBlock, continued_to, conv, enlarge,
        normed, onto_bilinear, same_conv, zero,
    },
    direct::{Beside, Filter, Graph},
};

/// How features become a larger picture, and with which head and tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upsampler {
    /// 3x3 head; one 3x3 convolution to `3 * scale²` channels and one pixel
    /// shuffle, added to the bilinear enlargement of the input. With a stride
    /// the head is wider and the shuffle makes up for it.
    Direct,
    /// As Ledig et al.: 9x9 head with activation; per doubling a 3x3
    /// convolution to four times the channels, a pixel shuffle by two and an
    /// activation; a 9x9 tail. The scale is a power of two.
    SubPixel,
}

/// Shape of a [`ResidualUpscaler`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualConfig {
    /// Feature channels.
    pub channels: usize,
    /// Residual blocks.
    pub blocks: usize,
    /// Batch normalisation after the convolutions of the body.
    pub batch_norm: bool,
    /// Non-linearity.
    pub activation: ActivationKind,
    /// Head, tail and enlargement.
    pub upsampler: Upsampler,
    /// Output size over input size.
    pub scale: usize,
    /// How many times smaller than the input the features are: 1, 2 or 4. More is for networks
    /// that hardly enlarge: much of the picture is seen at little work (as by K. Zhang et al.,
    /// "`FFDNet`", 2018). Above 1, the head is a convolution of this stride, `2 * stride + 1` wide;
    /// only for [`Upsampler::Direct`].
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub stride: usize,
    /// Whether a fourth channel says what is to be filled: 1 inside the mask, 0 outside. Only for
    /// [`Upsampler::Direct`] at scale 1.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mask: bool,
    /// Whether the picture as it was given follows the mask, as by
    /// [`UnetConfig::marked`](super::unet::UnetConfig::marked).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub marked: bool,
}

const fn one() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_one(value: &usize) -> bool {
    *value == 1
}

impl ResidualConfig {
    /// The lean one of the shipped `starter`: 8 blocks of 48, one pixel shuffle by 4.
    #[must_use]
    pub const fn starter() -> Self {
        Self {
            channels: 48,
            blocks: 8,
            batch_norm: false,
            activation: ActivationKind::PReluPerChannel,
            upsampler: Upsampler::Direct,
            scale: 4,
            stride: 1,
            mask: false,
            marked: false,
        }
    }

    /// As the starter, at half the size of a picture that keeps its own: for noise, JPEG and blur.
    #[must_use]
    pub const fn restorer() -> Self {
        Self { scale: 1, stride: 2, ..Self::starter() }
    }

    /// The generator of Ledig et al.: 16 blocks of 64, batch norm, `PReLU`,
    /// 9x9 head and tail, two doublings.
    #[must_use]
    pub const fn srgan() -> Self {
        Self {
            channels: 64,
            blocks: 16,
            batch_norm: true,
            activation: ActivationKind::PRelu,
            upsampler: Upsampler::SubPixel,
            scale: 4,
            stride: 1,
            mask: false,
            marked: false,
        }
    }

    /// As [`Self::restorer`], for what a mask marks.
    #[must_use]
    pub const fn mender() -> Self {
        Self { mask: true, marked: true, ..Self::restorer() }
    }

    /// Why there can be no such network.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let scale = match self.upsampler {
            Upsampler::Direct => {
                [1, 2, 4].contains(&self.stride)
                    && (1..=16).contains(&self.scale)
                    && self.scale * self.stride <= 16
            }
            Upsampler::SubPixel => {
                self.stride == 1 && self.scale.is_power_of_two() && self.scale <= 16
            }
        };
        if self.marked && !self.mask {
            return Err("what is marked is told by a mask");
        }
        if self.mask && (self.scale > 1 || self.upsampler != Upsampler::Direct) {
            return Err("a network that fills a mask does not enlarge");
        }
        let sound = scale && (1..=1024).contains(&self.channels) && self.blocks <= 256;
        if sound { Ok(()) } else { Err("its channels, blocks or scale are out of range") }
    }

    const fn inputs(&self) -> usize {
        3 + self.mask as usize + 3 * self.marked as usize
    }

    /// A network whose weights are still to be drawn or read.
    #[must_use]
    pub fn init(&self, device: &Device) -> ResidualUpscaler {
        let Self { channels, activation, scale, stride, .. } = *self;
        let (head, head_activation, upsample, tail) = match self.upsampler {
            Upsampler::Direct => {
                let factor = stride * scale;
                let stage = UpsampleStage {
                    conv: same_conv(channels, 3 * factor * factor, 3, device),
                    shuffle: PixelShuffleConfig::new(factor).init(),
                    activation: None,
                };
                let head = Conv2dConfig::new([self.inputs(), channels], [2 * stride + 1; 2])
                    .with_stride([stride; 2])
                    .with_padding(PaddingConfig2d::Explicit(stride, stride, stride, stride))
                    .init(device);
                (head, None, vec![stage], None)
            }
            Upsampler::SubPixel => {
                let stage = || UpsampleStage {
                    conv: same_conv(channels, 4 * channels, 3, device),
                    shuffle: PixelShuffleConfig::new(2).init(),
                    activation: Some(activation.init(channels, device)),
                };
                (
                    same_conv(3, channels, 9, device),
                    Some(activation.init(channels, device)),
                    (0..scale.ilog2()).map(|_| stage()).collect(),
                    Some(same_conv(channels, 3, 9, device)),
                )
            }
        };
        ResidualUpscaler {
            head,
            head_activation,
            body: (0..self.blocks)
                .map(|_| ResidualBlock::new(channels, self.batch_norm, activation, device))
                .collect(),
            body_conv: same_conv(channels, channels, 3, device),
            body_norm: self.batch_norm.then(|| BatchNormConfig::new(channels).init(device)),
            upsample,
            tail,
            scale,
            stride,
            mask: self.mask,
            marked: self.marked,
        }
    }
}

/// Convolution, pixel shuffle and perhaps an activation.
#[derive(Module, Debug)]
struct UpsampleStage {
    conv: Conv2d,
    shuffle: PixelShuffle,
    activation: Option<Activation>,
}

/// See the module's documentation; made by [`ResidualConfig::init`].
#[derive(Module, Debug)]
pub struct ResidualUpscaler {
    head: Conv2d,
    head_activation: Option<Activation>,
    body: Vec<ResidualBlock>,
    body_conv: Conv2d,
    body_norm: Option<BatchNorm>,
    upsample: Vec<UpsampleStage>,
    /// Without a tail the result is added to the enlarged input.
    tail: Option<Conv2d>,
    scale: usize,
    stride: usize,
    mask: bool,
    marked: bool,
}

impl ResidualUpscaler {
    /// The same network with its last convolution at zero: it answers with the bilinear
    /// enlargement, from where training goes on calmly. Only for [`Upsampler::Direct`].
    #[must_use]
    pub fn starting_from_bilinear(mut self) -> Self {
        if self.tail.is_none()
            && let Some(stage) = self.upsample.last_mut()
        {
            zero(&mut stage.conv);
        }
        self
    }

    /// The same network with all blocks from one on silent; see [`ResidualBlock::silent`].
    #[must_use]
    pub fn silent_from(mut self, block: usize) -> Self {
        let silenced = |(index, body): (usize, ResidualBlock)| {
            if index < block { body } else { body.silent() }
        };
        self.body = self.body.into_iter().enumerate().map(silenced).collect();
        self
    }

    /// Its steps for the CPU path; `None` if weights cannot be read.
    pub(super) fn graph(&self) -> Option<Graph> {
        let inputs = self.inputs();
        let mut graph = Graph::new(inputs, self.stride);
        let picture = graph.picture(vec![1.0; inputs], vec![0.0; inputs]);
        let mut head = Filter::of(&self.head)?;
        if let Some(activation) = &self.head_activation {
            head = head.active(activation)?;
        }
        let first = graph.conv(picture, head, Beside::NOTHING);
        let mut features = first;
        for block in &self.body {
            features = block.steps(&mut graph, features)?;
        }
        let last = Filter::of(&self.body_conv)?.normed(self.body_norm.as_ref())?;
        features = graph.conv(features, last, Beside::plus(first));
        let Some(tail) = &self.tail else {
            // One pixel shuffle, which the answer goes through.
            let [stage] = &self.upsample[..] else { return None };
            let features = graph.conv(features, Filter::of(&stage.conv)?, Beside::NOTHING);
            let onto = Some(Interpolation::Bilinear);
            return Some(graph.finished(features, self.scale, self.stride * self.scale, onto));
        };
        for stage in &self.upsample {
            let (mut filter, factor) = (Filter::of(&stage.conv)?, stage.shuffle.upscale_factor);
            if let Some(activation) = &stage.activation {
                filter = filter.active_after_shuffle(activation, factor)?;
            }
            features = graph.conv(features, filter, Beside::shuffled(factor, 0));
        }
        let answer = graph.conv(features, Filter::of(tail)?, Beside::NOTHING);
        Some(graph.finished(answer, self.scale, 1, None))
    }
}

impl Generator for ResidualUpscaler {
    /// Any size: to multiples of the stride the picture is continued by its last row and column.
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = input.dims();
        let input = continued_to(input, self.stride);
        let mut features = conv(&self.head, input.clone());
        if let Some(activation) = &self.head_activation {
            features = activation.forward(features);
        }
        let skip = features.clone();
        for block in &self.body {
            features = block.forward(features);
        }
        features = skip + normed(self.body_norm.as_ref(), conv(&self.body_conv, features));
        if let (None, [stage]) = (&self.tail, &self.upsample[..]) {
            let features = conv(&stage.conv, features);
            let input = input.narrow(1, 0, 3);
            if self.stride == 1 {
                return onto_bilinear(features, input, self.scale);
            }
            let answer = stage.shuffle.forward(features)
                + enlarge(input, self.scale, Interpolation::Bilinear);
            return answer.narrow(2, 0, height * self.scale).narrow(3, 0, width * self.scale);
        }
        for stage in &self.upsample {
            features = stage.shuffle.forward(conv(&stage.conv, features));
            if let Some(activation) = &stage.activation {
                features = activation.forward(features);
            }
        }
        match &self.tail {
            Some(tail) => conv(tail, features),
            None => features,
        }
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

    /// Every convolution adds half its kernel; one that works on a picture
    /// enlarged `r` times adds that over `r`.
    fn reach(&self) -> Reach {
        let radius = |conv: &Conv2d| (conv.kernel_size[0] / 2) as f64;
        if self.stride > 1 {
            // From a corner of its square, over the squares around it, and beyond them by the head.
            let squares = 2 * self.body.len() + 2;
            let reach = self.stride - 1 + squares * self.stride + self.head.kernel_size[0] / 2;
            return Reach::Pixels(reach as u32);
        }
        let mut reach = radius(&self.head) + radius(&self.body_conv);
        reach += 2.0 * self.body.len() as f64; // two 3x3 convolutions a block
        let mut enlarged = 1.0;
        for stage in &self.upsample {
            reach += radius(&stage.conv) / enlarged;
            enlarged *= stage.shuffle.upscale_factor as f64;
        }
        if let Some(tail) = &self.tail {
            reach += radius(tail) / enlarged;
        }
        Reach::Pixels(reach.ceil() as u32)
    }

    fn grid(&self) -> u32 {
        self.stride as u32
    }

    fn parameters(&self) -> usize {
        self.num_params()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    #[test]
    fn parameter_counts_are_those_of_the_papers_and_of_the_starter() {
        let device = Device::flex();
        assert_eq!(ResidualConfig::starter().init(&device).parameters(), 375_840);

        // Ledig et al., counted by hand: convolutions with bias, batch norm
        // with scale and shift, one slope per PReLU.
        let conv =
            |input: usize, output: usize, kernel: usize| (input * kernel * kernel + 1) * output;
        let block = 2 * conv(64, 64, 3) + 2 * 128 + 1;
        let expected = conv(3, 64, 9)
            + 1
            + 16 * block
            + conv(64, 64, 3)
            + 128
            + 2 * (conv(64, 256, 3) + 1)
            + conv(64, 3, 9);
        let network = ResidualConfig::srgan().init(&device);
        // Running mean and variance of batch norm are stored, not trained.
        let running = 2 * 64 * (2 * 16 + 1);
        assert!(
            [expected, expected + running].contains(&network.parameters()),
            "{} is neither {expected} nor that with running statistics",
            network.parameters()
        );
        // leftthomas/SRGAN, five blocks, prints 734,219.
        let five = ResidualConfig { blocks: 5, ..ResidualConfig::srgan() };
        let expected: usize = 734_219;
        let running = 2 * 64 * 11;
        assert!([expected, expected + running].contains(&five.init(&device).parameters()));
    }

    #[test]
    fn the_reach_is_measured_too() {
        // Change one input pixel and see how far the output changes.
        let device = Device::flex();
        let small = |upsampler| ResidualConfig {
            channels: 4,
            blocks: 2,
            batch_norm: false,
            activation: ActivationKind::LeakyRelu { slope: 0.2 },
            upsampler,
            scale: 4,
            stride: 1,
            mask: false,
            marked: false,
        };
        for (upsampler, expected) in [(Upsampler::Direct, 7), (Upsampler::SubPixel, 12)] {
            let network = small(upsampler).init(&device);
            assert_eq!(network.reach(), Reach::Pixels(expected));
            let (side, centre) = (33_usize, 16_usize);
            let input = Tensor::<4>::zeros([1, 3, side, side], &device) + 0.5;
            let spot = Tensor::<4>::zeros([1, 3, 1, 1], &device) + 5.0;
            let changed = input
                .clone()
                .slice_assign([0..1, 0..3, centre..centre + 1, centre..centre + 1], spot);
            let difference = (network.forward(changed) - network.forward(input)).abs();
            let values = difference.into_data().try_into_vec::<f32>().unwrap();
            let wide = side * 4;
            let furthest = values
                .iter()
                .enumerate()
                .filter(|(_, v)| **v > 0.0)
                .map(|(i, _)| ((i % wide) / 4).abs_diff(centre))
                .max()
                .unwrap();
            assert!(furthest as u32 <= expected, "{upsampler:?} reaches {furthest}");
            assert!(furthest as u32 + 1 >= expected, "{upsampler:?} reaches only {furthest}");
        }
    }

    #[test]
    fn a_strided_one_keeps_any_size_and_reaches_as_far_as_it_says() {
        let device = Device::flex();
        for (stride, scale) in [(2, 1), (2, 2), (4, 1)] {
            let config = ResidualConfig {
                channels: 4,
                blocks: 1,
                stride,
                scale,
                ..ResidualConfig::starter()
            };
            let network = config.init(&device);
            let Reach::Pixels(reach) = network.reach() else { panic!() };
            let odd = Tensor::<4>::zeros([1, 3, 13, 7], &device);
            assert_eq!(network.forward(odd).dims(), [1, 3, 13 * scale, 7 * scale]);
            let fresh = network.clone().starting_from_bilinear();
            let ramp = (0..3 * 91).map(|i| i as f32 / 300.0).collect::<Vec<_>>();
            let ramp = Tensor::from_data(TensorData::new(ramp, [1, 3, 13, 7]), &device);
            let expected = enlarge(ramp.clone(), scale, Interpolation::Bilinear);
            let apart = (fresh.forward(ramp) - expected).abs().max().into_scalar::<f32>();
            assert!(apart < 1e-6, "{apart}");

            let wide = 2 * reach as usize + 16;
            let mut seen = 0;
            for centre in reach as usize + 4..reach as usize + 8 {
                let input = Tensor::<4>::zeros([1, 3, 1, wide], &device) + 0.5;
                let spot = Tensor::<4>::zeros([1, 3, 1, 1], &device) + 50.0;
                let changed =
                    input.clone().slice_assign([0..1, 0..3, 0..1, centre..centre + 1], spot);
                let difference = (network.forward(changed) - network.forward(input)).abs();
                let values = difference.into_data().try_into_vec::<f32>().unwrap();
                let far = |i: usize| (i % (wide * scale) / scale).abs_diff(centre);
                let changed = (0..values.len()).filter(|i| values[*i] > 0.0);
                seen = seen.max(changed.map(far).max().unwrap());
            }
            assert!(seen <= reach as usize && seen + stride >= reach as usize, "{seen} of {reach}");
        }
    }
}
