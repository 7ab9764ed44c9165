//! Elementwise ops and chains of them: what is computed for an element is generated.

mod expression;
mod rows;
mod text;

use std::sync::Arc;

use minuend_ir::DType;

use crate::axes::{Axes, broadcast};
use crate::cuda::error::CudaError;
use crate::cuda::families::indexing::{blocks, elements};
use crate::cuda::launch::{Arg, KernelLaunch, Works};
use crate::cuda::limits::CudaLimits;
use crate::cuda::overlap::Overlap;
use crate::cuda::target::MAX_OPERANDS;
use crate::cuda::template::{Define, KernelSpec, Needs, Opcode, Template};
use crate::kernel::Kernel;
use crate::place::{LaunchPlaces, TensorPlace};

pub(crate) const TEMPLATES: &[Template] = &[Template {
    name: "elementwise/chain",
    source: include_str!("../../../../../cuda/elementwise/chain.cu"),
    needs: Needs::Nothing,
    overlap: Overlap::BehindWait { ahead: &[] },
    fast_math: false,
    generated: text::generated,
    rows: rows::rows,
    opcodes,
}];

/// Names of the entry's operands and of their strides.
const OPERANDS: [(&str, &str); MAX_OPERANDS] = [
    ("x0", "strides0"),
    ("x1", "strides1"),
    ("x2", "strides2"),
    ("x3", "strides3"),
    ("x4", "strides4"),
    ("x5", "strides5"),
    ("x6", "strides6"),
    ("x7", "strides7"),
];

/// Threads of a block.
const THREADS: u32 = 256;

/// Largest number of elements that a thread computes.
const MAX_LANES: u64 = 8;

/// The specification of a kernel whose operands have so many axes.
fn spec(kernel: &Kernel, rank: usize, items: Items) -> KernelSpec {
    let mut spec = KernelSpec::new("elementwise/chain")
        .with_int("LANES", items.lanes as i32)
        .with_int("RANK", rank as i32)
        .with_int("VECTORS", items.vectors);
    spec.body = Some(Arc::new(kernel.clone()));
    spec
}

/// Vectors of 8 and 16 bytes are each moved by one instruction.
fn opcodes(spec: &KernelSpec) -> Vec<Opcode> {
    let number = |name: &str| match spec.define(name) {
        Some(Define::Int(value)) => u64::from(value.unsigned_abs()),
        _ => 0,
    };
    let (lanes, vectors) = (number("LANES"), number("VECTORS"));
    let operands = spec.body.iter().flat_map(|kernel| kernel.operands.iter().enumerate());
    let read = operands.filter(|(index, _)| vectors >> index & 1 == 1);
    let read = read.filter_map(|(_, dtype)| match lanes * dtype.bytes() {
        16 => Some("LDG.E.128"),
        8 => Some("LDG.E.64"),
        _ => None,
    });
    let results = spec.body.iter().flat_map(|kernel| kernel.results.iter());
    let written = results.filter_map(|dtype| match lanes * dtype.bytes() {
        16 => Some("STG.E.128"),
        8 => Some("STG.E.64"),
        _ => None,
    });
    read.chain(written).map(Opcode::Present).collect()
}

/// What a thread computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Items {
    /// Neighbours along the innermost axis; a power of two.
    lanes: usize,
    /// Bit `i` is set if operand `i` is read as vectors; the others repeat one element.
    vectors: i32,
}

/// The most that a vector of every type holds.
fn most_lanes(types: impl Iterator<Item = DType>) -> u64 {
    let widest = types.map(DType::bytes).max().unwrap_or(1).max(1);
    (16 / widest).min(MAX_LANES)
}

/// The largest items that operands and result can be read and written by.
fn items(axes: &Axes, operands: &[TensorPlace<'_>], result: &TensorPlace<'_>) -> Items {
    let types = operands.iter().map(|operand| operand.dtype).chain([result.dtype]);
    let mut lanes = most_lanes(types);
    let mut vectors = 0;
    for (index, _) in operands.iter().enumerate().filter(|(index, _)| axes.step(*index) != 0) {
        vectors |= 1 << index;
    }
    while lanes > 1 {
        let aligned = |tensor: &TensorPlace<'_>| {
            tensor.byte_offset.is_multiple_of(lanes * tensor.dtype.bytes())
        };
        let count = lanes as usize;
        let fits = axes.inner().is_multiple_of(count)
            && aligned(result)
            && operands.iter().enumerate().all(|(index, operand)| {
                axes.step(index) == 0 || (axes.divides(index, count) && aligned(operand))
            });
        if fits {
            return Items { lanes: count, vectors };
        }
        lanes /= 2;
    }
    Items { lanes: 1, vectors: 0 }
}

/// The axes with items for elements.
fn in_items(mut axes: Axes, items: Items) -> Axes {
    if let Some(inner) = axes.shape.last_mut() {
        *inner /= items.lanes;
    }
    for own in &mut axes.strides {
        if let Some(step) = own.last_mut() {
            *step *= items.lanes;
        }
    }
    axes
}

pub(crate) fn works(launch: &LaunchPlaces<'_>, _: &CudaLimits) -> Result<Works, CudaError> {
    let op = launch.kernel.op.mnemonic();
    let (found, expected) = (launch.operands.len(), launch.kernel.operands.len());
    if found != expected || found > MAX_OPERANDS {
        let reason = format!(
            "the launch has {found} operands, the kernel {expected} and at most {MAX_OPERANDS}"
        );
        return Err(CudaError::Unsupported { op, reason });
    }
    let result = launch.dense_result(0)?;
    let axes = broadcast(op, launch.operands, result.shape)?;
    let items = items(&axes, launch.operands, result);
    let axes = in_items(axes, items);
    let count = elements(result)? / items.lanes;
    let spec = spec(launch.kernel, axes.rank(), items);
    let mut kernel = KernelLaunch::new(spec, blocks(count, THREADS)?, THREADS);
    for (index, (name, _)) in OPERANDS.iter().enumerate() {
        kernel = kernel.arg(name, launch.operands.get(index).map_or(Arg::Null, Arg::tensor));
    }
    kernel = kernel
        .arg("result", Arg::tensor(result))
        .arg("items", Arg::size("the number of items", count)?)
        .arg("shape", axes.shape_arg()?);
    for (index, (_, name)) in OPERANDS.iter().enumerate() {
        kernel = kernel.arg(name, axes.strides_arg(index)?);
    }
    Ok(Works::of(kernel))
}

#[cfg(test)]
mod tests;
