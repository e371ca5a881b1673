//! Marks that follow from what a picture shows, which takes too long for the hand that asks for them.

use image::{DynamicImage, GrayImage, imageops};

use super::{
    detect::{DetectOptions, detect},
    paint::{self, Brush, Place},
    trace::trace,
};
use crate::{error::Result, rect::Rect};

/// What is to be found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Find {
    /// What hangs together with a pixel and is nearly of its colour; see [`paint::wand`].
    Wand {
        /// The pixel.
        at: (u32, u32),
        /// Levels.
        tolerance: u8,
    },
    /// The scratch between two places; see [`trace`].
    Trace {
        /// One end.
        from: Place,
        /// The other end.
        to: Place,
        /// By what it is marked.
        brush: Brush,
    },
    /// What does not belong there; see [`detect`].
    Detect(DetectOptions),
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where, and how much each pixel there is marked, 0 to 255; `None` if nothing was found.
    pub marks: Option<(Rect, GrayImage)>,
    /// What it is, for people, where there is something to say.
    pub words: Option<String>,
}

/// Finds it. `going_on` is told how far it is, 0 to 1, and can end it.
///
/// # Errors
/// As [`detect`].
pub fn find(
    picture: &DynamicImage,
    what: &Find,
    going_on: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<Found> {
    let mut mask = GrayImage::new(picture.width(), picture.height());
    let mut words = None;
    let area = match *what {
        Find::Wand { at, tolerance } => {
            paint::wand(&mut mask, &picture.to_rgb8(), at, tolerance, true)
        }
        Find::Trace { from, to, brush } => {
            let line = trace(&picture.to_rgb8(), from, to, 2.0 * brush.radius);
            let strokes = line.windows(2);
            let strokes =
                strokes.map(|pair| paint::stroke(&mut mask, pair[0], pair[1], brush, true));
            strokes.flatten().reduce(|all, area| all.joined(&area))
        }
        Find::Detect(options) => {
            let found = detect(picture, options, going_on)?;
            words = Some(found.in_words(options.kind));
            mask = found.mask;
            super::extent(&mask)
        }
    };
    let marks = area.map(|area| {
        let Rect { x, y, width, height } = area;
        (area, imageops::crop_imm(&mask, x, y, width, height).to_image())
    });
    Ok(Found { marks, words })
}

/// Lays what was found over a mask, or takes it away from it; gives the pixels that may have changed.
pub fn lay(mask: &mut GrayImage, (area, marks): &(Rect, GrayImage), on: bool) -> Option<Rect> {
    for (x, y, mark) in marks.enumerate_pixels() {
        let pixel = &mut mask.get_pixel_mut(area.x + x, area.y + y).0[0];
        *pixel = if on { (*pixel).max(mark.0[0]) } else { (*pixel).min(255 - mark.0[0]) };
    }
    Some(*area)
}

#[cfg(test)]
mod tests {
    use image::{Luma, Rgb, RgbImage};

    use super::*;
    use crate::mask::count;

    #[test]
    fn what_is_found_is_laid_over_a_mask_and_taken_away_again() {
        let photo = RgbImage::from_fn(80, 60, |x, _| Rgb([if x < 40 { 10 } else { 200 }; 3]));
        let wand = Find::Wand { at: (50, 50), tolerance: 9 };
        let found = find(&photo.clone().into(), &wand, &mut |_| Ok(())).unwrap();
        let marks = found.marks.unwrap();
        assert_eq!(marks.0, Rect::spanning(40, 0, 80, 60));
        let mut mask = GrayImage::from_fn(80, 60, |x, _| Luma([if x < 2 { 90 } else { 0 }]));
        assert_eq!(lay(&mut mask, &marks, true), Some(marks.0));
        assert_eq!(count(&mask), 42 * 60);
        lay(&mut mask, &marks, false);
        assert_eq!(count(&mask), 2 * 60);
        let outside = Find::Wand { at: (80, 50), tolerance: 9 };
        let found = find(&photo.into(), &outside, &mut |_| Ok(())).unwrap();
        assert!(found.marks.is_none() && found.words.is_none());
    }

    #[test]
    fn nothing_found_is_said() {
        let even = RgbImage::from_pixel(90, 70, Rgb([90; 3]));
        let what = Find::Detect(DetectOptions::default());
        let found = find(&even.into(), &what, &mut |_| Ok(())).unwrap();
        assert!(found.marks.is_none());
        assert!(found.words.unwrap().starts_with("nothing found"));
    }
}
