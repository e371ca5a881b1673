//! Scratches and dust: thin lines and small specks, brighter or darker than what is on all sides.
//!
//! A pixel may lie on a line of one direction if it stands out from both of its sides (A. Kokaram,
//! "Motion picture restoration", 1998, and V. Bruni and D. Vitulano, 2004), by more than what is
//! usual around it. A line is what holds more of such pixels in a row than chance would put there,
//! given how many there are around it: A. Newson, A. Almansa, Y. Gousseau and P. Pérez, "Robust
//! automatic line scratch detection in films", IEEE TIP 2014, whose vertical lines are lines of any
//! direction here. So texture and foliage, in which such pixels are everywhere, make no lines.
//!
//! Specks are what a morphological opening or closing takes away (the top-hat of F. Meyer, 1979),
//! if it stands out by many times the local spread and stands alone.

use image::{GrayImage, Luma};
use imageproc::{
    morphology::{Mask, grayscale_close, grayscale_dilate, grayscale_open},
    region_labelling::{Connectivity, connected_components},
};
use rayon::prelude::*;

use super::{Plane, plane::quantile, reduced};
use crate::error::Result;

/// Longest side of the picture that is searched.
const MOST_SIDE: u32 = 2400;

/// Directions of lines.
const DIRECTIONS: usize = 32;

/// How far beside a line its sides are, in pixels.
const ASIDE: f32 = 3.0;

/// Least that a pixel of a line stands out from its sides, in levels.
const LEAST: f32 = 3.0;

/// Half the side of the square that is "around" a pixel.
const AROUND: usize = 40;

/// Shares of pixels by chance are not believed to be outside of these.
const CHANCE: (f32, f32) = (0.05, 0.5);

/// What makes a row of pixels a line: half of its length, the share of pixels that must stand out,
/// and how unlikely it must be by chance, in nats.
#[derive(Clone, Copy)]
struct Row {
    half: i32,
    share: f32,
    nats: f32,
}

/// What a line is made of.
const PIECE: Row = Row { half: 12, share: 0.6, nats: 6.0 };

/// What a line must have somewhere.
const SEED: Row = Row { half: 35, share: 0.75, nats: 20.0 };

/// Pixels with [`SEED`] that make a line.
const SEEDS: usize = 5;

/// Shortest scratch, in pixels and as a share of the shorter side.
const SHORTEST: (f32, f32) = (19.0, 0.1);

/// Widest scratch, in pixels.
const WIDEST: f32 = 4.5;

/// Half the side, less a half, of what a speck fits into.
const SPECK: u8 = 3;

/// A speck stands out by so many times the local spread at its brightest, and everywhere.
const SPECK_STANDS_OUT: (f32, f32) = (10.0, 3.5);

/// The least spread that is believed, in levels.
const SPREAD: f32 = 4.0;

/// Side of the squares for which the spread is measured.
const SQUARE: usize = 32;

/// Share of pixels around a speck that may stand out as well.
const CLUTTER: f32 = 0.01;

/// What was found.
pub(super) struct Marks {
    pub(super) mask: GrayImage,
    pub(super) scratches: usize,
    pub(super) specks: usize,
}

/// Looks for both in a grey picture.
pub(super) fn find(
    luma: &GrayImage,
    sensitivity: f32,
    going_on: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<Marks> {
    let (plane, times) = reduced(luma, MOST_SIDE);
    let mut small = GrayImage::new(plane.width as u32, plane.height as u32);
    let scratches = lines(&plane, sensitivity, &mut small, going_on)?;
    let specks = specks(&plane, sensitivity, &mut small);
    // Their soft rims.
    let small = grayscale_dilate(&small, &Mask::square(1));
    let mask = GrayImage::from_fn(luma.width(), luma.height(), |x, y| {
        *small.get_pixel(x / times, y / times)
    });
    Ok(Marks { mask, scratches, specks })
}

/// What the pixels of all lines through them say, in one polarity.
struct Votes {
    piece: Vec<bool>,
    seed: Vec<bool>,
}

/// Marks lines; gives how many there are.
fn lines(
    plane: &Plane,
    sensitivity: f32,
    mask: &mut GrayImage,
    going_on: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<usize> {
    let usual = 3.0 - 2.5 * sensitivity;
    let none = || vec![false; plane.values.len()];
    let mut all = [0, 1].map(|_| Votes { piece: none(), seed: none() });
    let directions: Vec<usize> = (0..DIRECTIONS).collect();
    let together = rayon::current_num_threads().clamp(1, 8);
    for (done, chunk) in directions.chunks(together).enumerate() {
        going_on((done * together) as f32 / DIRECTIONS as f32)?;
        let votes: Vec<[Votes; 2]> =
            chunk.par_iter().map(|direction| in_direction(plane, *direction, usual)).collect();
        let join = |to: &mut [bool], from: &[bool]| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to |= from);
        };
        for votes in votes {
            for (all, vote) in all.iter_mut().zip(&votes) {
                join(&mut all.piece, &vote.piece);
                join(&mut all.seed, &vote.seed);
            }
        }
    }
    Ok(all.iter().map(|votes| joined(plane, votes, mask)).sum())
}

/// Which pixels are on bright and on dark lines of one direction. `usual`: by how many times what is
/// usual around it a pixel must stand out.
fn in_direction(plane: &Plane, direction: usize, usual: f32) -> [Votes; 2] {
    let angle = std::f32::consts::PI * direction as f32 / DIRECTIONS as f32;
    let (sine, cosine) = angle.sin_cos();
    let [dx, dy] = [-sine * ASIDE, cosine * ASIDE].map(|value| value.round() as isize);
    let (width, height) = (plane.width, plane.height);
    let beside = |x: usize, y: usize, sign: isize| {
        let x = x.saturating_add_signed(sign * dx).min(width - 1);
        let y = y.saturating_add_signed(sign * dy).min(height - 1);
        plane.at(x, y)
    };
    let offsets: Vec<(isize, isize)> = (-SEED.half..=SEED.half)
        .map(|t| ((t as f32 * cosine).round() as isize, (t as f32 * sine).round() as isize))
        .collect();
    [1.0, -1.0].map(|sign: f32| {
        let stands_out = Plane::from_fn(width, height, |x, y| {
            let here = plane.at(x, y);
            (sign * (here - beside(x, y, 1))).min(sign * (here - beside(x, y, -1)))
        });
        let around = stands_out.map(f32::abs).blurred(AROUND);
        let is_on = |out: f32, around: f32| out > (usual * around).max(LEAST);
        let on = stands_out.with(&around, |out, around| f32::from(u8::from(is_on(out, around))));
        let chance = on.blurred(AROUND);
        let mut votes =
            Votes { piece: vec![false; on.values.len()], seed: vec![false; on.values.len()] };
        for (index, _) in on.values.iter().enumerate().filter(|(_, on)| **on > 0.0) {
            let (x, y) = (index % width, index / width);
            let count = |row: Row| -> f32 {
                let first = (SEED.half - row.half) as usize;
                let places = &offsets[first..offsets.len() - first];
                let values = places.iter().filter_map(|(dx, dy)| {
                    let (x, y) = (x.checked_add_signed(*dx)?, y.checked_add_signed(*dy)?);
                    (x < width && y < height).then(|| on.at(x, y))
                });
                values.sum()
            };
            let chance = chance.values[index].clamp(CHANCE.0, CHANCE.1);
            votes.piece[index] = PIECE.is_line(count(PIECE), chance);
            votes.seed[index] = votes.piece[index] && SEED.is_line(count(SEED), chance);
        }
        votes
    })
}

impl Row {
    /// Whether so many pixels in a row are no accident (the tail of the binomial distribution by
    /// Hoeffding's bound, as in A. Desolneux, L. Moisan and J.-M. Morel, "From Gestalt theory to
    /// image analysis", 2008).
    fn is_line(self, count: f32, chance: f32) -> bool {
        let length = (2 * self.half + 1) as f32;
        let share = (count / length).clamp(1e-4, 1.0 - 1e-4);
        let nats =
            share * (share / chance).ln() + (1.0 - share) * ((1.0 - share) / (1.0 - chance)).ln();
        share > self.share.max(chance) && length * nats > self.nats
    }
}

/// Marks the lines that hang together, are long and thin; gives how many there are.
fn joined(plane: &Plane, votes: &Votes, mask: &mut GrayImage) -> usize {
    let (width, height) = (plane.width, plane.height);
    let mut pieces = votes.piece.iter().map(|piece| if *piece { 255 } else { 0 });
    let pieces = GrayImage::from_fn(width as u32, height as u32, |_, _| {
        Luma([pieces.next().unwrap_or_default()])
    });
    // Over gaps of two pixels.
    let wide = grayscale_dilate(&pieces, &Mask::square(1));
    let labels = connected_components(&wide, Connectivity::Eight, Luma([0]));
    let mut lines = vec![Line::default(); labels.iter().max().map_or(0, |most| *most as usize + 1)];
    for (index, label) in labels.iter().enumerate().filter(|(_, label)| **label > 0) {
        let line = &mut lines[*label as usize];
        line.meet(index % width, index / width);
        line.pixels += usize::from(votes.piece[index]);
        line.seeds += usize::from(votes.seed[index]);
    }
    let short = width.min(height) as f32;
    let is_scratch = |line: &Line| {
        let length = line.length();
        line.seeds >= SEEDS
            && length >= SHORTEST.0.max(SHORTEST.1 * short)
            && line.pixels as f32 <= WIDEST * length
    };
    let kept: Vec<bool> = lines.iter().map(is_scratch).collect();
    for ((label, piece), mark) in labels.iter().zip(pieces.iter()).zip(mask.iter_mut()) {
        if kept[*label as usize] {
            *mark = (*mark).max(*piece);
        }
    }
    kept.into_iter().filter(|kept| *kept).count()
}

/// What hangs together: its box, and what it is made of.
#[derive(Clone, Default)]
struct Line {
    /// Left, top, right and bottom, those included.
    edges: Option<[usize; 4]>,
    pixels: usize,
    seeds: usize,
    most: f32,
}

impl Line {
    fn meet(&mut self, x: usize, y: usize) {
        let [left, top, right, bottom] = self.edges.unwrap_or([x, y, x, y]);
        self.edges = Some([left.min(x), top.min(y), right.max(x), bottom.max(y)]);
    }

    fn sides(&self) -> [usize; 2] {
        let [left, top, right, bottom] = self.edges.unwrap_or_default();
        [right - left + 1, bottom - top + 1]
    }

    fn length(&self) -> f32 {
        let [wide, tall] = self.sides().map(|side| side as f32);
        wide.hypot(tall)
    }
}

/// Marks specks; gives how many there are.
fn specks(plane: &Plane, sensitivity: f32, mask: &mut GrayImage) -> usize {
    let (width, height) = (plane.width, plane.height);
    let grey = GrayImage::from_fn(width as u32, height as u32, |x, y| {
        Luma([(plane.at(x as usize, y as usize) + 0.5) as u8])
    });
    let shape = Mask::square(SPECK);
    let (opened, closed) =
        rayon::join(|| grayscale_open(&grey, &shape), || grayscale_close(&grey, &shape));
    let hat = |high: &GrayImage, low: &GrayImage| Plane {
        values: high.iter().zip(low.iter()).map(|(a, b)| f32::from(a.saturating_sub(*b))).collect(),
        ..*plane
    };
    [hat(&grey, &opened), hat(&closed, &grey)]
        .iter()
        .map(|hat| specks_of(&in_spreads(hat), sensitivity, mask))
        .sum()
}

/// Marks what is small, stands out and stands alone; gives how many there are.
fn specks_of(plane: &Plane, sensitivity: f32, mask: &mut GrayImage) -> usize {
    let factor = 1.5 - sensitivity;
    let (most, least) = (SPECK_STANDS_OUT.0 * factor, SPECK_STANDS_OUT.1 * factor);
    let width = plane.width;
    let on = plane.map(|value| f32::from(u8::from(value > least)));
    let mut marks = on.values.iter().map(|on| if *on > 0.0 { 255 } else { 0 });
    let marks = GrayImage::from_fn(width as u32, plane.height as u32, |_, _| {
        Luma([marks.next().unwrap_or_default()])
    });
    let labels = connected_components(&marks, Connectivity::Eight, Luma([0]));
    let mut parts = vec![Line::default(); labels.iter().max().map_or(0, |most| *most as usize + 1)];
    for (index, label) in labels.iter().enumerate().filter(|(_, label)| **label > 0) {
        let part = &mut parts[*label as usize];
        part.meet(index % width, index / width);
        part.pixels += 1;
        part.most = part.most.max(plane.values[index]);
    }
    let radius = AROUND / 2;
    let crowd = on.blurred(radius);
    let area = ((2 * radius + 1) * (2 * radius + 1)) as f32;
    let is_speck = |part: &Line| {
        let Some([left, top, right, bottom]) = part.edges else { return false };
        let around = crowd.at(usize::midpoint(left, right), usize::midpoint(top, bottom));
        part.most > most
            && part.sides().into_iter().all(|side| side <= 5 * usize::from(SPECK))
            && around - part.pixels as f32 / area <= CLUTTER
    };
    let kept: Vec<bool> = parts.iter().map(is_speck).collect();
    for (label, mark) in labels.iter().zip(mask.iter_mut()) {
        if kept[*label as usize] {
            *mark = 255;
        }
    }
    kept.into_iter().filter(|kept| *kept).count()
}

/// How far each value is above the median around it, in local spreads: those from the median to the
/// quantile that lies one standard deviation above it where values are normal.
fn in_spreads(plane: &Plane) -> Plane {
    let (width, height) = (plane.width, plane.height);
    let (columns, rows) = (width.div_ceil(SQUARE), height.div_ceil(SQUARE));
    let squares: Vec<(f32, f32)> = (0..columns * rows)
        .into_par_iter()
        .map(|square| {
            let span = |at: usize, most: usize| {
                let from = (at * SQUARE).saturating_sub(SQUARE / 2);
                from..((at + 1) * SQUARE + SQUARE / 2).min(most)
            };
            let columns_in = span(square % columns, width);
            let rows_in = span(square / columns, height);
            let values: Vec<f32> = rows_in
                .flat_map(|y| columns_in.clone().map(move |x| (x, y)))
                .map(|(x, y)| plane.at(x, y))
                .collect();
            let middle = quantile(values.clone(), 0.5);
            (middle, (quantile(values, 0.84) - middle).max(SPREAD))
        })
        .collect();
    Plane::from_fn(width, height, |x, y| {
        let (middle, spread) = squares[y / SQUARE * columns + x / SQUARE];
        (plane.at(x, y) - middle) / spread
    })
}
