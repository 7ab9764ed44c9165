//! Where a command gets its model from: a checkpoint directory, or a config without weights.

use std::path::PathBuf;

use clap::Args;
use minuend::{Model, ModelConfig};

use crate::failure::Failure;

/// A model, or its config alone.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ModelSource {
    /// Checkpoint directory: config.json and model.safetensors
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

    /// The path that was given.
    pub(crate) fn path(&self) -> String {
        let path = self.model.as_ref().or(self.config.as_ref());
        path.map_or_else(String::new, |path| path.display().to_string())
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
