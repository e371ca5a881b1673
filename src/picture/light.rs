//! Light, and the numbers that stand for it: the tone curve of sRGB (IEC 61966-2-1).

use std::sync::LazyLock;

/// Steps of the table: between them the curve is straight to 1 in 10 million.
const STEPS: usize = 4096;

static LIGHT: LazyLock<Vec<f32>> = LazyLock::new(|| {
    (0..=STEPS + 1).map(|step| exact(step as f64 / STEPS as f64) as f32).collect()
});

fn exact(value: f64) -> f64 {
    if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

/// The light that a number stands for, both 0..=1; what lies outside is cut.
#[must_use]
pub fn of(value: f32) -> f32 {
    let place = value.clamp(0.0, 1.0) * STEPS as f32;
    let step = place as usize;
    let table = &*LIGHT;
    table[step] + (table[step + 1] - table[step]) * (place - step as f32)
}

/// The number that stands for light, both 0..=1; what lies outside is cut.
#[must_use]
pub fn encoded(light: f32) -> f32 {
    let light = light.clamp(0.0, 1.0);
    if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_where_it_began() {
        for step in 0..=65_535_u32 {
            let value = step as f32 / 65_535.0;
            assert!((encoded(of(value)) - value).abs() < 4e-6, "{value}");
            assert!((f64::from(of(value)) - exact(f64::from(value))).abs() < 2e-7, "{value}");
        }
        assert_eq!((of(-1.0), of(2.0), encoded(-1.0)), (0.0, 1.0, 0.0));
        assert!((encoded(2.0) - 1.0).abs() < 1e-6);
        assert!((of(0.5) - 0.214_04).abs() < 1e-5);
    }
}
