//! `x * rsqrt(mean(x^2) + epsilon) * weight` becomes `rms_norm`.

use minuend_ir::ops::{BinaryOp, Reduce, ReduceKind, RmsNorm, UnaryOp};
use minuend_ir::{DisplayShape, Emit, Graph, NodeId, Op, PatchBuilder, ValueId};
use smallvec::SmallVec;

use crate::matcher::{as_binary, as_unary, real_constant, without_float_casts};
use crate::pass::PassContext;
use crate::remark::label;
use crate::rewrite::{RewritePass, Rewritten, Rule};
use crate::storage::Storage;

const NAME: &str = "fuse-rms-norm";

/// The pass `fuse-rms-norm`. The three factors may be multiplied in any order, with float casts
/// between; the weight is any vector of the last axis.
pub fn pass() -> RewritePass {
    RewritePass::of_rules(NAME, vec![Rule { name: NAME, try_at: fuse }])
}

fn fuse(graph: &Graph, at: NodeId, cx: &mut PassContext) -> Rewritten {
    let result = at.result(0);
    let Some(product) = Product::of(graph, result) else { return Ok(None) };
    let norm = match product.norm(graph, result) {
        Ok(norm) => norm,
        Err(reason) => {
            cx.remark(graph, at, reason);
            return Ok(None);
        }
    };
    let native = graph.ty(without_float_casts(graph, norm.x)).dtype;
    let storage = Storage::of(graph, result, native);
    let mut patch = PatchBuilder::new(graph);
    let x = storage.operand(graph, &mut patch, norm.x)?;
    let features = graph.ty(norm.weight).shape.last().cloned().unwrap_or_default();
    let weight = patch.reshape(norm.weight, &[features])?;
    let fused = patch.value(Op::RmsNorm(norm.op), &[x, weight])?;
    storage.replace(&mut patch, fused);
    Ok(Some(patch.finish()))
}

/// Values that only the pattern may read.
type Interior = SmallVec<[ValueId; 8]>;

/// A product of three factors, one of which is `rsqrt(mean + epsilon)`.
struct Product {
    others: [ValueId; 2],
    mean: Reduce,
    /// What the mean is taken of.
    averaged: ValueId,
    mean_value: ValueId,
    sum: ValueId,
    epsilon: ValueId,
    interior: Interior,
}

/// What remains of the product once every condition holds.
struct Norm {
    op: RmsNorm,
    x: ValueId,
    weight: ValueId,
}

impl Product {
    fn of(graph: &Graph, result: ValueId) -> Option<Product> {
        let (a, b) = as_binary(graph, result, BinaryOp::Mul)?;
        [(a, b), (b, a)].into_iter().find_map(|(inner, outer)| {
            let mut interior = Interior::new();
            let inner = peel(graph, inner, &mut interior);
            let (c, d) = as_binary(graph, inner, BinaryOp::Mul)?;
            [(c, [d, outer]), (d, [c, outer]), (outer, [c, d])].into_iter().find_map(
                |(factor, others)| Product::with_factor(graph, factor, others, interior.clone()),
            )
        })
    }

    fn with_factor(
        graph: &Graph,
        factor: ValueId,
        others: [ValueId; 2],
        mut interior: Interior,
    ) -> Option<Product> {
        let root = peel(graph, factor, &mut interior);
        let sum = peel(graph, as_unary(graph, root, UnaryOp::Rsqrt)?, &mut interior);
        let (a, b) = as_binary(graph, sum, BinaryOp::Add)?;
        [(a, b), (b, a)].into_iter().find_map(|(mean, epsilon)| {
            let mut interior = interior.clone();
            let mean_value = peel(graph, mean, &mut interior);
            let Op::Reduce(mean @ Reduce { kind: ReduceKind::Mean, .. }) = *graph.def(mean_value)
            else {
                return None;
            };
            let averaged = graph.operand(mean_value.node, 0)?;
            Some(Product { others, mean, averaged, mean_value, sum, epsilon, interior })
        })
    }

    /// The norm that this product is, or why it is none.
    fn norm(mut self, graph: &Graph, result: ValueId) -> Result<Norm, String> {
        let Some(epsilon) = real_constant(graph, self.epsilon) else {
            return Err(format!("epsilon {} is not a constant", label(graph, self.epsilon.node)));
        };
        if !epsilon.is_finite() || epsilon < 0.0 {
            return Err(format!("epsilon is {epsilon}, expected a finite number of at least 0"));
        }
        let rank = graph.ty(self.averaged).rank();
        if self.mean.axis + 1 != rank {
            return Err(format!(
                "the mean is over axis {} of {rank}, not the last",
                self.mean.axis
            ));
        }
        let square = peel(graph, self.averaged, &mut self.interior);
        let Some(squared) = square_root(graph, square) else {
            return Err(format!("{} is the mean of no square", label(graph, self.mean_value.node)));
        };
        let [a, b] = self.others;
        let is_squared = |value| without_float_casts(graph, value) == squared;
        let (x, weight) = match (is_squared(a), is_squared(b)) {
            (true, _) => (a, b),
            (_, true) => (b, a),
            _ => {
                let squared = label(graph, squared.node);
                return Err(format!("the mean is of the square of {squared}, not of a factor"));
            }
        };
        let ty = graph.ty(x);
        if graph.ty(self.sum).shape != graph.ty(self.mean_value).shape
            || graph.ty(result).shape != ty.shape
        {
            return Err(format!("the product repeats {}", label(graph, x.node)));
        }
        let weight = without_float_casts(graph, weight);
        let shape = &graph.ty(weight).shape;
        let is_vector = match shape.split_last() {
            Some((last, outer)) => {
                Some(last) == ty.shape.last() && outer.iter().all(|dim| dim.is(1))
            }
            None => false,
        };
        if !is_vector {
            let found = DisplayShape { shape, symbols: graph.symbols() };
            let weight = label(graph, weight.node);
            return Err(format!("weight {weight} is {found}, not a vector of the last axis"));
        }
        match self.interior.iter().find(|value| !graph.has_one_use(**value)) {
            Some(shared) => Err(format!("{} has other uses", label(graph, shared.node))),
            None => Ok(Norm { op: RmsNorm { epsilon: epsilon.into() }, x, weight }),
        }
    }
}

/// What is behind the float casts of a value, and a note of everything passed on the way.
fn peel(graph: &Graph, mut value: ValueId, interior: &mut Interior) -> ValueId {
    let source = without_float_casts(graph, value);
    while value != source {
        interior.push(value);
        let Some(operand) = graph.operand(value.node, 0) else { break };
        value = operand;
    }
    interior.push(source);
    source
}

/// `s` of `s * s` or `s ^ 2`, behind its casts.
fn square_root(graph: &Graph, square: ValueId) -> Option<ValueId> {
    if let Some((base, exponent)) = as_binary(graph, square, BinaryOp::Pow) {
        let is_square = real_constant(graph, exponent) == Some(2.0);
        return is_square.then(|| without_float_casts(graph, base));
    }
    let (a, b) = as_binary(graph, square, BinaryOp::Mul)?;
    let base = without_float_casts(graph, a);
    (base == without_float_casts(graph, b)).then_some(base)
}

#[cfg(test)]
mod tests;
