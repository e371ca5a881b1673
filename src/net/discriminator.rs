//! Discriminators: networks that tell a photograph from what a generator made (the discriminator of a
//! GAN: I. Goodfellow et al., 2014).
//!
//! C. Ledig et al., "Photo-realistic single image super-resolution using a generative adversarial
//! network", CVPR 2017, figure 4: eight convolutions, every second one halves the size.

use burn::{
    module::Module,
    nn::{
        BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
    },
    tensor::{Device, Tensor, activation::leaky_relu},
};
use serde::{Deserialize, Serialize};

use super::blocks::{conv, normed};

/// Channels of the eight convolutions, in parts of the first one's.
const WIDTHS: [usize; 8] = [1, 1, 2, 2, 4, 4, 8, 8];

/// Slope of the negative side of all activations.
const SLOPE: f64 = 0.2;

/// What the convolutions' maps become a number by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiscriminatorHead {
    /// All of their positions go into a dense layer: only pictures of this side, a multiple of
    /// 16, can be judged. With 384 and 64 channels it is the one of Keras programs, whose summary
    /// counts 306,684,737 numbers.
    Dense(usize),
    /// Their mean over all positions: any size.
    Mean,
}

/// Shape of a [`Discriminator`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscriminatorConfig {
    /// Channels of the first convolution; 64 in the paper.
    pub channels: usize,
    /// How a number comes out.
    pub head: DiscriminatorHead,
}

impl DiscriminatorConfig {
    /// A discriminator whose weights are still to be drawn or read.
    #[must_use]
    pub fn init(&self, device: &Device) -> Discriminator {
        let mut input = 3;
        let convs = WIDTHS.iter().enumerate().map(|(index, width)| {
            let output = width * self.channels;
            let stride = 1 + index % 2;
            let conv = Conv2dConfig::new([input, output], [3, 3])
                .with_stride([stride, stride])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device);
            input = output;
            let norm = (index > 0).then(|| BatchNormConfig::new(output).init(device));
            Stage { conv, norm }
        });
        let stages = convs.collect();
        let features = match self.head {
            DiscriminatorHead::Dense(side) => input * (side / 16) * (side / 16),
            DiscriminatorHead::Mean => input,
        };
        Discriminator {
            stages,
            dense: LinearConfig::new(features, 16 * self.channels).init(device),
            last: LinearConfig::new(16 * self.channels, 1).init(device),
            mean: self.head == DiscriminatorHead::Mean,
        }
    }
}

/// A convolution and, but for the first, batch normalisation.
#[derive(Module, Debug)]
struct Stage {
    conv: Conv2d,
    norm: Option<BatchNorm>,
}

/// See the module's documentation; made by [`DiscriminatorConfig::init`].
#[derive(Module, Debug)]
pub struct Discriminator {
    stages: Vec<Stage>,
    dense: Linear,
    last: Linear,
    mean: bool,
}

impl Discriminator {
    /// `[n, 3, h, w]` with black at 0 and white at 1 to `[n, 1]`: the logarithm of the odds that
    /// a picture is a photograph.
    #[must_use]
    pub fn forward(&self, pictures: Tensor<4>) -> Tensor<2> {
        let mut features = pictures * 2.0 - 1.0;
        for stage in &self.stages {
            let inner = normed(stage.norm.as_ref(), conv(&stage.conv, features));
            features = leaky_relu(inner, SLOPE);
        }
        let features = match self.mean {
            true => features.mean_dim(3).mean_dim(2).flatten::<2>(1, 3),
            false => features.flatten::<2>(1, 3),
        };
        self.last.forward(leaky_relu(self.dense.forward(features), SLOPE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_of_keras_has_as_many_numbers_as_its_summary_counts() {
        // More than a gigabyte: counted without drawing them.
        let config = DiscriminatorConfig { channels: 64, head: DiscriminatorHead::Dense(384) };
        let discriminator = config.init(&Device::flex());
        assert_eq!(
            crate::net::slots::of(&discriminator)
                .iter()
                .map(crate::net::slots::Slot::len)
                .sum::<usize>(),
            306_684_737
        );
    }

    #[test]
    fn the_other_judges_any_size() {
        let device = Device::flex();
        let discriminator =
            DiscriminatorConfig { channels: 4, head: DiscriminatorHead::Mean }.init(&device);
        for (height, width) in [(16, 16), (33, 50)] {
            let pictures = Tensor::<4>::zeros([2, 3, height, width], &device) + 0.5;
            assert_eq!(discriminator.forward(pictures).dims(), [2, 1]);
        }
    }
}
