//! The end of an upscaler in training, as an operation of Burn's: pixel shuffle of features, added
//! to the bilinear enlargement of the picture. The features alone have a gradient.

use burn::{
    backend::{
        Flex, TensorMetadata as _,
        autodiff::{
            checkpoint::base::Checkpointer,
            grads::Gradients as Found,
            ops::{Backward, Ops},
        },
    },
    tensor::Tensor,
};
use rayon::prelude::*;

use super::{
    picture::{Finish, Picture, Sampler},
    train::{plain, registered, tensor, tracked, values},
};
use crate::net::blocks::Interpolation;

/// The operation in Burn's graph. Its parent is the features.
#[derive(Debug)]
struct Shuffle;

impl Backward<Flex, 1> for Shuffle {
    /// Sizes of the features, and the scale.
    type State = ([usize; 4], usize);

    fn backward(self, ops: Ops<Self::State, 1>, found: &mut Found, _: &mut Checkpointer) {
        let ([count, channels, height, width], scale) = ops.state;
        let gradient = plain(found.consume::<Flex>(&ops.node));
        let gradient = values(&gradient);
        let [Some(node)] = ops.parents else { return };
        let area = height * width;
        let mut answer = vec![0.0; count * channels * area];
        answer.par_chunks_mut(area).enumerate().for_each(|(plane, to)| {
            let (large, phase) = (plane / (scale * scale), plane % (scale * scale));
            let from = &gradient[large * area * scale * scale..][..area * scale * scale];
            for (y, to) in to.chunks_exact_mut(width).enumerate() {
                let line = &from[(y * scale + phase / scale) * width * scale..][..width * scale];
                for (to, pixels) in to.iter_mut().zip(line.chunks_exact(scale)) {
                    *to = pixels[phase % scale];
                }
            }
        });
        found.register::<Flex>(node.id, tensor(answer, [count, channels, height, width]));
    }
}

/// Pixel shuffle of `features`, added to the bilinear enlargement of `input`; `None` for tensors
/// that are not of 32 bit and on the CPU with gradients, and for an input that learns.
#[must_use]
pub fn onto_bilinear(features: &Tensor<4>, input: &Tensor<4>, scale: usize) -> Option<Tensor<4>> {
    let (features, input) = (tracked(features)?, tracked(input)?);
    let [count, channels, height, width] = features.shape().dims();
    let fits = input.shape().dims() == [count, 3, height, width];
    if input.is_tracked() || !fits || channels != 3 * scale * scale {
        return None;
    }
    let (features, of_features) = features.into_parts();
    let (features, input) = (plain(features), plain(input.into_primitive()));
    let area = height * width;
    let mut answer = vec![0.0; count * channels * area];
    let onto = Some(Sampler::new(scale, Interpolation::Bilinear));
    let finish = Finish { shuffle: scale, tanh: false, onto };
    let (planes, pictures) = (values(&features), values(&input));
    answer.par_chunks_mut(width * scale).enumerate().for_each(|(line, row)| {
        let (plane, y) = (line / (height * scale), line % (height * scale));
        let (image, channel) = (plane / 3, plane % 3);
        let planes = &planes[image * channels * area..];
        let picture = Picture { planes: &pictures[image * 3 * area..], height, width };
        let feature = |channel, y| planes[(channel * height + y) * width..][..width].iter();
        finish.row(feature, picture, [channel, y], row);
    });
    let state = ([count, channels, height, width], scale);
    let answer = tensor(answer, [count, 3, height * scale, width * scale]);
    Some(registered(Shuffle, [of_features], state, answer))
}

#[cfg(test)]
mod tests {
    use burn::{
        nn::PixelShuffleConfig,
        tensor::{Device, TensorData},
    };

    use super::{
        super::{super::blocks::enlarge, tests::noise},
        *,
    };

    /// Answer and gradient of the features.
    fn all(
        [count, height, width, scale]: [usize; 4],
        end: impl Fn(&Tensor<4>, &Tensor<4>) -> Tensor<4>,
    ) -> [Vec<f32>; 2] {
        let device = Device::flex().autodiff();
        let noise = |shape: [usize; 4], seed| {
            let values = noise(shape.iter().product(), seed);
            Tensor::<4>::from_data(TensorData::new(values, shape), &device)
        };
        let features = noise([count, 3 * scale * scale, height, width], 1).require_grad();
        let answer = end(&features, &noise([count, 3, height, width], 2));
        let found = (answer.clone() * noise(answer.dims(), 3)).sum().backward();
        let read = |data: TensorData| data.try_into_vec().unwrap();
        [read(answer.into_data()), read(features.grad(&found).unwrap().into_data())]
    }

    #[test]
    fn it_is_what_burn_makes_of_its_parts() {
        for case in [[1, 1, 1, 4], [2, 5, 7, 4], [3, 4, 2, 3], [2, 3, 9, 2], [2, 3, 3, 1]] {
            let expected = all(case, |features, input| {
                PixelShuffleConfig::new(case[3]).init().forward(features.clone())
                    + enlarge(input.clone(), case[3], Interpolation::Bilinear)
            });
            let got = all(case, |features, input| onto_bilinear(features, input, case[3]).unwrap());
            for (got, expected) in got.iter().flatten().zip(expected.iter().flatten()) {
                assert!((got - expected).abs() < 1e-5, "{case:?}: {got} {expected}");
            }
        }
    }

    #[test]
    fn an_input_that_learns_stays_with_burn() {
        let zeros = |channels| Tensor::<4>::zeros([1, channels, 2, 2], &Device::flex().autodiff());
        assert!(onto_bilinear(&zeros(12), &zeros(3), 2).is_some());
        assert!(onto_bilinear(&zeros(12), &zeros(3).require_grad(), 2).is_none());
        assert!(onto_bilinear(&zeros(4), &zeros(1), 2).is_none(), "one channel");
    }
}
