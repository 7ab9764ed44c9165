//! Damaged checkpoint directories that still open: whatever they ask for is computed or refused, never
//! a panic. That opening never panics is tested where the files are read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use minuend::{
    CompileOptions, Continue, Error, GenerateOptions, LogitRows, Model, ModelConfig, RequestError,
    Sampling, TokenModel, generate,
};
use minuend_tests::models;
use minuend_tests::random_values::RandomValues;
use minuend_tests::runners::cpu;
use serde_json::{Value, json};

/// Opens, compiles and runs, as the command line would.
fn run(directory: &Path) -> Result<(), Error> {
    let model = Model::open(directory)?;
    run_model(&model)
}

fn run_model(model: &Model) -> Result<(), Error> {
    let compiled = model.compile(cpu(), LogitRows::Last, &CompileOptions::default())?;
    let mut session = compiled.session(16)?;
    let options = GenerateOptions {
        max_new_tokens: 2,
        sampling: Sampling::greedy(),
        eos_ids: model.eos_ids().to_vec(),
    };
    let prompt: Vec<u32> = (0..5).map(|at| at % model.config().vocab_size as u32).collect();
    session.feed(&[0, 0], 2)?;
    session.reset();
    generate(&mut session, &prompt, &options, &mut |_| Continue::Yes)?;
    Ok(())
}

/// A copy of a fixture.
fn copy_of(fixture: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(models::fixture(fixture)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

/// Counts of what became of damaged directories.
#[derive(Debug, Default)]
struct Outcomes {
    ran: usize,
    refused: usize,
}

impl Outcomes {
    fn add(&mut self, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) => self.ran += 1,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                self.refused += 1;
            }
        }
    }
}

/// Values of keys that a config may well have, right or wrong for these weights.
fn plausible(random: &mut RandomValues, key: &str, old: &Value) -> Value {
    match old {
        Value::Bool(old) => json!(!old),
        Value::Number(old) if old.is_f64() => {
            random.pick(&[json!(0.0), json!(1.0), json!(1e-30), json!(1e30), json!(0.5), json!(1)])
        }
        Value::Number(old) => {
            let old = old.as_u64().unwrap_or(1);
            let limit = u64::from(u32::MAX);
            let large = if key == "max_position_embeddings" { 1 << 30 } else { limit };
            random.pick(&[1, 2, 3, old / 2, old * 2, old + 1, large]).into()
        }
        Value::String(_) => random.pick(&[
            json!("llama"),
            json!("diff_v2"),
            json!("qwen3"),
            json!("float16"),
            json!("silu"),
        ]),
        other => other.clone(),
    }
}

const EXTRA_KEYS: [(&str, &str); 9] = [
    ("sliding_window", "1"),
    ("sliding_window", "1073741824"),
    ("qk_norm", "true"),
    ("attention_bias", "true"),
    ("mlp_bias", "true"),
    ("tie_word_embeddings", "false"),
    ("rope_theta", "1e-300"),
    ("rope_theta", "1e300"),
    ("eos_token_id", "[1, 2, 3]"),
];

#[test]
fn configs_that_do_not_fit_their_weights() {
    let mut outcomes = Outcomes::default();
    for fixture in ["tiny-diffv2", "tiny-diffv2-gqa8-halfsplit", "tiny-llama"] {
        let directory = copy_of(fixture);
        let path = directory.path().join("config.json");
        let original: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let mut random = RandomValues::new(fixture.len() as u64);
        run(directory.path()).unwrap();
        for _ in 0..250 {
            let mut config = original.clone();
            for _ in 0..=random.below(2) {
                let object = config.as_object_mut().unwrap();
                let keys: Vec<String> = object.keys().cloned().collect();
                let key = random.pick(&keys);
                match random.below(4) {
                    0 => {
                        let (key, value) = random.pick(&EXTRA_KEYS);
                        config[key] = serde_json::from_str(value).unwrap();
                    }
                    _ => config[&key] = plausible(&mut random, &key, &config[&key]),
                }
            }
            std::fs::write(&path, config.to_string()).unwrap();
            outcomes.add(run(directory.path()));
        }
    }
    assert!(outcomes.ran > 100 && outcomes.refused > 100, "{outcomes:?}");
}

#[test]
fn weights_with_damaged_values() {
    let mut outcomes = Outcomes::default();
    for fixture in ["tiny-diffv2", "tiny-diffv2-gqa8-halfsplit", "tiny-llama"] {
        let directory = copy_of(fixture);
        let path = directory.path().join("model.safetensors");
        let original = std::fs::read(&path).unwrap();
        let header = 8 + u64::from_le_bytes(original[..8].try_into().unwrap()) as usize;
        let mut random = RandomValues::new(1 + fixture.len() as u64);
        for _ in 0..60 {
            let mut bytes = original.clone();
            // NaN, infinities, huge and tiny values, in f32 and in 16 bits alike.
            let fill = random.pick(&[0x00u8, 0xff, 0x7f, 0x80, 0x01, 0xc0]);
            let start = header + random.below(bytes.len() - header);
            let end = (start + 1 + random.below(4000)).min(bytes.len());
            bytes[start..end].fill(fill);
            std::fs::write(&path, bytes).unwrap();
            outcomes.add(run(directory.path()));
        }
    }
    assert!(outcomes.ran > 0 && outcomes.refused > 0, "{outcomes:?}");
}

/// Weights of nothing but NaN: there is no most likely token, wherever it is looked for.
#[test]
fn no_token_where_no_logit_is_finite() {
    let directory = copy_of("tiny-diffv2");
    let path = directory.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[header..].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let model = Model::open(directory.path()).unwrap();
    let assert_refuses = |model: &mut dyn TokenModel| {
        let found = model.feed_greedy(&[1, 2, 3, 4], 2);
        assert!(matches!(found, Err(Error::Request(RequestError::NoFiniteLogit))), "{found:?}");
        assert_eq!(model.position(), 2);
    };
    for rows in [LogitRows::All, LogitRows::Last] {
        let compiled = model.compile(cpu(), rows, &CompileOptions::default()).unwrap();
        assert_refuses(&mut compiled.session(16).unwrap());
        assert_refuses(&mut model.interpreted(rows).unwrap());
    }
}

/// Configs that are read without weights: extreme shapes of small cost.
#[test]
fn extreme_configs_with_random_weights() {
    let mut outcomes = Outcomes::default();
    let mut random = RandomValues::new(11);
    for _ in 0..400 {
        let heads = random.pick(&[1, 2, 3, 4]);
        let config = json!({
            "model_type": random.pick(&["diff_v2", "llama", "qwen3"]),
            "vocab_size": random.pick(&[1, 2, 5, 33]),
            "hidden_size": random.pick(&[1, 2, 3, 8]),
            "intermediate_size": random.pick(&[1, 2, 7]),
            "num_hidden_layers": random.pick(&[1, 2]),
            "num_attention_heads": heads,
            "num_key_value_heads": random.pick(&[1, heads]),
            "head_dim": random.pick(&[2, 4, 6, 16]),
            "rms_norm_eps": random.pick(&[0.0, 1e-6, 1.0]),
            "max_position_embeddings": random.pick(&[1u64, 4, 16, 1 << 30]),
            "rope_theta": random.pick(&[1e-300, 1.0, 1e4, 1e300]),
            "torch_dtype": random.pick(&["float32", "float16", "bfloat16"]),
            "tie_word_embeddings": random.once_in(2),
            "attention_bias": random.once_in(2),
            "mlp_bias": random.once_in(2),
            "sliding_window": random.pick(&[json!(null), json!(1), json!(1 << 30)]),
            "use_sliding_window": true,
            "max_window_layers": 0,
        });
        if let Ok(config) = ModelConfig::from_json_str("config.json", &config.to_string()) {
            outcomes.add(run_model(&Model::random(config, 3)));
        } else {
            outcomes.refused += 1;
        }
    }
    assert!(outcomes.ran > 100 && outcomes.refused > 0, "{outcomes:?}");
}
