//! `concat` onto a cache becomes `kv_append` where the cache may be written in place.

use minuend_ir::ops::{InputKind, KvAppend};
use minuend_ir::{Emit, Graph, NodeId, Op, PatchBuilder, ValueId};

use crate::pass::PassContext;
use crate::rewrite::{RewritePass, Rewritten, Rule};

/// The pass `append-kv-in-place`.
pub fn pass() -> RewritePass {
    RewritePass::of_rules(
        "append-kv-in-place",
        vec![Rule { name: "append-in-place", try_at: append_in_place }],
    )
}

/// `concat(state, new)` that is the state's next value, where nothing else reads the state.
fn append_in_place(graph: &Graph, at: NodeId, cx: &mut PassContext) -> Rewritten {
    let Op::Concat(op) = graph.node(at).op else { return Ok(None) };
    let operands = graph.operands(at);
    let Some(state) = operands.iter().copied().find(|value| is_state(graph, *value)) else {
        return Ok(None);
    };
    if let Err(reason) = may_write(graph, at, state, &operands) {
        cx.remark(graph, at, reason);
        return Ok(None);
    }
    let mut patch = PatchBuilder::new(graph);
    let new = patch.value(Op::KvAppend(KvAppend { axis: op.axis }), &operands)?;
    Ok(Some(patch.replacing(at.result(0), new)))
}

fn is_state(graph: &Graph, value: ValueId) -> bool {
    matches!(graph.def(value), Op::Input(op) if op.kind == InputKind::State)
}

/// Whether the concatenation may write behind what the state's storage holds; if not, why.
fn may_write(
    graph: &Graph,
    at: NodeId,
    state: ValueId,
    operands: &[ValueId],
) -> Result<(), String> {
    let result = at.result(0);
    let name = graph.value_name(state).map_or_else(|| "state".into(), |name| format!("%{name}"));
    let [first, _] = operands else {
        return Err(format!(
            "{} operands are joined, expected {name} and one other",
            operands.len()
        ));
    };
    if *first != state {
        return Err(format!("the other operand comes before {name}"));
    }
    let next_of: Vec<ValueId> = graph
        .states()
        .into_iter()
        .filter(|other| other.next == result)
        .map(|other| other.input)
        .collect();
    if !next_of.contains(&state) {
        return Err(format!("the result is not the next value of {name}"));
    }
    if next_of.len() > 1 {
        return Err(format!("the result is the next value of {name} and of another state"));
    }
    if !graph.has_one_use(state) {
        return Err(format!("{name} is read elsewhere too"));
    }
    Ok(())
}
