//! Elementwise ops and chains of them: the body of the shader is generated.

mod expression;
mod library;
mod rows;
mod text;

use std::sync::Arc;

use minuend_ir::DType;

use crate::axes::broadcast;
use crate::kernel::Kernel;
use crate::wgsl::dispatch::{Dispatch, LaunchPlaces};
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::indexing::result_place;
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::place::Window;
use crate::wgsl::template::{KernelSpec, Template};

pub(crate) const TEMPLATES: &[Template] = &[Template {
    name: "elementwise",
    file: "elementwise.wgsl",
    source: include_str!("../../../../../shaders/elementwise.wgsl"),
    region: text::region,
    rows: rows::rows,
}];

/// Invocations of a workgroup.
const GROUP: usize = 256;

/// Elements that one invocation computes: as many as a word holds, at least one.
fn per_invocation(result: DType) -> usize {
    if result == DType::Bool { 4 } else { 1 }
}

/// The specification of a kernel whose operands have so many axes.
fn spec(kernel: &Kernel, rank: usize, read_only: u32) -> KernelSpec {
    let mut spec = KernelSpec::new("elementwise")
        .with_u32("RANK", rank as u32)
        .with_u32("READ_ONLY", read_only);
    spec.body = Some(Arc::new(kernel.clone()));
    spec
}

pub(crate) fn dispatches(
    launch: &LaunchPlaces<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    let op = launch.kernel.op.mnemonic();
    let (found, expected) = (launch.operands.len(), launch.kernel.operands.len());
    if found != expected {
        let reason = format!("the launch has {found} operands, the kernel {expected}");
        return Err(ShaderError::Unsupported { op, reason });
    }
    if found >= limits.max_storage_buffers as usize {
        let reason = format!("{found} operands and a result exceed the storage buffers");
        return Err(ShaderError::Unsupported { op, reason });
    }
    let result = result_place(launch, 0)?;
    let elements = result.elements().unwrap_or(usize::MAX);
    let axes = broadcast(op, launch.operands, result.shape)?;
    let mut windows = Vec::new();
    let (mut offsets, mut read_only) = (Vec::new(), 0);
    for (index, operand) in launch.operands.iter().enumerate() {
        let (window, offset) = Window::of(operand, limits)?;
        read_only |= u32::from(window.region.is_read_only()) << index;
        windows.push(window);
        offsets.push(offset as usize);
    }
    let (window, result_offset) = Window::of(result, limits)?;
    windows.push(window);
    let invocations = elements.div_ceil(per_invocation(result.dtype));
    let spec = spec(launch.kernel, axes.rank(), read_only);
    let mut dispatch = Dispatch::new(spec, invocations.div_ceil(GROUP));
    dispatch.windows.extend(windows);
    let uniforms = &mut dispatch.uniforms;
    uniforms.size("elements", elements)?;
    uniforms.size("invocations", invocations)?;
    uniforms.size("result_offset", result_offset as usize / per_invocation(result.dtype))?;
    let fours = |count: usize| 4 * text::vectors(count);
    let count = launch.operands.len();
    uniforms.array("offsets", offsets, fours(count))?;
    uniforms.array("shape", axes.shape.iter().copied(), fours(axes.rank()))?;
    let strides = axes.strides.iter().flatten().copied();
    uniforms.array("strides", strides, fours(count * axes.rank()))?;
    dispatch.work_per_group = (GROUP * 4 * (count + 1)) as u64;
    Ok(vec![dispatch])
}

#[cfg(test)]
mod tests;
