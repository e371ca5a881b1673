//! AVIF files of other encoders, read as libavif reads them.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use image::{ColorType, DynamicImage};
use pixmend::{
    Error,
    picture::{Format, Picture, colour::Screen},
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pictures").join(name)
}

/// Levels, of 255 or 65,535, by which two pictures differ at most.
fn apart(a: &DynamicImage, b: &DynamicImage) -> u16 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let (a, b) = (a.to_rgba16(), b.to_rgba16());
    let most = a.iter().zip(b.iter()).map(|(a, b)| a.abs_diff(*b)).max();
    most.unwrap_or(0)
}

#[test]
fn every_kind_is_read_as_by_libavif() {
    let eight = |levels: u16| levels * 257;
    for (name, color, most) in [
        ("lossless", ColorType::Rgb8, 0),
        ("420", ColorType::Rgb8, eight(2)),
        // Whose colours it repeats across: ours are nearer to what was encoded.
        ("422-limited", ColorType::Rgb8, eight(12)),
        ("444-10", ColorType::Rgb16, 200),
        ("420-12-p3", ColorType::Rgb16, 400),
        ("grey-limited", ColorType::L8, eight(1)),
        ("alpha", ColorType::Rgba8, eight(1)),
        ("premultiplied", ColorType::Rgba8, eight(6)),
        ("grey-alpha", ColorType::La8, eight(1)),
        ("cropped", ColorType::Rgb8, eight(2)),
        ("grid", ColorType::Rgb8, eight(4)),
    ] {
        let picture = Picture::open(&fixture(&format!("{name}.avif"))).unwrap();
        assert_eq!((picture.format, picture.pixels.color()), (Format::Avif, color), "{name}");
        let expected = image::open(fixture(&format!("{name}.png"))).unwrap();
        let found = apart(&picture.pixels, &expected);
        assert!(found <= most, "{name}: {found} of 65,535");
        // Only colours that are not sRGB's need a profile.
        assert_eq!(picture.metadata.icc.is_some(), name == "420-12-p3", "{name}");
    }
}

#[test]
fn pictures_come_upright_with_what_their_file_says() {
    for orientation in 2..=8 {
        let name = format!("turned-{orientation}");
        let picture = Picture::open(&fixture(&format!("{name}.avif"))).unwrap();
        let expected = image::open(fixture(&format!("{name}.png"))).unwrap();
        let found = apart(&picture.pixels, &expected);
        assert!(found <= 2 * 257, "{name}: {found}");
        let exif = picture.metadata.exif.clone().unwrap();
        assert!(exif.windows(6).any(|bytes| bytes == b"Camera"), "{name}");
        let exif = exif::Reader::new().read_raw(exif).unwrap();
        let stated = exif.get_field(exif::Tag::Orientation, exif::In::PRIMARY);
        let stated = stated.and_then(|field| field.value.get_uint(0));
        assert!(stated.is_none_or(|stated| stated == 1), "{name} would be turned twice");
    }
}

#[test]
fn the_profile_of_display_p3_makes_its_colours() {
    let picture = Picture::open(&fixture("420-12-p3.avif")).unwrap();
    // What is red to a screen of more colours is beyond sRGB's red.
    let shown = Screen::of(&picture.metadata).unwrap().show(&picture.pixels);
    let before = picture.pixels.to_rgb8();
    let redder = before.pixels().zip(shown.pixels()).filter(|(b, a)| a.0[0] > b.0[0]).count();
    assert!(redder > 20, "{redder}");
}

#[test]
fn light_beyond_white_is_refused_in_words() {
    let error = Picture::open(&fixture("pq.avif")).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("HDR"), "{error}");
}

#[test]
fn damaged_files_are_refused_and_never_end_the_program() {
    let mut refused = 0;
    for name in ["420", "444-10", "alpha", "grid"] {
        let whole = fs::read(fixture(&format!("{name}.avif"))).unwrap();
        let mut random = fastrand::Rng::with_seed(11);
        for round in 0..250 {
            let mut bytes = whole.clone();
            if round % 5 == 0 {
                bytes.truncate(random.usize(..bytes.len()));
            } else {
                for _ in 0..random.usize(1..4) {
                    let place = random.usize(..bytes.len());
                    bytes[place] = random.u8(..);
                }
            }
            let read = catch_unwind(AssertUnwindSafe(|| Picture::from_bytes(&bytes, "a.avif")));
            let read = read.unwrap_or_else(|_| panic!("{name}, round {round}"));
            refused += usize::from(read.is_err_and(|error| !error.to_string().contains('\n')));
        }
    }
    assert!(refused > 300, "{refused}");
}
