//! Where detail was invented.
//!
//! A pixel of the photo states the mean of its area, and interpolation draws what follows from it
//! and its neighbours. What a result varies by *inside* of such an area, beyond interpolation, lies
//! above the photo's Nyquist frequency: no photo of this size can hold it, so the network made it
//! up. That is what is measured: the variance of result minus [`Plain`] over the area of each pixel
//! of the photo, on luma, and its square root over cells of several pixels, in levels of 255.
//!
//! Whether the result is the photo when it is shrunk again (`consistency`) would not do:
//! what was invented averages out to just that. It tells what was changed, this what was added.

use image::DynamicImage;
use rayon::prelude::*;
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::{cells::Axis, plain::Plain, tiled::Area};
use crate::rect::Rect;

/// Least side of a cell in pixels of the photo.
const SIDE: u32 = 8;

/// Cells along the longer side at most: memory does not grow with the photo.
const MOST: u32 = 512;

/// The same where they are written down as numbers.
const MOST_WRITTEN: u32 = 16;

/// One level squared is so many units of the sums: whole numbers, in which the order of tiles leaves
/// no trace.
const UNIT: f64 = 1048576.0;

/// From so many levels on a cell has the last colour of the map.
pub const FULL: f32 = 16.0;

/// Of the map, from little to [`FULL`]: red, green, blue and opacity.
const COLOURS: [[f32; 4]; 5] = [
    [40.0, 11.0, 84.0, 0.0],
    [101.0, 21.0, 110.0, 120.0],
    [212.0, 72.0, 66.0, 175.0],
    [251.0, 155.0, 6.0, 205.0],
    [252.0, 255.0, 164.0, 225.0],
];

/// Gathers areas of a result while they come. Pixels of the photo that an area covers in part do not
/// count.
pub(super) struct Invention<'a> {
    photo: &'a DynamicImage,
    across: Axis,
    down: Axis,
    side: u32,
    columns: usize,
    /// Of each cell: variances in [`UNIT`]s, and how many.
    sums: Vec<(u64, u32)>,
}

impl<'a> Invention<'a> {
    /// For a photo as the network sees it and a result of `output` pixels; `None` if that is no
    /// larger.
    pub(super) fn new(photo: &'a DynamicImage, output: (u32, u32)) -> Option<Self> {
        let (width, height) = (photo.width(), photo.height());
        let side = width.max(height).div_ceil(MOST).max(SIDE);
        let columns = width.div_ceil(side) as usize;
        let cells = columns * height.div_ceil(side) as usize;
        (output.0 > width && output.1 > height).then(|| Self {
            photo,
            across: Axis::of(width, output.0),
            down: Axis::of(height, output.1),
            side,
            columns,
            sums: vec![(0, 0); cells],
        })
    }

    /// Adds an area, which is not to come again; `plain` is that of the photo and the result.
    pub(super) fn add(&mut self, area: &Area, plain: &Plain) {
        let Self { across, down, side, .. } = *self;
        let Rect { x: left, y: top, width, .. } = area.area;
        let columns = across.within(left, area.area.right());
        let rows = down.within(top, area.area.bottom());
        if columns.is_empty() || rows.is_empty() {
            return;
        }
        let plain = plain.luma(self.photo, area.area);
        let stride = width as usize;
        let mut planes = area.planes.chunks_exact(area.area.area() as usize);
        let [Some(red), Some(green), Some(blue)] = [planes.next(), planes.next(), planes.next()]
        else {
            return;
        };
        let starts: Vec<usize> = (columns.start..=columns.end)
            .map(|column| (across.first_of(column) - left) as usize)
            .collect();
        // Each row of the photo by itself.
        let of_row = |row: usize| {
            let lines = down.first_of(row) - top..down.first_of(row + 1) - top;
            let first = columns.start / side as usize;
            let mut sums = vec![(0_u64, 0_u32); (columns.end - 1) / side as usize - first + 1];
            for (column, ends) in columns.clone().zip(starts.windows(2)) {
                let (mut sum, mut squares, mut count) = (0.0_f32, 0.0_f32, 0.0_f32);
                for line in lines.clone() {
                    let place = line as usize * stride;
                    for at in place + ends[0]..place + ends[1] {
                        let luma = 0.299 * red[at] + 0.587 * green[at] + 0.114 * blue[at];
                        let added = 255.0 * (luma - plain[at]);
                        sum += added;
                        squares += added * added;
                        count += 1.0;
                    }
                }
                let variance = (squares - sum * sum / count.max(1.0)) / count.max(1.0);
                let cell = &mut sums[column / side as usize - first];
                cell.0 += (f64::from(variance.max(0.0)) * UNIT) as u64;
                cell.1 += 1;
            }
            (row, first, sums)
        };
        let all: Vec<_> = rows.into_par_iter().map(of_row).collect();
        for (row, first, sums) in all {
            let start = row / side as usize * self.columns + first;
            for (cell, (sum, count)) in self.sums[start..].iter_mut().zip(sums) {
                cell.0 += sum;
                cell.1 += count;
            }
        }
    }

    /// What was measured.
    pub(super) fn map(self) -> HeatMap {
        HeatMap {
            size: (self.photo.width(), self.photo.height()),
            side: self.side,
            columns: self.columns,
            sums: self.sums,
        }
    }
}

/// How much detail was invented where: a grid of square cells over the photo.
#[derive(Clone, Debug)]
pub struct HeatMap {
    size: (u32, u32),
    side: u32,
    columns: usize,
    /// See [`Invention`].
    sums: Vec<(u64, u32)>,
}

fn levels((sum, count): (u64, u32)) -> f32 {
    (sum as f64 / UNIT / f64::from(count.max(1))).sqrt() as f32
}

impl HeatMap {
    /// Columns and rows.
    #[must_use]
    pub fn cells(&self) -> (u32, u32) {
        (self.columns as u32, (self.sums.len() / self.columns) as u32)
    }

    /// The photo, in cells: the last column and row may reach beyond it.
    #[must_use]
    pub fn extent(&self) -> (f32, f32) {
        (self.size.0 as f32 / self.side as f32, self.size.1 as f32 / self.side as f32)
    }

    /// Invented detail of a cell in levels of 255.
    #[must_use]
    pub fn levels(&self, column: u32, row: u32) -> f32 {
        levels(self.sums[row as usize * self.columns + column as usize])
    }

    /// The same of the whole photo.
    #[must_use]
    pub fn overall(&self) -> f32 {
        levels(self.sums.iter().fold((0, 0), |(sum, count), cell| (sum + cell.0, count + cell.1)))
    }

    /// The cell with the most, in levels, and where it lies on the photo.
    #[must_use]
    pub fn most(&self) -> (f32, Rect) {
        let (columns, rows) = self.cells();
        let all = (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row)));
        let at = |(column, row): &(u32, u32)| self.levels(*column, *row);
        let (x, y) = all.max_by(|a, b| at(a).total_cmp(&at(b))).unwrap_or_default();
        let end = |cell: u32, side: u32| ((cell + 1) * self.side).min(side);
        let [right, bottom] = [end(x, self.size.0), end(y, self.size.1)];
        (at(&(x, y)), Rect::spanning(x * self.side, y * self.side, right, bottom))
    }

    /// The same map in fewer cells, of whole cells of this one.
    fn coarser(&self, most: u32) -> Self {
        let (columns, rows) = self.cells();
        let factor = columns.max(rows).div_ceil(most).max(1);
        let wide = columns.div_ceil(factor) as usize;
        let mut sums = vec![(0, 0); wide * rows.div_ceil(factor) as usize];
        for (place, (sum, count)) in self.sums.iter().enumerate() {
            let (column, row) = (place % self.columns, place / self.columns);
            let cell = &mut sums[row / factor as usize * wide + column / factor as usize];
            *cell = (cell.0 + sum, cell.1 + count);
        }
        Self { size: self.size, side: self.side * factor, columns: wide, sums }
    }
}

/// The colour of so many levels: red, green, blue and opacity, 0 to 255.
#[must_use]
pub fn colour(levels: f32) -> [u8; 4] {
    let last = COLOURS.len() - 1;
    let place = (levels / FULL).clamp(0.0, 1.0) * last as f32;
    let first = (place as usize).min(last - 1);
    let share = place - first as f32;
    [0, 1, 2, 3].map(|part: usize| {
        let [from, to] = [COLOURS[first][part], COLOURS[first + 1][part]];
        (from + share * (to - from) + 0.5) as u8
    })
}

impl Serialize for HeatMap {
    /// What people ask for, and the map in few cells, row by row.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Most {
            levels: f32,
            x: u32,
            y: u32,
            width: u32,
            height: u32,
        }
        let tenths = |value: f32| (value * 10.0).round() / 10.0;
        let (levels, Rect { x, y, width, height }) = self.most();
        let written = self.coarser(MOST_WRITTEN);
        let (columns, rows) = written.cells();
        let row = |row: u32| -> Vec<f32> {
            (0..columns).map(|column| tenths(written.levels(column, row))).collect()
        };
        let mut fields = serializer.serialize_struct("HeatMap", 4)?;
        fields.serialize_field("overall_levels", &tenths(self.overall()))?;
        let most = Most { levels: tenths(levels), x, y, width, height };
        fields.serialize_field("most", &most)?;
        fields.serialize_field("cell_pixels", &written.side)?;
        fields.serialize_field("cells", &(0..rows).map(row).collect::<Vec<_>>())?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::tiled::planes_of;
    use image::{Rgb, RgbImage};

    fn photo() -> DynamicImage {
        // Away from black and white, at which the overshoot of interpolation is cut off.
        let pixel = |x, y| Rgb([x * 3, y * 5, (x + y) * 2].map(|value| (20 + value) as u8));
        RgbImage::from_fn(64, 40, pixel).into()
    }

    /// The photo enlarged, with a chequer of so many levels added where `x` is beyond `from`, pushed
    /// in tiles of this size.
    fn map(output: (u32, u32), from: u32, amplitude: f32, tile: u32) -> HeatMap {
        let photo = photo();
        let plain = Plain::of(&photo, output);
        let mut invention = Invention::new(&photo, output).unwrap();
        for y in (0..output.1).step_by(tile as usize) {
            for x in (0..output.0).step_by(tile as usize) {
                let area = Rect::spanning(x, y, (x + tile).min(output.0), (y + tile).min(output.1));
                // Sixteen bits, or rounding would count as detail.
                let pixels = plain.pixels(&photo.to_rgb16().into(), area);
                let mut planes = planes_of(&pixels, Rect::of_size(area.width, area.height));
                for (index, value) in planes.iter_mut().enumerate() {
                    let place = index as u32 % area.area() as u32;
                    let (x, y) = (area.x + place % area.width, area.y + place / area.width);
                    let sign = if (x + y) % 2 == 0 { 1.0 } else { -1.0 };
                    *value += if x >= from { sign * amplitude / 255.0 } else { 0.0 };
                }
                invention.add(&Area { area, planes }, &plain);
            }
        }
        invention.map()
    }

    #[test]
    fn interpolation_invents_nothing_and_fine_detail_is_measured_in_levels() {
        assert!(map((256, 160), 999, 0.0, 256).overall() < 0.01);
        let half = map((256, 160), 128, 6.0, 256);
        assert_eq!(half.cells(), (8, 5));
        for row in 0..5 {
            for column in 0..8 {
                let expected = if column < 4 { 0.0 } else { 6.0 };
                assert!((half.levels(column, row) - expected).abs() < 0.01, "{column} {row}");
            }
        }
        let (most, place) = half.most();
        assert!((most - 6.0).abs() < 0.01 && place.x >= 32 && place.width == 8);
        assert!((half.overall() - 6.0 / 2_f32.sqrt()).abs() < 0.01);
    }

    #[test]
    fn brighter_is_not_invented() {
        // An offset is what shrinking the result again would show; it is no detail.
        let photo = photo();
        let plain = Plain::of(&photo, (256, 160));
        let mut invention = Invention::new(&photo, (256, 160)).unwrap();
        let area = Rect::of_size(256, 160);
        let pixels = plain.pixels(&photo.to_rgb16().into(), area);
        let planes = planes_of(&pixels, area).into_iter().map(|value| value + 0.1).collect();
        invention.add(&Area { area, planes }, &plain);
        assert!(invention.map().overall() < 0.01);
    }

    #[test]
    fn tiles_and_odd_sizes_give_the_same_picture() {
        for output in [(256, 160), (170, 106), (640, 400)] {
            let whole = map(output, 100, 9.0, 1000);
            let tiled = map(output, 100, 9.0, 64);
            let ((columns, rows), other) = (whole.cells(), tiled.cells());
            assert_eq!((columns, rows), other);
            for (column, row) in (0..rows).flat_map(|row| (0..columns).map(move |x| (x, row))) {
                let apart = whole.levels(column, row) - tiled.levels(column, row);
                // Pixels that a tile cuts are left out, which moves a mean a little.
                assert!(apart.abs() < 1.5, "{output:?} {column} {row}: {apart}");
            }
        }
        assert!(Invention::new(&photo(), (64, 40)).is_none());
    }

    #[test]
    fn what_is_written_is_short_and_of_the_same_detail() {
        let map = map((256, 160), 128, 6.0, 256);
        let json = serde_json::to_value(map.coarser(4)).unwrap();
        assert_eq!(json["cells"], serde_json::json!(vec![[0.0, 0.0, 6.0, 6.0]; 3]));
        assert_eq!((&json["cell_pixels"], &json["most"]["levels"]), (&16.into(), &6.0.into()));
        assert_eq!(colour(0.0)[3], 0);
        assert_eq!(colour(2.0 * FULL), COLOURS[4].map(|part| part as u8));
    }
}
