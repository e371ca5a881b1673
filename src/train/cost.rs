//! What a run costs on a device, measured by a few real steps.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{TrainOptions, Trainer};
use crate::{device::Chosen, error::Result};

/// The first step also makes what all steps use.
const WARM_UP: usize = 1;

/// So many steps are measured, or as many as fit into the time.
const STEPS: usize = 8;
const TIME: Duration = Duration::from_secs(6);

/// Share of a run that looks at the validation photos may take.
const LOOKING: f64 = 0.12;

/// Looks in a run at least, so that its course is seen, and at most.
const LOOKS: (f64, f64) = (12.0, 40.0);

/// Times on one device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Of the device, for people.
    pub device: String,
    /// Seconds of a step.
    pub step: f64,
    /// Seconds of a look at the validation photos.
    pub look: f64,
    /// Crops in a step.
    pub crops: usize,
}

impl Cost {
    /// Measures it. `each` is asked before each step and can end it.
    ///
    /// # Errors
    /// As [`Trainer::new`] and [`Trainer::step`], or those of `each`.
    pub fn measure(
        photos: &[PathBuf],
        options: TrainOptions,
        chosen: Chosen,
        mut each: impl FnMut() -> Result<()>,
    ) -> Result<Self> {
        let (device, crops) = (chosen.name().to_owned(), options.batch * options.accumulate);
        let base = Trainer::base_of(&options)?;
        // None of these few steps shall look.
        let options = TrainOptions { validate_every: u64::MAX, steps: u64::MAX, ..options };
        let mut trainer = Trainer::new(photos, base, options, chosen)?;
        let look = trainer.base_time.as_secs_f64();
        let step = timed(&mut each, || trainer.step().map(drop))?;
        Ok(Self { device, step, look, crops })
    }

    /// Steps that fit into so many minutes, and how many of them are from one look to the next.
    #[must_use]
    pub fn fitted(&self, minutes: f64) -> (u64, u64) {
        let seconds = 60.0 * minutes;
        // What a look costs is spread over the steps before it.
        let rare = self.look / (LOOKING * self.step);
        let steps = seconds / self.step;
        let every = rare.max(steps / LOOKS.1).min(steps / LOOKS.0).max(1.0).ceil();
        let steps = seconds / (self.step + self.look / every);
        ((steps as u64).max(1), every as u64)
    }

    /// Crops that are learnt from in a second.
    #[must_use]
    pub fn speed(&self) -> f64 {
        self.crops as f64 / self.step.max(1e-9)
    }
}

/// Seconds that a step takes: the median of a few, which other work on the machine may hold up,
/// after one that is not counted. `each` is asked before each of them and can end it.
pub(super) fn timed(
    mut each: impl FnMut() -> Result<()>,
    mut step: impl FnMut() -> Result<()>,
) -> Result<f64> {
    for _ in 0..WARM_UP {
        each()?;
        step()?;
    }
    let (begin, mut times) = (Instant::now(), Vec::new());
    while times.is_empty() || (times.len() < STEPS && begin.elapsed() < TIME) {
        each()?;
        let before = Instant::now();
        step()?;
        times.push(before.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_was_held_up_does_not_count() {
        let mut steps = 0;
        let costs = timed(
            || Ok(()),
            || {
                steps += 1;
                // The first one makes what all use.
                let slow = steps == 1 || steps == 3;
                std::thread::sleep(Duration::from_millis(if slow { 400 } else { 2 }));
                Ok(())
            },
        );
        assert!((0.002..0.1).contains(&costs.unwrap()) && steps == WARM_UP + STEPS);
    }

    #[test]
    fn minutes_become_steps_with_looks_in_between() {
        let cost = |step, look| Cost { device: String::new(), step, look, crops: 16 };
        for (step, look) in [(0.5, 4.0), (0.01, 0.05), (0.2, 30.0), (3.0, 60.0)] {
            for minutes in [5.0, 20.0, 60.0] {
                let (steps, every) = cost(step, look).fitted(minutes);
                let spent = steps as f64 * step + (steps / every) as f64 * look;
                assert!(spent <= 60.0 * minutes * 1.01, "{step} {look} {minutes}: {spent}");
                assert!(spent >= 60.0 * minutes * 0.75, "{step} {look} {minutes}: {spent}");
                let looks = steps / every;
                assert!(looks >= 3, "{step} {look} {minutes}: {looks} looks");
            }
        }
        assert_eq!(cost(1e9, 1.0).fitted(5.0).0, 1);
    }
}
