//! Low-quality pictures made from good ones, for a network to learn the way back.
//!
//! A [`Recipe`] is data: it is read from TOML, written beside each result, and gives the same
//! pixels for the same seed.

use std::path::Path;

use fastrand::Rng;
use image::{DynamicImage, RgbImage};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    picture::resample::resize_exact,
};

/// Smallest and largest value that a step may draw, both included.
type Range = [f32; 2];

/// One thing that happens to a picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Step {
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
    },
    /// Three equal channels of BT.601 luma.
    Grey,
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
    /// After shrinking.
    pub after: Vec<Step>,
}

/// Names of the recipes that need no file.
pub const NAMED: [&str; 5] = ["bicubic", "srgan", "blind", "jpeg", "noise"];

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
        Some(match name {
            // What papers on super-resolution shrink by.
            "bicubic" => Self::default(),
            // C. Ledig et al., CVPR 2017, section 3: blurred, then shrunk.
            "srgan" => Self { before: vec![Step::Blur { sigma: [1.0, 1.6] }], ..Self::default() },
            // K. Zhang et al., "Designing a practical degradation model", ICCV 2021, in short:
            // blur, resizing, noise and JPEG in random order, twice, and JPEG at the end.
            "blind" => Self {
                before: vec![
                    Step::Blur { sigma: [0.2, 2.4] },
                    Step::Resize { factor: [0.5, 1.2] },
                    Step::Noise { sigma: [0.0, 0.08] },
                    Step::Jpeg { quality: [40.0, 95.0] },
                ],
                shuffled: true,
                rounds: 2,
                after: vec![
                    Step::Noise { sigma: [0.0, 0.03] },
                    Step::Jpeg { quality: [40.0, 95.0] },
                ],
            },
            "jpeg" => Self { after: vec![Step::Jpeg { quality: [5.0, 95.0] }], ..Self::default() },
            "noise" => Self { after: vec![Step::Noise { sigma: [0.1, 0.5] }], ..Self::default() },
            _ => return None,
        })
    }

    /// Whether every range can be drawn from.
    pub(super) fn check(&self) -> Result<()> {
        if self.rounds > 8 {
            return Err(Error::Setting("a recipe has more than 8 rounds".to_owned()));
        }
        for step in self.before.iter().chain(&self.after) {
            let (range, least, most) = match step {
                Step::Blur { sigma } => (sigma, 0.0, 100.0),
                Step::Resize { factor } => (factor, 0.05, 4.0),
                Step::Noise { sigma } => (sigma, 0.0, 1.0),
                Step::Jpeg { quality } => (quality, 1.0, 100.0),
                Step::Grey => continue,
            };
            if !(least <= range[0] && range[0] <= range[1] && range[1] <= most) {
                return Err(Error::Setting(format!(
                    "a recipe has {range:?} where two rising numbers from {least} to {most} belong"
                )));
            }
        }
        Ok(())
    }

    /// The picture made worse and `scale` times smaller, which must divide its size.
    ///
    /// # Errors
    /// [`Error::Setting`] if a step cannot be carried out.
    pub fn apply(&self, picture: &RgbImage, scale: u32, rng: &mut Rng) -> Result<RgbImage> {
        let size = (picture.width() / scale, picture.height() / scale);
        let mut worse = picture.clone();
        for _ in 0..self.rounds.max(1) {
            let mut steps = self.before.clone();
            if self.shuffled {
                rng.shuffle(&mut steps);
            }
            for step in &steps {
                worse = step.apply(worse, rng)?;
            }
        }
        if worse.dimensions() != size {
            worse = resize_exact(&worse, size.0, size.1);
        }
        for step in &self.after {
            worse = step.apply(worse, rng)?;
        }
        if worse.dimensions() != size {
            worse = resize_exact(&worse, size.0, size.1);
        }
        Ok(worse)
    }
}

fn draw(range: Range, rng: &mut Rng) -> f32 {
    range[0] + (range[1] - range[0]) * rng.f32()
}

impl Step {
    fn apply(self, picture: RgbImage, rng: &mut Rng) -> Result<RgbImage> {
        Ok(match self {
            Self::Blur { sigma } => {
                let sigma = draw(sigma, rng);
                if sigma < 0.05 { picture } else { image::imageops::blur(&picture, sigma) }
            }
            Self::Resize { factor } => {
                let factor = draw(factor, rng);
                // Several steps could multiply without end.
                let scaled = |side: u32| ((side as f32 * factor).round() as u32).clamp(1, 16_384);
                resize_exact(&picture, scaled(picture.width()), scaled(picture.height()))
            }
            Self::Noise { sigma } => {
                let sigma = draw(sigma, rng) * 255.0;
                noisy(picture, sigma, rng)
            }
            Self::Jpeg { quality } => compressed(&picture, draw(quality, rng).round() as u8)?,
            Self::Grey => {
                let grey = |p: &image::Rgb<u8>| {
                    let [r, g, b] = p.0.map(f32::from);
                    image::Rgb([(0.299 * r + 0.587 * g + 0.114 * b + 0.5) as u8; 3])
                };
                RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
                    grey(picture.get_pixel(x, y))
                })
            }
        })
    }
}

fn noisy(mut picture: RgbImage, sigma: f32, rng: &mut Rng) -> RgbImage {
    for pair in picture.chunks_mut(2) {
        // G. Box and M. Muller, 1958: two uniform numbers give two normal ones.
        let radius = (-2.0 * (1.0 - rng.f32()).ln()).sqrt() * sigma;
        let (sine, cosine) = (std::f32::consts::TAU * rng.f32()).sin_cos();
        for (value, normal) in pair.iter_mut().zip([cosine, sine]) {
            *value = (f32::from(*value) + radius * normal + 0.5).clamp(0.0, 255.0) as u8;
        }
    }
    picture
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
        assert!(small == shrink_exact(&photo(), 4));
    }

    #[test]
    fn every_named_recipe_is_made_again_by_its_seed_and_survives_its_file() {
        for name in NAMED {
            let recipe = Recipe::named(name).unwrap();
            recipe.check().unwrap();
            let make = |seed| recipe.apply(&photo(), 2, &mut Rng::with_seed(seed)).unwrap();
            assert_eq!(make(7).dimensions(), (48, 32), "{name}");
            assert!(make(7) == make(7), "{name}");
            assert_eq!(make(7) == make(8), name == "bicubic", "{name}");
            let text = toml::to_string(&recipe).unwrap();
            assert_eq!(toml::from_str::<Recipe>(&text).unwrap(), recipe, "{text}");
        }
    }

    #[test]
    fn noise_has_the_strength_it_says() {
        let grey = RgbImage::from_pixel(128, 128, image::Rgb([128; 3]));
        let worse = noisy(grey, 25.5, &mut Rng::with_seed(3));
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
        ] {
            let recipe: Recipe = toml::from_str(text).unwrap();
            assert!(recipe.check().is_err(), "{text}");
        }
        assert!(toml::from_str::<Recipe>("befor = []").is_err());
    }
}
