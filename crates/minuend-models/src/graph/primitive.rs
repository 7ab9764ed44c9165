//! Building blocks written out in primitive ops.

use minuend_ir::decompose::decompose;
use minuend_ir::ops::RmsNorm;
use minuend_ir::{Emit, Emitted, Graph, Op, Real, ValueId};

/// Adds an op through its decomposition, all the way down to primitive ops.
pub(super) fn primitive(graph: &mut Graph, op: Op, operands: &[ValueId]) -> Emitted {
    match decompose(&op, operands, graph)?.as_deref() {
        Some([result, ..]) => Ok(*result),
        _ => graph.value(op, operands),
    }
}

/// `x W^T`: a linear layer as checkpoints store it, `[out, in]`.
pub(super) fn linear(graph: &mut Graph, x: ValueId, weight: ValueId) -> Emitted {
    let weight = graph.swap_last_axes(weight)?;
    graph.matmul(x, weight)
}

/// RMS norm over the last axis.
pub(super) fn rms_norm(graph: &mut Graph, x: ValueId, weight: ValueId, epsilon: f64) -> Emitted {
    primitive(graph, Op::RmsNorm(RmsNorm { epsilon: Real::new(epsilon) }), &[x, weight])
}
