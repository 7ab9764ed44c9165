//! Whether what a runner computes is what the interpreter computes.

use minuend::Device;
use minuend_conform::comparison::{Allowance, compare};
use minuend_conform::problem::Problem;
use minuend_conform::runners::Runner;
use minuend_conform::{Accuracy, ConformError, Reference, check};
use minuend_interp::Tensor;

/// Runs a problem in every way on a device; an error names the first disagreement with the interpreter.
/// What the device says it cannot run is [`Outcome::Unsupported`].
pub fn agreement(
    problem: &Problem,
    device: &dyn Device,
    accuracy: Accuracy,
) -> Result<Outcome, String> {
    let at = |runner: Runner, what: String| format!("{}, {runner:?}: {what}", problem.name);
    let reference =
        Reference::of(problem).map_err(|error| at(Runner::Kernels, error.to_string()))?;
    let mut unsupported = None;
    for runner in Runner::ALL {
        match check(problem, &reference, runner, device, accuracy) {
            Ok(verdict) => match verdict.fault {
                Some(fault) => return Err(at(runner, fault)),
                None => continue,
            },
            Err(error) if error.is_unsupported() => {
                unsupported = Some(at(runner, error.to_string()))
            }
            Err(error) => return Err(at(runner, error.to_string())),
        }
    }
    if let Some(reason) = unsupported {
        return Ok(Outcome::Unsupported(reason));
    }
    let outputs = |runner: Runner| {
        runner.run(problem, device).map_err(|error: ConformError| at(runner, error.to_string()))
    };
    let (before, after) = (outputs(Runner::Kernels)?, outputs(Runner::AfterText)?);
    identical(&before, &after).map_err(|what| at(Runner::AfterText, what))?;
    Ok(Outcome::Agrees)
}

/// What came out where nothing disagrees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every runner computes what the interpreter computes.
    Agrees,
    /// The device has no kernel for an op.
    Unsupported(String),
}

/// Runs a problem in every way on a device that runs every op to a few roundings, and panics at the
/// first disagreement with the interpreter.
pub fn assert_agree(problem: &Problem, device: &dyn Device) {
    assert_eq!(agreement(problem, device, Accuracy::Library), Ok(Outcome::Agrees));
}

/// Equality but for the sign of zeros, NaN being NaN: the text of a graph says all that matters.
fn identical(before: &[Vec<Tensor>], after: &[Vec<Tensor>]) -> Result<(), String> {
    assert_eq!(before.len(), after.len());
    for (run, (before, after)) in before.iter().zip(after).enumerate() {
        for (output, (before, after)) in before.iter().zip(after).enumerate() {
            let (magnitude, accuracy) = (before, Accuracy::Library);
            let exactly = Allowance { units: 0.0, magnitude, slack: None, accuracy };
            if let Some(fault) = compare(after, before, &exactly).fault {
                return Err(format!("run {run}, output {output}: {fault}"));
            }
        }
    }
    Ok(())
}
