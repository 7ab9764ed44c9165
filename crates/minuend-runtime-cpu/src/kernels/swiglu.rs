//! The gated activation of a SwiGLU feed-forward block (Shazeer, 2020).

use pulp::{Simd, WithSimd};

use super::exponential::sigmoid_lanes;
use super::view::rows_per_task;
use super::{KernelError, StridedMut, StridedRef};

/// `out = silu(gate) * up` with `silu(x) = x * sigmoid(x)`, all of one shape, typically the two
/// halves of one projection's output.
///
/// # Errors
/// Unequal shapes, or a strided last axis.
pub fn swiglu(
    gate: StridedRef<'_, f32>,
    up: StridedRef<'_, f32>,
    out: StridedMut<'_, f32>,
) -> Result<(), KernelError> {
    const KERNEL: &str = "swiglu";
    gate.check_shape(KERNEL, "gate", out.shape())?;
    gate.check_dense_rows(KERNEL, "gate")?;
    up.check_shape(KERNEL, "up", out.shape())?;
    up.check_dense_rows(KERNEL, "up")?;
    out.check_dense_rows(KERNEL, "out")?;
    let rows = rows_per_task(gate.row_len());
    let arch = pulp::Arch::new();
    out.into_shared().for_each_row(rows, |row, out| {
        arch.dispatch(Row { gate: gate.row(row), up: up.row(row), out });
    });
    Ok(())
}

struct Row<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (gate, gate_tail) = S::as_simd_f32s(self.gate);
        let (up, up_tail) = S::as_simd_f32s(self.up);
        let (out, out_tail) = S::as_mut_simd_f32s(self.out);
        for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
            *out = gated(simd, *gate, *up);
        }
        if !out_tail.is_empty() {
            let gate = simd.partial_load_f32s(gate_tail);
            let up = simd.partial_load_f32s(up_tail);
            simd.partial_store_f32s(out_tail, gated(simd, gate, up));
        }
    }
}

#[inline(always)]
fn gated<S: Simd>(simd: S, gate: S::f32s, up: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.mul_f32s(gate, sigmoid_lanes(simd, gate)), up)
}

#[cfg(test)]
mod tests {
    use super::super::test_values::{Source, in_pool};
    use super::*;

    #[test]
    fn halves_of_a_projection() {
        for (rows, width) in [(1, 1), (3, 15), (2, 16), (7, 33), (60, 300), (0, 5), (5, 0)] {
            let mut source = Source::new(6);
            let both = source.floats(rows * 2 * width, 40.0);
            let mut out = vec![0.0f32; rows * width];
            in_pool(2, || {
                let shape = [rows, width];
                let strides = [2 * width, 1];
                let up = both.get(width..).unwrap_or(&[]);
                swiglu(
                    StridedRef::new(&both, &shape, &strides).unwrap(),
                    StridedRef::new(up, &shape, &strides).unwrap(),
                    StridedMut::dense(&mut out, &shape).unwrap(),
                )
                .unwrap();
            });
            for row in 0..rows {
                for c in 0..width {
                    let gate = f64::from(both[row * 2 * width + c]);
                    let up = f64::from(both[row * 2 * width + width + c]);
                    let expected = gate / (1.0 + (-gate).exp()) * up;
                    let error = (f64::from(out[row * width + c]) - expected).abs();
                    assert!(error <= 1e-6 * expected.abs(), "silu({gate}) * {up}: {error}");
                }
            }
        }
    }

    #[test]
    fn limits() {
        let gate = [f32::MIN, -100.0, 0.0, 100.0, f32::MAX, f32::NAN];
        let mut out = [0.0f32; 6];
        let view = StridedRef::dense(&gate, &[6]).unwrap();
        let ones = StridedRef::new(&[1.0], &[6], &[0]);
        let to = StridedMut::dense(&mut out, &[6]).unwrap();
        assert!(matches!(swiglu(view, ones.unwrap(), to), Err(KernelError::LastAxis { .. })));
        let to = StridedMut::dense(&mut out, &[6]).unwrap();
        swiglu(view, StridedRef::dense(&[1.0; 6], &[6]).unwrap(), to).unwrap();
        assert_eq!(out[..5], [-0.0, -0.0, 0.0, 100.0, f32::MAX]);
        assert!(out[5].is_nan());
    }
}
