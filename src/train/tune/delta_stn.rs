//! Strengths that are tuned while a network trains.
//!
//! J. Bae and R. Grosse, "Delta-STN: efficient bilevel optimization for neural networks using
//! structured response Jacobians", 2020, arXiv 2010.13514. With strengths λ, weights w, the loss
//! T(λ, w) on photos that are learnt from and V(w) on held-out ones, a response Θ ([`Response`]), and
//! ε drawn from N(0, σ²), it takes turns:
//!
//! 1. Weights: a step of the run as any other, along −∂T(λ, w)/∂w, without ε.
//! 2. Response: a step along −∂/∂Θ of T(λ + ε, ·), on a batch that is made with the strengths λ + ε,
//!    where the network is linear in its weights around w: its answer is f(w) + J Θε.
//! 3. After every fifth of these, strengths: a step of λ and σ along −∂/∂(λ, σ) of
//!    V(w + Θε) − τ Σ ln σ, on crops of the photos that the best weights are chosen by.
//!
//! As in the authors' program, step 3 takes the network as it is, not linear; V does not depend on λ
//! other than through the weights; λ lies on the whole line and is brought into its bounds by a
//! sigmoid; and the first tenth of the run does not tune, so that Θ has something to say.
//!
//! What is other than there:
//! - One ε is drawn for a batch, not one for each crop, since our layers have one set of weights for
//!   a batch. Means are the same, with more noise.
//! - The answer's change J Θε is a difference of two answers, (f(w + hΘε) − f(w)) / h, with h so
//!   small that the weights move by a thousandth at most; the slope is exact: Jᵀ v, by going back
//!   from the linear answer's own slope v. Burn has no forward mode and no second derivatives.
//! - V is divided by its first value, so that τ means the same for every loss.
//! - Networks with batch normalisation or a discriminator are refused: both would learn from the
//!   crops of steps 2 and 3 as well.

use burn::{optim::GradientsParams, tensor::Tensor};
use fastrand::Rng;

use super::{
    super::{
        StepReport, Trainer,
        adam::Gradients,
        data::{Batch, Cut, Source},
        options::{Precision, TrainOptions},
        slots,
    },
    response::Response,
    strengths::Strengths,
};
use crate::{
    error::{Error, Result},
    net::{Generator as _, Network},
};

/// Steps of a run between two steps of its strengths.
pub(super) const STEPS: u64 = 5;

/// Share of a run that does not tune yet.
const QUIET: f64 = 0.1;

/// How far weights move, over their own length, to find out where the answer goes.
const NEAR: f64 = 1e-3;

/// Strengths and the response to them, whatever it is that learns.
struct DeltaStn {
    strengths: Strengths,
    response: Response,
    rng: Rng,
}

/// Slopes of a loss by the values of each slot.
type Slopes = Vec<Option<Tensor<1>>>;

impl DeltaStn {
    /// Step 2: `slopes` are those of the loss at strengths that are ε off, by the values that have
    /// been shifted, of a network that is linear in them. None if they are no numbers.
    fn respond(
        &mut self,
        rate: f64,
        slopes: impl FnOnce(&Strengths, &[f64], &[Tensor<1>]) -> Result<Option<Slopes>>,
    ) -> Result<()> {
        let off = self.strengths.drawn(&mut self.rng);
        let shift = self.response.shift(&off);
        if let Some(slopes) = slopes(&self.strengths, &off, &shift)? {
            self.response.learn(&slopes, &off, rate);
        }
        Ok(())
    }

    /// Step 3: `slopes` are those of the loss on held-out photos, by the values that have been
    /// shifted.
    fn tune(&mut self, slopes: impl FnOnce(&[Tensor<1>]) -> Result<Option<Slopes>>) -> Result<()> {
        let off = self.strengths.drawn(&mut self.rng);
        let shift = self.response.shift(&off);
        if let Some(slopes) = slopes(&shift)? {
            let slope = self.response.slope(&slopes);
            if slope.iter().all(|slope| slope.is_finite()) {
                self.strengths.follow(&slope, &off);
            }
        }
        Ok(())
    }
}

/// A run that tunes its strengths.
pub(super) struct SelfTuning {
    trainer: Trainer,
    delta: DeltaStn,
    /// Held-out photos, and how batches are cut of them: as they are looked at.
    held_out: (Source, Cut),
    /// The first loss on them.
    first: Option<f64>,
    looked: u64,
}

impl SelfTuning {
    /// Beside another run, with its photos and base.
    ///
    /// # Errors
    /// [`Error::Setting`] for what a Delta-STN cannot train, or as [`Trainer::fork`].
    pub(super) fn new(host: &Trainer, mut options: TrainOptions) -> Result<Self> {
        let refused = |what: &str| {
            Err(Error::Setting(format!(
                "{what} cannot be tuned while it trains: give --method halving"
            )))
        };
        let plain = slots::of(&host.generator.network);
        if plain.iter().any(|slot| slot.path.ends_with("running_mean")) {
            return refused("a network with batch normalisation");
        }
        if options.adversarial > 0.0 {
            return refused("a network that learns against a discriminator");
        }
        if options.precision != Precision::F32 {
            return refused("what trains with 16 bit");
        }
        let held_out = Source::from(host.split.validation.clone());
        let as_seen = TrainOptions { warp: 0.0, strength: 1.0, ..options.clone() };
        let strengths = Strengths::new(&options);
        strengths.set(&mut options, &vec![0.0; strengths.count()]);
        let trainer = host.fork(options)?;
        let held_out = (held_out, Cut::new(&as_seen, trainer.base.config()));
        let values = slots::values(&trainer.generator.network);
        let response = Response::new(&plain, values, strengths.count());
        // Another seed than that of the batches, which this must not follow.
        let rng = Rng::with_seed(trainer.options.seed.wrapping_add(1));
        Ok(Self {
            trainer,
            delta: DeltaStn { strengths, response, rng },
            held_out,
            first: None,
            looked: 0,
        })
    }

    pub(super) const fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    pub(super) const fn trainer_mut(&mut self) -> &mut Trainer {
        &mut self.trainer
    }

    /// The options of the run, with the strengths as they are now.
    pub(super) fn options(&self) -> TrainOptions {
        let mut options = self.trainer.options.clone();
        self.delta.strengths.set(&mut options, &vec![0.0; self.delta.strengths.count()]);
        options
    }

    /// Names and values of the strengths.
    pub(super) fn values(&self) -> Vec<(&'static str, f64)> {
        self.delta.strengths.values()
    }

    /// One step of the run and of the response, and at its time of the strengths.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub(super) fn step(&mut self) -> Result<StepReport> {
        let Self { trainer, delta, .. } = self;
        let none = vec![0.0; delta.strengths.count()];
        delta.strengths.set(&mut trainer.options, &none);
        let network = trainer.base.config().clone();
        let first = trainer.step * trainer.options.accumulate as u64;
        let mut number = first;
        let report = trainer.step_on(&mut |trainer: &mut Trainer| {
            let batch = trainer.source.batch(&Cut::new(&trainer.options, &network), number);
            number += 1;
            batch
        })?;
        delta.respond(report.rate, |strengths, off, shift| {
            let mut options = trainer.options.clone();
            strengths.set(&mut options, off);
            // The same crops as above, bent and made worse in another way.
            let batch = trainer.source.batch(&Cut::new(&options, &network), first)?;
            Ok(trainer.slopes_of_line(batch, shift, options.anchor))
        })?;
        let quiet = (trainer.step as f64) < QUIET * trainer.options.steps as f64;
        if !quiet && trainer.step.is_multiple_of(STEPS) {
            self.tune()?;
        }
        Ok(report)
    }

    /// A step of the strengths.
    pub(super) fn tune(&mut self) -> Result<()> {
        let Self { trainer, delta, held_out: (source, cut), first, looked } = self;
        *looked += 1;
        let batch = source.batch(cut, *looked)?;
        delta.tune(|shift| {
            let Some((loss, slopes)) = trainer.slopes_at(batch, shift) else { return Ok(None) };
            let first = *first.get_or_insert(loss.max(f64::MIN_POSITIVE));
            Ok(Some(slopes.each().iter().map(|slope| Some(slope.clone()? / first)).collect()))
        })
    }
}

impl Trainer {
    /// The network with its values shifted, `times` as far.
    fn shifted(&self, shift: &[Tensor<1>], times: f64) -> Network {
        let network = &self.generator.network;
        let values = slots::values(network).into_iter().zip(shift);
        let moved = values.map(|(value, shift)| value + shift.clone() * times).collect();
        slots::replaced(network.clone(), moved)
    }

    /// The loss on a batch where the values are shifted, and its slopes there; none if it is no
    /// number.
    fn slopes_at(&self, batch: Batch, shift: &[Tensor<1>]) -> Option<(f64, Gradients)> {
        let (small, large, mask) = self.tensors(batch);
        let network = self.shifted(shift, 1.0);
        let answer = network.forward(small);
        let loss = self.comparison.objective.of(self.step, &answer, &large, mask, None);
        let value = f64::from(loss.clone().into_scalar::<f32>());
        value.is_finite().then(|| {
            let all = GradientsParams::from_grads(loss.backward(), &network);
            (value, Gradients::of(&network, &all))
        })
    }

    /// The slopes of the loss on a batch where the values are shifted, for a network that is linear
    /// in its values around where they are now; with those of what holds them near the base.
    fn slopes_of_line(&self, batch: Batch, shift: &[Tensor<1>], anchor: f64) -> Option<Slopes> {
        let (small, large, mask) = self.tensors(batch);
        let network = &self.generator.network;
        let values = slots::values(network);
        let length = |tensors: &[Tensor<1>]| {
            let squares = tensors.iter().map(|tensor| (tensor.clone() * tensor.clone()).sum());
            let sum = squares.reduce(|sum, next| sum + next);
            sum.map_or(0.0, |sum| f64::from(sum.into_scalar::<f32>()).sqrt())
        };
        let far = length(shift) / length(&values).max(f64::MIN_POSITIVE);
        let near = if far > NEAR { NEAR / far } else { 1.0 };

        let answer = network.forward(small.clone());
        let change = (self.shifted(shift, near).forward(small) - answer.clone()).detach() / near;
        let line = (answer.clone().detach() + change).detach().require_grad();
        let loss = self.comparison.objective.of(self.step, &line, &large, mask, None);
        if !loss.clone().into_scalar::<f32>().is_finite() {
            return None;
        }
        let push = line.grad(&loss.backward())?;
        let pushed = (answer * Tensor::from_inner(push)).sum();
        let all = GradientsParams::from_grads(pushed.backward(), network);
        let slopes = Gradients::of(network, &all);
        let Some(anchors) = &self.anchors else { return Some(slopes.each().to_vec()) };
        let moved = values.into_iter().zip(shift).map(|(value, shift)| value + shift.clone());
        Some(slopes.anchored(anchor, moved.collect(), anchors).each().to_vec())
    }
}

#[cfg(test)]
mod tests;
