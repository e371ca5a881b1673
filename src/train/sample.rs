//! What photos look like to a network that learns, and what it makes of them meanwhile.

use std::path::Path;

use image::RgbImage;

use super::{
    TrainOptions, Trainer,
    data::Photo,
    degrade::Recipe,
    verdict::{Pair, Piece, pairs},
};
use crate::{
    error::{Error, Result},
    picture::resample::resize_exact,
    restore::evaluate::restored_rgb,
};

/// Side in pixels of the piece that is shown.
const SIDE: u32 = 256;

/// A piece of a photo that is not learnt from, the one with most detail, in versions of one size.
pub struct Sample {
    pair: Pair,
    /// As the network gets it.
    pub before: RgbImage,
    /// By the base model.
    pub base: RgbImage,
}

impl Sample {
    /// Of the photos that the best weights are chosen by.
    ///
    /// # Errors
    /// Those of reading and enlarging photos.
    pub fn of(trainer: &Trainer) -> Result<Self> {
        let photos = &trainer.split.validation[..1];
        let (recipe, scale) = (trainer.options.recipe(), trainer.base.scale());
        let made = pairs(photos, &recipe, scale, trainer.options.seed, Piece::Detailed(SIDE))?;
        let pair = made.into_iter().next().ok_or(Error::Cancelled)?;
        let (width, height) = pair.large.dimensions();
        let before = resize_exact(&pair.small, width, height);
        let base =
            restored_rgb(&pair.small, pair.mask.as_ref(), scale, &trainer.base, &trainer.chosen)?;
        Ok(Self { pair, before, base })
    }

    /// By the weights of the trainer's last look.
    ///
    /// # Errors
    /// Those of enlarging.
    pub fn tuned(&self, trainer: &Trainer) -> Result<RgbImage> {
        let Pair { small, mask, .. } = &self.pair;
        let scale = trainer.base.scale();
        restored_rgb(small, mask.as_ref(), scale, trainer.latest_model(), &trainer.chosen)
    }
}

/// A piece of a photo, and what training makes of it, at one size.
#[derive(Clone, Debug)]
pub struct Preview {
    /// What a network is to give.
    pub original: RgbImage,
    /// What it gets.
    pub worse: RgbImage,
}

/// A piece of a photo, made worse as options say.
///
/// # Errors
/// Those of reading the photo, the degradation and the base.
pub fn preview(photo: &Path, options: &TrainOptions) -> Result<Preview> {
    let recipe = match &options.degradation_recipe {
        Some(recipe) => recipe.clone(),
        None => Recipe::find(&options.degradation)?,
    };
    let recipe = recipe.scaled(options.strength);
    let scale = Trainer::base_of(options)?.scale();
    let photo = Photo::new(photo.to_owned(), 0);
    let made = pairs(&[photo], &recipe, scale, options.seed, Piece::Detailed(SIDE))?;
    let pair = made.into_iter().next().ok_or(Error::Cancelled)?;
    let (width, height) = pair.large.dimensions();
    Ok(Preview { worse: resize_exact(&pair.small, width, height), original: pair.large })
}
