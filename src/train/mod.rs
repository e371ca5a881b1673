//! Training as a step function: a folder of photos and a base model in, a better model out, and
//! an honest word on whether it is better.
//!
//! [`Trainer::step`] does one step and returns; whoever calls it may stop, pause or do something
//! else between steps, and [`Trainer::save`] keeps everything in one file. Everything that is
//! drawn follows from the seed and the number of the step.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use burn::{
    module::Module as _,
    optim::GradientsParams,
    tensor::{Device, Tensor, TensorData},
};
use serde::{Deserialize, Serialize};

use self::{
    adam::{Adam, State},
    checkpoint::{Progress, Saved},
    data::{Cut, Loader, Photo, Split},
    degrade::Recipe,
    loss::Loss,
    schedule::Schedule,
    verdict::{Pair, Verdict, mean_psnr, pairs},
};
use crate::{
    device::Chosen,
    error::{Error, Result},
    model::Model,
    net::{Generator as _, ResidualUpscaler, residual::ResidualConfig},
};

mod adam;
mod checkpoint;
pub mod data;
pub mod degrade;
pub mod loss;
mod report;
pub mod schedule;
pub mod search;
pub mod verdict;

/// What the user sets: the same for the command line, a recipe file and a panel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct TrainOptions {
    /// Steps of the whole run
    #[arg(long, default_value_t = 2000)]
    pub steps: u64,
    /// Pairs of crops in a step
    #[arg(long, default_value_t = 16)]
    pub batch: usize,
    /// Side of the small crops in pixels
    #[arg(long, default_value_t = 32)]
    pub crop: u32,
    /// Highest learning rate
    #[arg(long, default_value_t = 2e-4)]
    pub rate: f64,
    /// Steps that the rate takes to rise
    #[arg(long, default_value_t = 50)]
    pub warm_up: u64,
    /// How the rate changes
    #[arg(long, value_enum, default_value_t)]
    pub schedule: Schedule,
    /// What is made small
    #[arg(long, value_enum, default_value_t)]
    pub loss: Loss,
    /// How much of the moving average of the weights is kept at each step
    #[arg(long, default_value_t = 0.999)]
    pub average: f64,
    /// Largest norm of the gradients together
    #[arg(long, default_value_t = 1.0)]
    pub clip: f64,
    /// How small pictures are made: bicubic, srgan, blind, jpeg, noise, or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "bicubic")]
    pub degradation: String,
    /// Share of the photos that choose the best weights
    #[arg(long, default_value_t = 0.20)]
    pub validation_share: f64,
    /// Share of the photos that give the verdict
    #[arg(long, default_value_t = 0.05)]
    pub test_share: f64,
    /// Steps from one look at the validation photos, and one checkpoint, to the next
    #[arg(long, default_value_t = 100)]
    pub validate_every: u64,
    /// Decides everything that is drawn
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The degradation itself, once it was found; so a recipe needs no second file.
    #[arg(skip)]
    pub degradation_recipe: Option<Recipe>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        /// Gives the defaults of the arguments a voice.
        #[derive(clap::Parser)]
        struct Defaults {
            #[command(flatten)]
            options: TrainOptions,
        }
        <Defaults as clap::Parser>::parse_from([""]).options
    }
}

impl TrainOptions {
    /// Looks up the degradation and checks every number.
    fn resolved(mut self) -> Result<Self> {
        let share = |share: f64| (0.0..0.9).contains(&share);
        let sound = self.steps > 0
            && (1..=1024).contains(&self.batch)
            && (8..=512).contains(&self.crop)
            && self.rate > 0.0
            && self.rate < 10.0
            && (0.0..1.0).contains(&self.average)
            && self.clip > 0.0
            && self.validate_every > 0
            && share(self.validation_share)
            && share(self.test_share);
        if !sound {
            return Err(Error::Setting("a number of the training is out of its range".to_owned()));
        }
        if self.degradation_recipe.is_none() {
            self.degradation_recipe = Some(Recipe::find(&self.degradation)?);
        }
        self.recipe().check()?;
        Ok(self)
    }

    fn recipe(&self) -> Recipe {
        self.degradation_recipe.clone().unwrap_or_default()
    }
}

/// The best weights so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// After this many steps.
    pub step: u64,
    /// Mean over the validation photos, in dB.
    pub psnr: f64,
}

/// A look at the validation photos.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// After this many steps.
    pub step: u64,
    /// Moving mean of the loss.
    pub loss: f64,
    /// Mean over the validation photos, in dB.
    pub psnr: f64,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: u64,
    /// Of this step, before its update; not a number if it had none.
    pub loss: f64,
    /// Learning rate used.
    pub rate: f64,
    /// After a look at the validation photos: their mean PSNR in dB.
    pub validation: Option<f64>,
    /// The run had diverged: it went back to the last good state with half the rate.
    pub rolled_back: bool,
}

/// A state to go back to.
struct Good {
    network: ResidualUpscaler,
    state: State,
    mean_loss: f64,
}

/// After this many roll-backs the run ends.
const MOST_ROLL_BACKS: u32 = 8;

/// A loss this many times its mean means that the run has diverged.
const DIVERGED: f64 = 8.0;

/// Name of a base that was not trained.
const FRESH: &str = "a fresh network";

/// Largest side of the pieces of validation photos that are scored, for speed.
const VALIDATION_SIDE: u32 = 384;

/// A run.
pub struct Trainer {
    options: TrainOptions,
    base: Model,
    /// Where tensors live, with gradients.
    device: Device,
    chosen: Chosen,
    network: ResidualUpscaler,
    state: State,
    step: u64,
    rate_scale: f64,
    mean_loss: f64,
    base_psnr: f64,
    best: Option<Best>,
    best_model: Model,
    history: Vec<Point>,
    good: Good,
    roll_backs: u32,
    split: Split,
    validation: Vec<Pair>,
    loader: Loader,
    waited: Duration,
    worked: Duration,
}

impl Trainer {
    /// A new run that begins with a model's weights.
    ///
    /// # Errors
    /// [`Error::NoPictures`] if there are too few photos, [`Error::Setting`], or those of reading
    /// photos and the model.
    pub fn new(
        photos: &[PathBuf],
        base: Model,
        options: TrainOptions,
        chosen: Chosen,
    ) -> Result<Self> {
        let options = options.resolved()?;
        let device = chosen.burn().clone().autodiff();
        let network = base.trainable(&device)?;
        let state = State::new(&network);
        Self::assemble(photos, base, options, chosen, network, state, 0)
    }

    /// The weights of a fresh network, as a base: it answers with the bilinear enlargement.
    ///
    /// # Errors
    /// [`Error::Model`] for a shape that has no file format.
    pub fn fresh(config: ResidualConfig, seed: u64) -> Result<Model> {
        let device = Device::flex();
        device.seed(seed);
        let network = config.init(&device).starting_from_bilinear();
        Model::of(FRESH, config, &network)
    }

    /// Goes on with a run from its file, on the same photos.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is no checkpoint, or as [`Self::new`].
    pub fn resume(path: &Path, photos: &[PathBuf], chosen: Chosen) -> Result<Self> {
        let Saved { progress, base, best, numbers } = checkpoint::load(path)?;
        let name = path.display().to_string();
        let base = Model::from_bytes(&progress.base, base.into())?;
        let best_model = Model::from_bytes(&name, best.into())?;
        let device = chosen.burn().clone().autodiff();
        let network = base.trainable(&device)?;
        let plain = chosen.burn().clone();
        let loaded = State::load(network, numbers, progress.updates, &plain);
        let (network, state) = loaded.ok_or_else(|| Error::Model {
            name,
            reason: "it is no checkpoint of a run that can go on (its numbers do not fit)".into(),
        })?;
        let options = progress.options.resolved()?;
        let mut trainer =
            Self::assemble(photos, base, options, chosen, network, state, progress.step)?;
        if trainer.split.signatures() != progress.photos {
            return Err(Error::Setting(
                "the photos are not those that the run was begun with: held-out ones could be \
                 learnt from"
                    .to_owned(),
            ));
        }
        trainer.rate_scale = progress.rate_scale;
        trainer.mean_loss = progress.mean_loss;
        trainer.base_psnr = progress.base_psnr;
        trainer.best = progress.best;
        trainer.best_model = best_model;
        trainer.history = progress.history;
        trainer.good = trainer.now();
        Ok(trainer)
    }

    fn assemble(
        photos: &[PathBuf],
        base: Model,
        options: TrainOptions,
        chosen: Chosen,
        network: ResidualUpscaler,
        state: State,
        step: u64,
    ) -> Result<Self> {
        if chosen.is_software() {
            return Err(Error::Device {
                name: chosen.name().to_owned(),
                reason: "a software rasteriser cannot train".to_owned(),
            });
        }
        let scale = base.scale();
        let min_side = (options.crop * scale).max(verdict::smallest_side(scale));
        let split = data::split(photos, min_side, options.validation_share, options.test_share)?;
        let recipe = options.recipe();
        let validation = pairs(&split.validation, &recipe, scale, options.seed, VALIDATION_SIDE)?;
        let cut =
            Cut { batch: options.batch, crop: options.crop, scale, recipe, seed: options.seed };
        let threads = rayon::current_num_threads().max(2) as u64;
        let loader = Loader::start(split.train.clone(), cut, step, threads)?;
        let base_psnr = mean_psnr(&base, &validation, &chosen)?;
        let good = Good { network: network.clone(), state: state.clone(), mean_loss: 0.0 };
        Ok(Self {
            best_model: base.clone(),
            base,
            device: chosen.burn().clone().autodiff(),
            chosen,
            network,
            state,
            step,
            rate_scale: 1.0,
            mean_loss: 0.0,
            base_psnr,
            best: None,
            history: Vec::new(),
            good,
            roll_backs: 0,
            split,
            validation,
            loader,
            waited: Duration::ZERO,
            worked: Duration::ZERO,
            options,
        })
    }

    /// Whether the base was a fresh network, which anything is better than.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.base.name() == FRESH
    }

    /// How the photos are used.
    #[must_use]
    pub const fn split(&self) -> &Split {
        &self.split
    }

    /// What was set, with the degradation found.
    #[must_use]
    pub const fn options(&self) -> &TrainOptions {
        &self.options
    }

    /// Steps done.
    #[must_use]
    pub const fn done(&self) -> u64 {
        self.step
    }

    /// Mean PSNR of the base model over the validation photos, in dB.
    #[must_use]
    pub const fn base_psnr(&self) -> f64 {
        self.base_psnr
    }

    /// The best weights so far.
    #[must_use]
    pub const fn best(&self) -> Option<Best> {
        self.best
    }

    /// All looks at the validation photos.
    #[must_use]
    pub fn history(&self) -> &[Point] {
        &self.history
    }

    /// Share of the time that steps have waited for photos, 0 to 1.
    #[must_use]
    pub fn waiting_share(&self) -> f64 {
        let all = (self.waited + self.worked).as_secs_f64();
        if all > 0.0 { self.waited.as_secs_f64() / all } else { 0.0 }
    }

    /// Steps per second so far.
    #[must_use]
    pub fn speed(&self, steps: u64) -> f64 {
        steps as f64 / (self.waited + self.worked).as_secs_f64().max(1e-9)
    }

    /// One step, and at its time a look at the validation photos.
    ///
    /// # Errors
    /// [`Error::Setting`] if the run diverges again and again, or those of reading photos.
    pub fn step(&mut self) -> Result<StepReport> {
        let options = &self.options;
        let (warm_up, peak) = (options.warm_up, options.rate * self.rate_scale);
        let rate = options.schedule.rate(self.step, options.steps, peak, warm_up);
        let loss = self.update(rate, DIVERGED * self.mean_loss)?;
        let rolled_back = loss.is_none();
        if rolled_back {
            self.roll_back()?;
        }
        let loss = loss.unwrap_or(f64::NAN);
        self.step += 1;
        let looks = self.step.is_multiple_of(self.options.validate_every)
            || self.step == self.options.steps;
        let validation = if looks { self.look()? } else { None };
        Ok(StepReport { step: self.step, loss, rate, validation, rolled_back })
    }

    /// Learns from the next batch and gives its loss; `None`, and nothing learnt, if that is not a
    /// number or above `limit` (where 0 is none).
    fn update(&mut self, rate: f64, limit: f64) -> Result<Option<f64>> {
        let begin = Instant::now();
        let batch = self.loader.take()?;
        let ready = Instant::now();
        self.waited += ready - begin;

        let options = &self.options;
        let tensor = |values: Vec<f32>, side: u32| {
            let shape = [options.batch, 3, side as usize, side as usize];
            Tensor::<4>::from_data(TensorData::new(values, shape), &self.device)
        };
        let small = tensor(batch.small, options.crop);
        let large = tensor(batch.large, options.crop * self.base.scale());
        let loss = options.loss.of(self.network.forward(small), large);
        let value = f64::from(loss.clone().into_scalar::<f32>());
        if !value.is_finite() || (limit > 0.0 && value > limit) {
            return Ok(None);
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &self.network);
        let adam = Adam {
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            average: options.average,
            clip: options.clip,
        };
        let network = self.network.clone();
        self.network = adam.update(network, &gradients, &mut self.state, rate);
        self.mean_loss = match self.mean_loss {
            mean if mean > 0.0 => 0.98 * mean + 0.02 * value,
            _ => value,
        };
        self.worked += ready.elapsed();
        Ok(Some(value))
    }

    fn now(&self) -> Good {
        Good { network: self.network.clone(), state: self.state.clone(), mean_loss: self.mean_loss }
    }

    fn roll_back(&mut self) -> Result<()> {
        self.network = self.good.network.clone();
        self.state = self.good.state.clone();
        self.mean_loss = self.good.mean_loss;
        self.rate_scale /= 2.0;
        self.roll_backs += 1;
        if self.roll_backs > MOST_ROLL_BACKS {
            return Err(Error::Setting(
                "the training diverges again and again: start it with a lower --rate".to_owned(),
            ));
        }
        Ok(())
    }

    /// Looks at the validation photos if steps were done since the last time: before a run is
    /// stopped, so that nothing learnt is left out.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn settle(&mut self) -> Result<()> {
        if self.step > 0 && self.history.last().is_none_or(|point| point.step != self.step) {
            self.look()?;
        }
        Ok(())
    }

    /// Scores the averaged weights and keeps them if they are the best. Weights that give no
    /// picture are those of a run that has diverged unseen: then it goes back.
    fn look(&mut self) -> Result<Option<f64>> {
        let averaged = self.state.averaged(self.network.clone()).valid();
        let model = Model::of("the averaged weights", self.base.config(), &averaged)?;
        let psnr = match mean_psnr(&model, &self.validation, &self.chosen) {
            Ok(psnr) if psnr.is_finite() => psnr,
            Ok(_) | Err(Error::BadTile { .. }) => {
                self.roll_back()?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        self.history.push(Point { step: self.step, loss: self.mean_loss, psnr });
        if psnr > self.best.map_or(f64::NEG_INFINITY, |best| best.psnr) {
            self.best = Some(Best { step: self.step, psnr });
            self.best_model = model;
        }
        self.good = self.now();
        Ok(Some(psnr))
    }

    /// Keeps the run in a file, from which [`Self::resume`] goes on.
    ///
    /// # Errors
    /// [`Error::DiskFull`] or [`Error::Write`]; an older file is whole then.
    pub fn save(&self, path: &Path) -> Result<()> {
        let progress = Progress {
            options: self.options.clone(),
            base: self.base.name().to_owned(),
            step: self.step,
            updates: self.state.updates(),
            rate_scale: self.rate_scale,
            mean_loss: self.mean_loss,
            base_psnr: self.base_psnr,
            best: self.best,
            history: self.history.clone(),
            photos: self.split.signatures(),
        };
        let numbers = self.state.save(&self.network);
        checkpoint::save(path, &progress, self.base.bytes(), self.best_model.bytes(), &numbers)
    }

    /// The best weights so far; the base model's before the first look.
    #[must_use]
    pub const fn best_model(&self) -> &Model {
        &self.best_model
    }

    /// The base and the best weights on the photos that were kept for this.
    ///
    /// # Errors
    /// Those of reading and enlarging photos.
    pub fn verdict(&self) -> Result<Verdict> {
        let test: &[Photo] = &self.split.test;
        let Self { base, best_model, options, chosen, .. } = self;
        verdict::compare(base, best_model, test, &options.recipe(), options.seed, chosen)
    }

    /// Writes what the run has shown as a page with pictures, into a folder of its own.
    ///
    /// # Errors
    /// [`Error::Write`] and its kin, or those of reading and enlarging photos.
    pub fn report(&self, verdict: &Verdict, folder: &Path) -> Result<PathBuf> {
        report::write(self, verdict, folder)
    }
}
