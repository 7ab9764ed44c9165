//! Elements moved as they are: copies, literals, sizes and consecutive integers.

mod axes;

use std::sync::Arc;

use minuend_ir::DType;
use minuend_ir::ops::Constant;

use crate::axes::{Axes, dense_strides, is_dense};
use crate::cuda::error::CudaError;
use crate::cuda::families::copy::axes::{Transposition, ordered};
use crate::cuda::families::indexing::{MAX_RANK, blocks, distances, elements, sizes, unit_opcodes};
use crate::cuda::launch::{Arg, KernelLaunch, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{KernelSpec, Needs, Template, no_opcodes, not_generated};
use crate::literal::literal_bytes;
use crate::place::{LaunchPlaces, TensorPlace};

pub(crate) const TEMPLATES: &[Template] = &[
    Template {
        name: "copy/strided",
        source: include_str!("../../../../../cuda/copy/strided.cu"),
        rows: || {
            let ranks = 1..=MAX_RANK;
            let small = ranks.flat_map(|rank| [16, 2].map(|bytes| strided_spec(bytes, rank, 1)));
            let large = [1, 2, 4, 8, 16].map(|bytes| strided_spec(bytes, 2, LARGE_UNITS));
            small.chain(large).chain([1, 4, 8].map(|bytes| strided_spec(bytes, 1, 1))).collect()
        },
        opcodes: unit_opcodes,
        ..PLAIN
    },
    Template {
        name: "copy/transpose",
        source: include_str!("../../../../../cuda/copy/transpose.cu"),
        rows: || [1, 2, 4, 8].map(transpose_spec).into(),
        ..PLAIN
    },
    Template {
        name: "copy/fill",
        source: include_str!("../../../../../cuda/copy/fill.cu"),
        rows: || [1, 2, 4, 8, 16].map(fill_spec).into(),
        ..PLAIN
    },
    Template {
        name: "copy/iota",
        source: include_str!("../../../../../cuda/copy/iota.cu"),
        rows: || vec![KernelSpec::new("copy/iota")],
        ..PLAIN
    },
];

/// What the templates of the family have in common.
const PLAIN: Template = Template {
    name: "",
    source: "",
    needs: Needs::Nothing,
    overlap: Overlap::BehindWait { ahead: &[] },
    fast_math: false,
    generated: not_generated,
    rows: Vec::new,
    opcodes: no_opcodes,
};

/// Threads of a block.
const THREADS: u32 = 256;

/// From this many units on, every thread of a copy moves several: there are enough to fill a device.
const LARGE_UNITS: usize = 1 << 20;

/// Units that a thread of a large copy moves.
const UNITS_OF_LARGE: usize = 4;

/// Elements from which on a transposition by tiles is worth its blocks.
const LARGE_TRANSPOSITION: usize = 1 << 14;

fn per_thread(units: usize) -> usize {
    if units >= LARGE_UNITS { UNITS_OF_LARGE } else { 1 }
}

fn strided_spec(unit_bytes: u64, rank: usize, units: usize) -> KernelSpec {
    KernelSpec::new("copy/strided")
        .with_int("UNIT_BYTES", unit_bytes as i32)
        .with_int("RANK", rank as i32)
        .with_int("PER_THREAD", per_thread(units) as i32)
}

fn transpose_spec(element_bytes: u64) -> KernelSpec {
    KernelSpec::new("copy/transpose").with_int("ELEMENT_BYTES", element_bytes as i32)
}

fn fill_spec(unit_bytes: u64) -> KernelSpec {
    KernelSpec::new("copy/fill").with_int("UNIT_BYTES", unit_bytes as i32)
}

/// What is copied from: a pointer, how it is aligned, and strides for the axes of the destination.
struct Source<'a> {
    arg: Arg,
    byte_offset: u64,
    strides: &'a [usize],
}

pub(crate) fn tensor(
    from: &TensorPlace<'_>,
    to: &TensorPlace<'_>,
    _: &CudaLimits,
) -> Result<Works, CudaError> {
    if from.shape != to.shape || from.dtype != to.dtype {
        let (from_type, to_type) = (from.dtype.name(), to.dtype.name());
        let reason = format!(
            "from {from_type}{:?} to {to_type}{:?}, expected one shape and type",
            from.shape, to.shape
        );
        return Err(CudaError::Unsupported { op: "copy", reason });
    }
    let source =
        Source { arg: Arg::tensor(from), byte_offset: from.byte_offset, strides: from.strides };
    move_elements(source, to)
}

fn move_elements(from: Source<'_>, to: &TensorPlace<'_>) -> Result<Works, CudaError> {
    let elements = elements(to)?;
    if elements == 0 {
        return Ok(Works::default());
    }
    let axes = ordered(to.shape, from.strides, to.strides);
    if elements >= LARGE_TRANSPOSITION
        && let Some(transposition) = Transposition::of(&axes)
    {
        return transpose(from, to, &transposition);
    }
    let (axes, unit_bytes) = in_units(axes, to.dtype.bytes(), [from.byte_offset, to.byte_offset]);
    let units = elements / (unit_bytes / to.dtype.bytes()) as usize;
    let spec = strided_spec(unit_bytes, axes.rank(), units);
    let blocks = blocks(units.div_ceil(per_thread(units)), THREADS)?;
    let kernel = KernelLaunch::new(spec, blocks, THREADS)
        .arg("from", from.arg)
        .arg("to", Arg::tensor(to))
        .arg("units", Arg::size("the number of units of a copy", units)?)
        .arg("shape", axes.shape_arg()?)
        .arg("from_strides", axes.strides_arg(0)?)
        .arg("to_strides", axes.strides_arg(1)?);
    Ok(Works::of(kernel))
}

/// The axes with the largest units that both sides consist of for elements, and the bytes of one.
fn in_units(mut axes: Axes, element_bytes: u64, byte_offsets: [u64; 2]) -> (Axes, u64) {
    let mut bytes = 16;
    let is_unit = |bytes: u64| {
        let count = (bytes / element_bytes) as usize;
        byte_offsets.iter().all(|offset| offset.is_multiple_of(bytes))
            && axes.divides(0, count)
            && axes.divides(1, count)
    };
    while bytes > element_bytes && !is_unit(bytes) {
        bytes /= 2;
    }
    let count = (bytes / element_bytes) as usize;
    if count > 1 {
        if let Some(inner) = axes.shape.last_mut() {
            *inner /= count;
        }
        for own in &mut axes.strides {
            let outer = own.len().saturating_sub(1);
            own.iter_mut().take(outer).for_each(|stride| *stride /= count);
        }
    }
    (axes, bytes)
}

fn transpose(
    from: Source<'_>,
    to: &TensorPlace<'_>,
    matrices: &Transposition,
) -> Result<Works, CudaError> {
    let element_bytes = to.dtype.bytes();
    let tile = if element_bytes <= 2 { 64 } else { 32 };
    let tiles = matrices.rows.div_ceil(tile) * matrices.columns.div_ceil(tile);
    let tiles = tiles.saturating_mul(matrices.shape.iter().product());
    let kernel = KernelLaunch::new(transpose_spec(element_bytes), blocks(tiles, 1)?, THREADS)
        .arg("from", from.arg)
        .arg("to", Arg::tensor(to))
        .arg("rows", Arg::size("the number of rows", matrices.rows)?)
        .arg("columns", Arg::size("the number of columns", matrices.columns)?)
        .arg("from_column_stride", Arg::long("a stride", matrices.from_column_stride)?)
        .arg("to_row_stride", Arg::long("a stride", matrices.to_row_stride)?)
        .arg("shape", sizes(&matrices.shape)?)
        .arg("from_strides", distances(&matrices.from_strides)?)
        .arg("to_strides", distances(&matrices.to_strides)?);
    Ok(Works::of(kernel))
}

/// Writes a literal: one value everywhere, or one for each element.
pub(crate) fn constant(op: &Constant, launch: &LaunchPlaces<'_>) -> Result<Works, CudaError> {
    let Some(to) = launch.results.first() else { return Ok(Works::default()) };
    let bytes = literal_bytes(&op.values, to.dtype);
    let is_splat = op.values.len() == 1;
    if is_splat && is_dense(to.shape, to.strides) {
        return fill(repeated(&bytes), to);
    }
    let width = to.dtype.bytes() as usize;
    let elements = elements(to)?;
    if !is_splat && bytes.len() / width != elements {
        let found = bytes.len() / width;
        let reason = format!("{found} values for {elements} elements");
        return Err(CudaError::Unsupported { op: "constant", reason });
    }
    let strides = if is_splat { vec![0; to.shape.len()] } else { dense_strides(to.shape) };
    let data = Arg::Data(Arc::from(bytes));
    move_elements(Source { arg: data, byte_offset: 0, strides: &strides }, to)
}

/// Bytes repeated up to eight, as an integer.
fn repeated(bytes: &[u8]) -> i64 {
    let mut word = [0u8; 8];
    for (byte, value) in word.iter_mut().zip(bytes.iter().cycle()) {
        *byte = *value;
    }
    i64::from_le_bytes(word)
}

/// Writes a value, repeated up to eight bytes, to all of a dense tensor.
fn fill(bits: i64, to: &TensorPlace<'_>) -> Result<Works, CudaError> {
    let bytes = elements(to)? as u64 * to.dtype.bytes();
    if bytes == 0 {
        return Ok(Works::default());
    }
    let fits = |unit: &u64| to.byte_offset.is_multiple_of(*unit) && bytes.is_multiple_of(*unit);
    let unit_bytes = [16, 8, 4, 2].into_iter().find(fits).unwrap_or(1);
    let units = (bytes / unit_bytes) as usize;
    let kernel = KernelLaunch::new(fill_spec(unit_bytes), blocks(units, THREADS)?, THREADS)
        .arg("to", Arg::tensor(to))
        .arg("bits", Arg::Long(bits))
        .arg("units", Arg::size("the number of units of a constant", units)?);
    Ok(Works::of(kernel))
}

/// Writes a size.
pub(crate) fn dim_value(launch: &LaunchPlaces<'_>) -> Result<Works, CudaError> {
    let Some(size) = launch.scalars.first() else {
        let reason = "the launch gives no size".to_string();
        return Err(CudaError::Unsupported { op: launch.kernel.op.mnemonic(), reason });
    };
    integers(*size, launch)
}

/// Writes consecutive integers from 0.
pub(crate) fn iota(launch: &LaunchPlaces<'_>) -> Result<Works, CudaError> {
    integers(0, launch)
}

fn integers(start: i64, launch: &LaunchPlaces<'_>) -> Result<Works, CudaError> {
    let op = launch.kernel.op.mnemonic();
    let to = launch.dense_result(0)?;
    if to.dtype != DType::I64 {
        let reason = format!("the result is {}, expected i64", to.dtype);
        return Err(CudaError::Unsupported { op, reason });
    }
    let elements = elements(to)?;
    let blocks = blocks(elements, THREADS)?;
    let kernel = KernelLaunch::new(KernelSpec::new("copy/iota"), blocks, THREADS)
        .arg("result", Arg::tensor(to))
        .arg("start", Arg::Long(start))
        .arg("elements", Arg::size("the number of elements", elements)?);
    Ok(Works::of(kernel))
}

#[cfg(test)]
mod tests;
