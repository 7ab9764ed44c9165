//! Floating point operations and cache bytes, counted from sizes.
//!
//! A multiplication and an addition count as two. Counted are the products with weights and the two
//! products of attention; norms, rotations, softmax and other elementwise work are left out.

use minuend_ir::{Bindings, Graph};
use minuend_models::ModelConfig;

use crate::inspect::Parameters;

/// What tokens cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Decoding one token behind [`RunCost::past`] others: half of the context.
    pub decode: RunCost,
    /// Feeding a prompt of [`RunCost::tokens`] tokens, half of the context, from an empty cache.
    pub prefill: RunCost,
    /// Bytes of keys and values that each token leaves in the cache.
    pub kv_bytes_per_token: u64,
}

/// Operations of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunCost {
    /// Tokens fed.
    pub tokens: u64,
    /// Tokens in the cache before.
    pub past: u64,
    /// Products with weights.
    pub projections: u64,
    /// Products of queries with keys and of probabilities with values.
    pub attention: u64,
}

impl RunCost {
    fn of(config: &ModelConfig, parameters: &Parameters, tokens: u64, past: u64) -> RunCost {
        let head = (config.vocab_size * config.hidden_size) as u64;
        let per_token = parameters.multiplied - head;
        // Only the last token has logits.
        let multiplied = u128::from(per_token) * u128::from(tokens) + u128::from(head);
        let window = config.sliding_window.map_or(u64::MAX, |window| window as u64);
        let pairs = pairs(past + tokens, window) - pairs(past, window);
        let query = (config.layers * config.query_heads() * config.head_dim) as u64;
        RunCost {
            tokens,
            past,
            projections: saturated(2 * multiplied),
            attention: saturated(4 * u128::from(query) * pairs),
        }
    }

    /// All operations.
    pub fn total(&self) -> u64 {
        self.projections.saturating_add(self.attention)
    }
}

/// Query-key pairs of `tokens` tokens under a causal mask of that window.
fn pairs(tokens: u64, window: u64) -> u128 {
    let growing = u128::from(tokens.min(window));
    let full = u128::from(tokens.saturating_sub(window));
    growing * (growing + 1) / 2 + full * u128::from(window)
}

fn saturated(operations: u128) -> u64 {
    u64::try_from(operations).unwrap_or(u64::MAX)
}

impl Cost {
    /// Counts for one sequence. `graph` is the model's, in any form: its states are the cache.
    pub fn of(config: &ModelConfig, parameters: &Parameters, graph: &Graph) -> Cost {
        let half = (config.max_positions as u64 / 2).max(1);
        let past = half.min(config.max_positions as u64 - 1);
        Cost {
            decode: RunCost::of(config, parameters, 1, past),
            prefill: RunCost::of(config, parameters, half, 0),
            kv_bytes_per_token: kv_bytes_per_token(graph),
        }
    }
}

/// Bytes of all states that grow with a token, for one sequence and one token.
fn kv_bytes_per_token(graph: &Graph) -> u64 {
    let mut one_token = Bindings::new();
    for (id, _) in graph.symbols().symbols() {
        one_token.set(id, 1);
    }
    let bytes = |state: minuend_ir::State| {
        let ty = graph.ty(state.input);
        ty.elements().eval_size(&one_token).unwrap_or(0) * ty.dtype.bytes()
    };
    graph.states().into_iter().map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;
    use minuend_models::LogitRows;

    fn cost(window: &str) -> Cost {
        let text = format!(
            r#"{{"model_type":"diff_v2","vocab_size":100,"hidden_size":16,"intermediate_size":32,
            "num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":8,
            "rms_norm_eps":1e-6,"max_position_embeddings":64{window}}}"#
        );
        let config = ModelConfig::from_json_str("config.json", &text).unwrap();
        let graph = Model::without_weights(config.clone()).graph(LogitRows::Last).unwrap();
        Cost::of(&config, &Parameters::of(&config), &graph)
    }

    #[test]
    fn half_of_the_context_is_counted() {
        let cost = cost("");
        let layers = 4224 + 3072;
        assert_eq!((cost.decode.past, cost.prefill.tokens), (32, 32));
        assert_eq!(cost.decode.projections, 2 * (layers + 1600));
        assert_eq!(cost.prefill.projections, 2 * (32 * layers + 1600));
        // 2 layers, 8 query heads of width 8, two products of 2 operations each, 33 keys.
        assert_eq!(cost.decode.attention, 2 * 8 * 8 * 4 * 33);
        assert_eq!(cost.prefill.attention, 2 * 8 * 8 * 4 * (32 * 33 / 2));
        // Keys and values of 2 layers, 2 heads of width 8, in f32.
        assert_eq!(cost.kv_bytes_per_token, 2 * 2 * 2 * 8 * 4);
    }

    #[test]
    fn a_window_bounds_the_keys() {
        let cost = cost(r#","sliding_window":10"#);
        assert_eq!(cost.decode.attention, 2 * 8 * 8 * 4 * 10);
        assert_eq!(cost.prefill.attention, 2 * 8 * 8 * 4 * (55 + 22 * 10));
    }
}
