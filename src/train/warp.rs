//! Crops of a photo that are turned, sheared and seen from aside, so that few photos show more.

use fastrand::Rng;
use image::{Rgb, RgbImage};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    picture::resample::cubic,
};

/// A place in a photo in pixels; pixel (0, 0) reaches from (0, 0) to (1, 1).
type Point = [f64; 2];

/// How far crops may be warped. All zero keeps them as they are.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Warp {
    /// Degrees to either side, 0 to 180.
    pub rotate: f32,
    /// A crop shows its part of the photo up to 1 + `zoom` times larger or smaller, 0 to 3.
    pub zoom: f32,
    /// How far a side may lean: its shift over its length, 0 to 1.
    pub shear: f32,
    /// How far each corner may move along each axis, over the side of the crop, 0 to 0.2: a
    /// quarter could fold the crop.
    pub perspective: f32,
    /// How far the crop may move beyond its place along each axis, over its side, 0 to 1.
    pub shift: f32,
}

impl Warp {
    /// What a photographer could have taken as well.
    pub const GENTLE: Self =
        Self { rotate: 10.0, zoom: 0.1, shear: 0.05, perspective: 0.05, shift: 0.05 };

    /// Whether every number is in its range.
    ///
    /// # Errors
    /// [`Error::Setting`] if one is not.
    pub fn check(&self) -> Result<()> {
        let bounds = [
            ("rotate", self.rotate, 180.0),
            ("zoom", self.zoom, 3.0),
            ("shear", self.shear, 1.0),
            ("perspective", self.perspective, 0.2),
            ("shift", self.shift, 1.0),
        ];
        match bounds.into_iter().find(|(_, value, most)| !(0.0..=*most).contains(value)) {
            None => Ok(()),
            Some((name, value, most)) => Err(Error::Setting(format!(
                "the warp has a {name} of {value} where a number from 0 to {most} belongs"
            ))),
        }
    }

    /// A crop of `side` x `side` pixels from a random place, warped.
    ///
    /// It is sampled with Keys' cubic (as [`crate::picture::resample`]), widened where the crop
    /// shows its part smaller, so that nothing aliases. Where it leaves the photo, it sees the
    /// photo reflected. Without a warp it holds the pixels of the photo unchanged.
    ///
    /// The photo must have at least one pixel, and the numbers must be in their ranges.
    #[must_use]
    pub fn crop(&self, photo: &RgbImage, side: u32, rng: &mut Rng) -> RgbImage {
        let place = |length: u32, rng: &mut Rng| match length.checked_sub(side) {
            Some(free) => f64::from(rng.u32(..=free)),
            // In the middle of a photo that is too small.
            None => ((f64::from(length) - f64::from(side)) / 2.0).floor(),
        };
        let corner = [place(photo.width(), rng), place(photo.height(), rng)];
        let pose = self.pose(rng);
        sampled(photo, side, &pose.corners(corner, f64::from(side)))
    }

    fn pose(&self, rng: &mut Rng) -> Pose {
        let mut either = |most: f32| f64::from(most) * (2.0 * rng.f64() - 1.0);
        Pose {
            turn: either(self.rotate).to_radians(),
            // Twice as large is as likely as half as large.
            shrink: either((1.0 + self.zoom).ln()).exp(),
            shear: either(self.shear),
            moved: [(); 4].map(|()| [either(self.perspective), either(self.perspective)]),
            shift: [either(self.shift), either(self.shift)],
        }
    }
}

/// How one crop lies in the photo.
#[derive(Clone, Copy, Debug)]
struct Pose {
    /// Radians, clockwise.
    turn: f64,
    /// Side of what is seen over the side of the crop.
    shrink: f64,
    shear: f64,
    /// Of the corners, in the order of [`Pose::corners`], over the side.
    moved: [Point; 4],
    /// Over the side.
    shift: Point,
}

impl Default for Pose {
    fn default() -> Self {
        Self { turn: 0.0, shrink: 1.0, shear: 0.0, moved: [[0.0; 2]; 4], shift: [0.0; 2] }
    }
}

impl Pose {
    /// Where the corners of a crop lie in the photo, clockwise from the top left one, if it would
    /// begin at `corner` unwarped.
    fn corners(&self, corner: Point, side: f64) -> [Point; 4] {
        let (sine, cosine) = self.turn.sin_cos();
        let square = [[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]];
        std::array::from_fn(|index| {
            let x = self.shrink * (square[index][0] + self.moved[index][0]);
            let y = self.shrink * (square[index][1] + self.moved[index][1]);
            let x = x + self.shear * y;
            let middle = |axis: usize| corner[axis] + side * (0.5 + self.shift[axis]);
            [middle(0) + side * (cosine * x - sine * y), middle(1) + side * (sine * x + cosine * y)]
        })
    }
}

/// A projective map of the plane, rows of a matrix.
#[derive(Clone, Copy, Debug)]
struct Homography([[f64; 3]; 3]);

impl Homography {
    /// Takes the unit square to four corners, clockwise from that of (0, 0); they must make a
    /// convex shape (P. Heckbert, "Fundamentals of texture mapping and image warping", 1989,
    /// section 2.2.3).
    fn onto([[x0, y0], [x1, y1], [x2, y2], [x3, y3]]: &[Point; 4]) -> Self {
        let (dx1, dx2, sx) = (x1 - x2, x3 - x2, x0 - x1 + x2 - x3);
        let (dy1, dy2, sy) = (y1 - y2, y3 - y2, y0 - y1 + y2 - y3);
        let area = dx1 * dy2 - dx2 * dy1;
        let g = (sx * dy2 - dx2 * sy) / area;
        let h = (dx1 * sy - sx * dy1) / area;
        Self([
            [x1 - x0 + g * x1, x3 - x0 + h * x3, *x0],
            [y1 - y0 + g * y1, y3 - y0 + h * y3, *y0],
            [g, h, 1.0],
        ])
    }

    fn map(&self, [x, y]: Point) -> Point {
        let [u, v, w] = self.0.map(|row| row[0] * x + row[1] * y + row[2]);
        [u / w, v / w]
    }
}

/// What a crop sees whose corners lie at these places of the photo.
fn sampled(photo: &RgbImage, side: u32, corners: &[Point; 4]) -> RgbImage {
    let map = Homography::onto(corners);
    let length = f64::from(side);
    // Pixels of the photo to a pixel of the crop, along either axis.
    let doubled = (0..4).map(|index| {
        let ([x, y], [next_x, next_y]) = (corners[index], corners[(index + 1) % 4]);
        x * next_y - next_x * y
    });
    let shrink = ((doubled.sum::<f64>() / 2.0).abs().sqrt() / length).max(1.0);
    RgbImage::from_fn(side, side, |x, y| {
        let place = map.map([(f64::from(x) + 0.5) / length, (f64::from(y) + 0.5) / length]);
        pixel(photo, place, shrink)
    })
}

/// The photo at a place, by a cubic that is `shrink` times as wide as that of interpolation.
fn pixel(photo: &RgbImage, [x, y]: Point, shrink: f64) -> Rgb<u8> {
    let (columns, rows) = (taps(x, shrink, photo.width()), taps(y, shrink, photo.height()));
    let mut sum = [0.0; 3];
    let mut total = 0.0;
    for (row, across) in rows {
        for (column, along) in columns.clone() {
            let weight = across * along;
            total += weight;
            for (sum, value) in sum.iter_mut().zip(photo.get_pixel(column, row).0) {
                *sum += weight * f64::from(value);
            }
        }
    }
    Rgb(sum.map(|sum| (sum / total + 0.5) as u8))
}

/// The positions that count for a place on an axis, with their weights.
fn taps(place: f64, shrink: f64, length: u32) -> impl Iterator<Item = (u32, f64)> + Clone {
    // Of the middles of pixels.
    let centre = place - 0.5;
    let first = (centre - 2.0 * shrink).ceil() as i64;
    let last = (centre + 2.0 * shrink).floor() as i64;
    (first..=last).map(move |tap| (reflected(tap, length), cubic((centre - tap as f64) / shrink)))
}

/// A position beyond the photo reads as in a mirror at its border.
fn reflected(position: i64, length: u32) -> u32 {
    let length = i64::from(length);
    let folded = position.rem_euclid(2 * length);
    folded.min(2 * length - 1 - folded) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn photo() -> RgbImage {
        RgbImage::from_fn(60, 50, |x, y| {
            let mut rng = Rng::with_seed(u64::from(x + 100 * y));
            Rgb([rng.u8(..), rng.u8(..), rng.u8(..)])
        })
    }

    fn near(a: Point, b: Point) -> bool {
        (a[0] - b[0]).abs() < 1e-9 && (a[1] - b[1]).abs() < 1e-9
    }

    #[test]
    fn no_warp_gives_the_pixels_of_the_photo() {
        for seed in 0..20 {
            let crop = Warp::default().crop(&photo(), 16, &mut Rng::with_seed(seed));
            let mut rng = Rng::with_seed(seed);
            let (x, y) = (rng.u32(..=44), rng.u32(..=34));
            assert!(crop == image::imageops::crop_imm(&photo(), x, y, 16, 16).to_image());
        }
    }

    #[test]
    fn a_quarter_turn_and_a_shift_move_pixels_where_they_should() {
        let photo = photo();
        let pose = Pose { turn: std::f64::consts::FRAC_PI_2, ..Pose::default() };
        let turned = sampled(&photo, 16, &pose.corners([10.0, 20.0], 16.0));
        let crop = image::imageops::crop_imm(&photo, 10, 20, 16, 16).to_image();
        // The crop lies turned clockwise, so what it shows is turned the other way.
        assert!(turned == image::imageops::rotate270(&crop));

        let pose = Pose { shift: [0.25, -0.5], ..Pose::default() };
        let shifted = sampled(&photo, 16, &pose.corners([10.0, 20.0], 16.0));
        assert!(shifted == image::imageops::crop_imm(&photo, 14, 12, 16, 16).to_image());

        let pose = Pose { shift: [-1.0, 0.0], ..Pose::default() };
        let outside = sampled(&photo, 16, &pose.corners([0.0, 20.0], 16.0));
        let mirrored = image::imageops::crop_imm(&photo, 0, 20, 16, 16).to_image();
        assert!(outside == image::imageops::flip_horizontal(&mirrored));
    }

    #[test]
    fn the_corners_go_where_they_should() {
        let corners = [[3.0, 4.0], [40.0, 1.0], [45.0, 37.0], [-2.0, 30.0]];
        let map = Homography::onto(&corners);
        let square = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
        for (from, to) in square.into_iter().zip(corners) {
            assert!(near(map.map(from), to), "{from:?} {:?} {to:?}", map.map(from));
        }
        // Straight lines stay straight: the diagonals meet where the middle goes. By hand from
        // the two lines through the corners: t = 947 / 2604 on the first.
        let [x, y] = map.map([0.5, 0.5]);
        let t = 947.0 / 2604.0;
        assert!(near([x, y], [3.0 + 42.0 * t, 4.0 + 33.0 * t]), "{x} {y}");

        // By hand: twice as large, leaning by half, moved by a quarter, at (10, 20) of side 8.
        let mut pose = Pose { shrink: 2.0, shear: 0.5, shift: [0.25, 0.0], ..Pose::default() };
        pose.moved[2] = [0.125, 0.0];
        let expected = [[4.0, 16.0], [20.0, 16.0], [30.0, 32.0], [12.0, 32.0]];
        for (is, should) in pose.corners([10.0, 20.0], 8.0).into_iter().zip(expected) {
            assert!(near(is, should), "{is:?} {should:?}");
        }
    }

    #[test]
    fn shrinking_does_not_alias() {
        let stripes = RgbImage::from_fn(80, 80, |x, _| Rgb([if x % 2 == 0 { 0 } else { 255 }; 3]));
        let pose = Pose { shrink: 2.0, ..Pose::default() };
        let crop = sampled(&stripes, 16, &pose.corners([24.3, 24.3], 16.0));
        assert!(crop.iter().all(|value| (120..=135).contains(value)), "{:?}", crop.get_pixel(4, 4));
    }

    #[test]
    fn seeds_draw_again_and_no_photo_is_too_small() {
        let warp = Warp { rotate: 180.0, zoom: 3.0, shear: 1.0, perspective: 0.2, shift: 1.0 };
        Warp::GENTLE.check().unwrap();
        warp.check().unwrap();
        let draw = |seed| warp.crop(&photo(), 24, &mut Rng::with_seed(seed));
        assert!(draw(1) == draw(1) && draw(1) != draw(2));
        let dot = RgbImage::from_pixel(1, 3, Rgb([9, 8, 7]));
        for seed in 0..50 {
            let crop = warp.crop(&dot, 16, &mut Rng::with_seed(seed));
            assert!(crop.pixels().all(|pixel| pixel.0 == [9, 8, 7]));
        }
        for bad in [
            Warp { rotate: 181.0, ..Warp::default() },
            Warp { zoom: f32::NAN, ..Warp::default() },
            Warp { perspective: 0.25, ..Warp::default() },
            Warp { shift: -0.1, ..Warp::default() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
