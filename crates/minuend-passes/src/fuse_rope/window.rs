//! Which elements of a value are looked at, followed from a result up to what it is computed from.

use minuend_ir::ops::{Broadcast, Concat, Reshape, Slice};
use minuend_ir::view::View;
use minuend_ir::{Dim, Graph, Op, Shape, ValueId};
use smallvec::SmallVec;

/// A part of a value, as the layout ops that take it.
#[derive(Clone)]
pub(super) struct Window {
    /// The op next to the value is the last.
    ops: SmallVec<[Op; 4]>,
    /// Shape of the part.
    shape: Shape,
}

impl Window {
    /// What a slice takes, of this shape.
    pub(super) fn of_slice(slice: Slice, shape: Shape) -> Window {
        Window { ops: SmallVec::from_iter([Op::Slice(slice)]), shape }
    }

    /// Shape of the part.
    pub(super) fn shape(&self) -> &[Dim] {
        &self.shape
    }

    /// The elements of a value of that shape; `None` if strides cannot express them.
    pub(super) fn view(&self, shape: &[Dim]) -> Option<View> {
        self.view_of(View::dense(shape))
    }

    /// The elements of a value that is itself a view.
    pub(super) fn view_of(&self, value: View) -> Option<View> {
        self.ops.iter().rev().try_fold(value, |view, op| view.apply(op))
    }

    /// The same elements, sought in the operand of the layout op that computes the value.
    pub(super) fn behind(mut self, op: Op) -> Window {
        self.ops.push(op);
        self
    }

    /// The same elements, sought in an operand that an elementwise op repeats to `shape`.
    pub(super) fn repeated(self, graph: &Graph, operand: ValueId, shape: &Shape) -> Window {
        if graph.ty(operand).shape == *shape {
            return self;
        }
        self.behind(Op::Broadcast(Broadcast { shape: shape.clone() }))
    }

    /// The elements in the source of a layout op, a cast between float types, or the one part of a
    /// concatenation that holds them all.
    pub(super) fn step(self, graph: &Graph, value: ValueId) -> Option<(ValueId, Window)> {
        let source = graph.operand(value.node, 0)?;
        match graph.def(value) {
            Op::Concat(concat) => self.in_part(graph, value, *concat),
            Op::Cast(_) => {
                let is_float = |value| graph.ty(value).dtype.is_float();
                (is_float(value) && is_float(source)).then_some((source, self))
            }
            op if op.is_view() => Some((source, self.behind(op.clone()))),
            _ => None,
        }
    }

    /// The part of a concatenation that is exactly the window, but for repetition.
    fn in_part(&self, graph: &Graph, value: ValueId, concat: Concat) -> Option<(ValueId, Window)> {
        let whole = &graph.ty(value).shape;
        let view = self.view(whole)?;
        let apart = Op::Reshape(Reshape { shape: unrepeated(&view)? });
        let repeat = Op::Broadcast(Broadcast { shape: self.shape.clone() });
        let mut start = Dim::zero();
        for part in graph.operands(value.node) {
            let end = &start + graph.ty(part).shape.get(concat.axis)?;
            let slice = Op::Slice(Slice::range(concat.axis, start, end.clone()));
            let ops = [&slice, &apart, &repeat];
            let taken = ops.into_iter().try_fold(View::dense(whole), |view, op| view.apply(op));
            if taken.as_ref() == Some(&view) {
                let ops = SmallVec::from_iter([repeat, apart]);
                return Some((part, Window { ops, shape: self.shape.clone() }));
            }
            start = end;
        }
        None
    }
}

/// The shape with 1 for the axes that only repeat; `None` if an axis does both.
fn unrepeated(view: &View) -> Option<Shape> {
    let shape = view.shape();
    let axes = view.axes().iter().zip(&shape);
    axes.map(|(factors, size)| match factors.iter().filter(|factor| factor.stride.is(0)).count() {
        0 => Some(size.clone()),
        1 if factors.len() == 1 => Some(Dim::one()),
        _ => None,
    })
    .collect()
}
