//! The option by which a command chooses the element type of activations.

use clap::Args;
use std::path::Path;

use minuend::{Activations, Model, OnnxModel};

use crate::failure::Failure;

/// In which float type to compute.
#[derive(Args)]
pub(crate) struct ActivationArgs {
    /// Type of activations and of the key/value cache: auto (as the checkpoint is stored or the ONNX file
    /// computes, where the device has kernels for it), f32, bf16 or f16
    #[arg(long, value_name = "TYPE", default_value = "auto", value_parser = activations)]
    pub(crate) dtype: Activations,
}

impl ActivationArgs {
    /// The model with the activations asked for.
    pub(crate) fn of(&self, model: Model) -> Model {
        model.with_activations(self.dtype)
    }

    /// An ONNX file with the activations asked for.
    pub(crate) fn of_onnx(&self, path: &Path) -> Result<OnnxModel, Failure> {
        Ok(OnnxModel::open(path)?.with_activations(self.dtype))
    }
}

fn activations(name: &str) -> Result<Activations, String> {
    name.parse().map_err(|_| format!("expected {}", Activations::NAMES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_types_are_refused() {
        assert!(activations("bf16").is_ok());
        assert_eq!(activations("i64").unwrap_err(), "expected auto, f32, bf16 or f16");
    }
}
