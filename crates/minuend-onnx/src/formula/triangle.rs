//! Matrices of two values, one on and above a diagonal and the other below.

use minuend_ir::ops::CompareOp;
use minuend_ir::{DType, Emit, Emitted, Graph};

use super::indices;
use crate::stored::Stored;

/// `upper` where `column >= row + diagonal`, else `lower`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Triangle {
    rows: usize,
    columns: usize,
    diagonal: i64,
    upper: f64,
    lower: f64,
}

impl Triangle {
    pub(super) fn of(stored: &Stored, rows: usize, columns: usize) -> Option<Triangle> {
        // The first row and the first column say which triangle it would be, at little cost.
        let width = stored.data.len().checked_div(rows.checked_mul(columns)?)?;
        let at = |row: usize, column: usize| {
            let start = (row * columns + column) * width;
            stored.data.get(start..start + width)
        };
        let (upper, lower) = (at(0, columns - 1)?, at(rows - 1, 0)?);
        if upper == lower {
            return None;
        }
        let first_row = (0..columns).take_while(|column| at(0, *column) == Some(lower)).count();
        let first_column = (0..rows).take_while(|row| at(*row, 0) == Some(upper)).count();
        let diagonal =
            i64::try_from(first_row).ok()? - i64::try_from(first_column.max(1)).ok()? + 1;
        for row in 0..rows {
            let bound = i64::try_from(row).ok()?.checked_add(diagonal)?;
            let bound = usize::try_from(bound.max(0)).ok()?.min(columns);
            let is_right = |column: usize| {
                at(row, column) == Some(if column >= bound { upper } else { lower })
            };
            if !(0..columns).all(is_right) {
                return None;
            }
        }
        let value = |bytes: &[u8]| {
            let one = Stored::new("", stored.dtype, Vec::new(), bytes.to_vec().into());
            let number = one.reals().and_then(|values| values.first().copied());
            let int = || one.ints().and_then(|values| values.first().map(|value| *value as f64));
            let truth =
                || one.bools().and_then(|values| values.first().map(|v| f64::from(u8::from(*v))));
            number.or_else(int).or_else(truth)
        };
        let (upper, lower) = (value(upper)?, value(lower)?);
        // Beyond this, an i64 is no f64.
        let is_exact = |value: f64| !stored.dtype.is_int() || value.abs() < 9e15;
        (is_exact(upper) && is_exact(lower)).then_some(Triangle {
            rows,
            columns,
            diagonal,
            upper,
            lower,
        })
    }

    pub(super) fn emit(&self, stored: &Stored, graph: &mut Graph) -> Emitted {
        let column = indices(graph, self.columns, false)?;
        let row = indices(graph, self.rows, true)?;
        let diagonal = graph.int(self.diagonal)?;
        let bound = graph.add_values(row, diagonal)?;
        if stored.dtype == DType::Bool {
            let op = if self.upper != 0.0 { CompareOp::Ge } else { CompareOp::Lt };
            return graph.compare(op, column, bound);
        }
        let is_upper = graph.compare(CompareOp::Ge, column, bound)?;
        let mut side = |value: f64| {
            if stored.dtype.is_float() {
                graph.real(stored.dtype, value)
            } else {
                let value = graph.int(value as i64)?;
                graph.cast(value, stored.dtype)
            }
        };
        let (upper, lower) = (side(self.upper)?, side(self.lower)?);
        graph.select(is_upper, upper, lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: usize, columns: usize, value: impl Fn(i64, i64) -> f32) -> Stored {
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let data: Vec<u8> =
            cells.flat_map(|(r, c)| value(r as i64, c as i64).to_le_bytes()).collect();
        let shape = vec![rows, columns];
        Stored::new("m", DType::F32, shape, data.into())
    }

    #[test]
    fn every_diagonal_is_found() {
        for (rows, columns) in [(5, 5), (2, 7), (7, 3)] {
            for diagonal in 1 - rows as i64..columns as i64 {
                let upper =
                    |r: i64, c: i64| if c >= r + diagonal { f32::NEG_INFINITY } else { 0.0 };
                let found = Triangle::of(&matrix(rows, columns, upper), rows, columns);
                let expected =
                    Triangle { rows, columns, diagonal, upper: f64::NEG_INFINITY, lower: 0.0 };
                // Corners decide: a triangle that holds none of the other value there is no triangle.
                let has_corners = diagonal < columns as i64 && diagonal > 1 - rows as i64;
                assert_eq!(found, has_corners.then_some(expected), "{rows} {columns} {diagonal}");
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(Triangle::of(&matrix(4, 4, |_, _| 1.0), 4, 4), None);
        assert_eq!(Triangle::of(&matrix(4, 4, |r, c| (r * c) as f32), 4, 4), None);
        let bent = |r: i64, c: i64| if c > r || (r, c) == (2, 1) { 1.0 } else { 0.0 };
        assert_eq!(Triangle::of(&matrix(4, 4, bent), 4, 4), None);
    }
}
