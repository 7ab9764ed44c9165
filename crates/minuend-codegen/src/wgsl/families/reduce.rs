//! Reductions along one axis.

use std::borrow::Cow;

use minuend_ir::ops::{ArgMax, Reduce, ReduceKind};

use crate::rows::Rows;
use crate::wgsl::dispatch::{Dispatch, LaunchPlaces};
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::indexing::result_place;
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::place::{TensorPlace, Window};
use crate::wgsl::template::{KernelSpec, Param, Template, no_region};

pub(crate) const TEMPLATES: &[Template] = &[
    Template {
        name: "reduce",
        file: "reduce.wgsl",
        source: include_str!("../../../../../shaders/reduce.wgsl"),
        region,
        rows: || {
            let row = |lanes: Lanes, is_max| {
                let spec = spec(lanes, is_max).with("x", Param::ReadOnly(false));
                spec.with("result", Param::ReadOnly(false))
            };
            Lanes::ALL.into_iter().flat_map(|lanes| [row(lanes, false), row(lanes, true)]).collect()
        },
    },
    Template {
        name: "arg_max",
        file: "arg_max.wgsl",
        source: include_str!("../../../../../shaders/arg_max.wgsl"),
        region: no_region,
        rows: || {
            let spec = KernelSpec::new("arg_max").with("x", Param::ReadOnly(false));
            vec![spec.with("result", Param::ReadOnly(false))]
        },
    },
];

/// Invocations that share a row, which is what lies along the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lanes {
    /// One invocation for each row: many rows, or short ones.
    One,
    /// A small workgroup.
    Few,
    /// A workgroup of the largest size that every adapter has.
    Many,
}

/// Rows of fewer elements are not worth a barrier.
const SHORT_ROW: usize = 32;
/// As many rows keep a device busy with one invocation for each.
const MANY_ROWS: usize = 4096;

impl Lanes {
    pub(crate) const ALL: [Lanes; 3] = [Lanes::One, Lanes::Few, Lanes::Many];

    /// Neighbouring invocations should read neighbouring elements: those of a row if it is dense, of
    /// neighbouring rows otherwise, where there are enough of them.
    pub(crate) fn choose(rows: usize, length: usize, step: usize) -> Lanes {
        let is_for_one = length < SHORT_ROW || (step != 1 && rows >= MANY_ROWS);
        match length {
            _ if is_for_one => Lanes::One,
            ..=256 => Lanes::Few,
            _ => Lanes::Many,
        }
    }

    /// Invocations of a workgroup, and how many share a row.
    pub(crate) fn numbers(self) -> (u32, u32) {
        match self {
            Lanes::One => (64, 1),
            Lanes::Few => (64, 64),
            Lanes::Many => (256, 256),
        }
    }

    /// Workgroups for so many rows.
    pub(crate) fn groups(self, rows: usize) -> usize {
        let (group, lanes) = self.numbers();
        rows.div_ceil((group / lanes) as usize)
    }

    /// Sets the parameters of both numbers.
    pub(crate) fn set(self, spec: KernelSpec) -> KernelSpec {
        let (group, lanes) = self.numbers();
        spec.with_u32("GROUP_SIZE", group).with_u32("LANES", lanes)
    }

    /// True for a specification whose rows are shared.
    pub(crate) fn are_shared(spec: &KernelSpec) -> bool {
        spec.param("LANES") != Some(Param::U32(1))
    }
}

fn spec(lanes: Lanes, is_max: bool) -> KernelSpec {
    lanes.set(KernelSpec::new("reduce")).with_bool("IS_MAX", is_max)
}

const ADD: &str = "fn combine(a: f32, b: f32) -> f32 {
    return a + b;
}
";
const LARGER: &str = "
fn combine(a: f32, b: f32) -> f32 {
    return larger(a, b);
}
";

/// Texts of the region.
fn region(spec: &KernelSpec, _: &str) -> Result<Option<Cow<'static, str>>, ShaderError> {
    let sum = include_str!("../../../../../shaders/library/group_sum.wgsl");
    let larger = include_str!("../../../../../shaders/library/larger.wgsl");
    let max = include_str!("../../../../../shaders/library/group_max.wgsl");
    let lanes = |value: &str| {
        format!("\nfn combine_lanes(lane: u32, value: f32) -> f32 {{\n    return {value};\n}}\n")
    };
    let text = match (spec.is_set("IS_MAX"), Lanes::are_shared(spec)) {
        (false, false) => [ADD, &lanes("value")].concat(),
        (true, false) => [larger, LARGER, &lanes("value")].concat(),
        (false, true) => [sum, "\n", ADD, &lanes("group_sum(lane, value)")].concat(),
        (true, true) => [larger, "\n", max, LARGER, &lanes("group_max(lane, value)")].concat(),
    };
    Ok(Some(text.into()))
}

/// The window on what is reduced. Nothing is read of an axis without elements, and a binding must not be
/// empty, so that it shows the result then.
pub(crate) fn source(
    x: &TensorPlace<'_>,
    result: &TensorPlace<'_>,
    limits: &WgslLimits,
) -> Result<(Window, u32), ShaderError> {
    Window::of(if x.span_bytes() == 0 { result } else { x }, limits)
}

pub(crate) fn dispatches(
    op: Reduce,
    launch: &LaunchPlaces<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    let name = launch.kernel.op.mnemonic();
    let x = launch.operand(0)?;
    let result = result_place(launch, 0)?;
    let rows = Rows::along(name, op.axis, &[x])?;
    let lanes = Lanes::choose(rows.count, rows.length, rows.steps[0]);
    let is_max = op.kind == ReduceKind::Max;
    let mut dispatch = Dispatch::new(spec(lanes, is_max), lanes.groups(rows.count));
    let (window, x_offset) = source(x, result, limits)?;
    dispatch.bind("x", window);
    let (window, result_offset) = Window::of(result, limits)?;
    dispatch.bind("result", window);
    let divisor = if op.kind == ReduceKind::Mean { rows.length as f32 } else { 1.0 };
    let uniforms = &mut dispatch.uniforms;
    uniforms.size("rows", rows.count)?;
    uniforms.size("rank", rows.axes.rank())?;
    uniforms.size("length", rows.length)?;
    uniforms.size("step", rows.steps[0])?;
    uniforms.word("x_offset", x_offset);
    uniforms.word("result_offset", result_offset);
    uniforms.float("divisor", divisor);
    uniforms.float("start", if is_max { f32::NEG_INFINITY } else { 0.0 });
    for name in ["unused_0", "unused_1", "unused_2"] {
        uniforms.word(name, 0);
    }
    rows.axes.uniforms(uniforms, &["x_strides"])?;
    let (group, shared) = lanes.numbers();
    dispatch.work_per_group = u64::from(group / shared) * rows.length as u64 + u64::from(group);
    Ok(vec![dispatch])
}

pub(crate) fn arg_max(
    op: ArgMax,
    launch: &LaunchPlaces<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    let name = launch.kernel.op.mnemonic();
    let x = launch.operand(0)?;
    let result = result_place(launch, 0)?;
    let rows = Rows::along(name, op.axis, &[x])?;
    let mut dispatch = Dispatch::new(KernelSpec::new("arg_max"), rows.count);
    let (window, x_offset) = source(x, result, limits)?;
    dispatch.bind("x", window);
    let (window, result_offset) = Window::of(result, limits)?;
    dispatch.bind("result", window);
    let uniforms = &mut dispatch.uniforms;
    uniforms.size("rank", rows.axes.rank())?;
    uniforms.size("length", rows.length)?;
    uniforms.size("step", rows.steps[0])?;
    uniforms.word("x_offset", x_offset);
    uniforms.word("result_offset", result_offset);
    uniforms.word("unused_0", 0);
    uniforms.word("unused_1", 0);
    rows.axes.uniforms(uniforms, &["x_strides"])?;
    dispatch.work_per_group = 4096 + rows.length as u64;
    Ok(vec![dispatch])
}

#[cfg(test)]
mod tests;
