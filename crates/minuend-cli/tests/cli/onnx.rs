//! ONNX files in every command.

use std::path::Path;

use minuend_onnx::proto::data_type::FLOAT16;
use serde_json::json;

use crate::onnx_file::{
    fixture, write_io, write_language_model, write_rows, write_sigmoid, write_tokenizer,
    write_unsupported,
};
use crate::program::{
    arg, error, fixture as checkpoint, json as run_json, long_error, minuend, stdout,
};

const FIXTURES: [&str; 7] = [
    "diffv2_reshape_manual",
    "diffv2_slice_sdpa",
    "diffv2_slice_torchscript",
    "diffv2_two_softmax_maps",
    "wrong_pairing_halves",
    "diffv2_einsum_groups",
    "diffv2_manual_arange",
];

/// Asserts that a message names each of the parts.
fn names(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} not in: {text}");
    }
}

fn i64s(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn fixtures_are_verified_on_every_device() {
    for name in FIXTURES {
        let (model, io) = fixture(name);
        for device in ["cpu", "interpreter"] {
            let args = ["verify", arg(&model), "--expected", arg(&io), "--device", device];
            let found = run_json(&[&args[..], &["--json"]].concat());
            assert_eq!(found["passed"], true, "{name} on {device}: {found}");
            assert_eq!((&found["tolerance"], &found["dtype"]), (&json!(1e-5), &json!("f32")));
            let output = &found["outputs"][0];
            assert_eq!((&output["name"], &output["kind"]), (&json!("y"), &json!("floats")));
            assert!(output["relative_l2"].as_f64().unwrap() <= 1e-6, "{found}");
        }
    }
    let (model, io) = fixture(FIXTURES[0]);
    let table = stdout(&["verify", arg(&model), "--expected", arg(&io)]);
    assert!(table.starts_with("output") && table.contains("pass"), "{table}");
    let args = ["verify", arg(&model), "--expected", arg(&io), "--tolerance", "0"];
    assert_eq!(minuend(&args).status.code(), Some(1));
}

#[test]
fn sixteen_bits_have_their_tolerance() {
    let (model, io) = fixture(FIXTURES[0]);
    let verify = |dtype: &str| {
        let args = ["verify", arg(&model), "--expected", arg(&io), "--json"];
        run_json(&[&args[..], &["--device", "interpreter", "--dtype", dtype]].concat())
    };
    for (dtype, rounding) in [("f16", 2f64.powi(-11)), ("bf16", 2f64.powi(-8))] {
        let found = verify(dtype);
        // One attention op at least.
        let tolerance = found["tolerance"].as_f64().unwrap();
        assert!(tolerance >= rounding * 24f64.sqrt() && tolerance < 0.05, "{found}");
        // The weights are rounded, and nothing else is.
        let error = found["outputs"][0]["relative_l2"].as_f64().unwrap();
        assert!(error > rounding / 16.0 && error < tolerance, "{found}");
        assert_eq!((&found["passed"], &found["dtype"]), (&json!(true), &json!(dtype)));
    }
    let args = ["verify", arg(&model), "--expected", arg(&io), "--device", "cpu"];
    names(&error(&[&args[..], &["--dtype", "bf16"]].concat()), &["activations in bf16"]);
}

#[test]
fn verify_tells_what_does_not_fit() {
    let directory = tempfile::tempdir().unwrap();
    let (model, io) = (write_language_model(directory.path()), directory.path().join("io"));
    let ids = || ("input_ids", "I64", &[1usize, 2][..], i64s(&[3, 4]));
    let ones = |name| (name, "I64", &[1usize, 2][..], i64s(&[1, 1]));
    let inputs = [ids(), ones("attention_mask"), ones("position_ids")];
    let with = |more: (&'static str, &'static str, &'static [usize], Vec<u8>)| {
        let tensors: Vec<_> = inputs.iter().cloned().chain([more]).collect();
        write_io(&io, &tensors);
    };
    let args = ["verify", arg(&model), "--expected", arg(&io), "--device", "cpu"];

    // Integers must be equal; what is not there is told.
    with(("copy", "I64", &[1, 2], i64s(&[3, 4])));
    let found = run_json(&[&args[..], &["--json"]].concat());
    assert_eq!(found["not_compared"], json!(["logits"]));
    assert_eq!((&found["outputs"][0]["kind"], &found["passed"]), (&json!("exact"), &json!(true)));
    let output = minuend(&args);
    names(&String::from_utf8(output.stderr).unwrap(), &["note: output logits is not in"]);
    with(("copy", "I64", &[1, 2], i64s(&[3, 0])));
    let output = minuend(&args);
    assert_eq!(output.status.code(), Some(1));
    names(&String::from_utf8(output.stdout).unwrap(), &["FAIL (first at element 1)"]);

    with(("logit", "I64", &[1], i64s(&[1])));
    let known =
        "expected inputs (input_ids, attention_mask, position_ids) and outputs (logits, copy)";
    names(&error(&args), &["unknown tensors logit", known]);
    with(("copy", "I64", &[2, 1], i64s(&[3, 4])));
    names(&error(&args), &["expected output copy is i64[2, 1], the graph gives i64[1, 2]"]);
    write_io(&io, &inputs);
    names(&error(&args), &["no expected outputs, expected at least one of logits, copy"]);
    write_io(&io, &[("t", "U16", &[1], vec![0, 0])]);
    names(&error(&args), &["tensor t is U16; expected F64, F32"]);
}

#[test]
fn a_graph_is_run_on_tensors() {
    let (model, io) = fixture(FIXTURES[0]);
    let found = run_json(&["run", arg(&model), "--inputs", arg(&io), "--json"]);
    let output = &found["outputs"][0];
    assert_eq!((&output["name"], &output["dtype"]), (&json!("y"), &json!("f32")));
    assert_eq!(output["shape"], json!([2, 12, 64]));
    assert_eq!(output["values"].as_array().unwrap().len(), 8);
    for key in ["import_ms", "compile_ms", "load_ms", "run_ms", "peak_bytes"] {
        assert!(found[key].as_f64().unwrap() > 0.0, "{key}: {found}");
    }
    let table = stdout(&["run", arg(&model), "--inputs", arg(&io)]);
    names(&table, &["output  type            values\n", "y       f32[2, 12, 64]  ", " ..."]);

    // Written and not shown.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.safetensors");
    assert_eq!(stdout(&["run", arg(&model), "--inputs", arg(&io), "--output", arg(&path)]), "");
    let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
    names(&text, &[r#""y":{"dtype":"F32","shape":[2,12,64]"#]);
}

#[test]
fn all_that_is_wrong_with_inputs_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (model, _) = fixture(FIXTURES[1]);
    let io = directory.path().join("io");
    let args = ["run", arg(&model), "--inputs", arg(&io)];
    let zeros = |count: usize| vec![0u8; count * 4];
    write_io(&io, &[("x", "F32", &[1, 100, 64], zeros(6400))]);
    names(&error(&args), &["input x, axis 1: 100, expected at most 64"]);
    write_io(&io, &[("x", "I32", &[1, 2, 64], zeros(128))]);
    names(&error(&args), &["input x is of type i32, expected f32"]);
    write_io(&io, &[("x", "F32", &[2, 64], zeros(128))]);
    names(&error(&args), &["input x has 2 axes, expected 3: f32[batch, seq, 64]"]);
    write_io(&io, &[("z", "F32", &[1, 2, 64], zeros(128))]);
    let text = long_error(&args);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "error: 2 problems with the inputs");
    assert_eq!(lines[1], "  unknown input z, expected x");
    assert_eq!(lines[2], "  input x is missing, expected f32[batch, seq, 64]");
}

#[test]
fn a_language_model_continues_a_text() {
    let directory = tempfile::tempdir().unwrap();
    let model = write_language_model(directory.path());
    let ids = ["run", arg(&model), "--prompt-ids", "3,4", "--max-new-tokens", "3"];
    assert_eq!(stdout(&ids), "0,1,2\n");
    let found = run_json(&[&ids[..], &["--json"]].concat());
    assert_eq!((&found["token_ids"], &found["text"]), (&json!([0, 1, 2]), &json!(null)));
    assert_eq!((&found["prompt_ids"], &found["finish"]), (&json!([3, 4]), &json!("length")));
    // The file takes 8 tokens, and one more is chosen behind them.
    let all = ["run", arg(&model), "--prompt-ids", "3,4", "--json"];
    let found = run_json(&all);
    assert_eq!(
        (&found["token_ids"], &found["finish"]),
        (&json!([0, 1, 2, 3, 4, 0, 1]), &json!("context"))
    );
    let sampled = [&ids[..], &["--temperature", "5", "--seed", "3"]].concat();
    assert_eq!(stdout(&sampled), stdout(&sampled));

    let words = ["run", arg(&model), "--prompt", "d e", "--max-new-tokens", "3"];
    names(&error(&words), &["tokenizer.json: no such file", "--tokenizer FILE", "--prompt-ids"]);
    let other = directory.path().join("words.json");
    write_tokenizer(&other);
    let found = run_json(&[&words[..], &["--tokenizer", arg(&other), "--json"]].concat());
    assert_eq!((&found["prompt_ids"], &found["text"]), (&json!([3, 4]), &json!(" a b c")));
    write_tokenizer(&directory.path().join("tokenizer.json"));
    assert_eq!(stdout(&words).trim(), "a b c");
}

#[test]
fn prompts_must_fit_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let model = write_language_model(directory.path());
    let fails = |ids: &str| error(&["run", arg(&model), "--prompt-ids", ids]);
    names(&fails("1,5"), &["token 5 is outside the vocabulary of 5"]);
    names(&fails("1,2,3,4,0,1,2,3,4"), &["9 tokens, the graph takes at most 8"]);
    names(&error(&["run", arg(&model), "--prompt-ids", "1", "--top-k", "0"]), &["top-k is 0"]);
    let (other, _) = fixture(FIXTURES[0]);
    let text = error(&["run", arg(&other), "--prompt-ids", "1"]);
    let input = "input x is f32[batch, seq, 64], expected integers [batch, tokens]";
    names(&text, &["no language model without a cache", input]);
    // Exactly one of the three.
    let (_, io) = fixture(FIXTURES[0]);
    long_error(&["run", arg(&model)]);
    long_error(&["run", arg(&model), "--prompt", "a", "--prompt-ids", "1"]);
    long_error(&["run", arg(&model), "--prompt-ids", "1", "--inputs", arg(&io)]);
    long_error(&["run", arg(&model), "--prompt-ids", "1", "--output", "out"]);
}

#[test]
fn token_ids_are_for_checkpoints_too() {
    let model = checkpoint("tiny-diffv2");
    let args = ["run", arg(&model), "--prompt-ids", "1,2,3", "--max-new-tokens", "2"];
    let found = run_json(&[&args[..], &["--json"]].concat());
    assert_eq!((found["token_ids"].as_array().unwrap().len(), &found["text"]), (2, &json!(null)));
    let (_, io) = fixture(FIXTURES[0]);
    let text = error(&["run", arg(&model), "--inputs", arg(&io)]);
    names(&text, &["--inputs is for .onnx files", "expected --prompt or --prompt-ids"]);
}

#[test]
fn a_file_is_inspected() {
    let (model, _) = fixture(FIXTURES[1]);
    let found = run_json(&["inspect", arg(&model), "--json"]);
    assert_eq!(found["file"], arg(&model));
    assert!(found["producer"].as_str().unwrap().starts_with("pytorch"), "{found}");
    assert!(found["nodes"].as_u64().unwrap() > 10 && found["opset"].as_u64().unwrap() >= 13);
    let input = &found["inputs"][0];
    assert_eq!((&input["name"], &input["dtype"]), (&json!("x"), &json!("f32")));
    assert_eq!(input["shape"], json!(["batch", "seq", 64]));
    assert_eq!(input["sizes"]["seq"], json!({ "min": 1, "max": 64, "multiple_of": 1 }));
    assert_eq!(found["outputs"][0]["name"], "y");
    // q 128, k and v 32, lambda 4 and o 64 rows of 64.
    let total = 64 * (128 + 32 + 32 + 4 + 64);
    assert_eq!(found["parameters"], json!({ "total": total, "bytes": total * 4, "tensors": 5 }));
    for key in ["ops", "packed_projections", "remarks", "notes"] {
        assert!(!found[key].is_null(), "{key}: {found}");
    }
    let text = stdout(&["inspect", arg(&model), "--remarks"]);
    let parts =
        ["opset", "nodes", "f32[batch, seq, 64]", "1 to 64", "parameters", "diff_attention"];
    names(&text, &parts);
    names(&text, &["packed projections", "remarks: "]);
}

#[test]
fn differential_attention_is_counted_and_wrong_pairs_are_told() {
    for name in FIXTURES {
        let (model, _) = fixture(name);
        let found = run_json(&["inspect", arg(&model), "--json"]);
        let is_wrong = name == "wrong_pairing_halves";
        assert_eq!(found["ops"]["diff_attention"], u8::from(!is_wrong), "{name}: {found}");
        if is_wrong {
            let text = stdout(&["inspect", arg(&model), "--remarks"]);
            names(
                &text,
                &["pair heads read different K/V groups: heads 0 and 4 read groups 0 and 1"],
            );
        }
    }
}

#[test]
fn every_stage_of_a_file_is_shown() {
    let (model, _) = fixture(FIXTURES[1]);
    let emit = |stage: &str, more: &[&str]| {
        stdout(&[&["compile", arg(&model), "--emit", stage][..], more].concat())
    };
    let source = emit("source", &[]);
    names(&source, &["graph @", "%x: f32[batch, seq, 64]", "softmax"]);
    names(&emit("canonical", &[]), &["level canonical"]);
    names(&emit("fused", &[]), &["level fused"]);
    names(&emit("legal", &[]), &["level legal"]);
    assert!(emit("dot", &[]).starts_with("digraph"));
    names(&emit("plan", &["--batch", "2", "--seq", "16"]), &["program @", "for cpu"]);
    assert_ne!(emit("plan", &["--seq", "16"]), emit("plan", &["--size", "seq=17"]));
    names(&emit("kernels", &["--target", "wgsl"]), &["@compute"]);
    let plan =
        ["compile", arg(&model), "--emit", "plan", "--target", "cuda-sm90a", "--dtype", "bf16"];
    names(&stdout(&plan), &["%x:bf16[batch, seq, 64]", ": bf16["]);
    // A source graph is read again.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("source.mnd");
    std::fs::write(&path, &source).unwrap();
    assert_eq!(stdout(&["compile", arg(&path), "--emit", "source"]), source);
}

#[test]
fn sizes_of_other_names_must_be_given() {
    let directory = tempfile::tempdir().unwrap();
    let model = write_rows(directory.path());
    let plan = ["compile", arg(&model), "--emit", "plan"];
    names(&error(&plan), &["symbol rows has no value; give it with --size rows=N"]);
    names(&stdout(&[&plan[..], &["--size", "rows=3"]].concat()), &["rows"]);
    let text = error(&[&plan[..], &["--size", "row=3"]].concat());
    names(&text, &["--size row: no such symbol, expected one of rows"]);
    let bench = ["bench", arg(&model), "--compile-only", "--repeats", "1"];
    names(&error(&bench), &["--size rows=N"]);
    stdout(&[&bench[..], &["--size", "rows=3"]].concat());
    let (model, _) = fixture(FIXTURES[1]);
    let text = error(&["compile", arg(&model), "--emit", "plan", "--seq", "65"]);
    names(&text, &["symbol seq is 65, expected 1..=64"]);
}

#[test]
fn a_file_keeps_its_types_where_there_are_kernels() {
    let directory = tempfile::tempdir().unwrap();
    let (model, io) = (write_sigmoid(directory.path(), FLOAT16), directory.path().join("io"));
    let found = run_json(&["inspect", arg(&model), "--json"]);
    assert_eq!(found["inputs"][0]["dtype"], "f16");
    let plan = |target: &str, dtype: &str| {
        let args = ["compile", arg(&model), "--emit", "plan", "--size", "rows=3"];
        stdout(&[&args[..], &["--target", target, "--dtype", dtype]].concat())
    };
    for (target, dtype, expected) in
        [("cuda-sm90a", "auto", "f16"), ("cuda-sm90a", "bf16", "bf16"), ("cpu", "auto", "f32")]
    {
        names(&plan(target, dtype), &[&format!("%x:{expected}[rows, 4]")]);
    }
    // Floats of any type are taken, and computed with in that of the device.
    let half = [0x00, 0x3c].repeat(4);
    write_io(&io, &[("x", "F16", &[1, 4], half)]);
    let found = run_json(&["run", arg(&model), "--inputs", arg(&io), "--device", "cpu", "--json"]);
    let output = &found["outputs"][0];
    assert_eq!((&found["dtype"], &output["dtype"]), (&json!("f32"), &json!("f32")));
    let value = output["values"][0].as_f64().unwrap();
    assert!((value - 1.0 / (1.0 + (-1f64).exp())).abs() < 1e-6, "{found}");
}

#[test]
fn the_compiler_is_measured() {
    let (model, _) = fixture(FIXTURES[1]);
    let sizes = ["--prompt-tokens", "16", "--repeats", "1"];
    let args = [&["bench", arg(&model), "--compile-only"][..], &sizes].concat();
    let found = run_json(&[&args[..], &["--json"]].concat());
    for key in ["import_ms", "passes_ms", "plan_ms", "bind_ms", "nodes"] {
        assert!(found[key].as_f64().unwrap() > 0.0, "{key}: {found}");
    }
    names(&stdout(&args), &["import  ", "passes  "]);
    names(&error(&["bench", arg(&model)]), &["give --compile-only"]);
}

#[test]
fn what_is_wrong_with_a_file_is_told_by_every_command() {
    let directory = tempfile::tempdir().unwrap();
    let unsupported = write_unsupported(directory.path());
    let io = directory.path().join("io");
    let commands: [&[&str]; 5] = [
        &["run", "FILE", "--inputs", arg(&io)],
        &["verify", "FILE", "--expected", arg(&io)],
        &["inspect", "FILE"],
        &["compile", "FILE"],
        &["bench", "FILE", "--compile-only"],
    ];
    let fails = |command: &[&str], path: &Path| {
        let words: Vec<&str> =
            command.iter().map(|word| if *word == "FILE" { arg(path) } else { word }).collect();
        long_error(&words)
    };
    for command in commands {
        let text = fails(command, &unsupported);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        names(lines[0], &["unsupported.onnx: 2 problems"]);
        assert!(lines[1].starts_with("  ") && lines[1].contains("Foo"), "{text}");
        assert!(lines[2].starts_with("  ") && lines[2].contains("Bar"), "{text}");
        let missing = directory.path().join("none.onnx");
        names(&fails(command, &missing), &["none.onnx"]);
        let damaged = directory.path().join("damaged.onnx");
        std::fs::write(&damaged, [0xff; 20]).unwrap();
        names(&fails(command, &damaged), &["damaged.onnx: not an ONNX model"]);
    }
    let (model, _) = fixture(FIXTURES[0]);
    names(&error(&["run", arg(&model), "--inputs", arg(&io)]), &["io: cannot read the file"]);
}
