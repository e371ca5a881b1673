//! Sizes, colours and what files say, by the program itself.

use image::{DynamicImage, GenericImageView as _};
use serde_json::Value;

use crate::support::{picture, stderr, upscale, write};

/// The report of a run that must succeed.
#[track_caller]
fn report(input: &std::path::Path, more: &[&str]) -> Value {
    let output = upscale(input, &[more, &["--json"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn any_size_can_be_asked_for_in_six_ways() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(45, 30));
    for (option, value, size, name) in [
        ("--scale", "2.5", (113, 75), "2.5x"),
        ("--width", "90", (90, 60), "90w"),
        ("--height", "90", (135, 90), "90h"),
        ("--long-side", "200", (200, 133), "200px"),
        ("--megapixels", "0.0054", (90, 60), "0.0054mp"),
        ("--print", "3x2cm@127", (150, 100), "3x2cm-127"),
    ] {
        let report = report(&photo, &[option, value]);
        let result = image::open(folder.path().join(format!("photo-{name}.png"))).unwrap();
        assert_eq!(result.dimensions(), size, "{option}");
        assert_eq!(report["passes"], if size.0 > 180 { 2 } else { 1 }, "{option}");
    }
    let refused = upscale(&photo, &["--scale", "17"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("up to 16 times in two passes"), "{}", stderr(&refused));
    let both = upscale(&photo, &["--scale", "2", "--width", "90"]);
    assert_eq!(both.status.code(), Some(2), "one way at a time");
    let sheet = upscale(&photo, &["--print", "A4"]);
    assert!(stderr(&sheet).contains("30x20cm@300"), "{}", stderr(&sheet));
}

#[test]
fn two_passes_are_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(24, 18));
    let both = report(&photo, &["--scale", "16", "--no-colour-lock"]);
    assert_eq!(
        (&both["passes"], &both["output_size"]),
        (&2.into(), &serde_json::json!([384, 288]))
    );
    report(&photo, &["--no-colour-lock"]);
    let once = folder.path().join("photo-4x.png");
    report(&once, &["--no-colour-lock"]);
    let open = |name: &str| image::open(folder.path().join(name)).unwrap().into_rgb8();
    let (whole, parts) = (open("photo-16x.png"), open("photo-4x-4x.png"));
    let apart: u64 = whole.iter().zip(parts.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    // Apart only by the 8 bits between them.
    assert!(apart as f64 / (whole.len() as f64) < 0.6, "{apart}");
}

#[test]
fn a_smaller_result_is_made_in_linear_light() {
    let folder = tempfile::tempdir().unwrap();
    // Lines of black and white, too fine for the result, have half the light of white.
    let lines =
        image::RgbImage::from_fn(96, 96, |x, _| image::Rgb([if x % 2 == 0 { 255 } else { 0 }; 3]));
    let photo = write(folder.path(), "lines.png", &lines);
    report(&photo, &["--scale", "0.25", "--no-colour-lock"]);
    let small = image::open(folder.path().join("lines-0.25x.png")).unwrap().into_luma8();
    let mean = small.iter().map(|value| f64::from(*value)).sum::<f64>() / small.len() as f64;
    assert!((170.0..=198.0).contains(&mean), "half of the light is 188, not 128: {mean}");
}

#[test]
fn colours_stay_the_photos() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(120, 90));
    let shift = |more: &[&str]| {
        let report = report(&photo, more);
        let number = |name: &str| report["colour_shift"][name].as_f64().unwrap();
        (number("before"), number("after"))
    };
    for model in ["photo-4x", "starter"] {
        let (before, after) = shift(&["--model", model]);
        assert!(before > 0.0 && after < 0.6 * before, "{model}: {before} to {after}");
        let (free, same) = shift(&["--model", model, "--no-colour-lock"]);
        assert_eq!(free, same);
        assert!((free - before).abs() < 1e-6, "the same network: {free} and {before}");
    }
    // What the receipt says is so: the mean over the picture by another way.
    let mean = |pixels: &DynamicImage| -> Vec<f64> {
        let small = pixels.resize_exact(1, 1, image::imageops::FilterType::Triangle).into_rgb8();
        small.iter().map(|value| f64::from(*value)).collect()
    };
    let source = mean(&image::open(&photo).unwrap());
    let result = mean(&image::open(folder.path().join("photo-4x.png")).unwrap());
    let apart = source.iter().zip(&result).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(apart <= 1.0, "{source:?} {result:?}");
}

#[test]
fn a_receipt_beside_the_result_says_what_was_done_and_how_to_do_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "it is.png", &picture(200, 160));
    let report = report(&photo, &["--receipt", "--long-side", "600", "--strip-location"]);
    let saved = std::fs::read_to_string(folder.path().join("it is-600px.png.json")).unwrap();
    let saved: Value = serde_json::from_str(&saved).unwrap();
    assert_eq!(saved, report, "the same as was printed");
    assert_eq!(saved["input_size"], serde_json::json!([200, 160]));
    assert_eq!(saved["output_size"], serde_json::json!([600, 480]));
    assert!(saved["consistency"].as_f64().unwrap() > 25.0, "{saved}");
    assert!(saved["colour_shift"]["after"].as_f64().unwrap() < 1.0);
    assert!(saved["estimate"]["disk"].as_u64().unwrap() >= 600 * 480 * 3);
    assert!(saved["estimate"]["seconds"].as_f64().unwrap() > 0.0);
    if cfg!(unix) {
        // The command does the same again, byte for byte.
        let first = std::fs::read(folder.path().join("it is-600px.png")).unwrap();
        let command = saved["command"].as_str().unwrap();
        let command =
            command.replacen("pixmend", concat!("'", env!("CARGO_BIN_EXE_pixmend"), "'"), 1);
        let again = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
        assert!(again.status.success(), "{command}: {}", stderr(&again));
        let second = std::fs::read(folder.path().join("it is-600px-1.png")).unwrap();
        assert!(first == second, "{command}");
    }
}

#[test]
fn large_results_are_announced_and_limits_are_found_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "wide.png", &picture(1100, 4));
    let refused = upscale(
        &photo,
        &["--width", "17600", "-o", folder.path().join("a.webp").to_str().unwrap()],
    );
    assert_eq!(refused.status.code(), Some(1));
    let words = stderr(&refused);
    assert!(words.contains("WebP cannot hold 17600 x 64") && words.contains(".tif"), "{words}");
    let photo = write(folder.path(), "large.png", &picture(1030, 1000));
    let output = upscale(&photo, &["-o", folder.path().join("large-4x.jpg").to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let words = stderr(&output);
    assert!(words.contains("4× to 4120 × 4000: about ") && words.contains(" of memory"), "{words}");
}
