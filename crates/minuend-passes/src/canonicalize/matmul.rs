//! Matrix products: the transpose of the right side is a flag, and batch axes stay apart.

use minuend_ir::ops::Matmul;
use minuend_ir::{Dim, Emit, Graph, NodeId, Op, PatchBuilder, Shape, ValueId};

use super::{only_operand, replacing};
use crate::matcher::pair;
use crate::pass::PassContext;
use crate::rewrite::{Rewritten, Rule};

pub(super) fn rules() -> Vec<Rule> {
    vec![
        Rule { name: "matmul-by-transpose", try_at: matmul_by_transpose },
        Rule { name: "unmerge-projection", try_at: unmerge_projection },
        Rule { name: "unmerge-batch", try_at: unmerge_batch },
    ]
}

/// A transpose of the last two axes of the right side becomes the flag. Of two permutations that differ
/// in those axes only, the one that keeps the source's inner axis innermost is kept.
fn matmul_by_transpose(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Matmul(op) = graph.node(at).op else { return Ok(None) };
    let Some((lhs, rhs)) = pair(graph, at) else { return Ok(None) };
    let mut patch = PatchBuilder::new(graph);
    let Some(swapped) = without_swap(graph, rhs, &mut patch) else { return Ok(None) };
    let op = Matmul { transpose_rhs: !op.transpose_rhs };
    let new = patch.value(Op::Matmul(op), &[lhs, swapped])?;
    Ok(replacing(graph, at, patch, new))
}

fn without_swap(graph: &Graph, rhs: ValueId, patch: &mut PatchBuilder<'_>) -> Option<ValueId> {
    let source = only_operand(graph, rhs.node)?;
    match graph.def(rhs) {
        Op::Transpose(op) => {
            let mut perm = op.perm.clone();
            let [.., a, b] = perm.as_mut_slice() else { return None };
            if a < b {
                return None;
            }
            std::mem::swap(a, b);
            patch.transpose(source, &perm).ok()
        }
        // A vector is transposed by a reshape.
        Op::Reshape(op) => {
            let mut shape = graph.ty(source).shape.clone();
            let [.., rows, columns] = shape.as_mut_slice() else { return None };
            if rows.is(1) == columns.is(1) {
                return None;
            }
            std::mem::swap(rows, columns);
            (shape == op.shape).then_some(source)
        }
        _ => None,
    }
}

/// `[B, S, k] -> [B*S, k]`, a product with a matrix, and back: the product of what was not merged.
fn unmerge_projection(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Reshape(back) = &graph.node(at).op else { return Ok(None) };
    let Some((op, lhs, rhs)) = product_of(graph, at) else { return Ok(None) };
    let (left, right) = (graph.ty(lhs), graph.ty(rhs));
    if !matches!(graph.def(lhs), Op::Reshape(_)) || left.rank() != 2 || right.rank() != 2 {
        return Ok(None);
    }
    let Some(mut shape) = unmerged(&left.shape[0], &back.shape) else { return Ok(None) };
    shape.push(left.shape[1].clone());
    let mut patch = PatchBuilder::new(graph);
    let lhs = patch.reshape(lhs, &shape)?;
    let product = patch.value(Op::Matmul(op), &[lhs, rhs])?;
    let Ok(new) = patch.reshape(product, &back.shape) else { return Ok(None) };
    Ok(replacing(graph, at, patch, new))
}

/// `[B, H, m, k] -> [B*H, m, k]` on both sides of a product, and back.
fn unmerge_batch(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Reshape(back) = &graph.node(at).op else { return Ok(None) };
    let Some((op, lhs, rhs)) = product_of(graph, at) else { return Ok(None) };
    let (left, right) = (graph.ty(lhs), graph.ty(rhs));
    let is_merged = [lhs, rhs].iter().all(|side| matches!(graph.def(*side), Op::Reshape(_)));
    if !is_merged || left.rank() != 3 || right.rank() != 3 || left.shape[0] != right.shape[0] {
        return Ok(None);
    }
    let Some(batch) = unmerged(&left.shape[0], &back.shape) else { return Ok(None) };
    let apart = |matrix: &[Dim]| -> Shape { batch.iter().chain(matrix).cloned().collect() };
    let mut patch = PatchBuilder::new(graph);
    let lhs = patch.reshape(lhs, &apart(&left.shape[1..]))?;
    let rhs = patch.reshape(rhs, &apart(&right.shape[1..]))?;
    let product = patch.value(Op::Matmul(op), &[lhs, rhs])?;
    let Ok(new) = patch.reshape(product, &back.shape) else { return Ok(None) };
    Ok(replacing(graph, at, patch, new))
}

fn product_of(graph: &Graph, at: NodeId) -> Option<(Matmul, ValueId, ValueId)> {
    let product = only_operand(graph, at)?;
    let Op::Matmul(op) = graph.def(product) else { return None };
    let (lhs, rhs) = pair(graph, product.node)?;
    Some((*op, lhs, rhs))
}

/// The outer axes of `shape` that `merged` is the product of, if they are several.
fn unmerged(merged: &Dim, shape: &[Dim]) -> Option<Shape> {
    let count =
        (1..=shape.len()).find(|count| shape[..*count].iter().product::<Dim>() == *merged)?;
    (count >= 2).then(|| shape[..count].iter().cloned().collect())
}
