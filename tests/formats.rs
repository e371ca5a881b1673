//! What goes through a file and what does not.

use std::path::Path;

use image::{ColorType, DynamicImage, GenericImageView as _, ImageDecoder as _, ImageEncoder as _};
use pixmend::{
    encoding::Encoding,
    picture::{Format, Metadata, Picture, PictureWriter, formats::Header},
    settings::Existing,
};

use crate::support::{exif, kinds, picture, read_exif, stderr, upscale};

fn save(path: &Path, pixels: &DynamicImage, metadata: Metadata) {
    let header = Header {
        width: pixels.width(),
        height: pixels.height(),
        color: pixels.color(),
        metadata,
        encoding: Encoding::default(),
    };
    let mut writer = PictureWriter::create(path, header).unwrap();
    let row = pixels.width() as usize * usize::from(pixels.color().bytes_per_pixel());
    for strip in pixels.as_bytes().chunks(row * 7) {
        writer.push(strip.to_vec()).unwrap();
    }
    writer.finish(Existing::Refuse).unwrap();
}

#[test]
fn every_kind_of_pixel_survives_the_formats_that_hold_it() {
    let folder = tempfile::tempdir().unwrap();
    for pixels in kinds(67, 31) {
        for format in Format::WRITTEN {
            let name = format!("{:?}.{}", pixels.color(), format.extension());
            let path = folder.path().join(name);
            save(&path, &pixels, Metadata::default());
            let back = Picture::open(&path).unwrap();
            assert_eq!(back.format, format);
            assert_eq!(back.size(), (67, 31));
            let kept = format.holds(pixels.color());
            // Readers give palettes and grey BMP in their own ways.
            if format != Format::Bmp {
                let as_stored = match (format, kept) {
                    // The reader of WebP knows RGB only.
                    (Format::WebP, ColorType::L8) => ColorType::Rgb8,
                    (Format::WebP, ColorType::La8) => ColorType::Rgba8,
                    (_, kept) => kept,
                };
                assert_eq!(back.pixels.color(), as_stored, "{}", path.display());
            }
            if kept == pixels.color() && format != Format::Jpeg {
                let same = match pixels.color() {
                    ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8 => {
                        back.pixels.to_rgba8() == pixels.to_rgba8()
                    }
                    _ => back.pixels.to_rgba16() == pixels.to_rgba16(),
                };
                assert!(same, "{} changed", path.display());
            }
        }
    }
}

#[test]
fn jpeg_is_close_and_transparency_is_laid_on_white() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jpg");
    let clear = image::RgbaImage::from_fn(32, 32, |x, _| {
        image::Rgba([10, 200, 30, if x < 16 { 0 } else { 255 }])
    });
    save(&path, &clear.into(), Metadata::default());
    let back = image::open(&path).unwrap().into_rgb8();
    let near = |pixel: &image::Rgb<u8>, color: [u8; 3]| {
        pixel.0.iter().zip(color).all(|(a, b)| a.abs_diff(b) < 6)
    };
    assert!(near(back.get_pixel(4, 16), [255; 3]), "{:?}", back.get_pixel(4, 16));
    assert!(near(back.get_pixel(27, 16), [10, 200, 30]), "{:?}", back.get_pixel(27, 16));
    let losses = Format::Jpeg.losses(ColorType::Rgba16, &Metadata::default());
    assert_eq!(losses.len(), 2, "{losses:?}");
}

#[test]
fn profile_and_exif_survive_and_orientation_is_reset() {
    let folder = tempfile::tempdir().unwrap();
    let mut icc: Vec<u8> = (0..=255).cycle().take(700).collect();
    icc[16..20].copy_from_slice(b"RGB ");
    let metadata = Metadata { icc: Some(icc), exif: Some(exif(1)), ..Metadata::default() };
    for from in [Format::Jpeg, Format::Png, Format::WebP, Format::Tiff] {
        let source = folder.path().join(format!("from.{}", from.extension()));
        save(&source, &picture(20, 12).into(), metadata.clone());
        for to in [Format::Jpeg, Format::Png, Format::WebP, Format::Tiff] {
            let read = Picture::open(&source).unwrap();
            let name = format!("{}-{}.{}", from.name(), to.name(), to.extension());
            let path = folder.path().join(name);
            save(&path, &read.pixels, read.metadata);
            let back = Picture::open(&path).unwrap().metadata;
            assert_eq!(back.icc, metadata.icc, "{}", path.display());
            let (make, orientation, exposure) = read_exif(&back.exif.unwrap());
            assert!(make.contains("Pixmend"), "{}: {make}", path.display());
            assert!(exposure.contains("1/250"), "{}: {exposure}", path.display());
            assert!([None, Some(1)].contains(&orientation), "{}", path.display());
        }
    }
}

#[test]
fn all_eight_orientations_end_upright() {
    let folder = tempfile::tempdir().unwrap();
    // One bright corner tells where a picture was turned to.
    let mut upright = image::RgbImage::from_pixel(24, 12, image::Rgb([20; 3]));
    for y in 0..4 {
        for x in 0..4 {
            upright.put_pixel(x, y, image::Rgb([250; 3]));
        }
    }
    for orientation in 1..=8 {
        // Store what a camera stores: the inverse of what a viewer applies.
        let turn = image::metadata::Orientation::from_exif(orientation).unwrap();
        let inverse = match orientation {
            6 => image::metadata::Orientation::Rotate270,
            8 => image::metadata::Orientation::Rotate90,
            _ => turn,
        };
        let mut stored = DynamicImage::from(upright.clone());
        stored.apply_orientation(inverse);
        let path = folder.path().join(format!("{orientation}.png"));
        let mut encoder =
            image::codecs::png::PngEncoder::new(std::fs::File::create(&path).unwrap());
        encoder.set_exif_metadata(exif(orientation)).unwrap();
        let (width, height) = stored.dimensions();
        encoder.write_image(stored.as_bytes(), width, height, stored.color().into()).unwrap();

        let output = upscale(&path, &[]);
        assert!(output.status.success(), "{}", stderr(&output));
        let result = folder.path().join(format!("{orientation}-4x.png"));
        let pixels = image::open(&result).unwrap();
        assert_eq!(pixels.dimensions(), (96, 48), "orientation {orientation}");
        assert!(pixels.get_pixel(6, 6).0[0] > 150, "orientation {orientation}");
        assert!(pixels.get_pixel(90, 42).0[0] < 100, "orientation {orientation}");
        let mut decoder = image::ImageReader::open(&result).unwrap().into_decoder().unwrap();
        let block = decoder.exif_metadata().unwrap().unwrap();
        assert_eq!(read_exif(&block).1, Some(1), "other programs must not turn it again");
    }
}

#[test]
fn transparent_pictures_keep_soft_edges_without_halos() {
    let folder = tempfile::tempdir().unwrap();
    // A red disc on nothing; what lies below nothing is green.
    let disc = image::RgbaImage::from_fn(48, 48, |x, y| {
        let inside = (x as f32 - 23.5).hypot(y as f32 - 23.5) < 16.0;
        if inside { image::Rgba([220, 30, 20, 255]) } else { image::Rgba([0, 255, 0, 0]) }
    });
    let path = folder.path().join("disc.png");
    disc.save(&path).unwrap();
    assert!(upscale(&path, &[]).status.success());
    let result = image::open(folder.path().join("disc-4x.png")).unwrap().into_rgba8();
    let (mut soft, mut clear) = (0, 0);
    for pixel in result.pixels() {
        let [r, g, _, alpha] = pixel.0;
        if alpha > 8 {
            assert!(g < 90 && r > 150, "green shines through: {pixel:?}");
        }
        soft += u32::from((1..255).contains(&alpha));
        clear += u32::from(alpha == 0);
    }
    assert!(soft > 100 && clear > 5_000, "{soft} {clear}");
}

#[test]
fn a_prefixed_exif_block_is_understood_and_a_turned_thumbnail_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    // Orientation 6 with a second directory, behind what only JPEG should put before it.
    let mut block = exif(6);
    let next = 8 + 2 + 3 * 12;
    let thumbnail = block.len() as u32;
    block[next..next + 4].copy_from_slice(&thumbnail.to_le_bytes());
    block.extend([1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let path = folder.path().join("a.png");
    let mut encoder = image::codecs::png::PngEncoder::new(std::fs::File::create(&path).unwrap());
    encoder.set_exif_metadata([b"Exif\0\0".as_slice(), &block].concat()).unwrap();
    encoder.write_image(&picture(12, 8), 12, 8, ColorType::Rgb8.into()).unwrap();
    let read = Picture::open(&path).unwrap();
    assert_eq!(read.size(), (8, 12), "it is turned");
    let kept = read.metadata.exif.unwrap();
    assert!(kept.starts_with(b"II"));
    assert_eq!(kept[next..next + 4], [0; 4], "the thumbnail would lie on its side");
    assert_eq!(read_exif(&kept).1, Some(1));
}

#[test]
fn a_profile_for_other_pixels_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let profile = |space: &[u8; 4]| {
        let mut icc = vec![0; 300];
        icc[16..20].copy_from_slice(space);
        Metadata { icc: Some(icc), ..Metadata::default() }
    };
    let grey: DynamicImage = DynamicImage::from(picture(12, 8)).into_luma8().into();
    for (name, pixels, space, kept) in [
        ("rgb.png", &picture(12, 8).into(), b"RGB ", true),
        ("cmyk.png", &picture(12, 8).into(), b"CMYK", false),
        ("grey.png", &grey, b"GRAY", true),
        ("wrong.png", &grey, b"RGB ", false),
    ] {
        let path = folder.path().join(name);
        assert_eq!(Format::Png.losses(pixels.color(), &profile(space)).is_empty(), kept);
        save(&path, pixels, profile(space));
        assert_eq!(Picture::open(&path).unwrap().metadata.icc.is_some(), kept, "{name}");
    }
}

#[test]
fn colours_that_were_multiplied_by_their_alpha_are_divided_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("premultiplied.tif");
    let file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    let mut encoder = tiff::encoder::TiffEncoder::new(file).unwrap();
    let mut picture = encoder.new_image::<tiff::encoder::colortype::RGB8>(2, 1).unwrap();
    picture.extra_samples(&[tiff::tags::ExtraSamples::AssociatedAlpha]).unwrap();
    picture.rows_per_strip(1).unwrap();
    picture.write_strip(&[100, 50, 25, 128, 0, 0, 0, 0]).unwrap();
    picture.finish().unwrap();
    drop(encoder);
    let read = Picture::open(&path).unwrap().pixels.into_rgba8();
    assert_eq!(read.get_pixel(0, 0).0, [199, 100, 50, 128]);
    assert_eq!(read.get_pixel(1, 0).0[3], 0);
}

#[test]
fn formats_that_are_only_read_give_png_results() {
    let folder = tempfile::tempdir().unwrap();
    for (extension, exact) in [("gif", false), ("qoi", true), ("ppm", true), ("pgm", true)] {
        let path = folder.path().join(format!("{extension}.{extension}"));
        let pixels = DynamicImage::from(picture(30, 20));
        let pixels = if extension == "pgm" { pixels.into_luma8().into() } else { pixels };
        pixels.save(&path).unwrap();
        let read = Picture::open(&path).unwrap();
        assert_eq!(read.size(), (30, 20));
        assert!(!exact || read.pixels == pixels, "{extension}");
        let output = upscale(&path, &[]);
        assert!(output.status.success(), "{}", stderr(&output));
        let result = image::open(folder.path().join(format!("{extension}-4x.png"))).unwrap();
        assert_eq!(result.dimensions(), (120, 80));
    }
    let deep = image::ImageBuffer::from_fn(9, 7, |x, y| image::Rgb([x as u16 * 7000, y as u16, 1]));
    let path = folder.path().join("deep.ppm");
    DynamicImage::ImageRgb16(deep.clone()).save(&path).unwrap();
    assert_eq!(Picture::open(&path).unwrap().pixels, DynamicImage::ImageRgb16(deep));
    let refused = upscale(&path, &["-o", folder.path().join("out.gif").to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1), "it is not written");
}

#[test]
fn kinds_that_are_not_read_are_named_with_a_way_out() {
    let unknown = pixmend::Error::NotAPicture { path: "a.xyz".into() }.to_string();
    for format in Format::WRITTEN.into_iter().chain(Format::READ) {
        assert!(unknown.contains(format.name()), "{unknown}");
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, start, kind, way) in [
        ("a.heic", &b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], "HEIC", "heif-convert"),
        ("a.cr3", b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "camera raw", "darktable"),
        ("a.dng", b"II*\0\x08\0\0\0", "camera raw", "darktable"),
    ] {
        let path = folder.path().join(name);
        pixmend::settings::write(&path, start, Existing::Refuse).unwrap();
        let output = upscale(&path, &[]);
        assert_eq!(output.status.code(), Some(1));
        let words = stderr(&output);
        assert!(words.contains(&format!("{kind} pictures are not read")), "{words}");
        assert!(words.contains(way) && words.trim().lines().count() == 1, "{words}");
    }
}

#[test]
fn half_a_file_is_damaged_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    for (name, start) in [
        ("a.jxl", &b"\xff\x0a\xfa\x7f\x01\x90\x08\x06"[..]),
        ("b.jxl", b"\0\0\0\x0cJXL \x0d\x0a\x87\x0a"),
        ("c.exr", b"\x76\x2f\x31\x01\x02\0\0\0"),
        ("d.avif", b"\0\0\0\x1cftypavif\0\0\0\0mif1avif"),
    ] {
        let path = folder.path().join(name);
        pixmend::settings::write(&path, start, Existing::Refuse).unwrap();
        let output = upscale(&path, &[]);
        assert_eq!(output.status.code(), Some(1));
        let words = stderr(&output);
        assert!(words.contains("damaged") && words.contains(name), "{words}");
        assert_eq!(words.trim().lines().count(), 1, "{words}");
    }
}

#[test]
fn a_result_has_its_photos_own_colours_in_any_profile() {
    use moxcms::ColorProfile;
    let folder = tempfile::tempdir().unwrap();
    let srgb = ColorProfile::new_srgb();
    for (name, profile) in [
        ("p3", ColorProfile::new_display_p3()),
        ("adobe", ColorProfile::new_adobe_rgb()),
        ("prophoto", ColorProfile::new_pro_photo_rgb()),
    ] {
        let icc = profile.encode().unwrap();
        let path = folder.path().join(format!("{name}.png"));
        let metadata = Metadata { icc: Some(icc.clone()), ..Metadata::default() };
        save(&path, &picture(48, 36).into(), metadata);
        let out = folder.path().join(format!("{name}-out.png"));
        let output = upscale(&path, &["--json", "-o", out.to_str().unwrap()]);
        assert!(output.status.success(), "{}", stderr(&output));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["metadata"][0]["part"], "colour profile");
        let mut decoder = image::ImageReader::open(&out).unwrap().into_decoder().unwrap();
        assert_eq!(decoder.icc_profile().unwrap(), Some(icc), "the result is in the same space");
        // Shrunk again in light, by a colour manager that is not ours, both are one picture.
        let light = |path: &Path| -> Vec<f32> {
            let pixels = image::open(path).unwrap().into_rgb32f();
            let layout = moxcms::Layout::Rgb;
            let options = moxcms::TransformOptions::default();
            let transform = profile.create_transform_f32(layout, &srgb, layout, options).unwrap();
            let mut converted = vec![0.0; pixels.len()];
            transform.transform(&pixels, &mut converted).unwrap();
            let (width, height) = pixels.dimensions();
            let buffer = image::Rgb32FImage::from_raw(width, height, converted).unwrap();
            let filter = image::imageops::FilterType::Triangle;
            image::imageops::resize(&buffer, 12, 9, filter).into_raw()
        };
        let apart = light(&path).iter().zip(light(&out)).map(|(a, b)| (a - b).abs()).sum::<f32>();
        let mean = apart / (12.0 * 9.0 * 3.0);
        assert!(mean < 0.01, "{name}: {mean}");
    }
}
