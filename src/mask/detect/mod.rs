//! Proposals for a mask: what on a photo looks as if it did not belong there.
//!
//! Scratches and dust are found by `scratches`, a mark that is laid over the photo again and again
//! by `repeated`. Both are classical and can be wrong: wires and twigs look like scratches, and a
//! brick wall repeats itself. So what they find is shown, and never filled unasked. A mark that is
//! there once looks like a part of the photo to both of them.

use image::{DynamicImage, GrayImage};
use serde::{Deserialize, Serialize};

use self::plane::Plane;
use crate::error::{Error, Result};

mod plane;
mod repeated;
mod scratches;
mod spectrum;

/// What is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// All of it.
    #[default]
    Auto,
    /// Scratches and dust.
    Scratches,
    /// A mark that repeats itself all over the photo.
    Watermark,
}

impl Kind {
    /// All of them with their names for the command line.
    pub const NAMED: [(&str, Self); 3] =
        [("auto", Self::Auto), ("scratches", Self::Scratches), ("watermark", Self::Watermark)];

    /// One by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find_map(|(own, kind)| (own == name).then_some(kind))
    }
}

/// What the user sets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetectOptions {
    /// What is looked for.
    pub kind: Kind,
    /// How little is enough, 0 to 1: with more, more is found, and more that is part of the photo.
    pub sensitivity: f32,
}

impl Default for DetectOptions {
    fn default() -> Self {
        Self { kind: Kind::Auto, sensitivity: 0.5 }
    }
}

/// How often a mark comes, and where.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Repeats {
    /// From one mark to the next in two directions, right and down, in pixels of the photo.
    pub steps: [[f32; 2]; 2],
    /// For how many marks the photo has room.
    pub times: f32,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Detected {
    /// 255 on all of it, of the picture's size.
    pub mask: GrayImage,
    /// Scratches.
    pub scratches: usize,
    /// Specks of dust.
    pub specks: usize,
    /// The mark that repeats itself, if there is one.
    pub repeats: Option<Repeats>,
}

impl Detected {
    /// Whether nothing was found.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.scratches == 0 && self.specks == 0 && self.repeats.is_none()
    }

    /// What was found, for people.
    #[must_use]
    pub fn in_words(&self, kind: Kind) -> String {
        if self.is_empty() {
            let what = match kind {
                Kind::Auto => "no scratch, no dust and no mark that repeats itself stands out",
                Kind::Scratches => "no scratch and no dust stands out",
                Kind::Watermark => "no mark repeats itself",
            };
            return format!("nothing found: {what} (a higher sensitivity finds more)");
        }
        let counted = |count: usize, one: &str, many: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{count} {many}")),
        };
        let marks =
            self.repeats.map(|repeats| format!("a mark {:.0} times", repeats.times.max(2.0)));
        let found = [
            marks,
            counted(self.scratches, "scratch", "scratches"),
            counted(self.specks, "speck", "specks"),
        ];
        let found: Vec<String> = found.into_iter().flatten().collect();
        let share = super::count(&self.mask) as f64 / self.mask.len().max(1) as f64;
        format!("found {}: {:.1} % of the photo", found.join(", "), 100.0 * share)
    }
}

/// Looks for what does not belong there. `going_on` is told how far it is, 0 to 1, and can end it.
///
/// # Errors
/// [`Error::Setting`] if the sensitivity is not one, or what `going_on` returns.
pub fn detect(
    picture: &DynamicImage,
    options: DetectOptions,
    going_on: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<Detected> {
    let DetectOptions { kind, sensitivity } = options;
    if !(0.0..=1.0).contains(&sensitivity) {
        return Err(Error::Setting("a sensitivity is a number from 0 to 1".to_owned()));
    }
    let size = (picture.width(), picture.height());
    let mut found =
        Detected { mask: GrayImage::new(size.0, size.1), scratches: 0, specks: 0, repeats: None };
    going_on(0.0)?;
    // Colours are of no use to either.
    let luma = picture.to_luma8();
    let share = if kind == Kind::Auto { 0.5 } else { 1.0 };
    if kind != Kind::Scratches
        && let Some((mask, repeats)) =
            repeated::find(&luma, sensitivity, &mut |done| going_on(share * done))?
    {
        found.mask = mask;
        found.repeats = Some(repeats);
    }
    if kind != Kind::Watermark {
        let before = 1.0 - share;
        let mut going_on = |done: f32| going_on(before + share * done);
        let marks = scratches::find(&luma, sensitivity, &mut going_on)?;
        (found.scratches, found.specks) = (marks.scratches, marks.specks);
        for (all, mark) in found.mask.iter_mut().zip(marks.mask.iter()) {
            *all = (*all).max(*mark);
        }
    }
    going_on(1.0)?;
    Ok(found)
}

/// The picture in so small that no side has more than so many pixels, and how many times smaller
/// that is.
fn reduced(luma: &GrayImage, most: u32) -> (Plane, u32) {
    let times = luma.width().max(luma.height()).div_ceil(most).max(1);
    (Plane::smaller(luma, times), times)
}
