//! `minuend`: compile and run Differential Transformer V2 models from the command line.
//!
//! Results go to stdout, everything else to stderr. The exit code is 0 for success, 1 when `verify`
//! or `conform` finds a difference, 2 for an error; an error is told as `error: ...`, before anything was printed
//! on stdout wherever it can be known by then.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod activation_args;
mod bench;
mod comparison;
mod compile;
mod conform;
mod continued_text;
mod device_args;
mod devices;
mod failure;
mod inspect;
mod model_source;
mod onnx_inspect;
mod onnx_run;
mod onnx_verify;
mod output;
mod progress;
mod run;
mod size_args;
mod units;
mod verify;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// Compile and run Differential Transformer V2 models.
#[derive(Parser)]
#[command(name = "minuend", version, after_help = EXAMPLE)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLE: &str =
    "Example:\n  minuend run examples/models/shakespeare-diffv2 --prompt \"ROMEO:\"";

#[derive(Subcommand)]
enum Command {
    Run(run::RunArgs),
    Verify(verify::VerifyArgs),
    Inspect(inspect::InspectArgs),
    Compile(compile::CompileArgs),
    Devices(devices::DevicesArgs),
    Conform(conform::ConformArgs),
    Bench(bench::BenchArgs),
}

/// Exit code when a check failed.
const DIFFERENT: u8 = 1;
/// Exit code for errors, those of usage among them.
const ERROR: u8 = 2;

fn main() -> ExitCode {
    let started = Instant::now();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are no errors.
        Err(usage) if !usage.use_stderr() => usage.exit(),
        Err(usage) => {
            output::log(&usage_on_one_line(&usage.to_string()));
            return ExitCode::from(ERROR);
        }
    };
    let done = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Verify(args) => verify::verify(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Compile(args) => compile::compile(&args),
        Command::Devices(args) => devices::devices(&args),
        Command::Conform(args) => conform::conform(&args),
        Command::Bench(args) => bench::bench(&args, started),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Different) => ExitCode::from(DIFFERENT),
        // Whoever read the output has seen enough.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            output::log(&format!("error: {}", failure.message()));
            ExitCode::from(ERROR)
        }
    }
}

/// The first paragraph of a usage error: the fault without usage and tips.
fn usage_on_one_line(message: &str) -> String {
    let fault = message.lines().map(str::trim).take_while(|line| !line.is_empty());
    format!("{} (--help lists the options)", fault.collect::<Vec<_>>().join(" "))
}
