//! What can go wrong, one variant per failure a user can meet.
//!
//! [`Error`]'s `Display` says what happened and to which file; [`Error::hint`]
//! says what to do about it. Both are written for the person at the screen, so
//! the command line and the window print the same words. The technical cause is
//! kept in [`std::error::Error::source`].

use std::{
    io,
    path::{Path, PathBuf},
};

/// Result of anything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The text with a capital first letter: messages are written as clauses.
#[must_use]
pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

/// A failure in the user's terms. Paths come last in a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The user asked the job to stop.
    #[error("cancelled")]
    Cancelled,

    /// There is nothing at this path.
    #[error("there is no file {}", shown(path))]
    Missing {
        /// The path as the user gave it.
        path: PathBuf,
    },

    /// A picture or model was expected and the path is a pipe or a device.
    #[error("this is not a file: {}", shown(path))]
    NotAFile {
        /// The path as the user gave it.
        path: PathBuf,
    },

    /// A picture was expected and the path is a folder.
    #[error("a folder was given where a picture is needed: {}", shown(path))]
    Directory {
        /// The path as the user gave it.
        path: PathBuf,
    },

    /// The operating system refused to hand over the bytes.
    #[error("cannot read {}", shown(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// The refusal.
        #[source]
        source: io::Error,
    },

    /// The content is not a picture in a format we read.
    #[error(
        "this is no picture that is read (JPEG, PNG, WebP, TIFF, BMP, GIF, QOI, PNM, JPEG XL, AVIF \
         or OpenEXR): {}",
        shown(path)
    )]
    NotAPicture {
        /// The file.
        path: PathBuf,
    },

    /// The content is a picture of a kind that is known and not read.
    #[error("{kind} pictures are not read: {}", shown(path))]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Name of the kind.
        kind: &'static str,
        /// What to do, as a clause.
        way_out: &'static str,
    },

    /// The file starts as a picture but cannot be decoded to its end.
    #[error("the picture is damaged or cut off: {}", shown(path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A kind of a known format that is not read.
    #[error("{what} is not supported: {}", shown(path))]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The kind of file, for people.
        what: String,
        /// What the decoder said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// Decoding would take more memory than [`crate::picture::MAX_DECODED_BYTES`].
    #[error("the picture is too large to open safely{}: {}", in_pixels(size.as_ref()), shown(path))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Width and height, where they are known.
        size: Option<(u32, u32)>,
    },

    /// The file name does not tell a format that can be written.
    #[error("no picture format is known by this ending: {}", shown(path))]
    UnknownFormat {
        /// The output path.
        path: PathBuf,
    },

    /// The result does not fit into the format the user asked for.
    #[error(
        "{format} cannot hold {width} x {height} pixels (at most {limit} a side): {}",
        shown(path)
    )]
    FormatLimit {
        /// The output path.
        path: PathBuf,
        /// Name of the format.
        format: &'static str,
        /// Pixels of the result.
        width: u32,
        /// Pixels of the result.
        height: u32,
        /// Largest side the format holds.
        limit: u32,
    },

    /// The output exists and overwriting was not asked for.
    #[error("the file exists already: {}", shown(path))]
    Exists {
        /// The output path.
        path: PathBuf,
    },

    /// The output is the picture that is being read.
    #[error("the result would replace the photo it is made from: {}", shown(path))]
    OutputIsInput {
        /// The path.
        path: PathBuf,
    },

    /// The disk is full.
    #[error("the disk is full, nothing was written: {}", shown(path))]
    DiskFull {
        /// The output path.
        path: PathBuf,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },

    /// The name of the output is longer than the file system takes.
    #[error("the name of the result is too long: {}", shown(path))]
    NameTooLong {
        /// The output path.
        path: PathBuf,
    },

    /// The folder or file cannot be written.
    #[error("cannot write {}", shown(path))]
    Write {
        /// The output path.
        path: PathBuf,
        /// The refusal.
        #[source]
        source: io::Error,
    },

    /// No model has this name and no file is there either.
    #[error("there is no model and no model file called {name}")]
    ModelUnknown {
        /// As the user gave it.
        name: String,
        /// The names that exist, for the hint.
        known: String,
    },

    /// The weights cannot be used.
    #[error("the model cannot be used, {reason}: {name}")]
    Model {
        /// File name or registry name.
        name: String,
        /// What is wrong, as a clause.
        reason: String,
    },

    /// No adapter of this name.
    #[error("there is no device called {name}")]
    DeviceUnknown {
        /// As the user gave it.
        name: String,
    },

    /// `--device gpu` without a usable GPU, or the chosen one failed its test.
    #[error("the device cannot be used, {reason}: {name}")]
    Device {
        /// Adapter name.
        name: String,
        /// What is wrong, as a clause.
        reason: String,
    },

    /// The device has too little memory for a step of training.
    #[error("the device has too little memory for {what}")]
    Memory {
        /// What did not fit.
        what: String,
    },

    /// Every retry of a tile failed: the numbers are not a picture.
    #[error("the model {model} gave no usable picture ({reason}), nothing was written")]
    BadTile {
        /// Model name.
        model: String,
        /// What the check found.
        reason: String,
    },

    /// A setting is out of its range.
    #[error("{0}")]
    Setting(String),

    /// No picture was found where several were expected.
    #[error("there are no pictures in {}", shown(path))]
    NoPictures {
        /// The folder.
        path: PathBuf,
    },

    /// Results of many photos need a folder.
    #[error("many photos need a folder for their results: {}", shown(path))]
    NoOutputFolder {
        /// The first of the photos.
        path: PathBuf,
    },

    /// A folder was expected and the path is a file.
    #[error("a file was given where a folder is needed: {}", shown(path))]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },

    /// An earlier run into the same folder did not come to its end.
    #[error("an earlier run stopped when {done} of {of} photos were done: {}", shown(path))]
    Unfinished {
        /// What remembers it.
        path: PathBuf,
        /// Photos that are done.
        done: usize,
        /// All of its photos.
        of: usize,
    },

    /// Of many photos, some could not be done; each was named.
    #[error("{words}")]
    SomeFailed {
        /// How many were done and how many not.
        words: String,
    },

    /// Two pictures that belong together do not match.
    #[error("{reason}: {}", shown(path))]
    Mismatch {
        /// The picture.
        path: PathBuf,
        /// What does not match.
        reason: String,
    },

    /// The window could not be opened.
    #[error("the window cannot be opened: {0}")]
    Window(String),

    /// A bug of ours or of a driver; the worker survived it.
    #[error("something went wrong inside Pixmend: {0}")]
    Panic(String),
}

/// A path for a message, which must stay one line whatever a file is called.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    if text.chars().any(char::is_control) { text.escape_debug().to_string() } else { text }
}

/// A size for a message; nothing where it is unknown.
fn in_pixels(size: Option<&(u32, u32)>) -> String {
    size.map_or_else(String::new, |(width, height)| format!(" ({width} x {height} pixels)"))
}

impl Error {
    /// What the user can do next, as a clause without a full stop.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Cancelled => return None,
            Self::Missing { .. } => "check the name and the folder".into(),
            Self::NotAFile { .. } => "save it to a file first and name that".into(),
            Self::Directory { .. } => "name one picture in it".into(),
            Self::Read { .. } => {
                "check that you may read it and that the drive is connected".into()
            }
            Self::NotAPicture { .. } | Self::Unsupported { .. } => {
                "open it in another program and save it as PNG or TIFF".into()
            }
            Self::Foreign { way_out, .. } => (*way_out).into(),
            Self::Damaged { .. } => "copy it again from where it came from".into(),
            Self::TooLarge { .. } => "cut it into parts or make it smaller first".into(),
            Self::UnknownFormat { .. } => "use .png, .jpg, .webp, .tif or .bmp".into(),
            Self::FormatLimit { .. } => "choose a .png or .tif file, or a smaller scale".into(),
            Self::Exists { .. } => "choose another name or add --overwrite".into(),
            Self::OutputIsInput { .. } => "choose another name for the result".into(),
            Self::DiskFull { .. } => "free some space or choose another drive".into(),
            Self::NameTooLong { .. } => "choose a shorter one with -o".into(),
            Self::Write { .. } => "choose a folder that you may write to".into(),
            Self::ModelUnknown { known, .. } => format!("there are {known}"),
            Self::Model { .. } => "get the file again, or choose another model".into(),
            Self::DeviceUnknown { .. } => "see `pixmend devices` for the names".into(),
            Self::Device { .. } => "use --device cpu, which always works".into(),
            Self::Memory { .. } => "choose smaller crops or the CPU".into(),
            Self::BadTile { .. } => "choose another model or device".into(),
            Self::Setting(_) => "see --help for the values that fit".into(),
            Self::NoPictures { .. } => "name a folder that holds pictures".into(),
            Self::NoOutputFolder { .. } => "name one with -o".into(),
            Self::NotAFolder { .. } => "choose another name with -o".into(),
            Self::Unfinished { .. } => {
                "go on with --resume, or remove that folder to begin anew".into()
            }
            Self::SomeFailed { .. } => "the reasons stand above; --resume tries them again".into(),
            Self::Mismatch { .. } => "name the pictures that belong together".into(),
            Self::Window(_) => {
                "the command line needs no graphics driver: pixmend upscale PHOTO".into()
            }
            Self::Panic(_) => "try again with --device cpu, and please report it".into(),
        })
    }

    /// What happened and what to do about it, as one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{self}; {hint}"),
            None => self.to_string(),
        }
    }

    /// The technical causes, outermost first.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }

    /// A failed write to `path`, told apart by what the user can do about it.
    #[must_use]
    pub fn write(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::DiskFull { path, source },
            io::ErrorKind::InvalidFilename => Self::NameTooLong { path },
            _ => Self::Write { path, source },
        }
    }

    /// A failed read of `path`.
    #[must_use]
    pub fn read(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::IsADirectory => Self::Directory { path },
            _ => Self::Read { path, source },
        }
    }
}
