//! How long one op takes on a device, with and without copies.

use std::collections::HashMap;
use std::time::{Duration, Instant};

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

/// Bytes of operands beyond which no cache holds them all.
const UNCACHED_BYTES: usize = 192 << 20;

/// Most instances of an op in a program.
const MAX_INSTANCES: usize = 32;

/// Time that a program of several instances may take.
const PROGRAM_TIME: Duration = Duration::from_millis(20);

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
    fn name_in(&self, instance: usize) -> String {
        format!("{}{instance}", self.name)
    }

    fn size_in_bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bytes() as usize
    }

    /// Values from -1 to 1 that look random, other ones for each seed, as stored. A regular pattern would
    /// be multiplied with less power, and so faster.
    fn bytes(&self, seed: u64) -> Vec<u8> {
        let count: usize = self.shape.iter().product();
        let values = (0..count as u64).map(|index| {
            let word = scrambled(index ^ seed << 40);
            (word >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        });
        match self.dtype {
            DType::F16 => values.flat_map(|x| half::f16::from_f32(x).to_le_bytes()).collect(),
            DType::Bf16 => values.flat_map(|x| half::bf16::from_f32(x).to_le_bytes()).collect(),
            DType::F32 | DType::I64 | DType::I32 | DType::Bool => {
                values.flat_map(f32::to_le_bytes).collect()
            }
        }
    }
}

/// Spreads neighbouring numbers over 64 bits: the finaliser of SplitMix64.
fn scrambled(index: u64) -> u64 {
    let word = (index ^ index >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ word >> 31
}

/// Tensors by name.
struct Resident(HashMap<String, StoredTensor>);

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

fn load(
    op: &OneOp,
    device: &dyn Device,
    is_resident: bool,
    instances: usize,
) -> Result<Loaded, Failure> {
    let (mut arguments, mut resident) = (Vec::new(), HashMap::new());
    let of_instance = |instance| op.tensors.iter().map(move |tensor| (instance, tensor));
    for (number, (instance, tensor)) in (0..instances).flat_map(of_instance).enumerate() {
        let bytes = tensor.bytes(number as u64);
        if tensor.is_weight || is_resident {
            let (dtype, shape, data) = (tensor.dtype, tensor.shape.clone(), bytes.into());
            resident.insert(tensor.name_in(instance), StoredTensor { dtype, shape, data });
        } else {
            let tokens = bytes.len();
            let ragged = RequestError::RaggedBatch { tokens, batch: 1 };
            arguments
                .push(HostTensor::from_bytes(tensor.dtype, &tensor.shape, bytes).ok_or(ragged)?);
        }
    }
    let graph = graph(op, is_resident, instances).map_err(minuend::ModelError::from)?;
    let program = minuend::compile(graph, device.target(), &CompileOptions::default())?.program;
    let found = program.launches_of(op.op);
    if found != instances {
        return Err(Failure::NotFused { op: op.op, found, expected: instances });
    }
    let session = minuend::load_checked(device, program, &Resident(resident))?.session(0)?;
    Ok(Loaded { session, arguments })
}

/// Independent instances of the op, each with tensors of its own.
fn graph(op: &OneOp, is_resident: bool, instances: usize) -> Result<Graph, TypeError> {
    let mut graph = Graph::new(op.op, SymbolTable::default());
    let mut results = Vec::new();
    for instance in 0..instances {
        let mut values = Vec::new();
        for tensor in &op.tensors {
            let ty = TensorType::fixed(tensor.dtype, &tensor.shape);
            let name = tensor.name_in(instance);
            values.push(if tensor.is_weight || is_resident {
                graph.weight(&name, ty)?
            } else {
                graph.argument(&name, ty)?
            });
        }
        results.push((op.emit)(&mut graph, &values)?);
    }
    graph.set_return(&results, &[])?;
    Ok(graph)
}

/// As many instances as take more memory than caches hold, so that each run reads its operands from
/// memory; fewer where a program of them would take long.
fn instances(op: &OneOp, time: Duration) -> usize {
    let bytes: usize = op.tensors.iter().map(OpTensor::size_in_bytes).sum();
    let in_time = PROGRAM_TIME.as_nanos() / time.as_nanos().max(1);
    let in_time = usize::try_from(in_time).unwrap_or(MAX_INSTANCES).clamp(1, MAX_INSTANCES);
    UNCACHED_BYTES.div_ceil(bytes.max(1)).min(in_time)
}

/// Measures what `op` makes for the target of the device. `started` is when the process began.
pub(super) fn measure(
    args: &BenchArgs,
    op: &dyn Fn(&dyn Target) -> Result<OneOp, Failure>,
    started: Instant,
) -> Result<(), Failure> {
    let device = args.device.open()?;
    let op = &op(device.target())?;
    let mut loaded = load(op, &*device, false, 1)?;
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
        let best = times.iter().min().copied().unwrap_or_default();
        let instances = instances(op, best);
        let mut resident = load(op, &*device, true, instances)?;
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
            per_run.push(started.elapsed() / (RUNS * instances as u32));
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
            "variant": device.variant(),
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
        "{} on {}, {}: {}\nmedian {median_ms:.2} ms, best {best_ms:.2} ms of {} runs with copies\n\
         {resident_ms:.3} ms resident, {tflops:.2} TFLOP/s\n\
         first result {first_result_ms:.0} ms behind the start of the process\n",
        op.op,
        device.name(),
        device.variant(),
        op.description,
        times.len(),
    ))
}
