//! Softmax along one axis.

use minuend_ir::DType;
use minuend_ir::ops::Softmax;

use crate::cuda::error::CudaError;
use crate::cuda::families::element;
use crate::cuda::families::reduce::FLOATS;
use crate::cuda::families::reduce::rows::widest;
use crate::cuda::families::reduce::teams::{Holding, Team};
use crate::cuda::launch::{Arg, KernelLaunch, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{KernelSpec, Needs, Template, no_opcodes, not_generated};
use crate::place::LaunchPlaces;
use crate::rows::Rows;

pub(crate) const TEMPLATES: &[Template] = &[Template {
    name: "softmax/softmax",
    source: include_str!("../../../../../cuda/softmax/softmax.cu"),
    needs: Needs::Nothing,
    overlap: Overlap::Never,
    fast_math: false,
    generated: not_generated,
    rows,
    opcodes: no_opcodes,
}];

fn rows() -> Vec<KernelSpec> {
    let mut rows = Vec::new();
    for dtype in FLOATS {
        rows.push(spec(dtype, Holding::ONE, 1));
        for holding in Holding::KINDS {
            rows.push(spec(dtype, holding, 1));
            rows.push(spec(dtype, holding, widest(dtype)));
        }
    }
    rows
}

fn spec(dtype: DType, holding: Holding, width: usize) -> KernelSpec {
    let spec = KernelSpec::new("softmax/softmax").with_type("ELEMENT", element(dtype));
    holding.set(spec).with_int("WIDTH", width as i32)
}

pub(crate) fn works(
    op: Softmax,
    launch: &LaunchPlaces<'_>,
    limits: &CudaLimits,
) -> Result<Works, CudaError> {
    let name = launch.kernel.op.mnemonic();
    let x = launch.operand(0)?;
    let result = launch.dense_result(0)?;
    let rows = Rows::along(name, op.axis, &[x, result])?;
    let (width, x_step, result_step) = (rows.width(&[x, result]), rows.steps[0], rows.steps[1]);
    let vectors = rows.length / width;
    let holding = if Team::is_for_one(rows.count, x_step) {
        Holding::ONE
    } else {
        Holding::choose(rows.count, vectors, limits)
    };
    let team = holding.team;
    let spec = spec(x.dtype, holding, width);
    let launch = KernelLaunch::new(spec, team.blocks(rows.count)?, team.threads)
        .arg("x", Arg::tensor(x))
        .arg("result", Arg::tensor(result))
        .arg("rows", Arg::size("rows", rows.count)?)
        .arg("vectors", Arg::size("the axis of a softmax", vectors)?)
        .arg("x_step", Arg::long("a stride", x_step)?)
        .arg("result_step", Arg::long("a stride", result_step)?)
        .arg("shape", rows.axes.shape_arg()?)
        .arg("x_strides", rows.axes.strides_arg(0)?)
        .arg("result_strides", rows.axes.strides_arg(1)?);
    Ok(Works::of(launch))
}

#[cfg(test)]
mod tests;
