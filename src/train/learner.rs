//! Networks while they learn.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};

use super::adam::{Numbers, State};
use crate::net::slots;

/// A network that learns, with what its optimiser knows.
pub(super) struct Learner<M> {
    pub(super) network: M,
    pub(super) state: State,
}

impl<M: Module> Learner<M> {
    pub(super) fn new(network: M) -> Self {
        Self { state: State::new(&network), network }
    }

    /// Weights and state as values, which later steps do not reach: batch normalisation shares its
    /// running numbers with every copy of a network.
    pub(super) fn kept(&self) -> Kept {
        Kept { values: slots::values(&self.network), state: self.state.clone() }
    }

    pub(super) fn go_back(&mut self, kept: &Kept) {
        self.network = slots::replaced(self.network.clone(), kept.values.clone());
        self.state = kept.state.clone();
    }

    /// As it was saved; `None` if the numbers are not those of such a network.
    pub(super) fn load(network: M, numbers: Vec<Numbers>, device: &Device) -> Option<Self> {
        let (network, state) = State::load(network, numbers, device)?;
        Some(Self { network, state })
    }
}

/// What a [`Learner`] goes back to.
pub(super) struct Kept {
    values: Vec<Tensor<1>>,
    state: State,
}

/// A state of a run to go back to.
pub(super) struct Good {
    pub(super) generator: Kept,
    pub(super) discriminator: Option<Kept>,
    pub(super) mean_loss: f64,
}
