//! The C library's `pow`, so that a program which names no other function of libm does not load libm.
//!
//! `aws-smithy-runtime` takes a cube root by it, in a mode of retrying that this project does not use. For that alone the
//! loader would map libm at each start: an opened file, some system calls, and 0.2 MiB of peak memory.
#![no_std]

/// `base` to the power of `exponent`, as C's `pow`.
// SAFETY: the name, the types and the meaning are those of C's `pow`, which is all that its callers rely on.
#[unsafe(no_mangle)]
pub extern "C" fn pow(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}
