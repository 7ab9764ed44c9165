//! Whether two libraries computed the same.

use serde::Serialize;

/// How far one result is from another.
#[derive(Debug, Serialize)]
pub(crate) struct Agreement {
    /// Which results.
    pub(crate) what: String,
    /// `||found - expected|| / ||expected||` in L2; infinite for results of different sizes.
    pub(crate) relative_l2: f64,
    /// Largest value that counts as the same.
    pub(crate) limit: f64,
}

impl Agreement {
    pub(crate) fn of(what: String, found: &[f32], expected: &[f32], limit: f64) -> Agreement {
        let (relative_l2, _) = minuend::errors(found, expected);
        Agreement { what, relative_l2, limit }
    }

    /// True if close enough; NaN is not.
    pub(crate) fn holds(&self) -> bool {
        self.relative_l2 <= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_and_other_sizes_do_not_agree() {
        let holds = |found: &[f32]| Agreement::of(String::new(), found, &[3.0, 4.0], 0.1).holds();
        assert!(holds(&[3.0, 4.4]));
        assert!(!holds(&[3.0, 4.6]));
        assert!(!holds(&[3.0, f32::NAN]));
        assert!(!holds(&[3.0]));
    }
}
