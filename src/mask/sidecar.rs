//! A mask as a file beside its photo, so that work goes on where it ended.
//!
//! It is a grey PNG of the photo's size, which any program shows and `pixmend mend --mask` takes,
//! with a text chunk by which it is known as ours: no other file is ever replaced or removed.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use image::GrayImage;

use crate::{
    error::{Error, Result},
    settings::{self, Existing},
};

/// Key of the text chunk, whose text is the caller's.
const KEYWORD: &str = "Pixmend";

/// Longest text that is read.
const MOST_TEXT: usize = 1 << 16;

/// The file beside a photo: `harbour.jpg.mask.png`.
#[must_use]
pub fn path_for(photo: &Path) -> PathBuf {
    let mut name = photo.as_os_str().to_owned();
    name.push(".mask.png");
    name.into()
}

/// The file beside a photo with what is protected on it: `harbour.jpg.protect.png`.
#[must_use]
pub fn protection_for(photo: &Path) -> PathBuf {
    let mut name = photo.as_os_str().to_owned();
    name.push(".protect.png");
    name.into()
}

/// What is protected on a photo of this size; `None` as [`load`].
#[must_use]
pub fn load_protection(photo: &Path, size: (u32, u32)) -> Option<GrayImage> {
    read(&protection_for(photo), size).map(|(mask, _)| mask)
}

/// The mask beside a photo of this size and the text in it; `None` if there is none, or what is
/// there is not ours, of another size or damaged.
#[must_use]
pub fn load(photo: &Path, size: (u32, u32)) -> Option<(GrayImage, String)> {
    read(&path_for(photo), size)
}

fn read(path: &Path, size: (u32, u32)) -> Option<(GrayImage, String)> {
    let file = File::open(path).ok()?;
    let mut decoder = png::Decoder::new(BufReader::new(file));
    let header = decoder.read_header_info().ok()?;
    let kind = (header.color_type, header.bit_depth);
    if (header.width, header.height) != size
        || kind != (png::ColorType::Grayscale, png::BitDepth::Eight)
    {
        return None;
    }
    let mut reader = decoder.read_info().ok()?;
    let text = own_text(reader.info())?;
    let mut pixels = vec![0; reader.output_buffer_size()?];
    reader.next_frame(&mut pixels).ok()?;
    Some((GrayImage::from_raw(size.0, size.1, pixels)?, text))
}

fn own_text(info: &png::Info<'_>) -> Option<String> {
    let own = info.uncompressed_latin1_text.iter().find(|chunk| chunk.keyword == KEYWORD)?;
    (own.text.len() <= MOST_TEXT).then(|| own.text.clone())
}

/// Whether a file is there that this module did not write, or wrote for a photo of another size.
fn is_foreign(path: &Path, size: (u32, u32)) -> bool {
    let Ok(file) = File::open(path) else { return path.symlink_metadata().is_ok() };
    let Ok(reader) = png::Decoder::new(BufReader::new(file)).read_info() else { return true };
    let info = reader.info();
    own_text(info).is_none() || (info.width, info.height) != size
}

/// Writes the mask beside a photo in place of an older one; one in which nothing is marked removes it.
/// `text` must be plain ASCII.
///
/// # Errors
/// [`Error::Exists`] if a file is there that is not ours, [`Error::DiskFull`] or [`Error::Write`].
pub fn save(photo: &Path, mask: &GrayImage, text: &str) -> Result<()> {
    write(path_for(photo), mask, text)
}

/// The same for what is protected.
///
/// # Errors
/// As [`save`].
pub fn save_protection(photo: &Path, mask: &GrayImage) -> Result<()> {
    write(protection_for(photo), mask, "")
}

fn write(path: PathBuf, mask: &GrayImage, text: &str) -> Result<()> {
    if is_foreign(&path, mask.dimensions()) {
        return Err(Error::Exists { path });
    }
    if mask.iter().all(|value| *value == 0) {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::write(&path, error))
            }
            _ => Ok(()),
        };
    }
    let mut bytes = Vec::new();
    let mut info = png::Info::with_size(mask.width(), mask.height());
    (info.color_type, info.bit_depth) = (png::ColorType::Grayscale, png::BitDepth::Eight);
    let encoded = || -> std::result::Result<(), png::EncodingError> {
        let mut encoder = png::Encoder::with_info(&mut bytes, info)?;
        encoder.set_compression(png::Compression::Fast);
        encoder.add_text_chunk(KEYWORD.to_owned(), text.to_owned())?;
        let mut writer = encoder.write_header()?;
        writer.write_image_data(mask.as_raw())?;
        writer.finish()
    };
    encoded().map_err(|error| Error::write(&path, std::io::Error::other(error)))?;
    settings::write(&path, &bytes, Existing::Replace)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    #[test]
    fn a_mask_comes_back_and_an_empty_one_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let photo = folder.path().join("harbour.jpg");
        let mask = GrayImage::from_fn(40, 30, |x, y| Luma([if x * y % 7 == 0 { 255 } else { 0 }]));
        assert!(load(&photo, (40, 30)).is_none());
        save(&photo, &mask, "grow = 2.0\n").unwrap();
        assert_eq!(load(&photo, (40, 30)), Some((mask.clone(), "grow = 2.0\n".to_owned())));
        assert!(load(&photo, (30, 40)).is_none(), "another size");
        let other = GrayImage::new(30, 40);
        assert!(matches!(save(&photo, &other, ""), Err(Error::Exists { .. })), "it is not lost");
        save(&photo, &image::imageops::flip_horizontal(&mask), "").unwrap();
        assert!(load(&photo, (40, 30)).unwrap().0 != mask);
        save_protection(&photo, &mask).unwrap();
        assert_eq!(load_protection(&photo, (40, 30)), Some(mask));
        save(&photo, &GrayImage::new(40, 30), "").unwrap();
        assert!(!path_for(&photo).exists() && protection_for(&photo).exists());
        save_protection(&photo, &GrayImage::new(40, 30)).unwrap();
        assert!(!protection_for(&photo).exists());
        save(&photo, &GrayImage::new(40, 30), "").unwrap();
    }

    #[test]
    fn files_that_are_not_ours_stay() {
        let folder = tempfile::tempdir().unwrap();
        let photo = folder.path().join("harbour.jpg");
        let mask = GrayImage::from_pixel(9, 9, Luma([255]));
        for bytes in [&b"a letter"[..], b""] {
            settings::write(&path_for(&photo), bytes, Existing::Replace).unwrap();
            for mask in [&mask, &GrayImage::new(9, 9)] {
                assert!(matches!(save(&photo, mask, ""), Err(Error::Exists { .. })));
            }
            assert_eq!(std::fs::read(path_for(&photo)).unwrap(), bytes);
        }
        // A mask that somebody painted elsewhere.
        mask.save(path_for(&photo)).unwrap();
        assert!(matches!(save(&photo, &mask, ""), Err(Error::Exists { .. })));
        assert!(load(&photo, (9, 9)).is_none());
    }

    #[test]
    fn a_file_cut_off_anywhere_is_no_mask() {
        let folder = tempfile::tempdir().unwrap();
        let photo = folder.path().join("a.png");
        let mask = GrayImage::from_fn(20, 20, |x, _| Luma([(x * 12) as u8]));
        save(&photo, &mask, "x").unwrap();
        let whole = std::fs::read(path_for(&photo)).unwrap();
        for length in 0..whole.len() - 12 {
            let bytes = &whole[..length];
            settings::write(&path_for(&photo), bytes, Existing::Replace).unwrap();
            assert!(load(&photo, (20, 20)).is_none_or(|(read, _)| read == mask), "{length}");
        }
    }
}
