//! Attention parameters of DIFF V2 against plain attention of the same width.
//!
//! With `h` output heads, `g` key/value heads of width `d`, and the hidden size `D`, the matrices of
//! one layer have, without biases,
//!
//! ```text
//! plain attention, h heads     q hd  k gd  v gd            o hd    (2h + 2g) dD
//! DIFF V2                      q 2hd k gd  v gd  lambda h  o hd    (3h + 2g) dD + hD
//! plain attention, 2h heads    q 2hd k gd  v gd            o 2hd   (4h + 2g) dD
//! ```
//!
//! The first comparison keeps the number of heads behind attention; the second keeps the query width,
//! and with it the cost of the attention kernel and the cache: there DIFF V2 saves half of the output
//! projection.

use minuend_models::ModelConfig;

/// Parameters of the attention matrices of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionArithmetic {
    /// Output heads `h` of all three.
    pub heads: u64,
    /// Plain attention of `h` heads.
    pub baseline_same_heads: u64,
    /// DIFF V2 of `h` output heads, `2h` query heads.
    pub diff_v2: u64,
    /// Plain attention of `2h` heads: the query width of DIFF V2.
    pub baseline_same_query_width: u64,
    /// Of `diff_v2`, the lambda projection.
    pub lambda: u64,
}

impl AttentionArithmetic {
    /// For the sizes of a model of either kind.
    pub fn of(config: &ModelConfig) -> AttentionArithmetic {
        let [h, g, d, width] = [config.heads, config.kv_heads, config.head_dim, config.hidden_size]
            .map(|size| size as u64);
        let matrices = |heads: u64| (heads + 2 * g) * d * width;
        AttentionArithmetic {
            heads: h,
            baseline_same_heads: matrices(2 * h),
            diff_v2: matrices(3 * h) + h * width,
            baseline_same_query_width: matrices(4 * h),
            lambda: h * width,
        }
    }

    /// Percentage of the baseline's parameters that DIFF V2 saves at the same number of heads:
    /// negative, as it adds queries and lambda.
    pub fn saved_at_same_heads(&self) -> f64 {
        saved(self.diff_v2, self.baseline_same_heads)
    }

    /// Percentage of the baseline's parameters that DIFF V2 saves at the same query width.
    pub fn saved_at_same_query_width(&self) -> f64 {
        saved(self.diff_v2, self.baseline_same_query_width)
    }

    /// As [`AttentionArithmetic::saved_at_same_query_width`] without the lambda projection:
    /// `1 / (4 + 2 g / h)`, the number usually quoted.
    pub fn saved_in_output(&self) -> f64 {
        saved(self.diff_v2 - self.lambda, self.baseline_same_query_width)
    }
}

fn saved(ours: u64, baseline: u64) -> f64 {
    100.0 * (1.0 - ours as f64 / baseline as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(heads: usize, kv_heads: usize) -> AttentionArithmetic {
        let text = format!(
            r#"{{"model_type":"diff_v2","vocab_size":1000,"hidden_size":4096,
            "intermediate_size":64,"num_hidden_layers":1,"num_attention_heads":{heads},
            "num_key_value_heads":{kv_heads},"head_dim":128,"rms_norm_eps":1e-6,
            "max_position_embeddings":64}}"#
        );
        AttentionArithmetic::of(&ModelConfig::from_json_str("config.json", &text).unwrap())
    }

    #[test]
    fn savings_are_those_of_the_formula() {
        for (heads, kv_heads, percent) in [(32, 8, 22.2), (24, 4, 23.1), (32, 32, 16.7)] {
            let found = of(heads, kv_heads);
            assert!((found.saved_in_output() - percent).abs() < 0.05, "{found:?}");
            let lambda = 100.0 * found.lambda as f64 / found.baseline_same_query_width as f64;
            let with_lambda = found.saved_in_output() - lambda;
            assert!((found.saved_at_same_query_width() - with_lambda).abs() < 1e-9);
        }
    }

    #[test]
    fn at_the_same_heads_queries_and_lambda_are_added() {
        let found = of(32, 8);
        let (h, width) = (32, 4096);
        assert_eq!(found.diff_v2 - found.baseline_same_heads, h * 128 * width + h * width);
        assert!(found.saved_at_same_heads() < 0.0);
    }
}
