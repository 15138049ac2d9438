//! Bounds of this crate, each with its reason.

/// Most attempts of one self-test: what a fact in evidence may carry.
pub(crate) const ATTEMPTS_MAX: usize = 64;

/// Capability numbers are looked for up to this one; the kernel answers `EINVAL` past its last (40 in Linux 6.18).
pub(crate) const CAPABILITY_MAX: u32 = 63;
