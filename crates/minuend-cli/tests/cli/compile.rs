//! `minuend compile` and `minuend devices`.

use crate::program::{arg, config, filetest, json, minuend, shakespeare, stdout};

fn emit(stage: &str, more: &[&str]) -> String {
    let model = shakespeare();
    stdout(&[&["compile", arg(&model), "--target", "cpu", "--emit", stage][..], more].concat())
}

#[test]
fn every_stage_is_shown() {
    let source = emit("source", &[]);
    assert!(source.contains("softmax") && !source.contains("diff_attention"));
    assert_eq!(emit("graph", &[]), source);
    assert!(emit("canonical", &[]).contains("level canonical"));
    let fused = emit("fused", &[]);
    assert!(fused.contains("level fused"));
    assert_eq!(fused.matches("= diff_attention ").count(), 6);
    assert!(emit("legal", &[]).contains("level legal"));
    let dot = emit("dot", &[]);
    assert!(dot.starts_with("digraph") && dot.ends_with("}\n"));
}

#[test]
fn a_plan_is_bound_to_sizes() {
    let sizes = ["--batch", "2", "--seq", "8", "--past", "4", "--capacity", "32"];
    let plan = emit("plan", &sizes);
    assert!(plan.starts_with("program @diff_v2 for cpu"), "{plan}");
    // Two sequences, six layers, keys and values, two heads, 32 positions of width 64, in f32.
    let states = format!("states of {} bytes", 2 * 6 * 2 * 2 * 32 * 64 * 4);
    assert!(plan.contains(&states), "{plan}");
    assert_ne!(plan, emit("plan", &[]));
}

#[test]
fn activations_are_those_that_the_target_has() {
    let model = shakespeare();
    let plan = |target: &str, dtype: &str| {
        stdout(&["compile", arg(&model), "--emit", "plan", "--target", target, "--dtype", dtype])
    };
    let auto = plan("cuda-sm90a", "auto");
    assert_eq!(auto, plan("cuda-sm90a", "bf16"));
    assert!(auto.contains("%past_keys.0 in bf16["), "{auto}");
    assert!(plan("cuda-sm90a", "f32").contains("%past_keys.0 in f32["));
    assert!(plan("cpu", "auto").contains("%past_keys.0 in f32["));
}

#[test]
fn kernels_are_shown_without_a_gpu() {
    let model = shakespeare();
    let run = |target: &str, more: &[&str]| {
        let base =
            ["compile", arg(&model), "--emit", "kernels", "--target", target, "--seq", "300"];
        minuend(&[&base[..], more].concat())
    };
    let kernels = |target: &str, more: &[&str]| {
        let output = run(target, more);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let cuda = kernels("cuda-sm90a", &[]);
    assert!(cuda.contains("// attention/forward_wgmma "), "{cuda}");
    assert!(cuda.contains("--gpu-architecture=sm_90a"));
    // Nothing is left to be included.
    assert!(!cuda.contains("#include") && !cuda.contains("#pragma once"));
    assert!(kernels("cuda-sm80", &[]).contains("// attention/forward_mma "));
    let blackwell = kernels("cuda-sm100a", &[]);
    assert!(blackwell.contains("// attention/forward_tcgen05 "), "{blackwell}");
    assert!(kernels("wgsl", &[]).contains("@compute"));

    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("kernels");
    let output = run("cuda-sm120a", &["-o", arg(&folder)]);
    let [listed, notes] = [output.stdout, output.stderr].map(|b| String::from_utf8(b).unwrap());
    let has_code = listed.contains("bytes of machine code");
    assert_ne!(has_code, notes.contains("note: no machine code is written: NVRTC"), "{notes}");
    for line in listed.lines() {
        let name = line.split_once(": ").unwrap().0;
        let text = std::fs::read_to_string(folder.join(format!("{name}.cu"))).unwrap();
        assert_eq!(text.matches("extern \"C\" __global__").count(), 1, "{line}");
        // Machine code is there where its compiler is.
        assert_eq!(line.contains("machine code"), folder.join(format!("{name}.cubin")).exists());
    }
    assert!(listed.lines().count() > 5, "{listed}");
}

#[test]
fn a_fused_graph_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fused.mnd");
    emit("fused", &["-o", arg(&path)]);
    let fused = std::fs::read_to_string(&path).unwrap();
    assert_eq!(stdout(&["compile", arg(&path), "--emit", "fused"]), fused);
    let legal = stdout(&["compile", arg(&path), "--emit", "legal"]);
    assert_eq!(legal, emit("legal", &[]));
}

#[test]
fn a_text_graph_is_compiled() {
    let path = filetest("pipeline/diff_v2_layer.mnd");
    // The file is a test; its graph begins behind the heading.
    let text = std::fs::read_to_string(path).unwrap();
    let (_, graph) = text.split_once("graph @").unwrap();
    let graph = graph.split_once("\n}").unwrap().0;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layer.mnd");
    std::fs::write(&path, format!("graph @{graph}\n}}\n")).unwrap();
    let fused = stdout(&["compile", arg(&path)]);
    assert_eq!(fused.matches("= diff_attention ").count(), 1, "{fused}");
    let plan = stdout(&["compile", arg(&path), "--emit", "plan", "--seq", "3"]);
    assert!(plan.contains("arena of"), "{plan}");
}

#[test]
fn passes_can_be_timed_and_left_out() {
    let model = shakespeare();
    let output = minuend(&["compile", arg(&model), "--emit", "plan", "--time"]);
    let times = String::from_utf8(output.stderr).unwrap();
    for what in ["graph", "fuse-diff-attention", "legalize", "plan", "bind"] {
        assert!(times.lines().any(|line| line.starts_with(what)), "{what} not in: {times}");
    }
    let unfused = emit("fused", &["--disable", "fuse-diff-attention"]);
    assert!(!unfused.contains("= diff_attention "));
    assert_eq!(unfused.matches("= attention ").count(), 6);
    let untouched = emit("fused", &["--stop-after", "0"]);
    assert!(untouched.contains("softmax"));
}

#[test]
fn a_config_alone_is_compiled() {
    let config = config("diffv2-8b.json");
    let fused = stdout(&["compile", "--config", arg(&config)]);
    assert_eq!(fused.matches("= diff_attention ").count(), 32);
}

#[test]
fn the_cpu_is_a_device() {
    let found = json(&["devices", "--json"]);
    let devices = found["devices"].as_array().unwrap();
    assert_eq!(devices.iter().filter(|device| device["name"] == "cpu").count(), 1);
    assert!(stdout(&["devices"]).lines().any(|line| line.starts_with("cpu ")));
}

#[test]
fn help_ends_with_an_example() {
    for command in ["run", "verify", "inspect", "compile", "devices", "bench"] {
        let help = stdout(&[command, "--help"]);
        let (_, example) = help.rsplit_once("Example:\n").expect("an example");
        assert!(example.lines().any(|line| line.trim().starts_with(&format!("minuend {command}"))));
    }
}
