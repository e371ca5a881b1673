//! What a queue remembers on disk: a line for each thing that happened, only ever added to.
//!
//! A line that was cut off by a crash, or holds anything else, is left out. Opening a journal
//! writes it anew, so that it holds what is true now and nothing else.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions, TryLockError},
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Done, Item, Job, State};
use crate::{
    error::{Error, Result},
    settings::{self, Existing},
};

/// Name of the file.
const FILE: &str = "journal.jsonl";

/// Name of the file that whoever works on the queue holds.
const LOCK: &str = "lock";

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    /// A run of the program began to work on the queue; its temporary files bear this name.
    Session(String),
    /// A job is in the queue.
    Added { id: u64, job: Job },
    /// What became of it.
    Became { id: u64, state: State },
    /// Its result is complete and gets its name next.
    Naming { id: u64, done: Done },
    /// A job is not in the queue any more.
    Removed { id: u64 },
    /// The jobs are to be done in this order.
    Order { ids: Vec<u64> },
}

/// What a journal says.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The jobs in their order.
    pub items: Vec<Item>,
    /// Earlier runs of the program.
    pub sessions: Vec<String>,
}

impl Told {
    fn take(&mut self, record: Record) {
        let item = |items: &'_ mut Vec<Item>, id: u64| items.iter().position(|item| item.id == id);
        match record {
            Record::Session(name) => self.sessions.push(name),
            Record::Added { id, job } => {
                let new = Item::new(id, job);
                match item(&mut self.items, id) {
                    Some(place) => self.items[place] = new,
                    None => self.items.push(new),
                }
            }
            Record::Became { id, state } => {
                if let Some(place) = item(&mut self.items, id) {
                    self.items[place].state = state;
                }
            }
            Record::Naming { id, done } => {
                if let Some(place) = item(&mut self.items, id) {
                    self.items[place].named = Some(done);
                }
            }
            Record::Removed { id } => self.items.retain(|item| item.id != id),
            Record::Order { ids } => {
                let places: HashMap<u64, usize> =
                    ids.into_iter().enumerate().map(|(place, id)| (id, place)).collect();
                self.items.sort_by_key(|item| places.get(&item.id).copied().unwrap_or(usize::MAX));
            }
        }
    }
}

/// The file, held by one program at a time.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// Held as long as the file is open.
    _lock: File,
}

impl Journal {
    /// Opens the journal of a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Setting`] if another program works on it; [`Error::Write`] and its kin.
    pub fn open(folder: &Path) -> Result<(Self, Told)> {
        let path = folder.join(FILE);
        let write = |error| Error::write(&path, error);
        std::fs::create_dir_all(folder).map_err(write)?;
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).open(folder.join(LOCK));
        let lock = lock.map_err(write)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Setting(format!(
                    "another Pixmend works on this queue now: {}",
                    folder.display()
                )));
            }
            // Not every network drive has locks.
            Err(TryLockError::Error(error)) => log::warn!("{}: {error}", folder.display()),
        }
        let told = match std::fs::read(&path) {
            Ok(bytes) => replayed(&bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Told::default(),
            Err(error) => return Err(Error::read(&path, error)),
        };
        let file = rewritten(&path, &told)?;
        Ok((Self { path, file, _lock: lock }, told))
    }

    /// Adds lines; they are on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::DiskFull`] or [`Error::Write`].
    pub fn append(&mut self, records: &[Record]) -> Result<()> {
        let bytes = lines(records)?;
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        written.map_err(|error| Error::write(&self.path, error))
    }

    /// Forgets all but these jobs.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn rewrite(&mut self, told: &Told) -> Result<()> {
        self.file = rewritten(&self.path, told)?;
        Ok(())
    }
}

fn replayed(bytes: &[u8]) -> Told {
    let mut told = Told::default();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(record) => told.take(record),
            Err(error) => log::warn!("a line of a queue's journal is left out: {error}"),
        }
    }
    told
}

fn lines(records: &[Record]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for record in records {
        serde_json::to_writer(&mut bytes, record)
            .map_err(|error| Error::Setting(error.to_string()))?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// Replaces the file by one that says the same in as few lines as it takes, and opens it.
fn rewritten(path: &Path, told: &Told) -> Result<File> {
    let sessions = told.sessions.iter().cloned().map(Record::Session);
    let items = told.items.iter().flat_map(|item| {
        let Item { id, job, state, named, .. } = item;
        let id = *id;
        let naming = named.clone().map(|done| Record::Naming { id, done });
        let became =
            (*state != State::Waiting).then(|| Record::Became { id, state: state.clone() });
        [Some(Record::Added { id, job: Job::clone(job) }), naming, became].into_iter().flatten()
    });
    let records: Vec<Record> = sessions.chain(items).collect();
    settings::write(path, &lines(&records)?, Existing::Replace)?;
    let file = OpenOptions::new().append(true).open(path);
    file.map_err(|error| Error::write(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::queue::{OnConflict, operation::Operation};

    fn job(name: &str) -> Job {
        Job {
            source: name.into(),
            place: name.into(),
            target: format!("{name}-4x").into(),
            operation: Operation::Upscale {
                model: "fast-4x".into(),
                ensemble: false,
                device: "cpu".into(),
                options: crate::restore::UpscaleOptions {
                    size: crate::size::Size::Scale(1.7),
                    tile: Some(64),
                    ..Default::default()
                },
            },
            writing: Default::default(),
            receipt: false,
            on_conflict: OnConflict::Number,
        }
    }

    fn records() -> Vec<Record> {
        let done = Done {
            output: "a-4x.png".into(),
            digest: "00".into(),
            content: "11".into(),
            recipe: "22".into(),
            seconds: 0.5,
        };
        let failed = State::Failed { reason: "the file\nis bad".into() };
        vec![
            Record::Session("first".into()),
            Record::Added { id: 0, job: job("a.png") },
            Record::Added { id: 1, job: job("b.png") },
            Record::Became { id: 0, state: State::Running },
            Record::Added { id: 2, job: job("c.png") },
            Record::Naming { id: 0, done },
            Record::Became { id: 0, state: failed },
            Record::Order { ids: vec![2, 0, 1] },
            Record::Removed { id: 1 },
        ]
    }

    fn facts(told: &Told) -> Vec<(u64, Job, State)> {
        let fact = |item: &Item| (item.id, Job::clone(&item.job), item.state.clone());
        told.items.iter().map(fact).collect()
    }

    #[test]
    fn a_journal_says_what_happened_also_after_it_was_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, told) = Journal::open(folder.path()).unwrap();
        assert!(told.items.is_empty());
        journal.append(&records()).unwrap();
        drop(journal);
        let first = facts(&Journal::open(folder.path()).unwrap().1);
        assert_eq!(first.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), [2, 0]);
        assert_eq!(first[1].2, State::Failed { reason: "the file\nis bad".into() });
        assert_eq!(facts(&Journal::open(folder.path()).unwrap().1), first);
    }

    #[test]
    fn a_journal_that_was_cut_off_anywhere_says_what_it_said_before() {
        let whole = lines(&records()).unwrap();
        let mut last = 0;
        for end in 0..=whole.len() {
            let told = replayed(&whole[..end]);
            let complete = whole[..end].iter().filter(|byte| **byte == b'\n').count();
            // A line is whole one byte before its end is written.
            let one_more = whole.get(end) == Some(&b'\n');
            let expected =
                replayed(&lines(&records()[..complete + usize::from(one_more)]).unwrap());
            assert_eq!(facts(&told), facts(&expected), "cut at {end}");
            last = told.items.len();
        }
        assert_eq!(last, 2);
    }

    #[test]
    fn rubbish_in_the_middle_loses_its_line_alone() {
        let mut bytes = lines(&records()).unwrap();
        let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        bytes[second..second + 9].fill(0);
        let told = replayed(&bytes);
        assert_eq!(told.items.iter().map(|item| item.id).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn lines_go_on_after_one_that_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let whole = lines(&records()[..3]).unwrap();
        let path = folder.path().join(FILE);
        settings::write(&path, &whole[..whole.len() - 5], Existing::Refuse).unwrap();
        let (mut journal, told) = Journal::open(folder.path()).unwrap();
        assert_eq!(told.items.len(), 1);
        journal.append(&[Record::Added { id: 7, job: job("new.png") }]).unwrap();
        drop(journal);
        let told = Journal::open(folder.path()).unwrap().1;
        assert_eq!(told.items.iter().map(|item| item.id).collect::<Vec<_>>(), [0, 7]);
    }

    #[test]
    fn one_program_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = Journal::open(folder.path()).unwrap();
        let second = Journal::open(folder.path());
        assert!(second.unwrap_err().to_string().contains("another Pixmend"));
        drop(first);
        Journal::open(folder.path()).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_text_come_back() {
        use std::os::unix::ffi::OsStringExt as _;
        let name = std::ffi::OsString::from_vec(b"caf\xe9.png".to_vec());
        let odd = Job { source: name.into(), ..job("x.png") };
        let written = lines(&[Record::Added { id: 0, job: odd.clone() }]).unwrap();
        assert_eq!(*replayed(&written).items[0].job, odd);
    }
}
