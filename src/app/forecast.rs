//! What enlarging will take, asked for in the background whenever it would change.

use std::{path::Path, sync::Arc};

use egui::Context;

use super::App;
use crate::{
    jobs::{Job, JobId},
    picture::Picture,
    restore::{Receipt, UpscaleOptions, estimate::Estimate, recipe::Recipe, report::Enlarged},
};

/// What an estimate is of.
#[derive(Clone)]
struct Subject {
    picture: Arc<Picture>,
    model: String,
    device: String,
    options: UpscaleOptions,
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.picture, &other.picture)
            && (&self.model, &self.device, self.options)
                == (&other.model, &other.device, other.options)
    }
}

/// The last one that was asked for.
#[derive(Default)]
pub(super) struct Forecast {
    asked: Option<(Subject, JobId)>,
    estimate: Option<Estimate>,
}

impl Forecast {
    /// Takes an answer, if it is to what was asked last.
    pub(super) fn receive(&mut self, id: JobId, estimate: Option<Estimate>) -> bool {
        let own = self.asked.as_ref().is_some_and(|(_, asked)| *asked == id);
        if own {
            self.estimate = estimate;
        }
        own
    }
}

impl App {
    /// In words, once it is known; asks for it where that has not been done.
    pub(super) fn forecast(&mut self) -> Option<String> {
        let picture = self.document.as_ref()?.picture.clone();
        let Recipe { model, device, options, .. } = self.recipe();
        let subject = Subject { picture, model, device, options };
        let asked = self.forecast.asked.as_ref();
        if asked.is_none_or(|(before, _)| *before != subject) {
            let Subject { picture, model, device, options } = subject.clone();
            let job = self.workers.submit(Job::Estimate { picture, model, device, options });
            self.forecast = Forecast { asked: Some((subject, job.id)), estimate: None };
        }
        self.forecast.estimate.map(|estimate| estimate.in_words())
    }

    /// What is set for enlarging.
    pub(super) fn recipe(&self) -> Recipe {
        let settings = &self.settings;
        Recipe {
            model: settings.model.clone(),
            device: settings.device.clone(),
            options: UpscaleOptions {
                size: settings.size,
                colour_lock: settings.colour_lock,
                ..UpscaleOptions::default()
            },
            writing: settings.writing(),
        }
    }

    /// The command that makes the enlarged photo on screen again, as it would be saved now.
    pub(super) fn command_line(&self) -> Option<String> {
        let result = self.finished()?;
        let mut recipe = result.recipe.clone()?;
        recipe.options.strength = self.strength_of(result);
        let picture = &self.document.as_ref()?.picture;
        let input = picture.source.as_deref().unwrap_or(Path::new(&picture.name));
        Some(Recipe { writing: self.settings.writing(), ..recipe }.command(input))
    }

    pub(super) fn copy_recipe(&mut self, ctx: &Context) {
        if let Some(command) = self.command_line() {
            ctx.copy_text(command);
            self.toasts.news(ctx, "the command is in the clipboard");
        }
    }

    /// What goes beside an enlarged photo that is saved now.
    pub(super) fn receipt_to_save(&self) -> Option<Box<Enlarged>> {
        let result = self.finished()?;
        let receipt = result.summary.as_ref()?.receipt.clone()?;
        let receipt = Receipt { strength: self.strength_of(result), ..receipt };
        let wanted = self.settings.receipt;
        let command = self.command_line().filter(|_| wanted)?;
        Some(Box::new(Enlarged { receipt, estimate: self.forecast.estimate, command }))
    }
}
