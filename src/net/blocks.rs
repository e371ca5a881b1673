//! Parts that several networks share.

use burn::{
    module::Module,
    nn::{
        BatchNorm, BatchNormConfig, LeakyRelu, LeakyReluConfig, PRelu, PReluConfig,
        PaddingConfig2d, Relu,
        conv::{Conv2d, Conv2dConfig},
    },
    tensor::{
        Device, Tensor,
        module::interpolate,
        ops::{InterpolateMode, InterpolateOptions},
    },
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

/// Bilinear enlargement with half-pixel centres and clamped edges.
#[must_use]
pub fn enlarge_bilinear(input: Tensor<4>, scale: usize) -> Tensor<4> {
    let [_, _, height, width] = input.dims();
    let options = InterpolateOptions::new(InterpolateMode::Bilinear)
        .with_align_corners(false)
        .with_output_size([height * scale, width * scale]);
    interpolate(input, options)
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
