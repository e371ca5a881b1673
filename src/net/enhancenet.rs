//! The three networks that M. Sajjadi et al. compare in "EnhanceNet: single image super-resolution
//! through automated texture synthesis", ICCV 2017, section 4 and table 1: everything is computed
//! at the size of the input, and enlarged twice by repeating pixels and a convolution.

use burn::{
    module::Module,
    nn::conv::Conv2d,
    tensor::{Device, Tensor, activation::relu},
};
use serde::{Deserialize, Serialize};

use super::{
    Generator, Reach,
    blocks::{Interpolation, conv, enlarge, repeated, same_conv, zero},
    direct::{Beside, Filter, Graph},
};

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnhanceNetKind {
    /// Residual blocks; the picture itself is learnt.
    Residual,
    /// Residual blocks; what is learnt is added to the bicubic enlargement.
    BicubicSkip,
    /// As many convolutions in a row without shortcuts.
    Plain,
}

/// Shape of an [`EnhanceNet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnhanceNetConfig {
    /// Which of the three.
    pub kind: EnhanceNetKind,
    /// Feature channels; 64 in the paper.
    pub channels: usize,
    /// Pairs of convolutions; 10 in the paper.
    pub blocks: usize,
}

impl EnhanceNetConfig {
    /// As in the paper.
    #[must_use]
    pub const fn paper(kind: EnhanceNetKind) -> Self {
        Self { kind, channels: 64, blocks: 10 }
    }

    /// Why there can be no such network.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let sound = (1..=1024).contains(&self.channels) && self.blocks <= 256;
        if sound { Ok(()) } else { Err("its channels or blocks are out of range") }
    }

    /// A network whose weights are still to be drawn or read.
    #[must_use]
    pub fn init(&self, device: &Device) -> EnhanceNet {
        let conv = |input, output| same_conv(input, output, 3, device);
        let inner = || conv(self.channels, self.channels);
        EnhanceNet {
            head: conv(3, self.channels),
            body: (0..self.blocks).map(|_| Pair { conv1: inner(), conv2: inner() }).collect(),
            enlarge: vec![inner(), inner()],
            last: inner(),
            tail: conv(self.channels, 3),
            shortcuts: self.kind != EnhanceNetKind::Plain,
            bicubic_skip: self.kind == EnhanceNetKind::BicubicSkip,
        }
    }
}

/// Two convolutions.
#[derive(Module, Debug)]
struct Pair {
    conv1: Conv2d,
    conv2: Conv2d,
}

/// See the module's documentation; made by [`EnhanceNetConfig::init`].
#[derive(Module, Debug)]
pub struct EnhanceNet {
    head: Conv2d,
    body: Vec<Pair>,
    enlarge: Vec<Conv2d>,
    last: Conv2d,
    tail: Conv2d,
    shortcuts: bool,
    bicubic_skip: bool,
}

impl EnhanceNet {
    /// To train from nothing: with a bicubic skip, an answer that is this skip.
    #[must_use]
    pub fn starting_from_bicubic(mut self) -> Self {
        if self.bicubic_skip {
            zero(&mut self.tail);
        }
        self
    }

    /// Its steps for the CPU path; `None` if weights cannot be read.
    pub(super) fn graph(&self) -> Option<Graph> {
        let mut graph = Graph::new(3, 1);
        let picture = graph.picture(vec![1.0; 3], vec![0.0; 3]);
        let relu = |conv| Some(Filter::of(conv)?.sloped(0.0));
        let mut features = graph.conv(picture, relu(&self.head)?, Beside::NOTHING);
        for pair in &self.body {
            let inner = graph.conv(features, relu(&pair.conv1)?, Beside::NOTHING);
            features = if self.shortcuts {
                graph.conv(inner, Filter::of(&pair.conv2)?, Beside::plus(features))
            } else {
                graph.conv(inner, relu(&pair.conv2)?, Beside::NOTHING)
            };
        }
        for conv in &self.enlarge {
            features = graph.conv(features, relu(conv)?.of_repeated(), Beside::shuffled(2, 0));
        }
        let last = graph.conv(features, relu(&self.last)?, Beside::NOTHING);
        let answer = graph.conv(last, Filter::of(&self.tail)?, Beside::NOTHING);
        Some(graph.finished(answer, 4, 1, self.bicubic_skip.then_some(Interpolation::Bicubic)))
    }
}

impl Generator for EnhanceNet {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let mut features = relu(conv(&self.head, input.clone()));
        for pair in &self.body {
            let inner = conv(&pair.conv2, relu(conv(&pair.conv1, features.clone())));
            features = if self.shortcuts { features + inner } else { relu(inner) };
        }
        for layer in &self.enlarge {
            features = relu(conv(layer, repeated(features, 2)));
        }
        let answer = conv(&self.tail, relu(conv(&self.last, features)));
        if self.bicubic_skip { answer + enlarge(input, 4, Interpolation::Bicubic) } else { answer }
    }

    fn scale(&self) -> u32 {
        4
    }

    fn channels(&self) -> u32 {
        3
    }

    /// The head and two a block; from there on, three pixels at four times the size and one at twice
    /// it see two more, and so does the bicubic kernel at most.
    fn reach(&self) -> Reach {
        Reach::Pixels(1 + 2 * self.body.len() as u32 + 2)
    }

    fn parameters(&self) -> usize {
        self.num_params()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_have_the_parameters_of_the_paper() {
        let device = Device::flex();
        // Counted by hand: 3x3 convolutions with bias, 24 of 64 to 64 channels.
        let conv = |input: usize, output: usize| (9 * input + 1) * output;
        let expected = conv(3, 64) + 23 * conv(64, 64) + conv(64, 3);
        for kind in [EnhanceNetKind::Residual, EnhanceNetKind::BicubicSkip, EnhanceNetKind::Plain] {
            assert_eq!(EnhanceNetConfig::paper(kind).init(&device).parameters(), expected);
        }
    }
}
