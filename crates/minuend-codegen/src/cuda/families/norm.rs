//! RMS norms, alone or behind a residual sum.

use minuend_ir::DType;
use minuend_ir::ops::RmsNorm;

use crate::cuda::error::CudaError;
use crate::cuda::families::element;
use crate::cuda::families::indexing::distances;
use crate::cuda::families::reduce::FLOATS;
use crate::cuda::families::reduce::rows::{starts_with_vector, widest};
use crate::cuda::families::reduce::teams::Holding;
use crate::cuda::launch::{Arg, KernelLaunch, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::overlap::Overlap;
use crate::cuda::template::{KernelSpec, Needs, Template, no_opcodes, not_generated};
use crate::place::{LaunchPlaces, TensorPlace};
use crate::rows::Rows;

pub(crate) const TEMPLATES: &[Template] = &[Template {
    name: "normalize/rms_norm",
    source: include_str!("../../../../../cuda/normalize/rms_norm.cu"),
    needs: Needs::Nothing,
    overlap: Overlap::BehindWait { ahead: &["weight"] },
    fast_math: false,
    generated: not_generated,
    rows,
    opcodes: no_opcodes,
}];

/// The specification without what a thread holds.
fn spec(x: DType, weight: DType, has_residual: bool, width: usize) -> KernelSpec {
    KernelSpec::new("normalize/rms_norm")
        .with_type("ELEMENT", element(x))
        .with_type("WEIGHT", element(weight))
        .with_bool("HAS_RESIDUAL", has_residual)
        .with_int("WIDTH", width as i32)
}

/// All kinds of rows for two pairs of types, and of every other pair those that take most registers.
fn rows() -> Vec<KernelSpec> {
    let mut rows = Vec::new();
    for x in FLOATS {
        for weight in FLOATS {
            let is_whole = x == weight && x != DType::F16;
            for (kind, holding) in Holding::KINDS.into_iter().enumerate() {
                let has_residual = x != DType::F32 || kind % 2 == 0;
                for width in [1, widest(x)] {
                    let is_large = width > 1 && holding.chunks > 1 && holding.team.lanes == 0;
                    if is_whole || is_large {
                        rows.push(holding.set(spec(x, weight, has_residual, width)));
                    }
                    if is_whole && is_large {
                        rows.push(holding.set(spec(x, weight, !has_residual, width)));
                    }
                }
            }
        }
    }
    rows
}

pub(crate) fn rms_norm(
    op: RmsNorm,
    launch: &LaunchPlaces<'_>,
    limits: &CudaLimits,
) -> Result<Works, CudaError> {
    let name = launch.kernel.op.mnemonic();
    let weight = launch.dense_operand(1)?;
    let normed = launch.dense_result(0)?;
    let norm = Norm { name, op, x: launch.row_operand(0)?, residual: None, weight, normed };
    norm.works(limits)
}

pub(crate) fn add_rms_norm(
    op: RmsNorm,
    launch: &LaunchPlaces<'_>,
    limits: &CudaLimits,
) -> Result<Works, CudaError> {
    let name = launch.kernel.op.mnemonic();
    let residual = (launch.row_operand(1)?, launch.dense_result(0)?);
    let weight = launch.dense_operand(2)?;
    let normed = launch.dense_result(1)?;
    let x = launch.row_operand(0)?;
    Norm { name, op, x, residual: Some(residual), weight, normed }.works(limits)
}

/// Tensors of a norm.
struct Norm<'a> {
    name: &'static str,
    op: RmsNorm,
    x: &'a TensorPlace<'a>,
    /// What is added first, and the sum.
    residual: Option<(&'a TensorPlace<'a>, &'a TensorPlace<'a>)>,
    weight: &'a TensorPlace<'a>,
    normed: &'a TensorPlace<'a>,
}

impl Norm<'_> {
    fn works(&self, limits: &CudaLimits) -> Result<Works, CudaError> {
        let residual = self.residual.map_or(self.x, |(residual, _)| residual);
        let sum = self.residual.map_or(self.normed, |(_, sum)| sum);
        let strided = [self.x, residual];
        let last = self.x.shape.len().saturating_sub(1);
        let rows = Rows::along(self.name, last, &strided)?;
        let dense = [self.weight, sum, self.normed];
        let width = match rows.width(&strided) {
            width if dense.iter().all(|tensor| starts_with_vector(tensor, width)) => width,
            _ => 1,
        };
        let vectors = rows.length / width;
        let holding = Holding::choose(rows.count, vectors, limits);
        let team = holding.team;
        let spec = spec(self.x.dtype, self.weight.dtype, self.residual.is_some(), width);
        let blocks = team.blocks(rows.count)?;
        let mut launch = KernelLaunch::new(holding.set(spec), blocks, team.threads);
        launch = launch.arg("x", Arg::tensor(self.x));
        launch = match self.residual {
            Some(_) => launch.arg("residual", Arg::tensor(residual)),
            None => launch.arg("residual", Arg::Null),
        };
        launch = launch.arg("weight", Arg::tensor(self.weight));
        launch = match self.residual {
            Some(_) => launch.arg("sum", Arg::tensor(sum)),
            None => launch.arg("sum", Arg::Null),
        };
        launch = launch
            .arg("normed", Arg::tensor(self.normed))
            .arg("rows", Arg::size("rows", rows.count)?)
            .arg("vectors", Arg::size("the length of rows", vectors)?)
            .arg("inverse_length", Arg::Float((1.0 / rows.length as f64) as f32))
            .arg("epsilon", Arg::Float(self.op.epsilon.get() as f32))
            .arg("shape", rows.axes.shape_arg()?)
            .arg("x_strides", rows.axes.strides_arg(0)?)
            .arg(
                "residual_strides",
                match self.residual {
                    Some(_) => rows.axes.strides_arg(1)?,
                    None => distances(&[])?,
                },
            );
        Ok(Works::of(launch))
    }
}

#[cfg(test)]
mod tests;
