//! Temporary checkpoint directories with chosen configs and tensors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use minuend_models::{Checkpoint, ModelConfig, ModelError, tensors};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

/// A directory of the fixtures.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models").join(name)
}

/// The trained model of the examples.
pub(crate) fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models/shakespeare-diffv2")
}

/// A tensor to be stored: dtype, shape and a byte that fills it.
pub(crate) type Fill = (Dtype, Vec<usize>, u8);

/// A checkpoint that does not exist on disk yet.
#[derive(Clone)]
pub(crate) struct Scratch {
    pub(crate) config: Value,
    pub(crate) tensors: BTreeMap<String, Fill>,
}

impl Scratch {
    /// A model that opens: every tensor that the config asks for, as BF16. All sizes differ, so
    /// that no two dimensions can be confused.
    pub(crate) fn new(model_type: &str, changes: Value) -> Scratch {
        let mut config = json!({
            "model_type": model_type, "vocab_size": 11, "hidden_size": 20,
            "intermediate_size": 14, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 6, "rms_norm_eps": 1e-6,
            "max_position_embeddings": 32, "torch_dtype": "bfloat16",
        });
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        let parsed = ModelConfig::from_json_str("config.json", &config.to_string()).unwrap();
        let tensors = tensors(&parsed)
            .into_iter()
            .map(|spec| (spec.name, (Dtype::BF16, spec.shape, 1)))
            .collect();
        Scratch { config, tensors }
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        let tensor = self.tensors.remove(from).unwrap();
        self.tensors.insert(to.to_owned(), tensor);
    }

    /// Writes the directory with one weights file and opens it.
    pub(crate) fn open(&self) -> Result<Checkpoint, ModelError> {
        let directory = tempfile::tempdir().unwrap();
        self.write_config(directory.path());
        write_tensors(&directory.path().join("model.safetensors"), &self.tensors);
        Checkpoint::open(directory.path())
    }

    pub(crate) fn write_config(&self, directory: &Path) {
        std::fs::write(directory.join("config.json"), self.config.to_string()).unwrap();
    }

    /// The error of opening the directory, as text.
    pub(crate) fn error(&self) -> String {
        self.open().expect_err("must not open").to_string()
    }
}

pub(crate) fn write_tensors(path: &Path, tensors: &BTreeMap<String, Fill>) {
    let filled: Vec<(&String, &Fill, Vec<u8>)> = tensors
        .iter()
        .map(|(name, fill)| {
            let bytes = fill.1.iter().product::<usize>() * fill.0.bitsize() / 8;
            (name, fill, vec![fill.2; bytes])
        })
        .collect();
    let views = filled.iter().map(|(name, fill, bytes)| {
        (name.as_str(), TensorView::new(fill.0, fill.1.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}
