//! `config.json`: the dimensions and conventions of a model.

use std::path::Path;

use minuend_ir::ops::RopeLayout;
use serde_json::{Map, Value};

use crate::bounded_read::{CONFIG_LIMIT, read_json};
use crate::config_keys::{ConfigKeys, shown};
use crate::rope::{self, Rope};
use crate::{ConfigProblem, ModelError, StoredDtype};

/// Upper limits: well above any published model, and small enough that no product of three of them
/// overflows 64 bits and that the list of tensors stays small.
mod limit {
    pub(super) const VOCAB: usize = 1 << 24;
    pub(super) const WIDTH: usize = 1 << 20;
    pub(super) const LAYERS: usize = 1 << 12;
    pub(super) const HEADS: usize = 1 << 14;
    pub(super) const HEAD_DIM: usize = 1 << 12;
    pub(super) const POSITIONS: usize = 1 << 30;
}

/// Number of leading layers with full attention when a Qwen config does not say.
const QWEN_MAX_WINDOW_LAYERS: usize = 28;

/// The family of a decoder-only model, from `model_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// `diff_v2`: pairs of query heads, subtracted with a gate of its own per token and pair.
    DiffV2,
    /// `llama`: grouped-query attention.
    Llama,
    /// `qwen3`: grouped-query attention with RMS norms on the heads of queries and keys.
    Qwen3,
}

impl Architecture {
    const ALL: [Architecture; 3] = [Architecture::DiffV2, Architecture::Llama, Architecture::Qwen3];

    /// The value of `model_type`.
    pub fn model_type(self) -> &'static str {
        match self {
            Architecture::DiffV2 => "diff_v2",
            Architecture::Llama => "llama",
            Architecture::Qwen3 => "qwen3",
        }
    }
}

/// The dimensions and conventions of one model. Every size is at least 1.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Model family.
    pub architecture: Architecture,
    /// Rows of the embedding and of the head.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Inner width of the SwiGLU feed-forward network.
    pub intermediate_size: usize,
    /// Number of decoder layers.
    pub layers: usize,
    /// Output heads `h`. A DIFF V2 model has `2 * heads` query heads, the others have `heads`.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head, even.
    pub head_dim: usize,
    /// Added to the mean square in every RMS norm.
    pub rms_norm_eps: f64,
    /// Rotary position embedding of queries and keys.
    pub rope: Rope,
    /// Longest sequence, in tokens, that the model was made for.
    pub max_positions: usize,
    /// Whether the head is the embedding.
    pub tied_head: bool,
    /// Number of keys that each query sees, itself included; `None` is all before it.
    pub sliding_window: Option<usize>,
    /// Whether the projections of q, k, v and o have a bias.
    pub attention_bias: bool,
    /// Whether the three projections of the feed-forward network have a bias.
    pub mlp_bias: bool,
    /// Whether each head of q and k passes an RMS norm over `head_dim`, before the rotation.
    pub qk_norm: bool,
    /// Ids that end a text; may be empty.
    pub eos_ids: Vec<u32>,
    /// Id that starts a text.
    pub bos_id: Option<u32>,
    /// Dtype of the weights: declared, or in an open checkpoint that of the embedding. `F32` where
    /// the config declares none. Single tensors may differ.
    pub stored_dtype: StoredDtype,
}

impl ModelConfig {
    /// Reads the text of a `config.json`; `label` names it in errors.
    ///
    /// # Errors
    /// [`ModelError::Json`], or [`ModelError::Config`] with every missing, invalid or unsupported key.
    pub fn from_json_str(label: &str, text: &str) -> Result<ModelConfig, ModelError> {
        let value = serde_json::from_str(text)
            .map_err(|source| ModelError::Json { path: label.to_owned(), source })?;
        ModelConfig::from_json(label, &value, None)
    }

    /// Reads a `config.json` alone, without weights beside it.
    ///
    /// # Errors
    /// As [`ModelConfig::from_json_str`], and when the file cannot be read.
    pub fn from_file(path: &Path) -> Result<ModelConfig, ModelError> {
        let value = read_json(path, CONFIG_LIMIT)?;
        ModelConfig::from_json(&path.display().to_string(), &value, None)
    }

    /// Query heads: two per output head in DIFF V2, one otherwise.
    pub fn query_heads(&self) -> usize {
        match self.architecture {
            Architecture::DiffV2 => 2 * self.heads,
            Architecture::Llama | Architecture::Qwen3 => self.heads,
        }
    }

    /// As [`ModelConfig::from_json_str`]; `heads`, where given, takes the place of
    /// `num_attention_heads`.
    pub(crate) fn from_json(
        label: &str,
        value: &Value,
        heads: Option<usize>,
    ) -> Result<ModelConfig, ModelError> {
        let failed = |problems| ModelError::Config { path: label.to_owned(), problems };
        let Value::Object(object) = value else {
            return Err(failed(vec![ConfigProblem::NotAnObject]));
        };
        let mut keys = ConfigKeys::new(object);
        let architecture = architecture(&mut keys);
        // Without the family, the meaning of the other keys is unknown.
        let Some(architecture) = architecture else {
            return Err(failed(keys.finish().err().unwrap_or_default()));
        };
        let config = read(&mut keys, architecture, heads);
        keys.finish().map_err(failed)?;
        Ok(config)
    }
}

/// The family that a config object names, if it is a known one.
pub(crate) fn architecture_of(value: &Value) -> Option<Architecture> {
    let name = value.get("model_type")?.as_str()?;
    Architecture::ALL.into_iter().find(|architecture| architecture.model_type() == name)
}

/// Reads `model_type`, recording a problem where it is not a known one.
fn architecture(keys: &mut ConfigKeys<'_>) -> Option<Architecture> {
    if keys.present("model_type").is_none() {
        keys.missing("model_type");
    }
    let name = keys.text("model_type")?;
    let found = Architecture::ALL.into_iter().find(|known| known.model_type() == name);
    if found.is_none() {
        let known = Architecture::ALL.map(Architecture::model_type).join(", ");
        keys.unsupported("model_type", shown(&Value::from(name)), known);
    }
    found
}

/// Reads all keys; where one has a problem, a placeholder stands in its field.
fn read(
    keys: &mut ConfigKeys<'_>,
    architecture: Architecture,
    heads: Option<usize>,
) -> ModelConfig {
    let diff = architecture == Architecture::DiffV2;
    let vocab_size = keys.required_size("vocab_size", limit::VOCAB);
    let hidden_size = keys.required_size("hidden_size", limit::WIDTH);
    let intermediate_size = keys.required_size("intermediate_size", limit::WIDTH);
    let layers = keys.required_size("num_hidden_layers", limit::LAYERS);
    let declared_heads = keys.required_size("num_attention_heads", limit::HEADS);
    let heads = heads.unwrap_or(declared_heads);
    let kv_heads = keys.size("num_key_value_heads", limit::HEADS);
    let head_dim = keys.size("head_dim", limit::HEAD_DIM);
    let (kv_heads, head_dim) = head_sizes(keys, hidden_size, heads, kv_heads, head_dim);
    let max_positions = keys.required_size("max_position_embeddings", limit::POSITIONS);

    if keys.present("rms_norm_eps").is_none() {
        keys.missing("rms_norm_eps");
    }
    let rms_norm_eps =
        keys.number("rms_norm_eps", "a number from 0 to 1", |eps| (0.0..=1.0).contains(&eps));
    let layout = match diff && keys.flag("rope_interleaved").unwrap_or(true) {
        true => RopeLayout::Interleaved,
        false => RopeLayout::HalfSplit,
    };
    let rope = rope::read(keys, layout);

    if let Some(name) = keys.text("hidden_act")
        && name != "silu"
    {
        keys.unsupported("hidden_act", shown(&Value::from(name)), "\"silu\"");
    }
    refuse_unimplemented(keys, diff);

    ModelConfig {
        architecture,
        vocab_size,
        hidden_size,
        intermediate_size,
        layers,
        heads,
        kv_heads,
        head_dim,
        rms_norm_eps: rms_norm_eps.unwrap_or_default(),
        rope,
        max_positions,
        tied_head: keys.flag("tie_word_embeddings").unwrap_or(false),
        sliding_window: sliding_window(keys, architecture, layers),
        attention_bias: keys.flag("attention_bias").unwrap_or(false),
        mlp_bias: keys.flag("mlp_bias").unwrap_or(false),
        qk_norm: match architecture {
            Architecture::DiffV2 => keys.flag("qk_norm").unwrap_or(false),
            Architecture::Llama => false,
            Architecture::Qwen3 => true,
        },
        eos_ids: keys.token_ids("eos_token_id"),
        bos_id: keys.token_id("bos_token_id"),
        stored_dtype: declared_dtype(keys).unwrap_or(StoredDtype::F32),
    }
}

/// Defaults and mutual constraints of heads, key/value heads and head width.
fn head_sizes(
    keys: &mut ConfigKeys<'_>,
    hidden_size: usize,
    heads: usize,
    kv_heads: Option<usize>,
    head_dim: Option<usize>,
) -> (usize, usize) {
    let kv = kv_heads.unwrap_or(heads);
    // Placeholders of earlier problems would only cause more of them.
    if !keys.sound() {
        return (kv, head_dim.unwrap_or(2));
    }
    if !heads.is_multiple_of(kv) {
        let expected = format!("a divisor of the {heads} heads");
        keys.invalid("num_key_value_heads", kv.to_string(), expected);
    }
    if head_dim.is_none() && !hidden_size.is_multiple_of(heads) {
        let expected = format!("a multiple of the {heads} heads, or a `head_dim`");
        keys.invalid("hidden_size", hidden_size.to_string(), expected);
        return (kv, 2);
    }
    let d = head_dim.unwrap_or(hidden_size / heads);
    if !d.is_multiple_of(2) || d > limit::HEAD_DIM {
        let expected = format!("an even number up to {}, to rotate pairs", limit::HEAD_DIM);
        keys.invalid("head_dim", d.to_string(), expected);
    }
    (kv, d)
}

/// The window that all layers share, from `sliding_window`, `use_sliding_window`, `layer_types` and
/// `max_window_layers`.
fn sliding_window(
    keys: &mut ConfigKeys<'_>,
    architecture: Architecture,
    layers: usize,
) -> Option<usize> {
    let qwen = architecture == Architecture::Qwen3;
    let enabled = keys.flag("use_sliding_window").unwrap_or(!qwen);
    let window = keys.size("sliding_window", limit::POSITIONS).filter(|_| enabled);
    let first = keys.integer("max_window_layers", 0, usize::MAX);

    if let Some(value) = keys.present("layer_types") {
        let names: Option<Vec<&str>> =
            value.as_array().and_then(|types| types.iter().map(Value::as_str).collect());
        return match names {
            Some(names) if names.len() != layers => {
                let expected = format!("a list with one entry for each of the {layers} layers");
                keys.invalid("layer_types", format!("a list of {}", names.len()), expected);
                None
            }
            Some(names) if names.iter().all(|&name| name == "full_attention") => None,
            Some(names) if names.iter().all(|&name| name == "sliding_attention") => {
                if window.is_none() {
                    let expected = "full_attention without an enabled `sliding_window`";
                    keys.invalid("layer_types", "sliding_attention".to_owned(), expected);
                }
                window
            }
            _ => {
                let supported = "all \"full_attention\" or all \"sliding_attention\"";
                keys.unsupported("layer_types", shown(value), supported);
                None
            }
        };
    }
    let window = window?;
    if qwen {
        // The first `max_window_layers` layers have full attention.
        let first = first.unwrap_or(QWEN_MAX_WINDOW_LAYERS);
        if first >= layers {
            return None;
        }
        if first > 0 {
            let supported = format!("0, or at least the {layers} layers of the model");
            keys.unsupported("max_window_layers", first.to_string(), supported);
        }
    }
    Some(window)
}

/// `torch_dtype`, or `dtype` in newer configs.
fn declared_dtype(keys: &mut ConfigKeys<'_>) -> Option<StoredDtype> {
    let key = if keys.present("torch_dtype").is_some() { "torch_dtype" } else { "dtype" };
    let name = keys.text(key)?;
    let dtype = StoredDtype::from_torch_name(name);
    if dtype.is_none() {
        keys.unsupported(key, shown(&Value::from(name)), "float32, float16 or bfloat16");
    }
    dtype
}

/// Refuses keys that would change the result and are not implemented.
fn refuse_unimplemented(keys: &mut ConfigKeys<'_>, diff: bool) {
    if let Some(value) = keys.present("quantization_config") {
        keys.unsupported("quantization_config", shown(value), "unquantised weights");
    }
    for key in ["causal", "is_causal"] {
        if keys.flag(key) == Some(false) {
            keys.unsupported(key, "false".to_owned(), "causal attention");
        }
    }
    if !diff {
        return;
    }
    for key in ["diff_v3", "diff_both_lamb"] {
        if keys.flag(key) == Some(true) {
            let supported = "false: one gate per pair of query heads";
            keys.unsupported(key, "true".to_owned(), supported);
        }
    }
    for key in ["diff_v2", "use_diff_v2", "use_diff_attn_v2"] {
        if keys.flag(key) == Some(false) {
            let supported = "true; plain attention has the model_type \"llama\"";
            keys.unsupported(key, "false".to_owned(), supported);
        }
    }
}

/// Looks up an unsigned integer that was not validated yet.
pub(crate) fn raw_size(value: &Value, key: &str) -> Option<usize> {
    value
        .as_object()
        .and_then(|object: &Map<String, Value>| object.get(key))?
        .as_u64()?
        .try_into()
        .ok()
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
