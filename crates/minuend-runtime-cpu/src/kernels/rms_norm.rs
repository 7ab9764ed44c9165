//! Root-mean-square normalisation (Zhang and Sennrich, 2019), alone and after a residual sum.

use super::view::rows_per_task;
use super::{KernelError, StridedMut, StridedRef, WeightRef};

/// `out = x / sqrt(mean(x^2) + eps) * weight` over the last axis, `x` and `out` `[.., d]`, `weight`
/// `[d]` in its stored float type. The sum of squares is taken in f64.
///
/// # Errors
/// A shape that does not fit the others, or a strided last axis.
pub fn rms_norm(
    x: StridedRef<'_, f32>,
    weight: WeightRef<'_>,
    eps: f64,
    out: StridedMut<'_, f32>,
) -> Result<(), KernelError> {
    const KERNEL: &str = "rms_norm";
    x.check_shape(KERNEL, "x", out.shape())?;
    x.check_dense_rows(KERNEL, "x")?;
    out.check_dense_rows(KERNEL, "out")?;
    let weight = widened(KERNEL, weight, x.row_len())?;
    out.into_shared().for_each_row(rows_per_task(weight.len()), |row, to| {
        normalise(x.row(row), &weight, eps, to);
    });
    Ok(())
}

/// `sum = x + residual` and `normed = rms_norm(sum)`, all `[.., d]`; see [`rms_norm`].
///
/// # Errors
/// As [`rms_norm`].
pub fn add_rms_norm(
    x: StridedRef<'_, f32>,
    residual: StridedRef<'_, f32>,
    weight: WeightRef<'_>,
    eps: f64,
    sum: StridedMut<'_, f32>,
    normed: StridedMut<'_, f32>,
) -> Result<(), KernelError> {
    const KERNEL: &str = "add_rms_norm";
    x.check_shape(KERNEL, "x", sum.shape())?;
    x.check_dense_rows(KERNEL, "x")?;
    residual.check_shape(KERNEL, "residual", sum.shape())?;
    residual.check_dense_rows(KERNEL, "residual")?;
    sum.check_dense_rows(KERNEL, "sum")?;
    normed.check_shape(KERNEL, "normed", sum.shape())?;
    normed.check_dense_rows(KERNEL, "normed")?;
    let weight = widened(KERNEL, weight, x.row_len())?;
    let normed = normed.into_shared();
    sum.into_shared().for_each_row(rows_per_task(weight.len()), |row, sum| {
        for ((to, x), residual) in sum.iter_mut().zip(x.row(row)).zip(residual.row(row)) {
            *to = x + residual;
        }
        // SAFETY: each row is visited once, and `normed` has as many rows as `sum`.
        normalise(sum, &weight, eps, unsafe { normed.row_mut(row) });
    });
    Ok(())
}

/// The weight as f32: one row, read once per row of `x`.
fn widened(
    kernel: &'static str,
    weight: WeightRef<'_>,
    len: usize,
) -> Result<Vec<f32>, KernelError> {
    if weight.len() != len {
        return Err(KernelError::Shape {
            kernel,
            operand: "weight",
            found: vec![weight.len()],
            expected: vec![len],
        });
    }
    let mut wide = vec![0.0; len];
    weight.widen_into(0, &mut wide);
    Ok(wide)
}

fn normalise(x: &[f32], weight: &[f32], eps: f64, out: &mut [f32]) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            // Eight independent sums become vector lanes.
            let mut sums = [0.0f64; 8];
            let mut chunks = x.chunks_exact(8);
            for chunk in chunks.by_ref() {
                for (sum, v) in sums.iter_mut().zip(chunk) {
                    *sum += f64::from(*v) * f64::from(*v);
                }
            }
            let tail: f64 = chunks.remainder().iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
            let squares = sums.iter().sum::<f64>() + tail;
            let scale = (1.0 / (squares / x.len() as f64 + eps).sqrt()) as f32;
            for ((to, x), weight) in out.iter_mut().zip(x).zip(weight) {
                *to = x * scale * weight;
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::super::test_values::{Source, in_pool};
    use super::*;
    use half::{bf16, f16};

    fn expected(x: &[f64], weight: &dyn Fn(usize) -> f64, eps: f64) -> Vec<f64> {
        let mean = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
        x.iter().enumerate().map(|(i, v)| v / (mean + eps).sqrt() * weight(i)).collect()
    }

    fn assert_close(found: &[f32], expected: &[f64]) {
        for (found, expected) in found.iter().zip(expected) {
            // Three roundings: of the scale and of two products.
            let error = (f64::from(*found) - expected).abs();
            assert!(error <= 2.0 * f64::from(f32::EPSILON) * expected.abs(), "{found} {expected}");
        }
    }

    #[test]
    fn strided_rows_and_every_dtype() {
        let eps = 1e-5;
        for (outer, inner, d) in [(1, 1, 1), (2, 3, 7), (2, 5, 64), (3, 40, 513)] {
            let mut source = Source::new(9);
            let x = source.floats(outer * inner * (d + 2), 3.0);
            let weight = source.floats(d, 2.0);
            let half: Vec<f16> = weight.iter().map(|v| f16::from_f32(*v)).collect();
            let brain: Vec<bf16> = weight.iter().map(|v| bf16::from_f32(*v)).collect();
            // Axes swapped: rows in another order than memory.
            let strides = [d + 2, outer * (d + 2), 1];
            let view = StridedRef::new(&x, &[outer, inner, d], &strides).unwrap();
            let run = |weight| {
                let mut out = vec![0.0; outer * inner * d];
                let to = StridedMut::dense(&mut out, &[outer, inner, d]).unwrap();
                in_pool(2, || rms_norm(view, weight, eps, to)).unwrap();
                out
            };
            let outs = [
                run(WeightRef::F32(&weight)),
                run(WeightRef::F16(&half)),
                run(WeightRef::Bf16(&brain)),
            ];
            for o in 0..outer {
                for i in 0..inner {
                    let from = o * strides[0] + i * strides[1];
                    let row: Vec<f64> = x[from..from + d].iter().map(|v| f64::from(*v)).collect();
                    let at = (o * inner + i) * d;
                    let close = |out: &[f32], weight: &dyn Fn(usize) -> f64| {
                        assert_close(&out[at..at + d], &expected(&row, weight, eps));
                    };
                    close(&outs[0], &|c| f64::from(weight[c]));
                    close(&outs[1], &|c| f64::from(half[c]));
                    close(&outs[2], &|c| f64::from(brain[c]));
                }
            }
        }
    }

    #[test]
    fn residual_sum() {
        let (rows, d) = (5, 33);
        let mut source = Source::new(4);
        let x = source.floats(rows * d, 1.0);
        let residual = source.floats(rows * d, 1.0);
        let weight = source.floats(d, 1.0);
        let (mut sum, mut normed) = (vec![0.0; rows * d], vec![0.0; rows * d]);
        add_rms_norm(
            StridedRef::dense(&x, &[rows, d]).unwrap(),
            StridedRef::dense(&residual, &[rows, d]).unwrap(),
            WeightRef::F32(&weight),
            1e-6,
            StridedMut::dense(&mut sum, &[rows, d]).unwrap(),
            StridedMut::dense(&mut normed, &[rows, d]).unwrap(),
        )
        .unwrap();
        for row in 0..rows {
            let at = row * d..(row + 1) * d;
            let added: Vec<f32> =
                x[at.clone()].iter().zip(&residual[at.clone()]).map(|(a, b)| a + b).collect();
            assert_eq!(sum[at.clone()], added);
            let wide: Vec<f64> = added.iter().map(|v| f64::from(*v)).collect();
            assert_close(&normed[at], &expected(&wide, &|c| f64::from(weight[c]), 1e-6));
        }
    }

    #[test]
    fn empty_axes_and_wrong_shapes() {
        let none = StridedRef::dense(&[], &[0, 4]).unwrap();
        let to = StridedMut::dense(&mut [], &[0, 4]).unwrap();
        assert_eq!(rms_norm(none, WeightRef::F32(&[1.0; 4]), 0.0, to), Ok(()));
        let none = StridedRef::dense(&[], &[4, 0]).unwrap();
        let to = StridedMut::dense(&mut [], &[4, 0]).unwrap();
        assert_eq!(rms_norm(none, WeightRef::F32(&[]), 0.0, to), Ok(()));
        let mut out = [0.0; 4];
        let x = [1.0; 4];
        let x = StridedRef::dense(&x, &[4]).unwrap();
        let to = StridedMut::dense(&mut out, &[4]).unwrap();
        assert!(rms_norm(x, WeightRef::F32(&[1.0; 3]), 0.0, to).is_err());
    }

    #[test]
    fn squares_beyond_f32_range() {
        let x = [3e30f32, -3e30];
        let mut out = [0.0; 2];
        let to = StridedMut::dense(&mut out, &[1, 2]).unwrap();
        let from = StridedRef::dense(&x, &[1, 2]).unwrap();
        rms_norm(from, WeightRef::F32(&[1.0, 2.0]), 1e-6, to).unwrap();
        assert_close(&out, &[1.0, -2.0]);
    }
}
