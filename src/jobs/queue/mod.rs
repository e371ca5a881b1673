//! Many photos, one after the other, written down so that nothing is lost when the program ends.
//!
//! A [`Queue`] lives in a folder of its own: a journal of its jobs and what became of them, and
//! the finished tiles of the picture in work. Each job holds all of its settings, and does with
//! its photo what a single command does, through the same functions. A failure is written down
//! and the next photo begins.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    device::Chosen,
    encoding::Writing,
    error::{Error, Result},
    picture,
    restore::{Progress, Start},
    settings,
};

pub mod find;
mod hash;
mod journal;
mod kept;
pub mod naming;
pub mod operation;
mod paths;
mod run;
pub mod worker;

use journal::{Journal, Record, Told};
use operation::{Loaded, Made, Operation};
pub use run::Task;

/// Where the window's queue lives; `None` where the system has no home folder.
#[must_use]
pub fn user_folder() -> Option<PathBuf> {
    let dirs = directories::ProjectDirs::from("io.github", "pixmend", "Pixmend")?;
    Some(dirs.data_local_dir().join("queue"))
}

/// A photo and what is to be done with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The photo's file; never written to.
    #[serde(with = "paths")]
    pub source: PathBuf,
    /// Its place among the photos that came with it, as [`find::Found::relative`].
    #[serde(with = "paths")]
    pub place: PathBuf,
    /// Where the result goes, without its ending, which is that of the photo's format.
    #[serde(with = "paths")]
    pub target: PathBuf,
    /// What is done.
    pub operation: Operation,
    /// How the result is written.
    #[serde(default)]
    pub writing: Writing,
    /// What was done is saved beside the result.
    #[serde(default)]
    pub receipt: bool,
    /// When the name is taken.
    pub on_conflict: OnConflict,
}

/// What to do when the name of a result is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// Add `-1`, `-2`, ... to the name.
    #[default]
    Number,
    /// Leave the photo out.
    Skip,
    /// Replace the file, if it is no photo of the queue.
    Overwrite,
}

impl OnConflict {
    /// All of them with their names for the command line.
    pub const NAMED: [(&str, Self); 3] =
        [("number", Self::Number), ("skip", Self::Skip), ("overwrite", Self::Overwrite)];

    /// One by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find_map(|(own, policy)| (own == name).then_some(policy))
    }
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing so far.
    Waiting,
    /// It is being done.
    Running,
    /// The result is a file.
    Done(Done),
    /// It could not be done.
    Failed {
        /// As a sentence.
        reason: String,
    },
    /// It was left out.
    Skipped {
        /// As a sentence.
        reason: String,
    },
}

/// A result that is a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The file.
    #[serde(with = "paths")]
    pub output: PathBuf,
    /// SHA-256 of the file.
    pub digest: String,
    /// Identifies the content of the photo that it was made of.
    pub content: String,
    /// Identifies the settings, the model and the mask that it was made by.
    pub recipe: String,
    /// How long it took.
    pub seconds: f64,
}

/// A job in the queue.
#[derive(Clone, Debug)]
pub struct Item {
    /// Names it as long as the queue lives.
    pub id: u64,
    /// What is to be done.
    pub job: Arc<Job>,
    /// What became of it.
    pub state: State,
    /// Pixels of the photo, where they are known.
    pub pixels: Option<u64>,
    /// A complete result that was about to get its name.
    named: Option<Done>,
}

impl Item {
    fn new(id: u64, job: Job) -> Self {
        Self { id, job: Arc::new(job), state: State::Waiting, pixels: None, named: None }
    }
}

/// How many jobs are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Waiting or running.
    pub waiting: usize,
    /// Done.
    pub done: usize,
    /// Failed.
    pub failed: usize,
    /// Left out.
    pub skipped: usize,
}

impl Counts {
    /// For people: `480 done, 20 failed`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let rest = [(self.failed, "failed"), (self.skipped, "skipped"), (self.waiting, "waiting")];
        let rest = rest.iter().filter(|(count, _)| *count > 0);
        let parts = rest.map(|(count, what)| format!(", {count} {what}"));
        format!("{} done{}", self.done, parts.collect::<String>())
    }
}

/// Who looks on while a photo is done.
pub trait Watch {
    /// The photo is read, and its size and the device are known.
    fn started(&mut self, start: &Start) {
        let _ = start;
    }

    /// Called before each tile.
    ///
    /// # Errors
    /// [`Error::Cancelled`] to stop here; what is done is kept.
    fn progress(&mut self, progress: Progress) -> Result<()>;

    /// Something the user may want to know.
    fn note(&mut self, note: &str) {
        log::info!("{note}");
    }
}

/// How fast photos were done.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    photos: u32,
    pixels: u64,
    seconds: f64,
}

/// Jobs in their order, and what became of them.
pub struct Queue {
    folder: PathBuf,
    /// Shared with the job in work.
    journal: Arc<Mutex<Journal>>,
    items: Vec<Item>,
    next_id: u64,
    pace: Pace,
    /// Of the job that was done last, since the next is likely to need the same.
    loaded: Option<(Loaded, Chosen)>,
}

impl Queue {
    /// Opens the queue that lives in a folder, or begins one there.
    ///
    /// What a killed program left of its work is tidied up: unfinished files are removed, and a
    /// result that only lacked its entry in the journal counts as done.
    ///
    /// # Errors
    /// [`Error::Setting`] if another program works on it; [`Error::Read`], [`Error::Write`] and
    /// their kin.
    pub fn open(folder: &Path) -> Result<Self> {
        let (mut journal, mut told) = Journal::open(folder)?;
        let own = settings::session().to_owned();
        told.sessions.retain(|session| *session != own);
        let folders: HashSet<&Path> =
            told.items.iter().filter_map(|item| item.job.target.parent()).collect();
        folders.into_iter().for_each(|folder| sweep(folder, &told.sessions));
        for item in &mut told.items {
            if item.state == State::Running {
                let named = item.named.take().filter(|done| {
                    hash::of_file(&done.output).is_ok_and(|digest| digest == done.digest)
                });
                item.state = named.map_or(State::Waiting, State::Done);
            }
            item.named = None;
        }
        told.sessions = vec![own];
        journal.rewrite(&told)?;
        let next_id = told.items.iter().map(|item| item.id + 1).max().unwrap_or(0);
        Ok(Self {
            folder: folder.to_owned(),
            journal: Arc::new(Mutex::new(journal)),
            items: told.items,
            next_id,
            pace: Pace::default(),
            loaded: None,
        })
    }

    /// All jobs in their order.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// One job.
    #[must_use]
    pub fn item(&self, id: u64) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }

    /// How many jobs are in which state.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for item in &self.items {
            match item.state {
                State::Waiting | State::Running => counts.waiting += 1,
                State::Done(_) => counts.done += 1,
                State::Failed { .. } => counts.failed += 1,
                State::Skipped { .. } => counts.skipped += 1,
            }
        }
        counts
    }

    /// The first job that waits.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.items.iter().find(|item| item.state == State::Waiting).map(|item| item.id)
    }

    /// Appends jobs.
    ///
    /// # Errors
    /// What writing the journal returns, as in all that follows.
    pub fn add(&mut self, jobs: Vec<Job>) -> Result<()> {
        let items: Vec<Item> = jobs
            .into_iter()
            .enumerate()
            .map(|(place, job)| Item::new(self.next_id + place as u64, job))
            .collect();
        let added = |item: &Item| Record::Added { id: item.id, job: Job::clone(&item.job) };
        self.write(&items.iter().map(added).collect::<Vec<_>>())?;
        self.next_id += items.len() as u64;
        self.items.extend(items);
        Ok(())
    }

    /// Makes these the jobs of the queue. What is known of a job with the same photo and the same
    /// settings stays; that was frozen when it came into the queue, its name too. Jobs that did not
    /// come to a result are to be done again.
    ///
    /// # Errors
    /// See [`Self::add`].
    pub fn take_up(&mut self, jobs: Vec<Job>) -> Result<()> {
        let mut before = std::mem::take(&mut self.items);
        for job in jobs {
            let same = before.iter().position(|item| {
                item.job.source == job.source && item.job.operation == job.operation
            });
            self.items.push(match same {
                Some(place) => before.swap_remove(place),
                None => {
                    self.next_id += 1;
                    Item::new(self.next_id - 1, job)
                }
            });
        }
        for item in &mut self.items {
            if !matches!(item.state, State::Done(_)) {
                item.state = State::Waiting;
            }
        }
        before.iter().for_each(|item| self.forget_tiles(item.id));
        let items = self.items.clone();
        let told = Told { items, sessions: vec![settings::session().to_owned()] };
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).rewrite(&told)
    }

    /// Whether a result is still what the job would make: of the same content, by the same model,
    /// and there. A job whose result is not is to be done anew.
    ///
    /// # Errors
    /// See [`Self::add`].
    pub fn check(&mut self, id: u64) -> Result<bool> {
        let Some(Item { job, state: State::Done(done), .. }) = self.item(id).cloned() else {
            return Ok(true);
        };
        let holds = done.output.symlink_metadata().is_ok()
            && run::load(&mut self.loaded, &job.operation)
                .is_ok_and(|(loaded, _)| loaded.recipe_for(job.writing) == done.recipe);
        if !holds {
            self.renew(id, &job)?;
        }
        Ok(holds && self.check_content(id)?)
    }

    /// Whether the photo of a result is still what it was made of. A job whose photo is not is to
    /// be done anew.
    ///
    /// # Errors
    /// See [`Self::add`].
    pub fn check_content(&mut self, id: u64) -> Result<bool> {
        let Some(Item { job, state: State::Done(done), .. }) = self.item(id).cloned() else {
            return Ok(true);
        };
        let content = job.operation.content(&job.source);
        let holds = content.is_ok_and(|content| content == done.content);
        if !holds {
            self.renew(id, &job)?;
        }
        Ok(holds)
    }

    /// Lets a job begin again whose result was made of something else.
    fn renew(&mut self, id: u64, job: &Job) -> Result<()> {
        let on_conflict = match job.on_conflict {
            // What has the name is that result.
            OnConflict::Skip => OnConflict::Number,
            other => other,
        };
        self.put(id, Job { on_conflict, ..job.clone() })
    }

    /// Lets a job that did not come to a result, or one that is done, begin again.
    ///
    /// # Errors
    /// See [`Self::add`].
    pub fn retry(&mut self, id: u64) -> Result<()> {
        self.settle_as(id, State::Waiting)
    }

    /// Takes a job out of the queue; its result stays.
    ///
    /// # Errors
    /// See [`Self::add`].
    pub fn remove(&mut self, ids: &[u64]) -> Result<()> {
        let removed: Vec<Record> = ids.iter().map(|id| Record::Removed { id: *id }).collect();
        self.write(&removed)?;
        self.items.retain(|item| !ids.contains(&item.id));
        ids.iter().for_each(|id| self.forget_tiles(*id));
        Ok(())
    }

    /// Moves a job to another place, counted from 0.
    ///
    /// # Errors
    /// See [`Self::add`].
    pub fn shift(&mut self, id: u64, to: usize) -> Result<()> {
        let Some(from) = self.items.iter().position(|item| item.id == id) else { return Ok(()) };
        let item = self.items.remove(from);
        self.items.insert(to.min(self.items.len()), item);
        let ids = self.items.iter().map(|item| item.id).collect();
        self.write(&[Record::Order { ids }])
    }

    /// Gives jobs that wait other settings.
    ///
    /// # Errors
    /// See [`Self::add`].
    pub fn settle(&mut self, jobs: Vec<(u64, Job)>) -> Result<()> {
        for (id, job) in jobs {
            if self.item(id).is_some_and(|item| item.state == State::Waiting) {
                self.put(id, job)?;
                self.forget_tiles(id);
            }
        }
        Ok(())
    }

    /// Reads the sizes of up to so many photos from their headers, for [`Self::left`]; whether any
    /// was read.
    pub fn measure(&mut self, most: usize) -> bool {
        let waiting = self.items.iter_mut().filter(|item| {
            item.pixels.is_none() && matches!(item.state, State::Waiting | State::Running)
        });
        let mut any = false;
        for item in waiting.take(most) {
            let size = picture::size_of(&item.job.source).unwrap_or_default();
            item.pixels = Some(u64::from(size.0) * u64::from(size.1));
            any = true;
        }
        any
    }

    /// How long what waits will take, by what was done so far; `running` is the photo in work and
    /// how far it is. `None` before anything was measured.
    #[must_use]
    pub fn left(&self, running: Option<(u64, Progress)>) -> Option<Duration> {
        let waiting = self.items.iter().filter(|item| item.state == State::Waiting);
        let known = self.items.iter().filter_map(|item| item.pixels).filter(|pixels| *pixels > 0);
        let mean = known.clone().sum::<u64>() / known.count().max(1) as u64;
        let waiting: u64 = waiting.map(|item| item.pixels.unwrap_or(mean)).sum();
        let rest = running.and_then(|(_, progress)| progress.remaining).unwrap_or_default();
        let left = self.rate(running)? * waiting as f64;
        Some(Duration::try_from_secs_f64(left).unwrap_or_default() + rest)
    }

    /// Seconds for a pixel of a photo: of the photos that were done, or else by the tiles of the one
    /// in work.
    #[must_use]
    pub fn rate(&self, running: Option<(u64, Progress)>) -> Option<f64> {
        let Pace { photos, pixels, seconds } = self.pace;
        if photos > 0 {
            return Some(seconds / pixels.max(1) as f64);
        }
        let (id, Progress { done, total, remaining }) = running?;
        let pixels = self.item(id)?.pixels.filter(|pixels| *pixels > 0)? as f64;
        let share = total.checked_sub(done).filter(|left| *left > 0)? as f64 / total as f64;
        Some(remaining?.as_secs_f64() / (pixels * share))
    }

    /// Takes over what the next job needs, which was read before so that what fails for all photos
    /// fails before the first.
    pub fn equip(&mut self, loaded: Loaded, device: Chosen) {
        self.loaded = Some((loaded, device));
    }

    /// Does a job. That it failed is its state, not an error; what it made is returned.
    ///
    /// # Errors
    /// [`Error::Cancelled`] from `watch`, or what writing the journal returns.
    pub fn work(&mut self, id: u64, watch: &mut dyn Watch) -> Result<Option<Made>> {
        let Some(mut task) = self.begin(id)? else { return Ok(None) };
        let outcome = task.run(watch);
        self.end(task, outcome)
    }

    /// Takes a job out to be done, while the queue can be changed.
    ///
    /// # Errors
    /// See [`Self::add`].
    pub fn begin(&mut self, id: u64) -> Result<Option<Task>> {
        let Some(job) = self.item(id).map(|item| item.job.clone()) else { return Ok(None) };
        self.settle_as(id, State::Running)?;
        let photos = match job.on_conflict {
            OnConflict::Overwrite => {
                self.items.iter().filter_map(|item| item.job.source.canonicalize().ok()).collect()
            }
            OnConflict::Number | OnConflict::Skip => HashSet::new(),
        };
        Ok(Some(Task {
            id,
            job,
            tiles: self.tiles(id),
            photos,
            journal: self.journal.clone(),
            loaded: self.loaded.take(),
            pixels: 0,
        }))
    }

    /// Takes back a job, and writes down what became of it.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if that is how it ended: it waits again. See [`Self::add`].
    pub fn end(&mut self, task: Task, outcome: Result<(Done, Made)>) -> Result<Option<Made>> {
        let Task { id, loaded, pixels, .. } = task;
        self.loaded = loaded;
        let (state, made) = match outcome {
            Ok((done, made)) => {
                self.pace.photos += 1;
                self.pace.pixels += pixels;
                self.pace.seconds += done.seconds;
                (State::Done(done), Some(made))
            }
            Err(Error::Cancelled) => {
                match self.item(id) {
                    Some(_) => self.settle_as(id, State::Waiting)?,
                    None => self.forget_tiles(id),
                }
                return Err(Error::Cancelled);
            }
            Err(Error::Exists { path }) => {
                let reason = format!("there is a file of this name already: {}", path.display());
                (State::Skipped { reason }, None)
            }
            Err(error) => (State::Failed { reason: error.sentence() }, None),
        };
        self.settle_as(id, state)?;
        self.forget_tiles(id);
        Ok(made)
    }

    fn write(&self, records: &[Record]) -> Result<()> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).append(records)
    }

    /// Replaces a job, which begins again.
    fn put(&mut self, id: u64, job: Job) -> Result<()> {
        self.write(&[Record::Added { id, job: job.clone() }])?;
        if let Some(item) = self.items.iter_mut().find(|item| item.id == id) {
            *item = Item { pixels: item.pixels, ..Item::new(id, job) };
        }
        Ok(())
    }

    fn settle_as(&mut self, id: u64, state: State) -> Result<()> {
        self.write(&[Record::Became { id, state: state.clone() }])?;
        if let Some(item) = self.items.iter_mut().find(|item| item.id == id) {
            item.state = state;
        }
        Ok(())
    }

    fn tiles(&self, id: u64) -> PathBuf {
        self.folder.join(format!("{id}.tiles"))
    }

    /// Removes the kept tiles of a job, if there are any.
    fn forget_tiles(&self, id: u64) {
        let _none = std::fs::remove_file(self.tiles(id));
    }
}

/// Removes files under construction that earlier runs of the program left in a folder.
fn sweep(folder: &Path, sessions: &[String]) {
    let left: Vec<String> =
        sessions.iter().map(|session| format!("{}{session}-", settings::TEMPORARY)).collect();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if left.iter().any(|prefix| name.starts_with(prefix))
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            log::warn!("{} cannot be removed: {error}", entry.path().display());
        }
    }
}
