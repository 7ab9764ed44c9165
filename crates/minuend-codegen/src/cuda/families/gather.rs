//! Rows by index.

use minuend_ir::DType;
use minuend_ir::ops::Gather;

use crate::cuda::error::CudaError;
use crate::cuda::families::element;
use crate::cuda::families::indexing::{blocks, elements, unit_opcodes};
use crate::cuda::launch::{Arg, KernelLaunch, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{KernelSpec, Needs, Template, not_generated};
use crate::place::{Fault, LaunchPlaces, Region};

pub(crate) const TEMPLATES: &[Template] = &[Template {
    name: "gather/rows",
    source: include_str!("../../../../../cuda/gather/rows.cu"),
    needs: Needs::Nothing,
    overlap: Overlap::BehindWait { ahead: &[] },
    fast_math: false,
    generated: not_generated,
    rows: || {
        let units = UNITS.into_iter().chain([1]);
        units.flat_map(|unit| [DType::I64, DType::I32].map(|index| spec(unit, index))).collect()
    },
    opcodes: unit_opcodes,
}];

/// Bytes of what is moved at once, best first; if none fits, it is single bytes.
const UNITS: [u64; 4] = [16, 8, 4, 2];

/// Threads of a block.
const THREADS: u32 = 256;

fn spec(unit_bytes: u64, index: DType) -> KernelSpec {
    KernelSpec::new("gather/rows")
        .with_int("UNIT_BYTES", unit_bytes as i32)
        .with_type("INDEX", element(index))
}

pub(crate) fn works(
    op: Gather,
    launch: &LaunchPlaces<'_>,
    _: &CudaLimits,
) -> Result<Works, CudaError> {
    let name = launch.kernel.op.mnemonic();
    let wrong = |reason: String| CudaError::Unsupported { op: name, reason };
    let data = launch.dense_operand(0)?;
    let indices = launch.dense_operand(1)?;
    let result = launch.dense_result(0)?;
    if !matches!(indices.dtype, DType::I64 | DType::I32) || result.dtype != data.dtype {
        let (data, indices, result) = (data.dtype, indices.dtype, result.dtype);
        return Err(wrong(format!("{data} by {indices} to {result}, expected integer indices")));
    }
    let axis = op.axis;
    let rank = data.shape.len();
    let Some(rows) = data.shape.get(axis).copied() else {
        return Err(wrong(format!("axis {axis} of rank {rank}")));
    };
    let (outer, inner) = (&data.shape[..axis], &data.shape[axis + 1..]);
    let count = elements(indices)?;
    let expected = outer.iter().chain(indices.shape).chain(inner);
    if !result.shape.iter().eq(expected) {
        return Err(wrong(format!("a result of shape {:?}", result.shape)));
    }
    let result_bytes = elements(result)? as u64 * data.dtype.bytes();
    if result_bytes == 0 {
        return Ok(Works::default());
    }
    // The result has elements, so the product of these sizes is at most their number.
    let row_bytes = inner.iter().product::<usize>() as u64 * data.dtype.bytes();
    let fits = |unit: &u64| {
        let numbers = [row_bytes, data.byte_offset, result.byte_offset];
        numbers.iter().all(|number| number.is_multiple_of(*unit))
    };
    let unit_bytes = UNITS.into_iter().find(fits).unwrap_or(1);
    let units = (result_bytes / unit_bytes) as usize;
    let fault = 4 * Fault::Index as u64;
    let faults = Arg::Pointer { region: Region::Faults, byte_offset: fault };
    let kernel =
        KernelLaunch::new(spec(unit_bytes, indices.dtype), blocks(units, THREADS)?, THREADS)
            .arg("data", Arg::tensor(data))
            .arg("indices", Arg::tensor(indices))
            .arg("result", Arg::tensor(result))
            .arg("faults", faults)
            .arg("units", Arg::size("the number of units of a gather", units)?)
            .arg("row_units", Arg::size("the units of a row", (row_bytes / unit_bytes) as usize)?)
            .arg("count", Arg::size("the number of indices", count)?)
            .arg("rows", Arg::size("the number of rows", rows)?);
    Ok(Works::of(kernel))
}

#[cfg(test)]
mod tests;
