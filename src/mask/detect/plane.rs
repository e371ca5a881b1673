//! Numbers for the pixels of a picture.

use image::GrayImage;

/// Row by row.
#[derive(Clone, Debug)]
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) values: Vec<f32>,
}

impl Plane {
    /// From a function of the column and the row.
    pub(super) fn from_fn(
        width: usize,
        height: usize,
        mut value: impl FnMut(usize, usize) -> f32,
    ) -> Self {
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            values.extend((0..width).map(|x| value(x, y)));
        }
        Self { width, height, values }
    }

    /// Means of squares of so many pixels; what is left over at the right and the bottom goes into
    /// smaller ones.
    pub(super) fn smaller(picture: &GrayImage, times: u32) -> Self {
        let (wide, tall) = picture.dimensions();
        let (width, height) = (wide.div_ceil(times), tall.div_ceil(times));
        let span = |at: u32, most: u32| at * times..((at + 1) * times).min(most);
        Self::from_fn(width as usize, height as usize, |x, y| {
            let (columns, rows) = (span(x as u32, wide), span(y as u32, tall));
            let count = (columns.len() * rows.len()) as f32;
            let pixels = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
            let sum: u32 = pixels.map(|(x, y)| u32::from(picture.get_pixel(x, y).0[0])).sum();
            sum as f32 / count
        })
    }

    pub(super) fn at(&self, x: usize, y: usize) -> f32 {
        self.values[y * self.width + x]
    }

    /// The same with each value changed.
    pub(super) fn map(&self, change: impl Fn(f32) -> f32) -> Self {
        let values = self.values.iter().map(|value| change(*value)).collect();
        Self { values, ..*self }
    }

    /// The same with each value changed by that of another plane.
    pub(super) fn with(&self, other: &Self, change: impl Fn(f32, f32) -> f32) -> Self {
        let pairs = self.values.iter().zip(&other.values);
        Self { values: pairs.map(|(a, b)| change(*a, *b)).collect(), ..*self }
    }

    /// Means of the squares of `2 radius + 1` pixels around each pixel, as far as they lie within.
    pub(super) fn blurred(&self, radius: usize) -> Self {
        let (width, height) = (self.width, self.height);
        let mut across = Vec::with_capacity(self.values.len());
        for row in self.values.chunks_exact(width.max(1)) {
            let mut sum: f64 = row[..radius.min(width)].iter().map(|value| f64::from(*value)).sum();
            for x in 0..width {
                sum += row.get(x + radius).map_or(0.0, |value| f64::from(*value));
                across.push(sum as f32);
                sum -= x.checked_sub(radius).map_or(0.0, |x| f64::from(row[x]));
            }
        }
        let within = |at: usize, most: usize| {
            ((at + radius + 1).min(most) - at.saturating_sub(radius)) as f32
        };
        let mut sums = vec![0.0_f64; width];
        let add = |sums: &mut [f64], y: usize, sign: f64| {
            for (sum, value) in sums.iter_mut().zip(&across[y * width..(y + 1) * width]) {
                *sum += sign * f64::from(*value);
            }
        };
        (0..radius.min(height)).for_each(|y| add(&mut sums, y, 1.0));
        let mut values = Vec::with_capacity(self.values.len());
        for y in 0..height {
            if y + radius < height {
                add(&mut sums, y + radius, 1.0);
            }
            let rows = within(y, height);
            values.extend((0..width).map(|x| sums[x] as f32 / (rows * within(x, width))));
            if y >= radius {
                add(&mut sums, y - radius, -1.0);
            }
        }
        Self { values, ..*self }
    }
}

/// The value that so large a share of all values, 0 to 1, does not exceed; 0 of none.
pub(super) fn quantile(mut values: Vec<f32>, share: f32) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let place = ((values.len() - 1) as f32 * share).round() as usize;
    *values.select_nth_unstable_by(place, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    #[test]
    fn blurring_takes_means_of_what_lies_within() {
        let plane = Plane::from_fn(9, 7, |x, y| ((x * 31 + y * 17) % 23) as f32);
        for radius in [0, 1, 3, 12] {
            let blurred = plane.blurred(radius);
            for (x, y) in [(0_usize, 0_usize), (4, 3), (8, 6), (2, 6)] {
                let columns = x.saturating_sub(radius)..(x + radius + 1).min(9);
                let rows = y.saturating_sub(radius)..(y + radius + 1).min(7);
                let count = (columns.len() * rows.len()) as f32;
                let values = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
                let sum: f32 = values.map(|(x, y)| plane.at(x, y)).sum();
                assert!((blurred.at(x, y) - sum / count).abs() < 1e-4, "{radius} {x} {y}");
            }
        }
    }

    #[test]
    fn a_smaller_picture_has_the_means() {
        let picture = GrayImage::from_fn(5, 3, |x, y| Luma([(10 * x + y) as u8]));
        let small = Plane::smaller(&picture, 2);
        assert_eq!((small.width, small.height), (3, 2));
        assert_eq!(small.values, [5.5, 25.5, 40.5, 7.0, 27.0, 42.0]);
        assert_eq!(quantile(small.values, 0.5), 27.0);
        assert_eq!(quantile(Vec::new(), 0.5), 0.0);
    }
}
