//! Photos in files and folders, and how they are shared out among machines.

use std::{
    collections::{BTreeMap, HashSet},
    ffi::OsStr,
    path::{Path, PathBuf},
    str::FromStr,
};

use walkdir::{DirEntry, WalkDir};

use super::hash;
use crate::{
    error::{Error, Result},
    mask::sidecar,
    picture::{
        Format,
        foreign::{self, Foreign},
    },
};

/// A photo and its place among all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its file.
    pub source: PathBuf,
    /// Below the folder that was named; with several of them, their names come first.
    pub relative: PathBuf,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Photos in the order of their places.
    pub photos: Vec<Found>,
    /// How many pictures there are whose ending says that they are not read.
    pub foreign: BTreeMap<Foreign, usize>,
    /// How many other files there are, by their ending.
    pub others: BTreeMap<String, usize>,
    /// Folders that could not be read.
    pub unread: Vec<Error>,
}

impl Findings {
    /// How many files were left out.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.foreign.values().chain(self.others.values()).sum()
    }

    /// Which files were left out, and what to do with those that are pictures; `None` where there
    /// are none.
    #[must_use]
    pub fn left_out_in_words(&self) -> Option<String> {
        let were = |count: usize, what: &str| match count {
            1 => format!("1 {what} was left out"),
            _ => format!("{count} {what}s were left out"),
        };
        let foreign = self.foreign.iter().map(|(foreign, count)| {
            let Foreign { kind, way_out } = foreign;
            format!("{}: {way_out}", were(*count, &format!("{kind} picture")))
        });
        let mut sentences: Vec<String> = foreign.collect();
        if !self.others.is_empty() {
            let endings: Vec<&str> = self.others.keys().map(String::as_str).collect();
            let files = were(self.others.values().sum(), "file");
            sentences.push(format!("{files}, by the ending no pictures: {}", endings.join(", ")));
        }
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }
}

/// Finds photos: files that are named, whatever they are called, and those of folders whose ending
/// names a picture; with `recursive`, of the folders in them too. Hidden files, masks that are kept
/// beside their photo, and all that is in `output` are left out.
///
/// # Errors
/// [`Error::Missing`] for a place that is not there; [`Error::Setting`] if `output` is one of the
/// folders.
pub fn find(places: &[PathBuf], recursive: bool, output: &Path) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut seen = HashSet::new();
    let whole = |path: &Path| path.canonicalize().ok();
    let output = whole(output);
    for place in places {
        let about = std::fs::metadata(place).map_err(|error| Error::read(place, error))?;
        let source = std::path::absolute(place).map_err(|error| Error::read(place, error))?;
        if !about.is_dir() {
            if seen.insert(whole(&source)) {
                let relative = source.file_name().map(PathBuf::from).unwrap_or_default();
                findings.photos.push(Found { source, relative });
            }
            continue;
        }
        if output.is_some() && whole(place) == output {
            return Err(Error::Setting(format!(
                "the results would lie among their photos: name another folder than {} with -o",
                place.display()
            )));
        }
        let below = if places.len() > 1 {
            whole(place).and_then(|folder| folder.file_name().map(PathBuf::from))
        } else {
            None
        };
        let below = below.unwrap_or_default();
        let depth = if recursive { usize::MAX } else { 1 };
        let walk = WalkDir::new(&source)
            .follow_links(true)
            .sort_by_file_name()
            .min_depth(1)
            .max_depth(depth)
            .into_iter()
            .filter_entry(|entry| !is_hidden(entry) && !leads_to(entry, output.as_deref()));
        for entry in walk {
            match entry {
                Err(error) if error.loop_ancestor().is_some() => {}
                Err(error) => findings.unread.push(unread(error, place)),
                Ok(entry) if entry.file_type().is_dir() || is_mask(entry.path()) => {}
                Ok(entry) => match (Format::named(entry.path()), foreign::named(entry.path())) {
                    (Some(_), _) => {
                        if seen.insert(whole(entry.path())) {
                            let inside = entry.path().strip_prefix(&source);
                            let relative = below.join(inside.unwrap_or(entry.path()));
                            findings.photos.push(Found { source: entry.into_path(), relative });
                        }
                    }
                    (None, Some(foreign)) => *findings.foreign.entry(foreign).or_default() += 1,
                    (None, None) => {
                        let ending = entry.path().extension().map(OsStr::to_string_lossy);
                        let ending = ending.map_or("none".into(), |text| format!(".{text}"));
                        *findings.others.entry(ending.to_lowercase()).or_default() += 1;
                    }
                },
            }
        }
    }
    findings.photos.sort_by(|a, b| a.relative.cmp(&b.relative));
    Ok(findings)
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn leads_to(entry: &DirEntry, output: Option<&Path>) -> bool {
    let folder = || entry.path().canonicalize().ok();
    entry.file_type().is_dir() && output.is_some() && folder().as_deref() == output
}

/// Whether a file is one of the masks that are kept beside a photo.
fn is_mask(path: &Path) -> bool {
    let name = path.as_os_str().to_string_lossy();
    let is_of = |beside: PathBuf| {
        let photo = name.strip_suffix(&*beside.as_os_str().to_string_lossy());
        photo.is_some_and(|photo| Path::new(photo).is_file())
    };
    [sidecar::path_for, sidecar::protection_for].into_iter().any(|of| is_of(of(Path::new(""))))
}

fn unread(error: walkdir::Error, place: &Path) -> Error {
    let path = error.path().unwrap_or(place).to_owned();
    let words = error.to_string();
    Error::read(path, error.into_io_error().unwrap_or_else(|| std::io::Error::other(words)))
}

/// One of several equal parts of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    pub number: u64,
    /// How many there are.
    pub of: u64,
}

impl Default for Shard {
    fn default() -> Self {
        Self { number: 1, of: 1 }
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('/').and_then(|(number, of)| {
            Some(Self { number: number.trim().parse().ok()?, of: of.trim().parse().ok()? })
        });
        parts.filter(|shard| (1..=shard.of).contains(&shard.number)).ok_or_else(|| {
            Error::Setting(format!("{text} is no part of the work: the second of four is 2/4"))
        })
    }
}

impl Shard {
    /// Whether a photo belongs to it. That follows from the photo's place alone, so machines need
    /// not talk to each other, and no other photo moves when one is added.
    #[must_use]
    pub fn has(&self, photo: &Found) -> bool {
        hash::of_path(&photo.relative) % self.of == self.number - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A tree of empty files.
    fn tree(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::File::create(path).unwrap();
        }
        folder
    }

    fn places(findings: &Findings) -> Vec<String> {
        let place = |photo: &Found| photo.relative.to_string_lossy().replace('\\', "/");
        findings.photos.iter().map(place).collect()
    }

    #[test]
    fn photos_are_found_and_results_masks_and_hidden_files_are_not() {
        let tree = tree(&[
            "b.JPG",
            "a.png",
            "a.png.mask.png",
            "lone.mask.png",
            "notes.txt",
            "film.mp4",
            "phone.heic",
            "a.NEF",
            "b.nef",
            "._a.png",
            "trip/c.webp",
            ".thumbs/a.png",
            "out/a-4x.png",
            "out/deep/b-4x.png",
        ]);
        let out = tree.path().join("out");
        let flat = find(&[tree.path().to_owned()], false, &out).unwrap();
        assert_eq!(places(&flat), ["a.png", "b.JPG", "lone.mask.png"]);
        let deep = find(&[tree.path().to_owned()], true, &out).unwrap();
        assert_eq!(places(&deep), ["a.png", "b.JPG", "lone.mask.png", "trip/c.webp"]);
        let words = deep.left_out_in_words().unwrap();
        assert_eq!(deep.left_out(), 5);
        assert!(words.contains("1 HEIC picture was left out: export it as JPEG"), "{words}");
        assert!(words.contains("2 camera raw pictures were left out: develop"), "{words}");
        assert!(words.ends_with("2 files were left out, by the ending no pictures: .mp4, .txt"));
        let refused = find(&[tree.path().to_owned()], true, tree.path()).unwrap_err();
        assert!(refused.to_string().contains("among their photos"), "{refused}");
    }

    #[test]
    fn several_folders_keep_their_names_and_no_photo_comes_twice() {
        let tree = tree(&["one/a.png", "two/a.png", "two/b.png"]);
        let at = |name: &str| tree.path().join(name);
        let named = [at("two"), at("one"), at("two/b.png"), at("two/b.png")];
        let found = find(&named, true, &at("out")).unwrap();
        assert_eq!(places(&found), ["one/a.png", "two/a.png", "two/b.png"]);
        assert!(matches!(find(&[at("none")], true, &at("out")), Err(Error::Missing { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_but_not_in_circles() {
        let tree = tree(&["a.png", "far/b.png"]);
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(tree.path().join(to), tree.path().join(name)).unwrap();
        };
        link("far", "near");
        link(".", "far/circle");
        link("nowhere", "dangling.png");
        let found = find(&[tree.path().to_owned()], true, &tree.path().join("out")).unwrap();
        assert_eq!(places(&found), ["a.png", "far/b.png"]);
        assert_eq!(found.unread.len(), 1, "{:?}", found.unread);
        assert!(found.unread[0].to_string().contains("dangling.png"));
    }

    #[test]
    fn every_photo_belongs_to_one_shard_and_stays_there() {
        let photo = |i: u32| Found {
            source: PathBuf::new(),
            relative: PathBuf::from(format!("trip/{i}.jpg")),
        };
        let shards: Vec<Shard> = (1..=4).map(|number| Shard { number, of: 4 }).collect();
        let mut counts = [0; 4];
        for i in 0..400 {
            let own: Vec<usize> = (0..4).filter(|shard| shards[*shard].has(&photo(i))).collect();
            assert_eq!(own.len(), 1);
            counts[own[0]] += 1;
        }
        assert!(counts.iter().all(|count| (70..130).contains(count)), "{counts:?}");
        // Machines of other versions must agree.
        let first: Vec<u64> = (0..6).map(|i| 1 + hash::of_path(&photo(i).relative) % 4).collect();
        assert_eq!(first, SHARDS_OF_THE_FIRST_SIX);
        for wrong in ["", "0/4", "5/4", "1", "a/b", "1/0"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
        assert_eq!("2/4".parse::<Shard>().unwrap(), Shard { number: 2, of: 4 });
    }

    const SHARDS_OF_THE_FIRST_SIX: [u64; 6] = [4, 4, 4, 1, 4, 2];
}
