//! Enlarging a photo: colours through a network, transparency beside it.

use std::time::Instant;

use image::{ColorType, DynamicImage, ImageBuffer, Pixel};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    Monitor, Patch, Progress, Start,
    colour_lock::{ColourLock, ColourShift},
    consistency::Consistency,
    invented::{HeatMap, Invention},
    paste,
    plain::Plain,
    repaint::check_strength,
    tiled::{self, Area, Engine, Task},
};
use crate::{
    device::Chosen,
    error::{Error, Result},
    model::Model,
    picture::{Picture, colour::Tones},
    rect::Rect,
    size::{Size, Steps},
};

/// What the user sets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpscaleOptions {
    /// How large the result is to be.
    pub size: Size,
    /// The low frequencies of the result are those of the photo; see [`super::colour_lock`].
    pub colour_lock: bool,
    /// How much of the network's answer is taken, 0 to 1; the rest is the photo, enlarged by
    /// interpolation alone: see [`super::plain`].
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub strength: f32,
    /// Side of a tile in pixels of the photo; `None` for the device's default.
    pub tile: Option<u32>,
}

/// The strength of what was written down before there was another.
const fn all() -> f32 {
    1.0
}

fn is_all(strength: &f32) -> bool {
    *strength == all()
}

impl Default for UpscaleOptions {
    fn default() -> Self {
        Self { size: Size::Model, colour_lock: true, strength: all(), tile: None }
    }
}

impl UpscaleOptions {
    /// How a photo of `size` is enlarged.
    ///
    /// # Errors
    /// [`Error::Setting`] if the model does not enlarge or the strength is none, or as
    /// [`Size::steps`].
    pub fn steps(&self, size: (u32, u32), model: &Model) -> Result<Steps> {
        if model.takes_mask() {
            return Err(Error::Setting(format!(
                "the model {} fills what a mask marks; it does not enlarge",
                model.name()
            )));
        }
        check_strength(self.strength)?;
        self.size.steps(size, model.scale())
    }

    /// As options of the command line; what has its default is not said.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = self.size.arguments();
        arguments.extend((!self.colour_lock).then(|| "--no-colour-lock".to_owned()));
        if !is_all(&self.strength) {
            arguments.extend(["--strength".to_owned(), self.strength.to_string()]);
        }
        let tile = self.tile.map(|tile| ["--tile".to_owned(), tile.to_string()]);
        arguments.extend(tile.into_iter().flatten());
        arguments
    }
}

/// What was done, in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    /// Width and height of the photo.
    pub input_size: (u32, u32),
    /// Width and height of the result.
    pub output_size: (u32, u32),
    /// Model used.
    pub model: String,
    /// Device that ran it.
    pub device: String,
    /// What computed the network there.
    pub kernels: String,
    /// Runs of the network.
    pub tiles: usize,
    /// How often it was enlarged by the model.
    pub passes: u32,
    /// From the first tile to the last.
    pub seconds: f64,
    /// Megapixels of the result per second.
    pub megapixels_per_second: f64,
    /// How much of the network's answer is taken, 0 to 1. What follows is measured on all of it.
    #[serde(skip_serializing_if = "is_all")]
    pub strength: f32,
    /// How far the colours are from the photo's, where that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colour_shift: Option<ColourShift>,
    /// PSNR in dB of the result, shrunk to the photo's size, against the photo; `None` where it was
    /// not measured or the result is smaller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistency: Option<f64>,
    /// Where detail was invented; `None` where it was not measured or the result is no larger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invented: Option<HeatMap>,
}

impl Receipt {
    /// Of what was begun at a time and is done now, from and to pictures of these sizes.
    pub(super) fn new(
        begin: Instant,
        [input_size, output_size]: [(u32, u32); 2],
        model: &Model,
        device: &Chosen,
        kernels: String,
        tiles: usize,
    ) -> Self {
        let seconds = begin.elapsed().as_secs_f64();
        let megapixels = f64::from(output_size.0) * f64::from(output_size.1) / 1e6;
        Self {
            input_size,
            output_size,
            model: model.name().to_owned(),
            device: device.name().to_owned(),
            kernels,
            tiles,
            passes: 1,
            seconds,
            megapixels_per_second: megapixels / seconds,
            strength: all(),
            colour_shift: None,
            consistency: None,
            invented: None,
        }
    }
}

/// Enlarges `picture`; the result leaves through [`Monitor::patch`].
///
/// 8 bit stays 8 bit and 16 stays 16, grey stays grey. Alpha is enlarged apart
/// by bicubic interpolation; before the network sees the colours, those of
/// invisible pixels are replaced by what lies around them. What is larger than the model makes goes
/// through it twice, with 16 bits a channel in between.
///
/// # Errors
/// [`Error::Cancelled`], [`Error::Setting`], [`Error::BadTile`],
/// [`Error::Model`], or what the monitor returns.
pub fn upscale(
    picture: &Picture,
    model: &Model,
    device: &Chosen,
    options: &UpscaleOptions,
    monitor: &mut dyn Monitor,
) -> Result<Receipt> {
    options.steps(picture.size(), model)?;
    upscale_on(&mut Engine::new(model, device)?, picture, (model, device), options, monitor)
}

/// As [`upscale`], on an engine of the model on the device.
pub(super) fn upscale_on(
    engine: &mut Engine<'_>,
    picture: &Picture,
    (model, device): (&Model, &Chosen),
    options: &UpscaleOptions,
    monitor: &mut dyn Monitor,
) -> Result<Receipt> {
    let steps = options.steps(picture.size(), model)?;
    let begin = Instant::now();
    let (input, output) = (steps.input, steps.output);
    let color = picture.pixels.color();
    let plain = Plain::of(&picture.pixels, output);
    let photo = plain.colours(&picture.pixels);
    let tones = Tones::of(&picture.metadata);
    let seen = tones.as_ref().map(|tones| tones.for_network(photo));
    let photo = seen.as_ref().unwrap_or(photo);

    // What the last pass reads; blank until the first one has filled it.
    let mut between = (steps.passes > 1).then(|| {
        let (width, height) = (input.0 * steps.scale, input.1 * steps.scale);
        DynamicImage::new(width, height, ColorType::Rgb16)
    });
    let tiles_of = |source: &DynamicImage, output, engine: &Engine<'_>| {
        let network = &*engine.network;
        tiled::tiles(&Task::over(source, output, options.tile, device, network), network)
    };
    let first = match &between {
        Some(between) => tiles_of(photo, (between.width(), between.height()), engine)?,
        None => Vec::new(),
    };
    let last = tiles_of(between.as_ref().unwrap_or(photo), output, engine)?;
    let count = first.len() + last.len();
    monitor.start(&Start {
        size: output,
        color,
        device: device.name().to_owned(),
        tiles: count,
    })?;

    // The last pass has as many times the pixels of the first.
    let share = if between.is_some() { 1.0 / (1.0 + f64::from(steps.scale.pow(2))) } else { 0.0 };
    if let Some(between) = &mut between {
        let size = (between.width(), between.height());
        let task = Task::over(photo, size, options.tile, device, &*engine.network);
        let mut stage = Stage { monitor: &mut *monitor, output, from: 0.0, to: share, scale: 1 };
        tiled::run(&task, engine, first, &mut stage, &mut |area, _| {
            paste(&pixels_of(&area, None, ColorType::Rgb16), between, area.area);
            Ok(())
        })?;
    }

    let scale = if between.is_some() { steps.scale } else { 1 };
    let mut stage = Stage { monitor, output, from: share, to: 1.0, scale };
    let source = between.as_ref().unwrap_or(photo);
    let task = Task::over(source, output, options.tile, device, &*engine.network);
    let mut lock = ColourLock::new(photo, output, options.colour_lock);
    let mut consistency = Consistency::new(photo, output);
    let mut invention = Invention::new(photo, output);
    tiled::run(&task, engine, last, &mut stage, &mut |area, monitor| {
        lock.push(area).into_iter().try_for_each(|mut area| {
            if let Some(consistency) = &mut consistency {
                consistency.add(&area);
            }
            if let Some(invention) = &mut invention {
                invention.add(&area, &plain);
            }
            if let Some(tones) = &tones {
                tones.as_in_file(&mut area.planes);
            }
            let alpha = color.has_alpha().then(|| plain.alpha(&picture.pixels, area.area));
            let pixels = pixels_of(&area, alpha.as_deref(), color);
            let patch = Patch { area: area.area, pixels };
            monitor.patch(if is_all(&options.strength) {
                patch
            } else {
                plain.weakened(&picture.pixels, &patch, options.strength)
            })
        })
    })?;
    let kernels = engine.kernels();
    let receipt = Receipt::new(begin, [input, output], model, device, kernels, count);
    Ok(Receipt {
        passes: steps.passes,
        strength: options.strength,
        colour_shift: Some(lock.shift()),
        consistency: consistency.and_then(|consistency| consistency.psnr()),
        invented: invention.map(Invention::map),
        ..receipt
    })
}

/// One of several passes, seen as a part of the whole.
struct Stage<'a> {
    monitor: &'a mut dyn Monitor,
    output: (u32, u32),
    /// The shares of the whole that are done before and after it.
    from: f64,
    to: f64,
    /// What it reads, over the photo.
    scale: u32,
}

impl Monitor for Stage<'_> {
    fn progress(&mut self, progress: Progress) -> Result<()> {
        let total = u64::from(self.output.0) * u64::from(self.output.1);
        let share = progress.done as f64 / progress.total.max(1) as f64;
        let done = self.from + (self.to - self.from) * share;
        // What is left of this pass takes what it takes, and all the rest in proportion.
        let left = (1.0 - done) / ((self.to - self.from) * (1.0 - share));
        let remaining = progress.remaining.filter(|_| share < 1.0);
        self.monitor.progress(Progress {
            done: (done * total as f64).round() as u64,
            total,
            remaining: remaining.map(|time| time.mul_f64(left)),
        })
    }

    fn patch(&mut self, patch: Patch) -> Result<()> {
        self.monitor.patch(patch)
    }

    // Of the last pass only: areas of the first are in other pixels.
    fn kept(&mut self, area: Rect) -> Option<Vec<f32>> {
        if self.to < 1.0 { None } else { self.monitor.kept(area) }
    }

    fn keep(&mut self, area: Rect, planes: &[f32]) {
        if self.to >= 1.0 {
            self.monitor.keep(area, planes);
        }
    }

    fn next(&mut self, waiting: &[Rect]) -> usize {
        let scale = self.scale;
        let in_photo = |area: &Rect| Rect {
            x: area.x / scale,
            y: area.y / scale,
            width: area.width.div_ceil(scale),
            height: area.height.div_ceil(scale),
        };
        self.monitor.next(&waiting.iter().map(in_photo).collect::<Vec<_>>())
    }

    fn note(&mut self, note: &str) {
        self.monitor.note(note);
    }
}

/// Floats to the kind of pixel that the photo has, rounded to nearest.
pub(super) fn pixels_of(area: &Area, alpha: Option<&[f32]>, color: ColorType) -> DynamicImage {
    let (width, height) = (area.area.width, area.area.height);
    let count = area.area.area() as usize;
    let at = |channel: usize, i: usize| area.planes[channel * count + i];
    // A grey photo has three equal channels; BT.601 brings the answer back.
    let grey = |i: usize| 0.299 * at(0, i) + 0.587 * at(1, i) + 0.114 * at(2, i);
    let clear = |i: usize| alpha.map_or(1.0, |alpha| alpha[i].clamp(0.0, 1.0));
    let value = |i: usize, channel: usize| match (color.has_color(), channel) {
        (true, 0..=2) => at(channel, i),
        (false, 0) => grey(i),
        _ => clear(i),
    };
    let eight = |i, channel| (value(i, channel) * 255.0 + 0.5) as u8;
    let sixteen = |i, channel| (value(i, channel) * 65_535.0 + 0.5) as u16;

    fn image<P: Pixel<Subpixel: Send>>(
        width: u32,
        height: u32,
        sample: impl Fn(usize, usize) -> P::Subpixel + Sync,
    ) -> ImageBuffer<P, Vec<P::Subpixel>> {
        let channels = usize::from(P::CHANNEL_COUNT);
        let mut pixels = ImageBuffer::new(width, height);
        let rows = pixels.par_chunks_exact_mut(width as usize * channels).enumerate();
        rows.for_each(|(y, row)| {
            for channel in 0..channels {
                let slots = row[channel..].iter_mut().step_by(channels);
                for (slot, i) in slots.zip(y * width as usize..) {
                    *slot = sample(i, channel);
                }
            }
        });
        pixels
    }
    match color {
        ColorType::L8 => image::<image::Luma<u8>>(width, height, eight).into(),
        ColorType::La8 => image::<image::LumaA<u8>>(width, height, eight).into(),
        ColorType::Rgb8 => image::<image::Rgb<u8>>(width, height, eight).into(),
        ColorType::Rgba8 => image::<image::Rgba<u8>>(width, height, eight).into(),
        ColorType::L16 => image::<image::Luma<u16>>(width, height, sixteen).into(),
        ColorType::La16 => image::<image::LumaA<u16>>(width, height, sixteen).into(),
        ColorType::Rgb16 => image::<image::Rgb<u16>>(width, height, sixteen).into(),
        _ => image::<image::Rgba<u16>>(width, height, sixteen).into(),
    }
}

/// Gives fully transparent pixels the colour of the nearest visible one; `None` where there is
/// nothing to do. What is stored under them is arbitrary, and a network would draw it into the
/// visible edge.
pub(super) fn bleed(source: &DynamicImage) -> Option<DynamicImage> {
    match source {
        DynamicImage::ImageLumaA8(pixels) => bled(pixels).map(Into::into),
        DynamicImage::ImageRgba8(pixels) => bled(pixels).map(Into::into),
        DynamicImage::ImageLumaA16(pixels) => bled(pixels).map(Into::into),
        DynamicImage::ImageRgba16(pixels) => bled(pixels).map(Into::into),
        _ => None,
    }
}

/// Two sweeps carry colours and their distance (in steps to the side) from neighbour to
/// neighbour: P. Danielsson, "Euclidean distance mapping", 1980, in its simplest form.
fn bled<P>(source: &ImageBuffer<P, Vec<P::Subpixel>>) -> Option<ImageBuffer<P, Vec<P::Subpixel>>>
where
    P: Pixel,
    P::Subpixel: PartialEq + Default,
{
    let invisible = |pixel: &P| pixel.channels().last() == Some(&P::Subpixel::default());
    if !source.pixels().any(invisible) {
        return None;
    }
    let (width, height) = source.dimensions();
    let stride = width as usize;
    let mut result = source.clone();
    let mut distances: Vec<u16> =
        source.pixels().map(|pixel| if invisible(pixel) { u16::MAX } else { 0 }).collect();
    let mut step = |x: u32, y: u32, from: [(u32, u32); 2]| {
        let place = y as usize * stride + x as usize;
        for (near_x, near_y) in from {
            if near_x >= width || near_y >= height {
                continue; // Beyond the picture; left of 0 wraps to the far right.
            }
            let distance = distances[near_y as usize * stride + near_x as usize].saturating_add(1);
            if distance < distances[place] {
                distances[place] = distance;
                let colour = *result.get_pixel(near_x, near_y);
                result.put_pixel(x, y, colour);
            }
        }
    };
    for y in 0..height {
        for x in 0..width {
            step(x, y, [(x.wrapping_sub(1), y), (x, y.wrapping_sub(1))]);
        }
        for x in (0..width).rev() {
            step(x, y, [(x + 1, y), (x, y)]);
        }
    }
    for y in (0..height).rev() {
        for x in (0..width).rev() {
            step(x, y, [(x + 1, y), (x, y + 1)]);
        }
        for x in 0..width {
            step(x, y, [(x.wrapping_sub(1), y), (x, y)]);
        }
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgba, RgbaImage};

    #[test]
    fn invisible_colours_are_replaced_by_visible_ones() {
        let mut picture = RgbaImage::from_pixel(9, 7, Rgba([0, 255, 0, 0]));
        for y in 0..7 {
            for x in 0..4 {
                picture.put_pixel(x, y, Rgba([200, 10, 30, 255]));
            }
        }
        let bled = bleed(&DynamicImage::from(picture)).unwrap().into_rgba8();
        assert!(bled.pixels().all(|pixel| pixel.0[..3] == [200, 10, 30]), "{bled:?}");
        let opaque = RgbaImage::from_pixel(3, 3, Rgba([1, 2, 3, 255]));
        assert!(bleed(&opaque.into()).is_none());
    }
}
