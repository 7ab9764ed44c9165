//! Every key of `config.json`: defaults, spellings, refusals.

use serde_json::json;

use super::*;

fn base(model_type: &str) -> Value {
    json!({
        "model_type": model_type, "vocab_size": 100, "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "rms_norm_eps": 1e-6,
        "max_position_embeddings": 128,
    })
}

/// The base config with `changes` merged in; `null` removes a key.
fn with(model_type: &str, changes: Value) -> Result<ModelConfig, ModelError> {
    let mut value = base(model_type);
    for (key, change) in changes.as_object().unwrap() {
        value[key] = change.clone();
    }
    ModelConfig::from_json_str("config.json", &value.to_string())
}

fn error(model_type: &str, changes: Value) -> String {
    let text = with(model_type, changes).expect_err("refused").to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

#[test]
fn defaults_follow_the_family() {
    let diff = with("diff_v2", json!({})).unwrap();
    assert_eq!((diff.heads, diff.query_heads(), diff.kv_heads, diff.head_dim), (4, 8, 4, 16));
    assert_eq!(diff.rope, Rope { theta: 10_000.0, layout: RopeLayout::Interleaved });
    assert_eq!((diff.tied_head, diff.attention_bias, diff.mlp_bias), (false, false, false));
    assert_eq!((diff.eos_ids.len(), diff.bos_id, diff.sliding_window), (0, None, None));
    assert_eq!(diff.stored_dtype, StoredDtype::F32);
    assert!(!diff.qk_norm && with("diff_v2", json!({"qk_norm": true})).unwrap().qk_norm);

    let llama = with("llama", json!({"num_key_value_heads": 2, "head_dim": 32})).unwrap();
    assert_eq!((llama.query_heads(), llama.kv_heads, llama.head_dim), (4, 2, 32));
    assert_eq!(llama.rope.layout, RopeLayout::HalfSplit);
    assert!(!llama.qk_norm && with("qwen3", json!({})).unwrap().qk_norm);
}

#[test]
fn all_missing_keys_are_listed_together() {
    let text = ModelConfig::from_json_str("c.json", r#"{"model_type":"llama","vocab_size":null}"#)
        .expect_err("missing keys")
        .to_string();
    assert_eq!(
        text,
        "c.json: missing vocab_size, hidden_size, intermediate_size, num_hidden_layers, \
         num_attention_heads, max_position_embeddings, rms_norm_eps"
    );
}

#[test]
fn several_problems_are_reported_at_once() {
    let text = error(
        "llama",
        json!({"vocab_size": null, "hidden_size": 0, "rms_norm_eps": "x", "hidden_act": "gelu"}),
    );
    for part in ["missing vocab_size", "`hidden_size` is 0", "`rms_norm_eps` is \"x\"", "gelu"] {
        assert!(text.contains(part), "{part} not in: {text}");
    }
}

#[test]
fn model_type_is_required_and_known() {
    assert!(error("mamba", json!({})).contains("supported: diff_v2, llama, qwen3"));
    assert_eq!(error("llama", json!({"model_type": null})), "config.json: missing model_type");
    assert!(error("llama", json!({"model_type": 3})).contains("expected a string"));
}

#[test]
fn rope_has_two_spellings() {
    let old = with("llama", json!({"rope_theta": 5e5})).unwrap();
    let new = json!({"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}});
    assert_eq!(with("llama", new).unwrap().rope, old.rope);
    assert_eq!(old.rope.theta, 5e5);
    let both = json!({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 5e5}});
    assert!(error("llama", both).contains("`rope_theta` is 10000, expected the 500000"));
    for bad in [json!(0), json!(-1.0), json!("1e4")] {
        assert!(error("llama", json!({"rope_theta": bad})).contains("`rope_theta`"));
    }
    let layout =
        |flag: bool| with("diff_v2", json!({"rope_interleaved": flag})).unwrap().rope.layout;
    assert_eq!((layout(true), layout(false)), (RopeLayout::Interleaved, RopeLayout::HalfSplit));
}

#[test]
fn rope_scaling_is_refused_by_name() {
    for plain in [json!(null), json!({"rope_type": "default"}), json!({"type": "default"})] {
        with("llama", json!({"rope_scaling": plain})).unwrap();
    }
    let llama3 = error("llama", json!({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}));
    assert!(llama3.contains("`rope_scaling`") && llama3.contains("llama3"), "{llama3}");
    let yarn = error("qwen3", json!({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}));
    assert!(yarn.contains("`rope_parameters.rope_type` is \"yarn\""), "{yarn}");
    let split = json!({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}});
    assert!(error("llama", split).contains("`rope_parameters.full_attention`"));
    assert!(error("llama", json!({"rope_scaling": 2})).contains("`rope_scaling` is 2"));
    assert!(error("llama", json!({"partial_rotary_factor": 0.5})).contains("0.5"));
}

#[test]
fn sizes_are_checked() {
    for bad in [json!(0), json!(-3), json!(1e300), json!(u64::MAX), json!(2.5), json!([])] {
        assert!(error("llama", json!({"num_hidden_layers": bad})).contains("`num_hidden_layers`"));
    }
    assert!(error("llama", json!({"num_key_value_heads": 3})).contains("divisor of the 4 heads"));
    assert!(error("llama", json!({"head_dim": 15})).contains("`head_dim` is 15"));
    assert!(error("llama", json!({"hidden_size": 66})).contains("multiple of the 4 heads"));
    assert!(error("llama", json!({"rms_norm_eps": -1e-6})).contains("`rms_norm_eps`"));
    // 12 / 4 is an odd head width.
    assert!(error("llama", json!({"hidden_size": 12})).contains("`head_dim` is 3"));
}

#[test]
fn sliding_window_is_one_for_all_layers() {
    let window = |family, changes| with(family, changes).unwrap().sliding_window;
    assert_eq!(window("diff_v2", json!({"sliding_window": 32})), Some(32));
    assert_eq!(window("diff_v2", json!({"sliding_window": 32, "use_sliding_window": false})), None);
    // Qwen configs carry a window that is off unless the flag is set.
    assert_eq!(window("qwen3", json!({"sliding_window": 32})), None);
    let on = |first: usize| json!({"sliding_window": 32, "use_sliding_window": true, "max_window_layers": first});
    assert_eq!(window("qwen3", on(0)), Some(32));
    assert_eq!(window("qwen3", on(2)), None);
    assert!(error("qwen3", on(1)).contains("`max_window_layers` is 1"));

    let types = |kinds: [&str; 2]| json!({"sliding_window": 32, "layer_types": kinds});
    assert_eq!(window("llama", types(["full_attention"; 2])), None);
    assert_eq!(window("llama", types(["sliding_attention"; 2])), Some(32));
    let mixed = error("llama", types(["full_attention", "sliding_attention"]));
    assert!(mixed.contains("`layer_types`") && mixed.contains("not supported"), "{mixed}");
    assert!(error("llama", json!({"layer_types": ["full_attention"]})).contains("a list of 1"));
    assert!(
        error("llama", json!({"layer_types": ["sliding_attention", "sliding_attention"]}))
            .contains("enabled")
    );
}

#[test]
fn token_ids_may_be_one_or_a_list() {
    let ids = |value: Value| with("llama", json!({"eos_token_id": value})).unwrap().eos_ids;
    assert_eq!(ids(json!(2)), [2]);
    assert_eq!(ids(json!([2, 7])), [2, 7]);
    assert!(ids(json!(null)).is_empty());
    for bad in [json!(-1), json!("2"), json!([2, -1]), json!(1u64 << 32)] {
        assert!(error("llama", json!({"eos_token_id": bad})).contains("`eos_token_id`"));
    }
}

#[test]
fn dtype_has_two_spellings() {
    let dtype = |changes| with("llama", changes).unwrap().stored_dtype;
    assert_eq!(dtype(json!({"torch_dtype": "bfloat16"})), StoredDtype::Bf16);
    assert_eq!(dtype(json!({"dtype": "torch.float16"})), StoredDtype::F16);
    assert!(error("llama", json!({"dtype": "float8"})).contains("`dtype` is \"float8\""));
}

#[test]
fn meaningful_flags_are_not_ignored() {
    for flag in ["diff_v3", "diff_both_lamb"] {
        assert!(error("diff_v2", json!({flag: true})).contains(flag));
    }
    assert!(error("diff_v2", json!({"use_diff_v2": false})).contains("llama"));
    assert!(error("llama", json!({"is_causal": false})).contains("causal attention"));
    assert!(error("llama", json!({"quantization_config": {"bits": 4}})).contains("unquantised"));
}

#[test]
fn text_that_is_no_object_is_refused() {
    for text in ["", "[]", "{", "null", "\"a\""] {
        ModelConfig::from_json_str("config.json", text).expect_err("refused");
    }
}
