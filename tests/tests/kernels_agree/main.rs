//! Every problem on every device, against the interpreter: as given, after a text round trip, raised
//! from primitive ops by the whole pipeline, and decomposed. One named test for each problem and each
//! device with each family of its kernels: `cpu plain matmul/batched 16x17`. What is in 16 bits runs on
//! the devices that have kernels for it, and on an ideal one: `ideal matmul/batched 16x17, activations
//! bf16`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use minuend::Device;
use minuend::ir::DType;
use minuend_conform::diff_attention_problem::AttentionShape;
use minuend_conform::float_types::{is_half, rounded};
use minuend_conform::ideal_device::check_ideal;
use minuend_conform::problems::{self, NamedProblem};
use minuend_conform::runners::Runner;
use minuend_conform::{Accuracy, Reference, Subject, runs_in, subjects};
use minuend_tests::agreement::{Outcome, agreement};
use minuend_tests::random_attention::RandomAttention;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// The only one of the CPU, the least and the most that an adapter has, and those of CUDA: between them
/// they choose every kernel. `minuend conform` goes through all.
const VARIANTS: [&str; 5] = ["plain", "cooperative-matrix", "tcgen05", "wgmma", "mma-sync"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let subjects = subjects(&[], &[]).unwrap();
    if !subjects.iter().any(|subject| subject.name().starts_with("wgpu")) {
        eprintln!("skipped: no adapter");
    }
    let chosen = subjects.into_iter().filter(|subject| VARIANTS.contains(&&*subject.variant));
    let trials = ideal_trials().into_iter().chain(chosen.flat_map(trials)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Problems in 16 bits on an ideal device: their tolerances allow what cannot be avoided, and what the
/// passes raise anew from primitive ops is as exact as the fused ops.
fn ideal_trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for problem in small_problems().filter(|problem| is_half(problem.activations)) {
        trials.push(Trial::test(format!("ideal {}", problem.full_name()), move || {
            let problem = problem.build()?;
            let reference = Reference::of(&problem)?;
            for runner in Runner::ON_DEVICES {
                if let Some(fault) = check_ideal(&problem, &reference, runner, rounded)?.fault {
                    return Err(format!("{}: {fault}", runner.name()).into());
                }
            }
            Ok(())
        }));
    }
    trials
}

/// Without those on which an unoptimised interpreter takes long; `minuend conform` has them all.
fn small_problems() -> impl Iterator<Item = NamedProblem> {
    problems::all().into_iter().filter(|problem| !problem.is_large)
}

/// The tests on one device. A device that cannot be opened is told, and is no failure of a kernel.
fn trials(subject: Subject) -> Vec<Trial> {
    let name = subject.name();
    let device = match subject.opened {
        Ok(device) => device,
        Err(reason) => {
            eprintln!("skipped: {name}: {reason}");
            return Vec::new();
        }
    };
    let accuracy = Accuracy::of(&*device, &subject.variant);
    let mut trials = Vec::new();
    for problem in small_problems().filter(|problem| problem.runs_on(&*device)) {
        let device = Arc::clone(&device);
        trials.push(Trial::test(format!("{name} {}", problem.full_name()), move || {
            let problem = problem.build().map_err(|error| error.to_string())?;
            verdict(agreement(&problem, &*device, accuracy), &*device)
        }));
    }
    for activations in problems::ACTIVATIONS {
        let device = Arc::clone(&device);
        if runs_in(device.target(), activations) {
            let name = format!("{name} attention/random {activations}");
            trials
                .push(Trial::test(name, move || random_attention(&*device, accuracy, activations)));
        }
    }
    trials
}

/// The CPU runs every op; another device may lack one.
fn verdict(outcome: Result<Outcome, String>, device: &dyn Device) -> Result<(), Failed> {
    match outcome? {
        Outcome::Agrees => Ok(()),
        Outcome::Unsupported(reason) if device.target().name() == "cpu" => Err(reason.into()),
        Outcome::Unsupported(reason) => {
            eprintln!("skipped: {reason}");
            Ok(())
        }
    }
}

fn random_attention(
    device: &dyn Device,
    accuracy: Accuracy,
    activations: DType,
) -> Result<(), Failed> {
    // On an adapter nearly every case is a kernel of its own, which a driver has to compile.
    let cases = if device.target().name() == "cpu" { 128 } else { 24 };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let outcome = TestRunner::new_with_rng(config, rng).run(&any::<RandomAttention>(), |problem| {
        let shape = AttentionShape { activations, ..problem.0 };
        let name = format!("random {shape} lambda {}", shape.lambda_reach);
        let problem = shape.differential(&name);
        let problem = problem.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let outcome = verdict(agreement(&problem, device, accuracy), device);
        outcome.map_err(|failed| TestCaseError::fail(format!("{failed:?}")))
    });
    outcome.map_err(|error| error.to_string().into())
}
