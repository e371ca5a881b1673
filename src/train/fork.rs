//! Runs that share their photos: each begins with the base, and has options of its own.

use std::time::Duration;

use burn::tensor::{Device, Tensor};

use super::{
    Comparison, Cut, Discriminator, Good, KeptMemory, Learner, Loader, Network, TrainOptions,
    Trainer, discriminator_of, encoder, loader_threads, muon, slots,
};
use crate::{device::Chosen, error::Result, model::Model};

/// The networks of a run at its start.
pub(super) fn learners(
    base: &Model,
    options: &TrainOptions,
    chosen: &Chosen,
) -> Result<(Learner<Network>, Option<Learner<Discriminator>>)> {
    let device = chosen.burn().clone().autodiff();
    let mut generator = base.trainable(&device)?;
    if let Some(encoder) = &options.encoder {
        generator = encoder::fill(generator, base.config(), encoder, &device)?;
    }
    let discriminator = discriminator_of(options, base.scale())?;
    // Drawn after the base, which a seed decides too.
    device.seed(options.seed);
    let discriminator = discriminator.map(|config| Learner::new(config.init(&device)));
    Ok((Learner::new(generator), discriminator))
}

/// What the weights are held near, if they are.
pub(super) fn anchors(
    base: &Model,
    options: &TrainOptions,
    device: &Device,
) -> Result<Option<Vec<Tensor<1>>>> {
    let wanted = options.anchor > 0.0;
    wanted.then(|| Ok(slots::values(&base.trainable(device)?))).transpose()
}

impl Trainer {
    /// Another run from the same base on the same photos, split in the same way. It differs in
    /// numbers only: not in crops, in what is compared, or in how held-out photos are made worse.
    /// It loads nothing until its first step.
    ///
    /// # Errors
    /// Those of [`Trainer::new`] that are about options.
    pub(super) fn fork(&self, options: TrainOptions) -> Result<Self> {
        let options = options.resolved()?;
        let (base, chosen, source) = (&self.base, self.chosen.clone(), self.source.clone());
        let (generator, discriminator) = learners(base, &options, &chosen)?;
        let good = Good {
            generator: generator.kept(),
            discriminator: discriminator.as_ref().map(Learner::kept),
            mean_loss: 0.0,
        };
        let memory = (chosen.burn() == &Device::flex()).then(KeptMemory::new);
        let cut = Cut::new(&options, base.config());
        Ok(Self {
            comparison: Comparison::new(&options, base.scale(), &self.device)?,
            anchors: anchors(base, &options, &self.device)?,
            loader: Loader::resting(source.clone(), cut, 0, loader_threads()),
            best_model: base.clone(),
            looked_at: base.clone(),
            base: base.clone(),
            device: self.device.clone(),
            chosen,
            parts: self.parts.clone(),
            matrices: muon::matrices(
                options.optimiser,
                &slots::of(&generator.network),
                base.config(),
            ),
            generator,
            discriminator,
            step: 0,
            rate_scale: 1.0,
            mean_loss: 0.0,
            base_figures: self.base_figures,
            base_time: self.base_time,
            best: None,
            least_batch: self.least_batch,
            history: Vec::new(),
            good,
            roll_backs: 0,
            alarms: 0,
            split: self.split.clone(),
            validation: self.validation.clone(),
            source,
            waited: Duration::ZERO,
            worked: Duration::ZERO,
            _memory: memory,
            options,
        })
    }
}
