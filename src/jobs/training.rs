//! Training in the background.
//!
//! It has a thread of its own, beside the one on which pictures are enlarged and mended: a run
//! lives for hours, a look at its validation photos for seconds, and neither may keep a photo
//! waiting. Burn orders work by thread and keeps the two apart, also on one device. While a
//! picture is worked on, training rests between its steps for most of the time, so that the
//! picture has the processor and the memory nearly to itself and the run still goes on below a
//! long queue.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use image::RgbImage;

use super::{EventKind, Reporter};
use crate::{
    error::{Error, Result},
    train::{
        Best, Point, StepReport, TrainOptions, Trainer,
        cost::Cost,
        doctor::{Checkup, examine},
        run::{self, Loss, Run, Summary},
        sample::{Preview, preview},
        search::{Search, range_test},
        tune::{Method, Stage, Tuned, tune},
    },
};

/// Steps of a learning-rate range test.
const RANGE_STEPS: u64 = 100;

/// How long training rests after a step while a picture is worked on, in steps.
const REST: u32 = 3;

/// A step counts as no longer than this.
const LONGEST: Duration = Duration::from_secs(20);

/// How long it takes at most until a wish is heard while training rests.
const NAP: Duration = Duration::from_millis(40);

/// What is to be done.
#[derive(Debug)]
pub enum Task {
    /// Look for what is wrong with photos.
    Examine {
        /// Files and folders.
        places: Vec<PathBuf>,
        /// Side of the large crops in pixels.
        crop: u32,
    },
    /// Show what training makes of a photo.
    Preview {
        /// Its file.
        photo: PathBuf,
        /// They name the base and the degradation.
        options: TrainOptions,
    },
    /// Find out what a step costs.
    Measure {
        /// Of the run.
        options: TrainOptions,
        /// As [`Chosen::by_name`](crate::device::Chosen::by_name) takes it.
        device: String,
    },
    /// Try rising learning rates.
    FindRate {
        /// Of the run.
        options: TrainOptions,
        /// As [`Chosen::by_name`](crate::device::Chosen::by_name) takes it.
        device: String,
    },
    /// Look for settings that suit the photos.
    Tune {
        /// Of the run: the usual ones.
        options: TrainOptions,
        /// How.
        method: Method,
        /// How long.
        minutes: f64,
        /// As [`Chosen::by_name`](crate::device::Chosen::by_name) takes it.
        device: String,
    },
    /// Begin a run and stay with it.
    Begin {
        /// Holds the folders of all runs.
        runs: PathBuf,
        /// Name of the new model.
        name: String,
        /// They say which photos, too.
        options: TrainOptions,
        /// As [`Chosen::by_name`](crate::device::Chosen::by_name) takes it.
        device: String,
        /// For pausing and stopping.
        control: Control,
    },
    /// Go on with a run; of one that is over, show what became of it.
    Resume {
        /// Of the run.
        folder: PathBuf,
        /// As [`Chosen::by_name`](crate::device::Chosen::by_name) takes it.
        device: String,
        /// For pausing and stopping.
        control: Control,
    },
    /// Find the runs in a folder.
    List(PathBuf),
    /// Remove a run, and find those that are left beside it.
    Delete(PathBuf),
}

impl Task {
    /// Whether others may have to wait for it.
    pub(super) const fn is_long(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Delete(_))
    }
}

/// What the user wants of a run that goes on. To leave it as it is, cancel its job.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<AtomicU8>);

const GO: u8 = 0;
const PAUSE: u8 = 1;
const STOP: u8 = 2;

impl Control {
    /// Rests after this step, and keeps the run on disk.
    pub fn pause(&self) {
        self.0.store(PAUSE, Ordering::Relaxed);
    }

    /// Ends a pause.
    pub fn go_on(&self) {
        self.0.store(GO, Ordering::Relaxed);
    }

    /// Ends the run after this step, with its verdict.
    pub fn stop(&self) {
        self.0.store(STOP, Ordering::Relaxed);
    }

    fn wants(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is told on the way.
#[derive(Debug)]
pub enum News {
    /// So many photos are examined, out of so many.
    Examining(usize, usize),
    /// All are.
    Examined(Checkup),
    /// What becomes of a photo.
    Previewed(Preview),
    /// What steps cost.
    Measured(Cost),
    /// So many rates are tried, out of so many.
    Trying(u64, u64),
    /// What the range test has found.
    Found(Search),
    /// How far the search for settings is.
    Tuning(Box<Stage>),
    /// What it has found.
    Tuned(Box<Tuned>),
    /// All runs, the last one first.
    Runs(Vec<Summary>),
    /// A run begins or goes on.
    Began(Box<Course>),
    /// A step is done.
    Step(Pace),
    /// The validation photos were looked at.
    Looked(Box<Look>),
    /// All is on disk, and the run waits.
    Paused,
    /// The held-out photos are compared.
    Judging,
    /// The run is over; its summary has the verdict.
    Judged(Box<Summary>),
}

/// A run so far.
#[derive(Debug)]
pub struct Course {
    /// Its name, folder and checkpoints.
    pub summary: Summary,
    /// Photos to learn from, to choose by, and for the verdict.
    pub photos: [usize; 3],
    /// What it runs on.
    pub device: String,
    /// All looks.
    pub history: Vec<Point>,
    /// The best of them.
    pub best: Option<Best>,
    /// All steps.
    pub losses: Vec<Loss>,
    /// A held-out photo as the network gets it.
    pub before: Arc<RgbImage>,
    /// The same by the base.
    pub base: Arc<RgbImage>,
    /// The same by the weights that are kept, with their steps.
    pub tuned: Vec<(u64, Arc<RgbImage>)>,
}

/// A step, and how fast they come.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// What it did.
    pub report: StepReport,
    /// Crops that are learnt from in a second.
    pub crops_per_second: f64,
    /// Until all steps are done.
    pub seconds_left: f64,
}

/// A look at the validation photos.
#[derive(Debug)]
pub struct Look {
    /// What was seen.
    pub point: Point,
    /// The best so far.
    pub best: Option<Best>,
    /// With the weights that are kept now.
    pub summary: Summary,
    /// The held-out photo by these weights.
    pub tuned: Option<Arc<RgbImage>>,
}

impl Reporter<'_> {
    fn tell(&self, news: News) {
        self.send(EventKind::Training(news));
    }

    fn going_on(&self) -> Result<()> {
        if self.handle.is_cancelling() { Err(Error::Cancelled) } else { Ok(()) }
    }

    pub(super) fn training(&mut self, task: Task) -> Result<()> {
        match task {
            Task::Examine { places, crop } => {
                let (outbox, wake, handle) = (self.outbox, self.wake, self.handle);
                let checkup = examine(&places, crop, |done, total| {
                    if handle.is_cancelling() {
                        return Err(Error::Cancelled);
                    }
                    let kind = EventKind::Training(News::Examining(done, total));
                    // Nobody listens any more while the program ends.
                    let _sent = outbox.send(super::Event { id: handle.id, kind });
                    wake();
                    Ok(())
                })?;
                self.tell(News::Examined(checkup));
            }
            Task::Preview { photo, options } => {
                self.tell(News::Previewed(preview(&photo, &options)?));
            }
            Task::Measure { options, device } => {
                let (photos, device) = (options.photos.clone(), self.chosen(&device)?);
                let cost = Cost::measure(&photos, options, device, || self.going_on())?;
                self.tell(News::Measured(cost));
            }
            Task::FindRate { options, device } => {
                let (photos, device) = (options.photos.clone(), self.chosen(&device)?);
                let base = Trainer::base_of(&options)?;
                let trainer = Trainer::new(&photos, base, options, device)?;
                let search = range_test(trainer, RANGE_STEPS, |step| {
                    self.tell(News::Trying(step, RANGE_STEPS));
                    self.going_on()
                })?;
                self.tell(News::Found(search));
            }
            Task::Tune { options, method, minutes, device } => {
                let device = self.chosen(&device)?;
                let (nobody, mut begin) = (Control::default(), Instant::now());
                let tuned = tune(options, method, minutes, device, &mut |stage| {
                    self.rest(REST * begin.elapsed().min(LONGEST), &nobody);
                    self.tell(News::Tuning(Box::new(stage.clone())));
                    begin = Instant::now();
                    self.going_on()
                })?;
                self.tell(News::Tuned(Box::new(tuned)));
            }
            Task::Begin { runs, name, options, device, control } => {
                let device = self.chosen(&device)?;
                let name_of_device = device.name().to_owned();
                let run = Run::begin(&runs, &name, options, device)?;
                self.train(run, name_of_device, &control)?;
            }
            Task::Resume { folder, device, control } => {
                let device = self.chosen(&device)?;
                let name_of_device = device.name().to_owned();
                self.train(Run::resume(&folder, device)?, name_of_device, &control)?;
            }
            Task::List(folder) => self.tell(News::Runs(run::list(&folder))),
            Task::Delete(folder) => {
                run::delete(&folder)?;
                let runs = folder.parent().map(run::list);
                self.tell(News::Runs(runs.unwrap_or_default()));
            }
        }
        Ok(())
    }

    /// Stays with a run until it is over or the user wants something else.
    fn train(&self, mut run: Run, device: String, control: &Control) -> Result<()> {
        self.tell(News::Began(Box::new(course(&run, device))));
        if run.summary().verdict.is_some() {
            return Ok(());
        }
        let (mut steps, mut worked) = (0_u32, Duration::ZERO);
        while !run.trainer().is_over() && control.wants() != STOP {
            if self.handle.is_cancelling() {
                run.save()?;
                return Err(Error::Cancelled);
            }
            if control.wants() == PAUSE {
                run.save()?;
                self.tell(News::Paused);
                while control.wants() == PAUSE && !self.handle.is_cancelling() {
                    std::thread::sleep(NAP);
                }
                continue;
            }
            let begin = Instant::now();
            let report = match run.step() {
                Ok(report) => report,
                Err(error) => {
                    // What was learnt so far must not be lost with it.
                    run.save()?;
                    return Err(error);
                }
            };
            let took = begin.elapsed();
            (steps, worked) = (steps + 1, worked + took);
            let mean = worked.as_secs_f64() / f64::from(steps);
            let options = run.trainer().options();
            self.tell(News::Step(Pace {
                report,
                crops_per_second: (options.batch * options.accumulate) as f64 / mean.max(1e-9),
                seconds_left: mean * options.steps.saturating_sub(report.step) as f64,
            }));
            if report.validation.is_some() {
                self.tell_look(&run);
            }
            self.rest(REST * took.min(LONGEST), control);
        }
        self.tell(News::Judging);
        run.finish(|| self.going_on())?;
        self.tell_look(&run);
        self.tell(News::Judged(Box::new(run.summary().clone())));
        Ok(())
    }

    fn tell_look(&self, run: &Run) {
        let trainer = run.trainer();
        if let Some(point) = trainer.history().last().copied() {
            let tuned = run.tuned().last().map(|(_, picture)| picture.clone());
            let (best, summary) = (trainer.best(), run.summary().clone());
            self.tell(News::Looked(Box::new(Look { point, best, summary, tuned })));
        }
    }

    /// Leaves the device to a picture that is worked on.
    fn rest(&self, most: Duration, control: &Control) {
        let begin = Instant::now();
        let busy = || self.busy.is_busy();
        while busy()
            && begin.elapsed() < most
            && control.wants() == GO
            && !self.handle.is_cancelling()
        {
            std::thread::sleep(NAP.min(most));
        }
    }
}

fn course(run: &Run, device: String) -> Course {
    let (trainer, sample) = (run.trainer(), run.sample());
    let split = trainer.split();
    Course {
        summary: run.summary().clone(),
        photos: [split.train.len(), split.validation.len(), split.test.len()],
        device,
        history: trainer.history().to_vec(),
        best: trainer.best(),
        losses: run.losses().to_vec(),
        before: Arc::new(sample.before.clone()),
        base: Arc::new(sample.base.clone()),
        tuned: run.tuned().to_vec(),
    }
}
