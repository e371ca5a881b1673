//! A result that goes to a file while it is made.

use std::path::{Path, PathBuf};

use super::{Patch, Start, strips::Strips};
use crate::{
    encoding::Encoding,
    error::{Error, Result},
    picture::{Metadata, PictureWriter, formats::Header},
    settings::Existing,
};

/// A file that takes the patches of a job in reading order.
#[derive(Debug)]
pub struct ResultFile {
    path: PathBuf,
    metadata: Metadata,
    encoding: Encoding,
    parts: Option<(PictureWriter, Strips)>,
}

impl ResultFile {
    /// One that will be called `path`, with this in it beside the pixels, compressed like this. Nothing is there before
    /// [`Self::start`].
    #[must_use]
    pub const fn new(path: PathBuf, metadata: Metadata, encoding: Encoding) -> Self {
        Self { path, metadata, encoding, parts: None }
    }

    /// Where it goes, unless that name is taken.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins the file.
    ///
    /// # Errors
    /// As [`PictureWriter::create`].
    pub fn start(&mut self, start: &Start) -> Result<()> {
        let header = Header {
            width: start.size.0,
            height: start.size.1,
            color: start.color,
            metadata: std::mem::take(&mut self.metadata),
            encoding: self.encoding,
        };
        let writer = PictureWriter::create(&self.path, header)?;
        self.parts = Some((writer, Strips::new(start.size.0, start.color)));
        Ok(())
    }

    /// Takes the next patch.
    ///
    /// # Errors
    /// As [`PictureWriter::push`].
    pub fn push(&mut self, patch: Patch) -> Result<()> {
        if let Some((writer, strips)) = &mut self.parts
            && let Some(rows) = strips.push(patch)
        {
            writer.push(rows)?;
        }
        Ok(())
    }

    /// Gives the complete file its name; `before` as in [`PictureWriter::finish_telling`].
    ///
    /// # Errors
    /// As [`PictureWriter::finish_telling`]; [`Error::Cancelled`] if it was never begun.
    pub fn finish(
        self,
        existing: Existing,
        before: &mut dyn FnMut(&Path, &Path) -> Result<()>,
    ) -> Result<PathBuf> {
        match self.parts {
            Some((writer, _)) => writer.finish_telling(existing, before),
            None => Err(Error::Cancelled),
        }
    }
}
