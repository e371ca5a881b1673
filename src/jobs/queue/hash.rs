//! SHA-256 of files and words, by which content is told apart.

use std::{fs::File, path::Path};

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// What was taken in so far, as 64 hexadecimal digits.
pub(super) fn in_hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of a file's content.
///
/// # Errors
/// [`Error::Missing`], [`Error::Directory`], [`Error::NotAFile`] or [`Error::Read`].
pub(super) fn of_file(path: &Path) -> Result<String> {
    let read = |error| Error::read(path, error);
    // A pipe would be waited for.
    let about = std::fs::metadata(path).map_err(read)?;
    if !about.is_file() && !about.is_dir() {
        return Err(Error::NotAFile { path: path.to_owned() });
    }
    let mut hash = Sha256::new();
    std::io::copy(&mut File::open(path).map_err(read)?, &mut hash).map_err(read)?;
    Ok(in_hex(hash))
}

/// Of a path as it lies below a folder, the same on every system.
pub(super) fn of_path(relative: &Path) -> u64 {
    let parts: Vec<String> =
        relative.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    let hash = Sha256::digest(parts.join("/"));
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
