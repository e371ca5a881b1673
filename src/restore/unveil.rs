//! Taking an even, see-through mark off a photo: what shines through is not invented but computed.
//!
//! Where a mark of one colour `c` and one opacity `a` lies over a photo `J`, the picture is
//! `I = (1 - a) J + a c`, so that `J = (I - a c) / (1 - a)`. Opacity and colour are those with which
//! the photo goes on from around the mark to under it with the least jump, and is as rough there.

use image::GrayImage;

use super::diffuse::diffuse;
use crate::mask;

/// Pixels of a mark this deep may be wholly under it; the border between is soft. The first that
/// looks so is taken, since people mark a little too much.
const DEPTHS: [f32; 5] = [2.0, 3.0, 4.0, 5.0, 6.5];

/// How much deeper than that pixels are compared with what is around the mark.
const NEAR: f32 = 3.0;

/// Fewer pixels say nothing.
const LEAST: usize = 30;

/// Share of a mark that must be wholly under it to be computed. Where less is, lines are so thin that
/// their middle is covered by a part, too; the veil then says only how far pixels may be from what is
/// given. Where next to nothing is, there is no telling.
const DEEP: (f32, f32) = (0.2, 0.05);

/// More are not needed.
const MOST: usize = 10_000;

/// What the jump at the border must come down to, as a share of the one that the mark makes; the
/// second where edges speak for the veil, too. Marks that hide what is under them stay near 1, since
/// no opacity explains them.
const EXPLAINED: (f32, f32) = (0.7, 0.85);

/// Edges must come out about as strong as those around: this many times at most, or one over it at
/// least.
const UNLIKE: f32 = 4.0;

/// A veil is clearly better than another if it leaves less than this part of the other's jump.
const CLEARLY: f32 = 0.7;

/// A jump counts at most this much, where white is 1: an edge of the photo may run along the mark.
const MOST_JUMP: f32 = 60.0 / 255.0;

/// Roughness is compared this near to the border of a mark, in pixels, since a photo is not the same
/// all over.
const AROUND: f32 = 12.0;

/// The quantile by which roughness is compared, and the least roughness, where white is 1.
const ROUGH: (f32, f32) = (0.6, 0.5 / 255.0);

/// Where a veil covers wholly, edges come out about as strong as those around it: by this quantile at
/// most so many times, and so much besides, where white is 1. Stronger ones are borders of the mark
/// itself: of lines so thin that none of their pixels is wholly covered, of a shadow, of a second
/// colour. (On 68 marks that one veil explained they were up to 1.3 times as strong, on thin and
/// shadowed ones 1.5 to 5 times.)
const EDGES: (f32, f32, f32) = (0.9, 1.45, 2.0 / 255.0);

/// Red, green and blue, 0 to 1, row by row.
pub type Planes = [Vec<f32>; 3];

/// `1 - a`, and `a c` for red, green and blue.
#[derive(Clone, Copy, Debug)]
pub struct Veil {
    shines: f32,
    adds: [f32; 3],
}

/// What is seen of a mark at one depth.
#[derive(Clone, Debug, Default)]
struct Depth {
    /// Colours under the mark, and what they would be if what is around it went on.
    seen: Vec<([f32; 3], [f32; 3])>,
    /// How rough it is under the mark, over how rough around it.
    rougher: f32,
    /// How strong edges are under the mark and around it.
    edges: [f32; 2],
    /// Whether so much is this deep that it can be computed.
    wide: bool,
}

impl Depth {
    /// Whether pixels this deep are wholly under the veil, so that what shines through is known.
    fn is_covered_by(&self, veil: &Veil) -> bool {
        let [within, around] = self.edges;
        self.wide && within <= veil.shines * (EDGES.1 * around + EDGES.2)
    }

    /// How strong edges come out, over those around.
    fn edges_under(&self, veil: &Veil) -> f32 {
        self.edges[0] / veil.shines / self.edges[1]
    }

    /// Whether edges come out just as strong as those around, which hardly happens by chance.
    fn is_alike_under(&self, veil: &Veil) -> bool {
        (1.0 / EDGES.1..=EDGES.1).contains(&self.edges_under(veil))
    }
}

/// What a piece of a photo says of the mark on it.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// By [`DEPTHS`]; `None` where too little is wholly under the mark.
    depths: [Option<Depth>; DEPTHS.len()],
    /// What neighbours outside of it commonly differ by.
    outside: f32,
}

/// A veil, the depth from which on pixels are wholly under it, if any are, and the jump at the border
/// that it leaves, as a share of the one that is there.
#[derive(Clone, Copy, Debug)]
pub struct Fit {
    veil: Veil,
    covered: Option<usize>,
    jump: f32,
}

impl Evidence {
    /// Of a piece: `marks` are not 0 where it is marked, `holes` where nothing is known of the photo.
    /// `None` if there is nothing around them.
    pub fn of(planes: &Planes, marks: &GrayImage, holes: &GrayImage) -> Option<Self> {
        let wide = marks.width() as usize;
        let depths = mask::depths(marks);
        let is_hole = |i: usize| marks.as_raw()[i] > 0 || holes.as_raw()[i] > 0;
        let around = continued(planes, wide, |i| !is_hole(i));
        let open = GrayImage::from_fn(marks.width(), marks.height(), |x, y| {
            image::Luma([if is_hole((y * marks.width() + x) as usize) { 0 } else { 255 }])
        });
        let away = mask::depths(&open);
        let quantiles = [ROUGH.0, EDGES.0];
        let [outside, edges] =
            roughness(planes, wide, quantiles, |i| away[i] > 0.0 && away[i] <= AROUND)?;
        let marked = mask::count(marks);
        let seen = |depth: f32| {
            let near: Vec<usize> = (0..depths.len())
                .filter(|i| (depth..=depth + NEAR).contains(&depths[*i]))
                .collect();
            let deep = depths.iter().filter(|own| **own >= depth).count();
            let share = deep as f32 / marked as f32;
            if near.len() < LEAST || share < DEEP.1 {
                return None;
            }
            let within = depth..=depth + AROUND;
            let [inside, own] =
                roughness(planes, wide, quantiles, |i| within.contains(&depths[i]))?;
            let colour = |planes: &Planes, i: usize| [0, 1, 2].map(|channel| planes[channel][i]);
            let near = near.iter().copied().step_by(near.len().div_ceil(MOST));
            let seen = near.map(|i| (colour(planes, i), colour(&around, i))).collect();
            let (rougher, edges) = (inside / outside, [own, edges]);
            Some(Depth { seen, rougher, edges, wide: share >= DEEP.0 })
        };
        Some(Self { depths: DEPTHS.map(seen), outside })
    }

    /// The veil that explains it best; `None` if none does.
    pub fn fit(&self) -> Option<Fit> {
        let fits = self.depths.iter().flatten().filter_map(|seen| {
            let (veil, jump) = fitted(&seen.seen, seen.rougher)?;
            Some((veil, jump, seen))
        });
        let (veil, jump, seen) = fits.min_by(|a, b| a.1.total_cmp(&b.1))?;
        let most = if seen.is_alike_under(&veil) { EXPLAINED.1 } else { EXPLAINED.0 };
        self.allows(&veil, jump, most, seen)
    }

    /// How well a veil that was found elsewhere explains it; `None` if it does not, or too little
    /// is under the mark to tell.
    pub fn judge(&self, elsewhere: &Fit) -> Option<Fit> {
        let veil = elsewhere.veil;
        let fits = self.depths.iter().flatten().map(|seen| {
            let none = jump(&seen.seen, &Veil { shines: 1.0, adds: [0.0; 3] }).0;
            (jump(&seen.seen, &veil).0 / none.max(f32::EPSILON), seen)
        });
        let (jump, seen) = fits.min_by(|a, b| a.0.total_cmp(&b.0))?;
        let most = if seen.is_alike_under(&veil) { 1.0 } else { EXPLAINED.0 };
        self.allows(&veil, jump, most, seen)
    }

    /// The fit of a veil that leaves at most so much of the jump, and edges about as strong as those
    /// around the mark. On a smooth photo edges say nothing.
    fn allows(&self, veil: &Veil, jump: f32, most: f32, seen: &Depth) -> Option<Fit> {
        let alike = (1.0 / UNLIKE..=UNLIKE).contains(&seen.edges_under(veil));
        let smooth = self.outside <= 2.0 * ROUGH.1;
        let covered = |seen: &Option<Depth>| seen.as_ref().is_some_and(|it| it.is_covered_by(veil));
        (jump <= most && (alike || smooth)).then(|| Fit {
            veil: *veil,
            covered: self.depths.iter().position(covered),
            jump,
        })
    }

    /// That of several pieces with the same mark.
    pub fn together(all: &[Self]) -> Self {
        let depths = std::array::from_fn(|depth| {
            let seen: Vec<&Depth> =
                all.iter().filter_map(|one| one.depths[depth].as_ref()).collect();
            let count: usize = seen.iter().map(|one| one.seen.len()).sum();
            let mean = |of: &dyn Fn(&Depth) -> f32| {
                seen.iter().map(|one| of(one) * one.seen.len() as f32 / count as f32).sum()
            };
            (count > 0).then(|| Depth {
                rougher: mean(&|one| one.rougher),
                edges: [0, 1].map(|side| mean(&|one| one.edges[side])),
                wide: seen.iter().any(|one| one.wide),
                seen: seen
                    .iter()
                    .flat_map(|one| &one.seen)
                    .copied()
                    .step_by(count.div_ceil(MOST))
                    .collect(),
            })
        });
        let outside = all.iter().map(|one| one.outside).sum::<f32>() / all.len().max(1) as f32;
        Self { depths, outside }
    }
}

impl Fit {
    /// The better of a piece's own veil and of the one that all pieces have, as far as they explain
    /// it. A watermark is nearly always one, so that its veil wins unless the own is clearly better.
    pub fn better(own: Option<Self>, shared: Option<Self>) -> Option<Self> {
        match (own, shared) {
            (Some(own), Some(shared)) if own.jump < CLEARLY * shared.jump => Some(own),
            (own, shared) => shared.or(own),
        }
    }

    /// The piece without its mark: what shines through, of those of the `marks` (not 0) that are
    /// wholly under it; none of a mark of thin lines.
    pub fn lifted(&self, planes: &Planes, marks: &GrayImage) -> Lifted {
        let least = self.covered.map_or(f32::INFINITY, |depth| DEPTHS[depth]);
        let computed: Vec<bool> =
            mask::depths(marks).into_iter().map(|depth| depth >= least).collect();
        let mut planes = planes.clone();
        for (plane, adds) in planes.iter_mut().zip(self.veil.adds) {
            for (value, _) in plane.iter_mut().zip(&computed).filter(|(_, computed)| **computed) {
                *value = ((*value - adds) / self.veil.shines).clamp(0.0, 1.0);
            }
        }
        Lifted { planes, computed }
    }

    /// What of a guess the mark allows: it covers a pixel not at all, wholly, or by a part, as at
    /// its border. So the photo lies between what is given and what is given without the whole mark.
    pub fn allowed(&self, given: [f32; 3], guess: [f32; 3]) -> [f32; 3] {
        let channels = [0, 1, 2];
        let whole = channels.map(|c| (given[c] - self.veil.adds[c]) / self.veil.shines);
        let way = channels.map(|c| whole[c] - given[c]);
        let length: f32 = way.iter().map(|step| step * step).sum();
        let along: f32 = channels.iter().map(|c| (guess[*c] - given[*c]) * way[*c]).sum();
        let part = if length > 0.0 { (along / length).clamp(0.0, 1.0) } else { 0.0 };
        channels.map(|c| (given[c] + part * way[c]).clamp(0.0, 1.0))
    }
}

/// A piece whose mark is taken off where it can be computed.
#[derive(Clone, Debug)]
pub struct Lifted {
    /// Elsewhere as it was given.
    pub planes: Planes,
    /// Whether a pixel was wholly under the mark, so that what shines through is known.
    pub computed: Vec<bool>,
}

/// What is known, and elsewhere what goes on from there.
fn continued(planes: &Planes, wide: usize, known: impl Fn(usize) -> bool) -> Planes {
    let known: Vec<f32> = (0..planes[0].len()).map(|i| f32::from(u8::from(known(i)))).collect();
    let mut planes = planes.clone();
    planes.iter_mut().for_each(|plane| diffuse(plane, &known, wide));
    planes
}

/// The mean jump at the border that is left, and how far colours are beyond black and white.
fn jump(seen: &[([f32; 3], [f32; 3])], veil: &Veil) -> (f32, f32) {
    let (mut jump, mut beyond) = (0.0, 0.0);
    for (given, around) in seen {
        for channel in 0..3 {
            let photo = (given[channel] - veil.adds[channel]) / veil.shines;
            jump += (photo - around[channel]).abs().min(MOST_JUMP);
            beyond += (-photo).max(0.0) + (photo - 1.0).max(0.0);
        }
    }
    let count = 3.0 * seen.len() as f32;
    (jump / count, beyond / count)
}

/// The veil that fits best, and the jump that is left as a share of the one that was there.
fn fitted(seen: &[([f32; 3], [f32; 3])], rougher: f32) -> Option<(Veil, f32)> {
    let before = jump(seen, &Veil { shines: 1.0, adds: [0.0; 3] }).0;
    // The best of a few, each its cost, and the jump that it leaves.
    let best = |opacities: &mut dyn Iterator<Item = f32>| {
        let fits = opacities.map(|shines| {
            let (veil, impossible) = of_opacity(seen, shines);
            let (left, beyond) = jump(seen, &veil);
            let unlike = (rougher / shines).max(1e-6).ln().abs();
            (left * (1.0 + unlike) + 2.0 * beyond + 0.2 * impossible, veil, left)
        });
        fits.min_by(|a, b| a.0.total_cmp(&b.0))
    };
    let (_, coarse, _) = best(&mut (4..49).map(|step| step as f32 / 50.0))?;
    let (_, veil, left) =
        best(&mut (-8..=8).map(|step| (coarse.shines + step as f32 / 400.0).clamp(0.06, 0.98)))?;
    (before > 0.0).then(|| (veil, left / before))
}

/// The veil of an opacity whose colour leaves the least jump, and how far that is from a colour that
/// there is.
fn of_opacity(seen: &[([f32; 3], [f32; 3])], shines: f32) -> (Veil, f32) {
    let most = 1.0 - shines;
    let mut impossible = 0.0;
    let adds = [0, 1, 2].map(|channel| {
        let missing = seen.iter().map(|(given, around)| given[channel] - shines * around[channel]);
        let mut missing: Vec<f32> = missing.collect();
        let middle = missing.len() / 2;
        let found = *missing.select_nth_unstable_by(middle, f32::total_cmp).1;
        let possible = found.clamp(0.0, most);
        impossible += (found - possible).abs() / most;
        possible
    });
    (Veil { shines, adds }, impossible)
}

/// What neighbours that both count differ by, at two quantiles; `None` if too few count.
fn roughness(
    planes: &Planes,
    wide: usize,
    quantiles: [f32; 2],
    counts: impl Fn(usize) -> bool,
) -> Option<[f32; 2]> {
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
    if differences.len() < LEAST {
        return None;
    }
    Some(quantiles.map(|share| {
        let place = (differences.len() as f32 * share) as usize;
        differences.select_nth_unstable_by(place, f32::total_cmp).1.max(ROUGH.1)
    }))
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

    /// The mean difference of what is wholly under the mark.
    fn error(a: &Planes, b: &Planes) -> f32 {
        let depths = mask::depths(&marks(0));
        let inside: Vec<usize> = (0..a[0].len()).filter(|i| depths[*i] >= 4.0).collect();
        let apart = |i: &usize| (0..3).map(|c| (a[c][*i] - b[c][*i]).abs()).sum::<f32>() / 3.0;
        inside.iter().map(apart).sum::<f32>() / inside.len() as f32
    }

    fn unveiled(planes: &Planes, marks: &GrayImage, holes: &GrayImage) -> Option<Lifted> {
        Some(Evidence::of(planes, marks, holes)?.fit()?.lifted(planes, marks))
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
                let (before, after) = (error(&planes, &photo), error(&found.planes, &photo));
                assert!(after < 0.3 * before, "{opacity} {colour:?} {loose}: {before} {after}");
            }
        }
    }

    #[test]
    fn pieces_of_one_mark_agree_and_another_mark_stays_another() {
        let (photo, marks) = (photo(), marks(0));
        let of = |opacity, colour| {
            Evidence::of(&marked(&photo, opacity, colour), &marks, &marks).unwrap()
        };
        let (white, ink) = (of(0.5, [1.0; 3]), of(0.4, [0.0; 3]));
        let shared = Evidence::together(&[white.clone(), white.clone()]).fit().unwrap();
        let own = white.fit().unwrap();
        assert!((shared.veil.shines - own.veil.shines).abs() < 0.05);
        let found = Fit::better(Some(own), white.judge(&shared)).unwrap();
        assert_eq!(found.veil.shines, shared.veil.shines, "one veil for all pieces");
        assert!(ink.judge(&shared).is_none(), "a white veil does not explain a black one");
        let kept = Fit::better(ink.fit(), ink.judge(&shared)).unwrap();
        assert!(kept.veil.adds.iter().all(|adds| *adds < 0.05), "{kept:?}");
        assert!(Fit::better(None, None).is_none());
    }

    #[test]
    fn a_soft_border_lies_between_what_is_given_and_what_is_under_the_whole_mark() {
        let veil = Veil { shines: 0.5, adds: [0.5, 0.5, 0.0] };
        let fit = Fit { veil, covered: Some(0), jump: 0.0 };
        let photo = [0.2, 0.6, 0.4];
        for cover in [0.0, 0.3, 1.0] {
            let share = 0.5 * cover;
            let given = [0, 1, 2].map(|c| photo[c] * (1.0 - share) + 2.0 * veil.adds[c] * share);
            let close = |a: [f32; 3], b: [f32; 3]| {
                assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} {b:?}");
            };
            close(fit.allowed(given, photo), photo);
            // Away from the mark's colour and too far.
            let whole = [0, 1, 2].map(|c| (given[c] - veil.adds[c]) / veil.shines);
            let far = [0, 1, 2].map(|c| given[c] + 9.0 * (whole[c] - given[c]));
            close(fit.allowed(given, far), whole.map(|value| value.clamp(0.0, 1.0)));
            let before = [0, 1, 2].map(|c| given[c] - 0.1 * (whole[c] - given[c]));
            close(fit.allowed(given, before), given);
        }
    }

    #[test]
    fn a_mark_of_thin_lines_has_a_veil_and_nothing_that_is_computed() {
        let lines = GrayImage::from_fn(SIZE.0, SIZE.1, |x, y| {
            let thick = (20..28).contains(&y) && (20..44).contains(&x);
            Luma([if thick || (40..80).contains(&y) && x % 8 < 2 { 255 } else { 0 }])
        });
        let mut planes = photo();
        for plane in &mut planes {
            for (value, _) in plane.iter_mut().zip(lines.iter()).filter(|(_, mark)| **mark > 0) {
                *value += 0.6 * (1.0 - *value);
            }
        }
        let fit = Evidence::of(&planes, &lines, &lines).unwrap().fit().unwrap();
        assert!((fit.veil.shines - 0.4).abs() < 0.15, "{fit:?}");
        let lifted = fit.lifted(&planes, &lines);
        assert!(lifted.computed.iter().all(|computed| !computed));
        assert!(lifted.planes == planes);
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
