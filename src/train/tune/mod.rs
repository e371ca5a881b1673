//! Good settings, found by trying: several short runs against each other (`halving`), or one run
//! that tunes its own strengths (`delta_stn`).
//!
//! Both go by the photos that the best weights are chosen by, never by those of the verdict; both
//! follow from the seed and from how many steps there is time for; and both say what the usual
//! settings gave in the same time.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::{
    delta_stn::SelfTuning,
    halving::{Racers, Rung, bracket, race},
};
use super::{
    Point, TrainOptions, Trainer,
    cost::timed,
    goal::lengthen,
    verdict::{Measure, merit},
};
use crate::{
    device::Chosen,
    error::{Error, Result},
};

mod delta_stn;
mod halving;
mod response;
mod space;
mod strengths;

/// How settings are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Many settings in short runs, of which the best third goes on, again and again
    #[default]
    Halving,
    /// One run that tunes how strongly photos are bent and made worse and weights are held, beside
    /// a run with the usual settings
    DeltaStn,
}

/// Looks at the held-out photos in a run that tunes itself.
const LOOKS: u64 = 8;

/// Settings that were tried, and what became of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// What is other than usual, in words; empty for the usual settings.
    pub changes: String,
    /// Looks at the held-out photos.
    pub looks: Vec<Point>,
}

/// How far the search is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// Share of the time, 0 to 1.
    pub share: f64,
    /// What is done now, in words.
    pub doing: String,
    /// Mean PSNR of the base over the held-out photos, in dB, once it is known.
    pub base_psnr: Option<f64>,
    /// The usual settings first.
    pub tried: Vec<Tried>,
}

/// The strengths of a run that tunes itself, after a look.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mark {
    /// After this many steps.
    pub step: u64,
    /// Names and values.
    pub values: Vec<(&'static str, f64)>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Tuned {
    /// How.
    pub method: Method,
    /// The settings to train with: the usual ones, or with what was found in place.
    pub options: TrainOptions,
    /// Mean PSNR of the base over the held-out photos, in dB.
    pub base_psnr: f64,
    /// The same for the distance of features, where they are compared.
    pub base_distance: Option<f64>,
    /// The usual settings first.
    pub tried: Vec<Tried>,
    /// Which of them was chosen; 0 if the usual ones were.
    pub chosen: usize,
    /// Where the strengths were in a run that tuned itself.
    pub course: Vec<Mark>,
    /// Time spent on training and looking.
    pub seconds: f64,
    /// All of it in words.
    pub sentence: String,
}

/// Time for work; what others take in between does not count.
struct Clock {
    limit: Duration,
    worked: Duration,
}

impl Clock {
    fn work<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let done = work();
        self.worked += begin.elapsed();
        done
    }

    fn left(&self) -> f64 {
        self.limit.saturating_sub(self.worked).as_secs_f64()
    }

    fn share(&self) -> f64 {
        (self.worked.as_secs_f64() / self.limit.as_secs_f64().max(1e-9)).min(1.0)
    }
}

/// Looks for settings for as many minutes. The options say which photos and which base, and are the
/// usual settings; what is found does not change their steps. `watch` hears how far it is before
/// each step, may take its time, and can end it.
///
/// # Errors
/// As [`Trainer::new`] and [`Trainer::step`], [`Error::Setting`] for minutes that are none or for
/// what a method cannot tune, or those of `watch`.
pub fn tune(
    options: TrainOptions,
    method: Method,
    minutes: f64,
    chosen: Chosen,
    watch: &mut dyn FnMut(&Stage) -> Result<()>,
) -> Result<Tuned> {
    let limit = Duration::try_from_secs_f64(60.0 * minutes)
        .ok()
        .filter(|limit| !limit.is_zero())
        .ok_or_else(|| {
        Error::Setting("minutes to look for settings are more than 0".to_owned())
    })?;
    let mut clock = Clock { limit, worked: Duration::ZERO };
    let mut stage =
        Stage { share: 0.0, doing: "getting ready".to_owned(), base_psnr: None, tried: Vec::new() };
    watch(&stage)?;
    let photos = options.photos.clone();
    let host = clock.work(|| {
        let base = Trainer::base_of(&options)?;
        Trainer::new(&photos, base, options, chosen)
    })?;
    stage.base_psnr = Some(host.base_psnr());
    let mut search = Search { host, clock, watch, stage };
    let (tried, found, options, course) = match method {
        Method::Halving => search.halving()?,
        Method::DeltaStn => search.self_tuning()?,
    };
    let Search { host, clock, .. } = search;
    let tuned = Tuned {
        method,
        options,
        base_psnr: host.base_psnr(),
        base_distance: host.base_figures.distance,
        tried,
        chosen: found,
        course,
        seconds: clock.worked.as_secs_f64(),
        sentence: String::new(),
    };
    let sentence = tuned.in_words(host.comparison.measure);
    Ok(Tuned { sentence, ..tuned })
}

/// A search that goes on.
struct Search<'a> {
    /// Has the photos and the usual settings.
    host: Trainer,
    clock: Clock,
    watch: &'a mut dyn FnMut(&Stage) -> Result<()>,
    stage: Stage,
}

/// What was tried, which of it was chosen, the options with it, and where strengths were.
type Found = (Vec<Tried>, usize, TrainOptions, Vec<Mark>);

impl Search<'_> {
    fn tell(&mut self) -> Result<()> {
        self.stage.share = self.clock.share();
        (self.watch)(&self.stage)
    }

    /// Seconds of a step of the usual settings.
    fn step_costs(&mut self) -> Result<f64> {
        let forever = TrainOptions {
            steps: u64::MAX,
            validate_every: u64::MAX,
            ..self.host.options().clone()
        };
        self.stage.doing = "measuring a few steps".to_owned();
        let mut trainer = self.host.fork(forever)?;
        self.timed(&mut || trainer.step().map(drop))
    }

    fn timed(&mut self, step: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
        let Self { clock, watch, stage, .. } = self;
        timed(|| watch(stage), || clock.work(&mut *step))
    }

    fn halving(&mut self) -> Result<Found> {
        let step = self.step_costs()?;
        let look = self.host.base_time.as_secs_f64();
        self.raced(&bracket(self.clock.left() / step, look / step))
    }

    fn raced(&mut self, rungs: &[Rung]) -> Result<Found> {
        let usual = self.host.options().clone();
        let count = rungs.first().map_or(1, |rung| rung.candidates);
        let candidates = space::candidates(&usual, count, usual.seed);
        let steps = rungs.last().map_or(1, |rung| rung.steps);
        self.stage.tried = candidates
            .iter()
            .map(|options| Tried {
                changes: space::changes(&usual, options).join(", "),
                looks: Vec::new(),
            })
            .collect();
        let runs = candidates.iter().map(|_| None).collect();
        let mut contest = Contest { search: self, candidates: &candidates, runs, steps };
        let chosen = race(rungs, &mut contest)?;
        let tried = std::mem::take(&mut self.stage.tried);
        Ok((tried, chosen, space::adopted(&usual, &candidates[chosen]), Vec::new()))
    }

    fn self_tuning(&mut self) -> Result<Found> {
        let usual = self.host.options().clone();
        let costs = self.step_costs()?;
        let look = self.host.base_time.as_secs_f64();
        let forever = TrainOptions { steps: u64::MAX, validate_every: u64::MAX, ..usual.clone() };
        let mut probe = SelfTuning::new(&self.host, forever)?;
        let tuning_costs = self.timed(&mut || probe.step().map(drop))?;
        let of_strengths = self.timed(&mut || probe.tune())?;
        drop(probe);

        // Both runs get half of what is left.
        let half = self.clock.left() / 2.0 - LOOKS as f64 * look;
        let tuning_costs = tuning_costs + of_strengths / delta_stn::STEPS as f64;
        self.compared([costs, tuning_costs].map(|step| ((half / step) as u64).max(2 * LOOKS)))
    }

    /// Runs of so many steps: with the usual settings, and tuning itself.
    fn compared(&mut self, [plain_steps, tuned_steps]: [u64; 2]) -> Result<Found> {
        let usual = self.host.options().clone();
        let lengthened = |steps: u64| {
            let mut options = usual.clone();
            lengthen(&mut options, steps, steps.div_ceil(LOOKS));
            options
        };
        self.stage.tried = vec![Tried { changes: String::new(), looks: Vec::new() }];
        let mut plain = self.host.fork(lengthened(plain_steps))?;
        let mut tuned = SelfTuning::new(&self.host, lengthened(tuned_steps))?;
        let mut course = vec![Mark { step: 0, values: tuned.values() }];
        self.stage.tried.push(Tried { changes: "tunes itself".to_owned(), looks: Vec::new() });
        // Side by side, so that both have had the same time whenever it ends, and the same share of
        // a machine with other work.
        let mut spent = [Duration::ZERO; 2];
        while self.clock.left() > 0.0 {
            let done = [plain.done(), tuned.trainer().done()];
            let next = match (done[0] < plain_steps, done[1] < tuned_steps) {
                (false, false) => break,
                (true, false) => 0,
                (false, true) => 1,
                (true, true) => usize::from(spent[1] < spent[0]),
            };
            self.stage.doing = format!(
                "two runs side by side: step {} of {plain_steps} as usual, step {} of \
                 {tuned_steps} tuning itself",
                done[0], done[1]
            );
            self.tell()?;
            let before = self.clock.worked;
            if next == 0 {
                self.clock.work(|| plain.step())?;
                self.stage.tried[0].looks = plain.history().to_vec();
            } else {
                let report = self.clock.work(|| tuned.step())?;
                if report.validation.is_some() {
                    course.push(Mark { step: report.step, values: tuned.values() });
                    self.stage.tried[1].looks = tuned.trainer().history().to_vec();
                }
            }
            spent[next] += self.clock.worked - before;
        }
        self.clock.work(|| plain.settle())?;
        self.stage.tried[0].looks = plain.history().to_vec();
        self.clock.work(|| tuned.trainer_mut().settle())?;
        let options = tuned.options();
        self.stage.tried[1] = Tried {
            changes: space::changes(&usual, &options).join(", "),
            looks: tuned.trainer().history().to_vec(),
        };
        let measure = self.host.comparison.measure;
        let tried = std::mem::take(&mut self.stage.tried);
        let [plain, tuned] = [0, 1].map(|which| tried[which].best(measure));
        let is_better = tuned > plain;
        let options = if is_better { space::adopted(&usual, &options) } else { usual };
        Ok((tried, usize::from(is_better), options, course))
    }
}

/// Candidates that race.
struct Contest<'a, 'b> {
    search: &'a mut Search<'b>,
    candidates: &'a [TrainOptions],
    /// Those that have begun and are still in the race.
    runs: Vec<Option<Trainer>>,
    /// Of a whole run.
    steps: u64,
}

impl Racers for Contest<'_, '_> {
    fn run(&mut self, candidate: usize, steps: u64) -> Result<Option<f64>> {
        let search = &mut *self.search;
        let count = self.candidates.len();
        if self.runs[candidate].is_none() {
            let mut options = self.candidates[candidate].clone();
            // It looks when a rung ends, not in between.
            lengthen(&mut options, self.steps, self.steps + 1);
            self.runs[candidate] = Some(search.clock.work(|| search.host.fork(options))?);
        }
        let Some(trainer) = &mut self.runs[candidate] else { return Ok(None) };
        while trainer.done() < steps {
            let done = trainer.done();
            let number = candidate + 1;
            search.stage.doing = format!("settings {number} of {count}: step {done} of {steps}");
            search.tell()?;
            if search.clock.left() <= 0.0 {
                return Ok(None);
            }
            match search.clock.work(|| trainer.step()) {
                Ok(_) => {}
                // It diverges again and again.
                Err(Error::Setting(_)) => return Ok(Some(f64::NEG_INFINITY)),
                Err(error) => return Err(error),
            }
        }
        search.clock.work(|| trainer.settle())?;
        trainer.loader.rest();
        let tried = &mut search.stage.tried[candidate];
        tried.looks = trainer.history().to_vec();
        let measure = search.host.comparison.measure;
        // A look at weights that give no picture is none.
        Ok(Some(tried.best(measure)))
    }

    fn leave(&mut self, candidate: usize) {
        self.runs[candidate] = None;
    }
}

impl Tried {
    /// The best look, by what is compared; more is better.
    fn best(&self, measure: Measure) -> f64 {
        self.best_until(u64::MAX, measure)
            .map_or(f64::NEG_INFINITY, |point| point_merit(&point, measure))
    }

    fn best_until(&self, step: u64, measure: Measure) -> Option<Point> {
        let looks = self.looks.iter().filter(|point| point.step <= step);
        let better =
            |a: &&Point, b: &&Point| point_merit(a, measure).total_cmp(&point_merit(b, measure));
        looks.max_by(better).copied()
    }
}

fn point_merit(point: &Point, measure: Measure) -> f64 {
    merit(point.psnr, point.distance, measure)
}

impl Tuned {
    fn in_words(&self, measure: Measure) -> String {
        let gain = |point: Option<Point>| match (point, measure, self.base_distance) {
            (None, ..) => "nothing".to_owned(),
            (Some(point), Measure::FeatureDistance, Some(base)) => {
                let distance = point.distance.unwrap_or(base);
                format!("{:+.4} feature distance", distance - base)
            }
            (Some(point), ..) => format!("{:+.3} dB", point.psnr - self.base_psnr),
        };
        let best = &self.tried[self.chosen];
        if best.looks.is_empty() {
            return "there was too little time to try anything".to_owned();
        }
        // Candidates of a race have had as many steps; the two runs of the other method, as much time.
        let last = match self.method {
            Method::Halving => best.looks.last().map_or(0, |point| point.step),
            Method::DeltaStn => u64::MAX,
        };
        let point = best.best_until(last, measure);
        let reached = point.map_or(f64::NEG_INFINITY, |point| point_merit(&point, measure));
        let base = merit(self.base_psnr, self.base_distance, measure);
        let doubt = if reached > base { "" } else { "; the base itself is not worse yet" };
        let usual = gain(self.tried[0].best_until(last, measure));
        let same = match self.method {
            Method::Halving => format!("after as many steps ({last})"),
            Method::DeltaStn => "in the same time".to_owned(),
        };
        match (self.chosen, self.method) {
            (0, Method::Halving) => format!(
                "the usual settings did best of {}: {usual} on the held-out photos after {last} \
                 steps{doubt}",
                self.tried.len()
            ),
            (0, Method::DeltaStn) => {
                let tuned = self.tried.get(1).map_or_else(String::new, |tuned| {
                    format!(
                        ", the run that tuned itself ({}) {} {same}",
                        tuned.changes,
                        gain(tuned.best_until(last, measure))
                    )
                });
                format!("the usual settings did best: {usual} on the held-out photos{tuned}{doubt}")
            }
            _ => format!(
                "{}: {} on the held-out photos, the usual settings {usual} {same}{doubt}",
                best.changes,
                gain(point)
            ),
        }
    }
}

#[cfg(test)]
mod tests;
