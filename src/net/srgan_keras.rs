//! The generator of SRGAN as it is common in Keras programs: 2,043,779 numbers.
//!
//! Its body is that of C. Ledig et al., CVPR 2017; it enlarges by repeating pixels instead of a
//! pixel shuffle, so its convolutions there are four times as wide, and it ends in a hyperbolic
//! tangent.

use burn::{
    module::Module,
    nn::{BatchNorm, BatchNormConfig, conv::Conv2d},
    tensor::{
        Device, Tensor,
        activation::{leaky_relu, tanh},
    },
};

use super::{
    Generator, Reach,
    blocks::{Activation, ActivationKind, ResidualBlock, conv, repeated, same_conv},
    direct::{Beside, Filter, Graph},
};

/// Feature channels, and those of the steps up.
const CHANNELS: usize = 64;
const WIDE: usize = 256;

/// See the module's documentation.
#[derive(Module, Debug)]
pub struct SrganKeras {
    head: Conv2d,
    activation: Activation,
    body: Vec<ResidualBlock>,
    body_conv: Conv2d,
    body_norm: BatchNorm,
    enlarge: Vec<Conv2d>,
    tail: Conv2d,
}

impl SrganKeras {
    /// A network whose weights are still to be drawn or read.
    #[must_use]
    pub fn new(device: &Device) -> Self {
        let slopes = ActivationKind::PReluPerChannel;
        Self {
            head: same_conv(3, CHANNELS, 9, device),
            activation: slopes.init(CHANNELS, device),
            body: (0..16).map(|_| ResidualBlock::new(CHANNELS, true, slopes, device)).collect(),
            body_conv: same_conv(CHANNELS, CHANNELS, 3, device),
            body_norm: BatchNormConfig::new(CHANNELS).init(device),
            enlarge: vec![same_conv(CHANNELS, WIDE, 3, device), same_conv(WIDE, WIDE, 3, device)],
            tail: same_conv(WIDE, 3, 9, device),
        }
    }

    /// Its steps for the CPU path; `None` if weights cannot be read.
    pub(super) fn graph(&self) -> Option<Graph> {
        let mut graph = Graph::new(3, 1);
        let picture = graph.picture(vec![2.0; 3], vec![-1.0; 3]);
        let head = Filter::of(&self.head)?.active(&self.activation)?;
        let first = graph.conv(picture, head, Beside::NOTHING);
        let mut features = first;
        for block in &self.body {
            features = block.steps(&mut graph, features)?;
        }
        let last = Filter::of(&self.body_conv)?.normed(Some(&self.body_norm))?;
        features = graph.conv(features, last, Beside::plus(first));
        let [first, second] = &self.enlarge[..] else { return None };
        features = graph.conv(features, Filter::of(first)?.sloped(0.2), Beside::NOTHING);
        let second = Filter::of(second)?.sloped(0.2).of_repeated();
        features = graph.conv(features, second, Beside::shuffled(2, 0));
        let answer = graph.conv(features, Filter::of(&self.tail)?.of_repeated(), Beside::NOTHING);
        Some(graph.finished(answer, 4, 2, None).through_tanh())
    }
}

impl Generator for SrganKeras {
    /// Inside, black is -1 and white is 1.
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let first = self.activation.forward(conv(&self.head, input * 2.0 - 1.0));
        let features =
            self.body.iter().fold(first.clone(), |features, block| block.forward(features));
        let mut features = first + self.body_norm.forward(conv(&self.body_conv, features));
        for layer in &self.enlarge {
            features = leaky_relu(repeated(conv(layer, features), 2), 0.2);
        }
        (tanh(conv(&self.tail, features)) + 1.0) / 2.0
    }

    fn scale(&self) -> u32 {
        4
    }

    fn channels(&self) -> u32 {
        3
    }

    /// 9x9 head, two 3x3 a block, one after them, one at the size of the input; from there on, four
    /// pixels at four times the size and one at twice it see two more.
    fn reach(&self) -> Reach {
        Reach::Pixels(4 + 32 + 1 + 1 + 2)
    }

    fn parameters(&self) -> usize {
        self.num_params()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_as_many_numbers_as_the_summary_of_keras_counts() {
        // Running mean and variance of batch norm are counted there.
        assert_eq!(SrganKeras::new(&Device::flex()).parameters(), 2_043_779);
    }
}
