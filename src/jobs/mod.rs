//! Work in the background: jobs in, events out.
//!
//! Three threads: one for pictures and tensors, since Burn orders its work by
//! thread, one for files, so that a photo can be opened or saved while another
//! is being enlarged, and one for [`training`]. A job owns all it needs; there is no
//! shared state beside a flag to cancel and the place the user is looking at.
//!
//! Nothing here knows a widget: the window passes in how to wake it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use crossbeam_channel::{Receiver, Sender, unbounded};
use image::{DynamicImage, GrayImage, RgbaImage};

use crate::{
    device::{Adapter, Chosen, adapters},
    encoding::Encoding,
    error::{Error, Result},
    mask::{
        Scope,
        find::{Find, Found, find},
        sidecar,
    },
    model::{
        Model,
        library::{self, About},
    },
    picture::{
        Format, Metadata, Picture, PictureWriter,
        colour::Screen,
        formats::Header,
        pyramid::{self, Pyramid},
    },
    rect::Rect,
    restore::{
        Monitor, Mosaic, Patch, Progress, Receipt, Start, UpscaleOptions,
        estimate::Estimate,
        mend::MendReceipt,
        plain::weakened,
        report::{Enlarged, Report},
        sheet::{self, Pair},
        steps::{self, Action, Done, Step, replay},
        strips,
        tiled::panic_text,
        upscale,
    },
    settings::{Existing, free_name},
};

pub mod preview;
pub mod queue;
pub mod training;

use preview::Tiles;
use queue::operation::Marks;

/// Names one submitted job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobId(u64);

/// Work, with everything it needs.
#[derive(Debug)]
pub enum Job {
    /// Read a picture from a file.
    Open(PathBuf),
    /// Read a picture that is part of the program.
    OpenBytes {
        /// What to call it.
        name: String,
        /// An encoded picture.
        bytes: &'static [u8],
    },
    /// Take a picture that comes as pixels, from the clipboard.
    OpenPixels(DynamicImage),
    /// Read a picture and make it small.
    Thumbnail {
        /// The picture's file.
        path: PathBuf,
        /// No side has more pixels than this.
        side: u32,
        /// What is marked on it.
        marks: Marks,
    },
    /// Ask the drivers for the names of what networks can run on.
    ListDevices,
    /// Ask which models there are.
    ListModels,
    /// Add models of others to the library: files and folders.
    Import(Vec<PathBuf>),
    /// Remove a model of the library.
    Remove(String),
    /// Enlarge a picture.
    Upscale {
        /// The photo.
        picture: Arc<Picture>,
        /// Name of a model, or path of a model file.
        model: String,
        /// As [`Chosen::by_name`] takes it.
        device: String,
        /// What the user set.
        options: UpscaleOptions,
        /// Where the user is looking.
        focus: Focus,
        /// What previews have made of it.
        tiles: Tiles,
    },
    /// Look at what enlarging makes of a part of a picture.
    Preview(Box<preview::Look>),
    /// Make a picture of before and after.
    Share {
        /// The photo.
        picture: Arc<Picture>,
        /// The result.
        result: Mosaic,
        /// As in [`Job::Adopt`].
        strength: f32,
        /// What is shown, in pixels of the result.
        crop: Rect,
        /// Where to, unless the name is taken.
        path: PathBuf,
    },
    /// Find out what enlarging a picture will take.
    Estimate {
        /// The photo.
        picture: Arc<Picture>,
        /// As in [`Job::Upscale`].
        model: String,
        /// As [`Chosen::by_name`] takes it.
        device: String,
        /// What the user set.
        options: UpscaleOptions,
    },
    /// Do something else to a picture.
    Apply {
        /// The photo.
        picture: Arc<Picture>,
        /// What, and where.
        step: Step,
        /// As [`Chosen::by_name`] takes it.
        device: String,
        /// Where the user is looking.
        focus: Focus,
    },
    /// Do all steps again, from the photo on; the outcome is a picture to look at.
    Replay {
        /// Before the first of them.
        photo: Arc<Picture>,
        /// In their order.
        steps: Vec<Step>,
        /// As [`Chosen::by_name`] takes it.
        device: String,
    },
    /// Find marks that follow from what a picture shows.
    Find {
        /// The photo.
        picture: Arc<Picture>,
        /// What is to be found.
        what: Find,
    },
    /// Make a result the photo that is worked on.
    Adopt {
        /// The photo it was made from.
        picture: Arc<Picture>,
        /// The result.
        result: Mosaic,
        /// How much of it is taken, 0 to 1; the rest is the photo, enlarged by interpolation.
        strength: f32,
    },
    /// Keep the mask of a photo beside it.
    KeepMask {
        /// The photo's file.
        photo: PathBuf,
        /// Of its size.
        mask: Arc<GrayImage>,
        /// What is protected on it; of its size.
        protected: Arc<GrayImage>,
        /// What else is to be kept, in ASCII.
        text: String,
    },
    /// Keep the steps of a photo beside it.
    KeepSteps {
        /// As it is before them.
        photo: Arc<Picture>,
        /// In their order.
        steps: Vec<Step>,
    },
    /// Train, or prepare it.
    Training(Box<training::Task>),
    /// Write a finished result.
    Save {
        /// The photo it was made from.
        picture: Arc<Picture>,
        /// The result.
        result: Mosaic,
        /// As in [`Job::Adopt`].
        strength: f32,
        /// Goes into the file.
        metadata: Metadata,
        /// How strongly it is compressed.
        encoding: Encoding,
        /// Goes beside the file, if the user wants that.
        receipt: Option<Box<Enlarged>>,
        /// Where to.
        path: PathBuf,
    },
}

impl Job {
    const fn needs_tensors(&self) -> bool {
        matches!(
            self,
            Self::Upscale { .. }
                | Self::Preview(_)
                | Self::Estimate { .. }
                | Self::Apply { .. }
                | Self::Replay { .. }
                | Self::Find { .. }
                | Self::Import(_)
        )
    }
}

/// What happened to a job.
#[derive(Debug)]
pub struct Event {
    /// Which job.
    pub id: JobId,
    /// What.
    pub kind: EventKind,
}

/// See [`Event`].
#[derive(Debug)]
pub enum EventKind {
    /// The size of the result and the device are known.
    Started(Start),
    /// It goes on.
    Progress(Progress),
    /// A piece of the result.
    Patch(Arc<Patch>),
    /// Something to know; the job goes on.
    Note(String),
    /// How training goes.
    Training(training::News),
    /// Done.
    Finished(Outcome),
    /// Not done.
    Failed(Error),
    /// Ended by the user.
    Cancelled,
}

/// What a job made.
#[derive(Debug)]
pub enum Outcome {
    /// A picture to look at.
    Opened {
        /// The picture.
        picture: Arc<Picture>,
        /// Smaller versions of it.
        pyramid: Box<Pyramid>,
        /// The mask that was kept beside it, and what else was kept.
        kept: Option<(GrayImage, String)>,
        /// What was protected on it, kept as well.
        protected: Option<GrayImage>,
        /// The steps that were kept beside it.
        steps: Vec<Step>,
    },
    /// A small version of a picture, to be shown.
    Thumbnail {
        /// Colours multiplied by their alpha.
        pixels: RgbaImage,
        /// What is marked on it, of about the same size.
        marks: Option<GrayImage>,
    },
    /// Marks, or that there are none.
    Found(Found),
    /// The mask is kept.
    MaskKept,
    /// The steps are kept.
    StepsKept,
    /// All that training had to tell was told.
    Trained,
    /// What enlarging would take.
    Estimated(Estimate),
    /// All patches were sent.
    Upscaled {
        /// What was done.
        receipt: Receipt,
        /// Where the result goes unless the user says otherwise.
        target: PathBuf,
    },
    /// All patches were sent.
    Mended {
        /// What was done.
        receipt: MendReceipt,
        /// Where the result goes unless the user says otherwise.
        target: PathBuf,
    },
    /// The result is a file.
    Saved {
        /// The name that it got.
        path: PathBuf,
        /// The name that the same save would get now.
        next: PathBuf,
    },
    /// A part is shown, and how long that took.
    Previewed(preview::Taken),
    /// The picture of before and after is a file.
    Shared(PathBuf),
    /// Names of adapters.
    Devices(Vec<String>),
    /// The models that there are.
    Models {
        /// All of them.
        all: Vec<About>,
        /// Names of those that were just added.
        added: Vec<String>,
    },
}

/// The part of the source that the user sees, as the window last said.
///
/// Four 16-bit fractions of the picture in one word, so that reading and
/// writing never wait.
#[derive(Clone, Debug, Default)]
pub struct Focus(Arc<AtomicU64>);

impl Focus {
    /// Left, top, right and bottom as fractions of the picture, 0..=1.
    pub fn look_at(&self, edges: [f32; 4]) {
        let packed = edges.iter().fold(0_u64, |packed, edge| {
            packed << 16 | u64::from((edge.clamp(0.0, 1.0) * 65_535.0) as u16)
        });
        self.0.store(packed, Ordering::Relaxed);
    }

    fn edges(&self) -> [f32; 4] {
        let packed = self.0.load(Ordering::Relaxed);
        [48, 32, 16, 0].map(|shift| f32::from((packed >> shift) as u16) / 65_535.0)
    }

    /// The area to do next: one in view, the nearest to its middle first, and
    /// otherwise the first of all.
    fn nearest(&self, waiting: &[Rect], size: (u32, u32)) -> usize {
        let [left, top, right, bottom] = self.edges();
        let (width, height) = (size.0 as f32, size.1 as f32);
        let view = (left * width, top * height, right * width, bottom * height);
        let middle = ((view.0 + view.2) / 2.0, (view.1 + view.3) / 2.0);
        let distance = |area: &Rect| {
            let x = area.x as f32 + area.width as f32 / 2.0 - middle.0;
            let y = area.y as f32 + area.height as f32 / 2.0 - middle.1;
            x.hypot(y)
        };
        let in_view = |area: &&(usize, &Rect)| {
            let area = area.1;
            (area.x as f32) < view.2
                && (area.right() as f32) > view.0
                && (area.y as f32) < view.3
                && (area.bottom() as f32) > view.1
        };
        let indexed: Vec<(usize, &Rect)> = waiting.iter().enumerate().collect();
        indexed
            .iter()
            .filter(in_view)
            .min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)))
            .map_or(0, |found| found.0)
    }
}

/// Held by whoever submitted a job. Dropping it does not cancel the job.
#[derive(Clone, Debug)]
pub struct JobHandle {
    /// Appears in the events.
    pub id: JobId,
    cancel: Arc<AtomicBool>,
}

impl JobHandle {
    /// Ends the job before its next tile.
    pub fn cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::cancel`] was called.
    #[must_use]
    pub fn is_cancelling(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

/// Whether the user's own jobs want the device, to which the queue gives way.
#[derive(Clone, Debug, Default)]
pub struct Busy(Arc<AtomicUsize>);

impl Busy {
    /// One job more, until what is returned is dropped.
    fn begin(&self) -> Turn {
        self.0.fetch_add(1, Ordering::Relaxed);
        Turn(self.clone())
    }

    /// Whether there is any such job.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// See [`Busy::begin`].
#[derive(Debug)]
struct Turn(Busy);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The two workers. Dropping it cancels what can be cancelled and waits for
/// the rest: a file that is being written is finished.
#[derive(Debug)]
pub struct Workers {
    tensors: Worker,
    files: Worker,
    training: Worker,
    /// Jobs that wait for the thread of tensors or run there.
    events: Receiver<Event>,
    next_id: u64,
    running: Vec<Arc<AtomicBool>>,
    busy: Busy,
}

#[derive(Debug)]
struct Worker {
    inbox: Option<Sender<(JobHandle, Job, Option<Turn>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    /// Starts the threads; `wake` is called after every event.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn start(wake: impl Fn() + Send + Sync + 'static) -> std::io::Result<Self> {
        let (outbox, events) = unbounded();
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(wake);
        let busy = Busy::default();
        let worker = |name: &str| {
            let (inbox, jobs) = unbounded::<(JobHandle, Job, Option<Turn>)>();
            let (outbox, wake, busy) = (outbox.clone(), wake.clone(), busy.clone());
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                for (handle, job, turn) in jobs {
                    let (outbox, wake, busy) = (&outbox, &*wake, &busy);
                    let (view, tiles) = (None, None);
                    Reporter { outbox, wake, handle: &handle, view, tiles, busy }.work(job);
                    drop(turn);
                }
            })?;
            std::io::Result::Ok(Worker { inbox: Some(inbox), thread: Some(thread) })
        };
        Ok(Self {
            tensors: worker("tensors")?,
            files: worker("files")?,
            training: worker("training")?,
            busy,
            events,
            next_id: 0,
            running: Vec::new(),
        })
    }

    /// Queues a job.
    pub fn submit(&mut self, job: Job) -> JobHandle {
        let handle = JobHandle { id: JobId(self.next_id), cancel: Arc::default() };
        self.next_id += 1;
        // A flag that only this list still holds belongs to a job that ended.
        self.running.retain(|flag| Arc::strong_count(flag) > 1);
        self.running.push(handle.cancel.clone());
        let turn = job.needs_tensors().then(|| self.busy.begin());
        let worker = match &job {
            job if job.needs_tensors() => &self.tensors,
            Job::Training(task) if task.is_long() => &self.training,
            _ => &self.files,
        };
        if let Some(inbox) = &worker.inbox {
            // It fails only if the thread is gone, which ends with `self`.
            let _sent = inbox.send((handle.clone(), job, turn));
        }
        handle
    }

    /// Whether a job that was submitted here wants the device.
    #[must_use]
    pub fn busy(&self) -> Busy {
        self.busy.clone()
    }

    /// What happened since the last call. Never waits.
    pub fn events(&self) -> impl Iterator<Item = Event> + '_ {
        self.events.try_iter()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for flag in &self.running {
            flag.store(true, Ordering::Relaxed);
        }
        for worker in [&mut self.tensors, &mut self.files, &mut self.training] {
            worker.inbox = None;
            if let Some(thread) = worker.thread.take() {
                let _ended = thread.join();
            }
        }
    }
}

/// Does a job and tells about it.
struct Reporter<'a> {
    outbox: &'a Sender<Event>,
    wake: &'a (dyn Fn() + Send + Sync),
    handle: &'a JobHandle,
    view: Option<(Focus, (u32, u32))>,
    /// Of the same run, from a preview.
    tiles: Option<Tiles>,
    /// See [`Workers`].
    busy: &'a Busy,
}

impl Reporter<'_> {
    fn work(mut self, job: Job) {
        // Decoders and drivers may panic; the thread must survive it.
        let result = catch_unwind(AssertUnwindSafe(|| self.outcome(job)))
            .unwrap_or_else(|panic| Err(Error::Panic(panic_text(&*panic))));
        self.send(match result {
            Ok(outcome) => EventKind::Finished(outcome),
            Err(Error::Cancelled) => EventKind::Cancelled,
            Err(error) => EventKind::Failed(error),
        });
    }

    fn outcome(&mut self, job: Job) -> Result<Outcome> {
        match job {
            Job::Open(path) => {
                let picture = Picture::open(&path)?;
                let size = picture.size();
                let steps = steps::file::load(&path, size);
                let kept = sidecar::load(&path, size);
                let protected = sidecar::load_protection(&path, size);
                Ok(match opened(picture) {
                    Outcome::Opened { picture, pyramid, .. } => {
                        Outcome::Opened { picture, pyramid, kept, protected, steps }
                    }
                    other => other,
                })
            }
            Job::OpenBytes { name, bytes } => Ok(opened(Picture::from_bytes(bytes, &name)?)),
            Job::OpenPixels(pixels) => Ok(opened(Picture::from_pixels("pasted", pixels))),
            Job::Thumbnail { path, side, marks } => {
                let picture = Picture::open(&path)?;
                let screen = Screen::of(&picture.metadata);
                let small = picture.pixels.thumbnail(side, side);
                let pixels = pyramid::shown(&small, screen.as_ref());
                let marks = marks.small(picture.size(), side)?;
                Ok(Outcome::Thumbnail { pixels, marks })
            }
            Job::ListDevices => {
                let mut names: Vec<String> = adapters()
                    .into_iter()
                    .filter(Adapter::is_gpu)
                    .map(|adapter| adapter.name)
                    .collect();
                names.dedup();
                Ok(Outcome::Devices(names))
            }
            Job::ListModels => Ok(self.models(Vec::new())),
            Job::Import(paths) => self.import(&paths),
            Job::Remove(name) => {
                library::remove(&name)?;
                Ok(self.models(Vec::new()))
            }
            Job::Upscale { picture, model, device, options, focus, tiles } => {
                self.tiles = Some(tiles);
                let model = Model::find(&model)?;
                let device = self.chosen(&device)?;
                self.view = Some((focus, picture.size()));
                let receipt = upscale(&picture, &model, &device, &options, self)?;
                let target = free_name(&picture.default_output(&options.size.label(model.scale())));
                Ok(Outcome::Upscaled { receipt, target })
            }
            Job::Preview(look) => self.preview(&look),
            Job::Share { picture, result, strength, crop, path } => {
                let result = taken(result, &picture, strength);
                let pair = Pair { photo: &picture, result: &result, metadata: &picture.metadata };
                let sheet = pair.sheet(Some(crop), ["Before", "After"])?;
                sheet::save(sheet, &path, Existing::Number).map(Outcome::Shared)
            }
            Job::Estimate { picture, model, device, options } => {
                let (model, device) = (Model::find(&model)?, Chosen::by_name(&device)?);
                let format = picture.format.for_results();
                Estimate::of(&picture, &model, &device, &options, format, None)
                    .map(Outcome::Estimated)
            }
            Job::Apply { picture, step, device, focus } => {
                self.view = Some((focus, picture.size()));
                let Step { action, mask, protected, .. } = step;
                let device = self.device_for(&device, action.needs_device())?;
                let scope = Scope { mask: mask.as_deref(), protected: protected.as_deref() };
                let kept = mask.is_some() || protected.is_some();
                let (done, word) = (action.run(&picture, scope, &device, self)?, done(&action));
                let target = free_name(&if kept {
                    picture.default_output_kept(word)
                } else {
                    picture.default_output(word)
                });
                Ok(match done {
                    Done::Mended(receipt) => Outcome::Mended { receipt, target },
                    Done::Made(receipt) => Outcome::Upscaled { receipt, target },
                })
            }
            Job::Replay { photo, steps, device } => {
                let networks = steps.iter().any(|step| step.on && step.action.needs_device());
                let device = self.device_for(&device, networks)?;
                let result = replay(&photo, &steps, &device, self)?;
                Ok(opened(result))
            }
            Job::Adopt { picture, result, strength } => {
                let result = taken(result, &picture, strength);
                let adopted = Picture { pixels: result.pixels(), ..Picture::clone(&picture) };
                Ok(opened(adopted))
            }
            Job::Find { picture, what } => {
                let found = find(&picture.pixels, &what, &mut |share| {
                    let (done, total) = ((share * 1000.0) as u64, 1000);
                    self.progress(Progress { done, total, remaining: None })
                })?;
                Ok(Outcome::Found(found))
            }
            Job::KeepMask { photo, mask, protected, text } => {
                sidecar::save(&photo, &mask, &text)?;
                sidecar::save_protection(&photo, &protected)?;
                Ok(Outcome::MaskKept)
            }
            Job::KeepSteps { photo, steps } => {
                if let Some(path) = &photo.source {
                    steps::file::save(path, photo.size(), &steps)?;
                }
                Ok(Outcome::StepsKept)
            }
            Job::Training(task) => self.training(*task).map(|()| Outcome::Trained),
            Job::Save { picture, result, strength, metadata, encoding, receipt, path } => {
                let result = taken(result, &picture, strength);
                let fates = Format::of_path(&path)
                    .map_or_else(Vec::new, |format| format.fates(result.color, &metadata));
                let written = save(&result, metadata, encoding, &path)?;
                if let Some(receipt) = receipt {
                    let output = written.to_string_lossy().into_owned();
                    let report =
                        Report { output, receipt, metadata: fates, peak_memory_bytes: None };
                    report.save(Existing::Number)?;
                }
                Ok(Outcome::Saved { next: free_name(&path), path: written })
            }
        }
    }

    /// Which models there are now; what is wrong with a file is told.
    fn models(&mut self, added: Vec<String>) -> Outcome {
        let (all, broken) = library::list();
        broken.iter().for_each(|error| self.note(&error.sentence()));
        Outcome::Models { all, added }
    }

    /// Adds models; what fails is told, unless nothing else happened.
    fn import(&mut self, paths: &[PathBuf]) -> Result<Outcome> {
        let going_on = || if self.handle.is_cancelling() { Err(Error::Cancelled) } else { Ok(()) };
        let (added, mut failed) = library::add_all(paths, Existing::Number, going_on)?;
        let last = if added.is_empty() { failed.pop() } else { None };
        failed.iter().for_each(|error| self.note(&error.sentence()));
        if let Some(error) = last {
            return Err(error);
        }
        if added.is_empty() {
            return Err(Error::Setting("there is no model file in that folder".to_owned()));
        }
        Ok(self.models(added.iter().map(|model| model.name().to_owned()).collect()))
    }

    /// A device by its name, if one is needed: asking for one takes a while.
    fn device_for(&mut self, name: &str, needed: bool) -> Result<Chosen> {
        if needed { self.chosen(name) } else { Ok(Chosen::cpu()) }
    }

    /// A device by its name; what there is to know about it is told.
    fn chosen(&mut self, name: &str) -> Result<Chosen> {
        let device = Chosen::by_name(name)?;
        if let Some(note) = device.note() {
            self.note(note);
        }
        Ok(device)
    }

    fn send(&self, kind: EventKind) {
        let id = self.handle.id;
        // Nobody listens any more while the program ends.
        let _sent = self.outbox.send(Event { id, kind });
        (self.wake)();
    }
}

impl Monitor for Reporter<'_> {
    fn start(&mut self, start: &Start) -> Result<()> {
        self.send(EventKind::Started(start.clone()));
        Ok(())
    }

    fn progress(&mut self, progress: Progress) -> Result<()> {
        if self.handle.is_cancelling() && progress.done < progress.total {
            return Err(Error::Cancelled);
        }
        self.send(EventKind::Progress(progress));
        Ok(())
    }

    fn patch(&mut self, patch: Patch) -> Result<()> {
        self.send(EventKind::Patch(Arc::new(patch)));
        Ok(())
    }

    fn kept(&mut self, area: Rect) -> Option<Vec<f32>> {
        self.tiles.as_ref()?.get(area)
    }

    fn next(&mut self, waiting: &[Rect]) -> usize {
        match &self.view {
            Some((focus, size)) => focus.nearest(waiting, *size),
            None => 0,
        }
    }

    fn note(&mut self, note: &str) {
        self.send(EventKind::Note(note.to_owned()));
    }
}

/// A picture beside which nothing was kept.
fn opened(picture: Picture) -> Outcome {
    let screen = Screen::of(&picture.metadata);
    let pyramid = Box::new(Pyramid::of(&picture.pixels, screen.as_ref()));
    let (kept, protected) = (None, None);
    Outcome::Opened { pyramid, picture: Arc::new(picture), kept, protected, steps: Vec::new() }
}

/// What was done, for the name of the result.
const fn done(action: &Action) -> &'static str {
    match action {
        Action::Fill { .. } => "mended",
        Action::Clean { .. } => "clean",
        Action::Colour { .. } => "colour",
        Action::Upscale { .. } => "upscaled",
    }
}

fn taken(result: Mosaic, picture: &Picture, strength: f32) -> Mosaic {
    if strength < 1.0 { weakened(&result, picture, strength) } else { result }
}

/// Writes a complete result under the first free name of `path`'s series.
fn save(result: &Mosaic, metadata: Metadata, encoding: Encoding, path: &Path) -> Result<PathBuf> {
    let header = Header {
        width: result.size.0,
        height: result.size.1,
        color: result.color,
        metadata,
        encoding,
    };
    let mut writer = PictureWriter::create(path, header)?;
    for rows in strips::of_mosaic(result) {
        writer.push(rows)?;
    }
    writer.finish(Existing::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_told_while_the_user_s_own_job_wants_the_device() {
        let mut workers = Workers::start(|| {}).unwrap();
        let busy = workers.busy();
        assert!(!busy.is_busy());
        let first = busy.begin();
        let second = busy.begin();
        drop(first);
        assert!(busy.is_busy(), "one is left");
        drop(second);
        assert!(!busy.is_busy());
        // A file keeps nothing busy, and a job that fails does not for long.
        workers.submit(Job::Open("/nowhere.png".into()));
        assert!(!busy.is_busy());
        workers.submit(Job::Import(Vec::new()));
        let begin = std::time::Instant::now();
        while busy.is_busy() {
            assert!(begin.elapsed().as_secs() < 60, "it is busy for ever");
            std::thread::yield_now();
        }
        assert!(workers.events().count() >= 1);
    }

    #[test]
    fn tiles_in_view_come_first_nearest_to_the_middle() {
        let focus = Focus::default();
        let tiles: Vec<Rect> =
            (0..10).map(|i| Rect { x: i * 100, y: 0, width: 100, height: 100 }).collect();
        focus.look_at([0.55, 0.0, 0.95, 1.0]);
        assert_eq!(focus.nearest(&tiles, (1000, 100)), 7);
        // Nothing in view is left: reading order.
        assert_eq!(focus.nearest(&tiles[..4], (1000, 100)), 0);
        let everything = Focus::default();
        everything.look_at([0.0, 0.0, 1.0, 1.0]);
        assert!([4, 5].contains(&everything.nearest(&tiles, (1000, 100))));
    }
}
