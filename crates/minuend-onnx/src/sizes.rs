//! Arithmetic on integers that are known as functions of the sizes.
//!
//! Exported graphs compute shapes by nodes. What these nodes do is done here on [`Sizes`], so that no node of
//! the graph is left of it. `Ok(None)` means that a value is not known as a function of sizes; the caller
//! then computes it in the graph.

use std::cmp::Ordering;

use minuend_ir::{Dim, SymbolTable};

use crate::value::{MOST_SIZES, Sizes};

/// A function of two sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SizeOp {
    Add,
    Sub,
    Mul,
    /// Towards zero.
    Div,
    /// With the sign of the divisor.
    Mod,
    Min,
    Max,
}

impl SizeOp {
    /// Applied to two sizes, if the result is a size again.
    pub(crate) fn apply(self, a: &Dim, b: &Dim, symbols: &SymbolTable) -> Option<Dim> {
        match self {
            SizeOp::Add => Some(a + b),
            SizeOp::Sub => Some(a - b),
            SizeOp::Mul => Some(a * b),
            SizeOp::Div => match (a.as_const(), b.as_const()) {
                (_, Some(0)) => None,
                (Some(a), Some(b)) => a.checked_div(b).map(Dim::from),
                _ => a.exact_div(b),
            },
            SizeOp::Mod => match (a.as_const(), b.as_const()) {
                (_, Some(0)) => None,
                (Some(a), Some(b)) => {
                    let rest = a.checked_rem(b)?;
                    let is_apart = rest != 0 && (rest < 0) != (b < 0);
                    Some(Dim::from(if is_apart { rest.checked_add(b)? } else { rest }))
                }
                _ => a.exact_div(b).map(|_| Dim::zero()),
            },
            SizeOp::Min => {
                smaller(a, b, symbols).map(|is_a| if is_a { a.clone() } else { b.clone() })
            }
            SizeOp::Max => {
                smaller(a, b, symbols).map(|is_a| if is_a { b.clone() } else { a.clone() })
            }
        }
    }
}

/// True if `a <= b` for all sizes, false if `a >= b` for all.
pub(crate) fn smaller(a: &Dim, b: &Dim, symbols: &SymbolTable) -> Option<bool> {
    if (b - a).at_least(0, symbols) {
        return Some(true);
    }
    (a - b).at_least(0, symbols).then_some(false)
}

/// How two sizes compare, if that is one answer for all sizes.
pub(crate) fn order(a: &Dim, b: &Dim, symbols: &SymbolTable) -> Option<Ordering> {
    if a == b {
        return Some(Ordering::Equal);
    }
    if (b - a).at_least(1, symbols) {
        return Some(Ordering::Less);
    }
    (a - b).at_least(1, symbols).then_some(Ordering::Greater)
}

/// `f` of each pair of elements, operands repeated along axes of size 1.
pub(crate) fn elementwise<T>(
    a: &Sizes,
    b: &Sizes,
    f: impl Fn(&Dim, &Dim) -> Option<T>,
) -> Option<(Vec<usize>, Vec<T>)> {
    let shape = broadcast(&a.shape, &b.shape)?;
    let count: usize = shape.iter().product();
    if count > MOST_SIZES {
        return None;
    }
    let pairs = (0..count).map(|index| {
        let left = a.elements.get(place(index, &shape, &a.shape)?)?;
        let right = b.elements.get(place(index, &shape, &b.shape)?)?;
        f(left, right)
    });
    let elements = pairs.collect::<Option<Vec<T>>>()?;
    Some((shape, elements))
}

/// The shape to which two shapes broadcast.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], axis: usize| {
        (axis + shape.len())
            .checked_sub(rank)
            .and_then(|axis| shape.get(axis))
            .copied()
            .unwrap_or(1)
    };
    (0..rank)
        .map(|axis| match (size(a, axis), size(b, axis)) {
            (a, b) if a == b => Some(a),
            (1, b) => Some(b),
            (a, 1) => Some(a),
            _ => None,
        })
        .collect()
}

/// Where the element `index` of a row-major tensor `shape` lies in an operand that broadcasts to it.
pub(crate) fn place(index: usize, shape: &[usize], operand: &[usize]) -> Option<usize> {
    let missing = shape.len().checked_sub(operand.len())?;
    let (mut rest, mut at, mut stride) = (index, 0usize, 1usize);
    for (axis, size) in shape.iter().enumerate().rev() {
        let own = rest.checked_rem(*size)?;
        rest = rest.checked_div(*size)?;
        let Some(operand_size) = axis.checked_sub(missing).and_then(|axis| operand.get(axis))
        else {
            continue;
        };
        if *operand_size != 1 {
            at += own * stride;
        }
        stride *= operand_size;
    }
    Some(at)
}

/// The elements at `indices` along an axis, which the axes of `indices` replace.
pub(crate) fn gathered(data: &Sizes, indices: &Sizes, axis: usize) -> Option<Sizes> {
    let size = *data.shape.get(axis)?;
    let chosen = indices.as_ints()?;
    let chosen = chosen.into_iter().map(|index| {
        let index = if index < 0 { index.checked_add(i64::try_from(size).ok()?)? } else { index };
        usize::try_from(index).ok().filter(|index| *index < size)
    });
    let chosen = chosen.collect::<Option<Vec<usize>>>()?;
    let (outer, inner) = (data.shape.get(..axis)?, data.shape.get(axis + 1..)?);
    let block: usize = inner.iter().product();
    let rows: usize = outer.iter().product();
    if rows.checked_mul(chosen.len())?.checked_mul(block)? > MOST_SIZES {
        return None;
    }
    let mut elements = Vec::new();
    for row in 0..rows {
        for index in &chosen {
            let start = (row * size + index) * block;
            elements.extend_from_slice(data.elements.get(start..start + block)?);
        }
    }
    let shape = [outer, &indices.shape, inner].concat();
    Some(Sizes { dtype: data.dtype, shape, elements })
}

/// The tensors one behind the other along an axis; all other axes agree.
pub(crate) fn concatenated(parts: &[Sizes], axis: usize) -> Option<Sizes> {
    let first = parts.first()?;
    let rows: usize = first.shape.get(..axis)?.iter().product();
    let mut shape = first.shape.clone();
    *shape.get_mut(axis)? = 0;
    let rest_of = |shape: &[usize]| {
        let mut shape = shape.to_vec();
        shape.get_mut(axis).map(std::mem::take).map(|size| (shape, size))
    };
    for part in parts {
        let (rest, size) = rest_of(&part.shape)?;
        let (own, _) = rest_of(&shape)?;
        if rest != own || part.dtype != first.dtype {
            return None;
        }
        *shape.get_mut(axis)? += size;
    }
    if shape.iter().product::<usize>() > MOST_SIZES {
        return None;
    }
    let mut elements = Vec::new();
    for row in 0..rows {
        for part in parts {
            let block = part.elements.len().checked_div(rows)?;
            elements.extend_from_slice(part.elements.get(row * block..(row + 1) * block)?);
        }
    }
    Some(Sizes { dtype: first.dtype, shape, elements })
}

#[cfg(test)]
mod tests {
    use super::*;
    use minuend_ir::DType;

    fn ints(shape: &[usize], values: &[i64]) -> Sizes {
        let elements = values.iter().copied().map(Dim::from).collect();
        Sizes { dtype: DType::I64, shape: shape.to_vec(), elements }
    }

    #[test]
    fn broadcasting_finds_the_operands_elements() {
        let (column, row) = (ints(&[2, 1], &[10, 20]), ints(&[3], &[1, 2, 3]));
        let symbols = SymbolTable::default();
        let (shape, sums) =
            elementwise(&column, &row, |a, b| SizeOp::Add.apply(a, b, &symbols)).unwrap();
        assert_eq!(shape, [2, 3]);
        assert_eq!(ints(&shape, &[11, 12, 13, 21, 22, 23]).elements, sums);
        assert!(elementwise(&ints(&[2], &[1, 2]), &row, |a, _| Some(a.clone())).is_none());
    }

    #[test]
    fn gather_and_concat_take_any_axis() {
        let data = ints(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        assert_eq!(gathered(&data, &ints(&[2], &[-1, 0]), 1), Some(ints(&[2, 2], &[3, 1, 6, 4])));
        assert_eq!(gathered(&data, &ints(&[], &[1]), 0), Some(ints(&[3], &[4, 5, 6])));
        assert_eq!(gathered(&data, &ints(&[], &[3]), 1), None);
        let joined = concatenated(&[data.clone(), ints(&[2, 1], &[7, 8])], 1);
        assert_eq!(joined, Some(ints(&[2, 4], &[1, 2, 3, 7, 4, 5, 6, 8])));
        assert_eq!(concatenated(&[data, ints(&[1, 1], &[7])], 1), None);
    }

    #[test]
    fn division_is_a_size_only_where_nothing_is_left() {
        let mut symbols = SymbolTable::default();
        let s = Dim::symbol(symbols.declare("S", 1, 9).unwrap());
        let div = |a: &Dim, b: i64| SizeOp::Div.apply(a, &b.into(), &symbols);
        assert_eq!(div(&(&s * 4), 2), Some(&s * 2));
        assert_eq!(div(&s, 2), None);
        assert_eq!(div(&Dim::from(-7), 2), Some(Dim::from(-3)));
        assert_eq!(div(&s, 0), None);
        assert_eq!(SizeOp::Mod.apply(&(-7).into(), &2.into(), &symbols), Some(Dim::from(1)));
        assert_eq!(SizeOp::Min.apply(&s, &9.into(), &symbols), Some(s.clone()));
        assert_eq!(SizeOp::Min.apply(&s, &5.into(), &symbols), None);
        assert_eq!(order(&s, &0.into(), &symbols), Some(Ordering::Greater));
        assert_eq!(order(&s, &5.into(), &symbols), None);
    }
}
