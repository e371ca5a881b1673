//! What the curves of a run say, in one sentence.

use super::{Best, Point};

/// A gain in dB below which a curve counts as flat.
const NOTICEABLE: f64 = 0.01;

/// How a run is doing, from its looks at the validation photos. `rolled_back` is the step after
/// which it last went back, `base` the PSNR of the base model in dB.
#[must_use]
pub fn in_words(
    history: &[Point],
    best: Option<Best>,
    base: f64,
    step: u64,
    rolled_back: Option<u64>,
) -> String {
    let last = history.last();
    // Until the next look nobody knows whether the lower rate helps.
    if rolled_back.is_some_and(|back| last.is_none_or(|point| point.step <= back)) {
        return "diverging: rolled back, rate halved".to_owned();
    }
    let (Some(last), Some(best)) = (last, best) else {
        return "learning; the first look at the held-out photos is still to come".to_owned();
    };
    let by = last.distance.map_or_else(
        || format!("{:+.2} dB to the base", last.psnr - base),
        |distance| format!("feature distance {distance:.4}"),
    );
    // The first look after which nothing noticeable was gained, by what the best is chosen.
    let reached = |point: &&Point| match (point.distance, best.distance) {
        (Some(distance), Some(least)) => distance <= least + 1e-4,
        _ => point.psnr >= best.psnr - NOTICEABLE,
    };
    let since = history.iter().find(reached).map_or(best.step, |point| point.step);
    let worse = last.distance.is_none() && last.psnr < best.psnr - 10.0 * NOTICEABLE;
    if worse {
        format!("getting worse since step {}, which is kept ({by})", best.step)
    } else if since == last.step {
        if last.distance.is_none() && last.psnr < base {
            format!("improving, but not yet better than the base ({by})")
        } else {
            format!("still improving ({by})")
        }
    } else if last.distance.is_none() && best.psnr < base {
        format!("flat for {} steps, and not better than the base ({by})", step - since)
    } else {
        format!("flat for {} steps ({by})", step - since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(psnrs: &[f64]) -> (Vec<Point>, Option<Best>) {
        let point = |(i, psnr): (usize, &f64)| Point {
            step: 100 * (i as u64 + 1),
            loss: 0.1,
            psnr: *psnr,
            distance: None,
        };
        let points: Vec<Point> = psnrs.iter().enumerate().map(point).collect();
        let best = points.iter().max_by(|a, b| a.psnr.total_cmp(&b.psnr));
        let best = best.map(|p| Best { step: p.step, psnr: p.psnr, distance: None });
        (points, best)
    }

    fn words(psnrs: &[f64], step: u64, rolled_back: Option<u64>) -> String {
        let (points, best) = history(psnrs);
        in_words(&points, best, 30.0, step, rolled_back)
    }

    #[test]
    fn each_course_has_its_words() {
        assert!(words(&[], 20, None).contains("first look"));
        assert!(words(&[29.0, 29.5], 250, None).starts_with("improving, but not yet"));
        assert_eq!(words(&[30.1, 30.5], 250, None), "still improving (+0.50 dB to the base)");
        // Hundredths are no progress.
        assert!(words(&[30.1, 30.5, 30.5, 30.504], 600, None).starts_with("flat for 400 steps"));
        let below = words(&[29.5, 29.5, 29.5], 310, None);
        assert!(below.starts_with("flat for 210 steps, and not better than the base"), "{below}");
        assert!(words(&[30.1, 30.5, 30.2], 310, None).starts_with("getting worse since step 200"));
        assert_eq!(words(&[30.1], 150, Some(150)), "diverging: rolled back, rate halved");
        assert!(words(&[30.1, 30.3], 210, Some(150)).starts_with("still improving"));
    }
}
