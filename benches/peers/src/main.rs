//! Times minuend beside its peers, candle and burn, on the CPU, or beside burn on a GPU: one process,
//! the same number of threads, the same numbers in, and the results compared.

mod agreement;
mod alternate;
mod attention;
#[cfg(feature = "burn")]
mod burn_peer;
mod candle_peer;
mod decode;
mod greedy;
mod matmul;
mod minuend_graph;
mod random_values;
mod report;
mod shape;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::report::Report;

/// Any failure, as one line.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Comparison {
    /// Prefill and greedy decode of a language model.
    Decode,
    /// Differential attention, 4 pairs of query heads, 512 tokens.
    Attention,
    /// One matrix product of a stored weight.
    Matmul,
}

/// Times minuend beside candle and burn on the CPU, or beside burn on a GPU.
#[derive(Parser)]
struct Arguments {
    /// Which comparisons to make; all if none is named.
    comparisons: Vec<Comparison>,
    /// Threads of each library; 0 takes one for each core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Where minuend runs: cpu, or wgpu with burn beside it on its best adapter (feature burn-wgpu).
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Rounds of prefill and decode; in each round every contestant runs once.
    #[arg(long, default_value_t = 5)]
    decode_rounds: usize,
    /// Rounds of attention and of the matrix product.
    #[arg(long, default_value_t = 50)]
    rounds: usize,
    /// A Llama `config.json` in place of the built-in shape of 206 million parameters.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Tokens of the prompt.
    #[arg(long, default_value_t = 128)]
    prompt: usize,
    /// Greedy steps behind the prompt.
    #[arg(long, default_value_t = 64)]
    steps: usize,
    /// Print one JSON object in place of tables.
    #[arg(long)]
    json: bool,
}

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let threads = match arguments.threads {
        0 => std::thread::available_parallelism()?.get(),
        threads => threads,
    };
    // SAFETY: no other thread runs yet. candle and burn read the variable when they are first used.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", threads.to_string()) };

    let wanted = |comparison| {
        arguments.comparisons.is_empty() || arguments.comparisons.contains(&comparison)
    };
    let mut report = Report::new(threads, &arguments.device);
    if wanted(Comparison::Decode) && report.is_cpu() {
        let shape = shape::read(arguments.config.as_deref())?;
        let work = decode::Work {
            rounds: arguments.decode_rounds,
            prompt: arguments.prompt,
            steps: arguments.steps,
        };
        decode::compare(&shape, &work, &mut report)?;
    }
    if wanted(Comparison::Attention) {
        attention::compare(arguments.rounds, &mut report)?;
    }
    if wanted(Comparison::Matmul) {
        matmul::compare(arguments.rounds, &mut report)?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    match report.disagreements() {
        0 => Ok(()),
        count => Err(format!("{count} results differ by more than their limit").into()),
    }
}
