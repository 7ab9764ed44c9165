//! What a growing cache costs: nothing new behind the first steps.

use minuend_ir::ops::{KvAppend, ReduceKind};
use minuend_ir::{Bindings, DType, Dim, Emit, Graph, LegalGraph, Op, SymbolTable, TensorType};
use minuend_plan::plan;
use minuend_runtime::{Memory, Stream as _};

use super::faults::{NoWeights, open};
use super::*;
use crate::stream::WgpuStream;

/// Appends `x [S, 3]` to a cache `[P, 3]` and sums it over its tokens.
fn program(target: &dyn Target) -> Program {
    let mut symbols = SymbolTable::default();
    let tokens = Dim::symbol(symbols.declare("S", 1, 64).unwrap());
    let past = Dim::symbol(symbols.declare("P", 0, 64).unwrap());
    let mut graph = Graph::new("g", symbols);
    let cache = graph.state("cache", TensorType::new(DType::F32, [past, 3.into()])).unwrap();
    let x = graph.argument("x", TensorType::new(DType::F32, [tokens, 3.into()])).unwrap();
    let grown = graph.value(Op::KvAppend(KvAppend { axis: 0 }), &[cache, x]).unwrap();
    let sum = graph.reduce(ReduceKind::Sum, 0, grown).unwrap();
    graph.set_return(&[sum], &[grown]).unwrap();
    plan(&LegalGraph::check(graph, target).unwrap(), target).unwrap()
}

#[test]
fn a_token_makes_no_pipeline_and_no_bind_group() {
    let Some(device) = open() else { return };
    let program = program(device.target());
    let module = WgpuModule::load(Arc::clone(&device.shared), &program, &NoWeights).unwrap();
    let mut stream = WgpuStream::open(Arc::new(module)).unwrap();
    let mut last = None;
    let mut counts = Vec::new();
    // Longer sums take a kernel of their own.
    for past in 0..30u64 {
        let mut bindings = Bindings::new();
        bindings.set(program.symbols.id("S").unwrap(), 1);
        bindings.set(program.symbols.id("P").unwrap(), past);
        bindings.set(program.capacity.unwrap(), 64);
        let bound = program.bind(&bindings, last.as_ref()).unwrap();
        stream.reserve(Memory::Arena, bound.arena_bytes()).unwrap();
        stream.reserve(Memory::Argument(0), 12).unwrap();
        stream.reserve(Memory::State(0), bound.state_bytes[0]).unwrap();
        let x = [1.0f32, 0.5, past as f32];
        stream.write(Memory::Argument(0), 0, bytemuck::cast_slice(&x)).unwrap();
        stream.run(&bound).unwrap();
        let mut bytes = vec![0; 12];
        stream.read(Memory::Arena, bound.outputs[0].byte_offset, &mut bytes).unwrap();
        let steps = past as f32 + 1.0;
        let sums = [steps, 0.5 * steps, (0..=past).sum::<u64>() as f32];
        assert_eq!(bytes, bytemuck::cast_slice::<f32, u8>(&sums), "{past}");
        counts.push((device.shared.pipelines.count(), stream.bind_group_count()));
        last = Some(bound);
    }
    // The first steps may choose other kernels, for sizes that are 1.
    assert_eq!(counts[2], counts[29], "{counts:?}");
}
