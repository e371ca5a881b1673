//! A picture: its pixels and what its file says about them.

use std::{
    ffi::OsString,
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use image::{
    ColorType, DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits,
    error::{DecodingError, ImageFormatHint, UnsupportedError, UnsupportedErrorKind},
    metadata::Orientation,
};

use crate::{
    error::{Error, Result},
    settings,
};

pub mod colour;
pub mod foreign;
pub mod formats;
pub mod lettering;
pub mod light;
pub mod metadata;
pub mod pyramid;
pub mod resample;

use foreign::Foreign;
pub use formats::{Format, PictureWriter};
pub use metadata::Metadata;

/// Pictures that decode to more than this are refused before memory is taken:
/// a file of a few kilobytes can claim any size.
pub const MAX_DECODED_BYTES: u64 = 1 << 30;

/// Pixels with everything needed to write them back. Shared behind an `Arc`
/// and never changed in place.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Upright pixels: 8 or 16 bit, grey or RGB, with or without alpha.
    pub pixels: DynamicImage,
    /// Colour profile and EXIF.
    pub metadata: Metadata,
    /// Format of the file it came from.
    pub format: Format,
    /// File name, or what else to call it.
    pub name: String,
    /// Where it came from; `None` for a pasted or made picture.
    pub source: Option<PathBuf>,
}

impl Picture {
    /// A picture that came from no file.
    #[must_use]
    pub fn from_pixels(name: &str, pixels: DynamicImage) -> Self {
        Self {
            pixels: normalised(pixels),
            metadata: Metadata::default(),
            format: Format::Png,
            name: name.to_owned(),
            source: None,
        }
    }

    /// Reads a picture. The format is told by the content, not by the name;
    /// the EXIF orientation is applied to the pixels and reset.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Directory`], [`Error::NotAFile`], [`Error::NotAPicture`],
    /// [`Error::Damaged`], [`Error::TooLarge`] or [`Error::Read`].
    pub fn open(path: &Path) -> Result<Self> {
        let about = std::fs::metadata(path).map_err(|error| Error::read(path, error))?;
        if about.is_dir() {
            return Err(Error::Directory { path: path.to_owned() });
        }
        if !about.is_file() {
            return Err(Error::NotAFile { path: path.to_owned() });
        }
        let file = File::open(path).map_err(|error| Error::read(path, error))?;
        let mut picture = Self::read(BufReader::new(file), path)?;
        if picture.format == Format::Tiff {
            // Broken tags are no reason to refuse the pixels.
            picture.metadata.exif = metadata::exif_of_tiff(path).ok().flatten();
            picture.metadata.icc = metadata::icc_of_tiff(path).ok().flatten();
            let words = metadata::words_of_tiff(path).unwrap_or_default();
            [picture.metadata.xmp, picture.metadata.iptc] = words;
            picture.metadata.drop_unfit(picture.pixels.color());
            if metadata::is_premultiplied_tiff(path).unwrap_or(false) {
                divide_by_alpha(&mut picture.pixels);
            }
        }
        picture.source = Some(path.to_owned());
        Ok(picture)
    }

    /// Reads a picture from bytes, as [`Self::open`] does from a file.
    ///
    /// # Errors
    /// As [`Self::open`]; `name` stands for the path.
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self> {
        Self::read(std::io::Cursor::new(bytes), Path::new(name))
    }

    /// `path` is for messages and the name.
    fn read(mut reader: impl BufRead + Seek, path: &Path) -> Result<Self> {
        let foreign = foreign::of(path, &mut reader).map_err(|error| Error::read(path, error))?;
        if let Some(Foreign { kind, way_out }) = foreign {
            return Err(Error::Foreign { path: path.to_owned(), kind, way_out });
        }
        let format = guess(&mut reader)
            .map_err(|error| Error::read(path, error))?
            .ok_or_else(|| Error::NotAPicture { path: path.to_owned() })?;
        if format == Format::Jpeg {
            check_jpeg_end(&mut reader).map_err(|source| Error::Damaged {
                path: path.to_owned(),
                source: source.into(),
            })?;
        }
        let (pixels, metadata) = decode(reader, format).map_err(|error| error.of(path))?;
        Ok(Self {
            pixels,
            metadata,
            format,
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            source: None,
        })
    }

    /// Where a result goes unless another place is named: beside the source,
    /// `photo.jpg` as `photo-4x.jpg` for what was done, `4x`. A picture that came from no file goes to
    /// the user's folder of pictures.
    #[must_use]
    pub fn default_output(&self, done: &str) -> PathBuf {
        let source = match &self.source {
            Some(source) => source.clone(),
            None => settings::pictures_folder().join(&self.name),
        };
        let mut name = stem(&source);
        name.push(format!("-{done}."));
        name.push(self.ending(&source));
        source.with_file_name(name)
    }

    /// The ending for a result of this picture: that of its file, unless that names another format
    /// than the content or none.
    fn ending(&self, source: &Path) -> OsString {
        let written = self.format.for_results();
        match (source.extension(), Format::named(source)) {
            (Some(extension), Some(format)) if format == written => extension.to_owned(),
            _ => written.extension().into(),
        }
    }

    /// `target` with the ending for a result of this picture; `kept` asks for a format that keeps
    /// every pixel.
    #[must_use]
    pub fn output_named(&self, target: &Path, kept: bool) -> PathBuf {
        let ending = match (&self.source, self.format) {
            (_, Format::Jpeg) if kept => Format::Png.extension().into(),
            (Some(source), _) => self.ending(source),
            (None, format) => format.for_results().extension().into(),
        };
        let mut name = target.as_os_str().to_owned();
        name.push(".");
        name.push(ending);
        name.into()
    }

    /// As [`Self::default_output`], with an ending whose format keeps every pixel: JPEG would change
    /// all of them.
    #[must_use]
    pub fn default_output_kept(&self, done: &str) -> PathBuf {
        let mut name = self.default_output(done);
        if Format::of_path(&name) == Some(Format::Jpeg) {
            name.set_extension(Format::Png.extension());
        }
        name
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        (self.pixels.width(), self.pixels.height())
    }
}

/// A file's name without its ending; one that names no format belongs to the name.
#[must_use]
pub fn stem(file: &Path) -> OsString {
    let stem = if Format::named(file).is_some() { file.file_stem() } else { file.file_name() };
    stem.unwrap_or_default().to_owned()
}

/// Width and height of a picture as its header states them; `None` where that cannot be read.
#[must_use]
pub fn size_of(file: &Path) -> Option<(u32, u32)> {
    let reader = ImageReader::open(file).ok()?.with_guessed_format().ok()?;
    reader.into_dimensions().ok()
}

/// Why decoding failed, before the path is known.
enum DecodeError {
    TooLarge(Option<(u32, u32)>),
    Image(ImageError),
}

impl DecodeError {
    /// What the named format should not hold.
    fn damaged(format: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let format = ImageFormatHint::Name(format.to_owned());
        Self::Image(ImageError::Decoding(DecodingError::new(format, error)))
    }

    /// What the named format may hold and is not read.
    fn unsupported(format: &str, what: &str) -> Self {
        Self::Image(ImageError::Unsupported(UnsupportedError::from_format_and_kind(
            ImageFormatHint::Name(format.to_owned()),
            UnsupportedErrorKind::GenericFeature(what.to_owned()),
        )))
    }

    fn of(self, path: &Path) -> Error {
        let path = path.to_owned();
        match self {
            Self::TooLarge(size) => Error::TooLarge { path, size },
            Self::Image(ImageError::Limits(_)) => Error::TooLarge { path, size: None },
            Self::Image(ImageError::IoError(error))
                if error.kind() != std::io::ErrorKind::UnexpectedEof
                    && error.raw_os_error().is_some() =>
            {
                Error::read(path, error)
            }
            Self::Image(ImageError::Unsupported(source)) => {
                let what = match (source.format_hint(), source.kind()) {
                    (ImageFormatHint::Name(format), UnsupportedErrorKind::GenericFeature(what)) => {
                        format!("{format} with {what}")
                    }
                    _ => "this kind of picture file".to_owned(),
                };
                Error::Unsupported { path, what, source: Box::new(source) }
            }
            Self::Image(error) => Error::Damaged { path, source: Box::new(error) },
        }
    }
}

/// The format by the first bytes; leaves the reader at its start.
fn guess(reader: &mut (impl BufRead + Seek)) -> std::io::Result<Option<Format>> {
    let guessed = ImageReader::new(&mut *reader).with_guessed_format()?.format();
    reader.seek(SeekFrom::Start(0))?;
    Ok(match reader.fill_buf()? {
        // BigTIFF, which has another version number.
        [b'I', b'I', 43, 0, ..] | [b'M', b'M', 0, 43, ..] => Some(Format::Tiff),
        // Bare, and in a container.
        [0xFF, 0x0A, ..] | [0, 0, 0, 0x0C, b'J', b'X', b'L', b' ', ..] => Some(Format::JpegXl),
        start if foreign::is_avif(start) => Some(Format::Avif),
        _ => guessed.and_then(Format::of_image),
    })
}

fn decode(
    reader: impl BufRead + Seek,
    format: Format,
) -> Result<(DynamicImage, Metadata), DecodeError> {
    match (format, format.image()) {
        (Format::OpenExr, _) => formats::open_exr::decode(reader),
        (Format::Avif, _) => formats::avif::decode(reader),
        (_, Some(known)) => decode_known(reader, known),
        (_, None) => formats::jpeg_xl::decode(reader),
    }
}

/// What the image crate decodes.
fn decode_known(
    reader: impl BufRead + Seek,
    format: ImageFormat,
) -> Result<(DynamicImage, Metadata), DecodeError> {
    let mut reader = ImageReader::with_format(reader, format);
    let mut limits = Limits::no_limits();
    // Room for what a decoder needs beside the pixels themselves.
    limits.max_alloc = Some(2 * MAX_DECODED_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(DecodeError::Image)?;
    if decoder.total_bytes() > MAX_DECODED_BYTES {
        return Err(DecodeError::TooLarge(Some(decoder.dimensions())));
    }
    let mut metadata = Metadata::of(&mut decoder);
    let stated = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let orientation = metadata.take_orientation().unwrap_or(stated);
    let mut pixels = DynamicImage::from_decoder(decoder).map_err(DecodeError::Image)?;
    pixels.apply_orientation(orientation);
    let pixels = normalised(pixels);
    metadata.drop_unfit(pixels.color());
    Ok((pixels, metadata))
}

/// Colours that were multiplied by their alpha as they were before.
fn divide_by_alpha(pixels: &mut DynamicImage) {
    fn divided(pixel: [u32; 4], white: u32) -> [u32; 4] {
        let alpha = pixel[3];
        let colour = |value: u32| ((value * white + alpha / 2) / alpha.max(1)).min(white);
        [colour(pixel[0]), colour(pixel[1]), colour(pixel[2]), alpha]
    }
    match pixels {
        DynamicImage::ImageRgba8(pixels) => {
            for pixel in pixels.pixels_mut() {
                pixel.0 = divided(pixel.0.map(u32::from), 255).map(|value| value as u8);
            }
        }
        DynamicImage::ImageRgba16(pixels) => {
            for pixel in pixels.pixels_mut() {
                pixel.0 = divided(pixel.0.map(u32::from), 65_535).map(|value| value as u16);
            }
        }
        _ => {}
    }
}

/// Floating-point pictures become 16 bit; everything else stays what it is.
fn normalised(pixels: DynamicImage) -> DynamicImage {
    match pixels.color() {
        ColorType::Rgb32F => pixels.into_rgb16().into(),
        ColorType::Rgba32F => pixels.into_rgba16().into(),
        _ => pixels,
    }
}

/// Finds the end marker of a JPEG file, which the decoder does without: it
/// fills what is missing with grey.
///
/// Walks the segments (ITU-T T.81, Annex B) and, after a scan header, the
/// entropy-coded bytes to the next marker.
fn check_jpeg_end(reader: &mut (impl BufRead + Seek)) -> std::io::Result<()> {
    const START_OF_SCAN: u8 = 0xDA;
    const END_OF_IMAGE: u8 = 0xD9;
    let mut byte = [0_u8; 1];
    let mut next = |reader: &mut dyn BufRead| -> std::io::Result<u8> {
        reader.read_exact(&mut byte)?;
        Ok(byte[0])
    };
    reader.seek(SeekFrom::Start(2))?;
    let mut in_scan = false;
    loop {
        if in_scan {
            // To the next 0xFF; a marker or a stuffed zero follows it.
            while next(reader)? != 0xFF {}
        } else if next(reader)? != 0xFF {
            continue; // padding between segments, tolerated by every reader
        }
        let mut marker = next(reader)?;
        while marker == 0xFF {
            marker = next(reader)?;
        }
        match marker {
            0x00 | 0x01 | 0xD0..=0xD8 => {}
            END_OF_IMAGE => break,
            _ => {
                let length = i64::from(next(reader)?) << 8 | i64::from(next(reader)?);
                reader.seek_relative(length - 2)?;
                in_scan = marker == START_OF_SCAN || in_scan;
            }
        }
    }
    reader.seek(SeekFrom::Start(0))?;
    Ok(())
}
