//! `silu(gate) * up` becomes `swiglu`.

use minuend_ir::ops::{BinaryOp, UnaryOp};
use minuend_ir::{Emit, Graph, NodeId, Op, PatchBuilder, ValueId};

use crate::matcher::{as_binary, as_unary, match_commutative, without_float_casts};
use crate::pass::PassContext;
use crate::remark::label;
use crate::rewrite::{RewritePass, Rewritten, Rule};
use crate::storage::Storage;

const NAME: &str = "fuse-swiglu";

/// The pass `fuse-swiglu`.
pub fn pass() -> RewritePass {
    RewritePass::of_rules(NAME, vec![Rule { name: NAME, try_at: fuse }])
}

fn fuse(graph: &Graph, at: NodeId, cx: &mut PassContext) -> Rewritten {
    let product = at.result(0);
    let Some(operands) = as_binary(graph, product, BinaryOp::Mul) else { return Ok(None) };
    let Some((gate, up)) = match_commutative(operands, |a, b| Some((silu_operand(graph, a)?, b)))
    else {
        return Ok(None);
    };
    if let Some(shared) = gate.shared {
        cx.remark(graph, at, format!("{} has other uses", label(graph, shared.node)));
        return Ok(None);
    }
    if graph.ty(gate.value).shape != graph.ty(up).shape {
        let symbols = graph.symbols();
        let (gate, up) = (graph.ty(gate.value).display(symbols), graph.ty(up).display(symbols));
        cx.remark(
            graph,
            at,
            format!("the gate is {gate}, the other factor {up}: not of one shape"),
        );
        return Ok(None);
    }
    let native = [gate.value, up].map(|factor| graph.ty(without_float_casts(graph, factor)).dtype);
    // Where the factors are stored differently, neither type holds both.
    let native = if native[0] == native[1] { native[0] } else { graph.ty(product).dtype };
    let storage = Storage::of(graph, product, native);
    let mut patch = PatchBuilder::new(graph);
    let gate = storage.operand(graph, &mut patch, gate.value)?;
    let up = storage.operand(graph, &mut patch, up)?;
    let fused = patch.value(Op::Swiglu, &[gate, up])?;
    storage.replace(&mut patch, fused);
    Ok(Some(patch.finish()))
}

struct Gate {
    /// What the gate function is applied to.
    value: ValueId,
    /// The first value between the gate function and the product that something else reads too.
    shared: Option<ValueId>,
}

/// `value` as `silu(gate)`, perhaps behind casts.
fn silu_operand(graph: &Graph, value: ValueId) -> Option<Gate> {
    let silu = without_float_casts(graph, value);
    let gate = as_unary(graph, silu, UnaryOp::Silu)?;
    let mut shared = None;
    let mut inner = value;
    loop {
        if !graph.has_one_use(inner) {
            shared = Some(inner);
        }
        if inner == silu {
            return Some(Gate { value: gate, shared });
        }
        inner = graph.operand(inner.node, 0)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Changed;
    use crate::testing::run;
    use minuend_ir::{DType, SymbolTable, TensorType};

    const SIZES: &[(&str, u64)] = &[];

    fn graph() -> (Graph, ValueId, ValueId) {
        let mut g = Graph::new("g", SymbolTable::default());
        let gate = g.argument("gate", TensorType::fixed(DType::F16, &[2, 3, 8])).unwrap();
        let up = g.argument("up", TensorType::fixed(DType::F16, &[2, 3, 8])).unwrap();
        (g, gate, up)
    }

    #[test]
    fn either_order_fuses() {
        for swap in [false, true] {
            let (mut g, gate, up) = graph();
            let gate = g.unary(UnaryOp::Silu, gate).unwrap();
            let y = if swap { g.mul(up, gate) } else { g.mul(gate, up) }.unwrap();
            g.set_return(&[y], &[]).unwrap();
            assert_eq!(run(&g, &pass(), SIZES).ops(), ["swiglu"]);
        }
    }

    #[test]
    fn casts_around_the_product_go() {
        let (mut g, gate, up) = graph();
        let gate = g.cast(gate, DType::F32).unwrap();
        let gate = g.unary(UnaryOp::Silu, gate).unwrap();
        let up = g.cast(up, DType::F32).unwrap();
        let y = g.mul(gate, up).unwrap();
        let y = g.cast(y, DType::F16).unwrap();
        g.set_return(&[y], &[]).unwrap();
        assert_eq!(run(&g, &pass(), SIZES).ops(), ["swiglu"]);
    }

    #[test]
    fn a_product_read_in_f32_stays_in_f32() {
        let (mut g, gate, up) = graph();
        let gate = g.cast(gate, DType::F32).unwrap();
        let gate = g.unary(UnaryOp::Silu, gate).unwrap();
        let up = g.cast(up, DType::F32).unwrap();
        let y = g.mul(gate, up).unwrap();
        g.set_return(&[y], &[]).unwrap();
        let ran = run(&g, &pass(), SIZES);
        assert_eq!(ran.ops(), ["cast", "cast", "swiglu"]);
    }

    #[test]
    fn a_wide_factor_is_not_narrowed() {
        let (mut g, gate, _) = graph();
        let up = g.argument("wide", TensorType::fixed(DType::F32, &[2, 3, 8])).unwrap();
        let gate = g.cast(gate, DType::F32).unwrap();
        let gate = g.unary(UnaryOp::Silu, gate).unwrap();
        let y = g.mul(gate, up).unwrap();
        let y = g.cast(y, DType::F16).unwrap();
        g.set_return(&[y], &[]).unwrap();
        assert_eq!(run(&g, &pass(), SIZES).ops(), ["cast", "swiglu", "cast"]);
    }

    #[test]
    fn a_value_gates_itself() {
        let (mut g, gate, _) = graph();
        let silu = g.unary(UnaryOp::Silu, gate).unwrap();
        let y = g.mul(silu, gate).unwrap();
        g.set_return(&[y], &[]).unwrap();
        assert_eq!(run(&g, &pass(), SIZES).ops(), ["swiglu"]);
    }

    #[test]
    fn a_gate_with_other_uses_stays() {
        let (mut g, gate, up) = graph();
        let gate = g.unary(UnaryOp::Silu, gate).unwrap();
        g.set_name(gate, "act");
        let y = g.mul(gate, up).unwrap();
        g.set_name(y, "y");
        g.set_return(&[y, gate], &[]).unwrap();
        let ran = run(&g, &pass(), SIZES);
        assert_eq!(ran.changed, Changed::No);
        assert_eq!(ran.remarks, ["fuse-swiglu at %y: %act has other uses"]);
    }

    #[test]
    fn a_broadcast_factor_stays() {
        let (mut g, gate, _) = graph();
        let up = g.argument("row", TensorType::fixed(DType::F16, &[8])).unwrap();
        let gate = g.unary(UnaryOp::Silu, gate).unwrap();
        let y = g.mul(gate, up).unwrap();
        g.set_name(y, "y");
        g.set_return(&[y], &[]).unwrap();
        let ran = run(&g, &pass(), SIZES);
        assert_eq!(ran.changed, Changed::No);
        let remark = "fuse-swiglu at %y: the gate is f16[2, 3, 8], the other factor f16[8]: \
                      not of one shape";
        assert_eq!(ran.remarks, [remark]);
    }

    #[test]
    fn another_gate_function_is_no_near_miss() {
        let (mut g, gate, up) = graph();
        let gate = g.unary(UnaryOp::Sigmoid, gate).unwrap();
        let y = g.mul(gate, up).unwrap();
        g.set_return(&[y], &[]).unwrap();
        let ran = run(&g, &pass(), SIZES);
        assert_eq!((ran.changed, ran.remarks.len()), (Changed::No, 0));
    }
}
