//! Work in the background: jobs in, events out.
//!
//! Two threads: one for everything that touches tensors, since Burn orders its
//! work by thread, and one for files, so that a photo can be opened or saved
//! while another is being enlarged. A job owns all it needs; there is no
//! shared state beside a flag to cancel and the place the user is looking at.
//!
//! Nothing here knows a widget: the window passes in how to wake it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use crossbeam_channel::{Receiver, Sender, unbounded};
use image::{DynamicImage, GrayImage};

use crate::{
    device::{Adapter, Chosen, adapters},
    encoding::Encoding,
    error::{Error, Result},
    mask::sidecar,
    model::{
        Model,
        library::{self, About},
    },
    picture::{
        Format, Metadata, Picture, PictureWriter, colour::Screen, formats::Header, pyramid::Pyramid,
    },
    rect::Rect,
    restore::{
        Monitor, Mosaic, Patch, Progress, Receipt, Start, UpscaleOptions,
        estimate::Estimate,
        mend::{Filler, MendOptions, MendReceipt, mend},
        repaint::{RepaintOptions, repaint, weakened},
        report::{Enlarged, Report},
        strips,
        tiled::panic_text,
        upscale,
    },
    settings::{Existing, free_name},
};

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
    /// Fill what a mask marks.
    Mend {
        /// The photo.
        picture: Arc<Picture>,
        /// Of its size.
        mask: Arc<GrayImage>,
        /// By what.
        fill: Fill,
        /// As [`Chosen::by_name`] takes it.
        device: String,
        /// What the user set.
        options: MendOptions,
    },
    /// Run a network that keeps the size over a picture.
    Repaint {
        /// The photo.
        picture: Arc<Picture>,
        /// Where it may change, of its size.
        mask: Option<Arc<GrayImage>>,
        /// Name of a model, or path of a model file.
        model: String,
        /// As [`Chosen::by_name`] takes it.
        device: String,
        /// What the user set.
        options: RepaintOptions,
        /// What is done, for the name of the result.
        done: &'static str,
        /// Where the user is looking.
        focus: Focus,
    },
    /// Make a result the photo that is worked on.
    Adopt {
        /// The photo it was made from.
        picture: Arc<Picture>,
        /// The result.
        result: Mosaic,
        /// How much of it is taken, 0 to 1; less than 1 only where it has the photo's size.
        strength: f32,
    },
    /// Keep the mask of a photo beside it.
    KeepMask {
        /// The photo's file.
        photo: PathBuf,
        /// Of its size.
        mask: Arc<GrayImage>,
        /// What else is to be kept, in ASCII.
        text: String,
    },
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
                | Self::Estimate { .. }
                | Self::Mend { .. }
                | Self::Repaint { .. }
                | Self::Import(_)
        )
    }
}

/// What fills a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// A shipped network for marks, if there is one, and texture for the rest.
    Auto,
    /// The network, if there is one.
    Network,
    /// What the photo is made of.
    Texture,
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
    },
    /// The mask is kept.
    MaskKept,
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

/// The two workers. Dropping it cancels what can be cancelled and waits for
/// the rest: a file that is being written is finished.
#[derive(Debug)]
pub struct Workers {
    tensors: Worker,
    files: Worker,
    events: Receiver<Event>,
    next_id: u64,
    running: Vec<Arc<AtomicBool>>,
}

#[derive(Debug)]
struct Worker {
    inbox: Option<Sender<(JobHandle, Job)>>,
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
        let worker = |name: &str| {
            let (inbox, jobs) = unbounded::<(JobHandle, Job)>();
            let (outbox, wake) = (outbox.clone(), wake.clone());
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                for (handle, job) in jobs {
                    Reporter { outbox: &outbox, wake: &*wake, handle: &handle, view: None }
                        .work(job);
                }
            })?;
            std::io::Result::Ok(Worker { inbox: Some(inbox), thread: Some(thread) })
        };
        Ok(Self {
            tensors: worker("tensors")?,
            files: worker("files")?,
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
        let worker = if job.needs_tensors() { &self.tensors } else { &self.files };
        if let Some(inbox) = &worker.inbox {
            // It fails only if the thread is gone, which ends with `self`.
            let _sent = inbox.send((handle.clone(), job));
        }
        handle
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
        for worker in [&mut self.tensors, &mut self.files] {
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
                let kept = sidecar::load(&path, picture.size());
                Ok(opened(picture, kept))
            }
            Job::OpenBytes { name, bytes } => Ok(opened(Picture::from_bytes(bytes, &name)?, None)),
            Job::OpenPixels(pixels) => Ok(opened(Picture::from_pixels("pasted", pixels), None)),
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
            Job::Upscale { picture, model, device, options, focus } => {
                let model = Model::find(&model)?;
                let device = self.chosen(&device)?;
                self.view = Some((focus, picture.size()));
                let receipt = upscale(&picture, &model, &device, &options, self)?;
                let target = free_name(&picture.default_output(&options.size.label(model.scale())));
                Ok(Outcome::Upscaled { receipt, target })
            }
            Job::Estimate { picture, model, device, options } => {
                let (model, device) = (Model::find(&model)?, Chosen::by_name(&device)?);
                let format = Some(picture.format.for_results());
                Estimate::of(&picture, &model, &device, &options, format, true)
                    .map(Outcome::Estimated)
            }
            Job::Mend { picture, mask, fill, device, options } => {
                let model = if fill == Fill::Texture { None } else { Model::mending() };
                let device = if model.is_some() { self.chosen(&device)? } else { Chosen::cpu() };
                let (seed, device) = (0, &device);
                let filler = match &model {
                    None => Filler::Texture { seed },
                    Some(model) if fill == Fill::Auto => Filler::Auto { model, device, seed },
                    Some(model) => Filler::Network { model, device },
                };
                let receipt = mend(&picture, &mask, filler, options, self)?;
                let target = free_name(&picture.default_output_kept("mended"));
                Ok(Outcome::Mended { receipt, target })
            }
            Job::Repaint { picture, mask, model, device, options, done, focus } => {
                let model = Model::find(&model)?;
                let device = self.chosen(&device)?;
                self.view = Some((focus, picture.size()));
                let receipt = repaint(&picture, mask.as_deref(), &model, &device, options, self)?;
                let target = free_name(&match mask {
                    Some(_) => picture.default_output_kept(done),
                    None => picture.default_output(done),
                });
                Ok(Outcome::Upscaled { receipt, target })
            }
            Job::Adopt { picture, result, strength } => {
                let result = taken(result, &picture, strength);
                let adopted = Picture { pixels: result.pixels(), ..Picture::clone(&picture) };
                Ok(opened(adopted, None))
            }
            Job::KeepMask { photo, mask, text } => {
                sidecar::save(&photo, &mask, &text)?;
                Ok(Outcome::MaskKept)
            }
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

fn opened(picture: Picture, kept: Option<(GrayImage, String)>) -> Outcome {
    let pyramid = Box::new(Pyramid::of(&picture.pixels, Screen::of(&picture.metadata).as_ref()));
    Outcome::Opened { pyramid, picture: Arc::new(picture), kept }
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
