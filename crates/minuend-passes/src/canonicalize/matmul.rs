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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonicalize::pass;
    use crate::testing::{dim, graph_of, run};
    use minuend_ir::ops::{Transpose, UnaryOp};
    use minuend_ir::{DType, TensorType};

    fn tensor(graph: &mut Graph, name: &str, shape: &[usize]) -> ValueId {
        graph.argument(name, TensorType::fixed(DType::F32, shape)).unwrap()
    }

    const TRANSPOSED: Op = Op::Matmul(Matmul { transpose_rhs: true });

    #[test]
    fn the_transpose_becomes_the_flag() {
        let graph = graph_of(|graph| {
            let x = tensor(graph, "x", &[3, 8]);
            let w = graph.weight("w", TensorType::fixed(DType::F32, &[5, 8])).unwrap();
            let w = graph.transpose(w, &[1, 0]).unwrap();
            vec![graph.matmul(x, w).unwrap()]
        });
        let ran = run(&graph, &pass(), &[]);
        assert_eq!((ran.ops(), ran.the("matmul")), (vec!["matmul"], &TRANSPOSED));
        let undone = graph_of(|graph| {
            let x = tensor(graph, "x", &[3, 8]);
            let y = tensor(graph, "y", &[8, 5]);
            let y = graph.transpose(y, &[1, 0]).unwrap();
            vec![graph.matmul_transposed(x, y).unwrap()]
        });
        assert_eq!(run(&undone, &pass(), &[]).ops(), ["matmul"]);
    }

    #[test]
    fn a_transposed_row_becomes_the_flag() {
        let graph = graph_of(|graph| {
            let x = tensor(graph, "x", &[3, 8]);
            let w = graph.weight("w", TensorType::fixed(DType::F32, &[1, 8])).unwrap();
            let w = graph.transpose(w, &[1, 0]).unwrap();
            vec![graph.matmul(x, w).unwrap()]
        });
        let ran = run(&graph, &pass(), &[]);
        assert_eq!((ran.ops(), ran.the("matmul")), (vec!["matmul"], &TRANSPOSED));
    }

    #[test]
    fn other_axes_stay_in_the_transpose() {
        let graph = graph_of(|graph| {
            let q = tensor(graph, "q", &[2, 4, 3, 8]);
            let k = tensor(graph, "k", &[2, 5, 4, 8]);
            let k = graph.transpose(k, &[0, 2, 1, 3]).unwrap();
            let k = graph.transpose(k, &[0, 1, 3, 2]).unwrap();
            vec![graph.matmul(q, k).unwrap()]
        });
        let ran = run(&graph, &pass(), &[]);
        assert_eq!((ran.ops(), ran.the("matmul")), (vec!["transpose", "matmul"], &TRANSPOSED));
        let heads_first = Transpose { perm: [0, 2, 1, 3].into_iter().collect() };
        assert_eq!(ran.the("transpose"), &Op::Transpose(heads_first));
    }

    #[test]
    fn a_transpose_of_outer_axes_or_of_the_left_side_stays() {
        let graph = graph_of(|graph| {
            let q = tensor(graph, "q", &[8, 3]);
            let q = graph.transpose(q, &[1, 0]).unwrap();
            let k = tensor(graph, "k", &[5, 4, 8]);
            let k = graph.transpose(k, &[1, 0, 2]).unwrap();
            vec![graph.matmul_transposed(q, k).unwrap()]
        });
        let ran = run(&graph, &pass(), &[]);
        assert_eq!(ran.ops(), ["transpose", "transpose", "matmul"]);
        assert_eq!(ran.the("matmul"), &TRANSPOSED);
    }

    #[test]
    fn a_projection_of_merged_tokens_is_one_of_tokens() {
        let graph = graph_of(|graph| {
            let (b, s) = (dim(graph, "B"), dim(graph, "S"));
            let ty = TensorType::new(DType::F32, [b.clone(), s.clone(), Dim::from(2), 4.into()]);
            let x = graph.argument("x", ty).unwrap();
            let merged = graph.reshape(x, &[b.clone(), s.clone(), Dim::from(8)]).unwrap();
            let merged = graph.reshape(merged, &[&b * &s, Dim::from(8)]).unwrap();
            let w = graph.weight("w", TensorType::fixed(DType::F32, &[6, 8])).unwrap();
            let product = graph.matmul_transposed(merged, w).unwrap();
            vec![graph.reshape(product, &[b, s, Dim::from(3), Dim::from(2)]).unwrap()]
        });
        let ran = run(&graph, &pass(), &[("B", 2), ("S", 3)]);
        assert_eq!(ran.ops(), ["reshape", "matmul", "reshape"]);
        let product = ran.graph.operand(ran.graph.outputs()[0].node, 0).unwrap();
        assert_eq!(ran.graph.ty(product).rank(), 3);
    }

    #[test]
    fn a_projection_that_stays_merged_stays() {
        let graph = graph_of(|graph| {
            let x = tensor(graph, "x", &[2, 3, 8]);
            let merged = graph.reshape(x, &[Dim::from(6), Dim::from(8)]).unwrap();
            let w = graph.weight("w", TensorType::fixed(DType::F32, &[4, 8])).unwrap();
            let product = graph.matmul_transposed(merged, w).unwrap();
            // The heads come apart, the tokens do not.
            let heads = graph.reshape(product, &[6.into(), 2.into(), Dim::from(2)]).unwrap();
            let flat = graph.reshape(product, &[Dim::from(24)]).unwrap();
            let flat = graph.unary(UnaryOp::Exp, flat).unwrap();
            vec![heads, flat]
        });
        let ran = run(&graph, &pass(), &[]);
        assert_eq!(ran.ops(), ["reshape", "matmul", "reshape", "reshape", "exp"]);
    }

    #[test]
    fn a_product_of_merged_heads_is_one_of_heads() {
        let graph = graph_of(|graph| {
            let q = tensor(graph, "q", &[2, 4, 3, 8]);
            let k = tensor(graph, "k", &[2, 4, 5, 8]);
            let q = graph.reshape(q, &[8.into(), 3.into(), Dim::from(8)]).unwrap();
            let k = graph.swap_last_axes(k).unwrap();
            let k = graph.reshape(k, &[8.into(), 8.into(), Dim::from(5)]).unwrap();
            let scores = graph.matmul(q, k).unwrap();
            let apart = [2.into(), 4.into(), 3.into(), Dim::from(5)];
            vec![graph.reshape(scores, &apart).unwrap()]
        });
        let ran = run(&graph, &pass(), &[]);
        assert_eq!((ran.ops(), ran.the("matmul")), (vec!["matmul"], &TRANSPOSED));
    }
}
