//! What time does to a print: scratches, folds, tears, missing corners, stains and dust.

use std::f32::consts::{FRAC_PI_2, PI, TAU};

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use tiny_skia::PathBuilder;

use super::{
    Count, Range,
    canvas::{Canvas, Point, between, flat, outline, paper, polygon, ribbon, tint},
    countable, draw, rising,
};
use crate::error::{Error, Result};

/// Damage to a print, drawn as shapes over the picture (after Z. Wan et al., "Bringing old photos
/// back to life", CVPR 2020, who tell apart what lets the photo through and what leaves a hole).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Damage {
    /// How many of the kinds below come together, 0 to 6. Those whose highest number is 0 never
    /// do.
    pub kinds: Count,
    /// Scratches, 0 to 100.
    pub scratches: Count,
    /// Folds across the picture, 0 to 100.
    pub folds: Count,
    /// Tears from a border, 0 to 100.
    pub tears: Count,
    /// Missing corners, 0 to 4.
    pub corners: Count,
    /// Stains that let the photo through, 0 to 100.
    pub stains: Count,
    /// Specks and hairs on each 100 x 100 pixels, 0 to 100.
    pub dust: Range,
    /// Share that scratches, creases, dust and stains cover of what is under them, 0 to 1. Tears
    /// and missing corners always cover all.
    pub strength: Range,
    /// Width of scratches and creases in pixels, 0.3 to 32; tears have a rim as wide.
    pub width: Range,
    /// Length of tears and corners and radius of stains over the shorter side of the picture,
    /// 0.01 to 1.
    pub size: Range,
}

impl Default for Damage {
    fn default() -> Self {
        Self {
            kinds: [1, 3],
            scratches: [1, 6],
            folds: [1, 2],
            tears: [1, 2],
            corners: [1, 2],
            stains: [1, 3],
            dust: [3.0, 25.0],
            strength: [0.4, 1.0],
            width: [0.7, 3.0],
            size: [0.08, 0.4],
        }
    }
}

/// One kind of damage, as many times as `Damage` says.
type Draw = fn(&Damage, &mut Canvas, &mut Rng);

impl Damage {
    pub(super) fn check(&self) -> Result<()> {
        countable(self.kinds, 6)?;
        let counts = [self.scratches, self.folds, self.tears, self.stains];
        counts.into_iter().try_for_each(|count| countable(count, 100))?;
        countable(self.corners, 4)?;
        rising(self.dust, 0.0, 100.0)?;
        rising(self.strength, 0.0, 1.0)?;
        rising(self.width, 0.3, 32.0)?;
        rising(self.size, 0.01, 1.0)?;
        if self.kinds[1] as usize > self.present().len() {
            return Err(Error::Setting(format!(
                "a recipe wants {} kinds of damage at once and describes {}",
                self.kinds[1],
                self.present().len()
            )));
        }
        Ok(())
    }

    /// The kinds that can come, from the ground up: a stain does not cover a hole.
    fn present(&self) -> Vec<Draw> {
        let kinds: [(bool, Draw); 6] = [
            (self.stains[1] > 0, |damage, canvas, rng| {
                repeat(damage.stains, rng, |rng| damage.stain(canvas, rng));
            }),
            (self.folds[1] > 0, |damage, canvas, rng| {
                repeat(damage.folds, rng, |rng| damage.fold(canvas, rng));
            }),
            (self.scratches[1] > 0, |damage, canvas, rng| {
                let along = PI * rng.f32();
                repeat(damage.scratches, rng, |rng| damage.scratch(along, canvas, rng));
            }),
            (self.tears[1] > 0, |damage, canvas, rng| {
                let ground = ground(rng);
                repeat(damage.tears, rng, |rng| damage.tear(ground, canvas, rng));
            }),
            (self.corners[1] > 0, |damage, canvas, rng| {
                let ground = ground(rng);
                let mut corners = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
                rng.shuffle(&mut corners);
                let mut corners = corners.into_iter();
                repeat(damage.corners, rng, |rng| {
                    if let Some(corner) = corners.next() {
                        damage.corner(corner, ground, canvas, rng);
                    }
                });
            }),
            (self.dust[1] > 0.0, |damage, canvas, rng| damage.specks(canvas, rng)),
        ];
        kinds.into_iter().filter_map(|(comes, draw)| comes.then_some(draw)).collect()
    }

    pub(super) fn apply(&self, canvas: &mut Canvas, rng: &mut Rng) {
        let mut left = rng.u32(self.kinds[0]..=self.kinds[1]) as usize;
        let kinds = self.present();
        for (index, draw) in kinds.iter().enumerate() {
            // Picks `left` of those that are still to come, each as likely as the others.
            if rng.usize(..kinds.len() - index) < left {
                left -= 1;
                draw(self, canvas, rng);
            }
        }
    }

    /// A long thin line, slightly bent, now wider and now narrower, at times interrupted. Those of
    /// one picture run alike, since they come from one pull.
    fn scratch(&self, along: f32, canvas: &mut Canvas, rng: &mut Rng) {
        let [width, height] = canvas.size();
        let along = along + between(-0.15, 0.15, rng);
        let length = between(0.2, 1.2, rng) * width.max(height);
        let bend = between(-0.05, 0.05, rng) * length;
        let middle = [width * rng.f32(), height * rng.f32()];
        let mut line = arc(middle, along, length, bend, 3.0);
        for point in &mut line {
            *point = point.map(|value| value + between(-0.2, 0.2, rng));
        }
        let thick = draw(self.width, rng) / 2.0;
        let mut share = 1.0;
        let (start, end) = (between(0.01, 0.15, rng), between(0.01, 0.15, rng));
        let last = line.len() as f32;
        let jumpy = rng.f32() < 0.35;
        let mut gap = 0;
        let ribbon = ribbon(&line, |index| {
            share = (share + between(-0.2, 0.2, rng)).clamp(0.4, 1.3_f32);
            if jumpy && gap == 0 && rng.f32() < 0.04 {
                gap = rng.usize(2..10);
            }
            if gap > 0 {
                gap -= 1;
                return 0.0;
            }
            let at = index as f32 / last;
            let taper = (at / start).min((1.0 - at) / end).min(1.0);
            thick * share * taper
        });
        // Bare paper, or dirt in the groove.
        let colour = if rng.f32() < 0.8 { pale(215.0, 255.0, rng) } else { pale(5.0, 60.0, rng) };
        let strength = draw(self.strength, rng);
        if let Some(path) = polygon(&ribbon) {
            canvas.fill(&path, strength, flat(colour));
        }
    }

    /// A line from border to border: light on one slope and shade on the other, and a crease off
    /// which the emulsion has come in places.
    fn fold(&self, canvas: &mut Canvas, rng: &mut Rng) {
        let [width, height] = canvas.size();
        // People fold along the sides more often than not.
        let tilt = if rng.f32() < 0.7 { 0.1 } else { FRAC_PI_2 };
        let angle = FRAC_PI_2 * f32::from(rng.u8(..2)) + between(-tilt, tilt, rng);
        let middle = [width * between(0.15, 0.85, rng), height * between(0.15, 0.85, rng)];
        let (sine, cosine) = angle.sin_cos();
        let strength = draw(self.strength, rng);
        let thick = draw(self.width, rng);
        let slope = thick * between(2.0, 6.0, rng) + 1.0;
        let distance = |[x, y]: Point| (y - middle[1]) * cosine - (x - middle[0]) * sine;
        let frame = [0.0, 0.0, width, height];
        let light = if rng.bool() { 1.0 } else { -1.0 };
        let side = |sign: f32| {
            move |point: Point| {
                let away = sign * distance(point);
                if away > 0.0 { (1.0 - away / slope).max(0.0).powi(2) } else { 0.0 }
            }
        };
        let shade = between(0.3, 0.6, rng) * strength;
        canvas.shade(frame, shade, side(light), flat([255.0; 3]));
        canvas.shade(frame, shade, side(-light), flat([0.0; 3]));

        let length = 2.0 * width.hypot(height);
        let mut line = arc(middle, angle, length, 0.0, 1.5);
        let mut drift = 0.0;
        for point in &mut line {
            drift = (drift + between(-0.25, 0.25, rng) * thick) * 0.9;
            point[0] -= drift * sine;
            point[1] += drift * cosine;
        }
        let mut share = rng.f32();
        let crease = ribbon(&line, |_| {
            share = (share + between(-0.25, 0.25, rng)).clamp(0.1, 1.0);
            0.4 * share * thick + 0.15
        });
        let mut bare = PathBuilder::new();
        outline(&mut bare, &crease);
        // Where it was bent hardest, flakes have come off.
        for point in line {
            if rng.f32() < 0.03 {
                let radius = thick * between(0.5, 2.0, rng);
                let aside = between(-0.6, 0.6, rng) * radius;
                let flake = [point[0] - aside * sine, point[1] + aside * cosine];
                outline(&mut bare, &speck(flake, radius, rng));
            }
        }
        let colour = pale(205.0, 245.0, rng);
        if let Some(path) = bare.finish() {
            canvas.fill(&path, strength, paper(colour, 10.0, rng));
        }
    }

    /// A ragged wedge from a border, with a rim of torn paper.
    fn tear(&self, ground: [f32; 3], canvas: &mut Canvas, rng: &mut Rng) {
        let [width, height] = canvas.size();
        // Its mouth, and the direction into the picture.
        let across = rng.f32();
        let (mouth, inward) = match rng.u8(..4) {
            0 => ([across * width, -2.0], FRAC_PI_2),
            1 => ([across * width, height + 2.0], -FRAC_PI_2),
            2 => ([-2.0, across * height], 0.0),
            _ => ([width + 2.0, across * height], PI),
        };
        let length = draw(self.size, rng) * width.min(height) + 2.0;
        let mut heading = inward + between(-0.6, 0.6, rng);
        let step = (length / 40.0).clamp(1.5, 4.0);
        let count = (length / step) as usize + 2;
        let mut point = mouth;
        let mut turn = 0.0;
        let mut line = vec![point];
        for _ in 1..count {
            // It wanders, and keeps away from where it came from.
            turn = 0.7 * turn + between(-0.3, 0.3, rng);
            heading += turn * 0.3 + 0.1 * (inward - heading);
            let jag = heading + between(-0.5, 0.5, rng);
            point = [point[0] + step * jag.cos(), point[1] + step * jag.sin()];
            line.push(point);
        }
        // Most stay closed but for a slit; some gape.
        let gape = length * between(0.02, 0.5, rng) * rng.f32();
        let last = (count - 1) as f32;
        let opening: Vec<f32> = (0..count)
            .map(|index| (gape / 2.0) * (1.0 - index as f32 / last) * between(0.85, 1.1, rng))
            .collect();
        let rim = draw(self.width, rng);
        let mut frayed = 0.5;
        let torn = ribbon(&line, |index| {
            frayed = (frayed + between(-0.3, 0.3, rng)).clamp(0.2, 1.0_f32);
            let end = 1.0 - (index as f32 / last).powi(3);
            opening[index] + (rim * frayed + 0.3) * end
        });
        let hole = ribbon(&line, |index| opening[index]);
        self.hole(&torn, &hole, ground, canvas, rng);
    }

    /// A corner that has come off along a ragged line.
    fn corner(&self, corner: Point, ground: [f32; 3], canvas: &mut Canvas, rng: &mut Rng) {
        let [width, height] = canvas.size();
        let legs = [(); 2].map(|()| draw(self.size, rng) * width.min(height));
        let rim = draw(self.width, rng);
        let count = ((legs[0].hypot(legs[1]) / 3.0) as usize).clamp(4, 200);
        let bow = between(-0.2, 0.2, rng);
        // Seen from the corner, and then turned to where that is.
        let place = |[x, y]: Point| {
            [
                if corner[0] > 0.0 { width - x } else { x },
                if corner[1] > 0.0 { height - y } else { y },
            ]
        };
        let mut jag = 0.0;
        let mut frayed = 0.5;
        let (mut torn, mut hole) = (vec![place([-2.0, -2.0])], vec![place([-2.0, -2.0])]);
        for index in 0..=count {
            // A little past the borders, so that no sliver stays.
            let at = -0.05 + 1.1 * index as f32 / count as f32;
            jag = 0.8 * jag + between(-1.2, 1.2, rng);
            frayed = (frayed + between(-0.3, 0.3, rng)).clamp(0.2, 1.0_f32);
            let out = 1.0 + bow * 4.0 * at * (1.0 - at);
            let edge = |more: f32| {
                let [x, y] = [(1.0 - at) * out * legs[0], at * out * legs[1]];
                place([x + jag + more, y + jag + more])
            };
            hole.push(edge(0.0));
            torn.push(edge(0.7 * rim * frayed + 0.3));
        }
        self.hole(&torn, &hole, ground, canvas, rng);
    }

    /// A hole down to the ground, and the rim of bare paper around it.
    fn hole(
        &self,
        torn: &[Point],
        hole: &[Point],
        ground: [f32; 3],
        canvas: &mut Canvas,
        rng: &mut Rng,
    ) {
        let bare = pale(225.0, 250.0, rng);
        if let Some(path) = polygon(torn) {
            canvas.fill(&path, 1.0, paper(bare, 14.0, rng));
        }
        if let Some(path) = polygon(hole) {
            canvas.fill(&path, 1.0, paper(ground, 2.0, rng));
        }
    }

    /// A blot with a soft border and, as a liquid leaves it, a darker rim.
    fn stain(&self, canvas: &mut Canvas, rng: &mut Rng) {
        let [width, height] = canvas.size();
        let radius = draw(self.size, rng) * width.min(height);
        let middle = [width * rng.f32(), height * rng.f32()];
        let border = wobble(6, 0.2, rng);
        let (columns, rows) = (wobble(5, 0.5, rng), wobble(5, 0.5, rng));
        let soft = between(0.06, 0.5, rng);
        // Where the liquid dried last.
        let edge = soft.min(between(0.06, 0.15, rng));
        let rim = between(0.0, 0.8, rng);
        let flat_part = between(0.35, 0.8, rng);
        let cover = |[x, y]: Point| {
            let (dx, dy) = (x - middle[0], y - middle[1]);
            let (away, angle) = (dx.hypot(dy), dy.atan2(dx));
            // 0 at the border, 1 in the middle.
            let depth = 1.0 - away / (radius * wave(&border, angle));
            if depth <= 0.0 {
                return 0.0;
            }
            let rise = (depth / soft).min(1.0);
            let smooth = rise * rise * (3.0 - 2.0 * rise);
            let ring = (-((depth - edge) / (0.6 * edge)).powi(2)).exp();
            let (along, down) = (dx / radius, dy / radius);
            let patchy = wave(&columns, 2.0 * along + down) + wave(&rows, 2.0 * down - along);
            let mottled = (0.5 * patchy).clamp(0.4, 1.2);
            (smooth * (flat_part * mottled + rim * ring)).min(1.0)
        };
        let reach = radius * (1.0 + border.iter().map(|[height, _]| height).sum::<f32>());
        let frame = [middle[0] - reach, middle[1] - reach, middle[0] + reach, middle[1] + reach];
        let strength = draw(self.strength, rng);
        if rng.f32() < 0.8 {
            // Tea, rust, mould, ink.
            let kinds =
                [[0.82, 0.62, 0.36], [0.75, 0.45, 0.22], [0.6, 0.62, 0.42], [0.45, 0.5, 0.65]];
            let shares = rng.choice(kinds).unwrap_or_default();
            let shares = shares.map(|share: f32| share * between(0.85, 1.0, rng));
            canvas.shade(frame, strength, cover, tint(shares));
        } else {
            // Bleached.
            canvas.shade(frame, 0.8 * strength, cover, flat(pale(225.0, 255.0, rng)));
        }
    }

    /// Dust: specks of many sizes, most of them small, and a hair here and there.
    fn specks(&self, canvas: &mut Canvas, rng: &mut Rng) {
        let [width, height] = canvas.size();
        let count = draw(self.dust, rng) * width * height / 1e4 + rng.f32();
        // Dust on a negative prints white, dust on the scanner's glass dark.
        let light = rng.f32() < 0.75;
        // What is alike is drawn at once.
        let mut layers = [(); 3].map(|()| PathBuilder::new());
        for _ in 0..count as u32 {
            let middle = [width * rng.f32(), height * rng.f32()];
            let layer = &mut layers[rng.usize(..3)];
            if rng.f32() < 0.07 {
                outline(layer, &hair(middle, rng));
            } else {
                outline(layer, &speck(middle, 0.4 * (1.8 * rng.f32().powi(2)).exp(), rng));
            }
        }
        let strength = draw(self.strength, rng);
        for layer in layers {
            let colour = if light { pale(200.0, 255.0, rng) } else { pale(5.0, 70.0, rng) };
            let share = between(0.6, 1.0, rng);
            if let Some(path) = layer.finish() {
                canvas.fill(&path, strength * share, flat(colour));
            }
        }
    }
}

/// Does something a random number of times.
fn repeat(count: Count, rng: &mut Rng, mut draw: impl FnMut(&mut Rng)) {
    for _ in 0..rng.u32(count[0]..=count[1]) {
        draw(rng);
    }
}

/// A grey that leans a little towards red, as old paper does.
fn pale(least: f32, most: f32, rng: &mut Rng) -> [f32; 3] {
    let light = between(least, most, rng);
    let age = between(0.0, 0.12, rng);
    [light, light * (1.0 - 0.4 * age), light * (1.0 - age)]
}

/// What is seen through a hole: the lid of a scanner, an album page or a dark table.
fn ground(rng: &mut Rng) -> [f32; 3] {
    match rng.u8(..4) {
        0 | 1 => pale(235.0, 255.0, rng),
        2 => pale(150.0, 225.0, rng),
        _ => pale(0.0, 50.0, rng),
    }
}

/// A bow through `middle`, with a point each `step` pixels.
fn arc(middle: Point, along: f32, length: f32, bend: f32, step: f32) -> Vec<Point> {
    let (sine, cosine) = along.sin_cos();
    let count = (length / step).max(4.0) as usize;
    let point = |index: usize| {
        let at = index as f32 / count as f32 - 0.5;
        let (forth, aside) = (length * at, bend * (1.0 - 4.0 * at * at));
        [middle[0] + forth * cosine - aside * sine, middle[1] + forth * sine + aside * cosine]
    };
    (0..=count).map(point).collect()
}

/// Heights and phases of the first waves around a circle.
fn wobble(waves: usize, height: f32, rng: &mut Rng) -> Vec<Point> {
    let wave = |number: usize| [height * rng.f32() / (number as f32).sqrt(), TAU * rng.f32()];
    (1..=waves).map(wave).collect()
}

/// 1 and what the waves add to it at an angle.
fn wave(wobble: &[Point], angle: f32) -> f32 {
    let waves = wobble.iter().zip(1_u8..);
    1.0 + waves
        .map(|([height, phase], n)| height * (f32::from(n) * angle + phase).sin())
        .sum::<f32>()
}

/// An uneven blob.
fn speck([x, y]: Point, radius: f32, rng: &mut Rng) -> Vec<Point> {
    let long = between(0.6, 1.6, rng);
    let turn = TAU * rng.f32();
    let point = |index: u8| {
        let radius = radius * between(0.6, 1.2, rng);
        let (sine, cosine) = (TAU * f32::from(index) / 9.0).sin_cos();
        let (forth, aside) = (radius * long * cosine, radius * sine);
        [x + forth * turn.cos() - aside * turn.sin(), y + forth * turn.sin() + aside * turn.cos()]
    };
    (0..9).map(point).collect()
}

/// A curled thread.
fn hair(mut point: Point, rng: &mut Rng) -> Vec<Point> {
    let mut heading = TAU * rng.f32();
    let mut curl = between(-0.15, 0.15, rng);
    let mut line = vec![point];
    for _ in 0..rng.usize(6..24) {
        curl = (curl + between(-0.06, 0.06, rng)).clamp(-0.3, 0.3);
        heading += curl;
        point = [point[0] + 1.5 * heading.cos(), point[1] + 1.5 * heading.sin()];
        line.push(point);
    }
    let half = between(0.3, 0.6, rng);
    ribbon(&line, |_| half)
}
