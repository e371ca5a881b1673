//! Smooth continuation of known values into places where there are none.

/// One number for each pixel of a picture, row by row.
#[derive(Clone, Debug)]
struct Level {
    width: usize,
    height: usize,
    values: Vec<f32>,
    weights: Vec<f32>,
}

/// Fills `values` where `known` is 0 from where it is more, smoothly: pull and push through a
/// pyramid of weighted means (S. Gortler et al., "The lumigraph", 1996, section 3.4). Where it is
/// 1, values stay as they are. Without anything known all stays.
pub fn diffuse(values: &mut [f32], known: &[f32], width: usize) {
    let height = values.len() / width.max(1);
    let mut levels =
        vec![Level { width, height, values: values.to_vec(), weights: known.to_vec() }];
    while let Some(last) = levels.last()
        && last.width.max(last.height) > 1
    {
        let next = pulled(last);
        levels.push(next);
    }
    let Some(mut coarse) = levels.pop() else { return };
    if coarse.weights.iter().all(|weight| *weight == 0.0) {
        return;
    }
    while let Some(mut fine) = levels.pop() {
        push(&coarse, &mut fine);
        coarse = fine;
    }
    values.copy_from_slice(&coarse.values);
}

/// Half the size: means of four, each as much as it is known.
fn pulled(fine: &Level) -> Level {
    let (width, height) = (fine.width.div_ceil(2), fine.height.div_ceil(2));
    let (mut values, mut weights) = (vec![0.0; width * height], vec![0.0; width * height]);
    for y in 0..fine.height {
        for x in 0..fine.width {
            let (from, to) = (y * fine.width + x, y / 2 * width + x / 2);
            values[to] += fine.values[from] * fine.weights[from];
            weights[to] += fine.weights[from];
        }
    }
    for (value, weight) in values.iter_mut().zip(&mut weights) {
        if *weight > 0.0 {
            *value /= *weight;
        }
        *weight = weight.min(1.0);
    }
    Level { width, height, values, weights }
}

/// What is missing comes from the coarser level, on straight lines between its pixels.
fn push(coarse: &Level, fine: &mut Level) {
    let axis = |place: usize, length: usize| {
        let at = (place as f32 - 0.5) / 2.0;
        let first = at.floor();
        let clamped = |index: f32| (index.max(0.0) as usize).min(length - 1);
        (clamped(first), clamped(first + 1.0), at - first)
    };
    for y in 0..fine.height {
        let (top, bottom, down) = axis(y, coarse.height);
        for x in 0..fine.width {
            let place = y * fine.width + x;
            let weight = fine.weights[place].min(1.0);
            if weight < 1.0 {
                let (left, right, across) = axis(x, coarse.width);
                let row = |row: usize| {
                    let row = &coarse.values[row * coarse.width..];
                    row[left] * (1.0 - across) + row[right] * across
                };
                let value = row(top) * (1.0 - down) + row(bottom) * down;
                fine.values[place] = weight * fine.values[place] + (1.0 - weight) * value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_is_continued_exactly_and_a_slope_nearly() {
        let (width, height) = (37, 23);
        for slope in [0.0, 0.01_f32] {
            let full: Vec<f32> =
                (0..width * height).map(|i| 0.3 + slope * (i % width) as f32).collect();
            let hole = |i: usize| (10..22).contains(&(i % width)) && (6..15).contains(&(i / width));
            let known: Vec<f32> =
                (0..full.len()).map(|i| if hole(i) { 0.0 } else { 1.0 }).collect();
            let mut values: Vec<f32> =
                (0..full.len()).map(|i| if hole(i) { 9.0 } else { full[i] }).collect();
            diffuse(&mut values, &known, width);
            for (i, (value, full)) in values.iter().zip(&full).enumerate() {
                let most = if hole(i) { 4.0 * slope + 1e-5 } else { 0.0 };
                assert!((value - full).abs() <= most, "{i}: {value} for {full}");
            }
        }
    }

    #[test]
    fn nothing_known_leaves_all_as_it_is() {
        let mut values = vec![1.0, 2.0, 3.0, 4.0];
        diffuse(&mut values, &[0.0; 4], 2);
        assert_eq!(values, [1.0, 2.0, 3.0, 4.0]);
        let mut one = vec![5.0];
        diffuse(&mut one, &[1.0], 1);
        assert_eq!(one, [5.0]);
    }
}
