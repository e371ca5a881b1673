//! The networks on graphics cards: the steps of [`direct::Graph`](super::direct::Graph) through
//! Burn's operations, in 16 or in 32 bit.
//!
//! A card is told as little as possible. Batch normalisation lies in the weights, which lie in
//! memory as convolutions read them; what is joined is joined channels last, and so are steps up, so
//! that no map is laid out anew before a convolution; the picture is added before the pixel shuffle
//! where that is one and the same. The picture and the answer have 32 bit throughout: the last sum
//! is a kernel of its own anyway, which may as well read the one and write the other.

use burn::{
    nn::{PaddingConfig2d, pool::MaxPool2dConfig},
    tensor::{
        DType, Device, Tensor, TensorData,
        activation::{leaky_relu, prelu, relu, tanh},
        module::conv2d,
        ops::ConvOptions,
    },
};

use super::{
    Network,
    blocks::{Enlarger, Interpolation, blurred, channels_last, continued_to},
    direct::{About, Beside, Filter, Graph, Numbers, Step, Stepped, Value},
};

/// A network, for a graphics card.
pub struct Graphics {
    /// What each step writes to, and what it does.
    work: Vec<(Value, Work)>,
    /// For each value, the map in which it lies, its first channel there and how many it has.
    places: Vec<Place>,
    /// For each map, the last step that uses it.
    last_uses: Vec<usize>,
    /// Both sides of the first map are multiples of it.
    multiple: usize,
    result: Value,
    shuffle: usize,
    tanh: bool,
    onto: Option<Onto>,
    scale: usize,
    outputs: usize,
    numbers: DType,
    about: About,
}

#[derive(Clone, Copy)]
struct Place {
    map: usize,
    first: usize,
    count: usize,
}

/// What a step does, with what it needs for it.
enum Work {
    Picture { channel: usize, enlarger: Option<Enlarger>, affine: Option<Affine> },
    Conv { from: Value, layer: Layer, beside: Beside },
    Pool { from: Value },
    Blur { from: Value },
    Copy { from: Value, channel: usize, affine: Option<Affine>, slope: Option<Slope> },
    Mix { from: [(Value, f32); 2] },
}

/// What an answer is added to: the picture as it is, or enlarged.
#[expect(clippy::large_enum_variant, reason = "there are a few in a network")]
enum Onto {
    Picture,
    Enlarged(Enlarger),
}

/// A convolution with its numbers on the device.
struct Layer {
    weight: Tensor<4>,
    bias: Tensor<1>,
    options: ConvOptions<2>,
    slope: Option<Slope>,
}

/// What negative numbers are multiplied by.
#[expect(clippy::large_enum_variant, reason = "there are a few in a network")]
enum Slope {
    Same(f32),
    Each(Tensor<1>),
}

/// A factor and an addend for each channel.
struct Affine(Tensor<4>, Tensor<4>);

/// A map in pieces, as steps have written them: each with its first channel, in order.
#[derive(Clone, Default)]
struct Map(Vec<(usize, Tensor<4>)>);

impl Graphics {
    /// A network on a device, computing with `numbers` (16 or 32 bit). The network itself may be on
    /// the CPU; `None` if it has layers for which there are no steps.
    #[must_use]
    pub fn of(network: &Network, device: &Device, numbers: DType) -> Option<Self> {
        let about = About::of(network);
        Some(Self { about, ..Self::with(&network.graph()?, device, numbers) })
    }

    /// A network of which nothing but its steps is known: it is taken to look everywhere.
    #[must_use]
    pub fn with(graph: &Graph, device: &Device, numbers: DType) -> Self {
        let place = |value: usize| {
            let (of, first) = graph.views[value].unwrap_or((Value(value), 0));
            Place { map: of.0, first, count: graph.channels[value] }
        };
        let places: Vec<Place> = (0..graph.channels.len()).map(place).collect();
        let mut last_uses = vec![0; places.len()];
        for (number, step) in graph.steps.iter().enumerate() {
            for value in step.reads().chain([step.to()]) {
                last_uses[places[value.0].map] = number;
            }
        }
        last_uses[places[graph.result.0].map] = graph.steps.len();
        let inputs = graph.inputs;
        let enlarger = |channels, scale, by| Enlarger::new(channels, scale, by, device);
        let work = |step: &Step| {
            let work = match step {
                Step::Picture { channel, scale, by, affine, .. } => Work::Picture {
                    channel: *channel,
                    enlarger: (*scale > 1).then(|| enlarger(inputs, *scale, *by)),
                    // Before the numbers get 16 bit.
                    affine: Affine::new(affine, device, DType::F32),
                },
                Step::Conv { from, filter, beside, .. } => {
                    let layer = Layer::new(filter, device, numbers);
                    Work::Conv { from: *from, layer, beside: *beside }
                }
                Step::Pool { from, .. } => Work::Pool { from: *from },
                Step::Blur { from, .. } => Work::Blur { from: *from },
                Step::Copy { from, channel, affine, slope, .. } => Work::Copy {
                    from: *from,
                    channel: *channel,
                    affine: Affine::new(affine, device, numbers),
                    slope: slope.map(Slope::Same),
                },
                Step::Mix { from, .. } => Work::Mix { from: *from },
            };
            (step.to(), work)
        };
        let outputs = graph.outputs();
        let onto = |by: Interpolation| match graph.scale {
            1 => Onto::Picture,
            scale => Onto::Enlarged(enlarger(outputs, scale, by)),
        };
        Self {
            work: graph.steps.iter().map(work).collect(),
            places,
            last_uses,
            multiple: graph.multiple,
            result: graph.result,
            shuffle: graph.shuffle,
            tanh: graph.tanh,
            onto: graph.onto.map(onto),
            scale: graph.scale,
            outputs,
            numbers,
            about: About::steps(graph),
        }
    }

    /// All steps over a picture whose sides are multiples of what they must be.
    fn run(&self, picture: &Tensor<4>) -> Tensor<4> {
        let mut maps = vec![Map::default(); self.places.len()];
        for (number, (to, work)) in self.work.iter().enumerate() {
            let mut value = |value: &Value| {
                let Place { map, first, count } = self.places[value.0];
                maps[map].read(first, count)
            };
            let (channel, written) = match work {
                Work::Picture { channel, enlarger, affine } => {
                    let picture = picture.clone();
                    let large = match enlarger {
                        Some(enlarger) => enlarger.run(picture),
                        None => picture,
                    };
                    let scaled = affine.iter().fold(large, |map, affine| affine.run(map));
                    (*channel, scaled.cast(self.numbers))
                }
                Work::Conv { from, layer, beside } => {
                    let residual = beside.residual.map(|(map, early)| (value(&map), early));
                    let sums = layer.run(value(from), residual);
                    (0, shuffled_last(sums, beside.shuffle))
                }
                Work::Pool { from } => {
                    let pool = MaxPool2dConfig::new([3, 3])
                        .with_strides([2, 2])
                        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1));
                    (0, pool.init().forward(value(from)))
                }
                Work::Blur { from } => (0, blurred(value(from))),
                Work::Copy { from, channel, affine, slope } => {
                    let map = affine.iter().fold(value(from), |map, affine| affine.run(map));
                    (*channel, slope.iter().fold(map, |map, slope| slope.run(map)))
                }
                Work::Mix { from: [(first, factor), (second, other)] } => {
                    let times = |map: Tensor<4>, factor: f32| {
                        if factor == 1.0 { map } else { map * factor }
                    };
                    (0, times(value(first), *factor) + times(value(second), *other))
                }
            };
            let place = self.places[to.0];
            maps[place.map].write(place.first + channel, written);
            for (map, last) in maps.iter_mut().zip(&self.last_uses) {
                if *last <= number {
                    map.0.clear();
                }
            }
        }
        let Place { map, first, .. } = self.places[self.result.0];
        let features = maps[map].read(first, self.outputs * self.shuffle * self.shuffle);
        self.finished(features.cast(DType::F32), picture)
    }

    /// The answer out of the last map.
    fn finished(&self, features: Tensor<4>, picture: &Tensor<4>) -> Tensor<4> {
        let features = if self.tanh { (tanh(features) + 1.0) / 2.0 } else { features };
        let picture = || picture.clone().narrow(1, 0, self.outputs);
        match &self.onto {
            None => shuffled(features, self.shuffle),
            Some(Onto::Picture) => shuffled(features, self.shuffle) + picture(),
            // One copy instead of two: each moves as much as a map.
            Some(Onto::Enlarged(enlarger)) if enlarger.scale == self.shuffle => {
                shuffled(features + enlarger.positions(picture()), self.shuffle)
            }
            Some(Onto::Enlarged(enlarger)) => {
                shuffled(features, self.shuffle) + enlarger.run(picture())
            }
        }
    }
}

impl Map {
    fn write(&mut self, first: usize, values: Tensor<4>) {
        let index = self.0.partition_point(|(start, _)| *start < first);
        self.0.insert(index, (first, values));
    }

    /// Some channels. Pieces that are joined for it stay so: dense blocks read more each time.
    fn read(&mut self, first: usize, count: usize) -> Tensor<4> {
        let channels = |(start, piece): &(usize, Tensor<4>)| *start..*start + piece.dims()[1];
        let begin = self.0.partition_point(|piece| channels(piece).end <= first);
        let end = self.0.partition_point(|piece| channels(piece).start < first + count);
        let start = self.0[begin].0;
        if end - begin > 1 {
            let last = |(_, piece): (usize, Tensor<4>)| piece.permute([0, 2, 3, 1]);
            let pieces: Vec<Tensor<4>> = self.0.drain(begin..end).map(last).collect();
            self.0.insert(begin, (start, Tensor::cat(pieces, 3).permute([0, 3, 1, 2])));
        }
        let piece = self.0[begin].1.clone();
        if start == first && piece.dims()[1] == count {
            return piece;
        }
        piece.narrow(1, first - start, count)
    }
}

impl Layer {
    fn new(filter: &Filter, device: &Device, numbers: DType) -> Self {
        let Filter { inputs, outputs, kernel, stride, .. } = *filter;
        let vector = |values: &[f32]| {
            Tensor::<1>::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
                .cast(numbers)
        };
        let slope = |slopes: &Vec<f32>| match slopes[..] {
            [first, ..] if slopes.iter().all(|slope| *slope == first) => Slope::Same(first),
            _ => Slope::Each(vector(slopes)),
        };
        Self {
            weight: channels_last(&filter.weight, [outputs, inputs, kernel], device).cast(numbers),
            bias: vector(&filter.bias),
            options: ConvOptions::new([stride; 2], [kernel / 2; 2], [1; 2], 1),
            slope: filter.slope.as_ref().map(slope),
        }
    }

    /// With a map that is added before the activation or after it.
    fn run(&self, input: Tensor<4>, residual: Option<(Tensor<4>, bool)>) -> Tensor<4> {
        let (weight, bias) = (self.weight.clone(), Some(self.bias.clone()));
        let (early, late) = match residual {
            Some((map, true)) => (Some(map), None),
            Some((map, false)) => (None, Some(map)),
            None => (None, None),
        };
        let sums = conv2d(input, weight, bias, self.options.clone());
        let sums = early.into_iter().fold(sums, |sums, map| sums + map);
        let active = self.slope.iter().fold(sums, |sums, slope| slope.run(sums));
        late.into_iter().fold(active, |active, map| active + map)
    }
}

impl Slope {
    fn run(&self, map: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Same(0.0) => relu(map),
            Self::Same(slope) => leaky_relu(map, f64::from(*slope)),
            Self::Each(slopes) => prelu(map, slopes.clone()),
        }
    }
}

impl Affine {
    /// `None` where nothing changes.
    fn new((factor, addend): &Numbers, device: &Device, numbers: DType) -> Option<Self> {
        let changes = factor.iter().any(|factor| *factor != 1.0)
            || addend.iter().any(|addend| *addend != 0.0);
        let row = |values: &[f32]| {
            let data = TensorData::new(values.to_vec(), [1, values.len(), 1, 1]);
            Tensor::<4>::from_data(data, device).cast(numbers)
        };
        changes.then(|| Self(row(factor), row(addend)))
    }

    fn run(&self, map: Tensor<4>) -> Tensor<4> {
        map * self.0.clone() + self.1.clone()
    }
}

/// Pixel shuffle, `[n, c * factor², h, w]` to `[n, c, h * factor, w * factor]`.
fn shuffled(map: Tensor<4>, factor: usize) -> Tensor<4> {
    if factor == 1 {
        return map;
    }
    burn::nn::PixelShuffleConfig::new(factor).init().forward(map)
}

/// The same, into a map with its channels last in memory.
fn shuffled_last(map: Tensor<4>, factor: usize) -> Tensor<4> {
    if factor == 1 {
        return map;
    }
    let [count, channels, height, width] = map.dims();
    let own = channels / (factor * factor);
    map.reshape([count, own, factor, factor, height, width])
        .permute([0, 4, 2, 5, 3, 1])
        .reshape([count, height * factor, width * factor, own])
        .permute([0, 3, 1, 2])
}

impl Stepped for Graphics {
    fn about(&self) -> &About {
        &self.about
    }

    fn answer(&self, input: Tensor<4>) -> Tensor<4> {
        let [count, channels, height, width] = input.dims();
        // A network for one channel takes those of a colour picture one after the other.
        let input = match self.outputs {
            1 => input.reshape([count * channels, 1, height, width]),
            _ => input,
        };
        let answer = self.run(&continued_to(input, self.multiple));
        let (high, wide) = (height * self.scale, width * self.scale);
        let answer = if answer.dims()[2..] == [high, wide] {
            answer
        } else {
            answer.narrow(2, 0, high).narrow(3, 0, wide)
        };
        match self.outputs {
            1 => answer.reshape([count, channels, high, wide]),
            _ => answer,
        }
    }

    fn computed_by(&self) -> String {
        let bits = if self.numbers == DType::F16 { 16 } else { 32 };
        format!("Burn, {bits} bit")
    }
}
