//! Our own weight files: safetensors whose metadata names the network.
//!
//! The key `network` of the metadata holds a [`NetworkConfig`] as JSON. Files of the residual
//! family in its leanest form (3x3 head, one pixel shuffle, added to the bilinear enlargement) may
//! say the same in single words: `architecture` (`residual`), `channels`, `blocks`, `scale`,
//! `activation` (`prelu`) and `skip` (`bilinear`). Tensors have the names of [`slots`], in this
//! lean form the shorter ones of [`short`]; they are f32 or f16, weights of convolutions
//! `[out, in, rows, columns]`.
//!
//! The file is not trusted: the metadata must agree with the shapes of the
//! tensors, which the reader has held against the length of the file, before
//! a weight is made.

use std::collections::HashMap;

use burn::tensor::Device;
use half::f16;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::tensors::Kind;
use crate::net::{
    Network, NetworkConfig,
    blocks::ActivationKind,
    residual::{ResidualConfig, Upsampler},
    slots,
};

/// Key of the network's shape in the metadata.
const NETWORK: &str = "network";

/// The name in the file of a slot.
fn name_of(config: &NetworkConfig, path: &str) -> String {
    if is_lean(config) { short(path) } else { path.to_owned() }
}

/// Whether the shape can be told in single words.
fn is_lean(config: &NetworkConfig) -> bool {
    let NetworkConfig::Residual(config) = config else { return false };
    let words = (config.batch_norm, config.activation, config.upsampler);
    words == (false, ActivationKind::PReluPerChannel, Upsampler::Direct)
}

/// `body.3.activation.weight` as `body.3.prelu.weight`, `upsample.0.conv.bias` as `upsample.bias`.
fn short(path: &str) -> String {
    path.replace(".activation.", ".prelu.").replace("upsample.0.conv.", "upsample.")
}

/// Whether a file says that it is one of ours; what it says may be wrong.
pub(super) fn is_ours(weights: &[u8]) -> bool {
    let metadata = SafeTensors::read_metadata(weights).ok();
    let words = metadata.and_then(|(_, header)| header.metadata().clone()).unwrap_or_default();
    [NETWORK, "architecture"].iter().any(|key| words.contains_key(*key))
}

/// The network a weight file is for, or a clause that says what is wrong.
pub(super) fn config_of(weights: &[u8]) -> Result<NetworkConfig, String> {
    let unreadable = |error| format!("it is damaged, cut off or no safetensors file ({error})");
    let (_, header) = SafeTensors::read_metadata(weights).map_err(unreadable)?;
    let tensors = SafeTensors::deserialize(weights).map_err(unreadable)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let config = match metadata.get(NETWORK) {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| format!("its network is not known here ({error})"))?,
        None => from_words(&metadata)?,
    };
    config.check()?;

    // Weights take memory only when they are drawn or read, so this costs nothing.
    let slots = slots::of(&config.init(&Device::flex()));
    for slot in &slots {
        let name = name_of(&config, &slot.path);
        let tensor =
            tensors.tensor(&name).map_err(|_missing| format!("its tensor {name} is missing"))?;
        if ![Dtype::F32, Dtype::F16].contains(&tensor.dtype()) {
            let found = tensor.dtype();
            return Err(format!(
                "its tensor {name} is of the type {found:?} instead of F32 or F16"
            ));
        }
        if tensor.shape() != slot.shape {
            let (found, expected) = (tensor.shape(), &slot.shape);
            return Err(format!(
                "its tensor {name} has the shape {found:?} instead of {expected:?}"
            ));
        }
    }
    match tensors.len() - slots.len() {
        0 => Ok(config),
        left => Err(format!("it holds {left} tensors that have no place in it")),
    }
}

fn from_words(metadata: &HashMap<String, String>) -> Result<NetworkConfig, String> {
    let text = |key: &str| {
        let value = metadata.get(key).map(String::as_str);
        value.ok_or_else(|| format!("it does not say its {key}"))
    };
    let number = |key: &str| {
        let value = text(key)?.parse::<usize>();
        value.map_err(|_not_a_number| format!("its {key} is not a number"))
    };
    let expect = |key: &str, known: &str| match text(key)? {
        value if value == known => Ok(()),
        value => Err(format!("its {key} is {value:?}, which is not known here")),
    };
    expect("architecture", "residual")?;
    expect("activation", "prelu")?;
    expect("skip", "bilinear")?;
    Ok(NetworkConfig::Residual(ResidualConfig {
        channels: number("channels")?,
        blocks: number("blocks")?,
        batch_norm: false,
        activation: ActivationKind::PReluPerChannel,
        upsampler: Upsampler::Direct,
        scale: number("scale")?,
        ..ResidualConfig::starter()
    }))
}

/// Makes the network and fills it, or says in a clause what does not fit.
pub(super) fn load(
    config: &NetworkConfig,
    weights: &[u8],
    device: &Device,
) -> Result<Network, String> {
    let tensors = SafeTensors::deserialize(weights).map_err(|error| error.to_string())?;
    let mut missing = None;
    let network = slots::filled(config.init(device), device, |path| {
        let name = name_of(config, path);
        let values = tensors.tensor(&name).ok().map(|tensor| floats(&tensor));
        if values.is_none() {
            missing = Some(name);
        }
        values
    });
    // `config_of` has held every tensor against the network, so only a bug is left to fail.
    match missing {
        Some(name) => Err(format!("its tensor {name} is missing")),
        None => Ok(network),
    }
}

/// The numbers of a tensor, which [`config_of`] has found to be of either kind.
fn floats(tensor: &TensorView<'_>) -> Vec<f32> {
    let kind = if tensor.dtype() == Dtype::F16 { Kind::F16 } else { Kind::F32 };
    kind.floats(tensor.data())
}

/// A weight file of a network in numbers of 32 or 16 bit, or a clause that says why there can be
/// none.
pub(super) fn bytes_of(
    config: &NetworkConfig,
    network: &Network,
    half: bool,
) -> Result<Vec<u8>, String> {
    let values = slots::values(network);
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (slot, value) in slots::of(network).into_iter().zip(values) {
        let values = value.try_into_data().map_err(|error| error.to_string())?;
        let values = values.try_into_vec::<f32>().map_err(|error| format!("{error:?}"))?;
        let bytes = if half {
            let halves = values.iter().map(|value| f16::from_f32(*value));
            if halves
                .clone()
                .zip(&values)
                .any(|(half, value)| value.is_finite() && !half.is_finite())
            {
                return Err(format!("{} holds a number that is too large for 16 bit", slot.path));
            }
            halves.flat_map(f16::to_le_bytes).collect()
        } else {
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        };
        tensors.push((name_of(config, &slot.path), slot.shape, bytes));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let kind = if half { Dtype::F16 } else { Dtype::F32 };
        let view = TensorView::new(kind, shape.clone(), bytes);
        view.map(|view| (name.as_str(), view))
    });
    let views: Result<Vec<_>, _> = views.collect();
    let text = serde_json::to_string(config).map_err(|error| error.to_string())?;
    let metadata = HashMap::from([(NETWORK.to_owned(), text)]);
    let written = views.and_then(|views| safetensors::serialize(views, Some(metadata)));
    written.map_err(|error| error.to_string())
}
