//! Muon: the mean gradient of a convolution is replaced by the nearest orthogonal matrix before it
//! is followed, so that all directions are learnt equally fast and not only the loudest ones.
//!
//! K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024, with the
//! scale of J. Liu et al., "Muon is scalable for LLM training", 2025, by which a step is about as
//! long as one of Adam: learning rates mean the same to both. It is for convolutions between
//! features; first and last layers, biases and slopes are left to Adam, as its authors do.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::net::{NetworkConfig, Part, slots::Slot};

/// How weights follow their gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Optimiser {
    /// Each number by itself: D. Kingma and J. Ba, 2015.
    #[default]
    Adam,
    /// Convolutions between features as matrices, all else as by `Adam`: K. Jordan et al., 2024.
    Muon,
}

/// How much of the mean gradient is kept at each step.
pub(super) const MOMENTUM: f64 = 0.95;

/// Inputs of a convolution that sees a picture, perhaps beside a marked one and a mask, and not
/// features.
const PICTURES: usize = 7;

/// Coefficients of the quintic of Jordan et al., whose repetition brings all singular values from
/// (0, 1] to about 1, and how often it is repeated.
const QUINTIC: [f64; 3] = [3.4445, -4.7750, 2.0315];
const REPEATED: usize = 5;

/// What each slot of a network is as a matrix; `None` for what Adam learns.
pub(super) fn matrices(
    optimiser: Optimiser,
    slots: &[Slot],
    config: &NetworkConfig,
) -> Vec<Option<[usize; 2]>> {
    let learnt = |slot| match optimiser {
        Optimiser::Adam => None,
        Optimiser::Muon => matrix(slot, config),
    };
    slots.iter().map(learnt).collect()
}

/// Its rows and columns, output by input.
fn matrix(slot: &Slot, config: &NetworkConfig) -> Option<[usize; 2]> {
    let makes_pixels = match config {
        // All of its decoder counts as last, and nearly all of that makes features.
        NetworkConfig::Unet(_) => slot.path.starts_with("tail."),
        _ => config.part(&slot.path) == Part::Last,
    };
    match slot.shape[..] {
        [outputs, inputs, height, width] if inputs > PICTURES && !makes_pixels => {
            Some([outputs, inputs * height * width])
        }
        _ => None,
    }
}

/// The change of a flat weight for a rate of 1: its mean gradient, made nearly orthogonal, with
/// the root of its mean square that updates of Adam have.
pub(super) fn direction(mean: Tensor<1>, [rows, columns]: [usize; 2]) -> Tensor<1> {
    let length = rows * columns;
    let scale = 0.2 * (rows.max(columns) as f64).sqrt();
    let matrix = mean.reshape([rows, columns]);
    let orthogonal = if rows > columns {
        orthogonalised(matrix.transpose()).transpose()
    } else {
        orthogonalised(matrix)
    };
    (orthogonal * scale).reshape([length])
}

/// By Newton and Schulz's iteration; for matrices that are wider than high.
fn orthogonalised(matrix: Tensor<2>) -> Tensor<2> {
    let norm = (matrix.clone() * matrix.clone()).sum().sqrt() + 1e-12;
    let mut matrix = matrix / norm.reshape([1, 1]);
    let [a, b, c] = QUINTIC;
    for _ in 0..REPEATED {
        let gram = matrix.clone().matmul(matrix.clone().transpose());
        let polynomial = gram.clone() * b + gram.clone().matmul(gram) * c;
        matrix = matrix.clone() * a + polynomial.matmul(matrix);
    }
    matrix
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::net::{residual::ResidualConfig, slots};

    fn drawn(rows: usize, columns: usize) -> Tensor<1> {
        let mut random = fastrand::Rng::with_seed(5);
        // Rows of very different length, as gradients are.
        let number = |i: usize| (random.f32() - 0.5) * 10_f32.powi(-((i / columns % 3) as i32));
        let values: Vec<f32> = (0..rows * columns).map(number).collect();
        Tensor::from_data(TensorData::new(values, [rows * columns]), &Device::flex())
    }

    #[test]
    fn directions_are_nearly_orthogonal_and_as_long_as_those_of_adam() {
        for [rows, columns] in [[6, 54], [54, 6], [12, 12]] {
            let direction = direction(drawn(rows, columns), [rows, columns]);
            let long = rows.max(columns) as f32;
            let unit = direction.clone().reshape([rows, columns]) / (0.2 * long.sqrt());
            let gram = if rows > columns {
                unit.clone().transpose().matmul(unit)
            } else {
                unit.clone().matmul(unit.transpose())
            };
            let side = rows.min(columns);
            let gram = gram.into_data().try_into_vec::<f32>().unwrap();
            for (i, value) in gram.iter().enumerate() {
                let (row, column) = (i / side, i % side);
                // Squares of the singular values, which the quintic leaves between 0.7 and 1.2; a
                // square matrix has one so small that five rounds do not bring it there.
                let apart = if row == column { 0.3..1.6 } else { -0.5..0.5 };
                assert!(apart.contains(value) || rows == columns, "{row} {column}: {value}");
            }
            let square = direction.powi_scalar(2).mean().into_scalar::<f32>().sqrt();
            assert!((0.1..0.25).contains(&square), "{rows}x{columns}: {square}");
        }
    }

    #[test]
    fn what_sees_pictures_and_what_makes_them_is_left_to_adam() {
        let config = ResidualConfig { channels: 8, blocks: 2, ..ResidualConfig::starter() };
        let network = config.init(&Device::flex());
        let config = NetworkConfig::Residual(config);
        let slots = slots::of(&network);
        let taken = slots.iter().filter(|slot| matrix(slot, &config).is_some());
        let paths: Vec<&str> = taken.map(|slot| slot.path.as_str()).collect();
        let expected = [
            "body.0.conv1.weight",
            "body.0.conv2.weight",
            "body.1.conv1.weight",
            "body.1.conv2.weight",
            "body_conv.weight",
        ];
        assert_eq!(paths, expected);
    }
}
