//! From a source graph to a program.

use std::time::{Duration, Instant};

use minuend_codegen::Target;
use minuend_ir::verify::verify;
use minuend_ir::{Bindings, Graph, GraphLevel, LegalGraph};
use minuend_passes::{
    EliminateDead, Legalize, Observer, Pipeline, PipelineOptions, PipelineReport, VerifyMode,
    pass_by_name, raise, standard,
};
use minuend_plan::{BoundProgram, Program, plan};

use crate::error::CompileError;

/// How to compile.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// When the verifier runs.
    pub verify: VerifyMode,
    /// Stop rewriting behind this many rewrites: bisects a wrong rewrite.
    pub stop_after: Option<usize>,
    /// Passes to leave out, by name.
    pub disable: Vec<String>,
    /// Load without the golden cases of [`load_checked`](crate::load_checked): for whoever checks
    /// kernels another way, or counts what a device does.
    pub without_canary: bool,
}

impl CompileOptions {
    /// Checks the names of the disabled passes.
    ///
    /// # Errors
    /// [`CompileError::UnknownPass`].
    pub fn check(&self) -> Result<(), CompileError> {
        self.pipeline().map(|_| ())
    }

    fn pipeline(&self) -> Result<PipelineOptions, CompileError> {
        // Only `legalize` is made for a target, and so is no pass to look up by name alone.
        let is_known = |name: &str| name == "legalize" || pass_by_name(name).is_some();
        if let Some(name) = self.disable.iter().find(|name| !is_known(name)) {
            return Err(CompileError::UnknownPass { name: name.clone() });
        }
        Ok(PipelineOptions {
            verify: self.verify,
            stop_after: self.stop_after,
            disable: self.disable.clone(),
            until: None,
        })
    }
}

/// A compiled graph, and how it came to be.
pub struct Compiled {
    /// What a device runs.
    pub program: Program,
    /// The graph that the program was planned from.
    pub legal: LegalGraph,
    /// Passes, rewrites and near-misses.
    pub report: PipelineReport,
    /// Time for passes and plan.
    pub time: Duration,
    /// The part of `time` that the plan took.
    pub plan_time: Duration,
}

/// Compiles a graph for a target. One that is fused already is only made legal.
///
/// # Errors
/// [`CompileError`], which names the pass, the op or the size at fault.
pub fn compile(
    graph: Graph,
    target: &dyn Target,
    options: &CompileOptions,
) -> Result<Compiled, CompileError> {
    compile_observed(graph, target, options, None)
}

/// As [`compile`]; `observe` sees the graph behind every pass.
///
/// # Errors
/// As [`compile`].
pub fn compile_observed(
    mut graph: Graph,
    target: &dyn Target,
    options: &CompileOptions,
    observe: Option<Observer<'_>>,
) -> Result<Compiled, CompileError> {
    let started = Instant::now();
    verify(&graph)?;
    let pipeline = match graph.level() {
        GraphLevel::Source | GraphLevel::Canonical => standard(target),
        GraphLevel::Fused | GraphLevel::Legal => Pipeline::empty()
            .pass(Legalize::new(target))
            .pass(EliminateDead)
            .reach(GraphLevel::Legal),
    };
    let report = pipeline.run(&mut graph, &options.pipeline()?, observe)?;
    let legal = LegalGraph::check(graph, target)?;
    let plan_started = Instant::now();
    let program = plan(&legal, target)?;
    let plan_time = plan_started.elapsed();
    Ok(Compiled { program, legal, report, time: started.elapsed(), plan_time })
}

/// Raises a source graph to fused ops, for no target in particular.
///
/// # Errors
/// [`CompileError::Pass`] or [`CompileError::UnknownPass`].
pub fn fuse(graph: &mut Graph, options: &CompileOptions) -> Result<PipelineReport, CompileError> {
    raise_to(graph, GraphLevel::Fused, options)
}

/// Raises a graph to a level up to fused, for no target in particular.
///
/// # Errors
/// As [`fuse`], and [`CompileError::Level`] if the graph is above the level already.
pub fn raise_to(
    graph: &mut Graph,
    level: GraphLevel,
    options: &CompileOptions,
) -> Result<PipelineReport, CompileError> {
    raise_observed(graph, level, options, None)
}

/// As [`raise_to`]; `observe` sees the graph behind every pass.
///
/// # Errors
/// As [`raise_to`].
pub fn raise_observed(
    graph: &mut Graph,
    level: GraphLevel,
    options: &CompileOptions,
    observe: Option<Observer<'_>>,
) -> Result<PipelineReport, CompileError> {
    let mut pipeline = options.pipeline()?;
    verify(graph)?;
    let found = graph.level();
    if found > level {
        let (found, wanted) = (found.name(), level.name());
        return Err(CompileError::Level { found, wanted });
    }
    if found == level {
        return Ok(PipelineReport::default());
    }
    pipeline.until = Some(level);
    Ok(raise().run(graph, &pipeline, observe)?)
}

/// Fixes the sizes of a program by the names of its symbols; the memory of growing states is the
/// symbol `capacity`.
///
/// # Errors
/// [`CompileError::Bind`] for a symbol that a size needs and that has no value, or one out of range.
pub fn bind(
    program: &Program,
    size: &dyn Fn(&str) -> Option<u64>,
) -> Result<BoundProgram, CompileError> {
    let mut bindings = Bindings::new();
    for (id, info) in program.symbols.symbols() {
        if let Some(size) = size(&info.name) {
            bindings.set(id, size);
        }
    }
    Ok(program.bind(&bindings, None)?)
}
