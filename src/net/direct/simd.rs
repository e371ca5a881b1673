//! The instruction sets behind one trait.
//!
//! A kernel is generic over [`Isa`], marked `#[inline(always)]`, and entered only through
//! [`Isa::enter`], whose body carries the `#[target_feature]`: everything inlines into that one
//! function and is compiled for it.

/// Vector arithmetic of one instruction set, as the convolution needs it.
///
/// # Safety
/// Its methods may be called only where [`Isa::available`] holds.
pub(super) trait Isa: Copy + Send + Sync + 'static {
    /// `LANES` values: one block of channels of a pixel.
    type V: Copy;
    /// For people.
    const NAME: &'static str;
    /// Values of a vector.
    const LANES: usize;
    /// Vector registers; they decide how many sums are kept at once.
    const REGISTERS: usize;

    /// Whether this processor has the instruction set.
    fn available() -> bool;
    /// Runs `kernel` compiled for this instruction set.
    unsafe fn enter<K: Kernel<Self>>(kernel: K);

    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, value: Self::V);
    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// a * b + c
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Turns a square of `LANES` rows, which lie so many values apart, into columns.
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        for row in 0..Self::LANES {
            for column in 0..Self::LANES {
                unsafe { *to.add(column * to_step + row) = *from.add(row * from_step + column) };
            }
        }
    }
}

/// Work that [`Isa::enter`] runs; `run` must be `#[inline(always)]`.
pub(super) trait Kernel<S: Isa> {
    unsafe fn run(self);
}

/// For any processor: four lanes that the compiler turns into what there is.
#[derive(Clone, Copy)]
pub(super) struct Portable;

type Four = [f32; 4];

#[inline(always)]
fn zip(a: Four, b: Four, f: impl Fn(f32, f32) -> f32) -> Four {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

impl Isa for Portable {
    type V = Four;
    const NAME: &'static str = "portable";
    const LANES: usize = 4;
    const REGISTERS: usize = 16;
    fn available() -> bool {
        true
    }
    #[inline(always)]
    unsafe fn enter<K: Kernel<Self>>(kernel: K) {
        unsafe { kernel.run() }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Four {
        unsafe { from.cast::<Four>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Four) {
        unsafe { to.cast::<Four>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Four {
        [value; 4]
    }
    #[inline(always)]
    unsafe fn add(a: Four, b: Four) -> Four {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(a: Four, b: Four) -> Four {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(a: Four, b: Four) -> Four {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn max(a: Four, b: Four) -> Four {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(a: Four, b: Four) -> Four {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn fma(a: Four, b: Four, c: Four) -> Four {
        // Two roundings: without the instruction, `mul_add` is a slow call.
        unsafe { Self::add(Self::mul(a, b), c) }
    }
}

/// The arithmetic of a set, the same for all but for the intrinsics' names.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! arithmetic {
    ($v:ty: $load:ident, $store:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident, $max:ident, $min:ident) => {
        type V = $v;
        #[inline(always)]
        unsafe fn load(from: *const f32) -> $v {
            unsafe { $load(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, value: $v) {
            unsafe { $store(to, value) }
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> $v {
            unsafe { $splat(value) }
        }
        #[inline(always)]
        unsafe fn add(a: $v, b: $v) -> $v {
            unsafe { $add(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(a: $v, b: $v) -> $v {
            unsafe { $sub(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(a: $v, b: $v) -> $v {
            unsafe { $mul(a, b) }
        }
        #[inline(always)]
        unsafe fn max(a: $v, b: $v) -> $v {
            unsafe { $max(a, b) }
        }
        #[inline(always)]
        unsafe fn min(a: $v, b: $v) -> $v {
            unsafe { $min(a, b) }
        }
    };
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::{
        __m256, __m512, _mm256_add_ps, _mm256_castpd_ps, _mm256_castps_pd, _mm256_fmadd_ps,
        _mm256_loadu_ps, _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps, _mm256_permute2f128_ps,
        _mm256_set1_ps, _mm256_storeu_ps, _mm256_sub_ps, _mm256_unpackhi_pd, _mm256_unpackhi_ps,
        _mm256_unpacklo_pd, _mm256_unpacklo_ps, _mm512_add_ps, _mm512_castpd_ps, _mm512_castps_pd,
        _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps,
        _mm512_set1_ps, _mm512_shuffle_f32x4, _mm512_storeu_ps, _mm512_sub_ps, _mm512_unpackhi_pd,
        _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
    };

    use super::{Isa, Kernel};

    /// Turns four rows into columns within each 128 bits of them.
    macro_rules! transpose_quarters {
        ($rows:expr, $low:ident, $high:ident, $low2:ident, $high2:ident, $wide:ident, $narrow:ident) => {
            for four in $rows.chunks_exact_mut(4) {
                let (a, b) = ($low(four[0], four[1]), $high(four[0], four[1]));
                let (c, d) = ($low(four[2], four[3]), $high(four[2], four[3]));
                let (a, b, c, d) = ($wide(a), $wide(b), $wide(c), $wide(d));
                four[0] = $narrow($low2(a, c));
                four[1] = $narrow($high2(a, c));
                four[2] = $narrow($low2(b, d));
                four[3] = $narrow($high2(b, d));
            }
        };
    }

    /// Eight lanes.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2;

    #[target_feature(enable = "avx2,fma")]
    unsafe fn enter_avx2<K: Kernel<Avx2>>(kernel: K) {
        unsafe { kernel.run() }
    }

    impl Isa for Avx2 {
        const NAME: &'static str = "AVX2";
        const LANES: usize = 8;
        const REGISTERS: usize = 16;
        fn available() -> bool {
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
        }
        #[inline(always)]
        unsafe fn enter<K: Kernel<Self>>(kernel: K) {
            unsafe { enter_avx2(kernel) }
        }
        #[inline(always)]
        unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
            unsafe {
                let mut rows = [_mm256_set1_ps(0.0); 8];
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = _mm256_loadu_ps(from.add(i * from_step));
                }
                transpose_quarters!(
                    rows,
                    _mm256_unpacklo_ps,
                    _mm256_unpackhi_ps,
                    _mm256_unpacklo_pd,
                    _mm256_unpackhi_pd,
                    _mm256_castps_pd,
                    _mm256_castpd_ps
                );
                for i in 0..4 {
                    let low = _mm256_permute2f128_ps::<0x20>(rows[i], rows[4 + i]);
                    let high = _mm256_permute2f128_ps::<0x31>(rows[i], rows[4 + i]);
                    _mm256_storeu_ps(to.add(i * to_step), low);
                    _mm256_storeu_ps(to.add((4 + i) * to_step), high);
                }
            }
        }
        arithmetic!(__m256: _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps, _mm256_add_ps,
            _mm256_sub_ps, _mm256_mul_ps, _mm256_max_ps, _mm256_min_ps);
    }

    /// Sixteen lanes.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512;

    #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,fma")]
    unsafe fn enter_avx512<K: Kernel<Avx512>>(kernel: K) {
        unsafe { kernel.run() }
    }

    impl Isa for Avx512 {
        const NAME: &'static str = "AVX-512";
        const LANES: usize = 16;
        const REGISTERS: usize = 32;
        fn available() -> bool {
            is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
        }
        #[inline(always)]
        unsafe fn enter<K: Kernel<Self>>(kernel: K) {
            unsafe { enter_avx512(kernel) }
        }
        #[inline(always)]
        unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
            unsafe {
                let mut rows = [_mm512_set1_ps(0.0); 16];
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = _mm512_loadu_ps(from.add(i * from_step));
                }
                transpose_quarters!(
                    rows,
                    _mm512_unpacklo_ps,
                    _mm512_unpackhi_ps,
                    _mm512_unpacklo_pd,
                    _mm512_unpackhi_pd,
                    _mm512_castps_pd,
                    _mm512_castpd_ps
                );
                for i in 0..4 {
                    let [a, b, c, d] = [rows[i], rows[4 + i], rows[8 + i], rows[12 + i]];
                    let even1 = _mm512_shuffle_f32x4::<0x88>(a, b);
                    let even2 = _mm512_shuffle_f32x4::<0x88>(c, d);
                    let odd1 = _mm512_shuffle_f32x4::<0xdd>(a, b);
                    let odd2 = _mm512_shuffle_f32x4::<0xdd>(c, d);
                    let columns = [
                        _mm512_shuffle_f32x4::<0x88>(even1, even2),
                        _mm512_shuffle_f32x4::<0x88>(odd1, odd2),
                        _mm512_shuffle_f32x4::<0xdd>(even1, even2),
                        _mm512_shuffle_f32x4::<0xdd>(odd1, odd2),
                    ];
                    for (k, column) in columns.into_iter().enumerate() {
                        _mm512_storeu_ps(to.add((4 * k + i) * to_step), column);
                    }
                }
            }
        }
        arithmetic!(__m512: _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps, _mm512_add_ps,
            _mm512_sub_ps, _mm512_mul_ps, _mm512_max_ps, _mm512_min_ps);
    }
}

#[cfg(target_arch = "aarch64")]
pub(super) use arm::Neon;

#[cfg(target_arch = "aarch64")]
mod arm {
    use core::arch::aarch64::{
        float32x4_t, vaddq_f32, vdupq_n_f32, vfmaq_f32, vld1q_f32, vmaxq_f32, vminq_f32, vmulq_f32,
        vst1q_f32, vsubq_f32,
    };

    use super::{Isa, Kernel};

    /// Four lanes; every 64-bit ARM processor has them.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Neon;

    impl Isa for Neon {
        const NAME: &'static str = "NEON";
        const LANES: usize = 4;
        const REGISTERS: usize = 32;
        fn available() -> bool {
            true
        }
        #[inline(always)]
        unsafe fn enter<K: Kernel<Self>>(kernel: K) {
            unsafe { kernel.run() }
        }
        #[inline(always)]
        unsafe fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
            unsafe { vfmaq_f32(c, a, b) }
        }
        arithmetic!(float32x4_t: vld1q_f32, vst1q_f32, vdupq_n_f32, vaddq_f32, vsubq_f32,
            vmulq_f32, vmaxq_f32, vminq_f32);
    }
}
