//! What sessions on the portable target promise beyond right results: sharing, faults as errors, weights
//! and tensors around the limits of an adapter.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::thread;

use minuend::ir::ops::UnaryOp;
use minuend::ir::{DType, Emit, Graph, SymbolTable, TensorType, ValueId};
use minuend::{
    CompileOptions, Device, Executable, HostTensor, LogitRows, Model, StoredTensor, TokenModel,
    WeightSource,
};
use minuend_tests::models;
use minuend_tests::runners::{cpu, gpus};

/// Tensors by name.
#[derive(Default)]
struct Table(HashMap<&'static str, StoredTensor>);

impl WeightSource for Table {
    fn stored(&self, name: &str) -> Option<StoredTensor> {
        self.0.get(name).cloned()
    }
}

fn load(device: &dyn Device, weights: &Table, build: impl Fn(&mut Graph) -> ValueId) -> Executable {
    let mut graph = Graph::new("g", SymbolTable::default());
    let result = build(&mut graph);
    graph.set_return(&[result], &[]).unwrap();
    let options = CompileOptions::default();
    let program = minuend::compile(graph, device.target(), &options).unwrap().program;
    Executable::load(device, program, weights).unwrap()
}

#[test]
fn threads_share_an_executable() {
    for device in gpus() {
        let model = Model::open(models::fixture("tiny-diffv2")).unwrap();
        let options = CompileOptions::default();
        let compiled = model.compile(&*device, LogitRows::All, &options).unwrap();
        let logits = |seed: u32| -> Vec<u32> {
            let mut session = compiled.session(64).unwrap();
            let prompt: Vec<u32> = (0..23).map(|at| (at * at + seed) % 97).collect();
            let mut all = session.feed(&prompt, 1).unwrap().values;
            for at in 0..4 {
                all.extend(session.feed(&[(at * 11 + seed) % 97], 1).unwrap().values);
            }
            all.into_iter().map(f32::to_bits).collect()
        };
        let alone: Vec<_> = (0..3).map(logits).collect();
        assert_ne!(alone[0], alone[1]);
        thread::scope(|scope| {
            let threads = (0..3u32).map(|seed| scope.spawn(move || logits(seed)));
            let threads: Vec<_> = threads.collect();
            for (seed, thread) in threads.into_iter().enumerate() {
                assert!(thread.join().unwrap() == alone[seed], "seed {seed}: other logits");
            }
        });
    }
}

#[test]
fn an_index_outside_of_its_axis_is_an_error_and_the_session_goes_on() {
    for device in gpus() {
        let executable = load(&*device, &Table::default(), |graph| {
            let data = TensorType::fixed(DType::F32, &[5, 3]);
            let data = graph.argument("data", data).unwrap();
            let rows = TensorType::fixed(DType::I64, &[2]);
            let rows = graph.argument("rows", rows).unwrap();
            graph.gather(0, data, rows).unwrap()
        });
        let mut session = executable.session(0).unwrap();
        let values: Vec<f32> = (0..15u8).map(f32::from).collect();
        let data = HostTensor::from_f32(&[5, 3], &values).unwrap();
        let mut rows =
            |ids: [i64; 2]| session.run(&[data.clone(), HostTensor::from_i64(&[2], &ids).unwrap()]);
        for bad in [[0, 5], [-1, 2], [i64::MAX, i64::MIN]] {
            let error = rows(bad).unwrap_err().to_string();
            assert!(error.contains("outside of its axis"), "{error}");
        }
        let found = rows([4, 1]).unwrap().remove(0).to_f32().unwrap();
        assert_eq!(found, [12.0, 13.0, 14.0, 3.0, 4.0, 5.0]);
    }
}

#[test]
fn a_tensor_beyond_the_largest_binding_is_an_error_with_the_numbers() {
    for device in gpus() {
        // 3 GiB: more than any adapter binds at once, and never allocated.
        let elements = 768usize << 20;
        let mut graph = Graph::new("g", SymbolTable::default());
        let ty = TensorType::fixed(DType::F32, &[1]);
        let x = graph.argument("x", ty).unwrap();
        let wide = graph.broadcast(x, &[elements.into()]).unwrap();
        let result = graph.unary(UnaryOp::Neg, wide).unwrap();
        graph.set_return(&[result], &[]).unwrap();
        let options = CompileOptions::default();
        let program = minuend::compile(graph, device.target(), &options).unwrap().program;
        let executable = Executable::load(&*device, program, &Table::default()).unwrap();
        let mut session = executable.session(0).unwrap();
        let x = HostTensor::from_f32(&[1], &[1.0]).unwrap();
        let error = session.run_for(&[x], &[]).unwrap_err().to_string();
        assert!(error.contains("largest") && error.contains("3221225472"), "{error}");
        // The device still works.
        let model = Model::open(models::fixture("tiny-diffv2")).unwrap();
        let compiled = model.compile(&*device, LogitRows::Last, &options).unwrap();
        compiled.session(8).unwrap().feed(&[1, 2, 3], 1).unwrap();
    }
}

#[test]
fn a_weight_beyond_the_largest_binding_is_read_in_parts() {
    // 160 MB: more than the 128 MiB that WebGPU promises and software adapters have.
    let (rows, inner) = (20_011, 2_000);
    let values: Vec<f32> =
        (0..rows * inner).map(|at| ((at * 7919) % 2003) as f32 / 1001.0 - 1.0).collect();
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensor = StoredTensor { dtype: DType::F32, shape: vec![rows, inner], data: data.into() };
    let weights = Table(HashMap::from([("table", tensor)]));
    // The same weight as a head and as an embedding.
    let build = |graph: &mut Graph| {
        let table = graph.weight("table", TensorType::fixed(DType::F32, &[rows, inner])).unwrap();
        let ids = graph.argument("ids", TensorType::fixed(DType::I64, &[3])).unwrap();
        let embedded = graph.gather(0, table, ids).unwrap();
        graph.matmul_transposed(embedded, table).unwrap()
    };
    let ids = HostTensor::from_i64(&[3], &[0, 9_999, 20_010]).unwrap();
    let run = |device: &dyn Device| -> Vec<f32> {
        let mut session = load(device, &weights, build).session(0).unwrap();
        session.run(std::slice::from_ref(&ids)).unwrap().remove(0).to_f32().unwrap()
    };
    let mut expected = None;
    for device in gpus() {
        let expected = expected.get_or_insert_with(|| run(cpu()));
        let found = run(&*device);
        assert_eq!(found.len(), 3 * rows);
        for (at, (found, expected)) in found.iter().zip(expected.iter()).enumerate() {
            // Sums of 2000 products of values up to 1, in two orders.
            let allowed = 2000.0 * f32::EPSILON * 20.0;
            assert!((found - expected).abs() <= allowed, "{at}: {found}, expected {expected}");
        }
    }
}
