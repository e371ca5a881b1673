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

/// Packages whose types may stand in a file; none of them is made, but for tensors.
const PACKAGES: [&str; 5] = ["torch", "collections", "numpy", "_codecs", "int"];

/// What training on several devices or in a larger whole puts before every name.
const PREFIXES: [&str; 2] = ["module.", "netG."];

/// The tensors of a file, none of them read yet.
///
/// # Errors
/// [`Error::Model`], [`Error::Read`] and its kin.
pub(super) fn state_dict(path: &Path) -> Result<Vec<(String, Tensor)>> {
    let root = PytorchReader::read_pickle_data(path, None).map_err(|error| refused(path, error))?;
    if let Some(name) = foreign(&root) {
        let name: String = name.chars().take(80).collect();
        let name = name.escape_debug();
        return Err(unfit(path, format!("it asks for {name}, which no model needs")));
    }
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

/// What a file names beside tensors and the plain values that checkpoints hold with them.
fn foreign(value: &PickleValue) -> Option<&str> {
    match value {
        PickleValue::Unsupported(name) => {
            let package = name.split('.').next().unwrap_or_default();
            (!PACKAGES.contains(&package)).then_some(name)
        }
        PickleValue::List(values) => values.iter().find_map(foreign),
        PickleValue::Dict(entries) => entries.values().find_map(foreign),
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{
        model::tensors::{Tensors, open},
        settings::{self, Existing},
    };

    /// The pickle of one tensor of `shape` on the storage `key`, from its first number on.
    fn tensor(key: &str, count: u32, shape: &[u8]) -> Vec<u8> {
        let text =
            |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
        let sizes: Vec<u8> = shape.iter().flat_map(|size| [b'K', *size]).collect();
        let mut stride = 1;
        let mut strides: Vec<[u8; 2]> = Vec::new();
        for size in shape.iter().rev() {
            strides.insert(0, [b'K', stride]);
            stride = stride.wrapping_mul(*size);
        }
        [
            &b"ctorch._utils\n_rebuild_tensor_v2\n(("[..],
            &text("storage"),
            b"ctorch\nFloatStorage\n",
            &text(key),
            &text("cpu"),
            b"J",
            &count.to_le_bytes(),
            b"NtQK\x00(",
            &sizes,
            b"t(",
            &strides.concat(),
            b"t\x89ccollections\nOrderedDict\n)RtR",
        ]
        .concat()
    }

    /// A dictionary of pickled values.
    fn dict(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut pickle = b"}(".to_vec();
        for (key, value) in entries {
            pickle.push(b'X');
            pickle.extend((key.len() as u32).to_le_bytes());
            pickle.extend(key.as_bytes());
            pickle.extend(*value);
        }
        pickle.push(b'u');
        pickle
    }

    /// A file as PyTorch wrote it before 1.6, with one storage called `a`.
    fn legacy(object: &[u8], values: &[f32]) -> Vec<u8> {
        let mut file = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
        file.extend(b"\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s.\x80\x02");
        file.extend(object);
        file.extend(b".\x80\x02]X\x01\0\0\0aa.");
        file.extend((values.len() as i64).to_le_bytes());
        file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        file
    }

    /// A file as PyTorch writes it since 1.6: a zip archive without compression.
    fn zip(object: &[u8], values: &[f32]) -> Vec<u8> {
        let pickle = [b"\x80\x02", object, b"."].concat();
        let numbers: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let (mut file, mut index) = (Vec::new(), Vec::new());
        for (name, content) in
            [("some/data.pkl", &pickle[..]), ("some/data/a", &numbers), ("some/version", b"3\n")]
        {
            let mut crc = u32::MAX;
            for byte in content {
                crc ^= u32::from(*byte);
                for _ in 0..8 {
                    crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
                }
            }
            let length = (content.len() as u32).to_le_bytes();
            let about = [
                &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
                &(!crc).to_le_bytes(),
                &length,
                &length,
                &(name.len() as u16).to_le_bytes(),
                &[0, 0],
            ]
            .concat();
            let start = file.len() as u32;
            index
                .extend([b"PK\x01\x02\x14\0", &about[..], &[0; 10], &start.to_le_bytes()].concat());
            index.extend(name.as_bytes());
            file.extend([b"PK\x03\x04", &about[..], name.as_bytes(), content].concat());
        }
        let (size, start) = (index.len() as u32, file.len() as u32);
        file.extend(index);
        file.extend(b"PK\x05\x06\0\0\0\0\x03\0\x03\0");
        file.extend([size.to_le_bytes(), start.to_le_bytes()].concat());
        file.extend([0, 0]);
        file
    }

    /// Writes a file and opens it.
    fn opened(bytes: &[u8]) -> Result<Tensors> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.pth");
        settings::write(&path, bytes, Existing::Replace).unwrap();
        let tensors = open(&path)?;
        // What is read late must fail as one sentence too.
        for tensor in tensors.values() {
            assert_eq!(tensor.values()?.len(), tensor.shape().iter().product::<usize>());
        }
        Ok(tensors)
    }

    const VALUES: [f32; 6] = [1.0, -2.0, 3.5, 0.0, 1e-20, 6.0];

    #[test]
    fn a_state_dictionary_is_found_in_what_checkpoints_put_around_it() {
        let weight = tensor("a", 6, &[2, 3]);
        let bias = tensor("a", 6, &[3]);
        let plain = dict(&[("conv.weight", &weight), ("conv.bias", &bias)]);
        let module = dict(&[("module.conv.weight", &weight), ("module.conv.bias", &bias)]);
        let worse = dict(&[("conv.weight", &bias)]);
        for object in [
            plain.clone(),
            module.clone(),
            dict(&[("params", &worse), ("params_ema", &plain), ("epoch", b"K\x05")]),
            dict(&[("anything", &module)]),
        ] {
            for file in [legacy(&object, &VALUES), zip(&object, &VALUES)] {
                let tensors = opened(&file).unwrap();
                assert_eq!(tensors.keys().collect::<Vec<_>>(), ["conv.bias", "conv.weight"]);
                assert_eq!(tensors["conv.weight"].shape(), [2, 3]);
                assert_eq!(tensors["conv.weight"].values().unwrap(), VALUES);
                assert_eq!(tensors["conv.bias"].values().unwrap(), VALUES[..3]);
            }
        }
        // A layer called `model` is no wrapper.
        let layer = dict(&[("model.0.weight", &weight)]);
        let tensors = opened(&legacy(&layer, &VALUES)).unwrap();
        assert!(tensors.contains_key("model.0.weight"));
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused_in_one_line() {
        let object = dict(&[("weight", &tensor("a", 6, &[2, 3]))]);
        for whole in [legacy(&object, &VALUES), zip(&object, &VALUES)] {
            opened(&whole).unwrap();
            for length in 0..whole.len() {
                let error = opened(&whole[..length]).unwrap_err();
                assert!(matches!(error, Error::Model { .. }), "{length}: {error}");
                assert!(!error.sentence().contains('\n'), "{length}: {error}");
            }
        }
    }

    #[test]
    fn claims_that_the_file_does_not_hold_are_refused() {
        for (count, shape) in
            [(6, &[2, 4][..]), (i32::MAX as u32, &[255, 255, 255]), (6, &[255; 9])]
        {
            let object = dict(&[("weight", &tensor("a", count, shape))]);
            let error = opened(&legacy(&object, &VALUES)).unwrap_err();
            assert!(matches!(error, Error::Model { .. }), "{count}: {error}");
        }
        // A view that repeats its numbers needs few of them in the file.
        let mut repeated = tensor("a", 6, &[255, 255, 255]);
        for place in 0..repeated.len() - 1 {
            if repeated[place..].starts_with(b"t(K") {
                let strides = place + 2;
                for axis in 0..3 {
                    repeated[strides + 2 * axis + 1] = 0;
                }
            }
        }
        let error = opened(&legacy(&dict(&[("weight", &repeated)]), &VALUES)).unwrap_err();
        assert!(error.to_string().contains("claim"), "{error}");
    }

    #[test]
    fn nothing_that_a_file_asks_for_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let trace = folder.path().join("trace");
        let command = format!("touch {}", trace.display());
        let argument =
            [b"X", &(command.len() as u32).to_le_bytes()[..], command.as_bytes()].concat();
        let weight = tensor("a", 6, &[2, 3]);
        for (module, name) in [("os", "system"), ("posix", "system"), ("builtins", "exec")] {
            let class = format!("c{module}\n{name}\n");
            let call = [class.as_bytes(), &argument, b"\x85R"].concat();
            let error = opened(&legacy(&call, &VALUES)).unwrap_err();
            assert!(matches!(error, Error::Model { .. }), "{error}");
            let beside = dict(&[("weight", &weight), ("extra", &call)]);
            let error = opened(&legacy(&beside, &VALUES)).unwrap_err().to_string();
            assert!(error.contains(&format!("{module}.{name}")), "{error}");
            // So is one that is only named, deep inside.
            let deep = dict(&[("a", &dict(&[("b", class.as_bytes())]))]);
            let beside = dict(&[("weight", &weight), ("extra", &deep)]);
            let error = opened(&legacy(&beside, &VALUES)).unwrap_err().to_string();
            assert!(error.contains(&format!("{module}.{name}")), "{error}");
            // What it would make of a tensor is not known, so there is none.
            let around = [class.as_bytes(), &weight, b"\x85R"].concat();
            let error = opened(&legacy(&dict(&[("weight", &around)]), &VALUES)).unwrap_err();
            assert!(matches!(error, Error::Model { .. }), "{error}");
        }
        // Instances, extensions, and opcodes that there are not.
        for object in [&b"(ios\nsystem\n"[..], b"\x82\x01", b"\xff", b"}\x93", b"0", b"Q", b"(((("]
        {
            let error = opened(&legacy(object, &VALUES)).unwrap_err();
            assert!(matches!(error, Error::Model { .. }), "{error}");
        }
        assert!(!trace.exists());
    }

    #[test]
    #[ignore = "needs PIXMEND_DATA"]
    fn published_files_of_both_formats_are_read_whole() {
        let folder = PathBuf::from(std::env::var_os("PIXMEND_DATA").unwrap()).join("weights");
        // How many tensors and numbers there are and the sum of what they are without their sign,
        // as PyTorch 2.15 reads them.
        for (file, tensors, numbers, total) in [
            ("lpips_v01_vgg.pth", 5, 1472, 131.855508547),
            ("lpips_v01_squeeze.pth", 7, 2240, 173.438718138),
            ("team00_rlfn.pth", 78, 317_218, 46139.103616545),
            ("dncnn_25.pth", 34, 555_137, 20690.757702606),
            ("leftthomas_netG_epoch_4_100_6441e5b8.pth", 79, 735_372, 67925.407509750),
        ] {
            let found = open(&folder.join(file)).unwrap();
            let values = found.values().flat_map(|tensor| tensor.values().unwrap());
            let (count, sum) = values
                .fold((0, 0.0), |(count, sum), value| (count + 1, sum + f64::from(value.abs())));
            assert_eq!((found.len(), count), (tensors, numbers), "{file}");
            assert!((sum / total - 1.0_f64).abs() < 1e-11, "{file}: {sum}");
        }
    }
}
