//! Functions of one, two or three elements at the same index.

use super::KernelError;
use super::view::{StridedMut, StridedRef, rows_per_task};

/// The view seen under `shape`: aligned at the last axis, axes of size 1 and missing outer axes repeated.
fn under<'a, T>(
    view: StridedRef<'a, T>,
    operand: &'static str,
    shape: &[usize],
) -> Result<StridedRef<'a, T>, KernelError> {
    let wrong = || KernelError::Shape {
        kernel: "elementwise",
        operand,
        found: view.shape().to_vec(),
        expected: shape.to_vec(),
    };
    let missing = shape.len().checked_sub(view.shape().len()).ok_or_else(wrong)?;
    let mut strides = vec![0; missing];
    for ((size, stride), target) in view.shape().iter().zip(view.strides()).zip(&shape[missing..]) {
        match *size {
            size if size == *target => strides.push(*stride),
            1 => strides.push(0),
            _ => return Err(wrong()),
        }
    }
    StridedRef::new(view.data(), shape, &strides)
}

/// Offset of the first element of a row of the leading axes, and the stride along the last.
struct Rows {
    shape: Vec<usize>,
    strides: Vec<usize>,
    step: usize,
}

impl Rows {
    fn of<T>(view: &StridedRef<'_, T>) -> Rows {
        let rank = view.shape().len().saturating_sub(1);
        Rows {
            shape: view.shape()[..rank].to_vec(),
            strides: view.strides()[..rank].to_vec(),
            step: view.strides().last().copied().unwrap_or(0),
        }
    }

    fn start(&self, mut row: usize) -> usize {
        let mut offset = 0;
        for (size, stride) in self.shape.iter().zip(&self.strides).rev() {
            offset += row % size * stride;
            row /= size;
        }
        offset
    }
}

/// `out[i] = f(x[i])`; `x` broadcasts to `out`.
pub(crate) fn map<T: Copy + Sync, U: Send>(
    x: StridedRef<'_, T>,
    out: StridedMut<'_, U>,
    f: impl Fn(T) -> U + Sync,
) -> Result<(), KernelError> {
    out.check_dense_rows("elementwise", "out")?;
    let x = under(x, "x", out.shape())?;
    let (rows, data) = (Rows::of(&x), x.data());
    out.into_shared().for_each_row(rows_per_task(x.row_len()), |row, out| {
        let start = rows.start(row);
        if rows.step == 1 {
            for (out, x) in out.iter_mut().zip(&data[start..]) {
                *out = f(*x);
            }
        } else {
            for (index, out) in out.iter_mut().enumerate() {
                *out = f(data[start + index * rows.step]);
            }
        }
    });
    Ok(())
}

/// `out[i] = f(a[i], b[i])`; both broadcast to `out`.
pub(crate) fn map2<A: Copy + Sync, B: Copy + Sync, U: Send>(
    a: StridedRef<'_, A>,
    b: StridedRef<'_, B>,
    out: StridedMut<'_, U>,
    f: impl Fn(A, B) -> U + Sync,
) -> Result<(), KernelError> {
    out.check_dense_rows("elementwise", "out")?;
    let (a, b) = (under(a, "a", out.shape())?, under(b, "b", out.shape())?);
    let (rows_a, rows_b) = (Rows::of(&a), Rows::of(&b));
    let (data_a, data_b) = (a.data(), b.data());
    out.into_shared().for_each_row(rows_per_task(a.row_len()), |row, out| {
        let (at_a, at_b) = (rows_a.start(row), rows_b.start(row));
        if rows_a.step == 1 && rows_b.step == 1 {
            for ((out, a), b) in out.iter_mut().zip(&data_a[at_a..]).zip(&data_b[at_b..]) {
                *out = f(*a, *b);
            }
        } else {
            for (index, out) in out.iter_mut().enumerate() {
                *out = f(data_a[at_a + index * rows_a.step], data_b[at_b + index * rows_b.step]);
            }
        }
    });
    Ok(())
}

/// `out[i] = if condition[i] then a[i] else b[i]`; all broadcast to `out`. A condition is 0 or 1.
pub(crate) fn select<T: Copy + Sync + Send>(
    condition: StridedRef<'_, u8>,
    a: StridedRef<'_, T>,
    b: StridedRef<'_, T>,
    out: StridedMut<'_, T>,
) -> Result<(), KernelError> {
    out.check_dense_rows("elementwise", "out")?;
    let condition = under(condition, "condition", out.shape())?;
    let (a, b) = (under(a, "a", out.shape())?, under(b, "b", out.shape())?);
    let rows = [Rows::of(&condition), Rows::of(&a), Rows::of(&b)];
    let (data_c, data_a, data_b) = (condition.data(), a.data(), b.data());
    out.into_shared().for_each_row(rows_per_task(a.row_len()), |row, out| {
        let [at_c, at_a, at_b] = [0, 1, 2].map(|operand: usize| rows[operand].start(row));
        for (index, out) in out.iter_mut().enumerate() {
            *out = if data_c[at_c + index * rows[0].step] != 0 {
                data_a[at_a + index * rows[1].step]
            } else {
                data_b[at_b + index * rows[2].step]
            };
        }
    });
    Ok(())
}

/// Calls `write(row, slice)` for every row of a dense view, in parallel.
pub(crate) fn fill_rows<T: Send>(
    out: StridedMut<'_, T>,
    write: impl Fn(usize, &mut [T]) + Sync,
) -> Result<(), KernelError> {
    out.check_dense_rows("fill_rows", "out")?;
    let row_len = out.shape().last().copied().unwrap_or(1);
    out.into_shared().for_each_row(rows_per_task(row_len), write);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_broadcast_and_stride() {
        let (a, b) = ([1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [10.0f32, 20.0]);
        let mut out = [0.0f32; 6];
        // a as [2, 3] read by columns of a [3, 2]; b as [2, 1].
        let a = StridedRef::new(&a, &[2, 3], &[1, 2]).unwrap();
        let b = StridedRef::new(&b, &[2, 1], &[1, 1]).unwrap();
        map2(a, b, StridedMut::dense(&mut out, &[2, 3]).unwrap(), |a, b| a + b).unwrap();
        assert_eq!(out, [11.0, 13.0, 15.0, 22.0, 24.0, 26.0]);
    }

    #[test]
    fn missing_axes_repeat_and_others_are_refused() {
        let data = [1u32, 2];
        let mut out = [0u32; 6];
        let x = || StridedRef::dense(&data, &[2]).unwrap();
        map(x(), StridedMut::dense(&mut out, &[3, 2]).unwrap(), |x| x * 10).unwrap();
        assert_eq!(out, [10, 20, 10, 20, 10, 20]);
        assert!(map(x(), StridedMut::dense(&mut out, &[2, 3]).unwrap(), |x| x).is_err());
        assert!(map(x(), StridedMut::dense(&mut out, &[]).unwrap(), |x| x).is_err());
    }

    #[test]
    fn select_takes_a_where_true() {
        let (c, a, b) = ([1u8, 0, 1], [1i64, 2, 3], [-1i64]);
        let mut out = [0i64; 3];
        select(
            StridedRef::dense(&c, &[3]).unwrap(),
            StridedRef::dense(&a, &[3]).unwrap(),
            StridedRef::dense(&b, &[1]).unwrap(),
            StridedMut::dense(&mut out, &[3]).unwrap(),
        )
        .unwrap();
        assert_eq!(out, [1, -1, 3]);
    }
}
