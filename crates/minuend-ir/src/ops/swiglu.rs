//! Gated linear unit with the SiLU gate (Shazeer, 2020).

use crate::error::Infer;
use crate::ops::operands::Operands;
use crate::tensor_type::TensorType;

/// `swiglu(gate, up) = silu(gate) * up`, both of one shape.
pub(crate) fn infer(operands: Operands<'_>) -> Infer<TensorType> {
    let [gate, _] = operands.exactly()?;
    operands.float(0)?;
    operands.dtype(1, gate.dtype)?;
    operands.rank(1, gate.rank())?;
    for (axis, dim) in gate.shape.iter().enumerate() {
        operands.dim(1, axis, dim)?;
    }
    Ok(gate.clone())
}
