//! Another height and width for a map, by two matrices: every device multiplies these, while the
//! interpolation kernels of some drivers crash.

use burn::tensor::{Tensor, TensorData};

/// How numbers between pixels are found; nothing is smoothed before a map gets smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// On straight lines.
    Bilinear,
    /// R. Keys, "Cubic convolution interpolation", 1981, with a = -0.75.
    Bicubic,
}

impl Kernel {
    const fn radius(self) -> isize {
        match self {
            Self::Bilinear => 1,
            Self::Bicubic => 2,
        }
    }

    fn weight(self, distance: f64) -> f64 {
        let (d, a) = (distance.abs(), -0.75);
        match self {
            Self::Bilinear => (1.0 - d).max(0.0),
            Self::Bicubic if d <= 1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
            Self::Bicubic if d < 2.0 => ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a,
            Self::Bicubic => 0.0,
        }
    }

    /// `[to][from]`, with half-pixel centres and clamped edges.
    fn matrix(self, from: usize, to: usize) -> Vec<f32> {
        let mut matrix = vec![0.0_f32; to * from];
        for (row, weights) in matrix.chunks_exact_mut(from.max(1)).enumerate() {
            let place = (row as f64 + 0.5) * from as f64 / to as f64 - 0.5;
            let first = place.floor() as isize + 1 - self.radius();
            for tap in first..first + 2 * self.radius() {
                let weight = self.weight(place - tap as f64);
                weights[tap.clamp(0, from as isize - 1) as usize] += weight as f32;
            }
        }
        matrix
    }
}

/// `[n, c, h, w]` to `[n, c, height, width]`.
pub(super) fn resampled(
    input: Tensor<4>,
    [height, width]: [usize; 2],
    kernel: Kernel,
) -> Tensor<4> {
    let [count, channels, low, narrow] = input.dims();
    let matrix = |from: usize, to: usize| {
        let data = TensorData::new(kernel.matrix(from, to), [1, 1, to, from]);
        Tensor::<4>::from_data(data, &input.device()).cast(input.dtype())
    };
    let rows = matrix(low, height).expand([count, channels, height, low]);
    let columns = matrix(narrow, width).swap_dims(2, 3).expand([count, channels, narrow, width]);
    rows.matmul(input).matmul(columns)
}
