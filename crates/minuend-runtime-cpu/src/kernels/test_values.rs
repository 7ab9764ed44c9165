//! Operands of the kernel tests.

/// A stream of pseudo-random numbers (SplitMix64).
pub(super) struct Source(u64);

impl Source {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `len` numbers in `-size..size`.
    pub(super) fn floats(&mut self, len: usize, size: f32) -> Vec<f32> {
        (0..len).map(|_| ((self.next() >> 40) as f32 / 8_388_608.0 - 1.0) * size).collect()
    }
}

/// Runs `work` in a pool of `threads` threads.
pub(super) fn in_pool<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}
