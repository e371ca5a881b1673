//! The window: what it shows and what its commands do. It sends jobs and shows
//! events; it never touches a tensor and never waits.

use std::{path::PathBuf, sync::Arc};

use crossbeam_channel::{Receiver, Sender, unbounded};
use eframe::egui_wgpu::WgpuConfiguration;
use egui::{Context, Ui};
use image::GrayImage;

use crate::{
    error::{Error, Result},
    jobs::{Event, EventKind, Job, JobHandle, Outcome, Workers},
    mask::{self, Layer},
    model::library::{self, About},
    picture::{Format, Picture, pyramid::Pyramid},
    rect::Rect,
    restore::{
        Mosaic, Progress, Receipt,
        mend::MendReceipt,
        recipe::Recipe,
        steps::{Action, Step},
    },
    settings::Settings,
};

mod batch;
mod command;
mod finding;
mod forecast;
mod milestones;
mod notify;
mod panels;
mod previews;
mod repair;
mod sharing;
mod steps;
mod theme;
mod toasts;
mod training;
mod viewer;

pub use command::Command;

use batch::Batch;
use finding::Finding;
use forecast::Forecast;
use milestones::Milestones;
use previews::Previews;
use repair::{Repair, Tool, Wish};
use steps::{Adopting, Project};
use toasts::Toasts;
use training::Training;
use viewer::{Marks, Viewer};

/// The picture behind "Try the sample photo".
const SAMPLE: &[u8] = include_bytes!("../../assets/sample.png");

const ICON: &[u8] = include_bytes!("../../assets/icon.png");

/// No mask has this revision: the next look finds that the mask is to be kept.
const NEVER: u64 = u64::MAX;

/// What a window is opened with.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// A photo to open at once.
    pub photo: Option<PathBuf>,
    /// Whether enlarging it begins at once too.
    pub enlarge: bool,
    /// Where settings are kept; `None` keeps them for this run only.
    pub settings: Option<PathBuf>,
    /// The folder in which the queue lives; `None` keeps it for this run only.
    pub queue: Option<PathBuf>,
}

/// The photo being worked on and what became of it.
struct Document {
    picture: Arc<Picture>,
    /// What made the picture of the photo.
    project: Project,
    result: Option<ResultSoFar>,
    /// A result that was taken back, and can be had again.
    withdrawn: Option<ResultSoFar>,
    repair: Repair,
    /// The mask's revision that was last kept beside the photo; `None` where it cannot be kept.
    kept: Option<u64>,
}

/// A result, whole or in the making.
struct ResultSoFar {
    mosaic: Mosaic,
    made_by: Made,
    /// To be done again.
    step: Step,
    /// Of the mask's editor when it was begun.
    position: i64,
    /// What was done, once all of it is.
    summary: Option<Summary>,
    /// What an enlarged photo was made by.
    recipe: Option<Recipe>,
    /// Where "Save" will put it.
    target: Option<PathBuf>,
}

/// What makes a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    Upscale,
    Fill,
    Clean,
    Colour,
}

impl Made {
    const fn by(action: &Action) -> Self {
        match action {
            Action::Fill { .. } => Self::Fill,
            Action::Clean { .. } => Self::Clean,
            Action::Colour { .. } => Self::Colour,
            Action::Upscale { .. } => Self::Upscale,
        }
    }
}

/// What was done, in words.
struct Summary {
    text: String,
    device: Option<String>,
    seconds: f64,
    receipt: Option<Receipt>,
}

impl Summary {
    fn of(receipt: Receipt) -> Self {
        let (width, height) = receipt.output_size;
        Self {
            text: format!("{width} × {height}"),
            device: Some(receipt.device.clone()),
            seconds: receipt.seconds,
            receipt: Some(receipt),
        }
    }

    fn of_mending(receipt: MendReceipt) -> Self {
        Self {
            text: receipt.in_words(),
            device: receipt.device,
            seconds: receipt.seconds,
            receipt: None,
        }
    }
}

/// What the side panel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Upscale,
    Repair,
    Train,
}

/// The running job that makes a result.
struct Running {
    handle: JobHandle,
    step: Step,
    progress: Option<Progress>,
    device: Option<String>,
    recipe: Option<Recipe>,
}

impl Running {
    const fn new(handle: JobHandle, step: Step) -> Self {
        Self { handle, step, progress: None, device: None, recipe: None }
    }
}

/// The window's state.
pub struct App {
    workers: Workers,
    document: Option<Document>,
    opening: Option<JobHandle>,
    /// The photo that is being opened was made of the one on screen.
    adopting: Option<Adopting>,
    running: Option<Running>,
    /// Marks on their way, in the order in which they were asked for.
    finding: Vec<Finding>,
    saving: Option<JobHandle>,
    task: Task,
    training: Training,
    /// How much of a cleaned or coloured photo is taken, 0 to 1.
    strength: f32,
    /// The same of an enlarged one.
    enlarged_strength: f32,
    /// The sample photo, for its button.
    sample: egui::TextureHandle,
    /// Names for the list of devices.
    adapters: Vec<String>,
    /// For the lists of models.
    models: Vec<About>,
    /// Models are being added.
    importing: Option<JobHandle>,
    /// What enlarging the photo will take.
    forecast: Forecast,
    previews: Previews,
    /// A picture of before and after is being written.
    sharing: Option<JobHandle>,
    /// The mask of this photo is being written.
    keeping: Option<(JobHandle, PathBuf)>,
    viewer: Viewer,
    settings: Settings,
    settings_path: Option<PathBuf>,
    /// Many photos.
    batch: Batch,
    toasts: Toasts,
    shows_keys: bool,
    queue: Vec<Command>,
    /// What is done with the first photo as soon as it is there.
    first: Option<Command>,
    milestones: Milestones,
    /// What file dialogs answered.
    answers: (Sender<Answer>, Receiver<Answer>),
}

/// A choice made in a dialog.
enum Answer {
    Open(PathBuf),
    SaveAs(PathBuf),
    AddModels(Vec<PathBuf>),
    AddPhotos(Vec<PathBuf>),
    ResultsTo(PathBuf),
    Photos(Vec<PathBuf>),
}

/// Opens the window and stays until it is closed.
///
/// # Errors
/// [`Error::Window`] where no window or no graphics driver is to be had.
pub fn run(setup: Setup) -> Result<()> {
    let icon = Picture::from_bytes(ICON, "icon.png")?.pixels.into_rgba8();
    let viewport = egui::ViewportBuilder::default()
        .with_title("Pixmend")
        .with_app_id("io.github.pixmend.Pixmend")
        .with_inner_size([1280.0, 800.0])
        .with_min_inner_size([760.0, 480.0])
        .with_icon(egui::IconData {
            width: icon.width(),
            height: icon.height(),
            rgba: icon.into_raw(),
        });
    let options = eframe::NativeOptions {
        viewport,
        wgpu_options: WgpuConfiguration::default(),
        ..eframe::NativeOptions::default()
    };
    let started =
        eframe::run_native("pixmend", options, Box::new(|cc| Ok(Box::new(App::new(cc, setup)?))));
    started.map_err(|error| {
        Error::Window(match error {
            eframe::Error::Wgpu(_) => {
                "it needs a Vulkan or OpenGL driver, and this machine has none \
                                   (on Debian, mesa-vulkan-drivers has one)"
                    .to_owned()
            }
            eframe::Error::Winit(_) | eframe::Error::WinitEventLoop(_) => {
                format!("there is no screen to open it on ({error})")
            }
            other => other.to_string(),
        })
    })
}

impl App {
    /// The window's state in a window that egui has made.
    ///
    /// # Errors
    /// [`Error::Window`] if the system gives no threads.
    pub fn new(cc: &eframe::CreationContext<'_>, setup: Setup) -> Result<Self> {
        let ctx = cc.egui_ctx.clone();
        // Ctrl and + zoom the photo, not the controls.
        ctx.options_mut(|options| options.zoom_with_keyboard = false);
        let wake = ctx.clone();
        let window = |error: std::io::Error| Error::Window(error.to_string());
        let workers = Workers::start(move || wake.request_repaint()).map_err(window)?;
        let mut app = Self {
            batch: Batch::new(setup.queue, &workers, &ctx).map_err(window)?,
            workers,
            document: None,
            opening: None,
            adopting: None,
            running: None,
            finding: Vec::new(),
            saving: None,
            task: Task::Upscale,
            training: Training::new(),
            strength: 1.0,
            enlarged_strength: 1.0,
            sample: sample_texture(&ctx)?,
            adapters: Vec::new(),
            models: Vec::new(),
            importing: None,
            forecast: Forecast::default(),
            previews: Previews::default(),
            sharing: None,
            keeping: None,
            viewer: Viewer::new(cc.wgpu_render_state.as_ref()),
            settings: Settings::default(),
            settings_path: setup.settings,
            toasts: Toasts::default(),
            shows_keys: false,
            queue: Vec::new(),
            first: setup.enlarge.then_some(Command::Upscale),
            milestones: Milestones::default(),
            answers: unbounded(),
        };
        if let Some(path) = &app.settings_path {
            match Settings::load(path) {
                Ok(settings) => app.settings = settings,
                Err(error) => app.toasts.failure(&error),
            }
        }
        app.viewer.sharp_pixels = app.settings.sharp_pixels;
        theme::apply(&ctx, app.settings.dark);
        app.workers.submit(Job::ListDevices);
        app.workers.submit(Job::ListModels);
        app.list_runs();
        if let Some(photo) = setup.photo {
            app.open(photo);
        }
        Ok(app)
    }

    /// Opens a photo; what is on screen stays until it is there.
    pub fn open(&mut self, path: PathBuf) {
        // A path relative to the folder the program was started in would lead
        // elsewhere once it is shown to the user.
        let path = std::path::absolute(&path).unwrap_or(path);
        self.begin_opening(Job::Open(path));
    }

    fn begin_opening(&mut self, job: Job) {
        self.adopting = None;
        self.opening = Some(self.workers.submit(job));
    }

    const fn has_photo(&self) -> bool {
        self.document.is_some()
    }

    const fn can_upscale(&self) -> bool {
        self.document.is_some() && self.running.is_none()
    }

    fn can_cancel(&self) -> bool {
        let running = self.running.as_ref().map(|running| &running.handle);
        let again = self.adopting.as_ref().filter(|adopting| adopting.keeps_marks());
        let replaying = self.opening.as_ref().filter(|_| again.is_some());
        let going_on = |handle: &JobHandle| !handle.is_cancelling();
        running.or(replaying).is_some_and(going_on)
            || self.previews.running().any(going_on)
            || !self.finding.is_empty()
    }

    fn can_save(&self) -> bool {
        let whole = self.finished().is_some() || (!self.has_result() && self.has_work());
        whole && self.running.is_none() && self.opening.is_none() && self.saving.is_none()
    }

    /// The result, if it is whole.
    fn finished(&self) -> Option<&ResultSoFar> {
        let result = self.document.as_ref()?.result.as_ref()?;
        result.summary.is_some().then_some(result)
    }

    /// How much of a result is taken.
    fn strength_of(&self, result: &ResultSoFar) -> f32 {
        match result.made_by {
            Made::Clean | Made::Colour => self.strength,
            Made::Upscale => self.enlarged_strength,
            Made::Fill => 1.0,
        }
    }

    fn repairs(&self) -> bool {
        self.document.is_some() && self.task == Task::Repair
    }

    /// Whether the mask may be changed now.
    fn can_mark(&self) -> bool {
        self.repairs() && self.running.is_none() && self.adopting.is_none()
    }

    /// What made the result on screen, if it is whole.
    fn made_by(&self) -> Option<Made> {
        self.finished().map(|result| result.made_by)
    }

    /// A result that was taken back and belongs to the mask as it is now.
    fn can_restore(&self) -> bool {
        self.document.as_ref().is_some_and(|document| {
            let position = document.repair.editor.position();
            document.withdrawn.as_ref().is_some_and(|result| result.position == position)
        })
    }

    fn repair(&self) -> Option<&Repair> {
        self.document.as_ref().map(|document| &document.repair)
    }

    fn has_result(&self) -> bool {
        self.document.as_ref().is_some_and(|document| document.result.is_some())
    }

    fn can_undo(&self) -> bool {
        let marks = self.repair().is_some_and(|repair| repair.editor.can_undo());
        (self.can_mark() && (marks || self.has_result())) || self.can_undo_step()
    }

    fn can_redo(&self) -> bool {
        let marks = self.repair().is_some_and(|repair| repair.editor.can_redo());
        (self.can_mark() && (marks || self.can_restore())) || self.can_redo_step()
    }

    /// Changes a layer, and shows what changed.
    fn mark(&mut self, change: impl FnOnce(&mut Repair) -> Option<(Layer, Rect)>) {
        if let Some(document) = &mut self.document
            && let Some((layer, area)) = change(&mut document.repair)
        {
            self.viewer.update_mask(layer, document.repair.editor.layer(layer), area);
        }
    }

    /// Changes all of the layer that the tools paint.
    fn mark_all(&mut self, change: impl FnOnce(&mut GrayImage)) {
        self.mark(|repair| {
            let layer = repair.layer;
            let changed = repair.editor.edit(layer, |mask| {
                change(mask);
                Some(Rect::of_size(mask.width(), mask.height()))
            });
            changed.map(|area| (layer, area))
        });
    }

    /// Shows all of both layers.
    fn show_marks(&mut self) {
        let Some(Document { repair, .. }) = &self.document else { return };
        for layer in Layer::ALL {
            let mask = repair.editor.layer(layer);
            if let Some(area) = mask::extent(mask) {
                self.viewer.update_mask(layer, mask, area);
            }
        }
    }

    fn use_tool(&mut self, tool: Tool) {
        if let Some(document) = &mut self.document {
            document.repair.abandon();
            document.repair.tool = tool;
        }
    }

    fn resize_brush(&mut self, factor: f32) {
        if let Some(document) = &mut self.document {
            document.repair.resize(factor);
        }
    }

    const fn reshape_brush(&mut self, harder: f32) {
        if let Some(document) = &mut self.document {
            document.repair.reshape(0.0, harder);
        }
    }

    /// What the pointer did on the photo.
    fn receive_touches(&mut self, ctx: &Context) {
        let marks = self.can_mark();
        let touches = self.viewer.touches();
        let mut wanted = Vec::new();
        if let Some(Document { repair, .. }) = &mut self.document {
            let mut changed: Option<Rect> = None;
            for touch in touches {
                if !marks {
                    repair.abandon();
                    continue;
                }
                match repair.touch(touch) {
                    Some(Wish::Shown(area)) => {
                        changed = Some(changed.map_or(area, |all| all.joined(&area)));
                    }
                    Some(Wish::Found(what, on)) => wanted.push((what, on)),
                    None => {}
                }
            }
            if let Some(area) = changed {
                let layer = repair.layer;
                self.viewer.update_mask(layer, repair.editor.layer(layer), area);
            }
        }
        wanted.into_iter().for_each(|(what, on)| self.find(what, on));
        let result = self.document.as_ref().and_then(|document| document.result.as_ref());
        self.viewer.strength = result.map_or(1.0, |result| self.strength_of(result));
        if let Some(Document { repair, .. }) = &self.document {
            let reach = repair.options.grow + repair.options.feather;
            self.viewer.show_reach(repair.editor.mask(), reach);
            if self.viewer.catch_up(&repair.editor) {
                ctx.request_repaint();
            }
        }
        self.viewer.marked = theme::over(self.settings.marks);
        self.viewer.marks = match &self.document {
            Some(document) if self.task == Task::Repair => {
                let position = document.repair.editor.position();
                let newer = |result: &ResultSoFar| result.position != position;
                if document.repair.editor.is_open() || document.result.as_ref().is_some_and(newer) {
                    Marks::OverAll
                } else {
                    Marks::OverPhoto
                }
            }
            _ => Marks::Hidden,
        };
        let repair = self.document.as_ref().map(|document| &document.repair).filter(|_| marks);
        self.viewer.brush = repair.map(Repair::cursor);
        self.viewer.line = repair.map(Repair::line).unwrap_or_default();
    }

    /// The one place where commands do something.
    fn perform(&mut self, command: Command, ctx: &Context) {
        match command {
            Command::Open => self.ask_what_to_open(ctx),
            // Arrives as an event with the picture.
            Command::Paste => {}
            Command::AddModel => self.ask_which_models(ctx),
            Command::Queue
            | Command::AddPhotos
            | Command::AddFolder
            | Command::ManyPhotos
            | Command::ResultsFolder
            | Command::StartQueue => self.perform_batch(command, ctx),
            Command::OpenSample => {
                self.begin_opening(Job::OpenBytes { name: "sample.png".to_owned(), bytes: SAMPLE });
            }
            Command::Upscale => {
                if self.prepared_for(Made::Upscale, command, ctx) {
                    self.upscale();
                }
            }
            Command::Train => {
                self.task = if self.trains() { Task::Upscale } else { Task::Train };
            }
            Command::SwitchTask => {
                self.task = if self.task == Task::Upscale { Task::Repair } else { Task::Upscale };
            }
            Command::Fill => {
                if self.prepared_for(Made::Fill, command, ctx) {
                    self.fill();
                }
            }
            Command::Clean | Command::Colourise => {
                let Settings { cleaning_model, colouring_model, .. } = &self.settings;
                // All of it: how much of it is taken is seen while the slider moves.
                let action = match command {
                    Command::Clean => {
                        Action::Clean { model: cleaning_model.clone(), strength: 1.0 }
                    }
                    _ => Action::Colour { model: colouring_model.clone(), strength: 1.0 },
                };
                if self.prepared_for(Made::by(&action), command, ctx) {
                    self.apply(action);
                }
            }
            Command::Adopt => self.adopt(None),
            Command::Undo => self.undo(),
            Command::Redo => {
                if self.can_restore() {
                    if let Some(document) = &mut self.document {
                        document.result = document.withdrawn.take();
                    }
                    self.viewer.restore_result();
                } else if !self.repair().is_some_and(|repair| repair.editor.can_redo()) {
                    self.redo_step();
                } else {
                    self.mark(|repair| repair.editor.redo());
                }
            }
            Command::ClearMask => {
                self.mark_all(|mask| mask.fill(0));
            }
            Command::MarkAll => self.mark_all(|mask| mask.fill(255)),
            // What is marked by half stays marked by half.
            Command::InvertMask => {
                self.mark_all(|mask| mask.iter_mut().for_each(|value| *value = 255 - *value));
            }
            Command::Protect => {
                if let Some(document) = &mut self.document {
                    document.repair.abandon();
                    let layer = &mut document.repair.layer;
                    *layer = Layer::ALL[usize::from(*layer == Layer::Marks)];
                }
            }
            Command::FindMarks => self.find_marks(),
            Command::SmallerBrush => self.resize_brush(1.0 / 1.2),
            Command::LargerBrush => self.resize_brush(1.2),
            Command::SofterBrush => self.reshape_brush(-0.1),
            Command::HarderBrush => self.reshape_brush(0.1),
            Command::Brush => self.use_tool(Tool::Brush),
            Command::Eraser => self.use_tool(Tool::Eraser),
            Command::SwapBrush => {
                let erases = self.repair().is_some_and(|repair| repair.tool == Tool::Eraser);
                self.use_tool(if erases { Tool::Brush } else { Tool::Eraser });
            }
            Command::Rectangle => self.use_tool(Tool::Rectangle),
            Command::Lasso => self.use_tool(Tool::Lasso),
            Command::Trace => self.use_tool(Tool::Trace),
            Command::Wand => self.use_tool(Tool::Wand),
            Command::MaskAlone => self.viewer.mask_alone = !self.viewer.mask_alone,
            Command::Preview => self.preview(),
            Command::Flip(place) => self.flip(usize::from(place)),
            Command::HeatMap => self.switch_heat_map(),
            Command::Share => self.share(),
            Command::Cancel => {
                self.previews.cancel();
                let running = self.running.as_ref().map(|running| &running.handle);
                if let Some(handle) = running.or(self.opening.as_ref()) {
                    handle.cancel();
                } else {
                    self.stop_finding();
                }
            }
            Command::Save => {
                if let Some(target) = self.target() {
                    self.save(target);
                }
            }
            Command::SaveAs => self.ask_where_to_save(ctx),
            Command::CopyRecipe => self.copy_recipe(ctx),
            Command::Fit => self.viewer.fit(),
            Command::ActualSize => self.viewer.actual_size(),
            Command::ZoomIn => self.viewer.zoom(1.25),
            Command::ZoomOut => self.viewer.zoom(0.8),
            Command::CycleView => self.viewer.view = self.viewer.view.next(),
            Command::SharpPixels => {
                self.viewer.sharp_pixels = !self.viewer.sharp_pixels;
                self.settings.sharp_pixels = self.viewer.sharp_pixels;
                self.keep_settings();
            }
            Command::Theme => {
                self.settings.dark = !self.settings.dark;
                theme::apply(ctx, self.settings.dark);
                self.keep_settings();
            }
            Command::Help => self.shows_keys = !self.shows_keys,
            Command::Quit => ctx.send_viewport_cmd(egui::ViewportCommand::Close),
        }
    }

    /// How many times the chosen model enlarges; 4 until the list of models is there.
    fn scale(&self) -> u32 {
        let chosen = |model: &&About| model.name == self.settings.model;
        self.models.iter().find(chosen).map_or(4, |model| model.scale)
    }

    /// Adds models of others; what is chosen of them follows when they are there.
    fn import(&mut self, paths: Vec<PathBuf>) {
        self.importing = Some(self.workers.submit(Job::Import(paths)));
    }

    /// Removes a model that the user added; what it was chosen for goes back to the default.
    fn remove_model(&mut self, name: String) {
        let defaults = Settings::default();
        if self.settings.model == name {
            self.settings.model = defaults.model;
        }
        if self.settings.cleaning_model == name {
            self.settings.cleaning_model = defaults.cleaning_model;
        }
        if self.settings.colouring_model == name {
            self.settings.colouring_model = defaults.colouring_model;
        }
        self.keep_settings();
        self.workers.submit(Job::Remove(name));
    }

    /// Takes a new list of models; one that was just added is chosen for its job.
    fn receive_models(&mut self, all: Vec<About>, added: &[String], ctx: &Context) {
        self.models = all;
        let about = |name: &&String| self.models.iter().find(|model| model.name == **name);
        let Some(new) = added.last().as_ref().and_then(about).cloned() else { return };
        let text = match (added.len(), new.scale) {
            (1, 1) => format!("added {}: {}, keeps the size", new.name, new.architecture),
            (1, scale) => format!("added {}: {}, enlarges {scale}×", new.name, new.architecture),
            (count, _) => format!("added {count} models"),
        };
        self.toasts.news(ctx, text);
        match (new.takes_mask, new.scale) {
            (true, _) => {}
            (false, _) if new.gives_colours => self.settings.colouring_model = new.name,
            (false, 1) => self.settings.cleaning_model = new.name,
            (false, _) => self.settings.model = new.name,
        }
        self.keep_settings();
    }

    fn upscale(&mut self) {
        let recipe = self.recipe();
        let tiles = self.previewed(&recipe);
        self.previews.cancel();
        if let Some(place) = self.previews.flipped {
            self.flip(place);
        }
        let Some(document) = &mut self.document else {
            return;
        };
        document.result = None;
        document.withdrawn = None;
        let handle = self.workers.submit(Job::Upscale {
            picture: document.picture.clone(),
            model: recipe.model.clone(),
            device: recipe.device.clone(),
            options: recipe.options,
            focus: self.viewer.focus(),
            tiles,
        });
        let action = Action::Upscale { model: recipe.model.clone(), options: recipe.options };
        let step = Step { action, mask: None, protected: None, on: true };
        self.running = Some(Running { recipe: Some(recipe), ..Running::new(handle, step) });
    }

    fn fill(&mut self) {
        if let Some(Document { repair, .. }) = &self.document {
            self.apply(Action::Fill { by: repair.fill, options: repair.options });
        }
    }

    /// Fills what is marked, or cleans or colours it: the whole photo where nothing is.
    fn apply(&mut self, action: Action) {
        let Some(document) = &mut self.document else {
            return;
        };
        document.repair.editor.close();
        document.result = None;
        document.withdrawn = None;
        let fills = matches!(action, Action::Fill { .. });
        let [mask, protected] = Layer::ALL.map(|layer| document.repair.editor.snapshot(layer));
        let marked = fills || mask::count(&mask) > 0;
        let protects = mask::count(&protected) > 0;
        let step = Step {
            action,
            mask: marked.then_some(mask),
            protected: protects.then_some(protected),
            on: true,
        };
        let handle = self.workers.submit(Job::Apply {
            picture: document.picture.clone(),
            step: step.clone(),
            device: self.settings.device.clone(),
            focus: self.viewer.focus(),
        });
        self.running = Some(Running::new(handle, step));
    }

    /// Whether a job may begin: what another one made is gone on with, unless it has another size
    /// than the marks.
    fn prepared_for(&mut self, job: Made, command: Command, ctx: &Context) -> bool {
        match self.made_by() {
            Some(Made::Upscale) if job != Made::Upscale => {
                let text =
                    "the photo was enlarged: go on with that, or take it back (Ctrl+Z) first";
                self.toasts.news(ctx, text);
                false
            }
            Some(before) if before != job => {
                self.adopt(Some(command));
                false
            }
            _ => true,
        }
    }

    /// Takes back what came last: a stroke or the result.
    fn undo(&mut self) {
        // What is still being found would come after what is taken back.
        if self.stop_finding() {
            return;
        }
        let Some(document) = &mut self.document else { return };
        document.repair.editor.close();
        let editor = &document.repair.editor;
        let newer = |result: &ResultSoFar| editor.position() > result.position;
        if document.result.is_none() && !editor.can_undo() {
            self.undo_step();
        } else if document
            .result
            .as_ref()
            .is_some_and(|result| !newer(result) || !editor.can_undo())
        {
            document.withdrawn = document.result.take();
            self.viewer.withdraw_result();
        } else {
            self.mark(|repair| repair.editor.undo());
        }
    }

    /// Takes over the marks that were kept beside the photo.
    fn receive_marks(&mut self, layers: [Option<GrayImage>; 2], text: &str, ctx: &Context) {
        if let Some(Document { repair, .. }) = &mut self.document {
            repair.restore(text);
            for (layer, mask) in Layer::ALL.into_iter().zip(layers) {
                let Some(mask) = mask else { continue };
                repair.editor.edit(layer, |own| {
                    *own = mask;
                    Some(Rect::of_size(own.width(), own.height()))
                });
            }
        }
        self.show_marks();
        if let Some(document) = &mut self.document {
            document.kept = Some(document.repair.editor.revision());
        }
        self.task = Task::Repair;
        self.toasts.news(ctx, "your marks of last time are here again (Ctrl+D clears them)");
    }

    /// Keeps the mask beside the photo after each edit, one at a time.
    fn keep_marks(&mut self) {
        let open = self.repair().is_some_and(|repair| repair.editor.is_open());
        if !open && self.keeping.is_none() {
            self.keep_marks_now();
        }
    }

    /// Keeps the mask as it is, before its photo leaves the screen.
    fn keep_marks_now(&mut self) {
        let Some(document) = &mut self.document else { return };
        document.repair.editor.close();
        let (editor, kept) = (&document.repair.editor, &mut document.kept);
        let Some((photo, revision)) = document.picture.source.as_ref().zip(*kept) else { return };
        if revision == editor.revision() {
            return;
        }
        *kept = Some(editor.revision());
        let [mask, protected] = Layer::ALL.map(|layer| editor.snapshot(layer));
        let job =
            Job::KeepMask { photo: photo.clone(), mask, protected, text: document.repair.kept() };
        self.keeping = Some((self.workers.submit(job), photo.clone()));
    }

    /// Where "Save" puts what there is; a name that is taken gets a number.
    fn target(&self) -> Option<PathBuf> {
        match self.finished() {
            Some(result) => result.target.clone(),
            None => {
                let document = self.document.as_ref().filter(|_| self.has_work())?;
                Some(document.picture.default_output_kept("edited"))
            }
        }
    }

    fn save(&mut self, path: PathBuf) {
        let Some(document) = &self.document else {
            return;
        };
        let (strength, result) = match self.finished() {
            Some(result) => (self.strength_of(result), result.mosaic.clone()),
            None => match self.work() {
                Some(work) => (1.0, work),
                None => return,
            },
        };
        let job = Job::Save {
            picture: document.picture.clone(),
            strength,
            result,
            metadata: self.kept_metadata(&document.picture),
            encoding: self.settings.encoding,
            receipt: self.receipt_to_save(),
            path,
        };
        self.saving = Some(self.workers.submit(job));
    }

    fn keep_settings(&mut self) {
        if let Some(path) = &self.settings_path
            && let Err(error) = self.settings.save(path)
        {
            self.toasts.failure(&error);
        }
    }

    /// Dialogs are made here, where some systems want them, and waited for on
    /// a thread of their own.
    fn ask(&self, ctx: &Context, dialog: impl Future<Output = Option<Answer>> + Send + 'static) {
        let (answers, ctx) = (self.answers.0.clone(), ctx.clone());
        let asked = std::thread::Builder::new().name("dialog".to_owned()).spawn(move || {
            if let Some(answer) = pollster::block_on(dialog) {
                // Nobody waits for it once the window is closed.
                let _sent = answers.send(answer);
                ctx.request_repaint();
            }
        });
        if let Err(error) = asked {
            log::error!("no file dialog: {error}");
        }
    }

    fn ask_what_to_open(&self, ctx: &Context) {
        let dialog = rfd::AsyncFileDialog::new()
            .set_title("Open a photo")
            .add_filter("Photos", &Format::ENDINGS)
            .pick_file();
        self.ask(ctx, async { Some(Answer::Open(dialog.await?.path().to_owned())) });
    }

    fn ask_which_models(&self, ctx: &Context) {
        let dialog = rfd::AsyncFileDialog::new()
            .set_title("Add models")
            .add_filter("Models", &library::endings())
            .pick_files();
        self.ask(ctx, async {
            let files = dialog.await?.iter().map(|file| file.path().to_owned()).collect();
            Some(Answer::AddModels(files))
        });
    }

    fn ask_where_to_save(&self, ctx: &Context) {
        let mut dialog = rfd::AsyncFileDialog::new().set_title("Save the result");
        for format in Format::WRITTEN {
            dialog = dialog.add_filter(format.name(), &[format.extension()]);
        }
        if let Some(target) = self.target() {
            if let Some(folder) = target.parent() {
                dialog = dialog.set_directory(folder);
            }
            if let Some(name) = target.file_name() {
                dialog = dialog.set_file_name(name.to_string_lossy());
            }
        }
        let dialog = dialog.save_file();
        self.ask(ctx, async { Some(Answer::SaveAs(dialog.await?.path().to_owned())) });
    }

    fn receive(&mut self, ctx: &Context) {
        let answers: Vec<Answer> = self.answers.1.try_iter().collect();
        for answer in answers {
            match answer {
                Answer::Open(path) => self.open(path),
                Answer::SaveAs(path) => self.save(path),
                Answer::AddModels(paths) => self.import(paths),
                Answer::AddPhotos(paths) => self.add_photos(paths),
                Answer::ResultsTo(folder) => {
                    self.settings.queue.folder = Some(folder);
                    self.keep_settings();
                }
                Answer::Photos(paths) => self.learn_from(paths),
            }
        }
        let events: Vec<Event> = self.workers.events().collect();
        for event in events {
            if !self.batch.receives(&event, ctx) {
                self.receive_event(event, ctx);
            }
        }
        self.receive_batch(ctx);
    }

    fn receive_event(&mut self, event: Event, ctx: &Context) {
        let Some(event) = self.receive_training(event, ctx) else { return };
        let Some(event) = self.receive_preview(event, ctx) else { return };
        let Some(event) = self.receive_finding(event, ctx) else { return };
        let is = |handle: Option<&JobHandle>| handle.is_some_and(|handle| handle.id == event.id);
        let opening = is(self.opening.as_ref());
        let running = is(self.running.as_ref().map(|running| &running.handle));
        match event.kind {
            EventKind::Note(note) => self.toasts.news(ctx, note),
            EventKind::Started(start) if running => {
                self.viewer.begin_result(start.size, start.color.has_alpha());
                if let Some(document) = &mut self.document {
                    document.result =
                        self.running.as_mut().map(|Running { step, recipe, .. }| ResultSoFar {
                            made_by: Made::by(&step.action),
                            step: step.clone(),
                            position: document.repair.editor.position(),
                            mosaic: Mosaic {
                                size: start.size,
                                color: start.color,
                                patches: Vec::new(),
                            },
                            summary: None,
                            recipe: recipe.take(),
                            target: None,
                        });
                }
                if let Some(running) = &mut self.running {
                    running.device = Some(start.device);
                }
            }
            EventKind::Progress(progress) if running => {
                if let Some(running) = &mut self.running {
                    running.progress = Some(progress);
                }
            }
            EventKind::Progress(progress) if opening => {
                if let Some(adopting) = &mut self.adopting {
                    adopting.progress = Some(progress);
                }
            }
            EventKind::Patch(patch) if running => {
                self.viewer.add(patch.clone());
                let result = self.document.as_mut().and_then(|document| document.result.as_mut());
                if let Some(result) = result {
                    result.mosaic.patches.push(patch);
                }
            }
            EventKind::Finished(Outcome::Opened { picture, pyramid, kept, protected, steps })
                if opening =>
            {
                self.opening = None;
                self.cancel_running();
                self.keep_marks_now();
                self.receive_picture(picture, *pyramid);
                if kept.is_some() || protected.is_some() {
                    let (mask, text) = kept.unzip();
                    self.receive_marks([mask, protected], &text.unwrap_or_default(), ctx);
                }
                if steps.is_empty() {
                    self.queue.extend(self.first.take());
                } else {
                    self.receive_steps(steps, ctx);
                }
            }
            EventKind::Finished(Outcome::MaskKept) => {
                if is(self.keeping.as_ref().map(|(handle, _)| handle)) {
                    self.keeping = None;
                }
            }
            EventKind::Finished(Outcome::Upscaled { receipt, target }) if running => {
                self.finish(Summary::of(receipt), target);
            }
            EventKind::Finished(Outcome::Mended { receipt, target }) if running => {
                self.finish(Summary::of_mending(receipt), target);
            }
            EventKind::Finished(Outcome::Saved { path, next }) => {
                self.saving = None;
                self.toasts.news(ctx, format!("saved {}", path.display()));
                let result = self.document.as_mut().and_then(|document| document.result.as_mut());
                if let Some(result) = result
                    && result.target.as_ref() == Some(&path)
                {
                    result.target = Some(next);
                }
            }
            EventKind::Finished(Outcome::Shared(path)) => {
                self.sharing = None;
                self.toasts.news(ctx, format!("saved {}", path.display()));
            }
            EventKind::Finished(Outcome::Estimated(estimate)) => {
                self.forecast.receive(event.id, Some(estimate));
            }
            EventKind::Failed(_) if self.forecast.receive(event.id, None) => {}
            EventKind::Finished(Outcome::Devices(names)) => self.adapters = names,
            EventKind::Finished(Outcome::Models { all, added }) => {
                self.importing = None;
                self.forget_previews();
                self.receive_models(all, &added, ctx);
                self.used_weights(&added);
            }
            EventKind::Failed(error) => {
                if opening {
                    (self.opening, self.adopting) = (None, None);
                }
                if running {
                    self.running = None;
                    self.forget_empty_result();
                }
                if is(self.saving.as_ref()) {
                    self.saving = None;
                }
                if is(self.sharing.as_ref()) {
                    self.sharing = None;
                }
                if is(self.importing.as_ref()) {
                    self.importing = None;
                }
                if is(self.keeping.as_ref().map(|(handle, _)| handle)) {
                    let photo = self.keeping.take().map(|(_, photo)| photo);
                    // Once is enough: it would fail after every stroke.
                    if let Some(document) = &mut self.document
                        && document.picture.source == photo
                    {
                        document.kept = None;
                    }
                }
                self.toasts.failure(&error);
            }
            EventKind::Cancelled if opening => (self.opening, self.adopting) = (None, None),
            EventKind::Cancelled if running => {
                self.running = None;
                self.forget_empty_result();
            }
            // Of a photo that is no longer on screen.
            EventKind::Started(_)
            | EventKind::Training(_)
            | EventKind::Progress(_)
            | EventKind::Patch(_)
            | EventKind::Cancelled
            | EventKind::Finished(_) => {}
        }
    }

    /// Shows a photo, or what was made of the one on screen.
    fn receive_picture(&mut self, picture: Arc<Picture>, pyramid: Pyramid) {
        self.forget_previews();
        self.stop_finding();
        let adopting = self.adopting.take();
        let before = self.document.take().filter(|_| adopting.is_some());
        let is_made = before.is_some();
        let stays =
            before.as_ref().is_some_and(|document| document.picture.size() == picture.size());
        if stays {
            self.viewer.replace(picture.clone(), pyramid);
        } else {
            self.viewer.show(picture.clone(), pyramid);
        }
        let mut document = Document {
            project: Project::new(picture.clone()),
            result: None,
            withdrawn: None,
            repair: Repair::new(picture.size()),
            // A photo from the clipboard has no file of its own.
            kept: picture.source.as_ref().map(|_| 0),
            picture,
        };
        let then = adopting.as_ref().and_then(|adopting| adopting.then);
        if let (Some(before), Some(adopting)) = (before, adopting) {
            if stays && adopting.keeps_marks() {
                document.repair = before.repair;
                document.kept = before.kept;
            } else if stays {
                // Tools stay; what was marked is done.
                document.repair = Repair::unmarked(document.picture.size(), &before.repair);
                document.kept = before.kept.map(|_| NEVER);
            } else {
                // Marks on another size are not those of the photo's file.
                document.kept = None;
            }
            document.project = before.project.with(adopting, before.picture);
        }
        self.document = Some(document);
        if is_made {
            self.keep_steps();
            if stays && self.task == Task::Repair {
                self.show_marks();
            }
        }
        self.queue.extend(then);
    }

    /// The running job has made all of its result.
    fn finish(&mut self, summary: Summary, target: PathBuf) {
        self.running = None;
        let result = self.document.as_mut().and_then(|document| document.result.as_mut());
        if let Some(result) = result {
            result.summary = Some(summary);
            result.target = Some(target);
        }
    }

    /// Shows nothing of a job that ended before it had something.
    fn forget_empty_result(&mut self) {
        if let Some(document) = &mut self.document
            && document.result.as_ref().is_none_or(|result| result.mosaic.patches.is_empty())
        {
            document.result = None;
            self.viewer.forget_result();
        }
    }

    fn cancel_running(&mut self) {
        if let Some(running) = self.running.take() {
            running.handle.cancel();
        }
    }

    /// Files and pictures that come from outside.
    fn receive_input(&mut self, ctx: &Context) {
        let (dropped, pasted) = ctx.input(|input| {
            let dropped = input.raw.dropped_files.iter().map(|file| file.path().to_owned());
            let dropped: Vec<PathBuf> = dropped.collect();
            let pasted = input.events.iter().find_map(|event| match event {
                egui::Event::PasteImage(image) => Some(image.clone()),
                _ => None,
            });
            // A file manager copies a file as its path.
            let path = input.events.iter().find_map(|event| match event {
                egui::Event::Paste(text) => Some(PathBuf::from(text.trim())),
                _ => None,
            });
            let path = path.filter(|path| path.is_absolute());
            (if dropped.is_empty() { Vec::from_iter(path) } else { dropped }, pasted)
        });
        let trains = self.trains() && !self.batch.shown;
        let is_models = |path: &PathBuf| library::is_model_file(path) || (path.is_dir() && !trains);
        if !trains && self.are_for_queue(&dropped) {
            self.add_photos(dropped);
        } else if dropped.first().is_some_and(is_models) {
            self.import(dropped);
        } else if trains && !dropped.is_empty() {
            self.learn_from(dropped);
        } else if let Some(path) = dropped.into_iter().next() {
            self.open(path);
        } else if let Some(image) = pasted {
            let [width, height] = image.size;
            let bytes = image.pixels.iter().flat_map(egui::Color32::to_srgba_unmultiplied);
            let pixels = image::RgbaImage::from_raw(width as u32, height as u32, bytes.collect());
            if let Some(pixels) = pixels {
                self.begin_opening(Job::OpenPixels(pixels.into()));
            }
        }
    }
}

fn sample_texture(ctx: &Context) -> Result<egui::TextureHandle> {
    let pixels = Picture::from_bytes(SAMPLE, "sample.png")?.pixels.into_rgb8();
    let size = [pixels.width() as usize, pixels.height() as usize];
    let image = egui::ColorImage::from_rgb(size, &pixels);
    Ok(ctx.load_texture("sample", image, egui::TextureOptions::LINEAR))
}

impl eframe::App for App {
    /// Runs before each frame, and also while the window is hidden.
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        self.receive(ctx);
        self.guard_run(ctx);
    }

    /// Marks of the last moment are kept too: what is queued is done before the program ends.
    fn on_exit(&mut self) {
        self.keep_marks_now();
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        let ctx = ui.ctx().clone();
        self.receive_input(&ctx);
        let pressed = command::pressed(&ctx, self);
        self.queue.extend(pressed);
        panels::show(self, ui);
        self.receive_touches(&ctx);
        self.lay_found(&ctx);
        self.keep_marks();
        self.toasts.ui(&ctx);
        for command in std::mem::take(&mut self.queue) {
            if command.is_enabled(self) {
                self.perform(command, &ctx);
            }
        }
        let result = self.document.as_ref().and_then(|document| document.result.as_ref());
        let tile = result.is_some_and(|result| !result.mosaic.patches.is_empty());
        self.milestones.frame(self.document.is_some(), tile, &ctx);
    }
}
