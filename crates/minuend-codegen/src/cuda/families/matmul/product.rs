//! A product with as few axes as possible.

use minuend_ir::ops::Matmul;
use minuend_ir::{DType, Op};

use crate::axes::{PerAxis, broadcast_strides, coalesce};
use crate::cuda::error::CudaError;
use crate::cuda::families::indexing::{distances, sizes};
use crate::cuda::families::unsupported;
use crate::cuda::launch::{Arg, KernelLaunch};
use crate::kernel::{Tail, TailStep};
use crate::place::{LaunchPlaces, TensorPlace};

/// Largest size that kernels count in an `int` with a few tiles to spare.
const MAX_SIZE: usize = 1 << 30;

/// `result[b, row, column] = sum over k of lhs[b, row, k] * rhs[b, k, column]`. Rows of the lhs and
/// of the result are dense.
#[derive(Clone, Debug)]
pub(super) struct Problem<'a> {
    pub(super) lhs: &'a TensorPlace<'a>,
    pub(super) rhs: &'a TensorPlace<'a>,
    /// Of the lhs' type or f32.
    pub(super) result: &'a TensorPlace<'a>,
    /// Rows of one entry of the batch.
    pub(super) rows: usize,
    /// Columns of the result.
    pub(super) columns: usize,
    /// Length of the sums.
    pub(super) k: usize,
    /// Sizes of the batch's axes; empty for one product.
    pub(super) batch: PerAxis,
    /// Elements of the operands between neighbours of the batch's axes.
    pub(super) lhs_batch: PerAxis,
    pub(super) rhs_batch: PerAxis,
    /// Elements of the rhs between neighbours along the columns, and along k.
    pub(super) column_stride: usize,
    pub(super) k_stride: usize,
    /// Columns of the rhs come in two halves, gate and up: `silu(gate) * up` is stored.
    pub(super) is_gated: bool,
}

impl<'a> Problem<'a> {
    /// The product of a launch.
    ///
    /// # Errors
    /// Shapes that do not fit, element types that no kernel has, a strided lhs, sizes above 2^30.
    pub(super) fn of(op: Matmul, launch: &LaunchPlaces<'a>) -> Result<Problem<'a>, CudaError> {
        let name = launch.kernel.op.mnemonic();
        let lhs = launch.dense_operand(0)?;
        let rhs = launch.operand(1)?;
        let result = launch.dense_result(0)?;
        let is_gated = match &launch.kernel.tail {
            Tail::None => false,
            Tail::Swiglu => true,
            // The type of the result says so, too.
            Tail::Elementwise(steps) if widens(steps) => false,
            Tail::Elementwise(_) => return Err(unsupported(name, "its tail is elementwise")),
        };
        check_types(name, [lhs, rhs, result], is_gated)?;
        let few_axes = || unsupported(name, "an operand has fewer than two axes");
        let ([.., m, k], [.., a, b], [.., stride_a, stride_b], [outer @ .., _, n]) =
            (lhs.shape, rhs.shape, rhs.strides, result.shape)
        else {
            return Err(few_axes());
        };
        let (rows, columns, k) = (*m, *n, *k);
        let (rhs_columns, rhs_k, column_stride, k_stride) = match op.transpose_rhs {
            true => (*a, *b, *stride_a, *stride_b),
            false => (*b, *a, *stride_b, *stride_a),
        };
        if rhs_k != k || columns.checked_mul(1 + usize::from(is_gated)) != Some(rhs_columns) {
            return Err(unsupported(name, "the shapes of its operands do not fit"));
        }
        let of_matrix = |place: &TensorPlace<'_>| -> Result<PerAxis, CudaError> {
            let axes = place.shape.len().saturating_sub(2);
            let (shape, strides) = (place.shape.get(..axes), place.strides.get(..axes));
            let (shape, strides) = shape.zip(strides).ok_or_else(few_axes)?;
            Ok(broadcast_strides(name, shape, strides, outer)?)
        };
        let axes = coalesce(outer, &[&of_matrix(lhs)?, &of_matrix(rhs)?]);
        let mut strides = axes.strides.into_iter();
        let mut problem = Problem {
            lhs,
            rhs,
            result,
            rows,
            columns,
            k,
            batch: axes.shape,
            lhs_batch: strides.next().unwrap_or_default(),
            rhs_batch: strides.next().unwrap_or_default(),
            column_stride,
            k_stride,
            is_gated,
        };
        problem.fold_batch();
        let batches = problem.batch.iter().try_fold(1usize, |all, size| all.checked_mul(*size));
        let sizes = [
            ("the number of rows", problem.rows),
            ("the number of columns", rhs_columns),
            ("the length of sums", k),
            ("the number of products", batches.unwrap_or(usize::MAX)),
        ];
        match sizes.into_iter().find(|(_, value)| *value > MAX_SIZE) {
            Some((name, value)) => Err(CudaError::Size { name, value }),
            None => Ok(problem),
        }
    }

    /// Rows that meet the same rhs, one entry's behind the other's, are rows of one product.
    fn fold_batch(&mut self) {
        while let Some(size) = self.batch.last().copied() {
            let continues = self.lhs_batch.last().copied() == self.rows.checked_mul(self.k)
                && self.rhs_batch.last() == Some(&0);
            match self.rows.checked_mul(size) {
                Some(rows) if continues || size == 1 => self.rows = rows,
                _ => return,
            }
            self.batch.pop();
            self.lhs_batch.pop();
            self.rhs_batch.pop();
        }
    }

    /// Number of products.
    pub(super) fn batches(&self) -> usize {
        self.batch.iter().product()
    }

    /// Columns of the rhs.
    pub(super) fn rhs_columns(&self) -> usize {
        self.columns * (1 + usize::from(self.is_gated))
    }

    /// True if neighbours along k are closer in the rhs than neighbours along the columns. An axis
    /// of size 1 has no neighbours: the other one is the inner axis then.
    pub(super) fn k_inner(&self) -> bool {
        match (self.rhs_columns(), self.k) {
            (1, _) => true,
            (_, 1) => false,
            _ => self.k_stride <= self.column_stride,
        }
    }

    /// Elements of the rhs between neighbours of its outer axis.
    pub(super) fn outer_stride(&self) -> usize {
        if self.k_inner() { self.column_stride } else { self.k_stride }
    }

    /// Elements of the rhs between neighbours of its inner axis.
    pub(super) fn inner_stride(&self) -> usize {
        if self.k_inner() { self.k_stride } else { self.column_stride }
    }

    /// Neighbours along the inner axis of the rhs, those of one half if there are two.
    pub(super) fn inner_size(&self) -> usize {
        if self.k_inner() { self.k } else { self.columns }
    }

    /// The result is stored as f32, the operands are of another type.
    pub(super) fn stores_f32(&self) -> bool {
        self.result.dtype == DType::F32 && self.lhs.dtype != DType::F32
    }

    /// True if every row of the lhs, and all that is dense in the rhs, begins at a multiple of some
    /// elements' size and is whole numbers of them.
    pub(super) fn is_aligned(&self, lhs_elements: usize, rhs_elements: usize) -> bool {
        let begins = |place: &TensorPlace<'_>, elements: usize, strides: &[usize]| {
            place.byte_offset.is_multiple_of(elements as u64 * place.dtype.bytes())
                && strides.iter().all(|stride| stride.is_multiple_of(elements))
        };
        self.k.is_multiple_of(lhs_elements)
            && begins(self.lhs, lhs_elements, &self.lhs_batch)
            && self.inner_stride() == 1
            && self.inner_size().is_multiple_of(rhs_elements)
            && self.outer_stride().is_multiple_of(rhs_elements)
            && begins(self.rhs, rhs_elements, &self.rhs_batch)
    }

    /// As [`Problem::is_aligned`], to 16 bytes.
    pub(super) fn is_aligned_to_vectors(&self) -> bool {
        self.is_aligned(vector(self.lhs.dtype), vector(self.rhs.dtype))
    }

    /// Thread blocks for tiles of the result, for each entry of the batch.
    pub(super) fn tiles(&self, rows: usize, columns: usize) -> Result<u32, CudaError> {
        let tiles = self.rows.div_ceil(rows).checked_mul(self.columns.div_ceil(columns));
        let tiles = tiles.and_then(|tiles| tiles.checked_mul(self.batches()));
        let value = tiles.unwrap_or(usize::MAX);
        match i32::try_from(value) {
            Ok(tiles) => Ok(tiles.unsigned_abs()),
            Err(_) => Err(CudaError::Size { name: "the number of tiles", value }),
        }
    }

    /// Adds the operands, the result, their sizes and the batch to a launch.
    pub(super) fn with_args(&self, launch: KernelLaunch) -> Result<KernelLaunch, CudaError> {
        Ok(launch
            .arg("lhs", Arg::tensor(self.lhs))
            .arg("rhs", Arg::tensor(self.rhs))
            .arg("out", Arg::tensor(self.result))
            .arg("rows", Arg::size("rows", self.rows)?)
            .arg("columns", Arg::size("columns", self.columns)?)
            .arg("k", Arg::size("k", self.k)?)
            .arg("batch_shape", sizes(&self.batch)?)
            .arg("lhs_batch", distances(&self.lhs_batch)?)
            .arg("rhs_batch", distances(&self.rhs_batch)?))
    }
}

/// Elements in 16 bytes.
pub(super) fn vector(dtype: DType) -> usize {
    (16 / dtype.bytes()) as usize
}

/// A truth value as an `int`.
pub(super) fn flag(value: bool) -> Arg {
    Arg::Int(i32::from(value))
}

/// True for a tail that is one cast to f32.
fn widens(steps: &[TailStep]) -> bool {
    matches!(steps, [TailStep { op: Op::Cast(_), result: DType::F32, .. }])
}

fn check_types(
    op: &'static str,
    [lhs, rhs, result]: [&TensorPlace<'_>; 3],
    is_gated: bool,
) -> Result<(), CudaError> {
    let [lhs, rhs, result] = [lhs.dtype, rhs.dtype, result.dtype];
    let reads = lhs.is_float() && rhs.is_float() && (lhs == rhs || lhs == DType::F32);
    let stores = result == lhs || (result == DType::F32 && !is_gated);
    if reads && stores {
        return Ok(());
    }
    let gate = if is_gated { " of a gate" } else { "" };
    let reason =
        format!("{lhs} by {rhs} to {result}{gate}; expected operands of one type or an f32 lhs");
    Err(CudaError::Unsupported { op, reason })
}
