//! What people want a model to learn, and with which options a run for it begins.

use super::{NEW, TrainOptions};
use crate::{
    model::library::About,
    net::{NetworkConfig, colouriser, residual::ResidualConfig},
};

/// What is to be learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    /// To enlarge.
    #[default]
    Upscale,
    /// To take away noise, blur and JPEG artefacts.
    Clean,
    /// To fill what a mask marks.
    Mend,
    /// To colour.
    Colour,
}

impl Goal {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Upscale, Self::Clean, Self::Mend, Self::Colour];

    /// For buttons.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upscale => "Upscaling",
            Self::Clean => "Cleaning",
            Self::Mend => "Mending",
            Self::Colour => "Colouring",
        }
    }

    /// Degradations to learn it from, the usual one first, each in a few words.
    #[must_use]
    pub const fn degradations(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Upscale => &[
                ("bicubic", "sharp photos, only smaller"),
                ("srgan", "a little blurred"),
                ("blind", "blurred, noisy, compressed"),
            ],
            Self::Clean => &[
                ("jpeg", "JPEG artefacts"),
                ("noise", "noise"),
                ("blind", "blur, noise and JPEG together"),
            ],
            Self::Mend => &[("damage", "scratches and folds"), ("watermark", "watermarks")],
            Self::Colour => &[("grey", "grey photos")],
        }
    }

    /// Whether a model can learn it.
    #[must_use]
    pub const fn fits(self, model: &About) -> bool {
        match self {
            Self::Upscale => model.scale > 1 && !model.takes_mask,
            Self::Clean => model.scale == 1 && !model.takes_mask && !model.gives_colours,
            Self::Colour => model.gives_colours,
            Self::Mend => model.takes_mask,
        }
    }

    /// Options for it. Without a `base` to begin with, a fresh network learns.
    #[must_use]
    pub fn options(self, base: Option<&str>) -> TrainOptions {
        let network = match self {
            Self::Upscale => NetworkConfig::Residual(ResidualConfig::starter()),
            Self::Clean => NetworkConfig::Residual(ResidualConfig::restorer()),
            Self::Mend => NetworkConfig::Residual(ResidualConfig::mender()),
            Self::Colour => NetworkConfig::Layered(colouriser::config()),
        };
        let usual = TrainOptions {
            base: base.unwrap_or(NEW).to_owned(),
            network: base.is_none().then_some(network),
            degradation: self.degradations()[0].0.to_owned(),
            // What begins with a trained model has less far to go.
            rate: if base.is_some() { 1e-4 } else { 5e-4 },
            patience: 20,
            validation_share: 0.15,
            test_share: 0.15,
            ..TrainOptions::default()
        };
        match self {
            // As the model that ships learnt it: colours follow from most of a photo, seen small.
            Self::Colour => TrainOptions {
                batch: 8,
                crop: 160,
                longest: 288,
                backbone_rate: 0.1,
                colour_weight: 8.0,
                ..usual
            },
            _ => usual,
        }
    }
}

/// Sets the steps of a run, and what depends on them.
pub fn lengthen(options: &mut TrainOptions, steps: u64, validate_every: u64) {
    options.steps = steps.max(1);
    options.validate_every = validate_every.max(1);
    options.warm_up = 50.min(options.steps / 10);
    // An average over more than a part of the run would hold on to its beginning.
    options.average = (1.0 - 20.0 / options.steps as f64).clamp(0.9, 0.999);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Trainer, degrade::Recipe};

    #[test]
    fn every_goal_has_options_that_can_be_trained_with() {
        for goal in Goal::ALL {
            for (name, _) in goal.degradations() {
                let mut options = goal.options(None);
                (options.degradation, options.seed) = ((*name).to_owned(), 1);
                lengthen(&mut options, 30, 10);
                let base = Trainer::base_of(&options).unwrap();
                let about = About::of(&base);
                assert!(goal.fits(&about), "{goal:?}");
                let recipe = Recipe::find(name).unwrap();
                assert_eq!(recipe.masks(), goal == Goal::Mend, "{goal:?} {name}");
            }
        }
        let options = Goal::Clean.options(Some("clean"));
        assert!(options.base == "clean" && options.network.is_none());
        let about = |name| About::of(&crate::model::Model::find(name).unwrap());
        for (name, goal) in
            [("starter", Goal::Upscale), ("clean", Goal::Clean), ("colour", Goal::Colour)]
        {
            let fits = Goal::ALL.into_iter().filter(|goal| goal.fits(&about(name)));
            assert_eq!(fits.collect::<Vec<_>>(), [goal], "{name}");
        }
    }

    #[test]
    fn short_runs_average_over_less() {
        let average = |steps| {
            let mut options = TrainOptions::default();
            lengthen(&mut options, steps, 10);
            options.average
        };
        assert!(average(10) == 0.9 && average(1_000) == 0.98 && average(1_000_000) == 0.999);
    }
}
