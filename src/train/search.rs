//! The learning-rate range test: which rate suits a network and photos.
//!
//! L. Smith, "Cyclical learning rates for training neural networks", 2017: the rate rises from
//! far too low to far too high while the loss is watched.

use std::fmt::Write as _;

use serde::Serialize;

use super::Trainer;
use crate::error::Result;

/// Lowest and highest rate that are tried.
const RATES: (f64, f64) = (1e-6, 1.0);

/// The test ends when the loss is this many times its best.
const ENOUGH: f64 = 4.0;

/// What the test has found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Search {
    /// Rate and smoothed loss of each step.
    pub points: Vec<(f64, f64)>,
    /// Where the loss falls fastest.
    pub steepest: f64,
    /// A tenth of the rate at the lowest loss.
    pub tenth_of_lowest: f64,
}

/// Tries rising rates for at most `steps` steps. The trainer is spent afterwards: begin the run
/// with a new one.
///
/// # Errors
/// Those of reading photos.
pub fn range_test(
    mut trainer: Trainer,
    steps: u64,
    mut each: impl FnMut(u64) -> Result<()>,
) -> Result<Search> {
    let factor = (RATES.1 / RATES.0).powf(1.0 / steps.max(2) as f64);
    let (mut rate, mut points, mut mean, mut lowest) = (RATES.0, Vec::new(), 0.0, f64::INFINITY);
    for step in 0..steps {
        each(step)?;
        let (loss, learnt) = trainer.update(rate, 0.0)?;
        if !learnt {
            break;
        }
        // Corrected for its start at zero, as Adam does with its moments.
        mean = 0.9 * mean + 0.1 * loss;
        let smooth = mean / (1.0 - 0.9_f64.powi(step as i32 + 1));
        lowest = smooth.min(lowest);
        points.push((rate, smooth));
        if smooth > ENOUGH * lowest {
            break;
        }
        rate *= factor;
    }
    Ok(found(points))
}

fn found(points: Vec<(f64, f64)>) -> Search {
    /// Slopes are over several points, as that of two neighbours is mostly chance; so is a mean of
    /// fewer losses.
    const SPAN: usize = 8;
    let settled = points.iter().skip(SPAN - 1);
    let lowest = settled.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(RATES.0, |point| point.0);
    let falls = points.windows(SPAN).filter(|window| window[SPAN - 1].0 <= lowest);
    let slope = |window: &&[(f64, f64)]| {
        (window[SPAN - 1].1 - window[0].1) / (window[SPAN - 1].0 / window[0].0).ln()
    };
    let steepest = falls.min_by(|a, b| slope(a).total_cmp(&slope(b)));
    let steepest = steepest.map_or(lowest / 10.0, |window| window[SPAN / 2].0);
    Search { points, steepest, tenth_of_lowest: lowest / 10.0 }
}

impl Search {
    /// Loss against rate as an SVG picture.
    #[must_use]
    pub fn svg(&self) -> String {
        const SIZE: (f64, f64) = (640.0, 360.0);
        const EDGE: f64 = 48.0;
        let losses = || self.points.iter().map(|point| point.1);
        let (low, high) = (losses().fold(f64::INFINITY, f64::min), losses().fold(0.0, f64::max));
        let decades = (RATES.1 / RATES.0).log10();
        let across = |rate: f64| EDGE + (rate / RATES.0).log10() / decades * (SIZE.0 - 2.0 * EDGE);
        let down = |loss: f64| {
            let part = (loss - low) / (high - low).max(f64::MIN_POSITIVE);
            SIZE.1 - EDGE - part * (SIZE.1 - 2.0 * EDGE)
        };
        let mut line = String::new();
        for (rate, loss) in &self.points {
            let _infallible = write!(line, "{:.1},{:.1} ", across(*rate), down(*loss));
        }
        let mut marks = String::new();
        for exponent in -6..=0 {
            let x = across(10_f64.powi(exponent));
            let y = SIZE.1 - EDGE / 2.0;
            let _infallible = write!(
                marks,
                r##"<text x="{x:.0}" y="{y:.0}" text-anchor="middle">1e{exponent}</text>"##
            );
        }
        for (rate, name) in
            [(self.steepest, "steepest"), (self.tenth_of_lowest, "a tenth of the lowest")]
        {
            let (x, bottom) = (across(rate), SIZE.1 - EDGE);
            let _infallible = write!(
                marks,
                r##"<path d="M{x:.1} {EDGE}V{bottom}" stroke="#c60" stroke-dasharray="4"/><text x="{x:.0}" y="{:.0}" text-anchor="middle">{name}: {rate:.1e}</text>"##,
                if name == "steepest" { EDGE - 24.0 } else { EDGE - 8.0 }
            );
        }
        let (width, height) = SIZE;
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/><polyline points="{line}" fill="none" stroke="#222" stroke-width="1.5"/>{marks}<text x="{EDGE}" y="16">loss ({low:.4} to {high:.4}) against learning rate</text></svg>"##
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suggestions_follow_the_curve() {
        // Flat, then falling around 1e-3, lowest at 1e-2, then rising.
        let curve = |rate: f64| {
            let place = rate.log10();
            1.0 - 0.8 / (1.0 + (-6.0 * (place + 3.0)).exp()) + 2.0 * (place + 2.0).max(0.0)
        };
        let points: Vec<(f64, f64)> = (0..100)
            .map(|i| 1e-6 * 10_f64.powf(f64::from(i) * 0.06))
            .map(|r| (r, curve(r)))
            .collect();
        let search = found(points);
        assert!((2e-4..5e-3).contains(&search.steepest), "{}", search.steepest);
        assert!((5e-4..2e-3).contains(&search.tenth_of_lowest), "{}", search.tenth_of_lowest);
        assert!(search.svg().starts_with("<svg") && search.svg().ends_with("</svg>"));
    }
}
