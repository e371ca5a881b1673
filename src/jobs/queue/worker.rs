//! The thread that works a queue off while a window shows it.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, unbounded};

use super::{
    Counts, Item, OnConflict, Queue, State, Watch,
    find::{Found, find},
    naming::{self, Template},
    operation::Operation,
};
use crate::{
    encoding::Writing,
    error::{Error, Result},
    jobs::Busy,
    mask::sidecar,
    restore::Progress,
};

/// How long the thread sleeps while it gives way.
const PAUSE: Duration = Duration::from_millis(20);

/// Headers that are read between two looks at the orders.
const HEADERS: usize = 8;

/// What is done with photos, and where the results go.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What is done.
    pub operation: Operation,
    /// How results are written.
    pub writing: Writing,
    /// What was done is saved beside each result.
    pub receipt: bool,
    /// The folder for the results; `None` for that of each photo.
    pub folder: Option<PathBuf>,
    /// Names of the results; `None` for the usual.
    pub template: Option<Template>,
    /// When a name is taken.
    pub on_conflict: OnConflict,
}

/// What the window wants.
#[derive(Clone, Debug)]
pub enum Order {
    /// Photos and folders of them come into the queue.
    Add(Vec<PathBuf>, Plan),
    /// All that waits is to be done like this.
    Settle(Plan),
    /// Jobs leave the queue; one in work is stopped.
    Remove(Vec<u64>),
    /// A job gets another place, counted from 0.
    Shift(u64, usize),
    /// Jobs are to be done again.
    Retry(Vec<u64>),
    /// Work begins, or goes on.
    Start,
    /// Work stops before the next tile.
    Pause,
}

/// What the window is told.
#[derive(Debug)]
pub enum News {
    /// The queue as it is now.
    List {
        /// All jobs in their order.
        items: Vec<Item>,
        /// In which states they are.
        counts: Counts,
        /// Whether they are being worked off.
        works: bool,
    },
    /// A photo is in work.
    Running(Running),
    /// Nothing waits any more.
    Finished(Counts),
    /// Something to know.
    Note(String),
    /// Something that could not be done; photos that fail are in the list.
    Failed(Error),
}

/// How far the photo in work is.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// Its job.
    pub id: u64,
    /// Pixels of its result.
    pub progress: Progress,
    /// Until nothing waits any more; `None` before anything was measured.
    pub left: Option<Duration>,
    /// Seconds for a pixel of a photo, as far as that is known.
    pub rate: Option<f64>,
    /// Whether it gives way to the user's own job.
    pub gives_way: bool,
}

/// The thread. Dropping it stops the work before the next tile and waits for that.
#[derive(Debug)]
pub struct Worker {
    orders: Option<Sender<Order>>,
    news: Receiver<News>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Opens the queue that lives in a folder; `wake` is called after every news.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        folder: PathBuf,
        busy: Busy,
        wake: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (orders, inbox) = unbounded();
        let (outbox, news) = unbounded();
        let thread = std::thread::Builder::new().name("queue".to_owned()).spawn(move || {
            let tell = move |news| {
                // Nobody listens any more while the program ends.
                let _sent = outbox.send(news);
                wake();
            };
            match Queue::open(&folder) {
                Ok(queue) => {
                    forget_masks(&folder, &queue);
                    // A list that was worked off to its end is history.
                    let unchecked = queue.next().is_some();
                    let (works, any, tell) = (false, false, &tell);
                    Foreman { queue, inbox, tell, busy, works, any, unchecked }.run();
                }
                Err(error) => {
                    let words = error.sentence();
                    for order in inbox {
                        if matches!(order, Order::Add(..)) {
                            tell(News::Failed(Error::Setting(words.clone())));
                        }
                    }
                }
            }
        })?;
        Ok(Self { orders: Some(orders), news, thread: Some(thread) })
    }

    /// Asks for something; it happens soon.
    pub fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // It fails only if the thread is gone, which ends with `self`.
            let _sent = orders.send(order);
        }
    }

    /// What happened since the last call. Never waits.
    pub fn news(&self) -> impl Iterator<Item = News> + '_ {
        self.news.try_iter()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// Removes the masks that a window kept beside the queue for jobs that are no longer in it.
fn forget_masks(folder: &Path, queue: &Queue) {
    let operations = queue.items().iter().map(|item| &item.job.operation);
    let used = operations.flat_map(|operation| [operation.mask(), operation.protection()]);
    let used: HashSet<&Path> = used.flatten().collect();
    let endings = [sidecar::path_for, sidecar::protection_for]
        .map(|of| of(Path::new("")).to_string_lossy().into_owned());
    for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = file.path();
        let name = path.to_string_lossy();
        if endings.iter().any(|ending| name.ends_with(ending))
            && !used.contains(&*path)
            && let Err(error) = std::fs::remove_file(&path)
        {
            log::warn!("{} cannot be removed: {error}", path.display());
        }
    }
}

/// Does what it is told, and the work in between.
struct Foreman<'a> {
    queue: Queue,
    inbox: Receiver<Order>,
    tell: &'a dyn Fn(News),
    busy: Busy,
    works: bool,
    /// Something was done since work began.
    any: bool,
    /// Photos may have changed since the program was closed.
    unchecked: bool,
}

/// Nobody gives orders any more.
struct Gone;

impl Foreman<'_> {
    fn run(mut self) {
        self.list();
        loop {
            if self.take_orders().is_err() {
                return;
            }
            let next = self.queue.next().filter(|_| self.works);
            match next {
                Some(id) => self.work(id),
                None if self.works => {
                    self.works = false;
                    self.list();
                    if std::mem::take(&mut self.any) {
                        (self.tell)(News::Finished(self.queue.counts()));
                    }
                }
                None if self.queue.measure(HEADERS) => {}
                None => match self.inbox.recv() {
                    Ok(order) => self.take(order),
                    Err(_) => return,
                },
            }
        }
    }

    fn take_orders(&mut self) -> Result<(), Gone> {
        loop {
            match self.inbox.try_recv() {
                Ok(order) => self.take(order),
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Gone),
            }
        }
    }

    fn work(&mut self, id: u64) {
        let mut task = match self.queue.begin(id) {
            Ok(Some(task)) => task,
            Ok(None) => return,
            Err(error) => return self.give_up(error),
        };
        self.list();
        self.any = true;
        let outcome = task.run(&mut Looker { foreman: self, id });
        match self.queue.end(task, outcome) {
            Ok(_) | Err(Error::Cancelled) => self.list(),
            Err(error) => self.give_up(error),
        }
    }

    /// What was to be written down could not be.
    fn give_up(&mut self, error: Error) {
        self.works = false;
        self.list();
        (self.tell)(News::Failed(error));
    }

    fn take(&mut self, order: Order) {
        let outcome = match order {
            Order::Add(places, plan) => self.add(&places, &plan),
            Order::Settle(plan) => self.settle(&plan),
            Order::Remove(ids) => self.queue.remove(&ids),
            Order::Shift(id, to) => self.queue.shift(id, to),
            Order::Retry(ids) => ids.into_iter().try_for_each(|id| self.queue.retry(id)),
            Order::Start => {
                self.works = true;
                if std::mem::take(&mut self.unchecked) { self.check() } else { Ok(()) }
            }
            Order::Pause => {
                self.works = false;
                Ok(())
            }
        };
        self.list();
        if let Err(error) = outcome {
            (self.tell)(News::Failed(error));
        }
    }

    /// Takes photos in.
    fn add(&mut self, places: &[PathBuf], plan: &Plan) -> Result<()> {
        let output = plan.folder.as_deref().unwrap_or(Path::new(""));
        let mut findings = find(places, true, output)?;
        // Results that lie beside their photos are no photos to begin with.
        let made: HashSet<&PathBuf> = self.queue.items().iter().filter_map(output_of).collect();
        findings.photos.retain(|photo| !made.contains(&photo.source));
        if let Some(words) = findings.left_out_in_words() {
            (self.tell)(News::Note(words));
        }
        findings.unread.into_iter().for_each(|error| (self.tell)(News::Failed(error)));
        if findings.photos.is_empty() {
            return Err(Error::NoPictures { path: places.first().cloned().unwrap_or_default() });
        }
        let taken = self.queue.items().iter().map(|item| item.job.target.clone());
        let jobs = planned(&findings.photos, plan, taken.collect());
        self.queue.add(jobs)
    }

    /// What was done before the program was started is done anew where the photo is another now.
    fn check(&mut self) -> Result<()> {
        let done = self.queue.items().iter().filter(|item| output_of(item).is_some());
        let ids: Vec<u64> = done.map(|item| item.id).collect();
        ids.into_iter().try_for_each(|id| self.queue.check_content(id).map(drop))
    }

    fn settle(&mut self, plan: &Plan) -> Result<()> {
        let (waiting, others): (Vec<&Item>, Vec<&Item>) =
            self.queue.items().iter().partition(|item| item.state == State::Waiting);
        let found = |item: &&Item| Found {
            source: item.job.source.clone(),
            relative: item.job.place.clone(),
        };
        let photos: Vec<Found> = waiting.iter().map(found).collect();
        let taken = others.iter().map(|item| item.job.target.clone()).collect();
        let ids: Vec<u64> = waiting.iter().map(|item| item.id).collect();
        self.queue.settle(ids.into_iter().zip(planned(&photos, plan, taken)).collect())
    }

    fn list(&self) {
        (self.tell)(News::List {
            items: self.queue.items().to_vec(),
            counts: self.queue.counts(),
            works: self.works,
        });
    }
}

fn output_of(item: &Item) -> Option<&PathBuf> {
    match &item.state {
        State::Done(done) => Some(&done.output),
        _ => None,
    }
}

/// Jobs by a plan; `taken` are names of other results.
fn planned(photos: &[Found], plan: &Plan, taken: Vec<PathBuf>) -> Vec<super::Job> {
    let usual = || Template::usual(&plan.operation);
    let template = plan.template.clone().unwrap_or_else(usual);
    let names = |photos: &[Found], folder: &Path| {
        naming::jobs(
            photos,
            folder,
            (&plan.operation, plan.writing),
            &template,
            plan.on_conflict,
            taken,
        )
    };
    let mut jobs = match &plan.folder {
        Some(folder) => names(photos, folder),
        None => {
            // The photo's own folder is where its own path leads.
            let beside = |photo: &Found| Found {
                source: photo.source.clone(),
                relative: photo.source.clone(),
            };
            let mut jobs = names(&photos.iter().map(beside).collect::<Vec<_>>(), Path::new(""));
            for (job, photo) in jobs.iter_mut().zip(photos) {
                job.place.clone_from(&photo.relative);
            }
            jobs
        }
    };
    jobs.iter_mut().for_each(|job| job.receipt = plan.receipt);
    jobs
}

/// Tells the window about the photo in work, and hears its orders.
struct Looker<'a, 'b> {
    foreman: &'a mut Foreman<'b>,
    id: u64,
}

impl Watch for Looker<'_, '_> {
    fn progress(&mut self, progress: Progress) -> Result<()> {
        let Self { foreman, id } = self;
        if progress.done == progress.total {
            return Ok(());
        }
        let mut told = false;
        loop {
            let gone = foreman.take_orders().is_err();
            let removed = foreman.queue.item(*id).is_none();
            if gone || removed || !foreman.works {
                return Err(Error::Cancelled);
            }
            let gives_way = foreman.busy.is_busy();
            if !told || !gives_way {
                told = true;
                // Between tiles is time for a few headers of what waits.
                if foreman.queue.measure(HEADERS) {
                    foreman.list();
                }
                let in_work = Some((*id, progress));
                let (left, rate) = (foreman.queue.left(in_work), foreman.queue.rate(in_work));
                let running = Running { id: *id, progress, left, rate, gives_way };
                (foreman.tell)(News::Running(running));
            }
            if !gives_way {
                return Ok(());
            }
            match foreman.inbox.recv_timeout(PAUSE) {
                Ok(order) => foreman.take(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Cancelled),
            }
        }
    }

    fn note(&mut self, note: &str) {
        let name = self
            .foreman
            .queue
            .item(self.id)
            .and_then(|item| Some(item.job.source.file_name()?.to_string_lossy().into_owned()));
        (self.foreman.tell)(News::Note(format!("{}: {note}", name.unwrap_or_default())));
    }
}
