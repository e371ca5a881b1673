//! Which kernel computes a step, and where values lie.

use std::ops::Range;

use super::{
    graph::{Beside, Filter, Graph, Step, Value},
    map::Shape,
    narrow, winograd,
};

/// Where a layer has more inputs times outputs than this for each pixel that it writes, the
/// weights after Winograd's transform, four for each, would be too many: 21 megabytes. Such
/// layers work on small maps, where streaming them would cost more than it saves.
const MOST_FOR_WINOGRAD: usize = 384 * 384;

/// With fewer inputs than this, Winograd's transforms cost more than they save.
const LEAST_FOR_WINOGRAD: usize = 8;

/// The kernels of convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Winograd,
    Gemm,
    Narrow,
}

/// For a convolution and what is beside it.
pub(super) const fn kind_of(filter: &Filter, beside: &Beside) -> Kind {
    let plain = beside.residual.is_none() && beside.shuffle == 1 && beside.room == 0;
    let area = beside.shuffle * beside.shuffle;
    if plain && filter.outputs <= narrow::MOST && filter.inputs >= 8 && filter.stride == 1 {
        Kind::Narrow
    } else if filter.kernel == 3
        && filter.stride == 1
        && filter.inputs >= LEAST_FOR_WINOGRAD
        && filter.inputs * filter.outputs <= area * MOST_FOR_WINOGRAD
    {
        Kind::Winograd
    } else {
        Kind::Gemm
    }
}

/// What is known of a value before the size of the picture is.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The value whose memory it shares, or itself.
    root: usize,
    /// Planes, and not blocks of channels.
    planes: bool,
    border: usize,
    tile: usize,
}

/// Where the values of a graph lie.
pub(super) struct Layout {
    lanes: usize,
    channels: Vec<usize>,
    views: Vec<Option<(Value, usize)>>,
    places: Vec<Place>,
    /// Steps during which the memory of a root is in use.
    lives: Vec<Range<usize>>,
}

impl Layout {
    /// For a graph, and the kinds of its steps' kernels where they are convolutions.
    pub(super) fn new(graph: &Graph, kinds: &[Option<Kind>], lanes: usize) -> Self {
        let home = |value: Value| graph.home(value).0;
        let place = |value| {
            let planes = graph.views.iter().flatten().all(|(of, _)| of.0 != value);
            let root = home(Value(value));
            Place { root, planes: planes && root == value, border: 0, tile: 1 }
        };
        let count = graph.channels.len();
        let mut places: Vec<Place> = (0..count).map(place).collect();
        let mut lives: Vec<Range<usize>> = vec![0..0; count];
        let numbered = || graph.steps.iter().zip(kinds).enumerate();
        for (number, (step, kind)) in numbered() {
            let to = home(step.to());
            if lives[to].is_empty() {
                lives[to].start = number;
            }
            lives[to].end = number + 1;
            let planes = matches!(step, Step::Picture { .. }) || *kind == Some(Kind::Narrow);
            places[to].planes &= planes;
            for from in step.reads() {
                lives[home(from)].end = number + 1;
                places[from.0].planes &= *kind == Some(Kind::Gemm);
            }
            if let Step::Conv { from, filter, beside, .. } = step {
                let place = &mut places[home(*from)];
                let (border, tile) = match kind {
                    Some(Kind::Winograd) => (1, winograd::TILE),
                    Some(Kind::Narrow) => (filter.kernel / 2, narrow::TILE),
                    _ => (filter.kernel / 2, 1), // only planes need it
                };
                (place.border, place.tile) = (place.border.max(border), place.tile.max(tile));
                if let Some((residual, _)) = beside.residual {
                    places[residual.0].planes = false;
                }
            }
        }
        lives[home(graph.result)].end = graph.steps.len() + 1;
        // What is added last lives on in the sum.
        for (number, (step, _)) in numbered() {
            let Step::Conv { from, to, beside, .. } = step else { continue };
            let Some((residual, _)) = beside.residual else { continue };
            let whole = [residual, *to].iter().all(|value| home(*value) == value.0);
            let alike = graph.channels[residual.0] == graph.channels[to.0] && residual != *from;
            let alike = alike && whole && home(*from) != residual.0;
            if alike && lives[residual.0].end == number + 1 {
                let root = places[residual.0].root;
                places[to.0].root = root;
                lives[root].end = lives[to.0].end;
                let Place { border, tile, .. } = places[to.0];
                let place = &mut places[root];
                (place.border, place.tile) = (place.border.max(border), place.tile.max(tile));
            }
        }
        let (channels, views) = (graph.channels.clone(), graph.views.clone());
        Self { lanes, channels, views, places, lives }
    }

    /// How many values there are.
    pub(super) const fn values(&self) -> usize {
        self.channels.len()
    }

    /// The value in whose memory another lies, as [`Graph::home`].
    pub(super) fn home(&self, value: Value) -> usize {
        self.views[value.0].map_or(value.0, |(of, _)| of.0)
    }

    /// The value whose border a step that writes to `value` must clear, if it is the first one to
    /// use that memory.
    pub(super) fn begins(&self, value: Value, step: usize) -> Option<Value> {
        let root = self.places[value.0].root;
        (self.lives[root].start == step).then_some(Value(root))
    }

    /// The shape of a value of this height and width.
    pub(super) fn shape(&self, value: Value, [height, width]: [usize; 2]) -> Shape {
        let Place { root, planes, .. } = self.places[value.0];
        let Place { border, tile, .. } = self.places[root];
        let lanes = if planes { 1 } else { self.lanes };
        Shape { images: 1, channels: self.channels[value.0], height, width, lanes, border, tile }
    }

    /// Where each value begins in a common memory, and how long that is: values that are in use
    /// at the same time do not overlap. The largest are placed first (the greedy way of
    /// Y. Pisarchyk and J. Lee, "Efficient memory management for deep neural net inference",
    /// 2020).
    pub(super) fn offsets(&self, shapes: &[Shape]) -> (Vec<usize>, usize) {
        let roots = (0..shapes.len()).filter(|value| self.places[*value].root == *value);
        let mut order: Vec<usize> = roots.collect();
        order.sort_by_key(|value| std::cmp::Reverse(shapes[*value].length()));
        let mut offsets = vec![0; shapes.len()];
        let mut placed: Vec<usize> = Vec::new();
        let mut whole = 0;
        for value in order {
            let life = &self.lives[value];
            let meets = |other: &&usize| {
                let other = &self.lives[**other];
                other.start < life.end && life.start < other.end
            };
            let mut taken: Vec<Range<usize>> = placed
                .iter()
                .filter(meets)
                .map(|other| offsets[*other]..offsets[*other] + shapes[*other].length())
                .collect();
            taken.sort_by_key(|range| range.start);
            let length = shapes[value].length();
            let mut offset = 0;
            for range in taken {
                if offset + length <= range.start {
                    break;
                }
                offset = offset.max(range.end);
            }
            offsets[value] = offset;
            whole = whole.max(offset + length);
            placed.push(value);
        }
        for value in 0..shapes.len() {
            let first = self.views[value].map_or(0, |(_, first)| first);
            offsets[value] = offsets[self.places[value].root] + shapes[value].start_of(first);
        }
        (offsets, whole)
    }
}
