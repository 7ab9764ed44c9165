//! `minuend run`: continue a text, or run an ONNX graph on tensors.

use std::path::PathBuf;
use std::time::Instant;

use clap::{ArgGroup, Args};
use minuend::{
    CompileOptions, GenerateOptions, GenerationConfig, LogitRows, Model, ModelError, Sampling,
    Tokenizer,
};

use crate::activation_args::ActivationArgs;
use crate::continued_text::{Continued, shown};
use crate::device_args::DeviceArgs;
use crate::failure::Failure;
use crate::{model_source, onnx_run, output, progress};

const HELP: &str = "\
Sampling: where generation_config.json says do_sample, its temperature (1 if
absent), top_k and top_p are the defaults; otherwise the most likely token is
taken, the lowest id of equals. Each option overrides its own setting; --top-k
or --top-p on a model that does not sample brings temperature 1. --temperature 0
always takes the most likely token. The same seed gives the same text.

An ONNX file (*.onnx) runs once on the tensors of --inputs, by their names in the
graph; floats are converted to the type that the graph computes in, and tensors with
the names of outputs, as in a file for `verify`, are not read. Its outputs are shown,
or written to --output.

With --prompt or --prompt-ids an ONNX file continues a text, if it is a language
model without a cache: one input of token ids, integers [batch, tokens], beside it
at most attention_mask (filled with ones) and position_ids (0, 1, 2 ...), and an
output of floats [batch, tokens, vocabulary] or [batch, vocabulary]. It is given all
tokens again at each step, so that each step costs more than the one before. Its
tokenizer is --tokenizer, or tokenizer.json beside the file. No end token is known:
the text ends with --max-new-tokens, or where the file takes no more tokens.

Text goes to stdout as it is produced, without the prompt; speeds go to stderr.
Without a tokenizer, which --prompt-ids does not need, token ids go to stdout.

JSON keys: prompt_ids, token_ids, text, device, dtype (of the activations), finish
(end_of_text, length or context), load_ms (files and device), compile_ms (graph,
passes and plan), prefill_ms, decode_tokens_per_s (null without a decode step),
peak_bytes (what the device counts as allocated at most; where it does not count,
weights, cache, arena and arguments). Of an ONNX file run on tensors: outputs (each
with name, dtype, shape, values: the first 8), device, dtype, import_ms, compile_ms,
load_ms, run_ms, peak_bytes.

Example:
  minuend run examples/models/shakespeare-diffv2 --prompt \"ROMEO:\" --temperature 0.8 --seed 7
  minuend run model.onnx --inputs io.safetensors
  minuend run model.onnx --prompt-ids 1,2,3 --max-new-tokens 16";

/// Continue a text, or run an ONNX graph on tensors
#[derive(Args)]
#[command(after_help = HELP)]
#[command(group = ArgGroup::new("start").args(["prompt", "prompt_ids", "inputs"]).required(true))]
pub(crate) struct RunArgs {
    /// Checkpoint directory with config.json, model.safetensors and tokenizer.json, or ONNX file
    pub(crate) model: PathBuf,
    /// The text to continue
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) prompt: Option<String>,
    /// The text to continue as token ids, with commas between them
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub(crate) prompt_ids: Option<Vec<u32>>,
    /// Inputs of an ONNX file by name, in safetensors
    #[arg(long, value_name = "FILE")]
    pub(crate) inputs: Option<PathBuf>,
    /// With --inputs: write the outputs to a file, in safetensors
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "prompt_ids"])]
    pub(crate) output: Option<PathBuf>,
    /// Tokenizer of an ONNX file, if it is not tokenizer.json beside it
    #[arg(long, value_name = "FILE", conflicts_with = "inputs")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// Most tokens to add; the model's context is a limit too
    #[arg(long, value_name = "N", default_value_t = 128, allow_negative_numbers = true)]
    pub(crate) max_new_tokens: usize,
    /// Divides the logits; 0 takes the most likely token
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f64>,
    /// Choose among the K most likely tokens
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    top_k: Option<usize>,
    /// Choose among the fewest tokens whose probabilities reach P
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f64>,
    /// Start of the random sequence
    #[arg(long, value_name = "S", default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    #[command(flatten)]
    pub(crate) activations: ActivationArgs,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    if model_source::is_onnx(&args.model) {
        return onnx_run::run(args);
    }
    for (option, file) in [("--inputs", &args.inputs), ("--tokenizer", &args.tokenizer)] {
        if file.is_some() {
            return Err(Failure::OnnxOnly { option, path: args.model.clone() });
        }
    }
    let started = Instant::now();
    let model = args.activations.of(Model::open(&args.model)?);
    let defaults = model.checkpoint().and_then(|checkpoint| checkpoint.generation.as_ref());
    let sampling = sampling(args, defaults);
    sampling.check()?;
    let tokenizer = match model.tokenizer() {
        // Token ids need none.
        Err(minuend::Error::Model(ModelError::NoTokenizer { .. })) if args.prompt.is_none() => None,
        found => found?,
    };
    let prompt = prompt(args, tokenizer.as_ref())?;
    let open_time = started.elapsed();

    let device = args.device.open()?;
    let started = Instant::now();
    // A program that draws tokens can take the most likely one as well, but not as fast.
    let rows = if sampling.temperature > 0.0 { LogitRows::Sampled } else { LogitRows::Last };
    let compiled = progress::loading(|loaded| {
        let options = CompileOptions::default();
        model.compile_reporting(&*device, rows, &options, loaded)
    })?;
    output::log_device_notes(&*device);
    let compile_time = started.elapsed().saturating_sub(compiled.load_time);
    let load_time = open_time + compiled.load_time;
    let mut session = compiled.session(prompt.len().saturating_add(args.max_new_tokens))?;

    let options = GenerateOptions {
        max_new_tokens: args.max_new_tokens,
        sampling,
        eos_ids: model.eos_ids().to_vec(),
    };
    let (generation, text) = shown(tokenizer.as_ref(), &prompt, !args.json, |on_token| {
        minuend::generate(&mut session, &prompt, &options, on_token)
    })?;
    let counted =
        || compiled.executable().program().weight_bytes() + session.runtime().allocated_bytes();
    let continued = Continued {
        prompt: &prompt,
        text,
        device: &compiled.device,
        dtype: compiled.activations,
        load_time,
        compile_time,
        peak_bytes: device.peak_bytes().unwrap_or_else(counted),
    };
    continued.tell(&generation, args.json, || model_source::log_notes(&model))
}

/// The tokens to continue.
pub(crate) fn prompt(args: &RunArgs, tokenizer: Option<&Tokenizer>) -> Result<Vec<u32>, Failure> {
    match (&args.prompt, &args.prompt_ids, tokenizer) {
        (Some(text), _, Some(tokenizer)) => Ok(tokenizer.encode(text)?),
        (Some(_), _, None) => Err(Failure::NoTokenizer { path: args.model.join("tokenizer.json") }),
        (None, ids, _) => Ok(ids.clone().unwrap_or_default()),
    }
}

/// The model's own defaults, overridden by the command line.
pub(crate) fn sampling(args: &RunArgs, defaults: Option<&GenerationConfig>) -> Sampling {
    let defaults = defaults.filter(|defaults| defaults.do_sample == Some(true));
    let asks_for_cut = args.top_k.is_some() || args.top_p.is_some();
    let temperature = match defaults {
        Some(defaults) => defaults.temperature.unwrap_or(1.0),
        None if asks_for_cut => 1.0,
        None => 0.0,
    };
    // In generation_config.json a top_k of 0 stands for all tokens.
    let top_k = defaults.and_then(|defaults| defaults.top_k).filter(|top_k| *top_k > 0);
    Sampling {
        temperature: args.temperature.unwrap_or(temperature),
        top_k: args.top_k.or(top_k),
        top_p: args.top_p.or_else(|| defaults.and_then(|defaults| defaults.top_p)),
        seed: args.seed,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: RunArgs,
    }

    /// Temperature, top-k and top-p of a command line on a model with that generation config.
    fn chosen(generation: &str, options: &str) -> (f64, Option<usize>, Option<f64>) {
        let words = ["run", "model", "--prompt", "x"].into_iter().chain(options.split_whitespace());
        let args = Line::try_parse_from(words).unwrap().args;
        let config = GenerationConfig::from_json_str("generation_config.json", generation).unwrap();
        let sampling = sampling(&args, Some(&config));
        (sampling.temperature, sampling.top_k, sampling.top_p)
    }

    #[test]
    fn a_model_that_samples_gives_the_defaults() {
        let config = r#"{"do_sample":true,"temperature":0.6,"top_k":20,"top_p":0.95}"#;
        assert_eq!(chosen(config, ""), (0.6, Some(20), Some(0.95)));
        assert_eq!(chosen(config, "--top-k 5"), (0.6, Some(5), Some(0.95)));
        assert_eq!(chosen(config, "--temperature 0").0, 0.0);
        assert_eq!(chosen(r#"{"do_sample":true,"top_k":0}"#, ""), (1.0, None, None));
    }

    #[test]
    fn other_models_take_the_most_likely_token() {
        let config = r#"{"temperature":0.6,"top_k":20}"#;
        assert_eq!(chosen(config, ""), (0.0, None, None));
        assert_eq!(chosen(config, "--temperature 0.8"), (0.8, None, None));
        assert_eq!(chosen("{}", "--top-p 0.9"), (1.0, None, Some(0.9)));
        assert_eq!(chosen("{}", "--top-p 0.9 --temperature 0"), (0.0, None, Some(0.9)));
    }
}
