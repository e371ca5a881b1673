//! Pictures divided into cells: which pixels lie in which cell, and by which share.

use std::ops::Range;

use rayon::prelude::*;

use crate::{metric::colour::Lab, rect::Rect};

/// Cells of equal width along one side of a picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub cells: usize,
    pub pixels: u32,
}

impl Axis {
    pub(super) fn of(cells: u32, pixels: u32) -> Self {
        Self { cells: cells as usize, pixels }
    }

    /// The cell in which the middle of a pixel lies.
    pub(super) fn cell_of(self, x: u32) -> usize {
        (2 * u64::from(x) + 1) as usize * self.cells / (2 * self.pixels as usize)
    }

    /// The first pixel whose middle lies in a cell or beyond it.
    pub(super) fn first_of(self, cell: usize) -> u32 {
        ((2 * cell * self.pixels as usize).div_ceil(self.cells) / 2) as u32
    }

    /// What `start..end` covers of a cell; a whole one is as many as there are pixels.
    pub(super) fn share(self, start: u32, end: u32, cell: usize) -> u64 {
        let (from, to) = (start as usize * self.cells, end as usize * self.cells);
        let (left, right) = (cell * self.pixels as usize, (cell + 1) * self.pixels as usize);
        to.min(right).saturating_sub(from.max(left)) as u64
    }

    /// The cells that `start..end` touches.
    pub(super) fn cells_of(self, start: u32, end: u32) -> Range<usize> {
        let pixels = self.pixels as usize;
        start as usize * self.cells / pixels..(end as usize * self.cells).div_ceil(pixels)
    }

    /// The cells that lie in `start..end` with all their pixels.
    pub(super) fn within(self, start: u32, end: u32) -> Range<usize> {
        let pixels = self.pixels as usize;
        (start as usize * self.cells).div_ceil(pixels)..end as usize * self.cells / pixels
    }

    /// The cells that correct the pixels `start..end`.
    pub(super) fn around(self, start: u32, end: u32) -> Range<usize> {
        self.cell_of(start).saturating_sub(1)..(self.cell_of(end - 1) + 2).min(self.cells)
    }

    /// The middle cell that corrects a pixel, and the weights of the one before it, of itself and of
    /// the one after it.
    pub(super) fn taps(self, x: u32) -> (usize, [f32; 3]) {
        let cell = self.cell_of(x);
        let place = (f64::from(x) + 0.5) * self.cells as f64 / f64::from(self.pixels);
        let t = (place - cell as f64 - 0.5) as f32;
        (cell, [0.5 * (0.5 - t).powi(2), 0.75 - t * t, 0.5 * (0.5 + t).powi(2)])
    }

    /// A cell between its neighbours; at the border it is its own.
    pub(super) fn beside(self, cell: usize) -> [usize; 3] {
        [cell.saturating_sub(1), cell, (cell + 1).min(self.cells - 1)]
    }

    /// `start..end` cut where pixels begin, and end, that no cell beyond it corrects.
    pub(super) fn parts(self, start: u32, end: u32) -> Vec<(u32, u32)> {
        let pixels = self.pixels as usize;
        let own =
            (start as usize * self.cells).div_ceil(pixels)..end as usize * self.cells / pixels;
        let first = if own.start == 0 { 0 } else { own.start + 1 };
        let last = if own.end == self.cells { own.end } else { own.end.saturating_sub(1) };
        if first >= last {
            return vec![(start, end)];
        }
        let middle = (self.first_of(first).max(start), self.first_of(last).min(end));
        let parts = [(start, middle.0), middle, (middle.1, end)];
        parts.into_iter().filter(|(start, end)| start < end).collect()
    }
}

/// What a row of an area has of a cell.
struct Part {
    /// Pixels that lie in the cell alone, counted from where the area begins.
    inside: Range<usize>,
    /// Of each of them.
    whole: u64,
    /// Pixels that it shares with its neighbours, and its shares of them.
    edges: Vec<(usize, u64)>,
}

impl Part {
    fn of(axis: Axis, cell: usize, start: u32, end: u32) -> Self {
        let pixels = axis.pixels as usize;
        let local = |x: usize| x.clamp(start as usize, end as usize) - start as usize;
        let inside =
            local((cell * pixels).div_ceil(axis.cells))..local((cell + 1) * pixels / axis.cells);
        let touched =
            local(cell * pixels / axis.cells)..local(((cell + 1) * pixels).div_ceil(axis.cells));
        let edges = touched.filter(|x| !inside.contains(x)).map(|x| {
            let x_in_picture = start + x as u32;
            (x, axis.share(x_in_picture, x_in_picture + 1, cell))
        });
        Self { edges: edges.collect(), whole: axis.cells as u64, inside }
    }

    fn sum(&self, row: &[f32]) -> u64 {
        // So many fit into 32 bits, in which the processor adds several at once.
        let runs = row[self.inside.clone()].chunks(1024);
        let sum = |run: &[f32]| run.iter().map(|value| (value * UNIT) as i32).sum::<i32>() as u64;
        let inside = runs.map(sum).sum::<u64>();
        let edges = self.edges.iter().map(|(x, share)| share * (row[*x] * UNIT) as u64);
        self.whole * inside + edges.sum::<u64>()
    }
}

/// White in sums. They are whole numbers, in which the order of tiles leaves no trace.
const UNIT: f32 = (1 << 20) as f32;

/// Sums of red, green and blue over the cells of a picture.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub across: Axis,
    pub down: Axis,
    pub sums: [Vec<u64>; 3],
}

impl Grid {
    pub(super) fn new(cells: (u32, u32), size: (u32, u32)) -> Self {
        let (across, down) = (Axis::of(cells.0, size.0), Axis::of(cells.1, size.1));
        Self { across, down, sums: [0, 1, 2].map(|_| vec![0; across.cells * down.cells]) }
    }

    /// Adds the planes of an area; a pixel that lies in several cells goes to each by its share.
    pub(super) fn add(&mut self, planes: &[f32], area: Rect) {
        let Self { across, down, .. } = *self;
        let columns = across.cells_of(area.x, area.right());
        let parts: Vec<Part> =
            columns.clone().map(|cell| Part::of(across, cell, area.x, area.right())).collect();
        let count = area.area() as usize;
        self.sums.par_iter_mut().zip(planes.par_chunks_exact(count)).for_each(|(sums, plane)| {
            for (y, row) in (area.y..).zip(plane.chunks_exact(area.width as usize)) {
                let line: Vec<u64> = parts.iter().map(|part| part.sum(row)).collect();
                for cell in down.cells_of(y, y + 1) {
                    let share = down.share(y, y + 1, cell);
                    let cells = &mut sums[cell * across.cells..][columns.clone()];
                    for (cell, sum) in cells.iter_mut().zip(&line) {
                        *cell += share * sum;
                    }
                }
            }
        });
    }

    /// With what another one has of the same picture.
    pub(super) fn plus(mut self, other: &Self) -> Self {
        for (sums, more) in self.sums.iter_mut().zip(&other.sums) {
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        self
    }

    /// The mean of a cell whose pixels have all been added.
    pub(super) fn mean(&self, cell: usize) -> [f64; 3] {
        let count = f64::from(self.across.pixels) * f64::from(self.down.pixels);
        [0, 1, 2].map(|channel: usize| self.sums[channel][cell] as f64 / (count * f64::from(UNIT)))
    }

    /// Mean difference to the cells of another picture in CIEDE2000.
    pub(super) fn difference(&self, other: &Self) -> f64 {
        let colour = |grid: &Self, cell| Lab::of_srgb(grid.mean(cell));
        let count = self.across.cells * self.down.cells;
        let cells = 0..count;
        let differences = cells.map(|cell| colour(self, cell).difference(&colour(other, cell)));
        differences.sum::<f64>() / count as f64
    }
}
