//! How far two colours are apart for a human eye.

/// A colour in CIE L*a*b*, D65, of the observer of 1931.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lab {
    /// Lightness, 0 to 100.
    pub l: f64,
    /// From green to red.
    pub a: f64,
    /// From blue to yellow.
    pub b: f64,
}

/// White of sRGB: D65.
const WHITE: [f64; 3] = [0.950_47, 1.0, 1.088_83];

impl Lab {
    /// Of red, green and blue as sRGB stores them, 0..=1 (IEC 61966-2-1).
    #[must_use]
    pub fn of_srgb(rgb: [f64; 3]) -> Self {
        let [r, g, b] = rgb.map(|value| {
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        });
        let xyz = [
            0.412_456_4 * r + 0.357_576_1 * g + 0.180_437_5 * b,
            0.212_672_9 * r + 0.715_152_2 * g + 0.072_175 * b,
            0.019_333_9 * r + 0.119_192 * g + 0.950_304_1 * b,
        ];
        let root = |value: f64| {
            if value > 216.0 / 24_389.0 {
                value.cbrt()
            } else {
                (24_389.0 / 27.0 * value + 16.0) / 116.0
            }
        };
        let [x, y, z] = [0, 1, 2].map(|axis| root(xyz[axis] / WHITE[axis]));
        Self { l: 116.0 * y - 16.0, a: 500.0 * (x - y), b: 200.0 * (y - z) }
    }

    /// CIEDE2000: 1 is about what can be just seen.
    ///
    /// G. Sharma, W. Wu and E. Dalal, "The CIEDE2000 color-difference formula: implementation
    /// notes, supplementary test data, and mathematical observations", 2005.
    #[must_use]
    pub fn difference(&self, other: &Self) -> f64 {
        let chroma = (self.a.hypot(self.b) + other.a.hypot(other.b)) / 2.0;
        let seventh = |value: f64| (value.powi(7) / (value.powi(7) + 25.0_f64.powi(7))).sqrt();
        let stretch = 1.5 - 0.5 * seventh(chroma);
        let polar = |colour: &Self| {
            let a = colour.a * stretch;
            let hue =
                if a == 0.0 && colour.b == 0.0 { 0.0 } else { colour.b.atan2(a).to_degrees() };
            (a.hypot(colour.b), hue.rem_euclid(360.0))
        };
        let ((c1, h1), (c2, h2)) = (polar(self), polar(other));
        let grey = c1 * c2 == 0.0;
        let turn = match h2 - h1 {
            _ if grey => 0.0,
            turn if turn > 180.0 => turn - 360.0,
            turn if turn < -180.0 => turn + 360.0,
            turn => turn,
        };
        let sine = |degrees: f64| degrees.to_radians().sin();
        let cosine = |degrees: f64| degrees.to_radians().cos();
        let (dl, dc) = (other.l - self.l, c2 - c1);
        let dh = 2.0 * (c1 * c2).sqrt() * sine(turn / 2.0);

        let (l, c) = ((self.l + other.l) / 2.0, (c1 + c2) / 2.0);
        let h = match h1 + h2 {
            sum if grey => sum,
            sum if (h1 - h2).abs() <= 180.0 => sum / 2.0,
            sum if sum < 360.0 => (sum + 360.0) / 2.0,
            sum => (sum - 360.0) / 2.0,
        };
        let t =
            1.0 - 0.17 * cosine(h - 30.0) + 0.24 * cosine(2.0 * h) + 0.32 * cosine(3.0 * h + 6.0)
                - 0.2 * cosine(4.0 * h - 63.0);
        let light = (l - 50.0).powi(2);
        let dl = dl / (1.0 + 0.015 * light / (20.0 + light).sqrt());
        let dc = dc / (1.0 + 0.045 * c);
        let dh = dh / (1.0 + 0.015 * c * t);
        let turned = 60.0 * (-((h - 275.0) / 25.0).powi(2)).exp();
        let rotation = -2.0 * seventh(c) * sine(turned);
        (dl * dl + dc * dc + dh * dh + rotation * dc * dh).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of the paper's table 1, among them those around its discontinuities.
    #[test]
    fn differences_are_those_of_the_published_pairs() {
        let lab = |[l, a, b]: [f64; 3]| Lab { l, a, b };
        for (one, other, expected) in [
            ([50.0, 2.6772, -79.7751], [50.0, 0.0, -82.7485], 2.0425),
            ([50.0, -1.3802, -84.2814], [50.0, 0.0, -82.7485], 1.0),
            ([50.0, 0.0, 0.0], [50.0, -1.0, 2.0], 2.3669),
            ([50.0, 2.49, -0.001], [50.0, -2.49, 0.0009], 7.1792),
            ([50.0, 2.49, -0.001], [50.0, -2.49, 0.0011], 7.2195),
            ([50.0, 2.5, 0.0], [73.0, 25.0, -18.0], 27.1492),
            ([60.2574, -34.0099, 36.2677], [60.4626, -34.1751, 39.4387], 1.2644),
            ([22.7233, 20.0904, -46.694], [23.0331, 14.973, -42.5619], 2.0373),
            ([2.0776, 0.0795, -1.135], [0.9033, -0.0636, -0.5514], 0.9082),
        ] {
            let found = lab(one).difference(&lab(other));
            assert!((found - expected).abs() < 1e-4, "{one:?} {other:?}: {found}");
            let back = lab(other).difference(&lab(one));
            assert!((found - back).abs() < 1e-9);
        }
    }

    #[test]
    fn white_black_and_red_of_srgb_are_where_they_belong() {
        let near = |rgb, [l, a, b]: [f64; 3]| {
            let found = Lab::of_srgb(rgb);
            assert!((found.l - l).hypot(found.a - a).hypot(found.b - b) < 0.02, "{found:?}");
        };
        near([1.0; 3], [100.0, 0.0, 0.0]);
        near([0.0; 3], [0.0, 0.0, 0.0]);
        near([1.0, 0.0, 0.0], [53.24, 80.09, 67.2]);
    }
}
