//! How long one op takes on a device, with and without copies.

use std::collections::HashMap;
use std::time::Instant;

use minuend::ir::{DType, Emit, Graph, SymbolTable, TensorType, TypeError, ValueId};
use minuend::{
    CompileOptions, Device, HostTensor, RequestError, Session, StoredTensor, Target, WeightSource,
};
use serde_json::json;

use super::{BenchArgs, median};
use crate::failure::Failure;
use crate::units::millis;
use crate::{output, progress};

/// Runs for each repeat asked for.
const RUNS: u32 = 10;

/// Runs before what is resident is timed.
const WARM_UP: u32 = 20;

/// An op, what it is applied to, and its arithmetic.
pub(super) struct OneOp {
    /// The op's mnemonic, which the plan must launch once.
    pub(super) op: &'static str,
    /// Sizes and types in words.
    pub(super) description: String,
    /// What it reads.
    pub(super) tensors: Vec<OpTensor>,
    /// Adds it to a graph.
    pub(super) emit: EmitOp,
    /// Multiplications and additions of one run.
    pub(super) flops: f64,
}

type EmitOp = Box<dyn Fn(&mut Graph, &[ValueId]) -> Result<ValueId, TypeError>>;

/// What an op reads.
pub(super) struct OpTensor {
    pub(super) name: &'static str,
    pub(super) shape: Vec<usize>,
    pub(super) dtype: DType,
    /// Resident in every measurement.
    pub(super) is_weight: bool,
}

impl OpTensor {
    /// Values from -1 to 1 without a pattern along any axis, as stored.
    fn bytes(&self) -> Vec<u8> {
        let count: usize = self.shape.iter().product();
        let values = (0..count).map(|index| ((index * 7919) % 2003) as f32 / 1001.0 - 1.0);
        match self.dtype {
            DType::F16 => values.flat_map(|x| half::f16::from_f32(x).to_le_bytes()).collect(),
            DType::Bf16 => values.flat_map(|x| half::bf16::from_f32(x).to_le_bytes()).collect(),
            DType::F32 | DType::I64 | DType::I32 | DType::Bool => {
                values.flat_map(f32::to_le_bytes).collect()
            }
        }
    }
}

/// Tensors by name.
struct Resident(HashMap<&'static str, StoredTensor>);

impl WeightSource for Resident {
    fn stored(&self, name: &str) -> Option<StoredTensor> {
        self.0.get(name).cloned()
    }
}

/// An op on a device: its session and the arguments of a run.
struct Loaded {
    session: Session,
    arguments: Vec<HostTensor>,
}

fn load(op: &OneOp, device: &dyn Device, is_resident: bool) -> Result<Loaded, Failure> {
    let (mut arguments, mut resident) = (Vec::new(), HashMap::new());
    for tensor in &op.tensors {
        let bytes = tensor.bytes();
        if tensor.is_weight || is_resident {
            let (dtype, shape, data) = (tensor.dtype, tensor.shape.clone(), bytes.into());
            resident.insert(tensor.name, StoredTensor { dtype, shape, data });
        } else {
            let tokens = bytes.len();
            let ragged = RequestError::RaggedBatch { tokens, batch: 1 };
            arguments
                .push(HostTensor::from_bytes(tensor.dtype, &tensor.shape, bytes).ok_or(ragged)?);
        }
    }
    let graph = graph(op, is_resident).map_err(minuend::ModelError::from)?;
    let program = minuend::compile(graph, device.target(), &CompileOptions::default())?.program;
    let found = program.launches_of(op.op);
    if found != 1 {
        return Err(Failure::NotFused { op: op.op, found, expected: 1 });
    }
    let session = minuend::load_checked(device, program, &Resident(resident))?.session(0)?;
    Ok(Loaded { session, arguments })
}

fn graph(op: &OneOp, is_resident: bool) -> Result<Graph, TypeError> {
    let mut graph = Graph::new(op.op, SymbolTable::default());
    let mut values = Vec::new();
    for tensor in &op.tensors {
        let ty = TensorType::fixed(tensor.dtype, &tensor.shape);
        values.push(if tensor.is_weight || is_resident {
            graph.weight(tensor.name, ty)?
        } else {
            graph.argument(tensor.name, ty)?
        });
    }
    let result = (op.emit)(&mut graph, &values)?;
    graph.set_return(&[result], &[])?;
    Ok(graph)
}

/// Measures what `op` makes for the target of the device. `started` is when the process began.
pub(super) fn measure(
    args: &BenchArgs,
    op: &dyn Fn(&dyn Target) -> Result<OneOp, Failure>,
    started: Instant,
) -> Result<(), Failure> {
    let device = args.device.open()?;
    let op = &op(device.target())?;
    let mut loaded = load(op, &*device, false)?;
    loaded.session.run(&loaded.arguments)?;
    let first_result_ms = millis(started.elapsed());
    let runs = args.repeats.saturating_mul(RUNS);
    let (times, resident) = progress::during("measuring", || {
        let mut times = Vec::new();
        for _ in 0..runs {
            let started = Instant::now();
            loaded.session.run(&loaded.arguments)?;
            times.push(started.elapsed());
        }
        let mut resident = load(op, &*device, true)?;
        // Behind a warm-up that brings a GPU to its clock rate, runs follow each other without waiting
        // for results.
        for _ in 0..WARM_UP {
            resident.session.run_for(&[], &[])?;
        }
        resident.session.synchronize()?;
        let mut per_run = Vec::new();
        for _ in 0..args.repeats {
            let started = Instant::now();
            for _ in 0..RUNS {
                resident.session.run_for(&[], &[])?;
            }
            resident.session.synchronize()?;
            per_run.push(started.elapsed() / RUNS);
        }
        Ok::<_, Failure>((times, median(&per_run)))
    })?;
    output::log_device_notes(&*device);
    let best = times.iter().min().copied().unwrap_or_default();
    let tflops = op.flops / resident.as_secs_f64() / 1e12;
    let (median_ms, best_ms, resident_ms) =
        (millis(median(&times)), millis(best), millis(resident));
    if args.json {
        return output::print_json(&json!({
            "device": device.name(),
            "op": op.op,
            "description": op.description,
            "runs": times.len(),
            "median_ms": median_ms,
            "best_ms": best_ms,
            "resident_ms": resident_ms,
            "resident_tflops": tflops,
            "first_result_ms": first_result_ms,
            "notes": device.notes(),
        }));
    }
    output::print(&format!(
        "{} on {}: {}\nmedian {median_ms:.2} ms, best {best_ms:.2} ms of {} runs with copies\n\
         {resident_ms:.3} ms resident, {tflops:.2} TFLOP/s\n\
         first result {first_result_ms:.0} ms behind the start of the process\n",
        op.op,
        device.name(),
        op.description,
        times.len(),
    ))
}
