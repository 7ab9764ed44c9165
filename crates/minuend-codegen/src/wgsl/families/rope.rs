//! Rotary position embedding.

use std::borrow::Cow;

use minuend_ir::ops::{Rope, RopeLayout};

use crate::turns::turns;
use crate::wgsl::dispatch::{Dispatch, LaunchPlaces};
use crate::wgsl::error::ShaderError;
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::place::Window;
use crate::wgsl::template::{KernelSpec, Param, Template};

pub(crate) const TEMPLATES: &[Template] = &[Template {
    name: "rope",
    file: "rope.wgsl",
    source: include_str!("../../../../../shaders/rope.wgsl"),
    region,
    rows: || {
        let row = |is_interleaved| {
            KernelSpec::new("rope")
                .with_bool("INTERLEAVED", is_interleaved)
                .with("x", Param::ReadOnly(false))
                .with("positions", Param::ReadOnly(false))
                .with("frequencies", Param::ReadOnly(true))
                .with("result", Param::ReadOnly(false))
        };
        vec![row(false), row(true)]
    },
}];

fn region(_: &KernelSpec, _: &str) -> Result<Option<Cow<'static, str>>, ShaderError> {
    let text = concat!(
        include_str!("../../../../../shaders/library/wide_product.wgsl"),
        "\n",
        include_str!("../../../../../shaders/library/turn.wgsl"),
    );
    Ok(Some(text.into()))
}

/// Invocations of a workgroup.
const GROUP: usize = 64;

pub(crate) fn dispatches(
    op: Rope,
    launch: &LaunchPlaces<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    let name = launch.kernel.op.mnemonic();
    let x = launch.operand(0)?;
    let positions = launch.dense_operand(1)?;
    let result = launch.result(0)?;
    let &[batch, heads, tokens, features] = result.shape else {
        let reason = format!("the result has rank {}, expected 4", result.shape.len());
        return Err(ShaderError::Unsupported { op: name, reason });
    };
    let (&[x_batch, x_head, x_token, 1], &[result_batch, result_head, result_token, 1]) =
        (x.strides, result.strides)
    else {
        let reason = "features do not lie next to each other".into();
        return Err(ShaderError::Unsupported { op: name, reason });
    };
    let pairs = features / 2;
    let rotations = batch * heads * tokens * pairs;
    let is_interleaved = op.layout == RopeLayout::Interleaved;
    let spec = KernelSpec::new("rope").with_bool("INTERLEAVED", is_interleaved);
    let mut dispatch = Dispatch::new(spec, rotations.div_ceil(GROUP));
    let (window, x_offset) = Window::of(x, limits)?;
    dispatch.bind("x", window);
    let (window, positions_offset) = Window::of(positions, limits)?;
    dispatch.bind("positions", window);
    dispatch.bind("frequencies", Window::of_data(turns(op.theta.get(), features).words));
    let (window, result_offset) = Window::of(result, limits)?;
    dispatch.bind("result", window);
    let uniforms = &mut dispatch.uniforms;
    uniforms.size("rotations", rotations)?;
    uniforms.size("pairs", pairs)?;
    uniforms.size("heads", heads)?;
    uniforms.size("tokens", tokens)?;
    uniforms.word("x_offset", x_offset);
    uniforms.size("x_batch", x_batch)?;
    uniforms.size("x_head", x_head)?;
    uniforms.size("x_token", x_token)?;
    uniforms.word("positions_offset", positions_offset);
    uniforms.size("positions_batch", if positions.shape.len() == 2 { tokens } else { 0 })?;
    uniforms.word("result_offset", result_offset);
    uniforms.size("result_batch", result_batch)?;
    uniforms.size("result_head", result_head)?;
    uniforms.size("result_token", result_token)?;
    dispatch.work_per_group = 64 * GROUP as u64;
    Ok(vec![dispatch])
}

#[cfg(test)]
mod tests;
