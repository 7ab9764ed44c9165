//! `minuend verify` of an ONNX file.

use minuend::ir::DType;
use minuend::{
    CompileOptions, OnnxModel, TensorCheck, TensorCheckKind, TensorChecks, check_tensors,
    read_tensors,
};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::model_source::log_onnx_notes;
use crate::verify::{HALF_TOLERANCE, INTERPRETER, VerifyArgs, open_device};
use crate::{output, progress};

/// What was compared, on which device, and how exactly.
struct Verified {
    device: String,
    /// Type of the activations.
    dtype: DType,
    tolerance: f64,
    done: TensorChecks,
}

pub(crate) fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let model = args.activations.of_onnx(&args.model)?;
    let Verified { device, dtype, tolerance, done } =
        progress::during("verifying", || run(&model, args))?;
    let TensorChecks { checks, not_compared } = &done;
    let passed = checks.iter().all(|check| check.passed);
    for name in not_compared {
        let file = args.expected.display();
        output::log(&format!(
            "note: output {} is not in {file}, not compared",
            output::plain(name)
        ));
    }
    if args.json {
        let outputs: Vec<Value> = checks.iter().map(as_json).collect();
        output::print_json(&json!({
            "device": device,
            "dtype": dtype.name(),
            "tolerance": tolerance,
            "passed": passed,
            "outputs": outputs,
            "not_compared": not_compared,
        }))?;
    } else {
        output::print(&table(checks))?;
        log_onnx_notes(&model);
        let count = checks.iter().filter(|check| check.passed).count();
        let all = checks.len();
        output::log(&format!(
            "{device}, {dtype}: {count} of {all} passed, tolerance {tolerance:.3e}"
        ));
    }
    if passed { Ok(()) } else { Err(Failure::Different) }
}

fn run(model: &OnnxModel, args: &VerifyArgs) -> Result<Verified, Failure> {
    let stored = read_tensors(&args.expected)?;
    if args.device.device == INTERPRETER {
        let mut interpreted = model.interpreted()?;
        let dtype = interpreted.activations;
        let tolerance = args.tolerance.map_or_else(|| model.tolerance(dtype), Ok)?;
        let done = check_tensors(&mut interpreted, stored, tolerance)?;
        return Ok(Verified { device: INTERPRETER.to_string(), dtype, tolerance, done });
    }
    let device = open_device(&args.device)?;
    let compiled = progress::loading(|loaded| {
        model.compile_reporting(&*device, &CompileOptions::default(), loaded)
    })?;
    output::log_device_notes(&*device);
    let dtype = compiled.activations;
    let rounds = dtype == DType::F32 && device.rounds_products();
    let tolerance = match args.tolerance {
        Some(tolerance) => tolerance,
        None if rounds => HALF_TOLERANCE,
        None => model.tolerance(dtype)?,
    };
    let done = check_tensors(&mut compiled.session()?, stored, tolerance)?;
    Ok(Verified { device: compiled.device.clone(), dtype, tolerance, done })
}

fn as_json(check: &TensorCheck) -> Value {
    match &check.kind {
        TensorCheckKind::Floats { relative_l2, worst_over_rms } => json!({
            "name": check.name,
            "kind": "floats",
            "relative_l2": relative_l2,
            "worst_over_rms": worst_over_rms,
            "passed": check.passed,
        }),
        TensorCheckKind::Exact { compared, different, first_difference } => json!({
            "name": check.name,
            "kind": "exact",
            "compared": compared,
            "different": different,
            "first_difference": first_difference,
            "passed": check.passed,
        }),
    }
}

fn table(checks: &[TensorCheck]) -> String {
    let names: Vec<String> = checks.iter().map(|check| output::plain(&check.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let width = width.max("output".len());
    let mut text =
        format!("{:<width$}  {:>12}  {:>12}  result\n", "output", "relative L2", "worst/RMS");
    for (name, TensorCheck { kind, passed, .. }) in names.iter().zip(checks) {
        let result = if *passed { "pass" } else { "FAIL" };
        text += &match kind {
            TensorCheckKind::Floats { relative_l2, worst_over_rms } => {
                format!("{name:<width$}  {relative_l2:>12.3e}  {worst_over_rms:>12.3e}  {result}\n")
            }
            TensorCheckKind::Exact { compared, different, first_difference } => {
                let same = format!("{} of {compared} elements", compared - different);
                let place = first_difference
                    .map_or_else(String::new, |at| format!(" (first at element {at})"));
                format!("{name:<width$}  {same:>26}  {result}{place}\n")
            }
        };
    }
    text
}
