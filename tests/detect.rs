//! What `pixmend detect` finds, on pictures whose marks are known.

use std::{fs, path::PathBuf};

use image::{GrayImage, Luma, RgbImage};
use pixmend::{
    mask::{
        count,
        detect::{DetectOptions, Kind, detect},
        grown,
    },
    train::degrade::Recipe,
};

use crate::support::{files, photograph, pixmend, stderr, write};

const SCRATCHED: &str = r#"
    [[after]]
    kind = "damage"
    kinds = [2, 2]
    scratches = [1, 5]
    folds = [0, 0]
    tears = [0, 0]
    corners = [0, 0]
    stains = [0, 0]
    dust = [2.0, 8.0]
    strength = [0.5, 1.0]
"#;

const TILED: &str = r#"
    [[after]]
    kind = "watermark"
    opacity = [0.3, 0.7]
    tiled = 1.0
    outlined = 0.0
    shadowed = 0.0
    size = [0.2, 0.4]
"#;

/// A picture with marks and their exact mask.
fn marked(recipe: &str, picture: &RgbImage, seed: u64) -> (RgbImage, GrayImage) {
    let recipe: Recipe = toml::from_str(recipe).unwrap();
    let worse = recipe.apply(picture, 1, &mut fastrand::Rng::with_seed(seed)).unwrap();
    (worse.picture, worse.mask.unwrap())
}

fn found(picture: &RgbImage, kind: Kind) -> GrayImage {
    let options = DetectOptions { kind, ..DetectOptions::default() };
    detect(&picture.clone().into(), options, &mut |_| Ok(())).unwrap().mask
}

/// Pixels: found that are marked or beside one that is, found in all, marked and found, marked in
/// all.
#[derive(Clone, Copy, Default)]
struct Score([u64; 4]);

impl Score {
    fn add(&mut self, found: &GrayImage, marked: &GrayImage) {
        let both = |a: &GrayImage, b: &GrayImage| {
            a.iter().zip(b.iter()).filter(|(a, b)| **a > 0 && **b > 0).count() as u64
        };
        let near = grown(marked, 1.5);
        let more = [both(found, &near), count(found), both(found, marked), count(marked)];
        self.0.iter_mut().zip(more).for_each(|(all, more)| *all += more);
    }

    fn precision(self) -> f64 {
        self.0[0] as f64 / self.0[1].max(1) as f64
    }

    fn recall(self) -> f64 {
        self.0[2] as f64 / self.0[3].max(1) as f64
    }
}

/// What changed so much that it can be seen: a scratch may have the colour of what is under it.
fn visible(mask: &GrayImage, before: &RgbImage, after: &RgbImage) -> GrayImage {
    GrayImage::from_fn(mask.width(), mask.height(), |x, y| {
        let pair = before.get_pixel(x, y).0.into_iter().zip(after.get_pixel(x, y).0);
        let seen = pair.map(|(a, b)| a.abs_diff(b)).max().unwrap() >= 12;
        Luma([if seen { mask.get_pixel(x, y).0[0] } else { 0 }])
    })
}

#[test]
fn scratches_are_found_and_little_else_is() {
    let mut score = Score::default();
    for seed in 0..6 {
        let original = photograph(seed, 480, 360);
        let (scratched, mask) = marked(SCRATCHED, &original, seed);
        score.add(&found(&scratched, Kind::Scratches), &visible(&mask, &original, &scratched));
        let untouched = count(&found(&original, Kind::Scratches));
        assert!(untouched < 480 * 360 / 500, "{seed}: {untouched} pixels of a photo without any");
    }
    let (precision, recall) = (score.precision(), score.recall());
    assert!(precision > 0.8 && recall > 0.4, "precision {precision:.3}, recall {recall:.3}");
}

#[test]
fn a_mark_that_repeats_itself_is_found_and_a_photo_has_none() {
    let mut score = Score::default();
    for seed in 0..6 {
        let original = photograph(seed, 480, 360);
        let (marked, mask) = marked(TILED, &original, seed);
        score.add(&found(&marked, Kind::Watermark), &mask);
        assert_eq!(count(&found(&original, Kind::Watermark)), 0, "{seed}: there is none");
    }
    let (precision, recall) = (score.precision(), score.recall());
    assert!(precision > 0.8 && recall > 0.4, "precision {precision:.3}, recall {recall:.3}");
}

#[test]
fn a_mark_on_a_large_photo_is_found_to_the_pixel() {
    let small = photograph(3, 480, 360);
    let original =
        image::imageops::resize(&small, 1800, 1350, image::imageops::FilterType::CatmullRom);
    let (marked, mask) = marked(TILED, &original, 4);
    let mut score = Score::default();
    score.add(&found(&marked, Kind::Watermark), &mask);
    let (precision, recall) = (score.precision(), score.recall());
    assert!(precision > 0.8 && recall > 0.5, "precision {precision:.3}, recall {recall:.3}");
}

#[test]
fn odd_pictures_are_looked_at_as_well() {
    for (width, height) in [(1, 1), (3, 200), (200, 2), (40, 40)] {
        for value in [0, 128, 255] {
            let even = RgbImage::from_pixel(width, height, image::Rgb([value; 3]));
            assert_eq!(count(&found(&even, Kind::Auto)), 0, "{width} x {height} of {value}");
        }
    }
    let options = DetectOptions { sensitivity: 1.5, ..DetectOptions::default() };
    let even = RgbImage::new(9, 9).into();
    assert!(detect(&even, options, &mut |_| Ok(())).unwrap_err().to_string().contains("0 to 1"));
    let options = DetectOptions::default();
    let mut asked = 0;
    let ended = detect(&photograph(0, 300, 200).into(), options, &mut |_| {
        asked += 1;
        if asked > 3 { Err(pixmend::error::Error::Cancelled) } else { Ok(()) }
    });
    assert!(matches!(ended, Err(pixmend::error::Error::Cancelled)) && asked == 4);
}

#[test]
fn the_command_writes_a_mask_that_mend_takes() {
    let folder = tempfile::tempdir().unwrap();
    let (scratched, _) = marked(SCRATCHED, &photograph(1, 320, 240), 1);
    write(folder.path(), "photo.png", &scratched);
    let run =
        |arguments: &[&str]| pixmend().current_dir(folder.path()).args(arguments).output().unwrap();
    let done = run(&["detect", "photo.png", "-o", "mask.png", "--json"]);
    assert!(done.status.success(), "{}", stderr(&done));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["size"], serde_json::json!([320, 240]));
    let mask = image::open(folder.path().join("mask.png")).unwrap();
    assert_eq!(mask.color(), image::ColorType::L8);
    let mask = mask.into_luma8();
    assert!(mask.iter().all(|value| [0, 255].contains(value)));
    assert!(count(&mask) > 50 && report["marked"] == count(&mask));
    let mended = run(&["mend", "photo.png", "--mask", "mask.png", "--model", "texture"]);
    assert!(mended.status.success(), "{}", stderr(&mended));

    // Nothing is replaced unasked, and what cannot work is said.
    let before = fs::read(folder.path().join("mask.png")).unwrap();
    for (arguments, sentence) in [
        (&["-o", "mask.png"][..], "mask.png"),
        (&["-o", "photo.png", "--overwrite"], "photo.png"),
        (&["-o", "mask.jpg"], ".png"),
        (&["-o", "new.png", "--sensitivity", "3"], "0 to 1"),
    ] {
        let done = run(&[&["detect", "photo.png"], arguments].concat());
        assert!(!done.status.success() && stderr(&done).contains(sentence), "{}", stderr(&done));
    }
    assert!(fs::read(folder.path().join("mask.png")).unwrap() == before);
    let even = RgbImage::from_pixel(90, 70, image::Rgb([90; 3]));
    write(folder.path(), "even.png", &even);
    let done = run(&["detect", "even.png", "-o", "mask.png", "--overwrite"]);
    assert!(done.status.success() && stderr(&done).contains("nothing found"), "{}", stderr(&done));
    assert_eq!(files(folder.path()), ["even.png", "mask.png", "photo-mended.png", "photo.png"]);
}

/// Prints what the detectors are worth on real photos.
#[test]
#[ignore = "needs PIXMEND_DATA"]
fn marks_on_published_photos_are_found_and_few_others() {
    let data = PathBuf::from(std::env::var_os("PIXMEND_DATA").expect("PIXMEND_DATA names it"));
    let mut photos: Vec<PathBuf> = fs::read_dir(data.join("test/bsd100"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    photos.sort();
    for (kind, recipe) in [(Kind::Scratches, SCRATCHED), (Kind::Watermark, TILED)] {
        let (mut score, mut alarms, mut hit) = (Score::default(), Vec::new(), 0);
        for (seed, path) in (0..).zip(&photos) {
            let original = image::open(path).unwrap().into_rgb8();
            let (worse, mask) = marked(recipe, &original, seed);
            let found_here = found(&worse, kind);
            hit += u32::from(count(&found_here) > 0);
            score.add(&found_here, &visible(&mask, &original, &worse));
            let share = |mask: &GrayImage| count(mask) as f64 / mask.len() as f64;
            alarms.push(share(&found(&original, kind)));
        }
        alarms.sort_by(f64::total_cmp);
        let mean = alarms.iter().sum::<f64>() / alarms.len() as f64;
        let (median, most) = (alarms[alarms.len() / 2], alarms[alarms.len() - 1]);
        eprintln!(
            "{kind:?}: something found on {hit} of {}; of its pixels {:.3} are marked, of marked \
             pixels {:.3} are found; on untouched photos {:.4} of the pixels on average, {median:.4} \
             in the middle, {most:.4} at most, none on {}",
            photos.len(),
            score.precision(),
            score.recall(),
            mean,
            alarms.iter().filter(|share| **share == 0.0).count()
        );
        assert!(score.precision() > 0.7 && score.recall() > 0.3 && mean < 0.01);
    }
}
