//! Runs in a folder of their own, by the library and by the command line.

use std::path::{Path, PathBuf};

use pixmend::{
    device::Chosen,
    net::{NetworkConfig, residual::ResidualConfig},
    train::{
        NEW, TrainOptions,
        run::{self, Run, Summary},
    },
};
use serde_json::Value;

use crate::support::{files, photograph, pixmend, stderr, write};

fn photos(folder: &Path) -> Vec<PathBuf> {
    let one = |seed: u64| write(folder, &format!("{seed}.png"), &photograph(seed, 90, 80));
    (0..8).map(one).collect()
}

/// A tiny network that learns a few steps.
fn options(photos: Vec<PathBuf>, steps: u64) -> TrainOptions {
    let network = ResidualConfig { channels: 4, blocks: 1, ..ResidualConfig::starter() };
    TrainOptions {
        base: NEW.to_owned(),
        network: Some(NetworkConfig::Residual(network)),
        batch: 2,
        crop: 12,
        warm_up: 2,
        rate: 2e-3,
        validate_every: 4,
        average: 0.9,
        steps,
        photos,
        ..TrainOptions::default()
    }
}

/// Steps and losses so far.
fn losses(run: &Run) -> Vec<(u64, f64)> {
    run.losses().iter().map(|loss| (loss.step, loss.loss)).collect()
}

#[test]
fn a_run_goes_on_from_its_folder_and_its_recipe_makes_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let options = options(photos(folder.path()), 30);
    let mut whole = Run::begin(&runs, "whole", options.clone(), Chosen::cpu()).unwrap();
    while !whole.trainer().is_over() {
        whole.step().unwrap();
    }
    assert_eq!(whole.losses().len(), 30);

    // The same, left in the middle twice: as it should be, and as by a crash after a look.
    let mut run = Run::begin(&runs, "whole", options, Chosen::cpu()).unwrap();
    let place = run.summary().folder.clone();
    assert_eq!(place, runs.join("whole-1"), "no run goes into the folder of another");
    (0..6).for_each(|_| assert!(run.step().is_ok()));
    run.save().unwrap();
    drop(run);
    let mut run = Run::resume(&place, Chosen::cpu()).unwrap();
    assert_eq!(losses(&run), losses(&whole)[..6]);
    (0..7).for_each(|_| assert!(run.step().is_ok()));
    drop(run);
    let mut run = Run::resume(&place, Chosen::cpu()).unwrap();
    assert_eq!(run.trainer().done(), 12, "the last look was at step 12");
    let listed = |place: &Path| -> Option<Summary> {
        run::list(&runs).into_iter().find(|run| run.folder == place)
    };
    let waiting = listed(&place).unwrap();
    assert!(waiting.step == 12 && waiting.steps == 30 && waiting.verdict.is_none());
    assert!(waiting.bytes > std::fs::metadata(place.join("run.checkpoint")).unwrap().len());
    while !run.trainer().is_over() {
        run.step().unwrap();
    }
    assert_eq!(losses(&run), losses(&whole));

    // The last four looks and the best are kept, each with its picture.
    let verdict = run.finish(|| Ok(())).unwrap().clone();
    let summary = run.summary();
    let steps: Vec<u64> = summary.checkpoints.iter().map(|checkpoint| checkpoint.step).collect();
    assert!(steps.ends_with(&[20, 24, 28, 30]) && steps.len() <= 5, "{steps:?}");
    assert!(steps.contains(&summary.best.unwrap()));
    assert_eq!(files(&place.join("weights")).len(), 2 * steps.len());
    for checkpoint in &summary.checkpoints {
        assert!(pixmend::model::Model::open(&summary.weights(checkpoint.step)).is_ok());
    }
    assert!(summary.page().is_file() && summary.model().is_file());
    assert!(listed(&place).unwrap().verdict.is_some());
    assert_eq!(verdict.photos.len(), run.trainer().split().test.len());

    // What a panel does is a file that the command line runs, photos and all.
    let again = folder.path().join("again.safetensors");
    let mut command = pixmend();
    command.arg("train").arg("-o").arg(&again).arg("--recipe").arg(summary.recipe());
    let rerun = command.args(["--device", "cpu", "--json-events"]).output().unwrap();
    assert!(rerun.status.success(), "{}", stderr(&rerun));
    let lines = rerun.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let events: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
    let steps = events.iter().filter(|event| event["event"] == "step");
    let of = |event: &Value| (event["step"].as_u64().unwrap(), event["loss"].as_f64().unwrap());
    // JSON may lose the last bit of a number: both go through it.
    let told = |(step, loss): (u64, f64)| {
        (step, serde_json::json!(loss).to_string().parse::<Value>().unwrap().as_f64().unwrap())
    };
    let expected: Vec<(u64, f64)> = losses(&whole).into_iter().map(told).collect();
    assert_eq!(steps.map(of).collect::<Vec<_>>(), expected);
    let last = events.last().unwrap();
    assert!((last["verdict"]["gain_db"].as_f64().unwrap() - verdict.gain_db).abs() < 1e-9);
}

#[test]
fn a_run_that_finds_nothing_better_ends_early() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing is learnt at such a rate, so the first look stays the best.
    let still = TrainOptions { rate: 1e-12, patience: 3, ..options(photos(folder.path()), 400) };
    let mut run = Run::begin(folder.path(), "still", still, Chosen::cpu()).unwrap();
    while !run.trainer().is_over() {
        run.step().unwrap();
    }
    assert!(run.trainer().done() < 100, "{} steps", run.trainer().done());
}

#[test]
fn a_run_that_diverges_is_rolled_back_with_half_the_rate() {
    let folder = tempfile::tempdir().unwrap();
    let wild = TrainOptions { rate: 5.0, clip: 1e9, ..options(photos(folder.path()), 60) };
    let mut run = Run::begin(folder.path(), "wild", wild, Chosen::cpu()).unwrap();
    // It may diverge so often that it gives up, in words.
    let mut rolled_back = None;
    while rolled_back.is_none() && !run.trainer().is_over() {
        let report = run.step().unwrap();
        rolled_back = report.rolled_back.then_some(report);
    }
    let back = rolled_back.expect("it was to diverge");
    let next = run.step().unwrap();
    assert!(next.rate < 0.75 * back.rate, "{} after {}", next.rate, back.rate);
}

#[test]
fn the_doctor_speaks_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    for seed in 0..5 {
        write(&photos, &format!("{seed}.png"), &photograph(seed, 200, 160));
    }
    write(&photos, "twin.png", &photograph(2, 200, 160));
    write(&photos, "tiny.png", &photograph(9, 60, 60));
    let doctor = |more: &[&str]| pixmend().arg("doctor").arg(&photos).args(more).output().unwrap();
    let plain = doctor(&[]);
    assert!(plain.status.success(), "{}", stderr(&plain));
    let text = String::from_utf8(plain.stdout).unwrap();
    assert!(text.contains("twin.png: the same photo as 2.png (better left out)"), "{text}");
    assert!(text.contains("tiny.png: too small: its shorter side needs 128 pixels"), "{text}");
    assert!(text.contains("5 of 7 photos are fit to learn from"), "{text}");
    assert!(!text.contains("1.png: "), "{text}");
    let json: Value = serde_json::from_slice(&doctor(&["--json"]).stdout).unwrap();
    let listed = json["photos"].as_array().unwrap();
    assert_eq!(listed.len(), 7);
    let twin = listed.iter().find(|photo| photo["problems"][0]["problem"] == "copy").unwrap();
    assert!(twin["path"].as_str().unwrap().ends_with("twin.png") && twin["kept"] == false);
    assert_eq!(json["plan"]["train"].as_array().unwrap().len(), 3);
    // With small crops the small one is welcome.
    let small: Value = serde_json::from_slice(&doctor(&["--json", "--crop", "12"]).stdout).unwrap();
    assert_eq!(small["plan"]["train"].as_array().unwrap().len(), 4);

    let nothing = pixmend().arg("doctor").arg(folder.path().join("none")).output().unwrap();
    assert_eq!(nothing.status.code(), Some(1));
}
