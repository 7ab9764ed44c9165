//! Where a command gets its model from: a checkpoint directory, a config without weights, or an ONNX file.

use std::path::{Path, PathBuf};

use clap::Args;
use minuend::{Model, ModelConfig, OnnxModel};

use crate::failure::Failure;

/// A model, or its config alone.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ModelSource {
    /// Checkpoint directory with config.json and model.safetensors, or an ONNX file (model.onnx)
    #[arg(value_name = "MODEL")]
    pub(crate) model: Option<PathBuf>,
    /// A config.json alone, for a model without weights
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl ModelSource {
    /// Opens the checkpoint, or makes a model without weights of the config.
    pub(crate) fn open(&self) -> Result<Model, Failure> {
        match (&self.model, &self.config) {
            (_, Some(config)) => Ok(Model::without_weights(ModelConfig::from_file(config)?)),
            (model, None) => Ok(Model::open(model.clone().unwrap_or_default())?),
        }
    }

    /// The ONNX file, if it is one.
    pub(crate) fn onnx(&self) -> Option<&Path> {
        self.model.as_deref().filter(|path| is_onnx(path))
    }

    /// The path that was given.
    pub(crate) fn path(&self) -> String {
        let path = self.model.as_ref().or(self.config.as_ref());
        path.map_or_else(String::new, |path| path.display().to_string())
    }
}

/// True for the name of an ONNX file.
pub(crate) fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
}

/// Tells what is unusual about an ONNX file, on stderr.
pub(crate) fn log_onnx_notes(model: &OnnxModel) {
    for note in model.notes() {
        crate::output::log(&format!("note: {}", crate::output::plain(note)));
    }
}

/// Tells what is unusual about a checkpoint, on stderr.
pub(crate) fn log_notes(model: &Model) {
    for note in notes(model) {
        crate::output::log(&format!("note: {note}"));
    }
}

/// What is unusual about a checkpoint.
pub(crate) fn notes(model: &Model) -> &[String] {
    model.checkpoint().map_or(&[], |checkpoint| checkpoint.notes.as_slice())
}
