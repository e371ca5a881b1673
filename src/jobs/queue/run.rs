//! One photo of a queue, from its file to the file of the result.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::Instant,
};

use image::DynamicImage;

use super::{
    Done, Job, OnConflict, Queue, Watch, hash,
    journal::Record,
    kept::KeptTiles,
    operation::{Loaded, Made, Operation},
};
use crate::{
    error::{Error, Result},
    picture::{Format, Picture},
    rect::Rect,
    restore::{Monitor, Patch, Progress, Start, file::ResultFile},
    settings::Existing,
};

/// How often a photo is read again that changes while it is read.
const ATTEMPTS: usize = 5;

impl Queue {
    /// Does a job up to the point where its result has its name.
    pub(super) fn run(
        &mut self,
        id: u64,
        job: &Job,
        watch: &mut dyn Watch,
    ) -> Result<(Done, Made)> {
        let begin = Instant::now();
        let tiles = self.tiles(id);
        self.load(&job.operation)?;
        let Some((loaded, device)) = &self.loaded else { return Err(Error::Cancelled) };
        let (picture, content) = read(loaded, &job.source)?;
        let pixels = u64::from(picture.size().0) * u64::from(picture.size().1);

        let target = picture.output_named(&job.target, loaded.keeps_pixels());
        let existing = match job.on_conflict {
            OnConflict::Number => Existing::Number,
            OnConflict::Skip => Existing::Refuse,
            OnConflict::Overwrite => Existing::Replace,
        };
        if existing == Existing::Refuse && target.symlink_metadata().is_ok() {
            return Err(Error::Exists { path: target });
        }
        if existing == Existing::Replace && self.is_source(&target) {
            return Err(Error::OutputIsInput { path: target });
        }
        let format = Format::of_path(&target)
            .ok_or_else(|| Error::UnknownFormat { path: target.clone() })?;
        let (width, height) = loaded.output_size(&picture)?;
        format.check_size(width, height, &target)?;
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(|error| Error::write(folder, error))?;
        }
        for loss in format.losses(picture.pixels.color(), &picture.metadata) {
            watch.note(&loss);
        }

        let goes_by_tiles = !matches!(job.operation, Operation::Mend { .. });
        let mut monitor = ToFile {
            watch,
            file: ResultFile::new(target, picture.metadata.clone()),
            tiles: goes_by_tiles.then_some(tiles),
            recipe: loaded.recipe(),
            content: &content,
            kept: None,
        };
        let made = loaded.run(&picture, device, &mut monitor)?;
        let ToFile { file, .. } = monitor;
        let mut done = Done {
            output: PathBuf::new(),
            digest: String::new(),
            content: content.clone(),
            recipe: loaded.recipe().to_owned(),
            seconds: begin.elapsed().as_secs_f64(),
        };
        let journal = &mut self.journal;
        // From here on a crash finds either the name or, by its content, the file.
        file.finish(existing, &mut |complete, name| {
            if done.digest.is_empty() {
                done.digest = hash::of_file(complete)?;
            }
            done.output = name.to_owned();
            journal.append(&[Record::Naming { id, done: done.clone() }])
        })?;
        self.pace.photos += 1;
        self.pace.pixels += pixels;
        self.pace.seconds += done.seconds;
        Ok((done, made))
    }

    /// Whether a file is a photo of the queue, through links too.
    fn is_source(&self, file: &Path) -> bool {
        let Ok(file) = file.canonicalize() else { return false };
        let sources = self.items.iter().filter_map(|item| item.job.source.canonicalize().ok());
        sources.collect::<HashSet<_>>().contains(&file)
    }
}

/// A photo, and what identifies exactly the content that was read.
fn read(loaded: &Loaded, photo: &Path) -> Result<(Picture, String)> {
    let operation = loaded.operation();
    for _ in 0..ATTEMPTS {
        let before = operation.content(photo)?;
        let picture = loaded.open(photo)?;
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
    tiles: Option<PathBuf>,
    recipe: &'a str,
    content: &'a str,
    kept: Option<KeptTiles>,
}

impl Monitor for ToFile<'_> {
    fn start(&mut self, start: &Start) -> Result<()> {
        self.file.start(start)?;
        if let Some(path) = self.tiles.as_deref().filter(|_| start.tiles > 1) {
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
        if let Some(kept) = &mut self.kept {
            kept.add(&patch);
        }
        self.file.push(patch)
    }

    fn kept(&mut self, area: Rect) -> Option<DynamicImage> {
        self.kept.as_mut()?.get(area)
    }

    fn note(&mut self, note: &str) {
        self.watch.note(note);
    }
}
