//! What a file says about its pixels: colour profile, EXIF, XMP and IPTC.
//!
//! EXIF is kept as the bytes of its block (a small TIFF structure), which
//! JPEG, PNG and WebP store as they are. TIFF has no such block: its tags stand
//! in the file's own directories, so they are gathered on reading and laid out
//! again on writing.

use std::{
    fs::File,
    io::{BufReader, Cursor, Seek, Write},
    path::Path,
};

use image::{ColorType, ImageDecoder, metadata::Orientation};
use serde::Serialize;
use tiff::{
    Directory, TiffResult,
    decoder::Decoder,
    encoder::{DirectoryEncoder, TiffEncoder, TiffKind},
    tags::{Tag, Type, ValueBuffer},
};

mod exif;
pub(crate) mod iptc;
mod xmp;

use xmp::Change;

/// Kept from the source and written to the result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// ICC profile that says what the numbers of the pixels mean.
    pub icc: Option<Vec<u8>>,
    /// EXIF block, without the `Exif\0\0` that JPEG puts before it.
    pub exif: Option<Vec<u8>>,
    /// XMP packet.
    pub xmp: Option<Vec<u8>>,
    /// IPTC-IIM, a bare chain of data sets.
    pub iptc: Option<Vec<u8>>,
    /// Dots per inch to be stated; `None` leaves what EXIF says.
    pub dpi: Option<u32>,
}

/// Where TIFF holds XMP and IPTC.
pub(super) const XMP_TAG: Tag = Tag::Unknown(700);
pub(super) const IPTC_TAG: Tag = Tag::Unknown(33_723);

/// A part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Part {
    /// The ICC profile.
    #[serde(rename = "colour profile")]
    Profile,
    /// The EXIF block.
    #[serde(rename = "EXIF")]
    Exif,
    /// The XMP packet.
    #[serde(rename = "XMP")]
    Xmp,
    /// The IPTC chain.
    #[serde(rename = "IPTC")]
    Iptc,
}

impl Part {
    /// Its usual name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Profile => "colour profile",
            Self::Exif => "EXIF",
            Self::Xmp => "XMP",
            Self::Iptc => "IPTC",
        }
    }
}

/// Tags of the main directory that speak of the photo, not of the file's
/// layout. Orientation is missing on purpose: pixels are turned on reading.
const DESCRIPTIVE: [Tag; 11] = [
    Tag::ImageDescription,
    Tag::Make,
    Tag::Model,
    Tag::XResolution,
    Tag::YResolution,
    Tag::ResolutionUnit,
    Tag::Software,
    Tag::DateTime,
    Tag::Artist,
    Tag::HostComputer,
    Tag::Copyright,
];

/// Larger profiles are left out: real ones have kilobytes, and none may fill the memory.
const MAX_ICC_BYTES: usize = 16 << 20;

impl Metadata {
    /// Whether the profile speaks of pixels of this kind.
    #[must_use]
    pub fn icc_fits(&self, color: ColorType) -> bool {
        // Bytes 16 to 19 of a profile name its colour space (ICC.1:2022, 7.2.6).
        let expected: &[u8] = if color.has_color() { b"RGB " } else { b"GRAY" };
        self.icc.as_ref().is_none_or(|icc| {
            icc.get(16..20).is_none_or(|space| space == expected) && icc.len() <= MAX_ICC_BYTES
        })
    }

    /// Drops a profile that speaks of another kind of pixel, of CMYK for example.
    pub fn drop_unfit(&mut self, color: ColorType) {
        if !self.icc_fits(color) {
            self.icc = None;
        }
    }

    /// The orientation that the EXIF block states; it is reset there, since other programs would
    /// turn upright pixels again. A thumbnail is cut off: it would show another picture than the file.
    pub(super) fn take_orientation(&mut self) -> Option<Orientation> {
        let exif = self.exif.as_mut()?;
        if exif.starts_with(EXIF_PREFIX) {
            // Some writers keep in PNG and WebP what only JPEG puts before the block.
            exif.drain(..EXIF_PREFIX.len());
        }
        exif::cut_off_thumbnail(exif);
        Orientation::remove_from_exif_chunk(exif)
    }

    /// What of it goes into a result that is to be printed at so many dots per inch, if any.
    #[must_use]
    pub fn for_result(&self, strip_location: bool, dpi: Option<u32>) -> Self {
        let mut kept = Self { dpi, ..self.clone() };
        if strip_location {
            kept.remove_location();
        }
        kept
    }

    /// States the size of the pixels where a size is stated, and that they are upright.
    pub(super) fn describe(&mut self, width: u32, height: u32) {
        if let Some(block) = &mut self.exif {
            exif::set_size(block, width, height);
            if let Some(dpi) = self.dpi {
                exif::set_resolution(block, dpi);
            }
        }
        if let Some(packet) = &mut self.xmp {
            let change = Change { size: Some((width, height)), ..Change::default() };
            if let Some(changed) = xmp::changed(packet, change) {
                *packet = changed;
            }
        }
    }

    /// Takes out where the photo was made.
    pub fn remove_location(&mut self) {
        if let Some(block) = &mut self.exif {
            exif::remove_location(block);
        }
        // In what is no XML nobody knows where to look.
        let change = Change { removes_location: true, ..Change::default() };
        self.xmp = self.xmp.take().and_then(|packet| xmp::changed(&packet, change));
        self.iptc = self.iptc.take().map(|chain| iptc::without_location(&chain));
    }

    /// Leaves a part out.
    pub(super) fn drop_part(&mut self, part: Part) {
        match part {
            Part::Profile => self.icc = None,
            Part::Exif => self.exif = None,
            Part::Xmp => self.xmp = None,
            Part::Iptc => self.iptc = None,
        }
    }

    /// What a decoder found; a broken part is no reason to refuse the pixels.
    pub(super) fn of(decoder: &mut impl ImageDecoder) -> Self {
        Self {
            icc: decoder.icc_profile().ok().flatten(),
            exif: decoder.exif_metadata().ok().flatten(),
            xmp: decoder.xmp_metadata().ok().flatten(),
            iptc: decoder
                .iptc_metadata()
                .ok()
                .flatten()
                .and_then(|stored| iptc::unwrapped(&stored)),
            dpi: None,
        }
    }
}

/// Stands before an EXIF block in JPEG.
const EXIF_PREFIX: &[u8] = b"Exif\0\0";

/// Reads the profile of a TIFF file.
///
/// # Errors
/// Whatever the TIFF reader finds wrong with the directory.
pub fn icc_of_tiff(path: &Path) -> TiffResult<Option<Vec<u8>>> {
    let mut decoder = Decoder::new(BufReader::new(File::open(path)?))?;
    let mut value = ValueBuffer::empty(Type::BYTE);
    let icc = decoder.image_ifd().find_tag_buf(Tag::IccProfile, &mut value)?;
    Ok(icc.map(|_| value.as_bytes().to_vec()))
}

/// Reads the XMP and the IPTC of a TIFF file.
///
/// # Errors
/// Whatever the TIFF reader finds wrong with the directory.
pub fn words_of_tiff(path: &Path) -> TiffResult<[Option<Vec<u8>>; 2]> {
    let mut decoder = Decoder::new(BufReader::new(File::open(path)?))?;
    let mut bytes_of = |tag| {
        let mut value = ValueBuffer::empty(Type::BYTE);
        let found = decoder.image_ifd().find_tag_buf(tag, &mut value)?;
        TiffResult::Ok(found.map(|_| value.as_bytes().to_vec()))
    };
    let (xmp, stored) = (bytes_of(XMP_TAG)?, bytes_of(IPTC_TAG)?);
    Ok([xmp, stored.and_then(|stored| iptc::unwrapped(&stored))])
}

/// Whether the colours of a TIFF file are stored multiplied by their alpha.
///
/// # Errors
/// Whatever the TIFF reader finds wrong with the directory.
pub fn is_premultiplied_tiff(path: &Path) -> TiffResult<bool> {
    const ASSOCIATED_ALPHA: u16 = 1;
    let mut decoder = Decoder::new(BufReader::new(File::open(path)?))?;
    let kinds = decoder.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples)?;
    Ok(kinds.is_some_and(|kinds| kinds.first() == Some(&ASSOCIATED_ALPHA)))
}

/// Gathers the tags of a TIFF file into an EXIF block; `None` without any.
///
/// # Errors
/// Whatever the TIFF reader finds wrong with the directories.
pub fn exif_of_tiff(path: &Path) -> TiffResult<Option<Vec<u8>>> {
    let mut decoder = Decoder::new(BufReader::new(File::open(path)?))?;
    let mut main = Vec::new();
    for tag in DESCRIPTIVE {
        let mut value = ValueBuffer::empty(Type::BYTE);
        if decoder.image_ifd().find_tag_buf(tag, &mut value)?.is_some() {
            main.push((tag, value));
        }
    }
    let mut parts = Vec::new();
    for pointer in [Tag::ExifDirectory, Tag::GpsDirectory] {
        let Some(place) = decoder.find_tag(pointer)? else {
            continue;
        };
        let directory = decoder.read_directory(place.into_ifd_pointer()?)?;
        let tags: Vec<Tag> = directory.iter().map(|(tag, _)| tag).collect();
        let mut values = Vec::new();
        for tag in tags {
            let mut value = ValueBuffer::empty(Type::BYTE);
            decoder.read_directory_tags(&directory).find_tag_buf(tag, &mut value)?;
            values.push((tag, value));
        }
        parts.push((pointer, values));
    }
    if main.is_empty() && parts.is_empty() {
        return Ok(None);
    }

    let native = |value: &mut ValueBuffer| value.set_byte_order(tiff::tags::ByteOrder::native());
    let mut block = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut block)?;
    let mut pointers = Vec::new();
    for (pointer, values) in &mut parts {
        let mut directory = encoder.extra_directory()?;
        for (tag, value) in values {
            native(value);
            directory.write_tag_buf(*tag, value)?;
        }
        pointers.push((*pointer, directory.finish_with_offsets()?.offset));
    }
    let mut directory = encoder.image_directory()?;
    for (tag, value) in &mut main {
        native(value);
        directory.write_tag_buf(*tag, value)?;
    }
    for (pointer, offset) in pointers {
        directory.write_tag(pointer, offset)?;
    }
    directory.finish()?;
    Ok(Some(block.into_inner()))
}

/// The tags of an EXIF block, ready to be laid out in a TIFF file.
#[derive(Debug, Default)]
pub struct TiffTags {
    main: Vec<(Tag, Type, Vec<u8>)>,
    exif: Vec<(Tag, Type, Vec<u8>)>,
    gps: Vec<(Tag, Type, Vec<u8>)>,
}

impl TiffTags {
    /// Reads what it can of an EXIF block; a damaged one gives fewer tags.
    #[must_use]
    pub fn of_exif(block: &[u8]) -> Self {
        let mut tags = Self::default();
        let Ok(exif) = ::exif::Reader::new().read_raw(block.to_vec()) else {
            return tags;
        };
        for field in exif.fields().filter(|field| field.ifd_num == ::exif::In::PRIMARY) {
            let tag = Tag::from_u16_exhaustive(field.tag.number());
            let Some((kind, mut bytes)) = native_bytes(&field.value) else {
                continue;
            };
            // Two-byte characters, though nothing says so, follow the byte order of the numbers.
            if field.tag == ::exif::Tag::UserComment
                && bytes.starts_with(b"UNICODE\0")
                && exif.little_endian() != cfg!(target_endian = "little")
            {
                bytes[8..].chunks_exact_mut(2).for_each(<[u8]>::reverse);
            }
            match field.tag.context() {
                ::exif::Context::Tiff if DESCRIPTIVE.contains(&tag) => &mut tags.main,
                ::exif::Context::Exif => &mut tags.exif,
                ::exif::Context::Gps => &mut tags.gps,
                _ => continue,
            }
            .push((tag, kind, bytes));
        }
        tags
    }

    /// States dots per inch, whatever was said before.
    pub fn set_resolution(&mut self, dpi: u32) {
        const INCH: u16 = 2;
        let tags = [Tag::XResolution, Tag::YResolution, Tag::ResolutionUnit];
        self.main.retain(|(tag, ..)| !tags.contains(tag));
        let ratio = [dpi, 1].map(u32::to_ne_bytes).concat();
        self.main.push((tags[0], Type::RATIONAL, ratio.clone()));
        self.main.push((tags[1], Type::RATIONAL, ratio));
        self.main.push((tags[2], Type::SHORT, INCH.to_ne_bytes().to_vec()));
    }

    /// Writes the EXIF and GPS directories. To be called before the picture's
    /// own directory is begun; what it returns belongs into that directory.
    ///
    /// # Errors
    /// As the TIFF encoder.
    pub fn write_parts<W: Write + Seek, K: TiffKind>(
        &self,
        encoder: &mut TiffEncoder<W, K>,
    ) -> TiffResult<Vec<(Tag, K::OffsetType)>> {
        let mut pointers = Vec::new();
        for (pointer, tags) in [(Tag::ExifDirectory, &self.exif), (Tag::GpsDirectory, &self.gps)] {
            if !tags.is_empty() {
                let mut directory = encoder.extra_directory()?;
                write_tags(&mut directory, tags)?;
                pointers.push((pointer, directory.finish_with_offsets()?.offset));
            }
        }
        Ok(pointers)
    }

    /// Writes the tags of the main directory.
    ///
    /// # Errors
    /// As the TIFF encoder.
    pub fn write_main<W: Write + Seek, K: TiffKind>(
        &self,
        directory: &mut DirectoryEncoder<'_, W, K>,
    ) -> TiffResult<()> {
        write_tags(directory, &self.main)
    }
}

/// Writes tags, whose values are in the byte order of this machine.
///
/// # Errors
/// As the TIFF encoder.
pub fn write_tags<W: Write + Seek, K: TiffKind>(
    directory: &mut DirectoryEncoder<'_, W, K>,
    tags: &[(Tag, Type, Vec<u8>)],
) -> TiffResult<()> {
    let mut entries = Directory::empty();
    for (tag, kind, bytes) in tags {
        let entry = directory.write_entry_bytes(*kind, bytes)?;
        entries.extend([(*tag, entry)]);
    }
    directory.extend_from(&entries);
    Ok(())
}

/// A value in the byte order of this machine, as the TIFF encoder wants it.
fn native_bytes(value: &::exif::Value) -> Option<(Type, Vec<u8>)> {
    use ::exif::Value;
    Some(match value {
        Value::Byte(bytes) => (Type::BYTE, bytes.clone()),
        Value::Ascii(lines) => {
            let terminated = lines.iter().map(|line| [line.as_slice(), &[0]].concat());
            (Type::ASCII, terminated.collect::<Vec<_>>().concat())
        }
        Value::Short(values) => {
            (Type::SHORT, values.iter().flat_map(|v| v.to_ne_bytes()).collect())
        }
        Value::Long(values) => (Type::LONG, values.iter().flat_map(|v| v.to_ne_bytes()).collect()),
        Value::Rational(values) => {
            let bytes = values.iter().flat_map(|v| [v.num, v.denom]);
            (Type::RATIONAL, bytes.flat_map(u32::to_ne_bytes).collect())
        }
        Value::SByte(values) => {
            (Type::SBYTE, values.iter().flat_map(|v| v.to_ne_bytes()).collect())
        }
        Value::Undefined(bytes, _) => (Type::UNDEFINED, bytes.clone()),
        Value::SShort(values) => {
            (Type::SSHORT, values.iter().flat_map(|v| v.to_ne_bytes()).collect())
        }
        Value::SLong(values) => {
            (Type::SLONG, values.iter().flat_map(|v| v.to_ne_bytes()).collect())
        }
        Value::SRational(values) => {
            let bytes = values.iter().flat_map(|v| [v.num, v.denom]);
            (Type::SRATIONAL, bytes.flat_map(i32::to_ne_bytes).collect())
        }
        Value::Float(values) => {
            (Type::FLOAT, values.iter().flat_map(|v| v.to_ne_bytes()).collect())
        }
        Value::Double(values) => {
            (Type::DOUBLE, values.iter().flat_map(|v| v.to_ne_bytes()).collect())
        }
        Value::Unknown(..) => return None,
    })
}
