//! Products for the library.
//!
//! It gets operands of one type whose matrices it can describe: elements dense along one axis, rows
//! or columns any distance apart that is not less than their length, batches along one axis.
//! Matrices begin at multiples of 16 bytes; rows of lengths that are no multiple of 16 bytes are
//! slower, yet faster there than anywhere else.

use minuend_ir::DType;
use smallvec::SmallVec;

use crate::cuda::error::CudaError;
use crate::cuda::families::element;
use crate::cuda::families::matmul::product::{Problem, vector};
use crate::cuda::launch::{Arg, KernelLaunch, Matrix, Product, Work, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{Define, KernelSpec, Needs, Template, not_generated, present};
use crate::place::{Region, TensorPlace};

/// `silu(gate) * up`, of what the library leaves of a gated product.
pub(super) const GATE: Template = Template {
    name: "matmul/gate",
    source: include_str!("../../../../../../cuda/matmul/gate.cu"),
    needs: Needs::Nothing,
    overlap: Overlap::BehindWait { ahead: &[] },
    fast_math: false,
    generated: not_generated,
    rows: || {
        let types = [DType::F32, DType::F16, DType::Bf16];
        types
            .into_iter()
            .flat_map(|dtype| [1, vector(dtype)].map(|width| gate(dtype, width)))
            .collect()
    },
    opcodes: |spec| match spec.define("WIDTH") {
        Some(Define::Int(4 | 8)) => present(["LDG.E.128", "STG.E.128"]),
        _ => Vec::new(),
    },
};

const GATE_THREADS: usize = 256;

/// Most bytes of both halves of a gated product that are kept at a time. A product of that many
/// rows keeps every device busy.
const MAX_SCRATCH_BYTES: usize = 256 << 20;
/// Rows that are computed at a time are a multiple of this, which tiles of the library divide.
const ROW_STEP: usize = 256;

fn gate(dtype: DType, width: usize) -> KernelSpec {
    KernelSpec::new(GATE.name).with_type("ELEMENT", element(dtype)).with_int("WIDTH", width as i32)
}

/// What computes a product if the library does.
pub(super) fn works(
    problem: &Problem<'_>,
    limits: &CudaLimits,
) -> Result<Option<Works>, CudaError> {
    let product = match product(problem) {
        Some(product) if limits.has_blas => product,
        _ => return Ok(None),
    };
    if problem.is_gated {
        return gated(problem, product).map(Some);
    }
    let mut steps = SmallVec::new();
    steps.push(Work::Product(product));
    Ok(Some(Works { steps, scratch_bytes: 0 }))
}

/// The product without its tail, in memory like the result's; `None` if the library does not take
/// it.
fn product(problem: &Problem<'_>) -> Option<Product> {
    let (row_length, outer_size) = match problem.k_inner() {
        true => (problem.k, problem.rhs_columns()),
        false => (problem.rhs_columns(), problem.k),
    };
    // An axis of one entry has no stride.
    let row_stride = if outer_size == 1 { row_length } else { problem.outer_stride() };
    let is_dense = row_length == 1 || problem.inner_stride() == 1;
    let one_type = problem.lhs.dtype == problem.rhs.dtype;
    let has_batch_axis =
        problem.batch.len() <= 1 && !(problem.is_gated && problem.batch.len() == 1);
    if problem.k == 0 || !one_type || !is_dense || row_stride < row_length || !has_batch_axis {
        return None;
    }
    let matrix = |place: &TensorPlace<'_>, row_stride: usize, batch_stride: usize| Matrix {
        region: place.region,
        byte_offset: place.byte_offset,
        dtype: place.dtype,
        row_stride: row_stride as u64,
        batch_stride: batch_stride as u64,
    };
    let stride = |strides: &[usize]| strides.first().copied().unwrap_or(0);
    let out_batch =
        if problem.batch.is_empty() { 0 } else { problem.rows.checked_mul(problem.columns)? };
    let product = Product {
        m: problem.rows as u64,
        n: problem.rhs_columns() as u64,
        k: problem.k as u64,
        batch: problem.batches() as u64,
        lhs: matrix(problem.lhs, problem.k, stride(&problem.lhs_batch)),
        rhs: matrix(problem.rhs, row_stride, stride(&problem.rhs_batch)),
        transposed_rhs: problem.k_inner(),
        out: matrix(problem.result, problem.columns, out_batch),
        accumulates: false,
    };
    let begins = |matrix: &Matrix| {
        let batch_bytes = matrix.batch_stride * matrix.dtype.bytes();
        matrix.byte_offset.is_multiple_of(16) && batch_bytes.is_multiple_of(16)
    };
    [&product.lhs, &product.rhs, &product.out].into_iter().all(begins).then_some(product)
}

/// Both halves to scratch memory, then the gate, some rows at a time. The halves are rounded to the
/// result's type, as they are where product and gate are two ops.
fn gated(problem: &Problem<'_>, product: Product) -> Result<Works, CudaError> {
    let dtype = problem.result.dtype;
    let bytes = dtype.bytes() as usize;
    let columns = problem.columns;
    let row_bytes = problem.rhs_columns().saturating_mul(bytes);
    let most = (MAX_SCRATCH_BYTES / row_bytes.max(1) / ROW_STEP).max(1) * ROW_STEP;
    let width = match vector(dtype) {
        width if columns.is_multiple_of(width) => width,
        _ => 1,
    };
    let halves = Matrix {
        region: Region::Scratch,
        byte_offset: 0,
        dtype,
        row_stride: problem.rhs_columns() as u64,
        batch_stride: 0,
    };
    let mut steps = SmallVec::new();
    for first in (0..problem.rows).step_by(most) {
        let rows = most.min(problem.rows - first);
        let after = |place: &TensorPlace<'_>, length: usize| {
            place.byte_offset + first as u64 * length as u64 * bytes as u64
        };
        let lhs = Matrix { byte_offset: after(problem.lhs, problem.k), ..product.lhs };
        steps.push(Work::Product(Product { m: rows as u64, lhs, out: halves, ..product }));
        let row_blocks = columns.div_ceil(GATE_THREADS * width);
        let value = rows.saturating_mul(row_blocks);
        let too_many = CudaError::Size { name: "the number of blocks", value };
        let blocks = i32::try_from(value).map_err(|_| too_many)?.unsigned_abs();
        let (region, byte_offset) = (problem.result.region, after(problem.result, columns));
        let launch = KernelLaunch::new(gate(dtype, width), blocks, GATE_THREADS as u32)
            .arg("in", Arg::Pointer { region: Region::Scratch, byte_offset: 0 })
            .arg("out", Arg::Pointer { region, byte_offset })
            .arg("columns", Arg::size("columns", columns)?);
        steps.push(Work::Kernel(Box::new(launch)));
    }
    let scratch_bytes = (most.min(problem.rows) * row_bytes) as u64;
    Ok(Works { steps, scratch_bytes })
}
