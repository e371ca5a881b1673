//! Networks of others as what they are: a list of layers, each of which takes values that were
//! made before it.
//!
//! Value 0 is the picture, and value `n + 1` what layer `n` makes. The importers of
//! `model::import` write such lists; what a list may be is checked before memory is taken.

use burn::{
    module::Module,
    nn::{
        PRelu, PReluConfig, PaddingConfig2d, PixelShuffleConfig,
        conv::{Conv2d, Conv2dConfig},
        pool::MaxPool2dConfig,
    },
    tensor::{
        Device, Tensor,
        activation::{leaky_relu, relu, sigmoid, silu, tanh},
    },
};
use serde::{Deserialize, Serialize};

use super::{
    Generator, Reach,
    blocks::{Interpolation, continued_to, conv, enlarge, repeated},
    direct::{self, Graph},
};

mod lower;
mod resample;

use resample::Kernel;

/// More layers than any network in use has.
const MOST_LAYERS: usize = 10_000;

/// More numbers than any network that this program runs has.
const MOST_NUMBERS: usize = 1 << 29;

/// Most bytes that all maps may take for each pixel of the picture; an ESRGAN that enlarges by 8
/// takes an eighth of it.
const MOST_MEMORY: usize = 1 << 18;

/// Smaller pictures are continued to the first of these sides that leaves something of all maps,
/// where a network looks at them from afar: enhanced spatial attention needs 15 pixels.
const LEAST_SIDES: [usize; 3] = [16, 32, 64];

/// The number of a value; see the module's documentation.
pub type ValueId = usize;

/// One layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "layer", rename_all = "snake_case")]
pub enum Layer {
    /// A convolution with a square kernel and a bias.
    Conv {
        /// What it takes.
        from: ValueId,
        /// Channels read.
        inputs: usize,
        /// Channels written.
        outputs: usize,
        /// Rows and columns.
        kernel: usize,
        /// In both directions.
        stride: usize,
        /// Zeros around the picture.
        padding: usize,
    },
    /// A non-linearity.
    Activation {
        /// What it takes.
        from: ValueId,
        /// Which one.
        #[serde(flatten)]
        curve: Curve,
    },
    /// `first + factor * second`.
    Sum {
        /// Taken as it is.
        first: ValueId,
        /// Taken times the factor.
        second: ValueId,
        /// See above.
        factor: f32,
    },
    /// Each number times that at the same place.
    Product {
        /// One of them.
        first: ValueId,
        /// The other.
        second: ValueId,
    },
    /// `factor * x + addend`, one of each for all channels or for each channel.
    Affine {
        /// What it takes.
        from: ValueId,
        /// See above.
        factor: Vec<f32>,
        /// See above.
        addend: Vec<f32>,
    },
    /// Channels behind each other.
    Joined {
        /// Whose channels.
        from: Vec<ValueId>,
    },
    /// W. Shi et al., "Real-time single image and video super-resolution", CVPR 2016.
    Shuffle {
        /// What it takes.
        from: ValueId,
        /// How many times larger each side gets.
        factor: usize,
    },
    /// The opposite of [`Layer::Shuffle`].
    Unshuffle {
        /// What it takes.
        from: ValueId,
        /// How many times smaller each side gets.
        factor: usize,
    },
    /// Enlargement with half-pixel centres.
    Enlarged {
        /// What it takes.
        from: ValueId,
        /// How many times larger each side gets.
        factor: usize,
        /// Pixels are repeated, or found on straight lines.
        smooth: bool,
    },
    /// The largest number of a window, without zeros around the picture.
    Pool {
        /// What it takes.
        from: ValueId,
        /// Rows and columns of the window.
        kernel: usize,
        /// In both directions.
        stride: usize,
    },
    /// Enlarged on straight lines to the size of another value.
    Fitted {
        /// What it takes.
        from: ValueId,
        /// Whose height and width it gets.
        like: ValueId,
    },
}

/// A non-linearity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "curve", rename_all = "snake_case")]
pub enum Curve {
    /// x where positive, else `slope` times x; `ReLU` with a slope of 0.
    Leaky {
        /// See above.
        slope: f32,
    },
    /// Leaky with learnt slopes: one for each channel, or one for all.
    PRelu {
        /// How many there are.
        slopes: usize,
    },
    /// 1 / (1 + exp(-x))
    Sigmoid,
    /// x times its sigmoid.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Layer {
    /// The values that it takes.
    pub fn takes(&self) -> Vec<ValueId> {
        match self {
            Self::Conv { from, .. }
            | Self::Activation { from, .. }
            | Self::Affine { from, .. }
            | Self::Shuffle { from, .. }
            | Self::Unshuffle { from, .. }
            | Self::Enlarged { from, .. }
            | Self::Pool { from, .. } => vec![*from],
            Self::Sum { first, second, .. } | Self::Product { first, second } => {
                vec![*first, *second]
            }
            Self::Fitted { from, like } => vec![*from, *like],
            Self::Joined { from } => from.clone(),
        }
    }
}

/// A network of others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayeredConfig {
    /// What its architecture is called, for people.
    pub family: String,
    /// Channels of the picture: 3, or 1 for networks that see each colour as a grey picture.
    pub channels: usize,
    /// In the order in which they are computed; the last one makes the answer.
    pub layers: Vec<Layer>,
    /// The answer is resized by this fraction at the end (bicubic, without smoothing).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resized: Option<[usize; 2]>,
}

/// What is known of a value before there is a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Traced {
    channels: usize,
    /// Its size over the picture's, as a fraction; `None` for maps of a size of their own.
    scale: Option<[usize; 2]>,
    /// The value that has its size first, for maps of a size of their own.
    sized_as: ValueId,
    /// How far it looks, in pixels of the picture.
    reach: f64,
    /// It looks over so much of the picture that the rest of it matters too.
    whole: bool,
    /// Its side for the smallest picture, see [`LEAST_SIDES`].
    least: usize,
}

fn reduced([above, below]: [usize; 2]) -> [usize; 2] {
    let (mut a, mut b) = (above, below);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    [above / a, below / a]
}

impl LayeredConfig {
    /// See [`super::NetworkConfig::check`].
    ///
    /// # Errors
    /// A clause that says why not.
    pub fn check(&self) -> Result<(), &'static str> {
        let values = self.traced()?;
        let Some([scale, 1]) = self.ratio(&values) else {
            return Err("it makes no picture whose size is a multiple of the photo's");
        };
        let Some(last) = values.last() else { return Err("it has no layers") };
        if last.channels != self.channels {
            return Err("its answer has another number of channels than a picture");
        }
        if !(1..=16).contains(&scale) {
            return Err("it does not enlarge by 1 to 16");
        }
        if self.multiple() > 64 {
            return Err("it works on squares that are too large");
        }
        if self.family.len() > 64 || self.family.chars().any(char::is_control) {
            return Err("the name of its architecture is none");
        }
        if self.memory() > MOST_MEMORY {
            return Err("its layers are too large");
        }
        Ok(())
    }

    /// Size of the answer over the picture's.
    fn ratio(&self, values: &[Traced]) -> Option<[usize; 2]> {
        let [above, below] = values.last()?.scale?;
        let [more, less] = self.resized.unwrap_or([1, 1]);
        Some(reduced([above * more, below * less]))
    }

    /// What is known of each value, or a clause that says what does not fit together.
    fn traced(&self) -> Result<Vec<Traced>, &'static str> {
        let mut attempts = LEAST_SIDES.into_iter().map(|side| self.traced_from(side));
        let first = attempts.next().ok_or("it has no layers")?;
        match first {
            Ok(values) => Ok(values),
            Err(reason) => attempts.find_map(Result::ok).ok_or(reason),
        }
    }

    /// The smallest side of a picture that it sees as it is.
    fn least_side(&self) -> usize {
        let fits = |side: &usize| self.traced_from(*side).is_ok();
        LEAST_SIDES.into_iter().find(fits).unwrap_or(LEAST_SIDES[0])
    }

    fn traced_from(&self, side: usize) -> Result<Vec<Traced>, &'static str> {
        if self.layers.is_empty() || self.layers.len() > MOST_LAYERS {
            return Err("its number of layers is out of range");
        }
        if ![1, 3].contains(&self.channels) {
            return Err("it works neither on colour nor on grey pictures");
        }
        if self.resized.is_some_and(|sides| sides.iter().any(|side| !(1..=16).contains(side))) {
            return Err("it resizes by a factor out of range");
        }
        let picture = Traced {
            channels: self.channels,
            scale: Some([1, 1]),
            sized_as: 0,
            reach: 0.0,
            whole: false,
            least: side,
        };
        let mut values = vec![picture];
        let mut numbers = 0_usize;
        for layer in &self.layers {
            let taken: Option<Vec<Traced>> =
                layer.takes().into_iter().map(|value| values.get(value).copied()).collect();
            let Some(taken) = taken else { return Err("a layer takes what is not there yet") };
            let mut value = layer.trace(&taken, &mut numbers)?;
            if layer.has_own_size() {
                (value.scale, value.whole, value.sized_as) = (None, true, values.len());
            }
            if value.channels == 0 || value.channels > 1 << 16 || numbers > MOST_NUMBERS {
                return Err("its layers are too large");
            }
            values.push(value);
        }
        Ok(values)
    }

    /// Both sides of the picture must be multiples of it.
    fn multiple(&self) -> usize {
        let values = self.traced().unwrap_or_default();
        values.iter().filter_map(|value| value.scale).map(|[_, below]| below).fold(
            1,
            |all, below| {
                let [factor, _] = reduced([below, all]);
                all.saturating_mul(factor)
            },
        )
    }

    fn looks_from_afar(&self) -> bool {
        self.traced().is_ok_and(|values| values.iter().any(|value| value.whole))
    }

    /// Output size over input size.
    #[must_use]
    pub fn scale(&self) -> usize {
        self.traced().ok().and_then(|values| self.ratio(&values)).map_or(1, |[scale, _]| scale)
    }

    /// Bytes of all values that are needed at the same time at most, for each pixel of the picture.
    fn memory(&self) -> usize {
        let values = self.traced().unwrap_or_default();
        let size = |value: &Traced| {
            let [above, below] = value.scale.unwrap_or([1, 2]);
            4 * value.channels * above * above / (below * below)
        };
        let last = self.last_uses();
        let (mut now, mut most) = (0, 0);
        for (number, value) in values.iter().enumerate() {
            now += size(value);
            most = most.max(now);
            // The layer that made it was the last one to take these.
            let mut gone: Vec<usize> = match number.checked_sub(1) {
                Some(layer) => self.layers[layer].takes(),
                None => Vec::new(),
            };
            gone.sort_unstable();
            gone.dedup();
            gone.retain(|value| last[*value] + 1 == number);
            now -= gone.iter().map(|value| size(&values[*value])).sum::<usize>();
        }
        most
    }

    /// The number of the last layer that takes each value; the answer is taken by none.
    fn last_uses(&self) -> Vec<usize> {
        let mut last = vec![self.layers.len(); self.layers.len() + 1];
        for (number, layer) in self.layers.iter().enumerate() {
            layer.takes().into_iter().for_each(|value| last[value] = number);
        }
        last
    }

    /// How many of the layers are convolutions.
    #[must_use]
    pub fn convolutions(&self) -> usize {
        self.layers.iter().filter(|layer| matches!(layer, Layer::Conv { .. })).count()
    }

    /// Size of what the layers make over the picture's, if that is a whole number.
    fn scale_of_layers(&self) -> Option<usize> {
        match self.traced().ok()?.last()?.scale? {
            [scale, 1] => Some(scale),
            _ => None,
        }
    }

    /// A network whose weights are still to be drawn or read.
    #[must_use]
    pub fn init(&self, device: &Device) -> Layered {
        let (mut convs, mut slopes) = (Vec::new(), Vec::new());
        for layer in &self.layers {
            match *layer {
                Layer::Conv { inputs, outputs, kernel, stride, padding, .. } => {
                    let pad = padding;
                    convs.push(
                        Conv2dConfig::new([inputs, outputs], [kernel, kernel])
                            .with_stride([stride, stride])
                            .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
                            .init(device),
                    );
                }
                Layer::Activation { curve: Curve::PRelu { slopes: count }, .. } => {
                    slopes.push(PReluConfig::new().with_num_parameters(count).init(device));
                }
                _ => {}
            }
        }
        Layered { convs, slopes, config: self.clone() }
    }
}

impl Layer {
    /// Whether what it makes has a size that is no fraction of the picture's.
    const fn has_own_size(&self) -> bool {
        match self {
            Self::Conv { kernel, stride, padding, .. } => {
                *stride > 1 || 2 * *padding + 1 != *kernel
            }
            Self::Pool { .. } => true,
            _ => false,
        }
    }

    /// What it makes of values of which this is known. `numbers` counts its weights.
    fn trace(&self, taken: &[Traced], numbers: &mut usize) -> Result<Traced, &'static str> {
        let first = taken.first().copied().ok_or("a layer takes nothing")?;
        let step = first.scale.map_or(1.0, |[above, below]| below as f64 / above as f64);
        let mut own = taken.iter().copied().fold(first, |sum, value| Traced {
            reach: sum.reach.max(value.reach),
            whole: sum.whole || value.whole,
            ..sum
        });
        let alike = |values: &[Traced]| {
            values.iter().all(|value| {
                let own = value.scale.is_none() && value.sized_as != first.sized_as;
                !own && value.scale == first.scale
            })
        };
        let times = |scale: Option<[usize; 2]>, [above, below]: [usize; 2]| {
            let [a, b] = scale.ok_or("a map of another size is shuffled")?;
            let scale = reduced([a * above, b * below]);
            if scale.iter().any(|side| *side > 64) {
                return Err("it changes the size too much");
            }
            Ok(Some(scale))
        };
        match *self {
            Self::Conv { inputs, outputs, kernel, stride, padding, .. } => {
                if inputs != first.channels {
                    return Err("a convolution reads another number of channels than there are");
                }
                if !(1..=64).contains(&kernel) || !(1..=8).contains(&stride) || padding > kernel {
                    return Err("a convolution has a kernel, a stride or a padding out of range");
                }
                let count = inputs.saturating_mul(outputs).saturating_mul(kernel * kernel);
                *numbers = numbers.saturating_add(count).saturating_add(outputs);
                own.channels = outputs;
                own.reach += step * (kernel - 1).max(padding) as f64 / 2.0;
                let room = (first.least + 2 * padding).checked_sub(kernel);
                own.least = room.ok_or("a kernel is larger than its map")? / stride + 1;
            }
            Self::Activation { curve: Curve::PRelu { slopes }, .. } => {
                if slopes != 1 && slopes != first.channels {
                    return Err("an activation has another number of slopes than channels");
                }
                *numbers = numbers.saturating_add(slopes);
            }
            Self::Activation { .. } => {}
            Self::Sum { .. } | Self::Product { .. } => {
                if !alike(taken) || taken.iter().any(|value| value.channels != first.channels) {
                    return Err("two maps of different sizes are put together");
                }
            }
            Self::Affine { ref factor, ref addend, .. } => {
                if [factor, addend].iter().any(|all| ![1, first.channels].contains(&all.len())) {
                    return Err("a factor has another number of channels");
                }
            }
            Self::Joined { .. } => {
                if !alike(taken) {
                    return Err("two maps of different sizes are put together");
                }
                own.channels = taken.iter().map(|value| value.channels).sum();
            }
            Self::Shuffle { factor, .. } => {
                if !(1..=16).contains(&factor) || !first.channels.is_multiple_of(factor * factor) {
                    return Err("a pixel shuffle does not fit its channels");
                }
                own.channels /= factor * factor;
                own.least *= factor;
                own.scale = times(first.scale, [factor, 1])?;
            }
            Self::Unshuffle { factor, .. } => {
                if !(1..=16).contains(&factor) {
                    return Err("a pixel shuffle does not fit its channels");
                }
                own.channels *= factor * factor;
                own.least = own.least.div_ceil(factor);
                own.scale = times(first.scale, [1, factor])?;
                own.reach += step * (factor - 1) as f64;
            }
            Self::Enlarged { factor, smooth, .. } => {
                if !(1..=16).contains(&factor) {
                    return Err("it enlarges by a factor out of range");
                }
                own.least *= factor;
                own.scale = times(first.scale, [factor, 1])?;
                own.reach += if smooth { step } else { 0.0 };
            }
            Self::Pool { kernel, stride, .. } => {
                if !(1..=16).contains(&kernel) || !(1..=16).contains(&stride) {
                    return Err("a pooling has a window out of range");
                }
                let room = first.least.checked_sub(kernel);
                own.least = room.ok_or("a window is larger than its map")? / stride + 1;
            }
            Self::Fitted { .. } => {
                let like = taken.get(1).ok_or("a layer takes nothing")?;
                if like.scale.is_none() {
                    return Err("a map is fitted to one of no fixed size");
                }
                (own.scale, own.whole, own.least) = (like.scale, true, like.least);
            }
        }
        Ok(own)
    }
}

/// See the module's documentation.
#[derive(Module, Debug)]
pub struct Layered {
    /// Of the convolutions among the layers, in their order.
    convs: Vec<Conv2d>,
    /// Of the activations with learnt slopes, in their order.
    slopes: Vec<PRelu>,
    #[module(skip)]
    config: LayeredConfig,
}

impl Layered {
    /// Its steps for the CPU path, without a final resizing; `None` if there is a layer that it
    /// does not know.
    pub(super) fn graph(&self) -> Option<Graph> {
        lower::graph(self)
    }

    /// What the answer is resized by at the end.
    pub(super) const fn resized(&self) -> Option<[usize; 2]> {
        self.config.resized
    }

    /// The layers on pictures whose sides fit.
    fn run(&self, picture: Tensor<4>) -> Tensor<4> {
        let layers = &self.config.layers;
        // A value goes when the last layer that takes it has run.
        let last = self.config.last_uses();
        let mut values: Vec<Option<Tensor<4>>> = vec![Some(picture)];
        let (mut convs, mut slopes) = (self.convs.iter(), self.slopes.iter());
        for (number, layer) in layers.iter().enumerate() {
            let mut taken = layer.takes().into_iter().map(|value| {
                let taken = values[value].clone();
                taken.expect("values live until the last layer that takes them")
            });
            let mut next = || taken.next().expect("a layer takes as many values as it lists");
            let value = match layer {
                Layer::Conv { .. } => {
                    conv(convs.next().expect("each layer has its weights"), next())
                }
                Layer::Activation { curve, .. } => match curve {
                    Curve::Leaky { slope: 0.0 } => relu(next()),
                    Curve::Leaky { slope } => leaky_relu(next(), f64::from(*slope)),
                    Curve::PRelu { .. } => {
                        let layer = slopes.next().expect("each layer has its slopes");
                        let input = next();
                        direct::prelu(&input, &layer.alpha.val())
                            .unwrap_or_else(|| layer.forward(input))
                    }
                    Curve::Sigmoid => sigmoid(next()),
                    Curve::Silu => silu(next()),
                    Curve::Tanh => tanh(next()),
                },
                Layer::Sum { factor: 1.0, .. } => next() + next(),
                Layer::Sum { factor, .. } => next() + next() * *factor,
                Layer::Product { .. } => next() * next(),
                Layer::Affine { factor, addend, .. } => {
                    let input = next();
                    let per = |values: &[f32]| {
                        let row = Tensor::<1>::from_floats(values, &input.device());
                        row.cast(input.dtype()).reshape([1, values.len(), 1, 1])
                    };
                    let (factor, addend) = (per(factor), per(addend));
                    input * factor + addend
                }
                Layer::Joined { .. } => Tensor::cat(taken.collect(), 1),
                Layer::Shuffle { factor, .. } => {
                    PixelShuffleConfig::new(*factor).init().forward(next())
                }
                Layer::Unshuffle { factor, .. } => unshuffled(next(), *factor),
                Layer::Enlarged { factor, smooth: false, .. } => repeated(next(), *factor),
                Layer::Enlarged { factor, smooth: true, .. } => {
                    enlarge(next(), *factor, Interpolation::Bilinear)
                }
                Layer::Pool { kernel, stride, .. } => {
                    let pool = MaxPool2dConfig::new([*kernel; 2]).with_strides([*stride; 2]);
                    pool.init().forward(next())
                }
                Layer::Fitted { .. } => {
                    let (input, like) = (next(), next());
                    let [_, _, height, width] = like.dims();
                    resample::resampled(input, [height, width], Kernel::Bilinear)
                }
            };
            values.push(Some(value));
            for (value, last) in values.iter_mut().zip(&last) {
                if *last <= number {
                    *value = None;
                }
            }
        }
        values.pop().flatten().expect("the last value is made by the last layer")
    }
}

/// `[n, c, h, w]` to `[n, c * factor², h / factor, w / factor]`.
fn unshuffled(input: Tensor<4>, factor: usize) -> Tensor<4> {
    let [count, channels, height, width] = input.dims();
    let (low, narrow) = (height / factor, width / factor);
    input
        .reshape([count, channels, low, factor, narrow, factor])
        .permute([0, 1, 3, 5, 2, 4])
        .reshape([count, channels * factor * factor, low, narrow])
}

/// An answer resized by a fraction (bicubic with a = -0.75, without smoothing, as ncnn and PyTorch
/// do it).
#[must_use]
pub fn resized(answer: Tensor<4>, [above, below]: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = answer.dims();
    resample::resampled(answer, [height, width].map(|side| side * above / below), Kernel::Bicubic)
}

impl Generator for Layered {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [count, channels, height, width] = input.dims();
        let input = match self.config.channels {
            1 => input.reshape([count * channels, 1, height, width]),
            _ => input,
        };
        let mut input = continued_to(input, self.config.multiple());
        let least = self.config.least_side();
        if height.min(width) < least && self.config.looks_from_afar() {
            input = continued_to(input, least.next_multiple_of(self.config.multiple()));
        }
        let mut answer = self.run(input);
        if let Some(by) = self.config.resized {
            answer = resized(answer, by);
        }
        let scale = self.config.scale();
        let answer = answer.narrow(2, 0, height * scale).narrow(3, 0, width * scale);
        answer.reshape([count, channels, height * scale, width * scale])
    }

    fn scale(&self) -> u32 {
        self.config.scale() as u32
    }

    fn channels(&self) -> u32 {
        3
    }

    fn reach(&self) -> Reach {
        match self.config.traced().ok().and_then(|values| values.last().copied()) {
            Some(Traced { whole: false, reach, .. }) => {
                let more = if self.config.resized.is_some() { 2.0 } else { 0.0 };
                Reach::Pixels((reach + more).ceil() as u32)
            }
            _ => Reach::Whole,
        }
    }

    fn grid(&self) -> u32 {
        self.config.multiple() as u32
    }

    fn memory(&self) -> usize {
        self.config.memory()
    }

    fn parameters(&self) -> usize {
        self.num_params()
    }
}
