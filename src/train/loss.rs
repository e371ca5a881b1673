//! What training makes small: the difference between an answer and the original.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// A loss on pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Mean absolute difference.
    #[default]
    L1,
    /// Mean squared difference; what PSNR measures.
    Mse,
    /// Mean of √(difference² + 0.001²): W. Lai et al., "Deep Laplacian pyramid networks", 2017.
    Charbonnier,
}

impl Loss {
    /// Of tensors of the same shape; one number.
    #[must_use]
    pub fn of(self, answer: Tensor<4>, original: Tensor<4>) -> Tensor<1> {
        let difference = answer - original;
        match self {
            Self::L1 => difference.abs().mean(),
            Self::Mse => (difference.clone() * difference).mean(),
            Self::Charbonnier => ((difference.clone() * difference) + 1e-6).sqrt().mean(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn losses_are_those_of_their_formulas() {
        let tensor = |values: [f32; 4]| {
            let data = TensorData::new(values.to_vec(), [1, 1, 2, 2]);
            Tensor::<4>::from_data(data, &Device::flex())
        };
        let (a, b) = (tensor([0.0, 0.5, 1.0, 0.25]), tensor([0.5, 0.5, 0.0, 0.5]));
        let of = |loss: Loss| loss.of(a.clone(), b.clone()).into_scalar::<f32>();
        assert!((of(Loss::L1) - 1.75 / 4.0).abs() < 1e-6);
        assert!((of(Loss::Mse) - 1.3125 / 4.0).abs() < 1e-6);
        let charbonnier: f32 =
            [0.5_f32, 0.0, 1.0, 0.25].iter().map(|d| (d * d + 1e-6).sqrt()).sum::<f32>() / 4.0;
        assert!((of(Loss::Charbonnier) - charbonnier).abs() < 1e-6);
    }
}
