//! The text of real models' graphs: printed, parsed and printed again it is the same, byte for byte,
//! at every level, and the parsed graph computes the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use minuend::ir::text::{parse, print};
use minuend::ir::verify::verify;
use minuend::ir::{DType, Graph};
use minuend::{CpuTarget, LogitRows, Model};
use minuend_interp::{Tensor, evaluate};
use minuend_passes::{PipelineOptions, standard};
use minuend_tests::models;
use minuend_tests::problem::{bindings, sizes_of};
use minuend_tests::random_values::{RandomValues, Values};
use minuend_tests::weight_table::WeightTable;

fn round_trip(graph: &Graph, what: &str) -> Graph {
    let text = print(graph);
    let parsed = parse(&text).unwrap_or_else(|errors| panic!("{}", errors.render(what, &text)));
    let [parsed] = parsed.try_into().unwrap();
    assert!(print(&parsed) == text, "{what}: printed again it is another text");
    assert_eq!(parsed.level(), graph.level(), "{what}");
    parsed
}

#[test]
fn models_at_every_stage() {
    for directory in models::all() {
        let model = Model::open(&directory).unwrap();
        for rows in [LogitRows::All, LogitRows::Last] {
            let mut graph = model.graph(rows).unwrap();
            round_trip(&graph, "source");
            let mut observe = |pass: &'static str, graph: &Graph| {
                round_trip(graph, pass);
            };
            let options = PipelineOptions::default();
            standard(&CpuTarget).run(&mut graph, &options, Some(&mut observe)).unwrap();
            verify(&round_trip(&graph, "legal")).unwrap();
        }
    }
}

/// Nothing that the text leaves out matters to the passes.
#[test]
fn a_parsed_model_compiles_to_the_same_program() {
    for directory in models::all() {
        let model = Model::open(&directory).unwrap();
        let graph = model.graph(LogitRows::All).unwrap();
        let compiled = |graph| {
            let compiled = minuend::compile(graph, &CpuTarget, &Default::default()).unwrap();
            (print(compiled.legal.graph()), compiled.report.rewrites.len())
        };
        assert!(compiled(round_trip(&graph, "source")) == compiled(graph));
    }
}

#[test]
fn a_parsed_model_computes_the_same() {
    let model = Model::open(models::fixture("tiny-diffv2")).unwrap();
    let mut fused = model.graph(LogitRows::All).unwrap();
    standard(&CpuTarget).run(&mut fused, &PipelineOptions::default(), None).unwrap();
    let parsed = round_trip(&fused, "legal");
    let mut random = RandomValues::new(3);
    let bindings = bindings(&fused, &[("B", 2), ("S", 3), ("P", 4)]).unwrap();
    let mut tensor = |ty: &minuend::ir::TensorType| -> Tensor {
        let values = if ty.dtype == DType::I64 { Values::Below(97) } else { Values::Within(1.0) };
        random.tensor(ty.dtype, &sizes_of(ty, &bindings).unwrap(), &values).unwrap()
    };
    let inputs: Vec<Tensor> =
        fused.inputs().iter().map(|id| tensor(fused.ty(id.result(0)))).collect();
    let mut weights = WeightTable::default();
    for (name, stored) in model.checkpoint().unwrap().weights() {
        let dtype = DType::F32;
        let tensor = Tensor::from_bytes(dtype, &stored.shape, &stored.data).unwrap();
        weights.insert(name, tensor);
    }
    let outcome = |graph| evaluate(graph, &inputs, &weights).unwrap();
    assert_eq!(outcome(&parsed), outcome(&fused));
}
