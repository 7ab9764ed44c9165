//! Elements moved as they are: copies, literals, sizes and consecutive integers.

use std::sync::Arc;

use minuend_ir::DType;
use minuend_ir::ops::{Constant, Literal};

use crate::axes::{coalesce, dense_strides};
use crate::literal::literal_bytes;
use crate::wgsl::dispatch::{Dispatch, LaunchPlaces};
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::indexing::MAX_RANK;
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::place::{TensorPlace, Window};
use crate::wgsl::template::{KernelSpec, Param, Template, no_region};

pub(crate) const TEMPLATES: &[Template] = &[
    Template {
        name: "copy",
        file: "copy.wgsl",
        source: include_str!("../../../../../shaders/copy.wgsl"),
        region: no_region,
        rows: || {
            let row = |rank, elem| {
                KernelSpec::new("copy")
                    .with_u32("RANK", rank)
                    .with("Elem", Param::Type(elem))
                    .with("source", Param::ReadOnly(rank == 1))
                    .with("destination", Param::ReadOnly(false))
            };
            let ranks = 1..=MAX_RANK as u32;
            ranks.flat_map(|rank| [row(rank, "u32"), row(rank, "vec2<u32>")]).collect()
        },
    },
    Template {
        name: "copy_narrow",
        file: "copy_narrow.wgsl",
        source: include_str!("../../../../../shaders/copy_narrow.wgsl"),
        region: no_region,
        rows: || {
            let row = |rank, bits| {
                KernelSpec::new("copy_narrow")
                    .with_u32("RANK", rank)
                    .with_u32("BITS", bits)
                    .with("source", Param::ReadOnly(rank == 1))
            };
            (1..=MAX_RANK as u32).flat_map(|rank| [row(rank, 8), row(rank, 16)]).collect()
        },
    },
    Template {
        name: "iota",
        file: "iota.wgsl",
        source: include_str!("../../../../../shaders/iota.wgsl"),
        region: no_region,
        rows: || vec![KernelSpec::new("iota").with("result", Param::ReadOnly(false))],
    },
];

/// Invocations of a workgroup of the copy shaders.
const COPY_GROUP: usize = 256;
/// Invocations of a workgroup of the iota shader.
const IOTA_GROUP: usize = 64;

pub(crate) fn tensor(
    from: &TensorPlace<'_>,
    to: &TensorPlace<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    let (window, offset) = Window::of(from, limits)?;
    move_elements(window, offset, from.strides, to, limits)
}

/// Copies from a window whose elements have the strides given, to a tensor.
fn move_elements(
    window: Window,
    offset: u32,
    strides: &[usize],
    to: &TensorPlace<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    let elements = to.elements().unwrap_or(usize::MAX);
    if elements == 0 {
        return Ok(Vec::new());
    }
    let axes = coalesce(to.shape, &[strides, to.strides]);
    let rank = axes.shape.len() as u32;
    let (spec, is_narrow) = match to.dtype {
        DType::I64 => (KernelSpec::new("copy").with("Elem", Param::Type("vec2<u32>")), false),
        DType::F32 | DType::I32 => {
            (KernelSpec::new("copy").with("Elem", Param::Type("u32")), false)
        }
        DType::F16 | DType::Bf16 => (KernelSpec::new("copy_narrow").with_u32("BITS", 16), true),
        DType::Bool => (KernelSpec::new("copy_narrow").with_u32("BITS", 8), true),
    };
    let mut dispatch = Dispatch::new(spec.with_u32("RANK", rank), elements.div_ceil(COPY_GROUP));
    dispatch.bind("source", window);
    let (window, to_offset) = Window::of(to, limits)?;
    if is_narrow {
        dispatch.windows.push(window);
    } else {
        dispatch.bind("destination", window);
    }
    let uniforms = &mut dispatch.uniforms;
    uniforms.size("elements", elements)?;
    uniforms.word("from_offset", offset);
    uniforms.word("to_offset", to_offset);
    uniforms.array("shape", axes.shape.iter().copied(), 8)?;
    uniforms.array("from_strides", axes.strides[0].iter().copied(), 8)?;
    uniforms.array("to_strides", axes.strides[1].iter().copied(), 8)?;
    Ok(vec![dispatch])
}

/// Writes a literal: one value everywhere, or one for each element.
pub(crate) fn constant(
    op: &Constant,
    launch: &LaunchPlaces<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    let Some(to) = launch.results.first() else { return Ok(Vec::new()) };
    let words = Window::of_data(literal_words(&op.values, to.dtype));
    let strides = match op.values.len() {
        1 => vec![0; to.shape.len()],
        _ => dense_strides(to.shape),
    };
    move_elements(words, 0, &strides, to, limits)
}

/// The values as they lie in memory, filled up to whole words.
fn literal_words(values: &Literal, dtype: DType) -> Arc<[u32]> {
    let mut bytes = literal_bytes(values, dtype);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let word =
        |chunk: &[u8]| chunk.iter().rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
    bytes.chunks(4).map(word).collect()
}

/// Writes a size.
pub(crate) fn dim_value(
    launch: &LaunchPlaces<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    integers(launch, launch.scalars.first().copied().unwrap_or(0), limits)
}

/// Writes consecutive integers from 0.
pub(crate) fn iota(
    launch: &LaunchPlaces<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    integers(launch, 0, limits)
}

fn integers(
    launch: &LaunchPlaces<'_>,
    start: i64,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    let Some(to) = launch.results.first() else { return Ok(Vec::new()) };
    let elements = to.elements().unwrap_or(usize::MAX);
    let mut dispatch = Dispatch::new(KernelSpec::new("iota"), elements.div_ceil(IOTA_GROUP));
    let (window, offset) = Window::of(to, limits)?;
    dispatch.bind("result", window);
    let uniforms = &mut dispatch.uniforms;
    uniforms.size("elements", elements)?;
    uniforms.word("offset", offset);
    uniforms.word("start_low", start as u32);
    uniforms.word("start_high", (start >> 32) as u32);
    Ok(vec![dispatch])
}

#[cfg(test)]
mod tests {
    use super::*;
    use minuend_ir::Real;

    #[test]
    fn literals_lie_as_in_memory() {
        let reals = |values: &[f64]| Literal::Reals(values.iter().map(|v| Real::new(*v)).collect());
        assert_eq!(*literal_words(&reals(&[1.0]), DType::F32), [0x3f80_0000]);
        assert_eq!(*literal_words(&reals(&[1.0, -2.0, 0.5]), DType::F16), [0xc000_3c00, 0x3800]);
        assert_eq!(*literal_words(&reals(&[1.0]), DType::Bf16), [0x3f80]);
        let ints = Literal::Ints([-2i64].into());
        assert_eq!(*literal_words(&ints, DType::I64), [0xffff_fffe, 0xffff_ffff]);
        assert_eq!(*literal_words(&ints, DType::I32), [0xffff_fffe]);
        let bools = Literal::Bools([true, false, true, true, true].into());
        assert_eq!(*literal_words(&bools, DType::Bool), [0x0101_0001, 1]);
    }
}
