//! What can be wrong with a file.

use std::fmt;

/// Why a file was not imported.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The file, or one that it names, cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is a directory or something else in its place.
    #[error("{path}: not a file; expected an ONNX file")]
    NotAFile {
        /// The path.
        path: String,
    },
    /// The bytes are no ONNX model.
    #[error("{path}: not an ONNX model: {reason}; the file may be truncated")]
    Decode {
        /// The file.
        path: String,
        /// What the decoder says.
        reason: String,
    },
    /// The model is damaged or has something that is not supported; all of it at once.
    #[error("{path}: {}", list(problems))]
    Model {
        /// The file.
        path: String,
        /// At least one.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong, or that minuend does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The place: `node "attn/MatMul" (MatMul, opset 18, inputs f32[B, S, 64], f32[64, 128])`, `initializer "w"`.
    pub at: String,
    /// What was found, and what was expected.
    pub found: String,
    /// The smallest change that would help; empty where the problem says it.
    pub help: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.found)?;
        if self.help.is_empty() { Ok(()) } else { write!(f, "; {}", self.help) }
    }
}

/// One problem as it is; several on a line each.
fn list(problems: &[Problem]) -> String {
    match problems {
        [problem] => problem.to_string(),
        _ => {
            let lines = problems.iter().map(|problem| format!("\n  {problem}"));
            format!("{} problems{}", problems.len(), lines.collect::<String>())
        }
    }
}
