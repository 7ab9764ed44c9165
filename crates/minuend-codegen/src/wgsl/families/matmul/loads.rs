//! How the product shaders read their operands: the text of their region `loads`.
//!
//! A unit is the type that a binding's array is made of. With units of one element every load checks
//! how many values exist; with larger units all of a unit exist.

use crate::wgsl::template::{KernelSpec, Param};

/// Units of an operand that is read one element, or one word of two elements, at a time.
pub(super) const F32: &str = "f32";
pub(super) const HALVES: &str = "u32";
/// Units of four values.
pub(super) const F32_QUAD: &str = "vec4<f32>";
pub(super) const HALF_QUAD: &str = "vec2<u32>";
/// Units of eight two-byte values.
pub(super) const HALF_OCTET: &str = "vec4<u32>";

const LHS_QUADS: &str = "
fn lhs_values(at: u32, count: u32) -> vec4<f32> {
    return lhs[at / 4u];
}
";

const LHS_ELEMENTS: &str = "
fn lhs_values(at: u32, count: u32) -> vec4<f32> {
    var values = vec4<f32>(lhs[at], 0.0, 0.0, 0.0);
    if (count > 1u) {
        values.y = lhs[at + 1u];
    }
    if (count > 2u) {
        values.z = lhs[at + 2u];
    }
    if (count > 3u) {
        values.w = lhs[at + 3u];
    }
    return values;
}
";

/// Two values of a word, the one at the lower address first.
const WIDEN: &str = "
fn widen(word: u32) -> vec2<f32> {
    if (BF16) {
        return vec2<f32>(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u));
    }
    return unpack2x16float(word);
}
";

/// The unit of the rhs, or of `up`, that holds an element.
const UNIT: &str = "
fn rhs_unit(is_up: bool, index: u32) -> RhsUnit {
    if (SWIGLU && is_up) {
        return up[index];
    }
    return rhs[index];
}
";

const RHS_F32_QUADS: &str = "
fn rhs_values(is_up: bool, at: u32, count: u32) -> vec4<f32> {
    return rhs_unit(is_up, at / 4u);
}
";

const RHS_HALF_QUADS: &str = "
fn rhs_values(is_up: bool, at: u32, count: u32) -> vec4<f32> {
    let words = rhs_unit(is_up, at / 4u);
    return vec4<f32>(widen(words.x), widen(words.y));
}
";

const RHS_F32: &str = "
fn rhs_value(is_up: bool, at: u32) -> f32 {
    return rhs_unit(is_up, at);
}
";

const RHS_HALF: &str = "
fn rhs_value(is_up: bool, at: u32) -> f32 {
    return widen(rhs_unit(is_up, at / 2u) >> (16u * (at % 2u))).x;
}
";

const RHS_ELEMENTS: &str = "
fn rhs_values(is_up: bool, at: u32, count: u32) -> vec4<f32> {
    var values = vec4<f32>(rhs_value(is_up, at), 0.0, 0.0, 0.0);
    if (count > 1u) {
        values.y = rhs_value(is_up, at + sizes.rhs_inner);
    }
    if (count > 2u) {
        values.z = rhs_value(is_up, at + 2u * sizes.rhs_inner);
    }
    if (count > 3u) {
        values.w = rhs_value(is_up, at + 3u * sizes.rhs_inner);
    }
    return values;
}
";

/// The region `loads`: `lhs_values` and `rhs_values`, which give the four values from an element on.
pub(super) fn four_values(spec: &KernelSpec) -> String {
    let lhs = if unit(spec, "LhsUnit") == F32 { LHS_ELEMENTS } else { LHS_QUADS };
    let rhs: &[&str] = match unit(spec, "RhsUnit") {
        F32_QUAD => &[RHS_F32_QUADS],
        HALF_QUAD => &[WIDEN, RHS_HALF_QUADS],
        HALVES => &[WIDEN, RHS_HALF, RHS_ELEMENTS],
        _ => &[RHS_F32, RHS_ELEMENTS],
    };
    [lhs, UNIT].iter().chain(rhs).copied().collect()
}

const WIDE: &str = "
alias Stored = vec4<f32>;

fn rhs_stored(is_up: bool, at: u32, count: u32) -> Stored {
    return rhs_values(is_up, at, count);
}

fn rounded(values: Stored) -> vec4<f16> {
    return vec4<f16>(values);
}
";

const NARROW: &str = "
alias Stored = vec2<u32>;

fn rhs_stored(is_up: bool, at: u32, count: u32) -> Stored {
    return rhs_unit(is_up, at / 4u);
}

fn rounded(words: Stored) -> vec4<f16> {
    return vec4<f16>(vec4<f32>(widen(words.x), widen(words.y)));
}
";

/// The region `loads` of the shader for cooperative matrices: values of the rhs keep the form in which
/// they are stored until `rounded` makes them f16, so that loads are not waited for before.
pub(super) fn stored_values(spec: &KernelSpec) -> String {
    match unit(spec, "RhsUnit") {
        HALF_QUAD => [LHS_QUADS, WIDEN, UNIT, NARROW].concat(),
        _ => four_values(spec) + WIDE,
    }
}

const ONE_QUAD: &str = "
fn rhs_quads(is_up: bool, at: u32, count: u32) -> Quads {
    return Quads(rhs_values(is_up, at, count));
}
";

const TWO_QUADS: &str = "
fn rhs_quads(is_up: bool, at: u32, count: u32) -> Quads {
    let words = rhs_unit(is_up, at / 8u);
    return Quads(
        vec4<f32>(widen(words.x), widen(words.y)),
        vec4<f32>(widen(words.z), widen(words.w)));
}
";

/// The region `loads` of the shader for few rows, whose lanes read the rhs in steps of one or two quads.
pub(super) fn steps(spec: &KernelSpec) -> String {
    if unit(spec, "RhsUnit") == HALF_OCTET {
        return [LHS_QUADS, WIDEN, UNIT, TWO_QUADS].concat();
    }
    four_values(spec) + ONE_QUAD
}

/// The type of a binding's units; empty if the specification has none.
fn unit(spec: &KernelSpec, alias: &str) -> &'static str {
    match spec.param(alias) {
        Some(Param::Type(unit)) => unit,
        _ => "",
    }
}
