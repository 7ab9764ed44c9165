//! How long the compiler takes.

use std::time::{Duration, Instant};

use minuend::{BoundProgram, CompileOptions, LogitRows, Model, Target};
use serde_json::json;

use super::{BenchArgs, median};
use crate::failure::Failure;
use crate::output;
use crate::units::{bytes, millis};

/// One compilation.
struct Times {
    graph: Duration,
    passes: Duration,
    plan: Duration,
    bind: Duration,
}

pub(super) fn measure(args: &BenchArgs) -> Result<(), Failure> {
    let model = args.model()?;
    let target = minuend::open_target("cpu")?;
    let mut all = Vec::new();
    let mut last = None;
    for _ in 0..args.repeats {
        let (times, steps, bound) = compile(&model, &*target, args)?;
        all.push(times);
        last = Some((steps, bound.arena_bytes()));
    }
    let (steps, arena_bytes) = last.unwrap_or_default();
    let of = |part: fn(&Times) -> Duration| median(&all.iter().map(part).collect::<Vec<_>>());
    let graph = of(|times| times.graph);
    let passes = of(|times| times.passes);
    let plan = of(|times| times.plan);
    let bind = of(|times| times.bind);
    let passes_and_plan = of(|times| times.passes + times.plan);
    if args.json {
        return output::print_json(&json!({
            "subject": args.subject(),
            "layers": model.config().layers,
            "graph_ms": millis(graph),
            "passes_ms": millis(passes),
            "plan_ms": millis(plan),
            "passes_and_plan_ms": millis(passes_and_plan),
            "bind_ms": millis(bind),
            "steps": steps,
            "arena_bytes": arena_bytes,
            "repeats": args.repeats,
        }));
    }
    output::print(&format!(
        "{}: {} layers, {steps} steps\n\
         graph            {:>9.2} ms\npasses           {:>9.2} ms\nplan             {:>9.2} ms\n\
         passes and plan  {:>9.2} ms\nbind             {:>9.2} ms  ({} tokens: arena of {})\n",
        args.subject(),
        model.config().layers,
        millis(graph),
        millis(passes),
        millis(plan),
        millis(passes_and_plan),
        millis(bind),
        args.prompt_tokens,
        bytes(arena_bytes),
    ))
}

fn compile(
    model: &Model,
    target: &dyn Target,
    args: &BenchArgs,
) -> Result<(Times, usize, BoundProgram), Failure> {
    let started = Instant::now();
    let graph = model.graph_for(target, LogitRows::Last)?;
    let graph_time = started.elapsed();
    let compiled = minuend::compile(graph, target, &CompileOptions::default())?;
    let started = Instant::now();
    let bound = minuend::bind(&compiled.program, &|name| args.size(name))?;
    let times = Times {
        graph: graph_time,
        passes: compiled.time.saturating_sub(compiled.plan_time),
        plan: compiled.plan_time,
        bind: started.elapsed(),
    };
    Ok((times, compiled.program.steps.len(), bound))
}

impl BenchArgs {
    /// Sizes of the prefill.
    pub(super) fn size(&self, symbol: &str) -> Option<u64> {
        match symbol {
            "B" => Some(u64::from(self.batch)),
            "S" => Some(u64::from(self.prompt_tokens)),
            "P" => Some(0),
            "capacity" => Some(u64::from(self.prompt_tokens) + u64::from(self.new_tokens)),
            _ => None,
        }
    }
}
