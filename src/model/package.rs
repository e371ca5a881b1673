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
    nn::conv::Conv2d,
    store::{KeyRemapper, ModuleSnapshot as _, PyTorchToBurnAdapter, SafetensorsStore},
    tensor::{Device, TensorData},
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::net::{
    blocks::{Activation, ActivationKind},
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
        value => Err(format!("its {key} is {value:?}, which is not known here")),
    };
    expect("architecture", "residual")?;
    expect("activation", "prelu")?;
    expect("skip", "bilinear")?;
    let (channels, blocks, scale) = (number("channels")?, number("blocks")?, number("scale")?);
    if !(1..=16).contains(&scale) {
        return Err(format!("its scale of {scale} is out of range"));
    }
    if channels == 0 {
        return Err("it has no channels".to_owned());
    }

    let mut left = tensors.len();
    let mut holds = |name: &str, shape: &[usize]| match tensors.tensor(name) {
        Ok(tensor) if tensor.dtype() != Dtype::F32 => {
            Err(format!("its tensor {name} is of the type {:?} instead of F32", tensor.dtype()))
        }
        Ok(tensor) if tensor.shape() != shape => {
            let found = tensor.shape();
            Err(format!("its tensor {name} has the shape {found:?} instead of {shape:?}"))
        }
        Ok(_) => {
            left -= 1;
            Ok(())
        }
        Err(_) => Err(format!("its tensor {name} is missing")),
    };
    let mut conv = |name: &str, outputs: usize, inputs: usize| {
        holds(&format!("{name}.weight"), &[outputs, inputs, 3, 3])?;
        holds(&format!("{name}.bias"), &[outputs])
    };
    conv("head", channels, 3)?;
    for block in 0..blocks {
        conv(&format!("body.{block}.conv1"), channels, channels)?;
        conv(&format!("body.{block}.conv2"), channels, channels)?;
    }
    conv("body_conv", channels, channels)?;
    conv("upsample", 3 * scale * scale, channels)?;
    for block in 0..blocks {
        holds(&format!("body.{block}.prelu.weight"), &[channels])?;
    }
    if left > 0 {
        return Err(format!("it holds {left} tensors that have no place in it"));
    }
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
    // `config_of` has held every tensor against the network, so only a bug is left to fail.
    network.load_from(&mut store).map_err(|error| {
        log::error!("{error}");
        "its tensors do not fit".to_owned()
    })?;
    Ok(network)
}

/// A weight file of a network, or a clause that says why there can be none.
pub(super) fn bytes_of(
    config: &ResidualConfig,
    network: &ResidualUpscaler,
) -> Result<Vec<u8>, String> {
    let parts = network.parts().ok_or("this kind of network has no file format yet")?;
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut push = |name: String, data: TensorData| {
        let shape = data.shape().to_vec();
        let values = data.try_into_vec::<f32>().map_err(|error| format!("{error:?}"))?;
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        tensors.push((name, shape, bytes));
        Ok::<(), String>(())
    };
    let mut conv = |name: String, conv: &Conv2d| {
        push(format!("{name}.weight"), conv.weight.val().into_data())?;
        let bias = conv.bias.as_ref().ok_or("a convolution has no bias")?;
        push(format!("{name}.bias"), bias.val().into_data())
    };
    conv("head".to_owned(), parts.head)?;
    let mut slopes = Vec::new();
    for (i, block) in parts.body.iter().enumerate() {
        let (conv1, activation, conv2) = block.parts().ok_or("it has batch normalisation")?;
        conv(format!("body.{i}.conv1"), conv1)?;
        conv(format!("body.{i}.conv2"), conv2)?;
        let Activation::PRelu(layer) = activation else {
            return Err("its activation has no file format yet".to_owned());
        };
        slopes.push((format!("body.{i}.prelu.weight"), layer.alpha.val().into_data()));
    }
    conv("body_conv".to_owned(), parts.body_conv)?;
    conv("upsample".to_owned(), parts.upsample)?;
    for (name, data) in slopes {
        push(name, data)?;
    }

    let words = [
        ("architecture", "residual".to_owned()),
        ("activation", "prelu".to_owned()),
        ("skip", "bilinear".to_owned()),
        ("channels", config.channels.to_string()),
        ("blocks", config.blocks.to_string()),
        ("scale", config.scale.to_string()),
    ];
    let metadata = words.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        view.map(|view| (name.as_str(), view))
    });
    let views: Result<Vec<_>, _> = views.collect();
    let written = views.and_then(|views| safetensors::serialize(views, Some(metadata)));
    written.map_err(|error| error.to_string())
}
