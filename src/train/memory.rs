//! Batches that a device has no memory for.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::{Cut, Loader, Trainer};
use crate::{
    error::{Error, Result},
    restore::tiled::panic_text,
};

#[cfg(test)]
thread_local! {
    /// Stands for the memory of a device: no larger batch fits.
    pub(super) static MOST: std::cell::Cell<usize> = const { std::cell::Cell::new(usize::MAX) };
}

/// Runs what may ask for more memory than the device has: drivers answer that with a panic.
///
/// # Errors
/// [`Error::Memory`].
pub(super) fn guarded<T>(batch: usize, run: impl FnOnce() -> T) -> Result<T> {
    let run = || {
        #[cfg(test)]
        assert!(batch <= MOST.get(), "wgpu error: Out of Memory");
        run()
    };
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        if !tells_of_memory(&panic_text(&*panic)) {
            resume_unwind(panic);
        }
        Error::Memory { what: format!("batches of {batch}") }
    })
}

/// Whether a driver's or a runtime's words mean that memory has run out.
fn tells_of_memory(text: &str) -> bool {
    let text = text.to_lowercase();
    ["out of memory", "outofmemory", "not enough memory", "buffertoobig", "memory allocation"]
        .iter()
        .any(|words| text.contains(words))
}

impl Trainer {
    /// Halves the batches and has a step learn from twice as many: it learns from as many crops as
    /// before, in half the memory.
    ///
    /// # Errors
    /// [`Error::Memory`] if they cannot be smaller.
    pub(super) fn halve_batches(&mut self) -> Result<()> {
        let options = &mut self.options;
        if options.batch / 2 < self.least_batch {
            let what = format!("batches of {} crops of {} pixels", options.batch, options.crop);
            return Err(Error::Memory { what });
        }
        options.accumulate = (options.accumulate * options.batch).div_ceil(options.batch / 2);
        options.batch /= 2;
        let cut = Cut::new(&self.options, self.base.config());
        let first = self.step * self.options.accumulate as u64;
        self.loader = Loader::start(self.source.clone(), cut, first, super::loader_threads())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device::Chosen,
        net::{NetworkConfig, residual::ResidualConfig},
        train::{NEW, TrainOptions},
    };

    /// Photos of noise, no two alike.
    fn photos(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
        let photo = |seed: u64| {
            let mut rng = fastrand::Rng::with_seed(seed);
            let cells: Vec<[u8; 3]> = (0..81).map(|_| [0; 3].map(|_: u8| rng.u8(..))).collect();
            let of = |x: u32, y: u32| image::Rgb(cells[(x / 8 + 9 * (y / 8)) as usize]);
            let path = folder.join(format!("{seed}.png"));
            image::RgbImage::from_fn(72, 72, of).save(&path).unwrap();
            path
        };
        (0..6).map(photo).collect()
    }

    #[test]
    fn a_run_that_is_out_of_memory_goes_on_with_half_the_batch() {
        let folder = tempfile::tempdir().unwrap();
        let network = ResidualConfig { channels: 4, blocks: 1, ..ResidualConfig::starter() };
        let options = TrainOptions {
            base: NEW.to_owned(),
            network: Some(NetworkConfig::Residual(network)),
            batch: 4,
            crop: 8,
            ..TrainOptions::default()
        };
        let base = Trainer::base_of(&options).unwrap();
        let photos = photos(folder.path());
        let mut trainer = Trainer::new(&photos, base, options, Chosen::cpu()).unwrap();
        assert_eq!(trainer.step().unwrap().batch, 4);
        MOST.set(2);
        for step in 2..5 {
            let report = trainer.step().unwrap();
            assert_eq!((report.step, report.batch), (step, 2));
            assert!(report.loss.is_finite());
        }
        assert_eq!(trainer.options().accumulate, 2, "a step learns from as many crops");
        // Where nothing fits, it ends in words.
        MOST.set(0);
        assert!(matches!(trainer.step(), Err(Error::Memory { .. })));
        MOST.set(usize::MAX);
        assert_eq!(trainer.step().unwrap().step, 5);
    }

    #[test]
    fn only_what_tells_of_memory_is_caught() {
        for words in ["wgpu error: Out of Memory", "OutOfMemory", "BufferTooBig { size: 1 }"] {
            let failed = guarded(4, || panic!("{words}"));
            assert!(matches!(failed, Err(Error::Memory { .. })), "{words}");
        }
        assert_eq!(guarded(4, || 7).unwrap(), 7);
        let other = catch_unwind(|| guarded(4, || panic!("index out of bounds")));
        assert!(other.is_err());
    }
}
