//! naga's writers: what a module becomes on each platform, with the settings that matter there.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use minuend_codegen::wgsl::Features;
use naga::back::pipeline_constants::process_overrides;
use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo};
use naga::{Module, ShaderStage};

use crate::wgsl::{one_line, validate, with_causes};

/// A platform, in the oldest version that has what a shader needs.
#[derive(Clone, Copy)]
pub(crate) enum Backend {
    /// SPIR-V 1.3, which Vulkan 1.1 takes, with or without checks of indices: a runtime may leave them out.
    Vulkan { index_checks: bool },
    /// The Metal Shading Language of this version.
    Metal { version: (u8, u8) },
    /// HLSL of this shader model.
    Direct3d { model: hlsl::ShaderModel },
    /// GLSL of OpenGL ES 3.1, the first with compute shaders.
    OpenGlEs,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backend::Vulkan { index_checks: true } => f.write_str("SPIR-V with index checks"),
            Backend::Vulkan { index_checks: false } => f.write_str("SPIR-V"),
            Backend::Metal { version: (major, minor) } => write!(f, "MSL {major}.{minor}"),
            Backend::Direct3d { model } => write!(f, "HLSL for {}", model.to_str()),
            Backend::OpenGlEs => f.write_str("GLSL ES 3.1"),
        }
    }
}

/// The platforms on which a shader with these needs can run.
pub(crate) fn of(needs: Features) -> Vec<Backend> {
    let mut backends =
        vec![Backend::Vulkan { index_checks: true }, Backend::Vulkan { index_checks: false }];
    // Matrices of a SIMD group came with Metal 2.3.
    let version = if needs.cooperative_matrix { (2, 3) } else { (2, 0) };
    backends.push(Backend::Metal { version });
    if needs.cooperative_matrix {
        return backends;
    }
    // Shader model 6.2 has 16-bit floats, 6.0 wave operations.
    let model = if needs.f16 {
        hlsl::ShaderModel::V6_2
    } else if needs.subgroups {
        hlsl::ShaderModel::V6_0
    } else {
        hlsl::ShaderModel::V5_1
    };
    backends.push(Backend::Direct3d { model });
    if !needs.f16 && !needs.subgroups {
        backends.push(Backend::OpenGlEs);
    }
    backends
}

/// What a writer writes.
pub(crate) enum Written {
    /// A binary module, in words.
    SpirV(Vec<u32>),
    /// A source text.
    Text(String),
}

impl Backend {
    /// Writes the module that was made from this text. Fails if the platform does not support what the module uses, or if
    /// the writer fails or panics: it asserts some of what it expects.
    pub(crate) fn write(self, module: &Module, text: &str) -> Result<Written, String> {
        // What a writer does not support it may write all the same, so its own claims are asked first.
        let info = validate(module, text, self.capabilities())?;
        caught(|| {
            let (module, info) = process_overrides(module, &info, None, &Default::default())
                .map_err(|error| with_causes(&error))?;
            match self {
                Backend::Vulkan { index_checks } => spir_v(&module, &info, index_checks),
                Backend::Metal { version } => msl_text(&module, &info, version),
                Backend::Direct3d { model } => hlsl_text(&module, &info, model),
                Backend::OpenGlEs => glsl_text(&module, &info),
            }
        })
    }

    fn capabilities(self) -> Capabilities {
        match self {
            Backend::Vulkan { .. } => spv::supported_capabilities(),
            Backend::Metal { .. } => msl::supported_capabilities(),
            Backend::Direct3d { .. } => hlsl::supported_capabilities(),
            Backend::OpenGlEs => glsl::supported_capabilities(),
        }
    }
}

/// Runs a writer and makes a panic of it an error.
pub(crate) fn caught<T>(write: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(write)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(format!("the writer panics: {}", one_line(message)))
    })
}

fn spir_v(module: &Module, info: &ModuleInfo, index_checks: bool) -> Result<Written, String> {
    let policy =
        if index_checks { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked };
    let options = spv::Options {
        lang_version: (1, 3),
        bounds_check_policies: BoundsCheckPolicies {
            index: policy,
            buffer: policy,
            ..Default::default()
        },
        force_loop_bounding: index_checks,
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        ..Default::default()
    };
    let words =
        spv::write_vec(module, info, &options, None).map_err(|error| with_causes(&error))?;
    Ok(Written::SpirV(words))
}

// Bindings are assigned by the runtime. Here they are made up, in MSL and HLSL alike.

fn msl_text(module: &Module, info: &ModuleInfo, version: (u8, u8)) -> Result<Written, String> {
    let options = msl::Options {
        lang_version: version,
        fake_missing_bindings: true,
        zero_initialize_workgroup_memory: false,
        ..Default::default()
    };
    let (text, translation) = msl::write_string(module, info, &options, &Default::default())
        .map_err(|error| with_causes(&error))?;
    for name in translation.entry_point_names {
        name.map_err(|error| with_causes(&error))?;
    }
    Ok(Written::Text(text))
}

fn hlsl_text(
    module: &Module,
    info: &ModuleInfo,
    model: hlsl::ShaderModel,
) -> Result<Written, String> {
    let options = hlsl::Options {
        shader_model: model,
        fake_missing_bindings: true,
        zero_initialize_workgroup_memory: false,
        ..Default::default()
    };
    let pipeline = hlsl::PipelineOptions::default();
    let mut text = String::new();
    let reflection = hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(module, info, None)
        .map_err(|error| with_causes(&error))?;
    for name in reflection.entry_point_names {
        name.map_err(|error| with_causes(&error))?;
    }
    Ok(Written::Text(text))
}

fn glsl_text(module: &Module, info: &ModuleInfo) -> Result<Written, String> {
    let options = glsl::Options { version: glsl::Version::new_gles(310), ..Default::default() };
    let pipeline = glsl::PipelineOptions {
        shader_stage: ShaderStage::Compute,
        entry_point: "main".to_string(),
        multiview: None,
    };
    let mut text = String::new();
    let policies = BoundsCheckPolicies::default();
    glsl::Writer::new(&mut text, module, info, &options, &pipeline, policies)
        .and_then(|mut writer| writer.write())
        .map_err(|error| with_causes(&error))?;
    Ok(Written::Text(text))
}
