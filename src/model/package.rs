//! Our own weight files: safetensors whose metadata names the network.
//!
//! Keys of the metadata, all strings: `architecture` (`residual`), `channels`,
//! `blocks`, `scale`, `activation` (`prelu`), `skip` (`bilinear`). Tensors:
//! `head`, `body.N.conv1`, `body.N.prelu`, `body.N.conv2`, `body_conv` and
//! `upsample`, each with `weight` and, convolutions, `bias`; weights are laid
//! out `[out, in, rows, columns]`.
//!
//! The file is not trusted: the metadata must agree with the shapes of the
//! tensors, which the reader has held against the length of the file, before
//! a network of that size is made.

use burn::{
    store::{KeyRemapper, ModuleSnapshot as _, PyTorchToBurnAdapter, SafetensorsStore},
    tensor::Device,
};
use safetensors::SafeTensors;

use crate::net::{
    blocks::ActivationKind,
    residual::{ResidualConfig, ResidualUpscaler, Upsampler},
};

/// The network a weight file is for, or a clause that says what is wrong.
pub(super) fn config_of(weights: &[u8]) -> Result<ResidualConfig, String> {
    let unreadable = |error| format!("it is damaged, cut off or no safetensors file ({error})");
    let (_, header) = SafeTensors::read_metadata(weights).map_err(unreadable)?;
    let tensors = SafeTensors::deserialize(weights).map_err(unreadable)?;
    let metadata = header.metadata().clone().unwrap_or_default();
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
        value => Err(format!("its {key} is \"{value}\", which is not known here")),
    };
    expect("architecture", "residual")?;
    expect("activation", "prelu")?;
    expect("skip", "bilinear")?;
    let (channels, blocks, scale) = (number("channels")?, number("blocks")?, number("scale")?);
    if !(1..=16).contains(&scale) {
        return Err(format!("its scale of {scale} is out of range"));
    }

    let holds = |name: &str, shape: &[usize]| match tensors.tensor(name) {
        Ok(tensor) if tensor.shape() == shape => Ok(()),
        Ok(tensor) => Err(format!(
            "its tensor {name} has the shape {:?} instead of {shape:?}",
            tensor.shape()
        )),
        Err(_) => Err(format!("its tensor {name} is missing")),
    };
    let square = [channels, channels, 3, 3];
    holds("head.weight", &[channels, 3, 3, 3])?;
    for block in 0..blocks {
        holds(&format!("body.{block}.conv1.weight"), &square)?;
        holds(&format!("body.{block}.conv2.weight"), &square)?;
    }
    holds("body_conv.weight", &square)?;
    holds("upsample.weight", &[3 * scale * scale, channels, 3, 3])?;
    Ok(ResidualConfig {
        channels,
        blocks,
        batch_norm: false,
        activation: ActivationKind::PReluPerChannel,
        upsampler: Upsampler::Direct,
        scale,
    })
}

/// Makes the network and fills it, or says in a clause what does not fit.
pub(super) fn load(
    config: &ResidualConfig,
    weights: &[u8],
    device: &Device,
) -> Result<ResidualUpscaler, String> {
    let names = KeyRemapper::new()
        .add_pattern(r"^body\.(\d+)\.prelu\.weight$", "body.$1.activation.alpha")
        .and_then(|names| names.add_pattern(r"^upsample\.", "upsample.0.conv."))
        .map_err(|error| error.to_string())?;
    let mut store = SafetensorsStore::from_bytes(Some(weights.to_vec()))
        .with_from_adapter(PyTorchToBurnAdapter)
        .skip_enum_variants(true)
        .remap(names);
    let mut network = config.init(device);
    let applied = network
        .load_from(&mut store)
        .map_err(|error| format!("its tensors do not fit ({error})"))?;
    if let Some((name, _)) = applied.missing.first() {
        return Err(format!("its tensor {name} is missing"));
    }
    if let Some(name) = applied.unused.first() {
        return Err(format!("it holds a tensor that has no place, {name}"));
    }
    Ok(network)
}
