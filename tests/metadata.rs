//! What each format keeps of a photo, found out by writing it and by reading it back with readers
//! that are not ours.

use std::{fs::File, io::BufReader, path::Path};

use image::{ColorType, DynamicImage, ImageDecoder, ImageReader, Rgb, RgbImage};
use pixmend::{
    encoding::{Encoding, JpegColour, PngLevel, TiffCompression},
    picture::{Format, Metadata, Picture, PictureWriter, formats::Header},
    settings::Existing,
};

use crate::support::{exif, kinds, picture, read_exif, stderr, upscale};

const XMP: &str = r#"<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description tiff:Orientation="6" exif:PixelXDimension="24" exif:GPSLatitude="52,30N" photoshop:Headline="The sea"/></rdf:RDF></x:xmpmeta>"#;

/// With its prefixes declared, as readers of XML want them.
const RDF: &str = r#"<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" "#;

/// A caption and a city.
fn iptc() -> Vec<u8> {
    b"\x1c\x02\x78\0\x09A caption\x1c\x02\x5a\0\x06Berlin".to_vec()
}

fn icc(space: &[u8; 4]) -> Vec<u8> {
    let mut icc = vec![7; 600];
    icc[16..20].copy_from_slice(space);
    icc
}

/// A block as a phone writes it: orientation, pixel dimensions and where it was.
fn phone_exif(orientation: u8) -> Vec<u8> {
    let field = |tag, value| exif::Field { tag, ifd_num: exif::In::PRIMARY, value };
    // Minutes and seconds are none.
    let degrees = |number| {
        [(number, 7919), (0, 1), (0, 1)].map(|(num, denom)| exif::Rational { num, denom }).to_vec()
    };
    let fields = [
        field(exif::Tag::Make, exif::Value::Ascii(vec![b"Pixmend".to_vec()])),
        field(exif::Tag::Orientation, exif::Value::Short(vec![u16::from(orientation)])),
        field(exif::Tag::PixelXDimension, exif::Value::Long(vec![24])),
        field(exif::Tag::PixelYDimension, exif::Value::Short(vec![12])),
        field(exif::Tag::GPSLatitudeRef, exif::Value::Ascii(vec![b"N".to_vec()])),
        field(exif::Tag::GPSLatitude, exif::Value::Rational(degrees(415_711))),
    ];
    let mut writer = exif::experimental::Writer::new();
    fields.iter().for_each(|field| writer.push_field(field));
    let mut block = std::io::Cursor::new(Vec::new());
    writer.write(&mut block, false).unwrap();
    block.into_inner()
}

fn full(color: ColorType) -> Metadata {
    Metadata {
        icc: Some(icc(if color.has_color() { b"RGB " } else { b"GRAY" })),
        exif: Some(phone_exif(1)),
        xmp: Some(XMP.into()),
        iptc: Some(iptc()),
        dpi: None,
    }
}

fn save(path: &Path, pixels: &DynamicImage, metadata: Metadata, encoding: Encoding) {
    let (width, height, color) = (pixels.width(), pixels.height(), pixels.color());
    let header = Header { width, height, color, metadata, encoding };
    let mut writer = PictureWriter::create(path, header).unwrap();
    writer.push(pixels.as_bytes().to_vec()).unwrap();
    writer.finish(Existing::Refuse).unwrap();
}

/// What a file says, by readers of others.
struct Said {
    icc: bool,
    exif: bool,
    xmp: bool,
    iptc: bool,
}

fn said(path: &Path) -> Said {
    let reader = ImageReader::open(path).unwrap().with_guessed_format().unwrap();
    let mut decoder = reader.into_decoder().unwrap();
    let container = &mut BufReader::new(File::open(path).unwrap());
    let exif = exif::Reader::new().read_from_container(container);
    let make = exif.ok().and_then(|exif| {
        let make = exif.get_field(exif::Tag::Make, exif::In::PRIMARY)?;
        Some(make.display_value().to_string())
    });
    let bytes = std::fs::read(path).unwrap();
    let caption = iptc();
    // In PNG it stands in hexadecimal digits inside of a compressed chunk.
    let in_png = decoder.iptc_metadata().unwrap().is_some_and(|text| {
        let digits: String = caption.iter().map(|byte| format!("{byte:02x}")).collect();
        String::from_utf8_lossy(&text).replace('\n', "").contains(&digits)
    });
    Said {
        // The reader of TIFF gives up on long tags; there it stands as it is.
        icc: decoder.icc_profile().ok().flatten().is_some_and(|icc| icc.len() == 600)
            || bytes.windows(600).any(|window| window == icc(b"RGB ")),
        exif: make.is_some_and(|make| make.contains("Pixmend")),
        // No format compresses it here.
        xmp: bytes.windows(7).any(|window| window == b"The sea"),
        iptc: in_png || bytes.windows(caption.len()).any(|window| window == caption),
    }
}

/// One line of the table in the README.
fn row(format: Format, folder: &Path) -> String {
    let file = |name: &str| folder.join(format!("{name}.{}", format.extension()));
    let all = kinds(24, 12);
    let kind = |color: ColorType| all.iter().find(|pixels| pixels.color() == color).unwrap();
    let back = |name: &str, color: ColorType| {
        let path = file(name);
        save(&path, kind(color), full(color), Encoding::default());
        image::open(path).unwrap()
    };
    let eight = back("8", ColorType::Rgb8);
    let same = eight.to_rgb8() == kind(ColorType::Rgb8).to_rgb8();
    let sixteen = back("16", ColorType::Rgb16);
    let sixteen = sixteen.as_rgb16() == kind(ColorType::Rgb16).as_rgb16();
    let alpha = back("alpha", ColorType::Rgba8);
    let alpha = alpha.as_rgba8() == kind(ColorType::Rgba8).as_rgba8();
    let grey = back("grey", ColorType::L8);
    let grey = grey.color() == ColorType::L8;
    let said = said(&file("8"));
    let upright = (1..=8).filter(|orientation| stays_upright(format, *orientation, folder)).count();
    let yes = |yes: bool, otherwise: &'static str| if yes { "yes" } else { otherwise };
    let cells = [
        format.name().to_owned(),
        yes(same, "lossy").to_owned(),
        yes(sixteen, "made 8").to_owned(),
        yes(alpha, "on white").to_owned(),
        yes(grey, "as RGB").to_owned(),
        yes(said.icc, "no").to_owned(),
        yes(said.exif, "no").to_owned(),
        yes(said.xmp, "no").to_owned(),
        yes(said.iptc, "no").to_owned(),
        if upright == 8 { "all 8".to_owned() } else { format!("{upright}: it states none") },
    ];
    format!("| {} |", cells.join(" | "))
}

/// Whether a photo that is stored turned is upright when it is read, and says so afterwards.
fn stays_upright(format: Format, orientation: u8, folder: &Path) -> bool {
    // One bright corner tells where it was turned to.
    let upright = RgbImage::from_fn(24, 12, |x, y| Rgb([if x < 8 && y < 6 { 250 } else { 20 }; 3]));
    let turn = image::metadata::Orientation::from_exif(orientation).unwrap();
    let inverse = match orientation {
        6 => image::metadata::Orientation::Rotate270,
        8 => image::metadata::Orientation::Rotate90,
        _ => turn,
    };
    let mut stored = DynamicImage::from(upright);
    stored.apply_orientation(inverse);
    let path = folder.join(format!("turned-{orientation}.{}", format.extension()));
    if format == Format::Tiff {
        let file = File::create(&path).unwrap();
        let mut encoder = tiff::encoder::TiffEncoder::new(file).unwrap();
        let (width, height) = (stored.width(), stored.height());
        let mut picture =
            encoder.new_image::<tiff::encoder::colortype::RGB8>(width, height).unwrap();
        let tag = tiff::tags::Tag::Orientation;
        picture.encoder().write_tag(tag, u16::from(orientation)).unwrap();
        picture.write_data(stored.as_bytes()).unwrap();
    } else {
        let metadata = Metadata { exif: Some(exif(orientation)), ..Metadata::default() };
        save(&path, &stored, metadata, Encoding::default());
    }
    let read = Picture::open(&path).unwrap();
    let stated = read.metadata.exif.as_ref().and_then(|block| read_exif(block).1);
    let pixels = read.pixels.to_luma8();
    (pixels.dimensions() == (24, 12))
        && pixels.get_pixel(2, 2).0[0] > 200
        && pixels.get_pixel(21, 10).0[0] < 60
        && [None, Some(1)].contains(&stated)
}

#[test]
fn the_table_in_the_readme_is_what_files_really_keep() {
    let folder = tempfile::tempdir().unwrap();
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    let readme = readme.unwrap();
    let rows = Format::WRITTEN.map(|format| row(format, folder.path()));
    let missing: Vec<&String> = rows.iter().filter(|row| !readme.contains(*row)).collect();
    assert!(missing.is_empty(), "the README lacks\n{}", rows.join("\n"));
}

#[test]
fn sizes_are_those_of_the_result_and_a_location_goes_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    for extension in ["jpg", "png", "webp", "tif"] {
        let path = folder.path().join(format!("photo.{extension}"));
        save(&path, &picture(24, 12).into(), full(ColorType::Rgb8), Encoding::default());
        for (name, more, located) in
            [("all", &[][..], true), ("without", &["--strip-location"], false)]
        {
            let out = folder.path().join(format!("{name}.{extension}"));
            let output = upscale(&path, &[&["-o", out.to_str().unwrap()], more].concat());
            assert!(output.status.success(), "{}", stderr(&output));
            let container = &mut BufReader::new(File::open(&out).unwrap());
            let read = exif::Reader::new().read_from_container(container).unwrap();
            let number = |tag| read.get_field(tag, exif::In::PRIMARY)?.value.get_uint(0);
            assert_eq!(number(exif::Tag::PixelXDimension), Some(96), "{out:?}");
            assert_eq!(number(exif::Tag::PixelYDimension), Some(48), "{out:?}");
            let gps = read.fields().any(|field| field.tag.context() == exif::Context::Gps);
            assert_eq!(gps, located, "{out:?}");
            let again = Picture::open(&out).unwrap().metadata;
            let packet = String::from_utf8(again.xmp.unwrap()).unwrap();
            assert!(packet.contains(r#"tiff:Orientation="1""#) && packet.contains("The sea"));
            assert!(packet.contains(r#"exif:PixelXDimension="96""#), "{packet}");
            assert_eq!(packet.contains("GPS"), located);
            if extension != "webp" {
                let chain = String::from_utf8_lossy(&again.iptc.unwrap()).into_owned();
                assert!(chain.contains("A caption"));
                assert_eq!(chain.contains("Berlin"), located);
            }
            // Not a trace of the latitude is left anywhere in the file.
            let bytes = std::fs::read(&out).unwrap();
            let trace = [415_711_u32.to_le_bytes(), 415_711_u32.to_be_bytes()];
            let traced = bytes.windows(4).any(|window| trace.iter().any(|trace| window == trace));
            assert_eq!(traced, located, "{out:?}");
        }
    }
}

#[test]
fn compression_is_chosen_for_each_format() {
    let folder = tempfile::tempdir().unwrap();
    let pixels: DynamicImage = picture(320, 240).into();
    let size = |name: &str, encoding: Encoding| {
        let path = folder.path().join(name);
        save(&path, &pixels, Metadata::default(), encoding);
        assert_eq!(image::open(&path).unwrap().color(), ColorType::Rgb8);
        (std::fs::metadata(&path).unwrap().len(), image::open(&path).unwrap())
    };
    let plain = Encoding::default();
    let high = size("a.jpg", plain).0;
    assert!(size("b.jpg", Encoding { jpeg_quality: 60, ..plain }).0 * 3 < high * 2);
    let half = size("c.jpg", Encoding { jpeg_colour: JpegColour::Half, ..plain }).0;
    let quarter = size("d.jpg", Encoding { jpeg_colour: JpegColour::Quarter, ..plain }).0;
    assert!(quarter < half && half < high, "{quarter} {half} {high}");
    let (fast, a) = size("a.png", Encoding { png_level: PngLevel::Fast, ..plain });
    let (best, b) = size("b.png", Encoding { png_level: PngLevel::Best, ..plain });
    assert!(best < fast && a == b && a == pixels, "{best} {fast}");
    let (none, a) = size("a.tif", plain);
    for (name, way) in [("b.tif", TiffCompression::Lzw), ("c.tif", TiffCompression::Deflate)] {
        let (packed, b) = size(name, Encoding { tiff_compression: way, ..plain });
        assert!(packed < none && a == b && a == pixels, "{way:?}: {packed} {none}");
    }
}

#[test]
fn a_webp_with_losses_is_smaller_and_keeps_what_belongs_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let pixels: DynamicImage = picture(320, 240).into();
    let size = |name: &str, pixels: &DynamicImage, webp_quality| {
        let path = folder.path().join(name);
        let encoding = Encoding { webp_quality, ..Encoding::default() };
        save(&path, pixels, full(pixels.color()), encoding);
        let Said { icc, exif, xmp, .. } = said(&path);
        assert!(icc && exif && xmp, "{name}");
        (std::fs::metadata(&path).unwrap().len(), image::open(&path).unwrap())
    };
    let (whole, same) = size("a.webp", &pixels, None);
    assert_eq!(same, pixels);
    let (high, near) = size("b.webp", &pixels, Some(95));
    let (low, _) = size("c.webp", &pixels, Some(40));
    assert!(low < high && high < whole, "{low} {high} {whole}");
    let (near, pixels) = (near.into_rgb8(), pixels.into_rgb8());
    let off = |(a, b): (&u8, &u8)| u64::from(a.abs_diff(*b));
    let mean = near.iter().zip(pixels.iter()).map(off).sum::<u64>() as f64 / pixels.len() as f64;
    assert!(mean < 8.0, "{mean}");
    // With alpha, and grey.
    let clear = image::RgbaImage::from_fn(40, 30, |x, y| {
        image::Rgba([200, 40, 90, if (x / 10 + y / 10) % 2 == 0 { 255 } else { 0 }])
    });
    let (_, read) = size("d.webp", &clear.clone().into(), Some(80));
    let alphas = read.into_rgba8();
    assert!(alphas.pixels().zip(clear.pixels()).all(|(a, b)| a.0[3] == b.0[3]));
    let grey = image::GrayImage::from_fn(33, 21, |x, _| image::Luma([(x * 7) as u8]));
    let path = folder.path().join("e.webp");
    let encoding = Encoding { webp_quality: Some(90), ..Encoding::default() };
    save(&path, &grey.into(), Metadata::default(), encoding);
    assert_eq!(image::open(&path).unwrap().into_luma8().dimensions(), (33, 21));
}

#[test]
fn a_print_states_its_dots_per_inch() {
    let folder = tempfile::tempdir().unwrap();
    let pixels: DynamicImage = picture(32, 24).into();
    let written = |name: &str, exif: Option<Vec<u8>>| {
        let path = folder.path().join(name);
        let metadata = Metadata { exif, dpi: Some(240), ..Metadata::default() };
        save(&path, &pixels, metadata, Encoding::default());
        path
    };
    let png = png::Decoder::new(BufReader::new(File::open(written("a.png", None)).unwrap()));
    let stated = png.read_info().unwrap().info().pixel_dims.unwrap();
    assert_eq!((stated.xppu, stated.yppu), (9449, 9449), "240 / 0.0254");
    let jpeg = std::fs::read(written("a.jpg", None)).unwrap();
    // JFIF: unit 1 is the inch, then both densities.
    assert_eq!(&jpeg[6..11], b"JFIF\0");
    assert_eq!(&jpeg[13..18], [1, 0, 240, 0, 240]);
    let resolution = |path: &Path| {
        let mut container = BufReader::new(File::open(path).unwrap());
        let exif = exif::Reader::new().read_from_container(&mut container).unwrap();
        let text =
            |tag| exif.get_field(tag, exif::In::PRIMARY).unwrap().display_value().to_string();
        [
            text(exif::Tag::XResolution),
            text(exif::Tag::YResolution),
            text(exif::Tag::ResolutionUnit),
        ]
    };
    let stated = ["240", "240", "inch"].map(str::to_owned);
    assert_eq!(resolution(&written("a.tif", None)), stated);
    // What a camera stated is stated anew.
    let field = |tag, value| exif::Field { tag, ifd_num: exif::In::PRIMARY, value };
    let ratio = || exif::Value::Rational(vec![exif::Rational { num: 72, denom: 1 }]);
    let fields = [
        field(exif::Tag::XResolution, ratio()),
        field(exif::Tag::YResolution, ratio()),
        field(exif::Tag::ResolutionUnit, exif::Value::Short(vec![3])),
    ];
    let mut writer = exif::experimental::Writer::new();
    fields.iter().for_each(|field| writer.push_field(field));
    let mut block = std::io::Cursor::new(Vec::new());
    writer.write(&mut block, false).unwrap();
    for name in ["b.jpg", "b.png", "b.webp", "b.tif"] {
        let path = written(name, Some(block.get_ref().clone()));
        assert_eq!(resolution(&path), stated, "{name}");
    }
}

/// What exiftool says of a file: names and values, warnings among them.
fn exiftool(path: &Path) -> Vec<(String, String)> {
    let mut command = std::process::Command::new("exiftool");
    command.args(["-validate", "-warning", "-error", "-a", "-s2", "-Make", "-Orientation#"]);
    command.args(["-GPSLatitude#", "-Headline", "-Caption-Abstract", "-City"]);
    let output = command.arg("-ProfileDescription").arg(path).output().expect("exiftool is there");
    let said = String::from_utf8(output.stdout).unwrap();
    let lines = said.lines().filter_map(|line| line.split_once(": "));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
#[ignore = "needs exiftool"]
fn exiftool_reads_what_the_table_promises_and_finds_nothing_wrong() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    let readme = readme.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for format in Format::WRITTEN {
        let path = folder.path().join(format!("all.{}", format.extension()));
        let metadata = Metadata {
            // A whole profile, since this one is read.
            icc: Some(moxcms::ColorProfile::new_srgb().encode().unwrap()),
            xmp: Some(XMP.replace("<rdf:Description ", RDF).into()),
            ..full(ColorType::Rgb8)
        };
        save(&path, &picture(24, 12).into(), metadata, Encoding::default());
        let said = exiftool(&path);
        let says = |name: &str, value: &str| said.iter().any(|(n, v)| n == name && v == value);
        // What a camera should have said is missing from the block here, too.
        let of_others = |text: &str| text.starts_with("[minor]") || text.starts_with("Missing");
        let wrong = said.iter().filter(|(name, text)| {
            ["Warning", "Error"].contains(&name.as_str()) && !of_others(text)
        });
        assert_eq!(wrong.count(), 0, "{path:?}: {said:#?}");
        assert!(said.iter().any(|(name, _)| name == "Validate"), "{said:#?}");
        let start = format!("| {} |", format.name());
        let row = readme.lines().find(|line| line.starts_with(&start)).unwrap();
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for (column, name, value) in [
            (6, "ProfileDescription", "sRGB IEC61966-2.1"),
            (7, "Make", "Pixmend"),
            (7, "GPSLatitude", "52.49539083"),
            (8, "Headline", "The sea"),
            (9, "Caption-Abstract", "A caption"),
            (9, "City", "Berlin"),
        ] {
            assert_eq!(says(name, value), cells[column] == "yes", "{path:?}, {name}: {said:#?}");
        }
        let turned = said.iter().find(|(name, value)| name == "Orientation" && value != "1");
        assert_eq!(turned, None, "{path:?}");
    }
}
