//! `minuend compile`: show a graph at any stage of the compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use minuend::ir::text::{parse, print};
use minuend::ir::verify::verify;
use minuend::ir::{Graph, GraphLevel, dot};
use minuend::{
    BoundProgram, CompileError, CompileOptions, LogitRows, PipelineReport, Program, Target,
};

use crate::activation_args::ActivationArgs;
use crate::failure::Failure;
use crate::model_source::{ModelSource, log_onnx_notes};
use crate::output;
use crate::size_args::{self, SizeArgs, is_batch, is_tokens};
use crate::units::millis;

const HELP: &str = "\
MODEL is a checkpoint directory, an ONNX file (*.onnx) or a text graph (*.mnd); no
weights are read. Of a checkpoint, the graph with logits of the last token is shown,
which is what `run` uses, with activations as --dtype says and the target has
them; a text graph is of the types that it says. Of an ONNX file, each symbol of its
sizes that is no batch or sequence needs --size NAME=N for a plan; `minuend inspect`
lists them.

Stages: source (or graph) as the front end wrote it, canonical, fused, legal
(every op native to the target), plan (steps and arena for the sizes given),
kernels (the text of every kernel that the sizes given need, for GPU targets), dot
(the fused graph for Graphviz). All but plan, kernels and dot are text graphs that
can be read again.

With --output DIR kernels are written one to a file; where NVRTC is installed, the
machine code of CUDA kernels is written beside them. No GPU is needed.

--time tells on stderr what each pass took; --dump keeps the graph behind every
pass; --stop-after N stops rewriting behind N rewrites, which bisects a wrong
rewrite.

Example:
  minuend compile examples/models/shakespeare-diffv2 --emit plan --seq 16 --capacity 256 --time
  minuend compile examples/models/shakespeare-diffv2 --target cuda-sm90a --emit kernels -o kernels
  minuend compile model.onnx --emit plan --batch 2 --seq 128";

/// What to show.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    #[value(alias = "graph")]
    Source,
    Canonical,
    Fused,
    Legal,
    Plan,
    Kernels,
    Dot,
}

/// Show a model's graph at a stage of the compiler
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct CompileArgs {
    #[command(flatten)]
    source: ModelSource,
    /// What to compile for: cpu, wgsl for what every GPU can do, or cuda-sm90a and other architectures
    #[arg(long, value_name = "TARGET", default_value = "cpu")]
    target: String,
    #[command(flatten)]
    activations: ActivationArgs,
    /// The stage to show
    #[arg(long, value_enum, default_value = "fused")]
    emit: Stage,
    /// Write to a file instead of standard output; kernels to a directory
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    sizes: Sizes,
    /// Tell on stderr how long each pass took
    #[arg(long)]
    time: bool,
    /// Write the graph behind every pass to a folder, as NN-PASS.mnd
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
    /// Stop rewriting behind N rewrites
    #[arg(long, value_name = "N")]
    stop_after: Option<usize>,
    /// Leave out a pass; may be given again
    #[arg(long, value_name = "PASS")]
    disable: Vec<String>,
}

/// Sizes of a plan.
#[derive(Args)]
struct Sizes {
    /// Sequences: the symbol B, batch or batch_size of a plan
    #[arg(long, value_name = "B", default_value_t = 1)]
    batch: u64,
    /// Tokens fed: the symbol S, seq, sequence or sequence_length of a plan
    #[arg(long, value_name = "S", default_value_t = 1)]
    seq: u64,
    /// Tokens in the cache, the symbol P of a plan
    #[arg(long, value_name = "P", default_value_t = 0)]
    past: u64,
    /// Tokens that the cache of a plan has memory for; past + seq by default
    #[arg(long, value_name = "C")]
    capacity: Option<u64>,
    #[command(flatten)]
    named: SizeArgs,
}

impl Sizes {
    fn of(&self, name: &str) -> Option<u64> {
        self.named.of(name).or_else(|| match name {
            _ if is_batch(name) => Some(self.batch),
            _ if is_tokens(name) => Some(self.seq),
            "P" => Some(self.past),
            "capacity" => Some(self.capacity.unwrap_or(self.past.saturating_add(self.seq))),
            _ => None,
        })
    }
}

pub(crate) fn compile(args: &CompileArgs) -> Result<(), Failure> {
    let target = minuend::open_target(&args.target)?;
    let options = CompileOptions {
        stop_after: args.stop_after,
        disable: args.disable.clone(),
        ..CompileOptions::default()
    };
    let started = Instant::now();
    options.check()?;
    let graphs = graphs(args, &*target)?;
    log_time(args.time, "graph", started.elapsed());
    let mut dump = Dump::new(args)?;
    let mut shown = Vec::with_capacity(graphs.len());
    for graph in graphs {
        shown.push(emit(graph, &*target, &options, args, &mut dump)?);
    }
    dump.finish()?;
    let text = shown.join("\n");
    match &args.output {
        // Kernels are in their files by now; what they are goes to the terminal.
        Some(_) if args.emit == Stage::Kernels => output::print(&text),
        None => output::print(&text),
        Some(path) => {
            fs::write(path, text).map_err(|source| Failure::Write { path: path.clone(), source })
        }
    }
}

/// The graphs of a text file, or the graph of a model or ONNX file with the activations asked for.
fn graphs(args: &CompileArgs, target: &dyn Target) -> Result<Vec<Graph>, Failure> {
    if let Some(path) = args.source.onnx() {
        let model = args.activations.of_onnx(path)?;
        log_onnx_notes(&model);
        return Ok(vec![model.graph_for(target)?]);
    }
    match &args.source.model {
        Some(path) if path.extension().is_some_and(|extension| extension == "mnd") => {
            read_graphs(path)
        }
        _ => {
            let model = args.activations.of(args.source.open()?);
            Ok(vec![model.graph_for(target, LogitRows::Last)?])
        }
    }
}

/// Largest text file that is read, in bytes.
const TEXT_LIMIT: u64 = 256 << 20;

fn read_graphs(path: &Path) -> Result<Vec<Graph>, Failure> {
    let failed = |source| Failure::Read { path: path.to_owned(), source };
    let file = fs::metadata(path).map_err(failed)?;
    if !file.is_file() || file.len() > TEXT_LIMIT {
        return Err(Failure::NotText { path: path.to_owned(), limit: TEXT_LIMIT });
    }
    let source_text = fs::read_to_string(path).map_err(failed)?;
    parse(&source_text).map_err(|errors| Failure::Graph {
        path: path.to_owned(),
        source_text,
        errors,
    })
}

fn emit(
    mut graph: Graph,
    target: &dyn Target,
    options: &CompileOptions,
    args: &CompileArgs,
    dump: &mut Dump<'_>,
) -> Result<String, Failure> {
    let level = match args.emit {
        Stage::Source => {
            verify(&graph).map_err(CompileError::from)?;
            return Ok(print(&graph));
        }
        Stage::Canonical => GraphLevel::Canonical,
        Stage::Fused | Stage::Dot => GraphLevel::Fused,
        Stage::Legal | Stage::Plan | Stage::Kernels => {
            return emit_compiled(graph, target, options, args, dump);
        }
    };
    let mut observe = |pass: &'static str, graph: &Graph| dump.write(pass, graph);
    let report = minuend::raise_observed(&mut graph, level, options, Some(&mut observe))?;
    log_passes(args.time, &report);
    Ok(if args.emit == Stage::Dot { dot::dot(&graph) } else { print(&graph) })
}

fn emit_compiled(
    graph: Graph,
    target: &dyn Target,
    options: &CompileOptions,
    args: &CompileArgs,
    dump: &mut Dump<'_>,
) -> Result<String, Failure> {
    let mut observe = |pass: &'static str, graph: &Graph| dump.write(pass, graph);
    let compiled = minuend::compile_observed(graph, target, options, Some(&mut observe))?;
    log_passes(args.time, &compiled.report);
    if args.emit == Stage::Legal {
        return Ok(print(compiled.legal.graph()));
    }
    log_time(args.time, "plan", compiled.plan_time);
    args.sizes.named.check(&compiled.program)?;
    let started = Instant::now();
    let bound = size_args::bind(&compiled.program, &|name| args.sizes.of(name))?;
    log_time(args.time, "bind", started.elapsed());
    if args.emit == Stage::Kernels {
        return kernels(&compiled.program, &bound, target, args);
    }
    Ok(compiled.program.display(&bound).to_string())
}

/// All kernels in one text, or what was written to the directory asked for.
fn kernels(
    program: &Program,
    bound: &BoundProgram,
    target: &dyn Target,
    args: &CompileArgs,
) -> Result<String, Failure> {
    let texts = minuend::kernel_texts(program, bound, target)?;
    if texts.is_empty() {
        return Err(Failure::NoKernelText { target: target.name() });
    }
    let Some(folder) = args.output.as_deref() else {
        let texts = texts.iter().map(|kernel| kernel.text.as_str());
        return Ok(texts.collect::<Vec<_>>().join("\n"));
    };
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|source| Failure::Write { path, source })
    };
    fs::create_dir_all(folder)
        .map_err(|source| Failure::Write { path: folder.to_owned(), source })?;
    let mut listed = String::new();
    let mut no_compiler = None;
    for (index, kernel) in texts.iter().enumerate() {
        let template = kernel.label.split(' ').next().unwrap_or("kernel").replace('/', "-");
        let name = format!("{:02}-{template}", index + 1);
        write(&format!("{name}.{}", kernel.extension), kernel.text.as_bytes())?;
        let mut size = String::new();
        if kernel.extension == "cu" {
            match minuend::machine_code(kernel) {
                Ok(code) => {
                    write(&format!("{name}.cubin"), &code)?;
                    size = format!(", {} bytes of machine code", code.len());
                }
                Err(CompileError::NoCompiler(reason)) => no_compiler = Some(reason),
                Err(other) => return Err(other.into()),
            }
        }
        listed.push_str(&format!("{name}: {}{size}\n", kernel.label));
    }
    if let Some(reason) = no_compiler {
        output::log(&format!("note: no machine code is written: {reason}"));
    }
    Ok(listed)
}

/// Writes graphs behind passes, if a folder is given. Keeps the first failure.
struct Dump<'a> {
    folder: Option<&'a Path>,
    written: usize,
    failure: Option<Failure>,
}

impl<'a> Dump<'a> {
    fn new(args: &'a CompileArgs) -> Result<Dump<'a>, Failure> {
        let folder = args.dump.as_deref();
        if let Some(path) = folder {
            let failed = |source| Failure::Write { path: path.to_owned(), source };
            fs::create_dir_all(path).map_err(failed)?;
        }
        Ok(Dump { folder, written: 0, failure: None })
    }

    fn write(&mut self, pass: &str, graph: &Graph) {
        let Some(folder) = self.folder else { return };
        self.written += 1;
        let path = folder.join(format!("{:02}-{pass}.mnd", self.written));
        if let Err(source) = fs::write(&path, print(graph)) {
            self.failure.get_or_insert(Failure::Write { path, source });
        }
    }

    fn finish(self) -> Result<(), Failure> {
        self.failure.map_or(Ok(()), Err)
    }
}

fn log_passes(is_wanted: bool, report: &PipelineReport) {
    for (pass, time) in &report.times {
        log_time(is_wanted, pass, *time);
    }
}

fn log_time(is_wanted: bool, what: &str, time: Duration) {
    if is_wanted {
        output::log(&format!("{what:<22} {:>9.3} ms", millis(time)));
    }
}
