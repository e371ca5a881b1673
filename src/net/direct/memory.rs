//! Memory that stays with the process while it trains.
//!
//! A step of training takes and gives back a few hundred megabytes. The C library of Linux hands
//! them to the system at the end of each step and asks for them anew, page by page: a fifth of
//! the time of a step.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod system {
    use core::ffi::c_int;

    // From malloc.h.
    const M_TRIM_THRESHOLD: c_int = -1;
    const M_TOP_PAD: c_int = -2;
    const M_MMAP_THRESHOLD: c_int = -3;

    unsafe extern "C" {
        safe fn mallopt(parameter: c_int, value: c_int) -> c_int;
        safe fn malloc_trim(pad: usize) -> c_int;
    }

    pub(super) fn keep() {
        mallopt(M_TRIM_THRESHOLD, 1 << 30);
        mallopt(M_TOP_PAD, 1 << 26);
        // The largest that it takes.
        mallopt(M_MMAP_THRESHOLD, 1 << 25);
    }

    pub(super) fn give_back() {
        // As they are at first.
        mallopt(M_TRIM_THRESHOLD, 1 << 17);
        mallopt(M_TOP_PAD, 1 << 17);
        mallopt(M_MMAP_THRESHOLD, 1 << 17);
        malloc_trim(0);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod system {
    pub(super) const fn keep() {}
    pub(super) const fn give_back() {}
}

/// As long as there is one, memory that was used is kept for what comes next.
#[derive(Debug)]
pub struct KeptMemory(());

impl KeptMemory {
    /// From now on.
    #[must_use]
    pub fn new() -> Self {
        system::keep();
        Self(())
    }
}

impl Default for KeptMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for KeptMemory {
    fn drop(&mut self) {
        super::map::forget_spare();
        system::give_back();
    }
}
