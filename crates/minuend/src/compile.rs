//! From a source graph to a program.

use std::time::{Duration, Instant};

use minuend_codegen::Target;
use minuend_ir::{Graph, GraphLevel, LegalGraph};
use minuend_passes::{PipelineOptions, PipelineReport, VerifyMode, raise, standard};
use minuend_plan::{Program, plan};

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
}

impl CompileOptions {
    fn pipeline(&self) -> PipelineOptions {
        PipelineOptions {
            verify: self.verify,
            stop_after: self.stop_after,
            disable: self.disable.clone(),
            until: None,
        }
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
}

/// Compiles a source graph for a target.
pub fn compile(
    mut graph: Graph,
    target: &dyn Target,
    options: &CompileOptions,
) -> Result<Compiled, CompileError> {
    let started = Instant::now();
    let report = standard(target).run(&mut graph, &options.pipeline(), None)?;
    let legal = LegalGraph::check(graph, target)?;
    let program = plan(&legal, target)?;
    Ok(Compiled { program, legal, report, time: started.elapsed() })
}

/// Raises a source graph to fused ops, for no target in particular.
pub fn fuse(graph: &mut Graph, options: &CompileOptions) -> Result<PipelineReport, CompileError> {
    let mut pipeline = options.pipeline();
    pipeline.until = Some(GraphLevel::Fused);
    Ok(raise().run(graph, &pipeline, None)?)
}
