//! `minuend conform` and `minuend devices`.

use std::path::Path;

use serde_json::Value;

use crate::program::{arg, error, fixture, json, minuend, stdout};

/// A report of a few cases on the CPU, as a file.
fn report(directory: &Path, name: &str) -> std::path::PathBuf {
    let path = directory.join(name);
    let filter = ["--filter", "matmul/weight 7x2"];
    stdout(&[&["conform", "--device", "cpu", "--report", arg(&path)], &filter[..]].concat());
    path
}

#[test]
fn the_cpu_passes() {
    let report = json(&["conform", "--device", "cpu", "--quick", "--json"]);
    assert_eq!(report["version"], 1);
    assert_eq!(report["devices"][0]["name"], "cpu");
    assert_eq!(report["devices"][0]["variant"], "plain");
    let cases = report["cases"].as_array().unwrap();
    for family in ["elementwise", "layout", "matmul", "reductions", "norms", "rotations"] {
        assert!(cases.iter().any(|case| case["family"] == family), "{family}");
    }
    for family in ["attention", "cache", "model"] {
        assert!(cases.iter().any(|case| case["family"] == family), "{family}");
    }
    for case in cases {
        assert_eq!(case["status"], "pass", "{case}");
        assert!(case["max_error"].as_f64().unwrap() <= 1.0, "{case}");
    }
}

#[test]
fn the_table_lists_families_and_with_verbose_cases() {
    let args = ["conform", "--device", "cpu", "--filter", "rope interleaved 16"];
    let table = stdout(&args);
    assert!(table.contains("rotations") && table.contains("cases pass"), "{table}");
    assert!(!table.contains("rope interleaved 16"), "{table}");
    let table = stdout(&[&args[..], &["--verbose"]].concat());
    assert!(table.contains("pass    cpu plain rotations/rope interleaved 16"), "{table}");
}

#[test]
fn a_model_directory_is_compared_with_its_stored_outputs() {
    let model = fixture("tiny-diffv2");
    let filter = "model/tiny-diffv2";
    let args = ["conform", "--device", "cpu", "--model", arg(&model), "--filter", filter, "--json"];
    let report = json(&args);
    let cases = report["cases"].as_array().unwrap();
    let has = |text: &str| {
        cases.iter().any(|case| case["name"].as_str().is_some_and(|name| name.contains(text)))
    };
    assert!(has("tiny-diffv2") && has("logits") && has("greedy"), "{report}");
}

#[test]
fn files_are_written_and_compared() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (report(directory.path(), "a.json"), report(directory.path(), "b.json"));
    let same = stdout(&["conform", "--compare", arg(&first), arg(&second)]);
    assert_eq!(same, "the reports agree\n");

    let mut changed: Value =
        serde_json::from_str(&std::fs::read_to_string(&second).unwrap()).unwrap();
    changed["cases"][0]["status"] = "fail".into();
    changed["cases"].as_array_mut().unwrap().pop();
    std::fs::write(&second, changed.to_string()).unwrap();
    let output = minuend(&["conform", "--compare", arg(&first), arg(&second)]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("pass -> fail") && text.contains("only in the first"), "{text}");
    let output = minuend(&["conform", "--compare", arg(&first), arg(&second), "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["differences"].as_array().unwrap().len(), 2, "{found}");
}

#[test]
fn a_page_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.html");
    stdout(&["conform", "--device", "cpu", "--filter", "cache/", "--html", arg(&path)]);
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<svg"), "{page}");
    assert!(page.contains("cache/attention over a cache, causal"));
}

#[test]
fn bad_usage_is_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = directory.path().join("no/such/report.json");
    let absent = directory.path().join("absent.json");
    let broken = directory.path().join("broken.json");
    std::fs::write(&broken, "{}").unwrap();
    let text = error(&["conform", "--device", "abacus"]);
    assert!(text.contains("unknown device 'abacus'") && text.contains("cpu"), "{text}");
    let text = error(&["conform", "--device", "cpu", "--variant", "fast"]);
    assert!(text.contains("variant 'fast'") && text.contains("plain"), "{text}");
    let text = error(&["conform", "--device", "cpu", "--filter", "nothing has this name"]);
    assert!(text.contains("no case"), "{text}");
    let text = error(&["conform", "--device", "cpu", "--report", arg(&nowhere)]);
    assert!(text.contains("report.json"), "{text}");
    let text = error(&["conform", "--device", "cpu", "--model", arg(directory.path())]);
    assert!(text.contains("config.json"), "{text}");
    let text = error(&["conform", "--compare", arg(&absent), arg(&broken)]);
    assert!(text.contains("absent.json"), "{text}");
    let text = error(&["conform", "--compare", arg(&broken), arg(&broken)]);
    assert!(text.contains("broken.json") && text.contains("not a report"), "{text}");
    error(&["conform", "--compare", arg(&broken)]);
    error(&["conform", "--compare", arg(&broken), arg(&broken), "--quick"]);
    error(&["conform", "--json", "--verbose"]);
}

#[test]
fn devices_tell_their_variants() {
    let devices = json(&["devices", "--json"]);
    let devices = devices["devices"].as_array().unwrap();
    let cpu = devices.iter().find(|device| device["name"] == "cpu").unwrap();
    assert_eq!(cpu["variants"][0]["name"], "plain");
    assert!(cpu["variants"][0]["unavailable"].is_null(), "{cpu}");
    assert_eq!(cpu["details"]["architecture"], std::env::consts::ARCH);
    let text = stdout(&["devices"]);
    assert!(text.contains("variant plain: available"), "{text}");
}
