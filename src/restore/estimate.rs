//! What a job will take, told before it begins.

use std::{sync::Arc, thread};

use image::ColorType;
use serde::Serialize;

use super::{
    Monitor, Mosaic, Patch, UpscaleOptions, colour_lock,
    tiled::{self, Engine, Task},
    upscale::upscale_on,
};
use crate::{
    device::Chosen,
    encoding::Encoding,
    error::Result,
    model::Model,
    picture::{
        Format, Picture,
        formats::{self, Header},
    },
    size::{Size, Steps},
};

/// Sides of the piece of the photo on which the speed is measured: the largest that takes little of
/// the time that it foretells.
const PROBES: [u32; 4] = [160, 96, 64, 32];

/// How much less work a probe is at least.
const LITTLE: u64 = 20;

/// What the program takes without any picture: code, drivers, allocators.
const BASE: u64 = 120 << 20;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Bytes at the worst moment.
    pub memory: u64,
    /// Bytes of the result at most.
    pub disk: u64,
    /// Seconds; `None` where that is known only after the first tile, as on graphics cards, which
    /// compile for it, and for pictures that are smaller than what could be tried.
    pub seconds: Option<f64>,
}

impl Estimate {
    /// For enlarging `picture` into a file of `format`, encoded like this unless all of the result
    /// stays in memory at first.
    ///
    /// # Errors
    /// As [`super::upscale()`], before its first tile.
    pub fn of(
        picture: &Picture,
        model: &Model,
        device: &Chosen,
        options: &UpscaleOptions,
        format: Format,
        encoding: Option<Encoding>,
    ) -> Result<Self> {
        let steps = options.steps(picture.size(), model)?;
        let mut engine = Engine::new(model, device)?;
        let network = &*engine.network;
        let color = picture.pixels.color();
        let pixel = u64::from(color.bytes_per_pixel());
        let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);

        let task = Task::over(&picture.pixels, steps.output, options.tile, device, network);
        let tile = u64::from(task.tile.min(steps.input.0.max(steps.input.1)));
        let factor = u64::from(steps.scale.pow(steps.passes));
        // Windows overlap by their margins, which is a part of the work.
        let first = (steps.input.0 * steps.scale, steps.input.1 * steps.scale);
        let native = Task { output: first, ..task };
        let windows: u64 =
            tiled::tiles(&native, network)?.iter().map(|tile| tile.window.area()).sum();

        // The photo, and once more where colours are laid under what is transparent.
        let photo = area(steps.input) * pixel * if color.has_alpha() { 2 } else { 1 };
        let between = if steps.passes > 1 {
            area(first) * u64::from(ColorType::Rgb16.bytes_per_pixel())
        } else {
            0
        };
        // A row of tiles is put together while four wait for a slow encoder, and the rims of the last
        // one for the colours of the next.
        let strip = u64::from(steps.output.0) * (tile * factor).min(u64::from(steps.output.1));
        let wants_whole = matches!(format, Format::WebP | Format::Bmp);
        let held = if encoding.is_none() || wants_whole { area(steps.output) * pixel } else { 0 };
        let strips = (5 * strip).min(area(steps.output) + strip);
        let rim = f64::from(3 * colour_lock::CELL) * steps.factor();
        let rims = (u64::from(steps.output.0) * 3 * 4) * rim.ceil() as u64;
        let answer = (tile * u64::from(steps.scale)).pow(2) * 3 * 4;
        let network_memory = network.memory() as u64 * tile * tile;
        let memory =
            BASE + photo + between + strips * pixel + rims + held + 2 * answer + network_memory;

        let raw = area(steps.output) * u64::from(format.holds(color).bytes_per_pixel());
        // Even noise takes less than half in a JPEG of the best quality.
        let disk = if format == Format::Jpeg { raw / 2 } else { raw };
        let side = PROBES.into_iter().find(|side| LITTLE * u64::from(side.pow(2)) <= windows);
        let side = side.filter(|_| !device.tunes_kernels());
        let probe = side.and_then(|side| {
            let probe = Probe { picture, model, device, options, steps, side };
            probe.measure(&mut engine, format, encoding)
        });
        let seconds = probe.map(|Measured { working, encoding }| {
            let working = working * windows as f64;
            let encoding = encoding * area(steps.output) as f64;
            // It has one of the threads that work, until it is what they wait for.
            let threads = thread::available_parallelism().map_or(1, usize::from) as f64;
            let aside = (working + encoding / threads).max(encoding);
            if wants_whole { working + encoding } else { aside }
        });
        Ok(Self { memory, disk, seconds })
    }

    /// `about 1.2 GB of memory, at most 570 MB on the disk, about 40 s`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let time = match self.seconds {
            Some(seconds) if seconds < 1.0 => ", less than a second".to_owned(),
            Some(seconds) if seconds < 100.0 => format!(", about {seconds:.0} s"),
            Some(seconds) if seconds < 5400.0 => format!(", about {:.0} min", seconds / 60.0),
            Some(seconds) => format!(", about {:.1} h", seconds / 3600.0),
            None => String::new(),
        };
        format!(
            "about {} of memory, at most {} on the disk{time}",
            bytes(self.memory),
            bytes(self.disk)
        )
    }
}

/// A piece of a photo, done as all of it will be.
struct Probe<'a> {
    picture: &'a Picture,
    model: &'a Model,
    device: &'a Chosen,
    options: &'a UpscaleOptions,
    steps: Steps,
    side: u32,
}

/// Seconds for a pixel.
struct Measured {
    /// Of what the network reads, with all that lies around it.
    working: f64,
    /// Of the result.
    encoding: f64,
}

impl Probe<'_> {
    /// `None` where it fails: the first tile will, too, and tell why.
    fn measure(
        &self,
        engine: &mut Engine<'_>,
        format: Format,
        encoding: Option<Encoding>,
    ) -> Option<Measured> {
        let (width, height) = self.picture.size();
        let (wide, high) = (self.side.min(width), self.side.min(height));
        // Its middle, which is seldom sky.
        let (x, y) = ((width - wide) / 2, (height - high) / 2);
        let metadata = &self.picture.metadata;
        let piece = Picture {
            metadata: metadata.clone(),
            ..Picture::from_pixels("", self.picture.pixels.crop_imm(x, y, wide, high))
        };
        let size = Size::Scale(self.steps.factor());
        let options = UpscaleOptions { size, tile: None, ..*self.options };
        let mut run = || {
            let mut pieces = Pieces::default();
            let of = (self.model, self.device);
            upscale_on(engine, &piece, of, &options, &mut pieces).map(|receipt| (receipt, pieces))
        };
        // The first one lays out memory.
        let (receipt, pieces) = run().and_then(|_| run()).ok()?;
        let (width, height) = receipt.output_size;
        let encoded = encoding.and_then(|encoding| {
            let color = piece.pixels.color();
            let (metadata, encoding) = (metadata.clone(), encoding);
            let header = Header { width, height, color, metadata, encoding };
            let mosaic = Mosaic { size: (width, height), color, patches: pieces.0 };
            formats::rehearse(format, &header, mosaic.pixels().into_bytes()).ok()
        });
        let of_result = f64::from(width) * f64::from(height);
        Some(Measured {
            working: receipt.seconds / (f64::from(wide) * f64::from(high)),
            encoding: encoded.map_or(0.0, |time| time.as_secs_f64() / of_result),
        })
    }
}

/// The result of a probe.
#[derive(Default)]
struct Pieces(Vec<Arc<Patch>>);

impl Monitor for Pieces {
    fn patch(&mut self, patch: Patch) -> Result<()> {
        self.0.push(Arc::new(patch));
        Ok(())
    }
}

fn bytes(count: u64) -> String {
    let count = count as f64;
    match count {
        _ if count >= 1e10 => format!("{:.0} GB", count / 1e9),
        _ if count >= 1e9 => format!("{:.1} GB", count / 1e9),
        _ if count >= 1e6 => format!("{:.0} MB", count / 1e6),
        _ => format!("{:.0} kB", (count / 1e3).max(1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_as_people_do() {
        let estimate = Estimate { memory: 1_234_000_000, disk: 57_000_000, seconds: Some(600.0) };
        assert_eq!(
            estimate.in_words(),
            "about 1.2 GB of memory, at most 57 MB on the disk, about 10 min"
        );
        let short = Estimate { memory: 9_000_000, disk: 12, seconds: None };
        assert_eq!(short.in_words(), "about 9 MB of memory, at most 1 kB on the disk");
    }
}
