//! What the window knows of training: the photos that were chosen, what is to be learnt, and the
//! run that goes on.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use egui::{Context, TextureHandle, ViewportCommand};

use self::watched::texture;
pub(super) use self::{runs::Adopted, tuning::Finding, watched::Watched};
use super::{Answer, App, Task};
use crate::{
    error::Error,
    jobs::{
        Event, EventKind, Job, JobHandle,
        training::{self, Control, News},
    },
    picture::Format,
    settings::Settings,
    train::{
        TrainOptions,
        cost::Cost,
        doctor::{Checkup, Plan},
        goal::{Goal, lengthen},
        run::{self, Loss, Summary},
        search::Search,
    },
};

mod runs;
mod tuning;
mod watched;

/// Steps to a run, and what is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Page {
    #[default]
    Photos,
    Learn,
    Watch,
}

/// How long a run takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Length {
    Short,
    #[default]
    Standard,
    Long,
}

impl Length {
    pub(super) const ALL: [(Self, &'static str); 3] =
        [(Self::Short, "Short"), (Self::Standard, "Standard"), (Self::Long, "Long")];

    pub(super) const fn minutes(self) -> f64 {
        match self {
            Self::Short => 5.0,
            Self::Standard => 20.0,
            Self::Long => 60.0,
        }
    }
}

/// The state of the panel.
#[derive(Default)]
pub(super) struct Training {
    pub page: Page,
    /// Files and folders.
    pub places: Vec<PathBuf>,
    /// How many photos are examined, out of how many.
    pub examining: Option<(JobHandle, usize, usize)>,
    pub checkup: Option<Checkup>,
    /// What the kept photos are used for, or why they cannot be.
    pub plan: Option<Result<Plan, String>>,
    pub thumbnails: HashMap<PathBuf, TextureHandle>,
    pub goal: Goal,
    pub options: TrainOptions,
    pub length: Length,
    /// The steps are the user's, not those that fit into the length.
    pub own_steps: bool,
    measuring: Option<JobHandle>,
    /// What a step costs, and the options for which that was asked last.
    pub cost: Option<Cost>,
    cost_of: Option<TrainOptions>,
    previewing: Option<JobHandle>,
    /// The original and what becomes of it, and the options for which that was asked last.
    pub preview: Option<[TextureHandle; 2]>,
    preview_of: Option<TrainOptions>,
    /// Rates tried, out of how many.
    pub searching: Option<(JobHandle, u64, u64)>,
    pub search: Option<Search>,
    /// All options as text, while the user changes it.
    pub recipe: Option<String>,
    pub run: Option<Watched>,
    /// The search for settings.
    pub finding: Finding,
    /// Runs that are on disk, but not the one that goes on; the last one first.
    pub runs: Vec<Summary>,
    /// The user is asked whether this run shall be deleted.
    pub asks_to_delete: Option<Summary>,
    listing: Option<JobHandle>,
    /// The user wants to close the window while a run goes on.
    pub asks_to_close: bool,
    closes: bool,
    /// How much the curve of losses is smoothed, 0 to 1.
    pub smoothing: f64,
}

/// Ends a job that is not wanted any more.
fn drop_job(handle: Option<JobHandle>) {
    if let Some(handle) = handle {
        handle.cancel();
    }
}

impl Training {
    pub(super) fn new() -> Self {
        // The shares that are held out are the same for every goal.
        let options = Goal::default().options(None);
        Self { options, smoothing: 0.9, ..Self::default() }
    }

    /// All options but the photos, as in a recipe file.
    pub(super) fn recipe_text(&self) -> String {
        let options = TrainOptions { photos: Vec::new(), ..self.options.clone() };
        toml::to_string(&options).unwrap_or_default()
    }

    pub(super) fn run_goes_on(&self) -> bool {
        self.run.as_ref().is_some_and(Watched::is_going_on)
    }
}

impl App {
    /// Where runs are kept.
    fn runs_folder(&self) -> Option<PathBuf> {
        self.settings.runs.clone().or_else(run::default_folder)
    }

    /// Looks for runs that were left.
    pub(super) fn list_runs(&mut self) {
        if let Some(folder) = self.runs_folder() {
            self.training.listing = Some(self.train(training::Task::List(folder)));
        }
    }

    fn train(&mut self, task: training::Task) -> JobHandle {
        self.workers.submit(Job::Training(Box::new(task)))
    }

    /// Adds photos to those that are learnt from, and has all examined.
    pub(super) fn learn_from(&mut self, places: Vec<PathBuf>) {
        let places = places.into_iter().map(|path| std::path::absolute(&path).unwrap_or(path));
        for place in places {
            if !self.training.places.contains(&place) {
                self.training.places.push(place);
            }
        }
        self.training.page = Page::Photos;
        self.examine();
    }

    pub(super) fn forget_photos(&mut self) {
        let Training { examining, places, checkup, plan, thumbnails, .. } = &mut self.training;
        drop_job(examining.take().map(|(handle, ..)| handle));
        (*checkup, *plan) = (None, None);
        places.clear();
        thumbnails.clear();
    }

    fn examine(&mut self) {
        drop_job(self.training.examining.take().map(|(handle, ..)| handle));
        // Which base it will be is not known yet: the usual one enlarges four times.
        let crop = self.training.options.crop * 4;
        let task = training::Task::Examine { places: self.training.places.clone(), crop };
        self.training.examining = Some((self.train(task), 0, 0));
    }

    /// What the kept photos will be used for now.
    pub(super) fn plan(&mut self) {
        let Training { checkup, options, plan, .. } = &mut self.training;
        *plan = checkup.as_ref().map(|checkup| {
            let plan = checkup.plan(options.validation_share, options.test_share);
            plan.map_err(|error| match error {
                Error::NoPictures { .. } => {
                    "three photos that differ are the least: one to learn from, one to choose by, \
                     one for the verdict"
                        .to_owned()
                }
                other => other.to_string(),
            })
        });
        options.photos = checkup.as_ref().map(Checkup::kept).unwrap_or_default();
    }

    /// Goes to the second page, with options for what is to be learnt.
    pub(super) fn learn(&mut self, goal: Goal) {
        let fits =
            |name: &str| self.models.iter().any(|model| model.name == name && goal.fits(model));
        let Settings { model, cleaning_model, colouring_model, .. } = &self.settings;
        let usual = [model, cleaning_model, colouring_model].into_iter().find(|name| fits(name));
        let first = self.models.iter().find(|model| goal.fits(model));
        let base = usual.or(first.map(|model| &model.name)).cloned();
        self.training.goal = goal;
        self.training.options = goal.options(base.as_deref());
        self.training.own_steps = false;
        (self.training.search, self.training.recipe) = (None, None);
        self.training.finding.forget();
        (self.training.cost_of, self.training.preview_of) = (None, None);
        self.training.page = Page::Learn;
        self.plan();
        let few = matches!(&self.training.plan, Some(Ok(plan)) if plan.few);
        self.training.length = if few { Length::Short } else { Length::Standard };
    }

    /// Keeps what is shown on the second page up to date with its options.
    pub(super) fn prepare(&mut self) {
        let (options, device) = self.for_a_run();
        let photos = self.training.plan.as_ref().and_then(|plan| plan.as_ref().ok());
        let first = photos.and_then(|plan| plan.train.first()).cloned();
        let shown = self.training.preview_of.as_ref().is_some_and(|of| {
            of.degradation == options.degradation
                && of.strength == options.strength
                && of.base == options.base
                && of.photos == options.photos
        });
        if let Some(photo) = first.filter(|_| !shown && self.training.previewing.is_none()) {
            let options = options.clone();
            (self.training.preview, self.training.preview_of) = (None, Some(options.clone()));
            let task = training::Task::Preview { photo, options };
            self.training.previewing = Some(self.train(task));
        }
        let Training { measuring, searching, finding, .. } = &self.training;
        let idle = measuring.is_none() && searching.is_none() && !finding.is_going_on();
        let measured = self.training.cost_of.as_ref().is_some_and(|of| !self.costs_else(of));
        if idle && !measured && !options.photos.is_empty() {
            (self.training.cost, self.training.cost_of) = (None, Some(options.clone()));
            let task = training::Task::Measure { options, device };
            self.training.measuring = Some(self.train(task));
        }
        if !self.training.own_steps
            && let Some(cost) = &self.training.cost
        {
            let (steps, every) = cost.fitted(self.training.length.minutes());
            lengthen(&mut self.training.options, steps, every);
        }
    }

    /// Whether a step of the present options takes another time.
    fn costs_else(&self, measured: &TrainOptions) -> bool {
        let now = &self.training.options;
        now.photos != measured.photos
            || now.base != measured.base
            || now.batch != measured.batch
            || now.accumulate != measured.accumulate
            || now.crop != measured.crop
            || now.optimiser != measured.optimiser
            || now.degradation != measured.degradation
    }

    pub(super) const fn is_measuring(&self) -> bool {
        self.training.measuring.is_some()
    }

    fn for_a_run(&self) -> (TrainOptions, String) {
        (self.training.options.clone(), self.settings.device.clone())
    }

    /// Tries rising learning rates.
    pub(super) fn find_rate(&mut self) {
        let (options, device) = self.for_a_run();
        let handle = self.train(training::Task::FindRate { options, device });
        self.training.searching = Some((handle, 0, 1));
    }

    /// Takes all options from the text of a recipe.
    pub(super) fn take_recipe(&mut self) {
        let Some(text) = &self.training.recipe else { return };
        match toml::from_str::<TrainOptions>(text) {
            Ok(options) => {
                let photos = std::mem::take(&mut self.training.options.photos);
                self.training.options = TrainOptions { photos, ..options };
                (self.training.own_steps, self.training.recipe) = (true, None);
            }
            Err(error) => {
                let message = error.message().replace('\n', " ");
                let text = format!("these options cannot be understood ({message})");
                self.toasts.failure(&Error::Setting(text));
            }
        }
    }

    /// Begins the run.
    pub(super) fn begin_run(&mut self) {
        let Some(runs) = self.runs_folder() else {
            let text = "this system has no folder for runs: name one in the settings";
            self.toasts.failure(&Error::Setting(text.to_owned()));
            return;
        };
        let photos = self.training.places.first().and_then(|place| {
            let folder = if place.is_dir() { Some(place.as_path()) } else { place.parent() };
            Some(folder?.file_name()?.to_string_lossy().into_owned())
        });
        let photos = photos.unwrap_or_else(|| "photos".to_owned());
        let name = format!("{photos}-{}", self.training.goal.name().to_lowercase());
        let (options, device) = self.for_a_run();
        let control = Control::default();
        let wanted = control.clone();
        let task = training::Task::Begin { runs, name, options, device, control };
        self.watch(task, wanted);
    }

    /// Goes on with a run.
    pub(super) fn resume_run(&mut self, summary: &Summary) {
        let (folder, device) = (summary.folder.clone(), self.settings.device.clone());
        let control = Control::default();
        let wanted = control.clone();
        self.watch(training::Task::Resume { folder, device, control }, wanted);
    }

    fn watch(&mut self, task: training::Task, control: Control) {
        drop_job(self.training.measuring.take());
        drop_job(self.training.previewing.take());
        drop_job(self.training.searching.take().map(|(handle, ..)| handle));
        self.training.finding.forget();
        let handle = self.train(task);
        self.training.run = Some(Watched::new(handle, control));
        self.training.page = Page::Watch;
    }

    /// Leaves a run that is over.
    pub(super) fn leave_run(&mut self) {
        self.training.run = None;
        self.training.page = Page::Photos;
        self.list_runs();
    }

    pub(super) fn trains(&self) -> bool {
        self.task == Task::Train
    }

    /// For the line at the bottom.
    pub(super) fn training_status(&self) -> Option<String> {
        let run = self.training.run.as_ref().filter(|run| run.is_going_on())?;
        if run.paused {
            return Some("Training is paused".to_owned());
        }
        let steps = run.summary.as_ref().map_or(0, |summary| summary.steps);
        let left = run.pace.map(|pace| Duration::from_secs_f64(pace.seconds_left.min(1e7)));
        let left = left.map(|left| format!(", {} left", super::panels::in_words(left)));
        Some(format!("Training: step {} of {steps}{}", run.step(), left.unwrap_or_default()))
    }

    pub(super) fn ask_which_photos(&self, ctx: &Context, folder: bool) {
        let dialog = rfd::AsyncFileDialog::new().set_title("Photos to learn from");
        if folder {
            let dialog = dialog.pick_folder();
            self.ask(ctx, async { Some(Answer::Photos(vec![dialog.await?.path().to_owned()])) });
        } else {
            let dialog = dialog.add_filter("Photos", &Format::ENDINGS).pick_files();
            self.ask(ctx, async {
                let files = dialog.await?.iter().map(|file| file.path().to_owned()).collect();
                Some(Answer::Photos(files))
            });
        }
    }

    /// Takes what a job of training has to tell; other events come back.
    pub(super) fn receive_training(&mut self, event: Event, ctx: &Context) -> Option<Event> {
        let Event { id, kind } = event;
        let kind = match kind {
            EventKind::Training(news) => {
                self.receive_news(news, ctx);
                return None;
            }
            other => other,
        };
        let ended =
            matches!(kind, EventKind::Finished(_) | EventKind::Failed(_) | EventKind::Cancelled);
        let training = &mut self.training;
        let is = |handle: &Option<JobHandle>| handle.as_ref().is_some_and(|it| it.id == id);
        if ended {
            if training.finding.ends(id) {
                // What was found is told before.
            } else if is(&training.measuring) {
                training.measuring = None;
            } else if is(&training.previewing) {
                training.previewing = None;
            } else if is(&training.listing) {
                training.listing = None;
            } else if training.examining.as_ref().is_some_and(|(handle, ..)| handle.id == id) {
                training.examining = None;
            } else if training.searching.as_ref().is_some_and(|(handle, ..)| handle.id == id) {
                training.searching = None;
            } else if let Some(run) = training.run.as_mut().filter(|run| is(&run.handle)) {
                (run.handle, run.judging, run.paused) = (None, false, false);
                if run.summary.is_none() {
                    // It never began: what to learn is still there.
                    training.run = None;
                    training.page = Page::Photos;
                }
                if let EventKind::Failed(_) | EventKind::Cancelled = kind {
                    self.list_runs();
                }
            }
        }
        Some(Event { id, kind })
    }

    fn receive_news(&mut self, news: News, ctx: &Context) {
        match news {
            News::Examining(done, total) => {
                if let Some((_, of, all)) = &mut self.training.examining {
                    // Threads may overtake each other.
                    (*of, *all) = (done.max(*of), total);
                }
            }
            News::Examined(checkup) => {
                let photos = checkup.photos.iter().filter(|photo| photo.size.0 > 0);
                self.training.thumbnails = photos
                    .map(|photo| (photo.path.clone(), texture(ctx, "photo", &photo.thumbnail)))
                    .collect();
                self.training.checkup = Some(checkup);
                self.plan();
            }
            News::Previewed(preview) => {
                let pictures = [&preview.original, &preview.worse];
                let textures = pictures.map(|picture| texture(ctx, "preview", picture));
                self.training.preview = Some(textures);
            }
            News::Measured(cost) => {
                self.training.cost = Some(cost);
            }
            News::Trying(done, total) => {
                if let Some((_, of, all)) = &mut self.training.searching {
                    (*of, *all) = (done, total);
                }
            }
            News::Found(search) => self.training.search = Some(search),
            News::Tuning(stage) => self.training.finding.receive(*stage),
            News::Tuned(tuned) => {
                self.toasts.news(ctx, "the search for settings is over: see Train");
                self.take_found(*tuned);
            }
            News::Runs(runs) => {
                let told = self.unfinished().is_some();
                let going_on = self.training.run.as_ref().and_then(|run| run.summary.as_ref());
                let is_other = |run: &Summary| going_on.is_none_or(|on| on.folder != run.folder);
                self.training.runs = runs.into_iter().filter(is_other).collect();
                if let Some(run) = self.unfinished().filter(|_| !told) {
                    let text = format!("the training run {} waits to go on: see Train", run.name);
                    self.toasts.news(ctx, text);
                }
            }
            News::Began(_)
            | News::Step(_)
            | News::Looked(_)
            | News::Paused
            | News::Judging
            | News::Judged(_) => self.receive_course(news, ctx),
        }
    }

    fn receive_course(&mut self, news: News, ctx: &Context) {
        let Some(run) = &mut self.training.run else { return };
        match news {
            News::Began(course) => {
                run.begin(ctx, *course);
                let begun = run.summary.as_ref().map(|summary| summary.folder.clone());
                self.training.runs.retain(|other| Some(&other.folder) != begun.as_ref());
            }
            News::Step(pace) => {
                let report = pace.report;
                run.losses.push(Loss { step: report.step, loss: report.loss, rate: report.rate });
                if report.rolled_back {
                    run.rolled_back = Some(report.step);
                }
                if run.batch.is_some_and(|batch| report.batch < batch) {
                    let text = format!(
                        "the device was out of memory: batches are {} now, and the run goes on",
                        report.batch
                    );
                    self.toasts.news(ctx, text);
                }
                (run.batch, run.pace, run.paused) = (Some(report.batch), Some(pace), false);
            }
            News::Looked(look) => run.look(ctx, *look),
            News::Paused => run.paused = true,
            News::Judging => run.judging = true,
            News::Judged(summary) => {
                run.shown = summary.best;
                run.summary = Some(*summary);
                self.toasts.news(ctx, "the training run is over: see Train");
            }
            _ => {}
        }
    }

    /// Does not let the window close over a run without a word.
    pub(super) fn guard_run(&mut self, ctx: &Context) {
        let closing = ctx.input(|input| input.viewport().close_requested());
        if closing && self.training.run_goes_on() && !self.training.closes {
            ctx.send_viewport_cmd(ViewportCommand::CancelClose);
            self.training.asks_to_close = true;
        }
    }

    /// Closes the window; what the run has learnt is kept while it does.
    pub(super) fn close_over_run(&mut self, ctx: &Context) {
        self.training.closes = true;
        self.training.asks_to_close = false;
        drop_job(self.training.run.as_ref().and_then(|run| run.handle.clone()));
        ctx.send_viewport_cmd(ViewportCommand::Close);
    }
}

/// A file as browsers name it.
pub(super) fn as_url(path: &Path) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.~:".contains(byte);
    let text = path.display().to_string().replace('\\', "/");
    let escaped: String = text
        .bytes()
        .map(
            |byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") },
        )
        .collect();
    let slash = if escaped.starts_with('/') { "" } else { "/" };
    format!("file://{slash}{escaped}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_understand_names_of_files() {
        let url = as_url(Path::new("/a b/ü#1.report/index.html"));
        assert_eq!(url, "file:///a%20b/%C3%BC%231.report/index.html");
    }
}
