use std::path::{Path, PathBuf};

use super::*;
use crate::{
    net::{NetworkConfig, residual::ResidualConfig},
    train::NEW,
};

fn options(folder: &Path) -> TrainOptions {
    let photos = (0..6).map(|seed| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let cells: Vec<[u8; 3]> = (0..81).map(|_| [0; 3].map(|_: u8| rng.u8(..))).collect();
        let of = |x: u32, y: u32| image::Rgb(cells[(x / 8 + 9 * (y / 8)) as usize]);
        let path = folder.join(format!("{seed}.png"));
        image::RgbImage::from_fn(72, 72, of).save(&path).unwrap();
        path
    });
    let network = ResidualConfig { channels: 4, blocks: 1, ..ResidualConfig::restorer() };
    TrainOptions {
        base: NEW.to_owned(),
        network: Some(NetworkConfig::Residual(network)),
        degradation: "noise".to_owned(),
        rate: 1e-3,
        batch: 2,
        crop: 16,
        steps: 500,
        seed: 4,
        photos: photos.collect::<Vec<PathBuf>>(),
        ..TrainOptions::default()
    }
}

/// What a search of its own steps finds, and what was told on the way.
fn found(
    by: impl Fn(&mut Search<'_>) -> Result<Found>,
    options: &TrainOptions,
) -> (Found, Vec<Stage>) {
    let mut stages = Vec::new();
    let mut watch = |stage: &Stage| {
        stages.push(stage.clone());
        Ok(())
    };
    let base = Trainer::base_of(options).unwrap();
    let host = Trainer::new(&options.photos, base, options.clone(), Chosen::cpu()).unwrap();
    let clock = Clock { limit: Duration::from_secs(3600), worked: Duration::ZERO };
    let stage = Stage { share: 0.0, doing: String::new(), base_psnr: None, tried: Vec::new() };
    let found = by(&mut Search { host, clock, watch: &mut watch, stage }).unwrap();
    (found, stages)
}

#[test]
fn a_race_ends_with_settings_that_can_be_trained_with() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let rungs = bracket(7.0 * 30.0, 0.0);
    let race = || found(|search| search.raced(&rungs), &options);
    let ((tried, chosen, settings, course), stages) = race();
    assert!(tried.len() == 3 && tried[0].changes.is_empty() && course.is_empty());
    assert!(tried[1..].iter().all(|tried| tried.changes.contains("rate ")), "{tried:?}");
    let steps = |tried: &Tried| tried.looks.iter().map(|point| point.step).collect::<Vec<_>>();
    assert_eq!(steps(&tried[0]), [30, 90], "the usual settings go all the way");
    assert_eq!(tried.iter().filter(|tried| steps(tried) == [30]).count(), 1);
    let best = |which: usize| tried[which].best(Measure::Psnr);
    assert!((0..3).all(|other| best(chosen) >= best(other) || steps(&tried[other]).len() == 1));
    assert!(stages.windows(2).all(|pair| pair[0].share <= pair[1].share));
    assert_eq!(stages.len(), 3 * 30 + 2 * 60, "each step is told");
    // Only settings are other, and the run is as long as it was to be.
    let TrainOptions { steps, average, warm_up, validate_every, .. } = settings;
    let usual = (options.steps, options.average, options.warm_up, options.validate_every);
    assert_eq!((steps, average, warm_up, validate_every), usual);
    assert_eq!(settings.photos, options.photos);
    assert_eq!(settings.rate == options.rate, chosen == 0);
    let again = race().0;
    assert_eq!((again.0, again.1, again.2), (tried, chosen, settings), "by its seed");
}

#[test]
fn a_run_that_tunes_itself_is_compared_with_a_plain_one() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let ((tried, chosen, settings, course), _) =
        found(|search| search.compared([48, 40]), &options);
    let steps = |tried: &Tried| tried.looks.iter().map(|point| point.step).collect::<Vec<_>>();
    assert_eq!(steps(&tried[0]), [6, 12, 18, 24, 30, 36, 42, 48]);
    assert_eq!(steps(&tried[1]), [5, 10, 15, 20, 25, 30, 35, 40]);
    assert_eq!(course.iter().map(|mark| mark.step).collect::<Vec<_>>()[..3], [0, 5, 10]);
    let names: Vec<&str> = course[0].values.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["bend", "strength"], "a fresh network has no base to be held near");
    assert!(course[0].values != course.last().unwrap().values);
    let best = |which: usize| tried[which].best(Measure::Psnr);
    assert_eq!(chosen == 1, best(1) > best(0));
    assert_eq!(settings.warp > 0.0, chosen == 1);
    assert!(tried[1].changes.contains("bend ") && tried[1].changes.contains("strength "));
}

#[test]
fn minutes_are_turned_into_a_search() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    for method in [Method::Halving, Method::DeltaStn] {
        let tuned = tune(options.clone(), method, 0.03, Chosen::cpu(), &mut |_| Ok(())).unwrap();
        assert!(tuned.seconds > 0.0 && tuned.chosen < tuned.tried.len());
        assert!(!tuned.sentence.is_empty());
        tuned.options.resolved().unwrap();
    }
}

#[test]
fn a_search_can_be_ended_and_wants_time() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    for method in [Method::Halving, Method::DeltaStn] {
        let mut heard = 0;
        let mut watch = |_: &Stage| {
            heard += 1;
            if heard > 20 { Err(Error::Cancelled) } else { Ok(()) }
        };
        let ended = tune(options.clone(), method, 1.0, Chosen::cpu(), &mut watch);
        assert!(matches!(ended, Err(Error::Cancelled)), "{method:?}");
        assert_eq!(heard, 21);
    }
    for minutes in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let ended = tune(options.clone(), Method::Halving, minutes, Chosen::cpu(), &mut |_| Ok(()));
        assert!(matches!(ended, Err(Error::Setting(_))), "{minutes}");
    }
}

#[test]
fn what_was_found_is_told_with_what_the_usual_settings_gave() {
    let point = |step, psnr| Point { step, loss: 0.0, psnr, distance: None };
    let tried = |changes: &str, looks: &[(u64, f64)]| Tried {
        changes: changes.to_owned(),
        looks: looks.iter().map(|(step, psnr)| point(*step, *psnr)).collect(),
    };
    let mut tuned = Tuned {
        method: Method::Halving,
        options: TrainOptions::default(),
        base_psnr: 30.0,
        base_distance: None,
        tried: vec![
            tried("", &[(50, 30.1), (150, 30.05), (450, 31.0)]),
            tried("rate 4e-5", &[(50, 30.0), (150, 30.25)]),
        ],
        chosen: 1,
        course: Vec::new(),
        seconds: 1.0,
        sentence: String::new(),
    };
    assert_eq!(
        tuned.in_words(Measure::Psnr),
        "rate 4e-5: +0.250 dB on the held-out photos, the usual settings +0.100 dB after as many \
         steps (150)"
    );
    (tuned.chosen, tuned.base_psnr) = (0, 32.0);
    assert_eq!(
        tuned.in_words(Measure::Psnr),
        "the usual settings did best of 2: -1.000 dB on the held-out photos after 450 steps; the \
         base itself is not worse yet"
    );
    tuned.method = Method::DeltaStn;
    let words = tuned.in_words(Measure::Psnr);
    assert!(words.contains("the run that tuned itself (rate 4e-5) -1.750 dB in the same time"));
}
