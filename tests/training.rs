//! Training from end to end, on photos made here and a tiny network.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use image::{Rgb, RgbImage};
use pixmend::{
    device::Chosen,
    model::Model,
    net::{
        NetworkConfig,
        blocks::ActivationKind,
        enhancenet::{EnhanceNetConfig, EnhanceNetKind},
        residual::{ResidualConfig, Upsampler},
        unet::UnetConfig,
    },
    settings::Existing,
    train::{TrainOptions, Trainer, muon::Optimiser, options::Precision},
};
use serde_json::Value;

use crate::support::{files, pixmend, stderr, write};

/// Photos with edges and textures, no two alike.
fn photos(folder: &Path, count: u32) -> PathBuf {
    let folder = folder.join("photos");
    fs::create_dir(&folder).unwrap();
    for i in 0..count {
        let photo = RgbImage::from_fn(120, 110, |x, y| {
            let (x, y) = (x as f32, y as f32);
            let angle = i as f32 * 0.7;
            let along = x * angle.cos() + y * angle.sin();
            let stripes = if (along / (4.0 + i as f32 % 5.0)).sin() > 0.0 { 210.0 } else { 40.0 };
            let spot = (x - 20.0 - 7.0 * i as f32 % 80.0).hypot(y - 55.0) < 25.0;
            let shade = if spot { 128.0 + 60.0 * (x / 3.0).sin() } else { stripes };
            Rgb([shade as u8, (shade * 0.6 + y) as u8, (255.0 - shade) as u8])
        });
        write(&folder, &format!("{i:02}.png"), &photo);
    }
    folder
}

fn train(photos: &Path, output: &Path, more: &[&str]) -> Command {
    let mut command = plain(photos, output, more);
    command.args(["--batch", "4", "--crop", "12", "--warm-up", "5"]);
    command
}

/// Without options that a recipe can hold.
fn plain(photos: &Path, output: &Path, more: &[&str]) -> Command {
    let mut command = pixmend();
    command.arg("train").arg(photos).arg("-o").arg(output);
    command.args(["--base", "new", "--channels", "6", "--blocks", "1", "--device", "cpu"]);
    command.arg("--json-events").args(more);
    command
}

/// What a run writes beside its model.
fn beside(output: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}.{ending}", output.display()))
}

/// The events that a run printed.
fn events(stdout: &[u8]) -> Vec<Value> {
    let lines = stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// Losses by step.
fn losses(events: &[Value]) -> Vec<(u64, f64)> {
    let steps = events.iter().filter(|event| event["event"] == "step");
    steps.map(|event| (event["step"].as_u64().unwrap(), event["loss"].as_f64().unwrap())).collect()
}

#[test]
fn a_fresh_network_learns_and_is_judged_on_photos_it_has_not_seen() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 12);
    let output = folder.path().join("model.safetensors");
    let options = ["--steps", "120", "--validate-every", "40", "--rate", "0.004"];
    let run = train(&photos, &output, &options).output().unwrap();
    assert!(run.status.success(), "{}", stderr(&run));
    let events = events(&run.stdout);
    assert_eq!(events[0]["event"], "started");
    assert_eq!(events[0]["train"].as_u64().unwrap() + 3, 12);
    let losses = losses(&events);
    assert_eq!(losses.len(), 120);
    let mean = |part: &[(u64, f64)]| part.iter().map(|l| l.1).sum::<f64>() / part.len() as f64;
    assert!(mean(&losses[100..]) < 0.9 * mean(&losses[..20]), "it does not learn");
    let finished = events.last().unwrap();
    assert_eq!(finished["event"], "finished");
    let verdict = &finished["verdict"];
    assert_eq!(verdict["is_better"], true, "{verdict}");
    assert!(verdict["gain_db"].as_f64().unwrap() > 0.3, "{verdict}");
    assert!((0.0..=1.0).contains(&finished["waiting_share"].as_f64().unwrap()));

    // The file is a model like any other, and its recipe and report lie beside it.
    let photo = photos.join("00.png");
    let enlarged = pixmend()
        .args(["upscale", "--device", "cpu", "--model"])
        .args([&output, &photo])
        .arg("-o")
        .arg(folder.path().join("enlarged.png"))
        .output()
        .unwrap();
    assert!(enlarged.status.success(), "{}", stderr(&enlarged));
    let report = fs::read_to_string(beside(&output, "report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["verdict"], *verdict);
    assert_eq!(report["history"].as_array().unwrap().len(), 3);
    let page = beside(&output, "report");
    let text = fs::read_to_string(page.join("index.html")).unwrap();
    assert!(text.contains("Better than the base on"), "{text}");
    for file in ["0-before.png", "0-base.png", "0-tuned.png", "0-original.png"] {
        assert!(text.contains(file) && image::open(page.join(file)).is_ok(), "{file}");
    }

    // The recipe alone makes the same run again.
    let again = folder.path().join("again.safetensors");
    let recipe = beside(&output, "toml");
    let mut command = pixmend();
    command.arg("train").arg(&photos).arg("-o").arg(&again).arg("--recipe").arg(&recipe);
    let rerun = command.args(["--device", "cpu", "--json-events"]).output().unwrap();
    assert!(rerun.status.success(), "{}", stderr(&rerun));
    assert_eq!(self::losses(&self::events(&rerun.stdout)), losses);
    // The order of the words in a file's header is left to chance; the weights are not.
    let weights = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut named: Vec<(String, Vec<u8>)> =
            tensors.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect();
        named.sort();
        named
    };
    assert!(weights(&again) == weights(&output));
}

#[cfg(unix)]
#[test]
fn a_run_that_was_killed_goes_on_with_the_same_losses() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 8);
    let whole = folder.path().join("whole.safetensors");
    let options = ["--steps", "40", "--validate-every", "10"];
    let expected = train(&photos, &whole, &options).output().unwrap();
    assert!(expected.status.success(), "{}", stderr(&expected));
    let expected = losses(&events(&expected.stdout));

    let output = folder.path().join("killed.safetensors");
    let mut run = train(&photos, &output, &options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let checkpoint = beside(&output, "checkpoint");
    while !checkpoint.exists() {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(2));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(!output.exists());

    let resumed = train(&photos, &output, &["--resume"]).output().unwrap();
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    let resumed = losses(&events(&resumed.stdout));
    let first = resumed[0].0;
    assert!(
        first > 10 && (first - 1).is_multiple_of(10),
        "it goes on at a checkpoint, not at {first}"
    );
    for (step, loss) in resumed {
        let before = expected[step as usize - 1];
        assert_eq!(before.0, step);
        assert!((before.1 - loss).abs() < 1e-5, "step {step}: {loss} instead of {}", before.1);
    }
    assert!(output.exists());

    // With other photos, held-out ones could be learnt from.
    fs::copy(photos.join("00.png"), photos.join("copy.png")).unwrap();
    let refused = train(&photos, &output, &["--resume"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("not those"), "{}", stderr(&refused));
    // And a run is not begun over another one unasked.
    fs::remove_file(&output).unwrap();
    let refused = train(&photos, &output, &options).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("exists already"), "{}", stderr(&refused));
}

#[cfg(unix)]
#[test]
fn a_full_disk_ends_a_run_and_leaves_its_last_checkpoint_whole() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 6);
    let output = folder.path().join("model.safetensors");
    let checkpoint = beside(&output, "checkpoint");
    let options = ["--steps", "20", "--validate-every", "5"];
    let stopped = train(&photos, &output, &[&options[..], &["--minutes", "0"]].concat()).output();
    assert!(stopped.unwrap().status.success());
    let whole = fs::read(&checkpoint).unwrap();

    // Files may not grow beyond 8 KiB: to a program that is what a full disk looks like.
    let resume = train(&photos, &output, &["--resume"]);
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"trap "" XFSZ; ulimit -f 16; exec "$0" "$@""#]);
    let run = limited.arg(resume.get_program()).args(resume.get_args()).output().unwrap();
    assert_eq!(run.status.code(), Some(1), "{}", stderr(&run));
    assert!(stderr(&run).contains("full"), "{}", stderr(&run));
    assert!(whole.len() > 8192 && fs::read(&checkpoint).unwrap() == whole);
    let left = files(folder.path());
    assert!(left.iter().all(|name| !name.contains("tmp")), "{left:?}");

    let resumed = train(&photos, &output, &["--resume"]).output().unwrap();
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    assert_eq!(losses(&events(&resumed.stdout)).last().unwrap().0, 20);
}

#[test]
fn a_rate_far_too_high_is_rolled_back_and_ends_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 6);
    let output = folder.path().join("model.safetensors");
    let options = ["--steps", "200", "--validate-every", "5", "--rate", "9"];
    let run =
        train(&photos, &output, &[&options[..], &["--average", "0.5"]].concat()).output().unwrap();
    let events = events(&run.stdout);
    assert!(events.iter().any(|event| event["rolled_back"] == true), "nothing was rolled back");
    assert!(!stderr(&run).contains("panicked"), "{}", stderr(&run));
    match run.status.code() {
        Some(0) => assert_eq!(events.last().unwrap()["event"], "finished"),
        code => {
            assert_eq!(code, Some(1));
            assert!(stderr(&run).contains("lower --rate"), "{}", stderr(&run));
            assert!(!output.exists());
        }
    }
}

#[test]
fn training_refuses_what_it_cannot_use() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 5);
    let output = folder.path().join("model.safetensors");
    let refuse = |photos: &Path, more: &[&str], words: &str| {
        let run = plain(photos, &output, more).output().unwrap();
        assert_eq!(run.status.code(), Some(1), "{more:?}: {}", stderr(&run));
        assert!(stderr(&run).contains(words), "{more:?}: {}", stderr(&run));
        assert_eq!(stderr(&run).trim().lines().count(), 1, "{}", stderr(&run));
    };
    let few = folder.path().join("few");
    fs::create_dir(&few).unwrap();
    fs::copy(photos.join("00.png"), few.join("a.png")).unwrap();
    fs::copy(photos.join("00.png"), few.join("b.png")).unwrap();
    refuse(&few, &[], "few");
    refuse(&photos, &["--crop", "400"], "photos");
    refuse(&photos, &["--rate", "0"], "out of its range");
    refuse(&photos, &["--degradation", "rain", "--crop", "12"], "rain");
    refuse(&photos, &["--resume"], "model.safetensors.checkpoint");
    let recipe = folder.path().join("r.toml");
    std::io::Write::write_all(&mut fs::File::create(&recipe).unwrap(), b"stepz = 3\n").unwrap();
    refuse(&photos, &["--recipe", recipe.to_str().unwrap()], "r.toml");
    assert!(!output.exists());
}

#[test]
fn degrading_is_exact_and_made_again_by_its_seed() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 1);
    let photo = photos.join("00.png");
    let degrade = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let run = pixmend().arg("degrade").arg(&photo).arg("-o").arg(&out).args(more).output();
        let run = run.unwrap();
        assert!(run.status.success(), "{}", stderr(&run));
        image::open(out).unwrap().into_rgb8()
    };
    let small = degrade("a.png", &[]);
    assert_eq!(small.dimensions(), (30, 27));
    let original = image::open(&photo).unwrap().into_rgb8();
    let cut = image::imageops::crop_imm(&original, 0, 0, 120, 108).to_image();
    assert!(small == pixmend::picture::resample::shrink_exact(&cut, 4));
    let blind = |name: &str, seed: &str| {
        degrade(name, &["--recipe", "blind", "--scale", "2", "--seed", seed])
    };
    assert!(blind("b.png", "1") == blind("c.png", "1"));
    assert!(blind("d.png", "2") != blind("e.png", "1"));
    assert_eq!(files(folder.path()).len(), 6);
}

#[test]
fn degrade_marks_a_photo_and_writes_the_exact_mask() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 1);
    let photo = photos.join("00.png");
    let path = |name: &str| folder.path().join(name);
    let degrade = |out: &str, mask: &str, more: &[&str]| {
        let mut command = pixmend();
        command.arg("degrade").arg(&photo).arg("-o").arg(path(out)).arg("--mask").arg(path(mask));
        command.args(["--scale", "1"]).args(more).output().unwrap()
    };
    let run = degrade("marked.png", "mask.png", &["--recipe", "watermark", "--seed", "3"]);
    assert!(run.status.success(), "{}", stderr(&run));
    let original = image::open(&photo).unwrap().into_rgb8();
    let marked = image::open(path("marked.png")).unwrap().into_rgb8();
    let mask = image::open(path("mask.png")).unwrap();
    assert_eq!(mask.color(), image::ColorType::L8);
    let mask = mask.into_luma8();
    assert!(mask.pixels().any(|pixel| pixel.0[0] == 255));
    assert_eq!(original.dimensions(), mask.dimensions());
    for ((before, after), mask) in original.pixels().zip(marked.pixels()).zip(mask.pixels()) {
        assert!(before == after || mask.0[0] == 255);
    }

    // Whatever is refused, nothing is written.
    let refused = |out: &str, mask: &str, more: &[&str], sentence: &str| {
        let run = degrade(out, mask, more);
        assert_eq!(run.status.code(), Some(1));
        assert!(stderr(&run).contains(sentence), "{}", stderr(&run));
        assert!(!path("new.png").exists() && !path("new-mask.png").exists());
    };
    let damage = ["--recipe", "damage"];
    refused("new.png", "mask.png", &damage, "exists already");
    refused("marked.png", "new-mask.png", &damage, "exists already");
    refused("new.png", "new-mask.png", &["--recipe", "noise"], "makes no mask");
    refused("new.png", "./photos/../new.png", &damage, "two different names");
    refused("new.png", "new-mask.jpg", &damage, "cannot be a JPEG");
    refused("new.png", "missing/mask.png", &damage, "missing");
    refused(
        "new.png",
        "photos/00.png",
        &["--recipe", "damage", "--overwrite"],
        "would replace the photo",
    );
    assert!(image::open(&photo).unwrap().into_rgb8() == original);
    let again = degrade("marked.png", "mask.png", &["--recipe", "damage", "--overwrite"]);
    assert!(again.status.success(), "{}", stderr(&again));
    assert!(image::open(path("mask.png")).unwrap().into_luma8() != mask);
}

#[test]
fn the_range_test_suggests_rates_and_draws_its_curve() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 6);
    let output = folder.path().join("model.safetensors");
    let run = train(&photos, &output, &["--find-rate"]).output().unwrap();
    assert!(run.status.success(), "{}", stderr(&run));
    let search: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert!(search["points"].as_array().unwrap().len() > 30, "{search}");
    for rate in ["steepest", "tenth_of_lowest"] {
        assert!((1e-6..1.0).contains(&search[rate].as_f64().unwrap()), "{search}");
    }
    let plot = fs::read_to_string(beside(&output, "rates.svg")).unwrap();
    assert!(plot.contains("<polyline"));
    assert!(!output.exists(), "nothing was trained");
}

fn residual(batch_norm: bool) -> NetworkConfig {
    NetworkConfig::Residual(ResidualConfig {
        channels: 4,
        blocks: 2,
        batch_norm,
        activation: ActivationKind::PRelu,
        upsampler: Upsampler::SubPixel,
        scale: 2,
        ..ResidualConfig::starter()
    })
}

fn unet(batch_norm: bool, mask: bool) -> NetworkConfig {
    NetworkConfig::Unet(UnetConfig {
        width: 4,
        blocks: [1; 4],
        batch_norm,
        scale: 1,
        mask,
        marked: mask,
    })
}

fn trainer(photos: &Path, config: &NetworkConfig, options: &TrainOptions) -> Trainer {
    let base = Trainer::fresh(config, options.seed).unwrap();
    let photos = [photos.to_owned()];
    Trainer::new(&photos, base, options.clone(), Chosen::cpu()).unwrap()
}

fn small() -> TrainOptions {
    TrainOptions {
        steps: 12,
        batch: 2,
        crop: 16,
        rate: 1e-3,
        warm_up: 2,
        validate_every: 4,
        ..TrainOptions::default()
    }
}

/// The numbers of a model by their names.
fn weights(model: &Model) -> Vec<(String, Vec<u8>)> {
    let tensors = safetensors::SafeTensors::deserialize(model.bytes()).unwrap();
    let mut all: Vec<_> =
        tensors.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect();
    all.sort();
    all
}

#[test]
fn every_kind_of_run_goes_on_as_it_would_have() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 6);
    let gan = TrainOptions { adversarial: 1e-3, discriminator_channels: 4, ..small() };
    let dense = TrainOptions {
        discriminator: pixmend::train::loss::DiscriminatorKind::Dense,
        ..gan.clone()
    };
    let growing = TrainOptions {
        progressive: vec!["8@0.4".parse().unwrap()],
        accumulate: 2,
        freeze: 5,
        backbone_rate: 0.1,
        warp: 0.5,
        total_variation: 1e-3,
        ..small()
    };
    let damage =
        TrainOptions { degradation: "damage".to_owned(), mask_weight: 5.0, crop: 32, ..small() };
    let enhance = EnhanceNetConfig { kind: EnhanceNetKind::BicubicSkip, channels: 4, blocks: 1 };
    let mender = ResidualConfig { channels: 8, blocks: 1, ..ResidualConfig::mender() };
    let muon = TrainOptions { optimiser: Optimiser::Muon, ..damage.clone() };
    for (config, options) in [
        (NetworkConfig::Residual(mender), muon),
        (residual(true), gan),
        (residual(false), dense),
        (residual(false), growing),
        (unet(true, true), damage.clone()),
        (unet(false, false), damage),
        (NetworkConfig::EnhanceNet(enhance), small()),
    ] {
        let mut whole = trainer(&photos, &config, &options);
        let checkpoint = folder.path().join("run.checkpoint");
        for _ in 0..6 {
            whole.step().unwrap();
        }
        whole.save(&checkpoint).unwrap();
        let mut resumed =
            Trainer::resume(&checkpoint, std::slice::from_ref(&photos), Chosen::cpu()).unwrap();
        assert!((resumed.base_psnr() - whole.base_psnr()).abs() < 1e-9);
        while whole.done() < options.steps {
            let (expected, found) = (whole.step().unwrap(), resumed.step().unwrap());
            assert!(expected.loss.is_finite() && expected.loss > 0.0, "{config:?}");
            assert!(
                (expected.loss - found.loss).abs() < 1e-5,
                "{config:?}, step {}: {} instead of {}",
                expected.step,
                found.loss,
                expected.loss
            );
        }
        let (best, again) = (whole.best().unwrap(), resumed.best().unwrap());
        assert!(best.step == again.step && (best.psnr - again.psnr).abs() < 1e-9);
        assert!(weights(whole.best_model()) == weights(resumed.best_model()), "{config:?}");
    }
}

#[test]
fn every_option_changes_what_is_learnt() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 6);
    let base = Trainer::fresh(&unet(false, false), 0).unwrap();
    let plain = || TrainOptions { degradation: "damage".to_owned(), crop: 32, ..small() };
    let losses = |options: TrainOptions| -> Vec<f64> {
        let photos = [photos.clone()];
        let mut trainer = Trainer::new(&photos, base.clone(), options, Chosen::cpu()).unwrap();
        (0..5).map(|_| trainer.step().unwrap().loss).collect()
    };
    let expected = losses(plain());
    assert_eq!(losses(plain()), expected);
    let stages = || vec!["16@0.9".parse().unwrap()];
    for changed in [
        TrainOptions { mask_weight: 5.0, ..plain() },
        TrainOptions { pixel_weight: 2.0, ..plain() },
        TrainOptions { total_variation: 0.1, ..plain() },
        TrainOptions { adversarial: 0.1, discriminator_channels: 4, ..plain() },
        TrainOptions { warp: 1.0, ..plain() },
        TrainOptions { anchor: 10.0, ..plain() },
        TrainOptions { progressive: stages(), ..plain() },
        TrainOptions { accumulate: 2, ..plain() },
        TrainOptions { freeze: 4, ..plain() },
        TrainOptions { optimiser: Optimiser::Muon, ..plain() },
        TrainOptions { backbone_rate: 0.1, ..plain() },
        TrainOptions { clip: 1e-3, ..plain() },
        TrainOptions { seed: 7, ..plain() },
    ] {
        let text = format!("{changed:?}");
        let found = losses(changed);
        assert!(found.iter().all(|loss| loss.is_finite()), "{text}: {found:?}");
        assert!(found != expected, "{text}: {found:?}");
    }
}

#[test]
fn what_cannot_learn_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 6);
    let refused = |config: NetworkConfig, options: TrainOptions, word: &str| {
        let base = Trainer::fresh(&config, 0).unwrap();
        let error = Trainer::new(std::slice::from_ref(&photos), base, options, Chosen::cpu());
        let error = error.err().unwrap().to_string();
        assert!(error.contains(word), "{error}");
    };
    refused(unet(true, false), TrainOptions { batch: 1, ..small() }, "--batch 2");
    refused(unet(false, true), small(), "fills masks");
    let tiny = TrainOptions { adversarial: 1.0, crop: 8, ..small() };
    refused(unet(false, false), tiny, "16 pixels");
    let bad = UnetConfig { scale: 4, mask: true, ..UnetConfig::small() };
    let error = Trainer::fresh(&NetworkConfig::Unet(bad), 0).unwrap_err();
    assert!(error.to_string().contains("does not enlarge"), "{error}");

    // What is said of a fresh network is for a fresh network.
    let mut command = pixmend();
    command.arg("train").arg(&photos).arg("-o").arg(folder.path().join("x.safetensors"));
    let run = command.args(["--device", "cpu", "--channels", "8"]).output().unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(stderr(&run).contains("--base new"), "{}", stderr(&run));
}

#[test]
fn frozen_layers_stay_and_learn_later() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 6);
    let options = TrainOptions { freeze: 4, ..small() };
    let mut trainer = trainer(&photos, &residual(false), &options);
    let begin = weights(trainer.best_model());
    let mut changed_after = |steps: u64| -> Vec<String> {
        while trainer.done() < steps {
            trainer.step().unwrap();
        }
        let checkpoint = folder.path().join("run.checkpoint");
        trainer.save(&checkpoint).unwrap();
        let bytes = fs::read(&checkpoint).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let names = begin.iter().map(|(name, _)| name.clone());
        let now = |name: &str| {
            tensors.tensor(&format!("generator.value.{name}")).unwrap().data().to_vec()
        };
        let old = |name: &str| &begin.iter().find(|(other, _)| other == name).unwrap().1;
        names.filter(|name| now(name) != *old(name)).collect()
    };
    let first = changed_after(4);
    assert!(!first.is_empty());
    assert!(first.iter().all(|n| n.starts_with("upsample") || n.starts_with("tail")), "{first:?}");
    let later = changed_after(8);
    assert!(later.iter().any(|name| name.starts_with("head")), "{later:?}");
    assert!(later.iter().any(|name| name.starts_with("body.0")), "{later:?}");
}

#[test]
fn networks_with_a_mask_learn_to_fill_it() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 10);
    let output = folder.path().join("mend.safetensors");
    // One begins with what surrounds the marks continued, the other with the marks, through which
    // something shines.
    for (network, marks, least) in [("restorer", "damage", 1.0), ("unet-small", "watermark", 0.05)]
    {
        let mut command = pixmend();
        command.arg("train").arg(&photos).arg("-o").arg(&output).arg("--overwrite");
        command.args(["--base", "new", "--network", network, "--channels", "8", "--blocks", "1"]);
        command.args(["--mask", "--degradation", marks, "--crop", "64", "--batch", "4"]);
        command.args(["--steps", "150", "--validate-every", "20", "--rate", "0.003"]);
        command.args(["--optimiser", "muon", "--mask-weight", "20"]);
        command.args(["--device", "cpu", "--json-events"]);
        let run = command.output().unwrap();
        assert!(run.status.success(), "{}", stderr(&run));
        let events = events(&run.stdout);
        let verdict = &events.last().unwrap()["verdict"];
        let inside = |figures: &Value| figures["inside"].as_f64().unwrap();
        let gain = inside(&verdict["tuned"]) - inside(&verdict["base"]);
        assert!(gain > least, "{network}: {gain} dB inside the mask: {verdict}");
    }

    // It is a model, but none that enlarges.
    let photo = photos.join("00.png");
    let mut command = pixmend();
    command.args(["upscale", "--device", "cpu", "--scale", "1", "--model"]).arg(&output);
    let refused = command.arg(&photo).arg("-o").arg(folder.path().join("x.png")).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("does not enlarge"), "{}", stderr(&refused));
    // And it is not trained on photos without masks.
    let mut command = pixmend();
    command.arg("train").arg(&photos).arg("-o").arg(folder.path().join("other.safetensors"));
    command.args(["--device", "cpu", "--degradation", "jpeg", "--base"]).arg(&output);
    let refused = command.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("fills masks"), "{}", stderr(&refused));
}

#[test]
fn half_precision_learns_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 6);
    // Drawn once: threads of other tests draw from the same source.
    let base = Trainer::fresh(&residual(false), 0).unwrap();
    let losses = |precision| -> Vec<f64> {
        let options = TrainOptions { precision, ..small() };
        let photos = [photos.clone()];
        let mut trainer = Trainer::new(&photos, base.clone(), options, Chosen::cpu()).unwrap();
        (0..8).map(|_| trainer.step().unwrap().loss).collect()
    };
    let whole = losses(Precision::F32);
    for precision in [Precision::F16, Precision::Bf16] {
        let half = losses(precision);
        assert!(half != whole, "it did not compute in {precision:?}");
        for (half, whole) in half.iter().zip(&whole) {
            assert!((half - whole).abs() < 0.02 * whole, "{half} instead of {whole}");
        }
    }
    let options = TrainOptions { precision: Precision::F16, ..small() };
    let base = Trainer::fresh(&residual(true), 0).unwrap();
    let refused = Trainer::new(&[photos], base, options, Chosen::cpu()).err().unwrap();
    assert!(refused.to_string().contains("--precision"), "{refused}");
}

#[test]
fn tune_finds_a_recipe_that_train_takes() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 8);
    let base = folder.path().join("base.safetensors");
    let base = Trainer::fresh(&residual(false), 3).unwrap().save(&base, Existing::Refuse).unwrap();
    let recipe = folder.path().join("found.toml");
    let tune = |method: &str, minutes: &str, more: &[&str]| {
        let mut command = pixmend();
        command.arg("tune").arg(&photos).arg("-o").arg(&recipe).arg("--base").arg(&base);
        command.args(["--batch", "2", "--crop", "12", "--device", "cpu", "--degradation", "noise"]);
        command.args(["--method", method, "--minutes", minutes, "--steps", "9"]).args(more);
        command.output().unwrap()
    };
    let done = tune("halving", "0.1", &["--json-events"]);
    assert!(done.status.success(), "{}", stderr(&done));
    let told = events(&done.stdout);
    assert!(told.iter().any(|event| event["event"] == "tuning"));
    let found = &told.last().unwrap()["found"];
    assert_eq!(
        (found["method"].as_str(), &found["tried"][0]["changes"]),
        (Some("halving"), &"".into())
    );
    assert!(found["tried"].as_array().unwrap().len() >= 3);
    let options: TrainOptions = toml::from_str(&fs::read_to_string(&recipe).unwrap()).unwrap();
    assert_eq!((options.steps, options.batch, options.photos.len()), (9, 2, 0));
    assert!(folder.path().join("found.report.json").is_file());

    // What is there stays there, and a method says what it cannot do.
    let again = tune("halving", "0.1", &[]);
    assert!(!again.status.success() && stderr(&again).contains("found.toml"), "{}", stderr(&again));
    let none = tune("halving", "0", &["--overwrite"]);
    assert!(!none.status.success() && stderr(&none).contains("minutes"), "{}", stderr(&none));
    let more = ["--overwrite", "--adversarial", "0.1", "--discriminator-channels", "4"];
    let refused = tune("delta-stn", "0.1", &more);
    assert!(stderr(&refused).contains("give --method halving"), "{}", stderr(&refused));
    assert_eq!(
        toml::from_str::<TrainOptions>(&fs::read_to_string(&recipe).unwrap()).unwrap(),
        options
    );

    let done = tune("delta-stn", "0.3", &["--overwrite"]);
    assert!(done.status.success(), "{}", stderr(&done));
    assert!(stderr(&done).contains("in the same time"), "{}", stderr(&done));
    let output = folder.path().join("model.safetensors");
    let mut train = pixmend();
    train.arg("train").arg(&photos).arg("-o").arg(&output).arg("--recipe").arg(&recipe);
    let trained = train.args(["--device", "cpu", "--json-events"]).output().unwrap();
    assert!(trained.status.success(), "{}", stderr(&trained));
    assert_eq!(losses(&events(&trained.stdout)).len(), 9);
}
