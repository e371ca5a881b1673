//! Autocorrelation by way of the spectrum (N. Wiener and A. Khinchin): all moves at once.
//!
//! The transform is the plain one of J. Cooley and J. Tukey, 1965.

use rayon::prelude::*;

/// Real and imaginary part.
type Complex = [f32; 2];

/// Sums of products of a picture with itself moved, for all moves at once.
pub(super) struct Autocorrelation {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Autocorrelation {
    /// Of values that lie row by row, for moves of up to so many pixels right and down.
    pub(super) fn of(values: &[i16], width: usize, reach: [usize; 2]) -> Self {
        let height = values.len() / width.max(1);
        // What is moved out at one side comes in at the other: into nothing.
        let (wide, tall) = (
            (width + reach[0] + 1).next_power_of_two(),
            (height + reach[1] + 1).next_power_of_two(),
        );
        let mut field = vec![[0.0; 2]; wide * tall];
        for (to, from) in field.chunks_exact_mut(wide).zip(values.chunks_exact(width.max(1))) {
            to.iter_mut().zip(from).for_each(|(to, from)| to[0] = f32::from(*from));
        }
        transform_rows(&mut field, wide);
        let mut field = turned(&field, wide);
        transform_rows(&mut field, tall);
        field.par_iter_mut().for_each(|value| {
            *value = [value[0] * value[0] + value[1] * value[1], 0.0];
        });
        // Of a spectrum without phases the transform is its own reverse, but for a factor.
        transform_rows(&mut field, tall);
        let mut field = turned(&field, tall);
        transform_rows(&mut field, wide);
        let share = 1.0 / (wide * tall) as f32;
        let values = field.iter().map(|value| value[0] * share).collect();
        Self { width: wide, height: tall, values }
    }

    /// The sum for one move.
    pub(super) fn at(&self, right: i32, down: i32) -> f32 {
        let x = right.rem_euclid(self.width as i32) as usize;
        let y = down.rem_euclid(self.height as i32) as usize;
        self.values[y * self.width + x]
    }
}

/// Rows as columns.
fn turned(field: &[Complex], wide: usize) -> Vec<Complex> {
    let tall = field.len() / wide;
    let mut answer = vec![[0.0; 2]; field.len()];
    answer.par_chunks_exact_mut(tall).enumerate().for_each(|(x, column)| {
        column.iter_mut().enumerate().for_each(|(y, value)| *value = field[y * wide + x]);
    });
    answer
}

/// The discrete Fourier transform of each row; their length is a power of two.
fn transform_rows(field: &mut [Complex], length: usize) {
    let turns: Vec<Complex> = (0..length / 2)
        .map(|k| {
            let (sine, cosine) = (-std::f64::consts::TAU * k as f64 / length as f64).sin_cos();
            [cosine as f32, sine as f32]
        })
        .collect();
    field.par_chunks_exact_mut(length).for_each(|row| transform(row, &turns));
}

fn transform(row: &mut [Complex], turns: &[Complex]) {
    let length = row.len();
    if length < 2 {
        return;
    }
    let bits = length.trailing_zeros();
    for i in 0..length {
        let j = i.reverse_bits() >> (usize::BITS - bits);
        if i < j {
            row.swap(i, j);
        }
    }
    let mut half = 1;
    while half < length {
        let step = length / (2 * half);
        for group in row.chunks_exact_mut(2 * half) {
            let (low, high) = group.split_at_mut(half);
            for ((a, b), [cosine, sine]) in low.iter_mut().zip(high).zip(turns.iter().step_by(step))
            {
                let turned = [b[0] * cosine - b[1] * sine, b[0] * sine + b[1] * cosine];
                *b = [a[0] - turned[0], a[1] - turned[1]];
                *a = [a[0] + turned[0], a[1] + turned[1]];
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_the_sums_of_products() {
        let mut rng = fastrand::Rng::with_seed(5);
        let (width, height) = (21_i32, 13_i32);
        let values: Vec<i16> = (0..width * height).map(|_| rng.i16(-127..=127)).collect();
        let whole = Autocorrelation::of(&values, width as usize, [12, 7]);
        for (right, down) in [(0, 0), (1, 0), (-1, 0), (12, 7), (-12, 7), (5, -3), (-12, -7)] {
            let at = |x: i32, y: i32| {
                let inside = (0..width).contains(&x) && (0..height).contains(&y);
                if inside { f64::from(values[(y * width + x) as usize]) } else { 0.0 }
            };
            let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
            let sum: f64 = places.map(|(x, y)| at(x, y) * at(x + right, y + down)).sum();
            let found = f64::from(whole.at(right, down));
            assert!((found - sum).abs() < 20.0, "{right} {down}: {found}, not {sum}");
        }
    }
}
