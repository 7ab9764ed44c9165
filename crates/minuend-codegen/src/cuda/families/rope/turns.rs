//! Frequencies as fractions of a turn.

use std::f64::consts::TAU;
use std::sync::{Arc, Mutex, PoisonError};

use minuend_ir::decompose::rope_frequencies;

/// A table and what it is made for.
struct Known {
    theta_bits: u64,
    features: usize,
    turns: Arc<[u8]>,
}

/// Tables that were asked for last. Launches are selected anew for every token, and the powers of a table
/// would take most of that time.
static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// More bases and head sizes than models have at a time.
const MOST_KNOWN: usize = 16;

/// Turns per position of each pair, modulo 1, in units of 2^-64: little-endian words of 64 bits.
pub(super) fn turns(theta: f64, features: usize) -> Arc<[u8]> {
    let theta_bits = theta.to_bits();
    // A list that a panicking thread left behind is whole: it is changed by single calls.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut tables = known.iter();
    if let Some(found) = tables.find(|k| k.theta_bits == theta_bits && k.features == features) {
        return found.turns.clone();
    }
    let fractions = rope_frequencies(theta, features).map(fraction_of_turn);
    let turns: Arc<[u8]> = fractions.flat_map(u64::to_le_bytes).collect();
    if known.len() >= MOST_KNOWN {
        known.remove(0);
    }
    known.push(Known { theta_bits, features, turns: turns.clone() });
    turns
}

/// `radians / 2 pi` modulo 1 in units of 2^-64. The quotient is taken to about twice the precision of
/// f64: a position multiplies its error.
pub(super) fn fraction_of_turn(radians: f64) -> u64 {
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
