//! What can be wrong with a shader or a launch of it.

/// Why there is no shader for a launch, or why its text is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShaderError {
    /// A specification names a parameter that its template does not have, or lacks one that it has.
    #[error("shader {template}: parameter {name} {fault}")]
    Parameter {
        /// The template.
        template: &'static str,
        /// The parameter.
        name: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// The text is not valid WGSL.
    #[error("shader {label}, line {line}: {message}")]
    Invalid {
        /// The kernel.
        label: String,
        /// Line of the specialised text, from 1; 0 if unknown.
        line: u32,
        /// The validator's words, on one line.
        message: String,
    },
    /// A tensor is larger than the adapter lets a kernel see.
    #[error(
        "a tensor needs a binding of {needed} bytes, the adapter allows {available}; use a smaller \
         batch or context"
    )]
    Binding {
        /// Bytes needed.
        needed: u64,
        /// Bytes available.
        available: u64,
    },
    /// A size does not fit a 32-bit word.
    #[error("{name} is {value}, shaders count in 32 bits; use a smaller batch or context")]
    Size {
        /// The size.
        name: &'static str,
        /// Its value.
        value: usize,
    },
    /// A launch that the target does not have.
    #[error("no shader for {op}: {reason}")]
    Unsupported {
        /// The op.
        op: &'static str,
        /// Why not.
        reason: String,
    },
}
