//! Rows by index.

use minuend_ir::DType;
use minuend_ir::ops::Gather;

use crate::wgsl::dispatch::{Dispatch, LaunchPlaces};
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::indexing::result_place;
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::place::{TensorPlace, Window};
use crate::wgsl::template::{KernelSpec, Param, Template, no_region};

pub(crate) const TEMPLATES: &[Template] = &[
    Template {
        name: "gather",
        file: "gather.wgsl",
        source: include_str!("../../../../../shaders/gather.wgsl"),
        region: no_region,
        rows: || {
            let units = [Unit::Word, Unit::FourWords];
            units.into_iter().flat_map(|unit| rows(move |index| spec(unit, index))).collect()
        },
    },
    Template {
        name: "gather_narrow",
        file: "gather_narrow.wgsl",
        source: include_str!("../../../../../shaders/gather_narrow.wgsl"),
        region: no_region,
        rows: || {
            let units = [Unit::HalfWord, Unit::Byte];
            units.into_iter().flat_map(|unit| rows(move |index| spec(unit, index))).collect()
        },
    },
];

fn rows(spec: impl Fn(DType) -> KernelSpec) -> Vec<KernelSpec> {
    let access = |spec: KernelSpec, is_weight| {
        spec.with("data", Param::ReadOnly(is_weight))
            .with("indices", Param::ReadOnly(false))
            .with("result", Param::ReadOnly(false))
    };
    let indices = [DType::I64, DType::I32].into_iter();
    indices.flat_map(|index| [access(spec(index), false), access(spec(index), true)]).collect()
}

/// What is moved at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    FourWords,
    Word,
    HalfWord,
    Byte,
}

impl Unit {
    fn bytes(self) -> u64 {
        match self {
            Unit::FourWords => 16,
            Unit::Word => 4,
            Unit::HalfWord => 2,
            Unit::Byte => 1,
        }
    }

    /// Units that one invocation writes.
    fn per_invocation(self) -> usize {
        match self {
            Unit::FourWords | Unit::Word => 1,
            Unit::HalfWord => 2,
            Unit::Byte => 4,
        }
    }

    /// The largest that rows of so many bytes consist of, where they lie.
    fn of(row_bytes: u64, data: &TensorPlace<'_>, result: &TensorPlace<'_>) -> Unit {
        let fits = |unit: &Unit| {
            let numbers = [row_bytes, data.byte_offset, result.byte_offset];
            numbers.iter().all(|number| number.is_multiple_of(unit.bytes()))
        };
        let units = [Unit::FourWords, Unit::Word, Unit::HalfWord];
        units.into_iter().find(fits).unwrap_or(Unit::Byte)
    }
}

/// The specification without its bindings.
fn spec(unit: Unit, index: DType) -> KernelSpec {
    let spec = match unit {
        Unit::FourWords => KernelSpec::new("gather").with("Unit", Param::Type("vec4<u32>")),
        Unit::Word => KernelSpec::new("gather").with("Unit", Param::Type("u32")),
        Unit::HalfWord => KernelSpec::new("gather_narrow").with_u32("BITS", 16),
        Unit::Byte => KernelSpec::new("gather_narrow").with_u32("BITS", 8),
    };
    spec.with_u32("INDEX_WORDS", if index == DType::I64 { 2 } else { 1 })
}

/// Invocations of a workgroup.
const GROUP: usize = 256;

/// A part of the axis that one window shows.
struct Part {
    first_row: usize,
    rows: usize,
}

/// The parts of an axis of so many rows. More than one only if there is no axis outside it: then the rows
/// of a part lie together.
fn parts(rows: usize, row_bytes: u64, outer: usize, limits: &WgslLimits) -> Vec<Part> {
    // A window starts up to one alignment before its first row.
    let available = limits.max_binding_bytes.saturating_sub(limits.offset_alignment);
    let fitting = usize::try_from(available / row_bytes.max(1)).unwrap_or(usize::MAX).max(1);
    let step = if outer == 1 { fitting } else { rows.max(1) };
    let firsts = (0..rows.max(1)).step_by(step);
    firsts.map(|first_row| Part { first_row, rows: step.min(rows - first_row) }).collect()
}

pub(crate) fn dispatches(
    op: Gather,
    launch: &LaunchPlaces<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    let name = launch.kernel.op.mnemonic();
    let data = launch.dense_operand(0)?;
    let indices = launch.dense_operand(1)?;
    let result = result_place(launch, 0)?;
    let Some(rows) = data.shape.get(op.axis).copied() else {
        let reason = format!("axis {} of rank {}", op.axis, data.shape.len());
        return Err(ShaderError::Unsupported { op: name, reason });
    };
    let outer: usize = data.shape[..op.axis].iter().product();
    let inner: usize = data.shape[op.axis + 1..].iter().product();
    let row_bytes = inner as u64 * data.dtype.bytes();
    let unit = Unit::of(row_bytes, data, result);
    let row_units = (row_bytes / unit.bytes()) as usize;
    let count = indices.elements().unwrap_or(usize::MAX);
    let units = row_units.saturating_mul(count).saturating_mul(outer);
    let groups = units.div_ceil(unit.per_invocation()).div_ceil(GROUP);
    let mut dispatches = Vec::new();
    for part in parts(rows, row_bytes, outer, limits) {
        let mut dispatch = Dispatch::new(spec(unit, indices.dtype), groups);
        let (window, data_offset) = if rows == 0 {
            // Nothing to read, and a binding must not be empty.
            Window::of(result, limits)?
        } else {
            let byte_offset = data.byte_offset + part.first_row as u64 * row_bytes;
            let shape = [outer * part.rows * inner];
            Window::of(&TensorPlace { byte_offset, shape: &shape, strides: &[1], ..*data }, limits)?
        };
        dispatch.bind("data", window);
        let (window, indices_offset) = Window::of(indices, limits)?;
        dispatch.bind("indices", window);
        let (window, result_offset) = Window::of(result, limits)?;
        dispatch.bind("result", window);
        dispatch.windows.push(Window::of_faults());
        let uniforms = &mut dispatch.uniforms;
        let is_whole = unit.per_invocation() == 1;
        uniforms.size(if is_whole { "units" } else { "elements" }, units)?;
        uniforms.size(if is_whole { "row_units" } else { "row_elements" }, row_units)?;
        uniforms.size("indices", count)?;
        uniforms.size("rows", rows)?;
        uniforms.size("first_row", part.first_row)?;
        uniforms.size("window_rows", part.rows)?;
        uniforms.word("counts_faults", u32::from(part.first_row == 0));
        let in_units = |element: u32, bytes: u64| u64::from(element) * bytes / unit.bytes();
        let data_offset = in_units(data_offset, data.dtype.bytes()) as usize;
        uniforms.size("data_offset", data_offset)?;
        let index_words = (indices.dtype.bytes() / 4) as usize;
        uniforms.size("indices_offset", indices_offset as usize * index_words)?;
        // The narrow shader writes whole words.
        let written = unit.bytes() * unit.per_invocation() as u64;
        let result_offset = u64::from(result_offset) * result.dtype.bytes() / written;
        uniforms.size("result_offset", result_offset as usize)?;
        dispatch.work_per_group = 4 * GROUP as u64;
        dispatches.push(dispatch);
    }
    Ok(dispatches)
}

#[cfg(test)]
mod tests;
