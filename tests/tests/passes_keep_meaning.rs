//! Random graphs through every pass and through the whole pipeline: the interpreter gives the same
//! before and after, the graph stays valid, and its text reads back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use minuend::ir::text::{parse, print};
use minuend::ir::verify::verify_at;
use minuend::ir::{DType, Graph, GraphLevel, Legality, OpInstance, OpSupport};
use minuend::{CompileOptions, CpuTarget, LogitRows, Model, VerifyMode};
use minuend_interp::{Data, Outcome, Tensor, evaluate};
use minuend_passes::{Changed, PassContext, PipelineOptions, pass_by_name, standard};
use minuend_tests::agreement::assert_agree;
use minuend_tests::decomposing_target::is_fused;
use minuend_tests::models;
use minuend_tests::random_graph::{RandomGraph, random_graph};
use minuend_tests::runners::cpu;
use minuend_tests::sixteen_bits::narrowed;

/// The passes of the standard pipeline that need no target.
const PASSES: [&str; 12] = [
    "eliminate-dead",
    "eliminate-common",
    "pack-projections",
    "canonicalize",
    "fold-constants",
    "recognize-attention",
    "fuse-diff-attention",
    "fuse-rms-norm",
    "fuse-residual-norm",
    "fuse-rope",
    "fuse-swiglu",
    "append-kv-in-place",
];

/// Most that two evaluations may differ, against the largest magnitude of the tensor. Both round in
/// f64, 2^-53 for each operation; values are bounded, so that chains of a hundred operations on sums of
/// a hundred terms leave at least nine digits.
const TOLERANCE: f64 = 1e-9;

fn assert_same(expected: &Outcome, graph: &Graph, random: &RandomGraph, what: &str) {
    let found = evaluate(graph, &random.inputs, &random.weights);
    let found = found.unwrap_or_else(|error| panic!("{what}: {error}"));
    let values = |outcome: &Outcome| -> Vec<Tensor> {
        [outcome.outputs.clone(), outcome.next_states.clone()].concat()
    };
    let (expected, found) = (values(expected), values(&found));
    assert_eq!(expected.len(), found.len(), "{what}");
    for (index, (expected, found)) in expected.iter().zip(&found).enumerate() {
        assert_eq!(expected.shape(), found.shape(), "{what}, result {index}");
        assert_eq!(expected.dtype(), found.dtype(), "{what}, result {index}");
        let (Data::Reals(a), Data::Reals(b)) = (expected.data(), found.data()) else {
            assert_eq!(expected.data(), found.data(), "{what}, result {index}");
            continue;
        };
        let largest = a.iter().fold(0.0f64, |most, value| most.max(value.abs()));
        assert!(largest.is_finite(), "{what}, result {index}: the graph is not bounded");
        for (at, (a, b)) in a.iter().zip(b).enumerate() {
            let is_close = (a - b).abs() <= TOLERANCE * largest || (a.is_nan() && b.is_nan());
            assert!(is_close, "{what}, result {index}: element {at} was {a}, is {b}");
        }
    }
}

/// The text of a graph that is valid, reads back, and prints the same again.
fn checked_text(graph: &Graph, what: &str) -> String {
    verify_at(graph, GraphLevel::Legal).unwrap_or_else(|error| panic!("{what}: {error}"));
    let text = print(graph);
    match parse(&text) {
        Ok(parsed) => assert_eq!(print(&parsed[0]), text, "{what}"),
        Err(errors) => panic!("{what}: {}", errors.render(what, &text)),
    }
    text
}

#[test]
fn every_pass_alone() {
    let mut changes: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..200 {
        let random = random_graph(seed, true);
        let expected = evaluate(&random.graph, &random.inputs, &random.weights).unwrap();
        checked_text(&random.graph, &format!("seed {seed}"));
        for name in PASSES {
            let what = format!("seed {seed}, pass {name}");
            let pass = pass_by_name(name).unwrap();
            let mut graph = random.graph.clone();
            let mut cx = PassContext::new(None);
            cx.enter(pass.name());
            let changed = pass.run(&mut graph, &mut cx);
            let changed = changed.unwrap_or_else(|error| panic!("{what}: {error}"));
            if changed == Changed::Yes {
                *changes.entry(name).or_insert(0) += 1;
                checked_text(&graph, &what);
                assert_same(&expected, &graph, &random, &what);
            }
        }
    }
    // Which passes find something in a graph that no other pass has seen.
    for name in ["eliminate-dead", "eliminate-common", "pack-projections", "canonicalize"] {
        assert!(changes.contains_key(name), "pass {name} changed no graph: {changes:?}");
    }
}

/// A target that runs every op on every type, or every op but the fused ones.
struct AnyTarget {
    has_fused: bool,
}

impl OpSupport for AnyTarget {
    fn legality(&self, op: &OpInstance<'_>) -> Legality {
        if self.has_fused || !is_fused(op.op) {
            return Legality::Native;
        }
        Legality::Decompose { reason: "it is a fused op".into() }
    }
}

/// Runs the whole pipeline, checking the graph behind every pass; counts the rewrites by pass.
fn check_pipeline(seed: u64, target: &AnyTarget, rewrites: &mut BTreeMap<&'static str, usize>) {
    check_pipeline_on(random_graph(seed, true), seed, target, rewrites);
}

fn check_pipeline_on(
    random: RandomGraph,
    seed: u64,
    target: &AnyTarget,
    rewrites: &mut BTreeMap<&'static str, usize>,
) {
    let expected = evaluate(&random.graph, &random.inputs, &random.weights).unwrap();
    let mut graph = random.graph.clone();
    let mut last = String::new();
    let mut observe = |pass: &'static str, graph: &Graph| {
        let what = format!("seed {seed}, behind {pass}");
        let text = checked_text(graph, &what);
        if text != last {
            assert_same(&expected, graph, &random, &what);
            last = text;
        }
    };
    let options = PipelineOptions { verify: VerifyMode::EveryPass, ..PipelineOptions::default() };
    let report = standard(target).run(&mut graph, &options, Some(&mut observe));
    let report = report.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    for rewrite in report.rewrites {
        *rewrites.entry(rewrite.pass).or_insert(0) += 1;
    }
}

#[test]
fn the_whole_pipeline() {
    let mut rewrites = BTreeMap::new();
    for seed in 1000..1250 {
        check_pipeline(seed, &AnyTarget { has_fused: true }, &mut rewrites);
    }
    for name in PASSES.into_iter().filter(|name| !name.starts_with("eliminate")) {
        let count = rewrites.get(name).copied().unwrap_or(0);
        assert!(count >= 10, "pass {name} rewrote {count} times: {rewrites:?}");
    }
}

/// No pass asks whether a graph is in f32: the others find as much.
#[test]
fn the_whole_pipeline_in_sixteen_bits() {
    for dtype in [DType::Bf16, DType::F16] {
        let mut rewrites = BTreeMap::new();
        for seed in 4000..4120 {
            let random = narrowed(random_graph(seed, false), dtype);
            check_pipeline_on(random, seed, &AnyTarget { has_fused: true }, &mut rewrites);
        }
        for name in PASSES.into_iter().filter(|name| !name.starts_with("eliminate")) {
            let count = rewrites.get(name).copied().unwrap_or(0);
            assert!(count >= 5, "pass {name} rewrote {count} times in {dtype}: {rewrites:?}");
        }
    }
}

#[test]
fn the_whole_pipeline_for_a_target_without_fused_kernels() {
    let mut rewrites = BTreeMap::new();
    for seed in 2000..2060 {
        check_pipeline(seed, &AnyTarget { has_fused: false }, &mut rewrites);
    }
    assert!(!rewrites.is_empty());
}

/// The plan of any graph is right: views, copies, states and the reuse of memory.
#[test]
fn random_graphs_on_the_cpu() {
    // Bounded values lose a few digits in a chain of norms, softmaxes and products; a wrong view or an
    // overwritten buffer leaves none.
    let units = f64::from(1 << 14);
    for seed in 3000..3150 {
        assert_agree(&random_graph(seed, false).problem(seed, units), cpu());
    }
}

#[test]
fn every_prefix_of_the_rewrites_compiles() {
    let model = Model::open(models::demo()).unwrap();
    let graph = model.graph(LogitRows::Last).unwrap();
    let compiled = |stop_after| {
        let verify = VerifyMode::AtLevels;
        let options = CompileOptions { verify, stop_after, ..CompileOptions::default() };
        minuend::compile(graph.clone(), &CpuTarget, &options).unwrap()
    };
    let all = compiled(None).report.rewrites.len();
    assert!(all > 100, "{all} rewrites");
    for stop_after in [0, 1, 2, all / 7, all / 3, all / 2, 2 * all / 3, all - 1, all] {
        let compiled = compiled(Some(stop_after));
        assert_eq!(compiled.report.rewrites.len(), stop_after);
        assert!(!compiled.program.steps.is_empty());
    }
    assert_eq!(compiled(Some(all)).program.steps, compiled(None).program.steps);
}
