//! What the program remembers, and how a file reaches its final name.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use serde::{Deserialize, Serialize};

use crate::{
    encoding::{Encoding, Writing},
    error::{Error, Result},
    size::Size,
};

/// Remembered between runs, in `settings.toml`.
///
/// Unknown keys are ignored and missing ones take their default, so that an
/// older and a newer program can share the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Name of the model, or path of a model file.
    pub model: String,
    /// The same for the model that cleans.
    pub cleaning_model: String,
    /// The same for the model that colours.
    pub colouring_model: String,
    /// How large results of enlarging are to be.
    pub size: Size,
    /// Results of enlarging keep the photo's colours.
    pub colour_lock: bool,
    /// How strongly results are compressed.
    pub encoding: Encoding,
    /// Results do not say where the photo was made.
    pub strip_location: bool,
    /// What was done is saved beside each enlarged photo.
    pub receipt: bool,
    /// `auto`, `gpu`, `cpu` or the name of an adapter.
    pub device: String,
    /// Dark colours instead of light ones.
    pub dark: bool,
    /// Sharp pixels instead of smooth ones when zoomed in.
    pub sharp_pixels: bool,
    /// Colour of marks over a photo: red, green, blue, opacity.
    pub marks: [u8; 4],
    /// For the window's queue.
    pub queue: QueueSettings,
    /// Where training runs are kept, if not in the program's own folder.
    pub runs: Option<PathBuf>,
}

/// Where results of the window's queue go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueSettings {
    /// The folder for them; `None` for that of each photo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Their name, as a template; empty for the usual.
    pub name: String,
    /// Leave a photo out whose result is there, instead of numbering the new one.
    pub skips: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: DEFAULT_MODEL.to_owned(),
            cleaning_model: CLEANING_MODEL.to_owned(),
            colouring_model: COLOURING_MODEL.to_owned(),
            size: Size::Model,
            colour_lock: true,
            encoding: Encoding::default(),
            strip_location: false,
            receipt: false,
            device: "auto".to_owned(),
            dark: true,
            sharp_pixels: false,
            marks: MARKS,
            queue: QueueSettings::default(),
            runs: None,
        }
    }
}

/// Marks are red and half see-through unless the user wants them otherwise.
pub const MARKS: [u8; 4] = [240, 41, 61, 128];

/// Name of the model that is used unless another is chosen.
pub const DEFAULT_MODEL: &str = "starter";

/// Name of the model that takes away noise, JPEG and blur.
pub const CLEANING_MODEL: &str = "clean";

/// Name of the model that colours.
pub const COLOURING_MODEL: &str = "colour";

impl Settings {
    /// Where the settings of this user live; `None` where the system has no
    /// home folder.
    #[must_use]
    pub fn default_path() -> Option<PathBuf> {
        let dirs = directories::ProjectDirs::from("io.github", "pixmend", "Pixmend")?;
        Some(dirs.config_dir().join("settings.toml"))
    }

    /// How results are written.
    #[must_use]
    pub const fn writing(&self) -> Writing {
        Writing { encoding: self.encoding, strip_location: self.strip_location }
    }

    /// Reads the file; a missing one gives the defaults.
    ///
    /// # Errors
    /// A file that cannot be understood is renamed to `settings.toml.broken`
    /// and reported, so that nothing the user wrote is lost.
    pub fn load(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::read(path, error)),
        };
        toml::from_str(&text).map_err(|error| {
            let broken = path.with_extension("toml.broken");
            let kept = std::fs::rename(path, &broken).is_ok();
            let place = if kept { broken } else { path.to_owned() };
            Error::Setting(format!(
                "the settings could not be understood and were put aside ({}): {}",
                error.message(),
                place.display()
            ))
        })
    }

    /// Writes the file, creating its folder.
    ///
    /// # Errors
    /// As [`PendingFile`]: [`Error::DiskFull`] or [`Error::Write`].
    pub fn save(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| Error::write(path, error))?;
        }
        let text = toml::to_string(self).map_err(|error| Error::Setting(error.to_string()))?;
        write(path, text.as_bytes(), Existing::Replace)?;
        Ok(())
    }
}

/// Where pictures go that came from no file: the user's folder of pictures, or
/// the current one where the system has none.
#[must_use]
pub fn pictures_folder() -> PathBuf {
    let folder = directories::UserDirs::new()
        .and_then(|dirs| dirs.picture_dir().filter(|dir| dir.is_dir()).map(Path::to_owned));
    folder.or_else(|| std::env::current_dir().ok()).unwrap_or_default()
}

/// What to do when the final name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Replace the file. Only where the user asked for it.
    Replace,
    /// Fail with [`Error::Exists`].
    Refuse,
    /// Add `-1`, `-2`, ... to the name.
    Number,
}

/// Writes a whole file and returns the name it got, which only a complete one bears.
///
/// # Errors
/// As [`PendingFile`]: [`Error::Exists`], [`Error::DiskFull`] or [`Error::Write`].
pub fn write(path: &Path, bytes: &[u8], existing: Existing) -> Result<PathBuf> {
    let pending = PendingFile::create(path)?;
    pending.file().write_all(bytes).map_err(|error| Error::write(path, error))?;
    pending.finish(existing)
}

/// How the names of all temporary files begin.
pub const TEMPORARY: &str = ".pixmend-";

/// Names this run of the program: its temporary files bear it, so that those of a run that was
/// killed can be told from those of one that still works in the same folder.
#[must_use]
pub fn session() -> &'static str {
    static SESSION: LazyLock<String> =
        LazyLock::new(|| std::iter::repeat_with(fastrand::alphanumeric).take(8).collect());
    &SESSION
}

/// A file under construction: a temporary file in the folder of its final
/// name. It is removed when dropped, so that an error, a cancel or a panic
/// leaves nothing behind; the final name appears only by [`Self::finish`].
#[derive(Debug)]
pub struct PendingFile {
    temporary: tempfile::NamedTempFile,
    target: PathBuf,
}

impl PendingFile {
    /// Creates the temporary file beside `target`.
    ///
    /// # Errors
    /// [`Error::Write`] where the folder is missing or read-only.
    pub fn create(target: &Path) -> Result<Self> {
        // Found out now, not when a long job is done.
        if let Err(error) = std::fs::symlink_metadata(target)
            && error.kind() == io::ErrorKind::InvalidFilename
        {
            return Err(Error::write(target, error));
        }
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        let prefix = format!("{TEMPORARY}{}-", session());
        builder.prefix(&prefix).suffix(".part");
        // Temporary files are private by default; a finished photo is not.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let temporary = builder.tempfile_in(folder).map_err(|error| Error::write(target, error))?;
        Ok(Self { temporary, target: target.to_owned() })
    }

    /// The file to write to.
    #[must_use]
    pub fn file(&self) -> &File {
        self.temporary.as_file()
    }

    /// Syncs the bytes to the disk and gives the file its final name.
    ///
    /// Returns the name it got, which differs from the target with
    /// [`Existing::Number`].
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::DiskFull`] or [`Error::Write`]; the
    /// temporary file is gone then.
    pub fn finish(self, existing: Existing) -> Result<PathBuf> {
        self.finish_telling(existing, &mut |_, _| Ok(()))
    }

    /// As [`Self::finish`]; `before` gets the complete file and the name that is tried next.
    ///
    /// # Errors
    /// As [`Self::finish`], and what `before` returns.
    pub fn finish_telling(
        self,
        existing: Existing,
        before: &mut dyn FnMut(&Path, &Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let Self { temporary, target } = self;
        temporary.as_file().sync_all().map_err(|error| Error::write(&target, error))?;
        if existing == Existing::Replace {
            before(temporary.path(), &target)?;
            // Whoever made the old file has chosen who may read it.
            if let Ok(old) = std::fs::metadata(&target) {
                let kept = temporary.as_file().set_permissions(old.permissions());
                kept.map_err(|error| Error::write(&target, error))?;
            }
            return match temporary.persist(&target) {
                Ok(_) => Ok(target),
                Err(failed) => Err(Error::write(target, failed.error)),
            };
        }
        let mut temporary = temporary;
        let mut number = 0;
        loop {
            let name = numbered(&target, number);
            // It is free at least now; what takes it in between is found out below.
            if existing == Existing::Number && name.symlink_metadata().is_ok() {
                number += 1;
                continue;
            }
            before(temporary.path(), &name)?;
            match temporary.persist_noclobber(&name) {
                Ok(_) => return Ok(name),
                Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => {
                    if existing == Existing::Refuse {
                        return Err(Error::Exists { path: target });
                    }
                    temporary = failed.file;
                    number += 1;
                }
                Err(failed) => return Err(Error::write(name, failed.error)),
            }
        }
    }
}

/// `photo.png` with number 2 is `photo-2.png`; number 0 is the path itself.
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// The first name of the series `photo.png`, `photo-1.png`, ... that is free.
///
/// It is what a save with [`Existing::Number`] would take now.
#[must_use]
pub fn free_name(path: &Path) -> PathBuf {
    (0..)
        .map(|number| numbered(path, number))
        .find(|name| std::fs::symlink_metadata(name).is_err())
        .unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_file_that_is_dropped_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let pending = PendingFile::create(&folder.path().join("a.png")).unwrap();
        pending.file().write_all(b"half").unwrap();
        drop(pending);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn names_are_counted_up_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.png");
        for (content, expected) in [("0", "a.png"), ("1", "a-1.png"), ("2", "a-2.png")] {
            assert_eq!(free_name(&target), folder.path().join(expected));
            let pending = PendingFile::create(&target).unwrap();
            pending.file().write_all(content.as_bytes()).unwrap();
            let name = pending.finish(Existing::Number).unwrap();
            assert_eq!(name, folder.path().join(expected));
        }
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "0");
        let refused = PendingFile::create(&target).unwrap().finish(Existing::Refuse);
        assert!(matches!(refused, Err(Error::Exists { .. })));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn settings_survive_a_round_trip_and_broken_ones_are_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/settings.toml");
        let settings = Settings { dark: false, ..Settings::default() };
        settings.save(&path).unwrap();
        assert_eq!(Settings::load(&path).unwrap(), settings);
        std::fs::File::create(&path).unwrap().write_all(b"dark = maybe\n").unwrap();
        assert!(Settings::load(&path).is_err());
        assert!(path.with_extension("toml.broken").exists());
        assert_eq!(Settings::load(&path).unwrap(), Settings::default());
    }
}
