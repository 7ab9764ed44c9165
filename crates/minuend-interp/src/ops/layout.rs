//! Ops that move elements and compute nothing.

use std::sync::Arc;

use minuend_ir::ops::{Gather, Slice, Transpose};

use crate::error::Fault;
use crate::offsets::{AxisSplit, Offsets, row_major_strides};
use crate::ops::{Computed, Context, ResultType, ints};
use crate::tensor::{Data, Tensor};

/// Axis `i` of the result is axis `perm[i]` of the operand.
pub(crate) fn transpose(op: &Transpose, x: &Tensor, ty: &ResultType) -> Data {
    let from = row_major_strides(x.shape());
    let strides = op.perm.iter().map(|axis| from[*axis]).collect();
    x.data().pick(Offsets::new(&ty.shape, strides, 0))
}

/// Elements `start, start + step, ...` of one axis.
pub(crate) fn slice(op: &Slice, x: &Tensor, ty: &ResultType, context: &Context<'_>) -> Computed {
    if ty.elements == 0 {
        return Ok(x.data().none_alike());
    }
    let mut strides = row_major_strides(x.shape());
    let start = context.size(&op.start)? * strides[op.axis];
    // One element has no neighbour, and a step beyond the axis would lead anywhere.
    let step = if ty.shape[op.axis] == 1 { 0 } else { op.step as usize };
    strides[op.axis] *= step;
    Ok(x.data().pick(Offsets::new(&ty.shape, strides, start)))
}

/// Operands one behind the other along an axis.
pub(crate) fn concat(axis: usize, operands: &[Arc<Tensor>]) -> Computed {
    let Some(first) = operands.first() else {
        return Err(Fault::Type("0 operands, expected at least 1".into()));
    };
    let mut data = first.data().none_alike();
    for outer in 0..AxisSplit::new(first.shape(), axis).outer {
        for operand in operands {
            let split = AxisSplit::new(operand.shape(), axis);
            let block = split.size * split.inner;
            data.extend_from(operand.data(), outer * block..(outer + 1) * block);
        }
    }
    Ok(data)
}

/// Axes of size 1, and missing outer axes, repeated to the result's shape.
pub(crate) fn broadcast(x: &Tensor, ty: &ResultType) -> Data {
    if x.shape() == ty.shape {
        return x.data().clone();
    }
    x.data().pick(Offsets::broadcast(x.shape(), &ty.shape))
}

/// Rows of `data` along an axis, chosen by indices.
pub(crate) fn gather(op: Gather, data: &Tensor, indices: &Tensor) -> Computed {
    let split = AxisSplit::new(data.shape(), op.axis);
    let mut rows = Vec::with_capacity(indices.len());
    for (position, index) in ints(indices)?.iter().enumerate() {
        match usize::try_from(*index) {
            Ok(row) if row < split.size => rows.push(row),
            Ok(_) | Err(_) => {
                let (axis, size) = (op.axis, split.size);
                return Err(Fault::Index { position, found: *index, axis, size });
            }
        }
    }
    let mut gathered = data.data().none_alike();
    for outer in 0..split.outer {
        for row in &rows {
            let start = (outer * split.size + row) * split.inner;
            gathered.extend_from(data.data(), start..start + split.inner);
        }
    }
    Ok(gathered)
}
