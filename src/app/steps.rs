//! The steps that made the photo on screen, and changing them.

use std::sync::Arc;

use egui::Context;

use super::{App, Command, ResultSoFar};
use crate::{
    jobs::Job,
    picture::Picture,
    rect::Rect,
    restore::{Mosaic, Patch, Progress, steps::Step},
};

/// A photo and what was done to it.
pub struct Project {
    /// As it was opened.
    photo: Arc<Picture>,
    /// What made the picture on screen of it.
    steps: Vec<Step>,
    /// The picture before the last step, where it is still there.
    before_last: Option<Arc<Picture>>,
    /// Steps that were taken back, the last one first.
    undone: Vec<Step>,
}

/// A list of steps on its way to become the project's.
pub struct Adopting {
    steps: Vec<Step>,
    undone: Vec<Step>,
    /// The picture before the last step, if it is the one on screen now.
    from_screen: bool,
    /// What is to be done then.
    pub then: Option<Command>,
    /// How far it is.
    pub progress: Option<Progress>,
}

impl Adopting {
    /// Whether marks stay: they do when only older steps changed.
    pub const fn keeps_marks(&self) -> bool {
        !self.from_screen
    }
}

impl Project {
    /// Of a photo to which nothing was done.
    pub const fn new(photo: Arc<Picture>) -> Self {
        Self { photo, steps: Vec::new(), before_last: None, undone: Vec::new() }
    }

    /// The project with its new list, `shown` being the picture that was on screen.
    pub fn with(self, adopting: Adopting, shown: Arc<Picture>) -> Self {
        let Adopting { steps, undone, from_screen, .. } = adopting;
        let before_last = from_screen.then_some(shown);
        Self { photo: self.photo, steps, before_last, undone }
    }

    /// In their order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Where a new list can begin, `shown` being the picture on screen: a picture, and the steps
    /// that are left from there.
    fn beginning(&self, shown: &Arc<Picture>, steps: &[Step]) -> (Arc<Picture>, Vec<Step>) {
        let last = self.steps.len().saturating_sub(1);
        if steps.starts_with(&self.steps) {
            return (shown.clone(), steps[self.steps.len()..].to_vec());
        }
        match &self.before_last {
            Some(picture) if steps.starts_with(&self.steps[..last]) => {
                (picture.clone(), steps[last..].to_vec())
            }
            _ => (self.photo.clone(), steps.to_vec()),
        }
    }
}

/// What the user does to the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Switches a step on or off.
    Switch(usize),
    /// Lets a step change places with the one after it.
    Swap(usize),
    /// Removes a step.
    Remove(usize),
}

impl App {
    /// The steps that made the picture on screen.
    pub(super) fn steps(&self) -> &[Step] {
        self.document.as_ref().map_or(&[], |document| document.project.steps())
    }

    /// Whether the picture on screen can be saved although no result is beside it.
    pub(super) fn has_work(&self) -> bool {
        self.steps().iter().any(|step| step.on)
    }

    /// Whether the list may be changed now.
    pub(super) fn can_change_steps(&self) -> bool {
        self.running.is_none() && self.opening.is_none()
    }

    /// Makes the result the photo that is worked on, as one more step.
    pub(super) fn adopt(&mut self, then: Option<Command>) {
        let Some((document, result)) = self.document.as_ref().zip(self.finished()) else { return };
        let ResultSoFar { step, mosaic, .. } = result;
        let strength = self.strength_of(result);
        let action = step.action.clone().of_strength(strength);
        let step = Step { action, ..step.clone() };
        let mut steps = document.project.steps.clone();
        steps.push(step);
        let job =
            Job::Adopt { picture: document.picture.clone(), result: mosaic.clone(), strength };
        self.begin_opening(job);
        self.adopting =
            Some(Adopting { steps, undone: Vec::new(), from_screen: true, then, progress: None });
    }

    /// Changes the list, and does again what follows from it.
    pub(super) fn change_steps(&mut self, change: Change) {
        let mut steps = self.steps().to_vec();
        match change {
            Change::Switch(place) => steps[place].on ^= true,
            Change::Swap(place) => steps.swap(place, place + 1),
            Change::Remove(place) => {
                steps.remove(place);
            }
        }
        self.replay(steps, Vec::new());
    }

    /// Does the steps that were kept beside a photo, which is on screen now.
    pub(super) fn receive_steps(&mut self, steps: Vec<Step>, ctx: &Context) {
        // Should it be stopped or fail, the list is there, with nothing done.
        let off = steps.iter().cloned().map(|step| Step { on: false, ..step }).collect();
        if let Some(document) = &mut self.document {
            document.project.steps = off;
        }
        self.replay(steps, Vec::new());
        self.toasts.news(ctx, "what you did to this photo last time is done again");
    }

    pub(super) fn can_undo_step(&self) -> bool {
        self.can_change_steps() && !self.steps().is_empty()
    }

    pub(super) fn can_redo_step(&self) -> bool {
        let undone = |project: &Project| !project.undone.is_empty();
        self.can_change_steps()
            && self.document.as_ref().is_some_and(|document| undone(&document.project))
    }

    /// Takes the last step back.
    pub(super) fn undo_step(&mut self) {
        let Some(document) = &self.document else { return };
        let (mut steps, mut undone) =
            (document.project.steps.clone(), document.project.undone.clone());
        undone.extend(steps.pop());
        self.replay(steps, undone);
    }

    /// Does again what [`Self::undo_step`] took back.
    pub(super) fn redo_step(&mut self) {
        let Some(document) = &self.document else { return };
        let (mut steps, mut undone) =
            (document.project.steps.clone(), document.project.undone.clone());
        steps.extend(undone.pop());
        self.replay(steps, undone);
    }

    fn replay(&mut self, steps: Vec<Step>, undone: Vec<Step>) {
        let Some(document) = &self.document else { return };
        let (photo, left) = document.project.beginning(&document.picture, &steps);
        let device = self.settings.device.clone();
        self.begin_opening(Job::Replay { photo, steps: left, device });
        self.adopting =
            Some(Adopting { steps, undone, from_screen: false, then: None, progress: None });
    }

    /// Keeps the list beside the photo.
    pub(super) fn keep_steps(&mut self) {
        let Some(document) = &self.document else { return };
        let Project { photo, steps, .. } = &document.project;
        if photo.source.is_some() {
            let job = Job::KeepSteps { photo: photo.clone(), steps: steps.clone() };
            self.workers.submit(job);
        }
    }

    /// What would be saved where no result is beside the picture on screen.
    pub(super) fn work(&self) -> Option<Mosaic> {
        let picture = self.document.as_ref().map(|document| &document.picture)?;
        let (width, height) = picture.size();
        let area = Rect::of_size(width, height);
        let patch = Patch { area, pixels: picture.pixels.clone() };
        self.has_work().then(|| Mosaic {
            size: (width, height),
            color: picture.pixels.color(),
            patches: vec![Arc::new(patch)],
        })
    }
}
