//! The ways to run a problem.

use minuend::ir::text::{parse, print};
use minuend::ir::{Graph, GraphLevel, LegalGraph};
use minuend::{CompileOptions, Device, Executable, HostTensor, Program, Target, VerifyMode};
use minuend_interp::Tensor;
use minuend_passes::{Legalize, Pass, PassContext};

use crate::decomposing_target::{DecomposingTarget, PrimitiveOps};
use crate::error::ConformError;
use crate::problem::Problem;
use crate::random_values::bytes_of;

/// How a device comes to run a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runner {
    /// Every op as it is, the kernels for fused ops among them.
    Kernels,
    /// As [`Runner::Kernels`], the graph printed and parsed before.
    AfterText,
    /// Fused ops spelled in primitive ops, and what the whole pipeline makes of them.
    Raised,
    /// Every fused op as the primitive ops it means.
    Decomposed,
}

impl Runner {
    /// Every runner.
    pub const ALL: [Runner; 4] =
        [Runner::Kernels, Runner::AfterText, Runner::Raised, Runner::Decomposed];

    /// The runners that may give a device different programs.
    pub const ON_DEVICES: [Runner; 3] = [Runner::Kernels, Runner::Raised, Runner::Decomposed];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Runner::Kernels => "kernels",
            Runner::AfterText => "after text",
            Runner::Raised => "raised",
            Runner::Decomposed => "decomposed",
        }
    }

    /// The graph that this runner makes legal: the problem's own, the same raised anew from primitive
    /// ops, or primitive ops alone.
    ///
    /// # Errors
    /// What a pass refuses, and a text that is not read as it was printed.
    pub fn graph(self, problem: &Problem) -> Result<Graph, ConformError> {
        match self {
            Runner::Kernels => Ok(problem.graph.clone()),
            Runner::AfterText => after_text(&problem.graph),
            Runner::Raised => {
                let mut graph = primitive(&problem.graph)?;
                minuend::fuse(&mut graph, &checked())?;
                Ok(graph)
            }
            Runner::Decomposed => {
                let mut graph = primitive(&problem.graph)?;
                graph.set_level(GraphLevel::Fused);
                Ok(graph)
            }
        }
    }

    /// The program that this runner makes of a problem for a target.
    ///
    /// # Errors
    /// As [`Runner::graph`], and what the target cannot run.
    pub fn program(self, problem: &Problem, target: &dyn Target) -> Result<Program, ConformError> {
        match self {
            Runner::Kernels | Runner::AfterText => legalized(self.graph(problem)?, target),
            Runner::Raised => {
                let source = primitive(&problem.graph)?;
                Ok(minuend::compile(source, target, &checked())?.program)
            }
            Runner::Decomposed => legalized(problem.graph.clone(), &DecomposingTarget(target)),
        }
    }

    /// The outputs of every run on a device.
    ///
    /// # Errors
    /// As [`Runner::program`], and what the device says.
    pub fn run(
        self,
        problem: &Problem,
        device: &dyn Device,
    ) -> Result<Vec<Vec<Tensor>>, ConformError> {
        run_program(problem, device, self.program(problem, device.target())?)
    }
}

/// The verifier runs behind every pass.
fn checked() -> CompileOptions {
    CompileOptions { verify: VerifyMode::EveryPass, ..CompileOptions::default() }
}

fn after_text(graph: &Graph) -> Result<Graph, ConformError> {
    let text = print(graph);
    let parsed = parse(&text)?.into_iter().next().ok_or(ConformError::TextChanged)?;
    if print(&parsed) == text { Ok(parsed) } else { Err(ConformError::TextChanged) }
}

/// The graph with every fused op spelled in primitive ops, at level source.
///
/// # Errors
/// A decomposition that is ill-typed.
pub fn primitive(graph: &Graph) -> Result<Graph, ConformError> {
    let mut graph = graph.clone();
    Legalize::new(&PrimitiveOps).run(&mut graph, &mut PassContext::new(None))?;
    graph.set_level(GraphLevel::Source);
    Ok(graph)
}

fn legalized(mut graph: Graph, target: &dyn Target) -> Result<Program, ConformError> {
    Legalize::new(target).run(&mut graph, &mut PassContext::new(None))?;
    let legal = LegalGraph::check(graph, target)?;
    Ok(minuend_plan::plan(&legal, target)?)
}

/// The outputs of every run of a problem's program.
///
/// # Errors
/// What the device says.
pub fn run_program(
    problem: &Problem,
    device: &dyn Device,
    program: Program,
) -> Result<Vec<Vec<Tensor>>, ConformError> {
    let executable = Executable::load(device, program, &problem.weights)?;
    run_all(&executable, &problem.runs, problem.capacity)
}

/// The outputs of runs of one session, which has memory for so many positions.
///
/// # Errors
/// What the device says.
pub fn run_all(
    executable: &Executable,
    runs: &[Vec<Tensor>],
    capacity: u64,
) -> Result<Vec<Vec<Tensor>>, ConformError> {
    let mut session = executable.session(capacity)?;
    let mut all = Vec::with_capacity(runs.len());
    for arguments in runs {
        let given: Result<Vec<HostTensor>, ConformError> =
            arguments.iter().map(host_tensor).collect();
        let outputs = session.run(&given?)?;
        let tensor = |tensor: &HostTensor| {
            Tensor::from_bytes(tensor.dtype(), tensor.shape(), tensor.bytes())
        };
        let outputs: Result<Vec<Tensor>, _> = outputs.iter().map(tensor).collect();
        all.push(outputs?);
    }
    Ok(all)
}

/// The tensor as an argument of a session.
///
/// # Errors
/// Never for a tensor of the interpreter, whose data fits its shape.
pub fn host_tensor(tensor: &Tensor) -> Result<HostTensor, ConformError> {
    let bytes = bytes_of(tensor);
    let found = bytes.len();
    let host = HostTensor::from_bytes(tensor.dtype(), tensor.shape(), bytes);
    let expected = tensor.len();
    host.ok_or(ConformError::Count { what: "bytes of a tensor", found, expected })
}
