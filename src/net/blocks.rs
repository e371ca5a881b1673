//! Parts that several networks share.

use burn::{
    module::Module,
    nn::{
        BatchNorm, BatchNormConfig, LeakyRelu, LeakyReluConfig, PRelu, PReluConfig,
        PaddingConfig2d, PixelShuffleConfig, Relu,
        conv::{Conv2d, Conv2dConfig},
    },
    tensor::{Device, Tensor, TensorData, module::conv2d, ops::ConvOptions},
};
use serde::{Deserialize, Serialize};

/// Convolution of stride 1 that keeps the size: zeros are read beyond the
/// border. `kernel` is odd.
#[must_use]
pub fn same_conv(input: usize, output: usize, kernel: usize, device: &Device) -> Conv2d {
    let pad = kernel / 2;
    Conv2dConfig::new([input, output], [kernel, kernel])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .init(device)
}

/// Bilinear enlargement with half-pixel centres and clamped edges, `[n, c, h, w]` to
/// `[n, c, h * scale, w * scale]`.
///
/// Written as a convolution with fixed weights and a pixel shuffle: every device is good at these,
/// while the interpolation kernels of some drivers crash.
#[must_use]
pub fn enlarge_bilinear(input: Tensor<4>, scale: usize) -> Tensor<4> {
    let [_, channels, height, width] = input.dims();
    let top = input.clone().slice([0..input.dims()[0], 0..channels, 0..1, 0..width]);
    let bottom =
        input.clone().slice([0..input.dims()[0], 0..channels, height - 1..height, 0..width]);
    let tall = Tensor::cat(vec![top, input, bottom], 2);
    let [count, _, padded, _] = tall.dims();
    let left = tall.clone().slice([0..count, 0..channels, 0..padded, 0..1]);
    let right = tall.clone().slice([0..count, 0..channels, 0..padded, width - 1..width]);
    let padded = Tensor::cat(vec![left, tall, right], 3);

    // Weights of the three neighbours for each position within an enlarged pixel.
    let taps = |phase: usize| {
        let offset = (phase as f32 + 0.5) / scale as f32 - 0.5;
        [(-offset).max(0.0), 1.0 - offset.abs(), offset.max(0.0)]
    };
    let area = scale * scale;
    let mut weights = vec![0.0_f32; channels * area * channels * 9];
    for channel in 0..channels {
        for position in 0..area {
            let (down, across) = (taps(position / scale), taps(position % scale));
            let first = ((channel * area + position) * channels + channel) * 9;
            for k in 0..9 {
                weights[first + k] = down[k / 3] * across[k % 3];
            }
        }
    }
    let weights = TensorData::new(weights, [channels * area, channels, 3, 3]);
    let weights = Tensor::<4>::from_data(weights, &padded.device());
    let options = ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
    let positions = conv2d(padded, weights, None, options);
    PixelShuffleConfig::new(scale).init().forward(positions)
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
            Self::PRelu(layer) => layer.forward(input),
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

    /// First convolution, activation and second convolution; `None` with batch normalisation.
    #[must_use]
    pub const fn parts(&self) -> Option<(&Conv2d, &Activation, &Conv2d)> {
        if self.norm1.is_some() || self.norm2.is_some() {
            return None;
        }
        Some((&self.conv1, &self.activation, &self.conv2))
    }

    /// `[n, channels, h, w]`, the same out.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let inner = normed(self.norm1.as_ref(), self.conv1.forward(input.clone()));
        let inner = self.conv2.forward(self.activation.forward(inner));
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
    fn bilinear_is_that_of_burn() {
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
                let difference = (enlarge_bilinear(input.clone(), scale) - expected).abs().max();
                assert!(difference.into_scalar::<f32>() < 1e-6, "{height}x{width} by {scale}");
            }
        }
    }
}
