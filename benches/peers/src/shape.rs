//! The shape of the language models that are compared.

use std::path::Path;

use minuend::{Architecture, ModelConfig, StoredDtype};
use serde_json::{Value, json};

use crate::Outcome;

/// A Llama `config.json`, the only description that both libraries read.
pub(crate) struct Shape(Value);

/// Reads a shape, or takes the built-in one of 206 million parameters.
pub(crate) fn read(path: Option<&Path>) -> Outcome<Shape> {
    let config = match path {
        Some(path) => serde_json::from_slice(&std::fs::read(path)?)?,
        None => json!({
            "model_type": "llama",
            "vocab_size": 16384,
            "hidden_size": 1024,
            "intermediate_size": 2816,
            "num_hidden_layers": 16,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "hidden_act": "silu",
            "tie_word_embeddings": true,
        }),
    };
    let shape = Shape(config);
    let config = shape.minuend(Architecture::Llama, StoredDtype::F32)?;
    // candle's Llama has no head_dim of its own.
    if config.heads * config.head_dim != config.hidden_size {
        let (found, expected) = (config.head_dim, config.hidden_size / config.heads);
        return Err(
            format!("head_dim is {found}, expected hidden_size / heads = {expected}").into()
        );
    }
    Ok(shape)
}

impl Shape {
    /// The config for minuend, with architecture and element type replaced.
    pub(crate) fn minuend(
        &self,
        architecture: Architecture,
        stored: StoredDtype,
    ) -> Outcome<ModelConfig> {
        let mut config = self.0.clone();
        config["model_type"] = architecture.model_type().into();
        config["torch_dtype"] = stored.torch_name().into();
        Ok(ModelConfig::from_json_str("shape", &config.to_string())?)
    }

    /// The config for candle, whose attention is the plain one: the flash attention of candle's Llama
    /// is for CUDA.
    pub(crate) fn candle(&self) -> Outcome<candle_transformers::models::llama::Config> {
        let config: candle_transformers::models::llama::LlamaConfig =
            serde_json::from_value(self.0.clone())?;
        Ok(config.into_config(false))
    }
}
