//! Pictures, folders and the program itself, for tests.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Once,
};

use image::{DynamicImage, ImageBuffer, Luma, LumaA, Rgb, RgbImage, Rgba};
use pixmend::model::library;

/// A picture with smooth and sharp parts, no two tiles of which are alike.
pub fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (x as f32 / 37.0, y as f32 / 29.0);
        let wave = (u.sin() * v.cos() * 0.5 + 0.5) * 200.0;
        let edge = if (x / 9 + y / 13) % 2 == 0 { 40.0 } else { 0.0 };
        let slope = (x * 255 / width.max(1)) as f32;
        Rgb([(wave + edge) as u8, slope as u8, (255.0 - wave) as u8])
    })
}

/// Something like a photo, of this seed: shades, an edge, and detail of every size.
pub fn photograph(seed: u64, width: u32, height: u32) -> RgbImage {
    // Any number that is as good as random.
    let noise = |x: u32, y: u32, octave: u32, channel: usize| {
        let mut value = seed << 40 ^ u64::from(octave) << 34 ^ (channel as u64) << 32;
        value ^= u64::from(x) << 16 ^ u64::from(y);
        for _ in 0..3 {
            value = (value ^ value >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
        (value >> 40) as f32 / 16_777_216.0 - 0.5
    };
    RgbImage::from_fn(width, height, |x, y| {
        let mut pixel = [if 3 * x + 2 * y > 2 * width { 90.0 } else { 140.0 }; 3];
        for octave in 0..8 {
            // Each octave has about half the amplitude at twice the frequency, as photos do.
            let cell = 128 >> octave;
            let (column, row) = (x / cell, y / cell);
            let (u, v) = ((x % cell) as f32 / cell as f32, (y % cell) as f32 / cell as f32);
            for (channel, value) in pixel.iter_mut().enumerate() {
                let at = |dx: u32, dy: u32| {
                    let (x, y) = (column + dx, row + dy);
                    noise(x, y, octave, 3) + 0.4 * noise(x, y, octave, channel)
                };
                let top = at(0, 0) * (1.0 - u) + at(1, 0) * u;
                let bottom = at(0, 1) * (1.0 - u) + at(1, 1) * u;
                *value += 150.0 * 0.55_f32.powi(octave as i32) * (top * (1.0 - v) + bottom * v);
            }
        }
        Rgb(pixel.map(|value: f32| value.clamp(0.0, 255.0) as u8))
    })
}

/// The same picture in each kind of pixel that is supported.
pub fn kinds(width: u32, height: u32) -> Vec<DynamicImage> {
    let rgb = picture(width, height);
    let alpha = |x: u32, y: u32| if x < width / 3 { 0 } else { ((x * 5 + y * 3) % 256) as u8 };
    let wide = |value: u8, x: u32| (u16::from(value) * 257) ^ (x as u16 % 200);
    let rgba = ImageBuffer::from_fn(width, height, |x, y| {
        let [r, g, b] = rgb.get_pixel(x, y).0;
        Rgba([r, g, b, alpha(x, y)])
    });
    let rgb16 = ImageBuffer::from_fn(width, height, |x, y| {
        Rgb(rgb.get_pixel(x, y).0.map(|value| wide(value, x)))
    });
    let rgba16 = ImageBuffer::from_fn(width, height, |x, y| {
        let [r, g, b] = rgb.get_pixel(x, y).0.map(|value| wide(value, x));
        Rgba([r, g, b, wide(alpha(x, y), y)])
    });
    let grey16 =
        ImageBuffer::from_fn(width, height, |x, y| Luma([wide(rgb.get_pixel(x, y).0[0], x)]));
    let grey_alpha =
        ImageBuffer::from_fn(width, height, |x, y| LumaA([rgb.get_pixel(x, y).0[0], alpha(x, y)]));
    let grey_alpha16 = ImageBuffer::from_fn(width, height, |x, y| {
        LumaA([wide(rgb.get_pixel(x, y).0[0], x), wide(alpha(x, y), y)])
    });
    vec![
        DynamicImage::ImageRgb8(rgb.clone()).into_luma8().into(),
        DynamicImage::ImageLumaA8(grey_alpha),
        rgb.into(),
        DynamicImage::ImageRgba8(rgba),
        DynamicImage::ImageLuma16(grey16),
        DynamicImage::ImageLumaA16(grey_alpha16),
        DynamicImage::ImageRgb16(rgb16),
        DynamicImage::ImageRgba16(rgba16),
    ]
}

/// Writes a picture and gives its path.
pub fn write(folder: &Path, name: &str, picture: &RgbImage) -> PathBuf {
    let path = folder.join(name);
    picture.save(&path).unwrap();
    path
}

/// The program.
pub fn pixmend() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pixmend"));
    command.env_remove("RUST_LOG");
    // Some drivers print a complaint about a missing one.
    command.env("XDG_RUNTIME_DIR", env!("CARGO_TARGET_TMPDIR"));
    command
}

/// Runs `pixmend upscale` on the CPU.
pub fn upscale(input: &Path, more: &[&str]) -> Output {
    let mut command = pixmend();
    command.arg("upscale").arg(input).args(["--device", "cpu"]).args(more);
    command.output().unwrap()
}

/// What a run wrote to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Names of the files in a folder, hidden ones too.
pub fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A little-endian EXIF block with a camera, an orientation and an exposure
/// time in its sub-directory.
pub fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"II*\0\x08\0\0\0".to_vec();
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        [
            tag.to_le_bytes().to_vec(),
            kind.to_le_bytes().to_vec(),
            count.to_le_bytes().to_vec(),
            value.to_le_bytes().to_vec(),
        ]
        .concat()
    };
    // Directory of 3 entries at 8: 2 + 36 + 4 bytes, so data begins at 50.
    block.extend(3_u16.to_le_bytes());
    block.extend(entry(0x010F, 2, 8, 50)); // Make, ASCII
    block.extend(entry(0x0112, 3, 1, u32::from(orientation)));
    block.extend(entry(0x8769, 4, 1, 58)); // Exif directory
    block.extend(0_u32.to_le_bytes());
    block.extend(b"Pixmend\0");
    block.extend(1_u16.to_le_bytes());
    block.extend(entry(0x829A, 5, 1, 76)); // ExposureTime, rational
    block.extend(0_u32.to_le_bytes());
    block.extend(1_u32.to_le_bytes());
    block.extend(250_u32.to_le_bytes());
    block
}

/// What [`exif`] says, read back from a block by an independent reader.
pub fn read_exif(block: &[u8]) -> (String, Option<u32>, String) {
    let exif = exif::Reader::new().read_raw(block.to_vec()).unwrap();
    let text = |tag| {
        let field = exif.get_field(tag, exif::In::PRIMARY);
        field.map_or_else(String::new, |field| field.display_value().to_string())
    };
    let orientation = exif
        .get_field(exif::Tag::Orientation, exif::In::PRIMARY)
        .and_then(|field| field.value.get_uint(0));
    (text(exif::Tag::Make), orientation, text(exif::Tag::ExposureTime))
}

/// Keeps added models in a folder of this run, never in that of whoever runs the tests. All windows
/// share it: it is one for the whole program.
pub fn own_library() {
    static FOLDER: Once = Once::new();
    FOLDER.call_once(|| library::keep_in(tempfile::tempdir().unwrap().keep()));
}
