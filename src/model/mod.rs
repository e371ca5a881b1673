//! Weights as things with a name.
//!
//! A [`Model`] is the bytes of a weight file that was checked; it becomes a
//! network only on a device, by [`Model::on`].

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::tensor::{DType, Device};

use crate::{
    error::{Error, Result},
    net::{
        Generator, Network, NetworkConfig, colouriser, direct::Direct, ensemble::Ensemble,
        graphics::Graphics,
    },
    settings::{self, Existing},
};

pub mod encoder;
pub mod features;
mod import;
pub mod library;
pub mod ncnn;
mod package;
pub mod tensors;
mod torch;

/// Files larger than this are not read: no generator of ours comes near it.
const MAX_FILE_BYTES: u64 = 2 << 30;

/// A model that is part of the program.
struct Shipped {
    name: &'static str,
    /// What it is for, in a few words.
    job: &'static str,
    weights: &'static [u8],
}

/// The shipped one that fills masks.
const MENDING: &str = "mend";

/// The models in `models/`, whose cards stand beside them.
const SHIPPED: [Shipped; 6] = [
    Shipped {
        name: "starter",
        job: "true to the pixels, for sharp photos",
        weights: include_bytes!("../../models/starter.safetensors"),
    },
    Shipped {
        name: "photo-4x",
        job: "for photos as they come: blurred, noisy, compressed",
        weights: include_bytes!("../../models/photo-4x.safetensors"),
    },
    Shipped {
        name: "fast-4x",
        job: "true to the pixels, at a quarter of the work",
        weights: include_bytes!("../../models/fast-4x.safetensors"),
    },
    Shipped {
        name: "clean",
        job: "takes JPEG artefacts, noise and blur away",
        weights: include_bytes!("../../models/clean.safetensors"),
    },
    Shipped {
        name: MENDING,
        job: "fills what is marked: scratches, lettering, watermarks",
        weights: include_bytes!("../../models/mend.safetensors"),
    },
    Shipped {
        name: "colour",
        job: "gives grey photos their colours",
        weights: include_bytes!("../../models/colour.safetensors"),
    },
];

/// A checked set of weights and the network they are for.
#[derive(Clone, Debug)]
pub struct Model {
    name: String,
    config: NetworkConfig,
    weights: Arc<[u8]>,
    /// Asked eight times; see [`Ensemble`].
    ensemble: bool,
}

impl Model {
    /// Names of the shipped models, the default first.
    pub fn shipped() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|model| model.name)
    }

    /// What a shipped model is for, in a few words.
    #[must_use]
    pub fn job_of(name: &str) -> Option<&'static str> {
        SHIPPED.iter().find(|model| model.name == name).map(|model| model.job)
    }

    /// Names of all models: those that ship and those that the user added.
    #[must_use]
    pub fn names() -> Vec<String> {
        Self::shipped().map(str::to_owned).chain(library::names()).collect()
    }

    /// Whether it gives grey photos their colours.
    #[must_use]
    pub fn gives_colours(&self) -> bool {
        self.config.family() == colouriser::FAMILY
    }

    /// The shipped model that fills masks.
    ///
    /// # Panics
    /// If the program was built with another file in its place, which tests do not let pass.
    #[must_use]
    pub fn mending() -> Self {
        match Self::find(MENDING) {
            Ok(model) => model,
            Err(error) => unreachable!("the model {MENDING} ships: {error}"),
        }
    }

    /// A shipped model or one of the [`library`] by its name, or a model file by its path.
    ///
    /// # Errors
    /// [`Error::ModelUnknown`] or [`Error::Model`].
    pub fn find(name_or_file: &str) -> Result<Self> {
        if let Some(shipped) = SHIPPED.iter().find(|model| model.name == name_or_file) {
            return Self::from_bytes(shipped.name, shipped.weights.into());
        }
        if let Some(file) = library::file(name_or_file) {
            let model = Self::open(&file)?;
            return Ok(Self { name: name_or_file.to_owned(), ..model });
        }
        let path = Path::new(name_or_file);
        if path.exists() {
            return Self::open(path);
        }
        Err(Error::ModelUnknown { name: name_or_file.to_owned(), known: Self::names().join(", ") })
    }

    /// Reads a model file: one of ours, or one of others of an architecture that is known here
    /// (`.pth`, `.safetensors`, either file of an ncnn model).
    ///
    /// # Errors
    /// [`Error::Model`] naming the file, [`Error::Read`] and its kin.
    pub fn open(path: &Path) -> Result<Self> {
        tensors::length_of(path)?;
        if tensors::is_ncnn(path) {
            return import::open(path);
        }
        let weights = std::fs::read(path).map_err(|error| Error::read(path, error))?;
        if package::is_ours(&weights) {
            return Self::from_bytes(&path.display().to_string(), weights.into());
        }
        drop(weights);
        import::open(path)
    }

    /// Checks the bytes of a weight file.
    ///
    /// # Errors
    /// [`Error::Model`] with `name`.
    pub fn from_bytes(name: &str, weights: Arc<[u8]>) -> Result<Self> {
        let config = package::config_of(&weights)
            .map_err(|reason| Error::Model { name: name.to_owned(), reason })?;
        Ok(Self { name: name.to_owned(), config, weights, ensemble: false })
    }

    /// A trained network under a name.
    ///
    /// # Errors
    /// [`Error::Model`] if its numbers cannot be read back from the device.
    pub fn of(name: &str, config: &NetworkConfig, network: &Network) -> Result<Self> {
        let refused = |reason| Error::Model { name: name.to_owned(), reason };
        let weights = package::bytes_of(config, network, false).map_err(refused)?;
        Self::from_bytes(name, weights.into())
    }

    /// The same weights, asked eight times: slower, and a little better; see [`Ensemble`].
    ///
    /// # Errors
    /// [`Error::Setting`] for a network that cannot be asked so.
    pub fn as_ensemble(self) -> Result<Self> {
        if self.config.grid() > 1 {
            return Err(Error::Setting(format!("the model {} cannot be an ensemble", self.name)));
        }
        Ok(Self { ensemble: true, ..self })
    }

    /// The same weights rounded to 16 bit.
    ///
    /// # Errors
    /// [`Error::Model`] if one is too large for that.
    pub fn halved(&self) -> Result<Self> {
        let refused = |reason| Error::Model { name: self.name.clone(), reason };
        let network = self.trainable(&Device::flex())?;
        let weights = package::bytes_of(&self.config, &network, true).map_err(refused)?;
        Self::from_bytes(&self.name, weights.into())
    }

    /// The same answers from a network with more blocks, to be trained further; see
    /// [`NetworkConfig::deepened`].
    ///
    /// # Errors
    /// [`Error::Setting`] for a network that cannot grow, [`Error::Model`].
    pub fn deepened(&self, blocks: usize, seed: u64) -> Result<Self> {
        let device = Device::flex();
        device.seed(seed);
        let (config, network) =
            self.config.clone().deepened(&self.trainable(&device)?, blocks, &device).map_err(
                |reason| Error::Setting(format!("{} cannot be deepened: {reason}", self.name)),
            )?;
        Self::of(&self.name, &config, &network)
    }

    /// Writes the weights to a file.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::DiskFull`] or [`Error::Write`].
    pub fn save(&self, path: &Path, existing: Existing) -> Result<PathBuf> {
        settings::write(path, &self.weights, existing)
    }

    /// Shape of the network.
    #[must_use]
    pub const fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// The bytes of its file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.weights
    }

    /// The network with these weights in Burn's own layers, which can be trained.
    ///
    /// # Errors
    /// [`Error::Model`] if tensors are missing or of another shape.
    pub fn trainable(&self, device: &Device) -> Result<Network> {
        let network = package::load(&self.config, &self.weights, device);
        network.map_err(|reason| Error::Model { name: self.name.clone(), reason })
    }

    /// Registry name, or the path of the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Output size over input size.
    #[must_use]
    pub fn scale(&self) -> u32 {
        self.config.scale()
    }

    /// Whether the network fills masks; see [`Generator::takes_mask`].
    #[must_use]
    pub const fn takes_mask(&self) -> bool {
        self.config.takes_mask()
    }

    /// The network with these weights on a device.
    ///
    /// # Errors
    /// [`Error::Model`] if tensors are missing or of another shape.
    pub fn on(&self, device: &Device) -> Result<Box<dyn Generator>> {
        // On the CPU our own kernels are many times faster than Burn's.
        let network: Box<dyn Generator> = if *device == Device::flex() {
            match Direct::of(Box::new(self.trainable(device)?)) {
                Ok(direct) => Box::new(direct),
                Err(network) => network,
            }
        } else if let Some(network) = self.graphics(device, DType::F32)? {
            Box::new(network)
        } else {
            Box::new(self.trainable(device)?)
        };
        self.asked(network)
    }

    /// The network on a device that computes with numbers of 16 bit; `None` if it has layers for
    /// which there is no such path.
    ///
    /// # Errors
    /// As [`Self::on`].
    pub fn in_half(&self, device: &Device) -> Result<Option<Box<dyn Generator>>> {
        let network = self.graphics(device, DType::F16)?;
        network.map(|network| self.asked(Box::new(network))).transpose()
    }

    /// Its weights are read on the CPU: a card would have to give each of them back.
    fn graphics(&self, device: &Device, numbers: DType) -> Result<Option<Graphics>> {
        Ok(Graphics::of(&self.trainable(&Device::flex())?, device, numbers))
    }

    /// A network with these weights, asked as often as it is to be.
    fn asked(&self, network: Box<dyn Generator>) -> Result<Box<dyn Generator>> {
        if !self.ensemble {
            return Ok(network);
        }
        let ensemble = Ensemble::of(network).ok_or_else(|| {
            Error::Setting(format!("the model {} cannot be an ensemble", self.name))
        })?;
        Ok(Box::new(ensemble))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::slots;
    use burn::tensor::{Tensor, TensorData};

    #[test]
    fn every_shipped_model_loads_on_the_cpu() {
        for name in Model::shipped() {
            let model = Model::find(name).unwrap();
            let network = model.on(&Device::flex()).unwrap();
            assert_eq!(network.scale(), model.scale());
        }
    }

    #[test]
    fn a_file_cut_in_half_is_refused_in_words() {
        let whole = SHIPPED[0].weights;
        for length in [0, 4, 100, whole.len() / 2, whole.len() - 1] {
            let error = Model::from_bytes("half", whole[..length].into()).unwrap_err();
            assert!(matches!(error, Error::Model { .. }), "{length}: {error}");
        }
    }

    #[test]
    fn a_header_that_promises_more_than_the_tensors_hold_is_refused() {
        // The metadata is text of the file's author: it must not decide how
        // much memory is taken.
        let text = String::from_utf8_lossy(SHIPPED[0].weights);
        assert!(text.contains(r#""channels":"48""#));
        for (honest, claim) in [
            (r#""channels":"48""#, r#""channels":"99""#),
            (r#""blocks":"8""#, r#""blocks":"9""#),
            (r#""scale":"4""#, r#""scale":"8""#),
        ] {
            let mut bytes = SHIPPED[0].weights.to_vec();
            let place = bytes.windows(honest.len()).position(|w| w == honest.as_bytes());
            bytes[place.unwrap()..][..claim.len()].copy_from_slice(claim.as_bytes());
            let error = Model::from_bytes("liar", bytes.into()).unwrap_err();
            assert!(matches!(error, Error::Model { .. }), "{error}");
        }
    }

    #[test]
    fn every_kind_of_network_goes_into_a_file_and_back() {
        use crate::net::{
            blocks::ActivationKind,
            enhancenet::{EnhanceNetConfig, EnhanceNetKind},
            residual::{ResidualConfig, Upsampler},
            unet::UnetConfig,
        };
        let device = Device::flex();
        let residual = |batch_norm, activation, upsampler| {
            let usual =
                ResidualConfig { channels: 4, blocks: 2, scale: 2, ..ResidualConfig::starter() };
            NetworkConfig::Residual(ResidualConfig { batch_norm, activation, upsampler, ..usual })
        };
        let unet = UnetConfig {
            width: 4,
            blocks: [1; 4],
            batch_norm: true,
            scale: 1,
            mask: true,
            marked: true,
        };
        let plain = EnhanceNetConfig { kind: EnhanceNetKind::Plain, channels: 4, blocks: 1 };
        for config in [
            residual(true, ActivationKind::PRelu, Upsampler::SubPixel),
            residual(false, ActivationKind::LeakyRelu { slope: 0.2 }, Upsampler::Direct),
            residual(false, ActivationKind::PReluPerChannel, Upsampler::Direct),
            NetworkConfig::Residual(ResidualConfig { channels: 4, ..ResidualConfig::restorer() }),
            NetworkConfig::Residual(ResidualConfig { channels: 4, ..ResidualConfig::mender() }),
            NetworkConfig::Unet(unet),
            NetworkConfig::EnhanceNet(plain),
            NetworkConfig::SrganKeras,
        ] {
            let network = config.init(&device);
            let model = Model::of("test", &config, &network).unwrap();
            assert_eq!((model.config(), model.scale()), (&config, network.scale()));
            assert_eq!(model.takes_mask(), network.takes_mask());
            let read = model.trainable(&device).unwrap();
            let numbers = |network: &Network| -> Vec<Vec<f32>> {
                let values = slots::values(network).into_iter();
                values.map(|value| value.into_data().try_into_vec().unwrap()).collect()
            };
            assert!(numbers(&network) == numbers(&read), "{config:?}");
        }
    }

    #[test]
    fn a_deepened_model_answers_the_same() {
        let model = Model::find("fast-4x").unwrap();
        let deeper = model.deepened(2, 7).unwrap();
        assert_eq!(deeper.config().parameters(), model.config().parameters() + 2 * 18_528);
        let device = Device::flex();
        let ramp = (0..3 * 81).map(|i| (i as f32 * 0.31).sin().abs()).collect::<Vec<_>>();
        let ramp = Tensor::from_data(TensorData::new(ramp, [1, 3, 9, 9]), &device);
        let [before, after] =
            [&model, &deeper].map(|m| m.trainable(&device).unwrap().forward(ramp.clone()));
        assert!((before - after).abs().max().into_scalar::<f32>() == 0.0);
        let network = deeper.trainable(&device).unwrap();
        let new = slots::of(&network)
            .into_iter()
            .zip(slots::values(&network))
            .find(|(slot, _)| slot.path == "body.5.conv1.weight")
            .unwrap();
        assert!(new.1.abs().max().into_scalar::<f32>() > 0.0, "it can learn");

        let unet = NetworkConfig::Unet(crate::net::unet::UnetConfig::small());
        let unet = Model::of("unet", &unet, &unet.init(&device)).unwrap();
        assert!(matches!(unet.deepened(1, 0), Err(Error::Setting(_))));
    }

    #[test]
    fn halved_weights_are_half_as_long_and_nearly_the_same() {
        let model = Model::find("fast-4x").unwrap();
        let half = model.halved().unwrap();
        assert_eq!(half.config(), model.config());
        assert!(half.bytes().len() < model.bytes().len() / 2 + 10_000);
        let numbers = |model: &Model| -> Vec<f32> {
            let values = slots::values(&model.trainable(&Device::flex()).unwrap());
            values.into_iter().flat_map(|v| v.into_data().try_into_vec().unwrap()).collect()
        };
        let (whole, halves) = (numbers(&model), numbers(&half));
        assert!(whole != halves);
        for (whole, half) in whole.iter().zip(halves) {
            assert!((whole - half).abs() <= whole.abs() / 2048.0 + 1e-7, "{whole} {half}");
        }
    }

    #[test]
    fn weights_of_16_bit_are_read() {
        use half::f16;
        use safetensors::{Dtype, SafeTensors, serialize, tensor::TensorView};
        let whole = SafeTensors::deserialize(SHIPPED[0].weights).unwrap();
        let (_, header) = SafeTensors::read_metadata(SHIPPED[0].weights).unwrap();
        let halves: Vec<(String, Vec<usize>, Vec<u8>)> = whole
            .iter()
            .map(|(name, view)| {
                let floats = view
                    .data()
                    .chunks_exact(4)
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                let bytes = floats.flat_map(|value| f16::from_f32(value).to_le_bytes()).collect();
                (name.to_owned(), view.shape().to_vec(), bytes)
            })
            .collect();
        let views = halves.iter().map(|(name, shape, bytes)| {
            (name.as_str(), TensorView::new(Dtype::F16, shape.clone(), bytes).unwrap())
        });
        let bytes = serialize(views, header.metadata().clone()).unwrap();
        let device = Device::flex();
        let input = Tensor::<4>::ones([1, 3, 9, 9], &device) * 0.4;
        let answer = |model: Model| model.on(&device).unwrap().forward(input.clone());
        let half = answer(Model::from_bytes("half", bytes.into()).unwrap());
        let whole = answer(Model::find("starter").unwrap());
        let difference = (half - whole).abs().max().into_scalar::<f32>();
        assert!(difference > 0.0 && difference < 2e-3, "{difference}");
    }
}
