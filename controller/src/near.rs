//! Memory that is asked for before it is needed. Pure.

/// Asks for the line of memory in which this begins, and waits for nothing. Nothing is asked of
/// processors for which there is no safe way to.
#[inline(always)]
pub(crate) fn fetch<T>(what: &T) {
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t0(what);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = what;
}
