//! A photo enlarged by interpolation alone: what it says by itself, what a network's answer is
//! measured against, and what is left where less of the answer is taken.

use std::sync::Arc;

use image::DynamicImage;
use rayon::prelude::*;

use super::{
    Mosaic, Patch,
    blend::{Layer, blend},
    repaint::in_colours,
    tiled::{Area, planes_of},
    upscale::{bleed, pixels_of},
};
use crate::{
    picture::{Picture, light, resample::Resampler},
    rect::Rect,
};

/// The way from a photo to another size, by [`Resampler`]: in the photo's own numbers where it is
/// enlarged, and in linear light where it is shrunk, as everywhere in the program.
#[derive(Clone, Debug)]
pub struct Plain {
    input: (u32, u32),
    output: (u32, u32),
    /// `None` where the size stays.
    resampler: Option<Resampler>,
    /// The photo with colours under what is invisible, where it has such places.
    bled: Option<DynamicImage>,
}

impl Plain {
    /// For a photo, of which all else that is asked here must be asked too.
    #[must_use]
    pub fn of(photo: &DynamicImage, output: (u32, u32)) -> Self {
        let input = (photo.width(), photo.height());
        let resampler = (input != output).then(|| Resampler::new(input, output));
        Self { input, output, resampler, bled: bleed(photo) }
    }

    /// The photo as networks see it: with colours under what is invisible.
    #[must_use]
    pub fn colours<'a>(&'a self, photo: &'a DynamicImage) -> &'a DynamicImage {
        self.bled.as_ref().unwrap_or(photo)
    }

    /// An area of the result, of the photo's kind of pixel.
    #[must_use]
    pub fn pixels(&self, photo: &DynamicImage, area: Rect) -> DynamicImage {
        let Some(resampler) = &self.resampler else {
            return photo.crop_imm(area.x, area.y, area.width, area.height);
        };
        let window = self.window(area);
        let shrinks = self.output.0 < self.input.0 || self.output.1 < self.input.1;
        let mut planes = Vec::with_capacity(3 * area.area() as usize);
        for plane in planes_of(self.colours(photo), window).chunks_exact_mut(window.area() as usize)
        {
            if shrinks {
                plane.iter_mut().for_each(|value| *value = light::of(*value));
                planes.extend(resampler.area(plane, window, area).into_iter().map(light::encoded));
            } else {
                planes.extend(resampler.area(plane, window, area));
            }
        }
        planes.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
        let alpha = photo.color().has_alpha().then(|| self.alpha(photo, area));
        pixels_of(&Area { area, planes }, alpha.as_deref(), photo.color())
    }

    /// The transparency of an area of the result, 0 to 1 and a little beyond, row by row.
    #[must_use]
    pub fn alpha(&self, photo: &DynamicImage, area: Rect) -> Vec<f32> {
        let window = if self.resampler.is_some() { self.window(area) } else { area };
        let crop = photo.crop_imm(window.x, window.y, window.width, window.height);
        let plane: Vec<f32> = crop.to_luma_alpha32f().pixels().map(|pixel| pixel.0[1]).collect();
        match &self.resampler {
            Some(resampler) => resampler.area(&plane, window, area),
            None => plane,
        }
    }

    /// The luma (BT.601) of an area of the result, 0 to 1, row by row, of the photo as `seen` by a
    /// network.
    pub(super) fn luma(&self, seen: &DynamicImage, area: Rect) -> Vec<f32> {
        let window = if self.resampler.is_some() { self.window(area) } else { area };
        let planes = planes_of(seen, window);
        let count = window.area() as usize;
        let (red, rest) = planes.split_at(count);
        let (green, blue) = rest.split_at(count);
        let colours = red.iter().zip(green).zip(blue);
        let luma = colours.map(|((red, green), blue)| 0.299 * red + 0.587 * green + 0.114 * blue);
        let mut luma: Vec<f32> = luma.collect();
        if let Some(resampler) = &self.resampler {
            luma = resampler.area(&luma, window, area);
        }
        // Results have no overshoot beyond black and white either.
        luma.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
        luma
    }

    /// The pixels of the photo below an area of the result and what the kernel reaches around.
    fn window(&self, area: Rect) -> Rect {
        let ((width, height), output) = (self.input, self.output);
        let from = |position: u32, side: u32, out: u32| {
            (u64::from(position) * u64::from(side) / u64::from(out)) as u32
        };
        let reach = Resampler::reach(width, output.0).max(Resampler::reach(height, output.1)) + 1;
        let below = Rect::spanning(
            from(area.x, width, output.0),
            from(area.y, height, output.1),
            (from(area.right(), width, output.0) + 1).min(width),
            (from(area.bottom(), height, output.1) + 1).min(height),
        );
        below.grown_within(reach, width, height)
    }

    /// A piece of a result of which only a share is taken, 0 to 1; the rest is the photo's own.
    #[must_use]
    pub fn weakened(&self, photo: &DynamicImage, patch: &Patch, strength: f32) -> Patch {
        let mut pixels = self.pixels(photo, patch.area);
        if patch.pixels.color().has_color() {
            pixels = in_colours(pixels);
        }
        let area = Rect::of_size(patch.area.width, patch.area.height);
        let planes = planes_of(&patch.pixels, area);
        let plane = |channel: usize| &planes[channel * area.area() as usize..];
        let layer = Layer { area, planes: [plane(0), plane(1), plane(2)] };
        blend(&mut pixels, &layer, area, |_, _| strength);
        Patch { area: patch.area, pixels }
    }
}

/// A whole result of which only a share is taken: 0 gives the photo back, as large as the result
/// is. What a job makes at that strength, to the bit where it enlarges, and to one level where it
/// keeps the size.
#[must_use]
pub fn weakened(result: &Mosaic, picture: &Picture, strength: f32) -> Mosaic {
    let plain = Plain::of(&picture.pixels, result.size);
    let weaken = |patch: &Arc<Patch>| Arc::new(plain.weakened(&picture.pixels, patch, strength));
    Mosaic { patches: result.patches.par_iter().map(weaken).collect(), ..result.clone() }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;
    use crate::picture::resample::resize_exact;

    fn photo() -> RgbImage {
        RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 6) as u8, (y * 8) as u8, ((x ^ y) * 4) as u8]))
    }

    #[test]
    fn a_weakened_result_of_the_same_size_is_that_of_less_strength() {
        let photo = Picture::from_pixels("photo", photo().into());
        let full = RgbImage::from_fn(40, 30, |x, y| Rgb([200, (x * 5) as u8, (y * 3) as u8]));
        let area = Rect::of_size(40, 30);
        let patch = Patch { area, pixels: full.clone().into() };
        let color = photo.pixels.color();
        let whole = Mosaic { size: (40, 30), color, patches: vec![Arc::new(patch)] };
        let at = |strength: f32| weakened(&whole, &photo, strength).pixels().into_rgb8();
        assert!(at(0.0) == photo.pixels.to_rgb8() && at(1.0) == full);
        for (x, y, pixel) in at(0.25).enumerate_pixels() {
            for (channel, value) in pixel.0.into_iter().enumerate() {
                let old = f32::from(photo.pixels.to_rgb8().get_pixel(x, y).0[channel]);
                let new = f32::from(full.get_pixel(x, y).0[channel]);
                assert!((f32::from(value) - (0.75 * old + 0.25 * new)).abs() <= 0.51);
            }
        }
    }

    /// Nothing of a result of this size.
    fn none_of(photo: &Picture, output: (u32, u32)) -> RgbImage {
        let area = Rect::of_size(output.0, output.1);
        let pixels = RgbImage::from_pixel(output.0, output.1, Rgb([255, 0, 9])).into();
        let patches = vec![Arc::new(Patch { area, pixels })];
        let whole = Mosaic { size: output, color: photo.pixels.color(), patches };
        weakened(&whole, photo, 0.0).pixels().into_rgb8()
    }

    #[test]
    fn nothing_of_an_enlargement_is_the_photo_interpolated() {
        // The reference cuts off what overshoots after each pass: nothing may.
        let calm =
            photo().pixels().map(|pixel| pixel.0.map(|value| 64 + value / 2)).collect::<Vec<_>>();
        let calm = RgbImage::from_raw(40, 30, calm.concat()).unwrap();
        let photo = Picture::from_pixels("photo", calm.clone().into());
        for output in [(160, 120), (97, 73)] {
            let expected = resize_exact(&calm, output.0, output.1);
            let none = none_of(&photo, output);
            let apart = none.iter().zip(expected.iter()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(apart.unwrap() <= 1, "{output:?}: {apart:?}");
        }
        // What is shrunk keeps its light: half of it is 188, not 128.
        let chequer = RgbImage::from_fn(40, 30, |x, y| Rgb([((x + y) % 2 * 255) as u8; 3]));
        let half = none_of(&Picture::from_pixels("chequer", chequer.into()), (10, 8));
        let middle = half.get_pixel(5, 4).0[0];
        assert!((180..=196).contains(&middle), "{middle}");
    }

    #[test]
    fn pieces_are_the_whole_and_what_is_invisible_leaves_no_rim() {
        let clear = RgbaImage::from_fn(33, 21, |x, y| match x {
            0..9 => Rgba([0, 255, 0, 0]),
            _ => Rgba([200, (y * 9) as u8, 30, ((x * 11) ^ (y * 7)) as u8 | 1]),
        });
        let photo = DynamicImage::from(clear);
        let plain = Plain::of(&photo, (132, 84));
        let whole = plain.pixels(&photo, Rect::of_size(132, 84)).into_rgba8();
        assert!(whole.pixels().all(|pixel| pixel.0[1] <= 9 * 20 + 3), "no green shines through");
        let area = Rect::spanning(30, 20, 91, 63);
        let part = plain.pixels(&photo, area).into_rgba8();
        for (x, y, pixel) in part.enumerate_pixels() {
            assert_eq!(pixel, whole.get_pixel(area.x + x, area.y + y));
        }
        let alpha = plain.alpha(&photo, area);
        for (share, pixel) in alpha.iter().zip(part.pixels()) {
            assert!((share.clamp(0.0, 1.0) * 255.0 - f32::from(pixel.0[3])).abs() <= 0.51);
        }
    }
}
