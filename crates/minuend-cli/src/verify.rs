//! `minuend verify`: compare a model with stored outputs.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use minuend::ir::DType;
use minuend::{
    CheckKind, CompileOptions, Device, ExpectedOutputs, LogitRows, Model, OutputCheck,
    RequestError, check_outputs, logits_tolerance,
};
use serde_json::{Map, json};

use crate::activation_args::ActivationArgs;
use crate::comparison::{ComparedOutput, Comparison, count_figures, float_figures};
use crate::device_args::DeviceArgs;
use crate::failure::Failure;
use crate::{model_source, onnx_verify, output, progress};

/// For kernels in f32 that round the operands of products to f16, which the user asks for.
pub(crate) const HALF_TOLERANCE: f64 = 1.0 / 128.0;
/// Runs the graph as the front end wrote it, in float64.
pub(crate) const INTERPRETER: &str = "interpreter";

const HELP: &str = "\
FILE holds groups of input_ids I64 [B, T] and logits F32 [B, T, V], and
optionally greedy_from_N I64 [B, N + M]: N tokens of prompt and the M that
greedy decoding adds. Names may have a prefix: prompt0.logits.

What is stored is the reference: it should come from exact weights and activations
in f32 or wider. Logits pass if their relative L2 error
||found - expected|| / ||expected|| is at most the tolerance; the largest absolute
error over the root mean square of the expected values is shown beside it. In f32
the tolerance is 1e-5. With --dtype bf16 or f16 every value that is stored is off
by up to u = 2^-8 or 2^-11, and the 12 (layers + 1) of them between a token and
its logits add up like a random walk: the tolerance is u sqrt(12 (layers + 1)).

Tokens pass if all are equal, or where they differ are near ties: logits closer
than four standard deviations of the group's errors, for each of the two. The text
goes on with the expected token. The exit code is 0 if everything passes, 1 if
something differs, 2 for an error.

--device interpreter is the float64 reference: the definition of right, and slow.
It rounds no activation; with --dtype it rounds the weights as a device does when
it loads them, and so shows how much of an error is theirs.

Of an ONNX file (*.onnx), FILE holds its inputs and expected outputs by their names in
the graph. Outputs that FILE does not have are told and not compared; a tensor that
is neither is an error. Floats pass as logits do, integers and truth values if they
are equal. In 16 bits the tolerance counts the attention ops of the fused graph, and
softmaxes that stay alone, as layers.

Example:
  minuend verify examples/models/shakespeare-diffv2 \\
      --expected examples/models/shakespeare-diffv2/expected.safetensors
  minuend verify model.onnx --expected io.safetensors";

/// Compare a model's outputs with stored ones
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct VerifyArgs {
    /// Checkpoint directory, or ONNX file
    pub(crate) model: PathBuf,
    /// File of expected outputs, in safetensors
    #[arg(long, value_name = "FILE")]
    pub(crate) expected: PathBuf,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    #[command(flatten)]
    pub(crate) activations: ActivationArgs,
    /// Largest relative L2 error that passes [default: by --dtype; 2^-7 where f32 products round to f16]
    #[arg(long, value_name = "X", value_parser = tolerance, allow_negative_numbers = true)]
    pub(crate) tolerance: Option<f64>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn tolerance(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "expected a number".to_string())?;
    let is_sensible = value.is_finite() && value >= 0.0;
    if is_sensible { Ok(value) } else { Err("expected a finite number of at least 0".into()) }
}

pub(crate) fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    if model_source::is_onnx(&args.model) {
        return onnx_verify::verify(args);
    }
    let model = args.activations.of(Model::open(&args.model)?);
    let expected = ExpectedOutputs::open(&args.expected)?;
    let comparison = progress::during("verifying", || run(&model, &expected, args))?;
    comparison.tell(args.json, Map::new(), || model_source::log_notes(&model))
}

/// A device of the library; the error names the interpreter too.
pub(crate) fn open_device(args: &DeviceArgs) -> Result<Arc<dyn Device>, minuend::Error> {
    args.open().map_err(|error| match error {
        minuend::Error::Request(RequestError::UnknownDevice { name, known }) => {
            RequestError::UnknownDevice { name, known: format!("{known}, {INTERPRETER}") }.into()
        }
        other => other,
    })
}

fn run(
    model: &Model,
    expected: &ExpectedOutputs,
    args: &VerifyArgs,
) -> Result<Comparison, Failure> {
    let comparison = |device: &str, dtype, tolerance, checks: Vec<OutputCheck>| Comparison {
        device: device.to_string(),
        dtype,
        tolerance,
        outputs: checks.into_iter().map(compared).collect(),
    };
    if args.device.device == INTERPRETER {
        let dtype = args.activations.dtype.dtype_anywhere();
        let exact = logits_tolerance(dtype, model.config());
        let tolerance = args.tolerance.unwrap_or(exact);
        let mut interpreted = model.interpreted(LogitRows::All)?;
        let checks = check_outputs(&mut interpreted, expected, tolerance)?;
        return Ok(comparison(INTERPRETER, dtype, tolerance, checks));
    }
    let device = open_device(&args.device)?;
    let compiled = progress::loading(|loaded| {
        let options = CompileOptions::default();
        model.compile_reporting(&*device, LogitRows::All, &options, loaded)
    })?;
    output::log_device_notes(&*device);
    let dtype = compiled.activations;
    let rounds = dtype == DType::F32 && device.rounds_products();
    let by_dtype = logits_tolerance(dtype, model.config());
    let tolerance = args.tolerance.unwrap_or(if rounds { HALF_TOLERANCE } else { by_dtype });
    let mut session = compiled.session(longest(expected))?;
    let checks = check_outputs(&mut session, expected, tolerance)?;
    Ok(comparison(&compiled.device, dtype, tolerance, checks))
}

/// Most tokens of a sequence that the checks feed.
fn longest(expected: &ExpectedOutputs) -> usize {
    let of_group = |group: &minuend::ExpectedGroup| {
        let greedy = group.greedy.iter();
        let greedy = greedy.map(|greedy| greedy.prompt_tokens.saturating_add(greedy.new_tokens));
        greedy.max().unwrap_or(0).max(group.tokens)
    };
    expected.groups.iter().map(of_group).max().unwrap_or(1)
}

fn compared(check: OutputCheck) -> ComparedOutput {
    let OutputCheck { name, kind, passed } = check;
    let (figures, remark, details) = match kind {
        CheckKind::Logits { relative_l2, worst_over_rms } => (
            float_figures(relative_l2, worst_over_rms),
            String::new(),
            json!({
                "name": name,
                "kind": "logits",
                "passed": passed,
                "relative_l2": relative_l2,
                "worst_over_rms": worst_over_rms,
            }),
        ),
        CheckKind::Tokens { compared, different, near_ties, first_difference } => {
            let ties = match near_ties {
                0 => String::new(),
                count => format!(" ({count} near ties)"),
            };
            let place = first_difference.map_or_else(String::new, |(sequence, position)| {
                format!(" (first in sequence {sequence} at position {position})")
            });
            let details = json!({
                "name": name,
                "kind": "tokens",
                "passed": passed,
                "compared": compared,
                "different": different,
                "near_ties": near_ties,
                "first_difference": first_difference.map(|(sequence, position)| {
                    json!({ "sequence": sequence, "position": position })
                }),
            });
            let same = compared - different - near_ties;
            (count_figures(same, compared, "tokens"), ties + &place, details)
        }
    };
    ComparedOutput { name, passed, figures, remark, details }
}
