//! The networks that inference is compared on, for us, Burn and ncnn; `infer.py` has them for
//! PyTorch.

use burn::tensor::{
    Device, Tensor, TensorData, activation::prelu, module::conv2d, ops::ConvOptions,
};
use pixmend::net::{
    NetworkConfig,
    blocks::{Interpolation, enlarge},
    direct::{Beside, Filter, Graph},
    enhancenet::{EnhanceNetConfig, EnhanceNetKind},
    residual::ResidualConfig,
    slots,
    unet::UnetConfig,
};

/// A network of ours at full size with drawn numbers, which only Burn is compared on.
pub fn of_ours(name: &str, device: &Device) -> Option<pixmend::net::Network> {
    let config = match name {
        "srgan" => NetworkConfig::Residual(ResidualConfig::srgan()),
        "srgan-keras" => NetworkConfig::SrganKeras,
        "enhancenet" => {
            NetworkConfig::EnhanceNet(EnhanceNetConfig::paper(EnhanceNetKind::Residual))
        }
        "unet" => NetworkConfig::Unet(UnetConfig::full()),
        "unet-small" => NetworkConfig::Unet(UnetConfig::small()),
        _ => return None,
    };
    let network = config.init(device);
    let shapes = slots::of(&network);
    let mut rng = fastrand::Rng::with_seed(9);
    Some(slots::filled(network, device, |path| {
        let slot = shapes.iter().find(|slot| slot.path == path)?;
        let inputs: usize = slot.shape.iter().skip(1).product();
        let size = if path.ends_with("bias") { 0.1 } else { (3.0 / inputs as f32).sqrt() };
        let drawn = slot.shape.len() == 4 || path.ends_with("bias");
        drawn.then(|| (0..slot.len()).map(|_| size * (2.0 * rng.f32() - 1.0)).collect())
    }))
}

/// All that can be compared.
pub const NAMES: [&str; 8] = [
    "compact-64x16",
    "compact-64x32",
    "starter",
    "srgan",
    "srgan-keras",
    "enhancenet",
    "unet",
    "unet-small",
];

const SCALE: usize = 4;

/// How its convolutions are connected.
#[derive(Clone, Copy)]
enum Kind {
    /// In a row; the picture is added with its pixels repeated.
    Compact,
    /// In blocks with shortcuts; the picture is added in bilinear enlargement.
    Residual,
}

/// A network that others have too, with its numbers: `SRVGGNetCompact` (X. Wang et al.,
/// "Real-ESRGAN", 2021) of 64 features and 16 or 32 convolutions in its body, or our starter.
pub struct Network {
    kind: Kind,
    filters: Vec<Filter>,
}

impl Network {
    /// The network of a name, with drawn numbers.
    pub fn drawn(name: &str) -> Option<Self> {
        let (kind, channels, pairs) = match name {
            "compact-64x16" => (Kind::Compact, 64, 16),
            "compact-64x32" => (Kind::Compact, 64, 32),
            "starter" => (Kind::Residual, 48, 8),
            _ => return None,
        };
        let mut rng = fastrand::Rng::with_seed(7);
        let mut filter = |inputs: usize, outputs: usize, slope: bool| {
            let mut draw = |count: usize, size: f32| -> Vec<f32> {
                (0..count).map(|_| size * (2.0 * rng.f32() - 1.0)).collect()
            };
            // Activations halve the variance, roughly.
            let size = (f32::from(3 + 3 * u8::from(slope)) / (9 * inputs) as f32).sqrt();
            Filter {
                inputs,
                outputs,
                kernel: 3,
                stride: 1,
                weight: draw(outputs * inputs * 9, size),
                bias: draw(outputs, 0.1),
                slope: slope.then(|| draw(outputs, 0.5)),
            }
        };
        let compact = matches!(kind, Kind::Compact);
        let mut filters = vec![filter(3, channels, compact)];
        for _ in 0..pairs {
            filters.push(filter(channels, channels, true));
            if !compact {
                filters.push(filter(channels, channels, false));
            }
        }
        if !compact {
            filters.push(filter(channels, channels, false));
        }
        filters.push(filter(channels, 3 * SCALE * SCALE, false));
        Some(Self { kind, filters })
    }

    /// Multiplications and additions of the plain sums for a picture.
    pub fn operations(&self, height: usize, width: usize) -> f64 {
        let weights: usize = self.filters.iter().map(|filter| filter.weight.len()).sum();
        2.0 * (weights * height * width) as f64
    }

    const fn enlargement(&self) -> Interpolation {
        match self.kind {
            Kind::Compact => Interpolation::Nearest,
            Kind::Residual => Interpolation::Bilinear,
        }
    }

    /// For our own path.
    pub fn graph(self) -> Graph {
        let enlargement = self.enlargement();
        let mut graph = Graph::new(3, 1);
        let mut value = graph.picture(vec![1.0; 3], vec![0.0; 3]);
        let last = self.filters.len() - 1;
        let mut filters = self.filters.into_iter();
        match self.kind {
            Kind::Compact => {
                for filter in filters {
                    value = graph.conv(value, filter, Beside::NOTHING);
                }
            }
            Kind::Residual => {
                let mut next = |value, beside| match filters.next() {
                    Some(filter) => graph.conv(value, filter, beside),
                    None => value,
                };
                let first = next(value, Beside::NOTHING);
                value = first;
                for _ in 0..(last - 2) / 2 {
                    let inner = next(value, Beside::NOTHING);
                    value = next(inner, Beside::plus(value));
                }
                let body = next(value, Beside::plus(first));
                value = next(body, Beside::NOTHING);
            }
        }
        graph.finished(value, SCALE, SCALE, Some(enlargement))
    }

    /// Bytes that its convolutions would move with numbers of so many bytes if each read its input
    /// and wrote its output once.
    pub fn traffic(&self, height: usize, width: usize, bytes: usize) -> f64 {
        let maps: usize = self.filters.iter().map(|filter| filter.inputs + filter.outputs).sum();
        (maps * height * width * bytes) as f64
    }

    /// Bytes that are moved with numbers of so many bytes where activations and sums are kernels of
    /// their own, as on a graphics card: each map is then read and written again by each of them.
    /// The picture and the answer have 32 bit.
    pub fn moved(&self, height: usize, width: usize, bytes: usize) -> f64 {
        let active = |filter: &Filter| if filter.slope.is_some() { 2 * filter.outputs } else { 0 };
        let activations: usize = self.filters.iter().map(active).sum();
        let (channels, last) = (self.filters[0].outputs, self.filters.len() - 1);
        let sums = match self.kind {
            Kind::Compact => 0,
            Kind::Residual => 3 * channels * last.div_ceil(2),
        };
        let answer = 3 * SCALE * SCALE;
        // The picture enlarged, added to the last map, and the pixel shuffle.
        let end = bytes * answer + size_of::<f32>() * (3 + answer + 2 * answer + 2 * answer);
        let maps = (bytes * (activations + sums) + end) * height * width;
        self.traffic(height, width, bytes) + maps as f64
    }

    /// How many convolutions it has.
    pub const fn convolutions(&self) -> usize {
        self.filters.len()
    }

    /// For Burn, on a device.
    pub fn burn(&self, device: &Device) -> impl Fn(Tensor<4>) -> Tensor<4> + use<> {
        let vector = |values: &[f32]| {
            let data = TensorData::new(values.to_vec(), [values.len()]);
            Tensor::<1>::from_data(data, device)
        };
        let layer = |filter: &Filter| {
            let shape = [filter.outputs, filter.inputs, 3, 3];
            let weight =
                Tensor::<4>::from_data(TensorData::new(filter.weight.clone(), shape), device);
            let (bias, slope) = (vector(&filter.bias), filter.slope.as_deref().map(vector));
            move |input: Tensor<4>| {
                let options = ConvOptions::new([1; 2], [1; 2], [1; 2], 1);
                let sums = conv2d(input, weight.clone(), Some(bias.clone()), options);
                match &slope {
                    Some(slope) => prelu(sums, slope.clone()),
                    None => sums,
                }
            }
        };
        let layers: Vec<_> = self.filters.iter().map(layer).collect();
        let (kind, enlargement) = (self.kind, self.enlargement());
        move |input: Tensor<4>| {
            let last = layers.len() - 1;
            let large = enlarge(input.clone(), SCALE, enlargement);
            let features = match kind {
                Kind::Compact => layers[..last].iter().fold(input, |value, layer| layer(value)),
                Kind::Residual => {
                    let first = layers[0](input);
                    let blocks = layers[1..last - 1].chunks_exact(2);
                    let body = blocks.fold(first.clone(), |value, block| {
                        value.clone() + block[1](block[0](value))
                    });
                    first + layers[last - 1](body)
                }
            };
            let shuffle = burn::nn::PixelShuffleConfig::new(SCALE).init();
            large + shuffle.forward(layers[last](features))
        }
    }

    /// ncnn's weights: before those of a convolution a zero says that they are plain floats.
    /// `infer.py` reads them for PyTorch too.
    pub fn bin(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for filter in &self.filters {
            bytes.extend(0_u32.to_le_bytes());
            for values in [Some(&filter.weight), Some(&filter.bias), filter.slope.as_ref()] {
                bytes.extend(values.into_iter().flatten().flat_map(|value| value.to_le_bytes()));
            }
        }
        bytes
    }

    /// ncnn's list of layers.
    pub fn param(&self) -> String {
        let mut layers = Layers::default();
        layers.add("Input", &[], &["data"], "");
        layers.add("Split", &["data"], &["picture", "skip"], "");
        let last = self.filters.len() - 1;
        let mut value = "picture".to_owned();
        let mut shortcut = String::new();
        for (number, filter) in self.filters.iter().enumerate() {
            let residual = matches!(self.kind, Kind::Residual);
            if residual && number % 2 == 1 && number < last - 1 {
                // The first of a block.
                let (a, b) = (format!("{value}a"), format!("{value}b"));
                layers.add("Split", &[&value], &[&a, &b], "");
                (value, shortcut) = (a, b);
            }
            let sum = format!("conv{number}");
            let Filter { inputs, outputs, slope, .. } = filter;
            let shape = format!("0={outputs} 1=3 4=1 5=1 6={}", inputs * outputs * 9);
            layers.add("Convolution", &[&value], &[&sum], &shape);
            value = sum;
            if slope.is_some() {
                let active = format!("act{number}");
                layers.add("PReLU", &[&value], &[&active], &format!("0={outputs}"));
                value = active;
            }
            if residual && number == 0 {
                layers.add("Split", &[&value], &["first", "around"], "");
                value = "first".to_owned();
            } else if residual && number < last && (number % 2 == 0 || number == last - 1) {
                let added = format!("add{number}");
                let with = if number == last - 1 { "around" } else { &shortcut };
                layers.add("BinaryOp", &[&value, with], &[&added], "0=0");
                value = added;
            }
        }
        layers.add("PixelShuffle", &[&value], &["shuffled"], &format!("0={SCALE}"));
        let by = if matches!(self.kind, Kind::Compact) { 1 } else { 2 };
        let shape = format!("0={by} 1={SCALE}.0 2={SCALE}.0");
        layers.add("Interp", &["skip"], &["large"], &shape);
        layers.add("BinaryOp", &["shuffled", "large"], &["output"], "0=0");
        format!("7767517\n{} {}\n{}", layers.count, layers.values, layers.text)
    }
}

#[derive(Default)]
struct Layers {
    text: String,
    count: usize,
    values: usize,
}

impl Layers {
    fn add(&mut self, kind: &str, from: &[&str], to: &[&str], numbers: &str) {
        let (name, inputs, outputs) = (self.count, from.len(), to.len());
        let ends: Vec<&str> = from.iter().chain(to).copied().collect();
        let ends = ends.join(" ");
        self.text += &format!("{kind} layer{name} {inputs} {outputs} {ends} {numbers}\n");
        self.count += 1;
        self.values += outputs;
    }
}

/// The picture that all compute, `[channel][y][x]`.
pub fn picture(height: usize, width: usize) -> Vec<f32> {
    let value = |place: usize| {
        let hash = (place as u32).wrapping_mul(2_654_435_761);
        (hash >> 8) as f32 / (1 << 24) as f32
    };
    (0..3 * height * width).map(value).collect()
}
