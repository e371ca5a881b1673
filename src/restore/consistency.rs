//! Whether a result, made as small as its photo again, is the photo.

use image::DynamicImage;
use rayon::prelude::*;

use super::{
    cells::Axis,
    tiled::{Area, planes_of},
};
use crate::rect::Rect;

/// Compares areas of a result with the photo while they come. Pixels of the photo that an area
/// covers in part do not count.
pub(super) struct Consistency<'a> {
    photo: &'a DynamicImage,
    across: Axis,
    down: Axis,
    squared: f64,
    count: u64,
}

impl<'a> Consistency<'a> {
    /// For a result of `output` pixels; `None` if it is smaller than the photo.
    pub(super) fn new(photo: &'a DynamicImage, output: (u32, u32)) -> Option<Self> {
        let (width, height) = (photo.width(), photo.height());
        (output.0 >= width && output.1 >= height).then(|| Self {
            photo,
            across: Axis::of(width, output.0),
            down: Axis::of(height, output.1),
            squared: 0.0,
            count: 0,
        })
    }

    /// Adds an area, which is not to come again.
    pub(super) fn add(&mut self, area: &Area) {
        let Self { across, down, .. } = *self;
        let Rect { x, y, width, .. } = area.area;
        let columns = across.within(x, area.area.right());
        let rows = down.within(y, area.area.bottom());
        if columns.is_empty() || rows.is_empty() {
            return;
        }
        let covered = Rect {
            x: columns.start as u32,
            y: rows.start as u32,
            width: columns.len() as u32,
            height: rows.len() as u32,
        };
        let photo = planes_of(self.photo, covered);
        let pixels = covered.area() as usize;
        let whole = f64::from(across.pixels) * f64::from(down.pixels);
        // One more on each side for pixels that lie in part beyond.
        let stride = columns.len() + 2;
        let shares: Vec<(usize, f64, f64)> = (x..area.area.right())
            .map(|x| {
                let cell = across.cells_of(x, x + 1).start;
                let share = across.share(x, x + 1, cell) as f64;
                (cell + 1 - columns.start, share, across.cells as f64 - share)
            })
            .collect();
        let planes = area.planes.par_chunks_exact(area.area.area() as usize);
        let squared = planes.zip(photo.par_chunks_exact(pixels)).map(|(plane, photo)| {
            let mut sums = vec![0.0; stride * rows.len()];
            let mut line = vec![0.0; stride];
            for (row, y) in plane.chunks_exact(width as usize).zip(y..) {
                line.fill(0.0);
                for (value, (cell, share, rest)) in row.iter().zip(&shares) {
                    line[*cell] += share * f64::from(*value);
                    if *rest > 0.0 {
                        line[cell + 1] += rest * f64::from(*value);
                    }
                }
                for cell in down.cells_of(y, y + 1).filter(|cell| rows.contains(cell)) {
                    let share = down.share(y, y + 1, cell) as f64;
                    let start = (cell - rows.start) * stride;
                    for (sum, value) in sums[start..start + stride].iter_mut().zip(&line) {
                        *sum += share * value;
                    }
                }
            }
            let means = sums.chunks_exact(stride).flat_map(|row| &row[1..stride - 1]);
            let errors = means.zip(photo).map(|(sum, photo)| sum / whole - f64::from(*photo));
            errors.map(|error| error * error).sum::<f64>()
        });
        self.squared += squared.collect::<Vec<f64>>().iter().sum::<f64>();
        self.count += 3 * pixels as u64;
    }

    /// PSNR in dB, at most 100; `None` where nothing was compared.
    pub(super) fn psnr(&self) -> Option<f64> {
        let error = self.squared / self.count as f64;
        (self.count > 0).then(|| (-10.0 * error.log10()).min(100.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    fn photo() -> DynamicImage {
        RgbImage::from_fn(12, 9, |x, y| Rgb([(x * 20) as u8, (y * 25) as u8, ((x ^ y) * 16) as u8]))
            .into()
    }

    /// Nearest pixels, all of them `offset` brighter, in tiles of 7.
    fn psnr(output: (u32, u32), offset: f32) -> Option<f64> {
        let photo = photo();
        let planes = planes_of(&photo, Rect::of_size(12, 9));
        let mut consistency = Consistency::new(&photo, output)?;
        for y in (0..output.1).step_by(7) {
            for x in (0..output.0).step_by(7) {
                let area = Rect::spanning(x, y, (x + 7).min(output.0), (y + 7).min(output.1));
                let mut values = Vec::new();
                for channel in 0..3 {
                    for y in area.y..area.bottom() {
                        for x in area.x..area.right() {
                            let (u, v) = (x * 12 / output.0, y * 9 / output.1);
                            values.push(planes[channel * 108 + (v * 12 + u) as usize] + offset);
                        }
                    }
                }
                consistency.add(&Area { area, planes: values });
            }
        }
        consistency.psnr()
    }

    #[test]
    fn the_photo_itself_is_perfect_and_an_offset_is_what_it_is() {
        assert_eq!(psnr((48, 36), 0.0), Some(100.0));
        assert!((psnr((48, 36), 0.1).unwrap() - 20.0).abs() < 1e-3);
        // Of a size that is no multiple, nearest pixels are not quite the photo.
        assert!(psnr((50, 37), 0.0).unwrap() > 25.0);
        assert_eq!(psnr((6, 4), 0.0), None);
    }
}
