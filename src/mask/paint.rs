//! Shapes drawn into a mask. Places are in pixels from the top left corner of the picture; the
//! middle of the first pixel is at 0.5, 0.5.

use std::collections::VecDeque;

use image::{GrayImage, Luma, RgbImage};
use imageproc::{drawing::draw_polygon_mut, point::Point};

use crate::rect::Rect;

/// A place in a picture.
pub type Place = [f32; 2];

const fn value(on: bool) -> u8 {
    if on { 255 } else { 0 }
}

/// The pixels of a picture of this size between two places.
fn bounds(mask: &GrayImage, least: Place, most: Place) -> Option<Rect> {
    let low = |value: f32, length: u32| value.floor().clamp(0.0, length as f32) as u32;
    let high = |value: f32, length: u32| value.ceil().clamp(0.0, length as f32) as u32;
    let (left, right) = (low(least[0], mask.width()), high(most[0], mask.width()));
    let (top, bottom) = (low(least[1], mask.height()), high(most[1], mask.height()));
    (left < right && top < bottom).then(|| Rect::spanning(left, top, right, bottom))
}

/// A round brush.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Brush {
    /// In pixels. One thinner than a pixel still marks those below it.
    pub radius: f32,
    /// The share of the radius, 0 to 1, within which pixels are wholly marked; beyond it they are
    /// marked less and less.
    pub hardness: f32,
}

impl Brush {
    /// One with a sharp border.
    #[must_use]
    pub const fn hard(radius: f32) -> Self {
        Self { radius, hardness: 1.0 }
    }

    /// How much a pixel so far from its middle is marked, 0 to 255.
    fn value(self, distance: f32) -> u8 {
        let radius = self.radius.max(0.71);
        let core = radius * self.hardness.clamp(0.0, 1.0);
        if distance <= core {
            return if distance <= radius { 255 } else { 0 };
        }
        let share = ((radius - distance) / (radius - core)).clamp(0.0, 1.0);
        // Without a kink at either end.
        (255.0 * share * share * (3.0 - 2.0 * share) + 0.5) as u8
    }
}

/// A straight stroke of a brush; gives the pixels that may have changed. However often a stroke goes
/// over a pixel, it is marked (or not) as much as where the brush was nearest.
pub fn stroke(
    mask: &mut GrayImage,
    from: Place,
    to: Place,
    brush: Brush,
    on: bool,
) -> Option<Rect> {
    let radius = brush.radius.max(0.71);
    let ends = [0, 1].map(|axis| (from[axis].min(to[axis]), from[axis].max(to[axis])));
    let area =
        bounds(mask, ends.map(|(least, _)| least - radius), ends.map(|(_, most)| most + radius))?;
    let along = [to[0] - from[0], to[1] - from[1]];
    let length = along[0] * along[0] + along[1] * along[1];
    for y in area.y..area.bottom() {
        for x in area.x..area.right() {
            let away = [x as f32 + 0.5 - from[0], y as f32 + 0.5 - from[1]];
            let share = if length > 0.0 {
                ((away[0] * along[0] + away[1] * along[1]) / length).clamp(0.0, 1.0)
            } else {
                0.0
            };
            let [dx, dy] = [away[0] - share * along[0], away[1] - share * along[1]];
            let far = dx * dx + dy * dy;
            if far <= radius * radius {
                let value = brush.value(far.sqrt());
                let pixel = &mut mask.get_pixel_mut(x, y).0[0];
                *pixel = if on { (*pixel).max(value) } else { (*pixel).min(255 - value) };
            }
        }
    }
    Some(area)
}

/// All pixels between two corners.
pub fn rectangle(mask: &mut GrayImage, a: Place, b: Place, on: bool) -> Option<Rect> {
    let area = bounds(mask, [a[0].min(b[0]), a[1].min(b[1])], [a[0].max(b[0]), a[1].max(b[1])])?;
    for y in area.y..area.bottom() {
        for x in area.x..area.right() {
            mask.put_pixel(x, y, Luma([value(on)]));
        }
    }
    Some(area)
}

/// All pixels inside of a closed line; fewer than three different corners mark nothing.
pub fn polygon(mask: &mut GrayImage, corners: &[Place], on: bool) -> Option<Rect> {
    let mut points: Vec<Point<i32>> =
        corners.iter().map(|place| Point::new(place[0] as i32, place[1] as i32)).collect();
    points.dedup();
    while points.len() > 1 && points.first() == points.last() {
        points.pop();
    }
    if points.len() < 3 {
        return None;
    }
    draw_polygon_mut(mask, &points, Luma([value(on)]));
    let least = |axis: usize| corners.iter().map(|place| place[axis]).fold(f32::MAX, f32::min);
    let most = |axis: usize| corners.iter().map(|place| place[axis]).fold(f32::MIN, f32::max);
    bounds(mask, [least(0) - 1.0, least(1) - 1.0], [most(0) + 2.0, most(1) + 2.0])
}

/// All pixels that hang together with the one at a place and are nearly of its colour: no channel
/// is further from it than `tolerance` levels.
pub fn wand(
    mask: &mut GrayImage,
    picture: &RgbImage,
    at: (u32, u32),
    tolerance: u8,
    on: bool,
) -> Option<Rect> {
    let (width, height) = mask.dimensions();
    if at.0 >= width || at.1 >= height || picture.dimensions() != (width, height) {
        return None;
    }
    let colour = picture.get_pixel(at.0, at.1).0;
    let like = |x: u32, y: u32| {
        let other = picture.get_pixel(x, y).0;
        colour.iter().zip(other).all(|(a, b)| a.abs_diff(b) <= tolerance)
    };
    let mut seen = vec![false; (width * height) as usize];
    let mut waiting = VecDeque::from([at]);
    seen[(at.1 * width + at.0) as usize] = true;
    let (mut least, mut most) = (at, at);
    while let Some((x, y)) = waiting.pop_front() {
        mask.put_pixel(x, y, Luma([value(on)]));
        (least, most) = ((least.0.min(x), least.1.min(y)), (most.0.max(x), most.1.max(y)));
        let next = [(x.wrapping_sub(1), y), (x + 1, y), (x, y.wrapping_sub(1)), (x, y + 1)];
        for (x, y) in next {
            if x < width && y < height && !seen[(y * width + x) as usize] && like(x, y) {
                seen[(y * width + x) as usize] = true;
                waiting.push_back((x, y));
            }
        }
    }
    Some(Rect::spanning(least.0, least.1, most.0 + 1, most.1 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::count;

    /// That nothing changed outside of the area that was given.
    fn inside(mask: &GrayImage, area: Rect) -> bool {
        mask.enumerate_pixels().filter(|(.., pixel)| pixel.0[0] > 0).all(|(x, y, _)| {
            (area.x..area.right()).contains(&x) && (area.y..area.bottom()).contains(&y)
        })
    }

    #[test]
    fn a_stroke_is_a_capsule_and_is_erased_by_the_same_one() {
        let mut mask = GrayImage::new(60, 40);
        let area = stroke(&mut mask, [10.5, 20.5], [40.5, 20.5], Brush::hard(4.0), true).unwrap();
        assert!(inside(&mask, area));
        assert_eq!(mask.get_pixel(25, 24).0[0], 255);
        assert_eq!(mask.get_pixel(25, 25).0[0], 0);
        assert_eq!(mask.get_pixel(6, 20).0[0], 255);
        assert_eq!(mask.get_pixel(6, 23).0[0], 0, "the end is round");
        stroke(&mut mask, [10.5, 20.5], [40.5, 20.5], Brush::hard(4.0), false);
        assert_eq!(count(&mask), 0);
        assert!(
            stroke(&mut mask, [-30.0, -30.0], [-20.0, -20.0], Brush::hard(4.0), true).is_none()
        );
        stroke(&mut mask, [5.0, 5.0], [30.0, 9.0], Brush::hard(0.1), true).unwrap();
        assert!(count(&mask) >= 25, "thin strokes have no gaps");
    }

    #[test]
    fn a_soft_stroke_fades_to_its_rim_and_takes_away_what_it_gave() {
        let brush = Brush { radius: 10.0, hardness: 0.4 };
        let mut mask = GrayImage::new(60, 40);
        stroke(&mut mask, [15.5, 20.5], [40.5, 20.5], brush, true);
        let column: Vec<u8> = (20..32).map(|y| mask.get_pixel(30, y).0[0]).collect();
        assert!(column[..5].iter().all(|value| *value == 255), "{column:?}");
        assert!(column[4..10].windows(2).all(|pair| pair[0] > pair[1]), "{column:?}");
        assert_eq!(column[10..], [0, 0]);
        assert_eq!(mask.get_pixel(30, 27).0[0], 128, "half as much in the middle of the rim");
        let once = mask.clone();
        for x in [15.5, 22.0, 31.0] {
            stroke(&mut mask, [x, 20.5], [x + 5.0, 20.5], brush, true);
        }
        assert!(mask == once, "going over it again adds nothing");
        stroke(&mut mask, [15.5, 20.5], [40.5, 20.5], brush, false);
        assert!(mask.iter().all(|value| *value < 140) && mask.get_pixel(30, 20).0[0] == 0);
        stroke(&mut mask, [15.5, 20.5], [40.5, 20.5], Brush::hard(10.0), false);
        assert_eq!(count(&mask), 0);
    }

    #[test]
    fn rectangles_and_polygons_hold_what_is_within() {
        let mut mask = GrayImage::new(50, 50);
        let area = rectangle(&mut mask, [30.2, 40.0], [10.0, 20.7], true).unwrap();
        assert_eq!(area, Rect::spanning(10, 20, 31, 40));
        assert_eq!(count(&mask), area.area());

        let mut mask = GrayImage::new(50, 50);
        let corners = [[5.0, 5.0], [45.0, 5.0], [25.0, 40.0]];
        let area = polygon(&mut mask, &corners, true).unwrap();
        assert!(inside(&mask, area));
        assert_eq!(mask.get_pixel(25, 20).0[0], 255);
        assert_eq!(mask.get_pixel(8, 30).0[0], 0);
        assert!(polygon(&mut mask, &corners[..2], true).is_none());
        assert!(polygon(&mut mask, &[[9.0, 9.0]; 7], true).is_none());
        // Beyond the border.
        polygon(&mut mask, &[[-50.0, -9.0], [90.0, -9.0], [90.0, 90.0], [-50.0, 90.0]], true);
        assert_eq!(count(&mask), 2500);
    }

    #[test]
    fn the_wand_takes_what_hangs_together() {
        let picture = RgbImage::from_fn(40, 30, |x, _| {
            image::Rgb(if (10..20).contains(&x) { [200, 10, 10] } else { [20 + (x % 3) as u8; 3] })
        });
        let mut mask = GrayImage::new(40, 30);
        let area = wand(&mut mask, &picture, (25, 5), 4, true).unwrap();
        assert_eq!(area, Rect::spanning(20, 0, 40, 30));
        assert_eq!(count(&mask), 20 * 30);
        assert!(wand(&mut mask, &picture, (40, 5), 4, true).is_none());
    }
}
