//! What the passes made of a graph: ops by kind, packed projections, remarks.

use std::collections::BTreeMap;

use minuend_ir::order::topological;
use minuend_ir::{Graph, Op};
use minuend_passes::Remark;

use crate::compile::{CompileOptions, fuse};
use crate::error::CompileError;

/// Ops whose absence says as much as their number.
const ALWAYS_COUNTED: [&str; 3] = ["attention", "diff_attention", "softmax"];

/// The result of fusing a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FusionReport {
    /// How often each op occurs in the fused graph, by mnemonic. Plain and differential attention and
    /// softmax are always named.
    pub ops: BTreeMap<&'static str, usize>,
    /// Projections that one matrix product computes together, in order of first occurrence.
    pub packed_projections: Vec<PackedProjection>,
    /// Why something that looks like a pattern was left alone.
    pub remarks: Vec<Remark>,
}

/// Projections of one input that are stacked into one weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedProjection {
    /// The projections, as named within a layer: `self_attn.q_proj`.
    pub parts: Vec<String>,
    /// Names of the stored tensors, one list for each such weight.
    pub weights: Vec<Vec<String>>,
}

impl FusionReport {
    /// Fuses a source graph and counts.
    ///
    /// # Errors
    /// [`CompileError`] if a pass fails.
    pub fn of(mut graph: Graph, options: &CompileOptions) -> Result<FusionReport, CompileError> {
        let report = fuse(&mut graph, options)?;
        let mut ops = graph.op_counts();
        for mnemonic in ALWAYS_COUNTED {
            ops.entry(mnemonic).or_insert(0);
        }
        let packed_projections = packed_projections(&graph);
        Ok(FusionReport { ops, packed_projections, remarks: report.remarks })
    }
}

fn packed_projections(graph: &Graph) -> Vec<PackedProjection> {
    let mut found: Vec<PackedProjection> = Vec::new();
    for id in topological(graph) {
        let Op::Weight(weight) = &graph.node(id).op else { continue };
        if weight.parts.len() < 2 {
            continue;
        }
        let names: Vec<String> = weight.parts.iter().map(|name| name.to_string()).collect();
        let parts: Vec<String> = names.iter().map(|name| within_layer(name).to_string()).collect();
        match found.iter_mut().find(|packed| packed.parts == parts) {
            Some(packed) => packed.weights.push(names),
            None => found.push(PackedProjection { parts, weights: vec![names] }),
        }
    }
    found
}

/// A tensor's name from behind the number of its layer, without `.weight`.
fn within_layer(name: &str) -> &str {
    let name = name.strip_suffix(".weight").unwrap_or(name);
    let behind_layer = name.split_once("layers.").and_then(|(_, rest)| rest.split_once('.'));
    behind_layer.map_or(name, |(_, module)| module)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Model, ModelConfig};
    use minuend_models::LogitRows;

    #[test]
    fn a_diff_v2_model_is_fused_whole() {
        let text = r#"{"model_type":"diff_v2","vocab_size":100,"hidden_size":16,
            "intermediate_size":32,"num_hidden_layers":3,"num_attention_heads":4,
            "num_key_value_heads":2,"head_dim":8,"rms_norm_eps":1e-6,
            "max_position_embeddings":64}"#;
        let config = ModelConfig::from_json_str("config.json", text).unwrap();
        let graph = Model::without_weights(config).graph(LogitRows::All).unwrap();
        let report = FusionReport::of(graph, &CompileOptions::default()).unwrap();
        assert_eq!(report.ops["diff_attention"], 3);
        assert_eq!((report.ops["attention"], report.ops["softmax"]), (0, 0));
        let packed: Vec<(usize, usize)> = report
            .packed_projections
            .iter()
            .map(|packed| (packed.parts.len(), packed.weights.len()))
            .collect();
        assert_eq!(packed, [(4, 3), (2, 3)]);
    }

    #[test]
    fn names_lose_their_layer() {
        assert_eq!(within_layer("model.layers.12.mlp.up_proj.weight"), "mlp.up_proj");
        assert_eq!(within_layer("lm_head.weight"), "lm_head");
    }
}
