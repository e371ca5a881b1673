//! Paths in the journal: as text where they are text, and otherwise so that nothing of them is lost.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Raw(OsString),
}

pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    let written = match path.to_str() {
        Some(text) => Written::Text(text.to_owned()),
        None => Written::Raw(path.as_os_str().to_owned()),
    };
    written.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(reader: D) -> Result<PathBuf, D::Error> {
    Ok(match Written::deserialize(reader)? {
        Written::Text(text) => text.into(),
        Written::Raw(raw) => raw.into(),
    })
}

/// The same for paths that may be missing.
pub(super) mod option {
    use super::{Deserialize, Deserializer, PathBuf, Serializer};

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Wrapped(#[serde(with = "super")] PathBuf);

    pub(in super::super) fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match path {
            Some(path) => super::serialize(path, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        reader: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Wrapped>::deserialize(reader)?.map(|Wrapped(path)| path))
    }
}
