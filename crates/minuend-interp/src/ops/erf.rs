//! The error function, to the precision of f64.

use std::f64::consts::PI;

/// `2 / sqrt(pi) * integral of e^(-t^2) from 0 to x`.
pub(crate) fn erf(x: f64) -> f64 {
    let size = x.abs();
    if x.is_nan() {
        x
    } else if size < 3.0 {
        series(x)
    } else {
        (1.0 - complement(size)).copysign(x)
    }
}

/// `2 / sqrt(pi) * e^(-x^2) * sum over n of 2^n x^(2n+1) / (1 * 3 * ... * (2n+1))`
/// (Abramowitz and Stegun, 7.1.6). All terms have one sign, so nothing cancels.
fn series(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    let mut odd = 3.0;
    while term.abs() > f64::EPSILON * 0.125 * sum.abs() {
        term *= 2.0 * x * x / odd;
        sum += term;
        odd += 2.0;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

/// `1 - erf(x)` for `x >= 3`: `e^(-x^2) / sqrt(pi) * 1/(x + (1/2)/(x + 1/(x + (3/2)/(x + ...))))`
/// (Abramowitz and Stegun, 7.1.14).
fn complement(x: f64) -> f64 {
    let fraction = (1..=60).rev().fold(x, |below, level| x + 0.5 * f64::from(level) / below);
    (-x * x).exp() / (PI.sqrt() * fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values to the last digit of f64, from the C library's `erf`.
    #[test]
    fn tabulated_values() {
        let table = [
            (0.0, 0.0),
            (1e-10, 1.128_379_167_095_512_6e-10),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (2.999, 0.999_977_769_831_400_2),
            (3.0, 0.999_977_909_503_001_4),
            (4.0, 0.999_999_984_582_742_1),
            (7.0, 1.0),
            (f64::INFINITY, 1.0),
        ];
        for (x, expected) in table {
            // A few units in the last place: the exponential and the sum round once each.
            let tolerance = 8.0 * f64::EPSILON * expected;
            assert!((erf(x) - expected).abs() <= tolerance, "erf({x}) = {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        assert!(erf(f64::NAN).is_nan());
        assert!(erf(-0.0).is_sign_negative());
    }
}
