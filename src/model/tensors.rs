//! Weight files of others as tensors with names: `.safetensors`, what PyTorch saves, and what
//! ncnn reads.
//!
//! None of them is trusted. A tensor's size is held against the length of the file before
//! memory is taken for it, and nothing that a file asks to be called is called.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::File,
    io::Read as _,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::tensor::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use super::{MAX_FILE_BYTES, ncnn, torch};
use crate::error::{Error, Result};

/// Tensors by their names.
pub type Tensors = BTreeMap<String, Tensor>;

/// How numbers lie in a file, all of them little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
}

impl Kind {
    /// Bytes of one number.
    const fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 => 1,
        }
    }

    /// The numbers; bytes that are too few for one more are left out.
    pub(super) fn floats(self, bytes: &[u8]) -> Vec<f32> {
        fn each<const N: usize>(bytes: &[u8], of: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks().0.iter().copied().map(of).collect()
        }
        match self {
            Self::F64 => each(bytes, |number| f64::from_le_bytes(number) as f32),
            Self::F32 => each(bytes, f32::from_le_bytes),
            Self::F16 => each(bytes, |number| f16::from_le_bytes(number).to_f32()),
            Self::Bf16 => each(bytes, |number| bf16::from_le_bytes(number).to_f32()),
            Self::I64 => each(bytes, |number| i64::from_le_bytes(number) as f32),
            Self::I32 => each(bytes, |number| i32::from_le_bytes(number) as f32),
            Self::I16 => each(bytes, |number| f32::from(i16::from_le_bytes(number))),
            Self::I8 => each(bytes, |number| f32::from(i8::from_le_bytes(number))),
            Self::U8 => each(bytes, |[number]| f32::from(number)),
        }
    }
}

/// Where the numbers of a tensor are.
#[derive(Clone, Debug)]
enum Source {
    Values(Vec<f32>),
    Slice { file: Arc<[u8]>, range: Range<usize>, kind: Kind },
    Torch { tensor: pytorch_reader::Tensor, kind: Kind },
}

/// One tensor of a file. Its numbers are read when they are asked for: a classifier that nobody
/// wants can be most of a file.
#[derive(Clone, Debug)]
pub struct Tensor {
    shape: Vec<usize>,
    source: Source,
    file: Arc<Path>,
}

impl Tensor {
    /// Extents, outermost first; empty for a single number.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The numbers in row-major order, whatever type they have in the file: whole numbers become
    /// floats, and doubles lose what a float does not hold.
    ///
    /// # Errors
    /// [`Error::Model`] or [`Error::Read`] with the file.
    pub fn values(&self) -> Result<Vec<f32>> {
        match &self.source {
            Source::Values(values) => Ok(values.clone()),
            Source::Slice { file, range, kind } => Ok(kind.floats(&file[range.clone()])),
            Source::Torch { tensor, kind } => match tensor.read() {
                Ok(bytes) => Ok(kind.floats(&bytes)),
                Err(error) => Err(torch::refused(&self.file, error.into())),
            },
        }
    }
}

/// The tensors of a weight file: `.safetensors`, what `torch.save` made of a state dictionary or
/// of a checkpoint that holds one (`.pth`, `.pt`), or one of the two files of an ncnn model, the
/// other of which lies beside it.
///
/// Names are those of the state dictionary, without what checkpoints put around it. Those of
/// ncnn are the names of its layers with the tensor's own after a full stop, as in `conv1.weight`.
///
/// # Errors
/// [`Error::Model`] saying what is wrong with the file, [`Error::Read`] and its kin.
pub fn open(path: &Path) -> Result<Tensors> {
    let length = length_of(path)?;
    if is_ncnn(path) {
        let shared: Arc<Path> = path.into();
        let tensors = ncnn::Graph::open(path)?.into_tensors().map(|(name, shape, values)| {
            let source = Source::Values(values);
            (name, Tensor { shape, source, file: shared.clone() })
        });
        return Ok(tensors.collect());
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(|error| Error::read(path, error))?;
    file.take(9).read_to_end(&mut start).map_err(|error| Error::read(path, error))?;
    // Eight bytes of length, then a JSON object. Files of PyTorch have other bytes there.
    if start.get(8) == Some(&b'{') { of_safetensors(path) } else { of_torch(path, length) }
}

/// Endings of the two files of an ncnn model.
pub(super) const NCNN: [&str; 2] = ["param", "bin"];

/// Whether a path names one of the two files of an ncnn model.
pub(super) fn is_ncnn(path: &Path) -> bool {
    NCNN.iter().any(|ending| path.extension() == Some(OsStr::new(ending)))
}

/// A model file's length, if it is one and of a size that can be a model.
pub(super) fn length_of(path: &Path) -> Result<u64> {
    let about = std::fs::metadata(path).map_err(|error| Error::read(path, error))?;
    if !about.is_file() {
        return Err(refused(path, "it is not a file"));
    }
    if about.len() > MAX_FILE_BYTES {
        return Err(refused(path, "it is larger than any model this program runs"));
    }
    Ok(about.len())
}

/// [`Error::Model`] for a file.
pub(super) fn refused(path: &Path, reason: impl Into<String>) -> Error {
    Error::Model { name: path.display().to_string(), reason: reason.into() }
}

fn of_safetensors(path: &Path) -> Result<Tensors> {
    let bytes: Arc<[u8]> = std::fs::read(path).map_err(|error| Error::read(path, error))?.into();
    let read = SafeTensors::deserialize(&bytes).map_err(|error| {
        refused(path, format!("it is damaged, cut off or no safetensors file ({error})"))
    })?;
    let shared: Arc<Path> = path.into();
    let mut tensors = Tensors::new();
    for (name, view) in read.iter() {
        let kind = match view.dtype() {
            Dtype::F64 => Kind::F64,
            Dtype::F32 => Kind::F32,
            Dtype::F16 => Kind::F16,
            Dtype::BF16 => Kind::Bf16,
            Dtype::I64 => Kind::I64,
            Dtype::I32 => Kind::I32,
            Dtype::I16 => Kind::I16,
            Dtype::I8 => Kind::I8,
            Dtype::U8 | Dtype::BOOL => Kind::U8,
            other => {
                let reason = format!("its tensor {name} is of the type {other:?}");
                return Err(refused(path, reason + ", which is not read here"));
            }
        };
        // The view is a part of the file, so where it begins follows from the addresses.
        let start = view.data().as_ptr().addr() - bytes.as_ptr().addr();
        let range = start..start + view.data().len();
        let source = Source::Slice { file: bytes.clone(), range, kind };
        let shape = view.shape().to_vec();
        tensors.insert(name.to_owned(), Tensor { shape, source, file: shared.clone() });
    }
    Ok(tensors)
}

fn of_torch(path: &Path, length: u64) -> Result<Tensors> {
    let shared: Arc<Path> = path.into();
    let mut tensors = Tensors::new();
    let mut total = 0_u64;
    for (name, tensor) in torch::state_dict(path)? {
        let kind = torch::kind(&tensor)
            .ok_or_else(|| refused(path, "it holds numbers of a type that is not read here"))?;
        // Views of one storage may overlap, so a small file could promise any amount.
        total = total.saturating_add(tensor.byte_len() as u64 / kind.size() as u64 * 4);
        let shape = tensor.shape().to_vec();
        let source = Source::Torch { tensor, kind };
        tensors.insert(name, Tensor { shape, source, file: shared.clone() });
    }
    // Half precision takes twice the bytes once read, and single bytes four times.
    if total > length.saturating_mul(4) {
        return Err(refused(path, "its tensors claim more numbers than the file holds"));
    }
    Ok(tensors)
}

/// The other file of a pair that differs in its ending.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    path.with_extension(ending)
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::TensorView;

    use super::*;
    use crate::settings::{self, Existing};

    #[test]
    fn numbers_of_every_type_become_floats() {
        let floats = |kind: Kind, bytes: &[u8]| {
            assert_eq!(bytes.len() % kind.size(), 0);
            kind.floats(bytes)
        };
        let doubles: Vec<u8> = [1.5_f64, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(floats(Kind::F64, &doubles), [1.5, -2.0]);
        assert_eq!(floats(Kind::F32, &1.5_f32.to_le_bytes()), [1.5]);
        assert_eq!(
            floats(Kind::F16, &[0x00, 0x3E, 0x00, 0xC0, 0x01, 0x00]),
            [1.5, -2.0, 5.9604645e-8]
        );
        assert_eq!(floats(Kind::Bf16, &[0xC0, 0x3F, 0x00, 0xC0]), [1.5, -2.0]);
        assert_eq!(floats(Kind::I64, &(-3_i64).to_le_bytes()), [-3.0]);
        assert_eq!(floats(Kind::I32, &70_000_i32.to_le_bytes()), [70_000.0]);
        assert_eq!(floats(Kind::I16, &(-300_i16).to_le_bytes()), [-300.0]);
        assert_eq!(floats(Kind::I8, &[0xFF, 3]), [-1.0, 3.0]);
        assert_eq!(floats(Kind::U8, &[0xFF, 1]), [255.0, 1.0]);
    }

    #[test]
    fn safetensors_are_read_whole_and_refused_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.safetensors");
        let half = [0x00, 0x3E, 0x00, 0xC0];
        let single: Vec<u8> = [4.0_f32, 5.0, 6.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let views = [
            ("b", TensorView::new(Dtype::F16, vec![1, 2], &half).unwrap()),
            ("a", TensorView::new(Dtype::F32, vec![3], &single).unwrap()),
        ];
        let whole = safetensors::serialize(views, None).unwrap();
        settings::write(&path, &whole, Existing::Replace).unwrap();
        let tensors = open(&path).unwrap();
        assert_eq!(tensors["a"].values().unwrap(), [4.0, 5.0, 6.0]);
        assert_eq!(
            (tensors["b"].shape(), tensors["b"].values().unwrap()),
            (&[1, 2][..], vec![1.5, -2.0])
        );
        for length in 0..whole.len() {
            settings::write(&path, &whole[..length], Existing::Replace).unwrap();
            let error = open(&path).unwrap_err();
            assert!(matches!(error, Error::Model { .. }), "{length}: {error}");
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(open(folder.path()), Err(Error::Model { .. })));
        let missing = folder.path().join("none.pth");
        assert!(matches!(open(&missing), Err(Error::Missing { path }) if path == missing));
        let alone = folder.path().join("alone.param");
        settings::write(&alone, b"7767517\n1 1\nInput data 0 1 data\n", Existing::Replace).unwrap();
        let bytes = folder.path().join("alone.bin");
        assert!(matches!(open(&alone), Err(Error::Missing { path }) if path == bytes));
        settings::write(&bytes, &[], Existing::Replace).unwrap();
        assert!(open(&bytes).unwrap().is_empty());
    }
}
