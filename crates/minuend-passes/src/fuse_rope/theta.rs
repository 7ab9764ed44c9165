//! The one base of a list of rotary frequencies.

use minuend_ir::decompose::rope_frequencies;

/// Relative error allowed for one frequency: exporters compute the table in f32, whose powers are
/// off by a few units of 2^-24.
const TOLERANCE: f64 = 1e-6;

/// Significant digits up to which the base is rounded when the rounded one fits as well.
const DIGITS: usize = 6;

/// The base when there is one pair of features, whose frequency is 1 for every base.
const ANY_BASE: f64 = 10_000.0;

/// `theta` with `frequencies[i] = theta^(-2i/d)` for the `d = 2 * frequencies.len()` features of a
/// head, or the first index that differs.
pub(super) fn theta_of(frequencies: &[f64]) -> Result<f64, String> {
    let features = 2 * frequencies.len();
    let (last, frequency) = match frequencies {
        [] => return Err("there are no frequencies".into()),
        [_] => (0, 1.0),
        [.., frequency] => (frequencies.len() - 1, *frequency),
    };
    let theta =
        if last == 0 { ANY_BASE } else { frequency.powf(-(features as f64) / (2.0 * last as f64)) };
    let rounded: Vec<f64> =
        (0..DIGITS).filter_map(|digits| format!("{theta:.digits$e}").parse().ok()).collect();
    let fits = |candidate: &f64| first_difference(*candidate, frequencies).is_none();
    if let Some(theta) = rounded.iter().chain([&theta]).copied().find(fits) {
        return Ok(theta);
    }
    let theta = rounded.last().copied().unwrap_or(theta);
    let (index, found, expected) =
        first_difference(theta, frequencies).unwrap_or((last, frequency, f64::NAN));
    Err(format!(
        "frequencies are not theta^(-2i/d): index {index} is {found}, the last gives theta {theta} \
         and there {expected}"
    ))
}

/// The first index at which the frequencies are not those of `theta`, with both values.
fn first_difference(theta: f64, frequencies: &[f64]) -> Option<(usize, f64, f64)> {
    if !(theta.is_finite() && theta > 0.0) {
        return frequencies.last().map(|last| (frequencies.len() - 1, *last, theta));
    }
    let expected = rope_frequencies(theta, 2 * frequencies.len());
    let pairs = frequencies.iter().zip(expected).enumerate();
    pairs
        .map(|(index, (found, expected))| (index, *found, expected))
        .find(|(_, found, expected)| !is_close(*found, *expected))
}

/// False for NaN.
fn is_close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= TOLERANCE * expected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_in_f32_give_the_base_they_were_made_from() {
        for theta in [10_000.0, 500_000.0, 1e6, 12_500.0, 10_000_000.0] {
            for features in [4, 64, 128, 256] {
                let table: Vec<f64> = (0..features / 2)
                    .map(|pair| {
                        let exponent = (2 * pair) as f32 / features as f32;
                        f64::from(1.0 / (theta as f32).powf(exponent))
                    })
                    .collect();
                assert_eq!(theta_of(&table), Ok(theta));
            }
        }
    }

    #[test]
    fn a_base_of_many_digits_is_kept() {
        let theta = 12_345.678_9;
        let table: Vec<f64> = rope_frequencies(theta, 64).collect();
        let found = theta_of(&table).unwrap();
        assert!((found - theta).abs() <= 1e-9 * theta);
    }

    #[test]
    fn frequencies_of_no_one_base_are_refused() {
        let mut table: Vec<f64> = rope_frequencies(10_000.0, 16).collect();
        table[3] *= 1.0 + 3e-6;
        assert!(theta_of(&table).unwrap_err().contains("index 3 "));
        let scaled: Vec<f64> = rope_frequencies(10_000.0, 16).map(|f| f / 8.0).collect();
        assert!(theta_of(&scaled).unwrap_err().contains("index 0 "));
        assert!(theta_of(&[2.0]).is_err());
        assert_eq!(theta_of(&[1.0]), Ok(ANY_BASE));
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(theta_of(&[1.0, bad]).is_err());
        }
        assert!(theta_of(&[]).is_err());
    }
}
