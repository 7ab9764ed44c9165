//! How long the compiler takes.

use std::time::{Duration, Instant};

use minuend::ir::Graph;
use minuend::{BoundProgram, CompileOptions, LogitRows, Target};
use serde_json::json;

use super::{BenchArgs, median};
use crate::failure::Failure;
use crate::size_args::{self, is_batch, is_tokens};
use crate::units::{bytes, millis};
use crate::{model_source, output};

/// One compilation.
struct Times {
    /// Of an ONNX file.
    import: Duration,
    graph: Duration,
    passes: Duration,
    plan: Duration,
    bind: Duration,
}

/// What is compiled.
struct Subject<'a> {
    /// Makes the graph, and tells how long the import of a file took.
    graph: Box<dyn Fn() -> Result<(Duration, Graph), Failure> + 'a>,
    is_onnx: bool,
    /// Layers of a checkpoint, nodes of an ONNX file.
    parts: usize,
}

fn subject<'a>(args: &'a BenchArgs, target: &'a dyn Target) -> Result<Subject<'a>, Failure> {
    if let Some(path) = args.onnx() {
        let model = args.activations.of_onnx(path)?;
        model_source::log_onnx_notes(&model);
        let graph = move || {
            let started = Instant::now();
            let model = args.activations.of_onnx(path)?;
            let import = started.elapsed();
            Ok((import, model.graph_for(target)?))
        };
        return Ok(Subject { graph: Box::new(graph), is_onnx: true, parts: model.nodes() });
    }
    let model = args.model()?;
    let parts = model.config().layers;
    let graph = move || Ok((Duration::ZERO, model.graph_for(target, LogitRows::Last)?));
    Ok(Subject { graph: Box::new(graph), is_onnx: false, parts })
}

pub(super) fn measure(args: &BenchArgs) -> Result<(), Failure> {
    let target = minuend::open_target("cpu")?;
    let Subject { graph, is_onnx, parts } = subject(args, &*target)?;
    let mut all = Vec::new();
    let mut last = None;
    for _ in 0..args.repeats {
        let (times, steps, bound) = compile(&graph, &*target, args)?;
        all.push(times);
        last = Some((steps, bound.arena_bytes()));
    }
    let (steps, arena_bytes) = last.unwrap_or_default();
    let of = |part: fn(&Times) -> Duration| median(&all.iter().map(part).collect::<Vec<_>>());
    let import = of(|times| times.import);
    let graph = of(|times| times.graph);
    let passes = of(|times| times.passes);
    let plan = of(|times| times.plan);
    let bind = of(|times| times.bind);
    let passes_and_plan = of(|times| times.passes + times.plan);
    let parts_name = if is_onnx { "nodes" } else { "layers" };
    if args.json {
        let mut found = json!({
            "subject": args.subject(),
            parts_name: parts,
            "graph_ms": millis(graph),
            "passes_ms": millis(passes),
            "plan_ms": millis(plan),
            "passes_and_plan_ms": millis(passes_and_plan),
            "bind_ms": millis(bind),
            "steps": steps,
            "arena_bytes": arena_bytes,
            "repeats": args.repeats,
        });
        if is_onnx {
            found["import_ms"] = millis(import).into();
        }
        return output::print_json(&found);
    }
    let import = match is_onnx {
        true => format!("import           {:>9.2} ms\n", millis(import)),
        false => String::new(),
    };
    output::print(&format!(
        "{}: {parts} {parts_name}, {steps} steps\n{import}\
         graph            {:>9.2} ms\npasses           {:>9.2} ms\nplan             {:>9.2} ms\n\
         passes and plan  {:>9.2} ms\nbind             {:>9.2} ms  ({} tokens: arena of {})\n",
        args.subject(),
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
    graph: &dyn Fn() -> Result<(Duration, Graph), Failure>,
    target: &dyn Target,
    args: &BenchArgs,
) -> Result<(Times, usize, BoundProgram), Failure> {
    let started = Instant::now();
    let (import, graph) = graph()?;
    let graph_time = started.elapsed().saturating_sub(import);
    let compiled = minuend::compile(graph, target, &CompileOptions::default())?;
    args.sizes.check(&compiled.program)?;
    let started = Instant::now();
    let bound = size_args::bind(&compiled.program, &|name| args.size(name))?;
    let times = Times {
        import,
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
        self.sizes.of(symbol).or_else(|| match symbol {
            _ if is_batch(symbol) => Some(u64::from(self.batch)),
            _ if is_tokens(symbol) => Some(u64::from(self.prompt_tokens)),
            "P" => Some(0),
            "capacity" => Some(u64::from(self.prompt_tokens) + u64::from(self.new_tokens)),
            _ => None,
        })
    }
}
