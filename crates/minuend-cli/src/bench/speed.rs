//! How fast a model runs, and in how much memory.

use std::time::{Duration, Instant};

use minuend::ir::DType;
use minuend::{
    CompileOptions, CompiledModel, Continue, LogitRows, Model, ModelSession, Sampler, Sampling,
    TokenModel,
};
use serde_json::json;

use super::{BenchArgs, median, memory};
use crate::failure::Failure;
use crate::units::{bytes, count, millis, per_second};
use crate::{output, progress};

const GIGA: f64 = 1e9;

/// What was measured.
struct Speed {
    prefill: Duration,
    /// All decode steps of one repeat.
    decode: Duration,
    /// Host time to give the device one decode step, without waiting for it.
    enqueue: Duration,
    /// The largest resident set, where the system tells it.
    resident_bytes: Option<u64>,
    /// Bytes copied per second.
    copy_rate: f64,
}

/// Bytes that a model needs.
struct Bytes {
    weights: u64,
    /// Of the weights, what a decode step reads.
    per_step: u64,
    cache: u64,
    arena: u64,
}

pub(super) fn measure(args: &BenchArgs) -> Result<(), Failure> {
    let [prompt, new, batch] =
        [args.prompt_tokens, args.new_tokens, args.batch].map(|size| size as usize);
    let model = args.model()?;
    let limit = model.config().max_positions;
    if prompt + new > limit {
        return Err(Failure::BenchTokens { prompt, new, limit });
    }
    let device = args.device.open()?;
    let started = Instant::now();
    model.graph_for(device.target(), LogitRows::Last)?;
    let graph_time = started.elapsed();
    let compiled = progress::loading(|loaded| {
        let options = CompileOptions::default();
        model.compile_reporting(&*device, LogitRows::Last, &options, loaded)
    })?;
    output::log_device_notes(&*device);
    let mut session = compiled.session(prompt + new)?;
    let sizes = count_bytes(args, &model, &compiled)?;
    let speed = progress::during("measuring", || run(args, &mut session))?;

    let parameters = minuend::Parameters::of(model.config()).total();
    let prefill = per_second(prompt * batch, speed.prefill);
    let decode = per_second(new * batch, speed.decode);
    let read_rate = per_second(new, speed.decode) * sizes.per_step as f64;
    let passes_time = compiled.compile_time.saturating_sub(compiled.plan_time);
    let computed = sizes.weights + sizes.cache + sizes.arena;
    if args.json {
        return output::print_json(&json!({
            "subject": args.subject(),
            "device": compiled.device,
            "variant": device.variant(),
            "dtype": compiled.activations.name(),
            "parameters": parameters,
            "prompt_tokens": prompt,
            "new_tokens": new,
            "batch": batch,
            "repeats": args.repeats,
            "prefill_tokens_per_s": prefill,
            "prefill_ms": millis(speed.prefill),
            "decode_tokens_per_s": decode,
            "decode_ms_per_step": millis(speed.decode) / new.max(1) as f64,
            "enqueue_ms_per_step": millis(speed.enqueue),
            "weight_bytes_per_step": sizes.per_step,
            "decode_gb_per_s": read_rate / GIGA,
            "copy_gb_per_s": speed.copy_rate / GIGA,
            "weight_bytes": sizes.weights,
            "cache_bytes": sizes.cache,
            "arena_bytes": sizes.arena,
            "computed_peak_bytes": computed,
            "device_peak_bytes": device.peak_bytes(),
            "resident_peak_bytes": speed.resident_bytes,
            "graph_ms": millis(graph_time),
            "passes_ms": millis(passes_time),
            "plan_ms": millis(compiled.plan_time),
            "load_ms": millis(compiled.load_time),
        }));
    }
    let resident = speed.resident_bytes.map_or_else(
        || "not told by this system".to_string(),
        |peak| format!("{} ({:.2} x computed)", bytes(peak), peak as f64 / computed.max(1) as f64),
    );
    let on_device = device
        .peak_bytes()
        .map_or_else(String::new, |peak| format!("device    {} allocated at most\n", bytes(peak)));
    output::print(&format!(
        "{}: {} parameters on {} in {}, batch {batch}\n\
         prefill   {prefill:>9.1} tokens/s  ({prompt} tokens in {:.2} ms)\n\
         decode    {decode:>9.1} tokens/s  ({new} steps of {:.3} ms)\n\
         enqueue   {:>9.3} ms of host time a step, the device not waited for\n\
         read      {:>9.2} GB/s of weights, {} each step\n\
         copy      {:>9.2} GB/s, ratio {:.2}\n\
         memory    {} = weights {} + cache {} + arena {}\n\
         {on_device}\
         resident  {resident}\n\
         compile   graph {:.1} ms, passes {:.1} ms, plan {:.1} ms, load {:.1} ms\n",
        args.subject(),
        count(parameters),
        compiled.device,
        compiled.activations,
        millis(speed.prefill),
        millis(speed.decode) / new.max(1) as f64,
        millis(speed.enqueue),
        read_rate / GIGA,
        bytes(sizes.per_step),
        speed.copy_rate / GIGA,
        read_rate / speed.copy_rate,
        bytes(computed),
        bytes(sizes.weights),
        bytes(sizes.cache),
        bytes(sizes.arena),
        millis(graph_time),
        millis(passes_time),
        millis(compiled.plan_time),
        millis(compiled.load_time),
    ))
}

fn count_bytes(
    args: &BenchArgs,
    model: &Model,
    compiled: &CompiledModel,
) -> Result<Bytes, Failure> {
    let program = compiled.executable().program();
    let bound = minuend::bind(program, &|name| args.size(name))?;
    let config = model.config();
    let weights = program.weight_bytes();
    let element = match compiled.activations {
        DType::F32 => config.stored_dtype.size_in_bytes() as u64,
        other => other.bytes(),
    };
    let table = (config.vocab_size * config.hidden_size) as u64 * element;
    let per_step = if config.tied_head { weights } else { weights.saturating_sub(table) };
    let cache = bound.state_bytes.iter().sum();
    Ok(Bytes { weights, per_step, cache, arena: bound.arena_bytes() })
}

fn run(args: &BenchArgs, session: &mut ModelSession) -> Result<Speed, Failure> {
    let batch = args.batch as usize;
    let vocab = session.config().vocab_size as u64;
    let ids = |tokens: u32, salt: u64| -> Vec<u32> {
        (0..u64::from(tokens) * u64::from(args.batch))
            .map(|index| (scrambled(index + salt) % vocab) as u32)
            .collect()
    };
    let prompt = ids(args.prompt_tokens, 0);
    let mut sampler = Sampler::new(&Sampling::greedy())?;
    let mut prefill_times = Vec::new();
    let mut decode_times = Vec::new();
    // The first round warms up and is not counted.
    for round in 0..=args.repeats {
        session.reset();
        let started = Instant::now();
        let mut prefill_time = None;
        // The token behind the prompt, and one behind each step.
        let most = args.new_tokens as usize + 1;
        session.extend(&prompt, batch, most, &mut sampler, &mut |_| {
            prefill_time.get_or_insert_with(|| started.elapsed());
            Continue::Yes
        })?;
        let prefill_time = prefill_time.unwrap_or_default();
        if round > 0 {
            prefill_times.push(prefill_time);
            decode_times.push(started.elapsed().saturating_sub(prefill_time));
        }
    }
    session.reset();
    session.enqueue(&prompt, batch)?;
    session.enqueue(&ids(1, 0), batch)?;
    session.synchronize()?;
    let started = Instant::now();
    for step in 1..args.new_tokens {
        session.enqueue(&ids(1, u64::from(step) << 32), batch)?;
    }
    let enqueue = started.elapsed() / args.new_tokens.saturating_sub(1).max(1);
    session.synchronize()?;
    // The copy needs memory of its own, so the peak is taken before it.
    let resident_bytes = memory::peak_resident_bytes();
    Ok(Speed {
        prefill: median(&prefill_times),
        decode: median(&decode_times),
        enqueue,
        resident_bytes,
        copy_rate: memory::copy_rate(args.device.threads()),
    })
}

/// Spreads neighbouring numbers (Fibonacci hashing), so that the tokens differ.
fn scrambled(index: u64) -> u64 {
    index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
}
