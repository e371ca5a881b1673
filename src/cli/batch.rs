//! What commands do that make a picture of a picture: one photo, or many through a queue.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use serde::Serialize;

use super::{
    interrupted,
    output::{Destination, bar, peak_memory, set_length, writable},
    print_json, tell,
};
use crate::{
    error::{Error, Result},
    jobs::queue::{
        Counts, Job, OnConflict, Queue, State, Watch,
        find::{Findings, Shard, find},
        naming::{self, Template},
        operation::{Made, Operation},
    },
    picture::Picture,
    restore::Progress,
    restore::{Monitor, estimate::Estimate, report::Enlarged, sheet, upscale},
    settings::Existing,
};

/// For a result that cannot keep what it should.
const COMPRESSED: &str = "note: JPEG compresses the whole photo again; PNG, TIFF and WebP keep \
                          every pixel outside of the mask";

/// Name of the folder, in that of the results, which remembers what was done.
const MEMORY: &str = ".pixmend";

/// Least time between two events about progress.
const PAUSE: Duration = Duration::from_millis(500);

/// How many photos are done.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Many photos")]
pub struct Batch {
    /// Take the folders in folders too; their tree is kept below OUT
    #[arg(short, long)]
    recursive: bool,
    /// Go on where an earlier run into the same folder stopped, if there was one; what is done is
    /// left alone if its photo, the settings and the model are the same, and what failed is tried
    /// again
    #[arg(long)]
    resume: bool,
    /// Do only the I-th of N parts of the photos, the same on every machine
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Name of the results, of {name}, {scale}, {model}, {date} and {counter}
    /// [default: {name}-{scale}x, or what was done]
    #[arg(long, value_name = "TEMPLATE")]
    name: Option<Template>,
    /// When the name of a result is taken: number it, skip the photo, or overwrite the file
    /// [default: number]
    #[arg(long, value_name = "POLICY", value_parser = OnConflict::NAMED.map(|(name, _)| name))]
    #[arg(conflicts_with = "overwrite")]
    on_conflict: Option<String>,
}

impl Batch {
    fn is_for(&self, inputs: &[PathBuf]) -> bool {
        let one = matches!(inputs, [input] if !input.is_dir());
        !one || self.recursive
            || self.resume
            || self.shard.is_some()
            || self.name.is_some()
            || self.on_conflict.is_some()
    }
}

/// From as many pixels on it is told beforehand what a result will take: smaller ones are there at
/// once.
const TOLD: f64 = 16e6;

/// Does an operation with one photo, or with many; `heat_map` is where that of one photo goes.
pub(super) fn run(
    inputs: &[PathBuf],
    destination: &Destination,
    batch: &Batch,
    operation: &Operation,
    heat_map: Option<&Path>,
) -> Result<()> {
    match inputs {
        [input] if !batch.is_for(inputs) => one(input, destination, operation, heat_map),
        _ if heat_map.is_some() => Err(Error::Setting(
            "a heat map is of one photo: name one, without options for many".to_owned(),
        )),
        _ => many(inputs, destination, batch, operation),
    }
}

/// A name of a model as it is, and the path of a model file or a mask from anywhere.
pub(super) fn lasting(name: &str) -> String {
    let path = Path::new(name);
    if crate::model::Model::names().iter().any(|known| known == name) || !path.exists() {
        return name.to_owned();
    }
    std::path::absolute(path).map_or_else(|_| name.to_owned(), |path| path.display().to_string())
}

fn one(
    input: &Path,
    destination: &Destination,
    operation: &Operation,
    heat_map: Option<&Path>,
) -> Result<()> {
    let loaded = operation.load()?;
    let picture = Picture::open(input)?;
    // What can fail is tried before the long part.
    let size = loaded.output_size(&picture)?;
    let default = if loaded.keeps_pixels() {
        picture.default_output_kept(&operation.done())
    } else {
        picture.default_output(&operation.done())
    };
    let target = destination.target(input, default, size)?;
    let heat_existing = if destination.overwrite { Existing::Replace } else { Existing::Refuse };
    if let Some(path) = heat_map {
        writable(path, heat_existing, &[input, target.path()])?;
    }
    if loaded.keeps_pixels() && target.is_lossy() {
        tell(COMPRESSED);
    }
    let device = loaded.device()?;
    if let Some(note) = device.note() {
        tell(&format!("note: {note}"));
    }
    let (Operation::Upscale { options, .. }, Some(model)) = (operation, loaded.model()) else {
        let run = |monitor: &mut dyn Monitor| loaded.run(&picture, &device, monitor);
        return target.fill(&picture, None, run, Made::in_words);
    };
    let steps = options.steps(picture.size(), model)?;
    let encoding = Some(target.writing().encoding);
    let format = target.format();
    let estimate = Estimate::of(&picture, model, &device, options, format, encoding)?;
    if f64::from(steps.output.0) * f64::from(steps.output.1) >= TOLD {
        target.tell(&format!("{steps}: {}", estimate.in_words()));
    }
    let command = operation.command(input, target.writing()).unwrap_or_default();
    if heat_map.is_some() && (steps.output.0 <= steps.input.0 || steps.output.1 <= steps.input.1) {
        return Err(Error::Setting(
            "there is no heat map of a result that is no larger than its photo".to_owned(),
        ));
    }
    let run = |monitor: &mut dyn Monitor| {
        let receipt = upscale(&picture, model, &device, options, monitor)?;
        if let Some((map, path)) = receipt.invented.as_ref().zip(heat_map) {
            sheet::save(sheet::heat_sheet(&picture, map), path, heat_existing)?;
        }
        Ok(Enlarged { receipt, estimate: Some(estimate), command })
    };
    target.fill(&picture, operation.dpi(), run, |done| Made::Whole(done.receipt.clone()).in_words())
}

fn many(
    inputs: &[PathBuf],
    destination: &Destination,
    batch: &Batch,
    operation: &Operation,
) -> Result<()> {
    let Some(folder) = &destination.output else {
        let [first, ..] = inputs else { return Err(Error::Setting("no photo is named".into())) };
        return Err(Error::NoOutputFolder { path: first.clone() });
    };
    let folder = std::path::absolute(folder).map_err(|error| Error::write(folder, error))?;
    if folder.exists() && !folder.is_dir() {
        return Err(Error::NotAFolder { path: folder });
    }
    let findings = find(inputs, batch.recursive, &folder)?;
    if let Some(words) = findings.left_out_in_words().filter(|_| !destination.json) {
        tell(&format!("note: {words}"));
    }
    if findings.photos.is_empty() && findings.unread.is_empty() {
        return Err(Error::NoPictures { path: inputs.first().cloned().unwrap_or_default() });
    }
    let on_conflict = match (destination.overwrite, &batch.on_conflict) {
        (true, _) => OnConflict::Overwrite,
        (false, name) => name.as_deref().and_then(OnConflict::named).unwrap_or_default(),
    };
    let usual = || Template::usual(operation);
    let template = batch.name.clone().unwrap_or_else(usual);
    let shard = batch.shard.unwrap_or_default();
    let jobs = naming::jobs(
        &findings.photos,
        &folder,
        (operation, destination.writing()),
        &template,
        on_conflict,
        [],
    );
    let jobs = findings.photos.iter().zip(jobs).filter(|(photo, _)| shard.has(photo));
    let receipt = destination.receipt;
    let jobs: Vec<Job> = jobs.map(|(_, job)| Job { receipt, ..job }).collect();

    // Before a folder is made: a model that is missing fails for all.
    let loaded = operation.load()?;
    let device = loaded.device()?;
    if let Some(note) = device.note() {
        tell(&format!("note: {note}"));
    }
    let memory = folder.join(MEMORY).join(format!("{}-of-{}", shard.number, shard.of));
    let mut queue = Queue::open(&memory)?;
    let Counts { waiting, done, .. } = queue.counts();
    if batch.resume {
        queue.take_up(jobs)?;
    } else if waiting > 0 {
        return Err(Error::Unfinished { path: memory, done, of: queue.items().len() });
    } else {
        let ids: Vec<u64> = queue.items().iter().map(|item| item.id).collect();
        queue.remove(&ids)?;
        queue.add(jobs)?;
    }
    queue.equip(loaded, device);
    let bar = bar(destination.json);
    if !bar.is_hidden() {
        queue.measure(usize::MAX);
    }
    let report = Report { json: destination.json, bar, interrupted: interrupted() };
    report.work_off(&mut queue, &findings, shard)
}

/// What happens, one JSON object a line.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    /// The photos are known.
    Planned { photos: usize, shard: String, left_out: usize },
    /// A photo is begun.
    Started { source: Cow<'a, str>, number: usize, of: usize },
    /// It goes on: pixels of its result, and seconds.
    Progress {
        source: Cow<'a, str>,
        done: u64,
        total: u64,
        left: Option<f64>,
        left_all: Option<f64>,
    },
    /// Something to know.
    Note { source: Cow<'a, str>, note: &'a str },
    /// Its result is there.
    Done { source: Cow<'a, str>, output: Cow<'a, str>, sha256: &'a str, receipt: &'a Made },
    /// Its result of an earlier run is there, and still right.
    Kept { source: Cow<'a, str>, output: Cow<'a, str> },
    /// It failed.
    Failed { source: Cow<'a, str>, reason: &'a str },
    /// It was left out.
    Skipped { source: Cow<'a, str>, reason: &'a str },
    /// All of it.
    Finished {
        #[serde(flatten)]
        counts: Counts,
        failures: Vec<Failure>,
        seconds: f64,
        peak_memory_bytes: Option<u64>,
    },
}

#[derive(Clone, Serialize)]
struct Failure {
    source: String,
    reason: String,
}

impl Failure {
    /// The reason, and the photo if it does not name it.
    fn in_words(&self) -> String {
        let Self { source, reason } = self;
        if reason.contains(source.as_str()) {
            reason.clone()
        } else {
            format!("{source}: {reason}")
        }
    }
}

/// Tells what a queue does.
struct Report {
    json: bool,
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
}

impl Report {
    fn work_off(&self, queue: &mut Queue, findings: &Findings, shard: Shard) -> Result<()> {
        let begin = Instant::now();
        let ids: Vec<u64> = queue.items().iter().map(|item| item.id).collect();
        self.event(&Event::Planned {
            photos: ids.len(),
            shard: format!("{}/{}", shard.number, shard.of),
            left_out: findings.left_out(),
        })?;
        for (place, id) in ids.iter().enumerate() {
            if self.interrupted.load(Ordering::Relaxed) {
                break;
            }
            match self.one(queue, *id, (place + 1, ids.len())) {
                Err(Error::Cancelled) => break,
                other => other?,
            }
        }
        self.bar.finish_and_clear();
        self.finish(queue, findings, begin.elapsed())
    }

    fn one(&self, queue: &mut Queue, id: u64, (number, of): (usize, usize)) -> Result<()> {
        let Some(item) = queue.item(id) else { return Ok(()) };
        let path = item.job.source.clone();
        let source = path.to_string_lossy();
        if let State::Done(done) = item.state.clone()
            && queue.check(id)?
        {
            return self.event(&Event::Kept { source, output: done.output.to_string_lossy() });
        }
        self.event(&Event::Started { source: source.clone(), number, of })?;
        let left = queue.left(None);
        let mut watch = Watcher { report: self, source: &source, number, of, left, last: None };
        let made = queue.work(id, &mut watch)?;
        match queue.item(id).map(|item| &item.state) {
            Some(State::Done(done)) => {
                let output = done.output.to_string_lossy();
                if let Some(receipt) = &made {
                    self.line(&format!("{output} ({})", receipt.in_words()));
                    let sha256 = &done.digest;
                    self.event(&Event::Done { source, output, sha256, receipt })?;
                }
            }
            Some(State::Failed { reason }) => {
                self.line(&format!("failed: {source}"));
                self.event(&Event::Failed { source, reason })?;
            }
            Some(State::Skipped { reason }) => {
                self.line(&format!("skipped: {reason}"));
                self.event(&Event::Skipped { source, reason })?;
            }
            Some(State::Waiting | State::Running) | None => {}
        }
        Ok(())
    }

    /// The end: how many were done, and what failed and why.
    fn finish(&self, queue: &Queue, findings: &Findings, time: Duration) -> Result<()> {
        let failure = |item: &crate::jobs::queue::Item| match &item.state {
            State::Failed { reason } => Some(Failure {
                source: item.job.source.to_string_lossy().into_owned(),
                reason: reason.clone(),
            }),
            _ => None,
        };
        let unread = findings
            .unread
            .iter()
            .map(|error| Failure { source: String::new(), reason: error.sentence() });
        let failures: Vec<Failure> =
            queue.items().iter().filter_map(failure).chain(unread).collect();
        let mut counts = queue.counts();
        counts.failed = failures.len();
        if !self.json {
            failures.iter().for_each(|failure| tell(&failure.in_words()));
        }
        let words = counts.in_words();
        let failed = counts.failed > 0;
        self.event(&Event::Finished {
            counts,
            failures,
            seconds: time.as_secs_f64(),
            peak_memory_bytes: peak_memory(),
        })?;
        if counts.waiting > 0 {
            self.line(&format!("{words}; the same command with --resume goes on from here"));
            return Err(Error::Cancelled);
        }
        if failed {
            return Err(Error::SomeFailed { words });
        }
        self.line(&words);
        Ok(())
    }

    /// For people.
    fn line(&self, line: &str) {
        if !self.json {
            self.bar.suspend(|| tell(line));
        }
    }

    /// For programs.
    fn event(&self, event: &Event<'_>) -> Result<()> {
        if self.json { print_json(event) } else { Ok(()) }
    }
}

/// Shows how far a photo is.
struct Watcher<'a> {
    report: &'a Report,
    source: &'a str,
    number: usize,
    of: usize,
    /// For all photos that wait.
    left: Option<Duration>,
    last: Option<Instant>,
}

impl Watch for Watcher<'_> {
    fn progress(&mut self, progress: Progress) -> Result<()> {
        let Progress { done, total, remaining } = progress;
        if self.report.interrupted.load(Ordering::Relaxed) && done < total {
            return Err(Error::Cancelled);
        }
        let all = self.left.map(|left| left + remaining.unwrap_or_default());
        let Self { number, of, .. } = self;
        let name = Path::new(self.source).file_name().unwrap_or_default().to_string_lossy();
        let left = all.map_or_else(String::new, |left| {
            format!(", {} left in all", indicatif::HumanDuration(left))
        });
        set_length(&self.report.bar, progress);
        self.report.bar.set_message(format!("{number} of {of}: {name}{left}"));
        if self.last.is_some_and(|last| last.elapsed() < PAUSE) {
            return Ok(());
        }
        self.last = Some(Instant::now());
        let seconds = |time: Duration| time.as_secs_f64();
        self.report.event(&Event::Progress {
            source: self.source.into(),
            done,
            total,
            left: remaining.map(seconds),
            left_all: all.map(seconds),
        })
    }

    fn note(&mut self, note: &str) {
        self.report.line(&format!("note: {}: {note}", self.source));
        let event = Event::Note { source: self.source.into(), note };
        if let Err(error) = self.report.event(&event) {
            log::warn!("{error}");
        }
    }
}
