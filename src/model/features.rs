//! Feature networks from the files of others, and pictures compared by them.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use image::{RgbImage, imageops::crop_imm};

use super::tensors::{self, Tensors, refused};
use crate::{
    error::{Error, Result},
    net::features::{Backbone, FeatureDistance, Features, Layer, SMALLEST},
};

/// The weights of a [`Backbone`], ready to become a network on a device.
#[derive(Clone, Debug)]
pub struct Extractor {
    backbone: Backbone,
    weights: Vec<(Vec<f32>, Vec<f32>)>,
}

/// Reads the weights of a feature network and finds out which one it is: VGG-16, VGG-19,
/// `AlexNet` or `SqueezeNet` 1.1 as torchvision saves them (`.pth` or `.safetensors`, with or
/// without their classifier), or `SqueezeNet` 1.1 of Caffe for ncnn (`.param` or `.bin`, the
/// other file lying beside it).
///
/// Names and shapes tell the network; whose training it was they do not, and it is taken to be
/// that of torchvision.
///
/// # Errors
/// [`Error::Model`] saying what is wrong with the file, [`Error::Read`] and its kin.
pub fn open(path: &Path) -> Result<Extractor> {
    let tensors = tensors::open(path)?;
    let backbone = Backbone::ALL.into_iter().find(|backbone| is(*backbone, &tensors));
    let backbone = backbone.ok_or_else(|| {
        refused(
            path,
            "it is none of the feature networks known here: VGG-16, VGG-19, AlexNet and \
             SqueezeNet 1.1 of torchvision, SqueezeNet 1.1 for ncnn",
        )
    })?;
    let mut weights = Vec::new();
    for [weight, bias] in names(backbone) {
        weights.push((finite(path, &tensors, &weight)?, finite(path, &tensors, &bias)?));
    }
    Ok(Extractor { backbone, weights })
}

impl Extractor {
    /// Which network it is.
    #[must_use]
    pub const fn backbone(&self) -> Backbone {
        self.backbone
    }

    /// The network on a device; on one with automatic differentiation it is a constant.
    #[must_use]
    pub fn on(&self, device: &Device) -> Features {
        Features::new(self.backbone, self.weights.clone(), device)
    }
}

/// What the weight and bias of each convolution are called in a file.
fn names(backbone: Backbone) -> Vec<[String; 2]> {
    let convolutions = backbone.convolutions().into_iter();
    let names = convolutions.map(|convolution| match backbone {
        Backbone::SqueezeNetCaffe => convolution.caffe,
        _ => convolution.torch,
    });
    names.map(|name| [format!("{name}.weight"), format!("{name}.bias")]).collect()
}

/// Whether a file has the convolutions of a network, all of them and no further.
fn is(backbone: Backbone, tensors: &Tensors) -> bool {
    let names = names(backbone);
    let shape = |name: &str| tensors.get(name).map(tensors::Tensor::shape);
    let fits = names.iter().zip(backbone.convolutions()).all(|([weight, bias], convolution)| {
        shape(weight) == Some(&convolution.shape[..])
            && shape(bias) == Some(&convolution.shape[..1])
    });
    let wanted = |name: &String| names.iter().flatten().any(|known| known == name);
    fits && tensors.keys().all(|name| !name.starts_with("features.") || wanted(name))
}

/// The numbers of a tensor, if they are numbers.
fn finite(path: &Path, tensors: &Tensors, name: &str) -> Result<Vec<f32>> {
    let tensor = tensors.get(name);
    let tensor = tensor.ok_or_else(|| refused(path, format!("its tensor {name} is missing")))?;
    let values = tensor.values()?;
    if values.iter().all(|value| value.is_finite()) {
        return Ok(values);
    }
    Err(refused(path, format!("its tensor {name} holds values that are no numbers")))
}

/// Compares whole pictures by what a feature network sees in them, on the CPU.
///
/// With the linear layers of LPIPS 0.1 and the weights of torchvision it is LPIPS as papers report
/// it: R. Zhang et al., "The unreasonable effectiveness of deep features as a perceptual
/// metric", CVPR 2018. See [`FeatureDistance`] for what it computes.
#[derive(Debug)]
pub struct Perceptual {
    network: FeatureDistance,
    name: String,
}

/// Pictures are compared in pieces of this side, which bounds the memory.
const PIECE: usize = 512;

/// How far a piece looks over its border: more than the deepest compared layer of any backbone
/// does (VGG-19: 119), and a multiple of all strides. So pieces give what the whole gives.
const HALO: usize = 128;

impl Perceptual {
    /// Reads a feature network, see [`open`], and a file of LPIPS linear layers (`lin0.model.1.weight`
    /// and so on). Without the latter all channels of a layer count the same.
    ///
    /// # Errors
    /// As [`open`]; [`Error::Model`] too if the layers are for another network.
    pub fn open(features: &Path, linear: Option<&Path>) -> Result<Self> {
        let extractor = open(features)?;
        let backbone = extractor.backbone();
        let weights = linear.map(|path| linear_layers(path, backbone)).transpose()?;
        let network = backbone.name();
        let name = match (&weights, backbone) {
            (None, _) => format!("{network} feature distance without LPIPS layers"),
            (Some(_), Backbone::SqueezeNetCaffe) => format!("{network} feature distance"),
            (Some(_), _) => format!("LPIPS ({network})"),
        };
        let device = Device::flex();
        let network = FeatureDistance::new(extractor.on(&device), weights, &device);
        Ok(Self { network, name })
    }

    /// What the number is called: `LPIPS (VGG-16)` where it is the standard one, else a feature
    /// distance.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The distance of two pictures of one size; 0 if they are equal.
    ///
    /// Memory does not grow with the picture: it is compared in pieces that know what is around
    /// them, which gives the numbers of the whole. VGG-16 takes about 2 GB.
    ///
    /// # Errors
    /// [`Error::Setting`] if the pictures differ in size or have a side under [`SMALLEST`];
    /// [`Error::Model`] if the network gives no number.
    pub fn distance(&self, a: &RgbImage, b: &RgbImage) -> Result<f64> {
        self.in_pieces(a, b, PIECE)
    }

    fn in_pieces(&self, a: &RgbImage, b: &RgbImage, piece: usize) -> Result<f64> {
        let size = [a.height() as usize, a.width() as usize];
        if a.dimensions() != b.dimensions() || a.width().min(a.height()) < SMALLEST {
            return Err(Error::Setting(format!(
                "pictures to compare have one size of at least {SMALLEST} x {SMALLEST} pixels"
            )));
        }
        let mut sums = vec![(0.0, 0_usize); self.network.layers().len()];
        for top in (0..size[0]).step_by(piece) {
            for left in (0..size[1]).step_by(piece) {
                let inner = [top, left];
                let outer = inner.map(|start| start.saturating_sub(HALO));
                let end = [0, 1].map(|axis| size[axis].min(inner[axis] + piece + HALO));
                let cut = |picture| tensor(picture, outer, end);
                let maps = self.network.maps(cut(a), cut(b));
                let layers = maps.into_iter().zip(self.network.layers()).zip(&mut sums);
                for ((map, layer), (sum, count)) in layers {
                    let [_, _, rows, columns] = map.dims();
                    let [down, across] = [(0, rows), (1, columns)].map(|(axis, cells)| {
                        let place = |pixel: usize| (pixel - outer[axis]) / layer.stride();
                        // The last piece has all the cells that are left.
                        let last = inner[axis] + piece >= size[axis];
                        let behind = if last { cells } else { place(inner[axis] + piece) };
                        place(inner[axis])..behind
                    });
                    if down.is_empty() || across.is_empty() {
                        continue;
                    }
                    let values = map.slice([0..1, 0..1, down, across]).into_data();
                    let values = values.try_into_vec::<f32>().map_err(|_type| self.no_number())?;
                    *sum += values.iter().map(|value| f64::from(*value)).sum::<f64>();
                    *count += values.len();
                }
            }
        }
        let distance: f64 = sums.iter().map(|(sum, count)| sum / *count as f64).sum();
        if distance.is_finite() { Ok(distance) } else { Err(self.no_number()) }
    }

    fn no_number(&self) -> Error {
        let reason = "it gives no number for this picture".to_owned();
        Error::Model { name: self.name.clone(), reason }
    }
}

/// The weights of the channels of each compared layer.
fn linear_layers(path: &Path, backbone: Backbone) -> Result<Vec<Vec<f32>>> {
    let tensors = tensors::open(path)?;
    let layers = backbone.compared();
    let shape = |layer: &Layer| [1, layer.channels(), 1, 1];
    let name = |place: usize| format!("lin{place}.model.1.weight");
    let fits = layers.iter().enumerate().all(|(place, layer)| {
        tensors.get(&name(place)).is_some_and(|tensor| tensor.shape() == shape(layer))
    });
    if !fits || tensors.contains_key(&name(layers.len())) {
        let network = backbone.name();
        return Err(refused(path, format!("it does not hold the layers of LPIPS for {network}")));
    }
    (0..layers.len()).map(|place| finite(path, &tensors, &name(place))).collect()
}

/// The part of a picture from a corner (y, x) to the one before `end`, as `[1, 3, h, w]` from 0 to 1.
fn tensor(picture: &RgbImage, start: [usize; 2], end: [usize; 2]) -> Tensor<4> {
    let [top, left] = start;
    let [height, width] = [end[0] - top, end[1] - left];
    let part = crop_imm(picture, left as u32, top as u32, width as u32, height as u32).to_image();
    let plane = |channel| part.pixels().map(move |pixel| f32::from(pixel.0[channel]) / 255.0);
    let values: Vec<f32> = (0..3).flat_map(plane).collect();
    Tensor::from_data(TensorData::new(values, [1, 3, height, width]), &Device::flex())
}
