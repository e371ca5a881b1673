//! The networks, as Burn modules. They know tensors only: no files, no
//! pictures, no tiles.
//!
//! All of them take and give NCHW tensors of floats where a picture's black is
//! 0 and its white is 1.

use burn::tensor::Tensor;

pub mod blocks;
pub mod direct;
pub mod residual;

pub use residual::ResidualUpscaler;

/// How far around a pixel a network looks to compute it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Not beyond this many input pixels to each side: with a halo of that
    /// width, a tile gives the same numbers as the whole picture.
    Pixels(u32),
    /// Over the whole picture (pooling, attention or normalisation over all of
    /// it): no halo makes tiles exact.
    Whole,
}

/// A network that makes a picture out of a picture.
pub trait Generator: Send {
    /// `[n, channels, h, w]` to `[n, channels, h * scale, w * scale]`.
    ///
    /// The output is not clamped.
    fn forward(&self, input: Tensor<4>) -> Tensor<4>;

    /// How many times larger the output is than the input, in each direction.
    fn scale(&self) -> u32;

    /// Colour channels: 3 for RGB, 1 for grey.
    fn channels(&self) -> u32;

    /// How far it looks.
    fn reach(&self) -> Reach;

    /// Trainable numbers.
    fn parameters(&self) -> usize;

    /// What computes it, for people: Burn unless stated otherwise.
    fn kernels(&self) -> String {
        "Burn".to_owned()
    }
}
