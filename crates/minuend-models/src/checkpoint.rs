//! A checkpoint directory, opened and checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::bounded_read::{CONFIG_LIMIT, read_json};
use crate::config::raw_size;
use crate::{GenerationConfig, ModelConfig, ModelError, Tensor, Tokenizer, heads, shapes, shards};

/// A checkpoint directory whose weights are exactly those that its config asks for.
#[derive(Debug)]
pub struct Checkpoint {
    /// Dimensions and conventions; corrected from the weights where `notes` says so.
    pub config: ModelConfig,
    /// Sampling defaults, if the directory has a `generation_config.json`.
    pub generation: Option<GenerationConfig>,
    /// What is unusual but harmless, one sentence each, to show to the user.
    pub notes: Vec<String>,
    directory: PathBuf,
    weights: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// Reads the configs, maps the weights and compares them.
    ///
    /// The weight files stay mapped as long as a [`Tensor`] of them lives. No process may write to
    /// or truncate them meanwhile.
    ///
    /// # Errors
    /// When a file is absent, unreadable or malformed, when the config has a problem, or when a
    /// tensor is missing, unused, misshapen or not floating point. Problems of one kind are
    /// reported together.
    pub fn open(directory: impl AsRef<Path>) -> Result<Checkpoint, ModelError> {
        let directory = directory.as_ref();
        if !directory.is_dir() {
            return Err(ModelError::NotADirectory { path: directory.display().to_string() });
        }
        let path = directory.join("config.json");
        let label = path.display().to_string();
        let json = read_json(&path, CONFIG_LIMIT)?;
        let generation = directory.join("generation_config.json");
        let generation =
            generation.exists().then(|| GenerationConfig::from_file(&generation)).transpose()?;

        let stored = shards::open(directory)?;
        let heads = heads::from_shapes(&json, &stored)?;
        let mut config = ModelConfig::from_json(&label, &json, heads)?;
        let shapes::Matched { weights, mut notes } = shapes::match_tensors(&config, &stored)
            .map_err(|problems| ModelError::Tensors {
                path: directory.display().to_string(),
                problems,
            })?;

        if let Some(declared) = raw_size(&json, "num_attention_heads")
            && declared != config.heads
        {
            notes.push(format!(
                "config.json: `num_attention_heads` is {declared}, but the weights have {} output \
                 heads (rows of lambda_proj) and {} query heads; the weights count",
                config.heads,
                config.query_heads()
            ));
        }
        if let Some(embedding) = weights.get(shapes::EMBEDDING)
            && embedding.dtype != config.stored_dtype
        {
            notes.push(format!(
                "config.json: the dtype is {}, but the embedding is stored as {}; the weights \
                 count",
                config.stored_dtype.torch_name(),
                embedding.dtype.torch_name()
            ));
            config.stored_dtype = embedding.dtype;
        }
        Ok(Checkpoint { config, generation, notes, directory: directory.to_owned(), weights })
    }

    /// The directory as given to [`Checkpoint::open`].
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The weight of a canonical name, as [`tensors`](crate::tensors) lists them.
    pub fn weight(&self, name: &str) -> Option<&Tensor> {
        self.weights.get(name)
    }

    /// All weights by canonical name, sorted.
    pub fn weights(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.weights.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Size of all weights in bytes, as stored.
    pub fn total_bytes(&self) -> u64 {
        // No overflow: the slices are disjoint parts of maps that coexist in memory.
        self.weights.values().map(|tensor| tensor.data.len() as u64).sum()
    }

    /// Ids that end a text: of the generation config if it has some, otherwise of the config.
    pub fn eos_ids(&self) -> &[u32] {
        match &self.generation {
            Some(generation) if !generation.eos_ids.is_empty() => &generation.eos_ids,
            _ => &self.config.eos_ids,
        }
    }

    /// Id that starts a text: of the generation config if it has one, otherwise of the config.
    pub fn bos_id(&self) -> Option<u32> {
        self.generation.as_ref().and_then(|generation| generation.bos_id).or(self.config.bos_id)
    }

    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    /// [`ModelError::NoTokenizer`] when the directory has none, otherwise as
    /// [`Tokenizer::from_file`].
    pub fn tokenizer(&self) -> Result<Tokenizer, ModelError> {
        let path = self.directory.join("tokenizer.json");
        if !path.exists() {
            return Err(ModelError::NoTokenizer { path: path.display().to_string() });
        }
        Tokenizer::from_file(&path, self.config.vocab_size)
    }
}
