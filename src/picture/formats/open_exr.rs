//! `OpenEXR`, read by exrs: amounts of light, which become 16 bits along the tone curve of sRGB. What
//! is brighter than white becomes white.

use std::io::{BufRead, Seek};

use exr::{
    block,
    math::Vec2,
    meta::{attribute::Chromaticities, header::Header},
    prelude::{ReadChannels as _, ReadLayers as _, Text},
};
use image::{DynamicImage, ImageBuffer, ImageError};

use super::super::{DecodeError, MAX_DECODED_BYTES, Metadata, light};

const NAME: &str = "OpenEXR";

/// Red, green, blue and white of ITU-R BT.709, in which a file is that says nothing.
const BT_709: [(f32, f32); 4] = [(0.64, 0.33), (0.3, 0.6), (0.15, 0.06), (0.3127, 0.329)];

/// The colours of the first layer that has some. EXIF and profiles are not of this format.
pub(in super::super) fn decode(
    reader: impl BufRead + Seek,
) -> Result<(DynamicImage, Metadata), DecodeError> {
    let reader = block::read(reader, false).map_err(damaged)?;
    let names = |header: &Header, name: &str| {
        header.channels.find_index_of_channel(&Text::from(name)).is_some()
    };
    let coloured =
        |header: &&Header| !header.deep && ["R", "G", "B"].iter().all(|name| names(header, name));
    let header =
        reader.headers().iter().find(coloured).ok_or_else(|| {
            DecodeError::unsupported(NAME, "a picture without red, green and blue")
        })?;
    let shared = &header.shared_attributes;
    if shared.chromaticities.as_ref().is_some_and(|stated| !is_bt_709(stated)) {
        return Err(DecodeError::unsupported(NAME, "primaries other than those of sRGB"));
    }
    let (window, alpha) = (shared.display_window, names(header, "A"));
    let (width, height) = (window.size.width() as u32, window.size.height() as u32);
    if u64::from(width) * u64::from(height) * 8 > MAX_DECODED_BYTES {
        return Err(DecodeError::TooLarge(Some((width, height))));
    }
    // Pixels may be stored for a part of the picture, or for more than it.
    let offset = header.own_attributes.layer_position - window.position;
    let read = exr::prelude::read()
        .no_deep_data()
        .largest_resolution_level()
        .rgba_channels(
            move |_, _| ImageBuffer::<image::Rgba<u16>, Vec<u16>>::new(width, height),
            move |pixels, place: Vec2<usize>, (red, green, blue, alpha): (f32, f32, f32, f32)| {
                let Vec2(x, y) = place.to_i32() + offset;
                let inside = u32::try_from(x).ok().zip(u32::try_from(y).ok());
                let slot = inside.and_then(|(x, y)| pixels.get_pixel_mut_checked(x, y));
                // Colours are multiplied by their alpha.
                let whole = if alpha > 0.0 { alpha } else { 1.0 };
                let colour = |value: f32| in_sixteen_bits(light::encoded(value / whole));
                if let Some(slot) = slot {
                    let clear = in_sixteen_bits(alpha);
                    *slot = image::Rgba([colour(red), colour(green), colour(blue), clear]);
                }
            },
        )
        .first_valid_layer()
        .all_attributes()
        .from_chunks(reader)
        .map_err(damaged)?;
    let pixels = DynamicImage::ImageRgba16(read.layer_data.channel_data.pixels);
    let pixels = if alpha { pixels } else { pixels.into_rgb16().into() };
    Ok((pixels, Metadata::default()))
}

/// Not-a-number becomes black.
fn in_sixteen_bits(value: f32) -> u16 {
    (value.clamp(0.0, 1.0) * 65_535.0 + 0.5) as u16
}

fn is_bt_709(stated: &Chromaticities) -> bool {
    let stated = [stated.red, stated.green, stated.blue, stated.white];
    let near = |a: f32, b: f32| (a - b).abs() < 2e-3;
    stated.iter().zip(BT_709).all(|(Vec2(x, y), own)| near(*x, own.0) && near(*y, own.1))
}

fn damaged(error: exr::error::Error) -> DecodeError {
    match error {
        exr::error::Error::Io(error) => DecodeError::Image(ImageError::IoError(error)),
        exr::error::Error::NotSupported(what) => DecodeError::unsupported(NAME, &what),
        other => DecodeError::damaged(NAME, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exr::prelude::{
        Encoding, Image, IntegerBounds, Layer, LayerAttributes, SpecificChannels,
        WritableImage as _,
    };
    use std::io::Cursor;

    /// Three pixels: half of the light, more than white, and half transparent white.
    const LIGHT: [(f32, f32, f32, f32); 3] =
        [(0.5, 0.0, 1.0, 1.0), (7.0, -1.0, f32::NAN, 1.0), (0.5, 0.5, 0.5, 0.5)];

    /// Of a file with them, whose picture begins two pixels further left than they do.
    fn read(primaries: Option<Chromaticities>) -> Result<DynamicImage, DecodeError> {
        let channels = SpecificChannels::rgba(|place: Vec2<usize>| LIGHT[place.x()]);
        let mut layer =
            Layer::new((3, 1), LayerAttributes::named("main"), Encoding::FAST_LOSSLESS, channels);
        layer.attributes.layer_position = Vec2(2, 0);
        let mut image = Image::from_layer(layer);
        image.attributes.display_window = IntegerBounds::from_dimensions((5, 1));
        image.attributes.chromaticities = primaries;
        let mut bytes = Cursor::new(Vec::new());
        image.write().to_buffered(&mut bytes).unwrap();
        bytes.set_position(0);
        decode(bytes).map(|(pixels, _)| pixels)
    }

    #[test]
    fn light_is_encoded_and_lies_where_the_file_says() {
        let pixels = read(None).ok().unwrap().into_rgba16();
        assert_eq!(pixels.dimensions(), (5, 1));
        assert_eq!(pixels.get_pixel(1, 0).0, [0; 4], "nothing is stored there");
        // 0.5 of the light is 0.735357 in sRGB.
        assert_eq!(pixels.get_pixel(2, 0).0, [48_192, 0, 65_535, 65_535]);
        assert_eq!(pixels.get_pixel(3, 0).0, [65_535, 0, 0, 65_535]);
        assert_eq!(pixels.get_pixel(4, 0).0, [65_535, 65_535, 65_535, 32_768]);
    }

    #[test]
    fn other_primaries_are_refused() {
        let wide = |x, y| Vec2(x, y);
        let aces = Chromaticities {
            red: wide(0.7347, 0.2653),
            green: wide(0.0, 1.0),
            blue: wide(0.0001, -0.077),
            white: wide(0.321_68, 0.337_67),
        };
        assert!(matches!(read(Some(aces)), Err(DecodeError::Image(ImageError::Unsupported(_)))));
    }
}
