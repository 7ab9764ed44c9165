//! Variants of the row norms: how wide loads are, how the weight is stored, how large a group is.

use std::borrow::Cow;

use minuend_ir::DType;

use crate::wgsl::error::ShaderError;
use crate::wgsl::template::{KernelSpec, Param};

/// Elements that one load takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// One element.
    One,
    /// Four elements of a row, aligned.
    Four,
}

impl Width {
    pub(super) fn elements(self) -> usize {
        match self {
            Width::One => 1,
            Width::Four => 4,
        }
    }
}

const GROUP_SIZES: [u32; 4] = [32, 64, 128, 256];

/// Invocations for rows of so many values.
pub(super) fn group_size(values: usize) -> u32 {
    let [least, .., most] = GROUP_SIZES;
    GROUP_SIZES.into_iter().find(|size| *size as usize >= values).unwrap_or(most).max(least)
}

const VEC4: Param = Param::Type("vec4<f32>");
const SCALAR: Param = Param::Type("f32");

/// The specification without its bindings.
pub(super) fn spec(
    template: &'static str,
    group_size: u32,
    width: Width,
    weight: DType,
) -> KernelSpec {
    let is_half = weight != DType::F32;
    let (value, stored) = match width {
        Width::One => (SCALAR, if is_half { Param::Type("u32") } else { SCALAR }),
        Width::Four => (VEC4, if is_half { Param::Type("vec2<u32>") } else { VEC4 }),
    };
    KernelSpec::new(template)
        .with_u32("GROUP_SIZE", group_size)
        .with("Value", value)
        .with("Stored", stored)
        .with_bool("BF16", weight == DType::Bf16)
}

/// Every variant, with a weight that is only read.
pub(super) fn rows(template: &'static str, others: &[&'static str]) -> Vec<KernelSpec> {
    let mut rows = Vec::new();
    for group_size in GROUP_SIZES {
        for width in [Width::One, Width::Four] {
            for weight in [DType::F32, DType::F16, DType::Bf16] {
                let spec = spec(template, group_size, width, weight);
                let spec = spec.with("weight", Param::ReadOnly(true));
                let with =
                    |spec: KernelSpec, name: &&'static str| spec.with(name, Param::ReadOnly(false));
                rows.push(others.iter().fold(spec, with));
            }
        }
    }
    rows
}

const SQUARE: &str = "fn square(value: f32) -> f32 {
    return value * value;
}
";

const SQUARES: &str = "fn square(value: vec4<f32>) -> f32 {
    return dot(value, value);
}
";

const FLOATS: &str = "
fn weight_at(index: u32) -> Value {
    return weight[sizes.weight_offset + index];
}
";

const HALVES: &str = "
fn halves(word: u32) -> vec2<f32> {
    let brain = vec2<f32>(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u));
    return select(unpack2x16float(word), brain, BF16);
}
";

const ONE_HALF: &str = "
fn weight_at(index: u32) -> f32 {
    let element = sizes.weight_offset + index;
    return halves(weight[element / 2u])[element % 2u];
}
";

const FOUR_HALVES: &str = "
fn weight_at(index: u32) -> vec4<f32> {
    let words = weight[sizes.weight_offset + index];
    return vec4<f32>(halves(words.x), halves(words.y));
}
";

/// Texts of the regions.
pub(super) fn region(
    spec: &KernelSpec,
    region: &str,
) -> Result<Option<Cow<'static, str>>, ShaderError> {
    if region == "group_sum" {
        let text = include_str!("../../../../../../shaders/library/group_sum.wgsl");
        return Ok(Some(text.into()));
    }
    let is_wide = spec.param("Value") == Some(VEC4);
    let square = if is_wide { SQUARES } else { SQUARE };
    let weight = match (spec.param("Stored"), is_wide) {
        (Some(SCALAR | VEC4), _) => FLOATS.to_string(),
        (_, true) => [HALVES, FOUR_HALVES].concat(),
        (_, false) => [HALVES, ONE_HALF].concat(),
    };
    Ok(Some((square.to_string() + &weight).into()))
}
