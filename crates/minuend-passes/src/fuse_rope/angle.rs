//! Cosine and sine tables: of which positions and frequencies they are.

use std::sync::Arc;

use minuend_ir::ops::{BinaryOp, Broadcast, Literal, Reshape, Transpose, UnaryOp};
use minuend_ir::view::View;
use minuend_ir::{DType, Dim, Graph, Op, Real, Shape, ValueId};

use super::window::Window;
use crate::matcher::{pair, real_constant};
use crate::position::index_form;

/// Cosine or sine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wave {
    Cos,
    Sin,
}

/// A window on cosines or sines.
pub(super) struct Table {
    pub(super) wave: Wave,
    /// True if its negative is meant.
    pub(super) is_negative: bool,
    /// What it is multiplied with.
    pub(super) scale: f64,
    /// The product of positions and frequencies.
    product: ValueId,
    window: Window,
}

/// Angles `positions[token] * frequencies[pair]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Angle {
    pub(super) positions: Positions,
    pub(super) frequencies: Vec<f64>,
}

/// One integer for each token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Positions {
    /// As many integers, in row-major order; `None` for 0, 1, 2 and so on.
    pub(super) value: Option<ValueId>,
    /// What is added to each.
    pub(super) start: Dim,
    /// `[S]` or `[B, S]`.
    pub(super) shape: Shape,
    /// The tokens' axis in the rotated value: 2 of `[B, heads, S, d]` or 1 of `[B, S, heads, d]`.
    pub(super) token_axis: usize,
}

/// Most features of a head whose frequencies are compared.
const MAX_PAIRS: usize = 1 << 16;

impl Table {
    /// The table seen through a window on a value, if it is one.
    pub(super) fn at(graph: &Graph, mut value: ValueId, mut window: Window) -> Option<Table> {
        let (mut is_negative, mut scale) = (false, 1.0);
        let wave = loop {
            match graph.def(value) {
                Op::Unary(UnaryOp::Cos) => break Wave::Cos,
                Op::Unary(UnaryOp::Sin) => break Wave::Sin,
                Op::Unary(UnaryOp::Neg) => {
                    is_negative = !is_negative;
                    value = graph.operand(value.node, 0)?;
                }
                Op::Binary(BinaryOp::Mul) => {
                    let (a, b) = pair(graph, value.node)?;
                    let scaled = [(a, b), (b, a)]
                        .into_iter()
                        .find_map(|(table, factor)| Some((table, real_constant(graph, factor)?)));
                    let (table, factor) = scaled?;
                    scale *= factor;
                    window = window.repeated(graph, table, &graph.ty(value).shape);
                    value = table;
                }
                _ => (value, window) = window.step(graph, value)?,
            }
        };
        let mut product = graph.operand(value.node, 0)?;
        while !matches!(graph.def(product), Op::Binary(_) | Op::Matmul(_)) {
            (product, window) = window.step(graph, product)?;
        }
        Some(Table { wave, is_negative, scale, product, window })
    }

    /// The angles, or why they are not positions times literal frequencies.
    pub(super) fn angle(&self, graph: &Graph) -> Result<Angle, String> {
        let factors = self.factors(graph).unwrap_or_default();
        let found = factors.iter().find_map(|[(positions, window), (literal, other)]| {
            Some((*positions, window, frequencies(graph, *literal, other.clone())?))
        });
        let Some((positions, window, frequencies)) = found else {
            return Err("the angle is not the product of positions and literal frequencies".into());
        };
        let frequencies: Vec<f64> = if *graph.def(self.product) == Op::Binary(BinaryOp::Div) {
            frequencies.into_iter().map(f64::recip).collect()
        } else {
            frequencies
        };
        let Some(positions) = positions_of(graph, positions, window.clone()) else {
            return Err("the positions are not integers, one for each token".into());
        };
        Ok(Angle { positions, frequencies })
    }

    /// The operands of the product in each order in which they can be positions and frequencies.
    fn factors(&self, graph: &Graph) -> Option<Vec<[(ValueId, Window); 2]>> {
        let (a, b) = pair(graph, self.product.node)?;
        let shape = &graph.ty(self.product).shape;
        let of_a = self.window.clone().repeated(graph, a, shape);
        let mut of_b = self.window.clone().repeated(graph, b, shape);
        match graph.def(self.product) {
            Op::Binary(BinaryOp::Div) => return Some(vec![[(a, of_a), (b, of_b)]]),
            Op::Binary(BinaryOp::Mul) => {}
            // An outer product: `[.., m, 1] x [.., 1, n]`.
            Op::Matmul(matmul) if graph.ty(a).shape.last()?.is(1) => {
                let repeat = Op::Broadcast(Broadcast { shape: shape.clone() });
                of_b = self.window.clone().behind(repeat);
                if matmul.transpose_rhs {
                    let rank = graph.ty(b).rank();
                    let mut transpose = Transpose { perm: (0..rank).collect() };
                    transpose.perm.swap(rank.checked_sub(1)?, rank.checked_sub(2)?);
                    of_b = of_b.behind(Op::Transpose(transpose));
                }
            }
            _ => return None,
        }
        Some(vec![[(a, of_a.clone()), (b, of_b.clone())], [(b, of_b), (a, of_a)]])
    }
}

/// The literal seen through a window that repeats along all axes but the last: one value per pair.
fn frequencies(graph: &Graph, mut value: ValueId, mut window: Window) -> Option<Vec<f64>> {
    let values: &Arc<[Real]> = loop {
        match graph.def(value) {
            Op::Constant(constant) => match &constant.values {
                Literal::Reals(values) => break values,
                Literal::Ints(_) | Literal::Bools(_) => return None,
            },
            _ => (value, window) = window.step(graph, value)?,
        }
    };
    let view = window.view(&graph.ty(value).shape)?;
    let (pairs, outer) = view.axes().split_last()?;
    if outer.iter().flatten().any(|factor| !factor.stride.is(0)) {
        return None;
    }
    let mut offsets = vec![view.offset.as_const()?];
    for factor in pairs {
        let size = factor.size.as_const().filter(|size| *size > 0)?;
        let stride = factor.stride.as_const()?;
        let count = usize::try_from(size).ok()?.checked_mul(offsets.len())?;
        if count > MAX_PAIRS {
            return None;
        }
        let steps = |start: &i64| {
            let start = *start;
            (0..size).map(move |step| start.saturating_add(step.saturating_mul(stride)))
        };
        offsets = offsets.iter().flat_map(steps).collect();
    }
    let is_splat = values.len() == 1;
    let read = |offset: i64| {
        let offset = if is_splat { 0 } else { usize::try_from(offset).ok()? };
        values.get(offset).map(|value| value.get())
    };
    offsets.into_iter().map(read).collect()
}

/// The integers behind the cast to float, if the window takes one of them for each token; the indices by
/// which it gathers rows of a table whose positions count them; or the range of positions that it cuts
/// out of a table.
fn positions_of(graph: &Graph, value: ValueId, window: Window) -> Option<Positions> {
    integers(graph, value, window.clone()).or_else(|| {
        let form = index_form(graph, value)?;
        let strides: Shape = form.coefficients.iter().map(|step| Dim::from(*step)).collect();
        let numbers = View::strided(form.constant, &graph.ty(value).shape, &strides);
        match window.indices(numbers.clone()) {
            Some((indices, window, start)) => {
                let positions = integers(graph, indices, window)?;
                Some(Positions { start, ..positions })
            }
            None => range(&window.view_of(numbers)?, &window),
        }
    })
}

/// Positions that rise by one from token to token.
fn range(numbers: &View, window: &Window) -> Option<Positions> {
    let strides = numbers.strides()?;
    [2, 1].into_iter().find_map(|token_axis| {
        let tokens = window.shape().get(token_axis)?;
        let is_counted = strides.iter().enumerate().all(|(axis, stride)| {
            if axis == token_axis { stride.is(1) || tokens.is(1) } else { stride.is(0) }
        });
        let shape = Shape::from_iter([tokens.clone()]);
        let start = numbers.offset.clone();
        is_counted.then_some(Positions { value: None, start, shape, token_axis })
    })
}

fn integers(graph: &Graph, mut value: ValueId, mut window: Window) -> Option<Positions> {
    while !graph.ty(value).dtype.is_int() {
        let source = graph.operand(value.node, 0)?;
        if matches!(graph.def(value), Op::Cast(_)) && graph.ty(source).dtype.is_int() {
            value = source;
        } else {
            (value, window) = window.step(graph, value)?;
        }
    }
    loop {
        if let Some(positions) = per_token(graph, value, &window) {
            return Some(positions);
        }
        let source = graph.operand(value.node, 0)?;
        match graph.def(value) {
            Op::Cast(_) if graph.ty(source).dtype == DType::I32 => value = source,
            op if op.is_view() => (value, window) = (source, window.behind(op.clone())),
            _ => return None,
        }
    }
}

fn per_token(graph: &Graph, value: ValueId, window: &Window) -> Option<Positions> {
    let ty = graph.ty(value);
    let view = window.view(&ty.shape)?;
    let batch = window.shape().first()?.clone();
    [2, 1].into_iter().find_map(|token_axis| {
        let tokens = window.shape().get(token_axis)?.clone();
        let shared = Shape::from_iter([tokens.clone()]);
        let own = Shape::from_iter([batch.clone(), tokens.clone()]);
        [shared, own].into_iter().find_map(|shape| {
            let mut apart: Shape = std::iter::repeat_n(Dim::one(), 4).collect();
            *apart.get_mut(token_axis)? = tokens.clone();
            if shape.len() == 2 {
                *apart.get_mut(0)? = batch.clone();
            }
            let expected = View::dense(&shape)
                .apply(&Op::Reshape(Reshape { shape: apart }))?
                .apply(&Op::Broadcast(Broadcast { shape: window.shape().into() }))?;
            let is_same = ty.elements() == shape.iter().product() && view == expected;
            is_same.then_some(Positions {
                value: Some(value),
                start: Dim::zero(),
                shape,
                token_axis,
            })
        })
    })
}
