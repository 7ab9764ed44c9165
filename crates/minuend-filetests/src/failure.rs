//! Why a test fails.

use std::path::PathBuf;

use minuend_interp::{EvalError, TensorError};
use minuend_passes::PassError;

/// Why a test fails, or is none.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file or folder that cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file that cannot be blessed.
    #[error("{path}: cannot be rewritten: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A line of the header that means nothing.
    #[error("line {line}: expected {expected}, found {found:?}")]
    Header {
        /// The line.
        line: usize,
        /// Its text.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// A comment that looks like an expectation and is none.
    #[error(
        "line {line}: unknown expectation {found:?}, a prose comment may not begin with `word:`"
    )]
    UnknownExpectation {
        /// The line.
        line: usize,
        /// Its text.
        found: String,
    },
    /// A test that could not fail.
    #[error("the file states no expectation{of}")]
    NoExpectation {
        /// About which graph.
        of: String,
    },
    /// The graphs do not parse.
    #[error("{0}")]
    Source(String),
    /// A text is not the expected one.
    #[error("the text differs, MINUEND_BLESS=1 accepts it:\n{diff}")]
    Golden {
        /// Expected (-) against found (+).
        diff: String,
        /// The file as it would have to be.
        blessed: String,
    },
    /// Errors that are missing, and errors that nobody expects.
    #[error("{}", .0.join("\n"))]
    Errors(Vec<String>),
    /// No pass of that name.
    #[error("there is no pass {0}")]
    UnknownPass(String),
    /// No target of that name.
    #[error("there is no target {found}, there are: {}", known.join(", "))]
    UnknownTarget {
        /// The name.
        found: String,
        /// The names there are.
        known: Vec<&'static str>,
    },
    /// A pass failed.
    #[error(transparent)]
    Pass(Box<PassError>),
    /// What a pass or pipeline made is invalid, or there is no plan of it.
    #[error("graph @{graph}: {message}")]
    Stage {
        /// The graph.
        graph: String,
        /// Why.
        message: String,
    },
    /// An expectation that does not hold.
    #[error("line {line}: {what}, in:\n{printed}")]
    Expectation {
        /// The line of the expectation.
        line: usize,
        /// What does not hold.
        what: String,
        /// The printed graph or the remarks.
        printed: String,
    },
    /// A symbol for which no value is set and none is at hand.
    #[error("symbol {name} needs a value in range, add a line `set {name} = NUMBER`")]
    SymbolValue {
        /// The symbol.
        name: String,
    },
    /// A `set` of something that no graph has.
    #[error("`set {0}` names no symbol and no setting (seed, int_limit)")]
    UnknownSetting(String),
    /// The interpreter refused a graph.
    #[error("{stage} the pipeline: {source}")]
    Evaluate {
        /// Before or behind.
        stage: &'static str,
        /// Why.
        source: Box<EvalError>,
    },
    /// An input could not be made.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The pipeline changed what a graph computes.
    #[error("graph @{graph}: {what}")]
    Differs {
        /// The graph.
        graph: String,
        /// Which value, where, and by how much.
        what: String,
    },
}

impl From<PassError> for Failure {
    fn from(error: PassError) -> Failure {
        Failure::Pass(Box::new(error))
    }
}
