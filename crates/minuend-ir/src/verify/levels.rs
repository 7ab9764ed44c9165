//! The table of what each level allows.

use super::{Findings, VerifyErrorKind};
use crate::graph::{Graph, GraphLevel};
use crate::op::Op;
use crate::value::NodeId;

/// The lowest level at which an op may occur. Attention, RMS norm and rope are written by front ends
/// too (ONNX opset 23 has them); the others only the passes write.
pub(crate) fn lowest_level(op: &Op) -> GraphLevel {
    match op {
        Op::Input(_)
        | Op::Weight(_)
        | Op::Constant(_)
        | Op::DimValue(_)
        | Op::Iota(_)
        | Op::Return(_)
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice(_)
        | Op::Concat(_)
        | Op::Broadcast(_)
        | Op::Gather(_)
        | Op::Reduce(_)
        | Op::ArgMax(_)
        | Op::Softmax(_)
        | Op::Sample
        | Op::Matmul(_)
        | Op::RmsNorm(_)
        | Op::Rope(_)
        | Op::Attention(_) => GraphLevel::Source,
        Op::AddRmsNorm(_) | Op::Swiglu | Op::DiffAttention(_) | Op::KvAppend(_) => {
            GraphLevel::Fused
        }
    }
}

/// Forms that canonicalization removes and fusion may not bring back. In a legal graph they may stand:
/// a target's decompositions are not cleaned again, and a layout op that changes nothing costs nothing.
fn is_identity(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    let same_type = || {
        let operand = graph.operand(id, 0).map(|value| graph.ty(value));
        operand == node.results.first()
    };
    match &node.op {
        Op::Reshape(_) | Op::Broadcast(_) | Op::Cast(_) => same_type(),
        Op::Slice(op) => op.step == 1 && same_type(),
        Op::Transpose(op) => op.perm.iter().enumerate().all(|(to, from)| to == *from),
        Op::Concat(_) => graph.operands(id).len() == 1,
        _ => false,
    }
}

pub(super) fn check(findings: &mut Findings<'_>, level: GraphLevel) {
    let graph = findings.graph;
    for id in crate::order::topological(graph) {
        let mut forbid = |rule| findings.push(id, VerifyErrorKind::Level { level, rule });
        if lowest_level(&graph.node(id).op) > level {
            forbid("only passes write fused ops");
        }
        let is_tidy = matches!(level, GraphLevel::Canonical | GraphLevel::Fused);
        if is_tidy && is_identity(graph, id) {
            forbid("an op that changes nothing");
        }
    }
}
