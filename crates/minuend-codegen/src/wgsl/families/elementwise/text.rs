//! Generated parts of the elementwise shader.

use std::borrow::Cow;
use std::fmt::Write as _;

use minuend_ir::DType;

use crate::chain::links;
use crate::kernel::{Kernel, TailOperand};
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::elementwise::expression::{Kind, expression};
use crate::wgsl::families::elementwise::library::Libraries;
use crate::wgsl::template::{KernelSpec, Param};

/// Vectors of four that hold so many words.
pub(super) fn vectors(words: usize) -> usize {
    words.div_ceil(4).max(1)
}

pub(super) fn region(
    spec: &KernelSpec,
    region: &str,
) -> Result<Option<Cow<'static, str>>, ShaderError> {
    let missing = |name: &str| ShaderError::Parameter {
        template: spec.template,
        name: name.to_string(),
        fault: "has no value",
    };
    let kernel = spec.body.as_deref().ok_or_else(|| missing("body"))?;
    let Some(Param::U32(rank)) = spec.param("RANK") else { return Err(missing("RANK")) };
    let Some(Param::U32(read_only)) = spec.param("READ_ONLY") else {
        return Err(missing("READ_ONLY"));
    };
    let text = match region {
        "bindings" => bindings(kernel, rank as usize, read_only),
        "value" => value(kernel, rank as usize)?,
        _ if stored(kernel) == DType::Bool => STORE_TRUTHS.to_string(),
        _ => return Ok(None),
    };
    Ok(Some(text.into()))
}

/// Four truth values are one word. Those behind the last element lie in the padding of the result's
/// block, which belongs to nobody else.
const STORE_TRUTHS: &str = "    var word = 0u;
    for (var byte = 0u; byte < 4u; byte = byte + 1u) {
        let element = 4u * invocation + byte;
        if (element < sizes.elements) {
            word = word | (select(0u, 1u, value_at(element)) << (8u * byte));
        }
    }
    result[sizes.result_offset + invocation] = word;
";

fn stored(kernel: &Kernel) -> DType {
    kernel.results.first().copied().unwrap_or(DType::F32)
}

/// What an array in memory consists of.
fn memory_type(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f32",
        DType::I32 => "i32",
        DType::I64 => "vec2<u32>",
        DType::F16 | DType::Bf16 | DType::Bool => "u32",
    }
}

fn bindings(kernel: &Kernel, rank: usize, read_only: u32) -> String {
    let count = kernel.operands.len();
    let mut text = format!(
        "struct Sizes {{
    first_group: u32,
    elements: u32,
    invocations: u32,
    result_offset: u32,
    offsets: array<vec4<u32>, {}>,
    shape: array<vec4<u32>, {}>,
    strides: array<vec4<u32>, {}>,
}}

@group(0) @binding(0) var<uniform> sizes: Sizes;
",
        vectors(count),
        vectors(rank),
        vectors(count * rank),
    );
    let operands = kernel.operands.iter().enumerate().map(|(index, dtype)| {
        let access = if read_only >> index & 1 == 1 { "read" } else { "read_write" };
        (format!("x{index}"), *dtype, access)
    });
    let all = operands.chain([("result".to_string(), stored(kernel), "read_write")]);
    for (index, (name, dtype, access)) in all.enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "@group(0) @binding({}) var<storage, {access}> {name}: array<{}>;",
            index + 1,
            memory_type(dtype)
        );
    }
    text
}

/// A word of an array of vectors.
fn word(array: &str, index: usize) -> String {
    format!("sizes.{array}[{}].{}", index / 4, ["x", "y", "z", "w"][index % 4])
}

/// The functions that are called, and the one that computes an element.
fn value(kernel: &Kernel, rank: usize) -> Result<String, ShaderError> {
    let mut libraries = Libraries::default();
    let mut lines = indices(rank);
    for (operand, dtype) in kernel.operands.iter().enumerate() {
        let _ = writeln!(lines, "    let at_{operand} = {};", address(operand, rank));
        let _ = writeln!(lines, "    let operand_{operand} = {};", load(operand, *dtype));
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
        let text = expression(link.op, &named, &mut libraries);
        let text = text.ok_or_else(|| ShaderError::Unsupported {
            op: link.op.mnemonic(),
            reason: format!("its operands in {} have types that it does not take", kernel.name()),
        })?;
        let _ = writeln!(lines, "    let value_{index} = {text};");
        last = index;
    }
    let kind = Kind::of(stored(kernel)).name();
    let libraries = libraries.text();
    Ok(format!(
        "{libraries}fn value_at(element: u32) -> {kind} {{\n{lines}    return value_{last};\n}}\n"
    ))
}

/// Indices along the axes, innermost last.
fn indices(rank: usize) -> String {
    let mut text = String::new();
    let mut rest = "element".to_string();
    for axis in (1..rank).rev() {
        let size = word("shape", axis);
        let _ = writeln!(text, "    let index_{axis} = {rest} % {size};");
        let _ = writeln!(text, "    let rest_{axis} = {rest} / {size};");
        rest = format!("rest_{axis}");
    }
    let _ = writeln!(text, "    let index_0 = {rest};");
    text
}

fn address(operand: usize, rank: usize) -> String {
    let step = |axis| format!(" + index_{axis} * {}", word("strides", operand * rank + axis));
    word("offsets", operand) + &(0..rank).map(step).collect::<String>()
}

/// The element at the operand's address.
fn load(operand: usize, dtype: DType) -> String {
    let at = format!("at_{operand}");
    match dtype {
        DType::F32 | DType::I32 | DType::I64 => format!("x{operand}[{at}]"),
        DType::Bool => format!("((x{operand}[{at} / 4u] >> (8u * ({at} % 4u))) & 0xffu) != 0u"),
        DType::F16 => format!("unpack2x16float(x{operand}[{at} / 2u])[{at} % 2u]"),
        DType::Bf16 => {
            format!("bitcast<f32>((x{operand}[{at} / 2u] >> (16u * ({at} % 2u))) << 16u)")
        }
    }
}
