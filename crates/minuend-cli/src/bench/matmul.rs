//! One matrix product.

use minuend::Target;
use minuend::ir::{DType, Emit};

use super::one_op::{OneOp, OpTensor};

/// Rows of the result, columns of the result, inner size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    m: usize,
    n: usize,
    k: usize,
}

/// Largest size of an axis.
const LARGEST: usize = 1 << 20;

/// `512x512x512`.
pub(super) fn parse_sizes(text: &str) -> Result<Sizes, String> {
    let size = |word: &str| word.parse().ok().filter(|size| (1..=LARGEST).contains(size));
    let sizes: Option<Vec<usize>> = text.split('x').map(size).collect();
    match sizes.as_deref() {
        Some([m, n, k]) => Ok(Sizes { m: *m, n: *n, k: *k }),
        _ => Err(format!("expected three sizes of 1 to {LARGEST}, such as 512x512x512")),
    }
}

/// A product with a weight of that type; the other operand is of it too where the target has such
/// activations.
pub(super) fn one_op(sizes: Sizes, dtype: DType, target: &dyn Target) -> OneOp {
    let Sizes { m, n, k } = sizes;
    let lhs = if target.activation_dtypes().contains(&dtype) { dtype } else { DType::F32 };
    OneOp {
        op: "matmul",
        description: format!("[{m}, {k}] {lhs} times a weight [{n}, {k}] {dtype}, transposed"),
        tensors: vec![
            OpTensor { name: "lhs", shape: vec![m, k], dtype: lhs, is_weight: false },
            OpTensor { name: "rhs", shape: vec![n, k], dtype, is_weight: true },
        ],
        emit: Box::new(|graph, values| graph.matmul_transposed(values[0], values[1])),
        flops: 2.0 * m as f64 * n as f64 * k as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_three_numbers() {
        assert_eq!(parse_sizes("1x20x300"), Ok(Sizes { m: 1, n: 20, k: 300 }));
        for bad in ["", "512", "1x2", "0x1x1", "1x2x3x4", "1x-2x3", "1x1x9999999999999999999"] {
            assert!(parse_sizes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_target_in_f32_widens_the_weight() {
        let sizes = Sizes { m: 2, n: 3, k: 4 };
        let op = one_op(sizes, DType::Bf16, &minuend::CpuTarget);
        let types: Vec<DType> = op.tensors.iter().map(|tensor| tensor.dtype).collect();
        assert_eq!(types, [DType::F32, DType::Bf16]);
        assert_eq!(op.description, "[2, 4] f32 times a weight [3, 4] bf16, transposed");
    }
}
