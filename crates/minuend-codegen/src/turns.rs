//! Frequencies of rotary embeddings as fractions of a turn.

use std::f64::consts::TAU;
use std::sync::{Arc, Mutex, PoisonError};

use minuend_ir::decompose::rope_frequencies;

/// Turns per position of each pair, modulo 1, in units of 2^-64, in the forms that launches give.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    /// Little-endian words of 64 bits.
    pub(crate) bytes: Arc<[u8]>,
    /// For each pair its low word, then its high word.
    pub(crate) words: Arc<[u32]>,
}

/// A table and what it is made for.
struct Known {
    theta_bits: u64,
    features: usize,
    turns: Turns,
}

/// Tables that were asked for last. Launches are selected anew for every token, and the powers of a table
/// would take most of that time.
static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// More bases and head sizes than models have at a time.
const MOST_KNOWN: usize = 16;

/// The table of a base and so many features, two for each pair.
pub(crate) fn turns(theta: f64, features: usize) -> Turns {
    let theta_bits = theta.to_bits();
    // A list that a panicking thread left behind is whole: it is changed by single calls.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut tables = known.iter();
    if let Some(found) = tables.find(|k| k.theta_bits == theta_bits && k.features == features) {
        return found.turns.clone();
    }
    let fractions: Vec<u64> = rope_frequencies(theta, features).map(fraction_of_turn).collect();
    let words = |fraction: &u64| [*fraction as u32, (*fraction >> 32) as u32];
    let turns = Turns {
        bytes: fractions.iter().flat_map(|fraction| fraction.to_le_bytes()).collect(),
        words: fractions.iter().flat_map(words).collect(),
    };
    if known.len() >= MOST_KNOWN {
        known.remove(0);
    }
    known.push(Known { theta_bits, features, turns: turns.clone() });
    turns
}

/// `radians / 2 pi` modulo 1 in units of 2^-64. The quotient is taken to about twice the precision of
/// f64: a position multiplies its error.
fn fraction_of_turn(radians: f64) -> u64 {
    /// What the f64 next to 2 pi is short of it.
    const TAU_REST: f64 = 2.449_293_598_294_706_4e-16;
    const TWO_POW_64: f64 = 18_446_744_073_709_551_616.0;
    let quotient = radians / TAU;
    let rest = (-quotient).mul_add(TAU, radians) - quotient * TAU_REST;
    // The fraction of a float is exact, and its leading 64 bits fit; `as` cuts off the others.
    let leading = (quotient.fract() * TWO_POW_64) as u64;
    let correction = (rest / TAU * TWO_POW_64).round() as i64;
    leading.wrapping_add_signed(correction)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance on the circle, in turns.
    fn distance(a: f64, b: f64) -> f64 {
        let apart = (a - b).rem_euclid(1.0);
        apart.min(1.0 - apart)
    }

    #[test]
    fn fractions_of_a_turn() {
        assert_eq!(fraction_of_turn(0.0), 0);
        // 1/(2 pi) in 64 bits.
        let radian = 0x28be_60db_9391_054a_u64;
        assert!(fraction_of_turn(1.0).abs_diff(radian) <= 2);
        assert!(fraction_of_turn(0.5).abs_diff(radian / 2) <= 2);
        assert!(fraction_of_turn(8.0).abs_diff(radian.wrapping_mul(8)) <= 16);
    }

    /// The product of a position and a fraction is the angle, to the precision of a position in f64.
    #[test]
    fn positions_times_fractions_are_angles() {
        let table = turns(500_000.0, 64);
        assert_eq!(table.bytes.len(), 32 * 8);
        for position in [1i64, 2, 4095, 131_071, 1 << 20, (1 << 31) - 1, -3] {
            for (word, frequency) in table.bytes.chunks(8).zip(rope_frequencies(500_000.0, 64)) {
                let fraction = u64::from_le_bytes(word.try_into().unwrap());
                let turned =
                    fraction.wrapping_mul(position as u64) as f64 / 18_446_744_073_709_551_616.0;
                let angle = position as f64 * frequency;
                let (sin, cos) = angle.sin_cos();
                // The angle is rounded to f64, and 2^-64 times the position is left of the fraction.
                let bound = angle.abs() * f64::EPSILON + position.abs() as f64 * 1e-19 + 1e-15;
                assert!(distance(turned, sin.atan2(cos) / TAU) <= bound, "{position} {frequency}");
            }
        }
    }

    #[test]
    fn words_lie_as_the_bytes() {
        let table = turns(10_000.0, 128);
        let bytes: Vec<u8> = table.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(*bytes, *table.bytes);
    }

    #[test]
    fn a_table_is_made_once() {
        let (first, again) = (turns(12_345.0, 32), turns(12_345.0, 32));
        assert!(Arc::ptr_eq(&first.bytes, &again.bytes));
        assert!(Arc::ptr_eq(&first.words, &again.words));
        assert_ne!(first.bytes, turns(12_345.0, 34).bytes);
        assert_ne!(first.bytes, turns(12_346.0, 32).bytes);
    }
}
