//! Why a run failed.

use minuend_plan::BindError;

use crate::device::DeviceError;

/// Why a run failed. The session's states are unchanged, but for a device error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Another number of arguments.
    #[error("{found} arguments, expected {expected}")]
    ArgumentCount {
        /// Arguments given.
        found: usize,
        /// Arguments the program takes.
        expected: usize,
    },
    /// An argument of another type.
    #[error("argument %{name} is {found}, expected {expected}")]
    ArgumentType {
        /// The argument.
        name: String,
        /// What was given.
        found: String,
        /// The declared type.
        expected: String,
    },
    /// The states hold something of another size.
    #[error(
        "state %{name} holds {held} along axis {axis}, the arguments ask for {found}; \
         reset the session first"
    )]
    StateSize {
        /// The state.
        name: String,
        /// The axis.
        axis: usize,
        /// Its size in the session.
        held: u64,
        /// Its size by the arguments.
        found: u64,
    },
    /// The sizes do not fit the program.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// An argument that is to be kept, and was not given since the session was opened or reset.
    #[error("argument %{name} is to be kept, and there is no run before; give it")]
    NothingKept {
        /// The argument.
        name: String,
    },
    /// An output that the program does not have.
    #[error("output {wanted} is asked for, the program has {count}")]
    NoSuchOutput {
        /// The index asked for.
        wanted: usize,
        /// Outputs of the program.
        count: usize,
    },
    /// An output does not fit in host memory.
    #[error("output %{name} is too large for this machine")]
    OutputSize {
        /// The output.
        name: String,
    },
}
