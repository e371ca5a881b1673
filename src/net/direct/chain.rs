//! A list of layers over a few maps, run by several threads.

use std::{
    ops::Range,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    map::{Map, Place, Sizes},
    simd::Isa,
    winograd::{Layer, TILE, Winograd},
};

/// Rows of tiles that a thread takes at once.
const STRIP: usize = 2;

/// One layer and where it reads and writes; maps are numbered.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) layer: Layer,
    pub(super) from: usize,
    pub(super) to: usize,
    /// Added to the result. May be `to`, which is then added to in place.
    pub(super) residual: Option<usize>,
}

/// Layers with their weights, and the maps between them for one size of picture. Map 0 is the
/// input, the last step's target the output.
pub(super) struct Chain<S: Isa> {
    steps: Vec<(Winograd<S>, Step)>,
    /// Channels of each map.
    channels: Vec<usize>,
    maps: Vec<Map>,
}

impl<S: Isa> Chain<S> {
    pub(super) fn new(steps: Vec<Step>) -> Self {
        let maps = 1 + steps.iter().map(|step| step.to).max().unwrap_or(0);
        let mut channels = vec![0; maps];
        for step in &steps {
            assert!(step.from != step.to, "a layer cannot work in place");
            channels[step.from] = step.layer.inputs;
            channels[step.to] = step.layer.outputs;
        }
        let steps = steps.into_iter().map(|step| (Winograd::new(&step.layer), step)).collect();
        Self { steps, channels, maps: Vec::new() }
    }

    /// Runs all layers on `planes`, `[channel][y][x]`, and gives the last map. The result is the
    /// same to the bit for any number of threads.
    pub(super) fn run(
        &mut self,
        planes: &[f32],
        height: usize,
        width: usize,
        threads: usize,
    ) -> &Map {
        let fits = self.maps.first().is_some_and(|map| (map.height, map.width) == (height, width));
        if !fits {
            let map = |channels: &usize| {
                let sizes = Sizes { images: 1, channels: *channels, height, width };
                Map::zeroed(sizes, S::LANES, TILE)
            };
            self.maps.clear();
            self.maps.extend(self.channels.iter().map(map));
        }
        let place = Place { height, first: 0, images: 1, rows: 0..height };
        self.maps[0].fill::<S>(planes, &place);
        let rows = height.div_ceil(TILE);
        let threads = threads.clamp(1, rows.div_ceil(STRIP));
        let next: Vec<AtomicUsize> = self.steps.iter().map(|_| AtomicUsize::new(0)).collect();
        let this = &*self;
        let work = |barrier: &Barrier| {
            for ((layer, step), next) in this.steps.iter().zip(&next) {
                loop {
                    let first = next.fetch_add(STRIP, Ordering::Relaxed);
                    if first >= rows {
                        break;
                    }
                    this.strip(layer, step, first..(first + STRIP).min(rows));
                }
                // The next layer reads across the edges of strips.
                barrier.wait();
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
        let last = self.steps.last().map_or(0, |(_, step)| step.to);
        &self.maps[last]
    }

    fn strip(&self, layer: &Winograd<S>, step: &Step, rows: Range<usize>) {
        let residual = step.residual.map(|map| &self.maps[map]);
        // SAFETY: `Direct` made this chain for an instruction set that is there. Strips of one
        // layer are disjoint, and the barrier keeps layers apart, so nobody else touches these
        // rows of `to` or writes `from`; `new` has checked that the two differ. A residual is
        // read at the places that are written, by the same thread.
        unsafe { layer.run(&self.maps[step.from], &self.maps[step.to], residual, rows) }
    }
}
