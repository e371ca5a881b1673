//! Networks that learnt to name what is in a photo, without the part that names it. What they
//! see on the way tells how alike two pictures look to people, better than pixels do.
//!
//! - VGG-16, VGG-19: K. Simonyan and A. Zisserman, "Very deep convolutional networks for
//!   large-scale image recognition", 2015.
//! - `AlexNet`: A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
//!   2014.
//! - `SqueezeNet` 1.1: F. Iandola et al., "`SqueezeNet`: AlexNet-level accuracy with 50x fewer
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

/// Which network, and whose training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backbone {
    /// VGG-16 as torchvision trained it.
    Vgg16,
    /// VGG-19 as torchvision trained it.
    Vgg19,
    /// `AlexNet` as torchvision trained it.
    AlexNet,
    /// `SqueezeNet` 1.1 as torchvision trained it.
    SqueezeNet,
    /// `SqueezeNet` 1.1 as its authors trained it in Caffe: the same layers, other numbers.
    SqueezeNetCaffe,
}

/// What a step computes.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// Convolution and `ReLU`.
    Conv { outputs: usize, kernel: usize, stride: usize, padding: usize },
    /// Maximum of windows of this side, every second pixel. `ceil`: the last window may stand
    /// over the border.
    Pool { kernel: usize, ceil: bool },
    /// 1x1 convolution to few channels, then 1x1 and 3x3 ones side by side to this many each;
    /// a `ReLU` after each.
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
                    for (inner, shape) in [
                        ("squeeze", [squeeze, inputs, 1, 1]),
                        ("expand1x1", [expand, squeeze, 1, 1]),
                        ("expand3x3", [expand, squeeze, 3, 3]),
                    ] {
                        let size = if inner == "squeeze" { "1x1" } else { "" };
                        found.push(Convolution {
                            torch: format!("{torch}.{inner}"),
                            caffe: format!("{name}/{inner}{size}"),
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
    /// What a convolution gives is always taken after its `ReLU`, whichever name it goes by:
    ///
    /// - VGG: `relu1_1` to `relu5_4`, the same as `conv1_1` and `block1_conv1`; `pool1` to
    ///   `pool5`, the same as `block1_pool`; and φ of C. Ledig et al., "Photo-realistic single
    ///   image super-resolution", CVPR 2017: `VGG22` is `relu2_2` and `VGG54` is `relu5_4`, "after
    ///   activation" as their section 2.2.1 has it.
    /// - `AlexNet`: `relu1` to `relu5`, the same as `conv1`; `pool1`, `pool2`, `pool5`.
    /// - `SqueezeNet`: `relu1`, the same as `conv1`; `fire2` to `fire9`, both halves after their
    ///   `ReLU`; `pool1`, `pool3`, `pool5`.
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
    /// Convolution and `ReLU`.
    fn forward(&self, input: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
        let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
        relu(conv2d(input, self.weight.clone(), Some(self.bias.clone()), options))
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
            ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225].map(|deviation: f32| 1.0 / deviation))
        };
        let convolutions = backbone.convolutions();
        assert_eq!(convolutions.len(), weights.len(), "one pair of weights a convolution");
        let mut convs = Vec::with_capacity(weights.len());
        for (convolution, (mut weight, bias)) in convolutions.iter().zip(weights) {
            let [outputs, inputs, rows, columns] = convolution.shape;
            if caffe && inputs == 3 {
                // It was trained on blue, green, red. The order of the sum is free.
                let plane = rows * columns;
                for kernel in weight.chunks_exact_mut(3 * plane) {
                    let (blue, rest) = kernel.split_at_mut(plane);
                    blue.swap_with_slice(&mut rest[plane..]);
                }
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
    /// more are enough for any layer but `AlexNet`'s `pool5`, which wants 63.
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
        let means = self.maps(a, b).into_iter().map(Tensor::mean);
        Tensor::cat(means.collect(), 0).sum()
    }
}

/// Each pixel's channels over their length. The tiny number is that of Zhang et al., 1e-10, under
/// the root: there it keeps the gradient of a pixel that is all zero at zero.
fn unit(values: Tensor<4>) -> Tensor<4> {
    let square = (values.clone() * values.clone()).sum_dim(1);
    values / (square + 1e-20).sqrt()
}
