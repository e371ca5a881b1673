//! The networks, as Burn modules. They know tensors only: no files, no
//! pictures, no tiles.
//!
//! All of them take and give NCHW tensors of floats where a picture's black is
//! 0 and its white is 1.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use serde::{Deserialize, Serialize};

pub mod blocks;
pub mod colouriser;
pub mod direct;
pub mod discriminator;
pub mod enhancenet;
pub mod ensemble;
pub mod features;
pub mod graphics;
pub mod layered;
pub mod residual;
pub mod slots;
pub mod srgan_keras;
pub mod unet;

pub use residual::ResidualUpscaler;

use self::{
    enhancenet::{EnhanceNet, EnhanceNetConfig},
    layered::{Layered, LayeredConfig},
    residual::ResidualConfig,
    srgan_keras::SrganKeras,
    unet::{Unet, UnetConfig},
};

/// How far around a pixel a network looks to compute it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Not beyond this many input pixels to each side: with a halo of that
    /// width, a tile gives the same numbers as the whole picture.
    Pixels(u32),
    /// Over the whole picture (pooling, attention or normalisation over all of
    /// it): no halo makes tiles exact.
    Whole,
}

/// A network that makes a picture out of a picture.
pub trait Generator: Send {
    /// `[n, channels, h, w]` to `[n, channels, h * scale, w * scale]`; with
    /// [`Self::takes_mask`], the input has one channel more, with [`Self::takes_marked`] four.
    ///
    /// The output is not clamped.
    fn forward(&self, input: Tensor<4>) -> Tensor<4>;

    /// How many times larger the output is than the input, in each direction.
    fn scale(&self) -> u32;

    /// Colour channels: 3 for RGB, 1 for grey.
    fn channels(&self) -> u32;

    /// Whether a mask follows the colours: 1 where the picture is to be
    /// filled, 0 elsewhere.
    fn takes_mask(&self) -> bool {
        false
    }

    /// Whether the picture as it was given follows the mask. The first channels then hold it with
    /// what is marked continued smoothly.
    fn takes_marked(&self) -> bool {
        false
    }

    /// Channels that it reads: colours, the mask, and the picture as it was given.
    fn inputs(&self) -> usize {
        self.channels() as usize
            + usize::from(self.takes_mask())
            + 3 * usize::from(self.takes_marked())
    }

    /// How far it looks.
    fn reach(&self) -> Reach;

    /// Side in input pixels of the squares that it puts together: a window of a picture gives the
    /// numbers of the whole picture only if it begins at multiples of it.
    fn grid(&self) -> u32 {
        1
    }

    /// Bytes that its maps take for each input pixel at most, as far as that is known: larger
    /// networks should get smaller tiles.
    fn memory(&self) -> usize {
        0
    }

    /// Trainable numbers, and the running ones of batch normalisation.
    fn parameters(&self) -> usize;

    /// What computes it, for people: Burn unless stated otherwise.
    fn kernels(&self) -> String {
        "Burn".to_owned()
    }
}

/// Shape of a network: all that a weight file does not say by its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "snake_case")]
pub enum NetworkConfig {
    /// SRResNet and its relatives.
    Residual(ResidualConfig),
    /// On a residual encoder.
    Unet(UnetConfig),
    /// The networks of one study.
    #[serde(rename = "enhancenet")]
    EnhanceNet(EnhanceNetConfig),
    /// SRGAN's generator in the form of Keras programs.
    SrganKeras,
    /// One of others, layer by layer.
    Layered(LayeredConfig),
}

impl NetworkConfig {
    /// Whether the numbers are ones that a network can be made of; they may come from a file that
    /// is not trusted.
    ///
    /// # Errors
    /// A clause that says why not.
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Residual(config) => config.check(),
            Self::Unet(config) => config.check(),
            Self::EnhanceNet(config) => config.check(),
            Self::SrganKeras => Ok(()),
            Self::Layered(config) => config.check(),
        }
    }

    /// A network whose weights are still to be drawn or read: they take no memory until then.
    #[must_use]
    pub fn init(&self, device: &Device) -> Network {
        match self {
            Self::Residual(config) => Network::Residual(config.init(device)),
            Self::Unet(config) => Network::Unet(config.init(device)),
            Self::EnhanceNet(config) => Network::EnhanceNet(config.init(device)),
            Self::SrganKeras => Network::SrganKeras(SrganKeras::new(device)),
            Self::Layered(config) => Network::Layered(config.init(device)),
        }
    }

    /// A network to train from nothing. Where it adds to its input, it begins with that alone.
    #[must_use]
    pub fn fresh(&self, device: &Device) -> Network {
        match self.init(device) {
            Network::Residual(network) => Network::Residual(network.starting_from_bilinear()),
            Network::Unet(network) => Network::Unet(network.starting_from_input()),
            Network::EnhanceNet(network) => Network::EnhanceNet(network.starting_from_bicubic()),
            other @ (Network::SrganKeras(_) | Network::Layered(_)) => other,
        }
    }

    /// The network with these weights and more residual blocks behind its own, which give what
    /// they get until they learn: the answer is the same (T. Chen, I. Goodfellow and J. Shlens,
    /// "`Net2Net`", 2016).
    ///
    /// # Errors
    /// A clause that says why there is no such network.
    pub fn deepened(
        self,
        network: &Network,
        blocks: usize,
        device: &Device,
    ) -> Result<(Self, Network), &'static str> {
        let Self::Residual(old) = self else { return Err("it has no row of like blocks") };
        let new = ResidualConfig { blocks: old.blocks + blocks, ..old };
        new.check()?;
        let fresh = new.init(device).silent_from(old.blocks);
        let known: std::collections::HashMap<String, Vec<f32>> = slots::of(network)
            .into_iter()
            .zip(slots::values(network))
            .map(|(slot, values)| Some((slot.path, values.into_data().try_into_vec().ok()?)))
            .collect::<Option<_>>()
            .ok_or("its numbers cannot be read")?;
        let filled = slots::filled(fresh, device, |path| known.get(path).cloned());
        Ok((Self::Residual(new), Network::Residual(filled)))
    }

    /// What its architecture is called, for people.
    #[must_use]
    pub fn family(&self) -> &str {
        match self {
            Self::Residual(_) => "residual",
            Self::Unet(_) => "U-Net",
            Self::EnhanceNet(_) => "EnhanceNet",
            Self::SrganKeras => "SRGAN",
            Self::Layered(config) => &config.family,
        }
    }

    /// Colour channels of its pictures; one that has 1 is asked for each colour apart.
    #[must_use]
    pub const fn colours(&self) -> usize {
        match self {
            Self::Layered(config) => config.channels,
            _ => 3,
        }
    }

    /// Output size over input size.
    #[must_use]
    pub fn scale(&self) -> u32 {
        match self {
            Self::Residual(config) => config.scale as u32,
            Self::Unet(config) => config.scale as u32,
            Self::EnhanceNet(_) | Self::SrganKeras => 4,
            Self::Layered(config) => config.scale() as u32,
        }
    }

    /// See [`Generator::grid`].
    #[must_use]
    pub fn grid(&self) -> u32 {
        self.init(&Device::flex()).grid()
    }

    /// How many numbers it holds.
    #[must_use]
    pub fn parameters(&self) -> usize {
        slots::of(&self.init(&Device::flex())).iter().map(slots::Slot::len).sum()
    }

    /// See [`Generator::takes_mask`].
    #[must_use]
    pub const fn takes_mask(&self) -> bool {
        match self {
            Self::Residual(config) => config.mask,
            Self::Unet(config) => config.mask,
            Self::EnhanceNet(_) | Self::SrganKeras | Self::Layered(_) => false,
        }
    }

    /// See [`Generator::takes_marked`].
    #[must_use]
    pub const fn takes_marked(&self) -> bool {
        match self {
            Self::Residual(config) => config.marked,
            Self::Unet(config) => config.marked,
            Self::EnhanceNet(_) | Self::SrganKeras | Self::Layered(_) => false,
        }
    }

    /// Which part of the network a slot (see [`slots::of`]) belongs to.
    #[must_use]
    pub fn part(&self, path: &str) -> Part {
        let mut words = path.split('.');
        let first = words.next().unwrap_or_default();
        let index = words.next().and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
        let half = |blocks: usize| if 2 * index < blocks { Part::Early } else { Part::Late };
        match (self, first) {
            (_, "head" | "head_activation" | "activation") => Part::Early,
            (Self::Residual(config), "body") => half(config.blocks),
            (Self::EnhanceNet(config), "body") => half(config.blocks),
            (Self::SrganKeras, "body") => half(16),
            (Self::Layered(config), "convs") if index + 1 < config.convolutions() => {
                half(config.convolutions())
            }
            (Self::Residual(_) | Self::SrganKeras, "body_conv" | "body_norm") => Part::Late,
            (Self::Unet(_), "conv1" | "bn1" | "layer1" | "layer2") => Part::Early,
            (Self::Unet(_), "layer3" | "layer4") => Part::Late,
            _ => Part::Last,
        }
    }
}

/// Parts of a network that learn at their own rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first half of the backbone: edges and textures.
    Early,
    /// The second half of the backbone.
    Late,
    /// What makes a picture out of features.
    Last,
}

/// Any of the networks.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "there are a few at a time, never a list of them")]
pub enum Network {
    /// See [`residual`].
    Residual(ResidualUpscaler),
    /// See [`unet`].
    Unet(Unet),
    /// See [`enhancenet`].
    EnhanceNet(EnhanceNet),
    /// See [`srgan_keras`].
    SrganKeras(SrganKeras),
    /// See [`layered`].
    Layered(Layered),
}

impl Network {
    /// Its steps for the CPU path; `None` if weights cannot be read.
    fn graph(&self) -> Option<direct::Graph> {
        match self {
            Self::Residual(network) => network.graph(),
            Self::Unet(network) => network.graph(),
            Self::EnhanceNet(network) => network.graph(),
            Self::SrganKeras(network) => network.graph(),
            Self::Layered(network) => network.graph(),
        }
    }

    /// What its answer is resized by after the steps of [`Self::graph`].
    const fn resized(&self) -> Option<[usize; 2]> {
        match self {
            Self::Layered(network) => network.resized(),
            _ => None,
        }
    }

    fn generator(&self) -> &dyn Generator {
        match self {
            Self::Residual(network) => network,
            Self::Unet(network) => network,
            Self::EnhanceNet(network) => network,
            Self::SrganKeras(network) => network,
            Self::Layered(network) => network,
        }
    }
}

impl Generator for Network {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.generator().forward(input)
    }

    fn scale(&self) -> u32 {
        self.generator().scale()
    }

    fn channels(&self) -> u32 {
        self.generator().channels()
    }

    fn takes_mask(&self) -> bool {
        self.generator().takes_mask()
    }

    fn takes_marked(&self) -> bool {
        self.generator().takes_marked()
    }

    fn reach(&self) -> Reach {
        self.generator().reach()
    }

    fn grid(&self) -> u32 {
        self.generator().grid()
    }

    fn memory(&self) -> usize {
        self.generator().memory()
    }

    fn parameters(&self) -> usize {
        self.generator().parameters()
    }
}

#[cfg(test)]
mod tests {
    use super::{enhancenet::EnhanceNetKind, *};

    #[test]
    fn the_reach_is_measured_too() {
        // Change one input pixel of a row and see how far the output changes.
        let device = Device::flex();
        let plain = EnhanceNetConfig { kind: EnhanceNetKind::Plain, channels: 8, blocks: 2 };
        let bicubic = EnhanceNetConfig { kind: EnhanceNetKind::BicubicSkip, ..plain };
        for (config, close) in [
            (NetworkConfig::EnhanceNet(plain), true),
            (NetworkConfig::EnhanceNet(bicubic), true),
            // What comes through sixteen blocks is often too little to be seen.
            (NetworkConfig::SrganKeras, false),
        ] {
            let network = config.init(&device);
            let Reach::Pixels(reach) = network.reach() else { panic!("{config:?}") };
            let centre = reach as usize + 4;
            let input = Tensor::<4>::zeros([1, 3, 1, 2 * centre + 1], &device) + 0.5;
            let spot = Tensor::<4>::zeros([1, 3, 1, 1], &device) + 50.0;
            let changed = input.clone().slice_assign([0..1, 0..3, 0..1, centre..centre + 1], spot);
            let difference = (network.forward(changed) - network.forward(input)).abs();
            let values = difference.into_data().try_into_vec::<f32>().unwrap();
            let wide = 4 * (2 * centre + 1);
            let far = |i: usize| (i % wide / 4).abs_diff(centre);
            let changed = (0..values.len()).filter(|i| values[*i] > 0.0);
            let furthest = changed.map(far).max().unwrap();
            assert!(furthest <= reach as usize, "{config:?} reaches {furthest}");
            assert!(!close || furthest == reach as usize, "{config:?} reaches only {furthest}");
        }
    }
}
