//! The float64 reference interpreter: the definition of every op, and the oracle of every test.
//!
//! Floats stand for real numbers. Every float value is held as f64 whatever its element type, and a
//! cast between float types rounds nothing, so a result differs from exact arithmetic only by the
//! rounding of f64. Integers are held as i64 and wrap around at the ends of their element type.
//!
//! A fused op is computed from its formula, never from its decomposition: each of the two is the
//! other's oracle. Plain loops are preferred to fast ones.
//!
//! [`evaluate`] runs a graph; [`evaluate_observed`] also shows the value of every node, which is how
//! the first node at which a device diverges is found.

#![deny(clippy::wildcard_enum_match_arm)]

mod bind;
mod decode;
mod error;
mod eval;
mod offsets;
mod ops;
mod tensor;

pub use error::{EvalError, Fault, TensorError};
pub use eval::{Observer, Outcome, Weights, evaluate, evaluate_observed};
pub use ops::Draw;
pub use tensor::{Data, Tensor};
