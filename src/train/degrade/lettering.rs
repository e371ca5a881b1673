//! Words as outlines, in the two typefaces that the window brings along.

use std::{collections::HashMap, sync::LazyLock};

use skrifa::{
    FontRef, MetadataProvider as _,
    instance::{LocationRef, Size},
    outline::{DrawSettings, OutlinePen},
};
use tiny_skia::{Path, PathBuilder, Transform};

/// The characters that words are made of: printable ASCII and the copyright sign.
fn characters() -> impl Iterator<Item = char> {
    (' '..='~').chain(['©'])
}

/// A typeface, its outlines found once for all.
#[derive(Debug)]
pub(super) struct Face {
    /// Outline (none for a space) and how far the next one stands, in ems.
    glyphs: HashMap<char, (Option<Path>, f32)>,
}

/// Ubuntu Light (Ubuntu font licence) and Hack (MIT, Bitstream Vera).
pub(super) static FACES: LazyLock<Vec<Face>> = LazyLock::new(|| {
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
    pub(super) fn write(&self, text: &str, tracking: f32) -> Option<Path> {
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
}
