//! Why a case could not be made or run.

use minuend::ir::text::ParseErrors;
use minuend::ir::{LegalityError, SymbolError, TypeError};
use minuend::{CompileError, DeviceError, ModelError, RequestError, RunError};
use minuend_interp::{EvalError, TensorError};
use minuend_passes::PassError;
use minuend_plan::PlanError;

/// Why a case could not be made, compiled or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConformError {
    /// A problem builds an ill-typed op.
    #[error(transparent)]
    Type(#[from] TypeError),
    /// A problem declares a symbol that cannot be.
    #[error(transparent)]
    Symbol(#[from] SymbolError),
    /// A size in words that no symbol has.
    #[error("size {name} is no symbol of the problem")]
    UnknownSize {
        /// The word.
        name: String,
    },
    /// A size without a value in this run.
    #[error("size {size} has no value in this run")]
    Unbound {
        /// The size.
        size: String,
    },
    /// Another number of tensors than the graph has of them.
    #[error("{found} {what}, expected {expected}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A tensor of the interpreter that cannot be.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The interpreter refused.
    #[error("interpreter: {0}")]
    Interpreter(#[from] EvalError),
    /// A graph that was printed cannot be parsed.
    #[error("printed and parsed again: {0}")]
    Text(#[from] ParseErrors),
    /// A graph that was printed is another one when parsed.
    #[error("printed and parsed again it is another graph")]
    TextChanged,
    /// A pass failed.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// The graph is not legal for the target.
    #[error(transparent)]
    Legality(#[from] LegalityError),
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A run failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Anything that the library refuses.
    #[error(transparent)]
    Minuend(#[from] minuend::Error),
    /// A model directory without a name to report it by.
    #[error("{directory}: {source}")]
    Model {
        /// The directory.
        directory: String,
        /// What is wrong.
        source: Box<ConformError>,
    },
    /// A device that no device of this build is.
    #[error("unknown device '{name}', expected one of {known}")]
    UnknownDevice {
        /// What was asked for.
        name: String,
        /// The devices of this build.
        known: String,
    },
    /// A kernel family that none of the devices has.
    #[error("no device has the variant '{name}', expected one of {known}")]
    UnknownVariant {
        /// What was asked for.
        name: String,
        /// The variants of the devices.
        known: String,
    },
    /// A report that is none.
    #[error("not a report of minuend conform: {0}")]
    Report(#[from] serde_json::Error),
    /// A report of another version of the format.
    #[error("the report has version {found}, expected {expected}")]
    ReportVersion {
        /// Its version.
        found: u32,
        /// The version that is read.
        expected: u32,
    },
}

impl ConformError {
    /// True if the target says that it has no kernel: it computes nothing wrong then.
    pub fn is_unsupported(&self) -> bool {
        let pass = |error: &PassError| matches!(error, PassError::Unsupported(_));
        let legality = |error: &LegalityError| matches!(error, LegalityError::Illegal(_));
        match self {
            ConformError::Pass(error) => pass(error),
            ConformError::Legality(error) => legality(error),
            ConformError::Minuend(minuend::Error::Compile(error)) => match error {
                CompileError::Pass(error) => pass(error),
                CompileError::Legality(error) => legality(error),
                _ => false,
            },
            ConformError::Model { source, .. } => source.is_unsupported(),
            _ => false,
        }
    }
}

macro_rules! from_library_error {
    ($($error:ty),*) => {
        $(impl From<$error> for ConformError {
            fn from(error: $error) -> ConformError {
                ConformError::Minuend(error.into())
            }
        })*
    };
}

from_library_error!(CompileError, ModelError, RequestError);
