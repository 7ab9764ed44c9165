//! `minuend inspect`.

use serde_json::json;

use crate::program::{arg, config, fixture, json as run_json, shakespeare, stdout};

#[test]
fn the_example_model_is_fused_whole() {
    let model = shakespeare();
    let found = run_json(&["inspect", arg(&model), "--json"]);
    assert_eq!(found["ops"]["diff_attention"], 6);
    assert_eq!(found["ops"]["softmax"], 0);
    assert_eq!(found["ops"]["attention"], 0);
    assert_eq!(found["ops"]["swiglu"], 6);
    let packed = found["packed_projections"].as_array().unwrap();
    let shapes: Vec<_> =
        packed.iter().map(|packed| (packed["parts"].clone(), packed["count"].clone())).collect();
    let projections = |module: &str, names: &[&str]| {
        json!(names.iter().map(|name| format!("{module}.{name}_proj")).collect::<Vec<_>>())
    };
    let attention = projections("self_attn", &["q", "k", "v", "lambda"]);
    let feed_forward = projections("mlp", &["gate", "up"]);
    assert_eq!(shapes, [(attention, json!(6)), (feed_forward, json!(6))]);
    for packed in packed {
        assert_eq!(packed["weights"].as_array().unwrap().len(), 6);
    }
}

#[test]
fn sixteen_bits_are_fused_like_f32() {
    let model = shakespeare();
    let [wide, narrow] = ["auto", "bf16"]
        .map(|dtype| run_json(&["inspect", arg(&model), "--json", "--dtype", dtype]));
    assert_eq!((&wide["dtype"], &narrow["dtype"]), (&json!("f32"), &json!("bf16")));
    assert_eq!(wide["packed_projections"], narrow["packed_projections"]);
    let mut ops = narrow["ops"].clone();
    assert_eq!((&ops["diff_attention"], &ops["softmax"]), (&json!(6), &json!(0)));
    // Of the logits; in f32 it is that of the rows of the embedding.
    assert_eq!(ops["cast"], 1);
    ops["cast"] = wide["ops"]["cast"].clone();
    assert_eq!(wide["ops"], ops);
    let bytes = |found: &serde_json::Value| found["kv_bytes_per_token"].as_u64().unwrap();
    assert_eq!(bytes(&wide), 2 * bytes(&narrow));
}

#[test]
fn parameters_are_those_stored() {
    let model = shakespeare();
    let found = run_json(&["inspect", arg(&model), "--json"]);
    let parameters = &found["parameters"];
    // 1024 x 256 tied; per layer q 512, k and v 128 each, lambda 4, o 256 rows; 3 x 704 x 256.
    assert_eq!(parameters["embedding"], 1024 * 256);
    assert_eq!(parameters["attention"], 6 * 256 * (512 + 128 + 128 + 4 + 256));
    assert_eq!(parameters["feed_forward"], 6 * 3 * 704 * 256);
    assert_eq!(parameters["norms"], 13 * 256);
    assert_eq!(parameters["head"], 0);
    let stored = std::fs::metadata(model.join("model.safetensors")).unwrap().len();
    let bytes = parameters["total"].as_u64().unwrap() * 2;
    assert!(stored > bytes && stored - bytes < 16_384, "{bytes} of {stored} bytes");
    // Keys and values in f32: 6 layers, 2 heads of width 64.
    assert_eq!(found["kv_bytes_per_token"], 2 * 6 * 2 * 64 * 4);
}

#[test]
fn a_config_alone_is_enough() {
    let found = run_json(&["inspect", "--config", arg(&config("diffv2-8b.json")), "--json"]);
    assert_eq!(found["ops"]["diff_attention"], 32);
    let saved = &found["diff_v2_arithmetic"]["saved_percent"];
    let percent = saved["at_same_query_width_without_lambda"].as_f64().unwrap();
    assert!((percent - 22.2).abs() < 0.05, "{percent}");
    assert!(saved["at_same_heads"].as_f64().unwrap() < 0.0);
    let found = run_json(&["inspect", "--config", arg(&config("diffv2-200m.json")), "--json"]);
    let total = found["parameters"]["total"].as_u64().unwrap();
    assert!(total.abs_diff(200_000_000) < 5_000_000, "{total}");
}

#[test]
fn a_plain_model_has_plain_attention() {
    let model = fixture("tiny-llama");
    let found = run_json(&["inspect", arg(&model), "--json"]);
    assert_eq!(found["ops"]["attention"], 2);
    assert_eq!(found["ops"]["diff_attention"], 0);
    assert_eq!(found["ops"]["softmax"], 0);
}

#[test]
fn the_text_tells_the_same() {
    let model = shakespeare();
    let text = stdout(&["inspect", arg(&model), "--remarks"]);
    for part in
        ["parameters", "attention", "diff_attention      6", "softmax             0", "remarks"]
    {
        assert!(text.contains(part), "{part} not in: {text}");
    }
}
