//! What the numbers of a picture with a colour profile stand for: on the screen, and for networks.
//!
//! Networks have learned sRGB. Its primaries they do not need: a saturated red is a red to them,
//! whatever its light. What they do need is its tone curve, with which noise and edges look the same
//! in shadows and in lights. So they are given the photo's own primaries with sRGB's curve, nothing
//! is cut off that lies outside sRGB, and the way back is exact.

use std::fmt;

use image::{ColorType, DynamicImage, RgbaImage};
use moxcms::{
    ColorProfile, DataColorSpace, Layout, ToneReprCurve, TransformExecutor, TransformOptions,
};

use super::{Metadata, light};

/// Curves that differ by less than this from sRGB's are sRGB's: two levels of ten bits.
const SAME: f32 = 1.0 / 512.0;

fn profile(metadata: &Metadata) -> Option<ColorProfile> {
    ColorProfile::new_from_slice(metadata.icc.as_deref()?).ok()
}

/// The way from a tone curve to that of sRGB, and back.
struct Curve {
    /// sRGB's number for each of 16 bits.
    forth: Vec<u16>,
    /// The profile's number for one of sRGB's; both 0..=1.
    back: Box<dyn Fn(f32) -> f32 + Send + Sync>,
}

impl Curve {
    fn of(curve: &ToneReprCurve) -> Option<Self> {
        let light = curve.make_linear_evaluator().ok()?;
        let forth = (0..=u16::MAX).map(|value| {
            let value = f32::from(value) / 65_535.0;
            (light::encoded(light.evaluate_value(value)) * 65_535.0 + 0.5) as u16
        });
        let back = curve.make_gamma_evaluator().ok()?;
        Some(Self {
            forth: forth.collect(),
            back: Box::new(move |value| back.evaluate_value(light::of(value))),
        })
    }

    /// What a profile of tables makes of greys; `None` if they hardly differ.
    fn of_greys(profile: &ColorProfile) -> Option<Self> {
        let (srgb, options) = (ColorProfile::new_srgb(), TransformOptions::default());
        // Whole numbers would come out in steps.
        let transform = profile.create_transform_f32(Layout::Rgb, &srgb, Layout::Rgb, options);
        let greys = (0..=u16::MAX).flat_map(|value| [f32::from(value) / 65_535.0; 3]);
        let greys: Vec<f32> = greys.collect();
        let mut shown = vec![0.0; greys.len()];
        transform.ok()?.transform(&greys, &mut shown).ok()?;
        let mut brightest = 0;
        let forth = shown.chunks_exact(3).map(|rgb| {
            let [red, green, blue] = [0, 1, 2].map(|i| light::of(rgb[i]));
            let luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
            let value = (light::encoded(luminance) * 65_535.0 + 0.5) as u16;
            // There is a way back only where brighter numbers are no darker.
            brightest = value.max(brightest);
            brightest
        });
        let forth: Vec<u16> = forth.collect();
        let steps = forth.clone();
        let back = move |value: f32| {
            let value = value * 65_535.0;
            let above = steps.partition_point(|step| f32::from(*step) < value).clamp(1, 65_535);
            let [low, high] = [above - 1, above].map(|index| f32::from(steps[index]));
            let share = ((value - low) / (high - low).max(1.0)).clamp(0.0, 1.0);
            ((above - 1) as f32 + share) / 65_535.0
        };
        let differ = forth[65_535] - forth[0] > u16::MAX / 4;
        differ.then(|| Self { forth, back: Box::new(back) })
    }

    /// Whether it is that of sRGB.
    fn is_srgb(&self) -> bool {
        let apart = |(value, mapped): (usize, &u16)| (value as f32 - f32::from(*mapped)).abs();
        self.forth.iter().enumerate().map(apart).fold(0.0, f32::max) / 65_535.0 < SAME
    }
}

/// The way from a profile's tone curves to that of sRGB, and back: one for all channels, or three.
pub struct Tones(Vec<Curve>);

impl Tones {
    /// Of a picture's profile; `None` where it has sRGB's curve, or none. One of tables has the
    /// curve that it gives to greys.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Option<Self> {
        let profile = profile(metadata)?;
        let tables = [
            &profile.lut_a_to_b_perceptual,
            &profile.lut_a_to_b_colorimetric,
            &profile.lut_a_to_b_saturation,
        ];
        let curves = match profile.color_space {
            DataColorSpace::Gray => vec![Curve::of(profile.gray_trc.as_ref()?)?],
            DataColorSpace::Rgb if tables.iter().any(|table| table.is_some()) => {
                vec![Curve::of_greys(&profile)?]
            }
            DataColorSpace::Rgb => [&profile.red_trc, &profile.green_trc, &profile.blue_trc]
                .into_iter()
                .map(|curve| Curve::of(curve.as_ref()?))
                .collect::<Option<_>>()?,
            _ => return None,
        };
        (!curves.iter().all(Curve::is_srgb)).then_some(Self(curves))
    }

    /// The colours with sRGB's tone curve; transparency is left out.
    #[must_use]
    pub fn for_network(&self, pixels: &DynamicImage) -> DynamicImage {
        let mut pixels = pixels.to_rgb16();
        for pixel in pixels.pixels_mut() {
            for (value, curve) in pixel.0.iter_mut().zip(self.0.iter().cycle()) {
                *value = curve.forth[usize::from(*value)];
            }
        }
        pixels.into()
    }

    /// Three planes of equal size, 0..=1, with the profile's tone curves again.
    pub fn as_in_file(&self, planes: &mut [f32]) {
        let count = planes.len() / 3;
        let planes = planes.chunks_exact_mut(count.max(1));
        for (plane, curve) in planes.zip(self.0.iter().cycle()) {
            for value in plane {
                *value = (curve.back)(*value).clamp(0.0, 1.0);
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
    use moxcms::{LutDataType, LutStore, LutType, LutWarehouse, Matrix3d, ProfileClass, Xyzd};

    fn with(profile: &ColorProfile) -> Metadata {
        Metadata { icc: Some(profile.encode().unwrap()), ..Metadata::default() }
    }

    /// Numbers to the power of 1.8 through tables alone, in sRGB's primaries.
    fn of_tables() -> ColorProfile {
        let [red, green, blue] = [
            ColorProfile::new_srgb().red_colorant,
            ColorProfile::new_srgb().green_colorant,
            ColorProfile::new_srgb().blue_colorant,
        ];
        let step = |index: u16| (f64::from(index) / 255.0).powf(1.8) * 65_535.0;
        let curve: Vec<u16> = (0..256).map(|index| step(index).round() as u16).collect();
        // XYZ in 16 bits: 32,768 is 1.
        let corner = |at: u16| {
            let [r, g, b] = [at >> 2 & 1, at >> 1 & 1, at & 1].map(f64::from);
            let sum = |of: fn(&Xyzd) -> f64| r * of(&red) + g * of(&green) + b * of(&blue);
            [sum(|xyz| xyz.x), sum(|xyz| xyz.y), sum(|xyz| xyz.z)]
                .map(|value| (value * 32_768.0).round() as u16)
        };
        let lut = LutDataType {
            num_input_channels: 3,
            num_output_channels: 3,
            num_clut_grid_points: 2,
            matrix: Matrix3d::IDENTITY,
            num_input_table_entries: 256,
            num_output_table_entries: 2,
            input_table: LutStore::Store16([curve.clone(), curve.clone(), curve].concat()),
            clut_table: LutStore::Store16((0..8).flat_map(corner).collect()),
            output_table: LutStore::Store16([0, 65_535].repeat(3)),
            lut_type: LutType::Lut16,
        };
        let mut profile = ColorProfile::new_srgb();
        [profile.red_colorant, profile.green_colorant, profile.blue_colorant] =
            [Xyzd::default(); 3];
        [profile.red_trc, profile.green_trc, profile.blue_trc] = [const { None }; 3];
        profile.cicp = None;
        profile.profile_class = ProfileClass::InputDevice;
        profile.lut_a_to_b_perceptual = Some(LutWarehouse::Lut(lut));
        profile
    }

    #[test]
    fn tables_are_honoured() {
        let metadata = with(&of_tables());
        let seen = Tones::of(&metadata).unwrap();
        let half = GrayImage::from_pixel(1, 1, Luma([174]));
        let half = seen.for_network(&DynamicImage::from(half)).into_rgb16();
        let half = f64::from(half.get_pixel(0, 0).0[2]) / 65_535.0;
        assert!((half - 0.7363).abs() < 0.004, "{half}");
        let shown = Screen::of(&metadata).unwrap();
        let pixels = RgbImage::from_pixel(1, 1, Rgb([174, 174, 60])).into();
        let shown = shown.show(&pixels).get_pixel(0, 0).0;
        // 60 of 255 to the power of 1.8 is 0.074 of the light: 77 in sRGB.
        for (found, expected) in shown.into_iter().zip([188_u8, 188, 77, 255]) {
            assert!(found.abs_diff(expected) <= 2, "{shown:?}");
        }
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
            of_tables(),
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
