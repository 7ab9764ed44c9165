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
