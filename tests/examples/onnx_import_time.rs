//! Times to import and compile ONNX files of language models, by their number of layers:
//! `cargo run --release -p minuend-tests --example onnx_import_time`.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a report for whoever runs it")]

use std::time::Instant;

use minuend::{CompileOptions, Model, compile};
use minuend_tests::onnx::language_model::{config, language_model};
use minuend_tests::onnx::run::import;
use minuend_tests::runners::cpu;

fn main() {
    println!("layers  nodes  import ms  passes ms  plan ms");
    for layers in [2, 8, 32] {
        let model = Model::random(config(layers, true, 256), 0);
        let bytes = language_model(model.config(), &model).bytes();
        let started = Instant::now();
        let onnx = import(bytes).unwrap();
        let import_time = started.elapsed();
        let options = CompileOptions::default();
        let compiled = compile(onnx.graph().clone(), cpu().target(), &options).unwrap();
        let passes = compiled.time.saturating_sub(compiled.plan_time);
        let times = [import_time, passes, compiled.plan_time].map(|time| time.as_secs_f64() * 1e3);
        let [import, passes, plan] = times;
        println!("{layers:6}  {:5}  {import:9.1}  {passes:9.1}  {plan:7.1}", onnx.nodes());
    }
}
