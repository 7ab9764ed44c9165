//! Inference run again, against the recorded types.

use smallvec::SmallVec;

use super::{Findings, VerifyErrorKind, value_label};
use crate::tensor_type::TensorType;

pub(super) fn check(findings: &mut Findings<'_>) {
    let graph = findings.graph;
    let symbols = graph.symbols();
    for id in graph.node_ids() {
        let node = graph.node(id);
        let operands = graph.operands(id);
        let types: SmallVec<[&TensorType; 4]> =
            operands.iter().map(|value| graph.ty(*value)).collect();
        match node.op.infer(&types, symbols) {
            Err(error) => {
                let operand = error.kind.operand().and_then(|slot| operands.get(slot));
                let operand = operand.and_then(|value| value_label(graph, *value));
                findings.push(id, VerifyErrorKind::Type { kind: error.kind, operand });
            }
            Ok(inferred) => {
                for (result, (found, expected)) in node.results.iter().zip(&inferred).enumerate() {
                    if found != expected {
                        let found = found.display(symbols).to_string();
                        let expected = expected.display(symbols).to_string();
                        let kind = VerifyErrorKind::ResultType { result, found, expected };
                        findings.push(id, kind);
                    }
                }
            }
        }
    }
    for state in graph.states() {
        let (old, new) = (graph.ty(state.input), graph.ty(state.next));
        let fits = old.dtype == new.dtype
            && old.rank() == new.rank()
            && old.shape.iter().zip(&new.shape).all(|(old, new)| {
                old == new || (old.as_const().is_none() && old.symbols().len() == 1)
            });
        if !fits {
            let found = new.display(symbols).to_string();
            let expected = old.display(symbols).to_string();
            findings.push(state.input.node, VerifyErrorKind::StateType { found, expected });
        }
    }
}
