//! The file formats: what each can hold, and how a picture is written to one
//! strip by strip.
//!
//! [`PictureWriter`] takes rows from the top down while they are computed. The
//! encoder runs on a thread of its own and pulls them through a short queue,
//! so that PNG, TIFF and JPEG need memory for a few strips only. WebP and BMP
//! encoders want the whole picture and gather it first.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use image::{ColorType, ExtendedColorType, ImageEncoder as _, ImageFormat};
use jpeg_encoder::{JpegColorType, SamplingFactor, rgb_to_ycbcr};
use tiff::{
    encoder::{TiffEncoder, TiffKind, colortype},
    tags::{ExtraSamples, Tag},
};

use super::metadata::{Metadata, TiffTags};
use crate::{
    error::{Error, Result},
    settings::{Existing, PendingFile},
};

/// JPEG quality of results: high, with full colour resolution, since the
/// pixels were just made with care.
const JPEG_QUALITY: u8 = 95;

/// What fits into one segment of a JPEG beside its own header.
const MAX_JPEG_EXIF: usize = 65_527;

/// A format that is read and written.
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
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Jpeg, Self::Png, Self::WebP, Self::Tiff, Self::Bmp];

    /// The format that a path's ending names.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        ImageFormat::from_path(path).ok().and_then(Self::of_image)
    }

    pub(super) fn of_image(format: ImageFormat) -> Option<Self> {
        Self::ALL.into_iter().find(|own| own.image() == format)
    }

    pub(super) const fn image(self) -> ImageFormat {
        match self {
            Self::Jpeg => ImageFormat::Jpeg,
            Self::Png => ImageFormat::Png,
            Self::WebP => ImageFormat::WebP,
            Self::Tiff => ImageFormat::Tiff,
            Self::Bmp => ImageFormat::Bmp,
        }
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
            Self::Png | Self::Tiff => i32::MAX as u32,
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
        if self == Self::Jpeg
            && metadata.exif.as_ref().is_some_and(|exif| exif.len() > MAX_JPEG_EXIF)
        {
            losses.push(format!("{name} holds less EXIF than there is: it is left out"));
        }
        if !metadata.icc_fits(kept) {
            losses
                .push("the colour profile is for another kind of pixel: it is left out".to_owned());
        }
        if self == Self::Bmp && (metadata.icc.is_some() || metadata.exif.is_some()) {
            losses.push(format!("{name} holds no colour profile and no EXIF"));
        }
        losses
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
    let header = &mut Header { color: kept, ..header.clone() };
    header.metadata.drop_unfit(kept);
    let header = &*header;
    let mut file = Output { file: BufWriter::with_capacity(1 << 20, file), failure: None };
    let encoded = match format {
        Format::Png => encode_png(header, rows, &mut file),
        Format::Tiff => encode_tiff(header, rows, &mut file),
        Format::Jpeg => encode_jpeg(header, rows, &mut file),
        Format::WebP | Format::Bmp => encode_whole(format, header, rows, &mut file),
    };
    let flushed = encoded.and_then(|()| file.flush());
    match file.failure {
        Some(failure) => Err(failure),
        None => flushed,
    }
}

fn encode_png(header: &Header, mut rows: Rows, file: &mut Output) -> io::Result<()> {
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
    let mut writer = png::Encoder::with_info(file, info)?.write_header()?;
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

/// The 16-bit samples of a row.
fn samples(row: &[u8]) -> impl Iterator<Item = u16> {
    row.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]]))
}

fn encode_tiff(header: &Header, rows: Rows, file: &mut Output) -> io::Result<()> {
    let bytes = header.row_bytes() as u64 * u64::from(header.height);
    // Classic TIFF counts offsets in 32 bits.
    let big = bytes > u64::from(u32::MAX) - (64 << 20);
    let encoded = if big {
        TiffEncoder::new_big(file).and_then(|encoder| tiff_of(encoder, header, rows))
    } else {
        TiffEncoder::new(file).and_then(|encoder| tiff_of(encoder, header, rows))
    };
    encoded.map_err(|error| match error {
        tiff::TiffError::IoError(error) => error,
        other => io::Error::other(other),
    })
}

fn tiff_of<K: TiffKind>(
    encoder: TiffEncoder<&mut Output, K>,
    header: &Header,
    rows: Rows,
) -> tiff::TiffResult<()> {
    let eight = |row: &[u8]| row.to_vec();
    let sixteen = |row: &[u8]| samples(row).collect();
    match header.color {
        ColorType::L8 => tiff_strips::<colortype::Gray8, K>(encoder, header, rows, eight),
        ColorType::Rgb8 | ColorType::Rgba8 => {
            tiff_strips::<colortype::RGB8, K>(encoder, header, rows, eight)
        }
        ColorType::L16 => tiff_strips::<colortype::Gray16, K>(encoder, header, rows, sixteen),
        _ => tiff_strips::<colortype::RGB16, K>(encoder, header, rows, sixteen),
    }
}

fn tiff_strips<C: colortype::ColorType, K: TiffKind>(
    mut encoder: TiffEncoder<&mut Output, K>,
    header: &Header,
    mut rows: Rows,
    samples_of: impl Fn(&[u8]) -> Vec<C::Inner>,
) -> tiff::TiffResult<()>
where
    [C::Inner]: tiff::encoder::TiffValue,
{
    let tags = TiffTags::of_exif(header.metadata.exif.as_deref().unwrap_or_default());
    let pointers = tags.write_parts(&mut encoder)?;
    let mut picture = encoder.new_image::<C>(header.width, header.height)?;
    if header.color.has_alpha() {
        picture.extra_samples(&[ExtraSamples::UnassociatedAlpha])?;
    }
    tags.write_main(picture.encoder())?;
    for (tag, offset) in pointers {
        picture.encoder().write_tag(tag, offset)?;
    }
    if let Some(icc) = &header.metadata.icc {
        picture.encoder().write_tag(Tag::IccProfile, icc.as_slice())?;
    }
    let row_samples = header.width as usize * usize::from(header.color.channel_count());
    let rows_per_strip = (1_000_000 / header.row_bytes()).clamp(1, header.height as usize);
    picture.rows_per_strip(rows_per_strip as u32)?;
    let mut strip = Vec::with_capacity(rows_per_strip * row_samples);
    for _ in 0..header.height {
        strip.extend(samples_of(rows.next()?));
        if strip.len() as u64 == picture.next_strip_sample_count() {
            picture.write_strip(&strip)?;
            strip.clear();
        }
    }
    picture.finish()
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

fn encode_jpeg(header: &Header, rows: Rows, file: &mut Output) -> io::Result<()> {
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
    let mut encoder = jpeg_encoder::Encoder::new(file, JPEG_QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    if let Some(icc) = &header.metadata.icc {
        encoder.add_icc_profile(icc).map_err(failed)?;
    }
    if let Some(exif) = header.metadata.exif.as_ref().filter(|exif| exif.len() <= MAX_JPEG_EXIF) {
        encoder.add_exif_metadata(exif).map_err(failed)?;
    }
    encoder.encode_image(&source).map_err(failed)?;
    match source.state.into_inner().failure {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn encode_whole(
    format: Format,
    header: &Header,
    mut rows: Rows,
    file: &mut Output,
) -> io::Result<()> {
    let size = header.row_bytes() * header.height as usize;
    let mut pixels = Vec::new();
    pixels.try_reserve_exact(size).map_err(io::Error::other)?;
    for _ in 0..header.height {
        pixels.extend_from_slice(rows.next()?);
    }
    let Header { width, height, .. } = *header;
    let kept = ExtendedColorType::from(header.color);
    let encoded = if format == Format::WebP {
        let mut encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut *file);
        let Metadata { icc, exif } = header.metadata.clone();
        // Lossless WebP takes both: neither can be refused.
        icc.map(|icc| encoder.set_icc_profile(icc));
        exif.map(|exif| encoder.set_exif_metadata(exif));
        encoder.write_image(&pixels, width, height, kept)
    } else {
        image::codecs::bmp::BmpEncoder::new(&mut *file).encode(&pixels, width, height, kept)
    };
    encoded.map_err(|error| match error {
        image::ImageError::IoError(error) => error,
        other => io::Error::other(other),
    })
}
