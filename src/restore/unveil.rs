//! Taking an even, see-through mark off a photo: what shines through is not invented but computed.
//!
//! Where a mark of one colour `c` and one opacity `a` lies over a photo `J`, the picture is
//! `I = (1 - a) J + a c`, so that `J = (I - a c) / (1 - a)`. Opacity and colour are those with which
//! the photo goes on from around the mark to under it with the least jump, and is as rough there.

use image::GrayImage;

use super::diffuse::diffuse;
use crate::mask;

/// Pixels of a mark this deep are wholly under it; the border between is soft. The first that fits
/// best is taken, since people mark a little too much.
const DEPTHS: [f32; 3] = [2.0, 3.0, 4.0];

/// How much deeper than that pixels are compared with what is around the mark.
const NEAR: f32 = 3.0;

/// Fewer pixels say nothing.
const LEAST: usize = 30;

/// Share of a mark that must be wholly under it: of a thin scratch next to nothing is, and what would
/// be computed there is worse than what texture makes.
const LEAST_DEEP: f32 = 0.2;

/// More are not needed.
const MOST: usize = 10_000;

/// What the jump at the border must come down to, as a share of the one that the mark makes. Marks
/// that hide what is under them stay near 1, since no opacity explains them.
const EXPLAINED: f32 = 0.7;

/// What comes out must be about as rough as what is around it: this many times at most, or one over
/// it at least.
const UNLIKE: f32 = 4.0;

/// A jump counts at most this much, where white is 1: an edge of the photo may run along the mark.
const MOST_JUMP: f32 = 60.0 / 255.0;

/// Shares of pixels: the quantile by which roughness is compared, and the least roughness, where
/// white is 1.
const ROUGH: (f32, f32) = (0.6, 0.5 / 255.0);

/// Red, green and blue, 0 to 1, row by row.
pub type Planes = [Vec<f32>; 3];

/// `1 - a`, and `a c` for red, green and blue.
#[derive(Clone, Copy, Debug)]
struct Veil {
    shines: f32,
    adds: [f32; 3],
}

/// The photo without its mark: of `marks` (not 0) what shines through, and around it, where `holes`
/// (not 0) are wider, a smooth continuation. `None` if no even, see-through mark explains what is
/// there; paint that hides everything is to be told apart before, see [`super::opaque`].
pub fn unveiled(planes: &Planes, marks: &GrayImage, holes: &GrayImage) -> Option<Planes> {
    let wide = marks.width() as usize;
    let depths = mask::depths(marks);
    let continued = |known: &dyn Fn(usize) -> bool, planes: &Planes| {
        let known: Vec<f32> = (0..planes[0].len()).map(|i| f32::from(u8::from(known(i)))).collect();
        let mut planes = planes.clone();
        planes.iter_mut().for_each(|plane| diffuse(plane, &known, wide));
        planes
    };
    let is_hole = |i: usize| marks.as_raw()[i] > 0 || holes.as_raw()[i] > 0;
    let around = continued(&|i| !is_hole(i), planes);
    let outside = roughness(planes, wide, |i| !is_hole(i))?;
    let marked = mask::count(marks);
    let fits = DEPTHS.into_iter().filter_map(|depth| {
        let compared: Vec<usize> =
            (0..depths.len()).filter(|i| (depth..=depth + NEAR).contains(&depths[*i])).collect();
        let deep = depths.iter().filter(|own| **own >= depth).count();
        if compared.len() < LEAST || (deep as f32) < LEAST_DEEP * marked as f32 {
            return None;
        }
        let compared: Vec<usize> =
            compared.iter().copied().step_by(compared.len().div_ceil(MOST)).collect();
        let inside = roughness(planes, wide, |i| depths[i] >= depth)?;
        let (veil, jump) = fitted(planes, &around, &compared, inside / outside)?;
        Some((jump, depth, veil))
    });
    let (jump, depth, veil) = fits.min_by(|a, b| a.0.total_cmp(&b.0))?;
    // On a smooth photo roughness says nothing.
    let rough = roughness(planes, wide, |i| depths[i] >= depth)? / veil.shines / outside;
    let is_unlike = outside > 2.0 * ROUGH.1 && !(1.0 / UNLIKE..=UNLIKE).contains(&rough);
    if jump > EXPLAINED || is_unlike {
        return None;
    }
    let mut result = planes.clone();
    for (plane, adds) in result.iter_mut().zip(veil.adds) {
        for (value, own) in plane.iter_mut().zip(&depths) {
            if *own >= depth {
                *value = ((*value - adds) / veil.shines).clamp(0.0, 1.0);
            }
        }
    }
    Some(continued(&|i| depths[i] >= depth || !is_hole(i), &result))
}

/// The veil that fits best, and the jump that is left as a share of the one that was there.
/// `rougher` is how rough it is under the mark, over how rough around it.
fn fitted(
    planes: &Planes,
    around: &Planes,
    compared: &[usize],
    rougher: f32,
) -> Option<(Veil, f32)> {
    let jump_of = |veil: &Veil| {
        let mut jump = 0.0;
        let mut beyond = 0.0;
        for channel in 0..3 {
            for i in compared {
                let photo = (planes[channel][*i] - veil.adds[channel]) / veil.shines;
                jump += (photo - around[channel][*i]).abs().min(MOST_JUMP);
                beyond += (-photo).max(0.0) + (photo - 1.0).max(0.0);
            }
        }
        let count = 3.0 * compared.len() as f32;
        (jump / count, beyond / count)
    };
    let before = jump_of(&Veil { shines: 1.0, adds: [0.0; 3] }).0;
    let mut best: Option<(f32, Veil, f32)> = None;
    for step in 4..49 {
        let shines = step as f32 / 50.0;
        let most = 1.0 - shines;
        // How far the colour is from one that there is.
        let mut impossible = 0.0;
        let adds = [0, 1, 2].map(|channel| {
            let mut missing: Vec<f32> = compared
                .iter()
                .map(|i| planes[channel][*i] - shines * around[channel][*i])
                .collect();
            let middle = missing.len() / 2;
            let found = *missing.select_nth_unstable_by(middle, f32::total_cmp).1;
            let possible = found.clamp(0.0, most);
            impossible += (found - possible).abs() / most;
            possible
        });
        let veil = Veil { shines, adds };
        let (jump, beyond) = jump_of(&veil);
        let unlike = (rougher / shines).max(1e-6).ln().abs();
        let cost = jump * (1.0 + 0.5 * unlike) + 2.0 * beyond + 0.2 * impossible;
        if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
            best = Some((cost, veil, jump));
        }
    }
    let (_, veil, jump) = best?;
    (before > 0.0).then(|| (veil, jump / before))
}

/// What neighbours that both count differ by, at a quantile; `None` if too few count.
fn roughness(planes: &Planes, wide: usize, counts: impl Fn(usize) -> bool) -> Option<f32> {
    let mut differences = Vec::new();
    for i in 0..planes[0].len() {
        let right = ((i + 1) % wide != 0).then_some(i + 1);
        let below = (i + wide < planes[0].len()).then_some(i + wide);
        for other in [right, below].into_iter().flatten() {
            if counts(i) && counts(other) {
                let apart: f32 = planes.iter().map(|plane| (plane[i] - plane[other]).abs()).sum();
                differences.push(apart / 3.0);
            }
        }
    }
    let (share, least) = ROUGH;
    if differences.len() < LEAST {
        return None;
    }
    let place = (differences.len() as f32 * share) as usize;
    Some(differences.select_nth_unstable_by(place, f32::total_cmp).1.max(least))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    const SIZE: (u32, u32) = (120, 90);

    fn is_marked(x: u32, y: u32, by: u32) -> bool {
        (30..96 + by).contains(&(x + by))
            && ((20..34 + by).contains(&(y + by)) || (60..74 + by).contains(&(y + by)))
    }

    fn marks(by: u32) -> GrayImage {
        GrayImage::from_fn(SIZE.0, SIZE.1, |x, y| Luma([if is_marked(x, y, by) { 255 } else { 0 }]))
    }

    /// A soft landscape with some grain.
    fn photo() -> Planes {
        let mut rng = fastrand::Rng::with_seed(5);
        let grain: Vec<f32> = (0..SIZE.0 * SIZE.1).map(|_| 0.06 * rng.f32()).collect();
        [0.3_f32, 0.45, 0.5].map(|base| {
            let value = |i: u32| {
                let (x, y) = ((i % SIZE.0) as f32, (i / SIZE.0) as f32);
                base + 0.2 * (x / 17.0).sin() + 0.15 * (y / 11.0).cos() + grain[i as usize]
            };
            (0..SIZE.0 * SIZE.1).map(value).collect()
        })
    }

    fn marked(photo: &Planes, opacity: f32, colour: [f32; 3]) -> Planes {
        let marks = marks(0);
        let mut planes = photo.clone();
        for (plane, colour) in planes.iter_mut().zip(colour) {
            for (value, mark) in plane.iter_mut().zip(marks.iter()) {
                if *mark > 0 {
                    *value += opacity * (colour - *value);
                }
            }
        }
        planes
    }

    fn error(a: &Planes, b: &Planes) -> f32 {
        let inside: Vec<usize> = (0..a[0].len()).filter(|i| marks(0).as_raw()[*i] > 0).collect();
        let apart = |i: &usize| (0..3).map(|c| (a[c][*i] - b[c][*i]).abs()).sum::<f32>() / 3.0;
        inside.iter().map(apart).sum::<f32>() / inside.len() as f32
    }

    #[test]
    fn what_shines_through_is_found_again_also_under_a_loose_mask() {
        let photo = photo();
        for (opacity, colour) in
            [(0.5, [1.0; 3]), (0.3, [0.0; 3]), (0.7, [0.9, 0.2, 0.1]), (0.5, [0.1, 0.3, 0.8])]
        {
            let planes = marked(&photo, opacity, colour);
            for loose in [0, 1] {
                let found = unveiled(&planes, &marks(loose), &marks(loose + 2)).unwrap();
                let (before, after) = (error(&planes, &photo), error(&found, &photo));
                assert!(after < 0.35 * before, "{opacity} {colour:?} {loose}: {before} {after}");
            }
        }
    }

    #[test]
    fn paint_and_nothing_at_all_are_not_taken_for_a_veil() {
        let photo = photo();
        // Even paint is known by its evenness before anything is uncovered.
        let ink = marked(&photo, 1.0, [0.9, 0.9, 0.2]);
        assert!(super::super::opaque::is_opaque(&ink[1], &marks(0)), "it hides what is under it");
        // Uneven paint is no veil of one colour.
        let mut rng = fastrand::Rng::with_seed(9);
        let mut paint = photo.clone();
        for (i, _) in marks(0).iter().enumerate().filter(|(_, mark)| **mark > 0) {
            paint.iter_mut().for_each(|plane| plane[i] = rng.f32());
        }
        assert!(unveiled(&paint, &marks(0), &marks(2)).is_none(), "it hides what is under it");
        assert!(unveiled(&photo, &marks(0), &marks(2)).is_none(), "there is no mark");
        let none = GrayImage::new(SIZE.0, SIZE.1);
        assert!(unveiled(&photo, &none, &none).is_none());
        let all = GrayImage::from_pixel(SIZE.0, SIZE.1, Luma([255]));
        assert!(unveiled(&photo, &all, &all).is_none(), "there is nothing around it");
    }
}
