//! `minuend verify` of an ONNX file.

use minuend::ir::DType;
use minuend::{
    CompileOptions, OnnxModel, TensorCheck, TensorCheckKind, TensorChecks, check_tensors,
    read_tensors,
};
use serde_json::{Map, json};

use crate::comparison::{ComparedOutput, Comparison, count_figures, float_figures};
use crate::failure::Failure;
use crate::model_source::log_onnx_notes;
use crate::verify::{HALF_TOLERANCE, INTERPRETER, VerifyArgs, open_device};
use crate::{output, progress};

pub(crate) fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let model = args.activations.of_onnx(&args.model)?;
    let (comparison, not_compared) = progress::during("verifying", || run(&model, args))?;
    for name in &not_compared {
        let (name, file) = (output::plain(name), args.expected.display());
        output::log(&format!("note: output {name} is not in {file}, not compared"));
    }
    let more = Map::from_iter([("not_compared".to_string(), json!(not_compared))]);
    comparison.tell(args.json, more, || log_onnx_notes(&model))
}

/// The comparison, and the outputs that nothing is stored for.
fn run(model: &OnnxModel, args: &VerifyArgs) -> Result<(Comparison, Vec<String>), Failure> {
    let stored = read_tensors(&args.expected)?;
    if args.device.device == INTERPRETER {
        let mut interpreted = model.interpreted()?;
        let dtype = interpreted.activations;
        let tolerance = args.tolerance.map_or_else(|| model.tolerance(dtype), Ok)?;
        let done = check_tensors(&mut interpreted, stored, tolerance)?;
        return Ok(comparison(INTERPRETER, dtype, tolerance, done));
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
    Ok(comparison(&compiled.device, dtype, tolerance, done))
}

fn comparison(
    device: &str,
    dtype: DType,
    tolerance: f64,
    done: TensorChecks,
) -> (Comparison, Vec<String>) {
    let TensorChecks { checks, not_compared } = done;
    let outputs = checks.into_iter().map(compared).collect();
    (Comparison { device: device.to_string(), dtype, tolerance, outputs }, not_compared)
}

fn compared(check: TensorCheck) -> ComparedOutput {
    let TensorCheck { name, kind, passed } = check;
    let (figures, remark, details) = match kind {
        TensorCheckKind::Floats { relative_l2, worst_over_rms } => (
            float_figures(relative_l2, worst_over_rms),
            String::new(),
            json!({
                "name": name,
                "kind": "floats",
                "passed": passed,
                "relative_l2": relative_l2,
                "worst_over_rms": worst_over_rms,
            }),
        ),
        TensorCheckKind::Exact { compared, different, first_difference } => (
            count_figures(compared - different, compared, "elements"),
            first_difference.map_or_else(String::new, |at| format!(" (first at element {at})")),
            json!({
                "name": name,
                "kind": "exact",
                "passed": passed,
                "compared": compared,
                "different": different,
                "first_difference": first_difference,
            }),
        ),
    };
    ComparedOutput { name, passed, figures, remark, details }
}
