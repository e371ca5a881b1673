//! One encoder for each format: pixels and metadata into a file.

use std::{
    cell::RefCell,
    io::{self, Write as _},
};

use flate2::write::ZlibEncoder;
use image::{ColorType, ExtendedColorType};
use jpeg_encoder::{JpegColorType, PixelDensity, PixelDensityUnit, SamplingFactor, rgb_to_ycbcr};
use tiff::{
    encoder::{TiffEncoder, TiffKind},
    tags::{CompressionMethod, ExtraSamples, PhotometricInterpretation, Predictor, Tag, Type},
};

use super::{
    super::metadata::{IPTC_TAG, Metadata, TiffTags, XMP_TAG, iptc, write_tags},
    Header, Output, Rows, samples,
};
use webp::PixelLayout;

use crate::encoding::{JpegColour, PngLevel, TiffCompression};

/// Stands before an XMP packet in JPEG.
pub(super) const XMP_NAMESPACE: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

const METRES_AN_INCH: f64 = 0.0254;

/// Row by row.
pub(super) fn png(header: &Header, mut rows: Rows, file: &mut Output) -> io::Result<()> {
    let mut info = png::Info::with_size(header.width, header.height);
    let (color_type, bit_depth) = match header.color {
        ColorType::L8 => (png::ColorType::Grayscale, png::BitDepth::Eight),
        ColorType::La8 => (png::ColorType::GrayscaleAlpha, png::BitDepth::Eight),
        ColorType::Rgb8 => (png::ColorType::Rgb, png::BitDepth::Eight),
        ColorType::Rgba8 => (png::ColorType::Rgba, png::BitDepth::Eight),
        ColorType::L16 => (png::ColorType::Grayscale, png::BitDepth::Sixteen),
        ColorType::La16 => (png::ColorType::GrayscaleAlpha, png::BitDepth::Sixteen),
        ColorType::Rgb16 => (png::ColorType::Rgb, png::BitDepth::Sixteen),
        _ => (png::ColorType::Rgba, png::BitDepth::Sixteen),
    };
    info.color_type = color_type;
    info.bit_depth = bit_depth;
    info.icc_profile = header.metadata.icc.as_deref().map(Into::into);
    info.exif_metadata = header.metadata.exif.as_deref().map(Into::into);
    info.pixel_dims = header.metadata.dpi.map(|dpi| {
        let a_metre = (f64::from(dpi) / METRES_AN_INCH).round() as u32;
        png::PixelDimensions { xppu: a_metre, yppu: a_metre, unit: png::Unit::Meter }
    });
    let mut encoder = png::Encoder::with_info(file, info)?;
    encoder.set_compression(match header.encoding.png_level {
        PngLevel::Fast => png::Compression::Fast,
        PngLevel::Balanced => png::Compression::Balanced,
        PngLevel::Best => png::Compression::High,
    });
    let Metadata { xmp, iptc, .. } = &header.metadata;
    if let Some(Ok(packet)) = xmp.as_deref().map(std::str::from_utf8) {
        encoder.add_itxt_chunk("XML:com.adobe.xmp".to_owned(), packet.to_owned())?;
    }
    if let Some(chain) = iptc {
        encoder.add_ztxt_chunk("Raw profile type iptc".to_owned(), iptc::as_text(chain))?;
    }
    let mut writer = encoder.write_header()?;
    let mut stream = writer.stream_writer()?;
    let mut swapped = Vec::new();
    for _ in 0..header.height {
        let row = rows.next()?;
        if bit_depth == png::BitDepth::Eight {
            stream.write_all(row)?;
        } else {
            swapped.clear();
            swapped.extend(samples(row).flat_map(u16::to_be_bytes));
            stream.write_all(&swapped)?;
        }
    }
    stream.finish()?;
    Ok(writer.finish()?)
}

/// Strip by strip.
pub(super) fn tiff(header: &Header, rows: Rows, file: &mut Output) -> io::Result<()> {
    let bytes = header.row_bytes() as u64 * u64::from(header.height);
    // Classic TIFF counts offsets in 32 bits.
    let big = bytes > u64::from(u32::MAX) - (64 << 20);
    let encoded = if big {
        TiffEncoder::new_big(file).and_then(|encoder| tiff_strips(encoder, header, rows))
    } else {
        TiffEncoder::new(file).and_then(|encoder| tiff_strips(encoder, header, rows))
    };
    encoded.map_err(|error| match error {
        tiff::TiffError::IoError(error) => error,
        other => io::Error::other(other),
    })
}

/// Lays the file out by hand: the library's own strips are never compressed.
fn tiff_strips<K: TiffKind>(
    mut encoder: TiffEncoder<&mut Output, K>,
    header: &Header,
    mut rows: Rows,
) -> tiff::TiffResult<()> {
    let mut tags = TiffTags::of_exif(header.metadata.exif.as_deref().unwrap_or_default());
    if let Some(dpi) = header.metadata.dpi {
        tags.set_resolution(dpi);
    }
    let pointers = tags.write_parts(&mut encoder)?;
    let channels = header.color.channel_count();
    let bits = 8 * u16::from(header.color.bytes_per_pixel() / channels);
    let (compression, predictor) = match header.encoding.tiff_compression {
        TiffCompression::None => (CompressionMethod::None, Predictor::None),
        TiffCompression::Lzw => (CompressionMethod::LZW, Predictor::Horizontal),
        TiffCompression::Deflate => (CompressionMethod::Deflate, Predictor::Horizontal),
    };
    let photometric = if header.color.has_color() {
        PhotometricInterpretation::RGB
    } else {
        PhotometricInterpretation::BlackIsZero
    };

    let rows_per_strip = (1_000_000 / header.row_bytes()).clamp(1, header.height as usize) as u32;
    let mut directory = encoder.image_directory()?;
    let (mut offsets, mut sizes) = (Vec::new(), Vec::new());
    for top in (0..header.height).step_by(rows_per_strip as usize) {
        let mut strip = Vec::with_capacity(rows_per_strip as usize * header.row_bytes());
        for _ in top..(top + rows_per_strip).min(header.height) {
            let row = rows.next()?;
            match predictor {
                Predictor::Horizontal if bits == 8 => predict(row, channels, &mut strip),
                Predictor::Horizontal => predict_deep(row, channels, &mut strip),
                _ => strip.extend_from_slice(row),
            }
        }
        let strip = match header.encoding.tiff_compression {
            TiffCompression::None => strip,
            TiffCompression::Lzw => {
                weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8)
                    .encode(&strip)
                    .map_err(io::Error::other)?
            }
            TiffCompression::Deflate => {
                let mut deflated = ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                deflated.write_all(&strip)?;
                deflated.finish()?
            }
        };
        offsets.push(K::convert_offset(directory.write_data(strip.as_slice())?)?);
        sizes.push(K::convert_offset(strip.len() as u64)?);
    }

    directory.write_tag(Tag::ImageWidth, header.width)?;
    directory.write_tag(Tag::ImageLength, header.height)?;
    directory.write_tag(Tag::BitsPerSample, vec![bits; usize::from(channels)].as_slice())?;
    directory.write_tag(Tag::Compression, compression.to_u16())?;
    directory.write_tag(Tag::PhotometricInterpretation, photometric.to_u16())?;
    directory.write_tag(Tag::SamplesPerPixel, u16::from(channels))?;
    directory.write_tag(Tag::RowsPerStrip, rows_per_strip)?;
    directory.write_tag(Tag::StripOffsets, K::convert_slice(&offsets))?;
    directory.write_tag(Tag::StripByteCounts, K::convert_slice(&sizes))?;
    if predictor != Predictor::None {
        directory.write_tag(Tag::Predictor, predictor.to_u16())?;
    }
    if header.color.has_alpha() {
        let alpha = [ExtraSamples::UnassociatedAlpha.to_u16()];
        directory.write_tag(Tag::ExtraSamples, alpha.as_slice())?;
    }
    tags.write_main(&mut directory)?;
    for (tag, offset) in pointers {
        directory.write_tag(tag, offset)?;
    }
    let Metadata { icc, xmp, iptc, .. } = &header.metadata;
    // IPTC as Photoshop writes it, which some readers take in no other type.
    let iptc = iptc.as_deref().map(iptc::padded);
    for (tag, kind, part) in [
        (Tag::IccProfile, Type::UNDEFINED, icc),
        (XMP_TAG, Type::BYTE, xmp),
        (IPTC_TAG, Type::LONG, &iptc),
    ] {
        if let Some(bytes) = part {
            write_tags(&mut directory, &[(tag, kind, bytes.clone())])?;
        }
    }
    directory.finish()?;
    Ok(())
}

/// Each sample of a row as its difference to the one of the pixel before it, which packs better.
fn predict(row: &[u8], channels: u8, strip: &mut Vec<u8>) {
    let (first, rest) = row.split_at(usize::from(channels));
    strip.extend_from_slice(first);
    strip.extend(rest.iter().zip(row).map(|(value, before)| value.wrapping_sub(*before)));
}

/// The same for 16 bits a sample.
fn predict_deep(row: &[u8], channels: u8, strip: &mut Vec<u8>) {
    let (first, rest) = row.split_at(2 * usize::from(channels));
    strip.extend_from_slice(first);
    let differences = samples(rest).zip(samples(row));
    strip.extend(differences.flat_map(|(value, before)| value.wrapping_sub(before).to_ne_bytes()));
}

/// A JPEG encoder asks for rows and cannot be told of a failure, so the first
/// one is kept and white rows follow it.
struct JpegRows<'a> {
    header: &'a Header,
    color: JpegColorType,
    state: RefCell<JpegState>,
}

struct JpegState {
    rows: Rows,
    /// Rows taken so far; the encoder asks for the last one several times.
    taken: u32,
    row: Vec<u8>,
    failure: Option<io::Error>,
}

impl jpeg_encoder::ImageBuffer for &JpegRows<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        self.color
    }

    fn width(&self) -> u16 {
        self.header.width as u16
    }

    fn height(&self) -> u16 {
        self.header.height as u16
    }

    fn fill_buffers(&self, y: u16, planes: &mut [Vec<u8>; 4]) {
        let state = &mut *self.state.borrow_mut();
        while state.taken <= u32::from(y) {
            state.taken += 1;
            match state.rows.next() {
                Ok(row) => state.row = row.to_vec(),
                Err(error) => {
                    state.failure.get_or_insert(error);
                    state.row.fill(255);
                }
            }
        }
        match self.color {
            JpegColorType::Luma => planes[0].extend_from_slice(&state.row),
            _ => {
                for pixel in state.row.chunks_exact(3) {
                    let (y, cb, cr) = rgb_to_ycbcr(pixel[0], pixel[1], pixel[2]);
                    planes[0].push(y);
                    planes[1].push(cb);
                    planes[2].push(cr);
                }
            }
        }
    }
}

/// Block by block.
pub(super) fn jpeg(header: &Header, rows: Rows, file: &mut Output) -> io::Result<()> {
    let failed = |error: jpeg_encoder::EncodingError| match error {
        jpeg_encoder::EncodingError::IoError(error) => error,
        other => io::Error::other(other),
    };
    let color = if header.color.has_color() { JpegColorType::Ycbcr } else { JpegColorType::Luma };
    let source = JpegRows {
        header,
        color,
        state: RefCell::new(JpegState {
            row: vec![255; header.row_bytes()],
            rows,
            taken: 0,
            failure: None,
        }),
    };
    let mut encoder = jpeg_encoder::Encoder::new(file, header.encoding.jpeg_quality.clamp(1, 100));
    encoder.set_sampling_factor(match header.encoding.jpeg_colour {
        JpegColour::Full => SamplingFactor::R_4_4_4,
        JpegColour::Half => SamplingFactor::R_4_2_2,
        JpegColour::Quarter => SamplingFactor::R_4_2_0,
    });
    // Readers look for EXIF at the very beginning.
    let Metadata { icc, exif, xmp, iptc, dpi } = &header.metadata;
    if let Some(dpi) = dpi.and_then(|dpi| u16::try_from(dpi).ok()) {
        encoder.set_density(PixelDensity { density: (dpi, dpi), unit: PixelDensityUnit::Inches });
    }
    if let Some(exif) = exif {
        encoder.add_exif_metadata(exif).map_err(failed)?;
    }
    if let Some(packet) = xmp {
        let segment = [XMP_NAMESPACE, packet.as_slice()].concat();
        encoder.add_app_segment(1, segment).map_err(failed)?;
    }
    if let Some(icc) = icc {
        encoder.add_icc_profile(icc).map_err(failed)?;
    }
    if let Some(chain) = iptc {
        let segment = [iptc::PHOTOSHOP, &iptc::as_resource(chain)].concat();
        encoder.add_app_segment(13, segment).map_err(failed)?;
    }
    encoder.encode_image(&source).map_err(failed)?;
    match source.state.into_inner().failure {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// All rows at once, for encoders that want that.
fn gathered(header: &Header, mut rows: Rows) -> io::Result<Vec<u8>> {
    let size = header.row_bytes() * header.height as usize;
    let mut pixels = Vec::new();
    pixels.try_reserve_exact(size).map_err(io::Error::other)?;
    for _ in 0..header.height {
        pixels.extend_from_slice(rows.next()?);
    }
    Ok(pixels)
}

/// Whole; without loss unless a quality is set.
pub(super) fn webp(header: &Header, rows: Rows, file: &mut Output) -> io::Result<()> {
    let pixels = gathered(header, rows)?;
    match header.encoding.webp_quality {
        Some(quality) => webp_with_losses(header, pixels, quality, file),
        None => webp_without_loss(header, &pixels, file),
    }
}

fn webp_without_loss(header: &Header, pixels: &[u8], file: &mut Output) -> io::Result<()> {
    let mut encoder = image_webp::WebPEncoder::new(file);
    let Metadata { icc, exif, xmp, .. } = header.metadata.clone();
    encoder.set_icc_profile(icc.unwrap_or_default());
    encoder.set_exif_metadata(exif.unwrap_or_default());
    encoder.set_xmp_metadata(xmp.unwrap_or_default());
    let color = match header.color {
        ColorType::L8 => image_webp::ColorType::L8,
        ColorType::La8 => image_webp::ColorType::La8,
        ColorType::Rgb8 => image_webp::ColorType::Rgb8,
        _ => image_webp::ColorType::Rgba8,
    };
    encoder.encode(pixels, header.width, header.height, color).map_err(|error| match error {
        image_webp::EncodingError::IoError(error) => error,
        other => io::Error::other(other),
    })
}

/// libwebp makes the picture; what it is written with is laid around it (RFC 9649, 2.7).
fn webp_with_losses(
    header: &Header,
    pixels: Vec<u8>,
    quality: u8,
    file: &mut Output,
) -> io::Result<()> {
    const ALPHA: u8 = 1 << 4;
    let (width, height) = (header.width, header.height);
    let (pixels, layout) = match header.color {
        ColorType::L8 => (pixels.iter().flat_map(|value| [*value; 3]).collect(), PixelLayout::Rgb),
        ColorType::La8 => {
            let pixel = |pixel: &[u8]| [pixel[0], pixel[0], pixel[0], pixel[1]];
            (pixels.chunks_exact(2).flat_map(pixel).collect(), PixelLayout::Rgba)
        }
        ColorType::Rgb8 => (pixels, PixelLayout::Rgb),
        _ => (pixels, PixelLayout::Rgba),
    };
    let encoder = webp::Encoder::new(&pixels, layout, width, height);
    let encoded = encoder
        .encode_simple(false, f32::from(quality))
        .map_err(|error| io::Error::other(format!("{error:?}")))?;
    // Behind the file's own header: the picture, and before it its alpha if there is some.
    let inner = webp_chunks(encoded.get(12..).unwrap_or_default());
    let is_picture = |name: &[u8]| matches!(name, b"ALPH" | b"VP8 ");
    let Metadata { icc, exif, xmp, .. } = &header.metadata;
    let flag = |part: &Option<Vec<u8>>, bit: u8| u8::from(part.is_some()) << bit;
    let alpha = if inner.iter().any(|(name, _)| *name == b"ALPH") { ALPHA } else { 0 };
    let flags = alpha | flag(icc, 5) | flag(exif, 3) | flag(xmp, 2);
    let mut canvas = vec![flags, 0, 0, 0];
    for side in [width, height] {
        canvas.extend_from_slice(&(side - 1).to_le_bytes()[..3]);
    }
    let part = |name: &'static [u8], part: &'_ Option<Vec<u8>>| Some((name, part.clone()?));
    let chunks = [Some((&b"VP8X"[..], canvas)), part(b"ICCP", icc)]
        .into_iter()
        .flatten()
        .chain(inner.iter().filter(|(name, _)| is_picture(name)).map(|(n, b)| (*n, b.to_vec())))
        .chain([part(b"EXIF", exif), part(b"XMP ", xmp)].into_iter().flatten());
    let mut body = b"WEBP".to_vec();
    for (name, bytes) in chunks {
        body.extend_from_slice(name);
        body.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        body.extend_from_slice(&bytes);
        body.resize(body.len().next_multiple_of(2), 0);
    }
    file.write_all(b"RIFF")?;
    file.write_all(&(body.len() as u32).to_le_bytes())?;
    file.write_all(&body)
}

/// Names and contents of the chunks of a RIFF file, one after the other.
fn webp_chunks(mut bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut chunks = Vec::new();
    while let Some((name, rest)) = bytes.split_at_checked(4)
        && let Some((length, rest)) = rest.split_first_chunk()
        && let Some(content) = rest.get(..u32::from_le_bytes(*length) as usize)
    {
        chunks.push((name, content));
        bytes = rest.get(content.len().next_multiple_of(2)..).unwrap_or_default();
    }
    chunks
}

/// Whole.
pub(super) fn bmp(header: &Header, rows: Rows, file: &mut Output) -> io::Result<()> {
    let pixels = gathered(header, rows)?;
    let kept = ExtendedColorType::from(header.color);
    let mut encoder = image::codecs::bmp::BmpEncoder::new(file);
    encoder.encode(&pixels, header.width, header.height, kept).map_err(|error| match error {
        image::ImageError::IoError(error) => error,
        other => io::Error::other(other),
    })
}
