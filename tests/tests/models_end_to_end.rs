//! Whole models, from a checkpoint directory to logits and text.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use minuend::ir::DType;
use minuend::{
    Activations, Architecture, CompileOptions, CompiledModel, Continue, Device, ExpectedOutputs,
    GenerateOptions, LogitRows, Logits, Model, ModelConfig, Sampling, TokenModel, check_outputs,
    errors, generate, logits_tolerance, most_likely,
};
use minuend_tests::models;
use minuend_tests::runners::{cpu, gpus};
use serde_json::{Value, json};

/// Relative L2 error of logits that f32 leaves: 2^-24 for each of some hundred operations between a
/// token and its logits, which add up like a random walk.
const TOLERANCE: f64 = 1e-5;

fn compile(model: &Model, rows: LogitRows) -> CompiledModel {
    compile_for(cpu(), model, rows)
}

fn compile_for(device: &dyn Device, model: &Model, rows: LogitRows) -> CompiledModel {
    model.compile(device, rows, &CompileOptions::default()).unwrap()
}

fn file_name(directory: &Path) -> String {
    directory.file_name().unwrap().to_string_lossy().into_owned()
}

/// Checks every stored output and panics with all of them if one is off.
fn assert_expected(model: &mut dyn TokenModel, directory: &Path) {
    assert_expected_in(DType::F32, model, directory);
}

/// The same for activations of a type.
fn assert_expected_in(activations: DType, model: &mut dyn TokenModel, directory: &Path) {
    let expected = ExpectedOutputs::open(directory.join("expected.safetensors")).unwrap();
    let tolerance = match activations {
        DType::F32 => TOLERANCE,
        other => logits_tolerance(other, model.config()),
    };
    let checks = check_outputs(model, &expected, tolerance).unwrap();
    assert!(!checks.is_empty());
    assert!(checks.iter().all(|check| check.passed), "{}: {checks:#?}", file_name(directory));
}

#[test]
fn stored_outputs_on_the_cpu() {
    for directory in models::all() {
        let model = Model::open(&directory).unwrap();
        let mut session = compile(&model, LogitRows::All).session(128).unwrap();
        assert_expected(&mut session, &directory);
    }
}

#[test]
fn stored_outputs_on_every_gpu() {
    for device in gpus() {
        for directory in models::all() {
            for dtype in device.target().activation_dtypes() {
                let model = Model::open(&directory).unwrap();
                let model = model.with_activations(Activations::Of(*dtype));
                let compiled = compile_for(&*device, &model, LogitRows::All);
                assert_eq!(compiled.activations, *dtype);
                assert_expected_in(*dtype, &mut compiled.session(128).unwrap(), &directory);
                // No family of kernels was given up.
                assert!(!device.notes().iter().any(|note| note.contains("variant")));
            }
        }
    }
}

#[test]
fn stored_outputs_on_the_interpreter() {
    for directory in models::all() {
        let model = Model::open(&directory).unwrap();
        // The trained model is checked on one prompt only: the interpreter's loops are plain.
        if directory == models::demo() {
            let expected = ExpectedOutputs::open(directory.join("expected.safetensors")).unwrap();
            let group = &expected.groups[0];
            let mut interpreted = model.interpreted(LogitRows::All).unwrap();
            let logits = interpreted.feed(&group.input_ids, group.batch).unwrap();
            let (relative_l2, _) = errors(&logits.values, &group.logits);
            assert!(relative_l2 <= TOLERANCE, "{relative_l2}");
            continue;
        }
        let mut interpreted = model.interpreted(LogitRows::All).unwrap();
        assert_expected(&mut interpreted, &directory);
    }
}

/// Prompts and greedy continuations of the trained model.
fn continuations() -> Vec<(Vec<u32>, Vec<u32>)> {
    let text = std::fs::read_to_string(models::demo().join("expected.json")).unwrap();
    let cases: Value = serde_json::from_str(&text).unwrap();
    let ids = |value: &Value| -> Vec<u32> {
        value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
    };
    let cases = cases.as_array().unwrap().iter();
    cases.map(|case| (ids(&case["prompt_ids"]), ids(&case["greedy_ids"]))).collect()
}

fn greedy(model: &mut dyn TokenModel, prompt: &[u32], tokens: usize) -> Vec<u32> {
    model.reset();
    let options =
        GenerateOptions { max_new_tokens: tokens, sampling: Sampling::greedy(), eos_ids: vec![] };
    generate(model, prompt, &options, &mut |_| Continue::Yes).unwrap().token_ids
}

fn assert_greedy_text(device: &dyn Device) {
    // The stored text is of exact logits; those of 16 bits may turn near ties.
    let model = Model::open(models::demo()).unwrap();
    let model = model.with_activations(Activations::Of(DType::F32));
    let mut session = compile_for(device, &model, LogitRows::Last).session(256).unwrap();
    let continuations = continuations();
    assert!(continuations.len() >= 2);
    for (prompt, expected) in continuations {
        assert_eq!(greedy(&mut session, &prompt, expected.len()), expected);
    }
}

#[test]
fn greedy_text_on_the_cpu() {
    assert_greedy_text(cpu());
}

#[test]
fn greedy_text_on_every_gpu() {
    for device in gpus() {
        assert_greedy_text(&*device);
    }
}

#[test]
fn greedy_text_on_the_interpreter() {
    let model = Model::open(models::demo()).unwrap();
    let mut interpreted = model.interpreted(LogitRows::Last).unwrap();
    let (prompt, expected) = continuations().remove(0);
    assert_eq!(greedy(&mut interpreted, &prompt, 4), expected[..4]);
}

/// Token ids of `batch` sequences, `[batch, tokens]`.
fn ids(config: &ModelConfig, batch: usize, tokens: usize) -> Vec<u32> {
    let id = |at: usize| (at * at * 31 + at * 7 + 3) % config.vocab_size;
    (0..batch * tokens).map(|at| id(at) as u32).collect()
}

/// Logits of all tokens `[batch, tokens, vocabulary]`, fed in chunks of these sizes.
fn fed_in_chunks(
    model: &mut dyn TokenModel,
    ids: &[u32],
    batch: usize,
    chunks: &mut dyn Iterator<Item = usize>,
) -> Vec<f32> {
    model.reset();
    let tokens = ids.len() / batch;
    let vocabulary = model.config().vocab_size;
    let mut all = vec![0.0; ids.len() * vocabulary];
    let mut start = 0;
    while start < tokens {
        let end = (start + chunks.next().unwrap()).min(tokens);
        let rows =
            (0..batch).flat_map(|row| ids[row * tokens + start..row * tokens + end].to_vec());
        let logits = model.feed(&rows.collect::<Vec<u32>>(), batch).unwrap();
        let chunk = (end - start) * vocabulary;
        for (row, values) in logits.values.chunks(chunk).enumerate() {
            let at = (row * tokens + start) * vocabulary;
            all[at..at + chunk].copy_from_slice(values);
        }
        start = end;
    }
    assert_eq!(model.position(), tokens);
    all
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    let (relative_l2, _) = errors(found, expected);
    assert!(relative_l2 <= TOLERANCE, "{what}: relative error {relative_l2}");
}

#[test]
fn prefill_equals_single_tokens_and_odd_chunks() {
    for directory in models::all() {
        let model = Model::open(&directory).unwrap();
        let mut session = compile(&model, LogitRows::All).session(128).unwrap();
        for batch in [1, 3] {
            let ids = ids(model.config(), batch, 37);
            let whole = fed_in_chunks(&mut session, &ids, batch, &mut std::iter::repeat(37));
            let single = fed_in_chunks(&mut session, &ids, batch, &mut std::iter::repeat(1));
            let odd =
                fed_in_chunks(&mut session, &ids, batch, &mut [3, 1, 17, 5].into_iter().cycle());
            let name = file_name(&directory);
            assert_close(&single, &whole, &format!("{name}, batch {batch}, single tokens"));
            assert_close(&odd, &whole, &format!("{name}, batch {batch}, odd chunks"));
        }
    }
}

#[test]
fn sequences_of_a_batch_do_not_see_each_other() {
    for directory in models::all() {
        let model = Model::open(&directory).unwrap();
        let mut session = compile(&model, LogitRows::All).session(64).unwrap();
        let (batch, tokens) = (3, 19);
        let ids = ids(model.config(), batch, tokens);
        let together = session.feed(&ids, batch).unwrap();
        for (row, together) in together.values.chunks(together.values.len() / batch).enumerate() {
            session.reset();
            let alone = session.feed(&ids[row * tokens..(row + 1) * tokens], 1).unwrap();
            assert_close(together, &alone.values, &format!("{}, row {row}", file_name(&directory)));
        }
    }
}

#[test]
fn logits_of_the_last_token_alone() {
    for directory in models::all() {
        let model = Model::open(&directory).unwrap();
        let ids = ids(model.config(), 2, 23);
        let logits =
            |rows| -> Logits { compile(&model, rows).session(64).unwrap().feed(&ids, 2).unwrap() };
        let (all, last) = (logits(LogitRows::All), logits(LogitRows::Last));
        assert_eq!((last.tokens, last.values.len()), (1, 2 * model.config().vocab_size));
        for row in 0..2 {
            assert_close(last.last(row), all.last(row), &file_name(&directory));
        }
    }
}

/// A greedy step gives the token that its logits give, whether the program or the host looks for it.
#[test]
fn greedy_steps_of_several_sequences() {
    for directory in models::all() {
        let (name, model) = (file_name(&directory), Model::open(&directory).unwrap());
        let [all, last] = [LogitRows::All, LogitRows::Last].map(|rows| compile(&model, rows));
        let outputs = |compiled: &CompiledModel| -> Vec<String> {
            let outputs = compiled.executable().program().outputs.iter();
            outputs.map(|output| output.name.to_string()).collect()
        };
        assert_eq!(outputs(&all), ["logits"], "{name}");
        assert_eq!(outputs(&last), ["logits", "token"], "{name}");
        let [mut by_logits, mut on_host, mut by_program] =
            [&last, &all, &last].map(|compiled| compiled.session(64).unwrap());
        let mut next = ids(model.config(), 3, 7);
        for _ in 0..4 {
            let logits = by_logits.feed(&next, 3).unwrap();
            let expected: Vec<u32> =
                (0..3).map(|row| most_likely(logits.last(row)).unwrap()).collect();
            assert_eq!(on_host.feed_greedy(&next, 3).unwrap(), expected, "{name}");
            assert_eq!(by_program.feed_greedy(&next, 3).unwrap(), expected, "{name}");
            assert_eq!(by_program.position(), by_logits.position());
            next = expected;
        }
    }
}

/// The ops of a model that are fused whole, and those that fusion leaves none of.
#[test]
fn every_layer_is_fused() {
    for directory in models::all() {
        let model = Model::open(&directory).unwrap();
        let (name, layers) = (file_name(&directory), model.config().layers);
        let is_differential = model.config().architecture == Architecture::DiffV2;
        for rows in [LogitRows::All, LogitRows::Last, LogitRows::Sampled] {
            let compiled = compile(&model, rows);
            let count = |op| compiled.executable().program().launches_of(op);
            let attentions = (count("diff_attention"), count("attention"));
            let expected = if is_differential { (layers, 0) } else { (0, layers) };
            assert_eq!(attentions, expected, "{name}");
            assert_eq!(count("softmax"), 0, "{name}");
            assert_eq!(count("rope"), 2 * layers, "{name}");
            assert_eq!(count("swiglu"), layers, "{name}");
            // Two norms for each layer and one before the head.
            let norms = count("rms_norm") + count("add_rms_norm");
            assert_eq!(norms, 2 * layers + 1, "{name}");
            // Packed q, k, v (and lambda); o; gate and up; down. Then the head.
            assert_eq!(count("matmul"), 4 * layers + 1, "{name}");
            assert_eq!(count("arg_max"), usize::from(rows == LogitRows::Last), "{name}");
            assert_eq!(count("sample"), usize::from(rows == LogitRows::Sampled), "{name}");
            for op in ["silu", "sigmoid", "reduce_mean", "cos", "sin", "rsqrt", "select"] {
                assert_eq!(count(op), 0, "{name}: {op}");
            }
        }
    }
}

fn random_config(changes: Value) -> ModelConfig {
    let mut config = json!({
        "vocab_size": 53, "hidden_size": 40, "intermediate_size": 56, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12, "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "max_position_embeddings": 64, "torch_dtype": "float32",
    });
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    ModelConfig::from_json_str("config.json", &config.to_string()).unwrap()
}

/// Conventions that no directory of this repository has, against the interpreter, with a cache.
#[test]
fn random_models_of_every_family() {
    let window = json!({"sliding_window": 5, "use_sliding_window": true, "max_window_layers": 0});
    let merged = |mut a: Value, b: &Value| {
        a.as_object_mut().unwrap().extend(b.as_object().unwrap().clone());
        a
    };
    let qwen = json!({"model_type": "qwen3", "torch_dtype": "bfloat16"});
    let biased = json!({"model_type": "llama", "attention_bias": true, "mlp_bias": true,
        "tie_word_embeddings": true});
    let diff = json!({"model_type": "diff_v2", "qk_norm": true, "torch_dtype": "float16"});
    let diff_biased = json!({"model_type": "diff_v2", "attention_bias": true,
        "rope_interleaved": false, "num_key_value_heads": 4, "sliding_window": 3});
    let configs = [
        merged(qwen.clone(), &window),
        qwen,
        merged(biased.clone(), &json!({"sliding_window": 1})),
        biased,
        diff,
        diff_biased,
    ];
    for (seed, config) in configs.into_iter().enumerate() {
        let name = config.to_string();
        let model = Model::random(random_config(config), seed as u64);
        let compiled = compile(&model, LogitRows::All);
        let program = compiled.executable().program();
        let attentions = program.launches_of("attention") + program.launches_of("diff_attention");
        assert_eq!(attentions, model.config().layers, "{name}");
        assert_eq!(program.launches_of("softmax"), 0, "{name}");
        let mut session = compiled.session(64).unwrap();
        let mut interpreted = model.interpreted(LogitRows::All).unwrap();
        let ids = ids(model.config(), 2, 21);
        let chunks = || [9, 1, 4].into_iter().cycle();
        let found = fed_in_chunks(&mut session, &ids, 2, &mut chunks());
        let expected = fed_in_chunks(&mut interpreted, &ids, 2, &mut chunks());
        assert_close(&found, &expected, &name);
    }
}
