//! `minuend conform`: check that devices compute right.

mod listing;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use minuend_conform::{Report, Selection, Subject, Suite, differences, page, subjects};
use serde_json::json;

use crate::failure::Failure;
use crate::{output, progress};

const HELP: &str = "\
Each case runs a small graph or a model on a device and compares every element
with the float64 interpreter. Errors are over what is allowed there, so that
above 1 is wrong; what is allowed follows from the number of roundings in f32
and from the accuracy that GPU languages promise of their functions. Every
problem runs three ways: its ops as given (kernels), raised anew from primitive
ops by the compiler's passes (raised), and with every fused op spelled out
(decomposed). Where a case fails, the first node is named at which the device
leaves the interpreter.

A checkpoint directory given with --model is compared with its
expected.safetensors; without that file with the interpreter on a short prompt,
which takes long for large models.

The exit code is 0 if everything passes, 1 if something differs, 2 for an error.
--compare tells cases that came out otherwise, errors that changed by more than
a factor of 2, and cases that only one report has; it is 1 if there are any.

Example:
  minuend conform --quick
  minuend conform --device cpu --report cpu.json --html cpu.html
  minuend conform --compare before.json after.json";

/// Check that devices compute what the float64 interpreter computes
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct ConformArgs {
    /// A device, as `minuend devices` lists it; every device by default
    #[arg(long = "device", value_name = "NAME")]
    devices: Vec<String>,
    /// A family of kernels; every available one by default
    #[arg(long = "variant", value_name = "NAME")]
    variants: Vec<String>,
    /// A checkpoint directory to check beside the built-in models
    #[arg(long = "model", value_name = "DIR")]
    models: Vec<PathBuf>,
    /// Run only the cases whose family and name contain this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Run only a few cases of each family
    #[arg(long)]
    quick: bool,
    /// List every case, not only those that fail
    #[arg(long)]
    verbose: bool,
    /// Print the report as one JSON object
    #[arg(long, conflicts_with = "verbose")]
    json: bool,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the report as a page for a browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Compare two reports and run nothing
    #[arg(long, value_names = ["A", "B"], num_args = 2, conflicts_with_all =
        ["devices", "variants", "models", "filter", "quick", "verbose", "report", "html"])]
    compare: Option<Vec<PathBuf>>,
}

pub(crate) fn conform(args: &ConformArgs) -> Result<(), Failure> {
    if let Some([first, second]) = args.compare.as_deref() {
        return compare(first, second, args.json);
    }
    let suite = suite(args)?;
    let subjects = subjects(&args.devices, &args.variants)?;
    check_open(&subjects)?;
    // A file that cannot be written is told before anything runs.
    let mut report_file = args.report.as_deref().map(Target::create).transpose()?;
    let mut page_file = args.html.as_deref().map(Target::create).transpose()?;
    let report = progress::counted(|tell| {
        suite.run(&subjects, &mut |now| tell(now.done, now.total, now.case))
    });
    if let Some(file) = &mut report_file {
        file.write(&format!("{}\n", report.to_json()?))?;
    }
    if let Some(file) = &mut page_file {
        file.write(&page(&report))?;
    }
    if args.json {
        output::print(&format!("{}\n", report.to_json()?))?;
    } else {
        output::print(&listing::of_report(&report, args.verbose))?;
    }
    if report.passed() { Ok(()) } else { Err(Failure::Different) }
}

fn suite(args: &ConformArgs) -> Result<Suite, Failure> {
    let (quick, filter, models) = (args.quick, args.filter.clone(), args.models.clone());
    // A directory that is no checkpoint is an error of usage, not of a device.
    for directory in &models {
        minuend::Model::open(directory)?;
    }
    let suite = Suite::new(&Selection { quick, filter, models });
    match &args.filter {
        Some(filter) if suite.is_empty() => Err(Failure::NoCase { filter: filter.clone() }),
        _ => Ok(suite),
    }
}

fn check_open(subjects: &[Subject]) -> Result<(), Failure> {
    let closed = subjects.iter().filter_map(|subject| {
        subject.opened.as_ref().err().map(|reason| format!("{}: {reason}", subject.name()))
    });
    let closed: Vec<String> = closed.collect();
    if closed.len() < subjects.len() {
        return Ok(());
    }
    Err(Failure::NoDevice { reasons: closed.join("; ") })
}

/// A file that results go to.
struct Target {
    path: PathBuf,
    file: File,
}

impl Target {
    fn create(path: &Path) -> Result<Target, Failure> {
        let path = path.to_path_buf();
        match File::create(&path) {
            Ok(file) => Ok(Target { path, file }),
            Err(source) => Err(Failure::Write { path, source }),
        }
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|source| Failure::Write { path: self.path.clone(), source })
    }
}

fn read(path: &Path) -> Result<Report, Failure> {
    let path = path.to_path_buf();
    match std::fs::read_to_string(&path) {
        Err(source) => Err(Failure::Read { path, source }),
        Ok(text) => {
            let failure = |source| Failure::Report { path, source: Box::new(source) };
            Report::from_json(&text).map_err(failure)
        }
    }
}

fn compare(first: &Path, second: &Path, json: bool) -> Result<(), Failure> {
    let found = differences(&read(first)?, &read(second)?);
    if json {
        let found: Vec<_> = found
            .iter()
            .map(|one| json!({ "case": one.case, "change": listing::change(&one.change) }))
            .collect();
        output::print_json(&json!({ "differences": found }))?;
    } else {
        output::print(&listing::of_differences(&found))?;
    }
    if found.is_empty() { Ok(()) } else { Err(Failure::Different) }
}
