//! Whether a network may compute with numbers of 16 bit: it is tried on a made picture beside the
//! CPU, and what failed once is not tried again.
//!
//! Most networks may, where a card's sums have 32 bit; which kernels it has for that, and chooses,
//! goes by the size of its maps, so the picture is as large as a tile and the CPU computes a part of
//! it. Networks that work on values up to 255, or whose inner values grow large, leave the range of
//! such numbers (65504), and then answer with black, with nothing at all, or a little wrong.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
};

use burn::tensor::{Device, Tensor, TensorData};

use super::tiled::part_of;
use crate::{
    device::difference,
    error::Result,
    model::Model,
    net::{Generator, Reach},
    rect::Rect,
};

/// Side of what is compared.
const SIDE: u32 = 32;

/// Where the CPU would need more than this to each side for it, the picture itself is small.
const MOST_ON_CPU: u32 = 128;

/// Its side then.
const SMALL: u32 = 64;

/// How far the answer may be from the CPU's: half a level, so that a whole picture stays within one.
const TOLERANCE: f32 = 0.5 / 255.0;

/// What became of the models that were tried, by their bytes.
static TRIED: Mutex<Option<HashMap<Key, bool>>> = Mutex::new(None);

/// Check sum and length of the weights. Two models of one key would at worst be tried as one.
type Key = (u32, usize);

fn key(model: &Model) -> Key {
    (crc32fast::hash(model.bytes()), model.bytes().len())
}

fn remember(model: &Model, sound: bool) {
    let mut tried = TRIED.lock().unwrap_or_else(PoisonError::into_inner);
    tried.get_or_insert_default().insert(key(model), sound);
}

/// The model's numbers of 16 bit failed: it is not to be tried with them again.
pub(super) fn refuse(model: &Model) {
    remember(model, false);
}

/// The network with numbers of 16 bit; `None` if it has no such form, or answers a picture otherwise
/// than on the CPU. `tile` is the side of the tiles to come.
///
/// # Errors
/// As [`Model::on`].
pub(super) fn tried(
    model: &Model,
    device: &Device,
    tile: impl Fn(&dyn Generator) -> u32,
) -> Result<Option<Box<dyn Generator>>> {
    let known = {
        let tried = TRIED.lock().unwrap_or_else(PoisonError::into_inner);
        tried.as_ref().and_then(|tried| tried.get(&key(model)).copied())
    };
    if known == Some(false) {
        return Ok(None);
    }
    let Some(network) = model.in_half(device)? else { return Ok(None) };
    if known == Some(true) {
        return Ok(Some(network));
    }
    let off = off(&*network, device, &*model.on(&Device::flex())?, tile(&*network));
    let sound = off <= TOLERANCE;
    remember(model, sound);
    if !sound {
        log::info!("{} keeps numbers of 32 bit: those of 16 are off by {off}", model.name());
    }
    Ok(sound.then_some(network))
}

/// How far two networks' answers are from each other: of one on a device to a picture as large as a
/// tile, and of one on the CPU to the middle of it.
fn off(network: &dyn Generator, device: &Device, expected: &dyn Generator, tile: u32) -> f32 {
    let channels = network.inputs();
    let scale = network.scale();
    let [whole, window, core] = parts(network.reach(), network.grid(), tile);
    let picture = sample(channels, whole.width as usize);
    let answer = |network: &dyn Generator, device: &Device, window: Rect| {
        let seen = part_of(&picture, whole, window);
        // Drivers and kernels report some failures as panics.
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let shape = [1, channels, window.height as usize, window.width as usize];
            let input = Tensor::<4>::from_data(TensorData::new(seen, shape), device);
            network.forward(input).try_into_data().ok()?.try_into_vec::<f32>().ok()
        }));
        let enlarged = |Rect { x, y, width, height }: Rect| Rect {
            x: x * scale,
            y: y * scale,
            width: width * scale,
            height: height * scale,
        };
        Some(part_of(&answer.ok()??, enlarged(window), enlarged(core)))
    };
    match (answer(network, device, whole), answer(expected, &Device::flex(), window)) {
        (Some(answer), Some(expected)) => difference(&answer, &expected),
        _ => f32::INFINITY,
    }
}

/// The picture, what the CPU must see of it, and what is compared.
fn parts(reach: Reach, grid: u32, tile: u32) -> [Rect; 3] {
    let side = tile / grid * grid;
    if let Reach::Pixels(reach) = reach
        && SIDE + 2 * (reach + grid) <= MOST_ON_CPU.min(side)
    {
        let first = (side - SIDE) / 2;
        let begin = (first - reach) / grid * grid;
        let end = (first + SIDE + reach).next_multiple_of(grid);
        let core = Rect::spanning(first, first, first + SIDE, first + SIDE);
        return [Rect::of_size(side, side), Rect::spanning(begin, begin, end, end), core];
    }
    let side = SMALL.next_multiple_of(grid);
    [Rect::of_size(side, side); 3]
}

/// What pictures hold, in planes of 0 to 1: a ramp, hard edges between black and white, fine noise;
/// a fourth plane is a mask.
fn sample(channels: usize, side: usize) -> Vec<f32> {
    let value = |channel: usize, y: usize, x: usize| -> f32 {
        if channel == 3 {
            return f32::from(u8::from((x / 8).is_multiple_of(2)));
        }
        let noise = ((y * side + x) as u32 * 3 + channel as u32).wrapping_mul(2_654_435_761) >> 8;
        match (2 * y / side, 2 * x / side) {
            (0, 0) => (x + y) as f32 / side as f32,
            (0, _) => f32::from(u8::from((x / 3 + y / 5 + channel).is_multiple_of(2))),
            (_, 0) => f32::from(u8::from(channel != x / 4 % 3)),
            _ => noise as f32 / (1 << 24) as f32,
        }
    };
    let places = |channel| (0..side * side).map(move |i| (channel, i / side, i % side));
    (0..channels).flat_map(places).map(|(channel, y, x)| value(channel, y, x)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device::{Adapter, Chosen, adapters},
        net::{NetworkConfig, residual::ResidualConfig, slots},
    };
    use burn::tensor::DType;

    /// A small network, whose inner numbers are as large as `size`.
    fn model(name: &str, size: f32) -> Model {
        let (device, blocks) = (Device::flex(), 1);
        let config = ResidualConfig { channels: 8, blocks, ..ResidualConfig::starter() };
        let config = NetworkConfig::Residual(config);
        let network = config.init(&device);
        let shapes = slots::of(&network);
        let network = slots::filled(network, &device, |path| {
            let slot = shapes.iter().find(|slot| slot.path == path)?;
            let wave = (0..slot.len()).map(|i| (i as f32 * 1.3).sin() * 0.1);
            Some(match path {
                "head.weight" | "head.bias" => wave.map(|value| value * size).collect(),
                path if path.starts_with("upsample") && path.ends_with("weight") => {
                    wave.map(|value| value / size).collect()
                }
                path if path.contains("activation") => vec![0.2; slot.len()],
                path if path.ends_with("bias") => vec![0.0; slot.len()],
                _ => wave.collect(),
            })
        });
        Model::of(name, &config, &network).unwrap()
    }

    #[test]
    fn the_cpu_sees_all_that_reaches_what_is_compared() {
        for (reach, grid, tile) in [(19, 1, 512), (0, 1, 64), (20, 2, 129), (7, 32, 512)] {
            let [whole, window, core] = parts(Reach::Pixels(reach), grid, tile);
            let seen = core.grown_within(reach, whole.width, whole.height);
            assert!(window.intersection(&seen) == Some(seen) && seen.width == SIDE + 2 * reach);
            assert!(whole.width <= tile && whole.intersection(&window) == Some(window));
            assert!([window.x, window.width, whole.width].iter().all(|at| at % grid == 0));
        }
        for reach in [Reach::Whole, Reach::Pixels(300)] {
            assert_eq!(parts(reach, 1, 512), [Rect::of_size(64, 64); 3]);
        }
    }

    #[test]
    fn a_network_of_usual_numbers_may() {
        let network = tried(&model("usual", 1.0), &Device::flex(), |_| 96).unwrap().unwrap();
        assert_eq!(network.kernels(), "Burn, 16 bit");
    }

    #[test]
    fn a_network_of_large_numbers_may_not() {
        let large = model("large", 3e6);
        assert!(tried(&large, &Device::flex(), |_| 96).unwrap().is_none());
        // It answers well with numbers of 32 bit: it is these that do not suffice.
        let expected = model("usual", 1.0);
        let on = |model: &Model| model.on(&Device::flex()).unwrap();
        assert!(off(&*on(&large), &Device::flex(), &*on(&expected), 96) < 1e-3);
    }

    #[test]
    #[ignore = "needs a graphics adapter"]
    fn a_graphics_adapter_computes_with_16_bit() {
        let sound = |adapter: &Adapter| adapter.self_test().is_ok();
        let Some(adapter) = adapters().into_iter().find(sound) else {
            panic!("no adapter passes its self-test: install a Vulkan driver");
        };
        let device = Chosen::by_name(&adapter.name).unwrap();
        if !device.burn().supports_dtype(DType::F16) {
            eprintln!("{} does not compute with 16 bit", adapter.name);
            return;
        }
        eprintln!("{:?}", adapter.half_test());
        for name in Model::shipped() {
            let model = Model::find(name).unwrap();
            let Some(half) = model.in_half(device.burn()).unwrap() else { continue };
            let full = model.on(device.burn()).unwrap();
            let cpu = model.on(&Device::flex()).unwrap();
            // Burn on the CPU has sums of 32 bit, as cards with matrix units do.
            let wide = model.in_half(&Device::flex()).unwrap().unwrap();
            let wide = off(&*wide, &Device::flex(), &*cpu, SMALL);
            let [half, full] =
                [half, full].map(|network| off(&*network, device.burn(), &*cpu, SMALL));
            eprintln!("{name}: {half} with 16 bit, {wide} with sums of 32, {full} with 32");
            assert!(full < 1e-4 && half < 0.05, "{name}: {half} {full}");
        }
    }

    #[test]
    fn what_failed_once_is_not_tried_again() {
        let model = model("failing later", 1.5);
        assert!(tried(&model, &Device::flex(), |_| 96).unwrap().is_some());
        refuse(&model);
        assert!(tried(&model, &Device::flex(), |_| 96).unwrap().is_none());
    }
}
