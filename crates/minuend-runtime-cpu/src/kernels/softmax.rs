//! Softmax over the last axis.

use pulp::{Simd, WithSimd};

use super::exponential::exp_lanes;
use super::view::rows_per_task;
use super::{KernelError, StridedMut, StridedRef};

/// `out = exp(x - max(x)) / sum(exp(x - max(x)))` over the last axis. A row of nothing but `-inf`
/// has no distribution and gives NaN.
///
/// # Errors
/// Unequal shapes, or a strided last axis.
pub fn softmax(x: StridedRef<'_, f32>, out: StridedMut<'_, f32>) -> Result<(), KernelError> {
    const KERNEL: &str = "softmax";
    x.check_shape(KERNEL, "x", out.shape())?;
    x.check_dense_rows(KERNEL, "x")?;
    out.check_dense_rows(KERNEL, "out")?;
    let rows = rows_per_task(x.row_len());
    let arch = pulp::Arch::new();
    out.into_shared().for_each_row(rows, |row, out| arch.dispatch(Row { x: x.row(row), out }));
    Ok(())
}

struct Row<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x, x_tail) = S::as_simd_f32s(self.x);
        let mut lanes = simd.splat_f32s(f32::NEG_INFINITY);
        for vector in x {
            lanes = simd.max_f32s(lanes, *vector);
        }
        let max = x_tail.iter().fold(simd.reduce_max_f32s(lanes), |max, v| max.max(*v));
        let shift = simd.splat_f32s(max);
        let (out, out_tail) = S::as_mut_simd_f32s(self.out);
        let mut sums = simd.splat_f32s(0.0);
        for (out, x) in out.iter_mut().zip(x) {
            *out = exp_lanes(simd, simd.sub_f32s(*x, shift));
            sums = simd.add_f32s(sums, *out);
        }
        let tail = exp_lanes(simd, simd.sub_f32s(simd.partial_load_f32s(x_tail), shift));
        simd.partial_store_f32s(out_tail, tail);
        let sum = simd.reduce_sum_f32s(sums) + out_tail.iter().sum::<f32>();
        let inverse = 1.0 / sum;
        for out in out {
            *out = simd.mul_f32s(*out, simd.splat_f32s(inverse));
        }
        out_tail.iter_mut().for_each(|v| *v *= inverse);
    }
}

#[cfg(test)]
mod tests {
    use super::super::on_every_simd;
    use super::super::test_values::{Source, in_pool};
    use super::*;

    #[test]
    fn rows_of_every_length() {
        for (rows, len) in [(1, 1), (3, 5), (4, 16), (5, 31), (40, 400), (0, 3), (3, 0)] {
            let mut source = Source::new(1);
            let x = source.floats(rows * (len + 1), 60.0);
            let mut out = vec![0.0f32; rows * len];
            in_pool(2, || {
                let x = StridedRef::new(&x, &[rows, len], &[len + 1, 1]).unwrap();
                softmax(x, StridedMut::dense(&mut out, &[rows, len]).unwrap()).unwrap();
            });
            for row in 0..rows {
                let x: Vec<f64> =
                    x[row * (len + 1)..][..len].iter().map(|v| f64::from(*v)).collect();
                let max = x.iter().copied().fold(f64::MIN, f64::max);
                let sum: f64 = x.iter().map(|v| (v - max).exp()).sum();
                for (c, v) in x.iter().enumerate() {
                    let expected = (v - max).exp() / sum;
                    let found = f64::from(out[row * len + c]);
                    // `x - max` is rounded at a magnitude up to 120, which `exp` turns into a
                    // relative error; numbers below the normal range are flushed.
                    let bound = 1e-5 * expected + f64::from(f32::MIN_POSITIVE);
                    assert!((found - expected).abs() <= bound, "{found} {expected}");
                }
            }
        }
    }

    struct Softmax([f32; 3]);
    impl WithSimd for Softmax {
        type Output = [f32; 3];
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> [f32; 3] {
            let mut out = [0.0; 3];
            Row { x: &self.0, out: &mut out }.with_simd(simd);
            out
        }
    }

    #[test]
    fn limits() {
        let inf = f32::INFINITY;
        on_every_simd(|| Softmax([1e30, -inf, -1e30]), |v| assert_eq!(v, [1.0, 0.0, 0.0]));
        on_every_simd(|| Softmax([-1e30; 3]), |v| assert_eq!(v, [1.0 / 3.0; 3]));
        on_every_simd(|| Softmax([-inf; 3]), |v| assert!(v.iter().all(|v| v.is_nan())));
        on_every_simd(|| Softmax([0.0, f32::NAN, 1.0]), |v| assert!(v.iter().all(|v| v.is_nan())));
    }
}
