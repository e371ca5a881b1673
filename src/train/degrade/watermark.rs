//! Visible watermarks: words and logos that let the picture through.

use std::f32::consts::{PI, TAU};

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use tiny_skia::{Path, PathBuilder, Rect, Transform};

use super::{
    Range,
    canvas::{Canvas, Point, between, flat, outline, stroked},
    draw, probability, rising,
};
use crate::{error::Result, picture::lettering::FACES};

/// A visible watermark, after the data sets for its removal (Y. Liu, Z. Zhu and X. Bai, WACV
/// 2021: marks of 0.3 to 0.7 opacity, turned, of random size), with tiled marks and a wider choice.
///
/// It is laid on as J = aW + (1 - a)I, where W is the mark's colour, a its opacity and I the
/// picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Watermark {
    /// Share that the mark covers of what is under it, 0 to 1.
    pub opacity: Range,
    /// Width of a single mark over that of the picture, 0.02 to 8. Up to 1 a mark that would not fit
    /// when turned is smaller; of a wider one the picture shows a piece, as a crop of a marked photo
    /// does. One of many is about half as wide.
    pub size: Range,
    /// Degrees by which the mark is turned, clockwise, -180 to 180.
    pub angle: Range,
    /// How often the mark is repeated all over the picture, 0 to 1.
    pub tiled: f32,
    /// How often it is text and not a logo, 0 to 1.
    pub text: f32,
    /// How often only its outline is drawn, 0 to 1.
    pub outlined: f32,
    /// How often it has a colour and is not white or black, 0 to 1.
    pub coloured: f32,
    /// How often it throws a shadow, 0 to 1.
    pub shadowed: f32,
}

impl Default for Watermark {
    fn default() -> Self {
        Self {
            opacity: [0.15, 1.0],
            size: [0.2, 0.6],
            angle: [-45.0, 45.0],
            tiled: 0.3,
            text: 0.6,
            outlined: 0.25,
            coloured: 0.25,
            shadowed: 0.15,
        }
    }
}

impl Watermark {
    pub(super) fn check(&self) -> Result<()> {
        rising(self.opacity, 0.0, 1.0)?;
        rising(self.size, 0.02, 8.0)?;
        rising(self.angle, -180.0, 180.0)?;
        let shares = [self.tiled, self.text, self.outlined, self.coloured, self.shadowed];
        shares.into_iter().try_for_each(probability)
    }

    pub(super) fn apply(&self, canvas: &mut Canvas, rng: &mut Rng) {
        let opacity = draw(self.opacity, rng);
        let colour = self.colour(rng);
        let Some((marks, height)) = self.shape(canvas.size(), rng) else { return };
        if rng.f32() < self.shadowed {
            let light = colour.iter().sum::<f32>() > 382.0;
            let shadow = [if light { 0.0 } else { 255.0 }; 3];
            let offset = (0.05 * height).clamp(1.0, 4.0);
            let aside = Transform::from_translate(offset, offset);
            if let Some(path) = marks.clone().transform(aside) {
                canvas.fill(&path, 0.6 * opacity, flat(shadow));
            }
        }
        canvas.fill(&marks, opacity, flat(colour));
    }

    /// Most marks are white, which shows on most photos.
    fn colour(&self, rng: &mut Rng) -> [f32; 3] {
        if rng.f32() < self.coloured {
            [rng.u8(..), rng.u8(..), rng.u8(..)].map(f32::from)
        } else if rng.f32() < 0.75 {
            [255.0; 3]
        } else {
            [0.0; 3]
        }
    }

    /// The marks in their places on a picture of this size, and how high one of them is in
    /// pixels.
    fn shape(&self, [width, height]: Point, rng: &mut Rng) -> Option<(Path, f32)> {
        let mark = if rng.f32() < self.text { text(rng) } else { logo(rng) };
        let mark = centred(mark?)?;
        let bounds = mark.bounds();
        let angle = draw(self.angle, rng);
        let tiled = rng.f32() < self.tiled;
        let turned =
            mark.clone().transform(Transform::from_rotate(angle))?.compute_tight_bounds()?;
        let part = if tiled { between(0.35, 0.7, rng) } else { 1.0 };
        let size = draw(self.size, rng);
        // Of the photo that the picture is a piece of, if the mark is wider than that.
        let whole = [width, height].map(|side| side * size.max(1.0));
        let scale = (part * size * width / bounds.width())
            .min(whole[0] / turned.width())
            .min(whole[1] / turned.height());
        let mark = mark.transform(Transform::from_scale(scale, scale))?;
        let mark = if rng.f32() < self.outlined {
            // Thinner than a pixel it would fade.
            let pen = (between(0.01, 0.03, rng) * mark.bounds().height()).max(1.0);
            stroked(&mark, pen)?
        } else {
            mark
        };
        let mark_height = mark.bounds().height();
        if tiled {
            return Some((tiles(&mark, angle, [width, height], rng)?, mark_height));
        }
        let free = [width - scale * turned.width(), height - scale * turned.height()];
        let place = [0, 1].map(|axis| free[axis].abs() * (rng.f32() - 0.5));
        let place = Transform::from_rotate(angle)
            .post_translate(width / 2.0 + place[0], height / 2.0 + place[1]);
        Some((mark.transform(place)?, mark_height))
    }
}

/// A mark again and again in staggered rows, as many as touch the picture.
fn tiles(mark: &Path, angle: f32, [width, height]: Point, rng: &mut Rng) -> Option<Path> {
    let bounds = mark.bounds();
    let step_x = (bounds.width() * between(1.2, 1.8, rng)).max(8.0);
    let step_y = (bounds.height() * between(1.3, 3.5, rng)).max(8.0);
    let phase = [step_x * rng.f32(), step_y * rng.f32()];
    // The rows are turned with the mark, so they must cover the circle around the picture.
    let radius = width.hypot(height) / 2.0;
    let (columns, rows) = ((radius / step_x) as i32 + 2, (radius / step_y) as i32 + 2);
    let picture = Rect::from_xywh(0.0, 0.0, width, height)?;
    let mut builder = PathBuilder::new();
    for row in -rows..=rows {
        let stagger = if row % 2 == 0 { 0.0 } else { step_x / 2.0 };
        for column in -columns..=columns {
            let x = column as f32 * step_x + stagger + phase[0];
            let y = row as f32 * step_y + phase[1];
            let place = Transform::from_rotate(angle)
                .pre_translate(x, y)
                .post_translate(width / 2.0, height / 2.0);
            // The frame of the mark tells at less cost than its outline.
            let touches = bounds.transform(place).is_some_and(|b| b.intersect(&picture).is_some());
            if touches && let Some(mark) = mark.clone().transform(place) {
                builder.push_path(&mark);
            }
        }
    }
    builder.finish()
}

/// The path with the middle of its frame at 0.
fn centred(path: Path) -> Option<Path> {
    let bounds = path.compute_tight_bounds()?;
    let middle = [bounds.left() + bounds.right(), bounds.top() + bounds.bottom()];
    path.transform(Transform::from_translate(-middle[0] / 2.0, -middle[1] / 2.0))
}

/// A path and a smaller one under its middle.
fn stacked(upper: Path, lower: Path, size: f32) -> Option<Path> {
    let (upper, lower) = (centred(upper)?, centred(lower)?);
    let (above, below) = (upper.bounds(), lower.bounds());
    let scale = (size * above.width() / below.width()).min(0.5 * above.height() / below.height());
    let gap = 0.2 * above.height();
    let y = above.bottom() + gap + scale * below.height() / 2.0;
    let mut builder = PathBuilder::new();
    builder.push_path(&upper);
    builder
        .push_path(&lower.transform(Transform::from_scale(scale, scale).post_translate(0.0, y))?);
    builder.finish()
}

/// One line of text or two.
fn text(rng: &mut Rng) -> Option<Path> {
    let line = line(&phrase(rng), rng)?;
    if rng.f32() < 0.25 { stacked(line, self::line(&phrase(rng), rng)?, 0.8) } else { Some(line) }
}

/// A line in a random face, weight, slant and spacing.
fn line(text: &str, rng: &mut Rng) -> Option<Path> {
    let tracking = if rng.f32() < 0.3 { between(0.0, 0.3, rng) } else { 0.0 };
    let path = rng.choice(FACES.iter())?.write(text, tracking)?;
    // The faces come in one weight; ink around them makes others.
    let weight = if rng.f32() < 0.6 { between(0.02, 0.09, rng) } else { 0.0 };
    let path = if weight > 0.0 {
        let mut builder = PathBuilder::new();
        builder.push_path(&path);
        builder.push_path(&stroked(&path, weight)?);
        builder.finish()?
    } else {
        path
    };
    let slant = if rng.f32() < 0.3 { -0.21 } else { 0.0 };
    path.transform(Transform::from_row(1.0, 0.0, slant, 1.0, 0.0, 0.0))
}

/// What stock agencies and photographers write on their pictures; names are made up.
fn phrase(rng: &mut Rng) -> String {
    const COMMON: [&str; 14] = [
        "SAMPLE",
        "PREVIEW",
        "PROOF",
        "COPYRIGHT",
        "DEMO",
        "DRAFT",
        "Photography",
        "stock photo",
        "DO NOT COPY",
        "Studio",
        "Images",
        "ALL RIGHTS RESERVED",
        "Not for sale",
        "photo",
    ];
    let year = rng.u32(1990..=2030);
    match rng.u8(..8) {
        0 | 1 => rng.choice(COMMON).unwrap_or_default().to_owned(),
        2 => format!("© {} {year}", name(rng)),
        3 => format!("© {year} {} {}", name(rng), name(rng)),
        4 => format!("www.{}.com", name(rng).to_lowercase()),
        5 => format!(
            "{} {}",
            name(rng),
            rng.choice(["Photo", "Studio", "Art", "Images"]).unwrap_or_default()
        ),
        6 => {
            let count = rng.usize(4..=10);
            std::iter::repeat_with(|| rng.char('!'..='~')).take(count).collect()
        }
        _ => name(rng).to_uppercase(),
    }
}

/// A made-up name of two or three syllables.
fn name(rng: &mut Rng) -> String {
    let mut name = String::new();
    for _ in 0..rng.usize(2..=3) {
        name.extend(rng.choice(b"bcdfghjklmnprstvwz").map(|letter| char::from(*letter)));
        name.extend(rng.choice(b"aeiouy").map(|letter| char::from(*letter)));
        if rng.f32() < 0.4 {
            name.extend(rng.choice(b"lmnrstx").map(|letter| char::from(*letter)));
        }
    }
    name[..1].to_uppercase() + &name[1..]
}

/// A sign about one unit wide, at times with words under it.
fn logo(rng: &mut Rng) -> Option<Path> {
    let mut builder = PathBuilder::new();
    let pen = between(0.03, 0.08, rng);
    match rng.u8(..6) {
        0 => rings(&mut builder, pen, rng)?,
        1 => {
            let (points, depth) = (rng.usize(4..=9), between(0.35, 0.75, rng));
            outline(&mut builder, &star([0.0; 2], 0.5, depth, points, -PI / 2.0));
        }
        2 => polygons(&mut builder, pen, rng)?,
        3 => camera(&mut builder, pen)?,
        4 => aperture(&mut builder, pen, rng)?,
        _ => monogram(&mut builder, pen, rng)?,
    }
    let sign = builder.finish()?;
    if rng.f32() < 0.4 { stacked(sign, line(&phrase(rng), rng)?, 2.0) } else { Some(sign) }
}

/// The points of a star around a middle: outer ones at `radius`, inner ones at `depth` of it. A
/// depth of 1 gives a polygon of twice as many corners.
fn star([x, y]: Point, radius: f32, depth: f32, points: usize, turn: f32) -> Vec<Point> {
    let point = |index: usize| {
        let radius = if index.is_multiple_of(2) { radius } else { radius * depth };
        let (sine, cosine) = (turn + PI * index as f32 / points as f32).sin_cos();
        [x + radius * cosine, y + radius * sine]
    };
    (0..2 * points).map(point).collect()
}

fn ring(builder: &mut PathBuilder, [x, y]: Point, radius: f32, pen: f32) -> Option<()> {
    builder.push_path(&stroked(&PathBuilder::from_circle(x, y, radius)?, pen)?);
    Some(())
}

/// The outline of a closed polygon, drawn with a pen.
fn frame(builder: &mut PathBuilder, points: &[Point], pen: f32) -> Option<()> {
    let mut line = PathBuilder::new();
    outline(&mut line, points);
    builder.push_path(&stroked(&line.finish()?, pen)?);
    Some(())
}

/// Rings in one another or side by side.
fn rings(builder: &mut PathBuilder, pen: f32, rng: &mut Rng) -> Option<()> {
    let count = rng.usize(2..=3);
    let chained = rng.bool();
    for index in 0..count {
        if chained {
            ring(builder, [0.35 * index as f32, 0.0], 0.25, pen)?;
        } else {
            ring(builder, [0.0; 2], 0.5 * (1.0 - index as f32 / 3.5), pen)?;
        }
    }
    Some(())
}

/// Frames in one another, turned, with a filled middle.
fn polygons(builder: &mut PathBuilder, pen: f32, rng: &mut Rng) -> Option<()> {
    let corners = rng.usize(3..=8);
    let turn = TAU * rng.f32();
    let at = |radius: f32, turn: f32| -> Vec<Point> {
        // Every second point of a star is a corner.
        star([0.0; 2], radius, 1.0, corners, turn).into_iter().step_by(2).collect()
    };
    frame(builder, &at(0.5, turn), pen)?;
    frame(builder, &at(0.36, turn + PI / corners as f32), pen)?;
    outline(builder, &at(0.18, turn));
    Some(())
}

/// A box with a lens, a finder and a flash.
fn camera(builder: &mut PathBuilder, pen: f32) -> Option<()> {
    let body = [
        [-0.5, -0.22],
        [-0.2, -0.22],
        [-0.12, -0.34],
        [0.12, -0.34],
        [0.2, -0.22],
        [0.5, -0.22],
        [0.5, 0.34],
        [-0.5, 0.34],
    ];
    frame(builder, &body, pen)?;
    ring(builder, [0.0, 0.06], 0.19, pen)?;
    builder.push_circle(0.0, 0.06, 0.08);
    builder.push_circle(0.36, -0.1, 0.04);
    Some(())
}

/// A ring and the blades of a shutter in it.
fn aperture(builder: &mut PathBuilder, pen: f32, rng: &mut Rng) -> Option<()> {
    ring(builder, [0.0; 2], 0.5, pen)?;
    let blades = rng.usize(5..=8);
    let turn = TAU * rng.f32();
    for blade in 0..blades {
        let angle = turn + TAU * blade as f32 / blades as f32;
        let at = |radius: f32, angle: f32| [radius * angle.cos(), radius * angle.sin()];
        let (start, end) = (at(0.2, angle), at(0.48, angle + 1.3));
        frame(builder, &[start, end], pen)?;
    }
    Some(())
}

/// A letter or two in a ring or a frame.
fn monogram(builder: &mut PathBuilder, pen: f32, rng: &mut Rng) -> Option<()> {
    let count = rng.usize(1..=2);
    let letters: String = std::iter::repeat_with(|| rng.char('A'..='Z')).take(count).collect();
    let letters = centred(rng.choice(FACES.iter())?.write(&letters, 0.0)?)?;
    let bounds = letters.bounds();
    let scale = 0.55 / bounds.width().max(bounds.height());
    let letters = letters.transform(Transform::from_scale(scale, scale))?;
    builder.push_path(&letters);
    builder.push_path(&stroked(&letters, 0.5 * pen)?);
    if rng.bool() {
        ring(builder, [0.0; 2], 0.5, pen)
    } else {
        frame(builder, &[[-0.45, -0.45], [0.45, -0.45], [0.45, 0.45], [-0.45, 0.45]], pen)
    }
}
