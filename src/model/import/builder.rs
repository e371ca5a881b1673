//! A network from the tensors of a file, layer by layer.

use std::collections::BTreeSet;

use super::{super::tensors::Tensors, Built};
use crate::net::layered::{Curve, Layer, LayeredConfig, ValueId};

/// What PyTorch adds to variances unless it is told otherwise.
pub(super) const EPSILON: f64 = 1e-5;

/// More channels than any layer has.
const MOST_CHANNELS: usize = 1 << 16;

/// The picture.
pub(super) const PICTURE: ValueId = 0;

/// The value that is the answer.
pub(super) type Answer = ValueId;

/// See the module's documentation.
pub(super) struct Builder<'a> {
    tensors: &'a Tensors,
    used: BTreeSet<String>,
    layers: Vec<Layer>,
    channels: Vec<usize>,
    weights: Vec<(String, Vec<f32>)>,
    convs: usize,
    slopes: usize,
}

/// A convolution's numbers before they become a layer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filter {
    /// Outputs, inputs, rows, columns.
    pub(super) shape: [usize; 4],
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(tensors: &'a Tensors) -> Self {
        Self {
            tensors,
            used: BTreeSet::new(),
            layers: Vec::new(),
            channels: vec![0],
            weights: Vec::new(),
            convs: 0,
            slopes: 0,
        }
    }

    /// Whether the file has a tensor.
    pub(super) fn has(&self, key: &str) -> bool {
        self.tensors.contains_key(key)
    }

    /// How many tensors `{start}{n}{end}` there are, from `n` = `first` on without a gap.
    pub(super) fn count(&self, start: &str, first: usize, end: &str) -> usize {
        (first..).take_while(|n| self.has(&format!("{start}{n}{end}"))).count()
    }

    /// Names that begin and end so, in the order of the number between.
    pub(super) fn numbered(&self, start: &str, end: &str) -> Vec<usize> {
        let number = |key: &String| key.strip_prefix(start)?.strip_suffix(end)?.parse().ok();
        let found: BTreeSet<usize> = self.tensors.keys().filter_map(number).collect();
        found.into_iter().collect()
    }

    /// Extents of a tensor.
    pub(super) fn shape(&self, key: &str) -> Result<&'a [usize], String> {
        let tensor = self.tensors.get(key);
        Ok(tensor.ok_or_else(|| format!("its tensor {key} is missing"))?.shape())
    }

    /// A tensor that the network does not need.
    pub(super) fn skip(&mut self, key: &str) {
        self.used.insert(key.to_owned());
    }

    /// The numbers of a tensor.
    pub(super) fn values(&mut self, key: &str) -> Result<Vec<f32>, String> {
        let tensor = self.tensors.get(key);
        let tensor = tensor.ok_or_else(|| format!("its tensor {key} is missing"))?;
        let values = tensor.values().map_err(|error| error.sentence())?;
        if values.iter().any(|value| !value.is_finite()) {
            return Err(format!("its tensor {key} holds values that are no numbers"));
        }
        self.used.insert(key.to_owned());
        Ok(values)
    }

    /// The numbers of a convolution without groups; a missing bias is zero.
    pub(super) fn filter(&mut self, key: &str) -> Result<Filter, String> {
        let weight = format!("{key}.weight");
        let &[outputs, inputs, rows, columns] = self.shape(&weight)? else {
            return Err(format!("its tensor {weight} is not that of a convolution"));
        };
        let fits = |extent: &usize| (1..=MOST_CHANNELS).contains(extent);
        if ![outputs, inputs, rows, columns].iter().all(fits) {
            return Err(format!("its tensor {weight} has an extent out of range"));
        }
        let bias = format!("{key}.bias");
        let bias = if self.has(&bias) { self.values(&bias)? } else { vec![0.0; outputs] };
        let filter =
            Filter { shape: [outputs, inputs, rows, columns], weight: self.values(&weight)?, bias };
        let whole = outputs * inputs * rows * columns;
        if filter.bias.len() != outputs || filter.weight.len() != whole || rows != columns {
            return Err(format!("the shapes of its tensors {key} do not fit together"));
        }
        Ok(filter)
    }

    /// With the batch normalisation that follows, by its running statistics.
    fn normed(&mut self, mut filter: Filter, key: &str, epsilon: f64) -> Result<Filter, String> {
        let mut part = |name: &str| self.values(&format!("{key}.{name}"));
        let (gamma, beta) = (part("weight")?, part("bias")?);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        let outputs = filter.shape[0];
        if [&gamma, &beta, &mean, &variance].iter().any(|values| values.len() != outputs) {
            return Err(format!("the shapes of its tensors {key} do not fit together"));
        }
        self.skip(&format!("{key}.num_batches_tracked"));
        let length = filter.weight.len() / outputs;
        for (output, weights) in filter.weight.chunks_exact_mut(length).enumerate() {
            let deviation = (f64::from(variance[output]) + epsilon).sqrt();
            let factor = (f64::from(gamma[output]) / deviation) as f32;
            weights.iter_mut().for_each(|weight| *weight *= factor);
            filter.bias[output] = (filter.bias[output] - mean[output]) * factor + beta[output];
        }
        Ok(filter)
    }

    fn push(&mut self, layer: Layer, channels: usize) -> ValueId {
        self.layers.push(layer);
        self.channels.push(channels);
        self.layers.len()
    }

    /// Channels of a value.
    pub(super) fn channels(&self, value: ValueId) -> usize {
        self.channels[value]
    }

    /// A convolution with numbers, a stride and zeros around the picture.
    pub(super) fn convolve(
        &mut self,
        from: ValueId,
        filter: Filter,
        stride: usize,
        padding: usize,
    ) -> ValueId {
        let [outputs, inputs, kernel, _] = filter.shape;
        if from == PICTURE && self.channels[PICTURE] == 0 {
            self.channels[PICTURE] = inputs;
        }
        self.weights.push((format!("convs.{}.weight", self.convs), filter.weight));
        self.weights.push((format!("convs.{}.bias", self.convs), filter.bias));
        self.convs += 1;
        self.push(Layer::Conv { from, inputs, outputs, kernel, stride, padding }, outputs)
    }

    /// A convolution of stride 1 that keeps the size.
    pub(super) fn conv(&mut self, from: ValueId, key: &str) -> Result<ValueId, String> {
        let filter = self.filter(key)?;
        let padding = filter.shape[2] / 2;
        Ok(self.convolve(from, filter, 1, padding))
    }

    /// The same with a batch normalisation after it.
    pub(super) fn conv_norm(
        &mut self,
        from: ValueId,
        key: &str,
        norm: &str,
        epsilon: f64,
    ) -> Result<ValueId, String> {
        let filter = self.filter(key)?;
        let filter = self.normed(filter, norm, epsilon)?;
        let padding = filter.shape[2] / 2;
        Ok(self.convolve(from, filter, 1, padding))
    }

    pub(super) fn curve(&mut self, from: ValueId, curve: Curve) -> ValueId {
        let channels = self.channels[from];
        self.push(Layer::Activation { from, curve }, channels)
    }

    pub(super) fn leaky(&mut self, from: ValueId, slope: f32) -> ValueId {
        self.curve(from, Curve::Leaky { slope })
    }

    pub(super) fn prelu(&mut self, from: ValueId, key: &str) -> Result<ValueId, String> {
        let slopes = self.values(&format!("{key}.weight"))?;
        Ok(self.prelu_by(from, slopes))
    }

    pub(super) fn prelu_by(&mut self, from: ValueId, values: Vec<f32>) -> ValueId {
        let slopes = values.len();
        self.weights.push((format!("slopes.{}.weight", self.slopes), values));
        self.slopes += 1;
        self.curve(from, Curve::PRelu { slopes })
    }

    /// `first + factor * second`
    pub(super) fn sum(&mut self, first: ValueId, second: ValueId, factor: f32) -> ValueId {
        let channels = self.channels[first];
        self.push(Layer::Sum { first, second, factor }, channels)
    }

    pub(super) fn product(&mut self, first: ValueId, second: ValueId) -> ValueId {
        let channels = self.channels[first];
        self.push(Layer::Product { first, second }, channels)
    }

    pub(super) fn affine(&mut self, from: ValueId, factor: &[f32], addend: &[f32]) -> ValueId {
        let channels = self.channels[from];
        let (factor, addend) = (factor.to_vec(), addend.to_vec());
        self.push(Layer::Affine { from, factor, addend }, channels)
    }

    pub(super) fn joined(&mut self, from: &[ValueId]) -> ValueId {
        let channels = from.iter().map(|value| self.channels[*value]).sum();
        self.push(Layer::Joined { from: from.to_vec() }, channels)
    }

    pub(super) fn shuffle(&mut self, from: ValueId, factor: usize) -> ValueId {
        let channels = self.channels[from] / (factor * factor).max(1);
        self.push(Layer::Shuffle { from, factor }, channels)
    }

    pub(super) fn unshuffle(&mut self, from: ValueId, factor: usize) -> ValueId {
        let channels = self.channels[from] * factor * factor;
        self.push(Layer::Unshuffle { from, factor }, channels)
    }

    /// Enlarged by pixels that are repeated, or on straight lines.
    pub(super) fn enlarged(&mut self, from: ValueId, factor: usize, smooth: bool) -> ValueId {
        let channels = self.channels[from];
        self.push(Layer::Enlarged { from, factor, smooth }, channels)
    }

    pub(super) fn pool(&mut self, from: ValueId, kernel: usize, stride: usize) -> ValueId {
        let channels = self.channels[from];
        self.push(Layer::Pool { from, kernel, stride }, channels)
    }

    pub(super) fn fitted(&mut self, from: ValueId, like: ValueId) -> ValueId {
        let channels = self.channels[from];
        self.push(Layer::Fitted { from, like }, channels)
    }

    /// Says that the picture has so many channels, before its first layer.
    pub(super) fn picture(&mut self, channels: usize) -> ValueId {
        self.channels[PICTURE] = channels;
        PICTURE
    }

    /// The network whose answer is the last value; every tensor of the file must have its place.
    pub(super) fn finish(self, family: &str, answer: Answer) -> Result<Built, String> {
        let unused = self
            .tensors
            .keys()
            .find(|key| !self.used.contains(*key) && !key.ends_with("num_batches_tracked"));
        if let Some(key) = unused {
            return Err(format!("it holds a tensor {key} that {family} does not have"));
        }
        if answer != self.layers.len() {
            return Err("its layers do not lead to an answer".to_owned());
        }
        let config = LayeredConfig {
            family: family.to_owned(),
            channels: self.channels[PICTURE],
            layers: self.layers,
            resized: None,
        };
        Ok((config, self.weights))
    }
}

/// Output size over input size for a pixel shuffle that ends with a picture.
pub(super) fn root(outputs: usize, channels: usize) -> Result<usize, String> {
    let scale = (1..=16).find(|scale| scale * scale * channels == outputs);
    scale.ok_or_else(|| format!("{outputs} channels are no enlarged picture"))
}
