//! What the user sets for a run: the same for the command line, a recipe file and a panel.

use std::{fmt, path::PathBuf, str::FromStr};

use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use super::{
    degrade::Recipe,
    loss::{DiscriminatorKind, Pixels},
    muon::Optimiser,
    schedule::Schedule,
    warp::Warp,
};
use crate::{
    error::{Error, Result},
    net::NetworkConfig,
    settings::DEFAULT_MODEL,
};

/// What the user sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct TrainOptions {
    /// Name of a shipped model, a model file, or `new` for a fresh network
    #[arg(long, value_name = "NAME|FILE|new", default_value = DEFAULT_MODEL)]
    pub base: String,
    /// Residual blocks that the base gets behind its own, which change nothing until they learn
    #[arg(long, default_value_t = 0, help_heading = "Learning")]
    pub more_blocks: usize,
    /// Steps of the whole run
    #[arg(long, default_value_t = 2000, help_heading = "Learning")]
    pub steps: u64,
    /// Pairs of crops that go through the network together
    #[arg(long, default_value_t = 16, help_heading = "Learning")]
    pub batch: usize,
    /// Batches that a step learns from together: as a larger batch, with the memory of one
    #[arg(long, default_value_t = 1, help_heading = "Learning")]
    pub accumulate: usize,
    /// Side of the small crops in pixels
    #[arg(long, default_value_t = 32, help_heading = "Learning")]
    pub crop: u32,
    /// Smaller crops first, until a share of the steps is done: 16@0.3,24@0.6
    #[arg(long, value_name = "SIDE@SHARE", value_delimiter = ',', help_heading = "Learning")]
    pub progressive: Vec<CropStage>,
    /// How weights follow their gradients
    #[arg(long, value_enum, default_value_t, help_heading = "Learning")]
    pub optimiser: Optimiser,
    /// Highest learning rate
    #[arg(long, default_value_t = 2e-4, help_heading = "Learning")]
    pub rate: f64,
    /// Steps that the rate takes to rise; a one-cycle schedule has its own rise
    #[arg(long, default_value_t = 50, help_heading = "Learning")]
    pub warm_up: u64,
    /// How the rate changes
    #[arg(long, value_enum, default_value_t, help_heading = "Learning")]
    pub schedule: Schedule,
    /// Rate of the network's first layers over that of its last ones; those between learn at rates
    /// between
    #[arg(long, default_value_t = 1.0, help_heading = "Learning")]
    pub backbone_rate: f64,
    /// Weights for the encoder: ResNet-34 of torchvision (.pth, .safetensors) for a U-Net,
    /// SqueezeNet 1.1 of Caffe (ncnn .param) for a colouriser
    #[arg(long, value_name = "FILE", help_heading = "Learning")]
    pub encoder: Option<PathBuf>,
    /// First steps in which only the last layers learn
    #[arg(long, default_value_t = 0, help_heading = "Learning")]
    pub freeze: u64,
    /// What is made small on pixels
    #[arg(long, value_enum, default_value_t, help_heading = "Losses")]
    pub loss: Pixels,
    /// Weight of the loss on pixels
    #[arg(long, default_value_t = 1.0, help_heading = "Losses")]
    pub pixel_weight: f64,
    /// What a pixel inside the mask counts, where one outside counts 1
    #[arg(long, default_value_t = 1.0, help_heading = "Losses")]
    pub mask_weight: f64,
    /// What a pixel of full colour counts, where a grey one counts 1: most of a photo is nearly
    /// grey, which a network that colours learns first and best (R. Zhang et al., "Colorful image
    /// colorization", ECCV 2016, section 2.2)
    #[arg(long, default_value_t = 1.0, help_heading = "Losses")]
    pub colour_weight: f64,
    /// Network whose features are compared: weights of VGG-16, VGG-19, AlexNet or SqueezeNet 1.1
    /// (.pth, .safetensors, ncnn .param)
    #[arg(long, value_name = "FILE", help_heading = "Losses")]
    pub features: Option<PathBuf>,
    /// Layers whose features should be equal, each with its weight: pool2=0.2,pool5=0.02
    #[arg(long, value_name = "LAYER=WEIGHT", value_delimiter = ',', help_heading = "Losses")]
    pub perceptual: Vec<WeightedLayer>,
    /// Layers whose Gram matrices should be equal, each with its weight: conv1_1=3e-7
    #[arg(long, value_name = "LAYER=WEIGHT", value_delimiter = ',', help_heading = "Losses")]
    pub texture: Vec<WeightedLayer>,
    /// Side in pixels of the result of the pieces whose Gram matrices are compared; 0 for the whole
    #[arg(long, default_value_t = 16, help_heading = "Losses")]
    pub texture_patch: u32,
    /// Weight of the total variation of the result
    #[arg(long, default_value_t = 0.0, help_heading = "Losses")]
    pub total_variation: f64,
    /// Weight of the grid that an enlarged result shows with the pixels of its input
    #[arg(long, default_value_t = 0.0, help_heading = "Losses")]
    pub grid: f64,
    /// Weight of half the squared distance between the weights and the base's, which holds what is
    /// learnt near it (X. Li et al., "Explicit inductive bias for transfer learning with
    /// convolutional networks", ICML 2018)
    #[arg(long, default_value_t = 0.0, help_heading = "Losses")]
    pub anchor: f64,
    /// Weight of the discriminator's opinion; 0.001 in SRGAN. With --features the verdict goes by
    /// them, else by PSNR, which such a run gives up
    #[arg(long, default_value_t = 0.0, help_heading = "Losses")]
    pub adversarial: f64,
    /// Which discriminator
    #[arg(long, value_enum, default_value_t, help_heading = "Losses")]
    pub discriminator: DiscriminatorKind,
    /// Channels of the discriminator's first convolution
    #[arg(long, default_value_t = 64, help_heading = "Losses")]
    pub discriminator_channels: usize,
    /// Numbers that the generator computes with; weights stay f32
    #[arg(long, value_enum, default_value_t, help_heading = "Learning")]
    pub precision: Precision,
    /// How much of the moving average of the weights is kept at each step
    #[arg(long, default_value_t = 0.999, help_heading = "Learning")]
    pub average: f64,
    /// Largest norm of the gradients together
    #[arg(long, default_value_t = 1.0, help_heading = "Learning")]
    pub clip: f64,
    /// How pictures are made worse: bicubic, srgan, blind, jpeg, noise, grey, watermark, damage, or
    /// a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "bicubic", help_heading = "Photos")]
    pub degradation: String,
    /// How strongly photos that are learnt from are made worse: 1 as the degradation says, 0.5 half as
    /// strongly. Held-out ones are always made worse as it says
    #[arg(long, default_value_t = 1.0, help_heading = "Photos")]
    pub strength: f32,
    /// Longest side in pixels of a photo; longer ones are made smaller first. For networks that
    /// look at a whole photo at once
    #[arg(long, default_value_t = u32::MAX, hide_default_value = true, help_heading = "Photos")]
    pub longest: u32,
    /// Share of crops that are turned, sheared and bent at random
    #[arg(long, default_value_t = 0.0, help_heading = "Photos")]
    pub warp: f32,
    /// Share of the photos that choose the best weights
    #[arg(long, default_value_t = 0.20, help_heading = "Photos")]
    pub validation_share: f64,
    /// Share of the photos that give the verdict
    #[arg(long, default_value_t = 0.05, help_heading = "Photos")]
    pub test_share: f64,
    /// Steps from one look at the validation photos, and one checkpoint, to the next
    #[arg(long, default_value_t = 100, help_heading = "Photos")]
    pub validate_every: u64,
    /// Looks in a row that find nothing better, after which the run ends; 0 for never
    #[arg(long, default_value_t = 0, help_heading = "Photos")]
    pub patience: u64,
    /// Decides everything that is drawn
    #[arg(long, default_value_t = 0, help_heading = "Learning")]
    pub seed: u64,
    /// Photos to learn from, files and folders, where none are named beside the options.
    #[arg(skip)]
    pub photos: Vec<PathBuf>,
    /// Shape of the fresh network, where `base` is `new`.
    #[arg(skip)]
    pub network: Option<NetworkConfig>,
    /// How far crops are bent, where `warp` says that they are.
    #[arg(skip = Warp::GENTLE)]
    pub warp_by: Warp,
    /// The degradation itself, once it was found; so a recipe needs no second file.
    #[arg(skip)]
    pub degradation_recipe: Option<Recipe>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        /// Gives the defaults of the arguments a voice.
        #[derive(clap::Parser)]
        struct Defaults {
            #[command(flatten)]
            options: TrainOptions,
        }
        <Defaults as clap::Parser>::parse_from([""]).options
    }
}

impl TrainOptions {
    /// Looks up the degradation and checks every number.
    pub(super) fn resolved(mut self) -> Result<Self> {
        let share = |share: f64| (0.0..0.9).contains(&share);
        let weight = |weight: f64| (0.0..1e9).contains(&weight);
        let layers = self.perceptual.iter().chain(&self.texture);
        let sound = self.steps > 0
            && (1..=1024).contains(&self.batch)
            && (1..=1024).contains(&self.accumulate)
            && (8..=512).contains(&self.crop)
            && self.progressive.iter().all(|stage| (8..=512).contains(&stage.crop))
            && self.progressive.is_sorted_by(|a, b| a.until < b.until)
            && self.more_blocks <= 256
            && self.rate > 0.0
            && self.rate < 10.0
            && (0.0..=1.0).contains(&self.backbone_rate)
            && [self.pixel_weight, self.mask_weight, self.total_variation]
                .into_iter()
                .chain([self.grid, self.adversarial, self.colour_weight, self.anchor])
                .chain(layers.map(|layer| layer.weight))
                .all(weight)
            && (1..=512).contains(&self.discriminator_channels)
            && (0.0..1.0).contains(&self.average)
            && self.clip > 0.0
            && self.clip.is_finite()
            && (0.0..=1.0).contains(&self.warp)
            && (0.0..=4.0).contains(&self.strength)
            && self.validate_every > 0
            && share(self.validation_share)
            && share(self.test_share);
        if !sound {
            return Err(Error::Setting("a number of the training is out of its range".to_owned()));
        }
        let compares = !self.perceptual.is_empty() || !self.texture.is_empty();
        if compares && self.features.is_none() {
            return Err(Error::Setting(
                "features are to be compared, but no network for them is given (--features FILE)"
                    .to_owned(),
            ));
        }
        if self.pixel_weight == 0.0 && !compares && self.adversarial == 0.0 {
            return Err(Error::Setting("all losses have the weight 0".to_owned()));
        }
        if self.anchor > 0.0 && self.encoder.is_some() {
            return Err(Error::Setting(
                "--anchor holds the weights of the base, which --encoder replaces: leave one of \
                 them out"
                    .to_owned(),
            ));
        }
        if self.degradation_recipe.is_none() {
            self.degradation_recipe = Some(Recipe::find(&self.degradation)?);
        }
        // A run that is resumed may be resumed from another folder.
        let files = [&mut self.features, &mut self.encoder].into_iter().flatten();
        for file in files.chain(&mut self.photos) {
            *file = std::path::absolute(&file).map_err(|error| Error::read(&*file, error))?;
        }
        self.recipe().check()?;
        self.warp_by.check()?;
        Ok(self)
    }

    /// The degradation.
    pub(super) fn recipe(&self) -> Recipe {
        self.degradation_recipe.clone().unwrap_or_default()
    }

    /// Side of the small crops at a step.
    pub(super) fn crop_at(&self, step: u64) -> u32 {
        let done = step as f64 / self.steps as f64;
        let stage = self.progressive.iter().find(|stage| done < stage.until);
        stage.map_or(self.crop, |stage| stage.crop)
    }

    /// The smallest side of the small crops.
    pub(super) fn smallest_crop(&self) -> u32 {
        self.progressive.iter().map(|stage| stage.crop).fold(self.crop, u32::min)
    }

    /// The largest side of the small crops.
    pub(super) fn largest_crop(&self) -> u32 {
        self.progressive.iter().map(|stage| stage.crop).fold(self.crop, u32::max)
    }
}

/// Numbers that a network computes with while it learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32 bit.
    #[default]
    F32,
    /// 16 bit of which 5 are the exponent.
    F16,
    /// 16 bit of which 8 are the exponent, as in `F32`.
    Bf16,
}

impl Precision {
    /// As Burn calls it; `None` for what weights are anyway.
    pub(super) const fn dtype(self) -> Option<DType> {
        match self {
            Self::F32 => None,
            Self::F16 => Some(DType::F16),
            Self::Bf16 => Some(DType::BF16),
        }
    }
}

/// Crops of one side for the first part of a run: `16@0.3`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CropStage {
    /// Side of the small crops in pixels.
    pub crop: u32,
    /// Share of the steps at which it ends, 0 to 1.
    pub until: f64,
}

impl FromStr for CropStage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('@')
            .and_then(|(crop, until)| Some((crop.parse().ok()?, until.parse().ok()?)));
        match parts {
            Some((crop, until)) if (0.0..=1.0).contains(&until) => Ok(Self { crop, until }),
            _ => Err(format!("{text:?} is not a side and a share like 16@0.3")),
        }
    }
}

impl fmt::Display for CropStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.crop, self.until)
    }
}

/// A layer of a feature network and what it counts: `pool2=0.2`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WeightedLayer {
    /// Its name.
    pub name: String,
    /// What its loss is multiplied by.
    pub weight: f64,
}

impl FromStr for WeightedLayer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=');
        let parts = parts.and_then(|(name, weight)| Some((name, weight.parse().ok()?)));
        match parts {
            Some((name, weight)) => Ok(Self { name: name.to_owned(), weight }),
            None => Err(format!("{text:?} is not a layer and a weight like pool2=0.2")),
        }
    }
}

impl fmt::Display for WeightedLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.weight)
    }
}

/// Both are one word in a recipe file, as on the command line.
macro_rules! word {
    ($kind:ty) => {
        impl TryFrom<String> for $kind {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(value: $kind) -> Self {
                value.to_string()
            }
        }
    };
}
word!(CropStage);
word!(WeightedLayer);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_file_holds_every_option() {
        let options = TrainOptions {
            progressive: vec![
                CropStage { crop: 16, until: 0.25 },
                CropStage { crop: 24, until: 0.5 },
            ],
            perceptual: vec!["pool2=0.2".parse().unwrap(), "pool5=0.02".parse().unwrap()],
            features: Some("vgg.pth".into()),
            steps: 100,
            ..TrainOptions::default()
        }
        .resolved()
        .unwrap();
        let text = toml::to_string(&options).unwrap();
        assert_eq!(toml::from_str::<TrainOptions>(&text).unwrap(), options, "{text}");
        assert_eq!(
            [0, 24, 25, 49, 50, 99].map(|step| options.crop_at(step)),
            [16, 16, 24, 24, 32, 32]
        );
    }

    #[test]
    fn what_cannot_be_trained_with_is_refused_in_words() {
        let refused = |change: fn(&mut TrainOptions), word: &str| {
            let mut options = TrainOptions::default();
            change(&mut options);
            let error = options.resolved().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        refused(|options| options.rate = f64::NAN, "range");
        refused(|options| options.progressive = vec!["4@0.5".parse().unwrap()], "range");
        refused(|options| options.texture = vec!["conv1_1=1".parse().unwrap()], "--features");
        refused(|options| options.pixel_weight = 0.0, "weight 0");
        refused(|options| options.strength = -0.1, "range");
        refused(|options| (options.anchor, options.encoder) = (1.0, Some("a".into())), "--encoder");
        for text in ["16", "@", "16@2", "a@0.5"] {
            assert!(text.parse::<CropStage>().is_err(), "{text}");
        }
        assert!("pool2".parse::<WeightedLayer>().is_err());
    }
}
