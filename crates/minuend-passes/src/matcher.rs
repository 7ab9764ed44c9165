//! Small questions that rewrites ask of a graph.

use minuend_ir::ops::{BinaryOp, CompareOp, UnaryOp};
use minuend_ir::{Graph, NodeId, Op, ValueId};

/// The operand of a unary op of that kind.
pub fn as_unary(graph: &Graph, value: ValueId, op: UnaryOp) -> Option<ValueId> {
    if *graph.def(value) != Op::Unary(op) {
        return None;
    }
    graph.operand(value.node, 0)
}

/// The operands of a binary op of that kind.
pub fn as_binary(graph: &Graph, value: ValueId, op: BinaryOp) -> Option<(ValueId, ValueId)> {
    if *graph.def(value) != Op::Binary(op) {
        return None;
    }
    pair(graph, value.node)
}

/// The two operands of a node that has exactly two.
pub fn pair(graph: &Graph, node: NodeId) -> Option<(ValueId, ValueId)> {
    match graph.operands(node).as_slice() {
        [a, b] => Some((*a, *b)),
        _ => None,
    }
}

/// The first answer for `(a, b)` or `(b, a)`, the operands of a commutative op.
pub fn match_commutative<T>(
    (a, b): (ValueId, ValueId),
    mut matches: impl FnMut(ValueId, ValueId) -> Option<T>,
) -> Option<T> {
    matches(a, b).or_else(|| matches(b, a))
}

/// The value of a float literal whose elements are all equal, seen through layout ops and float casts.
pub fn real_constant(graph: &Graph, value: ValueId) -> Option<f64> {
    match graph.def(value) {
        Op::Constant(constant) => constant.as_real(),
        op if op.is_view() => real_constant(graph, graph.operand(value.node, 0)?),
        Op::Cast(_) => {
            let source = graph.operand(value.node, 0)?;
            let is_float = graph.ty(source).dtype.is_float() && graph.ty(value).dtype.is_float();
            is_float.then(|| real_constant(graph, source)).flatten()
        }
        _ => None,
    }
}

/// The source of a chain of casts between float types. They round, but mean the same number.
pub fn without_float_casts(graph: &Graph, mut value: ValueId) -> ValueId {
    while matches!(graph.def(value), Op::Cast(_)) && graph.ty(value).dtype.is_float() {
        match graph.operand(value.node, 0) {
            Some(source) if graph.ty(source).dtype.is_float() => value = source,
            _ => break,
        }
    }
    value
}

/// The comparison that holds where this one does not, if neither side is a NaN.
pub fn opposite(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Eq => CompareOp::Ne,
        CompareOp::Ne => CompareOp::Eq,
        CompareOp::Lt => CompareOp::Ge,
        CompareOp::Ge => CompareOp::Lt,
        CompareOp::Gt => CompareOp::Le,
        CompareOp::Le => CompareOp::Gt,
    }
}
