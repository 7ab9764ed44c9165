//! The way from a value up to what it is computed from.

use minuend_ir::ops::Broadcast;
use minuend_ir::view::View;
use minuend_ir::{Graph, Op, ValueId};

/// A walk from a value against the dataflow. Layout ops are remembered, so that the value is known as a
/// view of the place reached; float casts are passed without a trace, as they mean the same number.
#[derive(Clone, Debug)]
pub(crate) struct Trail {
    /// The place reached.
    pub(crate) at: ValueId,
    /// The values left behind, the start first.
    pub(crate) passed: Vec<ValueId>,
    /// The layout ops left behind, the one next to the start first.
    layout: Vec<Op>,
    /// How many elementwise ops were passed.
    pub(crate) entered: usize,
}

impl Trail {
    /// A walk that has not begun.
    pub(crate) fn from(start: ValueId) -> Trail {
        Trail { at: start, passed: Vec::new(), layout: Vec::new(), entered: 0 }
    }

    /// Passes one layout op or float cast; false if there is none.
    pub(crate) fn step(&mut self, graph: &Graph) -> bool {
        let op = graph.def(self.at);
        let Some(source) = graph.operand(self.at.node, 0) else { return false };
        match op {
            op if op.is_view() => self.layout.push(op.clone()),
            Op::Cast(_) if is_float(graph, self.at) && is_float(graph, source) => {}
            _ => return false,
        }
        self.passed.push(self.at);
        self.at = source;
        true
    }

    /// Passes layout ops and float casts as far as they go.
    pub(crate) fn climb(mut self, graph: &Graph) -> Trail {
        while self.step(graph) {}
        self
    }

    /// Passes an elementwise op towards one of its operands, which broadcasts to the result.
    pub(crate) fn enter(mut self, graph: &Graph, operand: ValueId) -> Trail {
        let shape = &graph.ty(self.at).shape;
        if graph.ty(operand).shape != *shape {
            self.layout.push(Op::Broadcast(Broadcast { shape: shape.clone() }));
        }
        self.passed.push(self.at);
        self.at = operand;
        self.entered += 1;
        self
    }

    /// The start as a view of the place reached.
    pub(crate) fn view(&self, graph: &Graph) -> Option<View> {
        self.seen(View::dense(&graph.ty(self.at).shape))
    }

    /// The start as a view of whatever the place reached is a view of.
    pub(crate) fn seen(&self, place: View) -> Option<View> {
        self.layout.iter().rev().try_fold(place, |view, op| view.apply(op))
    }
}

fn is_float(graph: &Graph, value: ValueId) -> bool {
    graph.ty(value).dtype.is_float()
}
