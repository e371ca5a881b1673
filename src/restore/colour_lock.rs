//! Colour lock: the low frequencies of a result are those of its photo.
//!
//! A network may tint: light and colour of a sky drift by a few levels, which papers do not punish
//! and eyes do. Photo and result are both averaged over the same coarse cells; what the result is
//! off by is taken away again, smoothly between the cells. Everything finer than a cell stays as
//! the network made it, so that noise and JPEG blocks which it took away do not come back.
//!
//! A place is corrected by its own cell and the ones around it. So the middle of a tile leaves at
//! once, and its rim as soon as the neighbours are there: tiles and the whole picture give the same
//! numbers, and only rims wait in memory.

use std::ops::Range;

use image::DynamicImage;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    cells::Grid,
    tiled::{Area, part_of, planes_of},
};
use crate::rect::Rect;

/// Least side of a cell, in pixels of the photo and of the result: wider than the blocks of a JPEG
/// with halved colour.
pub(super) const CELL: u32 = 16;

/// Rows of the photo that a thread takes at a time.
const BAND: u32 = 64;

/// How far the colours of a result are from those of its photo: means over cells, in CIEDE2000.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColourShift {
    /// As the network gave it.
    pub before: f64,
    /// In the result.
    pub after: f64,
}

/// Takes areas as a network gives them, and gives them back with the photo's colours.
pub(super) struct ColourLock {
    corrects: bool,
    photo: Grid,
    network: Grid,
    result: Grid,
    /// What each cell lacks, in shares of pixels; see [`super::cells`].
    missing: Vec<u64>,
    waiting: Vec<Area>,
}

impl ColourLock {
    /// For a result of `output` pixels; it only measures unless it `corrects`.
    pub(super) fn new(photo: &DynamicImage, output: (u32, u32), corrects: bool) -> Self {
        let size = (photo.width(), photo.height());
        let cells = |photo: u32, output: u32| (photo.min(output) / CELL).max(1);
        let cells = (cells(size.0, output.0), cells(size.1, output.1));
        // Whole numbers: the order in which bands are added leaves no trace.
        let empty = || Grid::new(cells, size);
        let means = (0..size.1.div_ceil(BAND)).into_par_iter().fold(empty, |mut means, band| {
            let band = Rect::spanning(0, band * BAND, size.0, ((band + 1) * BAND).min(size.1));
            means.add(&planes_of(photo, band), band);
            means
        });
        let means = means.reduce(empty, |all, more| all.plus(&more));
        let network = Grid::new(cells, output);
        let whole = u64::from(output.0) * u64::from(output.1);
        Self {
            corrects,
            photo: means,
            missing: vec![whole; network.across.cells * network.down.cells],
            result: network.clone(),
            network,
            waiting: Vec::new(),
        }
    }

    /// Takes an area; gives those, whole or in parts, around which all is known.
    pub(super) fn push(&mut self, area: Area) -> Vec<Area> {
        self.network.add(&area.planes, area.area);
        if !self.corrects {
            return vec![area];
        }
        let Grid { across, down, .. } = &self.network;
        let Rect { x, y, .. } = area.area;
        for row in down.cells_of(y, area.area.bottom()) {
            for column in across.cells_of(x, area.area.right()) {
                self.missing[row * across.cells + column] -=
                    across.share(x, area.area.right(), column)
                        * down.share(y, area.area.bottom(), row);
            }
        }
        let rows = down.parts(y, area.area.bottom());
        for (top, bottom) in rows {
            let columns = across.parts(x, area.area.right());
            let parts = columns.into_iter().map(|(x, right)| Rect::spanning(x, top, right, bottom));
            let cut = |part| part_of(&area.planes, area.area, part);
            self.waiting.extend(parts.map(|area| Area { area, planes: cut(area) }));
        }
        let waiting = std::mem::take(&mut self.waiting);
        let (ready, waiting) = waiting.into_iter().partition(|part| self.is_known(part.area));
        self.waiting = waiting;
        let mut ready: Vec<Area> = ready;
        ready.iter_mut().for_each(|area| self.correct(area));
        ready
    }

    /// What was measured.
    pub(super) fn shift(&self) -> ColourShift {
        let before = self.photo.difference(&self.network);
        let after = if self.corrects { self.photo.difference(&self.result) } else { before };
        ColourShift { before, after }
    }

    /// Whether the network's answer is known in all cells that correct an area.
    fn is_known(&self, area: Rect) -> bool {
        let Grid { across, down, .. } = &self.network;
        let columns = across.around(area.x, area.right());
        down.around(area.y, area.bottom())
            .all(|row| columns.clone().all(|column| self.missing[row * across.cells + column] == 0))
    }

    /// Adds what the cells are off by, laid out as a quadratic B-spline.
    fn correct(&mut self, area: &mut Area) {
        let Grid { across, down, .. } = &self.network;
        let Rect { x, y, width, .. } = area.area;
        let columns = across.around(x, x + width);
        // Weights of the three cells for each column, and runs of columns that have the same cells.
        let taps: Vec<(usize, [f32; 3])> = (x..x + width).map(|x| across.taps(x)).collect();
        let weights = [0, 1, 2].map(|i: usize| taps.iter().map(|tap| tap.1[i]).collect::<Vec<_>>());
        let mut runs: Vec<(Range<usize>, [usize; 3])> = Vec::new();
        for run in taps.chunk_by(|a, b| a.0 == b.0) {
            let start = runs.last().map_or(0, |(before, _)| before.end);
            let cells = across.beside(run[0].0).map(|column| column - columns.start);
            runs.push((start..start + run.len(), cells));
        }
        let count = area.area.area() as usize;
        for (channel, plane) in area.planes.chunks_exact_mut(count).enumerate() {
            let rows = plane.par_chunks_exact_mut(width as usize).enumerate();
            rows.for_each(|(row, values)| {
                let (middle, shares) = down.taps(y + row as u32);
                let rows = down.beside(middle);
                let off_by = |column: usize| {
                    let cells = rows.map(|row| row * across.cells + column);
                    let parts = cells.into_iter().zip(shares).map(|(cell, share)| {
                        let lacks =
                            self.photo.mean(cell)[channel] - self.network.mean(cell)[channel];
                        share * lacks as f32
                    });
                    parts.sum::<f32>()
                };
                let offsets: Vec<f32> = columns.clone().map(off_by).collect();
                for (run, cells) in &runs {
                    let offsets = cells.map(|cell| offsets[cell]);
                    let [first, second, third] = weights.each_ref().map(|w| &w[run.clone()]);
                    let weights = first.iter().zip(second).zip(third);
                    for (value, ((a, b), c)) in values[run.clone()].iter_mut().zip(weights) {
                        let offset = a * offsets[0] + b * offsets[1] + c * offsets[2];
                        *value = (*value + offset).clamp(0.0, 1.0);
                    }
                }
            });
        }
        self.result.add(&area.planes, area.area);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};
    use proptest::prelude::*;

    fn photo(width: u32, height: u32) -> DynamicImage {
        RgbImage::from_fn(width, height, |x, y| {
            Rgb([(x * 3 % 200) as u8, (y * 2 % 190) as u8, ((x ^ y) % 180) as u8])
        })
        .into()
    }

    /// A tinted answer: the photo's nearest pixels, brighter to the right, and less blue.
    fn answer(photo: &DynamicImage, output: (u32, u32), area: Rect) -> Area {
        let whole = planes_of(photo, Rect::of_size(photo.width(), photo.height()));
        let count = (photo.width() * photo.height()) as usize;
        let mut planes = Vec::new();
        for channel in 0..3 {
            for y in area.y..area.bottom() {
                for x in area.x..area.right() {
                    let (u, v) = (x * photo.width() / output.0, y * photo.height() / output.1);
                    let value = whole[channel * count + (v * photo.width() + u) as usize];
                    let tint = 0.1 * x as f32 / output.0 as f32 - 0.02 * channel as f32;
                    planes.push((value + tint).clamp(0.0, 1.0));
                }
            }
        }
        Area { area, planes }
    }

    /// All that leaves, put together; every pixel exactly once.
    fn locked(photo: &DynamicImage, output: (u32, u32), areas: &[Rect]) -> (Vec<f32>, ColourShift) {
        let mut lock = ColourLock::new(photo, output, true);
        let count = (output.0 * output.1) as usize;
        let mut whole = vec![f32::NAN; 3 * count];
        for area in areas {
            for part in lock.push(answer(photo, output, *area)) {
                let rows = part.planes.chunks_exact(part.area.width as usize);
                for (index, row) in rows.enumerate() {
                    let (channel, y) =
                        (index as u32 / part.area.height, index as u32 % part.area.height);
                    let start = channel as usize * count
                        + ((part.area.y + y) * output.0 + part.area.x) as usize;
                    assert!(whole[start..][..row.len()].iter().all(|value| value.is_nan()));
                    whole[start..][..row.len()].copy_from_slice(row);
                }
            }
        }
        assert!(whole.iter().all(|value| !value.is_nan()), "something did not leave");
        (whole, lock.shift())
    }

    #[test]
    fn a_tint_goes_and_detail_stays() {
        let photo = photo(160, 120);
        let output = (640, 480);
        let (result, shift) = locked(&photo, output, &[Rect::of_size(640, 480)]);
        assert!(shift.before > 2.0 && shift.after < 0.15, "{shift:?}");
        let given = answer(&photo, output, Rect::of_size(640, 480)).planes;
        // Neighbours differ as they did: nothing finer than a cell was touched.
        let steps = |planes: &[f32]| -> Vec<f32> {
            planes.windows(2).map(|pair| pair[1] - pair[0]).collect()
        };
        let inside = |index: usize| index % 640 != 639;
        let moved = steps(&given).into_iter().zip(steps(&result)).enumerate();
        let worst = moved
            .filter(|(index, _)| inside(*index))
            .map(|(index, (a, b))| if given[index] == 0.0 { 0.0 } else { (a - b).abs() })
            .fold(0.0, f32::max);
        assert!(worst < 0.03, "{worst}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn tiles_in_any_order_give_the_same_numbers_as_the_whole(
            width in 1_u32..150, height in 1_u32..90, scale in 1_u32..9, tile in 5_u32..80,
            seed in any::<u64>(),
        ) {
            let photo = photo(width, height);
            let side = |side: u32| (side * scale / 2).max(1);
            let output = (side(width), side(height));
            let mut areas = Vec::new();
            for y in (0..output.1).step_by(tile as usize) {
                for x in (0..output.0).step_by(tile as usize) {
                    let (right, bottom) = ((x + tile).min(output.0), (y + tile).min(output.1));
                    areas.push(Rect::spanning(x, y, right, bottom));
                }
            }
            fastrand::Rng::with_seed(seed).shuffle(&mut areas);
            let (whole, _) = locked(&photo, output, &[Rect::of_size(output.0, output.1)]);
            let (tiled, _) = locked(&photo, output, &areas);
            let worst = whole.iter().zip(&tiled).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            prop_assert!(worst < 1e-6, "{}", worst);
        }
    }

    #[test]
    fn a_row_of_tiles_leaves_before_the_next_one_comes() {
        let photo = photo(200, 200);
        let mut lock = ColourLock::new(&photo, (800, 800), true);
        let rows: Vec<u64> = (0..4)
            .map(|row| {
                let tiles = (0..4).map(|column| Rect {
                    x: column * 200,
                    y: row * 200,
                    width: 200,
                    height: 200,
                });
                let parts = tiles.flat_map(|tile| lock.push(answer(&photo, (800, 800), tile)));
                parts.map(|part| part.area.area()).sum()
            })
            .collect();
        assert!(rows[0] >= 800 * 64, "only rims wait: {rows:?}");
        assert_eq!(rows.iter().sum::<u64>(), 800 * 800);
        assert!(rows.iter().all(|pixels| pixels % 800 == 0), "whole rows leave: {rows:?}");
    }
}
