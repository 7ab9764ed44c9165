//! Softmax along one axis.

use std::borrow::Cow;

use minuend_ir::ops::Softmax;

use crate::rows::Rows;
use crate::wgsl::dispatch::{Dispatch, LaunchPlaces};
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::indexing::result_place;
use crate::wgsl::families::reduce::Lanes;
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::place::Window;
use crate::wgsl::template::{KernelSpec, Param, Template};

pub(crate) const TEMPLATES: &[Template] = &[Template {
    name: "softmax",
    file: "softmax.wgsl",
    source: include_str!("../../../../../shaders/softmax.wgsl"),
    region,
    rows: || {
        let row = |lanes: Lanes| {
            let spec = lanes.set(KernelSpec::new("softmax")).with("x", Param::ReadOnly(false));
            spec.with("result", Param::ReadOnly(false))
        };
        Lanes::ALL.into_iter().map(row).collect()
    },
}];

/// Texts of the region.
fn region(spec: &KernelSpec, _: &str) -> Result<Option<Cow<'static, str>>, ShaderError> {
    let exponential = include_str!("../../../../../shaders/library/exponential.wgsl");
    let larger = include_str!("../../../../../shaders/library/larger.wgsl");
    let max = include_str!("../../../../../shaders/library/group_max.wgsl");
    let sum = include_str!("../../../../../shaders/library/group_sum.wgsl");
    let lanes = |function: &str, value: &str| {
        format!("\nfn {function}(lane: u32, value: f32) -> f32 {{\n    return {value};\n}}\n")
    };
    let text = if Lanes::are_shared(spec) {
        let most = lanes("lanes_max", "group_max(lane, value)");
        let total = lanes("lanes_sum", "group_sum(lane, value)");
        [exponential, "\n", larger, "\n", max, "\n", sum, &most, &total].concat()
    } else {
        let (most, total) = (lanes("lanes_max", "value"), lanes("lanes_sum", "value"));
        [exponential, "\n", larger, &most, &total].concat()
    };
    Ok(Some(text.into()))
}

pub(crate) fn dispatches(
    op: Softmax,
    launch: &LaunchPlaces<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    let name = launch.kernel.op.mnemonic();
    let x = launch.operand(0)?;
    let result = result_place(launch, 0)?;
    let rows = Rows::along(name, op.axis, &[x, result])?;
    let lanes = Lanes::choose(rows.count, rows.length, rows.steps[0]);
    let spec = lanes.set(KernelSpec::new("softmax"));
    let mut dispatch = Dispatch::new(spec, lanes.groups(rows.count));
    let (window, x_offset) = Window::of(x, limits)?;
    dispatch.bind("x", window);
    let (window, result_offset) = Window::of(result, limits)?;
    dispatch.bind("result", window);
    let uniforms = &mut dispatch.uniforms;
    uniforms.size("rows", rows.count)?;
    uniforms.size("rank", rows.axes.rank())?;
    uniforms.size("length", rows.length)?;
    uniforms.size("x_step", rows.steps[0])?;
    uniforms.size("result_step", rows.steps[1])?;
    uniforms.word("x_offset", x_offset);
    uniforms.word("result_offset", result_offset);
    uniforms.float("least", f32::NEG_INFINITY);
    for name in ["unused_0", "unused_1", "unused_2"] {
        uniforms.word(name, 0);
    }
    rows.axes.uniforms(uniforms, &["x_strides", "result_strides"])?;
    let (group, shared) = lanes.numbers();
    // Two exponentials of some twenty operations for each element.
    dispatch.work_per_group =
        48 * (u64::from(group / shared) * rows.length as u64 + u64::from(group));
    Ok(vec![dispatch])
}

#[cfg(test)]
mod tests;
