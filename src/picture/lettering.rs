//! Words, in the two typefaces that the window brings along: as outlines, and on a picture.

use std::{collections::HashMap, sync::LazyLock};

use image::{Rgb, RgbImage};
use skrifa::{
    FontRef, MetadataProvider as _,
    instance::{LocationRef, Size},
    outline::{DrawSettings, OutlinePen},
};
use tiny_skia::{FillRule, Mask, Path, PathBuilder, Transform};

/// The characters that words are made of: printable ASCII, the copyright and the times sign.
fn characters() -> impl Iterator<Item = char> {
    (' '..='~').chain(['©', '×'])
}

/// A typeface, its outlines found once for all.
#[derive(Debug)]
pub struct Face {
    /// Outline (none for a space) and how far the next one stands, in ems.
    glyphs: HashMap<char, (Option<Path>, f32)>,
}

/// Ubuntu Light (Ubuntu font licence) and Hack (MIT, Bitstream Vera).
pub static FACES: LazyLock<Vec<Face>> = LazyLock::new(|| {
    let fonts = [epaint_default_fonts::UBUNTU_LIGHT, epaint_default_fonts::HACK_REGULAR];
    fonts.into_iter().filter_map(Face::read).collect()
});

impl Face {
    fn read(bytes: &[u8]) -> Option<Self> {
        let font = FontRef::new(bytes).ok()?;
        let em = f32::from(font.metrics(Size::unscaled(), LocationRef::default()).units_per_em);
        let widths = font.glyph_metrics(Size::unscaled(), LocationRef::default());
        let (map, outlines) = (font.charmap(), font.outline_glyphs());
        let glyph = |character: char| {
            let id = map.map(character)?;
            let mut pen = Pen(PathBuilder::new());
            let settings = DrawSettings::unhinted(Size::unscaled(), LocationRef::default());
            outlines.get(id)?.draw(settings, &mut pen).ok()?;
            // Fonts count upwards, pictures downwards.
            let scale = Transform::from_scale(1.0 / em, -1.0 / em);
            let path = pen.0.finish().and_then(|path| path.transform(scale));
            Some((character, (path, widths.advance_width(id)? / em)))
        };
        Some(Self { glyphs: characters().filter_map(glyph).collect() })
    }

    /// A line of text with its baseline at 0, one em high, `tracking` ems between its letters;
    /// characters that the face lacks are left out.
    #[must_use]
    pub fn write(&self, text: &str, tracking: f32) -> Option<Path> {
        let mut builder = PathBuilder::new();
        let mut x = 0.0;
        for (path, width) in text.chars().filter_map(|character| self.glyphs.get(&character)) {
            let place = Transform::from_translate(x, 0.0);
            if let Some(path) = path.clone().and_then(|path| path.transform(place)) {
                builder.push_path(&path);
            }
            x += width + tracking;
        }
        builder.finish()
    }

    /// How long a line of text is, in ems.
    fn width(&self, text: &str) -> f32 {
        text.chars().filter_map(|character| Some(self.glyphs.get(&character)?.1)).sum()
    }
}

/// How long a line of text is on a picture, `size` pixels high.
#[must_use]
pub fn width(text: &str, size: f32) -> f32 {
    size * FACES.first().map_or(0.0, |face| face.width(text))
}

/// Lays a line of text on a picture, `size` pixels high, from this place of its baseline on.
/// Characters that the face lacks are left out, and so is what lies beyond the picture.
pub fn draw(picture: &mut RgbImage, text: &str, place: [f32; 2], size: f32, colour: Rgb<u8>) {
    let (width, height) = picture.dimensions();
    let path = FACES.first().and_then(|face| face.write(text, 0.0));
    let Some((path, mut cover)) = path.zip(Mask::new(width, height)) else { return };
    let laid = Transform::from_scale(size, size).post_translate(place[0], place[1]);
    cover.fill_path(&path, FillRule::Winding, true, laid);
    for (pixel, cover) in picture.pixels_mut().zip(cover.data()).filter(|(_, cover)| **cover > 0) {
        let share = f32::from(*cover) / 255.0;
        for (value, new) in pixel.0.iter_mut().zip(colour.0) {
            let old = f32::from(*value);
            *value = (old + share * (f32::from(new) - old) + 0.5) as u8;
        }
    }
}

struct Pen(PathBuilder);

impl OutlinePen for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.0.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.0.line_to(x, y);
    }

    fn quad_to(&mut self, cx: f32, cy: f32, x: f32, y: f32) {
        self.0.quad_to(cx, cy, x, y);
    }

    fn curve_to(&mut self, cx0: f32, cy0: f32, cx1: f32, cy1: f32, x: f32, y: f32) {
        self.0.cubic_to(cx0, cy0, cx1, cy1, x, y);
    }

    fn close(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_faces_have_every_character() {
        assert_eq!(FACES.len(), 2);
        for face in FACES.iter() {
            for character in characters() {
                let (path, width) = &face.glyphs[&character];
                assert_eq!(path.is_none(), character == ' ', "{character}");
                assert!((0.1..1.5).contains(width), "{character}: {width}");
            }
            let bounds = face.write("Hp", 0.0).unwrap().bounds();
            // A capital stands on the line, a descender hangs below it.
            assert!((-0.8..-0.6).contains(&bounds.top()), "{bounds:?}");
            assert!((0.1..0.3).contains(&bounds.bottom()), "{bounds:?}");
        }
    }

    #[test]
    fn text_covers_its_width_and_leaves_the_rest() {
        let mut picture = RgbImage::from_pixel(120, 40, Rgb([10, 20, 30]));
        draw(&mut picture, "After", [20.0, 30.0], 20.0, Rgb([255; 3]));
        let drawn: Vec<(u32, u32)> = picture
            .enumerate_pixels()
            .filter(|(_, _, pixel)| pixel.0 != [10, 20, 30])
            .map(|(x, y, _)| (x, y))
            .collect();
        let end = 20.0 + width("After", 20.0);
        assert!(drawn.len() > 80, "{}", drawn.len());
        assert!(drawn.iter().all(|(x, y)| (20..=end as u32).contains(x) && (12..=31).contains(y)));
        assert!(drawn.iter().any(|(x, _)| f64::from(*x) > f64::from(end) - 4.0));
    }
}
