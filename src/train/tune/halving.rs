//! Successive halving: many candidates get a little training, the best of them more.
//!
//! K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and hyperparameter
//! optimization", AISTATS 2016. A race is one bracket of L. Li et al., "Hyperband", JMLR 2018: of
//! each rung's candidates a third goes on, for three times as many steps. Candidate 0 is what the
//! others are compared with: it runs in every rung, first, whatever its score.

use crate::error::Result;

/// One in so many candidates goes on to the next rung, for so many times the steps.
const FACTOR: u64 = 3;

/// Rungs at most: 27 candidates then.
const MOST_RUNGS: u32 = 4;

/// After fewer steps than this, scores say little.
const LEAST_STEPS: f64 = 30.0;

/// A round of the race.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rung {
    /// How many take part. Candidate 0 is one of them in the first rung, and comes on top later.
    pub(super) candidates: usize,
    /// Steps of each candidate at the end, those of earlier rungs included.
    pub(super) steps: u64,
}

/// Rungs that together take no more than so many steps, where a look at the held-out photos takes
/// as long as `look` of them; but two rungs of one step at least. There are as many rungs as leave
/// the first one [`LEAST_STEPS`].
pub(super) fn bracket(steps: f64, look: f64) -> Vec<Rung> {
    let first = |rungs: u32| {
        let (mut trained, mut looks, mut before) = (0, 0, 0);
        for rung in 0..rungs {
            let candidates = FACTOR.pow(rungs - 1 - rung) + u64::from(rung > 0);
            let each = FACTOR.pow(rung);
            trained += candidates * (each - before);
            (looks, before) = (looks + candidates, each);
        }
        (steps - look * looks as f64) / trained as f64
    };
    let enough = (2..=MOST_RUNGS).rev().find(|rungs| first(*rungs) >= LEAST_STEPS);
    let rungs = enough.unwrap_or(2);
    let least = first(rungs).max(1.0) as u64;
    let rung = |rung| Rung {
        candidates: FACTOR.pow(rungs - 1 - rung) as usize,
        steps: least * FACTOR.pow(rung),
    };
    (0..rungs).map(rung).collect()
}

/// Those who race.
pub(super) trait Racers {
    /// Trains a candidate up to so many steps in all, and gives its score, where more is better;
    /// nothing if there is no time left.
    fn run(&mut self, candidate: usize, steps: u64) -> Result<Option<f64>>;

    /// A candidate is out of the race.
    fn leave(&mut self, candidate: usize);
}

/// Runs the race and gives its winner. Without time left, the last rung counts in which two
/// candidates have a score.
pub(super) fn race(rungs: &[Rung], racers: &mut impl Racers) -> Result<usize> {
    let mut going: Vec<usize> = (0..rungs.first().map_or(0, |rung| rung.candidates)).collect();
    let mut winner = 0;
    for (number, rung) in rungs.iter().enumerate() {
        let mut scores = Vec::new();
        for candidate in &going {
            let Some(score) = racers.run(*candidate, rung.steps)? else { break };
            // What is no number is worse than all that are.
            scores.push((*candidate, if score.is_nan() { f64::NEG_INFINITY } else { score }));
        }
        // Of equal ones, the one that came first stays first.
        scores.sort_by(|a, b| b.1.total_cmp(&a.1));
        let whole = scores.len() == going.len();
        if scores.len() > 1 || whole {
            winner = scores.first().map_or(winner, |best| best.0);
        }
        let Some(next) = rungs.get(number + 1).filter(|_| whole) else { break };
        let others = scores.iter().map(|(candidate, _)| *candidate).filter(|other| *other != 0);
        let next: Vec<usize> = std::iter::once(0).chain(others.take(next.candidates)).collect();
        going.iter().filter(|candidate| !next.contains(candidate)).for_each(|c| racers.leave(*c));
        going = next;
    }
    Ok(winner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_spend_the_steps_that_there_are() {
        for (steps, look) in [(240.0, 0.0), (900.0, 2.0), (5_000.0, 1.0), (1e6, 40.0)] {
            let rungs = bracket(steps, look);
            let (mut spent, mut before) = (0.0, 0);
            for (number, rung) in rungs.iter().enumerate() {
                let most = (rung.candidates + usize::from(number > 0)) as f64;
                spent += most * ((rung.steps - before) as f64 + look);
                before = rung.steps;
            }
            assert!(spent <= steps && spent > 0.8 * steps, "{steps}: {spent} by {rungs:?}");
            assert!(rungs[0].steps as f64 >= LEAST_STEPS, "{rungs:?}");
            let thirds = rungs.windows(2).all(|pair| {
                pair[0].candidates == 3 * pair[1].candidates && 3 * pair[0].steps == pair[1].steps
            });
            assert!(thirds && rungs.last().unwrap().candidates == 1, "{rungs:?}");
        }
        let rung = |candidates, steps| Rung { candidates, steps };
        // 9 · 31 + 4 · 62 + 2 · 186 = 899.
        assert_eq!(bracket(900.0, 0.0), [rung(9, 31), rung(3, 93), rung(1, 279)]);
        assert_eq!(bracket(0.0, 5.0), [rung(3, 1), rung(1, 3)], "some race is better than none");
        assert_eq!(bracket(1e6, 1.0)[0].candidates, 27);
    }

    /// Candidates whose score after steps is known, with time for so many legs.
    struct Known<F> {
        score: F,
        time: usize,
        runs: Vec<(usize, u64)>,
        left: Vec<usize>,
    }

    impl<F: Fn(usize, u64) -> f64> Racers for Known<F> {
        fn run(&mut self, candidate: usize, steps: u64) -> Result<Option<f64>> {
            if self.runs.len() == self.time {
                return Ok(None);
            }
            assert!(!self.left.contains(&candidate));
            self.runs.push((candidate, steps));
            Ok(Some((self.score)(candidate, steps)))
        }

        fn leave(&mut self, candidate: usize) {
            self.left.push(candidate);
        }
    }

    /// The winner, and who ran how far.
    fn raced(score: impl Fn(usize, u64) -> f64, time: usize) -> (usize, Vec<(usize, u64)>) {
        let mut known = Known { score, time, runs: Vec::new(), left: Vec::new() };
        let winner = race(&bracket(900.0, 0.0), &mut known).unwrap();
        (winner, known.runs)
    }

    #[test]
    fn the_best_goes_on_and_the_usual_one_always_does() {
        // 7 is best in the long run, 3 at first, and the usual one the worst of all.
        let score = |candidate: usize, steps: u64| match candidate {
            0 => -1.0,
            3 => 5.0,
            7 => steps as f64 / 20.0,
            other => other as f64 / 10.0,
        };
        let (winner, runs) = raced(score, usize::MAX);
        assert_eq!(winner, 3, "nothing runs on that is not ahead");
        let at = |steps| {
            let at = runs.iter().filter(|run| run.1 == steps).map(|run| run.0);
            at.collect::<Vec<_>>()
        };
        assert_eq!(at(31), (0..9).collect::<Vec<_>>());
        assert_eq!(at(93), [0, 3, 7, 8]);
        assert_eq!(at(279), [0, 3]);
    }

    #[test]
    fn a_race_without_time_is_decided_by_what_was_seen() {
        let score = |candidate: usize, steps: u64| match (candidate, steps) {
            (0, _) => 1.0,
            (5, 31) => 2.0,
            (4, 93) => 9.0,
            (_, _) => 0.5,
        };
        // Out of time in the first rung: the usual one has a score, or all up to 5.
        assert_eq!(raced(score, 1).0, 0);
        assert_eq!(raced(score, 6).0, 5);
        // In the second: with one score there, the first rung counts.
        assert_eq!(raced(score, 10).0, 5);
        assert_eq!(raced(score, 11).0, 0);
        assert_eq!(raced(|candidate, _| if candidate == 8 { 0.0 } else { f64::NAN }, 99).0, 8);
        assert_eq!(raced(|_, _| 3.0, 99).0, 0, "of equal ones, the usual one");
    }
}
