//! WGSL texts through naga's parser and validator.

use std::error::Error;

use minuend_codegen::wgsl::Features;
use naga::Module;
use naga::front::wgsl::{Frontend, Options};
use naga::valid::{
    Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator,
};

/// What a text that names these features may use. Packing halves into words is part of WGSL and needs no feature.
pub(crate) fn capabilities(needs: Features) -> Capabilities {
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    capabilities.set(Capabilities::SHADER_FLOAT16, needs.f16);
    capabilities.set(Capabilities::SUBGROUP, needs.subgroups);
    capabilities.set(Capabilities::COOPERATIVE_MATRIX, needs.cooperative_matrix);
    capabilities
}

/// Parses a text and validates the module with these capabilities and no other.
pub(crate) fn check(
    text: &str,
    capabilities: Capabilities,
) -> Result<(Module, ModuleInfo), String> {
    let mut options = Options::new();
    options.capabilities = capabilities;
    let module = Frontend::new_with_options(options).parse(text).map_err(|error| {
        at(text, error.location(text).map(|place| place.line_number), error.message())
    })?;
    let info = validate(&module, text, capabilities)?;
    Ok((module, info))
}

/// Validates a module, made from this text, with these capabilities and no other.
pub(crate) fn validate(
    module: &Module,
    text: &str,
    capabilities: Capabilities,
) -> Result<ModuleInfo, String> {
    // Operations within quads are for fragments.
    let operations = SubgroupOperationSet::all() & !SubgroupOperationSet::QUAD_FRAGMENT_COMPUTE;
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(operations);
    validator.validate(module).map_err(|error| {
        let line = error.location(text).map(|place| place.line_number);
        at(text, line, &with_causes(error.as_inner()))
    })
}

/// An error and its causes, on one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        message = format!("{message}: {inner}");
        cause = inner.source();
    }
    one_line(&message)
}

/// A message without line breaks.
pub(crate) fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" | ")
}

/// A message with the line that it is about.
fn at(text: &str, line: Option<u32>, message: &str) -> String {
    let message = one_line(message);
    let Some(number) = line else { return message };
    let index = usize::try_from(number).unwrap().saturating_sub(1);
    let code = text.lines().nth(index).unwrap_or_default().trim();
    format!("line {number}, `{code}`: {message}")
}
