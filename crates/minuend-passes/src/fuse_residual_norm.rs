//! A residual sum and the norm behind it become one `add_rms_norm`, which has both as results.

use std::collections::HashSet;

use minuend_ir::ops::BinaryOp;
use minuend_ir::{Emit, Graph, NodeId, Op, PatchBuilder, ValueId};

use crate::matcher::as_binary;
use crate::pass::PassContext;
use crate::remark::label;
use crate::rewrite::{RewritePass, Rewritten, Rule};

const NAME: &str = "fuse-residual-norm";

/// The pass `fuse-residual-norm`. It runs behind `fuse-rms-norm`. The first norm that reads a sum
/// takes it; every other reader reads the sum that the fused op leaves.
pub fn pass() -> RewritePass {
    RewritePass::of_rules(NAME, vec![Rule { name: NAME, try_at: fuse }])
}

fn fuse(graph: &Graph, at: NodeId, cx: &mut PassContext) -> Rewritten {
    let Op::RmsNorm(norm) = graph.node(at).op else { return Ok(None) };
    let (Some(sum), Some(weight)) = (graph.operand(at, 0), graph.operand(at, 1)) else {
        return Ok(None);
    };
    let Some((a, b)) = as_binary(graph, sum, BinaryOp::Add) else { return Ok(None) };
    if graph.ty(a).shape != graph.ty(b).shape {
        let symbols = graph.symbols();
        let (left, right) = (graph.ty(a).display(symbols), graph.ty(b).display(symbols));
        let sum = label(graph, sum.node);
        cx.remark(graph, at, format!("{sum} adds {left} and {right}: not of one shape"));
        return Ok(None);
    }
    if is_computed_from(graph, weight, sum) {
        let sum = label(graph, sum.node);
        cx.remark(graph, at, format!("the weight of the norm is computed from {sum}"));
        return Ok(None);
    }
    let mut patch = PatchBuilder::new(graph);
    let fused = patch.emit(Op::AddRmsNorm(norm), &[a, b, weight])?;
    patch.replace(sum, fused.result(0));
    patch.replace(at.result(0), fused.result(1));
    Ok(Some(patch.finish()))
}

/// True if `value` is `source` or depends on it.
fn is_computed_from(graph: &Graph, value: ValueId, source: ValueId) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![value.node];
    while let Some(node) = open.pop() {
        if node == source.node {
            return true;
        }
        if seen.insert(node) {
            open.extend(graph.operands(node).into_iter().map(|operand| operand.node));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Changed;
    use crate::testing::run;
    use minuend_ir::ops::RmsNorm;
    use minuend_ir::{DType, Dim, SymbolTable, TensorType};

    const SIZES: &[(&str, u64)] = &[("S", 3)];

    fn graph() -> (Graph, ValueId, ValueId, ValueId) {
        let mut symbols = SymbolTable::default();
        let s = Dim::symbol(symbols.declare("S", 1, 64).unwrap());
        let mut g = Graph::new("g", symbols);
        let ty = TensorType::new(DType::F16, [s, 8.into()]);
        let a = g.argument("a", ty.clone()).unwrap();
        let b = g.argument("b", ty).unwrap();
        let weight = g.weight("norm", TensorType::fixed(DType::F32, &[8])).unwrap();
        (g, a, b, weight)
    }

    fn norm(g: &mut Graph, x: ValueId, weight: ValueId) -> ValueId {
        let op = RmsNorm { epsilon: 1e-6.into() };
        g.value(Op::RmsNorm(op), &[x, weight]).unwrap()
    }

    #[test]
    fn the_sum_is_read_from_the_fused_op() {
        let (mut g, a, b, weight) = graph();
        let sum = g.add_values(a, b).unwrap();
        let y = norm(&mut g, sum, weight);
        let next = g.add_values(sum, y).unwrap();
        g.set_return(&[next], &[]).unwrap();
        let ran = run(&g, &pass(), SIZES);
        assert_eq!(ran.ops(), ["add_rms_norm", "add"]);
    }

    #[test]
    fn a_sum_feeds_one_fused_op() {
        let (mut g, a, b, weight) = graph();
        let sum = g.add_values(a, b).unwrap();
        let other = g.weight("other", TensorType::fixed(DType::F32, &[8])).unwrap();
        let (y, z) = (norm(&mut g, sum, weight), norm(&mut g, sum, other));
        g.set_return(&[y, z], &[]).unwrap();
        assert_eq!(run(&g, &pass(), SIZES).ops(), ["add_rms_norm", "rms_norm"]);
    }

    #[test]
    fn a_chain_of_residuals_fuses_at_every_norm() {
        let (mut g, a, b, weight) = graph();
        let first = g.add_values(a, b).unwrap();
        let y = norm(&mut g, first, weight);
        let second = g.add_values(first, y).unwrap();
        let z = norm(&mut g, second, weight);
        g.set_return(&[z, second], &[]).unwrap();
        assert_eq!(run(&g, &pass(), SIZES).ops(), ["add_rms_norm", "add_rms_norm"]);
    }

    #[test]
    fn a_broadcast_sum_stays() {
        let (mut g, a, _, weight) = graph();
        let bias = g.argument("bias", TensorType::fixed(DType::F16, &[8])).unwrap();
        let sum = g.add_values(a, bias).unwrap();
        g.set_name(sum, "sum");
        let y = norm(&mut g, sum, weight);
        g.set_name(y, "y");
        g.set_return(&[y], &[]).unwrap();
        let ran = run(&g, &pass(), SIZES);
        assert_eq!(ran.changed, Changed::No);
        let remark = "fuse-residual-norm at %y: %sum adds f16[S, 8] and f16[8]: not of one shape";
        assert_eq!(ran.remarks, [remark]);
    }

    #[test]
    fn a_weight_computed_from_the_sum_stays() {
        let mut g = Graph::new("g", SymbolTable::default());
        let a = g.argument("a", TensorType::fixed(DType::F32, &[8])).unwrap();
        let sum = g.add_values(a, a).unwrap();
        g.set_name(sum, "sum");
        let weight = g.unary(minuend_ir::ops::UnaryOp::Exp, sum).unwrap();
        let y = norm(&mut g, sum, weight);
        g.set_name(y, "y");
        g.set_return(&[y], &[]).unwrap();
        let ran = run(&g, &pass(), &[]);
        assert_eq!(ran.changed, Changed::No);
        let remark = "fuse-residual-norm at %y: the weight of the norm is computed from %sum";
        assert_eq!(ran.remarks, [remark]);
    }
}
