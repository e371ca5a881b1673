//! Marks laid on a picture, and an exact account of the pixels under them.

use fastrand::Rng;
use image::{GrayImage, Luma, Rgb, RgbImage};
use tiny_skia::{FillRule, Mask, Path, PathBuilder, Stroke, Transform};

use crate::picture::resample::resize_exact;

/// A point in pixels; pixel (0, 0) reaches from (0, 0) to (1, 1).
pub(super) type Point = [f32; 2];

/// What is drawn with a pen is as fine as if its path were this many pixels wide.
const FINENESS: f32 = 512.0;

/// A picture and where marks were laid on it.
#[derive(Debug)]
pub(super) struct Canvas {
    pub(super) picture: RgbImage,
    /// 255 under every mark, 0 elsewhere.
    pub(super) mask: GrayImage,
}

impl Canvas {
    pub(super) fn new(picture: RgbImage) -> Self {
        let mask = GrayImage::new(picture.width(), picture.height());
        Self { picture, mask }
    }

    /// Brings the picture to a size. Where it has another one, marks are forgotten: none may
    /// have been laid.
    pub(super) fn resize(&mut self, (width, height): (u32, u32)) {
        if self.picture.dimensions() != (width, height) {
            self.picture = resize_exact(&self.picture, width, height);
        }
        if self.mask.dimensions() != (width, height) {
            self.mask = GrayImage::new(width, height);
        }
    }

    /// Width and height in pixels.
    pub(super) fn size(&self) -> Point {
        [self.picture.width() as f32, self.picture.height() as f32]
    }

    /// The pixels that a box touches: left, top, right and bottom, the latter two excluded.
    fn pixels(&self, [left, top, right, bottom]: [f32; 4]) -> [u32; 4] {
        let [width, height] = self.size();
        let within = |value: f32, most: f32| value.clamp(0.0, most) as u32;
        [
            within(left.floor(), width),
            within(top.floor(), height),
            within(right.ceil(), width),
            within(bottom.ceil(), height),
        ]
    }

    /// Lays a shape on the picture: where `cover` is a and the mark's own colour W, the picture I
    /// becomes aW + (1 - a)I.
    ///
    /// `paint` makes the mark's colour, 0 to 255, of the colour under it. Borders are smooth.
    pub(super) fn fill(
        &mut self,
        path: &Path,
        opacity: f32,
        mut paint: impl FnMut([f32; 3]) -> [f32; 3],
    ) {
        let bounds = path.bounds();
        let frame = [bounds.left(), bounds.top(), bounds.right(), bounds.bottom()];
        let [left, top, right, bottom] = self.pixels(frame);
        // No larger than the shape: a speck must not cost as much as the picture.
        let size = (right.saturating_sub(left), bottom.saturating_sub(top));
        let Some(mut cover) = Mask::new(size.0, size.1) else { return };
        let place = Transform::from_translate(-(left as f32), -(top as f32));
        cover.fill_path(path, FillRule::Winding, true, place);
        for (row, y) in cover.data().chunks_exact(size.0 as usize).zip(top..) {
            for (cover, x) in row.iter().zip(left..) {
                self.lay(x, y, *cover, opacity, &mut paint);
            }
        }
    }

    /// As [`Self::fill`], where `cover`, 0 to 1, is a function of the middle of a pixel. It is
    /// asked inside of `frame` only: left, top, right and bottom in pixels.
    pub(super) fn shade(
        &mut self,
        frame: [f32; 4],
        opacity: f32,
        cover: impl Fn(Point) -> f32,
        mut paint: impl FnMut([f32; 3]) -> [f32; 3],
    ) {
        let [left, top, right, bottom] = self.pixels(frame);
        for y in top..bottom {
            for x in left..right {
                let cover = cover([x as f32 + 0.5, y as f32 + 0.5]);
                self.lay(x, y, (cover * 255.0 + 0.5) as u8, opacity, &mut paint);
            }
        }
    }

    fn lay(
        &mut self,
        x: u32,
        y: u32,
        cover: u8,
        opacity: f32,
        paint: &mut impl FnMut([f32; 3]) -> [f32; 3],
    ) {
        let share = opacity * f32::from(cover) / 255.0;
        // Too little to change any colour under any mark.
        if 255.0 * share < 0.5 {
            return;
        }
        let Rgb(pixel) = self.picture.get_pixel_mut(x, y);
        let mark = paint(pixel.map(f32::from));
        for (value, mark) in pixel.iter_mut().zip(mark) {
            let under = f32::from(*value);
            *value = (under + (mark - under) * share + 0.5) as u8;
        }
        self.mask.put_pixel(x, y, Luma([255]));
    }
}

/// Paint of one colour.
pub(super) fn flat(colour: [f32; 3]) -> impl Fn([f32; 3]) -> [f32; 3] {
    move |_under| colour
}

/// Paint that keeps a share of each channel of the light.
pub(super) fn tint(shares: [f32; 3]) -> impl Fn([f32; 3]) -> [f32; 3] {
    move |under| [under[0] * shares[0], under[1] * shares[1], under[2] * shares[2]]
}

/// Paint like paper: no pixel quite like the next.
pub(super) fn paper(
    colour: [f32; 3],
    grain: f32,
    rng: &mut Rng,
) -> impl FnMut([f32; 3]) -> [f32; 3] {
    move |_under| {
        let grain = between(-grain, grain, rng);
        colour.map(|value| value + grain)
    }
}

/// A number between two others.
pub(super) fn between(least: f32, most: f32, rng: &mut Rng) -> f32 {
    least + (most - least) * rng.f32()
}

/// A closed polygon; nothing where fewer than three points make one.
pub(super) fn polygon(points: &[Point]) -> Option<Path> {
    let mut builder = PathBuilder::new();
    outline(&mut builder, points);
    builder.finish()
}

/// Adds a closed polygon to a path.
pub(super) fn outline(builder: &mut PathBuilder, points: &[Point]) {
    let [[x, y], rest @ ..] = points else { return };
    builder.move_to(*x, *y);
    for [x, y] in rest {
        builder.line_to(*x, *y);
    }
    builder.close();
}

/// The two sides of a line of changing width, as a polygon: forth on one side, back on the other.
///
/// `half` gives the distance of the sides from the line at each of its points, in pixels.
pub(super) fn ribbon(line: &[Point], half: impl FnMut(usize) -> f32) -> Vec<Point> {
    let widths: Vec<f32> = (0..line.len()).map(half).collect();
    let side = |index: usize, sign: f32| {
        let before = line[index.saturating_sub(1)];
        let after = line[(index + 1).min(line.len() - 1)];
        let (dx, dy) = (after[0] - before[0], after[1] - before[1]);
        let reach = sign * widths[index] / dx.hypot(dy).max(1e-6);
        [line[index][0] - dy * reach, line[index][1] + dx * reach]
    };
    // Clockwise like the other shapes: one that ran against them would cut holes in them.
    let forth = (0..line.len()).map(|index| side(index, -1.0));
    let back = (0..line.len()).rev().map(|index| side(index, 1.0));
    forth.chain(back).collect()
}

/// What a pen of this width leaves along a path.
pub(super) fn stroked(path: &Path, width: f32) -> Option<Path> {
    let bounds = path.bounds();
    let scale = FINENESS / bounds.width().max(bounds.height()).max(1e-3);
    path.stroke(&Stroke { width, ..Stroke::default() }, scale)
}
