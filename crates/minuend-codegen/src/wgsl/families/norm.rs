//! RMS norms: one workgroup for each row.

mod rows;

use minuend_ir::ops::RmsNorm;

use crate::axes::coalesce;
use crate::wgsl::dispatch::{Dispatch, LaunchPlaces};
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::indexing::result_place;
use crate::wgsl::families::norm::rows::{Width, group_size, region, rows, spec};
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::place::{TensorPlace, Window};
use crate::wgsl::template::Template;

pub(crate) const TEMPLATES: &[Template] = &[
    Template {
        name: "rms_norm",
        file: "rms_norm.wgsl",
        source: include_str!("../../../../../shaders/rms_norm.wgsl"),
        region,
        rows: || rows("rms_norm", &["x", "result"]),
    },
    Template {
        name: "add_rms_norm",
        file: "add_rms_norm.wgsl",
        source: include_str!("../../../../../shaders/add_rms_norm.wgsl"),
        region,
        rows: || rows("add_rms_norm", &["x", "residual", "sum", "normed"]),
    },
];

/// The widest loads that all tensors allow. `rows` are strided with a dense last axis.
fn width(
    length: usize,
    weight: &TensorPlace<'_>,
    rows: &[&TensorPlace<'_>],
    limits: &WgslLimits,
) -> Width {
    let fours = |elements: usize| elements.is_multiple_of(4);
    let first = |tensor: &TensorPlace<'_>| {
        // Windows start at multiples of the alignment, so it is the place in the window that counts.
        (tensor.byte_offset % limits.offset_alignment).is_multiple_of(4 * tensor.dtype.bytes())
    };
    let steps = |tensor: &TensorPlace<'_>| {
        let outer = tensor.shape.iter().zip(tensor.strides).rev().skip(1);
        outer.filter(|(size, _)| **size > 1).all(|(_, stride)| fours(*stride))
    };
    let is_wide = fours(length)
        && limits.offset_alignment.is_multiple_of(16)
        && first(weight)
        && rows.iter().all(|tensor| first(tensor) && steps(tensor));
    if is_wide { Width::Four } else { Width::One }
}

/// Shape and strides of the rows.
fn leading<'a>(tensor: &TensorPlace<'a>) -> (&'a [usize], &'a [usize]) {
    let rank = tensor.shape.len().saturating_sub(1);
    (&tensor.shape[..rank], &tensor.strides[..rank])
}

pub(crate) fn rms_norm(
    op: RmsNorm,
    launch: &LaunchPlaces<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    let x = launch.row_operand(0)?;
    let weight = launch.dense_operand(1)?;
    let result = result_place(launch, 0)?;
    let length = result.shape.last().copied().unwrap_or(1);
    let width = width(length, weight, &[x, result], limits);
    let (shape, strides) = leading(x);
    let strides: Vec<usize> = strides.iter().map(|stride| stride / width.elements()).collect();
    let axes = coalesce(shape, &[&strides]);
    let values = length / width.elements();
    let spec = spec("rms_norm", group_size(values), width, weight.dtype);
    let mut dispatch = Dispatch::new(spec, shape.iter().product());
    let offsets = [("x", x), ("weight", weight), ("result", result)]
        .map(|(name, tensor)| bind(&mut dispatch, name, tensor, width, limits));
    let [x_offset, weight_offset, result_offset] = offsets;
    let uniforms = &mut dispatch.uniforms;
    uniforms.size("rank", axes.rank())?;
    uniforms.size("values", values)?;
    uniforms.word("x_offset", x_offset?);
    uniforms.word("weight_offset", weight_offset?);
    uniforms.word("result_offset", result_offset?);
    uniforms.float("inverse_length", (1.0 / length as f64) as f32);
    uniforms.float("epsilon", op.epsilon.get() as f32);
    axes.uniforms(uniforms, &["x_strides"])?;
    dispatch.work_per_group = 4 * length as u64;
    Ok(vec![dispatch])
}

pub(crate) fn add_rms_norm(
    op: RmsNorm,
    launch: &LaunchPlaces<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    let (x, residual) = (launch.row_operand(0)?, launch.row_operand(1)?);
    let weight = launch.dense_operand(2)?;
    let sum = result_place(launch, 0)?;
    let normed = result_place(launch, 1)?;
    let length = sum.shape.last().copied().unwrap_or(1);
    let width = width(length, weight, &[x, residual, sum, normed], limits);
    let (shape, x_strides) = leading(x);
    let (_, residual_strides) = leading(residual);
    let in_values = |strides: &[usize]| -> Vec<usize> {
        strides.iter().map(|stride| stride / width.elements()).collect()
    };
    let axes = coalesce(shape, &[&in_values(x_strides), &in_values(residual_strides)]);
    let values = length / width.elements();
    let spec = spec("add_rms_norm", group_size(values), width, weight.dtype);
    let mut dispatch = Dispatch::new(spec, shape.iter().product());
    let tensors =
        [("x", x), ("residual", residual), ("weight", weight), ("sum", sum), ("normed", normed)];
    let offsets = tensors.map(|(name, tensor)| bind(&mut dispatch, name, tensor, width, limits));
    let [x_offset, residual_offset, weight_offset, sum_offset, normed_offset] = offsets;
    let uniforms = &mut dispatch.uniforms;
    uniforms.size("rank", axes.rank())?;
    uniforms.size("values", values)?;
    uniforms.word("x_offset", x_offset?);
    uniforms.word("residual_offset", residual_offset?);
    uniforms.word("weight_offset", weight_offset?);
    uniforms.word("sum_offset", sum_offset?);
    uniforms.word("normed_offset", normed_offset?);
    uniforms.float("inverse_length", (1.0 / length as f64) as f32);
    uniforms.float("epsilon", op.epsilon.get() as f32);
    uniforms.word("unused_0", 0);
    uniforms.word("unused_1", 0);
    axes.uniforms(uniforms, &["x_strides", "residual_strides"])?;
    dispatch.work_per_group = 6 * length as u64;
    Ok(vec![dispatch])
}

/// Binds a tensor and gives its first value's index: in units of the width, but for a weight of halves
/// that is read one by one, where it is the element's.
fn bind(
    dispatch: &mut Dispatch,
    name: &'static str,
    tensor: &TensorPlace<'_>,
    width: Width,
    limits: &WgslLimits,
) -> Result<u32, ShaderError> {
    let (window, element) = Window::of(tensor, limits)?;
    dispatch.bind(name, window);
    Ok(element / width.elements() as u32)
}

#[cfg(test)]
mod tests;
