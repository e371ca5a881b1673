//! A mark that is laid over the photo again and again.
//!
//! What repeats itself shows in the autocorrelation of the fine detail as peaks that form a lattice.
//! Folded by that lattice, all that belongs to the photo averages out, and the mark stays: the idea
//! of T. Dekel, M. Rubinstein, C. Liu and W. Freeman, "On the effectiveness of visible watermarks",
//! CVPR 2017, who average over many photos with one mark, with the tiles of one photo instead.

use image::{GrayImage, Luma};
use rayon::prelude::*;

use super::{Plane, Repeats, plane::quantile, reduced, spectrum::Autocorrelation};
use crate::error::Result;

/// Longest side of the picture in which the lattice is found, and of the one in which the mark is.
const MOST_SIDE: (u32, u32) = (512, 2048);

/// Half the side, less a half, of the squares from whose mean detail stands out.
const DETAIL: usize = 4;

/// Shortest step of a lattice, in pixels of the small picture.
const SHORTEST: f32 = 12.0;

/// Longest step, as a share of the side.
const LONGEST: f32 = 0.6;

/// Most peaks that are tried.
const PEAKS: usize = 40;

/// The other places of a lattice must stand out this much, and such a share of them that much.
const CONFIRMED: (f32, f32, f32) = (3.5, 2.0, 0.7);

/// Places counted for a lattice, in each direction.
const PLACES: i32 = 6;

/// Tiles of which the spread of the whole picture counts beside a pixel's own.
const PRIOR: f32 = 6.0;

/// More of a tile cannot be a mark.
const MOST_MARKED: f32 = 0.5;

/// A step in pixels, right and down.
type Step = [f32; 2];

/// Looks for such a mark in a grey picture.
pub(super) fn find(
    luma: &GrayImage,
    sensitivity: f32,
    going_on: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<Option<(GrayImage, Repeats)>> {
    let (small, times) = reduced(luma, MOST_SIDE.0);
    going_on(0.2)?;
    let Some(correlation) = Correlation::of(&small) else {
        return Ok(None);
    };
    let Some(lattice) = correlation.lattice(11.0 - 8.0 * sensitivity) else { return Ok(None) };
    let (sharp, less) = reduced(luma, MOST_SIDE.1);
    let larger = times as f32 / less as f32;
    going_on(0.6)?;
    let lattice = lattice.map(|step| step.map(|value| value * larger));
    let lattice = if times > less {
        lattice.map(|step| refined(&Detail::of(&sharp), step, larger))
    } else {
        lattice
    };
    going_on(0.8)?;
    let Some(tile) = Tile::of(&sharp, lattice, 4.0 - 2.0 * sensitivity) else { return Ok(None) };
    let scale = less as f32;
    let middle = |at: u32| (at as f32 + 0.5) / scale - 0.5;
    let mask = GrayImage::from_fn(luma.width(), luma.height(), |x, y| {
        Luma([if tile.is_marked(middle(x), middle(y)) { 255 } else { 0 }])
    });
    let steps = lattice.map(|step| step.map(|value| value * scale));
    Ok(Some((mask, Repeats { steps, times: tile.times })))
}

/// Fine detail in whole numbers; what stands out much counts as much as what stands out a little, so
/// that a few strong edges of the photo do not outweigh a faint mark.
struct Detail {
    width: usize,
    height: usize,
    values: Vec<i16>,
}

impl Detail {
    fn of(plane: &Plane) -> Self {
        let detail = plane.with(&plane.blurred(DETAIL), |value, mean| value - mean);
        let usual = quantile(detail.values.iter().map(|value| value.abs()).collect(), 0.5);
        let most = (1.5 * usual).max(2.0);
        let values = detail.values.iter();
        let values = values.map(|value| (value.clamp(-most, most) / most * 127.0) as i16).collect();
        Self { width: plane.width, height: plane.height, values }
    }

    /// Mean product with itself moved by so many pixels. `down` is not negative.
    fn correlated(&self, right: isize, down: usize) -> f32 {
        let (from, to) = ((-right).max(0) as usize, right.max(0) as usize);
        let length = self.width.saturating_sub(right.unsigned_abs());
        let rows = self.height.saturating_sub(down);
        let row = |y: usize, x: usize| &self.values[y * self.width + x..][..length];
        let sum: i64 = (0..rows)
            .map(|y| {
                let pairs = row(y, from).iter().zip(row(y + down, to));
                i64::from(pairs.map(|(a, b)| i32::from(*a) * i32::from(*b)).sum::<i32>())
            })
            .sum();
        sum as f32 / ((length * rows) as f32).max(1.0)
    }
}

/// How much the detail is like itself moved, in spreads of all such numbers.
struct Correlation {
    /// Longest moves, right and down.
    reach: [i32; 2],
    /// From the left and up to the right and down.
    map: Plane,
}

impl Correlation {
    /// `None` of pictures that are too small or even.
    fn of(plane: &Plane) -> Option<Self> {
        let detail = Detail::of(plane);
        let reach = [plane.width, plane.height].map(|side| (side as f32 * LONGEST) as i32);
        if reach.iter().any(|reach| (*reach as f32) < SHORTEST) {
            return None;
        }
        let [right, down] = reach;
        let sums = Autocorrelation::of(
            &detail.values,
            detail.width,
            reach.map(|reach| reach.unsigned_abs() as usize),
        );
        let (wide, tall) = ((2 * right + 1) as usize, (2 * down + 1) as usize);
        let whole = Plane::from_fn(wide, tall, |x, y| {
            let (x, y) = (x as i32 - right, y as i32 - down);
            let count = (plane.width - x.unsigned_abs() as usize)
                * (plane.height - y.unsigned_abs() as usize);
            // Means of few pixels vary more.
            sums.at(x, y) / (count as f32).sqrt()
        });
        // Long edges of the photo make ridges.
        let mut map = whole.with(&whole.blurred(DETAIL), |value, mean| value - mean);
        let far = map.values.iter().enumerate().filter_map(|(index, value)| {
            let [x, y] = [(index % wide) as i32 - right, (index / wide) as i32 - down];
            ((x as f32).hypot(y as f32) > SHORTEST).then(|| value.abs())
        });
        let spread = 1.4826 * quantile(far.collect(), 0.5);
        if spread <= 0.0 {
            return None;
        }
        map.values.iter_mut().for_each(|value| *value /= spread);
        Some(Self { reach, map })
    }

    /// The best of the moves by whole pixels that are at most so far from this one, and how well it
    /// fits; `None` beyond the longest.
    fn best_near(&self, [right, down]: Step, around: i32) -> Option<(f32, Step)> {
        let (x, y) = (right.round() as i32, down.round() as i32);
        let [wide, tall] = self.reach.map(|reach| reach - around);
        if x.abs() > wide || y.abs() > tall {
            return None;
        }
        let near = (-around..=around).flat_map(|dy| (-around..=around).map(move |dx| (dx, dy)));
        let fits = near.map(|(dx, dy)| {
            let (x, y) = (x + dx, y + dy);
            let value = self.map.at((x + self.reach[0]) as usize, (y + self.reach[1]) as usize);
            (value, [x as f32, y as f32])
        });
        fits.max_by(|a, b| a.0.total_cmp(&b.0))
    }

    fn at(&self, step: Step) -> Option<f32> {
        self.best_near(step, 1).map(|(value, _)| value)
    }

    /// Moves that fit better than those around them, the best first: one of each two that differ in
    /// sign.
    fn peaks(&self, least: f32) -> Vec<Step> {
        let [wide, tall] = self.reach;
        let mut peaks = Vec::new();
        for down in 0..=tall - 3 {
            for right in 3 - wide..=wide - 3 {
                let step = [right as f32, down as f32];
                let value = self.map.at((right + wide) as usize, (down + tall) as usize);
                let counts =
                    value > least && (down > 0 || right > 0) && step[0].hypot(step[1]) > SHORTEST;
                if counts && self.best_near(step, 3).is_some_and(|(best, _)| best <= value) {
                    peaks.push((value, step));
                }
            }
        }
        peaks.sort_by(|a, b| b.0.total_cmp(&a.0));
        peaks.truncate(PEAKS);
        peaks.into_iter().map(|(_, step)| step).collect()
    }

    /// The two steps of the lattice that the peaks form, if they form one.
    fn lattice(&self, least: f32) -> Option<[Step; 2]> {
        let peaks = self.peaks(least);
        let pairs = peaks
            .iter()
            .enumerate()
            .flat_map(|(first, a)| peaks[first + 1..].iter().map(move |b| [*a, *b]));
        let scored = pairs.filter_map(|pair| Some((self.score(pair)?, pair)));
        let (_, lattice) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(lattice.map(|step| self.measured(step)))
    }

    /// How well two steps explain what repeats itself; `None` if they do not.
    fn score(&self, [a, b]: [Step; 2]) -> Option<f32> {
        let area = area([a, b]);
        let lengths = a[0].hypot(a[1]) * b[0].hypot(b[1]);
        if area < 0.35 * lengths || area < SHORTEST * SHORTEST {
            return None;
        }
        let place = |m: i32, n: i32| [0, 1].map(|axis| m as f32 * a[axis] + n as f32 * b[axis]);
        let beside: Vec<f32> =
            [place(1, 1), place(1, -1)].into_iter().filter_map(|step| self.at(step)).collect();
        if beside.is_empty() || beside.iter().any(|value| *value < CONFIRMED.0) {
            return None;
        }
        let places = (0..=PLACES).flat_map(|n| (-PLACES..=PLACES).map(move |m| (m, n)));
        let places = places.filter(|(m, n)| *n > 0 || *m > 0);
        let values: Vec<f32> = places.filter_map(|(m, n)| self.at(place(m, n))).collect();
        let confirmed = values.iter().filter(|value| **value > CONFIRMED.1).count();
        if (confirmed as f32) < CONFIRMED.2 * values.len() as f32 {
            return None;
        }
        let sum: f32 = values.iter().map(|value| value.min(20.0)).sum();
        Some(sum / (values.len() as f32).sqrt())
    }

    /// A step to a part of a pixel: many of them are as long as so many.
    fn measured(&self, step: Step) -> Step {
        let mut step = step;
        for times in 2.. {
            let far = step.map(|value| value * times as f32);
            match self.best_near(far, 2) {
                Some((value, place)) if value > 2.5 => {
                    step = place.map(|value| value / times as f32);
                }
                _ => break,
            }
        }
        step
    }
}

/// Of the tile between two steps.
fn area([a, b]: [Step; 2]) -> f32 {
    (a[0] * b[1] - a[1] * b[0]).abs()
}

/// A step that is known to `off` pixels, measured again in a larger picture.
fn refined(detail: &Detail, step: Step, off: f32) -> Step {
    let mut step = if step[1] < 0.0 { step.map(|value| -value) } else { step };
    let most = [detail.width, detail.height].map(|side| side as f32 * LONGEST);
    let mut times = 1.0;
    while times * step[0].abs() < most[0] && times * step[1] < most[1] {
        let around = (off / 2.0 + 1.0).ceil() as isize;
        let [x, y] = step.map(|value| (value * times).round() as isize);
        let near = (-around..=around).flat_map(|dy| (-around..=around).map(move |dx| (dx, dy)));
        let near: Vec<(isize, isize)> =
            near.map(|(dx, dy)| (x + dx, y + dy)).filter(|(_, y)| *y >= 0).collect();
        let fits = near
            .par_iter()
            .map(|(x, y)| (detail.correlated(*x, y.unsigned_abs()), [*x as f32, *y as f32]));
        let Some((_, best)) = fits.max_by(|a, b| a.0.total_cmp(&b.0)) else { return step };
        step = best.map(|value| value / times);
        times *= 2.0;
    }
    step
}

/// What all tiles have in common.
struct Tile {
    /// From a place in pixels to one in steps.
    inverse: [[f32; 2]; 2],
    /// Places in the tile, along both steps.
    size: [usize; 2],
    marked: Vec<bool>,
    /// How many tiles the picture has.
    times: f32,
}

impl Tile {
    /// `least`: how many standard errors the mean of all tiles must be from what is around it.
    fn of(plane: &Plane, steps: [Step; 2], least: f32) -> Option<Self> {
        let [a, b] = steps;
        let turn = a[0] * b[1] - a[1] * b[0];
        let inverse = [[b[1] / turn, -b[0] / turn], [-a[1] / turn, a[0] / turn]];
        let lengths = steps.map(|step| step[0].hypot(step[1]));
        let size = lengths.map(|length| (length.round() as usize).max(1));
        let times = (plane.width * plane.height) as f32 / turn.abs();
        let mut tile = Self { inverse, size, marked: Vec::new(), times };

        // As wide as letters, and their insides, can be.
        let radius = ((lengths[0].min(lengths[1]) / 4.0) as usize).max(3);
        let detail = plane.with(&plane.blurred(radius), |value, mean| value - mean);
        let usual = quantile(detail.values.iter().map(|value| value.abs()).collect(), 0.5);
        let most = (4.0 * usual).max(4.0);
        let detail = detail.map(|value| value.clamp(-most, most));
        let count = size[0] * size[1];
        let mut sums = vec![[0.0_f32; 3]; count];
        for (index, value) in detail.values.iter().enumerate() {
            let (x, y) = (index % plane.width, index / plane.width);
            let sum = &mut sums[tile.place(x as f32, y as f32)];
            let [n, values, squares] = *sum;
            *sum = [n + 1.0, values + value, squares + value * value];
        }
        let whole = detail.values.iter().map(|value| value * value).sum::<f32>()
            / detail.values.len().max(1) as f32;
        let found: Vec<(f32, f32)> = (0..count).map(|at| tile.judged(&sums, at, whole)).collect();
        // Around a bright mark it is a little darker than usual, not as much as the mark is brighter.
        let strength = |sign: f32| -> f32 {
            found.iter().map(|(mean, _)| (sign * mean).max(0.0).powi(3)).sum()
        };
        let sign = if strength(1.0) > strength(-1.0) { 1.0 } else { -1.0 };
        tile.marked = found.iter().map(|(_, errors)| sign * errors > least).collect();
        let share = tile.marked.iter().filter(|marked| **marked).count() as f32 / count as f32;
        (share > 0.0 && share < MOST_MARKED).then_some(tile)
    }

    /// The mean of a place and its neighbours, and how many standard errors that is from 0.
    fn judged(&self, sums: &[[f32; 3]], at: usize, whole: f32) -> (f32, f32) {
        let [wide, tall] = self.size;
        let (x, y) = (at % wide, at / wide);
        let mut all = [0.0_f32; 3];
        for (dx, dy) in (0..3).flat_map(|dy| (0..3).map(move |dx| (dx, dy))) {
            let near = (y + tall + dy - 1) % tall * wide + (x + wide + dx - 1) % wide;
            all.iter_mut().zip(sums[near]).for_each(|(all, one)| *all += one);
        }
        let [count, values, squares] = all;
        if count == 0.0 {
            return (0.0, 0.0);
        }
        let mean = values / count;
        let own = (squares / count - mean * mean).max(0.0);
        let variance = (own * count + whole * PRIOR) / (count + PRIOR);
        // Neighbours are alike: nine of them say as much as three.
        (mean, mean / (variance * 3.0 / count).sqrt().max(1e-3))
    }

    fn place(&self, x: f32, y: f32) -> usize {
        let along = [0, 1].map(|axis| {
            let [a, b] = self.inverse[axis];
            let share = a * x + b * y;
            let side = self.size[axis];
            (((share - share.floor()) * side as f32) as usize).min(side - 1)
        });
        along[1] * self.size[0] + along[0]
    }

    fn is_marked(&self, x: f32, y: f32) -> bool {
        self.marked[self.place(x, y)]
    }
}
