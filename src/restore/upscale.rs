//! Enlarging a photo: colours through a network, transparency beside it.

use std::time::Instant;

use image::{ColorType, DynamicImage, ImageBuffer, Pixel};
use serde::{Deserialize, Serialize};

use super::{
    Monitor, Patch, Start,
    tiled::{self, Area, Engine, Task},
};
use crate::{
    device::Chosen,
    error::{Error, Result},
    model::Model,
    picture::{Picture, resample::Resampler},
    rect::Rect,
};

/// What the user sets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpscaleOptions {
    /// Size of the result over size of the photo; at most the model's own.
    pub scale: f64,
    /// Side of a tile in pixels of the photo; `None` for the device's default.
    pub tile: Option<u32>,
}

impl Default for UpscaleOptions {
    fn default() -> Self {
        Self { scale: 4.0, tile: None }
    }
}

impl UpscaleOptions {
    /// Size of the result for a photo of `size`.
    ///
    /// # Errors
    /// [`Error::Setting`] if the scale is not one the model can give.
    pub fn output_size(&self, size: (u32, u32), model: &Model) -> Result<(u32, u32)> {
        let most = f64::from(model.scale());
        if !(self.scale > 0.0 && self.scale <= most) {
            return Err(Error::Setting(format!(
                "a scale of {} cannot be made with the model {}, which enlarges up to {most} times",
                self.scale,
                model.name()
            )));
        }
        let scaled = |side: u32| (f64::from(side) * self.scale).round().max(1.0);
        let (width, height) = (scaled(size.0), scaled(size.1));
        if width.max(height) > f64::from(i32::MAX) {
            return Err(Error::Setting(format!(
                "a result of {width} x {height} pixels is larger than any format holds"
            )));
        }
        Ok((width as u32, height as u32))
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
    /// From the first tile to the last.
    pub seconds: f64,
    /// Megapixels of the result per second.
    pub megapixels_per_second: f64,
}

/// Enlarges `picture`; the result leaves through [`Monitor::patch`].
///
/// 8 bit stays 8 bit and 16 stays 16, grey stays grey. Alpha is enlarged apart
/// by bicubic interpolation; before the network sees the colours, those of
/// invisible pixels are replaced by what lies around them.
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
    let begin = Instant::now();
    let input = picture.size();
    let output = options.output_size(input, model)?;
    let color = picture.pixels.color();
    let bled = bleed(&picture.pixels);
    let task = Task {
        source: bled.as_ref().unwrap_or(&picture.pixels),
        output,
        tile: options.tile.unwrap_or_else(|| device.default_tile()),
    };
    let network = model.on(device.burn())?;
    if network.channels() != 3 {
        return Err(Error::Model {
            name: model.name().to_owned(),
            reason: format!("it works on {} channels instead of 3", network.channels()),
        });
    }
    let kernels = network.kernels();
    let tiles = tiled::tiles(&task, &*network)?;
    let count = tiles.len();
    monitor.start(&Start {
        size: output,
        color,
        device: device.name().to_owned(),
        tiles: count,
    })?;

    let cpu = || model.on(&Chosen::cpu().burn().clone());
    let engine =
        Engine { network, device: device.burn().clone(), model: model.name(), on_cpu: &cpu };
    let alpha = color.has_alpha().then(|| Resampler::new(input, output));
    tiled::run(&task, engine, tiles, monitor, &mut |area, monitor| {
        let alpha = alpha
            .as_ref()
            .map(|resampler| enlarged_alpha(&picture.pixels, resampler, output, area.area));
        let pixels = pixels_of(&area, alpha.as_deref(), color);
        monitor.patch(Patch { area: area.area, pixels })
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    Ok(Receipt {
        input_size: input,
        output_size: output,
        model: model.name().to_owned(),
        device: device.name().to_owned(),
        kernels,
        tiles: count,
        seconds,
        megapixels_per_second: f64::from(output.0) * f64::from(output.1) / 1e6 / seconds,
    })
}

/// The alpha of an area of the result, 0..=1.
fn enlarged_alpha(
    source: &DynamicImage,
    resampler: &Resampler,
    output: (u32, u32),
    area: Rect,
) -> Vec<f32> {
    let (width, height) = (source.width(), source.height());
    // The source pixels below the area and what the kernel reaches around.
    let from = |position: u32, side: u32, out: u32| {
        (u64::from(position) * u64::from(side) / u64::from(out)) as u32
    };
    let reach = Resampler::reach(width, output.0).max(Resampler::reach(height, output.1)) + 1;
    let below = Rect::spanning(
        from(area.x, width, output.0),
        from(area.y, height, output.1),
        (from(area.right(), width, output.0) + 1).min(width),
        (from(area.bottom(), height, output.1) + 1).min(height),
    );
    let window = below.grown_within(reach, width, height);
    let crop = source.crop_imm(window.x, window.y, window.width, window.height);
    let plane: Vec<f32> = crop.to_luma_alpha32f().pixels().map(|pixel| pixel.0[1]).collect();
    resampler.area(&plane, window, area)
}

/// Floats to the kind of pixel that the photo has, rounded to nearest.
fn pixels_of(area: &Area, alpha: Option<&[f32]>, color: ColorType) -> DynamicImage {
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
    let channels = usize::from(color.channel_count());
    let values = (0..count).flat_map(|i| (0..channels).map(move |channel| (i, channel)));
    let eight = |(i, channel)| (value(i, channel) * 255.0 + 0.5) as u8;
    let sixteen = |(i, channel)| (value(i, channel) * 65_535.0 + 0.5) as u16;

    fn image<P: Pixel>(
        width: u32,
        height: u32,
        samples: impl Iterator<Item = P::Subpixel>,
    ) -> ImageBuffer<P, Vec<P::Subpixel>> {
        let mut pixels = ImageBuffer::new(width, height);
        for (slot, sample) in pixels.iter_mut().zip(samples) {
            *slot = sample;
        }
        pixels
    }
    match color {
        ColorType::L8 => image::<image::Luma<u8>>(width, height, values.map(eight)).into(),
        ColorType::La8 => image::<image::LumaA<u8>>(width, height, values.map(eight)).into(),
        ColorType::Rgb8 => image::<image::Rgb<u8>>(width, height, values.map(eight)).into(),
        ColorType::Rgba8 => image::<image::Rgba<u8>>(width, height, values.map(eight)).into(),
        ColorType::L16 => image::<image::Luma<u16>>(width, height, values.map(sixteen)).into(),
        ColorType::La16 => image::<image::LumaA<u16>>(width, height, values.map(sixteen)).into(),
        ColorType::Rgb16 => image::<image::Rgb<u16>>(width, height, values.map(sixteen)).into(),
        _ => image::<image::Rgba<u16>>(width, height, values.map(sixteen)).into(),
    }
}

/// Gives fully transparent pixels the colour of their visible surroundings;
/// `None` where there are none. What is stored under them is arbitrary, and a
/// network would draw it into the visible edge.
///
/// Push-pull interpolation (S. Gortler et al., "The lumigraph", 1996): colours
/// weighted by visibility are averaged into ever smaller pictures, and the
/// gaps are filled from the first smaller one that knows a colour.
fn bleed(source: &DynamicImage) -> Option<DynamicImage> {
    if !source.color().has_alpha() {
        return None;
    }
    let sixteen = source.to_rgba16();
    if sixteen.pixels().all(|pixel| pixel.0[3] > 0) {
        return None;
    }
    let level = Level {
        width: source.width() as usize,
        cells: sixteen
            .pixels()
            .map(|pixel| {
                let seen = if pixel.0[3] > 0 { 1.0 } else { 0.0 };
                let [r, g, b, _] = pixel.0.map(|value| f32::from(value) * seen);
                [r, g, b, seen]
            })
            .collect(),
    };
    let filled = level.filled();
    let mut sixteen = sixteen;
    for (pixel, cell) in sixteen.pixels_mut().zip(&filled.cells) {
        if pixel.0[3] == 0 {
            for (value, colour) in pixel.0.iter_mut().zip(&cell[..3]) {
                *value = (colour + 0.5) as u16;
            }
        }
    }
    Some(sixteen.into())
}

/// A picture of colours times weight, with the weight as fourth value.
struct Level {
    width: usize,
    cells: Vec<[f32; 4]>,
}

impl Level {
    /// The same picture with every weight 1 and every gap filled.
    fn filled(&self) -> Self {
        let (width, height) = (self.width, self.cells.len() / self.width);
        let known = self.cells.iter().all(|cell| cell[3] > 0.0);
        let coarse = (!known && width.max(height) > 1).then(|| {
            let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
            let mut cells = vec![[0.0; 4]; half_width * half_height];
            for (i, cell) in self.cells.iter().enumerate() {
                let sum = &mut cells[(i / width / 2) * half_width + (i % width) / 2];
                for (sum, value) in sum.iter_mut().zip(cell) {
                    *sum += value;
                }
            }
            let half = Self { width: half_width, cells };
            half.filled()
        });
        let cells = self.cells.iter().enumerate().map(|(i, cell)| match &coarse {
            _ if cell[3] > 0.0 => cell.map(|value| value / cell[3]),
            Some(coarse) => coarse.cells[(i / width / 2) * coarse.width + (i % width) / 2],
            None => [0.0, 0.0, 0.0, 1.0],
        });
        Self { width, cells: cells.collect() }
    }
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
        let bled = bleed(&picture.into()).unwrap().into_rgba8();
        assert!(bled.pixels().all(|pixel| pixel.0[..3] == [200, 10, 30]), "{bled:?}");
        let opaque = RgbaImage::from_pixel(3, 3, Rgba([1, 2, 3, 255]));
        assert!(bleed(&opaque.into()).is_none());
    }

    #[test]
    fn a_part_of_the_alpha_equals_the_whole() {
        let picture =
            RgbaImage::from_fn(21, 17, |x, y| Rgba([0, 0, 0, ((x * 11) ^ (y * 7)) as u8]));
        let source = DynamicImage::from(picture);
        let output = (84, 68);
        let resampler = Resampler::new((21, 17), output);
        let whole = enlarged_alpha(&source, &resampler, output, Rect::of_size(84, 68));
        let area = Rect::spanning(30, 20, 50, 41);
        let part = enlarged_alpha(&source, &resampler, output, area);
        for y in 0..area.height {
            for x in 0..area.width {
                let expected = whole[((area.y + y) * 84 + area.x + x) as usize];
                assert_eq!(part[(y * area.width + x) as usize], expected);
            }
        }
    }
}
