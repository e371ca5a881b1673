//! Whether something of the photo shines through what is marked.

use image::GrayImage;

use crate::mask;

/// Ink is even: of the differences between neighbours that are both well inside of a mark, so many...
const EVEN_SHARE: f32 = 0.6;

/// ...and where marks are too thin to have an inside, so many of all that are marked...
const THIN_SHARE: f32 = 0.15;

/// ...are at most this part of what as many of those outside are at most, all of them and those close
/// by: the photo may be smoother here than elsewhere. What shines through a mark of the opacity `a`
/// differs by `1 - a` of that.
const EVEN: f32 = 0.2;

/// Pixels from a mark that are close by.
const CLOSE: f32 = 10.0;

/// Where that is next to nothing, ink has no more than this.
const LEAST: f32 = 0.2 / 255.0;

/// Pixels of a mark this deep are well inside.
const INSIDE: f32 = 2.0;

/// Fewer differences say nothing.
const FEWEST: usize = 30;

/// Where so many of the differences outside are at most so large, as on most large photos, neighbours
/// say nothing. What shines through then shows by how far colours spread over the whole mark...
const SMOOTH: (f32, f32) = (0.75, 2.0 / 255.0);

/// ...between these quantiles, unless they hardly spread around it either: then nothing can be seen
/// through the mark that is not seen around it.
const SPREAD: (f32, f32, f32) = (0.1, 0.9, 6.0 / 255.0);

/// Whether what `marks` marks (not 0) hides what is under it, as far as can be seen: it is far
/// more even than `luma` (0 to 1, of the same size) around it. Also on a photo so smooth that what is
/// under it is no different from what is around it. False where that cannot be told.
pub fn is_opaque(luma: &[f32], marks: &GrayImage) -> bool {
    let wide = marks.width() as usize;
    let depths = mask::depths(marks);
    let away = mask::depths(&mask::inverted(marks));
    let [mut deep, mut inside, mut outside, mut close] = [const { Vec::new() }; 4];
    let mut compare = |a: usize, b: usize| {
        let difference = (luma[a] - luma[b]).abs();
        match (marks.as_raw()[a] > 0, marks.as_raw()[b] > 0) {
            (true, true) => {
                inside.push(difference);
                if depths[a].min(depths[b]) >= INSIDE {
                    deep.push(difference);
                }
            }
            (false, false) => {
                outside.push(difference);
                if away[a].max(away[b]) <= CLOSE {
                    close.push(difference);
                }
            }
            _ => {}
        }
    };
    for at in 0..luma.len() {
        if (at + 1) % wide != 0 {
            compare(at, at + 1);
        }
        if at + wide < luma.len() {
            compare(at, at + wide);
        }
    }
    let (smooth_share, smooth) = SMOOTH;
    if !inside.is_empty() && quantile(&mut outside, smooth_share).is_some_and(|most| most <= smooth)
    {
        let spread = |counts: &dyn Fn(usize) -> bool| {
            let mut values: Vec<f32> =
                (0..luma.len()).filter(|at| counts(*at)).map(|at| luma[at]).collect();
            let (low, high) = (quantile(&mut values, SPREAD.0), quantile(&mut values, SPREAD.1));
            high.zip(low).map_or(0.0, |(high, low)| high - low)
        };
        let around = spread(&|at| away[at] > 0.0 && away[at] <= CLOSE);
        return around <= SPREAD.2 || spread(&|at| depths[at] >= INSIDE) <= EVEN * around;
    }
    let (inside, share) = match deep.len() {
        FEWEST.. => (&mut deep, EVEN_SHARE),
        _ => (&mut inside, THIN_SHARE),
    };
    match [inside, &mut outside, &mut close].map(|differences| quantile(differences, share)) {
        [Some(inside), Some(outside), Some(close)] => {
            inside <= (EVEN * outside.min(close)).max(LEAST)
        }
        _ => false,
    }
}

/// The value below which a share of all lies.
fn quantile(values: &mut [f32], share: f32) -> Option<f32> {
    let last = values.len().checked_sub(1)?;
    let place = (last as f32 * share) as usize;
    Some(*values.select_nth_unstable_by(place, f32::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    /// A rough photo of 60 x 40 pixels under marks of an opacity, judged with a mask that is so
    /// many pixels too wide.
    fn judged(opacity: f32, roughness: f32, loose: u32) -> bool {
        let mark = |x: u32, y: u32, by: u32| (x + 2 * y) % 20 < 6 + by;
        let marks =
            GrayImage::from_fn(60, 40, |x, y| Luma([if mark(x, y, loose) { 255 } else { 0 }]));
        let mut rng = fastrand::Rng::with_seed(3);
        let mut luma = Vec::new();
        for y in 0..40 {
            for x in 0..60 {
                let photo = 0.4 + roughness * rng.f32();
                let share = if mark(x, y, 0) { opacity } else { 0.0 };
                luma.push(photo + share * (0.9 - photo));
            }
        }
        is_opaque(&luma, &marks)
    }

    #[test]
    fn on_a_smooth_photo_the_whole_mark_tells() {
        let (wide, high) = (200, 120);
        let marked = |x: u32, y: u32| (40..160).contains(&x) && (30..90).contains(&y);
        let marks =
            GrayImage::from_fn(wide, high, |x, y| Luma([if marked(x, y) { 255 } else { 0 }]));
        let judged = |opacity: f32, slope: f32| {
            let value = |at: u32| {
                let photo = 0.3 + slope * (at % wide) as f32 / wide as f32;
                let share = if marked(at % wide, at / wide) { opacity } else { 0.0 };
                photo + share * (0.9 - photo)
            };
            is_opaque(&(0..wide * high).map(value).collect::<Vec<_>>(), &marks)
        };
        assert!(judged(1.0, 0.4), "ink");
        assert!(!judged(0.5, 0.4), "a sky shines through");
        assert!(judged(0.5, 0.01), "nothing is there that could");
    }

    #[test]
    fn ink_is_told_from_what_the_photo_shines_through() {
        for loose in [0, 3] {
            assert!(judged(1.0, 0.3, loose), "ink, {loose}");
            for opacity in [0.0, 0.3, 0.6] {
                assert!(!judged(opacity, 0.3, loose), "{opacity}, {loose}");
            }
        }
        assert!(judged(1.0, 0.0, 0) && judged(0.5, 0.0, 0), "on a smooth photo it does not matter");
        assert!(!is_opaque(&[], &GrayImage::new(0, 0)));
        assert!(!is_opaque(&[0.5; 4], &GrayImage::from_pixel(2, 2, Luma([255]))), "all is marked");
    }
}
