//! Which settings are tried: random ones around the usual ones, on logarithmic scales where only
//! the order of magnitude is known (J. Bergstra and Y. Bengio, "Random search for hyper-parameter
//! optimization", JMLR 2012).

use fastrand::Rng;

use super::super::{NEW, TrainOptions, loss::Pixels};

/// The usual settings, and others as many as are missing to `count`.
pub(super) fn candidates(usual: &TrainOptions, count: usize, seed: u64) -> Vec<TrainOptions> {
    let mut rng = Rng::with_seed(seed);
    let drawn = std::iter::repeat_with(|| drawn(usual, &mut rng));
    std::iter::once(usual.clone()).chain(drawn).take(count.max(1)).collect()
}

/// A number between two, each order of magnitude as often as another.
fn between(low: f64, high: f64, rng: &mut Rng) -> f64 {
    // More digits than are told would not be what was told.
    rounded(low * (high / low).powf(rng.f64()))
}

/// To two digits.
pub(super) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = 10_f64.powf(1.0 - value.abs().log10().floor());
    (value * digits).round() / digits
}

fn drawn(usual: &TrainOptions, rng: &mut Rng) -> TrainOptions {
    let mut options = usual.clone();
    // Drawn whether it is used or not, so that a goal does not decide what is drawn for others.
    options.rate = between(usual.rate / 20.0, usual.rate * 5.0, rng);
    let losses = [Pixels::L1, Pixels::Mse, Pixels::Charbonnier];
    let loss = losses[rng.usize(..losses.len())];
    let [variation, warp, strength, anchor] = [0; 4].map(|_: i32| rng.bool());
    let [smooth, held] = [between(1e-5, 1e-3, rng), between(1e-3, 1.0, rng)];
    let [bent, strong] = [between(0.1, 1.0, rng), between(0.5, 1.5, rng)];
    let [mask, colour, features] = [0; 3].map(|_: i32| between(0.25, 4.0, rng));
    if usual.pixel_weight > 0.0 {
        options.loss = loss;
    }
    if variation {
        options.total_variation = smooth;
    }
    if warp {
        options.warp = bent as f32;
    }
    let recipe = usual.recipe();
    if strength && recipe.has_strength() {
        options.strength = strong as f32;
    }
    if anchor && usual.encoder.is_none() && usual.base != NEW {
        options.anchor = held;
    }
    if recipe.masks() {
        options.mask_weight = rounded(usual.mask_weight * mask);
    }
    if recipe.greys() {
        options.colour_weight = rounded(usual.colour_weight * colour);
    }
    for layer in options.perceptual.iter_mut().chain(&mut options.texture) {
        layer.weight = rounded(layer.weight * features);
    }
    options
}

/// The usual settings with what was tried in place of it; steps and all that follows from them stay.
pub(super) fn adopted(usual: &TrainOptions, tried: &TrainOptions) -> TrainOptions {
    TrainOptions {
        rate: tried.rate,
        loss: tried.loss,
        total_variation: tried.total_variation,
        warp: tried.warp,
        strength: tried.strength,
        anchor: tried.anchor,
        mask_weight: tried.mask_weight,
        colour_weight: tried.colour_weight,
        perceptual: tried.perceptual.clone(),
        texture: tried.texture.clone(),
        ..usual.clone()
    }
}

/// What is different, in words.
pub(super) fn changes(usual: &TrainOptions, tried: &TrainOptions) -> Vec<String> {
    let mut words = Vec::new();
    let mut number = |name: &str, from: f64, to: f64| {
        if from != to {
            words.push(format!("{name} {}", told(to)));
        }
    };
    number("rate", usual.rate, tried.rate);
    number("bend", usual.warp.into(), tried.warp.into());
    number("strength", usual.strength.into(), tried.strength.into());
    number("anchor", usual.anchor, tried.anchor);
    number("variation", usual.total_variation, tried.total_variation);
    number("mask weight", usual.mask_weight, tried.mask_weight);
    number("colour weight", usual.colour_weight, tried.colour_weight);
    let layers = |options: &TrainOptions| {
        options.perceptual.iter().chain(&options.texture).map(|layer| layer.weight).sum::<f64>()
    };
    let before = layers(usual);
    number("features times", 1.0, if before > 0.0 { layers(tried) / before } else { 1.0 });
    if usual.loss != tried.loss {
        words.push(format!("loss {:?}", tried.loss));
    }
    words
}

/// A number in two digits, as people write it.
fn told(value: f64) -> String {
    let value = rounded(value);
    if value == 0.0 || (0.01..100.0).contains(&value.abs()) {
        format!("{value}")
    } else {
        format!("{value:e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(degradation: &str) -> TrainOptions {
        let options = TrainOptions { degradation: degradation.to_owned(), ..Default::default() };
        options.resolved().unwrap()
    }

    #[test]
    fn candidates_follow_from_the_seed_and_begin_with_the_usual_settings() {
        let usual = usual("blind");
        let all = candidates(&usual, 27, 5);
        assert_eq!(all.len(), 27);
        assert_eq!(all[0], usual);
        assert_eq!(candidates(&usual, 27, 5), all);
        assert_eq!(candidates(&usual, 9, 5), all[..9], "more candidates leave the first ones");
        assert!(candidates(&usual, 9, 6)[1..] != all[1..9]);
        for options in &all {
            options.clone().resolved().unwrap();
            assert!((1e-5..=1e-3).contains(&options.rate), "{}", options.rate);
            assert_eq!(adopted(&usual, options), *options, "nothing else is changed");
        }
        let some = |of: fn(&TrainOptions) -> bool| {
            let count = all.iter().filter(|options| of(options)).count();
            assert!((5..27).contains(&count), "{count}");
        };
        some(|options| options.warp > 0.0);
        some(|options| options.strength != 1.0);
        some(|options| options.anchor > 0.0);
        some(|options| options.total_variation > 0.0);
        some(|options| options.loss != Pixels::L1);
    }

    #[test]
    fn only_what_has_a_meaning_is_tried() {
        let all = candidates(&usual("bicubic"), 20, 1);
        assert!(all.iter().all(|o| o.strength == 1.0 && o.mask_weight == 1.0));
        let all = candidates(&usual("damage"), 20, 1);
        assert!(all[1..].iter().all(|options| options.mask_weight != 1.0));
        let fresh = TrainOptions { base: NEW.to_owned(), ..usual("jpeg") };
        assert!(candidates(&fresh, 20, 1).iter().all(|options| options.anchor == 0.0));
    }

    #[test]
    fn changes_are_told_in_a_few_words() {
        let usual = usual("bicubic");
        assert!(changes(&usual, &usual).is_empty());
        let tried = TrainOptions { rate: 4.1e-5, warp: 0.35, loss: Pixels::Mse, ..usual.clone() };
        assert_eq!(changes(&usual, &tried).join(", "), "rate 4.1e-5, bend 0.35, loss Mse");
        assert_eq!(
            [0.0, 0.0123, 1.0, 12.0, 0.00042].map(told),
            ["0", "0.012", "1", "12", "4.2e-4"]
        );
    }
}
