//! From a list of layers to the steps of the CPU path, several layers at a time becoming one step.

use std::collections::BTreeMap;

use super::{Curve, Layer, Layered, ValueId};
use crate::net::{
    blocks::{Activation, Interpolation},
    direct::{Beside, Filter, Graph, VIEW, Value},
};

/// The steps; `None` if there is a layer that the CPU path does not know.
pub(super) fn graph(network: &Layered) -> Option<Graph> {
    let config = &network.config;
    let scale = config.scale_of_layers()?;
    let tail = Tail::of(&config.layers, config.channels, scale);
    let mut lowering = Lowering::new(network, &tail)?;
    for number in 0..config.layers.len() {
        lowering.layer(number)?;
    }
    let result = lowering.value(tail.result)?;
    let graph = lowering.graph.finished(result, scale, tail.shuffle, tail.onto);
    Some(if tail.tanh { graph.through_tanh() } else { graph })
}

/// The last layers, which the CPU path does while it writes the answer.
struct Tail {
    /// What they take.
    result: ValueId,
    /// The first of them.
    first: usize,
    shuffle: usize,
    onto: Option<Interpolation>,
    tanh: bool,
}

impl Tail {
    fn of(layers: &[Layer], channels: usize, scale: usize) -> Self {
        let count = layers.len();
        let whole = Self { result: count, first: count, shuffle: 1, onto: None, tanh: false };
        let picture = |layer: &Layer| match *layer {
            Layer::Enlarged { from: 0, factor, smooth } => Some((
                factor,
                if smooth { Interpolation::Bilinear } else { Interpolation::Nearest },
            )),
            _ => None,
        };
        let uses = uses(layers);
        let half = |values: &[f32]| values.iter().all(|value| *value == 0.5);
        match layers {
            [
                ..,
                Layer::Activation { from, curve: Curve::Tanh },
                Layer::Affine { from: last, factor, addend },
            ] if *last == count - 1 && half(factor) && half(addend) => {
                Self { result: *from, first: count - 2, tanh: true, ..whole }
            }
            [.., Layer::Shuffle { from, factor }] => {
                Self { result: *from, first: count - 1, shuffle: *factor, ..whole }
            }
            // A pixel shuffle is added to the enlarged picture: two layers in either order.
            [.., one, other, Layer::Sum { first, second, factor: 1.0 }] if channels == 3 => {
                let both = [count - 2, count - 1];
                let joined_to =
                    |result| [*first, *second].contains(&(count - 1)) && result != count - 1;
                let joined = [*first, *second].iter().all(|value| both.contains(value));
                let single = both.iter().all(|value| uses[*value] == 1);
                let found = [(one, other), (other, one)].into_iter().find_map(|(one, other)| {
                    let &Layer::Shuffle { from, factor } = one else { return None };
                    let (by, interpolation) = picture(other)?;
                    let fits = by == factor && joined && single && first != second;
                    fits.then_some((from, factor, interpolation))
                });
                // The features may have been enlarged before.
                let plain = || {
                    let (by, onto) = picture(other)?;
                    let result = if *second == count - 1 { *first } else { *second };
                    let fits = by == scale && joined_to(result) && uses[count - 1] == 1;
                    fits.then_some(Self { result, first: count - 2, onto: Some(onto), ..whole })
                };
                match found {
                    Some((result, shuffle, onto)) => {
                        Self { result, first: count - 3, shuffle, onto: Some(onto), ..whole }
                    }
                    None => plain().unwrap_or(whole),
                }
            }
            _ => whole,
        }
    }
}

/// How many layers take each value.
fn uses(layers: &[Layer]) -> Vec<usize> {
    let mut uses = vec![0; layers.len() + 1];
    layers.iter().flat_map(Layer::takes).for_each(|value| uses[value] += 1);
    uses
}

/// Values that layers join, the longest list of those that begin alike.
struct Group {
    members: Vec<ValueId>,
    /// Where each begins.
    starts: Vec<usize>,
    space: Value,
    /// How many of them are in the space.
    filled: usize,
}

struct Lowering<'a> {
    layers: &'a [Layer],
    convs: BTreeMap<usize, Filter>,
    slopes: BTreeMap<usize, Activation>,
    uses: Vec<usize>,
    /// The last layers are not its business, nor are those that became a part of another's step.
    done: Vec<bool>,
    values: Vec<Option<Value>>,
    channels: Vec<usize>,
    groups: Vec<Group>,
    graph: Graph,
}

impl<'a> Lowering<'a> {
    fn new(network: &'a Layered, tail: &Tail) -> Option<Self> {
        let config = &network.config;
        let layers = &config.layers[..];
        let (mut convs, mut slopes) = (BTreeMap::new(), BTreeMap::new());
        let (mut conv, mut slope) = (network.convs.iter(), network.slopes.iter());
        for (number, layer) in layers.iter().enumerate() {
            match layer {
                Layer::Conv { .. } => {
                    let conv = conv.next()?;
                    // Others become a known kind together with what is before them.
                    if let Some(filter) = Filter::of(conv) {
                        convs.insert(number, filter);
                    }
                }
                Layer::Activation { curve: Curve::PRelu { .. }, .. } => {
                    slopes.insert(number, Activation::PRelu(slope.next()?.clone()));
                }
                _ => {}
            }
        }
        let traced = config.traced().ok()?;
        let channels: Vec<usize> = traced.iter().map(|value| value.channels).collect();
        let mut graph = Graph::new(config.channels, config.multiple());
        let groups = groups(&layers[..tail.first], &channels, &mut graph);
        let done = (0..layers.len()).map(|number| number >= tail.first).collect();
        let values = vec![None; layers.len() + 1];
        let mut uses = uses(layers);
        // What the tail takes must be there as a value of its own.
        uses[tail.result] += 1;
        Some(Self { layers, convs, slopes, uses, done, values, channels, groups, graph })
    }

    /// A value that was made; the picture is made when it is asked for.
    fn value(&mut self, value: ValueId) -> Option<Value> {
        if value == 0 && self.values[0].is_none() {
            let count = self.channels[0];
            self.values[0] = Some(self.graph.picture(vec![1.0; count], vec![0.0; count]));
        }
        self.values[value]
    }

    /// The only layer that takes a value.
    fn only_user(&self, value: ValueId) -> Option<usize> {
        let takes = |layer: &Layer| layer.takes().contains(&value);
        let user = (self.uses[value] == 1).then(|| self.layers.iter().position(takes)).flatten()?;
        (!self.done[user]).then_some(user)
    }

    fn layer(&mut self, number: usize) -> Option<()> {
        if self.done[number] {
            return Some(());
        }
        let made = number + 1;
        let value = match &self.layers[number] {
            Layer::Conv { from, .. } => {
                let filter = self.convs.remove(&number)?;
                return self.step(made, *from, filter, false);
            }
            // Before a convolution that reads it in another form, or before all.
            Layer::Enlarged { from, factor: 2, smooth: false } => {
                let user = self.only_user(made)?;
                let Layer::Conv { stride: 1, .. } = self.layers[user] else { return None };
                let filter = self.convs.remove(&user)?;
                self.done[user] = true;
                return self.step(user + 1, *from, filter, true);
            }
            Layer::Unshuffle { from, factor } => {
                let user = self.only_user(made)?;
                let Layer::Conv { stride: 1, .. } = self.layers[user] else { return None };
                let filter = unshuffled(&self.convs.remove(&user)?, *factor);
                self.done[user] = true;
                return self.step(user + 1, *from, filter, false);
            }
            Layer::Affine { from, factor, addend } => {
                let count = self.channels[made];
                let each = |values: &[f32]| values.iter().copied().cycle().take(count).collect();
                let (factor, addend) = (each(factor), each(addend));
                if *from == 0 {
                    self.graph.picture(factor, addend)
                } else {
                    let from = self.value(*from)?;
                    self.graph.affine(from, factor, addend)
                }
            }
            Layer::Activation { from, curve: Curve::Leaky { slope } } => {
                let (from, count) = (self.value(*from)?, self.channels[made]);
                let to = self.graph.space(count);
                self.graph.copy_into(from, to, 0, Some(*slope));
                to
            }
            Layer::Sum { first, second, factor } => {
                let pair = [(self.value(*first)?, 1.0), (self.value(*second)?, *factor)];
                self.graph.mix(pair)
            }
            Layer::Joined { from } => self.joined(from)?,
            _ => return None,
        };
        self.values[made] = Some(value);
        Some(())
    }

    /// A convolution with what can be done along with it. `repeated`: it reads each pixel of
    /// `from` twice by two times.
    fn step(
        &mut self,
        mut made: ValueId,
        from: ValueId,
        mut filter: Filter,
        repeated: bool,
    ) -> Option<()> {
        let mut beside = Beside::NOTHING;
        while let Some(user) = self.only_user(made) {
            match &self.layers[user] {
                Layer::Activation { curve, .. }
                    if filter.slope.is_none() && beside.residual.is_none_or(|(_, early)| early) =>
                {
                    filter = match (curve, self.slopes.get(&user)) {
                        (Curve::Leaky { slope }, _) => filter.sloped(*slope),
                        (Curve::PRelu { .. }, Some(slopes)) => {
                            filter.active_after_shuffle(slopes, beside.shuffle)?
                        }
                        _ => break,
                    };
                }
                Layer::Affine { factor, addend, .. }
                    if filter.slope.is_none()
                        && beside.residual.is_none()
                        && beside.shuffle == 1 =>
                {
                    filter = filter.scaled(factor, addend);
                }
                Layer::Shuffle { factor, .. }
                    if beside.shuffle == 1 && beside.residual.is_none() && !repeated =>
                {
                    beside.shuffle = *factor;
                }
                Layer::Sum { first, second, factor }
                    if beside.residual.is_none() && beside.shuffle == 1 && !repeated =>
                {
                    let (other, own) =
                        if *second == made { (*first, *factor) } else { (*second, 1.0) };
                    let linear = filter.slope.is_none();
                    let unknown = other != 0 && self.values[other].is_none();
                    if unknown
                        || (*first == made && *factor != 1.0)
                        || (own != 1.0 && !linear)
                        || self.is_member(user + 1)
                    {
                        break;
                    }
                    filter = filter.scaled(&[own], &[0.0]);
                    // An activation may follow the sum.
                    let early = linear
                        && self.only_user(user + 1).is_some_and(|next| {
                            matches!(
                                self.layers[next],
                                Layer::Activation {
                                    curve: Curve::Leaky { .. } | Curve::PRelu { .. },
                                    ..
                                }
                            )
                        });
                    beside.residual = Some((self.value(other)?, early));
                }
                _ => break,
            }
            self.done[user] = true;
            made = user + 1;
        }
        if repeated {
            filter = filter.of_repeated();
            beside.shuffle = 2;
        }
        let from = self.value(from)?;
        let value = match self.home(made) {
            Some(view) if filter.outputs >= VIEW * beside.shuffle * beside.shuffle => {
                self.graph.conv_into(from, filter, beside, view);
                view
            }
            _ => self.graph.conv(from, filter, beside),
        };
        self.values[made] = Some(value);
        Some(())
    }

    /// Whether a value is joined to others.
    fn is_member(&self, value: ValueId) -> bool {
        self.groups.iter().any(|group| group.members[1..].contains(&value))
    }

    /// The place of a value in the space where it is joined to those before it; only if it can be
    /// written there at once.
    fn home(&mut self, value: ValueId) -> Option<Value> {
        let count = self.channels[value];
        let group = self.groups.iter_mut().find(|group| group.members[1..].contains(&value))?;
        let index = group.members.iter().position(|member| *member == value)?;
        let start = group.starts[index];
        if !start.is_multiple_of(VIEW) || !count.is_multiple_of(VIEW) || group.filled < index {
            return None;
        }
        let space = group.space;
        (group.filled == index).then(|| group.filled += 1);
        Some(self.graph.view(space, start, count))
    }

    /// Values behind each other: what is not in their space yet is copied there.
    fn joined(&mut self, members: &[ValueId]) -> Option<Value> {
        let index = self.groups.iter().position(|group| group.members.starts_with(members))?;
        for place in self.groups[index].filled..members.len() {
            let from = self.value(members[place])?;
            let Group { space, starts, .. } = &self.groups[index];
            self.graph.copy_into(from, *space, starts[place], None);
            self.groups[index].filled = place + 1;
        }
        let count = members.iter().map(|member| self.channels[*member]).sum();
        let space = self.groups[index].space;
        Some(self.graph.view(space, 0, count))
    }
}

/// The spaces of all joined values.
fn groups(layers: &[Layer], channels: &[usize], graph: &mut Graph) -> Vec<Group> {
    let lists: Vec<&Vec<ValueId>> = layers
        .iter()
        .filter_map(|layer| match layer {
            Layer::Joined { from } => Some(from),
            _ => None,
        })
        .collect();
    let longest = |list: &&&Vec<ValueId>| {
        !lists.iter().any(|other| other.len() > list.len() && other.starts_with(list))
    };
    let mut found: Vec<&Vec<ValueId>> = lists.iter().filter(longest).copied().collect();
    found.dedup();
    let group = |members: &Vec<ValueId>| {
        let starts = members.iter().scan(0, |sum, member| {
            let start = *sum;
            *sum += channels[*member];
            Some(start)
        });
        let whole = members.iter().map(|member| channels[*member]).sum();
        let space = graph.space(whole);
        Group { members: members.clone(), starts: starts.collect(), space, filled: 0 }
    };
    found.into_iter().map(group).collect()
}

/// The convolution that reads a picture as one of stride 1 reads its pixel unshuffle: its kernel
/// covers the pixels of the other's, and zeros make it symmetric.
fn unshuffled(filter: &Filter, factor: usize) -> Filter {
    let (size, pad) = (filter.kernel, filter.kernel / 2);
    let reach = (pad + 1) * factor - 1;
    let large = 2 * reach + 1;
    let (area, inputs) = (factor * factor, filter.inputs / (factor * factor));
    let mut weight = vec![0.0; filter.outputs * inputs * large * large];
    for (index, value) in filter.weight.iter().enumerate() {
        let (tap, channel) = (index % (size * size), index / (size * size) % filter.inputs);
        let output = index / (size * size) / filter.inputs;
        let (input, position) = (channel / area, channel % area);
        // The first of the pixels at a tap lies this far from the first one of the kernel.
        let place = |tap: usize, phase: usize| tap * factor + phase + reach - pad * factor;
        let y = place(tap / size, position / factor);
        let x = place(tap % size, position % factor);
        weight[((output * inputs + input) * large + y) * large + x] = *value;
    }
    Filter { inputs, kernel: large, stride: factor, weight, ..filter.clone() }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::super::*;
    use crate::net::{
        Network,
        direct::{Direct, InstructionSet},
    };

    fn conv(from: ValueId, inputs: usize, outputs: usize, kernel: usize) -> Layer {
        Layer::Conv { from, inputs, outputs, kernel, stride: 1, padding: kernel / 2 }
    }

    fn leaky(from: ValueId) -> Layer {
        Layer::Activation { from, curve: Curve::Leaky { slope: 0.2 } }
    }

    fn sum(first: ValueId, second: ValueId, factor: f32) -> Layer {
        Layer::Sum { first, second, factor }
    }

    fn affine(from: ValueId, factor: &[f32], addend: &[f32]) -> Layer {
        Layer::Affine { from, factor: factor.to_vec(), addend: addend.to_vec() }
    }

    /// The CPU path against Burn, on pictures of several sizes.
    fn compare(channels: usize, layers: Vec<Layer>) {
        let config = LayeredConfig { family: "test".to_owned(), channels, layers, resized: None };
        config.check().unwrap();
        let device = Device::flex();
        device.seed(3);
        let network = Network::Layered(config.init(&device));
        for set in InstructionSet::available() {
            let direct = Direct::on(&network, set, 2).unwrap();
            for (height, width) in [(9, 7), (1, 1), (20, 33)] {
                let values = (0..3 * height * width).map(|i| (i as f32 * 0.7).sin()).collect();
                let input = TensorData::new(values, [1, 3, height, width]);
                let input = Tensor::<4>::from_data(input, &device);
                let expected = network.forward(input.clone());
                let difference = (direct.forward(input) - expected.clone()).abs().max();
                let (difference, largest) =
                    (difference.into_scalar::<f32>(), expected.abs().max().into_scalar::<f32>());
                assert!(
                    difference < 1e-4 * largest.max(1.0),
                    "{set:?} {height}x{width}: {difference} of {largest}, {:?}",
                    config.layers
                );
            }
        }
    }

    #[test]
    fn every_way_to_put_layers_together_gives_what_burn_gives() {
        // A factor after a convolution, and one of its own.
        compare(3, vec![conv(0, 3, 8, 3), affine(1, &[0.2], &[0.1]), conv(2, 8, 3, 3)]);
        compare(
            3,
            vec![conv(0, 3, 8, 3), affine(1, &[0.2], &[0.1]), sum(1, 2, 1.0), conv(3, 8, 3, 3)],
        );
        // A convolution is added to, multiplied or not, before its activation or after.
        for factor in [1.0, 0.2, -1.0] {
            compare(
                3,
                vec![
                    conv(0, 3, 8, 3),
                    conv(1, 8, 8, 3),
                    sum(1, 2, factor),
                    leaky(3),
                    conv(4, 8, 3, 3),
                ],
            );
            compare(
                3,
                vec![
                    conv(0, 3, 8, 3),
                    conv(1, 8, 8, 3),
                    leaky(2),
                    sum(3, 1, factor),
                    conv(4, 8, 8, 3),
                    sum(1, 5, 1.0),
                    conv(6, 8, 3, 1),
                    sum(0, 7, factor),
                ],
            );
        }
        // A sum of what was made before, scaled by a layer of its own.
        compare(
            3,
            vec![
                conv(0, 3, 8, 3),
                conv(1, 8, 8, 3),
                sum(2, 1, 1.0),
                affine(3, &[0.2], &[0.0]),
                sum(4, 1, 1.0),
                conv(5, 8, 8, 3),
                sum(1, 6, 1.0),
                conv(7, 8, 3, 3),
            ],
        );
    }

    #[test]
    fn joined_values_are_those_of_burn() {
        for width in [8, 16, 32] {
            for growth in [4, 16] {
                compare(
                    3,
                    vec![
                        conv(0, 3, width, 3),
                        conv(1, width, growth, 3),
                        leaky(2),
                        Layer::Joined { from: vec![1, 3] },
                        conv(4, width + growth, growth, 3),
                        leaky(5),
                        Layer::Joined { from: vec![1, 3, 6] },
                        conv(7, width + 2 * growth, width, 3),
                        sum(1, 8, 0.2),
                        Layer::Joined { from: vec![9, 1] },
                        conv(10, 2 * width, 3, 1),
                    ],
                );
            }
        }
    }

    #[test]
    fn sizes_change_as_in_burn() {
        compare(
            3,
            vec![
                Layer::Unshuffle { from: 0, factor: 2 },
                conv(1, 12, 8, 3),
                Layer::Enlarged { from: 2, factor: 2, smooth: false },
                conv(3, 8, 8, 3),
                leaky(4),
                conv(5, 8, 12, 3),
                Layer::Shuffle { from: 6, factor: 2 },
            ],
        );
        for smooth in [false, true] {
            let enlarged = Layer::Enlarged { from: 0, factor: 3, smooth };
            let shuffle = |from| Layer::Shuffle { from, factor: 3 };
            compare(3, vec![conv(0, 3, 27, 3), shuffle(1), enlarged.clone(), sum(2, 3, 1.0)]);
            compare(3, vec![conv(0, 3, 27, 3), enlarged.clone(), shuffle(1), sum(2, 3, 1.0)]);
            let features = [conv(0, 3, 72, 3), shuffle(1), conv(2, 8, 3, 3)];
            for (one, other) in [(3, 4), (4, 3)] {
                let end = [enlarged.clone(), sum(one, other, 1.0)];
                compare(3, [&features[..], &end].concat());
            }
        }
        // Squares of two kinds, which both must fit the picture.
        compare(
            3,
            vec![
                Layer::Unshuffle { from: 0, factor: 2 },
                conv(1, 12, 32, 3),
                Layer::Shuffle { from: 2, factor: 2 },
                Layer::Unshuffle { from: 0, factor: 3 },
                conv(4, 27, 72, 3),
                Layer::Shuffle { from: 5, factor: 3 },
                sum(3, 6, 0.5),
                conv(7, 8, 3, 3),
            ],
        );
        compare(
            1,
            vec![
                affine(0, &[255.0], &[-3.0]),
                conv(1, 1, 8, 5),
                conv(2, 8, 4, 3),
                Layer::Shuffle { from: 3, factor: 2 },
                affine(4, &[0.004], &[0.5]),
            ],
        );
        compare(
            3,
            vec![
                conv(0, 3, 16, 9),
                conv(1, 16, 64, 3),
                Layer::Shuffle { from: 2, factor: 2 },
                Layer::Activation { from: 3, curve: Curve::PRelu { slopes: 16 } },
                conv(4, 16, 3, 9),
                Layer::Activation { from: 5, curve: Curve::Tanh },
                affine(6, &[0.5], &[0.5]),
            ],
        );
    }
}
