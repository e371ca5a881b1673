//! Training as a step function: a folder of photos and a base model in, a better model out, and
//! an honest word on whether it is better.
//!
//! [`Trainer::step`] does one step and returns; whoever calls it may stop, pause or do something
//! else between steps, and [`Trainer::save`] keeps everything in one file. Everything that is
//! drawn follows from the seed and the number of the step.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use burn::{
    module::Module as _,
    optim::GradientsParams,
    tensor::{DType, Device, Tensor, TensorData},
};
use serde::{Deserialize, Serialize};

use self::{
    adam::{Adam, Gradients, Update},
    checkpoint::{Progress, Saved},
    data::{Batch, Cut, Loader, Photo, Source, Split},
    learner::{Good, Learner},
    loss::Objective,
    verdict::{Measure, Pair, Piece, Verdict, mean_figures, merit, pairs},
};
use crate::{
    device::Chosen,
    error::{Error, Result},
    metric::Figures,
    model::{
        Model, encoder,
        features::{self, Perceptual},
    },
    net::{
        Generator as _, Network, NetworkConfig, Part,
        blocks::repeated,
        direct::KeptMemory,
        discriminator::{Discriminator, DiscriminatorConfig},
        features::SMALLEST,
        slots,
    },
};

mod adam;
mod checkpoint;
pub mod cost;
pub mod data;
pub mod degrade;
pub mod doctor;
mod fork;
pub mod goal;
mod learner;
pub mod loss;
mod memory;
pub mod muon;
pub mod options;
mod report;
pub mod run;
pub mod sample;
pub mod schedule;
pub mod search;
pub mod tune;
pub mod verdict;
pub mod warp;
mod words;

pub use options::TrainOptions;
pub use words::in_words;

/// The best weights so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// After this many steps.
    pub step: u64,
    /// Mean over the validation photos, in dB.
    pub psnr: f64,
    /// Mean distance of features over the validation photos, where they are compared.
    pub distance: Option<f64>,
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
    /// Mean distance of features over the validation photos, where they are compared.
    pub distance: Option<f64>,
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
    /// Pairs of crops that went through the network together: fewer than before if the device was
    /// out of memory.
    pub batch: usize,
}

/// What features are compared by, in losses and in figures.
struct Comparison {
    objective: Objective,
    measure: Measure,
    perceptual: Option<Perceptual>,
}

impl Comparison {
    fn new(options: &TrainOptions, scale: u32, device: &Device) -> Result<Self> {
        let compares = !options.perceptual.is_empty() || !options.texture.is_empty();
        let extractor = options.features.as_deref().filter(|_| compares).map(features::open);
        let objective =
            Objective::new(options, scale, extractor.transpose()?.map(|of| of.on(device)))?;
        let open = |path: &PathBuf| Perceptual::open(path, None);
        let perceptual = options.features.as_ref().map(open).transpose()?;
        // Against a discriminator, or by features, the pixels are left on purpose.
        let by_features = compares || options.adversarial > 0.0;
        let measure = match perceptual {
            Some(_) if by_features => Measure::FeatureDistance,
            _ if options.recipe().greys() => Measure::Colours,
            _ => Measure::Psnr,
        };
        Ok(Self { objective, measure, perceptual })
    }
}

/// After this many roll-backs the run ends.
const MOST_ROLL_BACKS: u32 = 8;

/// A loss this many times its mean is not learnt from.
const DIVERGED: f64 = 8.0;

/// After so many such losses in a row the run has diverged; fewer are odd batches.
const ALARMS: u32 = 4;

/// What losses are multiplied by on their way back.
const LOSS_SCALE: f64 = 1024.0;

/// What options call a fresh network.
pub const NEW: &str = "new";

/// Name of a base that was not trained.
const FRESH: &str = "a fresh network";

/// What of validation photos is scored: a piece is faster than the whole.
const VALIDATION: Piece = Piece::Middle(384);

/// A run.
pub struct Trainer {
    options: TrainOptions,
    base: Model,
    /// Where tensors live, with gradients.
    device: Device,
    chosen: Chosen,
    generator: Learner<Network>,
    /// Part of the network that each of its slots belongs to.
    parts: Vec<Part>,
    /// What each of its slots is as a matrix, if it is learnt as one.
    matrices: Vec<Option<[usize; 2]>>,
    discriminator: Option<Learner<Discriminator>>,
    comparison: Comparison,
    step: u64,
    rate_scale: f64,
    mean_loss: f64,
    base_figures: Figures,
    /// What the base took for the validation photos, as each look does.
    base_time: Duration,
    best: Option<Best>,
    best_model: Model,
    /// The averaged weights at the last look.
    looked_at: Model,
    /// Batches cannot be smaller.
    least_batch: usize,
    history: Vec<Point>,
    good: Good,
    /// Since the last good look.
    roll_backs: u32,
    /// Losses in a row that were far too high.
    alarms: u32,
    /// Weights of the base, if what is learnt is held near them.
    anchors: Option<Vec<Tensor<1>>>,
    split: Split,
    validation: Arc<[Pair]>,
    /// Photos that are learnt from.
    source: Source,
    loader: Loader,
    waited: Duration,
    worked: Duration,
    /// On the CPU.
    _memory: Option<KeptMemory>,
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
        let base = match options.more_blocks {
            0 => base,
            more => base.deepened(more, options.seed)?,
        };
        let learners = fork::learners(&base, &options, &chosen)?;
        Self::assemble(photos, base, options, chosen, learners, 0)
    }

    /// The base that options name, as far as they say it all.
    ///
    /// # Errors
    /// [`Error::Setting`] for a fresh network without a shape, or those of finding a model.
    pub fn base_of(options: &TrainOptions) -> Result<Model> {
        match (options.base.as_str(), &options.network) {
            (NEW, Some(config)) => Self::fresh(config, options.seed),
            (NEW, None) => {
                Err(Error::Setting("it is not said what the fresh network is like".to_owned()))
            }
            (name, _) => Model::find(name),
        }
    }

    /// The weights of a fresh network, as a base; see [`NetworkConfig::fresh`].
    ///
    /// # Errors
    /// [`Error::Setting`] for a shape that no network has.
    pub fn fresh(config: &NetworkConfig, seed: u64) -> Result<Model> {
        config
            .check()
            .map_err(|reason| Error::Setting(format!("there is no such network: {reason}")))?;
        let device = Device::flex();
        device.seed(seed);
        let network = config.fresh(&device);
        Model::of(FRESH, config, &network)
    }

    /// Goes on with a run from its file, on the same photos; none stands for those in its options.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is no checkpoint, or as [`Self::new`].
    pub fn resume(path: &Path, photos: &[PathBuf], chosen: Chosen) -> Result<Self> {
        let Saved { progress, base, best, generator, discriminator } = checkpoint::load(path)?;
        let name = path.display().to_string();
        let base = Model::from_bytes(&progress.base, base.into())?;
        let best_model = Model::from_bytes(&name, best.into())?;
        let options = progress.options.resolved()?;
        let photos = if photos.is_empty() { &options.photos.clone() } else { photos };
        let plain = chosen.burn().clone();
        let device = plain.clone().autodiff();
        let unfit = || Error::Model {
            name: name.clone(),
            reason: "it is no checkpoint of a run that can go on (its numbers do not fit)".into(),
        };
        let network = base.trainable(&device)?;
        let generator = Learner::load(network, generator, &plain);
        let discriminator = discriminator_of(&options, base.scale())?.map(|config| {
            Learner::load(config.init(&device), discriminator, &plain).ok_or_else(unfit)
        });
        let learners = (generator.ok_or_else(unfit)?, discriminator.transpose()?);
        let mut trainer = Self::assemble(photos, base, options, chosen, learners, progress.step)?;
        if trainer.split.signatures() != progress.photos {
            return Err(Error::Setting(
                "the photos are not those that the run was begun with: held-out ones could be \
                 learnt from"
                    .to_owned(),
            ));
        }
        trainer.rate_scale = progress.rate_scale;
        trainer.mean_loss = progress.mean_loss;
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
        (generator, discriminator): (Learner<Network>, Option<Learner<Discriminator>>),
        step: u64,
    ) -> Result<Self> {
        if chosen.is_software() {
            return Err(Error::Device {
                name: chosen.name().to_owned(),
                reason: "a software rasteriser cannot train".to_owned(),
            });
        }
        let recipe = options.recipe();
        let (scale, slots) = (base.scale(), slots::of(&generator.network));
        let normalises = slots.iter().any(|slot| slot.path.ends_with("running_mean"));
        let least_batch = if normalises || discriminator.is_some() { 2 } else { 1 };
        if options.batch < least_batch {
            return Err(Error::Setting(
                "batch normalisation has nothing to compare a single crop with: give --batch 2 \
                 or more"
                    .to_owned(),
            ));
        }
        if base.takes_mask() && !recipe.masks() {
            return Err(Error::Setting(
                "this network fills masks: choose a degradation that has them (watermark, damage)"
                    .to_owned(),
            ));
        }
        if let Some(kind) = options.precision.dtype() {
            if !chosen.burn().supports_dtype(kind) {
                return Err(Error::Device {
                    name: chosen.name().to_owned(),
                    reason: "it does not compute with such numbers: leave --precision out"
                        .to_owned(),
                });
            }
            if normalises {
                return Err(Error::Setting(
                    "a network with batch normalisation trains in 32 bit: leave --precision out"
                        .to_owned(),
                ));
            }
        }
        if options.grid > 0.0 && scale == 1 {
            return Err(Error::Setting("--grid is for networks that enlarge".to_owned()));
        }
        let device = chosen.burn().clone().autodiff();
        let comparison = Comparison::new(&options, scale, &device)?;
        comparison.objective.check(options.smallest_crop() * scale)?;
        let mut min_side = (options.largest_crop() * scale).max(verdict::smallest_side(scale));
        if comparison.perceptual.is_some() {
            min_side = min_side.max(SMALLEST + scale);
        }
        let split = data::split(
            photos,
            min_side,
            options.longest,
            [options.validation_share, options.test_share],
        )?;
        let validation = pairs(&split.validation, &recipe, scale, options.seed, VALIDATION)?;
        let first = step * options.accumulate as u64;
        let cut = Cut::new(&options, base.config());
        let source = Source::from(split.train.clone());
        let loader = Loader::start(source.clone(), cut, first, loader_threads())?;
        let perceptual = comparison.perceptual.as_ref();
        let begin = Instant::now();
        let base_figures = mean_figures(&base, &validation, &chosen, perceptual)?;
        let base_time = begin.elapsed();
        let anchors = fork::anchors(&base, &options, &device)?;
        let config = base.config().clone();
        let memory = (chosen.burn() == &Device::flex()).then(KeptMemory::new);
        let good = Good {
            generator: generator.kept(),
            discriminator: discriminator.as_ref().map(Learner::kept),
            mean_loss: 0.0,
        };
        Ok(Self {
            best_model: base.clone(),
            looked_at: base.clone(),
            least_batch,
            base,
            device,
            chosen,
            parts: slots.iter().map(|slot| config.part(&slot.path)).collect(),
            matrices: muon::matrices(options.optimiser, &slots, &config),
            generator,
            discriminator,
            comparison,
            step,
            rate_scale: 1.0,
            mean_loss: 0.0,
            base_figures,
            base_time,
            best: None,
            history: Vec::new(),
            good,
            roll_backs: 0,
            alarms: 0,
            anchors,
            split,
            validation: validation.into(),
            source,
            loader,
            waited: Duration::ZERO,
            worked: Duration::ZERO,
            _memory: memory,
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
    pub fn base_psnr(&self) -> f64 {
        self.comparison.measure.psnr(&self.base_figures)
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

    /// Whether all steps are done, or the validation photos have not got better for as many looks
    /// as [`TrainOptions::patience`] says.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let best = self.best.map_or(0, |best| best.step);
        let since = self.history.iter().filter(|point| point.step > best).count() as u64;
        let patience = self.options.patience;
        self.step >= self.options.steps || (patience > 0 && since >= patience)
    }

    /// The averaged weights at the last look; the base model's before the first one.
    #[must_use]
    pub const fn latest_model(&self) -> &Model {
        &self.looked_at
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
        self.step_on(&mut |trainer| trainer.loader.take())
    }

    /// The same, on batches of another source.
    fn step_on(&mut self, next: &mut impl FnMut(&mut Self) -> Result<Batch>) -> Result<StepReport> {
        let options = &self.options;
        let (warm_up, peak) = (options.warm_up, options.rate * self.rate_scale);
        let rate = options.schedule.rate(self.step, options.steps, peak, warm_up);
        let rate_scale = self.rate_scale;
        let (loss, learnt) = loop {
            match self.update_on(rate, DIVERGED * self.mean_loss, next) {
                Err(Error::Memory { .. }) => self.halve_batches()?,
                done => break done?,
            }
        };
        self.alarms = if learnt { 0 } else { self.alarms + 1 };
        if !loss.is_finite() || self.alarms == ALARMS {
            self.roll_back()?;
        }
        self.step += 1;
        let looks = self.step.is_multiple_of(self.options.validate_every)
            || self.step == self.options.steps;
        let validation = if looks { self.look()? } else { None };
        let rolled_back = self.rate_scale < rate_scale;
        let (step, batch) = (self.step, self.options.batch);
        Ok(StepReport { step, loss, rate, validation, rolled_back, batch })
    }

    /// Learns from the next batches and gives their mean loss. Nothing is learnt if that is not a
    /// number, or above `limit` (where 0 is none); then the second answer is false.
    fn update(&mut self, rate: f64, limit: f64) -> Result<(f64, bool)> {
        self.update_on(rate, limit, &mut |trainer| trainer.loader.take())
    }

    fn update_on(
        &mut self,
        rate: f64,
        limit: f64,
        next: &mut impl FnMut(&mut Self) -> Result<Batch>,
    ) -> Result<(f64, bool)> {
        self.freeze();
        let count = self.options.accumulate;
        let (mut value, mut gradients) = (0.0_f64, None::<[Option<Gradients>; 2]>);
        for _ in 0..count {
            let begin = Instant::now();
            // Those of a step that fails belong to it too: all are taken.
            let batch = next(self)?;
            let ready = Instant::now();
            self.waited += ready - begin;
            if value.is_finite() {
                let size = self.options.batch;
                let (loss, found) = memory::guarded(size, || self.gradients(batch))?;
                value += loss / count as f64;
                gradients = Some(match gradients {
                    Some(sum) => Gradients::sum(sum, found),
                    None => found,
                });
            }
            self.worked += ready.elapsed();
        }
        if !value.is_finite() || (limit > 0.0 && value > limit) {
            return Ok((value, false));
        }
        let begin = Instant::now();
        if let Some(gradients) = gradients {
            self.descend(gradients, rate);
        }
        self.mean_loss = match self.mean_loss {
            mean if mean > 0.0 => 0.98 * mean + 0.02 * value,
            _ => value,
        };
        self.worked += begin.elapsed();
        Ok((value, true))
    }

    /// The loss on a batch, and its gradients for the generator and for the discriminator.
    fn gradients(&self, batch: Batch) -> (f64, [Option<Gradients>; 2]) {
        let (small, large, mask) = self.tensors(batch);
        let network = &self.generator.network;
        let answer = match self.options.precision.dtype() {
            Some(dtype) => {
                let half = slots::cast(network.clone(), dtype);
                half.forward(small.cast(dtype)).cast(DType::F32)
            }
            None => network.forward(small),
        };
        // Gradients of the discriminator are not wanted while the generator learns from it.
        let judge = self.discriminator.as_ref();
        let judge = judge.map(|judge| slots::frozen_but(judge.network.clone(), |_| false));
        let objective = &self.comparison.objective;
        let loss = objective.of(self.step, &answer, &large, mask, judge.as_ref());
        let value = f64::from(loss.clone().into_scalar::<f32>());
        if !value.is_finite() {
            return (value, [None, None]);
        }
        // Small gradients would vanish in 16 bit (P. Micikevicius et al., "Mixed precision
        // training", 2018); in 32 bit a power of two changes nothing.
        let all = GradientsParams::from_grads((loss * LOSS_SCALE).backward(), network);
        let generator = Gradients::of(network, &all).divided_by(LOSS_SCALE);
        let discriminator = self.discriminator.as_ref().map(|Learner { network, .. }| {
            let loss = objective.of_discriminator(network, answer, large);
            Gradients::of(network, &GradientsParams::from_grads(loss.backward(), network))
        });
        (value, [Some(generator), discriminator])
    }

    /// One step of the optimiser with the sums of gradients.
    fn descend(&mut self, [generator, discriminator]: [Option<Gradients>; 2], rate: f64) {
        let options = &self.options;
        let adam = Adam {
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            average: options.average,
            clip: options.clip,
        };
        let count = options.accumulate as f64;
        if let Some(gradients) = generator {
            let part = |part: &Part| match part {
                Part::Early => options.backbone_rate,
                Part::Late => options.backbone_rate.sqrt(),
                Part::Last => 1.0,
            };
            let update =
                |(of, matrix): (&Part, &_)| Update { rate: rate * part(of), matrix: *matrix };
            let updates = self.parts.iter().zip(&self.matrices).map(update);
            let Learner { network, state } = &mut self.generator;
            let mut gradients = gradients.divided_by(count);
            if let Some(anchors) = &self.anchors {
                gradients = gradients.anchored(options.anchor, slots::values(network), anchors);
            }
            *network = adam.update(network.clone(), gradients, state, updates);
        }
        if let (Some(Learner { network, state }), Some(gradients)) =
            (&mut self.discriminator, discriminator)
        {
            let updates = std::iter::repeat(Update { rate, matrix: None });
            *network = adam.update(network.clone(), gradients.divided_by(count), state, updates);
        }
    }

    /// Lets only the last layers learn in the first steps, and all of them from then on.
    fn freeze(&mut self) {
        let (frozen, step) = (self.options.freeze, self.step);
        if frozen == 0 || step > frozen {
            return;
        }
        let config = self.base.config();
        let learns = |path: &str| step == frozen || config.part(path) == Part::Last;
        self.generator.network = slots::frozen_but(self.generator.network.clone(), learns);
    }

    /// Small crops, with the mask as a fourth channel for a network that takes one, and perhaps
    /// what it marks before and after it; large crops; the mask at their size.
    fn tensors(&self, batch: Batch) -> (Tensor<4>, Tensor<4>, Option<Tensor<4>>) {
        let scale = self.base.scale();
        let tensor = |values: Vec<f32>, channels: usize, side: u32| {
            let shape = [self.options.batch, channels, side as usize, side as usize];
            Tensor::<4>::from_data(TensorData::new(values, shape), &self.device)
        };
        let given = tensor(batch.small, 3, batch.crop);
        let begun = (!batch.begun.is_empty()).then(|| tensor(batch.begun, 3, batch.crop));
        let large = tensor(batch.large, 3, batch.crop * scale);
        let mask = (!batch.mask.is_empty()).then(|| tensor(batch.mask, 1, batch.crop));
        let small = match &mask {
            Some(mask) if self.base.takes_mask() => match begun {
                Some(begun) => Tensor::cat(vec![begun, mask.clone(), given], 1),
                None => Tensor::cat(vec![given, mask.clone()], 1),
            },
            _ => given,
        };
        (small, large, mask.map(|mask| repeated(mask, scale as usize)))
    }

    fn now(&self) -> Good {
        Good {
            generator: self.generator.kept(),
            discriminator: self.discriminator.as_ref().map(Learner::kept),
            mean_loss: self.mean_loss,
        }
    }

    fn roll_back(&mut self) -> Result<()> {
        self.generator.go_back(&self.good.generator);
        if let (Some(discriminator), Some(good)) =
            (&mut self.discriminator, &self.good.discriminator)
        {
            discriminator.go_back(good);
        }
        self.mean_loss = self.good.mean_loss;
        self.alarms = 0;
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
        let Learner { network, state } = &self.generator;
        let averaged = state.averaged(network.clone()).valid();
        let model = Model::of("the averaged weights", self.base.config(), &averaged)?;
        let Comparison { perceptual, measure, .. } = &self.comparison;
        let figures = mean_figures(&model, &self.validation, &self.chosen, perceptual.as_ref());
        let figures = match figures {
            Ok(figures) if figures.score.psnr.is_finite() => figures,
            Ok(_) | Err(Error::BadTile { .. }) => {
                self.roll_back()?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let (step, psnr, distance) = (self.step, measure.psnr(&figures), figures.distance);
        let best = self.best.map(|best| merit(best.psnr, best.distance, *measure));
        if merit(psnr, distance, *measure) > best.unwrap_or(f64::NEG_INFINITY) {
            self.best = Some(Best { step, psnr, distance });
            self.best_model = model.clone();
        }
        self.looked_at = model;
        self.history.push(Point { step, loss: self.mean_loss, psnr, distance });
        self.good = self.now();
        self.roll_backs = 0;
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
            parameters: Default::default(),
            rate_scale: self.rate_scale,
            mean_loss: self.mean_loss,
            best: self.best,
            history: self.history.clone(),
            photos: self.split.signatures(),
        };
        let generator = self.generator.state.save(&self.generator.network)?;
        let discriminator = self.discriminator.as_ref();
        let discriminator = discriminator.map(|learner| learner.state.save(&learner.network));
        let discriminator = discriminator.transpose()?;
        let networks = [&generator[..], discriminator.as_deref().unwrap_or_default()];
        checkpoint::save(path, progress, self.base.bytes(), self.best_model.bytes(), networks)
    }

    /// The best weights so far; the base model's before the first look.
    #[must_use]
    pub const fn best_model(&self) -> &Model {
        &self.best_model
    }

    /// The base and the best weights on the photos that were kept for this. `each` is asked before
    /// each photo and can end it.
    ///
    /// # Errors
    /// Those of reading and enlarging photos, or of `each`.
    pub fn verdict(&self, each: impl FnMut() -> Result<()>) -> Result<Verdict> {
        let test: &[Photo] = &self.split.test;
        let Self { base, best_model, options, chosen, comparison, .. } = self;
        let by = (comparison.measure, comparison.perceptual.as_ref());
        let recipe = options.recipe();
        verdict::compare([base, best_model], test, &recipe, options.seed, chosen, by, each)
    }

    /// What the run has shown, as JSON.
    #[must_use]
    pub fn record(&self, verdict: &Verdict) -> serde_json::Value {
        serde_json::json!({
            "verdict": verdict,
            "history": self.history(),
            "best": self.best(),
            "base_psnr": self.base_psnr(),
            "options": self.options(),
        })
    }

    /// Writes what the run has shown as a page with pictures, into a folder of its own.
    ///
    /// # Errors
    /// [`Error::Write`] and its kin, or those of reading and enlarging photos.
    pub fn report(&self, verdict: &Verdict, folder: &Path) -> Result<PathBuf> {
        report::write(self, verdict, folder)
    }
}

/// Threads that cut crops while the device works.
fn loader_threads() -> u64 {
    rayon::current_num_threads().max(2) as u64
}

/// The discriminator that the options ask for.
fn discriminator_of(options: &TrainOptions, scale: u32) -> Result<Option<DiscriminatorConfig>> {
    let wanted = options.adversarial > 0.0;
    wanted.then(|| options.discriminator.config(options, scale)).transpose()
}
