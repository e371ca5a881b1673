use image::{Rgb, codecs::jpeg::JpegEncoder, imageops::FilterType};

use super::*;

/// Something like a photo: shades, edges, and detail of every size, of this seed.
fn photo(seed: u64, width: u32, height: u32) -> RgbImage {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut values = vec![[128.0_f32; 3]; (width * height) as usize];
    for octave in 0..8 {
        // Each octave has half the amplitude at twice the frequency, as photos do.
        let cell = 128 >> octave;
        let (across, down) = (width / cell + 2, height / cell + 2);
        let grid: Vec<[f32; 3]> = (0..across * down)
            .map(|_| {
                let grey = rng.f32() - 0.5;
                [0.0; 3].map(|_: f32| grey + 0.4 * (rng.f32() - 0.5))
            })
            .collect();
        for (i, value) in values.iter_mut().enumerate() {
            let (x, y) = (i as u32 % width, i as u32 / width);
            let (column, row) = (x / cell, y / cell);
            let (u, v) = ((x % cell) as f32 / cell as f32, (y % cell) as f32 / cell as f32);
            let at = |dx: u32, dy: u32| grid[((row + dy) * across + column + dx) as usize];
            for (channel, value) in value.iter_mut().enumerate() {
                let top = at(0, 0)[channel] * (1.0 - u) + at(1, 0)[channel] * u;
                let bottom = at(0, 1)[channel] * (1.0 - u) + at(1, 1)[channel] * u;
                *value += 150.0 * 0.55_f32.powi(octave) * (top * (1.0 - v) + bottom * v);
            }
        }
    }
    RgbImage::from_fn(width, height, |x, y| {
        let value = values[(y * width + x) as usize];
        // A roof against the sky.
        let roof = if 3 * x + 2 * y > 2 * width + (seed as u32 % 5) * 20 { -60.0 } else { 0.0 };
        Rgb(value.map(|value| (value + roof).clamp(0.0, 255.0) as u8))
    })
}

fn compressed(photo: &RgbImage, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(photo).unwrap();
    bytes
}

fn write(path: &Path, bytes: &[u8]) {
    crate::settings::write(path, bytes, crate::settings::Existing::Refuse).unwrap();
}

/// Names of the problems of each file in a folder, in the order of their names.
fn found(folder: &Path) -> Vec<(String, Vec<&'static str>)> {
    let checkup = examine(&[folder.to_owned()], 64, |_, _| Ok(())).unwrap();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let of = |photo: &Examined| {
        (name(&photo.path), photo.problems.iter().map(Problem::name).collect::<Vec<_>>())
    };
    checkup.photos.iter().map(of).collect()
}

#[test]
fn sound_photos_are_not_accused() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..6 {
        let photo = photo(seed, 300, 260);
        let path = folder.path().join(format!("{seed}"));
        match seed % 3 {
            0 => photo.save(path.with_extension("png")).unwrap(),
            1 => write(&path.with_extension("jpg"), &compressed(&photo, 92)),
            // A mild blur is what lenses do.
            _ => imageops::blur(&photo, 0.6).save(path.with_extension("png")).unwrap(),
        }
    }
    for (name, problems) in found(folder.path()) {
        assert!(problems.is_empty(), "{name}: {problems:?}");
    }
}

#[test]
fn each_problem_is_found_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, photo: &RgbImage| photo.save(folder.path().join(name)).unwrap();
    let write = |name: &str, bytes: &[u8]| write(&folder.path().join(name), bytes);
    let photo = |seed: u64| photo(seed, 300, 260);
    save("sound-1.png", &photo(1));
    save("sound-2.png", &photo(2));
    save("sound-3.png", &photo(3));
    save("small.png", &imageops::crop_imm(&photo(4), 0, 0, 200, 60).to_image());
    save("blurred.png", &imageops::blur(&photo(5), 2.5));
    write("jpeg.jpg", &compressed(&photo(6), 20));
    // Saved anew and cut, its file tells nothing.
    let decoded = image::load_from_memory(&compressed(&photo(7), 15)).unwrap().into_rgb8();
    save("jpeg.png", &imageops::crop_imm(&decoded, 3, 5, 290, 250).to_image());
    for (seed, name, factor, filter) in [
        (11, "doubled.png", 2.0, FilterType::Triangle),
        (12, "half-more.png", 1.5, FilterType::CatmullRom),
        (13, "tripled.png", 3.0, FilterType::CatmullRom),
        (14, "fourfold.png", 4.0, FilterType::Lanczos3),
    ] {
        let small = photo(seed);
        let side = |length: u32| (f64::from(length) * factor) as u32;
        save(name, &imageops::resize(&small, side(300), side(260), filter));
    }
    save("twin.png", &photo(1));
    let smaller = imageops::resize(&photo(2), 240, 208, FilterType::CatmullRom);
    write("kin.jpg", &compressed(&smaller, 90));
    let grey = image::DynamicImage::from(photo(8)).into_luma8();
    grey.save(folder.path().join("grey.png")).unwrap();
    write("broken.png", b"no picture");
    let expected: [(&str, &[&str]); 15] = [
        ("blurred.png", &["blurred"]),
        ("broken.png", &["unreadable"]),
        ("doubled.png", &["already upscaled"]),
        ("fourfold.png", &["already upscaled"]),
        ("grey.png", &["grey"]),
        ("half-more.png", &["already upscaled"]),
        ("jpeg.jpg", &["heavy JPEG"]),
        ("jpeg.png", &["heavy JPEG"]),
        ("kin.jpg", &["a near-duplicate"]),
        ("small.png", &["too small"]),
        ("sound-1.png", &[]),
        ("sound-2.png", &[]),
        ("sound-3.png", &[]),
        ("tripled.png", &["already upscaled"]),
        ("twin.png", &["a duplicate"]),
    ];
    let expected = expected.map(|(name, problems)| (name.to_owned(), problems.to_vec()));
    assert_eq!(found(folder.path()), expected);
}

#[test]
fn grey_photos_among_their_like_are_sound() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..3 {
        let grey = image::DynamicImage::from(photo(seed, 200, 200)).into_luma8();
        grey.save(folder.path().join(format!("{seed}.png"))).unwrap();
    }
    assert!(found(folder.path()).iter().all(|(_, problems)| problems.is_empty()));
}

#[test]
fn what_is_kept_is_split_as_training_does_it() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..8 {
        photo(seed, 200, 130).save(folder.path().join(format!("{seed}.png"))).unwrap();
    }
    photo(3, 200, 130).save(folder.path().join("twin.png")).unwrap();
    let mut checkup = examine(&[folder.path().to_owned()], 64, |_, _| Ok(())).unwrap();
    let kept = checkup.kept();
    assert_eq!(kept.len(), 8, "the duplicate is left out");
    let plan = checkup.plan(0.20, 0.05).unwrap();
    let split = data::split(&kept, 64, u32::MAX, [0.20, 0.05]).unwrap();
    let paths = |photos: &[Photo]| photos.iter().map(|p| p.path.clone()).collect::<Vec<_>>();
    assert_eq!(plan.train, paths(&split.train));
    assert_eq!(plan.validation, paths(&split.validation));
    assert_eq!(plan.test, paths(&split.test));
    // Three crops across and two down in each photo.
    assert_eq!(plan.crops, 6 * plan.train.len() as u64);
    assert!(plan.few && plan.advice.contains("too few"), "{}", plan.advice);

    // The user knows better.
    checkup.photos.iter_mut().for_each(|photo| photo.kept = false);
    assert!(checkup.kept().is_empty());
    assert!(matches!(checkup.plan(0.20, 0.05), Err(Error::NoPictures { .. })));
    checkup.photos.iter_mut().for_each(|photo| photo.kept = true);
    assert_eq!(checkup.kept().len(), 9);
}

#[test]
fn an_examination_can_be_ended() {
    let folder = tempfile::tempdir().unwrap();
    photo(0, 100, 100).save(folder.path().join("a.png")).unwrap();
    let ended = examine(&[folder.path().to_owned()], 64, |_, _| Err(Error::Cancelled));
    assert!(matches!(ended, Err(Error::Cancelled)));
    let nothing = examine(&[tempfile::tempdir().unwrap().keep()], 64, |_, _| Ok(()));
    assert!(matches!(nothing, Err(Error::NoPictures { .. })));
}

#[test]
fn the_quality_of_a_jpeg_file_is_read_from_its_tables() {
    for quality in [30, 50, 75, 95] {
        let bytes = compressed(&photo(0, 64, 64), quality);
        let read = jpeg_quality(&bytes).unwrap();
        assert!(read.abs_diff(quality.into()) <= 1, "{quality}: {read}");
        // Neither a part of a file nor another one is understood by mistake.
        assert!((0..bytes.len()).all(|end| jpeg_quality(&bytes[..end]).is_none_or(|q| q == read)));
    }
    assert_eq!(jpeg_quality(b"\x89PNG"), None);
}

#[test]
#[ignore = "needs the published photos that PIXMEND_DATA names"]
fn published_photos_are_sound_and_their_ruins_are_not() {
    let data = PathBuf::from(std::env::var("PIXMEND_DATA").unwrap()).join("train");
    let photos = data::files(&[data]).unwrap();
    let named = |photo: &RgbImage| treatment(&Luma::of(photo), None).map(|problem| problem.name());
    let count = |treat: &(dyn Fn(&RgbImage) -> RgbImage + Sync), name: Option<&str>| {
        let all: Vec<bool> = photos
            .par_iter()
            .step_by(4)
            .map(|path| named(&treat(&image::open(path).unwrap().into_rgb8())) == name)
            .collect();
        all.iter().filter(|found| **found).count() as f64 / all.len() as f64
    };
    let enlarged = |photo: &RgbImage, factor: u32, filter: FilterType| {
        let (width, height) = (photo.width() / 3, photo.height() / 3);
        let small = resize_exact(photo, width, height);
        imageops::resize(&small, width * factor, height * factor, filter)
    };
    let jpeg = |photo: &RgbImage, quality: u8| {
        image::load_from_memory(&compressed(photo, quality)).unwrap().into_rgb8()
    };
    for (what, share, least) in [
        ("sound", count(&|photo| photo.clone(), None), 0.97),
        ("JPEG 90", count(&|photo| jpeg(photo, 90), None), 0.97),
        ("blurred", count(&|photo| imageops::blur(photo, 2.5), Some("blurred")), 0.9),
        ("JPEG 20", count(&|photo| jpeg(photo, 20), Some("heavy JPEG")), 0.9),
        (
            "doubled",
            count(&|photo| enlarged(photo, 2, FilterType::CatmullRom), Some("already upscaled")),
            0.95,
        ),
        (
            "tripled",
            count(&|photo| enlarged(photo, 3, FilterType::Lanczos3), Some("already upscaled")),
            0.9,
        ),
    ] {
        assert!(share >= least, "{what}: {share}");
    }
}
