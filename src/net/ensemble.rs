//! One network asked eight times: R. Timofte et al., "Seven ways to improve example-based single
//! image super resolution", CVPR 2016, section 3.5 (later called geometric self-ensemble).

use burn::tensor::Tensor;

use super::{Generator, Reach};

/// The mean of a network's answers to a picture in the eight ways in which it can lie, each turned
/// back. It takes eight times as long and comes a little nearer to the truth.
pub struct Ensemble(Box<dyn Generator>);

impl Ensemble {
    /// `None` for a network that puts pixels together to squares: they would be others when the
    /// picture is turned.
    #[must_use]
    pub fn of(network: Box<dyn Generator>) -> Option<Self> {
        (network.grid() == 1).then_some(Self(network))
    }
}

/// The picture mirrored and turned: bit 0 across, bit 1 down, bit 2 along the diagonal.
fn laid(picture: Tensor<4>, way: u8) -> Tensor<4> {
    let picture = if way & 1 == 0 { picture } else { picture.flip([3]) };
    let picture = if way & 2 == 0 { picture } else { picture.flip([2]) };
    if way & 4 == 0 { picture } else { picture.swap_dims(2, 3) }
}

/// Undoes [`laid`].
fn laid_back(picture: Tensor<4>, way: u8) -> Tensor<4> {
    let picture = if way & 4 == 0 { picture } else { picture.swap_dims(2, 3) };
    laid(picture, way & 3)
}

impl Generator for Ensemble {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let answer = |way| laid_back(self.0.forward(laid(input.clone(), way)), way);
        let sum = (1..8).fold(answer(0), |sum, way| sum + answer(way));
        sum / 8.0
    }

    fn scale(&self) -> u32 {
        self.0.scale()
    }

    fn memory(&self) -> usize {
        self.0.memory()
    }

    fn channels(&self) -> u32 {
        self.0.channels()
    }

    fn takes_mask(&self) -> bool {
        self.0.takes_mask()
    }

    fn takes_marked(&self) -> bool {
        self.0.takes_marked()
    }

    fn reach(&self) -> Reach {
        self.0.reach()
    }

    fn parameters(&self) -> usize {
        self.0.parameters()
    }

    fn kernels(&self) -> String {
        format!("{}, eight times", self.0.kernels())
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::net::residual::ResidualConfig;

    #[test]
    fn a_turned_picture_gets_the_turned_answer() {
        let device = Device::flex();
        let config = ResidualConfig { channels: 4, blocks: 1, ..ResidualConfig::starter() };
        let ensemble = Ensemble::of(Box::new(config.init(&device))).unwrap();
        let values = (0..3 * 7 * 5).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>();
        let picture = Tensor::<4>::from_data(TensorData::new(values, [1, 3, 7, 5]), &device);
        let answer = ensemble.forward(picture.clone());
        assert_eq!(answer.dims(), [1, 3, 28, 20]);
        let alone = ensemble.0.forward(picture.clone());
        assert!((answer.clone() - alone).abs().max().into_scalar::<f32>() > 1e-3);
        for way in 0..8 {
            let turned = ensemble.forward(laid(picture.clone(), way));
            let apart = (laid_back(turned, way) - answer.clone()).abs().max();
            assert!(apart.into_scalar::<f32>() < 1e-5, "{way}");
            assert!(laid_back(laid(picture.clone(), way), way).into_data() == picture.to_data());
        }
        let strided = ResidualConfig { channels: 4, blocks: 1, ..ResidualConfig::restorer() };
        assert!(Ensemble::of(Box::new(strided.init(&device))).is_none());
    }
}
