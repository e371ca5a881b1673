//! Filling a hole with what the rest of the picture is made of: no network, no weights.
//!
//! Y. Wexler, E. Shechtman and M. Irani, "Space-time completion of video", 2007: from coarse to
//! fine, each patch around the hole looks for the one of the known picture that is most like it,
//! and each pixel of the hole becomes the mean of what the patches over it found. The search is
//! that of C. Barnes et al., "`PatchMatch`", 2009. The same seed gives the same pixels.

use fastrand::Rng;

use super::diffuse::diffuse;
use crate::error::{Error, Result};

/// Pixels from the middle of a patch to its border.
const RADIUS: usize = 3;

/// Looks for better patches and votes, on each level of the pyramid: many where little is known.
const ROUNDS: [usize; 2] = [12, 4];

/// Sweeps of the search in each round.
const SWEEPS: usize = 2;

/// How much less a vote counts for each pixel that its patch is further from what is known.
const TRUST: f32 = 1.3;

/// A picture of three planes, 0 to 1, and where it is to be filled.
#[derive(Clone, Debug)]
pub struct Hole {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue, each row by row.
    pub planes: [Vec<f32>; 3],
    /// Whether a pixel is to be filled.
    pub open: Vec<bool>,
}

/// A place and how unlike the patch there is: the sum of squares.
#[derive(Clone, Copy)]
struct Match {
    place: usize,
    cost: f32,
}

/// Fills the hole. `proceed` is asked before each round and may end it.
///
/// Known pixels close to the hole get what the patches over them say, too: a join can be matched
/// and feathered by it.
///
/// # Errors
/// [`Error::Setting`] if the picture holds no patch that is wholly known, or what `proceed` gives.
pub fn fill(
    hole: &mut Hole,
    seed: u64,
    mut proceed: impl FnMut(usize, usize) -> Result<()>,
) -> Result<()> {
    let mut levels = vec![hole.clone()];
    while let Some(last) = levels.last() {
        let next = last.halved();
        // A patch must still find others to look at.
        if last.deepest() <= RADIUS || next.sources().len() < 64 {
            break;
        }
        levels.push(next);
    }
    if levels[0].sources().is_empty() {
        return Err(Error::Setting(
            "there is nothing to fill the hole with: nearly all of the picture is marked (mark \
             less)"
                .to_owned(),
        ));
    }
    let total = ROUNDS[0] + ROUNDS[1] * (levels.len() - 1);
    let (mut rng, mut done) = (Rng::with_seed(seed), 0);
    let mut coarser: Option<(Hole, Field)> = None;
    while let Some(mut level) = levels.pop() {
        let mut field = match &coarser {
            None => {
                level.diffused();
                Field::random(&level, &mut rng)
            }
            Some((coarse, field)) => {
                let field = field.doubled(coarse, &level, &mut rng);
                level.diffused();
                field.vote(&mut level, false);
                field
            }
        };
        let rounds = if coarser.is_none() { ROUNDS[0] } else { ROUNDS[1] };
        for _ in 0..rounds {
            proceed(done, total)?;
            done += 1;
            field.measure(&level);
            for sweep in 0..SWEEPS {
                field.search(&level, sweep % 2 == 1, &mut rng);
            }
            field.vote(&mut level, false);
        }
        coarser = Some((level, field));
    }
    if let Some((mut finest, field)) = coarser {
        field.vote(&mut finest, true);
        hole.planes = finest.planes;
    }
    Ok(())
}

impl Hole {
    /// Half the size; a pixel is open if any of its four was, since open ones say nothing.
    fn halved(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let mut open = vec![false; width * height];
        let mut counts = vec![0.0_f32; width * height];
        let mut planes = [0; 3].map(|_| vec![0.0; width * height]);
        for y in 0..self.height {
            for x in 0..self.width {
                let (from, to) = (y * self.width + x, y / 2 * width + x / 2);
                open[to] |= self.open[from];
                counts[to] += 1.0;
                for (plane, of) in planes.iter_mut().zip(&self.planes) {
                    plane[to] += of[from];
                }
            }
        }
        for plane in &mut planes {
            for (value, count) in plane.iter_mut().zip(&counts) {
                *value /= count;
            }
        }
        Self { width, height, planes, open }
    }

    /// Steps from the pixel that lies deepest in the hole to the nearest that is known.
    fn deepest(&self) -> usize {
        self.distances().into_iter().max().unwrap_or(0)
    }

    /// Steps (to the side, not across) from each pixel to the nearest that is known.
    fn distances(&self) -> Vec<usize> {
        let far = self.width + self.height;
        let mut steps: Vec<usize> =
            self.open.iter().map(|open| if *open { far } else { 0 }).collect();
        for place in 0..steps.len() {
            let (x, y) = (place % self.width, place / self.width);
            if x > 0 {
                steps[place] = steps[place].min(steps[place - 1] + 1);
            }
            if y > 0 {
                steps[place] = steps[place].min(steps[place - self.width] + 1);
            }
        }
        for place in (0..steps.len()).rev() {
            let (x, y) = (place % self.width, place / self.width);
            if x + 1 < self.width {
                steps[place] = steps[place].min(steps[place + 1] + 1);
            }
            if y + 1 < self.height {
                steps[place] = steps[place].min(steps[place + self.width] + 1);
            }
        }
        steps
    }

    /// Whether a whole patch fits around a pixel.
    const fn fits(&self, x: usize, y: usize) -> bool {
        x >= RADIUS && y >= RADIUS && x + RADIUS < self.width && y + RADIUS < self.height
    }

    /// How many open pixels the patch around each place has; none fits where it is `usize::MAX`.
    fn gaps(&self) -> Vec<usize> {
        let stride = self.width + 1;
        let mut sums = vec![0_usize; stride * (self.height + 1)];
        for y in 0..self.height {
            for x in 0..self.width {
                sums[(y + 1) * stride + x + 1] = usize::from(self.open[y * self.width + x])
                    + sums[y * stride + x + 1]
                    + sums[(y + 1) * stride + x]
                    - sums[y * stride + x];
            }
        }
        let count = |x: usize, y: usize| {
            if !self.fits(x, y) {
                return usize::MAX;
            }
            let (left, top, right, bottom) =
                (x - RADIUS, y - RADIUS, x + RADIUS + 1, y + RADIUS + 1);
            sums[bottom * stride + right] + sums[top * stride + left]
                - sums[top * stride + right]
                - sums[bottom * stride + left]
        };
        (0..self.open.len()).map(|place| count(place % self.width, place / self.width)).collect()
    }

    /// Middles of patches that are wholly known.
    fn sources(&self) -> Vec<usize> {
        let gaps = self.gaps();
        (0..gaps.len()).filter(|place| gaps[*place] == 0).collect()
    }

    /// Open pixels take on what is around the hole.
    fn diffused(&mut self) {
        let known: Vec<f32> = self.open.iter().map(|open| if *open { 0.0 } else { 1.0 }).collect();
        for plane in &mut self.planes {
            diffuse(plane, &known, self.width);
        }
    }

    /// How unlike two patches are; stops at `most`.
    fn cost(&self, a: usize, b: usize, most: f32) -> f32 {
        let mut sum = 0.0;
        let first = RADIUS * self.width + RADIUS;
        for row in 0..=2 * RADIUS {
            let (a, b) = (a + row * self.width - first, b + row * self.width - first);
            for plane in &self.planes {
                let rows = plane[a..=a + 2 * RADIUS].iter().zip(&plane[b..=b + 2 * RADIUS]);
                sum += rows.map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
            }
            if sum > most {
                break;
            }
        }
        sum
    }
}

/// For each patch that reaches into the hole, the known one that is most like it.
struct Field {
    /// Middles of patches that reach into the hole, in reading order.
    targets: Vec<usize>,
    /// Where a place stands in `targets`, or `usize::MAX`.
    index: Vec<usize>,
    best: Vec<Match>,
    /// Whether a place is the middle of a wholly known patch.
    source: Vec<bool>,
    /// How much a patch is trusted: less, the further it is from what is known.
    trust: Vec<f32>,
}

impl Field {
    fn empty(level: &Hole) -> (Self, Vec<usize>) {
        let gaps = level.gaps();
        let sources: Vec<usize> = (0..gaps.len()).filter(|place| gaps[*place] == 0).collect();
        let inside = |place: &usize| gaps[*place] > 0 && gaps[*place] < usize::MAX;
        let targets: Vec<usize> = (0..gaps.len()).filter(inside).collect();
        let mut index = vec![usize::MAX; gaps.len()];
        for (number, place) in targets.iter().enumerate() {
            index[*place] = number;
        }
        let distances = level.distances();
        let trust =
            targets.iter().map(|place| TRUST.powi(-(distances[*place].min(200) as i32))).collect();
        let source = gaps.iter().map(|gaps| *gaps == 0).collect();
        (Self { targets, index, best: Vec::new(), source, trust }, sources)
    }

    /// Matches drawn by lot.
    fn random(level: &Hole, rng: &mut Rng) -> Self {
        let (mut field, sources) = Self::empty(level);
        let draw = |_: &usize| Match { place: sources[rng.usize(..sources.len())], cost: f32::MAX };
        field.best = field.targets.iter().map(draw).collect();
        field
    }

    /// Matches for a level of twice the size.
    fn doubled(&self, coarse: &Hole, level: &Hole, rng: &mut Rng) -> Self {
        let (mut field, sources) = Self::empty(level);
        let matches = field.targets.iter().map(|place| {
            let (x, y) = (place % level.width, place / level.width);
            let above = self.index[y / 2 * coarse.width + x / 2];
            let found = self.best.get(above).map(|found| {
                let (cx, cy) = (found.place % coarse.width, found.place / coarse.width);
                (2 * cy + y % 2) * level.width + 2 * cx + x % 2
            });
            let place = found
                .filter(|place| field.source.get(*place) == Some(&true))
                .unwrap_or_else(|| sources[rng.usize(..sources.len())]);
            Match { place, cost: f32::MAX }
        });
        field.best = matches.collect();
        field
    }

    /// The costs, after the picture has changed.
    fn measure(&mut self, level: &Hole) {
        for (target, best) in self.targets.iter().zip(&mut self.best) {
            best.cost = level.cost(*target, best.place, f32::MAX);
        }
    }

    /// One sweep: what the neighbours found, moved by one, and places drawn closer and closer to
    /// the best so far.
    fn search(&mut self, level: &Hole, backwards: bool, rng: &mut Rng) {
        let count = self.targets.len();
        for turn in 0..count {
            let number = if backwards { count - 1 - turn } else { turn };
            let target = self.targets[number];
            let mut best = self.best[number];
            for step in [1, level.width] {
                let neighbour =
                    if backwards { target.checked_add(step) } else { target.checked_sub(step) };
                let found = neighbour
                    .and_then(|place| self.index.get(place))
                    .and_then(|number| self.best.get(*number));
                let place = found.and_then(|found| {
                    if backwards {
                        found.place.checked_sub(step)
                    } else {
                        found.place.checked_add(step)
                    }
                });
                if let Some(place) = place {
                    self.try_place(level, target, place, &mut best);
                }
            }
            let mut reach = level.width.max(level.height);
            while reach >= 1 {
                let (x, y) = (best.place % level.width, best.place / level.width);
                let near = |at: usize, length: usize, rng: &mut Rng| {
                    rng.usize(at.saturating_sub(reach)..(at + reach + 1).min(length))
                };
                let (x, y) = (near(x, level.width, rng), near(y, level.height, rng));
                self.try_place(level, target, y * level.width + x, &mut best);
                reach /= 2;
            }
            self.best[number] = best;
        }
    }

    fn try_place(&self, level: &Hole, target: usize, place: usize, best: &mut Match) {
        if self.source.get(place) == Some(&true) && place != best.place {
            let cost = level.cost(target, place, best.cost);
            if cost < best.cost {
                *best = Match { place, cost };
            }
        }
    }

    /// Each open pixel, or also the known ones `around` the hole, becomes the mean of what the
    /// patches over it found, those that found well and lie near the border more than others.
    fn vote(&self, level: &mut Hole, around: bool) {
        let mut costs: Vec<f32> =
            self.best.iter().map(|found| found.cost).filter(|cost| *cost < f32::MAX).collect();
        // Three patches in four are nearly as good as they can be.
        let usual = if costs.is_empty() {
            1.0
        } else {
            let place = costs.len() * 3 / 4;
            *costs.select_nth_unstable_by(place, f32::total_cmp).1
        };
        let mut sums = vec![[0.0_f32; 4]; level.open.len()];
        let first = RADIUS * level.width + RADIUS;
        for ((target, found), trust) in self.targets.iter().zip(&self.best).zip(&self.trust) {
            let likeness = if found.cost < f32::MAX && usual > 0.0 {
                (-found.cost / (2.0 * usual)).exp().max(1e-6)
            } else {
                1.0
            };
            let weight = likeness * trust;
            for row in 0..=2 * RADIUS {
                let (to, from) =
                    (target + row * level.width - first, found.place + row * level.width - first);
                for column in 0..=2 * RADIUS {
                    if around || level.open[to + column] {
                        let sum = &mut sums[to + column];
                        for (sum, plane) in sum.iter_mut().zip(&level.planes) {
                            *sum += weight * plane[from + column];
                        }
                        sum[3] += weight;
                    }
                }
            }
        }
        for (place, [red, green, blue, weight]) in sums.into_iter().enumerate() {
            if weight > 0.0 {
                for (plane, sum) in level.planes.iter_mut().zip([red, green, blue]) {
                    plane[place] = sum / weight;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripes(width: usize, height: usize, open: impl Fn(usize, usize) -> bool) -> (Hole, Hole) {
        let value =
            |x: usize, y: usize| if ((x + 2 * y) / 6).is_multiple_of(2) { 0.2 } else { 0.8 };
        let plane: Vec<f32> = (0..width * height).map(|i| value(i % width, i / width)).collect();
        let open: Vec<bool> = (0..width * height).map(|i| open(i % width, i / width)).collect();
        let whole = Hole { width, height, planes: [plane.clone(), plane.clone(), plane], open };
        let mut holed = whole.clone();
        for plane in &mut holed.planes {
            for (value, open) in plane.iter_mut().zip(&whole.open) {
                if *open {
                    *value = 0.5;
                }
            }
        }
        (whole, holed)
    }

    #[test]
    fn stripes_are_continued_and_the_seed_decides() {
        let (whole, holed) = stripes(96, 80, |x, y| (40..58).contains(&x) && (30..48).contains(&y));
        let filled = |seed| {
            let mut hole = holed.clone();
            fill(&mut hole, seed, |_, _| Ok(())).unwrap();
            hole.planes
        };
        let first = filled(1);
        assert!(first == filled(1));
        let mut wrong = 0.0;
        for (plane, expected) in first.iter().zip(&whole.planes) {
            for ((value, expected), open) in plane.iter().zip(expected).zip(&whole.open) {
                if *open {
                    wrong += f64::from((value - expected).abs());
                }
            }
        }
        for (y, x) in (0..80).flat_map(|y| (0..96).map(move |x| (y, x))) {
            let near = (40 - 7..58 + 7).contains(&x) && (30 - 7..48 + 7).contains(&y);
            let place = y * 96 + x;
            assert!(near || first[0][place] == whole.planes[0][place], "far from the hole");
        }
        let mean = wrong / (3.0 * 18.0 * 18.0);
        assert!(mean < 0.1, "{mean}, where grey would have 0.3");
    }

    #[test]
    fn holes_at_the_border_and_thin_ones_are_filled() {
        for open in [
            (|x, _| x < 9) as fn(usize, usize) -> bool,
            |_, y| y == 20,
            |x, y| x > 50 && y > 30,
            |x, y| (x, y) == (0, 0),
        ] {
            let (_, holed) = stripes(64, 48, open);
            let mut hole = holed.clone();
            fill(&mut hole, 3, |_, _| Ok(())).unwrap();
            for plane in &hole.planes {
                assert!(plane.iter().all(|value| (0.19..=0.81).contains(value)));
            }
            let left = |plane: &[f32]| {
                plane.iter().zip(&hole.open).filter(|(v, open)| **open && **v == 0.5).count()
            };
            assert_eq!(left(&hole.planes[0]), 0, "all was filled");
        }
    }

    #[test]
    fn a_picture_without_anything_known_is_refused_and_a_round_can_be_the_last() {
        let (_, mut all) = stripes(40, 40, |_, _| true);
        assert!(matches!(fill(&mut all, 0, |_, _| Ok(())), Err(Error::Setting(_))));
        let (_, mut some) = stripes(60, 60, |x, y| x > 20 && x < 30 && y > 20 && y < 30);
        let mut rounds = 0;
        let ended = fill(&mut some, 0, |done, total| {
            assert!(done < total);
            rounds += 1;
            if rounds > 2 { Err(Error::Cancelled) } else { Ok(()) }
        });
        assert!(matches!(ended, Err(Error::Cancelled)) && rounds == 3);
    }
}
