//! A line that follows what a picture shows between two places: a scratch, a fold, a hair.
//!
//! The way of E. Mortensen and W. Barrett, "Intelligent scissors for image composition", SIGGRAPH
//! 1995, with thin lines in place of edges: the cheapest path between the places, where a pixel is
//! cheap if it is brighter or darker than those on both sides of it.

use std::{cmp::Reverse, collections::BinaryHeap};

use image::RgbImage;

use super::paint::Place;
use crate::rect::Rect;

/// How far beside the straight line a path may go: this share of its length, and at least so many
/// pixels.
const ASIDE: (f32, f32) = (0.25, 24.0);

/// Most pixels that are searched; between places that are further apart the line is straight.
const MOST_PIXELS: u64 = 4 << 20;

/// Levels by which a pixel must stand out for a step to cost half.
const CONTRAST: f32 = 4.0;

/// Cost of a step of one pixel over nothing.
const STEP: f32 = 256.0;

/// Corners of the line from one place to another, both included. `width` is that of what is
/// followed, in pixels.
#[must_use]
pub fn trace(picture: &RgbImage, from: Place, to: Place, width: f32) -> Vec<Place> {
    let straight = vec![from, to];
    let length = (to[0] - from[0]).hypot(to[1] - from[1]);
    let margin = (length * ASIDE.0).max(ASIDE.1);
    let side = |low: f32, most: u32| low.clamp(0.0, most as f32) as u32;
    let [left, top] = [0, 1].map(|axis| from[axis].min(to[axis]) - margin);
    let [right, bottom] = [0, 1].map(|axis| from[axis].max(to[axis]) + margin + 1.0);
    let (wide, tall) = picture.dimensions();
    let (left, right) = (side(left, wide), side(right, wide));
    let (top, bottom) = (side(top, tall), side(bottom, tall));
    if left >= right || top >= bottom {
        return straight;
    }
    let area = Rect::spanning(left, top, right, bottom);
    let inside = |place: Place| {
        let (x, y) = (place[0].floor() as i64, place[1].floor() as i64);
        let (x, y) = (x - i64::from(area.x), y - i64::from(area.y));
        let fits =
            (0..i64::from(area.width)).contains(&x) && (0..i64::from(area.height)).contains(&y);
        fits.then_some(y as usize * area.width as usize + x as usize)
    };
    let (Some(start), Some(end)) = (inside(from), inside(to)) else { return straight };
    if area.area() > MOST_PIXELS {
        return straight;
    }
    let costs = costs(picture, area, width);
    let path = cheapest(&costs, area.width as usize, start, end);
    let place = |index: usize| {
        let (x, y) = (index % area.width as usize, index / area.width as usize);
        [area.x as f32 + x as f32 + 0.5, area.y as f32 + y as f32 + 0.5]
    };
    let mut line = vec![from];
    line.extend(path.into_iter().map(place));
    line.push(to);
    line
}

/// What a step onto each pixel of an area costs, row by row.
fn costs(picture: &RgbImage, area: Rect, width: f32) -> Vec<f32> {
    let (wide, tall) = picture.dimensions();
    let luma = |x: i64, y: i64| {
        let pixel = picture.get_pixel(
            x.clamp(0, i64::from(wide) - 1) as u32,
            y.clamp(0, i64::from(tall) - 1) as u32,
        );
        let [red, green, blue] = pixel.0.map(f32::from);
        0.299 * red + 0.587 * green + 0.114 * blue
    };
    // Just beside the line.
    let apart = (width / 2.0).round().clamp(1.0, 8.0) as i64 + 1;
    let stands_out = |x: i64, y: i64| {
        let here = luma(x, y);
        let beside = |dx: i64, dy: i64| {
            let one = here - luma(x + dx * apart, y + dy * apart);
            let other = here - luma(x - dx * apart, y - dy * apart);
            if one * other > 0.0 { one.abs().min(other.abs()) } else { 0.0 }
        };
        beside(1, 0).max(beside(0, 1)).max(beside(1, 1)).max(beside(1, -1))
    };
    let mut costs = Vec::with_capacity(area.area() as usize);
    for y in area.y..area.bottom() {
        for x in area.x..area.right() {
            let contrast = stands_out(i64::from(x), i64::from(y));
            costs.push(STEP / (1.0 + contrast / CONTRAST));
        }
    }
    costs
}

/// The pixels of the cheapest path (E. Dijkstra, 1959), from the start to the end.
fn cheapest(costs: &[f32], width: usize, start: usize, end: usize) -> Vec<usize> {
    let height = costs.len() / width;
    let mut known = vec![u64::MAX; costs.len()];
    let mut before = vec![usize::MAX; costs.len()];
    known[start] = 0;
    let mut waiting = BinaryHeap::from([(Reverse(0), start)]);
    while let Some((Reverse(cost), pixel)) = waiting.pop() {
        if pixel == end {
            break;
        }
        if cost > known[pixel] {
            continue;
        }
        let (x, y) = (pixel % width, pixel / width);
        for (dx, dy) in [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1_isize)]
        {
            let (Some(x), Some(y)) = (x.checked_add_signed(dx), y.checked_add_signed(dy)) else {
                continue;
            };
            if x >= width || y >= height {
                continue;
            }
            let next = y * width + x;
            let length = if dx != 0 && dy != 0 { std::f32::consts::SQRT_2 } else { 1.0 };
            let total = cost + (costs[next] * length) as u64 + 1;
            if total < known[next] {
                (known[next], before[next]) = (total, pixel);
                waiting.push((Reverse(total), next));
            }
        }
    }
    let mut path = vec![end];
    while let Some(pixel) = path.last().map(|pixel| before[*pixel]).filter(|p| *p < costs.len()) {
        path.push(pixel);
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    /// Where a bent scratch goes, row by row.
    fn scratch(x: f32) -> f32 {
        50.0 + 18.0 * (x / 25.0).sin()
    }

    /// Grain, a slope of brightness, and a scratch of two pixels.
    fn photo() -> RgbImage {
        RgbImage::from_fn(200, 100, |x, y| {
            let grain = (x * 7919 + y * 104_729) % 13;
            let ground = 70.0 + x as f32 / 4.0 + grain as f32;
            let on = (y as f32 + 0.5 - scratch(x as f32 + 0.5)).abs() < 1.2;
            Rgb([if on { ground + 60.0 } else { ground } as u8; 3])
        })
    }

    #[test]
    fn a_bent_scratch_is_followed_between_two_clicks() {
        let (from, to) = ([8.5, scratch(8.5)], [190.5, scratch(190.5)]);
        let line = trace(&photo(), from, to, 3.0);
        assert_eq!((line[0], line[line.len() - 1]), (from, to));
        let off = line.iter().map(|place| (place[1] - scratch(place[0])).abs()).fold(0.0, f32::max);
        assert!(off < 3.0, "{off} pixels off");
        // Each step leads to a neighbour: the line has no gaps.
        for pair in line.windows(2) {
            let step = (pair[1][0] - pair[0][0]).hypot(pair[1][1] - pair[0][1]);
            assert!(step < 1.5, "{step}");
        }
    }

    #[test]
    fn where_nothing_is_seen_the_line_is_nearly_straight() {
        let plain = RgbImage::from_pixel(120, 80, Rgb([90; 3]));
        let line = trace(&plain, [10.5, 10.5], [100.5, 55.5], 3.0);
        for place in line {
            // Eight directions: at most a few pixels beside it.
            let across = (place[1] - 10.5) - (place[0] - 10.5) / 2.0;
            assert!(across.abs() < 24.0, "{place:?}");
        }
    }

    #[test]
    fn places_outside_and_tiny_pictures_give_a_straight_line() {
        let tiny = RgbImage::new(1, 1);
        assert_eq!(trace(&tiny, [-5.0, 0.5], [0.5, 0.5], 3.0), [[-5.0, 0.5], [0.5, 0.5]]);
        assert!(trace(&tiny, [0.5, 0.5], [0.6, 0.4], 3.0).len() >= 2);
        let far = RgbImage::new(6000, 6000);
        assert_eq!(trace(&far, [0.5, 0.5], [5999.5, 5999.5], 3.0).len(), 2);
    }
}
