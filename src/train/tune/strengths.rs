//! Strengths that a Delta-STN tunes while it trains: where they are, and how far around that it
//! looks.

use fastrand::Rng;

use super::super::{NEW, TrainOptions};

/// How fast places and spreads move, as Adam's rates. The paper's are a tenth of it, for runs with a
/// hundred times the steps.
const RATES: (f64, f64) = (0.03, 0.01);

/// Standard deviation of what is drawn around a place, at first.
const SPREAD: f64 = 0.5;

/// Weight of the entropy of what is drawn, where the loss on held-out photos is 1 at first. As in
/// the experiments of the paper; without it, spreads would shrink to nothing and the response of
/// the weights could not be learnt.
const ENTROPY: f64 = 1e-3;

/// Something that can be stronger or weaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strength {
    /// How often crops are bent.
    Bend,
    /// How strongly photos are made worse.
    Degradation,
    /// How strongly weights are held near the base's.
    Anchor,
}

impl Strength {
    const ALL: [Self; 3] = [Self::Bend, Self::Degradation, Self::Anchor];

    /// Those that mean something in a run.
    pub(super) fn of(options: &TrainOptions) -> Vec<Self> {
        let means = |strength: &Self| match strength {
            Self::Bend => true,
            Self::Degradation => options.recipe().has_strength(),
            Self::Anchor => options.base != NEW && options.encoder.is_none(),
        };
        Self::ALL.into_iter().filter(means).collect()
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Bend => "bend",
            Self::Degradation => "strength",
            Self::Anchor => "anchor",
        }
    }

    /// Least and most.
    const fn bounds(self) -> (f64, f64) {
        match self {
            Self::Bend => (0.0, 1.0),
            Self::Degradation => (0.25, 2.0),
            Self::Anchor => (1e-4, 1.0),
        }
    }

    /// Whether orders of magnitude count.
    const fn is_logarithmic(self) -> bool {
        matches!(self, Self::Anchor | Self::Degradation)
    }

    /// The value at a place on the whole line: a sigmoid that is stretched from the least to the
    /// most.
    fn value(self, place: f64) -> f64 {
        let (low, high) = self.bounds();
        let share = 1.0 / (1.0 + (-place).exp());
        if self.is_logarithmic() {
            low * (high / low).powf(share)
        } else {
            low + (high - low) * share
        }
    }

    /// Where a value lies; one at a bound is moved inside, where there is a slope.
    fn place(self, value: f64) -> f64 {
        let (low, high) = self.bounds();
        let share = if self.is_logarithmic() {
            (value.max(low) / low).ln() / (high / low).ln()
        } else {
            (value - low) / (high - low)
        };
        let share = share.clamp(0.05, 0.95);
        (share / (1.0 - share)).ln()
    }

    const fn get(self, options: &TrainOptions) -> f64 {
        match self {
            Self::Bend => options.warp as f64,
            Self::Degradation => options.strength as f64,
            Self::Anchor => options.anchor,
        }
    }

    const fn set(self, options: &mut TrainOptions, value: f64) {
        match self {
            Self::Bend => options.warp = value as f32,
            Self::Degradation => options.strength = value as f32,
            Self::Anchor => options.anchor = value,
        }
    }
}

/// Adam's numbers for a list of values.
#[derive(Clone, Debug)]
struct Moments {
    updates: i32,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Moments {
    fn new(count: usize) -> Self {
        Self { updates: 0, first: vec![0.0; count], second: vec![0.0; count] }
    }

    fn descend(&mut self, values: &mut [f64], gradient: &[f64], rate: f64) {
        self.updates += 1;
        let correct = [0.9_f64, 0.999].map(|beta| 1.0 - beta.powi(self.updates));
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, slope), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
            *first = 0.9 * *first + 0.1 * slope;
            *second = 0.999 * *second + 0.001 * slope * slope;
            *value -= rate * (*first / correct[0]) / ((*second / correct[1]).sqrt() + 1e-12);
        }
    }
}

/// All strengths of a run, each at a place λ with a spread σ: λ + ε is drawn with ε from N(0, σ²).
#[derive(Clone, Debug)]
pub(super) struct Strengths {
    kinds: Vec<Strength>,
    places: Vec<f64>,
    /// Before the softplus that makes them positive.
    spreads: Vec<f64>,
    of_places: Moments,
    of_spreads: Moments,
}

fn softplus(value: f64) -> f64 {
    value.max(0.0) + (-value.abs()).exp().ln_1p()
}

impl Strengths {
    /// At the values of options.
    pub(super) fn new(options: &TrainOptions) -> Self {
        let kinds = Strength::of(options);
        let count = kinds.len();
        Self {
            places: kinds.iter().map(|kind| kind.place(kind.get(options))).collect(),
            // The inverse of softplus.
            spreads: vec![SPREAD.exp_m1().ln(); count],
            of_places: Moments::new(count),
            of_spreads: Moments::new(count),
            kinds,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.kinds.len()
    }

    /// A way ε off the places.
    pub(super) fn drawn(&self, rng: &mut Rng) -> Vec<f64> {
        let normal = |rng: &mut Rng| {
            let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
            radius * (std::f64::consts::TAU * rng.f64()).cos()
        };
        self.spreads.iter().map(|spread| softplus(*spread) * normal(rng)).collect()
    }

    /// Names and values.
    pub(super) fn values(&self) -> Vec<(&'static str, f64)> {
        let each = self.kinds.iter().zip(&self.places);
        each.map(|(kind, place)| (kind.name(), kind.value(*place))).collect()
    }

    /// Sets the values, `off` their places.
    pub(super) fn set(&self, options: &mut TrainOptions, off: &[f64]) {
        for ((kind, place), off) in self.kinds.iter().zip(&self.places).zip(off) {
            kind.set(options, kind.value(place + off));
        }
    }

    /// Follows the slope, by λ, of the loss on held-out photos at λ + ε: λ against it, and σ
    /// against it and along the entropy, Σ ln σ.
    pub(super) fn follow(&mut self, slope: &[f64], off: &[f64]) {
        let spreads = self.spreads.iter().zip(slope.iter().zip(off));
        let of_spreads: Vec<f64> = spreads
            .map(|(spread, (slope, off))| {
                let sigma = softplus(*spread);
                // ε = σz, and the slope of softplus is a sigmoid.
                (slope * off / sigma - ENTROPY / sigma) / (1.0 + (-spread).exp())
            })
            .collect();
        self.of_places.descend(&mut self.places, slope, RATES.0);
        self.of_spreads.descend(&mut self.spreads, &of_spreads, RATES.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_places_are_two_names_of_one_thing() {
        let mut options = TrainOptions { degradation: "blind".to_owned(), ..Default::default() };
        (options.warp, options.strength, options.anchor) = (0.3, 0.8, 0.01);
        let options = options.resolved().unwrap();
        let strengths = Strengths::new(&options);
        let mut back = TrainOptions { warp: 0.0, strength: 1.0, anchor: 0.0, ..options.clone() };
        strengths.set(&mut back, &[0.0; 3]);
        assert!((back.warp - 0.3).abs() < 1e-6 && (back.strength - 0.8).abs() < 1e-6);
        assert!((back.anchor - 0.01).abs() < 1e-9);
        // However far off, values stay what a run takes.
        for off in [-50.0, 50.0] {
            strengths.set(&mut back, &[off; 3]);
            back.clone().resolved().unwrap();
        }
        let plain = TrainOptions::default().resolved().unwrap();
        assert_eq!(Strength::of(&plain), [Strength::Bend, Strength::Anchor]);
    }

    #[test]
    fn spreads_grow_by_entropy_alone_and_shrink_where_it_is_steep() {
        let options = TrainOptions::default().resolved().unwrap();
        let mut rng = Rng::with_seed(1);
        let spread_after = |steep: f64, rng: &mut Rng| {
            let mut strengths = Strengths::new(&options);
            for _ in 0..600 {
                let off = strengths.drawn(rng);
                // Of a bowl around the places.
                let slope: Vec<f64> = off.iter().map(|off| steep * off).collect();
                strengths.follow(&slope, &off);
            }
            softplus(strengths.spreads[0])
        };
        assert!(spread_after(0.0, &mut rng) > 2.0 * SPREAD);
        // Where slope² = entropy: σ² = 0.001 / 0.1.
        let small = spread_after(0.1, &mut rng);
        assert!((0.05..0.2).contains(&small), "{small}");
    }
}
