//! The order of passes.

use std::time::{Duration, Instant};

use minuend_ir::verify::{verify, verify_at};
use minuend_ir::{Graph, GraphLevel};

use crate::pass::{AppliedRewrite, Pass, PassContext, PassError};
use crate::remark::Remark;

/// When the verifier runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyMode {
    /// Never.
    Off,
    /// When a level is reached.
    #[default]
    AtLevels,
    /// Behind every pass.
    EveryPass,
}

/// Called behind every pass with its name and the graph it left.
pub type Observer<'a> = &'a mut dyn FnMut(&'static str, &Graph);

/// How a pipeline runs.
#[derive(Clone, Debug, Default)]
pub struct PipelineOptions {
    /// When the verifier runs.
    pub verify: VerifyMode,
    /// Stop rewriting behind this many rewrites: bisects a wrong rewrite.
    pub stop_after: Option<usize>,
    /// Passes to leave out, by name.
    pub disable: Vec<String>,
    /// Stop when this level is reached.
    pub until: Option<GraphLevel>,
}

/// What a pipeline did.
#[derive(Clone, Debug, Default)]
pub struct PipelineReport {
    /// Time taken by each pass, in order.
    pub times: Vec<(&'static str, Duration)>,
    /// Near-misses.
    pub remarks: Vec<Remark>,
    /// Rewrites in order.
    pub rewrites: Vec<AppliedRewrite>,
}

enum Stage<'t> {
    Pass(Box<dyn Pass + 't>),
    Reach(GraphLevel),
}

/// A list of passes and the levels between them.
pub struct Pipeline<'t> {
    stages: Vec<Stage<'t>>,
}

impl<'t> Pipeline<'t> {
    /// A pipeline without passes.
    pub fn empty() -> Pipeline<'t> {
        Pipeline { stages: Vec::new() }
    }

    /// Appends a pass.
    #[must_use]
    pub fn pass(mut self, pass: impl Pass + 't) -> Pipeline<'t> {
        self.stages.push(Stage::Pass(Box::new(pass)));
        self
    }

    /// Appends a boxed pass.
    #[must_use]
    pub fn boxed(mut self, pass: Box<dyn Pass + 't>) -> Pipeline<'t> {
        self.stages.push(Stage::Pass(pass));
        self
    }

    /// From here on the graph is at this level.
    #[must_use]
    pub fn reach(mut self, level: GraphLevel) -> Pipeline<'t> {
        self.stages.push(Stage::Reach(level));
        self
    }

    /// Runs the passes on a graph. `observe` is called behind each.
    pub fn run(
        &self,
        graph: &mut Graph,
        options: &PipelineOptions,
        mut observe: Option<Observer<'_>>,
    ) -> Result<PipelineReport, PassError> {
        let mut cx = PassContext::new(options.stop_after);
        let mut times = Vec::new();
        let mut last = "front end";
        for stage in &self.stages {
            match stage {
                Stage::Pass(pass) => {
                    let name = pass.name();
                    if options.disable.iter().any(|disabled| disabled == name) {
                        continue;
                    }
                    last = name;
                    cx.enter(name);
                    let started = Instant::now();
                    pass.run(graph, &mut cx)?;
                    times.push((name, started.elapsed()));
                    if options.verify == VerifyMode::EveryPass {
                        verify_at(graph, GraphLevel::Legal)
                            .map_err(|source| PassError::Broke { pass: name, source })?;
                    }
                    if let Some(observe) = &mut observe {
                        observe(name, graph);
                    }
                }
                Stage::Reach(level) => {
                    graph.set_level(*level);
                    // A disabled pass or `stop_after` may leave forms that only a legal graph may hold.
                    let is_partial = options.stop_after.is_some() || !options.disable.is_empty();
                    let is_checked = *level == GraphLevel::Legal || !is_partial;
                    if options.verify != VerifyMode::Off && is_checked {
                        verify(graph).map_err(|source| PassError::Broke { pass: last, source })?;
                    }
                    if options.until == Some(*level) {
                        break;
                    }
                }
            }
        }
        let (remarks, rewrites) = cx.into_parts();
        Ok(PipelineReport { times, remarks, rewrites })
    }
}
