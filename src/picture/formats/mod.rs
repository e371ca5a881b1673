//! The file formats: what each can hold, and how a picture is written to one
//! strip by strip.
//!
//! [`PictureWriter`] takes rows from the top down while they are computed. The
//! encoder runs on a thread of its own and pulls them through a short queue,
//! so that PNG, TIFF and JPEG need memory for a few strips only. WebP and BMP
//! encoders want the whole picture and gather it first.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use image::{ColorType, ImageFormat};
use serde::Serialize;

use super::metadata::{Metadata, Part};
use crate::{
    encoding::Encoding,
    error::{Error, Result},
    settings::{Existing, PendingFile},
};

pub(super) mod avif;
mod encoders;
pub(super) mod jpeg_xl;
pub(super) mod open_exr;

/// What fits into one segment of a JPEG beside its own header.
const MAX_JPEG_EXIF: usize = 65_527;
const MAX_JPEG_XMP: usize = 65_533 - encoders::XMP_NAMESPACE.len();
const MAX_JPEG_IPTC: usize = 65_000;

/// A format that is read; the first five are written too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 8 bit, no alpha, lossy.
    Jpeg,
    /// 8 and 16 bit.
    Png,
    /// 8 bit; written without loss.
    WebP,
    /// 8 and 16 bit.
    Tiff,
    /// 8 bit, no metadata.
    Bmp,
    /// 8 bit; the first picture of several.
    Gif,
    /// 8 bit, no metadata.
    Qoi,
    /// 8 and 16 bit, no metadata: PBM, PGM, PPM and PAM.
    Pnm,
    /// 8 and 16 bit; the first picture of several.
    JpegXl,
    /// 8 bit, and 10 and 12 which become 16; the first picture of several.
    Avif,
    /// Amounts of light, which become 16 bit; no metadata.
    OpenExr,
}

impl Format {
    /// Those that are written.
    pub const WRITTEN: [Self; 5] = [Self::Jpeg, Self::Png, Self::WebP, Self::Tiff, Self::Bmp];

    /// Those that are only read.
    pub const READ: [Self; 6] =
        [Self::Gif, Self::Qoi, Self::Pnm, Self::JpegXl, Self::Avif, Self::OpenExr];

    /// Endings of all that is read, without the dot.
    pub const ENDINGS: [&str; 16] = [
        "jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "gif", "qoi", "pbm", "pgm", "ppm",
        "pam", "jxl", "avif", "exr",
    ];

    /// The format to be written that a path's ending names.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        Self::named(path).filter(|format| Self::WRITTEN.contains(format))
    }

    /// The format that a path's ending names.
    #[must_use]
    pub fn named(path: &Path) -> Option<Self> {
        let ending = path.extension()?;
        if ending.eq_ignore_ascii_case("jxl") {
            return Some(Self::JpegXl);
        }
        ImageFormat::from_extension(ending).and_then(Self::of_image)
    }

    /// In what a result is written unless another format is named.
    #[must_use]
    pub fn for_results(self) -> Self {
        if Self::WRITTEN.contains(&self) { self } else { Self::Png }
    }

    pub(super) fn of_image(format: ImageFormat) -> Option<Self> {
        Self::WRITTEN.into_iter().chain(Self::READ).find(|own| own.image() == Some(format))
    }

    /// The same as the image crate names it.
    pub(super) const fn image(self) -> Option<ImageFormat> {
        Some(match self {
            Self::Jpeg => ImageFormat::Jpeg,
            Self::Png => ImageFormat::Png,
            Self::WebP => ImageFormat::WebP,
            Self::Tiff => ImageFormat::Tiff,
            Self::Bmp => ImageFormat::Bmp,
            Self::Gif => ImageFormat::Gif,
            Self::Qoi => ImageFormat::Qoi,
            Self::Pnm => ImageFormat::Pnm,
            Self::OpenExr => ImageFormat::OpenExr,
            Self::Avif => ImageFormat::Avif,
            Self::JpegXl => return None,
        })
    }

    /// Its usual name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Tiff => "TIFF",
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::Qoi => "QOI",
            Self::Pnm => "PNM",
            Self::JpegXl => "JPEG XL",
            Self::Avif => "AVIF",
            Self::OpenExr => "OpenEXR",
        }
    }

    /// Its usual ending, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Tiff => "tif",
            Self::Bmp => "bmp",
            Self::Gif => "gif",
            Self::Qoi => "qoi",
            Self::Pnm => "pnm",
            Self::JpegXl => "jxl",
            Self::Avif => "avif",
            Self::OpenExr => "exr",
        }
    }

    /// The largest side it can hold, in pixels.
    #[must_use]
    pub const fn max_side(self) -> u32 {
        match self {
            Self::Jpeg => 65_535,
            Self::WebP => 16_383,
            // The header counts bytes in 32 bits; 32,767 a side stays below.
            Self::Bmp => 32_767,
            Self::Gif => 65_535,
            Self::Avif => 65_536,
            Self::Png | Self::Tiff | Self::Qoi | Self::Pnm | Self::JpegXl | Self::OpenExr => {
                i32::MAX as u32
            }
        }
    }

    /// The kind of pixel that is written for `color`.
    #[must_use]
    pub const fn holds(self, color: ColorType) -> ColorType {
        let eight = match color {
            ColorType::L16 => ColorType::L8,
            ColorType::La16 => ColorType::La8,
            ColorType::Rgb16 => ColorType::Rgb8,
            ColorType::Rgba16 => ColorType::Rgba8,
            other => other,
        };
        match (self, eight) {
            (Self::Png, _) => color,
            // Few programs read grey with alpha from TIFF.
            (Self::Tiff, _) => match color {
                ColorType::La8 => ColorType::Rgba8,
                ColorType::La16 => ColorType::Rgba16,
                _ => color,
            },
            (Self::Jpeg, ColorType::La8) => ColorType::L8,
            (Self::Jpeg, ColorType::Rgba8) => ColorType::Rgb8,
            (Self::Bmp, ColorType::La8) => ColorType::Rgba8,
            _ => eight,
        }
    }

    /// What a picture loses by being written in this format, as sentences.
    #[must_use]
    pub fn losses(self, color: ColorType, metadata: &Metadata) -> Vec<String> {
        let kept = self.holds(color);
        let name = self.name();
        let mut losses = Vec::new();
        if color.has_alpha() && !kept.has_alpha() {
            losses.push(format!("{name} has no transparency: laid on white"));
        }
        if is_16_bit(color) && !is_16_bit(kept) {
            losses.push(format!("{name} has 8 bits a channel: 16 are reduced"));
        }
        let parts = self.fates(color, metadata).into_iter();
        losses.extend(
            parts.filter_map(|part| {
                Some(format!("{} is left out: {}", part.part.name(), part.lost?))
            }),
        );
        losses
    }

    /// What becomes of each part of the metadata that there is.
    #[must_use]
    pub fn fates(self, color: ColorType, metadata: &Metadata) -> Vec<Fate> {
        let name = self.name();
        let Metadata { icc, exif, xmp, iptc, .. } = metadata;
        let held = |part: &Option<Vec<u8>>, most: usize| match (self, part) {
            (Self::Bmp, _) => Some(format!("{name} does not hold it")),
            (Self::Jpeg, Some(bytes)) if bytes.len() > most => {
                Some(format!("it has {} bytes, {name} holds {most}", bytes.len()))
            }
            _ => None,
        };
        let profile = if metadata.icc_fits(self.holds(color)) {
            held(icc, usize::MAX)
        } else {
            Some("it is for another kind of pixel".to_owned())
        };
        let words = |xmp: &Option<Vec<u8>>| {
            xmp.as_ref().is_none_or(|packet| std::str::from_utf8(packet).is_ok())
        };
        let packet = match self {
            Self::Png if !words(xmp) => Some(format!("{name} holds UTF-8 only")),
            _ => held(xmp, MAX_JPEG_XMP),
        };
        let credits = match self {
            Self::WebP => Some(format!("{name} does not hold it")),
            _ => held(iptc, MAX_JPEG_IPTC),
        };
        [
            (Part::Profile, icc, profile),
            (Part::Exif, exif, held(exif, MAX_JPEG_EXIF)),
            (Part::Xmp, xmp, packet),
            (Part::Iptc, iptc, credits),
        ]
        .into_iter()
        .filter(|(_, bytes, _)| bytes.is_some())
        .map(|(part, _, lost)| Fate { part, kept: lost.is_none(), lost })
        .collect()
    }

    /// Fails if a result of this size does not fit.
    ///
    /// # Errors
    /// [`Error::FormatLimit`], naming `path`.
    pub fn check_size(self, width: u32, height: u32, path: &Path) -> Result<()> {
        let limit = self.max_side();
        if width.max(height) <= limit {
            return Ok(());
        }
        Err(Error::FormatLimit { path: path.to_owned(), format: self.name(), width, height, limit })
    }
}

/// What becomes of a part of a photo's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fate {
    /// Which.
    pub part: Part,
    /// Whether it is in the result.
    pub kept: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

fn is_16_bit(color: ColorType) -> bool {
    color.bytes_per_pixel() / color.channel_count() == 2
}

/// What a file will hold.
#[derive(Clone, Debug)]
pub struct Header {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Of the rows that will be given, not of the file: see [`Format::holds`].
    pub color: ColorType,
    /// To be written with the pixels.
    pub metadata: Metadata,
    /// How strongly it is compressed.
    pub encoding: Encoding,
}

impl Header {
    fn row_bytes(&self) -> usize {
        self.width as usize * usize::from(self.color.bytes_per_pixel())
    }
}

/// A picture file that grows row by row and gets its name at the end.
#[derive(Debug)]
pub struct PictureWriter {
    pending: PendingFile,
    path: PathBuf,
    strips: Option<Sender<Vec<u8>>>,
    encoder: Option<JoinHandle<io::Result<()>>>,
}

impl PictureWriter {
    /// Begins a file that will be called `path`; its ending names the format.
    ///
    /// # Errors
    /// [`Error::UnknownFormat`], [`Error::FormatLimit`] or [`Error::Write`].
    pub fn create(path: &Path, header: Header) -> Result<Self> {
        let format =
            Format::of_path(path).ok_or_else(|| Error::UnknownFormat { path: path.to_owned() })?;
        format.check_size(header.width, header.height, path)?;
        let pending = PendingFile::create(path)?;
        let write = |error| Error::write(path, error);
        let file = pending.file().try_clone().map_err(write)?;
        let (strips, queue) = bounded(2);
        let encoder = std::thread::Builder::new()
            .name("encoder".to_owned())
            .spawn(move || encode(format, &header, file, queue))
            .map_err(write)?;
        Ok(Self { pending, path: path.to_owned(), strips: Some(strips), encoder: Some(encoder) })
    }

    /// Appends whole rows, interleaved, 16-bit samples in native byte order.
    ///
    /// # Errors
    /// What the encoder met: [`Error::DiskFull`] or [`Error::Write`].
    pub fn push(&mut self, rows: Vec<u8>) -> Result<()> {
        let sent = self.strips.as_ref().map(|strips| strips.send(rows));
        match sent {
            Some(Ok(())) => Ok(()),
            // The encoder has given up: it knows why.
            _ => self.join(),
        }
    }

    /// Waits for the encoder, syncs the file and gives it its name.
    ///
    /// # Errors
    /// As [`PendingFile::finish`], or what the encoder met.
    pub fn finish(self, existing: Existing) -> Result<PathBuf> {
        self.finish_telling(existing, &mut |_, _| Ok(()))
    }

    /// As [`Self::finish`], and as [`PendingFile::finish_telling`].
    ///
    /// # Errors
    /// Those of both.
    pub fn finish_telling(
        mut self,
        existing: Existing,
        before: &mut dyn FnMut(&Path, &Path) -> Result<()>,
    ) -> Result<PathBuf> {
        self.join()?;
        self.pending.finish_telling(existing, before)
    }

    fn join(&mut self) -> Result<()> {
        self.strips = None;
        let outcome = match self.encoder.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(io::Error::other("the encoder panicked")),
            None => Err(io::Error::other("the encoder has stopped")),
        };
        outcome.map_err(|error| Error::write(&self.path, error))
    }
}

/// How long rows take to become a file, which is thrown away.
///
/// # Errors
/// As the encoder, or where there is no room for temporary files.
pub fn rehearse(format: Format, header: &Header, rows: Vec<u8>) -> io::Result<Duration> {
    let (strips, queue) = bounded(1);
    // It is not full.
    let _sent = strips.send(rows);
    drop(strips);
    let file = tempfile::tempfile()?;
    let begin = Instant::now();
    encode(format, header, file, queue)?;
    Ok(begin.elapsed())
}

/// The rows of a picture as they arrive, in the kind of pixel that the format
/// holds.
struct Rows {
    queue: Receiver<Vec<u8>>,
    given: ColorType,
    kept: ColorType,
    row_bytes: usize,
    strip: Vec<u8>,
    position: usize,
    converted: Vec<u8>,
}

impl Rows {
    fn next(&mut self) -> io::Result<&[u8]> {
        if self.position == self.strip.len() {
            self.strip = self.queue.recv().map_err(|_closed| {
                io::Error::new(io::ErrorKind::UnexpectedEof, "the picture ended early")
            })?;
            self.position = 0;
        }
        let row = self
            .strip
            .get(self.position..self.position + self.row_bytes)
            .ok_or_else(|| io::Error::other("a strip holds a part of a row"))?;
        self.position += self.row_bytes;
        if self.given == self.kept {
            return Ok(row);
        }
        self.converted = converted(row, self.given, self.kept);
        Ok(&self.converted)
    }
}

/// A row of another kind of pixel: see [`Format::holds`] for the pairs.
fn converted(row: &[u8], given: ColorType, kept: ColorType) -> Vec<u8> {
    let mut row = row.to_vec();
    if is_16_bit(given) && !is_16_bit(kept) {
        row = samples(&row).map(|value| ((u32::from(value) + 128) / 257) as u8).collect();
    }
    let channels = usize::from(given.channel_count());
    if given.has_alpha() && !kept.has_alpha() {
        let flattened = row.chunks_exact(channels).flat_map(|pixel| {
            let alpha = u32::from(pixel[channels - 1]);
            let on_white = move |value: u8| {
                ((u32::from(value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8
            };
            pixel[..channels - 1].iter().map(move |value| on_white(*value))
        });
        return flattened.collect();
    }
    if !given.has_color() && kept.has_color() {
        let bytes = usize::from(kept.bytes_per_pixel() / kept.channel_count());
        let spread = row.chunks_exact(2 * bytes).flat_map(|pixel| {
            let (grey, alpha) = pixel.split_at(bytes);
            [grey, grey, grey, alpha].concat()
        });
        return spread.collect();
    }
    row
}

/// The 16-bit samples of a row.
fn samples(row: &[u8]) -> impl Iterator<Item = u16> {
    row.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]]))
}

/// A file that keeps the first failure of the operating system: encoders turn
/// it into text, and a full disk could not be told from other troubles.
struct Output {
    file: BufWriter<File>,
    failure: Option<io::Error>,
}

impl Output {
    fn kept<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            self.failure.get_or_insert(error);
            kind.into()
        })
    }
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.file.write(bytes);
        self.kept(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.file.flush();
        self.kept(result)
    }
}

impl io::Seek for Output {
    fn seek(&mut self, position: io::SeekFrom) -> io::Result<u64> {
        let result = self.file.seek(position);
        self.kept(result)
    }
}

fn encode(format: Format, header: &Header, file: File, queue: Receiver<Vec<u8>>) -> io::Result<()> {
    let kept = format.holds(header.color);
    let rows = Rows {
        queue,
        given: header.color,
        kept,
        row_bytes: header.row_bytes(),
        strip: Vec::new(),
        position: 0,
        converted: Vec::new(),
    };
    let mut metadata = header.metadata.clone();
    for fate in format.fates(header.color, &metadata).iter().filter(|fate| !fate.kept) {
        metadata.drop_part(fate.part);
    }
    metadata.describe(header.width, header.height);
    let header = &Header { color: kept, metadata, ..header.clone() };
    let mut file = Output { file: BufWriter::with_capacity(1 << 20, file), failure: None };
    let encoded = match format {
        Format::Png => encoders::png(header, rows, &mut file),
        Format::Tiff => encoders::tiff(header, rows, &mut file),
        Format::Jpeg => encoders::jpeg(header, rows, &mut file),
        Format::WebP => encoders::webp(header, rows, &mut file),
        Format::Bmp => encoders::bmp(header, rows, &mut file),
        Format::Gif
        | Format::Qoi
        | Format::Pnm
        | Format::JpegXl
        | Format::Avif
        | Format::OpenExr => Err(io::Error::other("this format is only read")),
    };
    let flushed = encoded.and_then(|()| file.flush());
    match file.failure {
        Some(failure) => Err(failure),
        None => flushed,
    }
}
