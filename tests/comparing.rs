//! What tells a network's answer from the photo: how much of it is taken, and how that is shown.

use std::path::Path;

use image::RgbImage;
use pixmend::picture::resample::resize_exact;

use crate::support::{picture, stderr, upscale, write};

/// The result of `pixmend upscale` with these options.
fn enlarged(photo: &Path, name: &str, more: &[&str]) -> (Vec<u8>, RgbImage) {
    let output = photo.with_file_name(name);
    let done = upscale(photo, &[&["-o", output.to_str().unwrap()], more].concat());
    assert!(done.status.success(), "{}", stderr(&done));
    (std::fs::read(&output).unwrap(), image::open(&output).unwrap().into_rgb8())
}

#[test]
fn strength_goes_from_the_photo_interpolated_to_all_of_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let original = picture(90, 70);
    let photo = write(folder.path(), "a.png", &original);
    let (bytes, full) = enlarged(&photo, "full.png", &[]);
    let (all, _) = enlarged(&photo, "all.png", &["--strength", "1", "--tile", "384"]);
    assert!(bytes == all, "all of the answer is what was always made");
    let (_, none) = enlarged(&photo, "none.png", &["--strength", "0"]);
    let interpolated = resize_exact(&original, 360, 280);
    let apart = none.iter().zip(interpolated.iter()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(apart.unwrap() <= 1 && full != none, "{apart:?}");
    let (_, some) = enlarged(&photo, "some.png", &["--strength", "0.3", "--tile", "64"]);
    for ((some, none), full) in some.iter().zip(none.iter()).zip(full.iter()) {
        let expected = 0.7 * f32::from(*none) + 0.3 * f32::from(*full);
        assert!((f32::from(*some) - expected).abs() <= 1.0, "{none} {some} {full}");
    }
    let refused = upscale(&photo, &["--strength", "1.5"]);
    assert!(stderr(&refused).contains("a strength is a number from 0 to 1"));
}

#[test]
fn many_photos_take_the_strength_and_the_receipt_says_it() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "a.png", &picture(60, 40));
    let (one, _) = enlarged(&photo, "one.png", &["--strength", "0.5", "--receipt"]);
    let receipt = std::fs::read_to_string(folder.path().join("one.png.json")).unwrap();
    let receipt: serde_json::Value = serde_json::from_str(&receipt).unwrap();
    assert_eq!(receipt["strength"], 0.5);
    assert!(receipt["command"].as_str().unwrap().contains("--strength 0.5"), "{receipt}");
    let out = folder.path().join("out");
    let many = upscale(&photo, &["--strength", "0.5", "-o", out.to_str().unwrap(), "-r"]);
    assert!(many.status.success(), "{}", stderr(&many));
    assert!(std::fs::read(out.join("a-4x.png")).unwrap() == one);
}
