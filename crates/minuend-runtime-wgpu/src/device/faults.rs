//! Faults of a device as errors.

use std::io::{self, Write};

use minuend_ir::ops::UnaryOp;
use minuend_ir::{Bindings, DType, Emit, Graph, LegalGraph, SymbolTable, TensorType};
use minuend_plan::plan;
use minuend_runtime::{Memory, StoredTensor};

use super::*;

pub(super) struct NoWeights;

impl WeightSource for NoWeights {
    fn stored(&self, _: &str) -> Option<StoredTensor> {
        None
    }
}

/// The best adapter; told, if there is none.
pub(super) fn open() -> Option<WgpuDevice> {
    let options =
        WgpuOptions { adapter: AdapterChoice::Best, variant: None, cache_directory: None };
    if enumerate().is_empty() {
        // Standard error itself: the harness hides what tests that pass print.
        let _ = writeln!(io::stderr(), "skipped: no adapter");
        return None;
    }
    Some(WgpuDevice::open(&options).unwrap())
}

/// `-x` for three values.
fn program(target: &dyn Target) -> Program {
    let mut graph = Graph::new("g", SymbolTable::default());
    let x = graph.argument("x", TensorType::fixed(DType::F32, &[3])).unwrap();
    let result = graph.unary(UnaryOp::Neg, x).unwrap();
    graph.set_return(&[result], &[]).unwrap();
    plan(&LegalGraph::check(graph, target).unwrap(), target).unwrap()
}

/// Runs the program on a stream of its own; `between` is called when the work is recorded.
fn negated(device: &WgpuDevice, between: impl Fn()) -> Result<Vec<u8>, DeviceError> {
    let program = program(device.target());
    let mut stream = device.load(&program, &NoWeights)?.open()?;
    let bound = program.bind(&Bindings::new(), None).unwrap();
    stream.reserve(Memory::Arena, bound.arena_bytes())?;
    stream.reserve(Memory::Argument(0), 12)?;
    let values = [1.0f32, -2.0, 0.5];
    stream.write(Memory::Argument(0), 0, bytemuck::cast_slice(&values))?;
    stream.run(&bound)?;
    between();
    let mut bytes = vec![0; 12];
    stream.read(Memory::Arena, bound.outputs[0].byte_offset, &mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_lost_device_is_an_error_and_another_can_be_opened() {
    let Some(device) = open() else { return };
    let expected: &[u8] = bytemuck::cast_slice(&[-1.0f32, 2.0, -0.5]);
    assert_eq!(negated(&device, || {}).unwrap(), expected);
    let error = negated(&device, || device.shared.gpu.device.destroy()).unwrap_err();
    assert!(matches!(error, DeviceError::Lost { .. }), "{error}");
    let again = negated(&device, || {}).unwrap_err();
    assert!(matches!(again, DeviceError::Lost { .. }), "{again}");
    assert_eq!(negated(&open().unwrap(), || {}).unwrap(), expected);
}

#[test]
fn memory_that_is_not_there_is_an_error_with_the_numbers() {
    let Some(device) = open() else { return };
    let program = program(device.target());
    let mut stream = device.load(&program, &NoWeights).unwrap().open().unwrap();
    let error = stream.reserve(Memory::State(0), 1 << 50).unwrap_err().to_string();
    assert!(error.contains("1125899906842624"), "{error}");
    // The stream is usable.
    stream.reserve(Memory::State(0), 1 << 10).unwrap();
    let short = stream.read(Memory::State(0), 1020, &mut [0; 8]).unwrap_err();
    assert!(matches!(short, DeviceError::OutOfBounds { .. }), "{short}");
}

#[test]
fn adapters_that_are_not_there_are_named() {
    let Some(_) = open() else { return };
    let open = |adapter| {
        let options = WgpuOptions { adapter, variant: None, cache_directory: None };
        WgpuDevice::open(&options).map(|_| ()).unwrap_err().to_string()
    };
    assert!(open(AdapterChoice::Index(99)).contains("no adapter 99; there are 0: "));
    assert!(open(AdapterChoice::Name("nobody".into())).contains("no adapter nobody"));
}
