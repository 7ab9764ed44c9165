//! `minuend run` of an ONNX file: once on tensors, or as a language model.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use minuend::{
    CompileOptions, CompiledOnnxModel, Device, GenerateOptions, HostTensor, ModelError, NamedType,
    OnnxLanguageModel, OnnxModel, OnnxSession, TensorModel, Tokenizer, floats, integers,
    read_tensors, write_tensors,
};
use serde_json::{Value, json};

use crate::continued_text::{Continued, shown};
use crate::failure::Failure;
use crate::run::{RunArgs, prompt, sampling};
use crate::units::millis;
use crate::{model_source, output, progress};

/// Values of each output that are shown.
const SHOWN: usize = 8;

/// A file made ready on a device.
struct Ready {
    device: Arc<dyn Device>,
    compiled: CompiledOnnxModel,
    import_time: Duration,
}

pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let model = args.activations.of_onnx(&args.model)?;
    let import_time = started.elapsed();
    match &args.inputs {
        Some(inputs) => run_on_tensors(args, &model, inputs, import_time),
        None => continue_text(args, &model, import_time),
    }
}

fn ready(args: &RunArgs, model: &OnnxModel, import_time: Duration) -> Result<Ready, Failure> {
    let device = args.device.open()?;
    let compiled = progress::loading(|loaded| {
        model.compile_reporting(&*device, &CompileOptions::default(), loaded)
    })?;
    output::log_device_notes(&*device);
    Ok(Ready { device, compiled, import_time })
}

impl Ready {
    fn peak_bytes(&self, session: &OnnxSession) -> u64 {
        let program = self.compiled.executable().program();
        let counted = || program.weight_bytes() + session.runtime().allocated_bytes();
        self.device.peak_bytes().unwrap_or_else(counted)
    }

    fn time(&self) -> Duration {
        self.import_time + self.compiled.compile_time + self.compiled.load_time
    }
}

fn run_on_tensors(
    args: &RunArgs,
    model: &OnnxModel,
    inputs: &Path,
    import_time: Duration,
) -> Result<(), Failure> {
    // A file for `verify` holds what the graph should give as well.
    let signature = model.signature();
    let is_in = |types: &[NamedType], name: &str| types.iter().any(|named| named.name == name);
    let is_expected =
        |name: &str| is_in(&signature.outputs, name) && !is_in(&signature.inputs, name);
    let given = read_tensors(inputs)?.into_iter();
    let inputs = given.filter(|(name, _)| !is_expected(name)).collect();
    let ready = ready(args, model, import_time)?;
    let mut session = ready.compiled.session()?;
    let started = Instant::now();
    let outputs = progress::during("running", || session.run(inputs))?;
    let run_time = started.elapsed();
    if let Some(path) = &args.output {
        write_tensors(path, &outputs)?;
    }
    let compiled = &ready.compiled;
    if args.json {
        let outputs: Vec<Value> = outputs.iter().map(as_json).collect();
        output::print_json(&json!({
            "outputs": outputs,
            "device": compiled.device,
            "dtype": compiled.activations.name(),
            "import_ms": millis(ready.import_time),
            "compile_ms": millis(compiled.compile_time),
            "load_ms": millis(compiled.load_time),
            "run_ms": millis(run_time),
            "peak_bytes": ready.peak_bytes(&session),
        }))?;
    } else if args.output.is_none() {
        output::print(&table(&outputs))?;
    }
    model_source::log_onnx_notes(model);
    output::log(&format!(
        "{}, {}: ready in {:.0} ms, run {:.3} ms",
        compiled.device,
        compiled.activations,
        millis(ready.time()),
        millis(run_time),
    ));
    Ok(())
}

fn continue_text(args: &RunArgs, model: &OnnxModel, import_time: Duration) -> Result<(), Failure> {
    let sampling = sampling(args, None);
    sampling.check()?;
    let ready = ready(args, model, import_time)?;
    let mut session = ready.compiled.session()?;
    let mut language_model = OnnxLanguageModel::new(&mut session)?;
    let tokenizer = tokenizer(args, language_model.vocab_size())?;
    let prompt = prompt(args, tokenizer.as_ref())?;
    let options =
        GenerateOptions { max_new_tokens: args.max_new_tokens, sampling, eos_ids: Vec::new() };
    let (generation, text) = shown(tokenizer.as_ref(), &prompt, !args.json, |on_token| {
        language_model.generate(&prompt, &options, on_token)
    })?;
    let compiled = &ready.compiled;
    let continued = Continued {
        prompt: &prompt,
        text,
        device: &compiled.device,
        dtype: compiled.activations,
        load_time: ready.import_time + compiled.load_time,
        compile_time: compiled.compile_time,
        peak_bytes: ready.peak_bytes(&session),
    };
    continued.tell(&generation, args.json, || model_source::log_onnx_notes(model))
}

/// The tokenizer asked for, or the one beside the file. Token ids need none.
fn tokenizer(args: &RunArgs, vocab_size: usize) -> Result<Option<Tokenizer>, Failure> {
    let beside: PathBuf = args.model.with_file_name("tokenizer.json");
    let path = args.tokenizer.as_ref().unwrap_or(&beside);
    let is_found = path.try_exists().unwrap_or(true);
    match (is_found, &args.tokenizer, &args.prompt) {
        (false, None, Some(_)) => Err(Failure::NoTokenizer { path: beside }),
        (false, None, None) => Ok(None),
        _ => Tokenizer::from_file(path, vocab_size)
            .map(Some)
            .map_err(|error: ModelError| error.into()),
    }
}

/// The first values, as they are shown.
fn first_values(tensor: &HostTensor) -> Vec<String> {
    let floats = floats(tensor).unwrap_or_default();
    let floats = floats.iter().take(SHOWN).map(|value| format!("{value:.6}"));
    let integers = integers(tensor).unwrap_or_default();
    floats.chain(integers.iter().take(SHOWN).map(i64::to_string)).collect()
}

fn as_json((name, tensor): &(String, HostTensor)) -> Value {
    let values: Vec<Value> = match floats(tensor) {
        // What is not finite is null.
        Some(floats) => floats.iter().take(SHOWN).map(|value| json!(value)).collect(),
        None => {
            let integers = integers(tensor).unwrap_or_default();
            integers.iter().take(SHOWN).map(|value| json!(value)).collect()
        }
    };
    let dtype = tensor.dtype().name();
    json!({ "name": name, "dtype": dtype, "shape": tensor.shape(), "values": values })
}

fn table(outputs: &[(String, HostTensor)]) -> String {
    let rows: Vec<[String; 3]> = outputs
        .iter()
        .map(|(name, tensor)| {
            let shape = tensor.shape().iter().map(usize::to_string).collect::<Vec<_>>();
            let ty = format!("{}[{}]", tensor.dtype(), shape.join(", "));
            let values = first_values(tensor);
            let count: usize = tensor.shape().iter().product();
            let more = if count > values.len() { " ..." } else { "" };
            [output::plain(name), ty, format!("{}{more}", values.join(" "))]
        })
        .collect();
    let width = |column: usize, title: &str| {
        let widths = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        widths.max().unwrap_or(0).max(title.len())
    };
    let (names, types) = (width(0, "output"), width(1, "type"));
    let mut text = format!("{:<names$}  {:<types$}  values\n", "output", "type");
    for [name, ty, values] in &rows {
        text += &format!("{name:<names$}  {ty:<types$}  {values}\n");
    }
    text
}
