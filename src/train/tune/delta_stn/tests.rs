use burn::tensor::Device;

use super::*;
use crate::{
    device::Chosen,
    net::{NetworkConfig, residual::ResidualConfig, slots::Slot},
    train::{NEW, loss::Pixels},
};

fn numbers(tensor: &Tensor<1>) -> Vec<f32> {
    tensor.clone().into_data().try_into_vec().unwrap()
}

/// Weights w that are to be (1, 1) and are held near 0 by a strength a are 1 / (1 + a) at their
/// best; held-out photos would have them 0.8: a = 0.25.
#[test]
fn strengths_of_a_bowl_find_their_known_best() {
    let device = Device::flex();
    let of = |value: f64| Tensor::<1>::from_data([value as f32, value as f32], &device);
    for start in [2e-3, 0.9] {
        let mut options = TrainOptions { anchor: start, ..Default::default() }.resolved().unwrap();
        let strengths = Strengths::new(&options);
        let slots = [Slot { path: "w".into(), shape: vec![2] }];
        let mut w = of(1.0);
        let response = Response::new(&slots, vec![w.clone()], strengths.count());
        let mut delta = DeltaStn { strengths, response, rng: Rng::with_seed(3) };
        let none = [0.0; 2];
        let slopes = |w: &Tensor<1>, anchor: f64| (w.clone() - 1.0) + w.clone() * anchor;
        for step in 0..4_000 {
            delta.strengths.set(&mut options, &none);
            w = w.clone() - slopes(&w, options.anchor) * 0.05;
            let respond = |strengths: &Strengths, off: &[f64], shift: &[Tensor<1>]| {
                let mut options = options.clone();
                strengths.set(&mut options, off);
                Ok(Some(vec![Some(slopes(&(w.clone() + shift[0].clone()), options.anchor))]))
            };
            delta.respond(3e-3, respond).unwrap();
            if step > 200 && step % 5 == 0 {
                let seen =
                    |shift: &[Tensor<1>]| Ok(Some(vec![Some(w.clone() + shift[0].clone() - 0.8)]));
                delta.tune(seen).unwrap();
            }
        }
        let found = delta.strengths.values();
        let anchor = found.iter().find(|(name, _)| *name == "anchor").unwrap().1;
        assert!((0.17..0.36).contains(&anchor), "from {start}: {found:?}");
        assert!(numbers(&w).iter().all(|w| (0.74..0.86).contains(w)), "{:?}", numbers(&w));
        // The response is the slope of 1 / (1 + a) by the place of a; bending changes nothing.
        let here = |anchor: f64| {
            let mut at = options.clone();
            delta.strengths.set(&mut at, &[0.0, anchor]);
            1.0 / (1.0 + at.anchor)
        };
        let expected = (here(0.1) - here(-0.1)) / 0.2;
        let [bend, held] = [[1.0, 0.0], [0.0, 1.0]]
            .map(|off| f64::from(numbers(&delta.response.shift(&off)[0])[0]));
        assert!((held / expected - 1.0).abs() < 0.35, "{held} for {expected}");
        assert!(bend.abs() < 0.25 * held.abs(), "{bend} beside {held}");
    }
}

/// Photos of noise, no two alike.
fn host(folder: &std::path::Path, options: TrainOptions) -> Trainer {
    let photos: Vec<_> = (0..6)
        .map(|seed| {
            let mut rng = Rng::with_seed(seed);
            let cells: Vec<[u8; 3]> = (0..81).map(|_| [0; 3].map(|_: u8| rng.u8(..))).collect();
            let of = |x: u32, y: u32| image::Rgb(cells[(x / 8 + 9 * (y / 8)) as usize]);
            let path = folder.join(format!("{seed}.png"));
            image::RgbImage::from_fn(72, 72, of).save(&path).unwrap();
            path
        })
        .collect();
    let base = Trainer::base_of(&options).unwrap();
    Trainer::new(&photos, base, options, Chosen::cpu()).unwrap()
}

fn options(base: &str) -> TrainOptions {
    let network = ResidualConfig { channels: 4, blocks: 1, ..ResidualConfig::restorer() };
    TrainOptions {
        base: base.to_owned(),
        network: Some(NetworkConfig::Residual(network)),
        degradation: "noise".to_owned(),
        rate: 1e-3,
        batch: 2,
        crop: 16,
        steps: 40,
        validate_every: 20,
        warm_up: 2,
        seed: 4,
        ..TrainOptions::default()
    }
}

#[test]
fn the_linear_network_has_the_slopes_of_the_network_where_nothing_is_shifted() {
    let folder = tempfile::tempdir().unwrap();
    // Of absolute differences, slopes change only where one changes its sign.
    let options = TrainOptions { loss: Pixels::Mse, ..options(NEW) };
    let mut trainer = host(folder.path(), options);
    (0..5).for_each(|_| assert!(trainer.step().is_ok()));
    let values = slots::values(&trainer.generator.network);
    let batch =
        || trainer.source.batch(&Cut::new(&trainer.options, trainer.base.config()), 7).unwrap();
    let apart = |a: &[Option<Tensor<1>>], b: &[Option<Tensor<1>>]| {
        let each = a.iter().zip(b).map(|(a, b)| {
            let (a, b) = (numbers(a.as_ref().unwrap()), numbers(b.as_ref().unwrap()));
            let squares = |v: &[f32]| v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
            let difference: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
            [squares(&difference), squares(&a)]
        });
        let [difference, all] = each.fold([0.0; 2], |sum, one| [sum[0] + one[0], sum[1] + one[1]]);
        (difference / all).sqrt()
    };
    let none: Vec<_> = values.iter().map(Tensor::zeros_like).collect();
    let line = trainer.slopes_of_line(batch(), &none, 0.0).unwrap();
    let (_, there) = trainer.slopes_at(batch(), &none).unwrap();
    assert!(apart(&line, there.each()) < 1e-5);
    // A little further the network is still nearly a line, and somewhere else.
    let far: Vec<_> = values.iter().map(|value| value.clone() * 0.02).collect();
    let line = trainer.slopes_of_line(batch(), &far, 0.0).unwrap();
    let (_, moved) = trainer.slopes_at(batch(), &far).unwrap();
    let [to_line, to_start] = [apart(&line, moved.each()), apart(&line, there.each())];
    assert!(to_line < 0.25, "{to_line}");
    assert!(to_start > 1e-3, "{to_start}");
}

#[test]
fn a_run_tunes_its_strengths_and_is_made_again_by_its_seed() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), options(NEW));
    let run = || {
        let mut run = SelfTuning::new(&host, host.options.clone()).unwrap();
        let before = run.values();
        let losses: Vec<f64> = (0..40).map(|_| run.step().unwrap().loss).collect();
        assert_eq!(run.trainer().done(), 40);
        assert_eq!(run.trainer().history().len(), 2);
        assert!(before.iter().zip(run.values()).all(|(a, b)| a.0 == b.0 && a.1 != b.1));
        (losses, run.values())
    };
    let first = run();
    assert_eq!(first.1.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["bend", "strength"]);
    assert_eq!(first, run());
}

#[test]
fn what_cannot_be_tuned_while_it_trains_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), options(NEW));
    let refused = TrainOptions { adversarial: 0.1, ..host.options.clone() };
    let error = SelfTuning::new(&host, refused).err().unwrap().to_string();
    assert!(error.contains("discriminator") && error.contains("--method halving"), "{error}");
}
