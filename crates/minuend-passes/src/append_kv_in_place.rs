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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ran, dim, graph_of, run};
    use minuend_ir::ops::UnaryOp;
    use minuend_ir::{DType, Dim, TensorType};

    struct Cache {
        cache: ValueId,
        new: ValueId,
    }

    /// A graph with one cache and new tokens; `build` gives the output and the cache's next value.
    fn ran(build: impl FnOnce(&mut Graph, Cache) -> (ValueId, ValueId)) -> Ran {
        let mut next = None;
        let mut graph = graph_of(|graph| {
            let tokens =
                |tokens: Dim| TensorType::new(DType::F32, [2.into(), tokens, Dim::from(4)]);
            let (past, queries) = (tokens(dim(graph, "P")), tokens(dim(graph, "S")));
            let cache = graph.state("cache", past).unwrap();
            let new = graph.argument("new", queries).unwrap();
            let (output, after) = build(graph, Cache { cache, new });
            next = Some((output, after));
            vec![]
        });
        let (output, after) = next.unwrap();
        graph.set_return(&[output], &[after]).unwrap();
        run(&graph, &pass(), &[("S", 2), ("P", 3)])
    }

    #[test]
    fn a_growing_cache_is_written_in_place() {
        let ran = ran(|graph, Cache { cache, new }| {
            let all = graph.concat(1, &[cache, new]).unwrap();
            (graph.unary(UnaryOp::Exp, all).unwrap(), all)
        });
        assert_eq!(ran.ops(), ["kv_append", "exp"]);
        assert_eq!(ran.the("kv_append"), &Op::KvAppend(KvAppend { axis: 1 }));
        assert!(ran.remarks.is_empty());
    }

    fn refused(ran: &Ran, why: &str) {
        assert!(!ran.ops().contains(&"kv_append"));
        assert!(ran.remarks.iter().any(|remark| remark.contains(why)), "{:?}", ran.remarks);
    }

    #[test]
    fn a_cache_that_is_read_elsewhere_is_copied() {
        let ran = ran(|graph, Cache { cache, new }| {
            let all = graph.concat(1, &[cache, new]).unwrap();
            (graph.unary(UnaryOp::Exp, cache).unwrap(), all)
        });
        refused(&ran, "%cache is read elsewhere too");
    }

    #[test]
    fn a_concatenation_that_is_not_kept_is_copied() {
        let ran = ran(|graph, Cache { cache, new }| {
            let all = graph.concat(1, &[cache, new]).unwrap();
            let other = graph.unary(UnaryOp::Neg, all).unwrap();
            (all, other)
        });
        refused(&ran, "not the next value of %cache");
    }

    #[test]
    fn new_tokens_in_front_are_copied() {
        let ran = ran(|graph, Cache { cache, new }| {
            let all = graph.concat(1, &[new, cache]).unwrap();
            (all, all)
        });
        refused(&ran, "comes before %cache");
    }

    #[test]
    fn several_new_parts_are_copied() {
        let ran = ran(|graph, Cache { cache, new }| {
            let all = graph.concat(1, &[cache, new, new]).unwrap();
            (all, all)
        });
        refused(&ran, "3 operands are joined");
    }

    #[test]
    fn a_value_kept_in_two_states_is_copied() {
        let mut graph = graph_of(|_| vec![]);
        let ty = |graph: &Graph, size| TensorType::new(DType::F32, [dim(graph, size)]);
        let (past, queries) = (ty(&graph, "P"), ty(&graph, "S"));
        let a = graph.state("a", past.clone()).unwrap();
        let b = graph.state("b", past).unwrap();
        let new = graph.argument("new", queries).unwrap();
        let all = graph.concat(0, &[a, new]).unwrap();
        let sum = graph.unary(UnaryOp::Exp, b).unwrap();
        graph.set_return(&[sum], &[all, all]).unwrap();
        refused(&run(&graph, &pass(), &[("S", 2), ("P", 3)]), "of another state");
    }

    #[test]
    fn other_concatenations_are_no_near_misses() {
        let ran = ran(|graph, Cache { cache, new }| {
            let twice = graph.concat(1, &[new, new]).unwrap();
            (twice, cache)
        });
        assert_eq!((ran.ops(), ran.remarks.len()), (vec!["concat"], 0));
    }
}
