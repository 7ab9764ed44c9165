//! From what a softmax reads to the product of queries and keys.

use minuend_ir::ops::{BinaryOp, Mask};
use minuend_ir::view::View;
use minuend_ir::{Graph, Op, ValueId};

use crate::attention_mask::{Visibility, hides, where_true, where_zero};
use crate::matcher::{pair, real_constant};
use crate::remark::label;
use crate::trail::Trail;

/// Least factor behind a mask: what hides a key must still do so when scaled.
const LEAST_SCALE_OF_MASK: f64 = 1e-3;

/// How many elementwise ops may stand between the product and the softmax.
const DEPTH: usize = 32;

/// How far to look which operand of a sum is the scores: both are searched.
const SEARCH_DEPTH: usize = 10;

/// Masked and scaled scores.
pub(super) struct Scores {
    /// `q k^T`.
    pub(super) product: ValueId,
    /// The attention weights as a view of the product.
    pub(super) view: View,
    /// Which keys are seen.
    pub(super) mask: Mask,
    /// Factor of the product.
    pub(super) scale: f64,
}

impl Scores {
    /// The scores of which the trail reached the softmax's operand. The trail starts at the weights.
    pub(super) fn of(graph: &Graph, trail: Trail) -> Result<Scores, String> {
        let mut trail = trail;
        let mut scale = 1.0;
        let mut visibility = Visibility::Always;
        loop {
            trail = trail.climb(graph);
            let at = trail.at;
            let (next, seen) = match graph.def(at) {
                Op::Matmul(_) => break,
                _ if trail.entered > DEPTH => return Err(unexpected(graph, at)),
                Op::Binary(op @ (BinaryOp::Mul | BinaryOp::Div)) => {
                    let found = scaled(graph, at, *op).ok_or_else(|| unexpected(graph, at))?;
                    scale *= found.1;
                    (found.0, Visibility::Always)
                }
                Op::Binary(BinaryOp::Add) => {
                    check_mask(graph, &trail, scale)?;
                    added_mask(graph, at)?
                }
                Op::Select => {
                    check_mask(graph, &trail, scale)?;
                    selected(graph, at)?
                }
                _ => return Err(unexpected(graph, at)),
            };
            visibility = visibility.and(seen);
            trail = trail.enter(graph, next);
        }
        if !scale.is_finite() {
            return Err(format!("the scores are scaled by {scale}"));
        }
        let view = rows_of(graph, &trail)?;
        let [.., queries, keys] = graph.ty(trail.at).shape.as_slice() else {
            return Err(unexpected(graph, trail.at));
        };
        let mask = visibility
            .mask(queries, keys, graph.symbols())
            .map_err(|reason| format!("the mask is not known: {reason}"))?;
        Ok(Scores { product: trail.at, view, mask, scale })
    }
}

/// The view of the place reached, if its last two axes are the weights' queries and keys.
fn rows_of(graph: &Graph, trail: &Trail) -> Result<View, String> {
    let shape = &graph.ty(trail.at).shape;
    let dense = View::dense(shape);
    let view = trail.view(graph).filter(|view| {
        let last = |view: &View| view.axes().iter().rev().take(2).cloned().collect::<Vec<_>>();
        view.axes().len() >= 2 && shape.len() >= 2 && last(view) == last(&dense)
    });
    view.ok_or_else(|| {
        format!(
            "{} is not read as queries by keys: a layout op behind it moves its last two axes",
            label(graph, trail.at.node)
        )
    })
}

fn check_mask(graph: &Graph, trail: &Trail, scale: f64) -> Result<(), String> {
    if scale < LEAST_SCALE_OF_MASK {
        let at = label(graph, trail.at.node);
        return Err(format!("the mask at {at} is scaled by {scale}, it may no longer hide keys"));
    }
    rows_of(graph, trail).map(|_| ())
}

/// The scaled operand of a product or quotient with a constant, and the factor.
fn scaled(graph: &Graph, at: ValueId, op: BinaryOp) -> Option<(ValueId, f64)> {
    let (a, b) = pair(graph, at.node)?;
    match (real_constant(graph, a), real_constant(graph, b), op) {
        (_, Some(factor), BinaryOp::Mul) => Some((a, factor)),
        (Some(factor), _, BinaryOp::Mul) => Some((b, factor)),
        (_, Some(divisor), BinaryOp::Div) if divisor != 0.0 => Some((a, divisor.recip())),
        _ => None,
    }
}

/// `add(scores, mask)`: the scores, and where the mask is 0.
fn added_mask(graph: &Graph, at: ValueId) -> Result<(ValueId, Visibility), String> {
    let (a, b) = pair(graph, at.node).ok_or_else(|| unexpected(graph, at))?;
    let here = || Trail::from(at);
    let (scores, mask) = if is_scores(graph, b, SEARCH_DEPTH) { (b, a) } else { (a, b) };
    match where_zero(graph, here().enter(graph, mask)) {
        Ok(seen) => Ok((scores, seen)),
        Err(reason) => {
            Err(format!("the mask added at {} is not known: {reason}", label(graph, at.node)))
        }
    }
}

/// `select(visible, scores, hidden)` or `select(hidden, hidden, scores)`: the scores, and where they
/// are taken.
fn selected(graph: &Graph, at: ValueId) -> Result<(ValueId, Visibility), String> {
    let operands = graph.operands(at.node);
    let [condition, a, b] = operands.as_slice() else { return Err(unexpected(graph, at)) };
    let is_hidden = |value: ValueId| {
        real_constant(graph, value).is_some_and(|fill| hides(fill, graph.ty(value).dtype))
    };
    let (scores, negated) = match (is_hidden(*a), is_hidden(*b)) {
        (false, true) => (*a, false),
        (true, false) => (*b, true),
        _ => {
            return Err(format!(
                "{} (select) chooses between scores and something else than -inf",
                label(graph, at.node)
            ));
        }
    };
    match where_true(graph, Trail::from(at).enter(graph, *condition), negated) {
        Ok(seen) => Ok((scores, seen)),
        Err(reason) => Err(format!("the mask at {} is not known: {reason}", label(graph, at.node))),
    }
}

/// True if a value leads to a product of matrices through what scores may pass.
fn is_scores(graph: &Graph, value: ValueId, depth: usize) -> bool {
    let at = Trail::from(value).climb(graph).at;
    let Some(depth) = depth.checked_sub(1) else { return false };
    match graph.def(at) {
        Op::Matmul(_) => true,
        Op::Binary(op @ (BinaryOp::Mul | BinaryOp::Div)) => {
            scaled(graph, at, *op).is_some_and(|(next, _)| is_scores(graph, next, depth))
        }
        Op::Binary(BinaryOp::Add) => pair(graph, at.node).is_some_and(|(a, b)| {
            is_scores(graph, a, depth) || (a != b && is_scores(graph, b, depth))
        }),
        Op::Select => {
            let operands = graph.operands(at.node);
            operands.iter().skip(1).any(|next| is_scores(graph, *next, depth))
        }
        _ => false,
    }
}

fn unexpected(graph: &Graph, at: ValueId) -> String {
    format!(
        "the softmax reads {} ({}), expected a product q k^T, a constant scale or a mask",
        label(graph, at.node),
        graph.def(at).mnemonic()
    )
}
