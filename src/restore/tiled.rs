//! The only loop over tiles.
//!
//! It feeds windows of a picture to a network, checks what comes back, and
//! hands on finished areas. A tile that fails (not-a-number, a flat answer to
//! a picture with contrast, a driver that gives up) is done again with numbers
//! of 32 bit where they had 16, in smaller pieces, then on the CPU; only when that fails too does the job end, with
//! nothing written.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use burn::tensor::{Device, Tensor, TensorData};
use image::{DynamicImage, GrayImage};
use rayon::prelude::*;

use super::{
    Monitor, Progress, half,
    plan::{self, Tile},
};
use crate::{
    device::Chosen,
    error::{Error, Result},
    model::Model,
    net::{Generator, Reach},
    picture::{light, resample::Resampler},
    rect::Rect,
};

/// A network that looks at the whole picture is run on it at once up to this
/// many pixels; larger pictures are feathered from tiles.
const WHOLE_PIXELS: u64 = 1 << 20;

/// Bytes that the maps of a tile should take at most.
const MOST_MEMORY: usize = 1 << 30;

/// Side of the smallest piece that a failed tile is cut into.
const SMALLEST_PIECE: u32 = 32;

/// Numbers that a thread takes at a time.
const CHUNK: usize = 1 << 16;

/// Above it, numbers of 16 bit are further apart than a level of a picture's 255: an answer that
/// spans more is not to be trusted.
const MOST_IN_HALF: f32 = 8.0;

/// After this many failures in a row the device is given up for this job.
const FAILURES_TO_GIVE_UP: u32 = 2;

/// Makes a network on the CPU.
type OnCpu<'a> = dyn Fn() -> Result<Box<dyn Generator>> + 'a;

/// Makes a network with numbers of 32 bit, and remembers that those of 16 were not enough.
type InFull<'a> = dyn Fn() -> Result<Box<dyn Generator>> + 'a;

/// A network where it is to run, and a way to have it on the CPU.
pub struct Engine<'a> {
    /// The network on the chosen device.
    pub network: Box<dyn Generator>,
    /// The chosen device.
    pub device: Device,
    /// Name of the model, for messages.
    pub model: &'a str,
    /// Makes the network on the CPU, for tiles that fail.
    pub on_cpu: Box<OnCpu<'a>>,
    /// Makes the network on the device with numbers of 32 bit, while it computes with 16.
    pub in_full: Option<Box<InFull<'a>>>,
    /// What computed it at first, for people.
    pub began: String,
    /// Tiles in a row that have failed.
    pub failures: u32,
    /// Whether the device works on by itself once it has been told what to do: then it is told the
    /// next tile before the answer to the last one is taken apart.
    pub apart: bool,
}

/// What is to be done: `source` through a network to `output` pixels.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// What the network reads; an alpha channel is ignored.
    pub source: &'a DynamicImage,
    /// White where a network that takes a mask is to fill; of the source's size.
    pub mask: Option<&'a GrayImage>,
    /// The picture with its marks, for a network that takes it beside the source, in which they are
    /// hidden; of the source's size.
    pub marked: Option<&'a DynamicImage>,
    /// Where the answer is used, of the source's size; elsewhere the source may stand for it. Only
    /// where the result has the source's size.
    pub wanted: Option<&'a GrayImage>,
    /// Width and height of the result. The network's own scale or less.
    pub output: (u32, u32),
    /// Side of a tile in source pixels, halo included.
    pub tile: u32,
    /// Whether windows may be smaller so that they share a picture evenly; where kernels are
    /// tuned to a size, all pictures should have the same.
    pub balanced: bool,
}

impl<'a> Engine<'a> {
    /// A model on a device.
    ///
    /// # Errors
    /// [`Error::Model`] if it does not work on colours, or as [`Model::on`].
    pub fn new(model: &'a Model, device: &'a Chosen) -> Result<Self> {
        let half = if device.computes_half() {
            half::tried(model, device.burn(), |network| usual_tile(device, network))?
        } else {
            None
        };
        let in_full = half.is_some().then(|| {
            let again = || {
                half::refuse(model);
                model.on(device.burn())
            };
            Box::new(again) as Box<InFull<'a>>
        });
        let network = half.map_or_else(|| model.on(device.burn()), Ok)?;
        if network.channels() != 3 {
            return Err(Error::Model {
                name: model.name().to_owned(),
                reason: format!("it works on {} channels instead of 3", network.channels()),
            });
        }
        Ok(Self {
            began: network.kernels(),
            network,
            device: device.burn().clone(),
            model: model.name(),
            on_cpu: Box::new(|| model.on(Chosen::cpu().burn())),
            in_full,
            failures: 0,
            apart: device.tunes_kernels(),
        })
    }

    /// What has computed it, for people.
    #[must_use]
    pub fn kernels(&self) -> String {
        let now = self.network.kernels();
        if now == self.began { now } else { format!("{}, then {now}", self.began) }
    }
}

impl<'a> Task<'a> {
    /// A picture without a mask, in tiles of this side or of one that suits the device.
    #[must_use]
    pub fn over(
        source: &'a DynamicImage,
        output: (u32, u32),
        tile: Option<u32>,
        device: &Chosen,
        network: &dyn Generator,
    ) -> Self {
        let mut task = Self {
            source,
            mask: None,
            marked: None,
            wanted: None,
            output,
            tile: tile.unwrap_or_else(|| device.default_tile()),
            balanced: tile.is_none() && !device.tunes_kernels(),
        };
        if tile.is_none() {
            task.tile = usual_tile(device, network);
            // Shrinking a lot reaches far: then the default gives way.
            task.tile = task.tile.max(smallest_tile(&task, network));
        }
        task
    }
}

/// A finished area: three planes of floats in 0..=1.
pub struct Area {
    /// In pixels of the result.
    pub area: Rect,
    /// Red, green and blue of the area, each row by row.
    pub planes: Vec<f32>,
}

/// The tiles of a task; also what the caller reports beforehand.
///
/// # Errors
/// [`Error::Setting`] if the tile is too small for the network's halo.
pub fn tiles(task: &Task<'_>, network: &dyn Generator) -> Result<Vec<Tile>> {
    let (width, height) = (task.source.width(), task.source.height());
    let margin = margin(task, network);
    let grid = network.grid();
    let smallest = plan::smallest_tile(margin, grid);
    if task.tile < smallest {
        return Err(Error::Setting(format!(
            "a tile of {} is too small for this model, which needs {smallest} or more",
            task.tile
        )));
    }
    let whole =
        network.reach() == Reach::Whole && u64::from(width) * u64::from(height) <= WHOLE_PIXELS;
    let side = |length: u32| match task.balanced {
        _ if whole => length.max(smallest),
        true => plan::balanced(length, task.tile, margin, grid),
        false => task.tile,
    };
    Ok(plan::plan(width, height, (side(width), side(height)), margin, grid))
}

/// The side of a tile that suits a device and a network.
fn usual_tile(device: &Chosen, network: &dyn Generator) -> u32 {
    let side = (MOST_MEMORY / network.memory().max(1)).isqrt() as u32;
    device.default_tile().min(side / 32 * 32).max(64)
}

/// The smallest tile that this task can be cut into.
fn smallest_tile(task: &Task<'_>, network: &dyn Generator) -> u32 {
    plan::smallest_tile(margin(task, network), network.grid())
}

/// Neighbours around a core: the network's halo, and what the resampling to
/// another size than the network's own reaches.
fn margin(task: &Task<'_>, network: &dyn Generator) -> u32 {
    let reach = |side: u32, output: u32| {
        let native = side * network.scale();
        if native == output { 0 } else { Resampler::reach(native, output) }
    };
    let (width, height) = (task.source.width(), task.source.height());
    let reach = reach(width, task.output.0).max(reach(height, task.output.1));
    let resampling = reach.div_ceil(network.scale());
    match network.reach() {
        Reach::Pixels(halo) => halo + resampling,
        // Wide enough for a cross-fade that hides the difference of neighbours.
        Reach::Whole => task.tile / 8,
    }
}

/// Runs all tiles and gives each finished area to `finished`. An engine whose device was given up
/// goes on with the CPU in what comes next.
///
/// # Errors
/// [`Error::Cancelled`] from the monitor, [`Error::BadTile`], or what
/// `finished` returns.
pub fn run(
    task: &Task<'_>,
    engine: &mut Engine<'_>,
    tiles: Vec<Tile>,
    monitor: &mut dyn Monitor,
    finished: &mut dyn FnMut(Area, &mut dyn Monitor) -> Result<()>,
) -> Result<()> {
    let native = (
        task.source.width() * engine.network.scale(),
        task.source.height() * engine.network.scale(),
    );
    let mut runner = Runner {
        task,
        margin: margin(task, &*engine.network),
        resampler: (native != task.output).then(|| Resampler::new(native, task.output)),
        engine,
    };
    let mut pace = Pace::new(u64::from(task.output.0) * u64::from(task.output.1));
    if runner.engine.network.reach() == Reach::Whole && tiles.len() > 1 {
        runner.feathered(&tiles, &mut pace, monitor, finished)?;
    } else {
        let mut waiting = tiles;
        let mut ahead: Option<Begun> = None;
        while ahead.is_some() || !waiting.is_empty() {
            monitor.progress(pace.progress())?;
            let begun = match ahead.take() {
                Some(begun) => begun,
                None => {
                    let tile = waiting.remove(next(&waiting, monitor));
                    let area = runner.in_result(tile.core);
                    if let Some(planes) = monitor.kept(area) {
                        finished(Area { area, planes }, monitor)?;
                        pace.skip(area.area());
                        continue;
                    }
                    runner.begin(tile)
                }
            };
            if runner.engine.apart && !waiting.is_empty() {
                let index = next(&waiting, monitor);
                if monitor.kept(runner.in_result(waiting[index].core)).is_none() {
                    ahead = Some(runner.begin(waiting.remove(index)));
                }
            }
            let half = runner.engine.in_full.is_some();
            for mut area in runner.tile(begun, monitor)? {
                if area.area.area() == 0 {
                    continue; // A tile can be less than a pixel of a much smaller result.
                }
                let pixels = area.area.area();
                // What is kept has 16 bits, and the result must not depend on whether it was.
                in_sixteen_bits(&mut area.planes);
                monitor.keep(area.area, &area.planes);
                finished(area, monitor)?;
                pace.advance(pixels);
            }
            if runner.engine.failures > 0 || half != runner.engine.in_full.is_some() {
                // It was begun on a device, or with numbers, that may have been given up.
                ahead = ahead.map(|begun| runner.begin(begun.tile));
            }
        }
    }
    runner.engine.device.memory_cleanup();
    monitor.progress(pace.progress())
}

/// Which of the tiles that wait is to be done next.
fn next(waiting: &[Tile], monitor: &mut dyn Monitor) -> usize {
    let cores: Vec<Rect> = waiting.iter().map(|tile| tile.core).collect();
    monitor.next(&cores).min(waiting.len() - 1)
}

/// Makes each value the nearest multiple of 1/65535, from 0 to 1.
fn in_sixteen_bits(values: &mut [f32]) {
    values.par_chunks_mut(CHUNK).for_each(|values| {
        for value in values {
            *value = f32::from((value.clamp(0.0, 1.0) * 65_535.0 + 0.5) as u16) / 65_535.0;
        }
    });
}

/// As [`run`]; gives red, green and blue of the whole result, each row by row.
pub fn whole(
    task: &Task<'_>,
    engine: &mut Engine<'_>,
    tiles: Vec<Tile>,
    monitor: &mut dyn Monitor,
) -> Result<[Vec<f32>; 3]> {
    let (wide, high) = (task.output.0 as usize, task.output.1 as usize);
    let mut planes = [0; 3].map(|_| vec![0.0; wide * high]);
    run(task, engine, tiles, monitor, &mut |answer, _| {
        let area = answer.area;
        for (plane, from) in planes.iter_mut().zip(answer.planes.chunks_exact(area.area() as usize))
        {
            for (row, y) in from.chunks_exact(area.width as usize).zip(area.y as usize..) {
                plane[y * wide + area.x as usize..][..row.len()].copy_from_slice(row);
            }
        }
        Ok(())
    })?;
    Ok(planes)
}

/// Measures the speed without the first tile, which compiles kernels.
struct Pace {
    done: u64,
    total: u64,
    /// When the first tile was finished, and how many pixels it had.
    first: Option<(Instant, u64)>,
}

impl Pace {
    const fn new(total: u64) -> Self {
        Self { done: 0, total, first: None }
    }

    fn advance(&mut self, pixels: u64) {
        self.done += pixels;
        self.first.get_or_insert((Instant::now(), self.done));
    }

    /// What cost no time says nothing about the speed.
    const fn skip(&mut self, pixels: u64) {
        self.done += pixels;
        if let Some((_, before)) = &mut self.first {
            *before += pixels;
        }
    }

    fn progress(&self) -> Progress {
        let remaining = self.first.and_then(|(since, before)| {
            let measured = self.done - before;
            (measured > 0).then(|| {
                let left = (self.total - self.done) as f64 / measured as f64;
                Duration::from_secs_f64(since.elapsed().as_secs_f64() * left)
            })
        });
        Progress { done: self.done, total: self.total, remaining }
    }
}

struct Runner<'a, 'b> {
    task: &'a Task<'a>,
    engine: &'a mut Engine<'b>,
    margin: u32,
    resampler: Option<Resampler>,
}

/// A tile that the device has been told to do.
struct Begun {
    tile: Tile,
    /// Of the picture in its window.
    contrast: f32,
    /// What the device will have answered; `None` where nothing is wanted of it.
    answer: Result<Option<Tensor<4>>, String>,
}

impl Runner<'_, '_> {
    /// One tile, or its pieces where it had to be cut.
    fn tile(&mut self, begun: Begun, monitor: &mut dyn Monitor) -> Result<Vec<Area>> {
        let tile = begun.tile;
        let reason = match self.end(begun) {
            Ok(area) => {
                self.engine.failures = 0;
                return Ok(vec![area]);
            }
            Err(reason) => reason,
        };
        log::warn!("tile {:?} failed: {reason}", tile.core);
        let reason = match self.engine.in_full.take() {
            Some(in_full) => {
                self.engine.network = in_full()?;
                monitor.note(&format!(
                    "a tile failed with numbers of 16 bit ({reason}): going on with 32"
                ));
                match self.attempt(&tile) {
                    Ok(area) => return Ok(vec![area]),
                    Err(reason) => reason,
                }
            }
            None => reason,
        };
        self.engine.failures += 1;

        // What looks at the whole picture would see another one in each piece.
        let whole = self.engine.network.reach() == Reach::Whole;
        let pieces = if whole { Vec::new() } else { self.pieces(tile) };
        if self.engine.failures < FAILURES_TO_GIVE_UP && pieces.len() > 1 {
            let areas: Result<Vec<Area>, String> =
                pieces.iter().map(|piece| self.attempt(piece)).collect();
            if let Ok(areas) = areas {
                monitor.note(&format!("a tile failed ({reason}) and was done in smaller pieces"));
                return Ok(areas);
            }
        }

        let cpu = (self.engine.on_cpu)()?;
        let chosen = std::mem::replace(&mut self.engine.network, cpu);
        let chosen_device = std::mem::replace(&mut self.engine.device, Device::flex());
        let area = self
            .attempt(&tile)
            .map_err(|reason| Error::BadTile { model: self.engine.model.to_owned(), reason })?;
        if self.engine.failures < FAILURES_TO_GIVE_UP {
            monitor.note(&format!("a tile failed ({reason}) and was done on the CPU"));
            self.engine.network = chosen;
            self.engine.device = chosen_device;
        } else {
            monitor.note(&format!("the device failed ({reason}): going on with the CPU"));
        }
        Ok(vec![area])
    }

    /// A tile in four, each with its own margin.
    fn pieces(&self, tile: Tile) -> Vec<Tile> {
        let (core, grid) = (tile.core, self.engine.network.grid());
        let halves = |start: u32, end: u32| {
            let middle = (start + end) / 2;
            if end - start < 2 * SMALLEST_PIECE {
                vec![(start, end)]
            } else {
                vec![(start, middle), (middle, end)]
            }
        };
        let (width, height) = (self.task.source.width(), self.task.source.height());
        let mut pieces = Vec::new();
        for (top, bottom) in halves(core.y, core.bottom()) {
            for (left, right) in halves(core.x, core.right()) {
                let core = Rect::spanning(left, top, right, bottom);
                let wide = core.grown_within(self.margin, width, height);
                let (x, y) = (wide.x / grid * grid, wide.y / grid * grid);
                let window = Rect::spanning(x, y, wide.right(), wide.bottom());
                pieces.push(Tile { window, core });
            }
        }
        pieces
    }

    /// Runs the network once and cuts the core out of its answer.
    fn attempt(&self, tile: &Tile) -> Result<Area, String> {
        self.end(self.begin(*tile))
    }

    /// Tells the network to run once.
    fn begin(&self, tile: Tile) -> Begun {
        if self.task.wanted.is_some_and(|wanted| !any(wanted, tile.core)) {
            return Begun { tile, contrast: 0.0, answer: Ok(None) };
        }
        let input = self.input(tile.window);
        let contrast = contrast(&input).unwrap_or_default();
        let shape = [
            1,
            self.engine.network.inputs(),
            tile.window.height as usize,
            tile.window.width as usize,
        ];
        // Drivers and kernels report some failures as panics.
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let input = Tensor::<4>::from_data(TensorData::new(input, shape), &self.engine.device);
            self.engine.network.forward(input)
        }));
        Begun { tile, contrast, answer: answer.map(Some).map_err(|panic| panic_text(&*panic)) }
    }

    /// Waits for the answer, checks it, and cuts the core out of it.
    fn end(&self, Begun { tile, contrast, answer }: Begun) -> Result<Area, String> {
        let Some(answer) = answer? else {
            let planes = planes_of(self.task.source, tile.core);
            return Ok(Area { area: tile.core, planes });
        };
        let answer = catch_unwind(AssertUnwindSafe(|| answer.try_into_data()));
        let answer = answer
            .map_err(|panic| panic_text(&*panic))?
            .map_err(|error| error.to_string())?
            .try_into_vec::<f32>()
            .map_err(|error| format!("{error:?}"))?;
        let scale = u64::from(self.engine.network.scale());
        if answer.len() as u64 != 3 * tile.window.area() * scale * scale {
            return Err("it is of the wrong size".to_owned());
        }
        let answered = self::contrast(&answer).ok_or("it is not a number")?;
        // A network may answer a flat picture with a flat one, but not a
        // picture with contrast: that is what broken drivers do.
        if contrast > 0.1 && answered < contrast / 100.0 {
            return Err("it is flat".to_owned());
        }
        if self.engine.in_full.is_some() && answered > MOST_IN_HALF {
            return Err("it is too large for them".to_owned());
        }
        let area = self.in_result(tile.core);
        Ok(Area { area, planes: self.cut(&answer, tile.window, area) })
    }

    /// From source pixels to pixels of the result.
    fn in_result(&self, rect: Rect) -> Rect {
        let map = |value: u32, from: u32, to: u32| {
            ((u64::from(value) * u64::from(to) * 2 + u64::from(from)) / (2 * u64::from(from)))
                as u32
        };
        let (width, height) = (self.task.source.width(), self.task.source.height());
        let (out_width, out_height) = self.task.output;
        Rect::spanning(
            map(rect.x, width, out_width),
            map(rect.y, height, out_height),
            map(rect.right(), width, out_width),
            map(rect.bottom(), height, out_height),
        )
    }

    /// The planes of `area` out of the network's answer for `window`.
    fn cut(&self, answer: &[f32], window: Rect, area: Rect) -> Vec<f32> {
        let scale = self.engine.network.scale();
        let window = Rect {
            x: window.x * scale,
            y: window.y * scale,
            width: window.width * scale,
            height: window.height * scale,
        };
        let Some(resampler) = &self.resampler else {
            return part_of(answer, window, area);
        };
        // Light adds up, its encoding does not: fine bright detail would darken.
        let planes = answer.chunks_exact(window.area() as usize).flat_map(|plane| {
            let light: Vec<f32> = plane.iter().map(|value| light::of(*value)).collect();
            resampler.area(&light, window, area)
        });
        planes.map(light::encoded).collect()
    }

    /// What the network reads of a window.
    fn input(&self, window: Rect) -> Vec<f32> {
        let network = &self.engine.network;
        let mut input = planes_of(self.task.source, window);
        if network.takes_mask() {
            input.extend(marked(self.task.mask, window));
        }
        if network.takes_marked() {
            input.extend(planes_of(self.task.marked.unwrap_or(self.task.source), window));
        }
        input
    }

    /// Tiles of a network without a finite reach, cross-faded where they
    /// overlap. Finished rows leave as soon as no later tile touches them.
    fn feathered(
        &mut self,
        tiles: &[Tile],
        pace: &mut Pace,
        monitor: &mut dyn Monitor,
        finished: &mut dyn FnMut(Area, &mut dyn Monitor) -> Result<()>,
    ) -> Result<()> {
        let (out_width, out_height) = self.task.output;
        let stride = out_width as usize;
        let windows: Vec<Rect> = tiles.iter().map(|tile| self.in_result(tile.window)).collect();
        // The band of rows that tiles are being added to.
        let mut top = 0;
        let mut band: [Vec<f32>; 3] = Default::default();
        // A window at the far side may overlap more than its neighbours: then weights do not sum
        // to 1 by themselves.
        let mut weights: Vec<f32> = Vec::new();
        for (index, (tile, area)) in tiles.iter().zip(&windows).enumerate() {
            monitor.progress(pace.progress())?;
            let whole = Tile { window: tile.window, core: tile.window };
            let parts = self.tile(self.begin(whole), monitor)?;
            let overlap = |other: Option<&Rect>, near: u32, far: u32| match other {
                Some(_) => near.saturating_sub(far),
                None => 0,
            };
            let same_row = |other: &&Rect| other.y == area.y;
            let same_column = |other: &&Rect| other.x == area.x;
            let left = windows[..index].iter().rev().find(same_row);
            let right = windows[index + 1..].iter().find(same_row);
            let above = windows[..index].iter().rev().find(same_column);
            let below = windows[index + 1..].iter().find(same_column);
            let joins = [
                overlap(left, left.map_or(0, Rect::right), area.x),
                overlap(right, area.right(), right.map_or(0, |next| next.x)),
                overlap(above, above.map_or(0, Rect::bottom), area.y),
                overlap(below, area.bottom(), below.map_or(0, |next| next.y)),
            ];
            let rows = (area.bottom() - top) as usize;
            weights.resize(weights.len().max(rows * stride), 0.0);
            for y in 0..area.height {
                let down = plan::feather(y, area.height, joins[2], joins[3]);
                let start = ((area.y - top + y) * out_width + area.x) as usize;
                for x in 0..area.width {
                    let across = plan::feather(x, area.width, joins[0], joins[1]);
                    weights[start + x as usize] += down * across;
                }
            }
            for (plane, sums) in band.iter_mut().enumerate() {
                sums.resize(sums.len().max(rows * stride), 0.0);
                for part in &parts {
                    let count = part.area.area() as usize;
                    let values = &part.planes[plane * count..][..count];
                    for (y, row) in values.chunks_exact(area.width as usize).enumerate() {
                        let down = plan::feather(y as u32, area.height, joins[2], joins[3]);
                        let start = (area.y - top) as usize * stride + y * stride + area.x as usize;
                        for (x, value) in row.iter().enumerate() {
                            let across = plan::feather(x as u32, area.width, joins[0], joins[1]);
                            sums[start + x] += value * down * across;
                        }
                    }
                }
            }
            // At the end of a row of tiles, rows above the next one are done.
            if right.is_none() {
                let next_top = below.map_or(out_height, |next| next.y);
                let done = (next_top - top) as usize * stride;
                let area = Rect::spanning(0, top, out_width, next_top);
                let weights: Vec<f32> = weights.drain(..done).collect();
                let plane = |sums: &mut Vec<f32>| -> Vec<f32> {
                    let means = sums.drain(..done).zip(&weights).map(|(sum, weight)| sum / weight);
                    means.map(|mean| mean.clamp(0.0, 1.0)).collect()
                };
                let planes = band.iter_mut().flat_map(plane).collect();
                finished(Area { area, planes }, monitor)?;
                pace.advance(area.area());
                top = next_top;
            }
        }
        Ok(())
    }
}

/// Whether some of an area is marked.
fn any(mask: &GrayImage, area: Rect) -> bool {
    let width = mask.width() as usize;
    let columns = area.x as usize..area.right() as usize;
    let rows = area.y as usize..area.bottom() as usize;
    let mut rows = rows.map(|y| &mask.as_raw()[y * width..][columns.clone()]);
    rows.any(|row| row.iter().any(|value| *value > 0))
}

/// A window of a mask: 1 where a network is to fill, 0 elsewhere.
fn marked(mask: Option<&GrayImage>, window: Rect) -> Vec<f32> {
    let Some(mask) = mask else { return vec![0.0; window.area() as usize] };
    let crop = image::imageops::crop_imm(mask, window.x, window.y, window.width, window.height);
    crop.to_image().iter().map(|value| f32::from(u8::from(*value > 0))).collect()
}

/// Red, green and blue of a window as floats in 0..=1, plane after plane.
pub(super) fn planes_of(source: &DynamicImage, window: Rect) -> Vec<f32> {
    let crop = source.crop_imm(window.x, window.y, window.width, window.height);
    let pixels = crop.to_rgb32f();
    (0..3).flat_map(|channel| pixels.pixels().map(move |pixel| pixel.0[channel])).collect()
}

/// What planes that cover `whole` have in `part` of it.
pub(super) fn part_of(planes: &[f32], whole: Rect, part: Rect) -> Vec<f32> {
    let [wide, high, pixels] =
        [part.width.into(), part.height.into(), whole.area()].map(|count: u64| count as usize);
    let (left, top) = ((part.x - whole.x) as usize, (part.y - whole.y) as usize);
    let mut cut = vec![0.0; planes.len() / pixels * wide * high];
    // Many rows at a time: one alone is too little work for a thread.
    cut.par_chunks_exact_mut(wide.max(1)).enumerate().with_min_len(CHUNK / wide + 1).for_each(
        |(row, to)| {
            let (plane, y) = (row / high, row % high);
            let start = plane * pixels + (top + y) * whole.width as usize + left;
            to.copy_from_slice(&planes[start..start + wide]);
        },
    );
    cut
}

/// Largest minus smallest value; `None` if one is not a finite number.
fn contrast(values: &[f32]) -> Option<f32> {
    let extent = |values: &[f32]| {
        values.iter().fold((f32::INFINITY, f32::NEG_INFINITY, true), |(low, high, all), &value| {
            let (less, more) = (value < low, value > high);
            (
                if less { value } else { low },
                if more { value } else { high },
                all & value.is_finite(),
            )
        })
    };
    let (low, high, all) = values.par_chunks(CHUNK).map(extent).reduce(
        || (f32::INFINITY, f32::NEG_INFINITY, true),
        |(low, high, all), other| (low.min(other.0), high.max(other.1), all & other.2),
    );
    all.then_some(high - low)
}

/// What a panic said.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it gave no reason".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{
        blocks::{Interpolation, enlarge},
        residual::ResidualConfig,
        slots,
    };
    use crate::restore::Patch;
    use image::RgbImage;
    use std::cell::Cell;
    use std::rc::Rc;

    /// Bilinear enlargement that fails in the way a test asks for.
    #[derive(Clone)]
    struct Stub {
        reach: Reach,
        /// Fails on windows with more pixels than this.
        largest: usize,
        failure: Failure,
    }

    #[derive(Clone, Copy)]
    enum Failure {
        NotANumber,
        Flat,
        Panic,
        Large,
    }

    // Only used on one thread; the trait asks for it for the worker's sake.
    impl Generator for Stub {
        fn forward(&self, input: Tensor<4>) -> Tensor<4> {
            let [_, _, height, width] = input.dims();
            let fine = enlarge(input, 2, Interpolation::Bilinear);
            if height * width <= self.largest {
                return fine;
            }
            match self.failure {
                Failure::NotANumber => fine * f32::NAN,
                Failure::Flat => fine * 0.0,
                Failure::Large => fine * 60.0,
                Failure::Panic => panic!("out of memory"),
            }
        }
        fn scale(&self) -> u32 {
            2
        }
        fn channels(&self) -> u32 {
            3
        }
        fn reach(&self) -> Reach {
            self.reach
        }
        fn parameters(&self) -> usize {
            0
        }
    }

    #[derive(Default)]
    struct Notes(Vec<String>);

    impl Monitor for Notes {
        fn patch(&mut self, _patch: Patch) -> Result<()> {
            Ok(())
        }
        fn note(&mut self, note: &str) {
            self.0.push(note.to_owned());
        }
    }

    fn picture() -> DynamicImage {
        RgbImage::from_fn(150, 110, |x, y| {
            image::Rgb([(x * 3 % 256) as u8, (y * 5 % 256) as u8, ((x ^ y) * 7 % 256) as u8])
        })
        .into()
    }

    fn plain(source: &DynamicImage, output: (u32, u32), tile: u32) -> Task<'_> {
        Task { source, mask: None, marked: None, wanted: None, output, tile, balanced: false }
    }

    /// Runs the stub and puts the red plane together.
    fn red(stub: &Stub, cpu: &Stub, tile: u32) -> (Result<Vec<f32>>, Vec<String>, u32) {
        let (near, notes, calls) = red_on(stub, cpu, tile, false);
        // A device that works ahead gives the same, and tells the same.
        let apart = red_on(stub, cpu, tile, true);
        match (&near, &apart.0) {
            (Ok(near), Ok(apart)) => assert_eq!(near, apart),
            (near, apart) => assert_eq!(near.is_ok(), apart.is_ok()),
        }
        assert_eq!((&notes, calls), (&apart.1, apart.2));
        (near, notes, calls)
    }

    fn red_on(
        stub: &Stub,
        cpu: &Stub,
        tile: u32,
        apart: bool,
    ) -> (Result<Vec<f32>>, Vec<String>, u32) {
        let source = picture();
        let output = (source.width() * 2, source.height() * 2);
        let task = plain(&source, output, tile);
        let calls = Rc::new(Cell::new(0));
        let counted = calls.clone();
        let on_cpu = move || -> Result<Box<dyn Generator>> {
            counted.set(counted.get() + 1);
            Ok(Box::new(cpu.clone()))
        };
        let mut engine = Engine {
            network: Box::new(stub.clone()),
            device: Device::flex(),
            model: "stub",
            on_cpu: Box::new(on_cpu),
            in_full: None,
            began: String::new(),
            failures: 0,
            apart,
        };
        let tiles = tiles(&task, stub).unwrap();
        let mut whole = vec![f32::NAN; (output.0 * output.1) as usize];
        let mut notes = Notes::default();
        let done = run(&task, &mut engine, tiles, &mut notes, &mut |area, _| {
            let rows =
                area.planes[..area.area.area() as usize].chunks_exact(area.area.width as usize);
            for (row, y) in rows.zip(area.area.y..) {
                let start = (y * output.0 + area.area.x) as usize;
                whole[start..start + row.len()].copy_from_slice(row);
            }
            Ok(())
        });
        (done.map(|()| whole), notes.0, calls.get())
    }

    const SOUND: Stub =
        Stub { reach: Reach::Pixels(1), largest: usize::MAX, failure: Failure::NotANumber };

    #[test]
    fn tiles_fit_together_without_a_seam() {
        let (whole, _, _) = red(&SOUND, &SOUND, 200);
        let (tiled, _, _) = red(&SOUND, &SOUND, 40);
        assert_eq!(whole.unwrap(), tiled.unwrap());
    }

    #[test]
    fn a_network_on_a_grid_sees_the_same_squares_in_tiles() {
        let config = ResidualConfig { channels: 4, blocks: 1, ..ResidualConfig::restorer() };
        let source = picture();
        let source = source.crop_imm(0, 0, 149, 107);
        let done = |tile: u32| {
            // The same weights each time.
            let network = slots::filled(config.init(&Device::flex()), &Device::flex(), |path| {
                let length = slots::of(&config.init(&Device::flex()))
                    .iter()
                    .find(|slot| slot.path == path)?
                    .len();
                Some((0..length).map(|i| (i as f32 * 1.3).sin() * 0.2).collect())
            });
            let output = (source.width(), source.height());
            let task = Task { balanced: true, ..plain(&source, output, tile) };
            let tiles = tiles(&task, &network).unwrap();
            let (count, mut whole) = (tiles.len(), vec![f32::NAN; (149 * 107) as usize]);
            let on_cpu = || -> Result<Box<dyn Generator>> { unreachable!("no tile fails") };
            let mut engine = Engine {
                network: Box::new(network),
                device: Device::flex(),
                model: "restorer",
                on_cpu: Box::new(on_cpu),
                in_full: None,
                began: String::new(),
                failures: 0,
                apart: false,
            };
            run(&task, &mut engine, tiles, &mut Notes::default(), &mut |area, _| {
                for y in 0..area.area.height {
                    let row = &area.planes[(y * area.area.width) as usize..];
                    let start = ((area.area.y + y) * 149 + area.area.x) as usize;
                    whole[start..][..area.area.width as usize]
                        .copy_from_slice(&row[..area.area.width as usize]);
                }
                Ok(())
            })
            .unwrap();
            (count, whole)
        };
        let (one, whole) = done(200);
        let (many, tiled) = done(53);
        assert!(one == 1 && many > 4, "{many}");
        let worst = whole.iter().zip(&tiled).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{worst}");
    }

    #[test]
    fn a_tile_that_fails_is_done_in_pieces_then_on_the_cpu() {
        let expected = red(&SOUND, &SOUND, 200).0.unwrap();
        for failure in [Failure::NotANumber, Failure::Flat, Failure::Panic] {
            // Small windows work: pieces are enough for the first tile.
            let pieces = Stub { largest: 100 * 100, failure, ..SOUND };
            let (result, notes, cpu) = red(&pieces, &SOUND, 120);
            assert_eq!(result.unwrap(), expected);
            assert!(notes[0].contains("smaller pieces"), "{notes:?}");
            assert_eq!(cpu, 1, "the second failure in a row gives the device up");
            // Nothing works there: the CPU does it.
            let broken = Stub { largest: 0, failure, ..SOUND };
            let (result, notes, _) = red(&broken, &SOUND, 120);
            assert_eq!(result.unwrap(), expected);
            assert!(notes.iter().any(|note| note.contains("going on with the CPU")), "{notes:?}");
            // Not even that: one error that names the model.
            let (result, _, _) = red(&broken, &broken, 120);
            assert!(matches!(result, Err(Error::BadTile { .. })));
        }
    }

    /// Runs a stub as a network of 16 bit, with another one as that of 32.
    fn halved(half: &Stub, full: &Stub, apart: bool) -> (Vec<Area>, Vec<String>, Engine<'static>) {
        let source = picture();
        let task = plain(&source, (300, 220), 64);
        let (full, cpu) = (full.clone(), SOUND);
        let mut engine = Engine {
            network: Box::new(half.clone()),
            device: Device::flex(),
            model: "stub",
            on_cpu: Box::new(move || Ok(Box::new(cpu.clone()))),
            in_full: Some(Box::new(move || Ok(Box::new(full.clone())))),
            began: "16 bit".to_owned(),
            failures: 0,
            apart,
        };
        let (mut notes, mut areas) = (Notes::default(), Vec::new());
        let tiles = tiles(&task, half).unwrap();
        assert!(tiles.len() > 4);
        run(&task, &mut engine, tiles, &mut notes, &mut |area, _| {
            areas.push(area);
            Ok(())
        })
        .unwrap();
        (areas, notes.0, engine)
    }

    #[test]
    fn numbers_of_16_bit_that_fail_give_way_to_those_of_32() {
        for apart in [false, true] {
            let (expected, notes, engine) = halved(&SOUND, &SOUND, apart);
            assert!(notes.is_empty() && engine.in_full.is_some(), "{notes:?}");
            assert!(engine.kernels() == "16 bit, then Burn");
            for failure in [Failure::NotANumber, Failure::Flat, Failure::Panic, Failure::Large] {
                let half = Stub { largest: 0, failure, ..SOUND };
                let (areas, notes, engine) = halved(&half, &SOUND, apart);
                let same = |(one, other): (&Area, &Area)| {
                    one.area == other.area && one.planes == other.planes
                };
                assert!(areas.len() == expected.len() && areas.iter().zip(&expected).all(same));
                // Once, and no tile is tried again with 16 bit.
                assert!(notes.len() == 1 && notes[0].contains("going on with 32"), "{notes:?}");
                assert!(engine.in_full.is_none() && engine.failures == 0);
            }
            // What fails with 32 bit too goes the usual way.
            let broken = Stub { largest: 0, failure: Failure::NotANumber, ..SOUND };
            let (areas, notes, _) = halved(&broken, &broken, apart);
            assert_eq!(areas.len(), expected.len());
            assert!(notes.iter().any(|note| note.contains("CPU")), "{notes:?}");
        }
    }

    #[test]
    fn networks_without_a_reach_are_feathered_without_a_seam() {
        // Bilinear does not look far: feathering it must change nothing.
        let whole = red(&SOUND, &SOUND, 200).0.unwrap();
        let far = Stub { reach: Reach::Whole, ..SOUND };
        let source: DynamicImage = picture();
        let task = plain(&source, (300, 220), 64);
        assert_eq!(tiles(&task, &far).unwrap().len(), 1, "a small picture is run whole");

        let tiles = plan::plan(150, 110, (64, 64), 8, 1);
        assert!(tiles.len() > 4);
        let on_cpu = || -> Result<Box<dyn Generator>> { Ok(Box::new(SOUND)) };
        let mut engine = Engine {
            network: Box::new(far),
            device: Device::flex(),
            model: "stub",
            on_cpu: Box::new(on_cpu),
            in_full: None,
            began: String::new(),
            failures: 0,
            apart: false,
        };
        let mut rows = Vec::new();
        run(&task, &mut engine, tiles, &mut Notes::default(), &mut |area, _| {
            assert_eq!(area.area.y as usize * 300, rows.len());
            rows.extend_from_slice(&area.planes[..area.area.area() as usize]);
            Ok(())
        })
        .unwrap();
        // Windows end inside the picture, where bilinear clamps its last
        // column: there the weight of the window is smallest.
        let worst = whole.iter().zip(&rows).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert_eq!(whole.len(), rows.len());
        assert!(worst < 1.0 / 255.0, "{worst}");
    }

    #[test]
    fn windows_that_overlap_more_than_their_neighbours_leave_no_bright_band() {
        // The last window of 64 begins where both before it still go on.
        let source: DynamicImage = RgbImage::from_pixel(163, 120, image::Rgb([128; 3])).into();
        let task = plain(&source, (326, 240), 64);
        let on_cpu = || -> Result<Box<dyn Generator>> { Ok(Box::new(SOUND)) };
        let mut engine = Engine {
            network: Box::new(Stub { reach: Reach::Whole, ..SOUND }),
            device: Device::flex(),
            model: "stub",
            on_cpu: Box::new(on_cpu),
            in_full: None,
            began: String::new(),
            failures: 0,
            apart: false,
        };
        let tiles = plan::plan(163, 120, (64, 64), 8, 1);
        let starts: Vec<u32> = tiles.iter().map(|tile| tile.window.x).collect();
        assert!(
            starts.windows(3).any(|w| w[0] + 64 > w[2] && w[0] < w[1] && w[1] < w[2]),
            "{starts:?}"
        );
        run(&task, &mut engine, tiles, &mut Notes::default(), &mut |area, _| {
            let grey = 128.0 / 255.0;
            assert!(area.planes.iter().all(|value| (value - grey).abs() < 1e-5));
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn a_network_without_a_reach_is_not_run_on_pieces() {
        // Pieces would work, but they would see other pictures: the CPU does it.
        let far = Stub { largest: 100 * 100, reach: Reach::Whole, ..SOUND };
        let (result, notes, cpu) = red(&far, &Stub { reach: Reach::Whole, ..SOUND }, 120);
        assert_eq!(result.unwrap(), red(&SOUND, &SOUND, 200).0.unwrap());
        assert!(notes.iter().all(|note| !note.contains("pieces")), "{notes:?}");
        assert!(cpu > 0);
    }

    #[test]
    fn a_tile_smaller_than_the_halo_is_refused() {
        let source = picture();
        let task = plain(&source, (300, 220), 16);
        assert!(matches!(tiles(&task, &SOUND), Err(Error::Setting(_))));
    }
}
