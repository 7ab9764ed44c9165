//! Reductions, the largest element's index and softmax along any axis of a strided view.

use minuend_ir::ops::{ArgMax, Reduce, ReduceKind};

use super::KernelError;
use super::view::{StridedMut, StridedRef};

/// The view without one axis, and that axis' size and stride.
fn without_axis<'a>(
    x: &StridedRef<'a, f32>,
    axis: usize,
) -> Result<(Vec<usize>, Vec<usize>, usize, usize), KernelError> {
    let (mut shape, mut strides) = (x.shape().to_vec(), x.strides().to_vec());
    if axis >= shape.len() {
        let (kernel, operand) = ("along_axis", "x");
        return Err(KernelError::Rank { kernel, operand, found: shape.len(), expected: axis + 1 });
    }
    let (size, stride) = (shape.remove(axis), strides.remove(axis));
    Ok((shape, strides, size, stride))
}

/// Calls `visit(outer offset, inner offset)` for every index of `shape` under two sets of strides.
fn for_each_index(shape: &[usize], [a, b]: [&[usize]; 2], mut visit: impl FnMut(usize, usize)) {
    let count: usize = shape.iter().product();
    for flat in 0..count {
        let (mut rest, mut at_a, mut at_b) = (flat, 0, 0);
        for axis in (0..shape.len()).rev() {
            let index = rest % shape[axis];
            rest /= shape[axis];
            at_a += index * a[axis];
            at_b += index * b[axis];
        }
        visit(at_a, at_b);
    }
}

/// Combines the elements of the op's axis in f64; `out` has the shape of `x` with size 1 there.
pub(crate) fn reduce(
    x: StridedRef<'_, f32>,
    op: Reduce,
    out: StridedMut<'_, f32>,
) -> Result<(), KernelError> {
    let Reduce { kind, axis } = op;
    let (shape, strides, size, stride) = without_axis(&x, axis)?;
    let mut expected = x.shape().to_vec();
    expected[axis] = 1;
    out.check_shape("reduce", "out", &expected)?;
    let mut out_strides = out.strides().to_vec();
    out_strides.remove(axis);
    let data = x.data();
    let shared = out.into_shared();
    for_each_index(&shape, [&strides, &out_strides], |from, to| {
        let elements = (0..size).map(|index| data[from + index * stride]);
        let value = match kind {
            ReduceKind::Sum => elements.map(f64::from).sum::<f64>() as f32,
            ReduceKind::Mean => (elements.map(f64::from).sum::<f64>() / size as f64) as f32,
            ReduceKind::Max => elements.fold(f32::NEG_INFINITY, |max, x| {
                if x.is_nan() || max.is_nan() { f32::NAN } else { max.max(x) }
            }),
        };
        // SAFETY: `to` is the offset of an index of `out`, whose view was checked against its slice;
        // this is the only task that writes.
        unsafe { shared.pointer(to).write(value) };
    });
    Ok(())
}

/// The index of the largest finite element of the op's axis, of equals the lowest; -1 if none is finite.
/// `out` has the shape of `x` without that axis.
pub(crate) fn arg_max(
    x: StridedRef<'_, f32>,
    op: ArgMax,
    out: StridedMut<'_, i64>,
) -> Result<(), KernelError> {
    let (shape, strides, size, stride) = without_axis(&x, op.axis)?;
    out.check_shape("arg_max", "out", &shape)?;
    let out_strides = out.strides().to_vec();
    let data = x.data();
    let shared = out.into_shared();
    for_each_index(&shape, [&strides, &out_strides], |from, to| {
        let (mut best, mut most) = (-1, f32::NEG_INFINITY);
        for (index, element) in (0..size).map(|index| data[from + index * stride]).enumerate() {
            // Every finite element is above -inf, and NaN is above nothing.
            if element > most && element < f32::INFINITY {
                (best, most) = (index as i64, element);
            }
        }
        // SAFETY: as in `reduce`.
        unsafe { shared.pointer(to).write(best) };
    });
    Ok(())
}

/// Softmax along an axis that is not the dense last one.
pub(crate) fn softmax_along(
    x: StridedRef<'_, f32>,
    axis: usize,
    out: StridedMut<'_, f32>,
) -> Result<(), KernelError> {
    let (shape, strides, size, stride) = without_axis(&x, axis)?;
    out.check_shape("softmax", "out", x.shape())?;
    let mut out_strides = out.strides().to_vec();
    let out_stride = out_strides.remove(axis);
    let data = x.data();
    let shared = out.into_shared();
    for_each_index(&shape, [&strides, &out_strides], |from, to| {
        let element = |index: usize| data[from + index * stride];
        let max = (0..size).map(element).fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = (0..size).map(|index| f64::from((element(index) - max).exp())).sum();
        for index in 0..size {
            let value = (f64::from((element(index) - max).exp()) / sum) as f32;
            // SAFETY: as in `reduce`.
            unsafe { shared.pointer(to + index * out_stride).write(value) };
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_combined_where_they_lie() {
        let x = [1.0f32, 2.0, 3.0, 4.0, 5.0, f32::NAN];
        let view = || StridedRef::dense(&x, &[2, 3]).unwrap();
        let run = |kind, axis, shape: &[usize]| {
            let mut out = vec![0.0; shape.iter().product()];
            let to = StridedMut::dense(&mut out, shape).unwrap();
            reduce(view(), Reduce { kind, axis }, to).unwrap();
            out
        };
        assert_eq!(run(ReduceKind::Sum, 0, &[1, 3])[..2], [5.0, 7.0]);
        assert_eq!(run(ReduceKind::Mean, 1, &[2, 1])[0], 2.0);
        assert_eq!(run(ReduceKind::Max, 0, &[1, 3])[..2], [4.0, 5.0]);
        assert!(run(ReduceKind::Max, 1, &[2, 1])[1].is_nan());
        let empty = StridedRef::dense(&x, &[2, 0]).unwrap();
        let mut out = [7.0f32; 2];
        let to = StridedMut::dense(&mut out, &[2, 1]).unwrap();
        reduce(empty, Reduce { kind: ReduceKind::Max, axis: 1 }, to).unwrap();
        assert_eq!(out, [f32::NEG_INFINITY; 2]);
        let beyond = Reduce { kind: ReduceKind::Max, axis: 2 };
        assert!(reduce(view(), beyond, StridedMut::dense(&mut out, &[2]).unwrap()).is_err());
    }

    #[test]
    fn the_first_of_the_largest_finite_elements_is_found() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        #[rustfmt::skip]
        let x = [
            nan, 2.0, inf, 2.0,
            -inf, nan, inf, nan,
            -3.0, -1.0, -0.0, 0.0,
        ];
        let run = |x: StridedRef<'_, f32>, axis, shape: &[usize]| {
            let mut out = vec![7i64; shape.iter().product()];
            let to = StridedMut::dense(&mut out, shape).unwrap();
            arg_max(x, ArgMax { axis }, to).map(|()| out)
        };
        let view = || StridedRef::dense(&x, &[3, 4]).unwrap();
        assert_eq!(run(view(), 1, &[3]).unwrap(), [1, -1, 2]);
        assert_eq!(run(view(), 0, &[4]).unwrap(), [2, 0, 2, 0]);
        // Every second column, the axes swapped.
        let strided = || StridedRef::new(&x[1..], &[2, 3], &[2, 4]).unwrap();
        assert_eq!(run(strided(), 1, &[2]).unwrap(), [0, 0]);
        assert_eq!(run(strided(), 0, &[3]).unwrap(), [0, -1, 1]);
        assert_eq!(run(StridedRef::dense(&x, &[12]).unwrap(), 0, &[]).unwrap(), [1]);
        assert_eq!(run(StridedRef::dense(&x, &[2, 0]).unwrap(), 1, &[2]).unwrap(), [-1, -1]);
        assert!(run(view(), 2, &[3]).is_err());
        assert!(run(view(), 1, &[4]).is_err());
    }

    #[test]
    fn softmax_sums_to_one_along_its_axis() {
        let x = [0.0f32, 1.0, f32::NEG_INFINITY, 3.0];
        let mut out = [0.0f32; 4];
        let to = StridedMut::dense(&mut out, &[2, 2]).unwrap();
        softmax_along(StridedRef::dense(&x, &[2, 2]).unwrap(), 0, to).unwrap();
        assert!((out[0] - 1.0).abs() < 1e-7 && out[2] == 0.0);
        assert!((out[1] + out[3] - 1.0).abs() < 1e-6);
        assert!((out[3] / out[1] - 2f32.exp()).abs() < 1e-5);
    }
}
