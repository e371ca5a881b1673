//! The encoder of a network from weights that people own: ResNet-34 as torchvision stores it for a
//! U-Net, SqueezeNet 1.1 of Caffe for a colouriser.

use std::path::Path;

use burn::tensor::Device;

use super::{features, tensors};
use crate::{
    error::{Error, Result},
    net::{Network, NetworkConfig, Part, colouriser, features::Backbone, slots},
};

/// The network with the encoder of a weight file. For a U-Net: `conv1.weight`, `bn1.weight`,
/// `layer1.0.conv1.weight` and so on; a classifier in it is left out. Where the network takes a
/// mask, its weights begin at zero.
///
/// # Errors
/// [`Error::Model`] if the file cannot be read or is for another encoder, [`Error::Setting`] if the
/// network has none.
pub fn fill(
    network: Network,
    config: &NetworkConfig,
    path: &Path,
    device: &Device,
) -> Result<Network> {
    let unet = match config {
        NetworkConfig::Unet(unet) => unet,
        NetworkConfig::Layered(layered) if layered.family == colouriser::FAMILY => {
            return seeing(network, path, device);
        }
        _ => {
            return Err(Error::Setting(
                "only a U-Net and a colouriser have an encoder to be filled".to_owned(),
            ));
        }
    };
    let file = tensors::open(path)?;
    let refused = |reason: String| Error::Model { name: path.display().to_string(), reason };
    let (mut values, mut masked) = (std::collections::HashMap::new(), 0);
    for slot in slots::of(&network) {
        if config.part(&slot.path) == Part::Last {
            continue;
        }
        let name = slot.path.replace("downsample.conv", "downsample.0");
        let name = name.replace("downsample.bn", "downsample.1");
        let tensor = file.get(&name).ok_or_else(|| {
            refused(format!("it holds no encoder for this network (its tensor {name} is missing)"))
        })?;
        let mut expected = slot.shape.clone();
        if unet.mask && slot.path == "conv1.weight" {
            expected[1] -= 1;
            masked = expected[2] * expected[3];
        }
        if tensor.shape() != expected {
            return Err(refused(format!(
                "its tensor {name} has the shape {:?} instead of {expected:?}",
                tensor.shape()
            )));
        }
        let mut numbers = tensor.values()?;
        if masked > 0 && slot.path == "conv1.weight" {
            let colours = 3 * masked;
            let zeros = vec![0.0; masked];
            numbers = numbers.chunks(colours).flat_map(|of| [of, &zeros].concat()).collect();
        }
        values.insert(slot.path, numbers);
    }
    Ok(slots::filled(network, device, |path| values.remove(path)))
}

/// A colouriser that sees as SqueezeNet does: its first convolutions are SqueezeNet's.
fn seeing(network: Network, path: &Path, device: &Device) -> Result<Network> {
    let extractor = features::open(path)?;
    if extractor.backbone() != Backbone::SqueezeNetCaffe {
        return Err(tensors::refused(path, "a colouriser sees through SqueezeNet 1.1 of Caffe"));
    }
    let mut values = std::collections::HashMap::new();
    for (index, (weight, bias)) in extractor.in_rgb().into_iter().enumerate() {
        values.insert(format!("convs.{index}.weight"), weight);
        values.insert(format!("convs.{index}.bias"), bias);
    }
    Ok(slots::filled(network, device, |path| values.remove(path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{slots::Slot, unet::UnetConfig};
    use safetensors::{Dtype, tensor::TensorView};

    fn config(batch_norm: bool, mask: bool) -> NetworkConfig {
        let blocks = [1, 1, 1, 1];
        NetworkConfig::Unet(UnetConfig {
            width: 4,
            blocks,
            batch_norm,
            scale: 1,
            mask,
            marked: false,
        })
    }

    /// A file with the encoder of a network that takes no mask, filled with the place of each number.
    fn file(folder: &Path, without: &str) -> std::path::PathBuf {
        let slots = slots::of(&config(true, false).init(&Device::flex()));
        let encoder = slots.iter().filter(|s| config(true, false).part(&s.path) != Part::Last);
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = encoder
            .map(|slot: &Slot| {
                let name = slot.path.replace("downsample.conv", "downsample.0");
                let name = name.replace("downsample.bn", "downsample.1");
                let bytes = (0..slot.len()).flat_map(|i| (i as f32).to_le_bytes()).collect();
                (name, slot.shape.clone(), bytes)
            })
            .filter(|(name, ..)| name != without)
            .collect();
        let views = tensors.iter().map(|(name, shape, bytes)| {
            (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        let path = folder.join("encoder.safetensors");
        let bytes = safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap();
        crate::settings::write(&path, &bytes, crate::settings::Existing::Replace).unwrap();
        path
    }

    #[test]
    fn an_encoder_goes_where_it_belongs_and_the_mask_begins_at_zero() {
        let device = Device::flex();
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "");
        for mask in [false, true] {
            let config = config(true, mask);
            let network = fill(config.init(&device), &config, &path, &device).unwrap();
            let slots = slots::of(&network);
            let values = slots::values(&network);
            let of = |name: &str| -> Vec<f32> {
                let place = slots.iter().position(|slot| slot.path == name).unwrap();
                values[place].clone().into_data().try_into_vec().unwrap()
            };
            let place = |i: usize| i as f32;
            let stored: Vec<f32> = (0..8 * 4).map(place).collect();
            assert_eq!(of("layer2.0.downsample.conv.weight"), stored);
            assert_eq!(of("layer4.0.bn2.running_var"), stored);
            let first = of("conv1.weight");
            assert_eq!(first[..147], (0..147).map(place).collect::<Vec<_>>());
            let next = if mask { 147 + 49 } else { 147 };
            assert!(first[147..next].iter().all(|weight| *weight == 0.0));
            assert_eq!(first[next], 147.0);
        }
    }

    #[test]
    fn what_is_no_encoder_is_refused() {
        let device = Device::flex();
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "layer3.0.conv1.weight");
        let refused = |config: NetworkConfig, word: &str| {
            let error = fill(config.init(&device), &config, &path, &device).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        };
        refused(config(true, false), "layer3.0.conv1.weight is missing");
        refused(config(false, false), "missing");
        refused(NetworkConfig::SrganKeras, "U-Net");
    }
}
