//! A graph with its weights laid out for an instruction set, run by several threads.

use std::sync::{
    Arc, Barrier,
    atomic::{AtomicUsize, Ordering},
};

use super::{
    gemm::{self, Gemm},
    graph::{Beside, Filter, Graph, Step, Value},
    layout::{Kind, Layout, kind_of},
    map::{Aligned, Map},
    narrow::Narrow,
    output::Output,
    picture::{Finish, Picture, Sampler},
    point::{Affine, Blur, Copy, Mix, Pool},
    simd::Isa,
    winograd::{After, BLOCK, Layer, Scratch, Winograd},
};

/// Rows that a thread takes at once where work is in rows.
const ROWS: usize = 4;

/// With fewer units of pixels than this, a matrix product is divided by its outputs too.
const FEW: usize = 16;

/// What a step does, with what it needs for it.
enum Work<S: Isa> {
    Picture { channel: usize, scale: usize, sampler: Sampler, affine: (Vec<f32>, Vec<f32>) },
    Winograd { from: Value, layer: Winograd<S>, onto: Onto },
    Gemm { from: Value, layer: Gemm<S>, onto: Onto },
    Narrow { from: Value, layer: Narrow<S> },
    Pool { from: Value },
    Blur { from: Value },
    Copy { from: Value, channel: usize, affine: Affine },
    Mix { from: [(Value, f32); 2] },
}

struct Onto {
    beside: Beside,
    /// Channel blocks of each position of a pixel shuffle.
    blocks: usize,
}

/// Everything that depends on the size of the picture.
struct Sized {
    height: usize,
    width: usize,
    /// What the maps lie in.
    _memory: Aligned,
    maps: Vec<Map>,
}

/// See the module's documentation.
pub(super) struct Plan<S: Isa> {
    multiple: usize,
    layout: Layout,
    work: Vec<(Value, Work<S>)>,
    result: Value,
    finish: Finish,
    scale: usize,
    sized: Option<Sized>,
    /// Units of work in the reverse order, which must change nothing.
    #[cfg(test)]
    pub(super) backwards: bool,
}

/// Rows of the answer, which threads write to.
struct Answer(*mut f32);

// SAFETY: it is written to in rows, each by one thread.
unsafe impl Sync for Answer {}

impl<S: Isa> Plan<S> {
    pub(super) fn new(graph: Graph) -> Self {
        let kind = |step: &Step| match step {
            Step::Conv { filter, beside, .. } => Some(kind_of(filter, beside)),
            _ => None,
        };
        let kinds: Vec<Option<Kind>> = graph.steps.iter().map(kind).collect();
        let layout = Layout::new(&graph, &kinds, S::LANES);
        let planes = |value: Value| layout.shape(value, [1, 1]).lanes == 1;
        let work = |step: Step| {
            let to = step.to();
            let work = match step {
                Step::Picture { channel, scale, by, affine, .. } => {
                    Work::Picture { channel, scale, sampler: Sampler::new(scale, by), affine }
                }
                Step::Conv { from, filter, beside, .. } => conv(from, planes(from), filter, beside),
                Step::Pool { from, .. } => Work::Pool { from },
                Step::Blur { from, .. } => Work::Blur { from },
                Step::Copy { from, channel, affine: (factor, addend), slope, .. } => {
                    let affine = Affine::new(&factor, &addend, slope, S::LANES);
                    Work::Copy { from, channel, affine }
                }
                Step::Mix { from, .. } => Work::Mix { from },
            };
            (to, work)
        };
        let work = graph.steps.into_iter().map(work).collect();
        let onto = graph.onto.map(|by| Sampler::new(graph.scale, by));
        let finish = Finish { shuffle: graph.shuffle, tanh: graph.tanh, onto };
        Self {
            multiple: graph.multiple,
            layout,
            work,
            result: graph.result,
            finish,
            scale: graph.scale,
            sized: None,
            #[cfg(test)]
            backwards: false,
        }
    }

    /// Whether any layer goes through Winograd's transform.
    pub(super) fn transforms(&self) -> bool {
        self.work.iter().any(|(_, work)| matches!(work, Work::Winograd { .. }))
    }

    fn size_for(&self, height: usize, width: usize) -> Sized {
        let home = |value: &Value| self.layout.home(*value);
        let mut sizes = vec![[0, 0]; self.layout.values()];
        let first = [height, width].map(|side| side.next_multiple_of(self.multiple));
        for (to, work) in &self.work {
            sizes[home(to)] = match work {
                Work::Picture { scale, .. } => first.map(|side| side * scale),
                Work::Winograd { from, onto, .. } => {
                    sizes[home(from)].map(|side| side * onto.beside.shuffle)
                }
                Work::Gemm { from, layer, onto } => {
                    sizes[home(from)].map(|side| layer.side(side) * onto.beside.shuffle)
                }
                Work::Narrow { from, .. } | Work::Blur { from } | Work::Copy { from, .. } => {
                    sizes[home(from)]
                }
                Work::Pool { from } => sizes[home(from)].map(|side| side.div_ceil(2)),
                Work::Mix { from: [(from, _), _] } => sizes[home(from)],
            };
        }
        let sizes: Vec<_> = (0..sizes.len()).map(|value| sizes[home(&Value(value))]).collect();
        let shapes: Vec<_> =
            (0..).zip(&sizes).map(|(value, size)| self.layout.shape(Value(value), *size)).collect();
        let (offsets, length) = self.layout.offsets(&shapes);
        let memory = Aligned::zeroed(length);
        let map = |(shape, offset): (_, &usize)| {
            // SAFETY: the memory is kept beside the maps, and maps that overlap are not in use at
            // the same time, but for a residual in the sum.
            unsafe { Map::within(shape, &memory, *offset) }
        };
        let maps = shapes.iter().zip(&offsets).map(map).collect();
        Sized { height, width, _memory: memory, maps }
    }

    /// Runs all steps on `planes`, `[channel][y][x]`, and writes the enlarged picture to `answer`.
    /// The result is the same to the bit for any number of threads.
    pub(super) fn run(
        &mut self,
        planes: &[f32],
        [height, width]: [usize; 2],
        threads: usize,
        answer: &mut [f32],
    ) {
        if self.sized.as_ref().is_none_or(|sized| (sized.height, sized.width) != (height, width)) {
            // The old memory goes before the new one is taken.
            self.sized = None;
            self.sized = Some(self.size_for(height, width));
        }
        let this = &*self;
        let Some(sized) = &this.sized else { return };
        let picture = Picture { planes, height, width };
        let rows = answer.len() / (width * self.scale);
        let units = self.work.iter().map(|(to, work)| this.units(work, *to, &sized.maps));
        let threads = threads.clamp(1, units.max().unwrap_or(1).max(1));
        let answer = Answer(answer.as_mut_ptr());
        let next: Vec<AtomicUsize> = (0..=self.work.len()).map(|_| AtomicUsize::new(0)).collect();
        let unit = |next: &AtomicUsize, units: usize| {
            let unit = next.fetch_add(1, Ordering::Relaxed);
            (unit < units).then_some(if this.reversed() { units - 1 - unit } else { unit })
        };
        let work = |barrier: &Barrier| {
            let mut scratch = Scratch::new();
            for (number, ((to, work), next)) in this.work.iter().zip(&next).enumerate() {
                let units = this.units(work, *to, &sized.maps);
                while let Some(unit) = unit(next, units) {
                    // SAFETY: `Direct` made this plan for an instruction set that is there. Units
                    // of a step are disjoint, and the barrier keeps steps apart; the layout gives
                    // what is read and what is written memory of their own.
                    unsafe {
                        if unit == 0
                            && let Some(root) = this.layout.begins(*to, number)
                        {
                            sized.maps[root.0].clear_border();
                        }
                        this.unit(work, *to, unit, &sized.maps, picture, &mut scratch);
                    }
                }
                // The next step reads what other threads wrote.
                barrier.wait();
            }
            let answer = &answer;
            let features = &sized.maps[this.result.0];
            while let Some(unit) = unit(&next[this.work.len()], rows.div_ceil(ROWS)) {
                for line in unit * ROWS..((unit + 1) * ROWS).min(rows) {
                    let place = [line / (height * this.scale), line % (height * this.scale)];
                    let width = width * this.scale;
                    // SAFETY: a row of the answer, which is this thread's.
                    let row = unsafe {
                        std::slice::from_raw_parts_mut(answer.0.add(line * width), width)
                    };
                    this.finish.row(|channel, y| features.pixels(channel, y), picture, place, row);
                }
            }
        };
        // The barrier must count the threads that the system gave, which may be fewer.
        let (start, started) = crossbeam_channel::bounded::<Arc<Barrier>>(threads);
        std::thread::scope(|scope| {
            let spawn = |_: &usize| {
                let started = started.clone();
                let helper = move || {
                    if let Ok(barrier) = started.recv() {
                        work(&barrier);
                    }
                };
                std::thread::Builder::new().spawn_scoped(scope, helper).is_ok()
            };
            let helpers = (1..threads).take_while(spawn).count();
            let barrier = Arc::new(Barrier::new(helpers + 1));
            for _ in 0..helpers {
                let _received = start.send(barrier.clone());
            }
            work(&barrier);
        });
    }

    #[cfg(test)]
    const fn reversed(&self) -> bool {
        self.backwards
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests have a field for it")]
    const fn reversed(&self) -> bool {
        false
    }

    /// Into how many parts a step can be divided.
    fn units(&self, work: &Work<S>, to: Value, maps: &[Map]) -> usize {
        match work {
            Work::Winograd { from, .. } => {
                let from = &maps[from.0];
                from.tiles().div_ceil(tiles(from))
            }
            Work::Gemm { from, layer, .. } => {
                let (units, parts) = gemm_units(layer, &maps[from.0]);
                units * parts
            }
            _ => maps[to.0].height.div_ceil(ROWS),
        }
    }

    /// Computes one unit of a step.
    ///
    /// # Safety
    /// The unit is computed by this thread only, and no other step is; `maps` are those of this
    /// plan.
    unsafe fn unit(
        &self,
        work: &Work<S>,
        to: Value,
        unit: usize,
        maps: &[Map],
        picture: Picture<'_>,
        scratch: &mut Scratch,
    ) {
        let to = &maps[to.0];
        let rows = unit * ROWS..((unit + 1) * ROWS).min(to.height);
        let output = |onto: &Onto| Output {
            to,
            residual: onto.beside.residual.map(|(value, _)| &maps[value.0]),
            early: onto.beside.residual.is_some_and(|(_, early)| early),
            shuffle: onto.beside.shuffle,
            blocks: onto.blocks,
        };
        // SAFETY: the caller's promises.
        unsafe {
            match work {
                Work::Picture { channel, sampler, affine: (factor, addend), .. } => {
                    sampler.fill(picture, (factor, addend), to, *channel, rows);
                }
                Work::Winograd { from, layer, onto } => {
                    let from = &maps[from.0];
                    let count = tiles(from);
                    let tiles = unit * count..((unit + 1) * count).min(from.tiles());
                    layer.run(from, output(onto), tiles, scratch);
                }
                Work::Gemm { from, layer, onto } => {
                    let from = &maps[from.0];
                    let (units, parts) = gemm_units(layer, from);
                    let whole = layer.side(from.height) * layer.side(from.width);
                    // All pixels of a group of outputs follow each other: its weights are warm.
                    let (part, unit) = (unit / units, unit % units);
                    let pixels = unit * layer.unit()..((unit + 1) * layer.unit()).min(whole);
                    let groups = if parts == 1 { 0..layer.groups() } else { part..part + 1 };
                    layer.run(from, output(onto), pixels, groups);
                }
                Work::Narrow { from, layer } => layer.run(&maps[from.0], to, rows),
                Work::Pool { from } => S::enter(Pool { from: &maps[from.0], to, rows }),
                Work::Blur { from } => S::enter(Blur { from: &maps[from.0], to, rows }),
                Work::Copy { from, channel, affine } => {
                    let channel = *channel;
                    let size = |map: &Map| (map.height, map.width);
                    assert!(size(&maps[from.0]) == size(to));
                    assert!(channel + maps[from.0].channels <= to.channels);
                    S::enter(Copy { affine, from: &maps[from.0], to, channel, rows });
                }
                Work::Mix { from } => {
                    let from = from.map(|(value, factor)| (&maps[value.0], factor));
                    let size = |map: &Map| (map.height, map.width, map.channels);
                    assert!(from.iter().all(|(map, _)| size(map) == size(to)));
                    S::enter(Mix { from, to, rows });
                }
            }
        }
    }
}

/// Tiles of a unit: whole blocks of them.
const fn tiles(from: &Map) -> usize {
    if from.tiles() > 64 * BLOCK { 4 * BLOCK } else { BLOCK }
}

/// Units of pixels, and parts of the outputs.
fn gemm_units<S: Isa>(layer: &Gemm<S>, from: &Map) -> (usize, usize) {
    let pixels = layer.side(from.height) * layer.side(from.width);
    let units = pixels.div_ceil(layer.unit());
    (units, if units < FEW { layer.groups() } else { 1 })
}

/// A convolution with its weights laid out.
fn conv<S: Isa>(from: Value, planes: bool, filter: Filter, beside: Beside) -> Work<S> {
    let kind = kind_of(&filter, &beside);
    let area = beside.shuffle * beside.shuffle;
    let blocks = (filter.outputs / area).div_ceil(S::LANES);
    let onto = Onto { beside, blocks };
    let filter = by_position(filter, area, blocks * S::LANES);
    let Filter { inputs, outputs, kernel, stride, weight, bias, slope } = filter;
    match kind {
        Kind::Winograd => {
            let after = slope.map_or(After::Linear, After::Slope);
            let layer = Layer { inputs, outputs, weight, bias, after };
            let layer = Winograd::new(&layer, Aligned::zeroed);
            Work::Winograd { from, layer, onto }
        }
        Kind::Gemm => {
            let shape = gemm::Shape { inputs, outputs, kernel, stride, planes };
            let layer = Gemm::new(shape, &weight, &bias, slope.as_deref());
            Work::Gemm { from, layer, onto }
        }
        Kind::Narrow => {
            let shape = [inputs, outputs, kernel];
            Work::Narrow { from, layer: Narrow::new(shape, &weight, &bias, slope.as_deref()) }
        }
    }
}

/// The outputs of a filter before a pixel shuffle, ordered by the position within an enlarged
/// pixel: each of `area` positions takes `room` outputs, those that are too many being zero.
fn by_position(filter: Filter, area: usize, room: usize) -> Filter {
    if area == 1 {
        return filter;
    }
    let own = filter.outputs / area;
    let reordered = |values: &[f32]| {
        let length = values.len() / filter.outputs;
        let mut ordered = vec![0.0; area * room * length];
        for (output, to) in ordered.chunks_exact_mut(length).enumerate() {
            let (position, channel) = (output / room, output % room);
            if channel < own {
                to.copy_from_slice(&values[(channel * area + position) * length..][..length]);
            }
        }
        ordered
    };
    Filter {
        outputs: area * room,
        weight: reordered(&filter.weight),
        bias: reordered(&filter.bias),
        slope: filter.slope.as_deref().map(reordered),
        ..filter
    }
}
