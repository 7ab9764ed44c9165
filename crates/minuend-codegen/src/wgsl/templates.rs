//! The table of shader files.

use crate::wgsl::error::ShaderError;
use crate::wgsl::families::{
    attention, copy, elementwise, gather, matmul, norm, reduce, rope, sample, softmax,
};
use crate::wgsl::template::Template;

/// Every shader file.
pub fn templates() -> impl Iterator<Item = &'static Template> {
    let families: [&'static [Template]; 10] = [
        copy::TEMPLATES,
        elementwise::TEMPLATES,
        gather::TEMPLATES,
        reduce::TEMPLATES,
        softmax::TEMPLATES,
        sample::TEMPLATES,
        norm::TEMPLATES,
        rope::TEMPLATES,
        matmul::TEMPLATES,
        attention::TEMPLATES,
    ];
    families.into_iter().flatten()
}

/// The template of that name.
pub fn template(name: &'static str) -> Result<&'static Template, ShaderError> {
    let fault = "names no template";
    templates().find(|template| template.name == name).ok_or_else(|| ShaderError::Parameter {
        template: name,
        name: name.to_string(),
        fault,
    })
}
