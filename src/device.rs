//! What the networks run on: every graphics adapter by name, a test that tells
//! whether it computes correctly, and the CPU, which is always there.
//!
//! Inference has a wgpu device of its own, apart from the window's: long
//! kernels on a shared queue freeze the window for seconds, and a lost device
//! must not take the window with it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{LazyLock, Mutex, PoisonError},
};

use burn::{
    nn::{PReluConfig, PixelShuffleConfig},
    tensor::{
        DType, Device, DeviceKind, Tensor, TensorData, activation::prelu, module::conv2d,
        ops::ConvOptions,
    },
};
use burn_wgpu::WgpuBackend;
use serde::Serialize;
use wgpu::{Backend, Backends, DeviceType};

use crate::{
    error::{Error, Result},
    net::blocks::{Interpolation, enlarge},
};

/// Name of the CPU, as a device.
pub const CPU: &str = "CPU";

/// Largest difference that the self-test allows between an adapter's answer
/// and the CPU's; values are of order 1.
const TOLERANCE: f32 = 1e-3;

/// The same for numbers of 16 bit, where sums may be rounded at each step: what is only inexact is
/// left to the trial of each model, in which other kernels may be at work.
const TOLERANCE_OF_HALF: f32 = 4.0 / 255.0;

/// What a user puts behind the name of a device to have all numbers in 32 bit.
const IN_FULL: &str = ":f32";

/// A graphics adapter as the driver presents it.
#[derive(Clone, Debug, Serialize)]
pub struct Adapter {
    /// The driver's name for it.
    pub name: String,
    /// Graphics interface: Vulkan, Metal, Dx12 or Gl.
    pub backend: String,
    /// `discrete GPU`, `integrated GPU`, `virtual GPU`, `software` or `other`.
    pub kind: &'static str,
    /// Memory of its own in bytes, where the driver tells.
    pub memory_bytes: Option<u64>,
    /// Driver and version.
    pub driver: String,
    #[serde(skip)]
    key: Key,
}

/// What Burn needs to open the adapter again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    backend: Backend,
    kind: DeviceType,
    /// Among the adapters of this backend and kind.
    index: usize,
}

impl Adapter {
    /// Whether `auto` may choose it: a real GPU, no software rasteriser.
    #[must_use]
    pub const fn is_gpu(&self) -> bool {
        matches!(
            self.key.kind,
            DeviceType::DiscreteGpu | DeviceType::IntegratedGpu | DeviceType::VirtualGpu
        )
    }

    /// Opens it and has it compute a known tile.
    ///
    /// # Errors
    /// A clause that says why it cannot be used.
    pub fn self_test(&self) -> Result<(), String> {
        self.test(DType::F32, TOLERANCE)
    }

    /// The same with numbers of 16 bit, within four levels of 255.
    ///
    /// # Errors
    /// A clause that says why it cannot compute with them.
    pub fn half_test(&self) -> Result<(), String> {
        self.test(DType::F16, TOLERANCE_OF_HALF)
    }

    fn test(&self, numbers: DType, tolerance: f32) -> Result<(), String> {
        let device = self.open()?;
        if !device.supports_dtype(numbers) {
            return Err("it does not compute with such numbers".to_owned());
        }
        let answer = guarded(|| known_tile(&device, numbers))??;
        let expected = guarded(|| known_tile(&Device::flex(), DType::F32))??;
        let worst = difference(&answer, &expected);
        if worst > tolerance {
            return Err(format!("its self-test is off by {worst}"));
        }
        Ok(())
    }

    fn open(&self) -> Result<Device, String> {
        // Burn keeps one runtime for an adapter and refuses to open a second,
        // so the first one is kept and handed out again.
        static OPENED: Mutex<Vec<(Key, Device)>> = Mutex::new(Vec::new());
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, device)) = opened.iter().find(|(key, _)| *key == self.key) {
            return Ok(device.clone());
        }
        let index = self.key.index;
        let kind = match self.key.kind {
            DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu(index),
            DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu(index),
            DeviceType::VirtualGpu => DeviceKind::VirtualGpu(index),
            DeviceType::Cpu if index == 0 => DeviceKind::Cpu,
            DeviceType::Cpu | DeviceType::Other => {
                return Err("this kind of adapter cannot be addressed".to_owned());
            }
        };
        let backend = match self.key.backend {
            Backend::Vulkan => WgpuBackend::Vulkan,
            Backend::Metal => WgpuBackend::Metal,
            Backend::Dx12 => WgpuBackend::Dx12,
            Backend::Gl => WgpuBackend::Gl,
            _ => return Err("its graphics interface is not supported".to_owned()),
        };
        let device = guarded(|| {
            Device::wgpu_options()
                .graphics_api(backend)
                .device_kind(kind.clone())
                .init()
                .map_err(|error| error.to_string())
        })??;
        opened.push((self.key, device.clone()));
        Ok(device)
    }
}

/// Every adapter of every graphics interface; empty without a driver.
///
/// Drivers take a tenth of a second to tell, so they are asked once: a card that comes later is seen
/// by the next start.
#[must_use]
pub fn adapters() -> Vec<Adapter> {
    static FOUND: LazyLock<Vec<Adapter>> = LazyLock::new(enumerate);
    FOUND.clone()
}

fn enumerate() -> Vec<Adapter> {
    let of = |backends: Backends| {
        let found = guarded(|| {
            let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
                backends,
                ..wgpu::InstanceDescriptor::new_without_display_handle()
            });
            pollster::block_on(instance.enumerate_adapters(backends))
        });
        found.unwrap_or_default()
    };
    let mut found = of(Backends::VULKAN | Backends::METAL | Backends::DX12);
    if found.is_empty() {
        // OpenGL shows the same cards again, so it is asked last.
        found = of(Backends::GL);
    }
    let mut adapters: Vec<Adapter> = Vec::new();
    for adapter in found {
        let info = adapter.get_info();
        let same = |other: &&Adapter| {
            other.key.backend == info.backend && other.key.kind == info.device_type
        };
        let key = Key {
            backend: info.backend,
            kind: info.device_type,
            index: adapters.iter().filter(same).count(),
        };
        adapters.push(Adapter {
            backend: format!("{:?}", info.backend),
            kind: match info.device_type {
                DeviceType::DiscreteGpu => "discrete GPU",
                DeviceType::IntegratedGpu => "integrated GPU",
                DeviceType::VirtualGpu => "virtual GPU",
                DeviceType::Cpu => "software",
                DeviceType::Other => "other",
            },
            memory_bytes: memory(&adapter),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            name: info.name,
            key,
        });
    }
    adapters
}

/// Memory local to an adapter, which only Vulkan tells.
#[cfg(not(target_os = "macos"))]
#[expect(unsafe_code, reason = "wgpu has no safe way to the driver's memory heaps")]
fn memory(adapter: &wgpu::Adapter) -> Option<u64> {
    // SAFETY: the handles are used only while `adapter` lives, to read a
    // property, and nothing is destroyed.
    unsafe {
        let vulkan = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let instance = vulkan.shared_instance().raw_instance();
        let properties =
            instance.get_physical_device_memory_properties(vulkan.raw_physical_device());
        let local = properties
            .memory_heaps_as_slice()
            .iter()
            // VK_MEMORY_HEAP_DEVICE_LOCAL_BIT
            .filter(|heap| heap.flags.as_raw() & 1 != 0)
            .map(|heap| heap.size);
        local.max()
    }
}

/// Metal shares the machine's memory.
#[cfg(target_os = "macos")]
fn memory(_adapter: &wgpu::Adapter) -> Option<u64> {
    None
}

/// The device that a job runs on.
#[derive(Clone, Debug)]
pub struct Chosen {
    name: String,
    device: Device,
    class: Class,
    /// Whether networks may compute with numbers of 16 bit.
    half: bool,
    /// Why it is not what might be expected, for the user.
    note: Option<String>,
}

/// What a device is like to work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Cpu,
    Gpu,
    /// A graphics interface computed by the CPU.
    Software,
}

impl Chosen {
    /// The CPU.
    #[must_use]
    pub fn cpu() -> Self {
        Self {
            name: CPU.to_owned(),
            device: Device::flex(),
            class: Class::Cpu,
            half: false,
            note: None,
        }
    }

    /// By the user's word: `auto`, `gpu`, `cpu` or the name of an adapter (a
    /// part of it is enough, upper and lower case are one).
    ///
    /// `auto` takes the first real GPU that passes its self-test, discrete ones
    /// before integrated ones, and the CPU if there is none.
    ///
    /// A graphics card computes with numbers of 16 bit where that comes out the same to a level of
    /// 255, and with 32 bit elsewhere; with `:f32` behind the name, always with 32.
    ///
    /// # Errors
    /// [`Error::DeviceUnknown`] or [`Error::Device`]; never for `auto` and `cpu`.
    pub fn by_name(name: &str) -> Result<Self> {
        let name = name.trim();
        match name.strip_suffix(IN_FULL) {
            Some(name) => Ok(Self { half: false, ..Self::named(name)? }),
            None => Self::named(name),
        }
    }

    fn named(name: &str) -> Result<Self> {
        match name.to_lowercase().as_str() {
            "" => Err(Error::DeviceUnknown { name: "(no name)".to_owned() }),
            "cpu" => Ok(Self::cpu()),
            "auto" => Ok(match Self::best_gpu() {
                Ok(gpu) => gpu,
                Err(note) => Self { note, ..Self::cpu() },
            }),
            "gpu" => Self::best_gpu().map_err(|note| Error::Device {
                name: name.to_owned(),
                reason: note.unwrap_or_else(|| "this machine has no GPU with a driver".to_owned()),
            }),
            wanted => {
                let found = adapters()
                    .into_iter()
                    .find(|adapter| adapter.name.to_lowercase().contains(wanted));
                let adapter =
                    found.ok_or_else(|| Error::DeviceUnknown { name: name.to_owned() })?;
                Self::of(&adapter)
                    .map_err(|reason| Error::Device { name: adapter.name.clone(), reason })
            }
        }
    }

    /// The best real GPU, or a note on the one that failed.
    fn best_gpu() -> Result<Self, Option<String>> {
        let mut gpus = adapters();
        gpus.retain(Adapter::is_gpu);
        gpus.sort_by_key(|gpu| match gpu.key.kind {
            DeviceType::DiscreteGpu => 0,
            DeviceType::IntegratedGpu => 1,
            _ => 2,
        });
        let mut note = None;
        for gpu in &gpus {
            match Self::of(gpu) {
                Ok(chosen) => return Ok(chosen),
                Err(reason) => {
                    note.get_or_insert(format!("{} is not used: {reason}", gpu.name));
                }
            }
        }
        Err(note)
    }

    fn of(adapter: &Adapter) -> Result<Self, String> {
        adapter.self_test()?;
        Ok(Self {
            name: adapter.name.clone(),
            device: adapter.open()?,
            class: if adapter.is_gpu() { Class::Gpu } else { Class::Software },
            half: adapter.is_gpu() && adapter.half_test().is_ok(),
            note: None,
        })
    }

    /// For people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the user should know about the choice.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// For tensors.
    #[must_use]
    pub const fn burn(&self) -> &Device {
        &self.device
    }

    /// Whether networks may be tried with numbers of 16 bit: it is a GPU that can compute with them.
    #[must_use]
    pub const fn computes_half(&self) -> bool {
        self.half
    }

    /// Whether it is a graphics interface that the CPU computes: slow, and with drivers that
    /// crash on some of the kernels that training needs.
    #[must_use]
    pub const fn is_software(&self) -> bool {
        matches!(self.class, Class::Software)
    }

    /// Whether kernels are compiled and tuned for each size of tile.
    #[must_use]
    pub const fn tunes_kernels(&self) -> bool {
        !matches!(self.class, Class::Cpu)
    }

    /// Side of a tile that keeps the device busy and still lets a job be
    /// cancelled within about a second.
    #[must_use]
    pub const fn default_tile(&self) -> u32 {
        match self.class {
            Class::Cpu => 384,
            Class::Gpu => 512,
            Class::Software => 128,
        }
    }
}

/// What the generators are made of, with fixed weights, over a fixed picture.
fn known_tile(device: &Device, numbers: DType) -> Result<Vec<f32>, String> {
    let wave = |count: usize, step: f32| -> Vec<f32> {
        (0..count).map(|i| (i as f32 * step).sin()).collect()
    };
    let tensor = |shape: [usize; 4], step: f32| {
        let values = wave(shape.iter().product(), step);
        Tensor::<4>::from_data(TensorData::new(values, shape), device).cast(numbers)
    };
    let same = || ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
    let picture = tensor([1, 3, 24, 40], 0.37);
    let features = conv2d(picture.clone(), tensor([16, 3, 3, 3], 0.71) * 0.3, None, same());
    let features = prelu(features, PReluConfig::new().init(device).alpha.val().cast(numbers));
    let answer = conv2d(features, tensor([12, 16, 3, 3], 1.13) * 0.5, None, same());
    let answer = PixelShuffleConfig::new(2).init().forward(answer)
        + enlarge(picture, 2, Interpolation::Bilinear);
    let answer = answer.cast(DType::F32).try_into_data().map_err(|error| error.to_string())?;
    answer.try_into_vec::<f32>().map_err(|error| format!("{error:?}"))
}

/// The largest difference between two answers, over the largest number where that is above 1;
/// infinite if one has other or more numbers than the other.
#[must_use]
pub fn difference(answer: &[f32], expected: &[f32]) -> f32 {
    if answer.len() != expected.len() {
        return f32::INFINITY;
    }
    let largest = expected.iter().fold(1.0_f32, |most, value| most.max(value.abs()));
    let errors = answer.iter().zip(expected).map(|(answer, expected)| (answer - expected).abs());
    // `max` alone would pass over what is no number.
    let worst = errors.fold(
        0.0_f32,
        |worst, error| {
            if error.is_nan() { f32::INFINITY } else { worst.max(error) }
        },
    );
    worst / largest
}

/// Runs something that a driver may panic in.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_panic| "its driver failed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_tile_is_known() {
        // Guards the test itself: a picture of zeros would pass anywhere.
        let answer = known_tile(&Device::flex(), DType::F32).unwrap();
        assert_eq!(answer.len(), 12 * 24 * 40);
        let largest = answer.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        assert!((0.5..5.0).contains(&largest), "{largest}");
        // Rounded to 16 bit on the way it is another, but not to be seen.
        let half = known_tile(&Device::flex(), DType::F16).unwrap();
        let off = difference(&half, &answer);
        assert!(off > TOLERANCE / 100.0 && off < TOLERANCE_OF_HALF, "{off}");
    }

    #[test]
    fn what_is_no_number_is_infinitely_far() {
        assert!(difference(&[1.0, f32::NAN], &[1.0, 2.0]).is_infinite());
        assert!(difference(&[1.0], &[1.0, 2.0]).is_infinite());
        assert_eq!(difference(&[1.0, 3.5], &[1.0, 4.0]), 0.125);
    }

    #[test]
    fn auto_never_takes_a_software_rasteriser() {
        let chosen = Chosen::by_name("auto").unwrap();
        let software = adapters().into_iter().filter(|adapter| !adapter.is_gpu());
        for adapter in software {
            assert_ne!(chosen.name(), adapter.name);
        }
    }

    #[test]
    fn an_unknown_name_is_refused() {
        for name in ["no such adapter", "no such adapter:f32", ":f32"] {
            let refused = Chosen::by_name(name);
            assert!(matches!(refused, Err(Error::DeviceUnknown { .. })), "{name}");
        }
        assert_eq!(Chosen::by_name("cpu:f32").unwrap().name(), CPU);
    }
}
