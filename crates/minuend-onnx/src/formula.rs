//! Stored tensors that are computed by a formula: triangles, and tables of cosines and sines.
//!
//! Data is not part of a graph, so no pass could see what a table holds. Where it holds what a formula of
//! its indices gives, the graph computes it: passes then see a causal mask or the angles of a rotation.

mod rotary;
mod triangle;

use std::rc::Rc;

use minuend_ir::{Dim, Emit, Emitted, Graph, TypeError, ValueId};

use crate::stored::Stored;
use rotary::RotaryTable;
use triangle::Triangle;

/// What a stored matrix is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Formula {
    Triangle(Triangle),
    Rotary(RotaryTable),
}

impl Formula {
    /// The formula of a tensor `[1, .., 1, rows, columns]`, if it has one.
    pub(crate) fn of(stored: &Stored) -> Option<Formula> {
        let [outer @ .., rows, columns] = stored.shape.as_slice() else { return None };
        if *rows < 2 || *columns == 0 || outer.iter().any(|size| *size != 1) {
            return None;
        }
        let triangle = Triangle::of(stored, *rows, *columns).map(Formula::Triangle);
        triangle.or_else(|| RotaryTable::of(stored, *rows, *columns).map(Formula::Rotary))
    }
}

/// The tensor as an expression of its indices, if it has a formula. A table of cosines or sines is f32, whatever
/// is stored; all else has the stored type.
pub(crate) fn of(stored: &Rc<Stored>, graph: &mut Graph) -> Result<Option<ValueId>, TypeError> {
    let value = match stored.formula() {
        None => return Ok(None),
        Some(Formula::Triangle(triangle)) => triangle.emit(stored, graph)?,
        Some(Formula::Rotary(table)) => table.emit(graph)?,
    };
    let shape: Vec<Dim> = stored.shape.iter().copied().map(Dim::from).collect();
    graph.reshape(value, &shape).map(Some)
}

/// `0 .. size`, as a column or as a row.
fn indices(graph: &mut Graph, size: usize, is_column: bool) -> Emitted {
    let indices = graph.iota(Dim::from(size))?;
    if is_column { graph.reshape(indices, &[Dim::from(size), Dim::one()]) } else { Ok(indices) }
}
