//! Photos to learn from: found, told apart by content, and cut into batches while the device
//! works.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use crossbeam_channel::{Receiver, bounded};
use fastrand::Rng;
use image::{RgbImage, imageops};

use super::{degrade::Recipe, options::TrainOptions, warp::Warp};
use crate::{
    error::{Error, Result},
    net::NetworkConfig,
    picture::{Format, Picture, resample::resize_exact},
    restore::mend::{Planes, shown},
};

/// Decoded photos kept in memory at most, in bytes; the others are read again when drawn.
const CACHE_BYTES: usize = 512 << 20;

/// Photos whose signatures differ in at most this many of 64 bits count as one photo.
const NEAR: u32 = 5;

/// A photo that can be learnt from.
#[derive(Clone, Debug)]
pub struct Photo {
    /// Its file.
    pub path: PathBuf,
    /// Of its content: the same for another name, size or compression.
    signature: u64,
    /// Longest side in pixels that it is made smaller to.
    longest: u32,
}

impl Photo {
    /// With the signature of its content, of its own size.
    pub(super) const fn new(path: PathBuf, signature: u64) -> Self {
        Self { path, signature, longest: u32::MAX }
    }

    /// Its pixels, made smaller if they are to be.
    ///
    /// # Errors
    /// Those of [`Picture::open`].
    pub(super) fn pixels(&self) -> Result<RgbImage> {
        let pixels = Picture::open(&self.path)?.pixels.into_rgb8();
        let (width, height) = shrunk(pixels.dimensions(), self.longest);
        Ok(if pixels.dimensions() == (width, height) {
            pixels
        } else {
            resize_exact(&pixels, width, height)
        })
    }
}

/// The size of a photo whose longest side is at most so long.
fn shrunk((width, height): (u32, u32), longest: u32) -> (u32, u32) {
    let now = width.max(height);
    if now <= longest {
        return (width, height);
    }
    let side = |length: u32| {
        (f64::from(length) * f64::from(longest) / f64::from(now)).round().max(1.0) as u32
    };
    (side(width), side(height))
}

/// Photos by their use.
#[derive(Clone, Debug, Default)]
pub struct Split {
    /// Learnt from.
    pub train: Vec<Photo>,
    /// Looked at while learning, to keep the best.
    pub validation: Vec<Photo>,
    /// Looked at once, for the verdict.
    pub test: Vec<Photo>,
    /// Why files were left out, one sentence each.
    pub left_out: Vec<String>,
}

impl Split {
    /// What the photos of the three parts look like, in order.
    pub(super) fn signatures(&self) -> [Vec<u64>; 3] {
        [&self.train, &self.validation, &self.test].map(|photos| {
            let mut signatures: Vec<u64> = photos.iter().map(|photo| photo.signature).collect();
            signatures.sort_unstable();
            signatures
        })
    }
}

/// Finds the photos in files and folders and splits them. Those whose longest side is longer than
/// `longest` are made smaller to it; those with a side under `min_side` then are left out.
///
/// The split depends on the content of the photos alone: it is the same for other names and
/// orders. Photos that look alike stay together. With three photos or more, each part has one.
///
/// # Errors
/// [`Error::NoPictures`] if fewer than three different photos can be used.
pub fn split(
    places: &[PathBuf],
    min_side: u32,
    longest: u32,
    [validation_share, test_share]: [f64; 2],
) -> Result<Split> {
    let least = |(width, height): (u32, u32)| width.min(height);
    let (mut left_out, mut photos) = (Vec::new(), Vec::new());
    for path in files(places)? {
        match Picture::open(&path) {
            Err(error) => left_out.push(error.to_string()),
            Ok(picture) if least(shrunk(picture.size(), longest)) < min_side => {
                let name = path.display();
                left_out.push(format!("smaller than {min_side} pixels: {name}"));
            }
            Ok(picture) => {
                let signature = signature(&picture.pixels.into_rgb8());
                photos.push(Photo { path, signature, longest });
            }
        }
    }
    let split = divided(photos, validation_share, test_share).map_err(|error| match error {
        Error::NoPictures { .. } => {
            Error::NoPictures { path: places.first().cloned().unwrap_or_default() }
        }
        other => other,
    })?;
    Ok(Split { left_out, ..split })
}

/// Splits photos as [`split`] does.
pub(super) fn divided(photos: Vec<Photo>, validation_share: f64, test_share: f64) -> Result<Split> {
    let first = photos.first().map(|photo| photo.path.clone());
    let groups = alike(photos);
    if groups.len() < 3 {
        return Err(Error::NoPictures { path: first.unwrap_or_default() });
    }
    let mut split = Split::default();
    let part = |share: f64| ((groups.len() as f64 * share).round() as usize).max(1);
    let (test, validation) = (part(test_share), part(validation_share));
    for (rank, group) in groups.into_iter().enumerate() {
        if rank < test {
            split.test.extend(group);
        } else if rank < test + validation {
            split.validation.extend(group);
        } else {
            split.train.extend(group);
        }
    }
    if split.train.is_empty() {
        return Err(Error::Setting("too much is held out: no photo is left to learn from".into()));
    }
    Ok(split)
}

/// The pictures among files and in folders, in the order of their paths, each once.
pub(super) fn files(places: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    places.iter().try_for_each(|place| gather(place, &mut files))?;
    files.sort();
    files.dedup();
    Ok(files)
}

/// Files whose ending names a picture, in a folder and the folders in it.
fn gather(place: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !place.is_dir() {
        files.push(place.to_owned());
        return Ok(());
    }
    let entries = std::fs::read_dir(place).map_err(|error| Error::read(place, error))?;
    for entry in entries.flatten() {
        let path = entry.path();
        // A link to a folder could lead in a circle.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && path.extension().is_some_and(|ending| ending == "report") {
            continue; // Of another run: it holds pieces of photos that were held out.
        }
        if is_folder {
            gather(&path, files)?;
        } else if Format::named(&path).is_some() {
            files.push(path);
        }
    }
    Ok(())
}

/// A bit for each of 8x8 places: whether the picture gets brighter to the right there
/// ("difference hash").
pub(super) fn signature(picture: &RgbImage) -> u64 {
    let small = resize_exact(picture, 9, 8);
    let luma = |x: u32, y: u32| {
        let [r, g, b] = small.get_pixel(x, y).0.map(u32::from);
        299 * r + 587 * g + 114 * b
    };
    let places = (0..8).flat_map(|y| (0..8).map(move |x| (x, y)));
    places.fold(0, |bits, (x, y)| bits << 1 | u64::from(luma(x + 1, y) > luma(x, y)))
}

/// Whether photos with these signatures count as one.
pub(super) const fn is_near(a: u64, b: u64) -> bool {
    (a ^ b).count_ones() <= NEAR
}

/// Groups of photos that look alike, in an order that depends on their content only.
fn alike(photos: Vec<Photo>) -> Vec<Vec<Photo>> {
    let mut groups: Vec<Vec<Photo>> = Vec::new();
    for photo in photos {
        let near = |other: &Photo| is_near(other.signature, photo.signature);
        // A photo may connect groups that were apart.
        let (mut mine, others): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|group| group.iter().any(near));
        groups = others;
        let mut group: Vec<Photo> = mine.drain(..).flatten().collect();
        group.push(photo);
        groups.push(group);
    }
    // A hash scatters signatures that begin alike.
    let rank = |group: &Vec<Photo>| {
        let smallest = group.iter().map(|photo| photo.signature).min().unwrap_or_default();
        Rng::with_seed(smallest).u64(..)
    };
    groups.sort_by_key(rank);
    groups
}

/// Pairs of crops, NCHW, values 0 to 1.
#[derive(Debug)]
pub struct Batch {
    /// Side of the small crops in pixels.
    pub crop: u32,
    /// What the network gets: three channels.
    pub small: Vec<f32>,
    /// What one that takes what is marked begins with: three channels; empty for others.
    pub begun: Vec<f32>,
    /// What it should give: three channels.
    pub large: Vec<f32>,
    /// 1 where the small crops are damaged: one channel; empty if the recipe damages nothing.
    pub mask: Vec<f32>,
}

/// What batches are cut by.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Size of the large crops over that of the small ones.
    scale: u32,
    /// How small ones are made.
    recipe: Recipe,
    /// How far crops are bent.
    warp: Warp,
    /// How many, how large, how often bent, and by which seed.
    options: TrainOptions,
    /// Whether the network fills masks, and whether it also takes what is marked.
    fills: [bool; 2],
}

impl Cut {
    /// By the options of a run for a network.
    #[must_use]
    pub fn new(options: &TrainOptions, network: &NetworkConfig) -> Self {
        Self {
            scale: network.scale(),
            recipe: options.recipe().scaled(options.strength),
            warp: options.warp_by,
            options: options.clone(),
            fills: [network.takes_mask(), network.takes_marked()],
        }
    }
}

/// Photos in memory, as far as they fit.
#[derive(Debug, Default)]
struct Cache {
    photos: HashMap<usize, Arc<RgbImage>>,
    bytes: usize,
}

/// Photos that batches are cut from, read when they are drawn first. Copies share what is in
/// memory.
#[derive(Clone, Debug)]
pub struct Source {
    photos: Arc<Vec<Photo>>,
    cache: Arc<Mutex<Cache>>,
}

impl From<Vec<Photo>> for Source {
    fn from(photos: Vec<Photo>) -> Self {
        Self { photos: Arc::new(photos), cache: Arc::default() }
    }
}

impl Source {
    /// The batch of this number: it depends on that and on the seed of the options only.
    ///
    /// # Errors
    /// Those of reading photos, or [`Error::Mismatch`] if one has become smaller.
    pub fn batch(&self, cut: &Cut, number: u64) -> Result<Batch> {
        let Cut { scale, recipe, warp, options, fills: [fills, takes_marked] } = cut;
        let mut rng = Rng::with_seed(options.seed ^ Rng::with_seed(number).u64(..));
        let crop = options.crop_at(number / options.accumulate as u64);
        let [small, begun, large, mask] = [const { Vec::new() }; 4];
        let mut batch = Batch { crop, small, begun, large, mask };
        for _ in 0..options.batch {
            let index = rng.usize(..self.photos.len());
            let photo = self.decoded(index)?;
            let side = crop * scale;
            if photo.width().min(photo.height()) < side {
                return Err(Error::Mismatch {
                    path: self.photos[index].path.clone(),
                    reason: "the photo has become smaller since the run began".to_owned(),
                });
            }
            let cropped = if options.warp > 0.0 && rng.f32() < options.warp {
                warp.crop(&photo, side, &mut rng)
            } else {
                let place = |length: u32, rng: &mut Rng| rng.u32(..=length - side);
                let (x, y) = (place(photo.width(), &mut rng), place(photo.height(), &mut rng));
                imageops::crop_imm(&*photo, x, y, side, side).to_image()
            };
            let large = turned(cropped, rng.u8(..8));
            let worse = recipe.apply(&large, *scale, &mut rng)?;
            let mut small = planes(&worse.picture);
            if let Some(mask) = worse.mask {
                if *fills || worse.hides {
                    let [begun, given] = shown(small, &mask, worse.hides);
                    small = given;
                    if *takes_marked {
                        batch.begun.extend(begun.into_iter().flatten());
                    }
                }
                batch.mask.extend(mask.iter().map(|mark| f32::from(*mark) / 255.0));
            }
            batch.small.extend(small.into_iter().flatten());
            batch.large.extend(planes(&large).into_iter().flatten());
        }
        Ok(batch)
    }

    fn decoded(&self, index: usize) -> Result<Arc<RgbImage>> {
        let lock = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(photo) = lock().photos.get(&index) {
            return Ok(photo.clone());
        }
        let photo = Arc::new(self.photos[index].pixels()?);
        let mut cache = lock();
        if cache.bytes + photo.len() <= CACHE_BYTES {
            cache.bytes += photo.len();
            cache.photos.insert(index, photo.clone());
        }
        Ok(photo)
    }
}

/// Threads that prepare the batches of a run in order, each depending on the seed and its number
/// only: a run that is resumed gets the same ones. There are [`TrainOptions::accumulate`] batches
/// a step.
#[derive(Debug)]
pub struct Loader {
    source: Source,
    cut: Arc<Cut>,
    lanes: u64,
    /// One for each lane; none while it rests.
    queues: Vec<Receiver<Result<Batch>>>,
    threads: Vec<JoinHandle<()>>,
    next: u64,
}

impl Loader {
    /// Prepares the batches from `first` on, in so many lanes.
    ///
    /// # Errors
    /// [`Error::Panic`] if the system gives no threads.
    pub fn start(source: impl Into<Source>, cut: Cut, first: u64, lanes: u64) -> Result<Self> {
        let mut loader = Self::resting(source, cut, first, lanes);
        loader.wake()?;
        Ok(loader)
    }

    /// One that begins when the first batch is taken.
    pub(super) fn resting(source: impl Into<Source>, cut: Cut, first: u64, lanes: u64) -> Self {
        let (source, cut) = (source.into(), Arc::new(cut));
        Self { source, cut, lanes, queues: Vec::new(), threads: Vec::new(), next: first }
    }

    fn wake(&mut self) -> Result<()> {
        let (first, lanes) = (self.next, self.lanes);
        for lane in 0..lanes {
            let (outbox, queue) = bounded(2);
            let (source, cut) = (self.source.clone(), self.cut.clone());
            // The numbers that this lane takes in turn.
            let start = first + (lanes + lane - first % lanes) % lanes;
            let thread = std::thread::Builder::new().name("photos".to_owned()).spawn(move || {
                for number in (start..).step_by(lanes as usize) {
                    if outbox.send(source.batch(&cut, number)).is_err() {
                        return; // The run has ended, or rests.
                    }
                }
            });
            self.threads.push(thread.map_err(|error| Error::Panic(error.to_string()))?);
            self.queues.push(queue);
        }
        Ok(())
    }

    /// The next batch; waits if it is not ready.
    ///
    /// # Errors
    /// What reading a photo gave, or as [`Self::start`].
    pub fn take(&mut self) -> Result<Batch> {
        if self.queues.is_empty() {
            self.wake()?;
        }
        let lane = (self.next % self.queues.len() as u64) as usize;
        self.next += 1;
        match self.queues[lane].recv() {
            Ok(batch) => batch,
            Err(_) => Err(Error::Panic("a thread that prepares photos has stopped".to_owned())),
        }
    }

    /// Ends the threads and forgets what is prepared, until the next batch is taken.
    pub(super) fn rest(&mut self) {
        self.queues.clear();
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.rest();
    }
}

/// One of the eight ways a square can lie.
fn turned(crop: RgbImage, way: u8) -> RgbImage {
    let crop = if way & 1 == 0 { crop } else { imageops::flip_horizontal(&crop) };
    match way >> 1 {
        0 => crop,
        1 => imageops::rotate90(&crop),
        2 => imageops::rotate180(&crop),
        _ => imageops::rotate270(&crop),
    }
}

/// Red, green and blue, 0 to 1.
fn planes(picture: &RgbImage) -> Planes {
    let plane = |channel| picture.pixels().map(move |pixel| f32::from(pixel.0[channel]) / 255.0);
    [0, 1, 2].map(|channel| plane(channel).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::residual::ResidualConfig;

    fn photos(folder: &Path, count: u32) {
        for i in 0..count {
            let picture = RgbImage::from_fn(90 + i, 80, |x, y| {
                let mut rng = Rng::with_seed(u64::from(x / 12 + 100 * (y / 11) + 10_000 * i));
                image::Rgb([rng.u8(..), rng.u8(..), rng.u8(..)])
            });
            picture.save(folder.join(format!("{i:03}.png"))).unwrap();
        }
    }

    fn names(photos: &[Photo]) -> Vec<String> {
        let name = |photo: &Photo| photo.path.file_name().unwrap().to_string_lossy().into_owned();
        let mut names: Vec<String> = photos.iter().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn the_split_follows_the_content_and_keeps_what_looks_alike_together() {
        let folder = tempfile::tempdir().unwrap();
        photos(folder.path(), 20);
        // The same photo smaller and compressed, under a name far away.
        let twin = image::open(folder.path().join("007.png")).unwrap();
        twin.resize_exact(85, 72, imageops::FilterType::Triangle)
            .save(folder.path().join("zzz.jpg"))
            .unwrap();
        let tiny = RgbImage::new(10, 10);
        tiny.save(folder.path().join("tiny.png")).unwrap();
        let places = [folder.path().to_owned()];
        let before = split(&places, 64, u32::MAX, [0.20, 0.05]).unwrap();
        assert_eq!(before.left_out.len(), 1, "{:?}", before.left_out);
        let parts = [&before.train, &before.validation, &before.test];
        assert_eq!(parts.iter().map(|part| part.len()).sum::<usize>(), 21);
        assert!(!before.test.is_empty() && before.validation.len() >= 4);
        let with = |name: &str| {
            parts.iter().position(|part| names(part).contains(&name.to_owned())).unwrap()
        };
        assert_eq!(with("007.png"), with("zzz.jpg"), "twins must not straddle the split");

        // Other names, another order: the same split.
        for i in 0..20 {
            let from = folder.path().join(format!("{i:03}.png"));
            std::fs::rename(from, folder.path().join(format!("n{:03}.png", 20 - i))).unwrap();
        }
        let after = split(&places, 64, u32::MAX, [0.20, 0.05]).unwrap();
        let renamed = |photos: &[Photo]| {
            let mut names: Vec<String> = names(photos)
                .into_iter()
                .map(|name| match name.strip_suffix(".png").and_then(|n| n.parse::<u32>().ok()) {
                    Some(i) => format!("n{:03}.png", 20 - i),
                    None => name,
                })
                .collect();
            names.sort();
            names
        };
        assert_eq!(renamed(&before.train), names(&after.train));
        assert_eq!(renamed(&before.test), names(&after.test));
    }

    #[test]
    fn batches_depend_on_seed_and_number_only() {
        let folder = tempfile::tempdir().unwrap();
        photos(folder.path(), 6);
        let split = split(&[folder.path().to_owned()], 64, u32::MAX, [0.2, 0.05]).unwrap();
        let options = TrainOptions {
            batch: 3,
            crop: 8,
            degradation: "blind".to_owned(),
            seed: 5,
            warp: 0.5,
            ..TrainOptions::default()
        };
        let options = options.resolved().unwrap();
        let starter = NetworkConfig::Residual(ResidualConfig::starter());
        let cut = Cut::new(&options, &starter);
        let take = |first: u64, threads: u64, count: usize| -> Vec<Vec<f32>> {
            let mut loader =
                Loader::start(split.train.clone(), cut.clone(), first, threads).unwrap();
            (0..count).map(|_| loader.take().unwrap().small).collect()
        };
        let all = take(0, 1, 7);
        assert_eq!(all[0].len(), 3 * 3 * 8 * 8);
        assert!(all[0] != all[1]);
        assert!(all == take(0, 3, 7), "threads must not matter");
        assert!(all[4..] == take(4, 2, 3), "a resumed run gets the same batches");
        let mut loader = Loader::start(split.train.clone(), cut.clone(), 0, 2).unwrap();
        let rested = (0..7).map(|_| {
            loader.rest();
            loader.take().unwrap().small
        });
        assert!(rested.collect::<Vec<_>>() == all, "a loader that rested gives the same batches");
        let other = Cut::new(&TrainOptions { seed: 6, ..options }, &starter);
        let mut loader = Loader::start(split.train.clone(), other, 0, 1).unwrap();
        assert!(loader.take().unwrap().small != all[0], "another seed, other batches");
    }
}
