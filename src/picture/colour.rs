//! What the numbers of a picture with a colour profile stand for: on the screen, and for networks.
//!
//! Networks have learned sRGB. Its primaries they do not need: a saturated red is a red to them,
//! whatever its light. What they do need is its tone curve, with which noise and edges look the same
//! in shadows and in lights. So they are given the photo's own primaries with sRGB's curve, nothing
//! is cut off that lies outside sRGB, and the way back is exact.

use std::fmt;

use image::{ColorType, DynamicImage, RgbaImage};
use moxcms::{
    ColorProfile, DataColorSpace, Layout, ToneCurveEvaluator, TransformExecutor, TransformOptions,
};

use super::{Metadata, light};

/// Curves that differ by less than this from sRGB's are sRGB's: two levels of ten bits.
const SAME: f32 = 1.0 / 512.0;

fn profile(metadata: &Metadata) -> Option<ColorProfile> {
    ColorProfile::new_from_slice(metadata.icc.as_deref()?).ok()
}

type Curve = Box<dyn ToneCurveEvaluator + Send + Sync>;

/// The way from a profile's tone curves to that of sRGB, and back.
pub struct Tones {
    /// Of red, green and blue: sRGB's number for each of 16 bits.
    forth: [Vec<u16>; 3],
    /// The profile's numbers for light.
    back: [Curve; 3],
}

impl Tones {
    /// Of a picture's profile; `None` where it has sRGB's curve, none, or tables instead of curves,
    /// which are taken as sRGB.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Option<Self> {
        let profile = profile(metadata)?;
        let curves = match profile.color_space {
            DataColorSpace::Gray => [&profile.gray_trc; 3],
            DataColorSpace::Rgb => [&profile.red_trc, &profile.green_trc, &profile.blue_trc],
            _ => return None,
        };
        let [red, green, blue] = curves.map(|curve| {
            let curve = curve.as_ref()?;
            let light = curve.make_linear_evaluator().ok()?;
            let forth = (0..=u16::MAX).map(|value| {
                let value = f32::from(value) / 65_535.0;
                (light::encoded(light.evaluate_value(value)) * 65_535.0 + 0.5) as u16
            });
            Some((forth.collect::<Vec<u16>>(), curve.make_gamma_evaluator().ok()?))
        });
        let (red, green, blue) = (red?, green?, blue?);
        let same = |forth: &[u16]| {
            let apart = |(value, mapped): (usize, &u16)| (value as f32 - f32::from(*mapped)).abs();
            forth.iter().enumerate().map(apart).fold(0.0, f32::max) / 65_535.0 < SAME
        };
        if [&red.0, &green.0, &blue.0].into_iter().all(|forth| same(forth)) {
            return None;
        }
        Some(Self { forth: [red.0, green.0, blue.0], back: [red.1, green.1, blue.1] })
    }

    /// The colours with sRGB's tone curve; transparency is left out.
    #[must_use]
    pub fn for_network(&self, pixels: &DynamicImage) -> DynamicImage {
        let mut pixels = pixels.to_rgb16();
        for pixel in pixels.pixels_mut() {
            for (value, forth) in pixel.0.iter_mut().zip(&self.forth) {
                *value = forth[usize::from(*value)];
            }
        }
        pixels.into()
    }

    /// Three planes of equal size, 0..=1, with the profile's tone curves again.
    pub fn as_in_file(&self, planes: &mut [f32]) {
        let count = planes.len() / 3;
        for (plane, back) in planes.chunks_exact_mut(count.max(1)).zip(&self.back) {
            for value in plane {
                *value = back.evaluate_value(light::of(*value)).clamp(0.0, 1.0);
            }
        }
    }
}

/// The way from a profile to the screen, which is taken as sRGB.
pub struct Screen {
    transform: std::sync::Arc<dyn TransformExecutor<u8> + Send + Sync>,
    grey: bool,
}

impl fmt::Debug for Screen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Screen").field("grey", &self.grey).finish_non_exhaustive()
    }
}

impl Screen {
    /// Of a picture's profile; `None` without one that can be used.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Option<Self> {
        let profile = profile(metadata)?;
        let grey = profile.color_space == DataColorSpace::Gray;
        let layout = if grey { Layout::GrayAlpha } else { Layout::Rgba };
        let (srgb, options) = (ColorProfile::new_srgb(), TransformOptions::default());
        let transform = profile.create_transform_8bit(layout, &srgb, Layout::Rgba, options);
        Some(Self { transform: transform.ok()?, grey })
    }

    /// The pixels as a screen shows them; where the transformation fails, as they are.
    #[must_use]
    pub fn show(&self, pixels: &DynamicImage) -> RgbaImage {
        let mut shown = RgbaImage::new(pixels.width(), pixels.height());
        let done = if self.grey {
            self.transform.transform(pixels.to_luma_alpha8().as_raw(), &mut shown)
        } else {
            self.transform.transform(pixels.to_rgba8().as_raw(), &mut shown)
        };
        if done.is_ok() { shown } else { pixels.to_rgba8() }
    }
}

/// What a picture's colours are, for people: the profile's own name, or sRGB.
#[must_use]
pub fn name(metadata: &Metadata, color: ColorType) -> String {
    let described = profile(metadata).and_then(|profile| profile.description);
    let described = described.and_then(|text| match text {
        moxcms::ProfileText::PlainString(text) => Some(text),
        moxcms::ProfileText::Localizable(all) => all.into_iter().next().map(|text| text.value),
        moxcms::ProfileText::Description(text) => Some(text.ascii_string),
    });
    let described = described.map(|text| text.trim_matches(['\0', ' ']).to_owned());
    match described.filter(|text| !text.is_empty()) {
        Some(text) => text,
        None if metadata.icc.is_some() => "a profile without a name".to_owned(),
        None if color.has_color() => "sRGB".to_owned(),
        None => "grey".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma, Rgb, RgbImage};

    fn with(profile: &ColorProfile) -> Metadata {
        Metadata { icc: Some(profile.encode().unwrap()), ..Metadata::default() }
    }

    #[test]
    fn only_curves_other_than_srgbs_are_changed() {
        assert!(Tones::of(&Metadata::default()).is_none());
        assert!(Tones::of(&with(&ColorProfile::new_srgb())).is_none());
        assert!(Tones::of(&with(&ColorProfile::new_display_p3())).is_none());
        assert!(Tones::of(&with(&ColorProfile::new_adobe_rgb())).is_some());
        assert!(Tones::of(&with(&ColorProfile::new_pro_photo_rgb())).is_some());
        assert!(Tones::of(&with(&ColorProfile::new_gray_with_gamma(1.8))).is_some());
        let broken = Metadata { icc: Some(vec![1; 200]), ..Metadata::default() };
        assert!(Tones::of(&broken).is_none() && Screen::of(&broken).is_none());
    }

    #[test]
    fn every_number_comes_back() {
        for profile in [
            ColorProfile::new_adobe_rgb(),
            ColorProfile::new_pro_photo_rgb(),
            ColorProfile::new_gray_with_gamma(1.8),
        ] {
            let tones = Tones::of(&with(&profile)).unwrap();
            let all = GrayImage::from_fn(256, 1, |x, _| Luma([x as u8]));
            let seen = tones.for_network(&DynamicImage::from(all)).into_rgb32f();
            let mut planes: Vec<f32> = (0..3)
                .flat_map(|channel| seen.pixels().map(move |pixel| pixel.0[channel]))
                .collect();
            tones.as_in_file(&mut planes);
            for (index, value) in planes.iter().enumerate() {
                assert_eq!((value * 255.0 + 0.5) as usize, index % 256);
            }
        }
    }

    #[test]
    fn half_the_light_is_half_the_light_in_any_profile() {
        // Gamma 1.8: half the light is 0.68; in sRGB it is 0.735.
        let tones = Tones::of(&with(&ColorProfile::new_gray_with_gamma(1.8))).unwrap();
        let half = GrayImage::from_pixel(1, 1, Luma([174]));
        let seen = tones.for_network(&DynamicImage::from(half)).into_rgb16();
        let seen = f64::from(seen.get_pixel(0, 0).0[1]) / 65_535.0;
        assert!((seen - 0.7363).abs() < 0.004, "{seen}");
    }

    #[test]
    fn the_screen_shows_what_is_meant() {
        let shown = |profile: &ColorProfile, rgb: [u8; 3]| {
            let pixels = RgbImage::from_pixel(2, 2, Rgb(rgb)).into();
            Screen::of(&with(profile)).unwrap().show(&pixels).get_pixel(1, 1).0
        };
        let near = |found: [u8; 4], expected: [u8; 4]| {
            assert!(found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 2), "{found:?}");
        };
        near(shown(&ColorProfile::new_srgb(), [200, 100, 50]), [200, 100, 50, 255]);
        // The same colour in other spaces, by their published primaries and curves.
        near(shown(&ColorProfile::new_display_p3(), [187, 105, 62]), [200, 100, 50, 255]);
        near(shown(&ColorProfile::new_adobe_rgb(), [177, 100, 56]), [200, 100, 50, 255]);
        let grey = GrayImage::from_pixel(1, 1, Luma([174])).into();
        let screen = Screen::of(&with(&ColorProfile::new_gray_with_gamma(1.8))).unwrap();
        near(screen.show(&grey).get_pixel(0, 0).0, [188, 188, 188, 255]);
    }
}
