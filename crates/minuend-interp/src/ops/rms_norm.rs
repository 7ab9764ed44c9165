//! Root-mean-square normalisation, alone or behind a residual sum.

use minuend_ir::ops::RmsNorm;

use crate::error::Fault;
use crate::ops::matmul::dot;
use crate::ops::{Computed, reals};
use crate::tensor::{Data, Tensor};

/// `x * weight / sqrt(mean(x^2) + epsilon)` over rows as long as the weight.
pub(crate) fn rms_norm(op: RmsNorm, x: &[f64], weight: &Tensor) -> Computed {
    let weight = reals(weight)?;
    let mut result = Vec::with_capacity(x.len());
    // Without features there are no elements either, and the length of a chunk does not matter.
    for row in x.chunks_exact(weight.len().max(1)) {
        let mean_square = dot(row, row) / weight.len() as f64;
        let rms = (mean_square + op.epsilon.get()).sqrt();
        result.extend(row.iter().zip(weight).map(|(x, w)| x * w / rms));
    }
    Ok(Data::Reals(result))
}

/// `x + residual` and its norm.
pub(crate) fn add_rms_norm(
    op: RmsNorm,
    x: &Tensor,
    residual: &Tensor,
    weight: &Tensor,
) -> Result<Vec<Data>, Fault> {
    let pairs = reals(x)?.iter().zip(reals(residual)?);
    let sum: Vec<f64> = pairs.map(|(x, residual)| x + residual).collect();
    let norm = rms_norm(op, &sum, weight)?;
    Ok(vec![Data::Reals(sum), norm])
}
