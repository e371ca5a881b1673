//! A whole photo through a network that keeps its size: cleaned, as much as the user wants, all over
//! or inside a mask.

use std::time::Instant;

use image::{ColorType, DynamicImage};
use serde::{Deserialize, Serialize};

use super::{
    Monitor, Patch, Receipt, Start,
    blend::{Layer, blend},
    colour_lock::ColourLock,
    tiled::{self, Engine, Task},
    upscale::bleed,
};
use crate::{
    device::Chosen,
    error::{Error, Result},
    mask::Scope,
    model::Model,
    picture::Picture,
    rect::Rect,
};

/// What the user sets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepaintOptions {
    /// How much of the network's answer is taken, 0 to 1.
    pub strength: f32,
    /// Side of a tile in pixels; `None` for what suits the device.
    pub tile: Option<u32>,
}

/// Runs a network over `picture`; the result leaves through [`Monitor::patch`]. With a mask, of the
/// picture's size, only what is not black in it changes, as much as its value says, and nothing that
/// is protected. Without one the low frequencies of the result are those of the picture, see
/// [`super::colour_lock`].
///
/// # Errors
/// [`Error::Setting`] if the model does not keep the size, or the strength or the mask does not
/// fit, or as [`super::upscale()`].
pub fn repaint(
    picture: &Picture,
    scope: Scope<'_>,
    model: &Model,
    device: &Chosen,
    options: RepaintOptions,
    monitor: &mut dyn Monitor,
) -> Result<Receipt> {
    let begin = Instant::now();
    let size = picture.size();
    if model.scale() != 1 || model.takes_mask() {
        return Err(Error::Setting(format!(
            "the model {} is for something else: one that keeps the size of a photo is needed",
            model.name()
        )));
    }
    check_strength(options.strength)?;
    check_scope(scope, size)?;
    let shares = scope.shares();
    let mask = shares.as_deref();
    let bled = bleed(&picture.pixels);
    let mut engine = Engine::new(model, device)?;
    let network = &*engine.network;
    let source = bled.as_ref().unwrap_or(&picture.pixels);
    let task = Task { wanted: mask, ..Task::over(source, size, options.tile, device, network) };
    let tiles = tiled::tiles(&task, network)?;
    let count = tiles.len();
    monitor.start(&Start {
        size,
        color: picture.pixels.color(),
        device: device.name().to_owned(),
        tiles: count,
    })?;
    // Where only a part is seen there are no means to compare.
    let mut lock = mask.is_none().then(|| ColourLock::new(source, size, true));
    tiled::run(&task, &mut engine, tiles, monitor, &mut |answer, monitor| {
        let answers = match &mut lock {
            Some(lock) => lock.push(answer),
            None => vec![answer],
        };
        answers.into_iter().try_for_each(|answer| {
            let Rect { x, y, width, height } = answer.area;
            let mut pixels = picture.pixels.crop_imm(x, y, width, height);
            let area = Rect::of_size(width, height);
            let mut parts = answer.planes.chunks_exact(area.area() as usize);
            if let (Some(red), Some(green), Some(blue)) = (parts.next(), parts.next(), parts.next())
            {
                let layer = Layer { area, planes: [red, green, blue] };
                blend(&mut pixels, &layer, area, |column, row| {
                    let inside = mask.map_or(1.0, |mask| {
                        f32::from(mask.get_pixel(x + column, y + row).0[0]) / 255.0
                    });
                    options.strength * inside
                });
            }
            monitor.patch(Patch { area: answer.area, pixels })
        })
    })?;
    let receipt = Receipt::new(begin, [size, size], model, device, engine.kernels(), count);
    let colour_shift = lock.map(|lock| lock.shift());
    Ok(Receipt { strength: options.strength, colour_shift, ..receipt })
}

/// That a strength is one.
pub(super) fn check_strength(strength: f32) -> Result<()> {
    if (0.0..=1.0).contains(&strength) {
        return Ok(());
    }
    Err(Error::Setting("a strength is a number from 0 to 1".to_owned()))
}

/// That masks are as large as their picture.
pub(super) fn check_scope(scope: Scope<'_>, size: (u32, u32)) -> Result<()> {
    for (mask, name) in [(scope.mask, "mask"), (scope.protected, "mask of what is protected")] {
        if let Some(mask) = mask.filter(|mask| mask.dimensions() != size) {
            return Err(Error::Setting(format!(
                "the {name} has {} x {} pixels and the picture {} x {}: they must be the same",
                mask.width(),
                mask.height(),
                size.0,
                size.1
            )));
        }
    }
    Ok(())
}

/// The pixels with three channels where they have one, so that they can take colours.
pub(super) fn in_colours(pixels: DynamicImage) -> DynamicImage {
    match pixels.color() {
        ColorType::L8 => pixels.into_rgb8().into(),
        ColorType::La8 => pixels.into_rgba8().into(),
        ColorType::L16 => pixels.into_rgb16().into(),
        ColorType::La16 => pixels.into_rgba16().into(),
        _ => pixels,
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use image::{GrayImage, Luma, Rgb, RgbImage};

    use super::*;
    use crate::{
        net::{NetworkConfig, residual::ResidualConfig},
        restore::{Mosaic, strips},
    };

    struct Gather(Vec<Patch>);

    impl Monitor for Gather {
        fn patch(&mut self, patch: Patch) -> Result<()> {
            self.0.push(patch);
            Ok(())
        }
    }

    /// A network that was not trained: it changes whatever it is let to.
    fn model(scale: usize) -> Model {
        let config = ResidualConfig { channels: 4, blocks: 1, scale, ..ResidualConfig::restorer() };
        let config = NetworkConfig::Residual(config);
        Model::of("untrained", &config, &config.init(&Device::flex())).unwrap()
    }

    fn painted(
        model: &Model,
        photo: &RgbImage,
        mask: Option<&GrayImage>,
        options: RepaintOptions,
    ) -> RgbImage {
        let picture = Picture::from_pixels("test", photo.clone().into());
        let mut gather = Gather(Vec::new());
        let scope = Scope { mask, protected: None };
        repaint(&picture, scope, model, &Chosen::cpu(), options, &mut gather).unwrap();
        let mosaic = Mosaic {
            size: picture.size(),
            color: picture.pixels.color(),
            patches: gather.0.into_iter().map(Into::into).collect(),
        };
        let rows = strips::of_mosaic(&mosaic).collect::<Vec<_>>().concat();
        RgbImage::from_raw(photo.width(), photo.height(), rows).unwrap()
    }

    const FULL: RepaintOptions = RepaintOptions { strength: 1.0, tile: None };

    fn photo() -> RgbImage {
        RgbImage::from_fn(90, 70, |x, y| Rgb([(x * 2 + 30) as u8, (y * 3) as u8, (x + y) as u8]))
    }

    #[test]
    fn strength_and_mask_say_how_much_changes() {
        let (photo, model) = (photo(), model(1));
        let done = |photo, mask, options| painted(&model, photo, mask, options);
        let none = done(&photo, None, RepaintOptions { strength: 0.0, ..FULL });
        assert!(none == photo);
        let (all, half) = (
            done(&photo, None, FULL),
            done(&photo, None, RepaintOptions { strength: 0.5, ..FULL }),
        );
        assert!(all != photo);
        for ((all, half), old) in all.iter().zip(half.iter()).zip(photo.iter()) {
            let middle = f32::midpoint(f32::from(*all), f32::from(*old));
            // The network may have answered beyond black or white before it was cut off.
            assert!((f32::from(*half) - middle).abs() <= 1.0, "{old} {half} {all}");
        }
        // Where a mask is, the network's answer is not compared with the photo's means.
        let whole = GrayImage::from_pixel(90, 70, Luma([255]));
        let all = done(&photo, Some(&whole), FULL);
        let mask = GrayImage::from_fn(90, 70, |x, _| Luma([if x > 40 { 255 } else { 0 }]));
        let part = done(&photo, Some(&mask), RepaintOptions { tile: Some(60), ..FULL });
        for (x, y, pixel) in part.enumerate_pixels() {
            let expected = if x > 40 { &all } else { &photo };
            let apart = pixel.0.iter().zip(expected.get_pixel(x, y).0).map(|(a, b)| a.abs_diff(b));
            assert!(apart.max().unwrap() <= u8::from(x > 40), "{x} {y}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let picture = Picture::from_pixels("test", photo().into());
        let mut gather = Gather(Vec::new());
        let mut refused = |mask: Option<&GrayImage>, scale, options, word: &str| {
            let (model, device) = (model(scale), Chosen::cpu());
            let scope = Scope { mask, protected: None };
            let error =
                repaint(&picture, scope, &model, &device, options, &mut gather).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        };
        refused(None, 2, FULL, "keeps the size");
        refused(None, 1, RepaintOptions { strength: 1.5, ..FULL }, "0 to 1");
        refused(Some(&GrayImage::new(90, 71)), 1, FULL, "90 x 71");
    }
}
