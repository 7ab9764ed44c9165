//! `minuend run`.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::{arg, json, minuend, shakespeare, stdout};

fn expected() -> Vec<Value> {
    let text = std::fs::read_to_string(shakespeare().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn greedy_text_is_the_expected_one() {
    let model = shakespeare();
    for expected in expected() {
        let prompt = expected["prompt"].as_str().unwrap();
        let count = expected["greedy_ids"].as_array().unwrap().len().to_string();
        let args = ["run", arg(&model), "--prompt", prompt, "--max-new-tokens", &count, "--json"];
        let found = json(&args);
        assert_eq!(found["prompt_ids"], expected["prompt_ids"]);
        assert_eq!(found["token_ids"], expected["greedy_ids"]);
        assert_eq!(found["text"], expected["greedy_text"]);
        assert_eq!(found["finish"], "length");
        assert!(found["device"].as_str().unwrap().starts_with("cpu"));
        assert_eq!(found["dtype"], "f32");
        for key in ["load_ms", "compile_ms", "prefill_ms", "decode_tokens_per_s"] {
            assert!(found[key].as_f64().unwrap() > 0.0, "{key}");
        }
        let stored = std::fs::metadata(model.join("model.safetensors")).unwrap().len();
        let peak = found["peak_bytes"].as_u64().unwrap();
        assert!(
            peak > stored * 9 / 10 && peak < stored * 3 / 2,
            "{peak} bytes for {stored} stored"
        );
    }
}

#[test]
fn text_goes_to_stdout_and_speed_to_stderr() {
    let model = shakespeare();
    let expected = &expected()[0];
    let prompt = expected["prompt"].as_str().unwrap();
    let output = minuend(&["run", arg(&model), "--prompt", prompt, "--max-new-tokens", "64"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, format!("{}\n", expected["greedy_text"].as_str().unwrap()));
    let speed = String::from_utf8(output.stderr).unwrap();
    assert!(speed.contains("prefill") && speed.contains("tokens/s"), "{speed}");
}

#[test]
fn the_seed_decides_the_text() {
    let model = shakespeare();
    let text = |seed: &str, extra: &[&str]| {
        let mut args = vec!["run", arg(&model), "--prompt", "KING:", "--max-new-tokens", "24"];
        args.extend(["--seed", seed]);
        args.extend(extra);
        stdout(&args)
    };
    let hot = ["--temperature", "1.0"];
    assert_eq!(text("7", &hot), text("7", &hot));
    assert_ne!(text("7", &hot), text("8", &hot));
    // One candidate leaves nothing to chance; a cut alone brings temperature 1.
    assert_eq!(text("7", &["--top-k", "1"]), text("8", &[]));
    assert_ne!(text("7", &["--top-p", "0.9"]), text("7", &[]));
}

#[test]
fn no_tokens_are_no_text() {
    let model = shakespeare();
    let args = ["run", arg(&model), "--prompt", "A", "--max-new-tokens", "0", "--json"];
    let found = json(&args);
    assert_eq!(found["token_ids"].as_array().unwrap().len(), 0);
    assert!(found["decode_tokens_per_s"].is_null());
    assert_eq!(found["text"], "");
}

#[test]
fn a_reader_that_leaves_ends_the_program_quietly() {
    let model = shakespeare();
    let mut child = Command::new(env!("CARGO_BIN_EXE_minuend"))
        .args(["run", arg(&model), "--prompt", "ROMEO:", "--max-new-tokens", "100"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
