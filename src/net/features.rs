//! Networks that learnt to name what is in a photo, without the part that names it. What they
//! see on the way tells how alike two pictures look to people, better than pixels do.
//!
//! - VGG-16, VGG-19: K. Simonyan and A. Zisserman, "Very deep convolutional networks for
//!   large-scale image recognition", 2015.
//! - AlexNet: A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
//!   2014.
//! - SqueezeNet 1.1: F. Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer
//!   parameters", 2016.
//!
//! All have the layers that torchvision gives them. [`FeatureDistance`] compares two pictures by
//! them: R. Zhang et al., "The unreasonable effectiveness of deep features as a perceptual
//! metric", CVPR 2018.

use burn::{
    module::Module,
    tensor::{
        Device, Tensor, TensorData,
        activation::relu,
        module::{conv2d, max_pool2d},
        ops::{ConvOptions, MaxPoolOptions},
    },
};

use super::{
    blocks::{IMAGENET_DEVIATION, IMAGENET_MEAN},
    direct,
};

/// Which network, and whose training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backbone {
    /// VGG-16 as torchvision trained it.
    Vgg16,
    /// VGG-19 as torchvision trained it.
    Vgg19,
    /// AlexNet as torchvision trained it.
    AlexNet,
    /// SqueezeNet 1.1 as torchvision trained it.
    SqueezeNet,
    /// SqueezeNet 1.1 as its authors trained it in Caffe: the same layers, other numbers.
    SqueezeNetCaffe,
}

/// What a step computes.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// Convolution and ReLU.
    Conv { outputs: usize, kernel: usize, stride: usize, padding: usize },
    /// Maximum of windows of this side, every second pixel. `ceil`: the last window may stand
    /// over the border.
    Pool { kernel: usize, ceil: bool },
    /// 1x1 convolution to few channels, then 1x1 and 3x3 ones side by side to this many each;
    /// a ReLU after each.
    Fire { squeeze: usize, expand: usize },
}

/// A named part of a backbone.
struct Step {
    name: String,
    part: Part,
}

impl Step {
    fn new(name: impl Into<String>, part: Part) -> Self {
        Self { name: name.into(), part }
    }
}

/// One convolution of a backbone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Its name in torchvision's state dictionary, as in `features.0`.
    pub torch: String,
    /// Its name in Caffe's files where they have one, as in `fire2/squeeze1x1`.
    pub caffe: String,
    /// Of its weights: outputs, inputs, rows, columns.
    pub shape: [usize; 4],
}

/// A place in a backbone whose values can be asked for; see [`Backbone::layer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    backbone: Backbone,
    step: usize,
}

impl Backbone {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Vgg16, Self::Vgg19, Self::AlexNet, Self::SqueezeNet, Self::SqueezeNetCaffe];

    /// Its name for people, which does not tell who trained it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vgg16 => "VGG-16",
            Self::Vgg19 => "VGG-19",
            Self::AlexNet => "AlexNet",
            Self::SqueezeNet | Self::SqueezeNetCaffe => "SqueezeNet",
        }
    }

    /// The parts up to the last that has a use here.
    fn steps(self) -> Vec<Step> {
        match self {
            Self::Vgg16 => vgg([2, 2, 3, 3, 3]),
            Self::Vgg19 => vgg([2, 2, 4, 4, 4]),
            Self::AlexNet => {
                let conv = |outputs, kernel, stride, padding| Part::Conv {
                    outputs,
                    kernel,
                    stride,
                    padding,
                };
                let pool = Part::Pool { kernel: 3, ceil: false };
                vec![
                    Step::new("relu1", conv(64, 11, 4, 2)),
                    Step::new("pool1", pool),
                    Step::new("relu2", conv(192, 5, 1, 2)),
                    Step::new("pool2", pool),
                    Step::new("relu3", conv(384, 3, 1, 1)),
                    Step::new("relu4", conv(256, 3, 1, 1)),
                    Step::new("relu5", conv(256, 3, 1, 1)),
                    Step::new("pool5", pool),
                ]
            }
            Self::SqueezeNet | Self::SqueezeNetCaffe => {
                let fire = |squeeze, expand| Part::Fire { squeeze, expand };
                let pool = Part::Pool { kernel: 3, ceil: true };
                vec![
                    Step::new(
                        "relu1",
                        Part::Conv { outputs: 64, kernel: 3, stride: 2, padding: 0 },
                    ),
                    Step::new("pool1", pool),
                    Step::new("fire2", fire(16, 64)),
                    Step::new("fire3", fire(16, 64)),
                    Step::new("pool3", pool),
                    Step::new("fire4", fire(32, 128)),
                    Step::new("fire5", fire(32, 128)),
                    Step::new("pool5", pool),
                    Step::new("fire6", fire(48, 192)),
                    Step::new("fire7", fire(48, 192)),
                    Step::new("fire8", fire(64, 256)),
                    Step::new("fire9", fire(64, 256)),
                ]
            }
        }
    }

    /// Its convolutions, in the order in which [`Features::new`] takes their weights.
    #[must_use]
    pub fn convolutions(self) -> Vec<Convolution> {
        let mut found = Vec::new();
        let mut inputs = 3;
        // torchvision counts a convolution and its ReLU as two, all else as one.
        let mut place = 0;
        for Step { name, part } in self.steps() {
            let torch = format!("features.{place}");
            match part {
                Part::Conv { outputs, kernel, .. } => {
                    let caffe = name.replace("relu", "conv");
                    found.push(Convolution {
                        torch,
                        caffe,
                        shape: [outputs, inputs, kernel, kernel],
                    });
                    inputs = outputs;
                    place += 2;
                }
                Part::Fire { squeeze, expand } => {
                    for (inner, caffe, shape) in [
                        ("squeeze", "squeeze1x1", [squeeze, inputs, 1, 1]),
                        ("expand1x1", "expand1x1", [expand, squeeze, 1, 1]),
                        ("expand3x3", "expand3x3", [expand, squeeze, 3, 3]),
                    ] {
                        found.push(Convolution {
                            torch: format!("{torch}.{inner}"),
                            caffe: format!("{name}/{caffe}"),
                            shape,
                        });
                    }
                    inputs = 2 * expand;
                    place += 1;
                }
                Part::Pool { .. } => place += 1,
            }
        }
        found
    }

    /// The layer of this name, if there is one.
    ///
    /// What a convolution gives is always taken after its ReLU, whichever name it goes by:
    ///
    /// - VGG: `relu1_1` to `relu5_4`, the same as `conv1_1` and `block1_conv1`; `pool1` to
    ///   `pool5`, the same as `block1_pool`; and φ of C. Ledig et al., "Photo-realistic single
    ///   image super-resolution", CVPR 2017: `VGG22` is `relu2_2` and `VGG54` is `relu5_4`, "after
    ///   activation" as their section 2.2.1 has it.
    /// - AlexNet: `relu1` to `relu5`, the same as `conv1`; `pool1`, `pool2`, `pool5`.
    /// - SqueezeNet: `relu1`, the same as `conv1`; `fire2` to `fire9`, both halves after their
    ///   ReLU; `pool1`, `pool3`, `pool5`.
    #[must_use]
    pub fn layer(self, name: &str) -> Option<Layer> {
        let wanted = canonical(name);
        let step = self.steps().iter().position(|step| step.name == wanted)?;
        Some(Layer { backbone: self, step })
    }

    /// The names of its layers from the first to the deepest.
    #[must_use]
    pub fn layer_names(self) -> Vec<String> {
        self.steps().into_iter().map(|step| step.name).collect()
    }

    /// The layers by which [`FeatureDistance`] compares: those of Zhang et al., and for VGG-19,
    /// which they did not use, the last of each block.
    #[must_use]
    pub fn compared(self) -> Vec<Layer> {
        let names: &[&str] = match self {
            Self::Vgg16 => &["relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"],
            Self::Vgg19 => &["relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4"],
            Self::AlexNet => &["relu1", "relu2", "relu3", "relu4", "relu5"],
            Self::SqueezeNet | Self::SqueezeNetCaffe => {
                &["relu1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9"]
            }
        };
        names.iter().filter_map(|name| self.layer(name)).collect()
    }
}

impl Layer {
    /// How many channels it has.
    #[must_use]
    pub fn channels(self) -> usize {
        let steps = self.backbone.steps();
        let outputs = steps[..=self.step].iter().rev().find_map(|step| match step.part {
            Part::Conv { outputs, .. } => Some(outputs),
            Part::Fire { expand, .. } => Some(2 * expand),
            Part::Pool { .. } => None,
        });
        outputs.unwrap_or(3)
    }

    /// The smallest side of a picture that leaves something of it.
    #[must_use]
    pub fn smallest(self) -> u32 {
        // AlexNet pools three times without a border.
        let deepest = self.backbone.layer("pool5") == Some(self);
        if self.backbone == Backbone::AlexNet && deepest { 63 } else { SMALLEST }
    }

    /// How many pixels of the picture lie between two of its own.
    #[must_use]
    pub fn stride(self) -> usize {
        let steps = self.backbone.steps();
        let strides = steps[..=self.step].iter().map(|step| match step.part {
            Part::Conv { stride, .. } => stride,
            Part::Pool { .. } => 2,
            Part::Fire { .. } => 1,
        });
        strides.product()
    }
}

/// Blocks of 3x3 convolutions, a pooling after each.
fn vgg(blocks: [usize; 5]) -> Vec<Step> {
    let mut steps = Vec::new();
    for ((block, count), outputs) in (1..).zip(blocks).zip([64, 128, 256, 512, 512]) {
        let conv = Part::Conv { outputs, kernel: 3, stride: 1, padding: 1 };
        steps.extend((1..=count).map(|i| Step::new(format!("relu{block}_{i}"), conv)));
        steps.push(Step::new(format!("pool{block}"), Part::Pool { kernel: 2, ceil: false }));
    }
    steps
}

/// The one of a layer's names that [`Step`] has.
fn canonical(name: &str) -> String {
    if let Some((block, inner)) = name.strip_prefix("block").and_then(|rest| rest.split_once('_')) {
        return match inner.strip_prefix("conv") {
            Some(number) => format!("relu{block}_{number}"),
            None => format!("{inner}{block}"),
        };
    }
    let digits = name.strip_prefix("VGG").unwrap_or_default().as_bytes();
    if let [block, number] = *digits {
        return format!("relu{}_{}", char::from(block), char::from(number));
    }
    name.replace("conv", "relu")
}

/// Weights that training leaves alone: plain tensors are constants to Burn.
#[derive(Module, Debug)]
struct Fixed {
    weight: Tensor<4>,
    bias: Tensor<1>,
}

impl Fixed {
    /// Convolution and ReLU.
    fn forward(&self, input: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
        let plain = (stride, padding, &self.weight.dims()[2..]) == (1, 1, &[3, 3]);
        let own = || direct::convolution(&input, &self.weight, Some(&self.bias));
        relu(plain.then(own).flatten().unwrap_or_else(|| {
            let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
            conv2d(input, self.weight.clone(), Some(self.bias.clone()), options)
        }))
    }
}

/// The convolutional part of a [`Backbone`]. It has nothing to train, and lets gradients through
/// to the picture.
#[derive(Module, Debug)]
pub struct Features {
    #[module(skip)]
    backbone: Backbone,
    mean: Tensor<4>,
    scale: Tensor<4>,
    convs: Vec<Fixed>,
}

impl Features {
    /// `weights` are the weight and bias of each of [`Backbone::convolutions`], in their order.
    ///
    /// # Panics
    /// If they have another length.
    #[must_use]
    pub fn new(backbone: Backbone, weights: Vec<(Vec<f32>, Vec<f32>)>, device: &Device) -> Self {
        let colours = |values: [f32; 3]| {
            Tensor::from_data(TensorData::new(values.to_vec(), [1, 3, 1, 1]), device)
        };
        let caffe = backbone == Backbone::SqueezeNetCaffe;
        let (mean, scale) = if caffe {
            ([123.0, 117.0, 104.0].map(|level| level / 255.0), [255.0; 3])
        } else {
            (IMAGENET_MEAN, IMAGENET_DEVIATION.map(|deviation| 1.0 / deviation))
        };
        let convolutions = backbone.convolutions();
        assert_eq!(convolutions.len(), weights.len(), "one pair of weights a convolution");
        let mut convs = Vec::with_capacity(weights.len());
        for (convolution, (mut weight, bias)) in convolutions.iter().zip(weights) {
            let [outputs, inputs, ..] = convolution.shape;
            if caffe && inputs == 3 {
                blue_last(&mut weight, convolution);
            }
            convs.push(Fixed {
                weight: Tensor::from_data(TensorData::new(weight, convolution.shape), device),
                bias: Tensor::from_data(TensorData::new(bias, [outputs]), device),
            });
        }
        Self { backbone, mean: colours(mean), scale: colours(scale), convs }
    }

    /// Whose features these are.
    #[must_use]
    pub const fn backbone(&self) -> Backbone {
        self.backbone
    }

    /// The values of `layers`, in their order, for pictures `[n, 3, h, w]` of red, green and blue
    /// from 0 to 1. Nothing behind the deepest of them is computed. Sides of [`SMALLEST`] and
    /// more are enough for any layer but AlexNet's `pool5`, which wants 63.
    ///
    /// # Panics
    /// If a layer is of another backbone.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>, layers: &[Layer]) -> Vec<Tensor<4>> {
        assert!(
            layers.iter().all(|layer| layer.backbone == self.backbone),
            "a layer of another network was asked for"
        );
        let depth = layers.iter().map(|layer| layer.step + 1).max().unwrap_or(0);
        let mut values = (input - self.mean.clone()) * self.scale.clone();
        let mut found = vec![None; layers.len()];
        let mut convs = self.convs.iter();
        let mut apply = |input, stride, padding| match convs.next() {
            Some(conv) => conv.forward(input, stride, padding),
            None => input,
        };
        for (place, step) in self.backbone.steps().into_iter().take(depth).enumerate() {
            values = match step.part {
                Part::Conv { stride, padding, .. } => apply(values, stride, padding),
                Part::Fire { .. } => {
                    let squeezed = apply(values, 1, 0);
                    let narrow = apply(squeezed.clone(), 1, 0);
                    Tensor::cat(vec![narrow, apply(squeezed, 1, 1)], 1)
                }
                Part::Pool { kernel, ceil } => pool(values, kernel, ceil),
            };
            for (layer, found) in layers.iter().zip(&mut found) {
                if layer.step == place {
                    *found = Some(values.clone());
                }
            }
        }
        found.into_iter().flatten().collect()
    }
}

/// Caffe's networks were trained on blue, green and red: their first weights for red, green and
/// blue. The order of the sum is free.
pub fn blue_last(weight: &mut [f32], first: &Convolution) {
    let [_, _, rows, columns] = first.shape;
    let plane = rows * columns;
    for kernel in weight.chunks_exact_mut(3 * plane) {
        let (blue, rest) = kernel.split_at_mut(plane);
        blue.swap_with_slice(&mut rest[plane..]);
    }
}

/// Pictures with a smaller side have no values at all in the deeper layers.
pub const SMALLEST: u32 = 32;

/// Maximum of windows of `kernel` by `kernel`, every second pixel.
fn pool(input: Tensor<4>, kernel: usize, ceil: bool) -> Tensor<4> {
    let options = MaxPoolOptions::new([kernel; 2]).with_stride([2, 2]).with_ceil_mode(ceil);
    max_pool2d(input, options)
}

/// How far apart two pictures are in the eyes of a network: the values of a pixel become a
/// vector of length one, and the squared differences of the vectors are weighted by channel,
/// averaged over the picture and summed over the layers.
#[derive(Module, Debug)]
pub struct FeatureDistance {
    features: Features,
    #[module(skip)]
    layers: Vec<Layer>,
    weights: Vec<Tensor<4>>,
}

impl FeatureDistance {
    /// `weights` has one number a channel for each of [`Backbone::compared`]. Without them every
    /// channel counts the same, so that each layer gives the mean of its squared differences.
    ///
    /// # Panics
    /// If they have another length.
    #[must_use]
    pub fn new(features: Features, weights: Option<Vec<Vec<f32>>>, device: &Device) -> Self {
        let layers = features.backbone().compared();
        let even = |layer: &Layer| vec![1.0 / layer.channels() as f32; layer.channels()];
        let weights = weights.unwrap_or_else(|| layers.iter().map(even).collect());
        assert_eq!(layers.len(), weights.len(), "one row of weights a layer");
        let weights = layers.iter().zip(weights).map(|(layer, values)| {
            let data = TensorData::new(values, [1, layer.channels(), 1, 1]);
            Tensor::from_data(data, device)
        });
        Self { features, weights: weights.collect(), layers }
    }

    /// The layers it compares.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The weighted difference in each place, `[n, 1, h / stride, w / stride]`, for each of
    /// [`Self::layers`]. The pictures are as for [`Features::forward`], and of one size.
    #[must_use]
    pub fn maps(&self, a: Tensor<4>, b: Tensor<4>) -> Vec<Tensor<4>> {
        let a = self.features.forward(a, &self.layers);
        let b = self.features.forward(b, &self.layers);
        let pairs = a.into_iter().zip(b).zip(&self.weights);
        pairs
            .map(|((a, b), weight)| {
                let difference = unit(a) - unit(b);
                (difference.clone() * difference * weight.clone()).sum_dim(1)
            })
            .collect()
    }

    /// The distance as one number, the mean over `n`; as a loss it has gradients for both.
    #[must_use]
    pub fn forward(&self, a: Tensor<4>, b: Tensor<4>) -> Tensor<1> {
        let start = Tensor::zeros([1], &a.device());
        self.maps(a, b).into_iter().fold(start, |sum, map| sum + map.mean())
    }
}

/// Each pixel's channels over their length. The tiny number is that of Zhang et al., 1e-10, under
/// the root: there it keeps the gradient of a pixel that is all zero at zero.
fn unit(values: Tensor<4>) -> Tensor<4> {
    let square = (values.clone() * values.clone()).sum_dim(1);
    values / (square + 1e-20).sqrt()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use burn::tensor::activation::sigmoid;

    /// Numbers in -0.5..0.5 without a pattern, which the reference values were computed with too:
    /// with `i` in wrapping arithmetic of 32 bits, `h = (i + seed * 1000003) * 2654435761`,
    /// `h ^= h >> 15`, `h *= 2246822519`, `h ^= h >> 13`, `h / 2^32 - 0.5`.
    pub fn noise(count: usize, seed: usize) -> impl Iterator<Item = f64> {
        (0..count).map(move |i| {
            let mut hash = ((i + seed * 1_000_003) as u32).wrapping_mul(2_654_435_761);
            hash ^= hash >> 15;
            hash = hash.wrapping_mul(2_246_822_519);
            hash ^= hash >> 13;
            f64::from(hash) / 4_294_967_296.0 - 0.5
        })
    }

    /// Weights of a variance that keeps values in range through all layers.
    pub fn weights(backbone: Backbone) -> Vec<(Vec<f32>, Vec<f32>)> {
        let filled = |(place, Convolution { shape, .. }): (usize, &Convolution)| {
            let [outputs, inputs, rows, columns] = *shape;
            let inner = inputs * rows * columns;
            let limit = 2.0 * (6.0 / inner as f64).sqrt();
            let weight = noise(outputs * inner, 2 * place).map(|value| (value * limit) as f32);
            let bias = noise(outputs, 2 * place + 1).map(|value| (value * 0.1) as f32);
            (weight.collect(), bias.collect())
        };
        backbone.convolutions().iter().enumerate().map(filled).collect()
    }

    /// A pattern from 0 to 1, 66 wide and 75 high.
    fn pattern(device: &Device) -> Tensor<4> {
        let value = |i: usize| {
            let (channel, y, x) = (i / (75 * 66), i / 66 % 75, i % 66);
            let phase = 0.37 * x as f64 * (channel + 1) as f64 + 0.23 * y as f64;
            (0.5 + 0.5 * phase.sin()) as f32
        };
        let values: Vec<f32> = (0..3 * 75 * 66).map(value).collect();
        Tensor::from_data(TensorData::new(values, [1, 3, 75, 66]), device)
    }

    /// Mean, and the sum of `value[i] * cos(i)`, which tells where the values are.
    pub fn figures(values: Tensor<4>) -> (f64, f64) {
        let values = values.into_data().try_into_vec::<f32>().unwrap();
        let waved = |(i, value): (usize, &f32)| f64::from(*value) * (i as f64).cos();
        let mean = values.iter().copied().map(f64::from).sum::<f64>() / values.len() as f64;
        (mean, values.iter().enumerate().map(waved).sum())
    }

    #[test]
    fn values_are_those_of_torchvision() {
        // torchvision 0.29's `models.X().features[..n]` in PyTorch, weights and picture from the
        // formulas above, the picture normalised with ImageNet's mean and deviation.
        type Expected = (&'static str, [usize; 3], f64, f64);
        let vgg16: &[Expected] = &[
            ("relu1_1", [64, 75, 66], 8.983006078e-1, -1.096372749e1),
            ("relu1_2", [64, 75, 66], 9.399662436e-1, 4.920680104e1),
            ("conv2_2", [128, 37, 33], 1.131151010, 9.694274334e1),
            ("pool2", [128, 18, 16], 1.714690811, -3.347362239e1),
            ("relu5_3", [512, 4, 4], 1.022924145, 1.278912487e2),
            ("pool5", [512, 2, 2], 1.934116658, 2.420804152e1),
        ];
        let vgg19: &[Expected] = &[
            ("VGG22", [128, 37, 33], 1.131151010, 9.694274334e1),
            ("block3_pool", [256, 9, 8], 1.779499486, -1.204182855e1),
            ("VGG54", [512, 4, 4], 8.136125167e-1, 7.761981356e1),
            ("block5_pool", [512, 2, 2], 1.574540407, -2.519078591e1),
        ];
        let alexnet: &[Expected] = &[
            ("relu1", [64, 18, 15], 8.986457878e-1, -4.349701575),
            ("pool2", [192, 3, 3], 3.359799419, 3.413529201e1),
            ("conv3", [384, 3, 3], 2.089122812, 6.454943272e1),
            ("relu5", [256, 3, 3], 1.340368035, -1.246878893e1),
            ("pool5", [256, 1, 1], 3.831876821, 1.621914524e-2),
        ];
        let squeezenet: &[Expected] = &[
            ("relu1", [64, 37, 32], 9.086174070e-1, 3.279841864e2),
            ("pool1", [64, 18, 16], 2.542252730, -3.781445034e1),
            ("fire3", [128, 18, 16], 1.434835850, -6.867812968),
            ("pool3", [128, 9, 8], 2.424565170, 4.111148516e1),
            ("fire6", [384, 4, 4], 4.121115583, -1.269292674e2),
            ("fire9", [512, 4, 4], 2.606422844, 1.172984046e2),
        ];
        let device = Device::flex();
        for (backbone, expected) in [
            (Backbone::Vgg16, vgg16),
            (Backbone::Vgg19, vgg19),
            (Backbone::AlexNet, alexnet),
            (Backbone::SqueezeNet, squeezenet),
        ] {
            let layers: Vec<Layer> =
                expected.iter().map(|(name, ..)| backbone.layer(name).unwrap()).collect();
            let features = Features::new(backbone, weights(backbone), &device);
            let found = features.forward(pattern(&device), &layers);
            assert_eq!(found.len(), expected.len());
            for ((values, layer), (name, shape, mean, wave)) in
                found.into_iter().zip(layers).zip(expected)
            {
                assert_eq!(values.dims()[1..], *shape, "{} {name}", backbone.name());
                assert_eq!(layer.channels(), shape[0]);
                let (m, w) = figures(values);
                assert!((m / mean - 1.0).abs() < 1e-5, "{} {name}: {m}", backbone.name());
                let scale = mean * (shape.iter().product::<usize>() as f64).sqrt();
                assert!((w - wave).abs() < 1e-5 * scale, "{} {name}: {w}", backbone.name());
            }
        }
    }

    #[test]
    fn layers_are_found_by_all_their_names_and_by_no_other() {
        let vgg = Backbone::Vgg19;
        for (one, other) in [
            ("conv1_1", "relu1_1"),
            ("block3_conv2", "relu3_2"),
            ("block3_pool", "pool3"),
            ("VGG22", "relu2_2"),
            ("VGG54", "relu5_4"),
        ] {
            assert!(vgg.layer(one).is_some(), "{one}");
            assert_eq!(vgg.layer(one), vgg.layer(other));
        }
        for name in ["", "VGG", "VGG5", "VGG543", "VGG64", "relu6_1", "block", "block1_", "é1_1"] {
            assert_eq!(vgg.layer(name), None, "{name}");
        }
        assert_eq!(Backbone::Vgg16.layer("VGG54"), None);
        for backbone in Backbone::ALL {
            let names = backbone.layer_names();
            assert!(names.iter().all(|name| backbone.layer(name).is_some()));
            let lpips = if backbone.name() == "SqueezeNet" { 7 } else { 5 };
            assert_eq!(backbone.compared().len(), lpips);
            assert!(backbone.compared().iter().all(|layer| layer.stride() <= 16));
        }
    }

    #[test]
    fn the_distance_has_gradients_for_the_picture_alone() {
        let device = Device::flex().autodiff();
        let backbone = Backbone::SqueezeNet;
        let features = Features::new(backbone, weights(backbone), &device);
        let distance = FeatureDistance::new(features, None, &device);
        assert_eq!(distance.num_params(), 0);
        let original = pattern(&device).slice([0..1, 0..3, 0..40, 0..36]);
        // A start that is equal has no direction, and must not have a broken one either.
        let equal = original.clone().detach().require_grad();
        let loss = distance.forward(equal.clone(), original.clone());
        assert_eq!(loss.clone().into_scalar::<f32>(), 0.0);
        let gradient = equal.grad(&loss.backward()).unwrap();
        assert_eq!(gradient.abs().max().into_scalar::<f32>(), 0.0);

        let mut picture = sigmoid(original.clone()).detach().require_grad();
        let before = distance.forward(picture.clone(), original.clone());
        let mut last = before.clone().into_scalar::<f32>();
        for _ in 0..3 {
            let loss = distance.forward(picture.clone(), original.clone());
            let gradient = picture.grad(&loss.backward()).unwrap();
            let largest = gradient.clone().abs().max().into_scalar::<f32>();
            assert!(largest.is_finite() && largest > 0.0);
            let step = Tensor::from_inner(gradient * (0.005 / largest));
            picture = (picture.detach() - step).detach().require_grad();
            let now = distance.forward(picture.clone(), original.clone()).into_scalar::<f32>();
            assert!(now < last, "{now} after {last}");
            last = now;
        }
    }
}
