//! Many photos in the window: what the queue's thread tells, and what it is asked for.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use egui::{Context, TextureHandle};
use image::{GrayImage, RgbaImage};
use tempfile::TempDir;

use super::{Answer, App, Command, Task, notify, theme};
use crate::{
    error::{Error, Result},
    jobs::{
        Event, EventKind, Job, JobHandle, Outcome, Workers,
        queue::{
            Counts, Item, OnConflict, State,
            operation::{AUTO, Marks, Operation},
            worker::{News, Order, Plan, Running, Worker},
        },
    },
    mask::{self, Anchor, Layer, sidecar},
    model::library,
    picture::Format,
    restore::{
        UpscaleOptions,
        mend::{Fill, MendOptions, TEXTURE},
        repaint::RepaintOptions,
    },
};

/// Side of a thumbnail in pixels.
const THUMBNAIL: u32 = 256;

/// Thumbnails that are kept; beyond that, those out of view go.
const MOST_THUMBNAILS: usize = 200;

/// What is done with photos that come into the queue.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Upscale,
    Clean,
    Colour,
    /// What the mask of one photo marks is filled on all of them.
    Fill(Filling),
}

/// Marks of one photo for many.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filling {
    pub mask: PathBuf,
    /// What is protected, if something is.
    protect: Option<PathBuf>,
    /// What is shown of them.
    pub name: String,
    pub anchor: Anchor,
    fill: Fill,
    options: MendOptions,
}

/// The queue as the window knows it.
pub(super) struct Batch {
    /// `None` where the system gave no thread.
    worker: Option<Worker>,
    /// Where the queue lives.
    folder: PathBuf,
    /// That folder, if the queue is for this run only.
    _temporary: Option<TempDir>,
    pub items: Vec<Item>,
    pub counts: Counts,
    pub works: bool,
    pub running: Option<Running>,
    /// The list is on screen.
    pub shown: bool,
    /// Work has begun at some time since the window was opened.
    pub begun: bool,
    /// What waits is from an earlier run of the program.
    pub left_over: bool,
    /// The first list has come.
    greeted: bool,
    pub what: What,
    /// Photos with what is marked on them; `None` for files that have none.
    thumbnails: HashMap<(PathBuf, Marks), Option<TextureHandle>>,
    /// The thumbnail that is being made.
    asked: Option<(JobHandle, (PathBuf, Marks))>,
}

impl Batch {
    /// The queue that lives in a folder; without one, it is for this run only.
    pub fn new(folder: Option<PathBuf>, workers: &Workers, ctx: &Context) -> std::io::Result<Self> {
        let temporary = if folder.is_none() { Some(tempfile::tempdir()?) } else { None };
        let made = temporary.as_ref().map(|folder| folder.path().to_owned());
        let folder = folder.or(made).unwrap_or_default();
        let wake = ctx.clone();
        let worker = Worker::start(folder.clone(), workers.busy(), move || wake.request_repaint())?;
        Ok(Self {
            worker: Some(worker),
            folder,
            _temporary: temporary,
            items: Vec::new(),
            counts: Counts::default(),
            works: false,
            running: None,
            shown: false,
            begun: false,
            left_over: false,
            greeted: false,
            what: What::Upscale,
            thumbnails: HashMap::new(),
            asked: None,
        })
    }

    /// Asks the queue for something.
    pub fn order(&self, order: Order) {
        if let Some(worker) = &self.worker {
            worker.order(order);
        }
    }

    /// Moves a job to another place; here at once, and in the queue before its next tile.
    pub fn shift(&mut self, id: u64, to: usize) {
        if let Some(from) = self.items.iter().position(|item| item.id == id) {
            let item = self.items.remove(from);
            self.items.insert(to.min(self.items.len()), item);
        }
        self.order(Order::Shift(id, to));
    }

    /// How many jobs have begun to wait and are not in work.
    pub fn waiting(&self) -> usize {
        self.items.iter().filter(|item| item.state == State::Waiting).count()
    }

    /// The jobs in a state.
    pub fn ids(&self, fits: impl Fn(&State) -> bool) -> Vec<u64> {
        self.items.iter().filter(|item| fits(&item.state)).map(|item| item.id).collect()
    }

    /// A photo's thumbnail with what is marked on it, if it is there; if not, it is asked for.
    pub fn thumbnail(&mut self, workers: &mut Workers, item: &Item) -> Option<TextureHandle> {
        let path = item.job.source.clone();
        let marks = item.job.operation.marks().cloned().unwrap_or_default();
        let key = (path.clone(), marks.clone());
        if let Some(thumbnail) = self.thumbnails.get(&key) {
            return thumbnail.clone();
        }
        // One at a time: a photo that the user opens should not wait for a hundred of them.
        if self.asked.is_none() {
            let handle = workers.submit(Job::Thumbnail { path, side: THUMBNAIL, marks });
            self.asked = Some((handle, key));
        }
        None
    }

    fn keep_thumbnail(&mut self, picture: Option<(&RgbaImage, Option<&GrayImage>)>, ctx: &Context) {
        let Some((_, key)) = self.asked.take() else { return };
        if self.thumbnails.len() >= MOST_THUMBNAILS {
            self.thumbnails.clear();
        }
        let texture = picture.map(|(pixels, marks)| {
            let pixels = theme::marked(pixels.clone(), marks);
            let size = [pixels.width() as usize, pixels.height() as usize];
            let image = egui::ColorImage::from_rgba_premultiplied(size, &pixels);
            ctx.load_texture("thumbnail", image, egui::TextureOptions::LINEAR)
        });
        self.thumbnails.insert(key, texture);
    }

    /// Takes what belongs to the queue of the events of the other workers.
    pub fn receives(&mut self, event: &Event, ctx: &Context) -> bool {
        if self.asked.as_ref().is_none_or(|(handle, _)| handle.id != event.id) {
            return false;
        }
        match &event.kind {
            EventKind::Finished(Outcome::Thumbnail { pixels, marks }) => {
                self.keep_thumbnail(Some((pixels, marks.as_ref())), ctx);
            }
            // Why a photo cannot be read stands in its row when its turn has come.
            EventKind::Failed(_) => self.keep_thumbnail(None, ctx),
            _ => {}
        }
        true
    }
}

impl App {
    /// What the queue's thread has told since the last frame.
    pub(super) fn receive_batch(&mut self, ctx: &Context) {
        let Some(worker) = &self.batch.worker else { return };
        let all: Vec<News> = worker.news().collect();
        for news in all {
            match news {
                News::List { items, counts, works } => {
                    let batch = &mut self.batch;
                    (batch.items, batch.counts, batch.works) = (items, counts, works);
                    if !std::mem::replace(&mut batch.greeted, true) && batch.counts.waiting > 0 {
                        batch.left_over = true;
                        batch.shown = self.opening.is_none();
                    }
                    batch.left_over &= !works;
                    batch.begun |= works;
                    let running = |item: &Item| item.state == State::Running;
                    if !batch.items.iter().any(running) {
                        batch.running = None;
                    }
                }
                News::Running(running) => self.batch.running = Some(running),
                News::Finished(counts) => {
                    let photos = if counts.done == 1 { "photo" } else { "photos" };
                    let words = counts.in_words().replacen("done", &format!("{photos} done"), 1);
                    self.toasts.news(ctx, format!("the queue is finished: {words}"));
                    notify::tell(ctx, "The queue is finished", &words);
                }
                News::Note(note) => self.toasts.news(ctx, note),
                News::Failed(error) => self.toasts.failure(&error),
            }
        }
    }

    /// How photos that come into the queue now are done.
    pub(super) fn queue_plan(&self) -> Result<Plan> {
        let device = self.settings.device.clone();
        let operation = match &self.batch.what {
            What::Upscale => Operation::Upscale {
                model: self.settings.model.clone(),
                ensemble: false,
                device,
                options: UpscaleOptions {
                    size: self.settings.size,
                    colour_lock: self.settings.colour_lock,
                    strength: self.enlarged_strength,
                    tile: None,
                },
            },
            What::Clean => Operation::Clean {
                model: self.settings.cleaning_model.clone(),
                device,
                marks: Marks::default(),
                options: RepaintOptions { strength: self.strength, tile: None },
            },
            What::Colour => Operation::Colour {
                model: self.settings.colouring_model.clone(),
                device,
                marks: Marks::default(),
                strength: self.strength,
            },
            What::Fill(Filling { mask, protect, anchor, fill, options, .. }) => Operation::Mend {
                model: if *fill == Fill::Texture { TEXTURE } else { AUTO }.to_owned(),
                device,
                marks: Marks {
                    mask: Some(mask.clone()),
                    anchor: Some(*anchor),
                    protect: protect.clone(),
                },
                options: *options,
                seed: 0,
            },
        };
        let settings = &self.settings.queue;
        let name = settings.name.trim();
        Ok(Plan {
            operation,
            writing: self.settings.writing(),
            receipt: self.settings.receipt,
            folder: settings.folder.clone(),
            template: if name.is_empty() { None } else { Some(name.parse()?) },
            on_conflict: if settings.skips { OnConflict::Skip } else { OnConflict::Number },
        })
    }

    /// Photos and folders of them come into the queue.
    pub(super) fn add_photos(&mut self, places: Vec<PathBuf>) {
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let places = places.into_iter().map(absolute).collect();
        match self.queue_plan() {
            Ok(plan) => self.batch.order(Order::Add(places, plan)),
            Err(error) => self.toasts.failure(&error),
        }
        self.batch.shown = true;
    }

    /// Files that were dropped: several, and folders, are for the queue; while it is on screen, all.
    pub(super) fn are_for_queue(&self, dropped: &[PathBuf]) -> bool {
        let models = |path: &PathBuf| {
            library::is_model_file(path) || (path.is_dir() && library::has_models(path))
        };
        let many = dropped.len() > 1 || dropped.iter().any(|path| path.is_dir());
        !dropped.is_empty() && !dropped.iter().any(models) && (many || self.batch.shown)
    }

    /// The same with other photos: what the panel beside the photo is set to.
    pub(super) fn do_the_same_with_many(&mut self, ctx: &Context) {
        let marks = self.document.as_ref().filter(|_| self.task == Task::Repair);
        let what = match marks {
            None => What::Upscale,
            Some(document) if mask::count(document.repair.editor.mask()) == 0 => What::Clean,
            Some(document) => {
                let (repair, name) = (&document.repair, document.picture.name.clone());
                let (fill, options) = (repair.fill, repair.options);
                let layers = Layer::ALL.map(|layer| repair.editor.snapshot(layer));
                let (mask, protect) = self.keep_marks_for_many(layers);
                What::Fill(Filling {
                    mask,
                    protect,
                    name,
                    anchor: Anchor::BottomRight,
                    fill,
                    options,
                })
            }
        };
        self.batch.what = what;
        self.batch.shown = true;
        self.ask_for_photos(ctx);
    }

    /// Writes a mask to where it stays while photos of the queue need it.
    fn keep_marks_for_many(
        &mut self,
        [mask, protected]: [Arc<GrayImage>; 2],
    ) -> (PathBuf, Option<PathBuf>) {
        let number = jiff::Timestamp::now().as_millisecond();
        let photo = self.batch.folder.join(format!("marks-{number}"));
        let kept = sidecar::path_for(&photo);
        let protection = (mask::count(&protected) > 0).then(|| sidecar::protection_for(&photo));
        self.workers.submit(Job::KeepMask { photo, mask, protected, text: String::new() });
        (kept, protection)
    }

    pub(super) fn ask_for_photos(&self, ctx: &Context) {
        let dialog = rfd::AsyncFileDialog::new()
            .set_title("Add photos to the queue")
            .add_filter("Photos", &Format::ENDINGS)
            .pick_files();
        self.ask(ctx, async {
            let files = dialog.await?.iter().map(|file| file.path().to_owned()).collect();
            Some(Answer::AddPhotos(files))
        });
    }

    pub(super) fn ask_for_a_folder(&self, ctx: &Context) {
        let dialog = rfd::AsyncFileDialog::new().set_title("Add a folder of photos").pick_folder();
        self.ask(ctx, async { Some(Answer::AddPhotos(vec![dialog.await?.path().to_owned()])) });
    }

    pub(super) fn ask_for_the_results(&self, ctx: &Context) {
        let dialog = rfd::AsyncFileDialog::new().set_title("Folder for the results").pick_folder();
        self.ask(ctx, async { Some(Answer::ResultsTo(dialog.await?.path().to_owned())) });
    }

    /// What the queue's commands do.
    pub(super) fn perform_batch(&mut self, command: Command, ctx: &Context) {
        match command {
            Command::Queue => self.batch.shown = !self.batch.shown,
            Command::AddPhotos => self.ask_for_photos(ctx),
            Command::AddFolder => self.ask_for_a_folder(ctx),
            Command::ResultsFolder => self.ask_for_the_results(ctx),
            Command::ManyPhotos => self.do_the_same_with_many(ctx),
            Command::StartQueue => {
                self.batch.order(if self.batch.works { Order::Pause } else { Order::Start });
            }
            _ => {}
        }
    }

    /// Shows a file in the system's file manager.
    pub(super) fn show_in_folder(&mut self, file: &Path) {
        if let Err(error) = reveal(file) {
            self.toasts.failure(&Error::read(file, error));
        }
    }
}

/// Asks the system's file manager to show a file.
fn reveal(file: &Path) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(file);
    let mut command = if cfg!(target_os = "macos") {
        let mut command = std::process::Command::new("open");
        command.arg("-R").arg(file);
        command
    } else if cfg!(windows) {
        let mut command = std::process::Command::new("explorer");
        command.arg("/select,").arg(file);
        command
    } else {
        let mut command = std::process::Command::new("xdg-open");
        command.arg(folder);
        command
    };
    let mut child = command.spawn()?;
    // It must be waited for, and that can take as long as the file manager is open.
    let waits = std::thread::Builder::new().name("file manager".to_owned());
    waits.spawn(move || child.wait())?;
    Ok(())
}
