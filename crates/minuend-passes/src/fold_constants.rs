//! Computes what depends on literals and sizes alone. Weights are never folded: their data is not here.

pub(crate) mod element;
mod sizes;

use minuend_ir::ops::{BinaryOp, Broadcast, Constant, Literal};
use minuend_ir::view::View;
use minuend_ir::{Dim, Emit, Graph, NodeId, Op, PatchBuilder, TensorType};
use smallvec::SmallVec;

use crate::pass::PassContext;
use crate::rewrite::{RewritePass, Rewritten, Rule};
use element::{Element, compute, element_at, literal};

/// Most elements of a literal that folding makes; larger ones are cheaper to compute than to carry.
pub const LIMIT: usize = 1 << 16;

/// The pass `fold-constants`.
pub fn pass() -> RewritePass {
    RewritePass::of_rules(
        "fold-constants",
        vec![
            Rule { name: "fold-elementwise", try_at: fold_elementwise },
            Rule { name: "fold-layout", try_at: fold_layout },
            Rule { name: "fold-concat", try_at: fold_concat },
            Rule { name: "fold-iota", try_at: fold_iota },
            Rule { name: "fold-size", try_at: fold_size },
            Rule { name: "fold-size-arithmetic", try_at: fold_size_arithmetic },
        ],
    )
}

/// The literals that a node reads, if it reads nothing else.
fn literals(graph: &Graph, at: NodeId) -> Option<SmallVec<[&Constant; 4]>> {
    let constants: Option<SmallVec<[&Constant; 4]>> = graph
        .operands(at)
        .into_iter()
        .map(|value| match graph.def(value) {
            Op::Constant(constant) => Some(constant),
            _ => None,
        })
        .collect();
    constants.filter(|constants| !constants.is_empty())
}

fn replaced(graph: &Graph, at: NodeId, values: Option<Literal>) -> Rewritten {
    let Some(values) = values else { return Ok(None) };
    let mut patch = PatchBuilder::new(graph);
    let ty = graph.ty(at.result(0)).clone();
    let new = patch.value(Op::Constant(Constant { ty, values }), &[])?;
    Ok(Some(patch.replacing(at.result(0), new)))
}

/// Number of elements, if it is known and within the limit.
fn count(ty: &TensorType) -> Option<usize> {
    let count = usize::try_from(ty.elements().as_const()?).ok()?;
    (count <= LIMIT).then_some(count)
}

fn is_splat(constant: &Constant) -> bool {
    constant.values.len() == 1
}

fn fold_elementwise(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let op = &graph.node(at).op;
    if !op.is_elementwise() {
        return Ok(None);
    }
    let Some(operands) = literals(graph, at) else { return Ok(None) };
    replaced(graph, at, elementwise(op, &operands, graph.ty(at.result(0))))
}

fn elementwise(op: &Op, operands: &[&Constant], ty: &TensorType) -> Option<Literal> {
    if operands.iter().all(|operand| is_splat(operand)) {
        let elements: Option<SmallVec<[Element; 3]>> =
            operands.iter().map(|operand| element_at(&operand.values, 0)).collect();
        return literal(ty.dtype, [compute(op, &elements?, ty.dtype)?]);
    }
    let count = count(ty)?;
    // Rows times columns are a table: cheaper to compute than to carry, and known by what it is computed
    // from, as rotary angles are. Tables of integers and truth values are small and wanted as literals.
    if ty.dtype.is_float() && operands.iter().all(|operand| operand.values.len() < count) {
        return None;
    }
    let sources: Option<Vec<Vec<usize>>> = operands
        .iter()
        .map(|operand| {
            let broadcast = Broadcast { shape: ty.shape.clone() };
            source_positions(operand, &Op::Broadcast(broadcast))
        })
        .collect();
    let sources = sources?;
    let results: Option<Vec<Element>> = (0..count)
        .map(|index| {
            let elements: Option<SmallVec<[Element; 3]>> = operands
                .iter()
                .zip(&sources)
                .map(|(operand, source)| element_at(&operand.values, *source.get(index)?))
                .collect();
            compute(op, &elements?, ty.dtype)
        })
        .collect();
    literal(ty.dtype, results?)
}

/// For every element of a view of a literal, in row-major order, the position of its value.
fn source_positions(operand: &Constant, view: &Op) -> Option<Vec<usize>> {
    let view = View::dense(&operand.ty.shape).apply(view)?;
    if is_splat(operand) {
        let count = usize::try_from(view.shape().iter().product::<Dim>().as_const()?);
        return Some(vec![0; count.ok().filter(|count| *count <= LIMIT)?]);
    }
    let mut positions = vec![usize::try_from(view.offset.as_const()?).ok()?];
    for factor in view.axes().iter().flatten() {
        let size = usize::try_from(factor.size.as_const()?).ok()?;
        let stride = usize::try_from(factor.stride.as_const()?).ok()?;
        positions.len().checked_mul(size).filter(|count| *count <= LIMIT)?;
        let step = |from: usize| (0..size).map(move |index| from + index * stride);
        positions = positions.into_iter().flat_map(step).collect();
    }
    Some(positions)
}

fn fold_layout(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let node = graph.node(at);
    if !node.op.is_view() {
        return Ok(None);
    }
    let Some(operands) = literals(graph, at) else { return Ok(None) };
    let [operand] = operands.as_slice() else { return Ok(None) };
    if is_splat(operand) {
        return replaced(graph, at, Some(operand.values.clone()));
    }
    replaced(graph, at, viewed(operand, &node.op, graph.ty(at.result(0))))
}

fn viewed(operand: &Constant, op: &Op, ty: &TensorType) -> Option<Literal> {
    count(ty)?;
    let positions = source_positions(operand, op)?;
    let elements: Option<Vec<Element>> =
        positions.into_iter().map(|position| element_at(&operand.values, position)).collect();
    literal(ty.dtype, elements?)
}

fn fold_concat(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Concat(op) = graph.node(at).op else { return Ok(None) };
    let Some(operands) = literals(graph, at) else { return Ok(None) };
    if operands.iter().all(|operand| is_splat(operand) && operand.values == operands[0].values) {
        return replaced(graph, at, Some(operands[0].values.clone()));
    }
    replaced(graph, at, concatenated(op.axis, &operands, graph.ty(at.result(0))))
}

fn concatenated(axis: usize, operands: &[&Constant], ty: &TensorType) -> Option<Literal> {
    let count = count(ty)?;
    let size = |dims: &[Dim]| -> Option<usize> {
        usize::try_from(dims.iter().product::<Dim>().as_const()?).ok()
    };
    let outer = size(&ty.shape[..axis])?;
    let mut elements = Vec::with_capacity(count);
    for row in 0..outer {
        for operand in operands {
            // Elements of one operand that lie together in the result.
            let run = size(&operand.ty.shape[axis..])?;
            for index in row * run..(row + 1) * run {
                let index = if is_splat(operand) { 0 } else { index };
                elements.push(element_at(&operand.values, index)?);
            }
        }
    }
    literal(ty.dtype, elements)
}

fn fold_iota(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Iota(op) = &graph.node(at).op else { return Ok(None) };
    let size = op.size.as_const().filter(|size| usize::try_from(*size).is_ok_and(|n| n <= LIMIT));
    replaced(graph, at, size.map(|size| Literal::Ints((0..size).collect())))
}

/// A size without symbols is a literal.
fn fold_size(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::DimValue(op) = &graph.node(at).op else { return Ok(None) };
    replaced(graph, at, op.size.as_const().map(|size| Literal::Ints([size].into())))
}

/// Sums, differences and products of sizes and integers are sizes.
fn fold_size_arithmetic(graph: &Graph, at: NodeId, _: &mut PassContext) -> Rewritten {
    let Op::Binary(op @ (BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul)) = graph.node(at).op else {
        return Ok(None);
    };
    let Some(size) = sizes::combined(graph, at, op) else { return Ok(None) };
    let mut patch = PatchBuilder::new(graph);
    let new = patch.dim(size)?;
    Ok(Some(patch.replacing(at.result(0), new)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ran, dim, graph_of, run};
    use minuend_ir::ops::{CompareOp, Slice, UnaryOp};
    use minuend_ir::{DType, Real, ValueId};

    fn ran(build: impl FnOnce(&mut Graph) -> ValueId) -> Ran {
        run(&graph_of(|graph| vec![build(graph)]), &pass(), &[])
    }

    fn result(ran: &Ran) -> Literal {
        let Op::Constant(constant) = ran.graph.def(ran.graph.outputs()[0]) else {
            panic!("{:?} were left", ran.ops());
        };
        constant.values.clone()
    }

    fn ints(values: &[i64]) -> Literal {
        Literal::Ints(values.into())
    }

    fn splat(graph: &mut Graph, ty: TensorType, value: f64) -> ValueId {
        let values = Literal::Reals([Real::new(value)].into());
        graph.value(Op::Constant(Constant { ty, values }), &[]).unwrap()
    }

    #[test]
    fn index_arithmetic_is_computed() {
        // 2 * iota(3) + 1 per row of a column 0, 10: what shows a gather of every second head.
        let folded = ran(|graph| {
            let (two, one, ten) =
                (graph.int(2).unwrap(), graph.int(1).unwrap(), graph.int(10).unwrap());
            let row = graph.iota(Dim::from(3)).unwrap();
            let row = graph.mul(row, two).unwrap();
            let row = graph.add_values(row, one).unwrap();
            let column = graph.iota(Dim::from(2)).unwrap();
            let column = graph.mul(column, ten).unwrap();
            let column = graph.reshape(column, &[Dim::from(2), Dim::from(1)]).unwrap();
            graph.add_values(column, row).unwrap()
        });
        assert_eq!(result(&folded), ints(&[1, 3, 5, 11, 13, 15]));
    }

    #[test]
    fn layout_ops_move_literals() {
        let folded = ran(|graph| {
            let x = graph.iota(Dim::from(6)).unwrap();
            let x = graph.reshape(x, &[Dim::from(2), Dim::from(3)]).unwrap();
            let x = graph.transpose(x, &[1, 0]).unwrap();
            let x = graph.slice(x, Slice::strided(0, 0, 2)).unwrap();
            let y = graph.broadcast(x, &[2.into(), 2.into(), Dim::from(2)]).unwrap();
            let z = graph.slice(y, Slice::range(0, 1, 2)).unwrap();
            graph.concat(2, &[z, z]).unwrap()
        });
        assert_eq!(result(&folded), ints(&[0, 3, 0, 3, 2, 5, 2, 5]));
    }

    #[test]
    fn splats_stay_splats_over_symbolic_shapes() {
        let graph = graph_of(|graph| {
            let ty = TensorType::new(DType::F32, [dim(graph, "S"), Dim::from(4)]);
            let x = graph.argument("x", ty.clone()).unwrap();
            let c = splat(graph, ty, 0.25);
            let c = graph.unary(UnaryOp::Sqrt, c).unwrap();
            let c = graph.cast(c, DType::F16).unwrap();
            let c = graph.cast(c, DType::F32).unwrap();
            let c = graph.transpose(c, &[1, 0]).unwrap();
            let c = graph.transpose(c, &[1, 0]).unwrap();
            vec![graph.mul(x, c).unwrap()]
        });
        let folded = run(&graph, &pass(), &[("S", 3)]);
        assert_eq!(folded.ops(), ["mul"]);
        let Op::Constant(constant) = folded.the("constant") else { panic!() };
        assert_eq!(constant.as_real(), Some(0.5));
    }

    #[test]
    fn every_elementwise_op_agrees_with_the_interpreter() {
        let reals = [-2.5, -0.5, 0.0, 0.75, 3.0, f64::INFINITY];
        for op in UnaryOp::ALL {
            let is_real = op != UnaryOp::Not;
            let folded = ran(|graph| {
                let x = graph.reals(DType::F32, &reals).unwrap();
                let x = if is_real { x } else { graph.cast(x, DType::Bool).unwrap() };
                graph.unary(op, x).unwrap()
            });
            assert_eq!(folded.ops().is_empty(), op != UnaryOp::Erf, "{op:?}");
        }
        for dtype in [DType::F32, DType::I64, DType::I32, DType::Bool] {
            for op in BinaryOp::ALL {
                let is_truth = matches!(op, BinaryOp::And | BinaryOp::Or);
                let is_pow = op == BinaryOp::Pow && dtype != DType::F32;
                if is_truth != (dtype == DType::Bool) || is_pow {
                    continue;
                }
                let folded = ran(|graph| {
                    let x = graph.reals(DType::F32, &reals[..5]).unwrap();
                    let y = graph.reals(DType::F32, &[2.0, 0.0, -3.0, 4.0, 0.0]).unwrap();
                    let x = graph.cast(x, dtype).unwrap();
                    let y = graph.cast(y, dtype).unwrap();
                    graph.binary(op, x, y).unwrap()
                });
                assert!(folded.ops().is_empty(), "{op:?}");
            }
        }
        for op in CompareOp::ALL {
            let folded = ran(|graph| {
                let x = graph.reals(DType::F32, &[1.0, 2.0, f64::NAN]).unwrap();
                let y = graph.reals(DType::F32, &[2.0, 2.0, 2.0]).unwrap();
                let holds = graph.compare(op, x, y).unwrap();
                graph.select(holds, x, y).unwrap()
            });
            assert!(folded.ops().is_empty(), "{op:?}");
        }
        for to in DType::ALL {
            for from in [DType::F32, DType::I64, DType::Bool] {
                let folded = ran(|graph| {
                    let x = graph.reals(DType::F32, &[-1.5, 0.0, 1.0, 3e9]).unwrap();
                    let x = graph.cast(x, from).unwrap();
                    graph.cast(x, to).unwrap()
                });
                // 3e9 is no i32; an integer that does not fit is left to the run.
                let is_folded = !(from == DType::I64 && to == DType::I32);
                assert_eq!(folded.ops().is_empty(), is_folded, "{from} to {to}");
            }
        }
    }

    #[test]
    fn overflow_and_large_literals_are_left_to_the_run() {
        let overflow = ran(|graph| {
            let (a, b) = (graph.int(i64::MAX).unwrap(), graph.int(1).unwrap());
            graph.add_values(a, b).unwrap()
        });
        assert_eq!(overflow.ops(), ["add"]);
        let large = ran(|graph| graph.iota(Dim::from(LIMIT + 1)).unwrap());
        assert_eq!(large.ops(), ["iota"]);
        let repeated = ran(|graph| {
            let x = graph.iota(Dim::from(300)).unwrap();
            graph.broadcast(x, &[Dim::from(300), Dim::from(300)]).unwrap()
        });
        assert_eq!(repeated.ops(), ["broadcast"]);
    }

    #[test]
    fn tables_of_reals_are_left_to_the_run() {
        let table = ran(|graph| {
            let row = graph.iota(Dim::from(8)).unwrap();
            let row = graph.cast(row, DType::F32).unwrap();
            let column = graph.reshape(row, &[Dim::from(8), Dim::one()]).unwrap();
            let frequencies = graph.reals(DType::F32, &[1.0, 0.1]).unwrap();
            let angle = graph.mul(column, frequencies).unwrap();
            graph.unary(UnaryOp::Cos, angle).unwrap()
        });
        assert_eq!(table.ops(), ["mul", "cos"]);
        let one_column = ran(|graph| {
            let row = graph.iota(Dim::from(8)).unwrap();
            let row = graph.cast(row, DType::F32).unwrap();
            let two = graph.real(DType::F32, 2.0).unwrap();
            graph.mul(row, two).unwrap()
        });
        assert!(one_column.ops().is_empty());
    }

    #[test]
    fn weights_and_inputs_are_not_folded() {
        let graph = graph_of(|graph| {
            let w = graph.weight("w", TensorType::fixed(DType::F32, &[4])).unwrap();
            let x = graph.argument("x", TensorType::fixed(DType::F32, &[4])).unwrap();
            let w = graph.unary(UnaryOp::Exp, w).unwrap();
            vec![graph.mul(x, w).unwrap()]
        });
        assert_eq!(run(&graph, &pass(), &[]).ops(), ["exp", "mul"]);
    }

    fn size_result(build: impl FnOnce(&mut Graph) -> ValueId) -> (Graph, Vec<&'static str>) {
        let graph = graph_of(|graph| {
            let ty = TensorType::new(DType::F32, [dim(graph, "S"), dim(graph, "P")]);
            let x = graph.argument("x", ty).unwrap();
            vec![build(graph), x]
        });
        let ran = run(&graph, &pass(), &[("S", 3), ("P", 5)]);
        let ops = ran.ops();
        (ran.graph, ops)
    }

    #[test]
    fn arithmetic_of_sizes_is_a_size() {
        let (graph, _) = size_result(|graph| {
            let (s, p) = (dim(graph, "S"), dim(graph, "P"));
            let (s, p) = (graph.dim(s).unwrap(), graph.dim(p).unwrap());
            let total = graph.add_values(s, p).unwrap();
            let two = graph.int(2).unwrap();
            let double = graph.mul(two, total).unwrap();
            graph.sub(double, s).unwrap()
        });
        let Op::DimValue(size) = graph.def(graph.outputs()[0]) else { panic!() };
        assert_eq!(size.size, &dim(&graph, "S") + &(&dim(&graph, "P") * 2));
        let (graph, _) = size_result(|graph| {
            let s = dim(graph, "S");
            let s = graph.dim(s).unwrap();
            graph.sub(s, s).unwrap()
        });
        let Op::Constant(zero) = graph.def(graph.outputs()[0]) else { panic!() };
        assert_eq!(zero.as_int(), Some(0));
    }

    #[test]
    fn quotients_vectors_and_saturated_sizes_are_left() {
        let (_, ops) = size_result(|graph| {
            let s = dim(graph, "S");
            let (s, two) = (graph.dim(s).unwrap(), graph.int(2).unwrap());
            graph.binary(BinaryOp::Div, s, two).unwrap()
        });
        assert_eq!(ops, ["dim", "div"]);
        let (_, ops) = size_result(|graph| {
            let s = dim(graph, "S");
            let (s, row) = (graph.dim(s).unwrap(), graph.iota(Dim::from(2)).unwrap());
            graph.add_values(s, row).unwrap()
        });
        assert_eq!(ops, ["dim", "add"]);
        let (_, ops) = size_result(|graph| {
            let s = dim(graph, "S");
            let (s, huge) = (graph.dim(s).unwrap(), graph.int(i64::MAX).unwrap());
            graph.add_values(s, huge).unwrap()
        });
        assert_eq!(ops, ["dim", "add"]);
    }
}
