//! Renders the pictures Pixmend ships: the sample photograph and the app icon.
//!
//! `cargo run --release --example render-assets [FOLDER] [SAMPLES]` writes `sample.png`,
//! `icon.png`, `icon-64.png` and `text.png` into FOLDER (default `assets`).
//!
//! The sample is a still life in the sun. It is path traced at four times its final size, with
//! SAMPLES (a power of two) light paths for each large pixel, tone mapped, then shrunk in linear
//! light: it has the statistics of a sharp photograph made smaller. Shapes are distance fields,
//! surfaces are procedural, and random numbers depend on nothing but the pixel, so the bytes are
//! the same for any number of threads.
//!
//! Lengths are centimetres, colours linear sRGB; `y` points up and `z` to the viewer.

use std::error::Error;
use std::f32::consts::{PI, TAU};
use std::ops::{Add, Mul, Sub};
use std::path::PathBuf;
use std::sync::Arc;

use image::imageops::{self, FilterType, resize};
use image::{Rgb, Rgb32FImage, RgbImage, Rgba, Rgba32FImage, RgbaImage};
use pixmend::{device::Chosen, model::Model, restore::evaluate::upscale_rgb};
use rayon::prelude::*;

mod page;

const SIZE: (u32, u32) = (480, 320);
const ICON_SIZE: u32 = 512;
/// Linear size of what is computed relative to what is written.
const OVERSIZE: u32 = 4;
const DEFAULT_SAMPLES: u32 = 32;
const MAX_BOUNCES: u32 = 4;
const MAX_STEPS: u32 = 160;
/// A ray closer to a surface than this has hit it.
const SKIN: f32 = 2e-3;

// Vectors and frames.

#[derive(Clone, Copy)]
struct Vec3 {
    x: f32,
    y: f32,
    z: f32,
}

const fn v3(x: f32, y: f32, z: f32) -> Vec3 {
    Vec3 { x, y, z }
}

const ONE: Vec3 = v3(1.0, 1.0, 1.0);
const X: Vec3 = v3(1.0, 0.0, 0.0);
const Y: Vec3 = v3(0.0, 1.0, 0.0);
const Z: Vec3 = v3(0.0, 0.0, 1.0);

macro_rules! componentwise {
    ($($operator:ident $method:ident),*) => {$(
        impl $operator for Vec3 {
            type Output = Vec3;
            fn $method(self, other: Vec3) -> Vec3 {
                self.zip(other, f32::$method)
            }
        }
    )*};
}
componentwise!(Add add, Sub sub, Mul mul);

impl Mul<f32> for Vec3 {
    type Output = Self;
    fn mul(self, scale: f32) -> Self {
        self.map(|c| c * scale)
    }
}

impl Vec3 {
    fn map(self, f: impl Fn(f32) -> f32) -> Self {
        v3(f(self.x), f(self.y), f(self.z))
    }
    fn zip(self, o: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        v3(f(self.x, o.x), f(self.y, o.y), f(self.z, o.z))
    }
    fn dot(self, o: Self) -> f32 {
        self.x * o.x + self.y * o.y + self.z * o.z
    }
    fn cross(self, o: Self) -> Self {
        let turned = |v: Self| v3(v.y, v.z, v.x);
        turned(self * turned(o) - turned(self) * o)
    }
    fn length(self) -> f32 {
        self.dot(self).sqrt()
    }
    fn unit(self) -> Self {
        self * (1.0 / self.length())
    }
    fn greatest(self) -> f32 {
        self.x.max(self.y).max(self.z)
    }
}

fn mix(a: Vec3, b: Vec3, amount: f32) -> Vec3 {
    a + (b - a) * amount.clamp(0.0, 1.0)
}

fn smoothstep(from: f32, to: f32, x: f32) -> f32 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

fn norm(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

/// Orthonormal axes placed in space.
#[derive(Clone, Copy)]
struct Frame {
    origin: Vec3,
    x: Vec3,
    y: Vec3,
    z: Vec3,
}

impl Frame {
    /// The frame with this `y` axis, and its `x` axis as near `x` as it can be.
    fn new(origin: Vec3, y: Vec3, x: Vec3) -> Self {
        let y = y.unit();
        let x = (x - y * x.dot(y)).unit();
        let z = x.cross(y);
        Self { origin, x, y, z }
    }
    fn turn_in(&self, v: Vec3) -> Vec3 {
        v3(v.dot(self.x), v.dot(self.y), v.dot(self.z))
    }
    fn turn_out(&self, v: Vec3) -> Vec3 {
        self.x * v.x + self.y * v.y + self.z * v.z
    }
    fn place(&self, p: Vec3) -> Vec3 {
        self.origin + self.turn_out(p)
    }
}

// Random numbers and noise.

fn hash(a: u32, b: u32) -> u32 {
    let mut h = a.wrapping_mul(0x9e37_79b9) ^ (b ^ 0x7f4a_7c15).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    h ^ (h >> 15)
}

fn to_unit(bits: u32) -> f32 {
    (bits >> 8) as f32 / (1 << 24) as f32
}

/// A fixed random number in 0..1 for a cell of space.
fn cell(x: i32, y: i32, z: i32) -> f32 {
    let (x, y) = ((x as u32).wrapping_mul(0x0466_f45d), (y as u32).wrapping_mul(0x0127_409f));
    to_unit(hash(x ^ y, z as u32))
}

/// Evenly spread pairs of numbers: a plane lattice, freshly shuffled and shifted for each pair.
struct Sampler {
    index: u32,
    seed: u32,
}

impl Sampler {
    fn pair(&mut self) -> (f32, f32) {
        self.seed = hash(self.seed, 1);
        // A nested shuffle: it keeps every aligned power-of-two run of indices together.
        let mut shuffled = self.index.reverse_bits().wrapping_add(self.seed);
        for factor in [0x6c50_b47c, 0xb82f_1e52, 0xc7af_e638, 0x8d22_f6e6] {
            shuffled ^= shuffled.wrapping_mul(factor);
        }
        let step = |size| shuffled.reverse_bits().wrapping_mul(size);
        let (u, v) = (step(3_242_174_889), step(2_447_445_413));
        (to_unit(u.wrapping_add(hash(self.seed, 2))), to_unit(v.wrapping_add(hash(self.seed, 3))))
    }
}

/// Smooth noise in 0..1.
fn noise(p: Vec3) -> f32 {
    let base = p.map(f32::floor);
    let (x, y, z) = (base.x as i32, base.y as i32, base.z as i32);
    let t = (p - base).map(|f| f * f * (3.0 - 2.0 * f));
    let lerp = |a: f32, b: f32, t: f32| a + (b - a) * t;
    let row = |y, z| lerp(cell(x, y, z), cell(x + 1, y, z), t.x);
    let sheet = |z| lerp(row(y, z), row(y + 1, z), t.y);
    lerp(sheet(z), sheet(z + 1), t.z)
}

/// Three octaves of noise in 0..1.
fn fractal(p: Vec3) -> f32 {
    let octave = |scale: f32| noise(p * scale + ONE * (scale * 7.3)) / scale;
    (octave(1.0) + octave(2.03) + octave(4.11)) / 1.736
}

/// Scattered soft dots, one in every unit cell at most: 1 in a dot, 0 between them.
fn dots(p: Vec3) -> f32 {
    let base = p.map(f32::floor);
    let pick = |salt| cell(base.x as i32 + salt, base.y as i32, base.z as i32 - salt);
    let centre = base + ONE * 0.3 + v3(pick(1000), pick(2000), pick(3000)) * 0.4;
    1.0 - smoothstep(0.05, 0.3, (p - centre).length() * (0.8 + pick(4000)))
}

/// Tilts a normal by the slope of a small relief.
fn emboss(normal: Vec3, p: Vec3, height: impl Fn(Vec3) -> f32) -> Vec3 {
    let base = height(p);
    let [x, y, z] = [X, Y, Z].map(|axis| (height(p + axis * 0.03) - base) / 0.03);
    (normal - v3(x, y, z) + normal * normal.dot(v3(x, y, z))).unit()
}

// Shapes: a box, and in it the distance to a surface, negative inside. A distance may be too
// short, which costs time, but not too long.

type Bounds = (Vec3, Vec3);
type Shape = (Bounds, Arc<dyn Fn(Vec3) -> f32 + Send + Sync>);

/// The half-size of the cloth, the length of its fringe, and its threads in a centimetre.
const CLOTH: Vec3 = v3(18.0, 2.0, 10.5);
const FRINGE: f32 = 1.5;
const WEAVE: f32 = 4.0;

/// The lesser of two distances, their surfaces joined by a fillet.
fn blend(a: f32, b: f32, fillet: f32) -> f32 {
    let h = (0.5 + 0.5 * (b - a) / fillet).clamp(0.0, 1.0);
    b + (a - b) * h - fillet * h * (1.0 - h)
}

/// A solid turned about `y`, given by the distance from a point (radius, height).
fn turned(radius: f32, low: f32, high: f32, outline: fn(f32, f32) -> f32) -> Shape {
    let bounds = (v3(-radius, low, -radius), v3(radius, high, radius));
    (bounds, Arc::new(move |p: Vec3| outline(norm(p.x, p.z), p.y)))
}

fn vase(r: f32, y: f32) -> f32 {
    let body = 5.0 * (norm(r / 6.1, (y - 7.0) / 7.8) - 1.0);
    let neck = ((r - 2.35 - 0.13 * (y - 15.2).powi(2)).abs() - 0.2).max((y - 14.7).abs() - 2.4);
    blend(body, 0.7 * neck, 1.3).max(-y)
}

fn pear(r: f32, y: f32) -> f32 {
    blend(norm(r, y - 3.5) - 3.5, norm(r, y - 7.8) - 1.1, 2.4)
}

fn apple(r: f32, y: f32) -> f32 {
    0.9 * (norm(r * (1.1 - 0.025 * y) - 1.4, 0.84 * y - 3.1) - 2.5)
}

fn lemon(r: f32, y: f32) -> f32 {
    let body = 2.8 * (norm(r / 3.0, y / 3.9) - 1.0);
    blend(body, norm(r, y.abs() - 3.9) - 0.45, 0.9)
}

/// A round stick from the origin up, leaning towards `x` by `bend * y * y`.
fn stick(radius: f32, length: f32, bend: f32) -> Shape {
    let distance = move |p: Vec3| {
        let y = p.y.clamp(0.0, length);
        let thin = radius * (1.2 - 0.5 * y / length);
        0.8 * (v3(p.x - bend * y * y, p.y - y, p.z).length() - thin)
    };
    let high = v3(bend * length * length, length, 0.0) + ONE * (radius * 2.0);
    ((ONE * (radius * -2.0), high), Arc::new(distance))
}

/// A box with rounded edges, its front bulging.
fn block(half: Vec3, bulge: f32) -> Shape {
    const ROUND: f32 = 0.12;
    let distance = move |p: Vec3| {
        let swell = bulge * (1.0 - (p.y / half.y).powi(2)).max(0.0);
        let q = v3(p.x.abs(), p.y.abs(), (p.z - swell).max(-p.z)) - half + ONE * ROUND;
        let outside = q.map(|c| c.max(0.0)).length();
        (outside + q.greatest().min(0.0) - ROUND) * (1.0 - 0.5 * bulge)
    };
    ((half * -1.0, half + Z * bulge), Arc::new(distance))
}

/// A leaf along `x` from the origin, drooping by `droop * x * x`.
fn leaf(length: f32, droop: f32) -> Shape {
    const THICKNESS: f32 = 0.012;
    let distance = move |p: Vec3| {
        let s = (p.x / length).clamp(0.0, 1.0);
        let width = 0.62 * length * s * (1.0 - s) * (1.25 - 0.5 * s);
        let flat = (p.y + droop * p.x * p.x).abs() - THICKNESS;
        0.75 * flat.max(p.z.abs() - width)
    };
    let low = v3(0.0, -droop * length * length - THICKNESS, length * -0.2);
    ((low, v3(length, THICKNESS, length * 0.2)), Arc::new(distance))
}

/// A creased cloth on the table, with a fringe at both ends.
fn cloth() -> Shape {
    let distance = |p: Vec3| {
        let wander = 5.0 * noise(v3(p.x, 0.0, p.z) * 0.13);
        let across = p.x * 0.8 + p.z * 0.6 + wander;
        let fold = |at: f32, width: f32| (-((across - at) / width).powi(2)).exp();
        let folds = 1.5 * fold(-9.0, 1.4) + 0.9 * fold(-4.5, 1.2) + 1.2 * fold(13.0, 1.5);
        let loose = p.x.abs() - CLOTH.x + FRINGE;
        let edge = smoothstep(0.0, 5.0, (-loose).min(CLOTH.z - p.z.abs()));
        let free = smoothstep(5.0, 11.0, norm(p.x - 3.0, (p.z + 2.5) * 1.6));
        let sheet = p.y - 0.16 - (folds + 0.06 * wander) * edge * free;
        let strand = ((p.z + 0.1 * loose * (p.z * 7.0).sin()) * 2.4).rem_euclid(1.0) - 0.5;
        let fringe = 0.7 * norm(strand, p.y * 2.4 - 0.3) / 2.4 - 0.05;
        (0.6 * sheet).max(loose).min(fringe.max(-loose))
    };
    ((CLOTH * -1.0, CLOTH), Arc::new(distance))
}

// Rays and what they meet.

/// An origin and a direction of length one.
type Ray = (Vec3, Vec3);
/// A colour, a roughness and a normal.
type Surface = (Vec3, f32, Vec3);
/// The surface at a point with a normal, both in the frame of the object.
type Paint = Arc<dyn Fn(Vec3, Vec3) -> Surface + Send + Sync>;

struct Object {
    frame: Frame,
    shape: Shape,
    paint: Paint,
    /// The middle of a sphere around the object, and its radius squared.
    middle: Vec3,
    reach: f32,
}

impl Object {
    fn hit(&self, ray: Ray, far: f32) -> Option<f32> {
        let to_middle = self.middle - ray.0;
        let nearest = to_middle - ray.1 * to_middle.dot(ray.1).max(0.0);
        if nearest.dot(nearest) > self.reach {
            return None;
        }
        let ((low, high), distance) = &self.shape;
        let origin = self.frame.turn_in(ray.0 - self.frame.origin);
        let direction = self.frame.turn_in(ray.1);
        let inverse = direction.map(|d| 1.0 / d);
        let (a, b) = ((*low - origin) * inverse, (*high - origin) * inverse);
        let mut t = a.zip(b, f32::min).greatest().max(0.0);
        let far = far.min(-(a.zip(b, f32::max) * -1.0).greatest());
        for _ in 0..MAX_STEPS {
            if t > far {
                break;
            }
            let step = distance(origin + direction * t);
            if step < SKIN {
                return Some(t);
            }
            t += step;
        }
        None
    }

    /// The way the surface faces at a point, and its look there.
    fn look(&self, point: Vec3) -> (Vec3, Surface) {
        let p = self.frame.turn_in(point - self.frame.origin);
        let slope = |axis| (self.shape.1)(p + axis * 0.02) - (self.shape.1)(p - axis * 0.02);
        let face = v3(slope(X), slope(Y), slope(Z)).unit();
        let (colour, roughness, normal) = (self.paint)(p, face);
        (self.frame.turn_out(face), (colour, roughness, self.frame.turn_out(normal)))
    }
}

/// The nearest object along a ray; with `any`, the first that is found.
fn hit(scene: &[Object], ray: Ray, any: bool) -> Option<(f32, &Object)> {
    let mut best = None;
    for object in scene {
        let far = best.map_or(f32::MAX, |(t, _)| t);
        best = object.hit(ray, far).map(|t| (t, object)).or(best);
        if any && best.is_some() {
            break;
        }
    }
    best
}

// Surfaces.

const INDIGO: Vec3 = v3(0.03, 0.06, 0.19);
const FLAX: Vec3 = v3(0.70, 0.65, 0.55);
const CORK: Vec3 = v3(0.25, 0.14, 0.05);
const GOLD: Vec3 = v3(0.75, 0.55, 0.22);

fn plaster(p: Vec3, n: Vec3) -> Surface {
    let relief = |p: Vec3| 0.05 * fractal(p * 0.8) + 0.012 * noise(p * 4.0);
    let colour = v3(0.16, 0.215, 0.225) * (0.8 + 0.4 * fractal(p * 0.09));
    (colour, 0.9, emboss(n, p, relief))
}

fn wood(p: Vec3, n: Vec3) -> Surface {
    const PLANK: f32 = 10.5;
    let plank = (p.z / PLANK).floor();
    let drift = fractal(v3(p.x * 0.05 + plank * 5.7, p.z * 0.3, plank * 3.1));
    let ring = (p.z * 0.77 + 11.0 * drift).fract();
    let grain = smoothstep(0.0, 0.75, ring) * smoothstep(1.0, 0.85, ring);
    let fibre = |p: Vec3| noise(v3(p.x * 0.7, plank, p.z * 16.0));
    let pore = smoothstep(0.66, 0.8, noise(v3(p.x * 1.1, plank + 0.5, p.z * 22.0)));
    let gap = smoothstep(0.06, 0.17, (p.z - (p.z / PLANK).round() * PLANK).abs());
    let shade = 0.72 + 0.35 * fibre(p) + 0.25 * cell(plank as i32, 3, 5);
    let stain = mix(v3(0.31, 0.17, 0.08), v3(0.13, 0.06, 0.025), grain * 0.7);
    let colour = stain * (shade * (1.0 - 0.5 * pore) * (0.08 + 0.92 * gap));
    (colour, 0.34 + 0.15 * fibre(p), emboss(n, p, |p| 0.012 * fibre(p)))
}

/// White glaze painted in cobalt: bands, a zigzag and a row of petals.
fn glaze(p: Vec3, n: Vec3) -> Surface {
    let (y, turn) = (p.y + 0.14 * noise(p * 1.5), p.z.atan2(p.x) / TAU + 0.5);
    let line = |off: f32, half: f32| smoothstep(half + 0.05, half - 0.03, off.abs());
    let wave = |count: f32| ((turn * count).fract() - 0.5).abs();
    let bands = [1.3, 2.2, 9.4, 10.0, 12.4, 13.0, 16.7].map(|at| line(y - at, 0.12));
    let zigzag = line(y - 10.65 - 2.2 * wave(20.0), 0.13);
    let (across, height) = (2.0 * wave(12.0), (y - 3.2) / 2.8 - 1.0);
    let petal = 0.92 * (1.0 - height * height).max(0.0).sqrt();
    let heart = smoothstep(0.05, -0.05, across - petal * 0.42) * 0.75;
    let rim = line(across - petal, 0.09).max(heart) * f32::from(petal > 0.0);
    let ink = bands.into_iter().fold(zigzag.max(rim), f32::max);
    let brush = 0.75 + 0.25 * noise(v3(turn * 90.0, y * 5.0, 2.0));
    let body = v3(0.74, 0.73, 0.69) * (0.94 + 0.08 * fractal(p * 0.7));
    (mix(body, INDIGO, ink * brush), 0.1, n)
}

/// Skin of uneven colour and a blush, with pores or with corky spots.
fn skin(base: Vec3, blush: Vec3, corky: f32) -> Paint {
    let relief = move |p: Vec3| 0.015 * noise(p * 5.0) - (1.0 - corky) * 0.02 * dots(p * 4.2);
    Arc::new(move |p, n| {
        let ground = mix(base, base * v3(0.55, 0.8, 0.9), fractal(p * 0.5) * 1.4 - 0.2);
        let side = fractal(v3(p.x * 1.2, p.y * 0.25, p.z * 1.2)) * 0.9 + 0.1 * p.x;
        let blushed = mix(ground, blush, smoothstep(0.3, 0.85, side));
        let russet = smoothstep(7.2, 9.2, p.y + 2.0 * fractal(p * 1.6));
        let spots = (russet + 0.75 * dots(p * 3.4)) * corky;
        (mix(blushed, CORK, spots), 0.34, emboss(n, p, relief))
    })
}

/// The cut face of a lemon.
fn pulp(p: Vec3, n: Vec3) -> Surface {
    let (radius, turn) = (norm(p.x, p.z), p.z.atan2(p.x) / TAU * 9.0);
    let wall = (turn - turn.round()).abs() * radius * 0.7;
    let ring = smoothstep(2.42, 2.3, radius) * smoothstep(0.16, 0.3, radius);
    let juicy = ring * smoothstep(0.05, 0.12, wall);
    let sacs = noise(v3(radius * 2.2, turn * 9.0, 0.0));
    let zest = smoothstep(2.66, 2.74, radius);
    let pith = mix(v3(0.80, 0.77, 0.60), v3(0.78, 0.60, 0.03), zest);
    let flesh = v3(0.72, 0.55, 0.07) * (0.75 + 0.4 * sacs);
    let normal = emboss(n, p, |p| 0.05 * noise(p * 4.0));
    (mix(pith, flesh, juicy), 0.5 - 0.3 * juicy, normal)
}

fn foliage(p: Vec3, n: Vec3) -> Surface {
    let vein = smoothstep(0.07, 0.02, p.z.abs());
    let blade = v3(0.12, 0.17, 0.065) * (0.8 + 0.4 * noise(p * 1.3));
    let fold = Z * (0.35 * p.z.signum() * n.y.signum());
    (mix(blade, v3(0.30, 0.34, 0.18), vein), 0.42, (n + fold).unit())
}

/// Plain weave with coloured stripes both ways.
fn linen(p: Vec3, n: Vec3) -> Surface {
    let drift = v3(fractal(p * 0.25), 0.0, fractal(p * 0.25 + ONE * 5.0)) * 0.5;
    let place = (p + drift) * WEAVE + ONE * 600.0;
    let thread = |at: f32, salt: i32| {
        let number = at.floor() as i32;
        let dyed = matches!(number.rem_euclid(44), 0..=7 | 10 | 11 | 40 | 41);
        let shade = 0.85 + 0.25 * cell(number, salt, 0);
        let colour = if dyed { INDIGO * 1.3 } else { FLAX };
        (at.fract() - 0.5, colour * shade)
    };
    let ((u, warp), (v, weft)) = (thread(place.x, 1), thread(place.z, 2));
    let weft_over = (place.x.floor() + place.z.floor()).rem_euclid(2.0) > 0.5;
    let top = usize::from(weft_over || p.x.abs() > CLOTH.x - FRINGE);
    let (across, along, colour) = [(u, v, warp), (v, u, weft)][top];
    let round = (1.0 - 4.0 * across * across) * (1.0 - 2.2 * along * along);
    (colour * (0.35 + 0.65 * round), 0.9, (n + v3(u, 0.0, v)).unit())
}

/// A closed book: cloth boards, gilt title on the spine (its front), paper at the ends.
fn book(half: Vec3, colour: Vec3, title: &str) -> Paint {
    let strokes = lettering(title, 1.05);
    let weave = |p: Vec3| 0.012 * ((p.x * 24.0).sin() + ((p.y + p.z) * 24.0).sin());
    Arc::new(move |p, n| {
        let (depth, end) = (half.y - p.y.abs(), half.x - p.x.abs());
        if end < 0.05 && depth > 0.28 && p.z < half.z - 0.3 {
            let sheet = 0.5 + 0.5 * noise(v3(p.y * 26.0, p.z * 0.4, 0.0));
            let shade = sheet * (0.4 + 0.6 * smoothstep(0.28, 0.5, depth));
            return (v3(0.62, 0.54, 0.40) * shade, 0.9, n);
        }
        let stroke = strokes.iter().map(|s| segment_distance(p.x, p.y, *s));
        let rules = [1.0, 1.4, 2.4].map(|at| (end - at).abs() + 0.03);
        let line = stroke.chain(rules).fold(f32::MAX, f32::min);
        let gilt = smoothstep(0.12, 0.07, line) * smoothstep(0.3, 0.6, n.z);
        (mix(colour, GOLD, gilt), 0.85 - 0.5 * gilt, emboss(n, p, weave))
    })
}

/// The strokes of a line of capitals, centred, this high.
fn lettering(text: &str, height: f32) -> Vec<[f32; 4]> {
    // Each letter has lines from point to point, a point being a column 0 to 4 and a row 0 to 6.
    const FONT: &str = "A 002640 1232,C 4536160501103041,D 000626354441312000,E 46060040 0333,\
        H 0006 4046 0343,L 060040,O 103041453616050110,R 00063645443303 2340,T 0646 2620,\
        U 060110304146";
    let (unit, left) = (height / 6.0, 0.8 - text.len() as f32 * 2.8);
    let mut strokes = Vec::new();
    for (i, letter) in text.chars().enumerate() {
        let glyph = FONT.split(',').find(|glyph| glyph.starts_with(letter));
        for line in glyph.unwrap_or_default().split(' ').skip(1) {
            let digits: Vec<f32> = line.bytes().map(|b| f32::from(b - b'0')).collect();
            let x = |column: f32| (left + i as f32 * 5.6 + column) * unit;
            let y = |row: f32| (row - 3.0) * unit;
            for p in digits.windows(4).step_by(2) {
                strokes.push([x(p[0]), y(p[1]), x(p[2]), y(p[3])]);
            }
        }
    }
    strokes
}

fn segment_distance(x: f32, y: f32, [ax, ay, bx, by]: [f32; 4]) -> f32 {
    let (dx, dy) = (bx - ax, by - ay);
    let along = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy);
    let t = along.clamp(0.0, 1.0);
    norm(x - ax - dx * t, y - ay - dy * t)
}

// Light.

/// The window: the plane it is in, then its low and high corners in (y, z).
const WINDOW_X: f32 = -75.0;
const WINDOW: [(f32, f32); 2] = [(12.0, 0.0), (92.0, 120.0)];
const SKY: Vec3 = v3(1.0, 1.12, 1.28);
const SUN: Vec3 = v3(7.8, 5.9, 3.8);
const SUN_DIRECTION: Vec3 = v3(-0.66, 0.44, 0.58);
const SUN_RADIUS: f32 = 0.006;

/// Whether a ray leaves the room through glass.
fn through_window(ray: Ray) -> bool {
    let p = ray.0 + ray.1 * ((WINDOW_X - ray.0.x) / ray.1.x);
    let pane = |v: f32, low: f32, high: f32, count: f32| {
        let at = (v - low) / (high - low) * count;
        at > 0.0 && at < count && (at.fract() - 0.5).abs() < 0.44
    };
    let [low, high] = WINDOW;
    ray.1.x < 0.0 && pane(p.y, low.0, high.0, 3.0) && pane(p.z, low.1, high.1, 4.0)
}

/// The light of the room and the sky. Rough surfaces see the window as a wide glow.
fn surroundings(ray: Ray, mirrored: bool) -> Vec3 {
    let room = v3(0.29, 0.265, 0.24) * (0.75 + 0.25 * ray.1.y);
    let glow = ray.1.dot(v3(-0.78, 0.3, 0.55)).max(0.0);
    match mirrored {
        true if through_window(ray) => SKY * 3.0,
        true => room,
        false => room + SKY * (glow * glow * 1.1),
    }
}

fn fresnel(cosine: f32) -> f32 {
    0.04 + 0.96 * (1.0 - cosine).clamp(0.0, 1.0).powi(5)
}

fn on_sphere((u, v): (f32, f32)) -> Vec3 {
    let (sin, cos) = (v * TAU).sin_cos();
    let radius = 2.0 * (u - u * u).sqrt();
    v3(radius * cos, 1.0 - 2.0 * u, radius * sin)
}

/// The light that comes back along a ray, by following one random path.
fn radiance(scene: &[Object], mut ray: Ray, sampler: &mut Sampler) -> Vec3 {
    let (mut light, mut carried, mut mirrored) = (ONE * 0.0, ONE, true);
    for bounce in 0..MAX_BOUNCES {
        let Some((t, object)) = hit(scene, ray, false) else {
            return light + carried * surroundings(ray, mirrored);
        };
        let (point, away) = (ray.0 + ray.1 * t, ray.1 * -1.0);
        let (face, (colour, roughness, normal)) = object.look(point);
        let origin = point + face * (3.0 * SKIN);
        let normal = if normal.dot(away) > 0.0 { normal } else { face };
        let sheen = fresnel(normal.dot(away));
        let (matte, alpha) = (colour * (1.0 - sheen), roughness * roughness);
        // Only what the camera sees directly has highlights.
        let glossy = f32::from(bounce == 0 && roughness < 0.8);

        let direction = (SUN_DIRECTION + on_sphere(sampler.pair()) * SUN_RADIUS).unit();
        let (sun, cosine) = ((origin, direction), normal.dot(direction));
        let faces = cosine > 0.0 && face.dot(direction) > 0.0;
        if faces && through_window(sun) && hit(scene, sun, true).is_none() {
            let half = (away + direction).unit();
            let lobe = 1.0 - normal.dot(half).powi(2) * (1.0 - alpha * alpha);
            let gloss = fresnel(half.dot(away)) * alpha * alpha / (4.0 * PI * lobe * lobe);
            let gloss = (gloss * cosine / cosine.max(normal.dot(away))).min(20.0);
            light = light + carried * SUN * (matte * (cosine / PI) + ONE * (gloss * glossy));
        }

        let (u, v) = sampler.pair();
        let odds = glossy * (0.15 + 0.6 * sheen);
        mirrored = u < odds;
        let u = if mirrored { u / odds } else { (u - odds) / (1.0 - odds) };
        let spread = on_sphere((u, v));
        let direction = if mirrored {
            let facet = (normal + spread * alpha).unit();
            carried = carried * (fresnel(facet.dot(away)) / odds);
            facet * (2.0 * facet.dot(away)) - away
        } else {
            carried = carried * matte * (1.0 / (1.0 - odds));
            (normal + spread * 0.999).unit()
        };
        ray = (origin, direction);
        if face.dot(direction) <= 0.0 {
            break;
        }
    }
    light
}

// The still life.

fn still_life() -> Vec<Object> {
    let mut objects = Vec::new();
    let mut add = |frame: Frame, shape: &Shape, paint: &Paint| {
        let ((low, high), _) = shape;
        let (middle, half) = (frame.place((*low + *high) * 0.5), (*high - *low) * 0.5);
        let (shape, paint, reach) = (shape.clone(), paint.clone(), half.dot(half));
        objects.push(Object { frame, shape, paint, middle, reach });
    };
    let paint = |f: fn(Vec3, Vec3) -> Surface| -> Paint { Arc::new(f) };
    let bark = paint(|p, n| (v3(0.1, 0.065, 0.04) * (0.7 + 0.6 * noise(p * 5.0)), 0.6, n));

    let table = Frame::new(v3(0.0, -5.0, 20.0), Y, v3(1.0, 0.0, -0.16));
    add(table, &block(v3(120.0, 5.0, 90.0), 0.0), &paint(wood));
    let wall = Frame::new(v3(0.0, 40.0, -27.0), Y, X);
    add(wall, &block(v3(120.0, 80.0, 5.0), 0.0), &paint(plaster));

    let (half, teal) = (v3(10.5, 1.6, 7.5), v3(0.035, 0.085, 0.09));
    let frame = Frame::new(v3(15.5, 1.6, -5.0), Y, v3(1.0, 0.0, 0.12));
    add(frame, &block(half, 0.3), &book(half, teal, "COLOUR"));
    let (half, red) = (v3(9.0, 1.25, 6.5), v3(0.30, 0.045, 0.03));
    let frame = Frame::new(v3(14.7, 4.45, -5.2), Y, v3(1.0, 0.0, -0.09));
    add(frame, &block(half, 0.3), &book(half, red, "THE ORCHARD"));

    let (pear, stalk) = (turned(3.6, 0.0, 8.8, pear), stick(0.14, 2.4, 0.12));
    let green = skin(v3(0.5, 0.47, 0.06), v3(0.5, 0.13, 0.035), 1.0);
    let standing = Frame::new(v3(0.2, 0.15, 0.0), v3(0.06, 1.0, 0.0), v3(1.0, 0.0, -0.4));
    let lying = Frame::new(v3(3.0, 5.4, 9.7), v3(0.75, -0.5, 0.45), v3(0.5, 0.9, -0.2));
    let perched = Frame::new(v3(14.0, 5.0, -5.5), v3(0.1, 1.0, 0.12), Z - X);
    add(standing, &pear, &green);
    add(lying, &pear, &green);
    let red = skin(v3(0.47, 0.27, 0.04), v3(0.33, 0.012, 0.012), 0.3);
    add(perched, &turned(4.1, 0.7, 6.7, apple), &red);
    for (fruit, x, y) in [(standing, 0.6, 8.5), (lying, 0.6, 8.5), (perched, 0.0, 5.8)] {
        let top = Frame::new(fruit.place(v3(x, y, 0.0)), fruit.y + fruit.x * 0.3, fruit.x);
        add(top, &stalk, &bark);
    }
    let zest = skin(v3(0.77, 0.52, 0.02), v3(0.77, 0.52, 0.02), 0.0);
    let whole = Frame::new(v3(-10.0, 3.2, 6.5), v3(0.9, 0.12, -0.5), Y);
    add(whole, &turned(3.0, -4.4, 4.4, lemon), &zest);
    let cut: Paint = Arc::new(move |p, n| if p.y < -0.06 { zest(p, n) } else { pulp(p, n) });
    let halved = Frame::new(v3(-5.0, 2.9, 10.0), v3(0.1, 0.42, 0.9), X);
    add(halved, &turned(3.0, -4.4, 0.0, |r, y| lemon(r, y).max(y)), &cut);

    let stand = Frame::new(v3(-10.0, 0.0, -8.0), Y, v3(1.0, 0.0, -0.4));
    add(stand, &turned(6.2, 0.0, 17.2, vase), &paint(glaze));
    for (branch, side, bend) in [(0, X, 0.024), (1, X * -1.0, 0.02), (2, Z * -1.0, 0.01)] {
        let frame = Frame::new(stand.place(Y * 9.8), Y + side * 0.1, side);
        add(frame, &stick(0.17, 16.5, bend), &bark);
        for step in 0..16 {
            let pick = |salt| cell(branch, step, salt);
            let y = 7.8 + step as f32 * 0.55;
            let turn = step as f32 * 2.4 + pick(2);
            let along = frame.turn_out(v3(turn.cos(), 0.5 + 0.6 * pick(3), turn.sin()));
            let across = along.cross(Y + along.cross(Y) * (pick(4) - 0.5));
            let foot = frame.place(v3(bend * y * y, y, 0.0));
            let leaf = leaf(3.2 + 2.0 * pick(5), 0.06 * pick(6));
            add(Frame::new(foot, across.cross(along), along), &leaf, &paint(foliage));
        }
    }

    let towel = Frame::new(v3(-5.0, 0.0, 10.5), Y, v3(1.0, 0.0, -0.25));
    add(towel, &cloth(), &paint(linen));
    objects
}

/// From light to paper: a shoulder that keeps highlights, and a little contrast.
fn tone(light: f32) -> f32 {
    let display = (1.0 - (-1.2 * light).exp()).powf(1.0 / 2.2);
    let contrast = 0.3 * display * (1.0 - display) * (2.0 * display - 0.95);
    (display + contrast).powf(2.2)
}

fn photograph(samples: u32) -> Rgb32FImage {
    const LENS_RADIUS: f32 = 0.75;
    const HALF_WIDTH: f32 = 28.0;
    let scene = still_life();
    let (eye, focus) = (v3(1.5, 36.0, 88.0), v3(1.0, 10.0, 2.0));
    let forward = focus - eye;
    let camera = Frame::new(eye, Y - forward * (forward.y / forward.dot(forward)), X);
    let (width, height) = (SIZE.0 * OVERSIZE, SIZE.1 * OVERSIZE);
    let mut picture = Rgb32FImage::new(width, height);
    picture.par_chunks_mut(3).enumerate().for_each(|(i, pixel)| {
        let (x, y) = (i as u32 % width, i as u32 / width);
        // The large pixels that become one small pixel share a sequence of random numbers.
        let seed = hash(x / OVERSIZE, y / OVERSIZE);
        let part = x % OVERSIZE + y % OVERSIZE * OVERSIZE;
        let mut sum = ONE * 0.0;
        for index in part * samples..(part + 1) * samples {
            let mut sampler = Sampler { index, seed };
            let ((u, v), (lens, turn)) = (sampler.pair(), sampler.pair());
            let across = (x as f32 + u) / width as f32 - 0.5;
            let down = (y as f32 + v - height as f32 * 0.5) / width as f32;
            let target = v3(across, -down, 0.0) * (2.0 * HALF_WIDTH) - Z * forward.length();
            let (sin, cos) = (turn * TAU).sin_cos();
            let lens = v3(cos, sin, 0.0) * (LENS_RADIUS * lens.sqrt());
            let ray = (camera.place(lens), camera.turn_out(target - lens).unit());
            sum = sum + radiance(&scene, ray, &mut sampler).map(|c| c.min(30.0));
        }
        let shown = (sum * (1.0 / samples as f32)).map(tone);
        pixel.copy_from_slice(&[shown.x, shown.y, shown.z]);
    });
    picture
}

fn encode(linear: f32) -> u8 {
    let c = linear.clamp(0.0, 1.0);
    let curve = 1.055 * c.powf(1.0 / 2.4) - 0.055;
    (255.0 * curve.max(12.92 * c.min(0.003_130_8))).round() as u8
}

// The icon.

/// The distance from (x, y) to a square with rounded corners, negative inside.
fn rounded_square(x: f32, y: f32, half: f32, corner: f32) -> f32 {
    let (x, y) = (x.abs() - half + corner, y.abs() - half + corner);
    norm(x.max(0.0), y.max(0.0)) + x.max(y).min(0.0) - corner
}

/// A low sun over hills; `u` and `v` from -1 to 1, `v` down.
fn landscape(u: f32, v: f32) -> Vec3 {
    if v > 0.5 - 0.35 * u + 0.1 * (4.0 * u).sin() {
        v3(0.012, 0.05, 0.075)
    } else if v > 0.2 + 0.13 * (3.2 * u + 2.2).sin() {
        v3(0.045, 0.15, 0.21)
    } else if norm(u, v + 0.14) < 0.46 {
        v3(1.0, 0.72, 0.25)
    } else {
        mix(v3(0.06, 0.17, 0.36), v3(0.90, 0.27, 0.10), 0.75 + 0.8 * v + 0.1 * u)
    }
}

/// A print on a dark tile, left of a slanted cut in blocks and right of it sharp.
fn drawn_icon() -> Rgba32FImage {
    const BLOCKS: f32 = 3.5;
    let size = ICON_SIZE * OVERSIZE;
    Rgba32FImage::from_fn(size, size, |x, y| {
        let [x, y] = [x, y].map(|c| (c as f32 + 0.5) * 2.0 / size as f32 - 1.0);
        let (u, v) = (x + 0.14 * y, y - 0.14 * x);
        let cut = u + 0.4 * v;
        let shadow = smoothstep(-0.1, 0.3, rounded_square(u, v - 0.08, 0.64, 0.1));
        let (u, v) = (u / 0.56, v / 0.56);
        let [block_u, block_v] = [u, v].map(|c| (c * BLOCKS).round());
        let grain = 0.8 + 0.4 * cell(block_u as i32, block_v as i32, 4);
        let colour = if u.abs().max(v.abs()) < 1.0 {
            match cut {
                cut if cut.abs() < 0.016 => v3(1.0, 0.95, 0.85),
                cut if cut < 0.0 => landscape(block_u / BLOCKS, block_v / BLOCKS) * grain,
                _ => landscape(u, v),
            }
        } else if rounded_square(u, v, 1.18, 0.12) < 0.0 {
            v3(0.93, 0.90, 0.84)
        } else {
            mix(v3(0.035, 0.042, 0.085), v3(0.008, 0.010, 0.022), 0.5 + 0.5 * y) * shadow
        };
        let alpha = f32::from(rounded_square(x, y, 0.97, 0.44) < 0.0);
        let Vec3 { x, y, z } = colour * alpha;
        Rgba([x, y, z, alpha])
    })
}

fn icon_of_size(icon: &Rgba32FImage, size: u32) -> RgbaImage {
    let small = resize(icon, size, size, FilterType::CatmullRom);
    RgbaImage::from_fn(size, size, |x, y| {
        let [r, g, b, alpha] = small[(x, y)].0;
        let [r, g, b] = [r, g, b].map(|c| encode(c / alpha.max(1e-3)));
        Rgba([r, g, b, (alpha * 255.0).round() as u8])
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "assets".into()));
    let samples = arguments.next().map(|n| n.parse()).transpose()?;
    std::fs::create_dir_all(&folder)?;

    let large = photograph(samples.unwrap_or(DEFAULT_SAMPLES));
    let small = resize(&large, SIZE.0, SIZE.1, FilterType::Lanczos3);
    let sample = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb(small[(x, y)].0.map(encode)));
    sample.save(folder.join("sample.png"))?;

    let icon = drawn_icon();
    icon_of_size(&icon, ICON_SIZE).save(folder.join("icon.png"))?;
    icon_of_size(&icon, 64).save(folder.join("icon-64.png"))?;
    enlarged_text()?.save(folder.join("text.png"))?;
    Ok(())
}

/// Small letters as they are given, by bicubic interpolation, by the starter, and as they should be.
fn enlarged_text() -> Result<RgbImage, Box<dyn Error>> {
    let (large, small) = (page::large(), page::small());
    let (width, height) = large.dimensions();
    let starter =
        upscale_rgb(&small, page::TIMES.into(), &Model::find("starter")?, &Chosen::cpu())?;
    let by = |filter| resize(&small, width, height, filter);
    // A part of the page: both inks, and half of the letters.
    let (left, top) = (0, height / 2 - 2 * page::cell(0).height);
    let part = (width / 2, 4 * page::cell(0).height);
    let mut sheet = RgbImage::new(2 * part.0, 2 * part.1);
    let panes = [by(FilterType::Nearest), by(FilterType::CatmullRom), starter, large];
    for (index, pane) in (0_u32..).zip(&panes) {
        let part = imageops::crop_imm(pane, left, top, part.0, part.1).to_image();
        let (x, y) = (index % 2 * part.width(), index / 2 * part.height());
        imageops::replace(&mut sheet, &part, x.into(), y.into());
    }
    Ok(sheet)
}
