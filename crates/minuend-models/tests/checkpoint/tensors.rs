//! The comparison of stored tensors with the config.

use minuend_models::{ModelError, StoredDtype};
use safetensors::Dtype;
use serde_json::json;

use crate::scratch::Scratch;

const Q0: &str = "model.layers.0.self_attn.q_proj.weight";
const LAMBDA: &str = "self_attn.lambda_proj.weight";

#[test]
fn every_family_and_option_has_its_tensors() {
    for (family, changes, count) in [
        ("llama", json!({}), 3 + 2 * 9),
        ("llama", json!({"tie_word_embeddings": true}), 2 + 2 * 9),
        ("llama", json!({"attention_bias": true, "mlp_bias": true}), 3 + 2 * 16),
        ("qwen3", json!({}), 3 + 2 * 11),
        ("diff_v2", json!({}), 3 + 2 * 10),
        ("diff_v2", json!({"qk_norm": true, "attention_bias": true}), 3 + 2 * 16),
    ] {
        let checkpoint = Scratch::new(family, changes).open().unwrap();
        assert_eq!((checkpoint.weights().count(), checkpoint.notes.len()), (count, 0));
    }
}

#[test]
fn shapes_of_one_diff_v2_layer() {
    let checkpoint = Scratch::new("diff_v2", json!({})).open().unwrap();
    for (name, shape) in [
        ("self_attn.q_proj.weight", vec![48, 20]),
        ("self_attn.k_proj.weight", vec![12, 20]),
        ("self_attn.v_proj.weight", vec![12, 20]),
        (LAMBDA, vec![4, 20]),
        ("self_attn.o_proj.weight", vec![20, 24]),
        ("mlp.gate_proj.weight", vec![14, 20]),
        ("mlp.up_proj.weight", vec![14, 20]),
        ("mlp.down_proj.weight", vec![20, 14]),
        ("input_layernorm.weight", vec![20]),
        ("post_attention_layernorm.weight", vec![20]),
    ] {
        let tensor = checkpoint.weight(&format!("model.layers.1.{name}")).unwrap();
        assert_eq!(tensor.shape, shape, "{name}");
    }
    assert_eq!(checkpoint.weight("lm_head.weight").unwrap().shape, [11, 20]);
}

#[test]
fn all_differences_are_in_one_error() {
    let mut model = Scratch::new("diff_v2", json!({}));
    model.tensors.remove("model.norm.weight");
    model.tensors.insert("model.extra".into(), (Dtype::F32, vec![3], 0));
    model.tensors.get_mut("model.layers.1.mlp.up_proj.weight").unwrap().1 = vec![20, 14];
    model.tensors.get_mut(Q0).unwrap().0 = Dtype::F64;
    let text = model.error();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].ends_with("4 tensors do not fit config.json"), "{text}");
    for line in [
        "  model.safetensors: tensor `model.norm.weight`: missing, expected shape [20]",
        "  model.safetensors: tensor `model.extra`: found shape [3], expected no tensor of this name",
        "  model.safetensors: tensor `model.layers.1.mlp.up_proj.weight`: found shape [20, 14], \
         expected [14, 20]",
        "  model.safetensors: tensor `model.layers.0.self_attn.q_proj.weight`: found dtype F64, \
         expected F32, F16 or BF16",
    ] {
        assert!(lines.contains(&line), "{line}\nnot in:\n{text}");
    }
    assert_eq!(lines.len(), 5);
}

#[test]
fn dtypes_may_be_mixed() {
    let mut model = Scratch::new("llama", json!({}));
    model.tensors.get_mut(Q0).unwrap().0 = Dtype::F32;
    model.tensors.get_mut("model.norm.weight").unwrap().0 = Dtype::F16;
    let checkpoint = model.open().unwrap();
    assert_eq!(checkpoint.weight(Q0).unwrap().dtype, StoredDtype::F32);
    assert_eq!(checkpoint.config.stored_dtype, StoredDtype::Bf16);

    model.tensors.get_mut("model.embed_tokens.weight").unwrap().0 = Dtype::F16;
    let checkpoint = model.open().unwrap();
    assert_eq!(checkpoint.config.stored_dtype, StoredDtype::F16);
    assert!(checkpoint.notes[0].contains("bfloat16") && checkpoint.notes[0].contains("float16"));
}

#[test]
fn aliases_are_resolved() {
    let mut model = Scratch::new("diff_v2", json!({}));
    for (layer, alias) in [(0, "W_lambda"), (1, "lam_proj")] {
        let prefix = format!("model.layers.{layer}.self_attn");
        model.rename(&format!("{prefix}.lambda_proj.weight"), &format!("{prefix}.{alias}.weight"));
        model.rename(&format!("{prefix}.o_proj.weight"), &format!("{prefix}.out_proj.weight"));
    }
    let checkpoint = model.open().unwrap();
    assert!(checkpoint.notes.is_empty());
    assert_eq!(checkpoint.weight(&format!("model.layers.1.{LAMBDA}")).unwrap().shape, [4, 20]);

    let twice = (Dtype::BF16, vec![4, 20], 1);
    model.tensors.insert(format!("model.layers.0.{LAMBDA}"), twice);
    assert!(model.error().contains("a second spelling of"), "{}", model.error());
}

#[test]
fn heads_follow_the_weights() {
    for declared in [6, 8] {
        let mut model = Scratch::new("diff_v2", json!({}));
        model.config["num_attention_heads"] = json!(declared);
        let checkpoint = model.open().unwrap();
        assert_eq!((checkpoint.config.heads, checkpoint.config.kv_heads), (4, 2));
        let [note] = checkpoint.notes.as_slice() else { panic!("one note") };
        assert!(note.contains(&format!("is {declared}, but")), "{note}");
        assert!(note.contains("4 output heads"), "{note}");
    }
}

#[test]
fn head_width_follows_the_corrected_heads() {
    // 24 / 4 = 6 is the width of a head; the declared 8 heads would make it 3.
    let mut model = Scratch::new("diff_v2", json!({"hidden_size": 24, "head_dim": null}));
    model.config["num_attention_heads"] = json!(8);
    let checkpoint = model.open().unwrap();
    assert_eq!((checkpoint.config.heads, checkpoint.config.head_dim), (4, 6));
}

#[test]
fn absent_key_value_heads_follow_the_corrected_heads() {
    let mut model = Scratch::new("diff_v2", json!({"num_key_value_heads": null}));
    model.config["num_attention_heads"] = json!(8);
    let checkpoint = model.open().unwrap();
    assert_eq!((checkpoint.config.heads, checkpoint.config.kv_heads), (4, 4));
}

#[test]
fn two_gates_per_pair_are_refused_by_name() {
    for heads in [4, 8] {
        let mut model = Scratch::new("diff_v2", json!({}));
        for layer in 0..2 {
            model.tensors.get_mut(&format!("model.layers.{layer}.{LAMBDA}")).unwrap().1 =
                vec![8, 20];
        }
        model.config["num_attention_heads"] = json!(heads);
        let error = model.open().expect_err("two gates");
        assert!(matches!(error, ModelError::TwoGateVariant { rows: 8, .. }), "{error}");
        assert!(error.to_string().contains("two-gate \"V3\" variant"), "{error}");
    }
}

#[test]
fn inconsistent_head_shapes_are_listed() {
    let mut model = Scratch::new("diff_v2", json!({}));
    model.tensors.get_mut(&format!("model.layers.0.{LAMBDA}")).unwrap().1 = vec![3, 20];
    assert!(model.error().contains("found shape [3, 20], expected [4, 20]"), "{}", model.error());
}

#[test]
fn the_head_is_tied_or_stored() {
    let mut untied = Scratch::new("llama", json!({}));
    untied.tensors.remove("lm_head.weight");
    assert!(untied.error().contains("`lm_head.weight`: missing"), "{}", untied.error());

    let mut tied = Scratch::new("llama", json!({"tie_word_embeddings": true}));
    assert!(tied.open().unwrap().notes.is_empty());
    tied.tensors.insert("lm_head.weight".into(), (Dtype::BF16, vec![11, 20], 1));
    let checkpoint = tied.open().unwrap();
    assert!(checkpoint.weight("lm_head.weight").is_none());
    assert!(checkpoint.notes[0].contains("equals the embedding"), "{}", checkpoint.notes[0]);

    for other in [
        (Dtype::BF16, vec![11, 20], 2),
        (Dtype::F16, vec![11, 20], 1),
        (Dtype::BF16, vec![20, 11], 1),
    ] {
        tied.tensors.insert("lm_head.weight".into(), other);
        assert!(tied.error().contains("differs from the embedding"), "{}", tied.error());
    }
}

#[test]
fn rotary_tables_are_ignored_with_a_note() {
    let mut model = Scratch::new("llama", json!({}));
    let name = "model.layers.0.self_attn.rotary_emb.inv_freq";
    model.tensors.insert(name.into(), (Dtype::F32, vec![3], 0));
    let checkpoint = model.open().unwrap();
    assert!(checkpoint.weight(name).is_none());
    assert!(checkpoint.notes[0].contains("inv_freq"), "{}", checkpoint.notes[0]);
}
