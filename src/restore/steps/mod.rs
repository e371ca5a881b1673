//! What was done to a photo, step by step: a list that can be changed and done again from the
//! photo, which itself is never touched.

use std::{borrow::Cow, sync::Arc};

use image::{DynamicImage, GrayImage, imageops};
use serde::{Deserialize, Serialize};

use super::{
    Monitor, Mosaic, Patch, Progress, Start, UpscaleOptions,
    colour::colour,
    mend::{Fill, MendOptions, MendReceipt, mend},
    repaint::{RepaintOptions, repaint},
    upscale,
};
use crate::{
    device::Chosen, error::Result, mask::Scope, model::Model, picture::Picture, restore::Receipt,
};

pub mod file;

/// In so many parts is told how far a step is.
const PARTS: u64 = 10_000;

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "does", rename_all = "snake_case")]
pub enum Action {
    /// Fills what is marked.
    Fill {
        /// By what.
        by: Fill,
        /// What the user set.
        #[serde(flatten)]
        options: MendOptions,
    },
    /// Takes artefacts, noise and blur away.
    Clean {
        /// Name of a model, or path of a model file.
        model: String,
        /// How much of the answer is taken, 0 to 1.
        strength: f32,
    },
    /// Gives a grey photo colours.
    Colour {
        /// As for [`Action::Clean`].
        model: String,
        /// As for [`Action::Clean`].
        strength: f32,
    },
    /// Makes it larger.
    Upscale {
        /// As for [`Action::Clean`].
        model: String,
        /// What the user set.
        #[serde(flatten)]
        options: UpscaleOptions,
    },
}

/// One step of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// Where; everywhere if `None`. Of the size that the picture had then: it is fitted to
    /// another.
    pub mask: Option<Arc<GrayImage>>,
    /// What stays as it is, whatever is marked; of the same size.
    pub protected: Option<Arc<GrayImage>>,
    /// Whether it is done at all.
    pub on: bool,
}

/// What was done.
pub enum Done {
    /// Of a fill.
    Mended(MendReceipt),
    /// Of all else.
    Made(Receipt),
}

impl Action {
    /// With the strength that it was given in the end; of no use to a fill.
    #[must_use]
    pub fn of_strength(mut self, taken: f32) -> Self {
        match &mut self {
            Self::Clean { strength, .. }
            | Self::Colour { strength, .. }
            | Self::Upscale { options: UpscaleOptions { strength, .. }, .. } => *strength = taken,
            Self::Fill { .. } => {}
        }
        self
    }

    /// Whether a network runs.
    #[must_use]
    pub fn needs_device(&self) -> bool {
        !matches!(self, Self::Fill { by, .. } if by.network().is_none())
    }

    /// What is done, for people.
    #[must_use]
    pub fn name(&self) -> String {
        let percent = |strength: &f32| match strength {
            strength if *strength < 1.0 => format!(", {:.0} %", 100.0 * strength),
            _ => String::new(),
        };
        match self {
            Self::Fill { by: Fill::Texture, .. } => "Fill by texture".to_owned(),
            Self::Fill { .. } => "Fill".to_owned(),
            Self::Clean { strength, .. } => format!("Clean{}", percent(strength)),
            Self::Colour { strength, .. } => format!("Colourise{}", percent(strength)),
            Self::Upscale { model, options } => {
                format!("Upscale, {model}{}", percent(&options.strength))
            }
        }
    }

    /// Does it; the result leaves through [`Monitor::patch`].
    ///
    /// # Errors
    /// As [`mend()`], [`repaint()`], [`colour()`] and [`super::upscale()`].
    pub fn run(
        &self,
        picture: &Picture,
        scope: Scope<'_>,
        device: &Chosen,
        monitor: &mut dyn Monitor,
    ) -> Result<Done> {
        Ok(match self {
            Self::Fill { by, options } => {
                let network = by.network();
                let empty;
                let mask = match scope.mask {
                    Some(mask) => mask,
                    None => {
                        empty = GrayImage::new(picture.size().0, picture.size().1);
                        &empty
                    }
                };
                let scope = Scope { mask: Some(mask), ..scope };
                let filler = by.filler(network.as_ref(), device);
                Done::Mended(mend(picture, scope, filler, *options, monitor)?)
            }
            Self::Clean { model, strength } => {
                let options = RepaintOptions { strength: *strength, tile: None };
                let model = Model::find(model)?;
                Done::Made(repaint(picture, scope, &model, device, options, monitor)?)
            }
            Self::Colour { model, strength } => {
                let model = Model::find(model)?;
                Done::Made(colour(picture, scope, &model, device, *strength, monitor)?)
            }
            Self::Upscale { model, options } => {
                let model = Model::find(model)?;
                Done::Made(upscale(picture, &model, device, options, monitor)?)
            }
        })
    }
}

impl Step {
    /// The picture after this step.
    fn applied(
        &self,
        picture: &Picture,
        device: &Chosen,
        monitor: &mut dyn Monitor,
        step: [u64; 2],
    ) -> Result<Picture> {
        let (width, height) = picture.size();
        let [mask, protected] = [&self.mask, &self.protected].map(|mask| {
            let mask = mask.as_deref()?;
            Some(if mask.dimensions() == (width, height) {
                Cow::Borrowed(mask)
            } else {
                let filter = imageops::FilterType::Nearest;
                Cow::Owned(imageops::resize(mask, width, height, filter))
            })
        });
        let scope = Scope { mask: mask.as_deref(), protected: protected.as_deref() };
        let mut gather = Gather { monitor, step, start: None, patches: Vec::new() };
        self.action.run(picture, scope, device, &mut gather)?;
        let pixels = match gather.start {
            Some(Start { size, color, .. }) => {
                Mosaic { size, color, patches: gather.patches }.pixels()
            }
            None => DynamicImage::clone(&picture.pixels),
        };
        Ok(Picture { pixels, ..picture.clone() })
    }
}

/// Does all steps that are on, one after the other. The monitor is told how far all of it is.
///
/// # Errors
/// As [`Action::run`], or what the monitor returns.
pub fn replay(
    photo: &Picture,
    steps: &[Step],
    device: &Chosen,
    monitor: &mut dyn Monitor,
) -> Result<Picture> {
    let steps: Vec<&Step> = steps.iter().filter(|step| step.on).collect();
    let count = steps.len() as u64;
    let mut picture = photo.clone();
    for (number, step) in (0..).zip(steps) {
        picture = step.applied(&picture, device, monitor, [number, count])?;
    }
    Ok(picture)
}

/// Keeps the result of a step, and passes on how far it is.
struct Gather<'a> {
    monitor: &'a mut dyn Monitor,
    /// The number of the step, and how many there are.
    step: [u64; 2],
    start: Option<Start>,
    patches: Vec<Arc<Patch>>,
}

impl Monitor for Gather<'_> {
    fn start(&mut self, start: &Start) -> Result<()> {
        self.start = Some(start.clone());
        Ok(())
    }

    fn progress(&mut self, progress: Progress) -> Result<()> {
        let Progress { done, total, .. } = progress;
        let [number, count] = self.step;
        let done = number * PARTS + done.saturating_mul(PARTS) / total.max(1);
        self.monitor.progress(Progress { done, total: count * PARTS, remaining: None })
    }

    fn patch(&mut self, patch: Patch) -> Result<()> {
        self.patches.push(Arc::new(patch));
        Ok(())
    }

    fn note(&mut self, note: &str) {
        self.monitor.note(note);
    }
}

#[cfg(test)]
mod tests {
    use image::{Luma, Rgb, RgbImage};

    use super::*;
    use crate::{error::Error, size::Size};

    struct Patient(u32);

    impl Monitor for Patient {
        fn progress(&mut self, _progress: Progress) -> Result<()> {
            self.0 = self.0.checked_sub(1).ok_or(Error::Cancelled)?;
            Ok(())
        }

        fn patch(&mut self, _patch: Patch) -> Result<()> {
            unreachable!("pieces stay inside")
        }
    }

    fn photo() -> Picture {
        let pixels = RgbImage::from_fn(48, 40, |x, y| Rgb([(5 * x) as u8, (6 * y) as u8, 90]));
        Picture::from_pixels("photo", pixels.into())
    }

    fn fill(from: u32, on: bool) -> Step {
        let mask = GrayImage::from_fn(48, 40, |x, y| {
            Luma([if (from..from + 6).contains(&x) && (8..16).contains(&y) { 255 } else { 0 }])
        });
        let action = Action::Fill { by: Fill::Texture, options: MendOptions::default() };
        Step { action, mask: Some(Arc::new(mask)), protected: None, on }
    }

    fn upscale() -> Step {
        let action = Action::Upscale {
            model: "fast-4x".to_owned(),
            options: UpscaleOptions { size: Size::Scale(2.0), ..UpscaleOptions::default() },
        };
        Step { action, mask: None, protected: None, on: true }
    }

    fn replayed(steps: &[Step]) -> Picture {
        let monitor = &mut Patient(10_000);
        replay(&photo(), steps, &Chosen::cpu(), monitor).unwrap()
    }

    #[test]
    fn steps_are_done_in_their_order_and_only_if_they_are_on() {
        let photo = photo();
        assert!(replayed(&[]).pixels == photo.pixels);
        assert!(replayed(&[fill(10, false)]).pixels == photo.pixels);
        let both = replayed(&[fill(10, true), fill(30, true)]);
        let (first, second) = (replayed(&[fill(10, true)]), replayed(&[fill(30, true)]));
        assert!(first.pixels != photo.pixels && first.pixels != second.pixels);
        for (x, y, pixel) in both.pixels.to_rgb8().enumerate_pixels() {
            let expected = if x < 24 { &first } else { &second };
            assert_eq!(pixel, expected.pixels.to_rgb8().get_pixel(x, y), "{x} {y}");
        }
    }

    #[test]
    fn a_mask_follows_the_size_of_the_picture() {
        let before = replayed(&[fill(10, true), upscale()]);
        let after = replayed(&[upscale(), fill(10, true)]);
        assert_eq!((before.size(), after.size()), ((96, 80), (96, 80)));
        let plain = replayed(&[upscale()]);
        let plain = plain.pixels.to_rgb8();
        let changed = |picture: &Picture| -> Vec<(u32, u32)> {
            let pixels = picture.pixels.to_rgb8();
            let places = pixels.enumerate_pixels().map(|(x, y, _)| (x, y));
            places.filter(|(x, y)| pixels.get_pixel(*x, *y) != plain.get_pixel(*x, *y)).collect()
        };
        // Filled after it was enlarged: exactly inside of the mask, enlarged.
        let inside = |x: &u32, y: &u32| (20..32).contains(x) && (16..32).contains(y);
        let after = changed(&after);
        assert!(after.len() > 50 && after.iter().all(|(x, y)| inside(x, y)));
        assert!(!changed(&before).is_empty());
    }

    #[test]
    fn it_ends_when_it_is_told_to_and_says_how_far_all_of_it_is() {
        struct Told(Vec<u64>);

        impl Monitor for Told {
            fn progress(&mut self, progress: Progress) -> Result<()> {
                assert_eq!(progress.total, 2 * PARTS);
                self.0.push(progress.done);
                Ok(())
            }

            fn patch(&mut self, _patch: Patch) -> Result<()> {
                Ok(())
            }
        }

        let steps = [fill(10, true), fill(20, false), upscale()];
        let (device, mut told) = (Chosen::cpu(), Told(Vec::new()));
        replay(&photo(), &steps, &device, &mut told).unwrap();
        assert!(told.0.is_sorted() && told.0.last() == Some(&(2 * PARTS)), "{:?}", told.0);
        let ended = replay(&photo(), &steps, &device, &mut Patient(2));
        assert!(matches!(ended, Err(Error::Cancelled)));
    }
}
