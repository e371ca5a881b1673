//! Adam, and [`muon`] for what it is asked for, with a moving average of the weights.
//!
//! D. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015. Burn has one,
//! but its state can be read back only together with the parameters' internal names and through
//! the default device, which opens a graphics driver; a run that is resumed must not depend on
//! either. Here the state is a plain list of numbers in the order of the parameters.

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::{Device, Tensor, TensorData},
};

use super::muon;
use crate::{
    error::{Error, Result},
    net::slots::{self, replaced, values},
};

/// Settings of the method.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adam {
    pub(super) beta1: f64,
    pub(super) beta2: f64,
    pub(super) epsilon: f64,
    /// How much of the average is kept at each step.
    pub(super) average: f64,
    /// Largest norm of all gradients together; longer ones are shortened.
    pub(super) clip: f64,
}

/// How one parameter is updated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Update {
    /// Its learning rate.
    pub(super) rate: f64,
    /// Rows and columns of what is learnt as a matrix, see [`muon`].
    pub(super) matrix: Option<[usize; 2]>,
}

/// The numbers of one parameter beside its values.
#[derive(Clone)]
struct Moments {
    /// Updates done, for the correction of the first ones.
    updates: u64,
    first: Tensor<1>,
    second: Tensor<1>,
    average: Tensor<1>,
}

/// State of the method for all parameters.
#[derive(Clone)]
pub(super) struct State(Vec<Moments>);

/// The four lists of numbers of a parameter, for a checkpoint.
pub(super) struct Numbers {
    /// Its name, see [`slots::Slot`].
    pub(super) path: String,
    pub(super) updates: u64,
    pub(super) value: Vec<f32>,
    pub(super) first: Vec<f32>,
    pub(super) second: Vec<f32>,
    pub(super) average: Vec<f32>,
}

fn numbers(tensor: Tensor<1>) -> Result<Vec<f32>> {
    let lost = |reason: String| Error::Device { name: "the training device".to_owned(), reason };
    let data = tensor.try_into_data().map_err(|error| lost(error.to_string()))?;
    data.try_into_vec::<f32>().map_err(|error| lost(format!("{error:?}")))
}

impl State {
    /// At the start of a run: the average is the network itself.
    pub(super) fn new<M: Module>(network: &M) -> Self {
        let moments = values(network).into_iter().map(|average| {
            let zero = average.zeros_like();
            Moments { updates: 0, first: zero.clone(), second: zero, average }
        });
        Self(moments.collect())
    }

    /// The network with the averaged weights.
    pub(super) fn averaged<M: Module>(&self, network: M) -> M {
        replaced(network, self.0.iter().map(|moments| moments.average.clone()).collect())
    }

    /// Everything, for a checkpoint.
    ///
    /// # Errors
    /// [`Error::Device`] if the device is lost.
    pub(super) fn save<M: Module>(&self, network: &M) -> Result<Vec<Numbers>> {
        let together = slots::of(network).into_iter().zip(values(network)).zip(&self.0);
        together
            .map(|((slot, value), moments)| {
                Ok(Numbers {
                    path: slot.path,
                    updates: moments.updates,
                    value: numbers(value)?,
                    first: numbers(moments.first.clone())?,
                    second: numbers(moments.second.clone())?,
                    average: numbers(moments.average.clone())?,
                })
            })
            .collect()
    }

    /// A network and its state out of a checkpoint; `None` if it does not fit the network, whose
    /// own weights need not be drawn yet.
    pub(super) fn load<M: Module>(
        network: M,
        saved: Vec<Numbers>,
        device: &Device,
    ) -> Option<(M, Self)> {
        let slots = slots::of(&network);
        let fits = |(saved, slot): (&Numbers, &slots::Slot)| {
            let lists = [&saved.value, &saved.first, &saved.second, &saved.average];
            saved.path == slot.path && lists.iter().all(|numbers| numbers.len() == slot.len())
        };
        if saved.len() != slots.len() || !saved.iter().zip(&slots).all(fits) {
            return None;
        }
        let tensor = |numbers: Vec<f32>| {
            let length = numbers.len();
            Tensor::<1>::from_data(TensorData::new(numbers, [length]), device)
        };
        let (mut values, mut moments) = (std::collections::HashMap::new(), Vec::new());
        for saved in saved {
            values.insert(saved.path, saved.value);
            moments.push(Moments {
                updates: saved.updates,
                first: tensor(saved.first),
                second: tensor(saved.second),
                average: tensor(saved.average),
            });
        }
        let device = device.clone().autodiff();
        let network = slots::filled(network, &device, |path| values.remove(path));
        Some((network, Self(moments)))
    }
}

/// The gradient of each parameter, in their order; `None` for one that does not learn.
pub(super) struct Gradients(Vec<Option<Tensor<1>>>);

impl Gradients {
    /// Of a loss that was gone back through.
    pub(super) fn of<M: Module>(network: &M, all: &GradientsParams) -> Self {
        struct Collect<'a> {
            all: &'a GradientsParams,
            found: Vec<Option<Tensor<1>>>,
        }

        impl ModuleVisitor for Collect<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let gradient = self.all.get::<D>(param.id).map(|gradient| {
                    let length = gradient.shape().num_elements();
                    gradient.reshape([length])
                });
                self.found.push(gradient);
            }
        }

        let mut collect = Collect { all, found: Vec::new() };
        network.visit(&mut collect);
        Self(collect.found)
    }

    /// Each of them divided.
    pub(super) fn divided_by(self, divisor: f64) -> Self {
        let divide = |gradient: Option<Tensor<1>>| gradient.map(|gradient| gradient / divisor);
        Self(self.0.into_iter().map(divide).collect())
    }

    /// The sums of those of two batches, network by network.
    pub(super) fn sum(ours: [Option<Self>; 2], theirs: [Option<Self>; 2]) -> [Option<Self>; 2] {
        let [a, b] = ours;
        let [c, d] = theirs;
        [(a, c), (b, d)].map(|pair| match pair {
            (Some(ours), Some(theirs)) => Some(ours.plus(theirs)),
            (ours, theirs) => ours.or(theirs),
        })
    }

    /// With those of `weight` / 2 times the squared distance of the values from their anchors.
    pub(super) fn anchored(
        self,
        weight: f64,
        values: Vec<Tensor<1>>,
        anchors: &[Tensor<1>],
    ) -> Self {
        let pull = |((gradient, value), anchor): ((Option<Tensor<1>>, Tensor<1>), &Tensor<1>)| {
            gradient.map(|gradient| gradient + (value - anchor.clone()) * weight)
        };
        Self(self.0.into_iter().zip(values).zip(anchors).map(pull).collect())
    }

    /// In the order of the parameters.
    pub(super) fn each(&self) -> &[Option<Tensor<1>>] {
        &self.0
    }

    fn plus(self, other: Self) -> Self {
        let sum = |(a, b): (Option<Tensor<1>>, Option<Tensor<1>>)| match (a, b) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        Self(self.0.into_iter().zip(other.0).map(sum).collect())
    }
}

impl Adam {
    /// One update of each parameter. Those without a gradient stay as they are.
    pub(super) fn update<M: Module>(
        &self,
        network: M,
        gradients: Gradients,
        state: &mut State,
        updates: impl IntoIterator<Item = Update>,
    ) -> M {
        // Computed where the gradients are: asking for the number would stop a GPU.
        let squares = |gradient: &Tensor<1>| (gradient.clone() * gradient.clone()).sum();
        let norm = gradients.0.iter().flatten().map(squares).reduce(|sum, next| sum + next);
        let Some(norm) = norm.map(Tensor::sqrt) else {
            return network; // Nothing was learnt from.
        };
        let shorten = ((norm + 1e-12).recip() * self.clip).clamp_max(1.0);

        let mut updated = Vec::new();
        let together = values(&network).into_iter().zip(gradients.0).zip(&mut state.0);
        for (((value, gradient), moments), Update { rate, matrix }) in together.zip(updates) {
            let Some(gradient) = gradient else {
                // The running numbers of batch normalisation are averages themselves.
                moments.average = value.clone();
                updated.push(value);
                continue;
            };
            moments.updates += 1;
            let time = i32::try_from(moments.updates).unwrap_or(i32::MAX);
            let correct1 = 1.0 - self.beta1.powi(time);
            let correct2 = 1.0 - self.beta2.powi(time);
            // The average of a few steps should not hang on to the start.
            let few = (1.0 + f64::from(time)) / (10.0 + f64::from(time));
            let average = self.average.min(few);
            let gradient = gradient * shorten.clone();
            let mix = |old: &Tensor<1>, new: Tensor<1>, keep: f64| {
                old.clone() * keep + new * (1.0 - keep)
            };
            let change = if let Some(matrix) = matrix {
                moments.first = mix(&moments.first, gradient.clone(), muon::MOMENTUM);
                // Nesterov's: the mean as it would be after another such gradient.
                let ahead = mix(&moments.first, gradient, muon::MOMENTUM);
                muon::direction(ahead, matrix)
            } else {
                moments.first = mix(&moments.first, gradient.clone(), self.beta1);
                moments.second = mix(&moments.second, gradient.clone() * gradient, self.beta2);
                let spread = (moments.second.clone() / correct2).sqrt() + self.epsilon;
                moments.first.clone() / correct1 / spread
            };
            let value = value - change * rate;
            moments.average = mix(&moments.average, value.clone(), average);
            updated.push(value);
        }
        replaced(network, updated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::blocks::same_conv;

    #[test]
    fn anchors_pull_back_what_has_left_them() {
        let device = Device::flex();
        let of = |values: [f32; 2]| Tensor::<1>::from_data(values, &device);
        let gradients = Gradients(vec![Some(of([1.0, 1.0])), None]);
        let anchors = [of([0.0, 5.0]), of([0.0, 0.0])];
        let pulled = gradients.anchored(0.5, vec![of([2.0, 5.0]), of([9.0, 9.0])], &anchors);
        let values = pulled.0[0].clone().unwrap().into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(values, [2.0, 1.0]);
        assert!(pulled.0[1].is_none(), "what does not learn is not pulled");
    }

    #[test]
    fn gradients_of_two_batches_add_up_to_those_of_both() {
        let device = Device::flex().autodiff();
        let conv = same_conv(2, 3, 3, &device);
        let picture = |seed: f32| {
            let values = (0..2 * 25).map(|i| (i as f32 * seed).sin()).collect();
            Tensor::<4>::from_data(TensorData::new(values, [1, 2, 5, 5]), &device)
        };
        let loss = |seed| conv.forward(picture(seed)).powi_scalar(2).mean();
        let of = |loss: Tensor<1>| {
            Gradients::of(&conv, &GradientsParams::from_grads(loss.backward(), &conv))
        };
        let apart = of(loss(0.7)).plus(of(loss(1.3) * 4.0).divided_by(4.0));
        let together = of(loss(0.7) + loss(1.3));
        assert_eq!(apart.0.len(), 2);
        for (apart, together) in apart.0.into_iter().zip(together.0) {
            let difference = (apart.unwrap() - together.unwrap()).abs().max();
            assert!(difference.into_scalar::<f32>() < 1e-5);
        }
    }
}
