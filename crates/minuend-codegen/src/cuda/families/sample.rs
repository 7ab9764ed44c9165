//! Indices of rows drawn at random.

use minuend_ir::DType;

use crate::cuda::error::CudaError;
use crate::cuda::families::indexing::elements;
use crate::cuda::families::reduce::rows::{starts_with_vector, widest};
use crate::cuda::launch::{Arg, KernelLaunch, Works};
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{KernelSpec, Needs, Template, no_opcodes, not_generated};
use crate::place::LaunchPlaces;

pub(crate) const TEMPLATES: &[Template] = &[Template {
    name: "sample/sample",
    source: include_str!("../../../../../cuda/sample/sample.cu"),
    needs: Needs::Nothing,
    overlap: Overlap::Never,
    fast_math: false,
    generated: not_generated,
    rows: || [1, widest(DType::F32)].map(spec).into(),
    opcodes: no_opcodes,
}];

/// Threads of a block: see the kernel.
const THREADS: u32 = 1024;
/// Elements of the longest row: their masses, each up to 2^40, are summed in 64 bits.
const LONGEST_ROW: usize = 1 << 23;

fn spec(width: usize) -> KernelSpec {
    KernelSpec::new("sample/sample").with_int("WIDTH", width as i32)
}

pub(crate) fn works(launch: &LaunchPlaces<'_>) -> Result<Works, CudaError> {
    let logits = launch.dense_operand(0)?;
    let result = launch.dense_result(0)?;
    let length = logits.shape.last().copied().unwrap_or(0);
    if length > LONGEST_ROW {
        return Err(CudaError::Size { name: "the sampled axis", value: length });
    }
    let rows = elements(result)?;
    let size = CudaError::Size { name: "rows", value: rows };
    let grid = i32::try_from(rows).map_err(|_| size)?.unsigned_abs();
    let widest = widest(DType::F32);
    let is_vector = length.is_multiple_of(widest) && starts_with_vector(logits, widest);
    let width = if is_vector { widest } else { 1 };
    let kernel = KernelLaunch::new(spec(width), grid, THREADS)
        .arg("logits", Arg::tensor(logits))
        .arg("temperature", Arg::tensor(launch.dense_operand(1)?))
        .arg("top_k", Arg::tensor(launch.dense_operand(2)?))
        .arg("top_p", Arg::tensor(launch.dense_operand(3)?))
        .arg("uniform", Arg::tensor(launch.dense_operand(4)?))
        .arg("result", Arg::tensor(result))
        .arg("vectors", Arg::size("the sampled axis", length / width)?);
    Ok(Works::of(kernel))
}

#[cfg(test)]
mod tests;
