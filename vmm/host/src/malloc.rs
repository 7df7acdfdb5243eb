//! The C library's allocator, told how this program allocates.
#![allow(unsafe_code)]

/// One arena for all threads. Otherwise each thread makes its own at its first allocation, which costs
/// some twenty microseconds of a start and tens of kilobytes a thread; few of ours allocate at once.
///
/// To be called while the process has one thread. A C library that cannot is left as it is.
pub fn share_malloc_arena() {
    // SAFETY: mallopt(3) has no precondition but that no other thread allocates meanwhile, which at
    // worst makes it ineffective; the option and its value are valid.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
