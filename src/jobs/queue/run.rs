//! One photo of a queue, from its file to the file of the result.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use serde::Serialize;

use super::{
    Done, Job, OnConflict, Watch, hash,
    journal::{Journal, Record},
    kept::KeptTiles,
    operation::{Loaded, Made, Operation},
};
use crate::{
    device::Chosen,
    error::{Error, Result},
    picture::{Format, Picture},
    rect::Rect,
    restore::{
        Monitor, Patch, Progress, Start, file::ResultFile, report::Report, tiled::panic_text,
    },
    settings::Existing,
};

/// How often a photo is read again that changes while it is read.
const ATTEMPTS: usize = 5;

/// A job that is being done.
pub struct Task {
    pub(super) id: u64,
    pub(super) job: Arc<Job>,
    /// Where finished tiles are kept.
    pub(super) tiles: PathBuf,
    /// What must not be overwritten, where anything may be.
    pub(super) photos: HashSet<PathBuf>,
    pub(super) journal: Arc<Mutex<Journal>>,
    /// Of the job before, if there was one.
    pub(super) loaded: Option<(Loaded, Chosen)>,
    /// Of the photo, once it is read.
    pub(super) pixels: u64,
}

impl Task {
    /// Does the job up to the point where its result has its name.
    ///
    /// # Errors
    /// Whatever there is: of reading, of the network, of writing; [`Error::Cancelled`] from `watch`.
    pub fn run(&mut self, watch: &mut dyn Watch) -> Result<(Done, Made)> {
        // Decoders and drivers may panic, and other photos are waiting.
        catch_unwind(AssertUnwindSafe(|| self.attempt(watch)))
            .unwrap_or_else(|panic| Err(Error::Panic(panic_text(&*panic))))
    }

    fn attempt(&mut self, watch: &mut dyn Watch) -> Result<(Done, Made)> {
        let begin = Instant::now();
        let Self { id, job, tiles, photos, journal, loaded, pixels } = self;
        let (loaded, device) = load(loaded, &job.operation)?;
        let (picture, content) = read(loaded, &job.source)?;
        *pixels = u64::from(picture.size().0) * u64::from(picture.size().1);

        let target = picture.output_named(&job.target, loaded.keeps_pixels());
        let existing = match job.on_conflict {
            OnConflict::Number => Existing::Number,
            OnConflict::Skip => Existing::Refuse,
            OnConflict::Overwrite => Existing::Replace,
        };
        if existing == Existing::Refuse && target.symlink_metadata().is_ok() {
            return Err(Error::Exists { path: target });
        }
        if target.canonicalize().is_ok_and(|target| photos.contains(&target)) {
            return Err(Error::OutputIsInput { path: target });
        }
        let format = Format::of_path(&target)
            .ok_or_else(|| Error::UnknownFormat { path: target.clone() })?;
        let (width, height) = loaded.output_size(&picture)?;
        format.check_size(width, height, &target)?;
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(|error| Error::write(folder, error))?;
        }
        let metadata = picture.metadata.for_result(job.writing.strip_location, job.operation.dpi());
        let fates = format.fates(picture.pixels.color(), &metadata);
        for loss in format.losses(picture.pixels.color(), &metadata) {
            watch.note(&loss);
        }

        let goes_by_tiles = !matches!(job.operation, Operation::Mend { .. });
        let mut monitor = ToFile {
            watch,
            file: ResultFile::new(target, metadata, job.writing.encoding),
            tiles: goes_by_tiles.then_some(&**tiles),
            recipe: loaded.recipe(),
            content: &content,
            kept: None,
        };
        let made = loaded.run(&picture, device, &mut monitor)?;
        let ToFile { file, watch, .. } = monitor;
        let mut receipt = None;
        let mut done = Done {
            output: PathBuf::new(),
            digest: String::new(),
            content: content.clone(),
            recipe: loaded.recipe_for(job.writing),
            seconds: begin.elapsed().as_secs_f64(),
        };
        // From here on a crash finds either the name or, by its content, the file.
        file.finish(existing, &mut |complete, name| {
            if done.digest.is_empty() {
                done.digest = hash::of_file(complete)?;
            }
            done.output = name.to_owned();
            if job.receipt {
                let command = job.operation.command(&job.source, job.writing);
                let output = name.to_string_lossy().into_owned();
                let (receipt_of, metadata) = (WithCommand { made: &made, command }, fates.clone());
                let report =
                    Report { output, receipt: receipt_of, metadata, peak_memory_bytes: None };
                receipt = Some(report.pending()?);
            }
            let naming = Record::Naming { id: *id, done: done.clone() };
            journal.lock().unwrap_or_else(PoisonError::into_inner).append(&[naming])
        })?;
        // The file is there: all that can be wrong with its receipt now is told, and no failure.
        let replaces = if existing == Existing::Replace { existing } else { Existing::Number };
        if let Some(Err(error)) = receipt.map(|receipt| receipt.finish(replaces)) {
            watch.note(&error.sentence());
        }
        Ok((done, made))
    }
}

/// What goes into a receipt.
#[derive(Serialize)]
struct WithCommand<'a> {
    #[serde(flatten)]
    made: &'a Made,
    /// Does it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

/// What an operation needs, which is there already if the last one was the same.
pub(super) fn load<'a>(
    before: &'a mut Option<(Loaded, Chosen)>,
    operation: &Operation,
) -> Result<(&'a Loaded, &'a Chosen)> {
    let loaded = match before.take().filter(|(loaded, _)| loaded.operation() == operation) {
        Some(loaded) => loaded,
        None => {
            let loaded = operation.load()?;
            let device = loaded.device()?;
            (loaded, device)
        }
    };
    let (loaded, device) = before.insert(loaded);
    Ok((loaded, device))
}

/// A photo, and what identifies exactly the content that was read.
fn read(loaded: &Loaded, photo: &Path) -> Result<(Picture, String)> {
    let operation = loaded.operation();
    for _ in 0..ATTEMPTS {
        let before = operation.content(photo)?;
        let picture = Picture::open(photo)?;
        if operation.content(photo)? == before {
            return Ok((picture, before));
        }
    }
    let source = std::io::Error::other("it changes all the time");
    Err(Error::Read { path: photo.to_owned(), source })
}

/// Takes a result into its file, and its tiles into theirs.
struct ToFile<'a> {
    watch: &'a mut dyn Watch,
    file: ResultFile,
    /// Where tiles are kept, if the job goes by tiles.
    tiles: Option<&'a Path>,
    recipe: &'a str,
    content: &'a str,
    kept: Option<KeptTiles>,
}

impl Monitor for ToFile<'_> {
    fn start(&mut self, start: &Start) -> Result<()> {
        self.file.start(start)?;
        if let Some(path) = self.tiles.filter(|_| start.tiles > 1) {
            match KeptTiles::open(path, self.recipe, self.content, start) {
                Ok(kept) => self.kept = Some(kept),
                Err(error) => log::warn!("tiles are not kept: {error}"),
            }
        }
        self.watch.started(start);
        Ok(())
    }

    fn progress(&mut self, progress: Progress) -> Result<()> {
        self.watch.progress(progress)
    }

    fn patch(&mut self, patch: Patch) -> Result<()> {
        self.file.push(patch)
    }

    fn kept(&mut self, area: Rect) -> Option<Vec<f32>> {
        self.kept.as_mut()?.get(area)
    }

    fn keep(&mut self, area: Rect, planes: &[f32]) {
        if let Some(kept) = &mut self.kept {
            kept.add(area, planes);
        }
    }

    fn note(&mut self, note: &str) {
        self.watch.note(note);
    }
}
