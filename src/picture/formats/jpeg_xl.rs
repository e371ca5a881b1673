//! JPEG XL (ISO/IEC 18181), read by jxl-oxide.

use std::io::{BufRead, Seek};

use image::{DynamicImage, ImageBuffer, Pixel};
use jxl_oxide::{
    AllocTracker, AuxBoxData, EnumColourEncoding, FrameBufferSample, JxlImage, PixelFormat, Render,
    RenderingIntent,
};

use super::super::{DecodeError, MAX_DECODED_BYTES, Metadata, divide_by_alpha};

const NAME: &str = "JPEG XL";

/// Room for floats of each channel, and for what is decoded from them.
const ROOM: usize = 8 * MAX_DECODED_BYTES as usize;

/// Transfer function and primaries of sRGB in ITU-T H.273.
const SRGB: [u8; 4] = [1, 13, 0, 1];

/// Upright pixels, of the first picture of several, and the metadata.
pub(in super::super) fn decode(
    reader: impl BufRead + Seek,
) -> Result<(DynamicImage, Metadata), DecodeError> {
    let mut picture = JxlImage::builder()
        .alloc_tracker(AllocTracker::with_limit(ROOM))
        .read(reader)
        .map_err(damaged)?;
    let format = picture.pixel_format();
    let (width, height) = (picture.width(), picture.height());
    let deep = picture.image_header().metadata.bit_depth.bits_per_sample() > 8;
    let bytes = format.channels() as u64 * if deep { 2 } else { 1 };
    if u64::from(width) * u64::from(height) * bytes > MAX_DECODED_BYTES {
        return Err(DecodeError::TooLarge(Some((width, height))));
    }
    if format.has_black() {
        return Err(DecodeError::unsupported(NAME, "inks instead of light (CMYK)"));
    }
    if picture.hdr_type().is_some() {
        // Brighter than white is laid into what a screen shows.
        let srgb = EnumColourEncoding::srgb(RenderingIntent::Perceptual);
        picture.request_color_encoding(srgb);
    }
    let render = picture.render_frame(0).map_err(damaged)?;
    let size = (width, height);
    let mut pixels = match (format, deep) {
        (PixelFormat::Gray, false) => pixels::<image::Luma<u8>>(&render, size).into(),
        (PixelFormat::Graya, false) => pixels::<image::LumaA<u8>>(&render, size).into(),
        (PixelFormat::Rgba, false) => pixels::<image::Rgba<u8>>(&render, size).into(),
        (_, false) => pixels::<image::Rgb<u8>>(&render, size).into(),
        (PixelFormat::Gray, true) => pixels::<image::Luma<u16>>(&render, size).into(),
        (PixelFormat::Graya, true) => pixels::<image::LumaA<u16>>(&render, size).into(),
        (PixelFormat::Rgba, true) => pixels::<image::Rgba<u16>>(&render, size).into(),
        (_, true) => pixels::<image::Rgb<u16>>(&render, size).into(),
    };
    let channels = &picture.image_header().metadata.ec_info;
    if channels.iter().any(|channel| channel.alpha_associated() == Some(true)) {
        divide_by_alpha(&mut pixels);
    }
    let boxes = picture.aux_boxes();
    let exif = match boxes.first_exif() {
        Ok(AuxBoxData::Data(exif)) => {
            exif.payload().get(exif.tiff_header_offset() as usize..).map(<[u8]>::to_vec)
        }
        _ => None,
    };
    let xmp = match boxes.first_xml() {
        AuxBoxData::Data(packet) => Some(packet.to_vec()),
        _ => None,
    };
    let icc = (picture.rendered_cicp() != Some(SRGB)).then(|| picture.rendered_icc());
    let mut metadata =
        Metadata { icc: icc.filter(|icc| !icc.is_empty()), exif, xmp, ..Metadata::default() };
    // The pixels are upright: what the file itself states goes before its EXIF.
    let _stated = metadata.take_orientation();
    Ok((pixels, metadata))
}

fn pixels<P>(render: &Render, (width, height): (u32, u32)) -> ImageBuffer<P, Vec<P::Subpixel>>
where
    P: Pixel<Subpixel: FrameBufferSample>,
{
    let mut pixels = ImageBuffer::new(width, height);
    render.stream().write_to_buffer(&mut pixels);
    pixels
}

fn damaged(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DecodeError {
    DecodeError::damaged(NAME, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    // By libjxl 0.11.2 through imagecodecs, without loss: there is no encoder in Rust to make them.
    const RGB: &str = "ff0a084010090804010098004b188b15525c574f26591798201b7b417081280020901f6b20b3ed7e\
                       22747cc0932d252acb0c";
    const DEEP: &str = "0000000c4a584c200d0a870a00000014667479706a786c20000000006a786c20000000096a786c6c\
                        0a0000004b6a786c63ff0a0840fc00142d0208040100d0004b188b15420a705e1680f7ba401800b6\
                        c8c82223f718392d8d22233f476bf434f578188a528cf8434189537b9848493a1e136001";
    const GREY: &str = "ff0a000004804571230810100048004b188b15c2495d5ee0004000806c536e5c4a";

    fn read(hex: &str) -> Result<DynamicImage, DecodeError> {
        let byte = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        decode(Cursor::new(bytes)).map(|(pixels, _)| pixels)
    }

    #[test]
    fn every_bit_comes_through() {
        let made = image::RgbImage::from_fn(3, 2, |x, y| {
            image::Rgb([x * 100, y * 200, (x + y) * 40].map(|value| value as u8))
        });
        let deep = image::ImageBuffer::<image::Rgb<u16>, _>::from_fn(3, 2, |x, y| {
            image::Rgb([x * 100, y * 200, (x + y) * 40].map(|value| (value * 257 + 3) as u16))
        });
        let grey = image::GrayAlphaImage::from_raw(3, 1, vec![0, 255, 50, 205, 255, 0]).unwrap();
        assert!(read(RGB).is_ok_and(|read| read == made.into()));
        assert!(read(DEEP).is_ok_and(|read| read == deep.into()));
        assert!(read(GREY).is_ok_and(|read| read == grey.into()));
    }

    #[test]
    fn half_a_file_is_damaged() {
        assert!(matches!(read(&RGB[..80]), Err(DecodeError::Image(_))));
    }
}
