//! Which tensors a config asks for, and the comparison with those stored.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::safetensors_file::StoredTensor;
use crate::shards::StoredTensors;
use crate::{Architecture, ModelConfig, StoredDtype, Tensor, TensorProblem, names};

/// Canonical name of the embedding.
pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
/// Canonical name of the head.
pub(crate) const HEAD: &str = "lm_head.weight";

/// What a tensor is for. In the shapes, `D` is hidden_size, `F` intermediate_size, `V` vocab_size,
/// `d` head_dim, `h` heads, `hq` query heads and `hkv` key/value heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TensorRole {
    /// Embedding `[V, D]`.
    Embedding,
    /// Weight `[D]` of the RMS norm before attention.
    AttentionNorm,
    /// Query projection `[hq * d, D]`.
    Query,
    /// Bias `[hq * d]` of the query projection.
    QueryBias,
    /// Key projection `[hkv * d, D]`.
    Key,
    /// Bias `[hkv * d]` of the key projection.
    KeyBias,
    /// Value projection `[hkv * d, D]`.
    Value,
    /// Bias `[hkv * d]` of the value projection.
    ValueBias,
    /// Gate of the subtraction `[h, D]`, only in DIFF V2.
    Lambda,
    /// Output projection `[D, h * d]`.
    Output,
    /// Bias `[D]` of the output projection.
    OutputBias,
    /// Weight `[d]` of the RMS norm on each query head.
    QueryNorm,
    /// Weight `[d]` of the RMS norm on each key head.
    KeyNorm,
    /// Weight `[D]` of the RMS norm before the feed-forward network.
    MlpNorm,
    /// Projection `[F, D]` whose result passes silu.
    Gate,
    /// Bias `[F]` of the gate projection.
    GateBias,
    /// Projection `[F, D]` that is multiplied with the gate.
    Up,
    /// Bias `[F]` of the up projection.
    UpBias,
    /// Projection `[D, F]` back to the residual stream.
    Down,
    /// Bias `[D]` of the down projection.
    DownBias,
    /// Weight `[D]` of the last RMS norm.
    FinalNorm,
    /// Head `[V, D]`, absent when tied to the embedding.
    Head,
}

/// One tensor that a config asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Canonical name.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: TensorRole,
    /// Layer, counted from 0; `None` outside the layers.
    pub layer: Option<usize>,
}

/// Every tensor of a model, in the order of execution.
pub fn tensors(config: &ModelConfig) -> Vec<TensorSpec> {
    let (width, vocab) = (config.hidden_size, config.vocab_size);
    let outer = |name: &str, shape: Vec<usize>, role| TensorSpec {
        name: name.to_owned(),
        shape,
        role,
        layer: None,
    };
    let mut all = vec![outer(EMBEDDING, vec![vocab, width], TensorRole::Embedding)];
    for layer in 0..config.layers {
        all.extend(layer_tensors(config).into_iter().map(|(name, shape, role)| TensorSpec {
            name: format!("model.layers.{layer}.{name}"),
            shape,
            role,
            layer: Some(layer),
        }));
    }
    all.push(outer("model.norm.weight", vec![width], TensorRole::FinalNorm));
    if !config.tied_head {
        all.push(outer(HEAD, vec![vocab, width], TensorRole::Head));
    }
    all
}

/// The tensors of one layer, named from the layer on.
fn layer_tensors(config: &ModelConfig) -> Vec<(&'static str, Vec<usize>, TensorRole)> {
    use TensorRole::*;
    let (width, inner) = (config.hidden_size, config.intermediate_size);
    let query = config.query_heads() * config.head_dim;
    let context = config.heads * config.head_dim;
    let kv = config.kv_heads * config.head_dim;

    let mut all = vec![
        ("input_layernorm.weight", vec![width], AttentionNorm),
        ("self_attn.q_proj.weight", vec![query, width], Query),
        ("self_attn.k_proj.weight", vec![kv, width], Key),
        ("self_attn.v_proj.weight", vec![kv, width], Value),
    ];
    if config.architecture == Architecture::DiffV2 {
        all.push(("self_attn.lambda_proj.weight", vec![config.heads, width], Lambda));
    }
    all.push(("self_attn.o_proj.weight", vec![width, context], Output));
    if config.attention_bias {
        all.extend([
            ("self_attn.q_proj.bias", vec![query], QueryBias),
            ("self_attn.k_proj.bias", vec![kv], KeyBias),
            ("self_attn.v_proj.bias", vec![kv], ValueBias),
            ("self_attn.o_proj.bias", vec![width], OutputBias),
        ]);
    }
    if config.qk_norm {
        all.extend([
            ("self_attn.q_norm.weight", vec![config.head_dim], QueryNorm),
            ("self_attn.k_norm.weight", vec![config.head_dim], KeyNorm),
        ]);
    }
    all.extend([
        ("post_attention_layernorm.weight", vec![width], MlpNorm),
        ("mlp.gate_proj.weight", vec![inner, width], Gate),
        ("mlp.up_proj.weight", vec![inner, width], Up),
        ("mlp.down_proj.weight", vec![width, inner], Down),
    ]);
    if config.mlp_bias {
        all.extend([
            ("mlp.gate_proj.bias", vec![inner], GateBias),
            ("mlp.up_proj.bias", vec![inner], UpBias),
            ("mlp.down_proj.bias", vec![width], DownBias),
        ]);
    }
    all
}

/// Weights by canonical name, with notes on what was left out.
pub(crate) struct Matched {
    pub(crate) weights: BTreeMap<String, Tensor>,
    pub(crate) notes: Vec<String>,
}

/// Compares the stored tensors with those that the config asks for; every difference is listed.
pub(crate) fn match_tensors(
    config: &ModelConfig,
    stored: &StoredTensors,
) -> Result<Matched, Vec<TensorProblem>> {
    let mut problems = Vec::new();
    let mut notes = Vec::new();
    let mut rotary_tables = 0usize;
    let mut head = None;
    let mut found: BTreeMap<String, (&str, &str, &StoredTensor)> = BTreeMap::new();
    for (name, (file, tensor)) in &stored.tensors {
        let canonical = names::canonical(name);
        if names::is_rotary_table(name) {
            rotary_tables += 1;
        } else if canonical == HEAD && config.tied_head {
            head = Some((file.as_str(), tensor));
        } else {
            match found.entry(canonical) {
                Entry::Vacant(entry) => {
                    entry.insert((file, name, tensor));
                }
                Entry::Occupied(entry) => problems.push(TensorProblem::Duplicate {
                    file: file.clone(),
                    tensor: name.clone(),
                    canonical: entry.key().clone(),
                }),
            }
        }
    }
    if let Some((file, head)) = head {
        let embedding = found.get(EMBEDDING).map(|(_, _, tensor)| *tensor);
        if embedding
            .is_some_and(|e| e.dtype == head.dtype && e.shape == head.shape && e.data == head.data)
        {
            notes.push(format!("{file}: `{HEAD}` equals the embedding it is tied to; ignored"));
        } else {
            let (file, tensor) = (file.to_owned(), HEAD.to_owned());
            problems.push(TensorProblem::TiedHeadDiffers { file, tensor });
        }
    }
    if rotary_tables > 0 {
        notes.push(format!(
            "{}: {rotary_tables} rotary_emb.inv_freq tables ignored; rope follows config.json",
            stored.label
        ));
    }

    let mut weights = BTreeMap::new();
    for spec in tensors(config) {
        let Some((file, name, tensor)) = found.remove(&spec.name) else {
            problems.push(TensorProblem::Missing {
                file: stored.label.clone(),
                tensor: spec.name,
                expected: spec.shape,
            });
            continue;
        };
        let (file, name) = (file.to_owned(), name.to_owned());
        if tensor.shape != spec.shape {
            problems.push(TensorProblem::Shape {
                file,
                tensor: name,
                found: tensor.shape.clone(),
                expected: spec.shape,
            });
        } else if let Some(dtype) = StoredDtype::from_safetensors(tensor.dtype) {
            let (shape, data) = (spec.shape, tensor.data.clone());
            weights.insert(spec.name, Tensor { dtype, shape, data });
        } else {
            let found = format!("{:?}", tensor.dtype);
            problems.push(TensorProblem::Dtype { file, tensor: name, found });
        }
    }
    problems.extend(found.into_values().map(|(file, name, tensor)| TensorProblem::Unused {
        file: file.to_owned(),
        tensor: name.to_owned(),
        found: tensor.shape.clone(),
    }));
    if problems.is_empty() { Ok(Matched { weights, notes }) } else { Err(problems) }
}
