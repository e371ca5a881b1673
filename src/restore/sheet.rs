//! Pictures to show to others: before and after beside each other, and where detail was invented.

use std::path::{Path, PathBuf};

use image::{ColorType, DynamicImage, Rgb, RgbImage, imageops};
use rayon::prelude::*;

use super::{
    Mosaic,
    invented::{self, HeatMap},
    plain::Plain,
};
use crate::{
    encoding::Encoding,
    error::{Error, Result},
    picture::{
        Metadata, Picture, PictureWriter, colour::Screen, formats::Header, lettering, light,
        pyramid::shown,
    },
    rect::Rect,
    settings::Existing,
};

/// Neither half of a sheet is larger in any direction: what is shared is looked at on a screen.
const MOST: u32 = 4096;

/// Pixels between the halves.
const DIVIDER: u32 = 4;

/// Longest side of the photo below a heat map.
const HEAT_SIDE: u32 = 1600;

const WHITE: Rgb<u8> = Rgb([255; 3]);

/// A photo and what was made of it.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// Before.
    pub photo: &'a Picture,
    /// After, of any size with the photo's proportions.
    pub result: &'a Mosaic,
    /// What the result's colours are.
    pub metadata: &'a Metadata,
}

impl Pair<'_> {
    /// Before on the left and after on the right: the same part of both, `crop` in pixels of the
    /// result or all of it, with a word on each. One pixel of the result is one of the sheet, unless
    /// a half would have more than 4096 a side; then it is shrunk by a whole number, in linear
    /// light. Colours are sRGB, and what is transparent lies on white.
    ///
    /// # Errors
    /// [`Error::Setting`] if the crop lies beyond the result.
    pub fn sheet(&self, crop: Option<Rect>, words: [&str; 2]) -> Result<RgbImage> {
        let Self { photo, result, metadata } = *self;
        let (width, height) = result.size;
        let whole = Rect::of_size(width, height);
        let crop = crop.unwrap_or(whole);
        if crop.area() == 0 || crop.right() > width || crop.bottom() > height {
            return Err(Error::Setting(format!(
                "a part of {} x {} pixels at {}, {} does not lie in the result of {width} x {height}",
                crop.width, crop.height, crop.x, crop.y
            )));
        }
        let plain = Plain::of(&photo.pixels, result.size);
        let (before, after) = (Screen::of(&photo.metadata), Screen::of(metadata));
        let part = |area| on_white(&plain.pixels(&photo.pixels, area), before.as_ref());
        let mut left = half(crop, part);
        let mut right = half(crop, |area| on_white(&result.area(area), after.as_ref()));
        let [first, second] = words;
        label(&mut left, first);
        label(&mut right, second);
        let (wide, high) = left.dimensions();
        let mut sheet = RgbImage::from_pixel(2 * wide + DIVIDER, high, WHITE);
        imageops::replace(&mut sheet, &left, 0, 0);
        imageops::replace(&mut sheet, &right, i64::from(wide + DIVIDER), 0);
        Ok(sheet)
    }
}

/// A part of a picture, made small enough: `read` gives an area of it.
fn half(crop: Rect, read: impl Fn(Rect) -> RgbImage) -> RgbImage {
    let factor = crop.width.max(crop.height).div_ceil(MOST);
    if factor == 1 {
        return read(crop);
    }
    let size = ((crop.width / factor).max(1), (crop.height / factor).max(1));
    let mut small = RgbImage::new(size.0, size.1);
    for y in 0..size.1 {
        let (top, rows) = (crop.y + y * factor, factor.min(crop.height));
        let band = read(Rect { x: crop.x, y: top, width: crop.width, height: rows });
        let row: Vec<Rgb<u8>> = (0..size.0)
            .into_par_iter()
            .map(|x| {
                let columns = x * factor..((x + 1) * factor).min(crop.width);
                let count = (columns.len() as u32 * rows) as f32;
                Rgb([0, 1, 2].map(|channel: usize| {
                    let lines = (0..rows).flat_map(|y| columns.clone().map(move |x| (x, y)));
                    let value = |(x, y)| f32::from(band.get_pixel(x, y).0[channel]) / 255.0;
                    let sum: f32 = lines.map(|place| light::of(value(place))).sum();
                    (light::encoded(sum / count) * 255.0 + 0.5) as u8
                }))
            })
            .collect();
        row.into_iter().zip(0..).for_each(|(pixel, x)| small.put_pixel(x, y, pixel));
    }
    small
}

/// Pixels in the colours of the screen.
fn on_white(pixels: &DynamicImage, screen: Option<&Screen>) -> RgbImage {
    let shown = shown(pixels, screen);
    RgbImage::from_fn(shown.width(), shown.height(), |x, y| {
        let [red, green, blue, alpha] = shown.get_pixel(x, y).0;
        Rgb([red, green, blue].map(|value| value.saturating_add(255 - alpha)))
    })
}

/// A word in the upper left corner, on a darker ground, if there is room for it.
fn label(picture: &mut RgbImage, word: &str) {
    let (width, height) = picture.dimensions();
    let size = (width as f32 / 28.0).clamp(15.0, 48.0);
    let long = lettering::width(word, size);
    let (pad, tall) = (size * 0.6, size * 1.7);
    if long + 4.0 * pad > width as f32 || 2.0 * tall > height as f32 || word.is_empty() {
        return;
    }
    let ground = Rect {
        x: pad as u32,
        y: pad as u32,
        width: (long + 2.0 * pad) as u32,
        height: tall as u32,
    };
    for y in ground.y..ground.bottom() {
        for x in ground.x..ground.right() {
            let pixel = picture.get_pixel_mut(x, y);
            pixel.0 = pixel.0.map(|value| (f32::from(value) * 0.35) as u8);
        }
    }
    let place = [2.0 * pad, pad + tall * 0.7];
    lettering::draw(picture, word, place, size, WHITE);
}

/// Where detail was invented, over the photo in grey, with what the colours stand for below.
#[must_use]
pub fn heat_sheet(photo: &Picture, map: &HeatMap) -> RgbImage {
    let (width, height) = photo.size();
    let scale = (f64::from(HEAT_SIDE) / f64::from(width.max(height))).min(1.0);
    let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    let (wide, high) = (side(width), side(height));
    let screen = Screen::of(&photo.metadata);
    let small = on_white(&photo.pixels.thumbnail_exact(wide, high), screen.as_ref());
    let grey = imageops::grayscale(&small);
    let size = 18.0_f32;
    let below = (size * 3.4) as u32;
    let mut sheet = RgbImage::from_pixel(wide.max(360), high + below, Rgb([24; 3]));
    let (columns, rows) = map.cells();
    let (across, down) = map.extent();
    for (x, y, pixel) in grey.enumerate_pixels() {
        let column = ((x as f32 + 0.5) * across / wide as f32) as u32;
        let row = ((y as f32 + 0.5) * down / high as f32) as u32;
        let levels = map.levels(column.min(columns - 1), row.min(rows - 1));
        sheet.put_pixel(x, y, over(pixel.0[0], invented::colour(levels)));
    }
    // The legend.
    let (bar, top) = (200_u32, high + (size * 1.9) as u32);
    for x in 0..bar {
        let colour = over(90, invented::colour(x as f32 / bar as f32 * invented::FULL));
        (0..10).for_each(|y| sheet.put_pixel(12 + x, top + y, colour));
    }
    let base = high as f32 + size * 1.3;
    lettering::draw(&mut sheet, "Invented detail, in levels of 255", [12.0, base], size, WHITE);
    let (most, _) = map.most();
    let text =
        format!("0 to {:.0}: {:.1} overall, {most:.1} at most", invented::FULL, map.overall());
    let place = [24.0 + bar as f32, top as f32 + 10.0];
    lettering::draw(&mut sheet, &text, place, size * 0.8, WHITE);
    sheet
}

fn over(grey: u8, [red, green, blue, alpha]: [u8; 4]) -> Rgb<u8> {
    let share = f32::from(alpha) / 255.0;
    Rgb([red, green, blue]
        .map(|value| (f32::from(grey) * (1.0 - share) + f32::from(value) * share + 0.5) as u8))
}

/// Writes a picture to a file whose ending names the format, and gives the name that it got.
///
/// # Errors
/// As [`PictureWriter::create`] and [`PictureWriter::finish`].
pub fn save(picture: RgbImage, path: &Path, existing: Existing) -> Result<PathBuf> {
    let header = Header {
        width: picture.width(),
        height: picture.height(),
        color: ColorType::Rgb8,
        metadata: Metadata::default(),
        encoding: Encoding::default(),
    };
    let mut writer = PictureWriter::create(path, header)?;
    writer.push(picture.into_raw())?;
    writer.finish(existing)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use image::{Rgba, RgbaImage};

    use super::*;
    use crate::restore::Patch;

    fn result(size: (u32, u32), pixels: DynamicImage) -> Mosaic {
        let color = pixels.color();
        let area = Rect::of_size(size.0, size.1);
        Mosaic { size, color, patches: vec![Arc::new(Patch { area, pixels })] }
    }

    #[test]
    fn both_halves_show_the_same_place_pixel_for_pixel() {
        let pixels = RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 6) as u8, (y * 8) as u8, 90]));
        let photo = Picture::from_pixels("photo", pixels.into());
        let after = RgbImage::from_fn(160, 120, |x, y| Rgb([x as u8, y as u8, 200]));
        let result = result((160, 120), after.clone().into());
        let pair = Pair { photo: &photo, result: &result, metadata: &photo.metadata };
        let crop = Rect::spanning(50, 20, 130, 100);
        let sheet = pair.sheet(Some(crop), ["", ""]).unwrap();
        assert_eq!(sheet.dimensions(), (2 * 80 + DIVIDER, 80));
        let plain = Plain::of(&photo.pixels, (160, 120)).pixels(&photo.pixels, crop).into_rgb8();
        for (x, y, pixel) in plain.enumerate_pixels() {
            assert_eq!(sheet.get_pixel(x, y), pixel);
            let expected = after.get_pixel(50 + x, 20 + y);
            assert_eq!(sheet.get_pixel(80 + DIVIDER + x, y), expected);
        }
        assert_eq!(*sheet.get_pixel(81, 40), WHITE, "the line between them");
        let beyond = pair.sheet(Some(Rect::spanning(100, 0, 161, 9)), ["", ""]);
        assert!(beyond.unwrap_err().to_string().contains("does not lie in the result"));
    }

    #[test]
    fn words_stand_on_both_halves_where_there_is_room() {
        let photo = Picture::from_pixels("p", RgbImage::from_pixel(100, 60, Rgb([128; 3])).into());
        let after = RgbImage::from_pixel(400, 240, Rgb([128; 3]));
        let result = result((400, 240), after.into());
        let pair = Pair { photo: &photo, result: &result, metadata: &photo.metadata };
        let sheet = pair.sheet(None, ["Before", "After"]).unwrap();
        let bright = |from: u32| {
            let places = (from..from + 200).flat_map(|x| (0..80).map(move |y| (x, y)));
            places.filter(|(x, y)| sheet.get_pixel(*x, *y).0[0] > 140).count()
        };
        assert!(bright(0) > 60 && bright(400 + DIVIDER) > 60);
        let narrow = pair.sheet(Some(Rect::of_size(30, 30)), ["Before", "After"]).unwrap();
        assert!(narrow.pixels().all(|pixel| *pixel == Rgb([128; 3]) || *pixel == WHITE));
    }

    #[test]
    fn large_ones_are_shrunk_in_linear_light_and_clear_ones_lie_on_white() {
        let chequer = RgbaImage::from_fn(MOST + 4, 8, |x, y| match (x + y) % 2 {
            0 => Rgba([255; 4]),
            _ => Rgba([0, 0, 0, if x < 2000 { 255 } else { 0 }]),
        });
        let photo = Picture::from_pixels("p", chequer.clone().into());
        let result = result((MOST + 4, 8), chequer.into());
        let pair = Pair { photo: &photo, result: &result, metadata: &photo.metadata };
        let sheet = pair.sheet(None, ["", ""]).unwrap();
        assert_eq!(sheet.dimensions(), (MOST + 4 + DIVIDER, 4));
        // Half of the light is 188, not 128.
        assert_eq!(sheet.get_pixel(300, 2).0, [188; 3]);
        assert_eq!(sheet.get_pixel(1500, 2).0, [255; 3]);
    }
}
