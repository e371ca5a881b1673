//! What training makes small: the difference between an answer and the original.
//!
//! All functions take NCHW tensors of one shape, black 0 and white 1, and give one number.

use burn::tensor::{Tensor, activation::log_sigmoid};
use serde::{Deserialize, Serialize};

use super::options::{TrainOptions, WeightedLayer};
use crate::{
    error::{Error, Result},
    net::{
        discriminator::{Discriminator, DiscriminatorConfig, DiscriminatorHead},
        features::{Features, Layer},
    },
};

/// A loss on pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Pixels {
    /// Mean absolute difference.
    #[default]
    L1,
    /// Mean squared difference; what PSNR measures.
    Mse,
    /// Mean of √(difference² + 0.001²): W. Lai et al., "Deep Laplacian pyramid networks", 2017.
    Charbonnier,
}

impl Pixels {
    /// The mean over all numbers, each counted by `weights` (of the same shape, or with one
    /// channel) if there are any.
    #[must_use]
    pub fn of(
        self,
        answer: Tensor<4>,
        original: Tensor<4>,
        weights: Option<Tensor<4>>,
    ) -> Tensor<1> {
        let difference = answer - original;
        let each = match self {
            Self::L1 => difference.abs(),
            Self::Mse => difference.clone() * difference,
            Self::Charbonnier => ((difference.clone() * difference) + 1e-6).sqrt(),
        };
        match weights {
            None => each.mean(),
            Some(weights) => {
                let weights = weights.expand(each.shape());
                (each * weights.clone()).sum() / weights.sum()
            }
        }
    }
}

/// Which discriminator a generator learns against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum DiscriminatorKind {
    /// For any size of crops: the mean over all positions is judged.
    #[default]
    Mean,
    /// For one size: all positions go into a dense layer, as in Keras programs.
    Dense,
}

impl DiscriminatorKind {
    /// The shape of the discriminator for crops whose originals have this side.
    ///
    /// # Errors
    /// [`Error::Setting`] if it cannot judge such crops.
    pub(super) fn config(self, options: &TrainOptions, scale: u32) -> Result<DiscriminatorConfig> {
        let side = (options.smallest_crop() * scale) as usize;
        let refused = |reason: &str| Err(Error::Setting(reason.to_owned()));
        let head = match self {
            Self::Mean if side < 16 => {
                return refused(
                    "the discriminator needs crops whose originals have 16 pixels or more",
                );
            }
            Self::Mean => DiscriminatorHead::Mean,
            Self::Dense if !options.progressive.is_empty() => {
                return refused(
                    "the dense discriminator judges one size of crops: leave --progressive out",
                );
            }
            Self::Dense if !side.is_multiple_of(16) || side > 512 => {
                return refused(
                    "the dense discriminator needs originals whose side is a multiple of 16, and \
                     512 at most",
                );
            }
            Self::Dense => DiscriminatorHead::Dense(side),
        };
        Ok(DiscriminatorConfig { channels: options.discriminator_channels, head })
    }
}

/// Mean absolute difference of neighbours above each other, and beside each other, together: L.
/// Rudin et al., "Nonlinear total variation based noise removal algorithms", 1992, in its
/// anisotropic form.
#[must_use]
pub fn total_variation(picture: &Tensor<4>) -> Tensor<1> {
    let [_, _, height, width] = picture.dims();
    let along = |dim: usize, length: usize| {
        let next = picture.clone().narrow(dim, 1, length - 1);
        (next - picture.clone().narrow(dim, 0, length - 1)).abs().mean()
    };
    along(2, height) + along(3, width)
}

/// What the difference of two pictures repeats from one input pixel to the next, `scale` pixels
/// wide each: the mean over the same place within all of 8 by 8 of them, without the mean over all
/// places; mean of its absolute value. What is left over at the right and bottom does not count.
///
/// Generators that end in a pixel shuffle draw such a grid where photographs have grain, for losses
/// on features like it better than nothing.
#[must_use]
pub fn grid(answer: Tensor<4>, original: Tensor<4>, scale: usize) -> Tensor<1> {
    let [count, channels, height, width] = answer.dims();
    let across = GRID_PIECE.min(height / scale).min(width / scale);
    let [down, along] = [height, width].map(|side| side / (across * scale));
    let (tall, wide) = (down * across * scale, along * across * scale);
    let difference = (answer - original).narrow(2, 0, tall).narrow(3, 0, wide);
    let rows: Tensor<5> = difference.reshape([count * channels * down, across, scale, wide, 1]);
    let rows = rows.mean_dim(1).reshape([count * channels * down * scale, along, across, scale]);
    let places: Tensor<4> =
        rows.mean_dim(2).reshape([count * channels * down, scale, along, scale]);
    let mean = places.clone().mean_dim(1).mean_dim(3);
    (places - mean).abs().mean()
}

/// Mean squared difference of Gram matrices, F Fᵀ / (c h w): L. Gatys et al., "Texture synthesis
/// using convolutional neural networks", 2015. With a `patch`, each piece of that many rows and
/// columns has its own (M. Sajjadi et al., "EnhanceNet", ICCV 2017); what is left over at the right
/// and bottom does not count.
#[must_use]
pub fn texture(answer: Tensor<4>, original: Tensor<4>, patch: Option<usize>) -> Tensor<1> {
    let difference = gram(answer, patch) - gram(original, patch);
    (difference.clone() * difference).mean()
}

/// `[n, c, h, w]` to `[n * patches, c, c]`.
fn gram(features: Tensor<4>, patch: Option<usize>) -> Tensor<3> {
    let [count, channels, height, width] = features.dims();
    let patch = patch.unwrap_or(usize::MAX);
    let (tall, wide) = (patch.clamp(1, height), patch.clamp(1, width));
    let (down, across) = (height / tall, width / wide);
    let patches = features
        .narrow(2, 0, down * tall)
        .narrow(3, 0, across * wide)
        .reshape([count, channels, down, tall, across, wide])
        .permute([0, 2, 4, 1, 3, 5])
        .reshape([count * down * across, channels, tall * wide]);
    let size = (channels * tall * wide) as f64;
    patches.clone().matmul(patches.swap_dims(1, 2)) / size
}

/// Cross-entropy of a discriminator's answers `[n, 1]` to pictures that are all photographs, or none of
/// them: I. Goodfellow et al., "Generative adversarial nets", 2014, in the form that does not
/// overflow.
#[must_use]
pub fn judged(answers: Tensor<2>, photographs: bool) -> Tensor<1> {
    let answers = if photographs { answers } else { -answers };
    -log_sigmoid(answers).mean()
}

/// Features are compared at 4 by 4 places in turn, so that pieces are this much smaller than answers.
const FEATURE_SHIFT: usize = 3;

/// Side in input pixels of the pieces in which a grid is looked for.
const GRID_PIECE: usize = 8;

/// Feature layers with their weights.
type Layers = Vec<(Layer, f64)>;

/// The losses of a run with their weights.
pub(super) struct Objective {
    pixels: Pixels,
    pixel_weight: f64,
    mask_weight: f64,
    colour_weight: f64,
    features: Option<Features>,
    perceptual: Layers,
    texture: Layers,
    texture_patch: u32,
    total_variation: f64,
    grid: f64,
    /// Size of the results over that of the inputs.
    scale: usize,
    adversarial: f64,
}

impl Objective {
    /// # Errors
    /// [`Error::Setting`] if a layer is not one of the feature network's.
    pub(super) fn new(
        options: &TrainOptions,
        scale: u32,
        features: Option<Features>,
    ) -> Result<Self> {
        let layers = |named: &[WeightedLayer]| -> Result<Layers> {
            let Some(features) = &features else { return Ok(Vec::new()) };
            let backbone = features.backbone();
            let find = |layer: &WeightedLayer| match backbone.layer(&layer.name) {
                Some(found) => Ok((found, layer.weight)),
                None => Err(Error::Setting(format!(
                    "{} has no layer {} (layers: {})",
                    backbone.name(),
                    layer.name,
                    backbone.layer_names().join(", ")
                ))),
            };
            named.iter().map(find).collect()
        };
        Ok(Self {
            pixels: options.loss,
            pixel_weight: options.pixel_weight,
            mask_weight: options.mask_weight,
            colour_weight: options.colour_weight,
            perceptual: layers(&options.perceptual)?,
            texture: layers(&options.texture)?,
            features,
            texture_patch: options.texture_patch,
            total_variation: options.total_variation,
            grid: options.grid,
            scale: scale as usize,
            adversarial: options.adversarial,
        })
    }

    /// Whether answers of this side are large enough for the feature network.
    ///
    /// # Errors
    /// [`Error::Setting`] if not.
    pub(super) fn check(&self, side: u32) -> Result<()> {
        let layers = self.perceptual.iter().chain(&self.texture);
        match layers.map(|(layer, _)| layer.smallest()).max() {
            Some(smallest) if side < smallest + FEATURE_SHIFT as u32 => {
                Err(Error::Setting(format!(
                    "results of {side} pixels are too small for the features, which need {}: give \
                     a larger --crop (or --progressive)",
                    smallest + FEATURE_SHIFT as u32
                )))
            }
            _ => Ok(()),
        }
    }

    /// The sum of all losses of an answer at a step. `mask`: `[n, 1, h, w]`, 1 where it counts
    /// more.
    pub(super) fn of(
        &self,
        step: u64,
        answer: &Tensor<4>,
        original: &Tensor<4>,
        mask: Option<Tensor<4>>,
        discriminator: Option<&Discriminator>,
    ) -> Tensor<1> {
        let weights = mask
            .filter(|_| self.mask_weight != 1.0)
            .map(|mask| mask * (self.mask_weight - 1.0) + 1.0);
        let weights = match self.colour_weight {
            1.0 => weights,
            weight => {
                let colour = original.clone().max_dim(1) - original.clone().min_dim(1);
                let counts = colour * (weight - 1.0) + 1.0;
                Some(match weights {
                    Some(weights) => weights * counts,
                    None => counts,
                })
            }
        };
        let pixels = self.pixels.of(answer.clone(), original.clone(), weights);
        let mut sum = pixels * self.pixel_weight;
        if let Some(features) = &self.features
            && !(self.perceptual.is_empty() && self.texture.is_empty())
        {
            // Feature networks look at every second, fourth, ... pixel: a generator that always sees
            // them on the same pixels learns to please those, and leaves a grid.
            let places = FEATURE_SHIFT as u64 + 1;
            let [down, across] = [(step % places) as usize, (step / places % places) as usize];
            let moved = |picture: &Tensor<4>| {
                let [_, _, height, width] = picture.dims();
                picture.clone().narrow(2, down, height - FEATURE_SHIFT).narrow(
                    3,
                    across,
                    width - FEATURE_SHIFT,
                )
            };
            sum = sum + self.compared(features, moved(answer), moved(original));
        }
        if self.total_variation > 0.0 {
            sum = sum + total_variation(answer) * self.total_variation;
        }
        if self.grid > 0.0 {
            sum = sum + grid(answer.clone(), original.clone(), self.scale) * self.grid;
        }
        if let Some(discriminator) = discriminator {
            sum = sum + judged(discriminator.forward(answer.clone()), true) * self.adversarial;
        }
        sum
    }

    /// The losses on features and textures.
    fn compared(&self, features: &Features, answer: Tensor<4>, original: Tensor<4>) -> Tensor<1> {
        let both = || self.perceptual.iter().chain(&self.texture);
        let layers: Vec<Layer> = both().map(|(layer, _)| *layer).collect();
        let device = answer.device();
        let ours = features.forward(answer, &layers);
        let theirs = features.forward(original, &layers);
        let mut sum = Tensor::zeros([1], &device);
        for (index, ((layer, weight), (ours, theirs))) in
            both().zip(ours.into_iter().zip(theirs)).enumerate()
        {
            let loss = if index < self.perceptual.len() {
                // J. Johnson et al., "Perceptual losses for real-time style transfer and
                // super-resolution", ECCV 2016.
                let difference = ours - theirs;
                (difference.clone() * difference).mean()
            } else {
                // A piece of the picture is smaller on a map that was pooled.
                let patch = self.texture_patch as usize / layer.stride();
                texture(ours, theirs, (self.texture_patch > 0).then(|| patch.max(1)))
            };
            sum = sum + loss * *weight;
        }
        sum
    }

    /// What a discriminator makes small: it should know photographs from answers.
    pub(super) fn of_discriminator(
        &self,
        discriminator: &Discriminator,
        answer: Tensor<4>,
        original: Tensor<4>,
    ) -> Tensor<1> {
        let photographs = judged(discriminator.forward(original), true);
        (photographs + judged(discriminator.forward(answer.detach()), false)) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn tensor(values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    fn wave(shape: [usize; 4], step: f64, start: f64) -> Tensor<4> {
        let count = shape.iter().product();
        tensor((0..count).map(|i| (step * i as f64 + start).sin() as f32).collect(), shape)
    }

    /// The two pictures that the numbers of PyTorch 2.15 (in double precision) are for.
    fn pair(count: usize) -> (Tensor<4>, Tensor<4>) {
        let shape = [count, 4, 32, 32];
        (wave(shape, 0.37, 0.0), wave(shape, 0.53, 0.7))
    }

    fn close(loss: Tensor<1>, expected: f64) {
        let value = f64::from(loss.into_scalar::<f32>());
        assert!(
            (value - expected).abs() < 1e-6 * expected.abs().max(1.0),
            "{value}, not {expected}"
        );
    }

    #[test]
    fn losses_on_pixels_are_those_of_their_formulas() {
        let (a, b) = ([0.0, 0.5, 1.0, 0.25], [0.5, 0.5, 0.0, 0.5]);
        let of = |loss: Pixels| {
            let shape = [1, 1, 2, 2];
            loss.of(tensor(a.to_vec(), shape), tensor(b.to_vec(), shape), None)
        };
        close(of(Pixels::L1), 1.75 / 4.0);
        close(of(Pixels::Mse), 1.3125 / 4.0);
        let charbonnier: f64 =
            [0.5_f64, 0.0, 1.0, 0.25].iter().map(|d| (d * d + 1e-6).sqrt()).sum();
        close(of(Pixels::Charbonnier), charbonnier / 4.0);
    }

    #[test]
    fn a_mask_counts_as_in_pytorch() {
        let (x, y) = pair(1);
        let inside = |i: usize| {
            let (down, across) = (i / 32, i % 32);
            f32::from((8..24).contains(&down) && (4..20).contains(&across))
        };
        let mask = tensor((0..1024).map(inside).collect(), [1, 1, 32, 32]);
        for (weight, expected) in
            [(1.0, 0.810_482_829_601), (3.0, 0.811_318_373_298), (0.0, 0.809_647_285_905)]
        {
            let options = TrainOptions { mask_weight: weight, ..TrainOptions::default() };
            let objective = Objective::new(&options, 1, None).unwrap();
            close(objective.of(0, &x, &y, Some(mask.clone()), None), expected);
        }
    }

    #[test]
    fn colours_count_as_much_as_they_are_told_to() {
        // A grey pixel with an error of 0.1, and a red one (0.5 between its channels) of 0.2.
        let original = tensor(vec![0.5, 0.9, 0.5, 0.4, 0.5, 0.4], [1, 3, 1, 2]);
        let answer = tensor(vec![0.6, 1.1, 0.6, 0.6, 0.6, 0.6], [1, 3, 1, 2]);
        for (weight, expected) in [(1.0, 0.15), (5.0, (0.1 + 3.0 * 0.2) / 4.0)] {
            let options = TrainOptions { colour_weight: weight, ..TrainOptions::default() };
            let objective = Objective::new(&options, 1, None).unwrap();
            close(objective.of(0, &answer, &original, None, None), expected);
        }
    }

    #[test]
    fn total_variation_is_that_of_pytorch() {
        close(total_variation(&pair(1).0), 0.686_674_409_942);
        close(total_variation(&pair(2).0), 0.686_463_428_535);
        close(
            total_variation(&wave([1, 3, 5, 7], 0.37, 0.2)),
            1.209_246_315_91 + 0.237_210_680_538,
        );
    }

    #[test]
    fn a_grid_is_what_repeats_with_the_input_pixels() {
        let shape = [1, 3, 64, 96];
        let at = |i: usize| (i / 96 % 64, i % 96);
        let photo = wave(shape, 0.37, 0.0);
        let dotted = |period: usize, strength: f32| {
            let dot = |i: usize| {
                let (y, x) = at(i);
                if y % period == 0 && x % period == 0 { strength } else { 0.0 }
            };
            photo.clone() + tensor((0..3 * 64 * 96).map(dot).collect(), shape)
        };
        close(grid(photo.clone(), photo.clone(), 4), 0.0);
        // One pixel of sixteen is 15/16 above the mean, the others are 1/16 below it.
        let expected = 0.1 * (15.0 / 16.0 + 15.0 / 16.0) / 16.0;
        close(grid(dotted(4, 0.1), photo.clone(), 4), expected);
        let objective = |weight: f64| {
            let options = TrainOptions { grid: weight, ..TrainOptions::default() };
            let objective = Objective::new(&options, 4, None).unwrap();
            objective.of(0, &dotted(4, 0.1), &photo, None, None)
        };
        close(objective(2.0) - objective(0.0), 2.0 * expected);
        // Another brightness, or what repeats with another period, is none.
        close(grid(photo.clone() + 0.2, photo.clone(), 4), 0.0);
        let other = grid(dotted(3, 0.1), photo.clone(), 4).into_scalar::<f32>();
        assert!(f64::from(other) < expected / 2.0, "{other}");
    }

    #[test]
    fn textures_are_compared_as_in_pytorch() {
        let ((x, y), (x2, y2)) = (pair(1), pair(2));
        close(texture(x.clone(), y.clone(), None), 0.003_621_633_648_04);
        close(texture(x2.clone(), y2.clone(), None), 0.003_625_054_362_05);
        close(texture(x, y, Some(16)), 0.003_622_262_788_95);
        close(texture(x2, y2, Some(16)), 0.003_625_476_647_58);
    }

    #[test]
    fn a_discriminator_is_judged_as_in_pytorch() {
        let answers = |step, start| (wave([2, 1, 8, 8], step, start) * 3.0).reshape([128, 1]);
        close(judged(answers(0.53, 0.7), true), 1.148_208_501_42);
        close(judged(answers(0.37, 0.0), true), 1.082_302_893_73);
        close(judged(answers(0.53, 0.7), false), 1.158_921_708_51);
        for (answer, expected) in [(-200.0, 200.0), (0.0, std::f64::consts::LN_2), (200.0, 0.0)] {
            close(judged(tensor(vec![answer], [1; 4]).reshape([1, 1]), true), expected);
        }
    }
}
