//! `pixmend mend`, `clean` and `colour` as a user calls them.

use std::{fs, path::Path, process::Output};

use image::{DynamicImage, GrayImage, Luma};

use crate::support::{files, kinds, picture, pixmend, stderr, write};

fn mask(folder: &Path, name: &str, size: (u32, u32), marked: impl Fn(u32, u32) -> bool) {
    let mask =
        GrayImage::from_fn(size.0, size.1, |x, y| Luma([if marked(x, y) { 255 } else { 0 }]));
    mask.save(folder.join(name)).unwrap();
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    pixmend().current_dir(folder).args(arguments).args(["--device", "cpu"]).output().unwrap()
}

/// The bytes of each pixel.
fn pixels(picture: &DynamicImage) -> Vec<&[u8]> {
    picture.as_bytes().chunks_exact(usize::from(picture.color().bytes_per_pixel())).collect()
}

#[test]
fn every_kind_of_pixel_is_kept_outside_of_the_mask() {
    let folder = tempfile::tempdir().unwrap();
    let marked = |x: u32, y: u32| (30..50).contains(&x) && (y == 25 || y == 39);
    mask(folder.path(), "mask.png", (90, 70), marked);
    for (number, photo) in kinds(90, 70).into_iter().enumerate() {
        for (ending, filler) in [("png", "texture"), ("tiff", "auto"), ("webp", "auto")] {
            let sixteen = photo.color().bytes_per_pixel() / photo.color().channel_count() == 2;
            let unknown = match ending {
                "webp" => sixteen || !photo.color().has_color(),
                "tiff" => photo.color().has_alpha() && !photo.color().has_color(),
                _ => false,
            };
            if unknown {
                continue;
            }
            let (from, to) = (format!("{number}.{ending}"), format!("{number}-out.{ending}"));
            photo.save(folder.path().join(&from)).unwrap();
            let done = run(
                folder.path(),
                &["mend", &from, "--mask", "mask.png", "-o", &to, "--model", filler, "--json"],
            );
            assert!(done.status.success(), "{from}: {}", stderr(&done));
            let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
            assert_eq!(report["changed_outside"], 0);
            assert_eq!(report["regions"], 1);
            let result = image::open(folder.path().join(&to)).unwrap();
            assert_eq!(result.color(), photo.color(), "{from}");
            let mut changed = 0;
            for (i, (a, b)) in pixels(&photo).into_iter().zip(pixels(&result)).enumerate() {
                let inside = marked(i as u32 % 90, i as u32 / 90);
                assert!(inside || a == b, "{from}: pixel {i} has changed");
                changed += u32::from(a != b);
            }
            assert!(changed > 10, "{from}: {changed} of 40");
        }
    }
}

#[test]
fn masks_that_do_not_fit_are_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(80, 60));
    let before = fs::read(&photo).unwrap();
    mask(folder.path(), "other.png", (80, 61), |_, _| true);
    picture(80, 60).save(folder.path().join("mask.jpg")).unwrap();
    mask(folder.path(), "all.png", (80, 60), |_, _| true);
    for (arguments, sentence) in [
        (&["--mask", "other.png"][..], "80 x 61 pixels and the picture 80 x 60"),
        (&["--mask", "mask.jpg"], "JPEG"),
        (&["--mask", "none.png"], "none.png"),
        (&["--mask", "all.png", "--model", "texture"], "mark less"),
        (&["--mask", "all.png", "--model", "starter"], "does not fill masks"),
        (&["--mask", "all.png", "--grow", "9999"], "at most 256"),
        (&["--mask", "all.png", "-o", "photo.png"], "photo.png"),
    ] {
        let done = run(folder.path(), &[&["mend", "photo.png"], arguments].concat());
        assert!(!done.status.success() && stderr(&done).contains(sentence), "{}", stderr(&done));
        assert_eq!(stderr(&done).trim().lines().count(), 1, "{}", stderr(&done));
    }
    assert!(fs::read(&photo).unwrap() == before);
    assert_eq!(files(folder.path()), ["all.png", "mask.jpg", "other.png", "photo.png"]);
}

#[test]
fn one_mask_serves_photos_of_other_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let original = picture(90, 70);
    write(folder.path(), "photo.png", &original);
    // Made for a photo of 60 x 40: a mark ten pixels from the right and four from the bottom.
    mask(folder.path(), "mark.png", (60, 40), |x, y| {
        (45..50).contains(&x) && (30..36).contains(&y)
    });
    let anchored = ["mend", "photo.png", "--mask", "mark.png", "--anchor", "bottom-right"];
    let done = run(folder.path(), &anchored);
    assert!(done.status.success(), "{}", stderr(&done));
    let mended = image::open(folder.path().join("photo-mended.png")).unwrap().into_rgb8();
    let changed = mended
        .enumerate_pixels()
        .filter(|(x, y, pixel)| *pixel != original.get_pixel(*x, *y))
        .map(|(x, y, _)| (x, y));
    let changed: Vec<(u32, u32)> = changed.collect();
    assert!(changed.len() > 10, "{changed:?}");
    assert!(changed.iter().all(|(x, y)| (75..80).contains(x) && (60..66).contains(y)));
    let without = run(folder.path(), &anchored[..4]);
    assert!(stderr(&without).contains("60 x 40"), "{}", stderr(&without));
    // Without a mask, and without marks beside the photo.
    let nothing = run(folder.path(), &["mend", "photo.png"]);
    assert!(stderr(&nothing).contains("photo.png.mask.png"), "{}", stderr(&nothing));
}

#[test]
fn an_empty_mask_is_said_and_a_compressed_photo_is_not_compressed_again() {
    let folder = tempfile::tempdir().unwrap();
    picture(80, 60).save(folder.path().join("photo.jpg")).unwrap();
    mask(folder.path(), "empty.png", (80, 60), |_, _| false);
    let done = run(folder.path(), &["mend", "photo.jpg", "--mask", "empty.png"]);
    assert!(done.status.success(), "{}", stderr(&done));
    assert!(stderr(&done).contains("nothing is marked"), "{}", stderr(&done));
    assert_eq!(files(folder.path()), ["empty.png", "photo-mended.png", "photo.jpg"]);
    let [before, after] = ["photo.jpg", "photo-mended.png"]
        .map(|name| image::open(folder.path().join(name)).unwrap().into_rgb8());
    assert!(before == after);
    let done = run(folder.path(), &["mend", "photo.jpg", "--mask", "empty.png", "-o", "again.jpg"]);
    assert!(stderr(&done).contains("compresses the whole photo again"), "{}", stderr(&done));
}

#[test]
fn a_photo_is_cleaned_as_much_as_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "photo.png", &picture(96, 72));
    mask(folder.path(), "half.png", (96, 72), |x, _| x < 40);
    let cleaned = |name: &str, more: &[&str]| {
        let done = run(folder.path(), &[&["clean", "photo.png", "-o", name], more].concat());
        assert!(done.status.success(), "{}", stderr(&done));
        image::open(folder.path().join(name)).unwrap().into_rgb8()
    };
    let photo = picture(96, 72);
    assert!(cleaned("none.png", &["--strength", "0"]) == photo);
    assert!(cleaned("locked.png", &[]) != photo);
    // Inside of a mask colours are not compared with those of the whole photo.
    mask(folder.path(), "whole.png", (96, 72), |_, _| true);
    let all = cleaned("all.png", &["--mask", "whole.png"]);
    assert!(all != photo);
    let half = cleaned("part.png", &["--mask", "half.png"]);
    for (x, y, pixel) in half.enumerate_pixels() {
        let expected = if x < 40 { all.get_pixel(x, y) } else { photo.get_pixel(x, y) };
        assert_eq!(pixel, expected, "{x} {y}");
    }
    let done = run(folder.path(), &["clean", "photo.png", "--model", "fast-4x"]);
    assert!(stderr(&done).contains("keeps the size"), "{}", stderr(&done));
}
