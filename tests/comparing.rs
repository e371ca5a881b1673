//! What tells a network's answer from the photo: how much of it is taken, and how that is shown.

use std::path::Path;

use image::RgbImage;
use pixmend::{
    picture::resample::resize_exact,
    settings::{self, Existing},
};

use crate::support::{files, picture, pixmend, stderr, upscale, write};

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

#[test]
fn a_receipt_says_where_detail_was_invented_and_a_picture_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    // Grey on the left, where there is nothing to invent, and a pattern on the right.
    let mut original = picture(160, 96);
    for (_, _, pixel) in original.enumerate_pixels_mut().filter(|(x, ..)| *x < 80) {
        pixel.0 = [120; 3];
    }
    let photo = write(folder.path(), "a.png", &original);
    let map = folder.path().join("map.png");
    let options = ["--receipt", "--heat-map", map.to_str().unwrap()];
    enlarged(&photo, "b.png", &options);
    let receipt = std::fs::read_to_string(folder.path().join("b.png.json")).unwrap();
    let receipt: serde_json::Value = serde_json::from_str(&receipt).unwrap();
    let invented = &receipt["invented"];
    let levels = |row: usize, column: usize| invented["cells"][row][column].as_f64().unwrap();
    assert_eq!(invented["cell_pixels"], 16);
    for row in 0..6 {
        assert!(levels(row, 1) < 0.3, "grey: {invented}");
        assert!(levels(row, 8) > 0.5, "the pattern: {invented}");
    }
    assert!(invented["most"]["x"].as_u64().unwrap() >= 72, "{invented}");
    assert!(invented["overall_levels"].as_f64().unwrap() > 0.5);
    let map = image::open(&map).unwrap().into_rgb8();
    let coloured = |pixel: &image::Rgb<u8>| pixel.0.iter().any(|value| *value != pixel.0[0]);
    let count = |from: u32| {
        let places = (from..from + 60).flat_map(|x| (10..80).map(move |y| (x, y)));
        places.filter(|(x, y)| coloured(map.get_pixel(*x, *y))).count()
    };
    assert!(count(90) > 2000 && count(5) < 60 * 70 / 4, "{} {}", count(5), count(90));

    // The same name is not taken twice, and one photo has one map.
    let again = upscale(&photo, &options);
    assert!(stderr(&again).contains("map.png") && !again.status.success());
    let many =
        upscale(&photo, &["--heat-map", "x.png", "-r", "-o", folder.path().to_str().unwrap()]);
    assert!(stderr(&many).contains("a heat map is of one photo"), "{}", stderr(&many));
    let smaller = upscale(&photo, &["--scale", "0.5", "--heat-map", "x.png"]);
    assert!(stderr(&smaller).contains("no larger than its photo"), "{}", stderr(&smaller));
}

#[test]
fn before_and_after_become_one_picture() {
    let folder = tempfile::tempdir().unwrap();
    let original = picture(90, 60);
    let photo = write(folder.path(), "a.png", &original);
    let (_, result) = enlarged(&photo, "a-4x.png", &[]);
    let share = |more: &[&str]| {
        let mut command = pixmend();
        command.arg("share").arg(&photo).arg(photo.with_file_name("a-4x.png"));
        command.args(more).output().unwrap()
    };
    let done = share(&["--crop", "120x100+200+90"]);
    assert!(done.status.success(), "{}", stderr(&done));
    let sheet = image::open(folder.path().join("a-4x-before-after.png")).unwrap().into_rgb8();
    assert_eq!(sheet.dimensions(), (244, 100));
    let interpolated = resize_exact(&original, 360, 240);
    // Below the words.
    for (x, y) in (0..120).flat_map(|x| (50..100).map(move |y| (x, y))) {
        assert_eq!(sheet.get_pixel(124 + x, y), result.get_pixel(200 + x, 90 + y));
        let [before, expected] = [sheet.get_pixel(x, y), interpolated.get_pixel(200 + x, 90 + y)];
        assert!(before.0.iter().zip(expected.0).all(|(a, b)| a.abs_diff(b) <= 1));
    }
    let whole = folder.path().join("both.jpg");
    let done = share(&["-o", whole.to_str().unwrap(), "--words", "Photo", "Pixmend 4×"]);
    assert!(done.status.success(), "{}", stderr(&done));
    assert_eq!(image::open(&whole).unwrap().width(), 724);
    for (more, words) in [
        (&["-o", whole.to_str().unwrap()][..], "exists"),
        (&["--crop", "100x100+300+0"], "does not lie in the result"),
        (&["--crop", "100x100"], "write it as 800x600+1200+300"),
        (&["-o", photo.to_str().unwrap(), "--overwrite"], "a.png"),
    ] {
        let refused = share(more);
        assert!(
            !refused.status.success() && stderr(&refused).contains(words),
            "{}",
            stderr(&refused)
        );
    }
    assert_eq!(files(folder.path()).len(), 4);
}

#[test]
fn each_of_many_photos_gets_a_receipt_that_does_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    write(&photos, "a.png", &picture(40, 30));
    write(&photos, "b.png", &picture(50, 20));
    settings::write(&photos.join("c.png"), b"no photo", Existing::Refuse).unwrap();
    let out = folder.path().join("out");
    let run = |more: &[&str]| {
        upscale(&photos, &[&["-o", out.to_str().unwrap(), "--receipt"], more].concat())
    };
    assert!(!run(&["--scale", "3"]).status.success(), "one of them is bad");
    let mut names = files(&out);
    names.retain(|name| !name.starts_with('.'));
    assert_eq!(names, ["a-3x.png", "a-3x.png.json", "b-3x.png", "b-3x.png.json"]);
    let receipt = std::fs::read_to_string(out.join("b-3x.png.json")).unwrap();
    let receipt: serde_json::Value = serde_json::from_str(&receipt).unwrap();
    assert_eq!(receipt["output_size"], serde_json::json!([150, 60]));
    assert_eq!(receipt["output"], out.join("b-3x.png").to_str().unwrap());
    assert!(receipt["invented"]["overall_levels"].as_f64().unwrap() > 0.0);
    assert!(receipt["command"].as_str().unwrap().contains("b.png"), "{receipt}");
    if cfg!(unix) {
        let program = concat!("'", env!("CARGO_BIN_EXE_pixmend"), "'");
        let command = receipt["command"].as_str().unwrap().replacen("pixmend", program, 1);
        let again = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
        assert!(again.status.success(), "{command}: {}", stderr(&again));
        let bytes = |path: &Path| std::fs::read(path).unwrap();
        assert!(bytes(&out.join("b-3x.png")) == bytes(&photos.join("b-3x.png")));
    }
    // Those that are cleaned, too; nothing is overwritten.
    let clean = |photo: &str| {
        let mut command = pixmend();
        command.args(["clean", "--device", "cpu", "--receipt", "-o"]).arg(&out);
        command.arg("-r").arg(photos.join(photo)).output().unwrap()
    };
    for name in ["a-clean.png.json", "a-clean-1.png.json"] {
        assert!(clean("a.png").status.success());
        let receipt = std::fs::read_to_string(out.join(name)).unwrap();
        assert!(receipt.contains("\"model\": \"clean\""), "{receipt}");
    }
}
