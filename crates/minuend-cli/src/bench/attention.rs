//! How long one fused differential attention takes.

use std::time::Instant;

use minuend::ir::ops::{Attention, Mask, Slice, UnaryOp};
use minuend::ir::{DType, Emit, Graph, Real, SymbolTable, TensorType, TypeError};
use minuend::{CompileOptions, Executable, HostTensor, RequestError, StoredTensor, WeightSource};
use serde_json::json;

use super::{BenchArgs, median};
use crate::failure::Failure;
use crate::units::millis;
use crate::{output, progress};

const PAIRS: usize = 4;
const KV_HEADS: usize = 4;
const TOKENS: usize = 512;
const HEAD_DIM: usize = 64;
/// Runs for each repeat asked for.
const RUNS: u32 = 10;
const OP: &str = "diff_attention";

/// A graph without weights.
struct NoWeights;

impl WeightSource for NoWeights {
    fn stored(&self, _: &str) -> Option<StoredTensor> {
        None
    }
}

pub(super) fn measure(args: &BenchArgs) -> Result<(), Failure> {
    let device = minuend::open_device("cpu", args.threads())?;
    let graph = graph().map_err(minuend::ModelError::from)?;
    let program = minuend::compile(graph, device.target(), &CompileOptions::default())?.program;
    let found = program.launches_of(OP);
    if found != 1 {
        return Err(Failure::NotFused { op: OP, found, expected: 1 });
    }
    let arguments = arguments()?;
    let mut session = Executable::load(&*device, program, &NoWeights)?.session(0)?;
    let times = progress::during("measuring", || {
        let mut times = Vec::new();
        for round in 0..=args.repeats.saturating_mul(RUNS) {
            let started = Instant::now();
            session.run(&arguments)?;
            // The first run reserves memory.
            if round > 0 {
                times.push(started.elapsed());
            }
        }
        Ok::<_, Failure>(times)
    })?;
    let (median_ms, best_ms) =
        (millis(median(&times)), millis(times.iter().min().copied().unwrap_or_default()));
    if args.json {
        return output::print_json(&json!({
            "device": device.name(),
            "pairs": PAIRS,
            "query_heads": 2 * PAIRS,
            "kv_heads": KV_HEADS,
            "tokens": TOKENS,
            "head_dim": HEAD_DIM,
            "mask": "causal",
            "dtype": "f32",
            "runs": times.len(),
            "median_ms": median_ms,
            "best_ms": best_ms,
        }));
    }
    output::print(&format!(
        "{OP} on {}: {PAIRS} pairs, {KV_HEADS} key/value heads, {TOKENS} tokens, head width \
         {HEAD_DIM}, causal, f32\nmedian {median_ms:.2} ms, best {best_ms:.2} ms of {} runs\n",
        device.name(),
        times.len(),
    ))
}

/// Differential attention as front ends write it: attention, strided slices, gate, difference.
fn graph() -> Result<Graph, TypeError> {
    let mut graph = Graph::new("diff_attention", SymbolTable::default());
    let mut argument = |name: &str, (heads, width): (usize, usize)| {
        graph.argument(name, TensorType::fixed(DType::F32, &[1, heads, TOKENS, width]))
    };
    let [q, k, v, lambda] = SHAPES;
    let (q, k, v) = (argument("q", q)?, argument("k", k)?, argument("v", v)?);
    let lambda = argument("lambda", lambda)?;
    let scale = Real::new((HEAD_DIM as f64).powf(-0.5));
    let attended = graph.attention(Attention { mask: Mask::Causal, scale }, q, k, v)?;
    let even = graph.slice(attended, Slice::strided(1, 0, 2))?;
    let odd = graph.slice(attended, Slice::strided(1, 1, 2))?;
    let gate = graph.unary(UnaryOp::Sigmoid, lambda)?;
    let gated = graph.mul(gate, odd)?;
    let difference = graph.sub(even, gated)?;
    graph.set_return(&[difference], &[])?;
    Ok(graph)
}

/// Heads and width of q, k, v and lambda.
const SHAPES: [(usize, usize); 4] =
    [(2 * PAIRS, HEAD_DIM), (KV_HEADS, HEAD_DIM), (KV_HEADS, HEAD_DIM), (PAIRS, 1)];

fn arguments() -> Result<Vec<HostTensor>, Failure> {
    let tensor = |(heads, width): (usize, usize)| {
        let count = heads * TOKENS * width;
        // Values from -1 to 1 without a pattern along any axis.
        let values: Vec<f32> =
            (0..count).map(|index| ((index * 7919) % 2003) as f32 / 1001.0 - 1.0).collect();
        HostTensor::from_f32(&[1, heads, TOKENS, width], &values)
            .ok_or(RequestError::RaggedBatch { tokens: count, batch: heads })
    };
    Ok(SHAPES.into_iter().map(tensor).collect::<Result<_, _>>()?)
}
