//! What can be wrong with a kernel or a launch of it.

/// Why there is no kernel for a launch, or why its specification is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// A specification names a parameter that its template does not have.
    #[error("kernel {template}: parameter {name} {fault}")]
    Parameter {
        /// The template.
        template: &'static str,
        /// The parameter.
        name: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// A launch gives other arguments than its kernel takes.
    #[error("kernel {template}: argument {index} is {found}, expected {expected}")]
    Argument {
        /// The template.
        template: &'static str,
        /// Index of the argument.
        index: usize,
        /// What the launch gives.
        found: String,
        /// What the kernel takes.
        expected: String,
    },
    /// A size does not fit the type that kernels count it in.
    #[error("{name} is {value}, kernels count it in 31 bits; use a smaller batch or context")]
    Size {
        /// The size.
        name: &'static str,
        /// Its value.
        value: usize,
    },
    /// A launch that the target does not have.
    #[error("no kernel for {op}: {reason}")]
    Unsupported {
        /// The op.
        op: &'static str,
        /// Why not.
        reason: String,
    },
}
