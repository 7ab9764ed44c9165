//! How far a tensor is from the expected one, in units of what is allowed.

use minuend_interp::{Data, Tensor};

use crate::accuracy::Accuracy;
use crate::float_types::{is_half, rounded, rounding_error};

/// The rounding of one f32 operation.
pub const UNIT: f64 = 1.0 / (1 << 24) as f64;

/// What each element may be off. A result that is stored in 16 bits may be off by that rounding beside.
#[derive(Clone, Copy, Debug)]
pub struct Allowance<'a> {
    /// Roundings of the magnitude; 0 for outputs that must be exact. In 16 bits that is the nearest value
    /// of the type.
    pub units: f64,
    /// A tensor of the output's shape, or of one element.
    pub magnitude: &'a Tensor,
    /// Roundings to add, of the output's shape or of one element.
    pub slack: Option<&'a Tensor>,
    /// Whether infinities and NaN are compared.
    pub accuracy: Accuracy,
}

/// How far a tensor is from the expected one.
#[derive(Clone, Debug, PartialEq)]
pub struct Deviation {
    /// The largest error over what is allowed there: above 1 is too far. Infinite where an element must
    /// be exact and is not, or where the types differ.
    pub max_error: f64,
    /// `||found - expected|| / ||expected||` over the finite elements.
    pub relative_l2: f64,
    /// In words, the element of the largest error, if one is too far off.
    pub fault: Option<String>,
}

impl Deviation {
    fn other(fault: String) -> Deviation {
        Deviation { max_error: f64::INFINITY, relative_l2: f64::INFINITY, fault: Some(fault) }
    }
}

/// Compares a device's tensor with the interpreter's.
pub fn compare(found: &Tensor, expected: &Tensor, allowance: &Allowance<'_>) -> Deviation {
    let type_of = |tensor: &Tensor| format!("{}{:?}", tensor.dtype(), tensor.shape());
    if type_of(found) != type_of(expected) {
        return Deviation::other(format!("is {}, expected {}", type_of(found), type_of(expected)));
    }
    match (found.data(), expected.data()) {
        (Data::Reals(a), Data::Reals(b)) => compare_reals(found, a, b, allowance),
        (Data::Ints(a), Data::Ints(b)) => compare_exactly(found.shape(), a, b),
        (Data::Bools(a), Data::Bools(b)) => compare_exactly(found.shape(), a, b),
        (Data::Reals(_) | Data::Ints(_) | Data::Bools(_), _) => {
            Deviation::other("holds values of another kind than expected".into())
        }
    }
}

fn compare_exactly<T: PartialEq + std::fmt::Debug>(
    shape: &[usize],
    found: &[T],
    expected: &[T],
) -> Deviation {
    let different = found.iter().zip(expected).enumerate().find(|(_, (a, b))| a != b);
    match different {
        Some((index, (a, b))) => {
            Deviation::other(format!("element {index} of {shape:?} is {a:?}, expected {b:?}"))
        }
        None => Deviation { max_error: 0.0, relative_l2: 0.0, fault: None },
    }
}

/// The element of a tensor of the output's shape, or the only one.
fn broadcast(values: &[f64], index: usize) -> f64 {
    let at = if values.len() == 1 { 0 } else { index };
    values.get(at).copied().unwrap_or(f64::NAN)
}

fn compare_reals(
    tensor: &Tensor,
    found: &[f64],
    expected: &[f64],
    allowance: &Allowance<'_>,
) -> Deviation {
    let (dtype, shape) = (tensor.dtype(), tensor.shape());
    let magnitudes = allowance.magnitude.reals().unwrap_or_default();
    let slacks = allowance.slack.and_then(Tensor::reals);
    let is_exact = allowance.units == 0.0 && slacks.is_none();
    // Results below the normal range of f32 may be flushed to zero, unless they must be exact.
    let floor = if is_exact { 0.0 } else { f64::from(f32::MIN_POSITIVE) };
    let (mut largest, mut fault) = (0.0f64, None);
    let (mut square_error, mut square) = (0.0, 0.0);
    for (index, (a, b)) in found.iter().zip(expected).enumerate() {
        // What is too large for the type is infinite there.
        let stored = rounded(dtype, *b);
        let b = if stored.is_infinite() || (is_exact && is_half(dtype)) { stored } else { *b };
        let magnitude = broadcast(magnitudes, index).abs();
        let slack = slacks.map_or(0.0, |slacks| broadcast(slacks, index));
        let roundings = allowance.units * magnitude + slack;
        let is_finite = b.is_finite() && roundings.is_finite();
        if !is_finite && !allowance.accuracy.keeps_non_finite() {
            continue;
        }
        let is_same = *a == b || (a.is_nan() && b.is_nan());
        let computing = UNIT * roundings + floor;
        let is_rounded = is_half(dtype) && !is_exact;
        // What is rounded is not what is expected, but what was computed.
        let storing = if is_rounded { rounding_error(dtype, b.abs() + computing) } else { 0.0 };
        let allowed = computing + storing;
        let error = match (a - b).abs() {
            _ if is_same => 0.0,
            off if off.is_finite() && allowed.is_finite() && allowed > 0.0 => off / allowed,
            _ => f64::INFINITY,
        };
        if a.is_finite() && b.is_finite() {
            square_error += (a - b) * (a - b);
            square += b * b;
        }
        if error > largest {
            largest = error;
            fault = (error > 1.0).then(|| {
                let off = (a - b).abs() / UNIT;
                format!(
                    "element {index} of {shape:?} is {a}, expected {b}: off by {off:.3e} roundings \
                     of 1, allowed {:.3e}",
                    allowed / UNIT
                )
            });
        }
    }
    let relative_l2 = if square_error == 0.0 { 0.0 } else { (square_error / square).sqrt() };
    Deviation { max_error: largest, relative_l2, fault }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minuend::ir::DType;

    fn reals(values: &[f64]) -> Tensor {
        Tensor::from_reals(DType::F32, &[values.len()], values.to_vec()).unwrap()
    }

    fn deviation(found: &[f64], expected: &[f64], units: f64, accuracy: Accuracy) -> Deviation {
        let (found, expected) = (reals(found), reals(expected));
        let allowance = Allowance { units, magnitude: &expected, slack: None, accuracy };
        compare(&found, &expected, &allowance)
    }

    #[test]
    fn errors_are_in_units_of_the_allowance() {
        let off = deviation(&[1.0, 2.0 + 6.0 * UNIT], &[1.0, 2.0], 4.0, Accuracy::Library);
        assert!((off.max_error - 0.75).abs() < 1e-9 && off.fault.is_none(), "{off:?}");
        let off = deviation(&[1.0, 2.0 + 6.0 * UNIT], &[1.0, 2.0], 2.0, Accuracy::Library);
        assert!((off.max_error - 1.5).abs() < 1e-9, "{off:?}");
        assert!(off.fault.unwrap().starts_with("element 1 of [2] is 2.0000003"));
    }

    #[test]
    fn exact_is_exact_but_for_the_sign_of_zero() {
        let of = |a: f64, b: f64| deviation(&[a], &[b], 0.0, Accuracy::Library).max_error;
        assert_eq!((of(0.0, -0.0), of(f64::NAN, f64::NAN)), (0.0, 0.0));
        assert_eq!((of(1.0, 1.0 + UNIT), of(0.0, 1e-40)), (f64::INFINITY, f64::INFINITY));
    }

    #[test]
    fn infinities_and_nan_count_for_libraries_only() {
        let inf = f64::INFINITY;
        for (found, expected) in [(1.0, inf), (inf, -inf), (f64::NAN, 1.0), (1.0, f64::NAN)] {
            let off = deviation(&[found], &[expected], 8.0, Accuracy::Library);
            assert_eq!(off.max_error, inf, "{found} for {expected}");
            let off = deviation(&[found], &[expected], 8.0, Accuracy::GpuBuiltIns);
            let is_promised = expected.is_finite();
            assert_eq!(off.max_error > 1.0, is_promised, "{found} for {expected}");
        }
        assert_eq!(deviation(&[inf], &[1e39], 1.0, Accuracy::Library).max_error, 0.0);
    }

    #[test]
    fn slack_is_added() {
        let (found, expected, slack) = (reals(&[1.0 + 6.0 * UNIT]), reals(&[1.0]), reals(&[10.0]));
        let allowance = Allowance {
            units: 2.0,
            magnitude: &expected,
            slack: Some(&slack),
            accuracy: Accuracy::GpuBuiltIns,
        };
        assert!((compare(&found, &expected, &allowance).max_error - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_result_in_16_bits_is_rounded_once_more() {
        let bf16 = |values: &[f64]| {
            Tensor::from_reals(DType::Bf16, &[values.len()], values.to_vec()).unwrap()
        };
        let error = |found: f64, expected: f64, units: f64| {
            let (found, expected) = (bf16(&[found]), bf16(&[expected]));
            let (magnitude, accuracy) = (&expected, Accuracy::Library);
            let allowance = Allowance { units, magnitude, slack: None, accuracy };
            compare(&found, &expected, &allowance).max_error
        };
        let step = 1.0 / 128.0;
        // The nearest value, or the other neighbour.
        assert!(error(1.0, 1.0 + 0.49 * step, 1.0) < 1.0);
        assert!(error(1.0, 1.0 + 0.52 * step, 1.0) > 1.0);
        assert_eq!(error(1.0, 1.0 + 0.49 * step, 0.0), 0.0);
        assert_eq!(error(1.0, 1.0 + 0.51 * step, 0.0), f64::INFINITY);
        assert_eq!(error(f64::INFINITY, f64::from(f32::MAX), 1.0), 0.0);
    }

    #[test]
    fn types_and_other_kinds_are_compared() {
        let ints = |values: &[i64]| {
            Tensor::from_ints(DType::I64, &[values.len()], values.to_vec()).unwrap()
        };
        let one = reals(&[1.0]);
        let allowance =
            Allowance { units: 1.0, magnitude: &one, slack: None, accuracy: Accuracy::Library };
        let fault = |found: &Tensor, expected: &Tensor| compare(found, expected, &allowance).fault;
        assert_eq!(fault(&ints(&[1]), &one).unwrap(), "is i64[1], expected f32[1]");
        let different = fault(&ints(&[1, 2]), &ints(&[1, 3])).unwrap();
        assert_eq!(different, "element 1 of [2] is 2, expected 3");
        assert_eq!(fault(&ints(&[1, 2]), &ints(&[1, 2])), None);
    }
}
