//! Why a command did not succeed, and how that is told.

use std::io;
use std::path::PathBuf;

use minuend::ir::text::ParseErrors;
use minuend::{CompileError, ModelError, RequestError};
use minuend_conform::ConformError;

/// Most lines of an error's message that are told on one line.
const MAX_PARTS: usize = 12;
/// Most problems below a headline.
const MAX_LINES: usize = 40;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The library refused.
    #[error(transparent)]
    Minuend(#[from] minuend::Error),
    /// A conformance check could not be set up, or a report could not be read.
    #[error(transparent)]
    Conform(#[from] ConformError),
    /// A file that should be a report.
    #[error("{}: {source}", path.display())]
    Report { path: PathBuf, source: Box<ConformError> },
    /// A filter that no case contains.
    #[error("--filter {filter}: no case contains it; names are like matmul/weight 7x2 bf16")]
    NoCase { filter: String },
    /// Nothing to check on.
    #[error("no device can be checked: {reasons}")]
    NoDevice { reasons: String },
    /// A file could not be read.
    #[error("{}: cannot read the file: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A file could not be written.
    #[error("{}: cannot write the file: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// Standard output could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// A text graph has errors. Several lines: each error has its place shown.
    #[error("{}", rendered(path, source_text, errors))]
    Graph { path: PathBuf, source_text: String, errors: ParseErrors },
    /// A check found outputs that differ; they have been told.
    #[error("outputs differ")]
    Different,
    /// A program lost the op that was to be measured.
    #[error("the program has {found} launches of {op}, expected {expected}")]
    NotFused { op: &'static str, found: usize, expected: usize },
    /// Kernels are asked for as text where there is none.
    #[error(
        "target {target} has no kernel text: its kernels are functions of this program; expected wgsl \
         or a cuda target"
    )]
    NoKernelText { target: &'static str },
    /// Random weights would not fit.
    #[error(
        "the random weights take {needed} bytes, {available} are available; use a smaller config, or \
         --compile-only, which needs none"
    )]
    Memory { needed: u64, available: u64 },
    /// Sizes of a plan that nothing gives.
    #[error("symbol {name} has no value; give it with --size {name}=N")]
    MissingSize { name: String },
    /// A measurement that there is for checkpoints alone.
    #[error("{}: of an ONNX file the compiler alone is measured; give --compile-only", path.display())]
    BenchOnnx { path: PathBuf },
    /// An option that there is for ONNX files alone.
    #[error("{option} is for .onnx files, {} is a checkpoint; expected --prompt or --prompt-ids", path.display())]
    OnnxOnly { option: &'static str, path: PathBuf },
    /// A prompt in words for an ONNX file without a tokenizer.
    #[error(
        "{}: no such file; --prompt needs a tokenizer, give --tokenizer FILE, or tokens by --prompt-ids",
        path.display()
    )]
    NoTokenizer { path: PathBuf },
    /// A size of a plan that is no symbol of it.
    #[error("--size {name}: no such symbol, expected one of {known}")]
    UnknownSize { name: String, known: String },
    /// A size of a plan given twice.
    #[error("--size {name} is given twice")]
    RepeatedSize { name: String },
    /// A text graph that is not a file, or a very large one.
    #[error("{}: expected a text file of at most {limit} bytes", path.display())]
    NotText { path: PathBuf, limit: u64 },
    /// A measurement asks for more tokens than the model takes.
    #[error(
        "{prompt} prompt tokens and {new} new ones do not fit the context of {limit} \
         (max_position_embeddings); ask for fewer"
    )]
    BenchTokens { prompt: usize, new: usize, limit: usize },
    /// Pairs that do not share key/value heads evenly.
    #[error("--pairs {pairs} is not a multiple of --kv-heads {kv_heads}")]
    BenchHeads { pairs: usize, kv_heads: usize },
}

impl Failure {
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The message on one line, but for errors in a text graph, which show their places, and several problems
    /// of an ONNX file or of inputs, each of which is on a line below.
    pub(crate) fn message(&self) -> String {
        match self {
            Failure::Graph { .. } => self.to_string(),
            Failure::Minuend(minuend::Error::Onnx(_) | minuend::Error::Inputs(_)) => {
                on_lines(&self.to_string())
            }
            _ => on_one_line(&self.to_string()),
        }
    }
}

/// A message of several lines as it is; of very many only the first.
fn on_lines(message: &str) -> String {
    let lines: Vec<String> = message.lines().map(crate::output::plain).collect();
    let shown = lines.get(..=MAX_LINES).unwrap_or(&lines).join("\n");
    match lines.len().saturating_sub(MAX_LINES + 1) {
        0 => shown,
        more => format!("{shown}\n  and {more} more"),
    }
}

/// The parts of a message of several lines, one behind the other; of very many only the first.
fn on_one_line(message: &str) -> String {
    // Names come from files: what they hold must not steer a terminal.
    let is_steering = |c: char| c.is_control() && c != '\n';
    let message: String = message
        .chars()
        .map(|c| if is_steering(c) { c.escape_default().to_string() } else { c.to_string() })
        .collect();
    let parts: Vec<&str> = message.lines().map(str::trim).filter(|part| !part.is_empty()).collect();
    let shown = parts.get(..MAX_PARTS).unwrap_or(&parts).join("; ");
    match parts.len().saturating_sub(MAX_PARTS) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

fn rendered(path: &std::path::Path, source: &str, errors: &ParseErrors) -> String {
    let file = path.display().to_string();
    let shown = errors.render(&file, source);
    match errors.0.len() {
        0 | 1 => shown,
        count => format!("{file}: {count} errors\n{shown}"),
    }
}

macro_rules! from_library_error {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                Failure::Minuend(error.into())
            }
        })*
    };
}

from_library_error!(
    ModelError,
    CompileError,
    RequestError,
    minuend::RunError,
    minuend::DeviceError
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_stay_on_their_lines() {
        assert_eq!(on_lines("a: 2 problems\n  b\u{1b}\n  c"), "a: 2 problems\n  b\\u{1b}\n  c");
        let many: Vec<String> = (0..=45).map(|index| index.to_string()).collect();
        assert!(on_lines(&many.join("\n")).ends_with("\n40\n  and 5 more"));
    }

    #[test]
    fn messages_of_many_lines_are_joined_and_cut() {
        assert_eq!(on_one_line("a\u{1b}[2J"), "a\\u{1b}[2J");
        assert_eq!(on_one_line("a: 2 tensors\n  b\n  c"), "a: 2 tensors; b; c");
        let many: Vec<String> = (0..20).map(|index| index.to_string()).collect();
        assert!(on_one_line(&many.join("\n")).ends_with("10; 11; and 8 more"));
    }
}
