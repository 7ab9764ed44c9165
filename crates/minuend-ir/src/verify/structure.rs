//! Edges, slots, cycles, the return and the states.

use petgraph::Direction;
use petgraph::visit::EdgeRef;

use super::{Findings, VerifyErrorKind};
use crate::op::Op;
use crate::ops::InputKind;
use crate::order::find_cycle;

pub(super) fn check(findings: &mut Findings<'_>) {
    let graph = findings.graph;
    for id in graph.node_ids() {
        let mut slots = Vec::new();
        for edge in graph.dag.edges_directed(id.0, Direction::Incoming) {
            slots.push(edge.weight().operand);
            let source = graph.dag.node_weight(edge.source());
            let results = source.map_or(0, |node| node.results.len());
            if usize::from(edge.weight().result) >= results {
                findings.push(id, VerifyErrorKind::NoSuchResult);
            }
        }
        slots.sort_unstable();
        if slots.iter().zip(0..).any(|(slot, expected)| *slot != expected) {
            findings.push(id, VerifyErrorKind::Slots);
        }
    }
    let Some(ret) = graph.return_node() else {
        findings.push_graph(VerifyErrorKind::NoReturn);
        return;
    };
    if let Some(id) = find_cycle(graph) {
        findings.push(id, VerifyErrorKind::Cycle);
    }
    let inputs = graph
        .inputs()
        .iter()
        .filter(|id| matches!(&graph.node(**id).op, Op::Input(op) if op.kind == InputKind::State));
    let inputs = inputs.count();
    let next = graph.operands(ret).len().saturating_sub(graph.outputs().len());
    if inputs != next {
        findings.push(ret, VerifyErrorKind::States { inputs, next });
    }
}
