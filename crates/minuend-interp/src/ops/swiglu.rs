//! Gated linear unit with the SiLU gate.

use crate::ops::elementwise::silu;
use crate::ops::{Computed, reals};
use crate::tensor::{Data, Tensor};

/// `silu(gate) * up`.
pub(crate) fn swiglu(gate: &Tensor, up: &Tensor) -> Computed {
    let pairs = reals(gate)?.iter().zip(reals(up)?);
    Ok(Data::Reals(pairs.map(|(gate, up)| silu(*gate) * up).collect()))
}
