//! Parts that several networks share.

use burn::{
    module::Module,
    nn::{
        BatchNorm, BatchNormConfig, LeakyRelu, LeakyReluConfig, PRelu, PReluConfig,
        PaddingConfig2d, PixelShuffle, PixelShuffleConfig, Relu,
        conv::{Conv2d, Conv2dConfig},
    },
    tensor::{Device, Tensor, TensorData, activation::relu, module::conv2d, ops::ConvOptions},
};
use serde::{Deserialize, Serialize};

use super::direct::{self, Beside, Filter, Graph, Value};

/// Means of red, green and blue over ImageNet, which encoders and feature networks are trained with.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];

/// Standard deviations of red, green and blue over ImageNet.
pub const IMAGENET_DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// Convolution of stride 1 that keeps the size: zeros are read beyond the
/// border. `kernel` is odd.
#[must_use]
pub fn same_conv(input: usize, output: usize, kernel: usize, device: &Device) -> Conv2d {
    let pad = kernel / 2;
    Conv2dConfig::new([input, output], [kernel, kernel])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .init(device)
}

/// A convolution; by the program's own kernels where they have one with gradients.
#[must_use]
pub fn conv(layer: &Conv2d, input: Tensor<4>) -> Tensor<4> {
    let plain = layer.kernel_size == [3, 3]
        && layer.stride == [1, 1]
        && layer.dilation == [1, 1]
        && layer.groups == 1
        && matches!(layer.padding, PaddingConfig2d::Same | PaddingConfig2d::Explicit(1, 1, 1, 1));
    let bias = layer.bias.as_ref().map(|bias| bias.val());
    let own = || direct::convolution(&input, &layer.weight.val(), bias.as_ref());
    plain.then(own).flatten().unwrap_or_else(|| layer.forward(input))
}

/// Sets a convolution to zero: what it is added to goes through unchanged.
pub fn zero(conv: &mut Conv2d) {
    fn zeros<const D: usize>(value: &Tensor<D>) -> Tensor<D> {
        value.zeros_like().set_require_grad(value.is_require_grad())
    }
    conv.weight = conv.weight.clone().map(|value| zeros(&value));
    conv.bias = conv.bias.take().map(|bias| bias.map(|value| zeros(&value)));
}

/// How pixels between pixels are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// There are none: pixels are repeated.
    Nearest,
    /// On straight lines.
    Bilinear,
    /// R. Keys, "Cubic convolution interpolation", 1981, with a = -0.5.
    Bicubic,
}

impl Interpolation {
    /// How many pixels it looks to each side.
    pub(super) const fn radius(self) -> usize {
        match self {
            Self::Nearest => 0,
            Self::Bilinear => 1,
            Self::Bicubic => 2,
        }
    }

    /// Weight of a pixel at a distance.
    pub(super) fn weight(self, distance: f32) -> f32 {
        let d = distance.abs();
        match self {
            Self::Nearest => 1.0, // it looks at one pixel
            Self::Bilinear => (1.0 - d).max(0.0),
            Self::Bicubic if d < 1.0 => (1.5 * d - 2.5) * d * d + 1.0,
            Self::Bicubic if d < 2.0 => ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0,
            Self::Bicubic => 0.0,
        }
    }
}

/// Enlargement with half-pixel centres and clamped edges, `[n, c, h, w]` to
/// `[n, c, h * scale, w * scale]`.
#[must_use]
pub fn enlarge(input: Tensor<4>, scale: usize, interpolation: Interpolation) -> Tensor<4> {
    if scale == 1 {
        return input;
    }
    Enlarger::new(input.dims()[1], scale, interpolation, &input.device()).run(input)
}

/// See [`enlarge`]; for those who do it often.
///
/// Written as a convolution with fixed weights and a pixel shuffle: every device is good at these,
/// while the interpolation kernels of some drivers crash.
#[derive(Debug)]
pub(super) struct Enlarger {
    pub(super) scale: usize,
    radius: usize,
    weight: Tensor<4>,
}

impl Enlarger {
    /// For maps of so many channels.
    pub(super) fn new(
        channels: usize,
        scale: usize,
        interpolation: Interpolation,
        device: &Device,
    ) -> Self {
        let radius = interpolation.radius();
        // Weights of the neighbours for each position within an enlarged pixel.
        let side = 2 * radius + 1;
        let tap = |phase: usize, k: usize| {
            let offset = (phase as f32 + 0.5) / scale as f32 - 0.5;
            interpolation.weight(k as f32 - radius as f32 - offset)
        };
        let area = scale * scale;
        let mut weights = vec![0.0_f32; channels * area * channels * side * side];
        for channel in 0..channels {
            for position in 0..area {
                let first = ((channel * area + position) * channels + channel) * side * side;
                for k in 0..side * side {
                    weights[first + k] =
                        tap(position / scale, k / side) * tap(position % scale, k % side);
                }
            }
        }
        let weight = channels_last(&weights, [channels * area, channels, side], device);
        Self { scale, radius, weight }
    }

    /// What a pixel shuffle makes the enlarged map of.
    pub(super) fn positions(&self, input: Tensor<4>) -> Tensor<4> {
        let padded = continued(input, [self.radius; 4]);
        let weight = self.weight.clone().cast(padded.dtype());
        conv2d(padded, weight, None, ConvOptions::new([1, 1], [0, 0], [1, 1], 1))
    }

    /// The enlarged map.
    pub(super) fn run(&self, input: Tensor<4>) -> Tensor<4> {
        PixelShuffleConfig::new(self.scale).init().forward(self.positions(input))
    }
}

/// Weights `[outputs][inputs][side][side]` of a convolution, which lie in memory as convolutions on
/// graphics cards read them, inputs last: those that lie otherwise are copied for each answer.
pub(super) fn channels_last(
    weights: &[f32],
    [outputs, inputs, side]: [usize; 3],
    device: &Device,
) -> Tensor<4> {
    let area = side * side;
    let mut values = Vec::with_capacity(weights.len());
    for weights in weights.chunks_exact(inputs * area) {
        values.extend((0..area).flat_map(|tap| (0..inputs).map(move |i| weights[i * area + tap])));
    }
    let data = TensorData::new(values, [outputs, side, side, inputs]);
    Tensor::<4>::from_data(data, device).permute([0, 3, 1, 2])
}

/// Pixel shuffle of `features`, added to the bilinear enlargement of `input`.
#[must_use]
pub fn onto_bilinear(features: Tensor<4>, input: Tensor<4>, scale: usize) -> Tensor<4> {
    direct::onto_bilinear(&features, &input, scale).unwrap_or_else(|| {
        PixelShuffleConfig::new(scale).init().forward(features)
            + enlarge(input, scale, Interpolation::Bilinear)
    })
}

/// A map continued by its outermost rows and columns: this many at the left, right, top and
/// bottom. Written with slices, as not every device pads by its edge.
#[must_use]
pub fn continued(input: Tensor<4>, [left, right, top, bottom]: [usize; 4]) -> Tensor<4> {
    let along = |input: Tensor<4>, dim: usize, before: usize, after: usize| {
        if before + after == 0 {
            return input;
        }
        let length = input.dims()[dim];
        let first = input.clone().narrow(dim, 0, 1);
        let last = input.clone().narrow(dim, length - 1, 1);
        let mut parts = vec![first; before];
        parts.push(input);
        parts.extend(vec![last; after]);
        Tensor::cat(parts, dim)
    };
    along(along(input, 3, left, right), 2, top, bottom)
}

/// A map continued to the right and below by its outermost column and row until both sides are
/// multiples of a number.
#[must_use]
pub fn continued_to(input: Tensor<4>, multiple: usize) -> Tensor<4> {
    let [_, _, height, width] = input.dims();
    let missing = |side: usize| side.next_multiple_of(multiple) - side;
    continued(input, [0, missing(width), 0, missing(height)])
}

/// Each pixel `times` by `times` times: nearest-neighbour enlargement.
#[must_use]
pub fn repeated(input: Tensor<4>, times: usize) -> Tensor<4> {
    let [count, channels, height, width] = input.dims();
    input
        .reshape([count, channels, height, 1, width, 1])
        .expand([count, channels, height, times, width, times])
        .reshape([count, channels, height * times, width * times])
}

/// Twice the size: 1x1 convolution, activation, pixel shuffle and perhaps a blur over two pixels, which
/// leaves no checkerboard (Y. Sugawara et al., "Super-resolution using convolutional neural networks
/// without any checkerboard artifacts", 2018).
#[derive(Module, Debug)]
pub struct ShuffleUp {
    conv: Conv2d,
    shuffle: PixelShuffle,
    blur: bool,
}

impl ShuffleUp {
    /// A step whose weights are still to be drawn or read.
    #[must_use]
    pub fn new(input: usize, output: usize, blur: bool, device: &Device) -> Self {
        Self {
            conv: same_conv(input, 4 * output, 1, device),
            shuffle: PixelShuffleConfig::new(2).init(),
            blur,
        }
    }

    /// `[n, input, h, w]` to `[n, output, 2h, 2w]`.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let shuffled = self.shuffle.forward(relu(conv(&self.conv, input)));
        if self.blur { blurred(shuffled) } else { shuffled }
    }

    /// Its steps for the CPU path, with room for more channels after its own.
    pub(super) fn steps(&self, graph: &mut Graph, input: Value, room: usize) -> Option<Value> {
        let filter = Filter::of(&self.conv)?.sloped(0.0);
        if !self.blur {
            return Some(graph.conv(input, filter, Beside::shuffled(2, room)));
        }
        let shuffled = graph.conv(input, filter, Beside::shuffled(2, 0));
        Some(graph.blur(shuffled, room))
    }

    /// The weights drawn anew so that it repeats pixels at first (ICNR): A. Aitken et al.,
    /// "Checkerboard artifact free sub-pixel convolution", 2017.
    #[must_use]
    pub fn icnr(mut self) -> Self {
        self.conv.weight = self.conv.weight.clone().map(|weight| icnr(weight, 4));
        self
    }
}

/// Weights `[positions * out, in, rows, columns]` of a convolution before a pixel shuffle, with
/// those of the first of `positions` in place of all.
#[must_use]
pub fn icnr(weight: Tensor<4>, positions: usize) -> Tensor<4> {
    let [outputs, inputs, rows, columns] = weight.dims();
    let learnt = weight.is_require_grad();
    let first = weight
        .detach()
        .reshape([outputs / positions, positions, inputs, rows, columns])
        .narrow(1, 0, 1)
        .expand([outputs / positions, positions, inputs, rows, columns])
        .reshape([outputs, inputs, rows, columns]);
    first.set_require_grad(learnt)
}

/// The mean of each pixel and those above and to the left of it.
pub(super) fn blurred(input: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = input.dims();
    let padded = continued(input, [1, 0, 1, 0]);
    let wide = padded.clone().narrow(3, 0, width) + padded.narrow(3, 1, width);
    (wide.clone().narrow(2, 0, height) + wide.narrow(2, 1, height)) / 4.0
}

/// Which non-linearity a network uses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationKind {
    /// max(x, 0).
    Relu,
    /// x where positive, else `slope` times x.
    LeakyRelu {
        /// Slope of the negative side.
        slope: f64,
    },
    /// Leaky with one learnt slope for all channels (as in SRGAN).
    PRelu,
    /// Leaky with a learnt slope for each channel.
    PReluPerChannel,
}

/// One non-linearity.
#[derive(Module, Debug)]
pub enum Activation {
    /// See [`ActivationKind::Relu`].
    Relu(Relu),
    /// See [`ActivationKind::LeakyRelu`].
    LeakyRelu(LeakyRelu),
    /// See [`ActivationKind::PRelu`] and [`ActivationKind::PReluPerChannel`].
    PRelu(PRelu),
}

impl ActivationKind {
    /// A fresh one for `channels` channels.
    #[must_use]
    pub fn init(self, channels: usize, device: &Device) -> Activation {
        match self {
            Self::Relu => Activation::Relu(Relu::new()),
            Self::LeakyRelu { slope } => {
                Activation::LeakyRelu(LeakyReluConfig::new().with_negative_slope(slope).init())
            }
            Self::PRelu => Activation::PRelu(PReluConfig::new().init(device)),
            Self::PReluPerChannel => {
                Activation::PRelu(PReluConfig::new().with_num_parameters(channels).init(device))
            }
        }
    }
}

impl Activation {
    /// Any shape; channels in the second dimension.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Relu(layer) => layer.forward(input),
            Self::LeakyRelu(layer) => layer.forward(input),
            Self::PRelu(layer) => {
                direct::prelu(&input, &layer.alpha.val()).unwrap_or_else(|| layer.forward(input))
            }
        }
    }
}

/// Two 3x3 convolutions with a shortcut around them: K. He et al., "Deep
/// residual learning", 2016, in the form of SRResNet (no activation after the
/// sum).
#[derive(Module, Debug)]
pub struct ResidualBlock {
    conv1: Conv2d,
    norm1: Option<BatchNorm>,
    activation: Activation,
    conv2: Conv2d,
    norm2: Option<BatchNorm>,
}

impl ResidualBlock {
    /// A fresh block.
    #[must_use]
    pub fn new(
        channels: usize,
        batch_norm: bool,
        activation: ActivationKind,
        device: &Device,
    ) -> Self {
        let norm = || batch_norm.then(|| BatchNormConfig::new(channels).init(device));
        Self {
            conv1: same_conv(channels, channels, 3, device),
            norm1: norm(),
            activation: activation.init(channels, device),
            conv2: same_conv(channels, channels, 3, device),
            norm2: norm(),
        }
    }

    /// The same with its last convolution at zero: it gives what it gets, until it learns.
    #[must_use]
    pub fn silent(mut self) -> Self {
        zero(&mut self.conv2);
        self
    }

    /// Its steps for the CPU path.
    pub(super) fn steps(&self, graph: &mut Graph, input: Value) -> Option<Value> {
        let first = Filter::of(&self.conv1)?.normed(self.norm1.as_ref())?;
        let inner = graph.conv(input, first.active(&self.activation)?, Beside::NOTHING);
        let second = Filter::of(&self.conv2)?.normed(self.norm2.as_ref())?;
        Some(graph.conv(inner, second, Beside::plus(input)))
    }

    /// `[n, channels, h, w]`, the same out.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let inner = normed(self.norm1.as_ref(), conv(&self.conv1, input.clone()));
        let inner = conv(&self.conv2, self.activation.forward(inner));
        input + normed(self.norm2.as_ref(), inner)
    }
}

/// Batch normalisation where there is one.
#[must_use]
pub fn normed(norm: Option<&BatchNorm>, input: Tensor<4>) -> Tensor<4> {
    match norm {
        Some(norm) => norm.forward(input),
        None => input,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enlarging_is_that_of_burn() {
        use burn::tensor::{
            module::interpolate,
            ops::{InterpolateMode, InterpolateOptions},
        };
        let device = Device::flex();
        for (height, width) in [(1, 1), (5, 7), (2, 9)] {
            let values = (0..2 * 3 * height * width).map(|i| (i as f32 * 0.7).sin()).collect();
            let input = TensorData::new(values, [2, 3, height, width]);
            let input = Tensor::<4>::from_data(input, &device);
            for scale in [1, 2, 3, 4] {
                let options = InterpolateOptions::new(InterpolateMode::Bilinear)
                    .with_align_corners(false)
                    .with_output_size([height * scale, width * scale]);
                let expected = interpolate(input.clone(), options);
                let difference =
                    (enlarge(input.clone(), scale, Interpolation::Bilinear) - expected).abs().max();
                assert!(difference.into_scalar::<f32>() < 1e-6, "{height}x{width} by {scale}");
            }
        }
    }

    fn tensor(values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    #[test]
    fn bicubic_passes_through_what_it_can() {
        // Cubic interpolation gives straight ramps back, but for the clamped edges, and a cubic
        // kernel of a = -0.5 the value -1/16 * (outer) + 9/16 * (inner) half-way.
        let ramp = tensor((0..8).map(|i| i as f32).collect(), [1, 1, 1, 8]);
        let large = enlarge(ramp, 4, Interpolation::Bicubic);
        let row: Vec<f32> = large.narrow(2, 0, 1).into_data().try_into_vec().unwrap();
        for (x, value) in row.iter().enumerate().take(24).skip(8) {
            let expected = (x as f32 + 0.5) / 4.0 - 0.5;
            assert!((value - expected).abs() < 1e-5, "{x}: {value}");
        }
        let spike = tensor(vec![0.0, 0.0, 1.0, 0.0, 0.0], [1, 1, 1, 5]);
        let row = enlarge(spike, 3, Interpolation::Bicubic).narrow(2, 0, 1);
        let row: Vec<f32> = row.into_data().try_into_vec().unwrap();
        // A third of a pixel beside the spike: 1.5/27 - 2.5/9 + 1.
        assert!((row[7] - 1.0).abs() < 1e-6 && (row[8] - 0.777_777_8).abs() < 1e-5, "{row:?}");
    }

    #[test]
    fn icnr_repeats_pixels_and_the_blur_is_that_of_fastai() {
        let first = |o: usize| [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]][o / 4];
        let drawn = (0..8).flat_map(|o| if o % 4 == 0 { first(o) } else { [9.0; 3] });
        let weight = icnr(tensor(drawn.collect(), [8, 3, 1, 1]), 4);
        let values: Vec<f32> = weight.into_data().try_into_vec().unwrap();
        assert_eq!(values, (0..8).flat_map(first).collect::<Vec<f32>>());

        let shuffled = PixelShuffleConfig::new(2)
            .init()
            .forward(tensor((0..16).map(|i| i as f32).collect(), [1, 4, 2, 2]));
        let values: Vec<f32> = blurred(shuffled).into_data().try_into_vec().unwrap();
        #[rustfmt::skip]
        let expected = vec![
            0.0, 2.0, 2.5, 3.0,
            4.0, 6.0, 6.5, 7.0,
            5.0, 7.0, 7.5, 8.0,
            6.0, 8.0, 8.5, 9.0,
        ];
        assert_eq!(values, expected);
    }
}
