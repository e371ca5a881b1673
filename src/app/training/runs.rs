//! Runs of before: gone on with, looked at, deleted. And weights of a run as a model.

use std::path::PathBuf;

use super::{
    super::{App, Command, Task},
    Settings,
};
use crate::{jobs::training, train::run::Summary};

/// Weights of a run in the list of models.
#[derive(Default)]
pub(in crate::app) struct Adopted {
    /// They are being put there; the settings before that, and their file's name.
    pub(super) taking: Option<(Settings, String)>,
    /// The settings before they were, and their name in the list.
    pub(super) taken: Option<(Settings, String)>,
}

impl Adopted {
    /// The name in the list.
    pub(in crate::app) fn name(&self) -> Option<&str> {
        self.taken.as_ref().map(|(_, name)| name.as_str())
    }
}

impl App {
    /// Runs of before that are not over, the last one first.
    pub(in crate::app) fn unfinished(&self) -> Option<&Summary> {
        self.training.runs.iter().find(|run| run.verdict.is_none())
    }

    /// Removes a run from the disk.
    pub(in crate::app) fn delete_run(&mut self, run: &Summary) {
        let task = training::Task::Delete(run.folder.clone());
        self.training.listing = Some(self.train(task));
    }

    /// Puts weights of a run into the list of models, and uses them on the open photo.
    pub(in crate::app) fn use_weights(&mut self, file: PathBuf) {
        let before = self.settings.clone();
        let Some(run) = &mut self.training.run else { return };
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        run.adopted.taking = Some((before, name));
        self.import(vec![file]);
    }

    /// What was taken is in the list now: the open photo gets it.
    pub(in crate::app) fn used_weights(&mut self, added: &[String]) {
        let Some(run) = &mut self.training.run else { return };
        let Some((before, name)) = run.adopted.taking.take() else { return };
        // If the list has another model of this name, it gets a number.
        let Some(listed) = added.last().filter(|listed| listed.starts_with(&name)) else { return };
        // Of two that were taken, both are taken back to what was before the first.
        let before = run.adopted.taken.take().map_or(before, |(first, _)| first);
        run.adopted.taken = Some((before, listed.clone()));
        let Some(about) = self.models.iter().find(|model| model.name == *listed) else { return };
        let command = match (about.scale, about.gives_colours) {
            (2.., _) => Command::Upscale,
            (_, true) => Command::Colourise,
            (_, false) => Command::Clean,
        };
        if self.document.is_some() && !about.takes_mask {
            self.task = if command == Command::Upscale { Task::Upscale } else { Task::Repair };
            self.queue.push(command);
        }
    }

    /// Takes the weights out of the list of models, and the model before them again.
    pub(in crate::app) fn take_weights_back(&mut self) {
        let taken = self.training.run.as_mut().and_then(|run| run.adopted.taken.take());
        if let Some((before, name)) = taken {
            self.remove_model(name);
            self.settings.model = before.model;
            self.settings.cleaning_model = before.cleaning_model;
            self.settings.colouring_model = before.colouring_model;
            self.keep_settings();
        }
    }
}
