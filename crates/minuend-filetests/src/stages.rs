//! The compiler's stages as tests call them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use minuend_codegen::cuda::{Arch, CudaLimits, CudaTarget};
use minuend_codegen::{CodegenError, CpuTarget, Kernel, Target};
use minuend_ir::{Graph, LegalGraph, Legality, Op, OpInstance, OpSupport};
use minuend_passes::{
    Legalize, Pass, Pipeline, PipelineOptions, VerifyMode, pass_by_name, raise, standard,
};

use crate::failure::Failure;
use crate::random::bindings;

static CPU: CpuTarget = CpuTarget;
/// A target with activations in 16 bits.
static CUDA: LazyLock<Option<CudaTarget>> = LazyLock::new(|| {
    let arch = Arch::of_target("cuda-sm90a")?;
    Some(CudaTarget::new(CudaLimits::typical(arch)))
});
static PRIMITIVE: PrimitiveTarget = PrimitiveTarget;

/// The CPU without kernels for fused ops, so that each is decomposed.
struct PrimitiveTarget;

impl OpSupport for PrimitiveTarget {
    fn legality(&self, op: &OpInstance<'_>) -> Legality {
        match op.op {
            Op::RmsNorm(_)
            | Op::AddRmsNorm(_)
            | Op::Rope(_)
            | Op::Swiglu
            | Op::Attention(_)
            | Op::DiffAttention(_)
            | Op::KvAppend(_) => Legality::Decompose { reason: "no fused kernels".into() },
            _ => CPU.legality(op),
        }
    }
}

impl Target for PrimitiveTarget {
    fn name(&self) -> &'static str {
        "primitive"
    }

    fn select(&self, op: &OpInstance<'_>) -> Result<Kernel, CodegenError> {
        CPU.select(op)
    }

    fn reads_strided(&self, op: &Op, operand: usize, dense_last_axis: bool) -> bool {
        CPU.reads_strided(op, operand, dense_last_axis)
    }
}

fn target(name: &str) -> Result<&'static dyn Target, Failure> {
    match (name, &*CUDA) {
        ("cpu", _) => Ok(&CPU),
        ("primitive", _) => Ok(&PRIMITIVE),
        ("cuda-sm90a", Some(cuda)) => Ok(cuda),
        (other, _) => {
            let known = vec!["cpu", "primitive", "cuda-sm90a"];
            Err(Failure::UnknownTarget { found: other.to_string(), known })
        }
    }
}

fn pass(name: &str, target: &'static dyn Target) -> Result<Box<dyn Pass>, Failure> {
    if name == "legalize" {
        return Ok(Box::new(Legalize::new(target)));
    }
    pass_by_name(name).ok_or_else(|| Failure::UnknownPass(name.to_string()))
}

/// Runs passes by name and returns the messages of their remarks.
pub(crate) fn run_passes(
    graph: &mut Graph,
    names: &[String],
    target_name: &str,
) -> Result<Vec<String>, Failure> {
    let target = target(target_name)?;
    let mut pipeline = Pipeline::empty();
    for name in names {
        pipeline = pipeline.boxed(pass(name, target)?);
    }
    let options = PipelineOptions { verify: VerifyMode::EveryPass, ..PipelineOptions::default() };
    let report = pipeline.run(graph, &options, None)?;
    Ok(report.remarks.into_iter().map(|remark| remark.message).collect())
}

/// The graph at level fused, which is the same for every target.
pub(crate) fn fused(mut graph: Graph) -> Result<Graph, Failure> {
    raise().run(&mut graph, &at_levels(), None)?;
    Ok(graph)
}

/// The graph as a target runs it, behind the whole standard pipeline.
pub(crate) fn legal(mut graph: Graph, target_name: &str) -> Result<LegalGraph, Failure> {
    let target = target(target_name)?;
    let name = graph.name().to_string();
    standard(target).run(&mut graph, &at_levels(), None)?;
    LegalGraph::check(graph, target)
        .map_err(|error| Failure::Stage { graph: name, message: error.to_string() })
}

fn at_levels() -> PipelineOptions {
    PipelineOptions { verify: VerifyMode::AtLevels, ..PipelineOptions::default() }
}

/// The plan as text, its arena laid out for the symbols' values.
pub(crate) fn plan_text(
    graph: Graph,
    target_name: &str,
    settings: &BTreeMap<String, u64>,
) -> Result<String, Failure> {
    let name = graph.name().to_string();
    let stage = |message: String| Failure::Stage { graph: name.clone(), message };
    let legal = legal(graph, target_name)?;
    let mut bindings = bindings(legal.graph(), settings)?;
    let program = minuend_plan::plan(&legal, target(target_name)?)
        .map_err(|error| stage(error.to_string()))?;
    if let Some(capacity) = program.capacity {
        let value = settings.get("capacity").copied().unwrap_or(DEFAULT_CAPACITY);
        bindings.set(capacity, value);
    }
    let bound = program.bind(&bindings, None).map_err(|error| stage(error.to_string()))?;
    Ok(program.display(&bound).to_string())
}

/// Positions for which growing states have memory, where the file does not set `capacity`.
const DEFAULT_CAPACITY: u64 = 64;
