//! Trained parameters by part of the model.

use minuend_models::{ModelConfig, TensorRole, tensors};

/// Numbers of trained parameters. A tied head is the embedding and counts there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// The table of token embeddings.
    pub embedding: u64,
    /// Projections of q, k, v, lambda and output, with their biases.
    pub attention: u64,
    /// Projections of the feed-forward networks, with their biases.
    pub feed_forward: u64,
    /// Weights of every RMS norm, those on query and key heads included.
    pub norms: u64,
    /// The head, where it is not the embedding.
    pub head: u64,
    /// Elements of the matrices that every token is multiplied with: all of attention, feed-forward
    /// and head (tied or not), without biases.
    pub multiplied: u64,
}

impl Parameters {
    /// Counts the tensors that a config asks for.
    pub fn of(config: &ModelConfig) -> Parameters {
        let mut count = Parameters::default();
        for spec in tensors(config) {
            let elements = spec.shape.iter().map(|size| *size as u64).product::<u64>();
            let is_looked_up = spec.role == TensorRole::Embedding && !config.tied_head;
            if spec.shape.len() == 2 && !is_looked_up {
                count.multiplied += elements;
            }
            *count.part_of(spec.role) += elements;
        }
        count
    }

    fn part_of(&mut self, role: TensorRole) -> &mut u64 {
        use TensorRole::*;
        match role {
            Embedding => &mut self.embedding,
            Query | QueryBias | Key | KeyBias | Value | ValueBias | Lambda | Output
            | OutputBias => &mut self.attention,
            Gate | GateBias | Up | UpBias | Down | DownBias => &mut self.feed_forward,
            AttentionNorm | QueryNorm | KeyNorm | MlpNorm | FinalNorm => &mut self.norms,
            Head => &mut self.head,
        }
    }

    /// All parameters.
    pub fn total(&self) -> u64 {
        self.embedding + self.attention + self.feed_forward + self.norms + self.head
    }

    /// Share of attention in all parameters, from 0 to 1.
    pub fn attention_fraction(&self) -> f64 {
        self.attention as f64 / self.total().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(changes: &str) -> ModelConfig {
        let text = format!(
            r#"{{"model_type":"diff_v2","vocab_size":100,"hidden_size":16,"intermediate_size":32,
            "num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":8,
            "rms_norm_eps":1e-6,"max_position_embeddings":64{changes}}}"#
        );
        ModelConfig::from_json_str("config.json", &text).unwrap()
    }

    #[test]
    fn parts_are_those_of_the_tensors() {
        let count = Parameters::of(&config(""));
        // q 64x16, k and v 16x16, lambda 4x16, o 16x32, in each of two layers.
        assert_eq!(count.attention, 2 * (1024 + 256 + 256 + 64 + 512));
        assert_eq!(count.feed_forward, 2 * 3 * 16 * 32);
        assert_eq!((count.embedding, count.head, count.norms), (1600, 1600, 5 * 16));
        assert_eq!(count.multiplied, count.attention + count.feed_forward + count.head);
        assert_eq!(count.total(), 4224 + 3072 + 3200 + 80);
    }

    #[test]
    fn a_tied_head_is_multiplied_but_counted_once() {
        let count = Parameters::of(&config(r#","tie_word_embeddings":true"#));
        assert_eq!((count.embedding, count.head), (1600, 0));
        assert_eq!(count.multiplied, count.attention + count.feed_forward + 1600);
    }
}
