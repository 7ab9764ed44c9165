//! The number of heads of a DIFF V2 model, from the shapes of its weights.
//!
//! Configs disagree on whether `num_attention_heads` counts heads before or after the subtraction.
//! The weights do not: `lambda_proj` is `[h, D]`, `q_proj` `[2 * h * d, D]`, `o_proj` `[D, h * d]`.

use serde_json::Value;

use crate::config::{Architecture, architecture_of, raw_size};
use crate::shards::StoredTensors;
use crate::{ModelError, names};

/// Gives the number of output heads that the weights of the first layer agree on, or `None` when
/// the model is not DIFF V2 or they do not agree (the check of every shape says more then).
///
/// # Errors
/// [`ModelError::TwoGateVariant`] when `lambda_proj` has one row per query head.
pub(crate) fn from_shapes(
    config: &Value,
    stored: &StoredTensors,
) -> Result<Option<usize>, ModelError> {
    if architecture_of(config) != Some(Architecture::DiffV2) {
        return Ok(None);
    }
    let find = |module: &str| {
        let wanted = format!("model.layers.0.self_attn.{module}.weight");
        stored.tensors.iter().find_map(|(name, (file, tensor))| {
            let [rows, columns] = tensor.shape.as_slice() else { return None };
            (names::canonical(name) == wanted).then_some((file, name, *rows, *columns))
        })
    };
    let (Some((file, gate, gates, _)), Some((_, _, query, _)), Some((_, _, _, context))) =
        (find("lambda_proj"), find("q_proj"), find("o_proj"))
    else {
        return Ok(None);
    };
    let key_rows = find("k_proj").map(|(_, _, rows, _)| rows);
    let Some(head_dim) = head_dim(config, key_rows) else { return Ok(None) };
    if gates == 0 || context.checked_mul(2) != Some(query) {
        return Ok(None);
    }
    if gates.checked_mul(head_dim) == Some(query) {
        return Err(ModelError::TwoGateVariant {
            file: file.clone(),
            tensor: gate.clone(),
            rows: gates,
            head_dim,
        });
    }
    Ok((gates.checked_mul(head_dim) == Some(context)).then_some(gates))
}

/// Width of a head without knowing what `num_attention_heads` counts, if anything else tells.
fn head_dim(config: &Value, key_rows: Option<usize>) -> Option<usize> {
    raw_size(config, "head_dim")
        .or_else(|| {
            let kv_heads = raw_size(config, "num_key_value_heads")?;
            key_rows?.checked_div(kv_heads)
        })
        .or_else(|| {
            let heads = raw_size(config, "num_attention_heads")?;
            raw_size(config, "hidden_size")?.checked_div(heads)
        })
        .filter(|&d| d > 0)
}
