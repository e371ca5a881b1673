//! What is told about a result, and kept beside it.

use std::{io::Write as _, path::PathBuf};

use serde::Serialize;

use super::{Receipt, estimate::Estimate};
use crate::{
    error::{Error, Result},
    picture::formats::Fate,
    settings::{Existing, PendingFile},
};

/// An enlarged photo: what was done, what was thought before, and how to do it again.
#[derive(Clone, Debug, Serialize)]
pub struct Enlarged {
    /// What was done.
    #[serde(flatten)]
    pub receipt: Receipt,
    /// What was thought before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// The command that does it again.
    pub command: String,
}

/// All about a file that was made.
#[derive(Clone, Debug, Serialize)]
pub struct Report<R> {
    /// The file.
    pub output: String,
    /// What was done.
    #[serde(flatten)]
    pub receipt: R,
    /// What became of the photo's metadata.
    pub metadata: Vec<Fate>,
    /// The most memory the program has had, where the system tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
}

impl<R: Serialize> Report<R> {
    /// Writes it beside its file, `photo-4x.png.json`, and gives the name that it got.
    ///
    /// # Errors
    /// As [`PendingFile`].
    pub fn save(&self, existing: Existing) -> Result<PathBuf> {
        self.pending()?.finish(existing)
    }

    /// The same up to the point where it gets its name.
    ///
    /// # Errors
    /// As [`PendingFile::create`].
    pub fn pending(&self) -> Result<PendingFile> {
        let text = serde_json::to_string_pretty(self);
        let text = text.map_err(|error| Error::Setting(error.to_string()))?;
        let path = PathBuf::from(format!("{}.json", self.output));
        let pending = PendingFile::create(&path)?;
        let written = pending.file().write_all(text.as_bytes());
        written.map_err(|error| Error::write(&path, error))?;
        Ok(pending)
    }
}
