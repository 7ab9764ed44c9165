//! Projections of one value become one product by the weights stacked.

use std::collections::BTreeMap;

use minuend_ir::ops::{Matmul, Slice, Weight};
use minuend_ir::order::topological;
use minuend_ir::{
    DType, Dim, Emit, Graph, NodeId, Op, Patch, PatchBuilder, TensorType, TypeError, ValueId,
};

use crate::matcher::pair;
use crate::pass::{Changed, Pass, PassContext, PassError};
use crate::remark::label;

/// The pass `pack-projections`: products `x w^T` with one `x` and weights that nothing else reads become
/// one product, of which each result is a slice of the last axis. The weights are stacked in the order in
/// which their products stand in the graph.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackProjections;

/// The edit's name in logs.
const REWRITE: &str = "pack-siblings";

impl Pass for PackProjections {
    fn name(&self) -> &'static str {
        "pack-projections"
    }

    fn run(&self, graph: &mut Graph, cx: &mut PassContext) -> Result<Changed, PassError> {
        cx.clear_remarks();
        let mut changed = Changed::No;
        // Packing removes no product but those of its own group, so the other groups' ids stay valid.
        for mut group in groups(graph) {
            while let Some(part) = packable(graph, &group, cx) {
                let Some(last) = part.last().copied() else { break };
                if !cx.permit(REWRITE, graph, last) {
                    return Ok(changed);
                }
                group.retain(|at| !part.contains(at));
                pack(graph, &part)?;
                changed = Changed::Yes;
            }
        }
        Ok(changed)
    }
}

/// A product `x w^T` by a stored matrix.
fn projection(graph: &Graph, at: NodeId) -> Option<(ValueId, ValueId, &Weight)> {
    let Op::Matmul(Matmul { transpose_rhs: true }) = graph.node(at).op else { return None };
    let (x, rhs) = pair(graph, at)?;
    match graph.def(rhs) {
        Op::Weight(weight) if weight.ty.rank() == 2 => Some((x, rhs, weight)),
        _ => None,
    }
}

/// Products of one value each, in topological order.
fn groups(graph: &Graph) -> Vec<Vec<NodeId>> {
    let mut places: BTreeMap<ValueId, usize> = BTreeMap::new();
    let mut groups: Vec<Vec<NodeId>> = Vec::new();
    for at in topological(graph) {
        let Some((x, _, _)) = projection(graph, at) else { continue };
        let place = *places.entry(x).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    groups
}

/// The first part of a group, at least two products, whose weights are stored alike and read by nothing
/// else.
fn packable(graph: &Graph, group: &[NodeId], cx: &mut PassContext) -> Option<Vec<NodeId>> {
    if group.len() < 2 {
        return None;
    }
    let mut by_dtype: Vec<(DType, Vec<NodeId>)> = Vec::new();
    for at in group {
        let Some((_, rhs, weight)) = projection(graph, *at) else { continue };
        if !graph.has_one_use(rhs) {
            let name = name(weight);
            cx.remark(graph, *at, format!("weight {name} is read elsewhere too: not packed"));
            continue;
        }
        match by_dtype.iter_mut().find(|(dtype, _)| *dtype == weight.ty.dtype) {
            Some((_, part)) => part.push(*at),
            None => by_dtype.push((weight.ty.dtype, vec![*at])),
        }
    }
    if let [(first, _), rest @ ..] = by_dtype.as_slice() {
        for (dtype, part) in rest {
            for at in part {
                let Some((_, _, weight)) = projection(graph, *at) else { continue };
                let name = name(weight);
                let message = format!(
                    "weight {name} is stored as {dtype}, a sibling as {first}: not packed together"
                );
                cx.remark(graph, *at, message);
            }
        }
    }
    let parts = by_dtype.into_iter().map(|(_, part)| part);
    parts.filter(|part| part.len() >= 2).find(|part| stacked(graph, part).is_some())
}

fn name(weight: &Weight) -> &str {
    weight.parts.first().map_or("", |part| part)
}

/// The weights one above the other, and how many rows each has.
fn stacked(graph: &Graph, group: &[NodeId]) -> Option<(Weight, Vec<i64>)> {
    let mut parts = Vec::new();
    let mut rows = Vec::new();
    let mut ty: Option<&TensorType> = None;
    for at in group {
        let (_, _, weight) = projection(graph, *at)?;
        parts.extend(weight.parts.iter().cloned());
        rows.push(weight.ty.shape[0].as_const()?);
        ty = ty.or(Some(&weight.ty));
    }
    let total = rows.iter().try_fold(0i64, |total, rows| total.checked_add(*rows))?;
    let ty = ty?;
    let shape = [Dim::from(total), ty.shape[1].clone()];
    Some((Weight { parts, ty: TensorType::new(ty.dtype, shape) }, rows))
}

fn pack(graph: &mut Graph, group: &[NodeId]) -> Result<(), PassError> {
    let Some(first) = group.first().copied() else { return Ok(()) };
    let at = label(graph, first);
    let patch = packed(graph, group).map_err(|source| PassError::IllTyped {
        rewrite: REWRITE,
        at: at.clone(),
        source: Box::new(source),
    })?;
    let Some(patch) = patch else { return Ok(()) };
    graph.apply(patch).map_err(|source| PassError::Patch { rewrite: REWRITE, at, source })?;
    Ok(())
}

fn packed(graph: &Graph, group: &[NodeId]) -> Result<Option<Patch>, TypeError> {
    let first = group.first().and_then(|at| projection(graph, *at));
    let (Some((x, _, _)), Some((weight, rows))) = (first, stacked(graph, group)) else {
        return Ok(None);
    };
    let mut patch = PatchBuilder::new(graph);
    let weight = patch.value(Op::Weight(weight), &[])?;
    let product = patch.matmul_transposed(x, weight)?;
    let axis = patch.type_of(product).rank().saturating_sub(1);
    let mut start = 0;
    for (at, rows) in group.iter().zip(rows) {
        let part = patch.slice(product, Slice::range(axis, start, start + rows))?;
        patch.replace(at.result(0), part);
        start += rows;
    }
    Ok(Some(patch.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{graph_of, run};
    use minuend_ir::ops::UnaryOp;

    fn project(graph: &mut Graph, x: ValueId, name: &str, rows: usize, dtype: DType) -> ValueId {
        let w = graph.weight(name, TensorType::fixed(dtype, &[rows, 8])).unwrap();
        graph.matmul_transposed(x, w).unwrap()
    }

    fn tokens(graph: &mut Graph, name: &str) -> ValueId {
        graph.argument(name, TensorType::fixed(DType::F32, &[2, 3, 8])).unwrap()
    }

    #[test]
    fn siblings_become_one_product() {
        let graph = graph_of(|graph| {
            let x = tokens(graph, "x");
            let q = project(graph, x, "q", 4, DType::F32);
            let k = project(graph, x, "k", 2, DType::F32);
            let lambda = project(graph, x, "lambda", 1, DType::F32);
            let k = graph.unary(UnaryOp::Exp, k).unwrap();
            vec![k, q, lambda]
        });
        let ran = run(&graph, &PackProjections, &[]);
        assert_eq!(ran.ops(), ["matmul", "slice", "exp", "slice", "slice"]);
        let Op::Weight(weight) = ran.the("weight") else { panic!() };
        let parts: Vec<&str> = weight.parts.iter().map(|part| &**part).collect();
        assert_eq!(parts, ["k", "q", "lambda"]);
        assert_eq!(weight.ty, TensorType::fixed(DType::F32, &[7, 8]));
        assert!(ran.remarks.is_empty());
    }

    #[test]
    fn packed_products_are_not_packed_again() {
        let graph = graph_of(|graph| {
            let (x, y) = (tokens(graph, "x"), tokens(graph, "y"));
            let of = |graph: &mut Graph, x, name: &str| project(graph, x, name, 2, DType::F32);
            vec![of(graph, x, "a"), of(graph, y, "b"), of(graph, x, "c"), of(graph, y, "d")]
        });
        let ran = run(&graph, &PackProjections, &[]);
        assert_eq!(ran.graph.op_counts()["matmul"], 2);
        let mut again = ran.graph.clone();
        let mut cx = PassContext::new(None);
        assert_eq!(PackProjections.run(&mut again, &mut cx), Ok(Changed::No));
    }

    #[test]
    fn projections_of_different_values_stay() {
        let graph = graph_of(|graph| {
            let (x, y) = (tokens(graph, "x"), tokens(graph, "y"));
            let a = project(graph, x, "a", 2, DType::F32);
            vec![a, project(graph, y, "b", 2, DType::F32)]
        });
        assert_eq!(run(&graph, &PackProjections, &[]).changed, Changed::No);
    }

    #[test]
    fn a_tied_weight_is_not_packed() {
        let graph = graph_of(|graph| {
            let x = tokens(graph, "x");
            let ids = graph.argument("ids", TensorType::fixed(DType::I64, &[2])).unwrap();
            let table = graph.weight("table", TensorType::fixed(DType::F32, &[9, 8])).unwrap();
            let embedded = graph.gather(0, table, ids).unwrap();
            let logits = graph.matmul_transposed(x, table).unwrap();
            let a = project(graph, x, "a", 2, DType::F32);
            vec![embedded, logits, a, project(graph, x, "b", 3, DType::F32)]
        });
        let ran = run(&graph, &PackProjections, &[]);
        assert_eq!(ran.ops(), ["gather", "matmul", "matmul", "slice", "slice"]);
        assert_eq!(ran.remarks.len(), 1);
        assert!(ran.remarks[0].contains("weight table is read elsewhere too"));
    }

    #[test]
    fn weights_stored_in_different_types_are_not_packed_together() {
        let graph = graph_of(|graph| {
            let x = tokens(graph, "x");
            let of = |graph: &mut Graph, name: &str, dtype| project(graph, x, name, 2, dtype);
            vec![
                of(graph, "a", DType::F32),
                of(graph, "b", DType::Bf16),
                of(graph, "c", DType::Bf16),
            ]
        });
        let ran = run(&graph, &PackProjections, &[]);
        assert_eq!(ran.ops(), ["matmul", "matmul", "slice", "slice"]);
        assert!(
            ran.remarks.iter().any(|remark| remark.contains("stored as bf16, a sibling as f32"))
        );
    }

    #[test]
    fn untransposed_and_batched_weights_stay() {
        let graph = graph_of(|graph| {
            let x = tokens(graph, "x");
            let a = graph.weight("a", TensorType::fixed(DType::F32, &[8, 4])).unwrap();
            let b = graph.weight("b", TensorType::fixed(DType::F32, &[2, 4, 8])).unwrap();
            let c = project(graph, x, "c", 4, DType::F32);
            vec![graph.matmul(x, a).unwrap(), graph.matmul_transposed(x, b).unwrap(), c]
        });
        assert_eq!(run(&graph, &PackProjections, &[]).changed, Changed::No);
    }

    #[test]
    fn stop_after_is_heeded() {
        let mut graph = graph_of(|graph| {
            let x = tokens(graph, "x");
            let a = project(graph, x, "a", 2, DType::F32);
            vec![a, project(graph, x, "b", 2, DType::F32)]
        });
        let mut cx = PassContext::new(Some(0));
        assert_eq!(PackProjections.run(&mut graph, &mut cx), Ok(Changed::No));
    }
}
