//! The text of `minuend/generated.cuh`: operand types and the function of one element.

use std::fmt::Write as _;

use minuend_ir::DType;

use crate::chain::links;
use crate::cuda::error::CudaError;
use crate::cuda::families::element;
use crate::cuda::families::elementwise::expression::{Kind, expression};
use crate::cuda::template::KernelSpec;
use crate::kernel::{Kernel, TailOperand};

/// The text for a specification; `None` if it says nothing of what is computed.
pub(super) fn generated(spec: &KernelSpec) -> Result<Option<String>, CudaError> {
    spec.body.as_deref().map(text).transpose()
}

/// What an array in memory consists of.
fn stored(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "Truth",
        DType::F32 | DType::F16 | DType::Bf16 | DType::I64 | DType::I32 => element(dtype),
    }
}

fn text(kernel: &Kernel) -> Result<String, CudaError> {
    let result = kernel.results.first().copied().unwrap_or(DType::F32);
    let types: Vec<&str> = kernel.operands.iter().map(|dtype| stored(*dtype)).collect();
    let parameters = types.iter().enumerate().map(|(index, ty)| format!("{ty} x{index}"));
    let parameters: Vec<String> = parameters.collect();
    let mut lines = String::new();
    // Writing to a string cannot fail.
    for (index, dtype) in kernel.operands.iter().enumerate() {
        let kind = Kind::of(*dtype);
        let value = match kind {
            Kind::Real => format!("to_float(x{index})"),
            Kind::Int32 | Kind::Int64 => format!("x{index}"),
            Kind::Truth => format!("x{index} != 0"),
        };
        let _ = writeln!(lines, "    const {} operand_{index} = {value};", kind.name());
    }
    let mut last = 0;
    for (index, link) in links(kernel)?.iter().enumerate() {
        let named = link.operands.iter().map(|(operand, dtype)| {
            let name = match operand {
                TailOperand::Value(value) => format!("value_{value}"),
                TailOperand::Operand(operand) => format!("operand_{operand}"),
            };
            (name, Kind::of(*dtype))
        });
        let named: Vec<(String, Kind)> = named.collect();
        let value = expression(link.op, &named).ok_or_else(|| CudaError::Unsupported {
            op: link.op.mnemonic(),
            reason: format!("its operands in {} have types that it does not take", kernel.name()),
        })?;
        let kind = Kind::of(link.result).name();
        let _ = writeln!(lines, "    const {kind} value_{index} = {value};");
        last = index;
    }
    let narrowed = match Kind::of(result) {
        Kind::Real => format!("from_float<{}>(value_{last})", stored(result)),
        Kind::Int32 | Kind::Int64 | Kind::Truth => format!("Result(value_{last})"),
    };
    Ok(format!(
        "#pragma once

#include \"minuend/elementary.cuh\"
#include \"minuend/operands.cuh\"
#include \"minuend/sine.cuh\"

namespace minuend {{

using Operands = Types<{}>;
using Result = {};

__device__ __forceinline__ Result value_of({}) {{
{lines}    return {narrowed};
}}

}}  // namespace minuend
",
        types.join(", "),
        stored(result),
        parameters.join(", "),
    ))
}
