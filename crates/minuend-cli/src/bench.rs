//! `minuend bench`: how fast and how large.

mod attention;
mod compile_time;
mod matmul;
mod memory;
mod one_op;
mod speed;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{ArgGroup, Args};
use minuend::{Model, ModelConfig};

use crate::activation_args::ActivationArgs;
use crate::device_args::DeviceArgs;
use crate::failure::Failure;
use crate::model_source::is_onnx;
use crate::progress;
use crate::size_args::SizeArgs;

/// Seed of random weights.
const SEED: u64 = 0;

const HELP: &str = "\
Speeds are medians over the repeats, behind a warm-up. GB are 10^9 bytes. Weight
bytes per decode step are all weights as loaded, without the embedding table
where the head is a table of its own: of an untied embedding a step reads one
row for each sequence. The copy rate is the best of several copies between two
buffers of 256 MB by as many threads, in bytes copied per second, each byte
counted once. Peak memory is computed (weights + cache + arena) and, where the
system tells it, the largest resident set of this process before the copy was
measured.

--compile-only needs no weights and no device, and measures the compiler with the
CPU as its target: graph, passes, plan, and binding the plan to sizes.

Of an ONNX file (*.onnx) only the compiler is measured; 'import' is the time to read
the file and to build its graph. --batch and --prompt-tokens are the sizes of a batch
and a sequence, --size NAME=N gives other symbols.

--attention measures one fused differential attention, causal; --matmul one
product of a matrix with a stored weight. --dtype is the type of all their
tensors, auto is f32; where the target computes in f32 only, --matmul takes a
weight of that type times a matrix in f32. Each is timed twice: one run at a time
with arguments and result copied, and many runs one after the other with
everything resident on the device. 'First result' is the time from the start of
the process to the first result on the host.

Example:
  minuend bench --config examples/configs/diffv2-200m.json --random-weights
  minuend bench --config examples/configs/diffv2-8b.json --compile-only
  minuend bench model.onnx --compile-only
  minuend bench --attention --tokens 4096 --device wgpu
  minuend bench --matmul 512x512x512";

/// Measure speed, memory and compile time
#[derive(Args)]
#[command(after_help = HELP)]
#[command(group = ArgGroup::new("subject").args(["model", "config", "attention", "matmul"]).required(true))]
#[command(group = ArgGroup::new("without_checkpoint").args(["random_weights", "compile_only"]).multiple(true))]
pub(crate) struct BenchArgs {
    /// Checkpoint directory, or with --compile-only an ONNX file
    #[arg(value_name = "MODEL")]
    model: Option<PathBuf>,
    /// A config.json alone, with --random-weights or --compile-only
    #[arg(long, value_name = "FILE", requires = "without_checkpoint")]
    config: Option<PathBuf>,
    /// Give the model of --config random weights
    #[arg(long, requires = "config")]
    random_weights: bool,
    /// Measure the compiler only
    #[arg(long, conflicts_with_all = ["attention", "matmul", "device", "variant", "threads"])]
    compile_only: bool,
    /// Measure one fused differential attention instead of a model
    #[arg(long)]
    attention: bool,
    /// Measure one matrix product, [M, K] times [N, K] transposed, instead of a model
    #[arg(long, value_name = "MxNxK", value_parser = matmul::parse_sizes)]
    matmul: Option<matmul::Sizes>,
    /// With --attention: pairs of query heads
    #[arg(long, value_name = "N", default_value = "4", value_parser = at_least_1())]
    pairs: u32,
    /// With --attention: key/value heads
    #[arg(long, value_name = "N", default_value = "4", value_parser = at_least_1())]
    kv_heads: u32,
    /// With --attention: query tokens
    #[arg(long, value_name = "N", default_value = "512", value_parser = at_least_1())]
    tokens: u32,
    /// With --attention: tokens in front of the queries' own, as in a cache
    #[arg(long, value_name = "N", default_value = "0")]
    past: u32,
    /// With --attention: every query sees every key
    #[arg(long)]
    full: bool,
    /// With --attention: width of a head
    #[arg(long, value_name = "N", default_value = "64", value_parser = at_least_1())]
    head_dim: u32,
    #[command(flatten)]
    sizes: SizeArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    activations: ActivationArgs,
    /// Tokens of each prompt
    #[arg(long, value_name = "N", default_value = "128", value_parser = at_least_1())]
    prompt_tokens: u32,
    /// Tokens decoded behind each prompt
    #[arg(long, value_name = "N", default_value = "64", value_parser = at_least_1())]
    new_tokens: u32,
    /// Sequences at once, of a model or with --attention
    #[arg(long, value_name = "B", default_value = "1", value_parser = at_least_1())]
    batch: u32,
    /// How often everything is measured
    #[arg(long, value_name = "N", default_value = "5", value_parser = at_least_1())]
    repeats: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn at_least_1() -> impl clap::builder::TypedValueParser<Value = u32> {
    clap::value_parser!(u32).range(1..=1 << 20)
}

impl BenchArgs {
    /// The model with the activations asked for.
    fn model(&self) -> Result<Model, Failure> {
        Ok(self.activations.of(self.opened()?))
    }

    fn opened(&self) -> Result<Model, Failure> {
        let Some(config) = &self.config else {
            return Ok(Model::open(self.model.clone().unwrap_or_default())?);
        };
        let config = ModelConfig::from_file(config)?;
        if self.compile_only {
            return Ok(Model::without_weights(config));
        }
        memory::check_room(&config)?;
        Ok(progress::during("making random weights", || Model::random(config, SEED)))
    }

    /// The ONNX file, if it is one.
    fn onnx(&self) -> Option<&Path> {
        self.model.as_deref().filter(|path| is_onnx(path))
    }

    /// What is measured, as given.
    fn subject(&self) -> String {
        let path = self.model.as_ref().or(self.config.as_ref());
        path.map_or_else(String::new, |path| path.display().to_string())
    }
}

/// `started` is when the process began.
pub(crate) fn bench(args: &BenchArgs, started: Instant) -> Result<(), Failure> {
    if args.attention {
        one_op::measure(args, &|target| attention::one_op(args, target), started)
    } else if let Some(sizes) = args.matmul {
        let dtype = args.activations.dtype.dtype_anywhere();
        one_op::measure(args, &|target| Ok(matmul::one_op(sizes, dtype, target)), started)
    } else if args.compile_only {
        compile_time::measure(args)
    } else if let Some(path) = args.onnx() {
        Err(Failure::BenchOnnx { path: path.to_owned() })
    } else {
        speed::measure(args)
    }
}

/// The middle of the durations; of an even number the lower of the two.
fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |times: &[u64]| {
            let times: Vec<Duration> = times.iter().map(|ms| Duration::from_millis(*ms)).collect();
            median(&times).as_millis()
        };
        assert_eq!((of(&[]), of(&[3]), of(&[9, 1, 5]), of(&[4, 1, 3, 2])), (0, 3, 5, 2));
    }
}
