//! Numbers as people read them.

use std::time::Duration;

/// A count with a decimal suffix: `5.06 M`.
pub(crate) fn count(value: u64) -> String {
    scaled(value, 1000, &["", " k", " M", " G", " T", " P"])
}

/// Bytes with a binary suffix: `9.66 MiB`.
pub(crate) fn bytes(value: u64) -> String {
    scaled(value, 1024, &[" B", " KiB", " MiB", " GiB", " TiB", " PiB"])
}

fn scaled(value: u64, step: u64, suffixes: &[&str]) -> String {
    let mut unit = 1u64;
    let mut suffix = 0;
    while value / unit >= step && suffix + 1 < suffixes.len() {
        unit = unit.saturating_mul(step);
        suffix += 1;
    }
    let suffix_text = suffixes.get(suffix).copied().unwrap_or_default();
    match suffix {
        0 => format!("{value}{suffix_text}"),
        _ => format!("{:.2}{suffix_text}", value as f64 / unit as f64),
    }
}

/// Milliseconds of a duration.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// `items` per second; 0 where no time passed.
pub(crate) fn per_second(items: usize, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { items as f64 / time.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_start_at_their_unit() {
        assert_eq!(count(999), "999");
        assert_eq!(count(5_056_000), "5.06 M");
        assert_eq!(bytes(1024), "1.00 KiB");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(u64::MAX), "16384.00 PiB");
    }
}
