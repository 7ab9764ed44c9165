//! The check that a specialised text is valid WGSL, and what its uniform struct looks like.

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, ShaderStage, TypeInner};

use crate::wgsl::error::ShaderError;
use crate::wgsl::template::{Features, KernelSource};

/// A field of a uniform struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniformField {
    /// Its name.
    pub name: String,
    /// Words that it takes; padding is not among them.
    pub words: u32,
}

/// What the check finds out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Fields of the struct at binding 0, without gaps between them.
    pub uniforms: Vec<UniformField>,
    /// For each storage binding, from binding 1 on: true if it is only read.
    pub read_only: Vec<bool>,
    /// Invocations of a workgroup.
    pub workgroup_size: u32,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
}

/// What naga must allow for a text that uses these features.
pub fn capabilities(needs: Features) -> Capabilities {
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    capabilities.set(Capabilities::SHADER_FLOAT16, needs.f16);
    capabilities.set(Capabilities::SUBGROUP, needs.subgroups);
    capabilities.set(Capabilities::COOPERATIVE_MATRIX, needs.cooperative_matrix);
    capabilities
}

/// Parses and validates a text with the features it names and no other.
pub fn validate(source: &KernelSource) -> Result<Checked, ShaderError> {
    let text = source.text.as_str();
    let invalid = |line, message: String| ShaderError::Invalid {
        label: source.label.clone(),
        line,
        message: message.lines().map(str::trim).collect::<Vec<_>>().join(" | "),
    };
    let module = naga::front::wgsl::parse_str(text).map_err(|error| {
        let line = error.location(text).map_or(0, |location| location.line_number);
        invalid(line, error.message().to_string())
    })?;
    let mut validator = Validator::new(ValidationFlags::all(), capabilities(source.needs));
    let stages = naga::valid::ShaderStages::COMPUTE;
    validator.subgroup_stages(stages).subgroup_operations(
        naga::valid::SubgroupOperationSet::BASIC
            | naga::valid::SubgroupOperationSet::VOTE
            | naga::valid::SubgroupOperationSet::ARITHMETIC
            | naga::valid::SubgroupOperationSet::BALLOT
            | naga::valid::SubgroupOperationSet::SHUFFLE
            | naga::valid::SubgroupOperationSet::SHUFFLE_RELATIVE,
    );
    validator.validate(&module).map_err(|error| {
        let line = error.location(text).map_or(0, |location| location.line_number);
        let mut message = error.as_inner().to_string();
        let mut cause = std::error::Error::source(error.as_inner());
        while let Some(inner) = cause {
            message = format!("{message}: {inner}");
            cause = inner.source();
        }
        invalid(line, message)
    })?;
    let entry = module
        .entry_points
        .iter()
        .find(|entry| entry.name == "main" && entry.stage == ShaderStage::Compute);
    let entry = entry.ok_or_else(|| invalid(0, "there is no compute entry point main".into()))?;
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).map_err(|error| invalid(0, error.to_string()))?;
    let mut workgroup_bytes = 0;
    let mut uniforms = Vec::new();
    let mut storage = Vec::new();
    for (_, variable) in module.global_variables.iter() {
        match variable.space {
            AddressSpace::WorkGroup => workgroup_bytes += layouter[variable.ty].size,
            AddressSpace::Uniform => {
                let TypeInner::Struct { members, .. } = &module.types[variable.ty].inner else {
                    return Err(invalid(0, "the uniform is not a struct".into()));
                };
                let mut end = 0;
                for member in members {
                    let name = member.name.clone().unwrap_or_default();
                    if member.offset != end {
                        let message = format!(
                            "uniform {name} lies at byte {}, expected {end}: put arrays first",
                            member.offset
                        );
                        return Err(invalid(0, message));
                    }
                    let size = layouter[member.ty].size;
                    end += size;
                    uniforms.push(UniformField { name, words: size / 4 });
                }
            }
            AddressSpace::Storage { access } => {
                let binding = variable.binding.map_or(0, |at| at.binding);
                storage.push((binding, !access.contains(naga::StorageAccess::STORE)));
            }
            _ => {}
        }
    }
    storage.sort_unstable();
    if storage.iter().zip(1u32..).any(|((binding, _), expected)| *binding != expected) {
        return Err(invalid(0, "storage bindings are not numbered 1, 2, 3 and so on".into()));
    }
    let read_only = storage.iter().map(|(_, read_only)| *read_only).collect();
    let workgroup_size = entry.workgroup_size.iter().product();
    Ok(Checked { uniforms, read_only, workgroup_size, workgroup_bytes })
}
