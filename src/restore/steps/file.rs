//! The steps of a photo as a file beside it, so that they can be changed another day.
//!
//! It is TOML; masks are PNG files in base 64.

use std::{
    io::Cursor,
    path::{Path, PathBuf},
    sync::Arc,
};

use data_encoding::BASE64;
use image::{ColorType, GrayImage, ImageFormat, ImageReader};
use serde::{Deserialize, Serialize};

use super::{Action, Step};
use crate::{
    error::{Error, Result},
    settings::{self, Existing},
};

/// First line of all such files: by it they are known as ours, and no other file is ever replaced
/// or removed.
const FIRST_LINE: &str = "# What was done to a photo, by Pixmend";

/// Longer files are not read.
const MOST_BYTES: u64 = 256 << 20;

/// More steps than anybody takes.
const MOST_STEPS: usize = 1000;

/// As it is written.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Width and height of the photo.
    size: (u32, u32),
    #[serde(default, rename = "step")]
    steps: Vec<KeptStep>,
}

#[derive(Serialize, Deserialize)]
struct KeptStep {
    on: bool,
    #[serde(flatten)]
    action: Action,
    /// Of the mask; here, since TOML wants plain values last to be readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mask: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    protected: Option<String>,
}

/// The file beside a photo: `harbour.jpg.pixmend`.
#[must_use]
pub fn path_for(photo: &Path) -> PathBuf {
    let mut name = photo.as_os_str().to_owned();
    name.push(".pixmend");
    name.into()
}

/// The steps beside a photo of this size; none if there are none, or what is there is not ours, for
/// a photo of another size, or damaged.
#[must_use]
pub fn load(photo: &Path, size: (u32, u32)) -> Vec<Step> {
    read(&path_for(photo)).and_then(|kept| steps_of(kept, size)).unwrap_or_default()
}

fn read(path: &Path) -> Option<Kept> {
    if path.metadata().ok()?.len() > MOST_BYTES {
        return None;
    }
    let text = std::fs::read_to_string(path).ok()?;
    text.starts_with(FIRST_LINE).then(|| toml::from_str(&text).ok()).flatten()
}

fn steps_of(kept: Kept, size: (u32, u32)) -> Option<Vec<Step>> {
    if kept.size != size || kept.steps.len() > MOST_STEPS {
        return None;
    }
    // `None` of what is damaged.
    let picture = |text: Option<String>| match text {
        Some(text) => decoded(&text).map(|mask| Some(Arc::new(mask))),
        None => Some(None),
    };
    let step = |KeptStep { on, action, mask, protected }: KeptStep| {
        Some(Step { action, mask: picture(mask)?, protected: picture(protected)?, on })
    };
    kept.steps.into_iter().map(step).collect()
}

fn decoded(text: &str) -> Option<GrayImage> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    let reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    // The reader's own limits hold: half a gigabyte.
    let picture = reader.decode().ok()?;
    (picture.color() == ColorType::L8).then(|| picture.into_luma8())
}

/// Writes the steps beside a photo of this size in place of older ones; without any, their file is
/// removed.
///
/// # Errors
/// [`Error::Exists`] if a file is there that is not ours or is for a photo of another size,
/// [`Error::DiskFull`] or [`Error::Write`].
pub fn save(photo: &Path, size: (u32, u32), steps: &[Step]) -> Result<()> {
    let path = path_for(photo);
    let is_there = path.symlink_metadata().is_ok();
    if is_there && read(&path).is_none_or(|kept| kept.size != size) {
        return Err(Error::Exists { path });
    }
    if steps.is_empty() {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::write(&path, error))
            }
            _ => Ok(()),
        };
    }
    let failed = |error: String| Error::write(&path, std::io::Error::other(error));
    let encoded = |mask: Option<&GrayImage>| -> Result<Option<String>> {
        let text = mask.map(|mask| {
            let mut bytes = Cursor::new(Vec::new());
            let written = mask.write_to(&mut bytes, ImageFormat::Png);
            written.map(|()| BASE64.encode(bytes.get_ref()))
        });
        text.transpose().map_err(|error| failed(error.to_string()))
    };
    let kept = |Step { action, mask, protected, on }: &Step| -> Result<KeptStep> {
        let (mask, protected) = (encoded(mask.as_deref())?, encoded(protected.as_deref())?);
        Ok(KeptStep { on: *on, action: action.clone(), mask, protected })
    };
    let kept = Kept { size, steps: steps.iter().map(kept).collect::<Result<_>>()? };
    let text = toml::to_string(&kept).map_err(|error| failed(error.to_string()))?;
    let text = format!("{FIRST_LINE}\n{text}");
    settings::write(&path, text.as_bytes(), Existing::Replace)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;
    use crate::restore::{
        UpscaleOptions,
        mend::{Fill, MendOptions},
    };

    fn steps() -> Vec<Step> {
        let mask = GrayImage::from_fn(30, 20, |x, y| Luma([if x > y { 255 } else { 0 }]));
        let options = MendOptions { grow: 2.0, feather: 1.5, hides: true, soft: true };
        vec![
            Step {
                action: Action::Fill { by: Fill::Auto, options },
                mask: Some(Arc::new(mask.clone())),
                protected: None,
                on: true,
            },
            Step {
                action: Action::Clean { model: "clean".to_owned(), strength: 0.5 },
                mask: None,
                protected: Some(Arc::new(mask)),
                on: false,
            },
            Step {
                action: Action::Upscale {
                    model: "starter".to_owned(),
                    options: UpscaleOptions::default(),
                },
                mask: None,
                protected: None,
                on: true,
            },
        ]
    }

    #[test]
    fn steps_come_back_and_an_empty_list_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let photo = folder.path().join("harbour.jpg");
        assert!(load(&photo, (30, 20)).is_empty());
        save(&photo, (30, 20), &steps()).unwrap();
        assert_eq!(load(&photo, (30, 20)), steps());
        assert!(load(&photo, (20, 30)).is_empty(), "another photo");
        assert!(matches!(save(&photo, (20, 30), &[]), Err(Error::Exists { .. })), "it is not lost");
        save(&photo, (30, 20), &steps()[1..]).unwrap();
        assert_eq!(load(&photo, (30, 20)), steps()[1..]);
        save(&photo, (30, 20), &[]).unwrap();
        assert!(!path_for(&photo).exists());
        save(&photo, (30, 20), &[]).unwrap();
    }

    #[test]
    fn files_that_are_not_ours_stay() {
        let folder = tempfile::tempdir().unwrap();
        let photo = folder.path().join("harbour.jpg");
        for text in ["", "a letter", "size = [30, 20]\n"] {
            std::io::Write::write_all(
                &mut std::fs::File::create(path_for(&photo)).unwrap(),
                text.as_bytes(),
            )
            .unwrap();
            for steps in [steps(), Vec::new()] {
                assert!(matches!(save(&photo, (30, 20), &steps), Err(Error::Exists { .. })));
            }
            assert!(load(&photo, (30, 20)).is_empty());
            assert_eq!(std::fs::read_to_string(path_for(&photo)).unwrap(), text);
        }
    }

    #[test]
    fn a_file_cut_off_anywhere_or_changed_is_no_list_or_a_shorter_one() {
        let folder = tempfile::tempdir().unwrap();
        let photo = folder.path().join("a.png");
        save(&photo, (30, 20), &steps()).unwrap();
        let whole = std::fs::read(path_for(&photo)).unwrap();
        for length in (0..whole.len()).step_by(3) {
            settings::write(&path_for(&photo), &whole[..length], Existing::Replace).unwrap();
            assert!(load(&photo, (30, 20)).len() <= 3);
        }
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..300 {
            let mut bytes = whole.clone();
            bytes[rng.usize(..whole.len())] = rng.u8(..);
            settings::write(&path_for(&photo), &bytes, Existing::Replace).unwrap();
            assert!(load(&photo, (30, 20)).len() <= 3);
        }
    }
}
