//! The compiler's stages as tests call them.

use std::collections::BTreeMap;

use minuend_codegen::{CpuTarget, Target};
use minuend_ir::{Graph, GraphLevel, LegalGraph};
use minuend_passes::{
    EliminateCommon, EliminateDead, Legalize, PackProjections, Pass, Pipeline, PipelineOptions,
    VerifyMode, append_kv_in_place, canonicalize, fold_constants, fuse_residual_norm,
    fuse_rms_norm, fuse_swiglu,
};

use crate::failure::Failure;
use crate::random::bindings;

static CPU: CpuTarget = CpuTarget;

fn target(name: &str) -> Result<&'static dyn Target, Failure> {
    match name {
        "cpu" => Ok(&CPU),
        other => Err(Failure::UnknownTarget { found: other.to_string(), known: vec!["cpu"] }),
    }
}

type Make = fn(&'static dyn Target) -> Box<dyn Pass>;

/// Every pass by name.
const PASSES: &[(&str, Make)] = &[
    ("canonicalize", |_| Box::new(canonicalize::pass())),
    ("fold-constants", |_| Box::new(fold_constants::pass())),
    ("eliminate-common", |_| Box::new(EliminateCommon)),
    ("eliminate-dead", |_| Box::new(EliminateDead)),
    ("pack-projections", |_| Box::new(PackProjections)),
    ("append-kv-in-place", |_| Box::new(append_kv_in_place::pass())),
    ("fuse-residual-norm", |_| Box::new(fuse_residual_norm::pass())),
    ("fuse-rms-norm", |_| Box::new(fuse_rms_norm::pass())),
    ("fuse-swiglu", |_| Box::new(fuse_swiglu::pass())),
    ("legalize", |target| Box::new(Legalize::new(target))),
];

fn pass(name: &str, target: &'static dyn Target) -> Result<Box<dyn Pass>, Failure> {
    match PASSES.iter().find(|(known, _)| *known == name) {
        Some((_, make)) => Ok(make(target)),
        None => {
            let known = PASSES.iter().map(|(name, _)| *name).collect();
            Err(Failure::UnknownPass { found: name.to_string(), known })
        }
    }
}

/// TEMPORARY
fn standard(target: &dyn Target) -> Pipeline<'_> {
    Pipeline::empty()
        .pass(canonicalize::pass())
        .pass(EliminateDead)
        .reach(GraphLevel::Canonical)
        .pass(fuse_swiglu::pass())
        .reach(GraphLevel::Fused)
        .pass(Legalize::new(target))
        .reach(GraphLevel::Legal)
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
    let options = PipelineOptions { verify: VerifyMode::Off, ..PipelineOptions::default() };
    let report = pipeline.run(graph, &options, None)?;
    Ok(report.remarks.into_iter().map(|remark| remark.message).collect())
}

fn run_standard(
    mut graph: Graph,
    target: &dyn Target,
    until: GraphLevel,
) -> Result<Graph, Failure> {
    let options = PipelineOptions {
        verify: VerifyMode::AtLevels,
        until: Some(until),
        ..PipelineOptions::default()
    };
    standard(target).run(&mut graph, &options, None)?;
    Ok(graph)
}

/// The graph at level fused, behind the standard pipeline.
pub(crate) fn fused(graph: Graph, target_name: &str) -> Result<Graph, Failure> {
    run_standard(graph, target(target_name)?, GraphLevel::Fused)
}

/// The graph as a target runs it, behind the whole standard pipeline.
pub(crate) fn legal(graph: Graph, target_name: &str) -> Result<LegalGraph, Failure> {
    let target = target(target_name)?;
    let name = graph.name().to_string();
    let graph = run_standard(graph, target, GraphLevel::Legal)?;
    LegalGraph::check(graph, target)
        .map_err(|error| Failure::Stage { graph: name, message: error.to_string() })
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
