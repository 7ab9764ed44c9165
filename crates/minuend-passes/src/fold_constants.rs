//! Computes what depends on literals and sizes alone. Weights are never folded: their data is not here.

mod element;
mod sizes;

use minuend_ir::ops::{BinaryOp, Constant, Literal};
use minuend_ir::view::View;
use minuend_ir::{Emit, Graph, NodeId, Op, PatchBuilder, TensorType};
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
    let sources: Option<Vec<Vec<usize>>> = operands
        .iter()
        .map(|operand| {
            let broadcast = minuend_ir::ops::Broadcast { shape: ty.shape.clone() };
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
        let count = usize::try_from(view.shape().iter().product::<minuend_ir::Dim>().as_const()?);
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
    let size = |dims: &[minuend_ir::Dim]| -> Option<usize> {
        usize::try_from(dims.iter().product::<minuend_ir::Dim>().as_const()?).ok()
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
