//! How fast the processor multiplies and adds at best, to see how far kernels are from it.

use std::{hint::black_box, time::Instant};

use super::{
    OnSet,
    simd::{Isa, Kernel},
};

/// Products of a round: so many sums that none waits for another.
const SUMS: usize = 12;
const ROUNDS: usize = 1 << 20;

struct Products<'a>(&'a mut f32);

impl<S: Isa> Kernel<S> for Products<'_> {
    #[inline(always)]
    unsafe fn run(self) {
        unsafe {
            let factor = S::splat(*self.0);
            let mut sums = [factor; SUMS];
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = S::fma(*sum, factor, factor);
                }
            }
            let mut lanes = [0.0; 16];
            for sum in sums {
                S::store(lanes.as_mut_ptr(), sum);
                *self.0 += lanes[0];
            }
        }
    }
}

/// Additions and multiplications of one thread in a second: the best of a few tries.
pub(super) struct Peak;

impl OnSet for Peak {
    type Answer = f64;

    fn run<S: Isa>(self) -> f64 {
        assert!(S::available());
        let mut best = 0.0_f64;
        for _ in 0..20 {
            let begin = Instant::now();
            let mut value = black_box(0.5);
            // SAFETY: the instruction set is there.
            unsafe { S::enter(Products(&mut value)) };
            black_box(value);
            let operations = (2 * SUMS * ROUNDS * S::LANES) as f64;
            best = best.max(operations / begin.elapsed().as_secs_f64());
        }
        best
    }
}
