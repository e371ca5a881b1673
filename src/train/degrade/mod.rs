//! Low-quality pictures made from good ones, for a network to learn the way back.
//!
//! A [`Recipe`] is data: it is read from TOML, written beside each result, and gives the same
//! pixels for the same seed. Some steps put marks on the picture, which a network is to find or to
//! fill in: they come with an exact mask.

use std::path::Path;

use fastrand::Rng;
use image::{DynamicImage, GrayImage, RgbImage, imageops};
use serde::{Deserialize, Serialize};

pub use self::{damage::Damage, watermark::Watermark};

use self::canvas::Canvas;
use crate::{
    error::{Error, Result},
    mask,
    picture::resample::resize_exact,
};

mod canvas;
mod damage;
mod strength;
mod watermark;

/// Smallest and largest value that a step may draw, both included.
type Range = [f32; 2];

/// Smallest and largest number of things that a step may draw, both included.
type Count = [u32; 2];

/// Furthest that a mask may be grown, in pixels.
const MOST_GROWTH: f32 = 64.0;

/// One thing that happens to a picture, or now and then.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// How often it happens, 0 to 1. Nothing is drawn for 1.
    #[serde(default = "always", skip_serializing_if = "is_always")]
    pub share: f32,
    /// What happens.
    #[serde(flatten)]
    pub change: Change,
}

const fn always() -> f32 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_always(share: &f32) -> bool {
    *share >= 1.0
}

impl From<Change> for Step {
    /// It happens each time.
    fn from(change: Change) -> Self {
        Self { share: 1.0, change }
    }
}

/// What can happen to a picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// Gaussian blur.
    Blur {
        /// Standard deviation in pixels.
        sigma: Range,
    },
    /// Bicubic resizing.
    Resize {
        /// New size over old size.
        factor: Range,
    },
    /// Gaussian noise, independent for each channel.
    Noise {
        /// Standard deviation, where white is 1.
        sigma: Range,
    },
    /// JPEG compression.
    Jpeg {
        /// 1 to 100, as libjpeg counts.
        quality: Range,
        /// How often the blocks of 8x8 pixels do not begin at the corner, as in a photo that was
        /// cut after it was compressed, 0 to 1.
        #[serde(default)]
        shifted: f32,
    },
    /// Three equal channels of BT.601 luma.
    Grey,
    /// A visible watermark. Makes a mask.
    Watermark(Watermark),
    /// What time does to a print. Makes a mask.
    Damage(Damage),
}

/// A picture made worse.
#[derive(Clone, Debug, PartialEq)]
pub struct Degraded {
    /// 1/scale of the size of the original.
    pub picture: RgbImage,
    /// Of the same size: 255 on every pixel that a mark may have changed and 0 elsewhere, grown
    /// by [`Recipe::mask_grow`]. None where the recipe makes no marks; all 0 where it drew none.
    ///
    /// It says where marks were laid. What noise or JPEG did afterwards, to any pixel, is not in
    /// it.
    pub mask: Option<GrayImage>,
    /// Whether nothing of what is under the marks is to be shown; see [`Recipe::hides`].
    pub hides: bool,
}

/// What happens to a picture before and after it is shrunk by the scale.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Before shrinking.
    pub before: Vec<Step>,
    /// Whether `before` comes in random order, drawn anew each time.
    pub shuffled: bool,
    /// How often `before` happens; at least once.
    pub rounds: u32,
    /// After shrinking. Only here can marks be made, and no blur or resizing may follow them:
    /// either would carry what they changed out of their mask.
    pub after: Vec<Step>,
    /// Pixels by which the mask reaches beyond the marks, 0 to 64, drawn anew each time: people
    /// do not paint to the pixel. Nothing is drawn for [0, 0], which keeps the mask exact.
    pub mask_grow: Range,
    /// How often nothing of what is under the marks is shown, 0 to 1: it is continued smoothly
    /// from around them, as mending does for what nothing shines through.
    pub hides: f32,
}

/// Names of the recipes that need no file.
pub const NAMED: [&str; 8] =
    ["bicubic", "srgan", "blind", "jpeg", "noise", "watermark", "damage", "grey"];

impl Recipe {
    /// A recipe by its name, or from a TOML file.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is neither, [`Error::Read`] and its kin.
    pub fn find(name_or_file: &str) -> Result<Self> {
        if let Some(recipe) = Self::named(name_or_file) {
            return Ok(recipe);
        }
        let path = Path::new(name_or_file);
        if !path.is_file() {
            return Err(Error::Setting(format!(
                "there is no recipe and no file called {name_or_file} (recipes: {})",
                NAMED.join(", ")
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|error| Error::read(path, error))?;
        let recipe: Self = toml::from_str(&text).map_err(|error| {
            let message = error.message().replace('\n', " ");
            Error::Setting(format!("the recipe {name_or_file} cannot be understood ({message})"))
        })?;
        recipe.check()?;
        Ok(recipe)
    }

    /// One of [`NAMED`].
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let after = |change: Change| Self { after: vec![change.into()], ..Self::default() };
        Some(match name {
            // What papers on super-resolution shrink by.
            "bicubic" => Self::default(),
            // C. Ledig et al., CVPR 2017, section 3: blurred, then shrunk.
            "srgan" => {
                Self { before: vec![Change::Blur { sigma: [1.0, 1.6] }.into()], ..Self::default() }
            }
            // K. Zhang et al., "Designing a practical degradation model", ICCV 2021, in short:
            // blur, resizing, noise and JPEG in random order, twice, and JPEG at the end.
            "blind" => Self {
                before: vec![
                    Change::Blur { sigma: [0.2, 2.4] }.into(),
                    Change::Resize { factor: [0.5, 1.2] }.into(),
                    Change::Noise { sigma: [0.0, 0.08] }.into(),
                    Change::Jpeg { quality: [40.0, 95.0], shifted: 0.0 }.into(),
                ],
                shuffled: true,
                rounds: 2,
                after: vec![
                    Change::Noise { sigma: [0.0, 0.03] }.into(),
                    Change::Jpeg { quality: [40.0, 95.0], shifted: 0.0 }.into(),
                ],
                ..Self::default()
            },
            "jpeg" => after(Change::Jpeg { quality: [5.0, 95.0], shifted: 0.0 }),
            "noise" => after(Change::Noise { sigma: [0.1, 0.5] }),
            "watermark" => after(Change::Watermark(Watermark::default())),
            "damage" => after(Change::Damage(Damage::default())),
            "grey" => after(Change::Grey),
            _ => return None,
        })
    }

    /// Whether some step makes marks, and so a mask.
    #[must_use]
    pub fn masks(&self) -> bool {
        self.after.iter().any(Step::marks)
    }

    /// Whether colours are taken away.
    #[must_use]
    pub fn greys(&self) -> bool {
        self.before.iter().chain(&self.after).any(|step| step.change == Change::Grey)
    }

    /// Whether every range can be drawn from and the steps can follow each other.
    pub(super) fn check(&self) -> Result<()> {
        if self.rounds > 8 {
            return Err(Error::Setting("a recipe has more than 8 rounds".to_owned()));
        }
        self.before.iter().chain(&self.after).try_for_each(Step::check)?;
        rising(self.mask_grow, 0.0, MOST_GROWTH)?;
        probability(self.hides)?;
        if self.before.iter().any(Step::marks) {
            return Err(Error::Setting(
                "a recipe has a watermark or damage in `before`: they belong in `after`, where the \
                 picture has the size of its mask"
                    .to_owned(),
            ));
        }
        let marked = self.after.iter().skip_while(|step| !step.marks());
        if marked
            .into_iter()
            .any(|step| matches!(step.change, Change::Blur { .. } | Change::Resize { .. }))
        {
            return Err(Error::Setting(
                "a recipe has a blur or a resize after a watermark or damage: it must come before \
                 them, since it would carry them out of their mask"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// The picture made worse and `scale` times smaller, which must divide its size; 1 keeps it.
    ///
    /// A picture that was resized in `after` gets its size back at the first mark or at the end.
    ///
    /// # Errors
    /// [`Error::Setting`] if the recipe is unsound or a step cannot be carried out.
    pub fn apply(&self, picture: &RgbImage, scale: u32, rng: &mut Rng) -> Result<Degraded> {
        self.check()?;
        let size = (picture.width() / scale, picture.height() / scale);
        let mut canvas = Canvas::new(picture.clone());
        for _ in 0..self.rounds.max(1) {
            let mut steps = self.before.clone();
            if self.shuffled {
                rng.shuffle(&mut steps);
            }
            for step in &steps {
                step.apply(&mut canvas, rng)?;
            }
        }
        canvas.resize(size);
        for step in &self.after {
            if step.marks() {
                canvas.resize(size);
            }
            step.apply(&mut canvas, rng)?;
        }
        canvas.resize(size);
        let Canvas { picture, mut mask } = canvas;
        if self.mask_grow[1] > 0.0 {
            mask = mask::grown(&mask, draw(self.mask_grow, rng));
        }
        // Drawn only where it is asked for, so that other recipes draw what they always drew.
        let hides = self.hides > 0.0 && rng.f32() < self.hides;
        Ok(Degraded { picture, mask: self.masks().then_some(mask), hides })
    }
}

/// That a range rises and lies in its bounds.
fn rising(range: Range, least: f32, most: f32) -> Result<()> {
    if least <= range[0] && range[0] <= range[1] && range[1] <= most {
        return Ok(());
    }
    Err(Error::Setting(format!(
        "a recipe has {range:?} where two rising numbers from {least} to {most} belong"
    )))
}

/// That a number of things rises and is not beyond reason.
fn countable(count: Count, most: u32) -> Result<()> {
    if count[0] <= count[1] && count[1] <= most {
        return Ok(());
    }
    Err(Error::Setting(format!(
        "a recipe has {count:?} where two rising whole numbers from 0 to {most} belong"
    )))
}

/// That a number can say how often something happens.
fn probability(share: f32) -> Result<()> {
    if (0.0..=1.0).contains(&share) {
        return Ok(());
    }
    Err(Error::Setting(format!("a recipe has {share} where a number from 0 to 1 belongs")))
}

fn draw(range: Range, rng: &mut Rng) -> f32 {
    range[0] + (range[1] - range[0]) * rng.f32()
}

impl Step {
    fn check(&self) -> Result<()> {
        probability(self.share)?;
        self.change.check()
    }

    /// Whether it makes a mask.
    const fn marks(&self) -> bool {
        self.change.marks()
    }

    fn apply(&self, canvas: &mut Canvas, rng: &mut Rng) -> Result<()> {
        if self.share < 1.0 && rng.f32() >= self.share {
            return Ok(());
        }
        self.change.apply(canvas, rng)
    }
}

impl Change {
    fn check(&self) -> Result<()> {
        match self {
            Self::Blur { sigma } => rising(*sigma, 0.0, 100.0),
            Self::Resize { factor } => rising(*factor, 0.05, 4.0),
            Self::Noise { sigma } => rising(*sigma, 0.0, 1.0),
            Self::Jpeg { quality, shifted } => {
                rising(*quality, 1.0, 100.0)?;
                probability(*shifted)
            }
            Self::Grey => Ok(()),
            Self::Watermark(watermark) => watermark.check(),
            Self::Damage(damage) => damage.check(),
        }
    }

    /// Whether it makes a mask.
    const fn marks(&self) -> bool {
        matches!(self, Self::Watermark(_) | Self::Damage(_))
    }

    fn apply(&self, canvas: &mut Canvas, rng: &mut Rng) -> Result<()> {
        let picture = &mut canvas.picture;
        match *self {
            Self::Blur { sigma } => {
                let sigma = draw(sigma, rng);
                if sigma >= 0.05 {
                    *picture = imageops::blur(picture, sigma);
                }
            }
            Self::Resize { factor } => {
                let factor = draw(factor, rng);
                // Several steps could multiply without end.
                let scaled = |side: u32| ((side as f32 * factor).round() as u32).clamp(1, 16_384);
                *picture = resize_exact(picture, scaled(picture.width()), scaled(picture.height()));
            }
            Self::Noise { sigma } => noisy(picture, draw(sigma, rng) * 255.0, rng),
            Self::Jpeg { quality, shifted } => {
                let quality = draw(quality, rng).round() as u8;
                // Chroma has blocks of 16x16 pixels.
                let [left, top] = if shifted > 0.0 && rng.f32() < shifted {
                    [rng.u32(..16), rng.u32(..16)]
                } else {
                    [0, 0]
                };
                let (width, height) = picture.dimensions();
                let wide = RgbImage::from_fn(width + left, height + top, |x, y| {
                    *picture.get_pixel(x.saturating_sub(left), y.saturating_sub(top))
                });
                let wide = compressed(&wide, quality)?;
                *picture = imageops::crop_imm(&wide, left, top, width, height).to_image();
            }
            Self::Grey => {
                for pixel in picture.pixels_mut() {
                    let [r, g, b] = pixel.0.map(f32::from);
                    pixel.0 = [(0.299 * r + 0.587 * g + 0.114 * b + 0.5) as u8; 3];
                }
            }
            Self::Watermark(watermark) => watermark.apply(canvas, rng),
            Self::Damage(damage) => damage.apply(canvas, rng),
        }
        Ok(())
    }
}

fn noisy(picture: &mut RgbImage, sigma: f32, rng: &mut Rng) {
    for pair in picture.chunks_mut(2) {
        // G. Box and M. Muller, 1958: two uniform numbers give two normal ones.
        let radius = (-2.0 * (1.0 - rng.f32()).ln()).sqrt() * sigma;
        let (sine, cosine) = (std::f32::consts::TAU * rng.f32()).sin_cos();
        for (value, normal) in pair.iter_mut().zip([cosine, sine]) {
            *value = (f32::from(*value) + radius * normal + 0.5).clamp(0.0, 255.0) as u8;
        }
    }
}

fn compressed(picture: &RgbImage, quality: u8) -> Result<RgbImage> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::Setting(format!("a picture could not be compressed as JPEG ({error})"))
    };
    let (width, height) = picture.dimensions();
    let sides = u16::try_from(width).ok().zip(u16::try_from(height).ok());
    let (w, h) = sides.ok_or_else(|| failed(&"it is too large"))?;
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, quality);
    // As cameras and the web do it.
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_2_2);
    let encoded = encoder.encode(picture, w, h, jpeg_encoder::ColorType::Rgb);
    encoded.map_err(|error| failed(&error))?;
    let decoded = image::load_from_memory_with_format(&bytes, image::ImageFormat::Jpeg);
    decoded.map(DynamicImage::into_rgb8).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::resample::shrink_exact;

    fn photo() -> RgbImage {
        RgbImage::from_fn(96, 64, |x, y| {
            let wave = ((x as f32 / 5.0).sin() * (y as f32 / 7.0).cos() * 100.0 + 128.0) as u8;
            image::Rgb([wave, (x * 2) as u8, (y * 3) as u8])
        })
    }

    #[test]
    fn the_plain_recipe_is_the_exact_bicubic() {
        let recipe = Recipe::named("bicubic").unwrap();
        let small = recipe.apply(&photo(), 4, &mut Rng::with_seed(1)).unwrap();
        assert!(small.picture == shrink_exact(&photo(), 4));
        assert!(small.mask.is_none());
        let same = recipe.apply(&photo(), 1, &mut Rng::with_seed(1)).unwrap();
        assert!(same.picture == photo());
    }

    #[test]
    fn every_named_recipe_is_made_again_by_its_seed_and_survives_its_file() {
        for name in NAMED {
            let recipe = Recipe::named(name).unwrap();
            recipe.check().unwrap();
            let make = |seed| recipe.apply(&photo(), 2, &mut Rng::with_seed(seed)).unwrap();
            assert_eq!(make(7).picture.dimensions(), (48, 32), "{name}");
            assert!(make(7) == make(7), "{name}");
            assert_eq!(make(7) == make(8), ["bicubic", "grey"].contains(&name), "{name}");
            assert_eq!(make(7).mask.is_some(), recipe.masks(), "{name}");
            assert_eq!(recipe.masks(), ["watermark", "damage"].contains(&name), "{name}");
            let text = toml::to_string(&recipe).unwrap();
            assert_eq!(toml::from_str::<Recipe>(&text).unwrap(), recipe, "{text}");
        }
    }

    #[test]
    fn shifted_blocks_begin_elsewhere() {
        // Strong compression leaves a flat block flat, and a step stays where blocks meet.
        let step = RgbImage::from_fn(64, 64, |x, _| image::Rgb([if x < 32 { 40 } else { 200 }; 3]));
        let make = |shifted, seed| {
            let text =
                format!("after = [{{ kind = 'jpeg', quality = [5, 5], shifted = {shifted} }}]");
            let recipe: Recipe = toml::from_str(&text).unwrap();
            recipe.apply(&step, 1, &mut Rng::with_seed(seed)).unwrap().picture
        };
        assert!((0..8).all(|seed| make(0.0, seed) == make(0.0, 0)));
        let others = (0..40).filter(|seed| make(0.5, *seed) != make(0.0, 0)).count();
        assert!((10..30).contains(&others), "{others}");
    }

    #[test]
    fn a_step_happens_as_often_as_its_share() {
        let text = "after = [{ kind = 'grey', share = 0.25 }, { kind = 'watermark', share = 0.5 }]";
        let recipe: Recipe = toml::from_str(text).unwrap();
        assert_eq!(toml::from_str::<Recipe>(&toml::to_string(&recipe).unwrap()).unwrap(), recipe);
        let photo = RgbImage::from_pixel(24, 24, image::Rgb([200, 100, 50]));
        let mut rng = Rng::with_seed(1);
        let made: Vec<_> =
            (0..2000).map(|_| recipe.apply(&photo, 1, &mut rng).unwrap().mask.unwrap()).collect();
        let marked = made.iter().filter(|mask| mask.iter().any(|value| *value > 0)).count();
        assert!((900..1100).contains(&marked), "{marked}");

        let grey: Recipe = toml::from_str("after = [{ kind = 'grey', share = 0.25 }]").unwrap();
        let changed =
            (0..2000).filter(|_| grey.apply(&photo, 1, &mut rng).unwrap().picture != photo).count();
        assert!((430..570).contains(&changed), "{changed}");
    }

    #[test]
    fn of_a_mark_wider_than_the_picture_a_piece_shows_with_wider_strokes() {
        let photo = RgbImage::from_pixel(96, 96, image::Rgb([90; 3]));
        let made = |size: f32| -> Vec<f32> {
            let text = format!(
                "after = [{{ kind = 'watermark', opacity = [1, 1], text = 1, tiled = 0, outlined = 0, \
                 shadowed = 0, size = [{size}, {size}] }}]"
            );
            let recipe: Recipe = toml::from_str(&text).unwrap();
            let depth = |seed| {
                let made = recipe.apply(&photo, 1, &mut Rng::with_seed(seed)).unwrap();
                let (mask, pairs) = (made.mask.unwrap(), made.picture.pixels().zip(photo.pixels()));
                let unseen = pairs.zip(mask.iter()).any(|((a, b), mark)| a != b && *mark == 0);
                assert!(!unseen, "what changed is marked");
                mask::depth(&mask)
            };
            (0..40).map(depth).collect()
        };
        let (whole, piece) = (made(0.9), made(3.0));
        let seen = piece.iter().filter(|depth| **depth > 0.0).count();
        assert!(seen >= 30, "{seen} of 40 show something of the mark");
        let mean = |depths: &[f32]| {
            let seen = depths.iter().filter(|depth| **depth > 0.0);
            seen.clone().sum::<f32>() / seen.count() as f32
        };
        assert!(mean(&piece) > 1.8 * mean(&whole), "{} {}", mean(&piece), mean(&whole));
    }

    #[test]
    fn noise_has_the_strength_it_says() {
        let mut worse = RgbImage::from_pixel(128, 128, image::Rgb([128; 3]));
        noisy(&mut worse, 25.5, &mut Rng::with_seed(3));
        let values: Vec<f64> = worse.iter().map(|value| f64::from(*value)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!((mean - 128.0).abs() < 0.5, "{mean}");
        assert!((variance.sqrt() - 25.5).abs() < 0.5, "{}", variance.sqrt());
    }

    #[test]
    fn a_recipe_that_cannot_be_drawn_from_is_refused() {
        for text in [
            "after = [{ kind = 'jpeg', quality = [50.0, 20.0] }]",
            "after = [{ kind = 'noise', sigma = [0.0, nan] }]",
            "before = [{ kind = 'resize', factor = [0.0, 1.0] }]",
            "mask_grow = [0.0, 65.0]",
            "after = [{ kind = 'watermark', opacity = [0.2, 1.1] }]",
            "after = [{ kind = 'watermark', tiled = 2.0 }]",
            "after = [{ kind = 'watermark', size = [0.2, 9.0] }]",
            "after = [{ kind = 'damage', corners = [1, 5] }]",
            "after = [{ kind = 'damage', width = [0.0, 1.0] }]",
            "after = [{ kind = 'damage', kinds = [1, 6], folds = [0, 0] }]",
            "after = [{ kind = 'grey', share = 1.5 }]",
        ] {
            let recipe: Recipe = toml::from_str(text).unwrap();
            assert!(recipe.check().is_err(), "{text}");
            assert!(recipe.apply(&photo(), 1, &mut Rng::with_seed(0)).is_err(), "{text}");
        }
        for text in ["befor = []", "after = [{ kind = 'damage', wrinkles = [1, 2] }]"] {
            assert!(toml::from_str::<Recipe>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn marks_stand_where_their_mask_can_follow() {
        for (text, sentence) in [
            ("before = [{ kind = 'damage' }]", "belong in `after`"),
            ("before = [{ kind = 'watermark' }]", "belong in `after`"),
            (
                "after = [{ kind = 'damage' }, { kind = 'resize', factor = [0.5, 2.0] }]",
                "must come before them",
            ),
            (
                "after = [{ kind = 'damage' }, { kind = 'grey' }, { kind = 'blur', sigma = [1, 2] }]",
                "must come before them",
            ),
        ] {
            let recipe: Recipe = toml::from_str(text).unwrap();
            let refused = recipe.check().unwrap_err().to_string();
            assert!(refused.contains(sentence), "{refused}");
        }
        // A resize before a mark is undone before it is laid, and JPEG leaves the mask alone.
        let text = "after = [{ kind = 'resize', factor = [0.5, 0.5] }, { kind = 'watermark' }]";
        let mut recipe: Recipe = toml::from_str(text).unwrap();
        let plain = recipe.apply(&photo(), 2, &mut Rng::with_seed(4)).unwrap();
        recipe.after.push(Change::Jpeg { quality: [50.0, 50.0], shifted: 0.0 }.into());
        let packed = recipe.apply(&photo(), 2, &mut Rng::with_seed(4)).unwrap();
        assert_eq!(plain.picture.dimensions(), (48, 32));
        assert!(plain.mask == packed.mask && plain.picture != packed.picture);
        assert_eq!(plain.mask.unwrap().dimensions(), (48, 32));
    }

    /// Every kind of mark alone, and whether its borders are soft.
    fn marks() -> Vec<(&'static str, Recipe, bool)> {
        let marks = [
            ("text", "kind = 'watermark', opacity = [1, 1], text = 1.0, tiled = 0.0", false),
            ("logo", "kind = 'watermark', opacity = [1, 1], text = 0.0, tiled = 0.0", false),
            ("tiles", "kind = 'watermark', opacity = [1, 1], tiled = 1.0", false),
            ("scratches", "scratches = [2, 6]", false),
            ("folds", "folds = [1, 2]", true),
            ("tears", "tears = [1, 2]", false),
            ("corners", "corners = [1, 4]", false),
            ("stains", "stains = [1, 3]", true),
            ("dust", "dust = [10, 40]", false),
        ];
        let none = "kind = 'damage', strength = [1, 1], kinds = [1, 1]";
        let all = ["scratches", "folds", "tears", "corners", "stains", "dust"];
        let recipe = |(name, text, soft): (&'static str, &str, bool)| {
            let mut step = text.to_owned();
            if !text.starts_with("kind") {
                step = format!("{none}, {text}");
                for other in all.iter().filter(|other| **other != name) {
                    step += &format!(", {other} = [0, 0]");
                }
            }
            (name, toml::from_str(&format!("after = [{{ {step} }}]")).unwrap(), soft)
        };
        marks.into_iter().map(recipe).collect()
    }

    #[test]
    fn the_mask_of_every_mark_is_exact() {
        let (black, white) =
            (RgbImage::new(120, 90), RgbImage::from_pixel(120, 90, [255; 3].into()));
        let photo = image::imageops::thumbnail(&photo(), 120, 90);
        for (name, recipe, soft) in marks() {
            let (mut masked, mut seen, mut drawings) = (0, 0, 0);
            for seed in 0..12 {
                let make = |picture: &RgbImage| {
                    let made = recipe.apply(picture, 1, &mut Rng::with_seed(seed)).unwrap();
                    (made.picture, made.mask.unwrap())
                };
                let (of_photo, mask) = make(&photo);
                let (of_black, of_white) = (make(&black), make(&white));
                assert!(mask == of_black.1 && mask == of_white.1, "{name}: what it shows matters");
                drawings += u32::from(mask.iter().any(|value| *value > 0));
                for (x, y, pixel) in mask.enumerate_pixels() {
                    assert!([0, 255].contains(&pixel.0[0]));
                    let changed =
                        [(&photo, &of_photo), (&black, &of_black.0), (&white, &of_white.0)]
                            .iter()
                            .any(|(before, after)| before.get_pixel(x, y) != after.get_pixel(x, y));
                    assert!(!changed || pixel.0[0] == 255, "{name} {seed}: {x} {y} has changed");
                    masked += u32::from(pixel.0[0] == 255);
                    seen += u32::from(changed);
                }
            }
            // A shape may miss a picture or two.
            assert!(drawings >= 10, "{name} was drawn {drawings} times");
            // Black or white shows whatever is opaque; the ends of soft borders round to nothing.
            let least = if soft { 0.9 } else { 1.0 };
            assert!(f64::from(seen) >= least * f64::from(masked), "{name}: {seen} of {masked}");
            assert!(masked < 12 * 120 * 90 * 3 / 4, "{name} covers everything");
        }
    }

    #[test]
    fn a_mark_covers_by_its_opacity() {
        for (seed, opacity) in (0..30).zip([0.15, 0.4, 0.75, 1.0].into_iter().cycle()) {
            let mark = Watermark {
                opacity: [opacity; 2],
                size: [0.9; 2],
                angle: [0.0; 2],
                tiled: 0.0,
                outlined: 0.0,
                coloured: 0.0,
                shadowed: 0.0,
                ..Watermark::default()
            };
            let recipe =
                Recipe { after: vec![Change::Watermark(mark).into()], ..Recipe::default() };
            let grey = RgbImage::from_pixel(400, 300, image::Rgb([100; 3]));
            let made = recipe.apply(&grey, 1, &mut Rng::with_seed(seed)).unwrap().picture;
            let (least, most) = made.iter().fold((255, 0), |(l, m), v| (l.min(*v), m.max(*v)));
            let full = if most > 100 { most } else { least };
            let expected =
                if most > 100 { 100.0 + 155.0 * opacity } else { 100.0 * (1.0 - opacity) };
            assert!((f32::from(full) - expected).abs() <= 1.0, "{full} for {expected}");
            assert!(most == 100 || least == 100, "white or black, not both");
            assert!(made.iter().filter(|value| **value == full).count() > 300);
        }
    }

    #[test]
    fn no_picture_is_too_small_or_too_long_for_a_mark() {
        for (name, recipe, _) in marks() {
            for size in [(8, 8), (1000, 30), (30, 1000), (1, 1), (2, 77)] {
                let picture = RgbImage::from_pixel(size.0, size.1, image::Rgb([90, 120, 60]));
                for seed in 0..10 {
                    let made = recipe.apply(&picture, 1, &mut Rng::with_seed(seed)).unwrap();
                    assert_eq!(made.picture.dimensions(), size, "{name}");
                    assert_eq!(made.mask.unwrap().dimensions(), size, "{name}");
                }
            }
        }
    }

    #[test]
    fn a_mask_can_reach_beyond_the_marks() {
        // The picture stays the same, and the marks are under the mask.
        let exact = Recipe::named("damage").unwrap();
        let loose = Recipe { mask_grow: [2.0, 6.0], ..exact.clone() };
        let [exact, loose] =
            [exact, loose].map(|r| r.apply(&photo(), 1, &mut Rng::with_seed(2)).unwrap());
        assert!(exact.picture == loose.picture);
        let (exact, loose) = (exact.mask.unwrap(), loose.mask.unwrap());
        assert!(exact != loose && exact.iter().zip(loose.iter()).all(|(e, l)| e <= l));

        // Nothing drawn is an empty mask, which is not the same as none.
        let nothing = Damage { kinds: [0, 0], ..Damage::default() };
        let recipe = Recipe { after: vec![Change::Damage(nothing).into()], ..Recipe::default() };
        let made = recipe.apply(&photo(), 1, &mut Rng::with_seed(2)).unwrap();
        assert!(made.picture == photo() && made.mask.unwrap().iter().all(|value| *value == 0));
    }
}
