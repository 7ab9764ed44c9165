//! `minuend bench`: that it measures, not how fast.

use crate::program::{arg, config, fixture, json, stdout};

#[test]
fn a_model_is_measured() {
    let model = fixture("tiny-diffv2");
    let sizes = ["--prompt-tokens", "6", "--new-tokens", "3", "--batch", "2", "--repeats", "1"];
    let found = json(&[&["bench", arg(&model), "--json"][..], &sizes].concat());
    for key in ["prefill_tokens_per_s", "decode_tokens_per_s", "copy_gb_per_s", "decode_gb_per_s"] {
        assert!(found[key].as_f64().unwrap() > 0.0, "{key}: {found}");
    }
    // Keys and values of 2 layers, 2 sequences, 2 heads, 9 tokens of width 16, in f32.
    assert_eq!(found["cache_bytes"], 2 * 2 * 2 * 2 * 9 * 16 * 4);
    assert_eq!(found["weight_bytes_per_step"], found["weight_bytes"]);
    assert!(found["variant"].is_string(), "{found}");
    let sum =
        ["weight_bytes", "cache_bytes", "arena_bytes"].map(|key| found[key].as_u64().unwrap());
    assert_eq!(found["computed_peak_bytes"], sum.iter().sum::<u64>());
}

#[test]
fn an_untied_embedding_is_not_read_each_step() {
    let model = fixture("tiny-llama");
    let sizes = ["--prompt-tokens", "2", "--new-tokens", "1", "--repeats", "1"];
    let found = json(&[&["bench", arg(&model), "--json"][..], &sizes].concat());
    let table = 101 * 64 * 4;
    let weights = found["weight_bytes"].as_u64().unwrap();
    assert_eq!(found["weight_bytes_per_step"], weights - table);
}

#[test]
fn the_compiler_and_one_attention_are_measured() {
    let config = config("diffv2-8b.json");
    let args = ["bench", "--config", arg(&config), "--compile-only", "--repeats", "1", "--json"];
    let found = json(&args);
    assert!(found["passes_and_plan_ms"].as_f64().unwrap() > 0.0, "{found}");
    assert_eq!(found["layers"], 32);
    let text = stdout(&["bench", "--attention", "--repeats", "1", "--variant", "plain"]);
    assert!(text.contains("median") && text.contains(", plain: batch 1, 4 pairs"), "{text}");
}
