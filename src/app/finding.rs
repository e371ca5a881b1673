//! Marks that another thread finds: by the wand, along a scratch, and what does not belong on the
//! photo. Each becomes one edit, which can be taken back and changed like any other.

use egui::Context;

use super::App;
use crate::{
    jobs::{Event, EventKind, Job, JobHandle, Outcome},
    mask::{
        Layer,
        find::{Find, Found, lay},
    },
};

/// Something that is being found.
pub struct Finding {
    handle: JobHandle,
    /// Takes the marks of this layer, or takes away from it.
    layer: Layer,
    on: bool,
    /// The user waits for it and is told what came out.
    told: bool,
    /// How far it is, 0 to 1.
    progress: f32,
    /// What came out: it waits for the end of a stroke.
    found: Option<Found>,
}

impl App {
    /// Has something found and marked, or taken away.
    pub(super) fn find(&mut self, what: Find, on: bool) {
        let Some(document) = &self.document else { return };
        let (picture, layer) = (document.picture.clone(), document.repair.layer);
        let told = matches!(what, Find::Detect(_));
        let handle = self.workers.submit(Job::Find { picture, what });
        self.finding.push(Finding { handle, layer, on, told, progress: 0.0, found: None });
    }

    /// Looks for what does not belong on the photo.
    pub(super) fn find_marks(&mut self) {
        if let Some(document) = &self.document {
            self.find(Find::Detect(document.repair.detect), true);
        }
    }

    /// How far the search for marks is, 0 to 1, if there is one.
    pub(super) fn looks_for_marks(&self) -> Option<f32> {
        self.finding.iter().find(|finding| finding.told).map(|finding| finding.progress)
    }

    /// Ends what is being found; whether there was something.
    pub(super) fn stop_finding(&mut self) -> bool {
        let some = !self.finding.is_empty();
        self.finding.drain(..).for_each(|finding| finding.handle.cancel());
        some
    }

    /// Takes an event of what is being found; gives back all others.
    pub(super) fn receive_finding(&mut self, event: Event, ctx: &Context) -> Option<Event> {
        let place = self.finding.iter().position(|finding| finding.handle.id == event.id);
        let Some(place) = place else { return Some(event) };
        match event.kind {
            EventKind::Progress(progress) => {
                self.finding[place].progress = progress.done as f32 / progress.total.max(1) as f32;
            }
            EventKind::Finished(Outcome::Found(found)) => {
                self.finding[place].found = Some(found);
                self.lay_found(ctx);
            }
            EventKind::Failed(error) => {
                self.finding.remove(place);
                self.toasts.failure(&error);
            }
            _ => {
                self.finding.remove(place);
            }
        }
        None
    }

    /// Marks what was found, in the order in which it was asked for. A stroke that is being made is
    /// not interrupted.
    pub(super) fn lay_found(&mut self, ctx: &Context) {
        while let Some(first) = self.finding.first()
            && first.found.is_some()
            && self.repair().is_some_and(|repair| !repair.editor.is_open())
        {
            let Finding { layer, on, found, .. } = self.finding.remove(0);
            let Some(Found { marks, words }) = found else { return };
            if let Some(marks) = marks {
                self.mark(|repair| {
                    let changed = repair.editor.edit(layer, |mask| lay(mask, &marks, on));
                    changed.map(|area| (layer, area))
                });
            }
            if let Some(words) = words {
                self.toasts.news(ctx, words);
            }
        }
    }
}
