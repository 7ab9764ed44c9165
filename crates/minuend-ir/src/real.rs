//! A real attribute value with honest equality.

use std::fmt;
use std::hash::{Hash, Hasher};

/// A float64 attribute (scale, epsilon, literal). Equality is equality of bits, so that ops can be
/// compared and hashed; every NaN is one NaN.
#[derive(Clone, Copy)]
pub struct Real(f64);

impl Real {
    /// The attribute of that value.
    pub fn new(value: f64) -> Real {
        Real(if value.is_nan() { f64::NAN } else { value })
    }

    /// The value.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl From<f64> for Real {
    fn from(value: f64) -> Real {
        Real::new(value)
    }
}

impl PartialEq for Real {
    fn eq(&self, other: &Real) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Real {}

impl Hash for Real {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl fmt::Debug for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Shortest form that reads back as the same bits: `0.125`, `1e-6`, `inf`, `-inf`, `nan`.
impl fmt::Display for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_nan() { f.write_str("nan") } else { write!(f, "{:?}", self.0) }
    }
}
