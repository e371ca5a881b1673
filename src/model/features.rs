//! Feature networks from the files of others, and pictures compared by them.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use image::{RgbImage, imageops::crop_imm};

use super::tensors::{self, Tensors, refused};
use crate::{
    error::{Error, Result},
    net::features::{Backbone, FeatureDistance, Features, Layer, SMALLEST, blue_last},
};

/// The weights of a [`Backbone`], ready to become a network on a device.
#[derive(Clone, Debug)]
pub struct Extractor {
    backbone: Backbone,
    weights: Vec<(Vec<f32>, Vec<f32>)>,
}

/// Reads the weights of a feature network and finds out which one it is: VGG-16, VGG-19,
/// AlexNet or SqueezeNet 1.1 as torchvision saves them (`.pth` or `.safetensors`, with or
/// without their classifier), or SqueezeNet 1.1 of Caffe for ncnn (`.param` or `.bin`, the
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

    /// Weight and bias of each of [`Backbone::convolutions`], for pictures of red, green and blue.
    pub(super) fn in_rgb(&self) -> Vec<(Vec<f32>, Vec<f32>)> {
        let mut weights = self.weights.clone();
        if let (Backbone::SqueezeNetCaffe, Some((first, _)), Some(convolution)) =
            (self.backbone, weights.first_mut(), self.backbone.convolutions().first())
        {
            blue_last(first, convolution);
        }
        weights
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
    /// them, which gives the numbers of the whole. VGG-16 takes about 800 MB.
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use safetensors::{Dtype, tensor::TensorView};

    use super::*;
    use crate::{
        net::features::tests as formula,
        settings::{self, Existing},
    };

    type Named = Vec<(String, Vec<usize>, Vec<f32>)>;

    /// The weights of a backbone by formula, as torchvision would save them.
    fn saved(backbone: Backbone) -> Named {
        let weights = formula::weights(backbone).into_iter().zip(backbone.convolutions());
        weights
            .flat_map(|((weight, bias), convolution)| {
                let name = convolution.torch;
                [
                    (format!("{name}.weight"), convolution.shape.to_vec(), weight),
                    (format!("{name}.bias"), convolution.shape[..1].to_vec(), bias),
                ]
            })
            .collect()
    }

    /// Linear layers by formula: numbers from 0 to 1.
    fn layers(backbone: Backbone) -> Named {
        let layers = backbone.compared().into_iter().enumerate();
        layers
            .map(|(place, layer)| {
                let count = layer.channels();
                let values = formula::noise(count, 1000 + place).map(|value| (value + 0.5) as f32);
                (format!("lin{place}.model.1.weight"), vec![1, count, 1, 1], values.collect())
            })
            .collect()
    }

    fn write(folder: &Path, name: &str, tensors: &Named) -> PathBuf {
        let path = folder.join(name);
        let bytes: Vec<Vec<u8>> = tensors
            .iter()
            .map(|(.., values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
            .collect();
        let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
            (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        settings::write(&path, &bytes, Existing::Replace).unwrap()
    }

    /// A pattern whose `phase` moves it.
    fn pattern(width: u32, height: u32, phase: f64) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([1.0, 2.0, 3.0].map(|frequency| {
                let angle = 0.37 * f64::from(x) * frequency + 0.23 * f64::from(y) + phase;
                ((0.5 + 0.5 * angle.sin()) * 255.0).round() as u8
            }))
        })
    }

    fn close(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 1e-4, "{found} instead of {expected}");
    }

    #[test]
    fn lpips_is_that_of_its_authors() {
        // `lpips.LPIPS(net=...)` of the package lpips 0.1.4 with these weights and linear layers,
        // called with `normalize=True`; then with linear layers of 1 / channels. VGG-16 takes
        // the same way and is compared below.
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (pattern(66, 75, 0.0), pattern(66, 75, 0.7));
        for (backbone, name, expected, even) in [
            (Backbone::AlexNet, "LPIPS (AlexNet)", 0.220434099, 0.006491312),
            (Backbone::SqueezeNet, "LPIPS (SqueezeNet)", 0.223540351, 0.006820461),
        ] {
            let features = write(folder.path(), "features.safetensors", &saved(backbone));
            let linear = write(folder.path(), "linear.safetensors", &layers(backbone));
            let perceptual = Perceptual::open(&features, Some(&linear)).unwrap();
            assert_eq!(perceptual.name(), name);
            close(perceptual.distance(&a, &b).unwrap(), expected);
            assert_eq!(perceptual.distance(&a, &a).unwrap(), 0.0);
            let perceptual = Perceptual::open(&features, None).unwrap();
            assert!(perceptual.name().contains("without"));
            close(perceptual.distance(&a, &b).unwrap(), even);
        }
    }

    #[test]
    fn pieces_give_the_distance_of_the_whole() {
        let device = Device::flex();
        // The shape is so that pieces end at no multiple of anything; VGG-19 looks furthest.
        for (backbone, size) in [
            (Backbone::SqueezeNet, (420, 339)),
            (Backbone::AlexNet, (339, 420)),
            (Backbone::Vgg19, (441, 38)),
        ] {
            let features = Features::new(backbone, formula::weights(backbone), &device);
            let network = FeatureDistance::new(features, None, &device);
            let perceptual = Perceptual { network, name: String::new() };
            let (a, b) = (pattern(size.0, size.1, 0.0), pattern(size.0, size.1, 0.7));
            let whole = perceptual.in_pieces(&a, &b, 512).unwrap();
            let pieces = perceptual.in_pieces(&a, &b, 96).unwrap();
            assert!((pieces / whole - 1.0).abs() < 1e-6, "{pieces} instead of {whole}");
        }
    }

    #[test]
    fn a_network_is_known_by_its_tensors_alone() {
        let folder = tempfile::tempdir().unwrap();
        let open_with = |tensors: &Named| open(&write(folder.path(), "some.pth", tensors));
        let whole = saved(Backbone::SqueezeNet);
        assert_eq!(open_with(&whole).unwrap().backbone(), Backbone::SqueezeNet);
        let classified = [&whole[..], &[("classifier.1.bias".into(), vec![1], vec![0.0])]].concat();
        assert_eq!(open_with(&classified).unwrap().backbone(), Backbone::SqueezeNet);

        let deeper = [&whole[..], &[("features.13.weight".into(), vec![1], vec![0.0])]].concat();
        let mut turned = whole.clone();
        turned[0].1 = vec![3, 64, 3, 3];
        for other in [vec![], whole[1..].to_vec(), deeper, turned] {
            let error = open_with(&other).err().unwrap();
            assert!(error.to_string().contains("none of the feature networks"), "{error}");
        }
        let mut broken = whole;
        broken[3].2[0] = f32::NAN;
        let error = open_with(&broken).err().unwrap();
        assert!(error.to_string().contains("no numbers"), "{error}");
    }

    #[test]
    fn what_does_not_belong_together_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let features = write(folder.path(), "f.safetensors", &saved(Backbone::SqueezeNet));
        let linear = write(folder.path(), "l.safetensors", &layers(Backbone::Vgg16));
        let error = Perceptual::open(&features, Some(&linear)).err().unwrap();
        assert!(error.to_string().contains("LPIPS for SqueezeNet"), "{error}");
        assert!(Perceptual::open(&linear, None).is_err());

        let perceptual = Perceptual::open(&features, None).unwrap();
        let (a, b, small) = (pattern(40, 33, 0.0), pattern(33, 40, 0.0), pattern(31, 40, 0.0));
        for (a, b) in [(&a, &b), (&small, &small)] {
            assert!(matches!(perceptual.distance(a, b), Err(Error::Setting(_))));
        }
        for side in 32..48 {
            let (a, b) = (pattern(side, 32, 0.0), pattern(side, 32, 0.5));
            assert!(perceptual.distance(&a, &b).unwrap() > 0.0);
        }
    }

    fn data() -> PathBuf {
        std::env::var_os("PIXMEND_DATA").expect("PIXMEND_DATA names the folder of test data").into()
    }

    /// Pictures of Set5 and what the starter made of their small versions.
    fn restored(name: &str) -> (RgbImage, RgbImage) {
        let open = |path: PathBuf| image::open(path).unwrap().into_rgb8();
        let result = open(data().join(format!("starter/output_{name}.png")));
        let original = open(data().join(format!("test/set5/{name}.webp")));
        let (width, height) = result.dimensions();
        (crop_imm(&original, 0, 0, width, height).to_image(), result)
    }

    #[test]
    #[ignore = "needs PIXMEND_DATA"]
    fn standard_lpips_with_its_published_layers_is_that_of_its_authors() {
        // The package lpips 0.1.4 with its own linear layers, the networks filled by formula.
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (pattern(66, 75, 0.0), pattern(66, 75, 0.7));
        for (backbone, file, expected) in [
            (Backbone::Vgg16, "vgg", [0.058119103, 0.009141687, 0.006137267]),
            (Backbone::SqueezeNet, "squeeze", [0.038357362, 0.004149486, 0.004244934]),
        ] {
            let features = write(folder.path(), "features.safetensors", &saved(backbone));
            let linear = data().join(format!("weights/lpips_v01_{file}.pth"));
            let perceptual = Perceptual::open(&features, Some(&linear)).unwrap();
            close(perceptual.distance(&a, &b).unwrap(), expected[0]);
            for (name, expected) in ["img_003", "img_005"].into_iter().zip(&expected[1..]) {
                let (original, result) = restored(name);
                close(perceptual.distance(&original, &result).unwrap(), *expected);
            }
        }
    }

    #[test]
    #[ignore = "needs PIXMEND_DATA"]
    fn squeezenet_of_caffe_is_that_of_ncnn() {
        // Values of the layers by ncnn 1.0.20261020 in single precision; distances by PyTorch 2.15
        // in double precision with the weights of the same file (ncnn agrees to 1e-7).
        let file = data().join("weights/squeezenet_v1.1.param");
        let extractor = open(&file).unwrap();
        assert_eq!(extractor.backbone(), Backbone::SqueezeNetCaffe);
        let network = extractor.on(&Device::flex());
        let picture = image::open(data().join("weights/golden/input_rgb48x40.png")).unwrap();
        let input = tensor(&picture.into_rgb8(), [0, 0], [40, 48]);
        for (name, mean, wave) in [
            ("relu1", 2.707055994e1, 1.614399736e3),
            ("pool1", 8.508637464e1, 3.144930560e3),
            ("fire3", 4.854013681e1, 3.625868062e3),
            ("pool5", 1.253074509e2, -8.291674759e2),
            ("fire6", 4.420040469e1, 3.001868431e3),
            ("fire9", 2.347801448, -3.702198970e2),
        ] {
            let layer = extractor.backbone().layer(name).unwrap();
            let (m, w) = formula::figures(network.forward(input.clone(), &[layer]).remove(0));
            close(m, mean);
            close(w, wave);
        }

        let linear = data().join("weights/lpips_v01_squeeze.pth");
        let perceptual = Perceptual::open(&file.with_extension("bin"), Some(&linear)).unwrap();
        assert_eq!(perceptual.name(), "SqueezeNet feature distance");
        let even = Perceptual::open(&file, None).unwrap();
        for (name, weighted, plain) in
            [("img_003", 0.115733908, 0.006662390), ("img_005", 0.082583093, 0.005289209)]
        {
            let (original, result) = restored(name);
            close(perceptual.distance(&original, &result).unwrap(), weighted);
            close(even.distance(&original, &result).unwrap(), plain);
        }
    }

    #[test]
    #[ignore = "needs a graphics adapter"]
    fn a_graphics_adapter_gives_the_numbers_of_the_cpu() {
        // Any adapter will do, a software one too, though lavapipe crashes in Burn's 1x1
        // convolutions, which SqueezeNet has, and in gradients of any.
        let adapters = crate::device::adapters();
        let adapter = adapters.iter().find(|adapter| adapter.self_test().is_ok()).unwrap();
        let chosen = crate::device::Chosen::by_name(&adapter.name).unwrap();
        for backbone in [Backbone::Vgg16, Backbone::AlexNet] {
            let [cpu, gpu] = [&Device::flex(), chosen.burn()].map(|device| {
                let features = Features::new(backbone, formula::weights(backbone), device);
                let input = tensor(&pattern(40, 37, 0.0), [0, 0], [37, 40]).into_data();
                let deepest = backbone.compared().pop().unwrap();
                let values = features.forward(Tensor::from_data(input, device), &[deepest]);
                formula::figures(values.into_iter().next().unwrap())
            });
            close(gpu.0, cpu.0);
            close(gpu.1, cpu.1);
        }
    }
}
