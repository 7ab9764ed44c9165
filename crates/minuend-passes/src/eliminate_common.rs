//! Equal computations become one, so that "the same keys" is the same value.

use std::collections::HashMap;

use minuend_ir::order::topological;
use minuend_ir::{Graph, NodeId, Op, PatchBuilder, ResultTypes, ValueId};
use smallvec::SmallVec;

use crate::pass::{Changed, Pass, PassContext, PassError};
use crate::remark::label;

/// The pass `eliminate-common`: hash-consing in topological order, weights and literals included.
#[derive(Clone, Copy, Debug, Default)]
pub struct EliminateCommon;

/// What makes two nodes compute the same.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    op: Op,
    operands: SmallVec<[ValueId; 4]>,
    results: ResultTypes,
}

impl Key {
    /// `None` for nodes that stay themselves: two inputs are never one.
    fn of(graph: &Graph, id: NodeId) -> Option<Key> {
        let node = graph.node(id);
        let mut operands = graph.operands(id);
        match &node.op {
            Op::Input(_) | Op::Return(_) => return None,
            Op::Binary(op) if op.is_commutative() => operands.sort_unstable(),
            _ => {}
        }
        Some(Key { op: node.op.clone(), operands, results: node.results.clone() })
    }
}

impl Pass for EliminateCommon {
    fn name(&self) -> &'static str {
        "eliminate-common"
    }

    fn run(&self, graph: &mut Graph, cx: &mut PassContext) -> Result<Changed, PassError> {
        let mut seen: HashMap<Key, NodeId> = HashMap::new();
        let mut changed = Changed::No;
        // Nothing is added, so the ids of the order stay valid; a duplicate is removed where it is met.
        for id in topological(graph) {
            let Some(key) = Key::of(graph, id) else { continue };
            let Some(first) = seen.get(&key).copied() else {
                seen.insert(key, id);
                continue;
            };
            if !cx.permit("merge-equal", graph, id) {
                break;
            }
            let mut patch = PatchBuilder::new(graph);
            for result in (0u16..).take(graph.node(id).results.len()) {
                patch.replace(id.result(result), first.result(result));
            }
            let (at, patch) = (label(graph, id), patch.finish());
            graph.apply(patch).map_err(|source| PassError::Patch {
                rewrite: "merge-equal",
                at,
                source,
            })?;
            changed = Changed::Yes;
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{graph_of, run};
    use minuend_ir::ops::{RmsNorm, UnaryOp};
    use minuend_ir::{DType, Emit, Real, TensorType};

    fn vector() -> TensorType {
        TensorType::fixed(DType::F32, &[4])
    }

    #[test]
    fn chains_with_weights_and_literals_merge() {
        let graph = graph_of(|graph| {
            let x = graph.argument("x", vector()).unwrap();
            let branch = |graph: &mut Graph, swapped: bool| {
                let w = graph.weight("w", vector()).unwrap();
                let c = graph.real(DType::F32, 2.0).unwrap();
                let y = if swapped { graph.mul(w, x) } else { graph.mul(x, w) }.unwrap();
                graph.sub(y, c).unwrap()
            };
            vec![branch(graph, false), branch(graph, true)]
        });
        let ran = run(&graph, &EliminateCommon, &[]);
        assert_eq!(ran.ops(), ["mul", "sub"]);
        assert_eq!(ran.graph.outputs()[0], ran.graph.outputs()[1]);
        assert_eq!(ran.changed, Changed::Yes);
    }

    #[test]
    fn nodes_of_several_results_merge() {
        let graph = graph_of(|graph| {
            let x = graph.argument("x", vector()).unwrap();
            let y = graph.argument("y", vector()).unwrap();
            let w = graph.weight("w", vector()).unwrap();
            let op = Op::AddRmsNorm(RmsNorm { epsilon: Real::new(1e-6) });
            let (a, b) =
                (graph.emit(op.clone(), &[x, y, w]).unwrap(), graph.emit(op, &[x, y, w]).unwrap());
            vec![a.result(0), b.result(1)]
        });
        assert_eq!(run(&graph, &EliminateCommon, &[]).ops(), ["add_rms_norm"]);
    }

    #[test]
    fn what_differs_stays_apart() {
        let graph = graph_of(|graph| {
            let x = graph.argument("x", vector()).unwrap();
            let y = graph.argument("y", vector()).unwrap();
            let (a, b) = (graph.sub(x, y).unwrap(), graph.sub(y, x).unwrap());
            let (v, w) =
                (graph.weight("v", vector()).unwrap(), graph.weight("w", vector()).unwrap());
            let (c, d) = (graph.mul(a, v).unwrap(), graph.mul(a, w).unwrap());
            let (e, f) = (graph.unary(UnaryOp::Sin, b), graph.unary(UnaryOp::Cos, b));
            vec![c, d, e.unwrap(), f.unwrap()]
        });
        let ran = run(&graph, &EliminateCommon, &[]);
        assert_eq!(ran.changed, Changed::No);
        assert_eq!(ran.ops().len(), 6);
    }

    #[test]
    fn stop_after_is_heeded() {
        let mut graph = graph_of(|graph| {
            let x = graph.argument("x", vector()).unwrap();
            (0..3).map(|_| graph.unary(UnaryOp::Exp, x).unwrap()).collect()
        });
        let mut cx = PassContext::new(Some(1));
        assert_eq!(EliminateCommon.run(&mut graph, &mut cx), Ok(Changed::Yes));
        assert_eq!(graph.op_counts()["exp"], 2);
    }
}
