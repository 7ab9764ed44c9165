//! Layout algebra: which element of a base tensor each element of a view is.
//!
//! A view's axis is a list of factors, outermost first; a factor steps through `size` positions of the
//! base, `stride` elements apart. One factor is an ordinary strided axis. Several arise when a reshape
//! merges axes that lie apart in the base: grouped keys repeated per query head are
//! `[(kv_heads, T*d), (repeat, 0)]`. Passes decide by views which heads a slice selects; the plan
//! decides by them which layout ops cost nothing.

use smallvec::SmallVec;

use crate::dim::Dim;
use crate::graph::Graph;
use crate::op::Op;
use crate::ops::Slice;
use crate::tensor_type::Shape;
use crate::value::ValueId;

/// Steps through part of a base tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factor {
    /// Number of positions; never the constant 1.
    pub size: Dim,
    /// Elements of the base between positions; 0 repeats one element.
    pub stride: Dim,
}

/// The factors of one axis, outermost first; none for an axis of size 1.
pub type Factors = SmallVec<[Factor; 2]>;

/// How the elements of a view lie in its base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Position of the first element, in elements of the base.
    pub offset: Dim,
    axes: SmallVec<[Factors; 4]>,
}

impl View {
    /// A tensor in row-major order.
    pub fn dense(shape: &[Dim]) -> View {
        View::strided(Dim::zero(), shape, &dense_strides(shape))
    }

    /// A tensor with one stride per axis.
    pub fn strided(offset: Dim, shape: &[Dim], strides: &[Dim]) -> View {
        let axis = |(size, stride): (&Dim, &Dim)| {
            let factor = Factor { size: size.clone(), stride: stride.clone() };
            simplified([factor])
        };
        View { offset, axes: shape.iter().zip(strides).map(axis).collect() }
    }

    /// The factors of each axis.
    pub fn axes(&self) -> &[Factors] {
        &self.axes
    }

    /// Sizes of the axes.
    pub fn shape(&self) -> Shape {
        self.axes.iter().map(|factors| size_of(factors)).collect()
    }

    /// One stride per axis, 0 for axes of size 1; `None` if an axis needs several.
    pub fn strides(&self) -> Option<SmallVec<[Dim; 4]>> {
        self.axes
            .iter()
            .map(|factors| match factors.as_slice() {
                [] => Some(Dim::zero()),
                [factor] => Some(factor.stride.clone()),
                _ => None,
            })
            .collect()
    }

    /// The view of this view that a layout op makes; `None` for other ops, and for a reshape or slice
    /// that factors cannot express.
    pub fn apply(&self, op: &Op) -> Option<View> {
        match op {
            Op::Reshape(op) => self.reshape(&op.shape),
            Op::Transpose(op) => {
                let axes = op.perm.iter().map(|axis| self.axes.get(*axis).cloned());
                Some(View { offset: self.offset.clone(), axes: axes.collect::<Option<_>>()? })
            }
            Op::Slice(op) => self.slice(op),
            Op::Broadcast(op) => self.broadcast(&op.shape),
            _ => None,
        }
    }

    fn reshape(&self, shape: &[Dim]) -> Option<View> {
        if self.shape().iter().chain(shape).any(|dim| dim.is(0)) {
            return None;
        }
        let mut rest: SmallVec<[Factor; 8]> = self.axes.iter().flatten().cloned().collect();
        rest.reverse();
        let mut axes = SmallVec::new();
        for target in shape {
            let mut wanted = target.clone();
            let mut factors: SmallVec<[Factor; 4]> = SmallVec::new();
            while !wanted.is(1) {
                let factor = rest.pop()?;
                if let Some(more) = wanted.exact_div(&factor.size) {
                    wanted = more;
                    factors.push(factor);
                    continue;
                }
                let Some(inner) = factor.size.exact_div(&wanted) else {
                    // Sizes that do not divide each other, of one run of elements.
                    let next =
                        rest.pop().filter(|next| factor.stride == &next.stride * &next.size)?;
                    rest.push(Factor { size: &factor.size * &next.size, stride: next.stride });
                    continue;
                };
                factors.push(Factor { size: wanted, stride: &factor.stride * &inner });
                rest.push(Factor { size: inner, stride: factor.stride });
                break;
            }
            axes.push(simplified(factors));
        }
        rest.is_empty().then(|| View { offset: self.offset.clone(), axes })
    }

    fn slice(&self, slice: &Slice) -> Option<View> {
        let factors = self.axes.get(slice.axis)?;
        let size = size_of(factors);
        let end = slice.end.clone().unwrap_or_else(|| size.clone());
        let (start, step) = (&slice.start, i64::from(slice.step));
        let span = &end - start;
        let count = match span.as_const() {
            Some(span) => Dim::from((span + step - 1).checked_div(step)?),
            None => span.exact_div(&Dim::from(step))?,
        };
        let mut view = self.clone();
        if start.is(0) && end == size && step == 1 {
            return Some(view);
        }
        let (first, inner) = match factors.as_slice() {
            [] => (Factor { size: Dim::one(), stride: Dim::zero() }, Dim::one()),
            [first, inner @ ..] => (first.clone(), size_of(inner)),
        };
        let sliced = if factors.len() <= 1 {
            view.offset = &view.offset + &(start * &first.stride);
            simplified([Factor { size: count, stride: &first.stride * step }])
        } else if step == 1 {
            // A range of whole blocks of the outermost factor.
            let (from, to) = (start.exact_div(&inner)?, end.exact_div(&inner)?);
            view.offset = &view.offset + &(&from * &first.stride);
            let outer = Factor { size: &to - &from, stride: first.stride };
            simplified(std::iter::once(outer).chain(factors.iter().skip(1).cloned()))
        } else {
            // Every `step`-th position: the innermost factor takes whole steps.
            let last = factors.last()?;
            let kept = last.size.exact_div(&Dim::from(step))?;
            if end != size || start.as_const().is_none_or(|start| start < 0 || start >= step) {
                return None;
            }
            view.offset = &view.offset + &(start * &last.stride);
            let inner = Factor { size: kept, stride: &last.stride * step };
            let outer = factors.iter().take(factors.len() - 1).cloned();
            simplified(outer.chain(std::iter::once(inner)))
        };
        *view.axes.get_mut(slice.axis)? = sliced;
        Some(view)
    }

    fn broadcast(&self, shape: &[Dim]) -> Option<View> {
        let missing = shape.len().checked_sub(self.axes.len())?;
        let axis = |(index, target): (usize, &Dim)| {
            let own = index.checked_sub(missing).and_then(|axis| self.axes.get(axis));
            match own {
                Some(factors) if size_of(factors) == *target => factors.clone(),
                _ => simplified([Factor { size: target.clone(), stride: Dim::zero() }]),
            }
        };
        Some(View {
            offset: self.offset.clone(),
            axes: shape.iter().enumerate().map(axis).collect(),
        })
    }
}

/// Row-major strides of a shape, in elements.
pub fn dense_strides(shape: &[Dim]) -> SmallVec<[Dim; 4]> {
    let mut strides: SmallVec<[Dim; 4]> = SmallVec::new();
    let mut stride = Dim::one();
    for size in shape.iter().rev() {
        strides.push(stride.clone());
        stride = &stride * size;
    }
    strides.reverse();
    strides
}

/// Number of positions that factors step through.
pub fn size_of(factors: &[Factor]) -> Dim {
    factors.iter().map(|factor| &factor.size).product()
}

/// Drops factors of size 1 and joins neighbours that step evenly.
pub fn simplified(factors: impl IntoIterator<Item = Factor>) -> Factors {
    let mut joined = Factors::new();
    for factor in factors.into_iter().filter(|factor| !factor.size.is(1)) {
        match joined.last_mut() {
            Some(outer) if outer.stride == &factor.size * &factor.stride => {
                outer.size = &outer.size * &factor.size;
                outer.stride = factor.stride;
            }
            _ => joined.push(factor),
        }
    }
    joined
}

/// Follows layout ops from a value up to what they view: the base and the value's view of it.
pub fn trace(graph: &Graph, value: ValueId) -> (ValueId, View) {
    trace_to(graph, value, |_| false)
}

/// As [`trace`], and stops early at a value for which `stop` holds.
pub fn trace_to(graph: &Graph, value: ValueId, stop: impl Fn(ValueId) -> bool) -> (ValueId, View) {
    let mut chain: SmallVec<[ValueId; 8]> = SmallVec::new();
    let mut base = value;
    while !stop(base) && graph.def(base).is_view() {
        chain.push(base);
        let Some(source) = graph.operand(base.node, 0) else { break };
        base = source;
    }
    // The longest suffix of the chain that factors can express.
    loop {
        let start = View::dense(&graph.ty(base).shape);
        let view = chain.iter().rev().try_fold(start, |view, op| view.apply(graph.def(*op)));
        match (view, chain.pop()) {
            (Some(view), _) => return (base, view),
            (None, Some(next)) => base = next,
            (None, None) => return (value, View::dense(&graph.ty(value).shape)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Broadcast, Reshape, Transpose};
    use crate::symbol::SymbolTable;

    fn dims(sizes: &[i64]) -> Shape {
        sizes.iter().map(|size| Dim::from(*size)).collect()
    }

    fn reshape(sizes: &[i64]) -> Op {
        Op::Reshape(Reshape { shape: dims(sizes) })
    }

    #[test]
    fn strided_slice_and_reshape_select_are_one_view() {
        let dense = View::dense(&dims(&[2, 8, 5, 4]));
        let strided = dense.apply(&Op::Slice(Slice::strided(1, 1, 2))).unwrap();
        let select = dense
            .apply(&reshape(&[2, 4, 2, 5, 4]))
            .and_then(|view| view.apply(&Op::Slice(Slice::range(2, 1, 2))))
            .and_then(|view| view.apply(&reshape(&[2, 4, 5, 4])))
            .unwrap();
        assert_eq!(strided, select);
        assert_eq!(strided.offset, Dim::from(20));
        assert_eq!(strided.strides().unwrap().as_slice(), dims(&[160, 40, 4, 1]).as_slice());
    }

    #[test]
    fn repeated_groups_keep_their_factors() {
        let dense = View::dense(&dims(&[2, 3, 5]));
        let repeated = dense
            .apply(&reshape(&[2, 3, 1, 5]))
            .and_then(|view| view.apply(&Op::Broadcast(Broadcast { shape: dims(&[2, 3, 4, 5]) })))
            .and_then(|view| view.apply(&reshape(&[2, 12, 5])))
            .unwrap();
        let heads = &repeated.axes()[1];
        assert_eq!(heads.len(), 2);
        assert_eq!((heads[0].size.as_const(), heads[1].stride.as_const()), (Some(3), Some(0)));
        assert!(repeated.strides().is_none());
        let every_second = repeated.apply(&Op::Slice(Slice::strided(1, 1, 2))).unwrap();
        assert_eq!(every_second.shape(), dims(&[2, 6, 5]));
        assert_eq!(every_second.offset, Dim::zero());
        let half = repeated.apply(&Op::Slice(Slice::range(1, 4, 12))).unwrap();
        assert_eq!(half.offset, Dim::from(5));
        assert!(repeated.apply(&Op::Slice(Slice::range(1, 2, 12))).is_none());
    }

    #[test]
    fn sizes_that_do_not_divide_each_other_are_one_run() {
        let mut symbols = SymbolTable::default();
        let b = Dim::symbol(symbols.declare("B", 1, 9).unwrap());
        let shape = [Dim::from(2), b.clone(), Dim::from(4)];
        let turned = [b.clone(), Dim::from(2), Dim::from(4)];
        let to = |shape: &[Dim]| Op::Reshape(Reshape { shape: shape.into() });
        assert_eq!(View::dense(&shape).apply(&to(&turned)), Some(View::dense(&turned)));
        let transpose = Op::Transpose(Transpose { perm: SmallVec::from_slice(&[1, 0, 2]) });
        let moved = View::dense(&shape).apply(&transpose).unwrap();
        assert!(moved.apply(&to(&[Dim::from(2), b, Dim::from(4)])).is_none());
    }

    #[test]
    fn a_reshape_across_a_transpose_is_refused() {
        let view = View::dense(&dims(&[4, 6]))
            .apply(&Op::Transpose(Transpose { perm: SmallVec::from_slice(&[1, 0]) }))
            .unwrap();
        assert!(view.apply(&reshape(&[24])).is_some_and(|flat| flat.strides().is_none()));
        assert_eq!(view.strides().unwrap().as_slice(), dims(&[1, 6]).as_slice());
        assert!(view.apply(&reshape(&[8, 3])).is_none());
        assert!(view.apply(&reshape(&[2, 3, 4])).is_some());
    }

    #[test]
    fn symbols_divide_out() {
        let mut symbols = SymbolTable::default();
        let s = Dim::symbol(symbols.declare("S", 1, 64).unwrap());
        let view = View::dense(&[s.clone(), Dim::from(48)])
            .apply(&Op::Reshape(Reshape {
                shape: smallvec::smallvec![s.clone(), 6.into(), 8.into()],
            }))
            .and_then(|view| {
                view.apply(&Op::Transpose(Transpose { perm: SmallVec::from_slice(&[1, 0, 2]) }))
            })
            .unwrap();
        assert_eq!(view.strides().unwrap().as_slice(), dims(&[8, 48, 1]).as_slice());
        assert_eq!(view.shape().as_slice(), &[Dim::from(6), s, Dim::from(8)]);
    }
}
