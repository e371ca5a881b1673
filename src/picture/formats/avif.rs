//! AVIF (a still picture of AV1 in a HEIF container), read by zenavif-parse and rav1d.

use std::{
    borrow::Cow,
    io::{BufRead, Read as _, Seek},
};

use image::{DynamicImage, GrayImage, ImageBuffer, ImageError, Luma, Rgb, RgbImage, imageops};
use moxcms::{
    CicpColorPrimaries, CicpProfile, ColorProfile, MatrixCoefficients, TransferCharacteristics,
};
use re_rav1d::dav1d::{
    Decoder, Picture, PixelLayout, PlanarImageComponent as Plane, Settings, pixel::YUVRange,
};
use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix};
use zenavif_parse::{AvifParser, CleanAperture, ColorInformation, DecodeConfig, Unstoppable};

use super::super::{DecodeError, MAX_DECODED_BYTES, Metadata, divide_by_alpha};

const NAME: &str = "AVIF";

/// Most bytes that a file may have, and most megapixels that it may claim.
const MOST_BYTES: u64 = 1 << 30;
const MOST_MEGAPIXELS: u32 = (MAX_DECODED_BYTES >> 20) as u32;

/// Numbers of ITU-T H.273: primaries and transfer functions that are sRGB's or not stated, and
/// transfer functions of pictures that are brighter than white.
const SRGB_PRIMARIES: [u8; 2] = [1, 2];
const SRGB_TRANSFER: [u8; 2] = [2, 13];
const BRIGHTER_THAN_WHITE: [u8; 2] = [16, 18];

type Deep<P> = ImageBuffer<P, Vec<u16>>;

/// Upright pixels, of the first picture of several, and the metadata.
pub(in super::super) fn decode(
    reader: impl BufRead + Seek,
) -> Result<(DynamicImage, Metadata), DecodeError> {
    let mut bytes = Vec::new();
    let read = reader.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| DecodeError::Image(ImageError::IoError(error)))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(DecodeError::TooLarge(None));
    }
    let limits = DecodeConfig::default()
        .with_peak_memory_limit(2 * MAX_DECODED_BYTES)
        .with_total_megapixels_limit(MOST_MEGAPIXELS)
        .lenient(true);
    let file = AvifParser::from_owned_with_config(bytes, &limits, &Unstoppable).map_err(damaged)?;
    let mut cover = None;
    let mut pixels = match file.grid_config() {
        None => of_frame(&file.primary_data().map_err(damaged)?, &file, &mut cover)?,
        Some(grid) => {
            let mut tiles = Vec::new();
            for index in 0..file.grid_tile_count() {
                let tile = file.tile_data(index).map_err(damaged)?;
                tiles.push(of_frame(&tile, &file, &mut cover)?);
            }
            let size = (grid.output_width, grid.output_height);
            assembled(&tiles, usize::from(grid.columns), size)?
        }
    };
    if let Some(alpha) = file.alpha_data() {
        let frame = decoded(alpha.map_err(damaged)?)?;
        pixels = with_alpha(pixels, &frame)?;
        if file.premultiplied_alpha() {
            divide_by_alpha(&mut pixels);
        }
    }
    if let Some(part) = file.clean_aperture() {
        pixels = seen(&pixels, part).unwrap_or(pixels);
    }
    // Counter-clockwise, before it is mirrored.
    pixels = match file.rotation().map_or(0, |rotation| rotation.angle) {
        90 => pixels.rotate270(),
        180 => pixels.rotate180(),
        270 => pixels.rotate90(),
        _ => pixels,
    };
    pixels = match file.mirror().map(|mirror| mirror.axis) {
        Some(0) => pixels.flipv(),
        Some(_) => pixels.fliph(),
        None => pixels,
    };
    let owned = |part: Option<zenavif_parse::Result<Cow<'_, [u8]>>>| {
        // What is damaged of it is no reason to refuse the pixels.
        part.and_then(Result::ok).map(Cow::into_owned)
    };
    let profile = match file.color_info() {
        Some(ColorInformation::IccProfile(icc)) => Some(icc.clone()),
        _ => cover.map(profile_of).transpose()?.flatten(),
    };
    let mut metadata = Metadata {
        icc: profile,
        exif: owned(file.exif()),
        xmp: owned(file.xmp()),
        ..Metadata::default()
    };
    // The pixels are upright: what the file itself states goes before its EXIF.
    let _stated = metadata.take_orientation();
    metadata.drop_unfit(pixels.color());
    Ok((pixels, metadata))
}

/// A frame of AV1.
fn decoded(data: Cow<'_, [u8]>) -> Result<Picture, DecodeError> {
    let mut settings = Settings::new();
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get().min(8));
    settings.set_n_threads(threads as u32);
    settings.set_max_frame_delay(1);
    settings.set_frame_size_limit(MOST_MEGAPIXELS << 20);
    let mut decoder = Decoder::with_settings(&settings).map_err(damaged)?;
    match decoder.send_data(data.into_owned(), None, None, None) {
        Err(error) if !error.is_again() => return Err(damaged(error)),
        _ => {}
    }
    // As often as it takes what is left of the data, which is never more than a few times.
    loop {
        match decoder.get_picture() {
            Ok(picture) => return Ok(picture),
            Err(error) if !error.is_again() => return Err(damaged(error)),
            Err(_) => match decoder.send_pending_data() {
                Ok(()) => return decoder.get_picture().map_err(damaged),
                Err(error) if !error.is_again() => return Err(damaged(error)),
                Err(_) => {}
            },
        }
    }
}

/// How the numbers of a picture are to be understood, as H.273 counts.
#[derive(Clone, Copy)]
struct Meaning {
    primaries: u8,
    transfer: u8,
    matrix: u8,
    full: bool,
}

impl Meaning {
    /// What the container says goes before what the frame says.
    fn of(file: &AvifParser<'_>, frame: &Picture) -> Self {
        match file.color_info() {
            Some(ColorInformation::Nclx {
                color_primaries,
                transfer_characteristics,
                matrix_coefficients,
                full_range,
            }) => {
                // 2 is unspecified.
                let number = |number: u16| u8::try_from(number).unwrap_or(2);
                Self {
                    primaries: number(*color_primaries),
                    transfer: number(*transfer_characteristics),
                    matrix: number(*matrix_coefficients),
                    full: *full_range,
                }
            }
            _ => Self {
                primaries: frame.color_primaries() as u8,
                transfer: frame.transfer_characteristic() as u8,
                matrix: frame.matrix_coefficients() as u8,
                full: is_full(frame),
            },
        }
    }
}

fn is_full(frame: &Picture) -> bool {
    matches!(frame.color_range(), YUVRange::Full)
}

/// The pixels of a frame of the file; `cover` keeps how those of its first one are understood.
fn of_frame(
    data: &[u8],
    file: &AvifParser<'_>,
    cover: &mut Option<Meaning>,
) -> Result<DynamicImage, DecodeError> {
    let frame = decoded(Cow::Borrowed(data))?;
    let meaning = *cover.get_or_insert_with(|| Meaning::of(file, &frame));
    let (width, height) = (frame.width(), frame.height());
    if u64::from(width) * u64::from(height) * 6 > MAX_DECODED_BYTES {
        return Err(DecodeError::TooLarge(Some((width, height))));
    }
    if frame.pixel_layout() == PixelLayout::I400 {
        let deep = bits(&frame)? > 8;
        let levels = brightness(&frame, meaning.full, if deep { 65_535 } else { 255 })?;
        let mut levels = levels.into_iter();
        let mut next = || levels.next().unwrap_or_default();
        return Ok(if deep {
            Deep::from_fn(width, height, |_, _| Luma([next()])).into()
        } else {
            GrayImage::from_fn(width, height, |_, _| Luma([next() as u8])).into()
        });
    }
    let range = if meaning.full { YuvRange::Full } else { YuvRange::Limited };
    let matrix = match meaning.matrix {
        0 => None,
        1 => Some(YuvStandardMatrix::Bt709),
        4 => Some(YuvStandardMatrix::Fcc),
        7 => Some(YuvStandardMatrix::Smpte240),
        9 => Some(YuvStandardMatrix::Bt2020),
        2 | 5 | 6 => Some(YuvStandardMatrix::Bt601),
        _ => return Err(DecodeError::unsupported(NAME, "its way of coding colours")),
    };
    let bits = bits(&frame)?;
    if bits == 8 {
        let planes = [Plane::Y, Plane::U, Plane::V].map(|plane| full_size(&frame, plane));
        let mut pixels = RgbImage::new(width, height);
        match matrix {
            None => yuv::gbr_to_rgb(&planar(&frame, &planes), &mut pixels, 3 * width, range),
            Some(matrix) => {
                yuv::yuv444_to_rgb(&planar(&frame, &planes), &mut pixels, 3 * width, range, matrix)
            }
        }
        .map_err(damaged)?;
        return Ok(pixels.into());
    }
    let planes = [Plane::Y, Plane::U, Plane::V].map(|plane| full_size(&frame, plane));
    let image = planar(&frame, &planes);
    let mut pixels = Deep::<Rgb<u16>>::new(width, height);
    match (matrix, bits) {
        (None, 10) => yuv::gb10_to_rgb10(&image, &mut pixels, 3 * width, range),
        (None, _) => yuv::gb12_to_rgb12(&image, &mut pixels, 3 * width, range),
        (Some(matrix), 10) => yuv::i410_to_rgb10(&image, &mut pixels, 3 * width, range, matrix),
        (Some(matrix), _) => yuv::i412_to_rgb12(&image, &mut pixels, 3 * width, range, matrix),
    }
    .map_err(damaged)?;
    let white = (1 << bits) - 1;
    for value in pixels.iter_mut() {
        *value = widened(u32::from(*value).min(white), white);
    }
    Ok(pixels.into())
}

/// Bits of a value: 8, 10 or 12.
fn bits(frame: &Picture) -> Result<u32, DecodeError> {
    let bits = frame.bits_per_component().map(|bits| bits.0 as u32);
    bits.ok_or_else(|| DecodeError::unsupported(NAME, "its number of bits"))
}

/// Planes of the size of the frame.
fn planar<'a, T: Sample>(frame: &Picture, [y, u, v]: &'a [Vec<T>; 3]) -> YuvPlanarImage<'a, T> {
    let (width, height) = (frame.width(), frame.height());
    YuvPlanarImage {
        y_plane: y,
        y_stride: width,
        u_plane: u,
        u_stride: width,
        v_plane: v,
        v_stride: width,
        width,
        height,
    }
}

/// What a plane is made of: bytes, or pairs of them where there are more than 8 bits.
trait Sample: Copy + std::fmt::Debug + Into<u32> + TryFrom<u32> {
    /// The sample at a place of a row of bytes.
    fn at(row: &[u8], x: usize) -> Self;
}

impl Sample for u8 {
    fn at(row: &[u8], x: usize) -> Self {
        row[x]
    }
}

impl Sample for u16 {
    fn at(row: &[u8], x: usize) -> Self {
        Self::from_ne_bytes([row[2 * x], row[2 * x + 1]])
    }
}

/// A plane of a frame in the frame's size. Colours of half that size are taken to lie in the middle
/// between pixels, and are continued on straight lines. (The `yuv` crate has them a pixel aside.)
fn full_size<T: Sample>(frame: &Picture, plane: Plane) -> Vec<T> {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let (halved_across, halved_down) = match frame.pixel_layout() {
        _ if plane == Plane::Y => (false, false),
        PixelLayout::I420 => (true, true),
        PixelLayout::I422 => (true, false),
        PixelLayout::I444 | PixelLayout::I400 => (false, false),
    };
    // The nearer sample, which counts three times, and the other one.
    let pair = |at: usize, length: usize, halved: bool| match halved {
        false => [at, at],
        true if at.is_multiple_of(2) => [at / 2, (at / 2).saturating_sub(1)],
        true => [at / 2, (at / 2 + 1).min(length.div_ceil(2) - 1)],
    };
    let (bytes, stride) = (frame.plane(plane), frame.stride(plane) as usize);
    let mut full = Vec::with_capacity(width * height);
    for y in 0..height {
        let rows = pair(y, height, halved_down).map(|row| &bytes[row * stride..]);
        for x in 0..width {
            let [near, far] = pair(x, width, halved_across);
            let [near_row, far_row] = rows.map(|row| {
                let [near, far] = [near, far].map(|at| T::at(row, at).into());
                3 * near + far
            });
            let mean = (3 * near_row + far_row + 8) / 16;
            full.push(T::try_from(mean).unwrap_or(T::at(rows[0], near)));
        }
    }
    full
}

/// A value of 0 to `white` as one of 16 bits.
const fn widened(value: u32, white: u32) -> u16 {
    ((value * 65_535 + white / 2) / white) as u16
}

/// Values between black and white as shares of `most`; limited ones leave room at both ends.
fn level(value: u32, bits: u32, full: bool, most: u32) -> u32 {
    let (black, white) = match full {
        true => (0, (1 << bits) - 1),
        false => (16 << (bits - 8), 235 << (bits - 8)),
    };
    let span = white - black;
    (value.clamp(black, white) - black).saturating_mul(most).saturating_add(span / 2) / span
}

/// Brightness of a frame, black 0 and white `most`.
fn brightness(frame: &Picture, full: bool, most: u32) -> Result<Vec<u16>, DecodeError> {
    fn levels<T: Sample>(frame: &Picture, level: impl Fn(u32) -> u32) -> Vec<u16> {
        let samples = full_size::<T>(frame, Plane::Y).into_iter();
        samples.map(|sample| level(sample.into()) as u16).collect()
    }
    let bits = bits(frame)?;
    let level = |value| level(value, bits, full, most);
    Ok(if bits == 8 { levels::<u8>(frame, level) } else { levels::<u16>(frame, level) })
}

/// Colours with the brightness of another frame as their alpha.
fn with_alpha(pixels: DynamicImage, alpha: &Picture) -> Result<DynamicImage, DecodeError> {
    if (alpha.width(), alpha.height()) != (pixels.width(), pixels.height()) {
        return Err(DecodeError::unsupported(NAME, "transparency of another size"));
    }
    let deep = matches!(pixels, DynamicImage::ImageLuma16(_) | DynamicImage::ImageRgb16(_));
    let grey = matches!(pixels, DynamicImage::ImageLuma8(_) | DynamicImage::ImageLuma16(_));
    let levels = brightness(alpha, is_full(alpha), 65_535)?;
    // Through 16 bits, which 8 come out of as they went in.
    let mut all = pixels.into_rgba16();
    for (pixel, level) in all.pixels_mut().zip(levels) {
        pixel.0[3] = level;
    }
    let all = DynamicImage::from(all);
    Ok(match (grey, deep) {
        (true, true) => all.into_luma_alpha16().into(),
        (true, false) => all.into_luma_alpha8().into(),
        (false, true) => all,
        (false, false) => all.into_rgba8().into(),
    })
}

/// Tiles of one size, row by row, cut to the size of the whole (0 for that of all tiles).
fn assembled(
    tiles: &[DynamicImage],
    columns: usize,
    (width, height): (u32, u32),
) -> Result<DynamicImage, DecodeError> {
    let refused = || damaged("its tiles do not fit together");
    let first = tiles.first().ok_or_else(refused)?;
    let (wide, high) = (first.width(), first.height());
    let rows = tiles.len() / columns.max(1);
    let alike = |tile: &DynamicImage| {
        (tile.width(), tile.height(), tile.color()) == (wide, high, first.color())
    };
    if rows * columns != tiles.len() || !tiles.iter().all(alike) {
        return Err(refused());
    }
    let all = (wide.saturating_mul(columns as u32), high.saturating_mul(rows as u32));
    let or_all = |side: u32, all: u32| if side == 0 { all } else { side };
    let (width, height) = (or_all(width, all.0), or_all(height, all.1));
    let bytes = u64::from(first.color().bytes_per_pixel());
    if u64::from(width) * u64::from(height) * bytes > MAX_DECODED_BYTES {
        return Err(DecodeError::TooLarge(Some((width, height))));
    }
    if width > all.0 || height > all.1 {
        return Err(refused());
    }
    let mut whole = DynamicImage::new(width, height, first.color());
    for (index, tile) in tiles.iter().enumerate() {
        let (x, y) = ((index % columns) as i64, (index / columns) as i64);
        imageops::replace(&mut whole, tile, x * i64::from(wide), y * i64::from(high));
    }
    Ok(whole)
}

/// The part of a picture that is meant to be seen, by its sides and by how far its middle lies from
/// the picture's (ISO/IEC 14496-12, 12.1.4); `None` where it is not within the picture.
fn seen(pixels: &DynamicImage, part: &CleanAperture) -> Option<DynamicImage> {
    let range = |whole: u32, size: f64, offset: f64| {
        let start = ((f64::from(whole) - size) / 2.0 + offset).round();
        let fits = size >= 1.0 && start >= 0.0 && start + size.floor() <= f64::from(whole);
        fits.then_some((start as u32, size as u32))
    };
    let CleanAperture { width_n, width_d, height_n, height_d, .. } = *part;
    let CleanAperture { horiz_off_n, horiz_off_d, vert_off_n, vert_off_d, .. } = *part;
    let (width, right) =
        (f64::from(width_n) / f64::from(width_d), f64::from(horiz_off_n) / f64::from(horiz_off_d));
    let (height, down) =
        (f64::from(height_n) / f64::from(height_d), f64::from(vert_off_n) / f64::from(vert_off_d));
    let (x, width) = range(pixels.width(), width, right)?;
    let (y, height) = range(pixels.height(), height, down)?;
    Some(pixels.crop_imm(x, y, width, height))
}

/// The profile of colours that are not sRGB's.
fn profile_of(meaning: Meaning) -> Result<Option<Vec<u8>>, DecodeError> {
    let Meaning { primaries, transfer, full, .. } = meaning;
    if BRIGHTER_THAN_WHITE.contains(&transfer) {
        return Err(DecodeError::unsupported(NAME, "light that is brighter than white (HDR)"));
    }
    if SRGB_PRIMARIES.contains(&primaries) && SRGB_TRANSFER.contains(&transfer) {
        return Ok(None);
    }
    let transfer = if transfer == 2 { 13 } else { transfer };
    let primaries = if primaries == 2 { 1 } else { primaries };
    let known = CicpColorPrimaries::try_from(primaries)
        .and_then(|primaries| Ok((primaries, TransferCharacteristics::try_from(transfer)?)));
    let Ok((color_primaries, transfer_characteristics)) = known else {
        return Err(DecodeError::unsupported(NAME, "its colours"));
    };
    let profile = ColorProfile::new_from_cicp(CicpProfile {
        color_primaries,
        transfer_characteristics,
        matrix_coefficients: MatrixCoefficients::Identity,
        full_range: full,
    });
    profile.encode().map(Some).map_err(damaged)
}

fn damaged(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DecodeError {
    DecodeError::damaged(NAME, error)
}
