//! Which elements of a value are looked at, followed from a result up to what it is computed from.

use minuend_ir::ops::{Broadcast, Concat, Reshape, Slice};
use minuend_ir::view::View;
use minuend_ir::{Dim, Emit, Graph, Op, Shape, ValueId};
use smallvec::SmallVec;

/// A part of a value, as the layout ops that take it, and at most one `gather` among them.
#[derive(Clone)]
pub(super) struct Window {
    /// The op next to the value is the last.
    ops: SmallVec<[Op; 4]>,
    rows: Option<Rows>,
    /// Shape of the part.
    shape: Shape,
}

/// Rows of a table that a `gather` takes by their indices.
#[derive(Clone)]
struct Rows {
    /// The table's axis.
    axis: usize,
    indices: ValueId,
    /// Shape of the indices.
    count: Shape,
    /// Shape of the rows.
    result: Shape,
    /// How many of the window's ops lie behind it.
    behind: usize,
}

impl Rows {
    /// From the indices to the gathered rows, as far as these are the indices themselves.
    fn spread(&self) -> [Op; 2] {
        let shape = self.result.iter().enumerate().map(|(axis, size)| {
            let is_index = (self.axis..self.axis + self.count.len()).contains(&axis);
            if is_index { size.clone() } else { Dim::one() }
        });
        let apart = Op::Reshape(Reshape { shape: shape.collect() });
        [apart, Op::Broadcast(Broadcast { shape: self.result.clone() })]
    }

    /// The rows as a view of what the table is a view of, if all rows of the table are the same.
    fn of_constant(&self, table: &View) -> Option<View> {
        if table.axes().get(self.axis)?.iter().any(|factor| !factor.stride.is(0)) {
            return None;
        }
        let mut one = table.shape();
        one.remove(self.axis);
        for _ in &self.count {
            one.insert(self.axis, Dim::one());
        }
        table
            .apply(&Op::Slice(Slice::range(self.axis, 0, 1)))?
            .apply(&Op::Reshape(Reshape { shape: one }))?
            .apply(&Op::Broadcast(Broadcast { shape: self.result.clone() }))
    }
}

impl Window {
    /// What a slice takes, of this shape.
    pub(super) fn of_slice(slice: Slice, shape: Shape) -> Window {
        Window { ops: SmallVec::from_iter([Op::Slice(slice)]), rows: None, shape }
    }

    /// Shape of the part.
    pub(super) fn shape(&self) -> &[Dim] {
        &self.shape
    }

    /// The elements of a value of that shape; `None` if strides cannot express them.
    pub(super) fn view(&self, shape: &[Dim]) -> Option<View> {
        self.view_of(View::dense(shape))
    }

    /// The elements of a value that is itself a view. Behind a `gather`, of rows that are all the same.
    pub(super) fn view_of(&self, value: View) -> Option<View> {
        let mut view = self.table(value)?;
        let Some(rows) = &self.rows else { return Some(view) };
        view = rows.of_constant(&view)?;
        self.ops.iter().take(rows.behind).rev().try_fold(view, |view, op| view.apply(op))
    }

    /// The table that rows are gathered from, as the view that it is of a value's own view; the window
    /// itself where nothing is gathered.
    fn table(&self, value: View) -> Option<View> {
        let behind = self.rows.as_ref().map_or(0, |rows| rows.behind);
        self.ops.iter().skip(behind).rev().try_fold(value, |view, op| view.apply(op))
    }

    /// The indices by which the window takes its rows, the window on them, and what is to be added to
    /// them: of a value that is the view `numbers` of the integers 0, 1, 2, and rises by one along the
    /// gathered axis and no other.
    pub(super) fn indices(&self, numbers: View) -> Option<(ValueId, Window, Dim)> {
        let rows = self.rows.as_ref()?;
        let table = self.table(numbers)?;
        for (axis, factors) in table.axes().iter().enumerate() {
            let is_expected = match factors.as_slice() {
                [factor] if axis == rows.axis => factor.stride.is(1),
                factors => axis != rows.axis && factors.iter().all(|factor| factor.stride.is(0)),
            };
            if !is_expected {
                return None;
            }
        }
        let mut ops: SmallVec<[Op; 4]> = self.ops.iter().take(rows.behind).cloned().collect();
        let [apart, repeat] = rows.spread();
        ops.extend([repeat, apart]);
        let window = Window { ops, rows: None, shape: self.shape.clone() };
        Some((rows.indices, window, table.offset))
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

    /// The elements in the source of a layout op, a cast between float types, a table of which rows are
    /// gathered, or the one part of a concatenation that holds them all.
    pub(super) fn step(self, graph: &Graph, value: ValueId) -> Option<(ValueId, Window)> {
        let source = graph.operand(value.node, 0)?;
        match graph.def(value) {
            Op::Concat(concat) => self
                .in_sliced_part(graph, value, *concat)
                .or_else(|| self.in_part(graph, value, *concat)),
            Op::Gather(gather) => self.of_rows(graph, value, gather.axis),
            Op::Cast(_) => {
                let is_float = |value| graph.ty(value).dtype.is_float();
                (is_float(value) && is_float(source)).then_some((source, self))
            }
            op if op.is_view() => Some((source, self.behind(op.clone()))),
            _ => None,
        }
    }

    fn of_rows(mut self, graph: &Graph, value: ValueId, axis: usize) -> Option<(ValueId, Window)> {
        let [table, indices] = graph.operands(value.node).as_slice().try_into().ok()?;
        if self.rows.is_some() {
            return None;
        }
        let count = graph.ty(indices).shape.clone();
        let result = graph.ty(value).shape.clone();
        self.rows = Some(Rows { axis, indices, count, result, behind: self.ops.len() });
        Some((table, self))
    }

    /// The part of a concatenation within which the window's slice along its axis lies.
    fn in_sliced_part(
        &self,
        graph: &Graph,
        value: ValueId,
        concat: Concat,
    ) -> Option<(ValueId, Window)> {
        let mut axis = concat.axis;
        let mut found = None;
        for (index, op) in self.ops.iter().enumerate().rev() {
            if let Some(rows) = self.rows.as_ref().filter(|rows| rows.behind == index + 1) {
                axis = match axis.cmp(&rows.axis) {
                    std::cmp::Ordering::Less => axis,
                    std::cmp::Ordering::Equal => return None,
                    std::cmp::Ordering::Greater => (axis + rows.count.len()).checked_sub(1)?,
                };
            }
            match op {
                Op::Slice(slice) if slice.axis == axis => {
                    found = Some((index, slice));
                    break;
                }
                Op::Slice(_) => {}
                _ => return None,
            }
        }
        let (index, slice) = found?;
        let last = slice.end.clone().unwrap_or_else(|| graph.size(value, concat.axis));
        let mut start = Dim::zero();
        for part in graph.operands(value.node) {
            let end = &start + graph.ty(part).shape.get(concat.axis)?;
            let symbols = graph.symbols();
            if (&slice.start - &start).at_least(0, symbols) && (&end - &last).at_least(0, symbols) {
                let moved = Slice {
                    start: &slice.start - &start,
                    end: Some(&last - &start),
                    ..slice.clone()
                };
                let mut window = self.clone();
                *window.ops.get_mut(index)? = Op::Slice(moved);
                if let Some(rows) = window.rows.as_mut().filter(|rows| index < rows.behind) {
                    *rows.result.get_mut(axis)? = graph.size(part, concat.axis);
                }
                return Some((part, window));
            }
            start = end;
        }
        None
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
                return Some((part, Window { ops, rows: None, shape: self.shape.clone() }));
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
