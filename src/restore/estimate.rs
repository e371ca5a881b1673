//! What a job will take, told before it begins.

use std::time::Instant;

use burn::tensor::Tensor;
use image::ColorType;
use serde::Serialize;

use super::{
    UpscaleOptions,
    tiled::{self, Engine, Task},
};
use crate::{
    device::Chosen,
    error::Result,
    model::Model,
    picture::{Format, Picture},
};

/// Sides of the pictures on which the speed is measured: the largest that takes little of the time
/// that it foretells.
const PROBES: [usize; 3] = [96, 64, 32];

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
    /// For enlarging `picture` into a file of `format`; `whole` if all of the result stays in memory.
    ///
    /// # Errors
    /// As [`super::upscale()`], before its first tile.
    pub fn of(
        picture: &Picture,
        model: &Model,
        device: &Chosen,
        options: &UpscaleOptions,
        format: Option<Format>,
        whole: bool,
    ) -> Result<Self> {
        let steps = options.steps(picture.size(), model)?;
        let engine = Engine::new(model, device)?;
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
        let work = windows * if steps.passes > 1 { 1 + u64::from(steps.scale.pow(2)) } else { 1 };

        // The photo, and once more where colours are laid under what is transparent.
        let photo = area(steps.input) * pixel * if color.has_alpha() { 2 } else { 1 };
        let between = if steps.passes > 1 {
            area(first) * u64::from(ColorType::Rgb16.bytes_per_pixel())
        } else {
            0
        };
        // A row of tiles waits for its end, and two strips for the encoder.
        let strip = u64::from(steps.output.0) * (tile * factor).min(u64::from(steps.output.1));
        let held = if whole || matches!(format, Some(Format::WebP | Format::Bmp)) {
            area(steps.output) * pixel
        } else {
            0
        };
        let answer = (tile * u64::from(steps.scale)).pow(2) * 3 * 4;
        let network_memory = network.memory() as u64 * tile * tile;
        let memory =
            BASE + photo + between + 3 * strip * pixel + held + 2 * answer + network_memory;

        let kept = format.map_or(color, |format| format.holds(color));
        let raw = area(steps.output) * u64::from(kept.bytes_per_pixel());
        // Even noise takes less than half in a JPEG of the best quality.
        let disk = if format == Some(Format::Jpeg) { raw / 2 } else { raw };
        let side = PROBES.into_iter().find(|side| LITTLE * (side * side) as u64 <= work);
        let seconds =
            side.filter(|_| !device.tunes_kernels()).map(|side| probe(&engine, side) * work as f64);
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

/// Seconds that the network takes for a pixel of what it reads.
fn probe(engine: &Engine<'_>, side: usize) -> f64 {
    let run = || {
        let begin = Instant::now();
        let input = Tensor::<4>::zeros([1, 3, side, side], &engine.device);
        // A failure will be met, and told, by the first tile.
        let _answer = engine.network.forward(input).try_into_data();
        begin.elapsed().as_secs_f64()
    };
    // The first one lays out memory.
    run().min(run()) / (side * side) as f64
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
