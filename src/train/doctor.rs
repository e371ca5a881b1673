//! Photos looked at before they are learnt from: what is wrong with each, what they will be used
//! for, and whether they are enough.
//!
//! The limits below were set on 41 sound photographs of 512 to 704 pixels, and on the same ones
//! blurred, enlarged and compressed: none of the sound ones is accused.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::Read as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use image::{RgbImage, imageops};
use rayon::prelude::*;
use serde::{Serialize, Serializer};

use self::signs::{Luma, is_grey, jpeg_quality};
use super::data::{self, Photo, Split};
use crate::{
    error::{Error, Result},
    picture::{Picture, resample::resize_exact},
};

mod signs;

/// Longest side of thumbnails in pixels.
const THUMBNAIL: u32 = 160;

/// Side in pixels of the middle of a photo that is examined.
const EXAMINED: u32 = 2048;

/// Photos without detail above this share of what their pixels can hold are blurred: they are as
/// sharp at half their size.
const SHARP: f32 = 0.5;

/// Blocks that stand out by so many of 256 levels are seen. JPEG has 0.8 at quality 75, 1.3 at 50
/// and 4 at 10.
const BLOCKS: f32 = 1.2;

/// Below this quality a JPEG file is not learnt from.
const QUALITY: u32 = 50;

/// Where pixels were put in between, there is more than this of a pattern; JPEG has one of its own,
/// which grows with its blocks.
const PATTERN: (f32, f32) = (1.5, 1.5);

/// With fewer different crops than these a network soon knows them by heart: a rule of thumb.
const CROPS: (u64, u64) = (50, 300);

/// What can be wrong with a photo.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum Problem {
    /// It cannot be opened.
    Unreadable {
        /// In words.
        reason: String,
    },
    /// No crop fits into it.
    TooSmall {
        /// Side in pixels that it would need.
        least: u32,
    },
    /// The very same pixels as another photo.
    Copy {
        /// The other.
        of: PathBuf,
    },
    /// It looks like another photo: smaller, compressed, a little cut.
    Alike {
        /// The other.
        of: PathBuf,
    },
    /// It was enlarged: a network would learn to make such pixels.
    Enlarged,
    /// It has no fine detail.
    Blurred,
    /// JPEG has left its blocks.
    Compressed {
        /// Of the file as libjpeg counts, if it is a JPEG file: about.
        quality: Option<u32>,
    },
    /// It is grey, and most others have colour.
    Grey,
}

impl Problem {
    /// Whether nothing can be learnt from such a photo at all.
    #[must_use]
    pub const fn excludes(&self) -> bool {
        matches!(self, Self::Unreadable { .. } | Self::TooSmall { .. })
    }

    /// Whether a photo is better left out.
    #[must_use]
    pub const fn is_grave(&self) -> bool {
        !matches!(self, Self::Alike { .. } | Self::Grey)
    }

    /// In two or three words, for below a thumbnail.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::TooSmall { .. } => "too small",
            Self::Copy { .. } => "a duplicate",
            Self::Alike { .. } => "a near-duplicate",
            Self::Enlarged => "already upscaled",
            Self::Blurred => "blurred",
            Self::Compressed { .. } => "heavy JPEG",
            Self::Grey => "grey",
        }
    }

    /// What it means.
    #[must_use]
    pub fn sentence(&self) -> String {
        let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
        match self {
            Self::Unreadable { reason } => reason.clone(),
            Self::TooSmall { least } => {
                format!("too small: its shorter side needs {least} pixels or more")
            }
            Self::Copy { of } => format!("the same photo as {}", name(of)),
            Self::Alike { of } => {
                format!("looks like {}: the two are never held out from each other", name(of))
            }
            Self::Enlarged => "already upscaled: a network would learn to imitate that".to_owned(),
            Self::Blurred => "blurred: as sharp at half its size".to_owned(),
            Self::Compressed { quality: Some(quality) } => {
                format!("heavy JPEG (quality {quality}): its blocks would be learnt")
            }
            Self::Compressed { quality: None } => {
                "heavy JPEG: its blocks would be learnt".to_owned()
            }
            Self::Grey => "grey, where most photos have colour".to_owned(),
        }
    }
}

/// A photo and what was found.
#[derive(Clone, Debug, Serialize)]
pub struct Examined {
    /// Its file.
    pub path: PathBuf,
    /// In pixels; 0 if it cannot be opened.
    pub size: (u32, u32),
    /// What is wrong with it; the gravest first.
    pub problems: Vec<Problem>,
    /// Whether it is to be used: so suggested, and for the user to change.
    pub kept: bool,
    /// Of the whole photo; empty if it cannot be opened.
    #[serde(skip)]
    pub thumbnail: RgbImage,
    #[serde(serialize_with = "hexadecimal")]
    signature: u64,
    /// Of all pixels.
    #[serde(skip)]
    content: u64,
    #[serde(skip)]
    grey: bool,
}

/// 64 bits are more than a number in JSON holds.
fn hexadecimal<S: Serializer>(signature: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{signature:016x}"))
}

impl Examined {
    /// Whether it could be used at all.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.problems.iter().any(Problem::excludes)
    }

    fn pixels(&self) -> u64 {
        u64::from(self.size.0) * u64::from(self.size.1)
    }
}

/// What was found in all photos.
#[derive(Clone, Debug, Serialize)]
pub struct Checkup {
    /// In the order of their paths.
    pub photos: Vec<Examined>,
    /// Side in pixels of the crops that are learnt from.
    pub crop: u32,
}

/// What the kept photos will be used for.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Learnt from.
    pub train: Vec<PathBuf>,
    /// Held out to choose the best weights by.
    pub validation: Vec<PathBuf>,
    /// Held out for the verdict.
    pub test: Vec<PathBuf>,
    /// Crops of the photos to learn from that share no pixel.
    pub crops: u64,
    /// Whether they are so few that a short run is enough.
    pub few: bool,
    /// Whether these are enough, in words.
    pub advice: String,
}

/// Examines the photos in files and folders. `crop` is the side of the large crops in pixels.
/// `each` is told how many photos are done, out of how many, and can end it.
///
/// # Errors
/// [`Error::NoPictures`] if there is none, those of reading folders, or of `each`.
pub fn examine(
    places: &[PathBuf],
    crop: u32,
    each: impl Fn(usize, usize) -> Result<()> + Sync,
) -> Result<Checkup> {
    let files = data::files(places)?;
    if files.is_empty() {
        return Err(Error::NoPictures { path: places.first().cloned().unwrap_or_default() });
    }
    let (done, total) = (AtomicUsize::new(0), files.len());
    let photos = files.into_par_iter().map(|path| {
        let examined = examined(path, crop);
        each(done.fetch_add(1, Ordering::Relaxed) + 1, total)?;
        Ok(examined)
    });
    let mut photos = photos.collect::<Result<Vec<_>>>()?;
    compare(&mut photos);
    for photo in &mut photos {
        photo.kept = !photo.problems.iter().any(Problem::is_grave);
    }
    Ok(Checkup { photos, crop })
}

/// One photo by itself.
fn examined(path: PathBuf, least: u32) -> Examined {
    let mut examined = Examined {
        path,
        size: (0, 0),
        problems: Vec::new(),
        kept: false,
        thumbnail: RgbImage::default(),
        signature: 0,
        content: 0,
        grey: false,
    };
    let pixels = match Picture::open(&examined.path) {
        Ok(picture) => picture.pixels.into_rgb8(),
        Err(error) => {
            examined.problems.push(Problem::Unreadable { reason: error.to_string() });
            return examined;
        }
    };
    let (width, height) = pixels.dimensions();
    let mut content = DefaultHasher::new();
    ((width, height), pixels.as_raw()).hash(&mut content);
    examined.size = (width, height);
    examined.content = content.finish();
    examined.signature = data::signature(&pixels);
    examined.grey = is_grey(&pixels);
    let shrunk = f64::from(width.max(height)) / f64::from(THUMBNAIL);
    let side = |length: u32| ((f64::from(length) / shrunk.max(1.0)) as u32).max(1);
    examined.thumbnail = resize_exact(&pixels, side(width), side(height));
    if width.min(height) < least {
        examined.problems.push(Problem::TooSmall { least });
    }
    let kept = |length: u32| length.min(EXAMINED);
    let (x, y) = ((width - kept(width)) / 2, (height - kept(height)) / 2);
    let middle = imageops::crop_imm(&pixels, x, y, kept(width), kept(height)).to_image();
    examined.problems.extend(treatment(&Luma::of(&middle), quality(&examined.path)));
    examined
}

/// What was done to a photo before. A JPEG of low quality hides what else there may be.
fn treatment(luma: &Luma, quality: Option<u32>) -> Option<Problem> {
    let blocks = luma.blocks();
    if blocks > BLOCKS || quality.is_some_and(|quality| quality < QUALITY) {
        Some(Problem::Compressed { quality })
    } else if luma.interpolation() > PATTERN.0 + PATTERN.1 * blocks {
        Some(Problem::Enlarged)
    } else if luma.finest().is_some_and(|finest| finest < SHARP) {
        Some(Problem::Blurred)
    } else {
        None
    }
}

/// Of a JPEG file.
fn quality(path: &Path) -> Option<u32> {
    /// Tables come before the picture, but behind metadata.
    const BEGINNING: u64 = 1 << 20;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(BEGINNING).read_to_end(&mut bytes).ok()?;
    jpeg_quality(&bytes)
}

/// Finds what is only seen beside other photos.
fn compare(photos: &mut [Examined]) {
    let opened = |photo: &&Examined| photo.size.0 > 0;
    let (all, grey) =
        (photos.iter().filter(opened).count(), photos.iter().filter(|photo| photo.grey).count());
    let mut order: Vec<usize> = (0..photos.len()).filter(|i| photos[*i].size.0 > 0).collect();
    // Of photos that look alike the largest is the one to keep, and of equals the sounder.
    order.sort_by_key(|i| (std::cmp::Reverse(photos[*i].pixels()), photos[*i].problems.len(), *i));
    for (rank, i) in order.iter().enumerate() {
        let photo = &photos[*i];
        let earlier = || order[..rank].iter().map(|other| &photos[*other]);
        let same = |other: &&Examined| other.content == photo.content && other.size == photo.size;
        let near = |other: &&Examined| data::is_near(other.signature, photo.signature);
        let twin = match (earlier().find(same), earlier().find(near)) {
            (Some(other), _) => Some(Problem::Copy { of: other.path.clone() }),
            (None, Some(other)) => Some(Problem::Alike { of: other.path.clone() }),
            (None, None) => None,
        };
        let odd = (photo.grey && 2 * grey < all).then_some(Problem::Grey);
        photos[*i].problems.extend(twin.into_iter().chain(odd));
    }
    for photo in photos {
        photo.problems.sort_by_key(|problem| !problem.is_grave());
    }
}

impl Checkup {
    /// The files that are to be used.
    #[must_use]
    pub fn kept(&self) -> Vec<PathBuf> {
        let kept = self.photos.iter().filter(|photo| photo.kept && photo.is_usable());
        kept.map(|photo| photo.path.clone()).collect()
    }

    /// What the kept photos will be used for, as training itself splits them.
    ///
    /// # Errors
    /// [`Error::NoPictures`] or [`Error::Setting`] if they are too few to be split.
    pub fn plan(&self, validation_share: f64, test_share: f64) -> Result<Plan> {
        let kept = || self.photos.iter().filter(|photo| photo.kept && photo.is_usable());
        let photos = kept().map(|photo| Photo::new(photo.path.clone(), photo.signature)).collect();
        let Split { train, validation, test, .. } =
            data::divided(photos, validation_share, test_share)?;
        let paths = |photos: Vec<Photo>| -> Vec<PathBuf> {
            photos.into_iter().map(|photo| photo.path).collect()
        };
        let train = paths(train);
        let crops = |photo: &Examined| {
            u64::from(photo.size.0 / self.crop) * u64::from(photo.size.1 / self.crop)
        };
        let crops = kept().filter(|photo| train.contains(&photo.path)).map(crops).sum();
        let advice = match crops {
            _ if crops < CROPS.0 => "too few: the network will know them by heart",
            _ if crops < CROPS.1 => "few: a short run is enough for them",
            _ => "enough",
        };
        let advice = format!("{crops} different crops to learn from, {advice}");
        let (validation, test, few) = (paths(validation), paths(test), crops < CROPS.1);
        Ok(Plan { train, validation, test, crops, few, advice })
    }
}

#[cfg(test)]
mod tests;
