//! What is done to a photo, with all that decides the result: frozen when a photo is queued, and
//! the same for one photo as for many.

use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{hash, paths};
use crate::{
    device::Chosen,
    encoding::Writing,
    error::{Error, Result},
    mask::{self, Anchor, Scope, placed, sidecar},
    model::Model,
    picture::Picture,
    restore::{
        Monitor, Receipt, UpscaleOptions,
        colour::colour,
        mend::{Filler, MendOptions, MendReceipt, TEXTURE, mend},
        recipe::Recipe,
        repaint::{RepaintOptions, repaint},
        upscale,
    },
};

/// For `model` of [`Operation::Mend`]: the shipped network for marks, if there is one, and texture
/// for the rest.
pub const AUTO: &str = "auto";

/// Something to do, with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Operation {
    /// Enlarge.
    Upscale {
        /// Name of a model, or path of a model file.
        model: String,
        /// The mean of eight answers.
        ensemble: bool,
        /// As [`Chosen::by_name`] takes it.
        device: String,
        /// What the user set.
        #[serde(flatten)]
        options: UpscaleOptions,
    },
    /// Fill what a mask marks.
    Mend {
        /// Name of a model, path of a model file, [`TEXTURE`] or [`AUTO`].
        model: String,
        /// As [`Chosen::by_name`] takes it.
        device: String,
        /// Where the marks are.
        #[serde(flatten)]
        marks: Marks,
        /// What the user set.
        #[serde(flatten)]
        options: MendOptions,
        /// Decides what texture draws by lot.
        seed: u64,
    },
    /// Take artefacts, noise and blur away.
    Clean {
        /// Name of a model, or path of a model file.
        model: String,
        /// As [`Chosen::by_name`] takes it.
        device: String,
        /// Where the photo may change; all over without a mask.
        #[serde(flatten)]
        marks: Marks,
        /// What the user set.
        #[serde(flatten)]
        options: RepaintOptions,
    },
    /// Give grey photos colours.
    Colour {
        /// Name of a model, or path of a model file.
        model: String,
        /// As [`Chosen::by_name`] takes it.
        device: String,
        /// Where the photo may change; all over without a mask.
        #[serde(flatten)]
        marks: Marks,
        /// How much of the answer is taken, 0 to 1.
        strength: f32,
    },
}

/// A mask for one photo or many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Marks {
    /// The mask's file; `None` for the one that is kept beside each photo.
    #[serde(default, with = "paths::option")]
    pub mask: Option<PathBuf>,
    /// Where it lies on a photo of another size.
    #[serde(default)]
    pub anchor: Option<Anchor>,
    /// The file of a mask of what is to stay, which lies there as well; without it and without a
    /// mask, what is kept beside each photo.
    #[serde(default, with = "paths::option", skip_serializing_if = "Option::is_none")]
    pub protect: Option<PathBuf>,
}

impl Marks {
    /// The mask where it lies on a photo of this size.
    fn laid(&self, mask: &GrayImage, size: (u32, u32)) -> GrayImage {
        match self.anchor {
            Some(anchor) if mask.dimensions() != size => placed(mask, size, anchor),
            _ => mask.clone(),
        }
    }

    /// The mask for all photos, if there is one, where it lies on a photo of this size, made so
    /// small that no side has more than so many pixels.
    ///
    /// # Errors
    /// As [`mask::open`].
    pub fn small(&self, size: (u32, u32), side: u32) -> Result<Option<GrayImage>> {
        let Some(file) = &self.mask else { return Ok(None) };
        let laid = DynamicImage::from(self.laid(&mask::open(file)?, size));
        Ok(Some(laid.thumbnail(side, side).into_luma8()))
    }
}

/// What was done, in numbers.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Made {
    /// By a network over the whole photo.
    Whole(Receipt),
    /// Inside of a mask.
    Mended(MendReceipt),
}

impl Made {
    /// What was done, for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Whole(Receipt { output_size, seconds, device, colour_shift, .. }) => {
                let (width, height) = output_size;
                let shift = colour_shift.map_or_else(String::new, |shift| {
                    format!(
                        ", colours off by {:.2} dE00 (network: {:.2})",
                        shift.after, shift.before
                    )
                });
                format!("{width} x {height} pixels, {seconds:.1} s on {device}{shift}")
            }
            Self::Mended(receipt) => format!("{}, {:.1} s", receipt.in_words(), receipt.seconds),
        }
    }
}

impl Operation {
    /// The word for it in the name of a result.
    #[must_use]
    pub fn done(&self) -> String {
        match self {
            Self::Upscale { model, options, .. } => {
                let scale = Model::find(model).map_or(4, |model| model.scale());
                options.size.label(scale)
            }
            Self::Mend { .. } => "mended".to_owned(),
            Self::Clean { .. } => "clean".to_owned(),
            Self::Colour { .. } => "colour".to_owned(),
        }
    }

    /// The same for a name that says how much larger: `4`, `6000w`; 1 where the size stays.
    #[must_use]
    pub fn scale(&self) -> String {
        match self {
            Self::Upscale { .. } => self.done().trim_end_matches('x').to_owned(),
            Self::Mend { .. } | Self::Clean { .. } | Self::Colour { .. } => "1".to_owned(),
        }
    }

    /// Dots per inch for which its result is made, if it is for a print.
    #[must_use]
    pub fn dpi(&self) -> Option<u32> {
        match self {
            Self::Upscale { options, .. } => options.size.dpi(),
            Self::Mend { .. } | Self::Clean { .. } | Self::Colour { .. } => None,
        }
    }

    /// Name or file of its model.
    #[must_use]
    pub fn model(&self) -> &str {
        match self {
            Self::Upscale { model, .. }
            | Self::Mend { model, .. }
            | Self::Clean { model, .. }
            | Self::Colour { model, .. } => model,
        }
    }

    /// Where it runs, as [`Chosen::by_name`] takes it.
    #[must_use]
    pub fn device(&self) -> &str {
        match self {
            Self::Upscale { device, .. }
            | Self::Mend { device, .. }
            | Self::Clean { device, .. }
            | Self::Colour { device, .. } => device,
        }
    }

    /// The file of its mask, if it has one for all photos.
    #[must_use]
    pub fn mask(&self) -> Option<&Path> {
        self.marks()?.mask.as_deref()
    }

    /// Where it takes place, if not all over.
    #[must_use]
    pub const fn marks(&self) -> Option<&Marks> {
        match self {
            Self::Upscale { .. } => None,
            Self::Mend { marks, .. } | Self::Clean { marks, .. } | Self::Colour { marks, .. } => {
                Some(marks)
            }
        }
    }

    /// The command that enlarges a photo in this way; none for the rest.
    #[must_use]
    pub fn command(&self, photo: &Path, writing: Writing) -> Option<String> {
        let Self::Upscale { model, ensemble, device, options } = self else { return None };
        let (model, device, options) = (model.clone(), device.clone(), *options);
        let command = Recipe { model, device, options, writing }.command(photo);
        Some(command + if *ensemble { " --ensemble" } else { "" })
    }

    /// The file of what is protected, if there is one for all photos.
    #[must_use]
    pub fn protection(&self) -> Option<&Path> {
        self.marks()?.protect.as_deref()
    }

    /// Reads the model and the masks.
    ///
    /// # Errors
    /// Those of [`Model::find`] and [`mask::open`].
    pub fn load(&self) -> Result<Loaded> {
        let model = match self {
            Self::Upscale { model, ensemble: true, .. } => Some(Model::find(model)?.as_ensemble()?),
            Self::Mend { model, .. } if model == TEXTURE => None,
            Self::Mend { model, .. } if model == AUTO => Some(Model::mending()),
            _ => Some(Model::find(self.model())?),
        };
        let mask = self.mask().map(mask::open).transpose()?;
        let protected = self.protection().map(mask::open).transpose()?;
        let words = serde_json::to_vec(self).map_err(|error| Error::Setting(error.to_string()))?;
        let mut recipe = Sha256::new_with_prefix(words);
        recipe.update(model.as_ref().map_or(&[][..], Model::bytes));
        for mask in [&mask, &protected] {
            recipe.update(mask.as_ref().map_or(&[][..], |mask| mask.as_raw()));
        }
        let recipe = hash::in_hex(recipe);
        Ok(Loaded { operation: self.clone(), model, mask, protected, recipe })
    }

    /// Identifies what the result is made of: the photo, and the marks beside it if they are used.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Read`] and their kin, for the photo.
    pub fn content(&self, photo: &Path) -> Result<String> {
        let content = hash::of_file(photo)?;
        match self {
            Self::Mend { marks: Marks { mask: None, .. }, .. } => {
                let beside = [sidecar::path_for(photo), sidecar::protection_for(photo)]
                    .map(|path| hash::of_file(&path).unwrap_or_default());
                Ok(hash::in_hex(Sha256::new_with_prefix(content + &beside.concat())))
            }
            _ => Ok(content),
        }
    }
}

/// An operation with what it reads once for all photos.
pub struct Loaded {
    operation: Operation,
    model: Option<Model>,
    mask: Option<GrayImage>,
    protected: Option<GrayImage>,
    recipe: String,
}

impl Loaded {
    /// Identifies the operation with the content of its model and mask: whatever has the same
    /// recipe and the same source gives the same result.
    #[must_use]
    pub fn recipe(&self) -> &str {
        &self.recipe
    }

    /// The same for a result that is written like this.
    #[must_use]
    pub fn recipe_for(&self, writing: Writing) -> String {
        let words = serde_json::to_string(&writing).unwrap_or_default();
        hash::in_hex(Sha256::new_with_prefix(format!("{}{words}", self.recipe)))
    }

    /// Its model, if it has one.
    #[must_use]
    pub const fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// What it was loaded for.
    #[must_use]
    pub const fn operation(&self) -> &Operation {
        &self.operation
    }

    /// The device it is to run on.
    ///
    /// # Errors
    /// As [`Chosen::by_name`].
    pub fn device(&self) -> Result<Chosen> {
        match &self.operation {
            Operation::Mend { .. } if self.model.is_none() => Ok(Chosen::cpu()),
            operation => Chosen::by_name(operation.device()),
        }
    }

    /// Whether pixels stay what they are outside of a mask, so that the result should go to a
    /// format that keeps all of them.
    #[must_use]
    pub const fn keeps_pixels(&self) -> bool {
        matches!(self.operation, Operation::Mend { .. })
            || self.mask.is_some()
            || self.protected.is_some()
    }

    /// Size of the result, if it can be made at all.
    ///
    /// # Errors
    /// As [`UpscaleOptions::steps`]; [`Error::Setting`] if nothing says what is to be filled.
    pub fn output_size(&self, picture: &Picture) -> Result<(u32, u32)> {
        match (&self.operation, &self.model) {
            (Operation::Upscale { options, .. }, Some(model)) => {
                options.steps(picture.size(), model).map(|steps| steps.output)
            }
            (Operation::Mend { .. }, _) => self.marked(picture).map(|_| picture.size()),
            _ => Ok(picture.size()),
        }
    }

    /// Does it; the result leaves through the monitor.
    ///
    /// # Errors
    /// Those of [`upscale()`], [`mend()`], [`repaint()`] and [`colour()`]; [`Error::Setting`] if nothing says
    /// what is to be filled.
    pub fn run(
        &self,
        picture: &Picture,
        device: &Chosen,
        monitor: &mut dyn Monitor,
    ) -> Result<Made> {
        match (&self.operation, &self.model) {
            (Operation::Upscale { options, .. }, Some(model)) => {
                upscale(picture, model, device, options, monitor).map(Made::Whole)
            }
            (Operation::Clean { options, .. }, Some(model)) => {
                let [mask, protected] = self.placed(picture);
                let scope = Scope { mask: mask.as_ref(), protected: protected.as_ref() };
                repaint(picture, scope, model, device, *options, monitor).map(Made::Whole)
            }
            (Operation::Colour { strength, .. }, Some(model)) => {
                let [mask, protected] = self.placed(picture);
                let scope = Scope { mask: mask.as_ref(), protected: protected.as_ref() };
                colour(picture, scope, model, device, *strength, monitor).map(Made::Whole)
            }
            (Operation::Mend { options, seed, model: name, .. }, model) => {
                let seed = *seed;
                let filler = match model {
                    None => Filler::Texture { seed },
                    Some(model) if name == AUTO => Filler::Auto { model, device, seed },
                    Some(model) => Filler::Network { model, device },
                };
                let (mask, protected) = self.marked(picture)?;
                let scope = Scope { mask: Some(&mask), protected: protected.as_ref() };
                mend(picture, scope, filler, *options, monitor).map(Made::Mended)
            }
            // `Operation::load` gives both their model.
            (operation, None) => Err(Error::ModelUnknown {
                name: operation.model().to_owned(),
                known: Model::names().join(", "),
            }),
        }
    }

    /// The mask and what is protected where they lie on this photo.
    fn placed(&self, picture: &Picture) -> [Option<GrayImage>; 2] {
        [&self.mask, &self.protected]
            .map(|mask| Some(self.operation.marks()?.laid(mask.as_ref()?, picture.size())))
    }

    /// What is to be filled and what is not: by the masks, or by what is kept beside the photo.
    fn marked(&self, picture: &Picture) -> Result<(GrayImage, Option<GrayImage>)> {
        let [mask, protected] = self.placed(picture);
        if let Some(mask) = mask {
            return Ok((mask, protected));
        }
        let photo = picture.source.as_deref().unwrap_or_else(|| Path::new(&picture.name));
        let kept = sidecar::load(photo, picture.size());
        let (mask, _) = kept.ok_or_else(|| {
            Error::Setting(format!(
                "nothing says what is to be filled: give --mask, or mark it in the window, which \
                 keeps {}",
                sidecar::path_for(photo).display()
            ))
        })?;
        let protected = protected.or_else(|| sidecar::load_protection(photo, picture.size()));
        Ok((mask, protected))
    }
}
