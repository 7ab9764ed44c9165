//! Indices of rows drawn at random.

use std::borrow::Cow;

use crate::wgsl::dispatch::{Dispatch, LaunchPlaces};
use crate::wgsl::error::ShaderError;
use crate::wgsl::families::indexing::result_place;
use crate::wgsl::families::reduce::source;
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::place::Window;
use crate::wgsl::template::{KernelSpec, Param, Template};

pub(crate) const TEMPLATES: &[Template] = &[Template {
    name: "sample",
    file: "sample.wgsl",
    source: include_str!("../../../../../shaders/sample.wgsl"),
    region,
    rows: || {
        let spec = KernelSpec::new("sample").with("logits", Param::ReadOnly(false));
        let operands = SETTINGS.into_iter().map(|(name, _)| name).chain(["result"]);
        vec![operands.fold(spec, |spec, name| spec.with(name, Param::ReadOnly(false)))]
    },
}];

/// Operands behind the logits, and the uniforms that say where they start.
const SETTINGS: [(&str, &str); 4] = [
    ("temperature", "temperature_offset"),
    ("top_k", "top_k_offset"),
    ("top_p", "top_p_offset"),
    ("uniforms", "uniform_offset"),
];

/// Elements of the longest row: their masses, each up to 2^40, are summed in 63 bits.
const LONGEST_ROW: usize = 1 << 22;

/// Operations for each element: a pass for the largest, four for each of two thresholds, three for sums,
/// and some weights of sixty each.
const WORK: u64 = 12 * 8 + 6 * 60;

/// Text of the region.
fn region(_: &KernelSpec, _: &str) -> Result<Option<Cow<'static, str>>, ShaderError> {
    let exponential = include_str!("../../../../../shaders/library/exponential.wgsl");
    let integers = include_str!("../../../../../shaders/library/int64.wgsl");
    let product = include_str!("../../../../../shaders/library/wide_product.wgsl");
    Ok(Some([exponential, "\n", integers, "\n", product].concat().into()))
}

pub(crate) fn dispatches(
    launch: &LaunchPlaces<'_>,
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    let logits = launch.dense_operand(0)?;
    let result = result_place(launch, 0)?;
    let length = logits.shape.last().copied().unwrap_or(0);
    if length > LONGEST_ROW {
        return Err(ShaderError::Size { name: "the sampled axis", value: length });
    }
    let rows = result.shape.iter().product();
    let mut dispatch = Dispatch::new(KernelSpec::new("sample"), rows);
    let (window, offset) = source(logits, result, limits)?;
    dispatch.bind("logits", window);
    dispatch.uniforms.size("length", length)?;
    dispatch.uniforms.word("logits_offset", offset);
    for (index, (operand, offset_name)) in SETTINGS.into_iter().enumerate() {
        let place = launch.dense_operand(index + 1)?;
        let (window, offset) = Window::of(place, limits)?;
        dispatch.bind(operand, window);
        dispatch.uniforms.word(offset_name, offset);
    }
    let (window, offset) = Window::of(result, limits)?;
    dispatch.bind("result", window);
    dispatch.uniforms.word("result_offset", offset);
    dispatch.work_per_group = 1 << 16 | (length as u64).saturating_mul(WORK);
    Ok(vec![dispatch])
}

#[cfg(test)]
mod tests;
