//! `generation_config.json`: defaults for sampling and the ids that end a text.

use std::path::Path;

use serde_json::Value;

use crate::bounded_read::{CONFIG_LIMIT, read_json};
use crate::config_keys::ConfigKeys;
use crate::{ConfigProblem, ModelError};

/// The keys of `generation_config.json` that concern sampling; absent keys are `None` or empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GenerationConfig {
    /// Ids that end a text.
    pub eos_ids: Vec<u32>,
    /// Id that starts a text.
    pub bos_id: Option<u32>,
    /// Divides the logits before sampling, at least 0; 0 is greedy.
    pub temperature: Option<f64>,
    /// Number of most probable tokens to sample from; 0 is all.
    pub top_k: Option<usize>,
    /// Probability mass, in (0, 1], of the smallest set of tokens to sample from.
    pub top_p: Option<f64>,
    /// Whether to sample at all, rather than take the most probable token.
    pub do_sample: Option<bool>,
}

impl GenerationConfig {
    /// Reads the text of a `generation_config.json`; `label` names it in errors.
    ///
    /// # Errors
    /// [`ModelError::Json`], or [`ModelError::Config`] with every invalid key.
    pub fn from_json_str(label: &str, text: &str) -> Result<GenerationConfig, ModelError> {
        let value = serde_json::from_str(text)
            .map_err(|source| ModelError::Json { path: label.to_owned(), source })?;
        GenerationConfig::from_json(label, &value)
    }

    pub(crate) fn from_file(path: &Path) -> Result<GenerationConfig, ModelError> {
        let value = read_json(path, CONFIG_LIMIT)?;
        GenerationConfig::from_json(&path.display().to_string(), &value)
    }

    fn from_json(label: &str, value: &Value) -> Result<GenerationConfig, ModelError> {
        let failed = |problems| ModelError::Config { path: label.to_owned(), problems };
        let Value::Object(object) = value else {
            return Err(failed(vec![ConfigProblem::NotAnObject]));
        };
        let mut keys = ConfigKeys::new(object);
        let config = GenerationConfig {
            eos_ids: keys.token_ids("eos_token_id"),
            bos_id: keys.token_id("bos_token_id"),
            temperature: keys.number("temperature", "a number of at least 0", |t| t >= 0.0),
            top_k: keys.integer("top_k", 0, usize::MAX),
            top_p: keys.number("top_p", "a number above 0, at most 1", |p| p > 0.0 && p <= 1.0),
            do_sample: keys.flag("do_sample"),
        };
        keys.finish().map_err(failed)?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_others_ignored() {
        let text = r#"{"eos_token_id":[1,2],"bos_token_id":0,"temperature":0.7,"top_k":20,
            "top_p":0.9,"do_sample":true,"pad_token_id":5,"transformers_version":"5"}"#;
        let expected = GenerationConfig {
            eos_ids: vec![1, 2],
            bos_id: Some(0),
            temperature: Some(0.7),
            top_k: Some(20),
            top_p: Some(0.9),
            do_sample: Some(true),
        };
        assert_eq!(GenerationConfig::from_json_str("g", text).unwrap(), expected);
        assert_eq!(GenerationConfig::from_json_str("g", "{}").unwrap(), Default::default());
    }

    #[test]
    fn ranges_are_checked_together() {
        let text = r#"{"eos_token_id":-1,"temperature":-0.5,"top_k":-1,"top_p":0,"do_sample":1}"#;
        let error = GenerationConfig::from_json_str("g", text).expect_err("refused").to_string();
        for key in ["eos_token_id", "temperature", "top_k", "top_p", "do_sample"] {
            assert!(error.contains(key), "{key} not in: {error}");
        }
        GenerationConfig::from_json_str("g", "[]").expect_err("no object");
    }
}
