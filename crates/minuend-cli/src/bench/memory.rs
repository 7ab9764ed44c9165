//! The machine's memory: how fast it copies, how much there is, how much was used.

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use minuend::{ModelConfig, tensors};

use crate::failure::Failure;

/// Size of each of the two buffers: far larger than any cache.
const COPY_BYTES: usize = 256 << 20;
const COPIES: usize = 7;

/// Bytes copied per second, counted once, between two buffers by so many threads; the best copy.
pub(super) fn copy_rate(threads: usize) -> f64 {
    // Both are written before the first copy, so that every page is there.
    let from = vec![1u8; COPY_BYTES];
    let mut to = vec![2u8; COPY_BYTES];
    let chunk = COPY_BYTES.div_ceil(threads.max(1));
    let copy = |to: &mut [u8]| {
        let started = Instant::now();
        std::thread::scope(|scope| {
            for (from, to) in from.chunks(chunk).zip(to.chunks_mut(chunk)) {
                scope.spawn(|| black_box(to).copy_from_slice(black_box(from)));
            }
        });
        started.elapsed()
    };
    let best = (0..COPIES).map(|_| copy(&mut to)).min().unwrap_or(Duration::MAX);
    COPY_BYTES as f64 / best.as_secs_f64()
}

/// The largest resident set of this process so far, in bytes, where the system tells it.
pub(super) fn peak_resident_bytes() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Refuses random weights that would not fit into memory, where the system tells how much there is.
pub(super) fn check_room(config: &ModelConfig) -> Result<(), Failure> {
    let needed = tensors(config)
        .iter()
        .map(|spec| spec.shape.iter().map(|size| *size as u64).product::<u64>())
        .sum::<u64>()
        .saturating_mul(config.stored_dtype.size_in_bytes() as u64);
    let system = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    match kibibytes(&system, "MemAvailable:") {
        Some(available) if needed > available => Err(Failure::Memory { needed, available }),
        _ => Ok(()),
    }
}

/// The number of a line `key   123 kB`, in bytes.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_are_read() {
        let text = "VmPeak:\t    9 kB\nVmHWM:\t   1234 kB\nVmRSS: x\n";
        assert_eq!(kibibytes(text, "VmHWM:"), Some(1234 * 1024));
        assert_eq!(kibibytes(text, "VmRSS:"), None);
        assert_eq!(kibibytes(text, "VmSwap:"), None);
    }
}
