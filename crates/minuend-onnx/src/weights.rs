//! The stored tensors that a graph names.

use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use minuend_ir::DType;

use crate::stored::Stored;

/// A stored tensor in row-major order, little endian.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightData {
    /// Element type.
    pub dtype: DType,
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// The elements; not aligned to the element type.
    pub data: Bytes,
}

/// Tensors by the names that the graph's weights have.
#[derive(Clone, Debug, Default)]
pub(crate) struct WeightTable {
    tensors: HashMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    stored: Stored,
    /// The two axes are exchanged.
    is_transposed: bool,
}

/// Behind the name of a matrix whose axes are exchanged.
const TRANSPOSED: &str = "^T";

impl WeightTable {
    /// Names a tensor as it is stored.
    pub(crate) fn add(&mut self, stored: &Rc<Stored>) -> String {
        self.insert(stored.name.clone(), stored, false)
    }

    /// Names a matrix `[k, n]` as `[n, k]`, the order in which checkpoints store projections and kernels
    /// read them.
    pub(crate) fn add_transposed(&mut self, stored: &Rc<Stored>) -> String {
        self.insert(format!("{}{TRANSPOSED}", stored.name), stored, true)
    }

    /// Another tensor of the same name (in an inner graph) gets a number.
    fn insert(&mut self, name: String, stored: &Rc<Stored>, is_transposed: bool) -> String {
        let mut unique = name.clone();
        let mut number = 1usize;
        while let Some(entry) = self.tensors.get(&unique) {
            if entry.is_transposed == is_transposed && entry.stored == **stored {
                return unique;
            }
            number += 1;
            unique = format!("{name}.{number}");
        }
        self.tensors.insert(unique.clone(), Entry { stored: (**stored).clone(), is_transposed });
        unique
    }

    /// The tensor of that name. Transposed ones are made anew by each call.
    pub(crate) fn get(&self, name: &str) -> Option<WeightData> {
        let Entry { stored, is_transposed } = self.tensors.get(name)?;
        let mut shape = stored.shape.clone();
        let mut data = stored.data.clone();
        if let ([rows, columns], true) = (shape.as_slice(), is_transposed) {
            data = transposed(&data, *rows, *columns)?;
            shape.reverse();
        }
        Some(WeightData { dtype: stored.dtype, shape, data })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }
}

/// `[rows, columns]` as `[columns, rows]`, in blocks, so that a cache line is read once.
fn transposed(data: &[u8], rows: usize, columns: usize) -> Option<Bytes> {
    const BLOCK: usize = 32;
    let width = data.len().checked_div(rows.checked_mul(columns)?)?;
    let mut out = Vec::new();
    out.try_reserve_exact(data.len()).ok()?;
    out.resize(data.len(), 0u8);
    for row_block in (0..rows).step_by(BLOCK) {
        for column_block in (0..columns).step_by(BLOCK) {
            for column in column_block..(column_block + BLOCK).min(columns) {
                for row in row_block..(row_block + BLOCK).min(rows) {
                    let (from, to) =
                        ((row * columns + column) * width, (column * rows + row) * width);
                    out[to..to + width].copy_from_slice(&data[from..from + width]);
                }
            }
        }
    }
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_are_turned() {
        let (rows, columns) = (37, 70);
        let element = |row: usize, column: usize| (row * 100 + column) as i64;
        let values = (0..rows).flat_map(|row| (0..columns).map(move |column| element(row, column)));
        let data: Vec<u8> = values.flat_map(i64::to_le_bytes).collect();
        let turned = transposed(&data, rows, columns).unwrap();
        let (turned, _) = turned.as_chunks::<8>();
        for row in 0..rows {
            for column in 0..columns {
                let found = i64::from_le_bytes(turned[column * rows + row]);
                assert_eq!(found, element(row, column));
            }
        }
    }
}
