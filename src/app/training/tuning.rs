//! The search for settings, as the window sees it.

use super::{super::App, drop_job};
use crate::{
    jobs::{JobHandle, JobId, training},
    train::{
        TrainOptions,
        tune::{Method, Stage, Tuned},
    },
};

/// What the panel knows of it.
pub(in crate::app) struct Finding {
    pub method: Method,
    pub minutes: f64,
    /// While it goes on, and how far it is.
    handle: Option<JobHandle>,
    pub stage: Option<Stage>,
    /// What was found, and the settings before that.
    pub found: Option<(Tuned, TrainOptions)>,
}

impl Default for Finding {
    fn default() -> Self {
        Self { method: Method::default(), minutes: 20.0, handle: None, stage: None, found: None }
    }
}

impl Finding {
    pub(in crate::app) const fn is_going_on(&self) -> bool {
        self.handle.is_some()
    }

    /// Ends what goes on, and forgets what was found.
    pub(super) fn forget(&mut self) {
        drop_job(self.handle.take());
        (self.stage, self.found) = (None, None);
    }

    pub(super) fn receive(&mut self, stage: Stage) {
        if self.is_going_on() {
            self.stage = Some(stage);
        }
    }

    /// Whether it was this job that has ended.
    pub(super) fn ends(&mut self, id: JobId) -> bool {
        let is = self.handle.as_ref().is_some_and(|handle| handle.id == id);
        if is {
            (self.handle, self.stage) = (None, None);
        }
        is
    }
}

impl App {
    /// Looks for settings that suit the photos.
    pub(in crate::app) fn find_settings(&mut self) {
        drop_job(self.training.measuring.take());
        let (options, device) = self.for_a_run();
        let Finding { method, minutes, .. } = self.training.finding;
        let handle = self.train(training::Task::Tune { options, method, minutes, device });
        let finding = &mut self.training.finding;
        finding.forget();
        finding.handle = Some(handle);
    }

    pub(in crate::app) fn stop_tuning(&mut self) {
        self.training.finding.forget();
    }

    /// Takes what was found into the form.
    pub(super) fn take_found(&mut self, tuned: Tuned) {
        let training = &mut self.training;
        if !training.finding.is_going_on() {
            return; // The user has gone on to something else.
        }
        let found = TrainOptions {
            // As the user sees them, not as a run resolves them.
            degradation_recipe: training.options.degradation_recipe.clone(),
            ..tuned.options.clone()
        };
        let before = std::mem::replace(&mut training.options, found);
        training.finding.found = Some((tuned, before));
        training.recipe = None;
    }

    /// Puts the settings back that were there before.
    pub(in crate::app) fn leave_found(&mut self) {
        if let Some((_, before)) = self.training.finding.found.take() {
            self.training.options = before;
            self.training.recipe = None;
        }
    }
}
