//! Whether what a device computes for a problem is what the interpreter computes.

use std::time::{Duration, Instant};

use minuend::ir::order::topological;
use minuend::ir::text::ValueNames;
use minuend::ir::{Legality, OpInstance};
use minuend::{Device, Program, Target};
use minuend_interp::Tensor;
use minuend_plan::Step;

use crate::accuracy::Accuracy;
use crate::comparison::{Allowance, compare};
use crate::error::ConformError;
use crate::interpret::interpret;
use crate::problem::Problem;
use crate::runners::{Runner, run_program};

/// What the interpreter computes for a problem.
pub struct Reference {
    /// Outputs of each run.
    pub(crate) expected: Vec<Vec<Tensor>>,
    /// Magnitudes of each run, then slacks.
    pub(crate) bounds: Vec<Vec<Tensor>>,
}

impl Reference {
    /// Evaluates a problem and its magnitudes.
    ///
    /// # Errors
    /// What the interpreter refuses.
    pub fn of(problem: &Problem) -> Result<Reference, ConformError> {
        let expected = interpret(&problem.graph, &problem.runs, &problem.weights)?;
        let bounds = interpret(&problem.magnitudes, &problem.runs, &problem.weights)?;
        Ok(Reference { expected, bounds })
    }
}

/// What came out of a check.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The largest error of any output over what is allowed there; infinite where what must be exact is
    /// not.
    pub max_error: f64,
    /// The largest relative L2 error of any output.
    pub relative_l2: f64,
    /// In words, what is wrong, if anything is.
    pub fault: Option<String>,
    /// The time that the device took for all runs, loading included.
    pub time: Duration,
}

/// Runs a problem on a device and compares.
///
/// # Errors
/// What cannot be compiled or run; see [`ConformError::is_unsupported`].
pub fn check(
    problem: &Problem,
    reference: &Reference,
    runner: Runner,
    device: &dyn Device,
    accuracy: Accuracy,
) -> Result<Verdict, ConformError> {
    let target = device.target();
    let program = runner.program(problem, target)?;
    let fault = launch_fault(problem, runner, &program, target);
    let narrows = problem.exact_tail.is_none_or(|tail| !is_always_tail(&program, tail));
    let way = Way { runner, accuracy, narrows };
    let started = Instant::now();
    let found = run_program(problem, device, program)?;
    let time = started.elapsed();
    let mut verdict = verdict(problem, reference, way, &found)?;
    verdict.time = time;
    verdict.fault = verdict.fault.or(fault);
    Ok(verdict)
}

/// Compares the outputs of every run, without launches and time.
pub(crate) fn verdict(
    problem: &Problem,
    reference: &Reference,
    way: Way,
    found: &[Vec<Tensor>],
) -> Result<Verdict, ConformError> {
    let mut verdict =
        Verdict { max_error: 0.0, relative_l2: 0.0, fault: None, time: Duration::ZERO };
    for (run, (found, expected)) in found.iter().zip(&reference.expected).enumerate() {
        if found.len() != expected.len() {
            let (found, expected) = (found.len(), expected.len());
            return Err(ConformError::Count { what: "outputs", found, expected });
        }
        for (output, (found, expected)) in found.iter().zip(expected).enumerate() {
            let Some(allowance) = way.allowance(problem, reference, run, output) else {
                let (found, expected) = (problem.tolerances.len(), problem.graph.outputs().len());
                return Err(ConformError::Count { what: "tolerances", found, expected });
            };
            let deviation = compare(found, expected, &allowance);
            if let Some(fault) = deviation.fault
                && deviation.max_error > verdict.max_error
            {
                let value = value_name(problem, output);
                verdict.fault = Some(format!("run {run}, output {output} ({value}): {fault}"));
            }
            verdict.max_error = verdict.max_error.max(deviation.max_error);
            verdict.relative_l2 = verdict.relative_l2.max(deviation.relative_l2);
        }
    }
    Ok(verdict)
}

/// How outputs came to be, as far as it decides what they may be off.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    /// How the device came to run the problem.
    pub(crate) runner: Runner,
    /// How exactly it computes.
    pub(crate) accuracy: Accuracy,
    /// False if kernels are known to round nothing to 16 bits but what they store.
    pub(crate) narrows: bool,
}

impl Way {
    /// What an output may be off; `None` if it has no tolerance.
    pub(crate) fn allowance<'r>(
        self,
        problem: &Problem,
        reference: &'r Reference,
        run: usize,
        output: usize,
    ) -> Option<Allowance<'r>> {
        let tolerance = problem.tolerances.get(output)?;
        let bounds = reference.bounds.get(run)?;
        let (mut units, narrow) = match self.runner {
            Runner::Decomposed => (tolerance.decomposed, tolerance.decomposed_narrow),
            Runner::Kernels | Runner::AfterText | Runner::Raised => {
                (tolerance.fused, tolerance.narrow)
            }
        };
        if self.narrows {
            units += narrow * problem.narrow_units();
        }
        let accuracy = self.accuracy;
        let mut slack = None;
        if accuracy != Accuracy::Library {
            units += tolerance.built_in;
            slack = tolerance.built_in_slack.and_then(|at| bounds.get(at));
        }
        if accuracy == Accuracy::HalfProducts {
            units += tolerance.half_products;
        }
        Some(Allowance { units, magnitude: bounds.get(output)?, slack, accuracy })
    }
}

/// True if the plan makes the second op the tail of the first wherever the first is.
fn is_always_tail(program: &Program, [op, tail]: [&str; 2]) -> bool {
    let kernels = program.kernels.iter().map(|kernel| kernel.ops());
    kernels.filter(|ops| ops.contains(&op)).all(|ops| ops.as_slice() == [op, tail])
}

/// An output's defining op: `%y = softmax`.
pub(crate) fn value_name(problem: &Problem, output: usize) -> String {
    let Some(value) = problem.graph.outputs().get(output).copied() else { return String::new() };
    let name = ValueNames::new(&problem.graph).of(value);
    format!("{name} = {}", problem.graph.def(value).mnemonic())
}

/// In words, an op that the plan launches another number of times than it should. A target that lacks
/// one of the problem's ops runs other ops instead, and anything goes.
fn launch_fault(
    problem: &Problem,
    runner: Runner,
    program: &Program,
    target: &dyn Target,
) -> Option<String> {
    let graph = &problem.graph;
    let is_native = |id| matches!(target.legality(&OpInstance::of(graph, id)), Legality::Native);
    if !topological(graph).into_iter().all(is_native) {
        return None;
    }
    for (mnemonic, times) in &problem.launches {
        // Decomposed, nothing is fused, and there may be what fusion leaves none of.
        let is_decomposed = runner == Runner::Decomposed;
        if is_decomposed && *times == 0 {
            continue;
        }
        let expected = match runner {
            Runner::Decomposed if is_fused_name(problem, mnemonic) => 0,
            _ => *times,
        };
        let found = launches_of(program, mnemonic);
        if found != expected {
            return Some(format!(
                "the plan has {found} launches of {mnemonic}, expected {expected}"
            ));
        }
    }
    None
}

/// True if the problem's ops of that name are fused ones.
fn is_fused_name(problem: &Problem, mnemonic: &str) -> bool {
    let graph = &problem.graph;
    let mut ops = graph.node_ids().map(|id| &graph.node(id).op);
    ops.any(|op| op.mnemonic() == mnemonic && crate::decomposing_target::is_fused(op))
}

/// Launches that compute an op, alone or behind another.
fn launches_of(program: &Program, mnemonic: &str) -> usize {
    let computes = |step: &&Step| match step {
        Step::Launch(launch) => program
            .kernels
            .get(launch.kernel)
            .is_some_and(|kernel| kernel.ops().contains(&mnemonic)),
        Step::Copy(_) => false,
    };
    program.steps.iter().filter(computes).count()
}
