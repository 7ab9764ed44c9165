//! `minuend verify`.

use serde_json::{Value, json};

use crate::program::{
    FIXTURES, arg, error, fixture, json as run_json, minuend, shakespeare, stdout,
};

#[test]
fn fixtures_pass_on_every_device() {
    for name in FIXTURES {
        let model = fixture(name);
        let expected = model.join("expected.safetensors");
        for device in ["cpu", "interpreter"] {
            let args = ["verify", arg(&model), "--expected", arg(&expected), "--device", device];
            let found = run_json(&[&args[..], &["--json"]].concat());
            assert_eq!(found["passed"], true, "{name} on {device}: {found}");
            let outputs = found["outputs"].as_array().unwrap();
            let is_logits = |output: &&Value| output["kind"] == "logits";
            assert!(outputs.iter().any(|output| is_logits(&output)), "{found}");
            for output in outputs.iter().filter(is_logits) {
                assert!(output["relative_l2"].as_f64().unwrap() <= 1e-5);
            }
        }
    }
}

#[test]
fn the_tolerance_is_that_of_the_type() {
    let model = fixture("tiny-diffv2");
    let expected = model.join("expected.safetensors");
    let verify = |dtype: &str, device: &str| {
        let args = ["verify", arg(&model), "--expected", arg(&expected), "--json"];
        run_json(&[&args[..], &["--device", device, "--dtype", dtype]].concat())
    };
    let found = ["f32", "f16", "bf16"].map(|dtype| verify(dtype, "interpreter"));
    let tolerances = found.each_ref().map(|found| found["tolerance"].as_f64().unwrap());
    assert!(tolerances.is_sorted() && tolerances[2] < 0.03, "{tolerances:?}");
    let errors = found.each_ref().map(|f| f["outputs"][0]["relative_l2"].as_f64().unwrap());
    // The stored weights are f32, and are rounded.
    assert!(errors[0] < 1e-6 && errors[1] > 1e-4 && errors[2] > 1e-3, "{errors:?}");
    for (found, dtype) in found.iter().zip(["f32", "f16", "bf16"]) {
        assert_eq!((&found["dtype"], &found["passed"]), (&json!(dtype), &json!(true)));
    }
    assert_eq!(verify("auto", "cpu")["dtype"], "f32");
}

#[test]
fn the_example_model_passes() {
    let model = shakespeare();
    let expected = model.join("expected.safetensors");
    for device in ["cpu", "interpreter"] {
        let args = ["verify", arg(&model), "--expected", arg(&expected), "--device", device];
        let table = stdout(&args);
        assert!(table.starts_with("output"), "{table}");
        assert!(table.contains("logits") && table.contains("pass"), "{table}");
        assert!(!table.contains("FAIL"), "{table}");
    }
}

#[test]
fn a_difference_is_exit_code_1() {
    let model = fixture("tiny-diffv2");
    let expected = model.join("expected.safetensors");
    let args = ["verify", arg(&model), "--expected", arg(&expected), "--tolerance", "0"];
    let output = minuend(&args);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("FAIL"));
    assert!(!String::from_utf8(output.stderr).unwrap().contains("error"));
}

#[test]
fn outputs_of_another_model_are_an_error() {
    let model = fixture("tiny-diffv2");
    let other = fixture("tiny-llama").join("expected.safetensors");
    let text = error(&["verify", arg(&model), "--expected", arg(&other)]);
    assert!(text.contains("vocabulary of 101, the model has 97"), "{text}");
}
