//! Models with activations of 16 bits: fused like those in f32, and as exact as their type allows. No
//! device takes part: the interpreter rounds what a device would store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use minuend::ir::{DType, Dim, Graph, Op};
use minuend::{
    Activations, Architecture, CheckKind, CompileOptions, Error, ExpectedGroup, ExpectedOutputs,
    LogitRows, Model, RequestError, TokenModel, WeightSource, check_outputs, errors,
    logits_tolerance,
};
use minuend_interp::{Tensor, Weights, evaluate};
use minuend_tests::models;
use minuend_tests::runners::cpu;
use minuend_tests::sixteen_bits::rounding;

const HALVES: [DType; 2] = [DType::Bf16, DType::F16];

fn model(directory: &Path, dtype: DType) -> Model {
    Model::open(directory).unwrap().with_activations(Activations::Of(dtype))
}

fn fused(model: &Model, rows: LogitRows) -> Graph {
    let mut graph = model.graph(rows).unwrap();
    minuend::fuse(&mut graph, &CompileOptions::default()).unwrap();
    graph
}

/// The weights of a model as they are loaded in a type.
struct Loaded<'m> {
    model: &'m Model,
    dtype: DType,
    table: RefCell<HashMap<String, Arc<Tensor>>>,
}

impl Weights for Loaded<'_> {
    fn weight(&self, name: &str) -> Option<Arc<Tensor>> {
        let mut table = self.table.borrow_mut();
        let tensor = table.entry(name.to_string()).or_insert_with(|| {
            let stored = self.model.stored(name).unwrap();
            let stored = stored.converted(name, self.dtype).unwrap().unwrap();
            Arc::new(Tensor::from_bytes(stored.dtype, &stored.shape, &stored.data).unwrap())
        });
        Some(Arc::clone(tensor))
    }
}

/// Logits of a group's tokens behind empty caches.
fn logits(graph: &Graph, weights: &dyn Weights, group: &ExpectedGroup) -> Vec<f32> {
    let ids = group.input_ids.iter().map(|id| i64::from(*id)).collect();
    let shape = [group.batch, group.input_ids.len() / group.batch];
    let mut inputs = vec![Tensor::from_ints(DType::I64, &shape, ids).unwrap()];
    for state in graph.states() {
        let ty = graph.ty(state.input);
        let size = |dim: &Dim| dim.as_const().unwrap() as usize;
        let shape = [group.batch, size(&ty.shape[1]), 0, size(&ty.shape[3])];
        inputs.push(Tensor::from_reals(ty.dtype, &shape, vec![]).unwrap());
    }
    let outputs = evaluate(graph, &inputs, weights).unwrap().outputs;
    assert_eq!(outputs[0].dtype(), DType::F32);
    outputs[0].reals().unwrap().iter().map(|logit| *logit as f32).collect()
}

#[test]
fn values_that_are_stored_are_of_the_type() {
    for (directory, dtype) in models::all().iter().flat_map(|d| HALVES.map(|dtype| (d, dtype))) {
        let graph = fused(&model(directory, dtype), LogitRows::Last);
        for id in graph.node_ids() {
            let node = graph.node(id);
            let floats = node.results.iter().filter(|ty| ty.dtype.is_float());
            // Only the logits are wider.
            let expected = if matches!(node.op, Op::Cast(_)) { DType::F32 } else { dtype };
            for ty in floats {
                assert_eq!(ty.dtype, expected, "{} in {dtype}", node.op.mnemonic());
            }
        }
        assert!(graph.states().iter().all(|state| graph.ty(state.input).dtype == dtype));
    }
}

/// Each op as often as in f32, but for the cast of the logits.
#[test]
fn sixteen_bits_are_fused_like_f32() {
    for directory in models::all() {
        for rows in [LogitRows::All, LogitRows::Last] {
            let counts = |dtype| -> BTreeMap<&str, usize> {
                fused(&model(&directory, dtype), rows).op_counts()
            };
            let mut expected = counts(DType::F32);
            // A gather from a table in 16 bits is widened in f32.
            expected.insert("cast", 1);
            for dtype in HALVES {
                assert_eq!(counts(dtype), expected, "{} in {dtype}", directory.display());
            }
        }
        let packed = |dtype| model(&directory, dtype).inspect().unwrap().fusion.packed_projections;
        assert_eq!(packed(DType::Bf16), packed(DType::F32));
        assert!(!packed(DType::F16).is_empty());
    }
}

/// A target with kernels in 16 bits runs a whole layer without a cast or a copy but that of the values
/// to the cache.
#[test]
fn every_layer_is_fused_for_cuda() {
    let target = minuend::open_target("cuda-sm90a").unwrap();
    for directory in models::all() {
        for dtype in HALVES {
            let model = model(&directory, dtype);
            let (layers, name) = (model.config().layers, directory.display());
            let graph = model.graph_for(&*target, LogitRows::Last).unwrap();
            let options = CompileOptions::default();
            let program = minuend::compile(graph, &*target, &options).unwrap().program;
            let count = |op| program.launches_of(op);
            let is_differential = model.config().architecture == Architecture::DiffV2;
            let attention = if is_differential { "diff_attention" } else { "attention" };
            assert_eq!(count(attention), layers, "{name} in {dtype}");
            assert_eq!(count("rope"), 2 * layers, "{name} in {dtype}");
            assert_eq!(count("rms_norm") + count("add_rms_norm"), 2 * layers + 1, "{name}");
            assert_eq!(count("matmul"), 4 * layers + 1, "{name} in {dtype}");
            for op in ["softmax", "silu", "sigmoid", "reduce_mean", "cos", "mul", "sub"] {
                assert_eq!(count(op), 0, "{name} in {dtype}: {op}");
            }
        }
    }
}

#[test]
fn rounding_stays_within_the_tolerance() {
    for (directory, dtype) in models::all().iter().flat_map(|d| HALVES.map(|dtype| (d, dtype))) {
        let model = model(directory, dtype);
        let expected = ExpectedOutputs::open(directory.join("expected.safetensors")).unwrap();
        let weights = Loaded { model: &model, dtype, table: RefCell::default() };
        let source = rounding(&model.graph(LogitRows::All).unwrap());
        let fused = rounding(&fused(&model, LogitRows::All));
        let tolerance = logits_tolerance(dtype, model.config());
        for group in &expected.groups {
            for (what, graph) in [("source", &source), ("fused", &fused)] {
                let found = logits(graph, &weights, group);
                let (relative_l2, _) = errors(&found, &group.logits);
                let what = format!("{what} {} {dtype} {}", group.name, directory.display());
                // Less than one rounding would mean that nothing was rounded.
                let least = 0.5 * 2f64.powi(if dtype == DType::Bf16 { -9 } else { -12 });
                assert!(relative_l2 > least, "{what}: {relative_l2}");
                assert!(relative_l2 <= tolerance, "{what}: {relative_l2}");
            }
        }
    }
}

/// The interpreter rounds weights and nothing else: what is stored in the type already is exact.
#[test]
fn stored_outputs_on_the_interpreter() {
    for (directory, dtype) in models::all().iter().flat_map(|d| HALVES.map(|dtype| (d, dtype))) {
        if *directory == models::demo() {
            // The interpreter's loops are plain.
            continue;
        }
        let model = model(directory, dtype);
        let is_exact = model.config().stored_dtype.dtype() == dtype;
        let expected = ExpectedOutputs::open(directory.join("expected.safetensors")).unwrap();
        let allowed = if is_exact { DType::F32 } else { dtype };
        let tolerance = logits_tolerance(allowed, model.config());
        let mut interpreted = model.interpreted(LogitRows::All).unwrap();
        let checks = check_outputs(&mut interpreted, &expected, tolerance).unwrap();
        assert!(checks.iter().all(|check| check.passed), "{dtype}: {checks:#?}");
        let is_wide = !is_exact && dtype == DType::Bf16;
        let CheckKind::Logits { relative_l2, .. } = checks[0].kind else { panic!("{checks:?}") };
        assert!(!is_wide || relative_l2 > 1e-4, "{relative_l2}");
    }
}

#[test]
fn caches_of_sixteen_bits_grow_on_the_interpreter() {
    let model = model(&models::fixture("tiny-diffv2"), DType::F16);
    let mut interpreted = model.interpreted(LogitRows::All).unwrap();
    let ids = [3, 1, 4, 1, 5, 9, 2, 6];
    let whole = interpreted.feed(&ids, 1).unwrap();
    interpreted.reset();
    interpreted.feed(&ids[..5], 1).unwrap();
    let rest = interpreted.feed(&ids[5..], 1).unwrap();
    let (relative_l2, _) = errors(rest.last(0), whole.last(0));
    assert!(relative_l2 < 1e-6, "{relative_l2}");
}

#[test]
fn a_device_in_f32_refuses_other_types() {
    let options = CompileOptions::default();
    for dtype in HALVES {
        let model = model(&models::fixture("tiny-llama"), dtype);
        let refused = model.compile(cpu(), LogitRows::Last, &options).err().unwrap();
        let is_named = matches!(&refused, Error::Request(RequestError::UnsupportedActivations {
            target: "cpu", dtype: found, supported,
        }) if *found == dtype && supported == "f32");
        assert!(is_named, "{refused}");
    }
    // What the checkpoint is stored in is taken where it can be.
    let model = Model::open(models::demo()).unwrap();
    let compiled = model.compile(cpu(), LogitRows::Last, &options).unwrap();
    assert_eq!(compiled.activations, DType::F32);
    let cuda = minuend::open_target("cuda-sm90a").unwrap();
    assert_eq!(model.activation_dtype(&*cuda).unwrap(), DType::Bf16);
}
