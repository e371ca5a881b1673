//! A network as a list of steps over numbered values.

use burn::{
    module::Param,
    nn::{BatchNorm, PaddingConfig2d, conv::Conv2d},
    tensor::Tensor,
};

use crate::net::blocks::{Activation, Interpolation};

/// A convolution of a square kernel, with zeros of half its size around the picture.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Channels read.
    pub inputs: usize,
    /// Channels written.
    pub outputs: usize,
    /// Height and width, which are odd.
    pub kernel: usize,
    /// In both directions.
    pub stride: usize,
    /// `[outputs][inputs][kernel][kernel]`
    pub weight: Vec<f32>,
    /// One for each output.
    pub bias: Vec<f32>,
    /// What negative sums are multiplied by, one for each output.
    pub slope: Option<Vec<f32>>,
}

impl Filter {
    /// A layer of Burn's; `None` if it is of a kind that is not known here.
    #[must_use]
    pub fn of(conv: &Conv2d) -> Option<Self> {
        let [outputs, inputs, kernel, columns] = conv.weight.val().dims();
        let pad = kernel / 2;
        let padded = match conv.padding {
            PaddingConfig2d::Valid => pad == 0,
            PaddingConfig2d::Same => conv.stride == [1, 1],
            PaddingConfig2d::Explicit(top, left, bottom, right) => {
                [top, left, bottom, right] == [pad; 4]
            }
        };
        let plain = conv.dilation == [1, 1] && conv.groups == 1 && conv.stride[0] == conv.stride[1];
        if !plain || !padded || kernel != columns || kernel.is_multiple_of(2) {
            return None;
        }
        let bias = match &conv.bias {
            Some(bias) => values(bias.val())?,
            None => vec![0.0; outputs],
        };
        let (weight, stride) = (param(&conv.weight)?, conv.stride[0]);
        Some(Self { inputs, outputs, kernel, stride, weight, bias, slope: None })
    }

    /// With the batch normalisation that follows, by its running statistics.
    #[must_use]
    pub fn normed(self, norm: Option<&BatchNorm>) -> Option<Self> {
        let Some(norm) = norm else { return Some(self) };
        let (factor, addend) = affine_of(norm)?;
        Some(self.scaled(&factor, &addend))
    }

    /// With its sums times a factor and plus an addend: one for each output, or one for all.
    #[must_use]
    pub fn scaled(mut self, factor: &[f32], addend: &[f32]) -> Self {
        let length = self.weight.len() / self.outputs;
        for (output, weights) in self.weight.chunks_exact_mut(length).enumerate() {
            let (factor, addend) = (factor[output % factor.len()], addend[output % addend.len()]);
            weights.iter_mut().for_each(|weight| *weight *= factor);
            self.bias[output] = self.bias[output] * factor + addend;
        }
        self
    }

    /// With an activation after it.
    #[must_use]
    pub fn active(mut self, activation: &Activation) -> Option<Self> {
        self.slope = Some(slopes_of(activation, self.outputs)?);
        Some(self)
    }

    /// With what is negative multiplied by one number after it.
    #[must_use]
    pub fn sloped(mut self, slope: f32) -> Self {
        self.slope = Some(vec![slope; self.outputs]);
        self
    }

    /// What computes the same from pixels as `self` from each of them repeated twice by two
    /// times, but for a pixel shuffle by two that is to follow: of the taps of a kernel several
    /// fall on one pixel, so the four positions within it have smaller kernels with their sums.
    #[must_use]
    pub fn of_repeated(&self) -> Self {
        let (size, pad) = (self.kernel, self.kernel / 2);
        let low_pad = pad.div_ceil(2);
        let low_size = 2 * low_pad + 1;
        // The pixel below or above that a tap of a position falls on.
        let place = |phase: usize, tap: usize| (2 * low_pad + phase + tap - pad) / 2;
        let low_area = low_size * low_size;
        let mut weight = vec![0.0; 4 * self.outputs * self.inputs * low_area];
        for output in 0..4 * self.outputs {
            for input in 0..self.inputs {
                let from = &self.weight[(output / 4 * self.inputs + input) * size * size..];
                let to = &mut weight[(output * self.inputs + input) * low_area..];
                for (tap, value) in from.iter().enumerate().take(size * size) {
                    let y = place(output % 4 / 2, tap / size);
                    let x = place(output % 2, tap % size);
                    to[y * low_size + x] += value;
                }
            }
        }
        let four = |values: &[f32]| values.iter().flat_map(|value| [*value; 4]).collect();
        Self {
            inputs: self.inputs,
            outputs: 4 * self.outputs,
            kernel: low_size,
            stride: self.stride,
            weight,
            bias: four(&self.bias),
            slope: self.slope.as_deref().map(four),
        }
    }

    /// The slopes of an activation after the pixel shuffle by `factor` that follows.
    #[must_use]
    pub fn active_after_shuffle(mut self, activation: &Activation, factor: usize) -> Option<Self> {
        let area = factor * factor;
        let slopes = slopes_of(activation, self.outputs / area)?;
        self.slope = Some(slopes.iter().flat_map(|slope| vec![*slope; area]).collect());
        Some(self)
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Option<Vec<f32>> {
    tensor.try_into_data().ok()?.try_into_vec::<f32>().ok()
}

fn param<const D: usize>(param: &Param<Tensor<D>>) -> Option<Vec<f32>> {
    values(param.val())
}

/// What each channel is multiplied by and what is added to it.
fn affine_of(norm: &BatchNorm) -> Option<(Vec<f32>, Vec<f32>)> {
    let (mean, variance) =
        (values(norm.running_mean.value_sync())?, values(norm.running_var.value_sync())?);
    let (gamma, beta) = (param(&norm.gamma)?, param(&norm.beta)?);
    let each = gamma.iter().zip(&variance);
    let factor: Vec<f32> = each
        .map(|(gamma, variance)| {
            (f64::from(*gamma) / (f64::from(*variance) + norm.epsilon).sqrt()) as f32
        })
        .collect();
    let each = beta.iter().zip(&mean).zip(&factor);
    let addend = each.map(|((beta, mean), factor)| beta - mean * factor).collect();
    Some((factor, addend))
}

fn slopes_of(activation: &Activation, channels: usize) -> Option<Vec<f32>> {
    Some(match activation {
        Activation::Relu(_) => vec![0.0; channels],
        Activation::LeakyRelu(leaky) => vec![leaky.negative_slope as f32; channels],
        Activation::PRelu(layer) => {
            let slopes = param(&layer.alpha)?;
            if slopes.len() == 1 { slopes.repeat(channels) } else { slopes }
        }
    })
}

/// Views begin at multiples of so many channels: the lanes of the widest instruction set.
pub const VIEW: usize = 16;

/// The number of a value of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(pub(in crate::net) usize);

/// What is done beside a convolution.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    /// Added to the result: after the activation, or before it.
    pub residual: Option<(Value, bool)>,
    /// Pixel shuffle of the result by this factor.
    pub shuffle: usize,
    /// Channels that the result has room for beyond its own, which later steps fill.
    pub room: usize,
}

impl Beside {
    /// Nothing.
    pub const NOTHING: Self = Self { residual: None, shuffle: 1, room: 0 };

    /// `value` is added, after the activation.
    #[must_use]
    pub const fn plus(value: Value) -> Self {
        Self { residual: Some((value, false)), ..Self::NOTHING }
    }

    /// `value` is added, before the activation.
    #[must_use]
    pub const fn plus_early(value: Value) -> Self {
        Self { residual: Some((value, true)), ..Self::NOTHING }
    }

    /// The result is shuffled, and may have room.
    #[must_use]
    pub const fn shuffled(factor: usize, room: usize) -> Self {
        Self { residual: None, shuffle: factor, room }
    }
}

/// A step; see the methods of [`Graph`].
#[derive(Clone, Debug)]
pub(in crate::net) enum Step {
    Picture { to: Value, channel: usize, scale: usize, by: Interpolation, affine: Numbers },
    Conv { from: Value, to: Value, filter: Filter, beside: Beside },
    Pool { from: Value, to: Value },
    Blur { from: Value, to: Value },
    Copy { from: Value, to: Value, channel: usize, affine: Numbers, slope: Option<f32> },
    Mix { from: [(Value, f32); 2], to: Value },
}

/// A factor and an addend for each channel.
pub(in crate::net) type Numbers = (Vec<f32>, Vec<f32>);

/// A network that makes a picture out of a picture, as a list of steps. Values are made in the
/// order of the steps.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Channels of the picture.
    pub(in crate::net) inputs: usize,
    /// Both sides of the first value are multiples of it.
    pub(in crate::net) multiple: usize,
    /// Channels of each value.
    pub(in crate::net) channels: Vec<usize>,
    /// For values that are some channels of another: which, and from which channel on.
    pub(in crate::net) views: Vec<Option<(Value, usize)>>,
    pub(in crate::net) steps: Vec<Step>,
    pub(in crate::net) result: Value,
    pub(in crate::net) shuffle: usize,
    pub(in crate::net) tanh: bool,
    /// Output size over input size.
    pub(in crate::net) scale: usize,
    pub(in crate::net) onto: Option<Interpolation>,
}

impl Graph {
    /// A network for pictures of so many channels. To a multiple of `multiple` they are
    /// continued by their last rows and columns.
    #[must_use]
    pub const fn new(inputs: usize, multiple: usize) -> Self {
        Self {
            inputs,
            multiple,
            channels: Vec::new(),
            views: Vec::new(),
            steps: Vec::new(),
            result: Value(0),
            shuffle: 1,
            tanh: false,
            scale: 1,
            onto: None,
        }
    }

    /// Channels of the answer: those of a colour picture, or one.
    pub(in crate::net) const fn outputs(&self) -> usize {
        if self.inputs == 1 { 1 } else { 3 }
    }

    /// The value in whose memory a value lies.
    pub(in crate::net) fn home(&self, value: Value) -> Value {
        self.views[value.0].map_or(value, |(of, _)| of)
    }

    /// Numbers of its convolutions.
    pub(in crate::net) fn parameters(&self) -> usize {
        let count = |step: &Step| match step {
            Step::Conv { filter, .. } => {
                let slopes = filter.slope.as_ref().map_or(0, Vec::len);
                filter.weight.len() + filter.bias.len() + slopes
            }
            _ => 0,
        };
        self.steps.iter().map(count).sum()
    }

    fn value(&mut self, channels: usize) -> Value {
        self.channels.push(channels);
        self.views.push(None);
        Value(self.channels.len() - 1)
    }

    /// Room for so many channels, which steps fill that write into it or into its views.
    pub fn space(&mut self, channels: usize) -> Value {
        self.value(channels)
    }

    /// Some channels of a value that is no view itself, from a multiple of [`VIEW`] on.
    ///
    /// # Panics
    /// If it has no such channels.
    pub fn view(&mut self, of: Value, first: usize, channels: usize) -> Value {
        assert!(first.is_multiple_of(VIEW) && first + channels <= self.channels[of.0]);
        assert!(self.views[of.0].is_none());
        let view = self.value(channels);
        self.views[view.0] = Some((of, first));
        view
    }

    /// Channels of a value, with its room.
    #[must_use]
    pub fn channels(&self, value: Value) -> usize {
        self.channels[value.0]
    }

    /// The picture, each channel times a factor and plus an addend.
    pub fn picture(&mut self, factor: Vec<f32>, addend: Vec<f32>) -> Value {
        let to = self.value(self.inputs);
        let (by, affine) = (Interpolation::Nearest, (factor, addend));
        self.steps.push(Step::Picture { to, channel: 0, scale: 1, by, affine });
        to
    }

    /// The enlarged picture into the room of a value, from a channel on.
    pub fn picture_into(
        &mut self,
        to: Value,
        channel: usize,
        (scale, by): (usize, Interpolation),
        affine: (Vec<f32>, Vec<f32>),
    ) {
        self.steps.push(Step::Picture { to, channel, scale, by, affine });
    }

    /// A convolution.
    pub fn conv(&mut self, from: Value, filter: Filter, beside: Beside) -> Value {
        let to = self.value(filter.outputs / (beside.shuffle * beside.shuffle) + beside.room);
        self.steps.push(Step::Conv { from, to, filter, beside });
        to
    }

    /// A convolution of [`VIEW`] outputs or more into a view.
    ///
    /// # Panics
    /// If `to` has not as many channels as there are outputs.
    pub fn conv_into(&mut self, from: Value, filter: Filter, beside: Beside, to: Value) {
        let outputs = filter.outputs / (beside.shuffle * beside.shuffle);
        assert!(outputs == self.channels[to.0] && outputs >= VIEW);
        self.steps.push(Step::Conv { from, to, filter, beside });
    }

    /// The sum of two values, each times a factor.
    ///
    /// # Panics
    /// If they have not as many channels.
    pub fn mix(&mut self, from: [(Value, f32); 2]) -> Value {
        let [first, second] = from.map(|(value, _)| self.channels[value.0]);
        assert_eq!(first, second);
        let to = self.value(first);
        self.steps.push(Step::Mix { from, to });
        to
    }

    /// A value, each channel times a factor and plus an addend.
    pub fn affine(&mut self, from: Value, factor: Vec<f32>, addend: Vec<f32>) -> Value {
        let to = self.value(self.channels[from.0]);
        let affine = (factor, addend);
        self.steps.push(Step::Copy { from, to, channel: 0, affine, slope: None });
        to
    }

    /// A value into another one with room for it, from a channel on; what is negative is multiplied
    /// by `slope`.
    pub fn copy_into(&mut self, from: Value, to: Value, channel: usize, slope: Option<f32>) {
        let count = self.channels[from.0];
        let affine = (vec![1.0; count], vec![0.0; count]);
        self.steps.push(Step::Copy { from, to, channel, affine, slope });
    }

    /// The largest of 3x3 values, at every second place.
    pub fn pool(&mut self, from: Value) -> Value {
        let to = self.value(self.channels[from.0]);
        self.steps.push(Step::Pool { from, to });
        to
    }

    /// The mean of each pixel and those above and to the left of it, with room for other
    /// channels.
    pub fn blur(&mut self, from: Value, room: usize) -> Value {
        let to = self.value(self.channels[from.0] + room);
        self.steps.push(Step::Blur { from, to });
        to
    }

    /// Batch normalisation, if there is one, and `ReLU`.
    pub fn normed_relu(&mut self, from: Value, norm: Option<&BatchNorm>) -> Option<Value> {
        let to = self.value(self.channels[from.0]);
        self.normed_relu_into(from, norm, to, 0)?;
        Some(to)
    }

    /// As [`Self::normed_relu`], into the room of a value, from a channel on.
    pub fn normed_relu_into(
        &mut self,
        from: Value,
        norm: Option<&BatchNorm>,
        to: Value,
        channel: usize,
    ) -> Option<()> {
        let count = self.channels[from.0];
        let affine = match norm {
            Some(norm) => affine_of(norm)?,
            None => (vec![1.0; count], vec![0.0; count]),
        };
        self.steps.push(Step::Copy { from, to, channel, affine, slope: Some(0.0) });
        Some(())
    }

    /// The answer: a value after a pixel shuffle, perhaps added to the enlarged picture.
    #[must_use]
    pub const fn finished(
        mut self,
        result: Value,
        scale: usize,
        shuffle: usize,
        onto: Option<Interpolation>,
    ) -> Self {
        (self.result, self.shuffle, self.scale, self.onto) = (result, shuffle, scale, onto);
        self
    }

    /// The hyperbolic tangent of the answer, -1 to 1 moved to 0 to 1.
    #[must_use]
    pub const fn through_tanh(mut self) -> Self {
        self.tanh = true;
        self
    }
}

impl Step {
    pub(in crate::net) const fn to(&self) -> Value {
        match self {
            Self::Picture { to, .. }
            | Self::Conv { to, .. }
            | Self::Pool { to, .. }
            | Self::Blur { to, .. }
            | Self::Copy { to, .. }
            | Self::Mix { to, .. } => *to,
        }
    }

    pub(in crate::net) fn reads(&self) -> impl Iterator<Item = Value> {
        let (first, second) = match self {
            Self::Picture { .. } => (None, None),
            Self::Conv { from, beside, .. } => (Some(*from), beside.residual.map(|(map, _)| map)),
            Self::Pool { from, .. } | Self::Blur { from, .. } | Self::Copy { from, .. } => {
                (Some(*from), None)
            }
            Self::Mix { from: [(first, _), (second, _)], .. } => (Some(*first), Some(*second)),
        };
        first.into_iter().chain(second)
    }
}
