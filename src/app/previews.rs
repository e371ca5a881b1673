//! Previews: what up to four models make of the place that is looked at, to be flipped through.

use std::sync::Arc;

use egui::Context;

use super::App;
use crate::{
    jobs::{
        Event, EventKind, Job, JobHandle, Outcome,
        preview::{Look, Taken, Tiles},
    },
    model::library::About,
    picture::Picture,
    restore::{UpscaleOptions, recipe::Recipe},
};

/// As many as there are keys for.
pub(super) const MOST: usize = 4;

/// What all previews have in common: when it changes, they are of something else.
#[derive(Clone)]
struct Subject {
    picture: Arc<Picture>,
    device: String,
    options: UpscaleOptions,
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.picture, &other.picture)
            && (&self.device, self.options) == (&other.device, other.options)
    }
}

/// One model and what it has made.
#[derive(Default)]
pub(super) struct Preview {
    pub model: String,
    tiles: Tiles,
    pub running: Option<JobHandle>,
    pub taken: Option<Taken>,
    /// There is something to see.
    pub begun: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Previews {
    subject: Option<Subject>,
    pub all: Vec<Preview>,
    /// The one that is on screen in place of the result.
    pub flipped: Option<usize>,
}

impl Previews {
    /// Forgets what was made; the choice of models stays.
    fn clear(&mut self) {
        self.cancel();
        self.flipped = None;
        self.subject = None;
        for preview in &mut self.all {
            *preview = Preview { model: std::mem::take(&mut preview.model), ..Preview::default() };
        }
    }

    /// Ends those that are being made.
    pub fn cancel(&self) {
        self.running().for_each(JobHandle::cancel);
    }

    pub fn running(&self) -> impl Iterator<Item = &JobHandle> {
        self.all.iter().filter_map(|preview| preview.running.as_ref())
    }
}

impl App {
    pub(super) fn can_preview(&self) -> bool {
        self.can_upscale() && self.previews.running().next().is_none()
    }

    /// Whether there is something to flip to.
    pub(super) fn can_flip(&self, place: usize) -> bool {
        self.document.is_some() && self.previews.all.get(place).is_some_and(|one| one.begun)
    }

    /// Shows a preview in place of the result, or the result again.
    pub(super) fn flip(&mut self, place: usize) {
        let other = self.previews.flipped != Some(place);
        self.show_preview(other.then_some(place));
    }

    fn show_preview(&mut self, place: Option<usize>) {
        self.previews.flipped = place;
        let preview = place.and_then(|place| Some((place, self.previews.all.get(place)?)));
        let caption = preview.map(|(place, Preview { model, taken, .. })| {
            let seconds =
                taken.map_or_else(String::new, |taken| format!(", {:.1} s", taken.seconds));
            (place, format!("{}  {model}{seconds}", place + 1))
        });
        self.viewer.flip(caption);
    }

    /// Lets all chosen models make what is in view, from the pointer on.
    pub(super) fn preview(&mut self) {
        let Some(picture) = self.document.as_ref().map(|document| document.picture.clone()) else {
            return;
        };
        self.choose_models_to_compare();
        let Recipe { device, options, .. } = self.recipe();
        let subject = Subject { picture, device, options };
        if self.previews.subject.as_ref() != Some(&subject) {
            self.forget_previews();
            self.previews.subject = Some(subject.clone());
        }
        let Subject { picture, device, options } = subject;
        let (view, place) = self.viewer.looked_at();
        for preview in &mut self.previews.all {
            let look = Look {
                picture: picture.clone(),
                model: preview.model.clone(),
                device: device.clone(),
                options,
                view,
                place,
                tiles: preview.tiles.clone(),
            };
            preview.running = Some(self.workers.submit(Job::Preview(Box::new(look))));
        }
    }

    /// The model that is set comes first; the rest is what the user chose, or what ships.
    fn choose_models_to_compare(&mut self) {
        let set = &self.settings.model;
        if self.previews.all.is_empty() {
            let fits = |model: &&About| model.shipped && enlarges(model) && model.name != *set;
            let others = self.models.iter().filter(fits).map(|model| model.name.clone());
            let names: Vec<String> =
                std::iter::once(set.clone()).chain(others).take(MOST).collect();
            names.into_iter().for_each(|name| self.compare_with(name));
        } else if self.previews.all.iter().all(|preview| preview.model != *set) {
            let first = Preview { model: set.clone(), ..Preview::default() };
            self.forget_previews();
            self.previews.all.insert(0, first);
            self.previews.all.truncate(MOST);
        }
    }

    /// One model more.
    pub(super) fn compare_with(&mut self, model: String) {
        self.previews.all.push(Preview { model, ..Preview::default() });
    }

    /// One model less.
    pub(super) fn leave_out(&mut self, place: usize) {
        self.forget_previews();
        self.previews.all.remove(place);
    }

    /// The tiles that a preview has made of what is run now.
    pub(super) fn previewed(&self, Recipe { model, device, options, .. }: &Recipe) -> Tiles {
        let picture = self.document.as_ref().map(|document| &document.picture);
        let same = picture.zip(self.previews.subject.as_ref()).is_some_and(|(picture, subject)| {
            let Subject { picture: own, device: before, options: set } = subject;
            Arc::ptr_eq(picture, own) && (before, set) == (device, options)
        });
        let made = self.previews.all.iter().find(|preview| preview.model == *model);
        made.filter(|_| same).map(|preview| preview.tiles.clone()).unwrap_or_default()
    }

    /// Previews are of another photo or of models that may have changed.
    pub(super) fn forget_previews(&mut self) {
        self.previews.clear();
        self.viewer.forget_previews();
    }

    /// Takes what belongs to previews of the events.
    pub(super) fn receive_preview(&mut self, event: Event, ctx: &Context) -> Option<Event> {
        let is = |preview: &Preview| preview.running.as_ref().is_some_and(|job| job.id == event.id);
        let Some(place) = self.previews.all.iter().position(is) else { return Some(event) };
        let preview = &mut self.previews.all[place];
        match event.kind {
            EventKind::Started(start) => {
                preview.begun = true;
                self.viewer.begin_preview(place, start.size, start.color.has_alpha());
                if self.previews.flipped.is_none() {
                    self.show_preview(Some(place));
                }
            }
            EventKind::Patch(patch) => self.viewer.add_preview(place, patch),
            EventKind::Note(note) => self.toasts.news(ctx, note),
            EventKind::Progress(_) | EventKind::Training(_) => {}
            EventKind::Finished(outcome) => {
                preview.running = None;
                if let Outcome::Previewed(taken) = outcome {
                    // What was there already tells nothing new about the whole.
                    let whole = taken.whole.or(preview.taken.and_then(|before| before.whole));
                    preview.taken = Some(Taken { whole, ..taken });
                }
                self.show_preview(self.previews.flipped);
            }
            EventKind::Failed(error) => {
                preview.running = None;
                self.toasts.failure(&error);
            }
            EventKind::Cancelled => preview.running = None,
        }
        None
    }
}

/// Whether a model can be compared.
pub(super) fn enlarges(model: &About) -> bool {
    model.scale > 1 && !model.takes_mask
}
