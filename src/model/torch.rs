//! State dictionaries in the files of PyTorch, read by the crate `pytorch-reader`: it knows the
//! zip files of today and the pickle streams of before. It interprets the few calls that rebuild
//! a tensor or a dictionary and makes no other: an unknown one is left as what it is, a name.

use std::path::Path;

use pytorch_reader::{DType, PickleValue, PytorchError, PytorchReader, Tensor};

use super::tensors::{Kind, refused as unfit};
use crate::error::{Error, Result};

/// Under which keys checkpoints keep the weights, the first found being the ones to use: averaged
/// weights are better than the last ones.
const WRAPPERS: [&str; 7] =
    ["model_state_dict", "state_dict", "params_ema", "params-ema", "params", "model", "net"];

/// What training on several devices or in a larger whole puts before every name.
const PREFIXES: [&str; 2] = ["module.", "netG."];

/// The tensors of a file, none of them read yet.
///
/// # Errors
/// [`Error::Model`], [`Error::Read`] and its kin.
pub(super) fn state_dict(path: &Path) -> Result<Vec<(String, Tensor)>> {
    let root = PytorchReader::read_pickle_data(path, None).map_err(|error| refused(path, error))?;
    let reader = match wrapper(&root) {
        Some(key) => PytorchReader::with_top_level_key(path, key),
        None => PytorchReader::new(path),
    };
    let tensors = reader.map_err(|error| refused(path, error))?.into_tensors();
    if tensors.is_empty() {
        return Err(unfit(path, "it holds no tensors"));
    }
    let prefix = PREFIXES.iter().find(|prefix| tensors.keys().all(|key| key.starts_with(**prefix)));
    let start = prefix.map_or(0, |prefix| prefix.len());
    Ok(tensors.into_iter().map(|(name, tensor)| (name[start..].to_owned(), tensor)).collect())
}

/// The key of the dictionary in a dictionary that holds the weights.
fn wrapper(root: &PickleValue) -> Option<&str> {
    let PickleValue::Dict(entries) = root else {
        return None;
    };
    let holds = |key: &str| matches!(entries.get(key), Some(PickleValue::Dict(_)));
    let known = WRAPPERS.into_iter().find(|key| holds(key));
    let alone = || entries.keys().next().filter(|key| entries.len() == 1 && holds(key));
    known.or_else(|| alone().map(String::as_str))
}

/// How its numbers lie in memory; `None` for kinds that weights do not have.
pub(super) fn kind(tensor: &Tensor) -> Option<Kind> {
    Some(match tensor.dtype() {
        DType::F64 => Kind::F64,
        DType::F32 => Kind::F32,
        DType::F16 => Kind::F16,
        DType::BF16 => Kind::Bf16,
        DType::I64 => Kind::I64,
        DType::I32 => Kind::I32,
        DType::I16 => Kind::I16,
        DType::I8 => Kind::I8,
        DType::U8 | DType::Bool => Kind::U8,
        DType::U64 | DType::U32 | DType::U16 => return None,
    })
}

/// A failure of the reader in our words: the operating system's, or a file that is not right.
pub(super) fn refused(path: &Path, error: PytorchError) -> Error {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        PytorchError::Io(error) if ![InvalidData, UnexpectedEof].contains(&error.kind()) => {
            Error::read(path, error)
        }
        error => {
            // The reader quotes the file, which may hold anything; the sentence stays one line.
            let quoted: String = error.to_string().chars().take(200).collect();
            let details = quoted.escape_debug();
            unfit(path, format!("it is damaged, cut off or no PyTorch file ({details})"))
        }
    }
}
