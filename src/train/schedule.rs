//! The learning rate over a run.

use serde::{Deserialize, Serialize};

/// How the rate changes from step to step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// The same throughout, after the warm-up.
    Constant,
    /// Half a cosine down to a hundredth: I. Loshchilov and F. Hutter, "SGDR", 2017.
    #[default]
    Cosine,
    /// Up over the first third and down to a hundredth over the rest, both along a cosine: L.
    /// Smith, "Super-convergence", 2018.
    OneCycle,
}

/// The last rate over the highest one.
const FLOOR: f64 = 0.01;

impl Schedule {
    /// The rate at `step` of `steps`; `peak` is the highest, reached after `warm_up` steps.
    #[must_use]
    pub fn rate(self, step: u64, steps: u64, peak: f64, warm_up: u64) -> f64 {
        let down = |part: f64| {
            let cosine = 0.5 + 0.5 * (std::f64::consts::PI * part.clamp(0.0, 1.0)).cos();
            peak * (FLOOR + (1.0 - FLOOR) * cosine)
        };
        let part = |from: u64, to: u64| {
            step.saturating_sub(from) as f64 / to.saturating_sub(from).max(1) as f64
        };
        match self {
            _ if self != Self::OneCycle && step < warm_up => {
                peak * (step + 1) as f64 / warm_up as f64
            }
            Self::Constant => peak,
            Self::Cosine => down(part(warm_up, steps)),
            Self::OneCycle if step < steps / 3 => down(1.0 - part(0, steps / 3)),
            Self::OneCycle => down(part(steps / 3, steps)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_and_fall_as_they_should() {
        let rate = |schedule: Schedule, step| schedule.rate(step, 300, 1.0, 10);
        for schedule in [Schedule::Constant, Schedule::Cosine] {
            assert!((rate(schedule, 0) - 0.1).abs() < 1e-9);
            assert!((rate(schedule, 10) - 1.0).abs() < 1e-9);
        }
        assert!((rate(Schedule::Constant, 299) - 1.0).abs() < 1e-9);
        assert!((rate(Schedule::Cosine, 155) - 0.505).abs() < 1e-3);
        assert!((rate(Schedule::Cosine, 300) - 0.01).abs() < 1e-9);
        assert!((rate(Schedule::OneCycle, 0) - 0.01).abs() < 1e-9);
        assert!((rate(Schedule::OneCycle, 100) - 1.0).abs() < 1e-9);
        assert!((rate(Schedule::OneCycle, 300) - 0.01).abs() < 1e-9);
    }
}
