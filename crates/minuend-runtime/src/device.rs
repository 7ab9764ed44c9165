//! The run-time half of a backend.

use std::sync::Arc;

use minuend_codegen::Target;
use minuend_ir::DType;
use minuend_plan::{BoundProgram, Program};

use crate::weights::WeightSource;

/// Memory that a stream owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Memory {
    /// Temporary memory of a run.
    Arena,
    /// An argument, by index.
    Argument(usize),
    /// A state, by index.
    State(usize),
}

/// What can go wrong on a device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No memory left.
    #[error("out of memory: {bytes} bytes for {what}; use a smaller batch or context")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: u64,
        /// What for.
        what: String,
    },
    /// The program needs a tensor that the weight table does not have.
    #[error("weight {name} is missing")]
    MissingWeight {
        /// The tensor.
        name: String,
    },
    /// A stored tensor is not what the program declares.
    #[error("weight {name} is {found}, expected {expected}")]
    WeightType {
        /// The tensor, or the tensors of a packed weight.
        name: String,
        /// Its element type and shape.
        found: String,
        /// The declared element type and shape.
        expected: String,
    },
    /// A stored value that the declared type cannot hold.
    #[error("weight {name} has the value {value}, which {dtype} cannot hold; use {}", wider(*dtype))]
    WeightRange {
        /// The tensor.
        name: String,
        /// The value.
        value: f32,
        /// The declared element type.
        dtype: DType,
    },
    /// A byte range outside the memory it names.
    #[error("{what}: bytes {start}..{end} are outside of {size} bytes")]
    OutOfBounds {
        /// The memory.
        what: String,
        /// First byte.
        start: u64,
        /// Byte behind the last.
        end: u64,
        /// Size of the memory.
        size: u64,
    },
    /// A kernel refused its operands or found a bad value among them.
    #[error("step {step} ({kernel}): {reason}")]
    Kernel {
        /// Index of the step.
        step: usize,
        /// The kernel's name.
        kernel: String,
        /// What is wrong.
        reason: String,
    },
    /// A gather was asked for elements that its axis does not have.
    #[error("{count} indices of a gather are outside of its axis")]
    Index {
        /// How many.
        count: u64,
    },
    /// A kernel did not compile for the device.
    #[error("device {device}: kernel {kernel}: {reason}")]
    Compile {
        /// The device.
        device: String,
        /// The kernel and its parameters.
        kernel: String,
        /// The compiler's words.
        reason: String,
    },
    /// Something is larger than the device allows.
    #[error(
        "device {device}: {what} needs {needed}, the {limit} is {available}; use a smaller batch or \
         context"
    )]
    Limit {
        /// The device.
        device: String,
        /// The limit, with its unit.
        limit: &'static str,
        /// What is too large.
        what: String,
        /// What is needed.
        needed: u64,
        /// What the device allows.
        available: u64,
    },
    /// The device computes something else than the kernel means, in every variant that it has.
    #[error(
        "device {device} computes {kernel} wrongly: off by {error:.1e}, allowed {allowed:.1e}; use \
         another device or driver"
    )]
    Wrong {
        /// The device.
        device: String,
        /// The kernel.
        kernel: String,
        /// How far an element is off; infinite for a tensor of another type, or a wrong integer.
        error: f64,
        /// How far it may be off.
        allowed: f64,
    },
    /// The device was lost while its kernels were tried before use.
    #[error(
        "device {device} was lost while kernels of variant {variant} were checked: {reason}; start again \
         with variant {other}"
    )]
    LostInCheck {
        /// The device.
        device: String,
        /// The family of kernels in use.
        variant: &'static str,
        /// The driver's words.
        reason: String,
        /// The family that it has beside that.
        other: &'static str,
    },
    /// The device stopped answering: a reset, a watchdog, or its removal.
    #[error("device {device} was lost: {reason}; open it again and make a new session")]
    Lost {
        /// The device.
        device: String,
        /// The driver's words.
        reason: String,
    },
    /// The device could not be opened or set up.
    #[error("device {device}: {reason}")]
    Setup {
        /// The device.
        device: String,
        /// What is wrong.
        reason: String,
    },
}

/// Types of wider range, for a message.
fn wider(dtype: DType) -> &'static str {
    if dtype == DType::F16 { "bf16 or f32" } else { "f32" }
}

/// An opened device, shared by all that run on it.
pub trait Device: Send + Sync {
    /// The name shown to users: `cpu (2 threads)`.
    fn name(&self) -> String;

    /// What to compile for.
    fn target(&self) -> &dyn Target;

    /// What the user should know about the device since it was opened, such as kernel variants that it
    /// was found to compute wrongly.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Most bytes of its memory that this program had allocated at once, where the device counts them.
    fn peak_bytes(&self) -> Option<u64> {
        None
    }

    /// True if a driver of the machine compiles the kernels, so that each load should check them with
    /// golden cases. False where kernels are functions of this program, which its own tests cover.
    fn is_checked_at_load(&self) -> bool {
        false
    }

    /// True if the kernels in use may round the operands of matrix products to 16-bit floats.
    fn rounds_products(&self) -> bool {
        false
    }

    /// The most special family of kernel variants in use.
    fn variant(&self) -> &'static str {
        "plain"
    }

    /// Gives up the most special family of kernel variants in use and notes the reason; false if none
    /// is left but the plain one. Programs that are compiled for [`Device::target`] stay valid, and what
    /// is loaded from now on runs on the rest.
    fn refuse_variant(&self, _reason: &str) -> bool {
        false
    }

    /// Makes a program's kernels ready and its weights resident.
    fn load(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
    ) -> Result<Arc<dyn Module>, DeviceError>;
}

/// The immutable part of a loaded program: kernels and weights.
pub trait Module: Send + Sync {
    /// A stream with memory of its own.
    fn open(self: Arc<Self>) -> Result<Box<dyn Stream>, DeviceError>;
}

/// Bytes asked for by [`Stream::start_read`].
#[derive(Debug)]
pub enum PendingRead {
    /// They are here.
    Ready(Vec<u8>),
    /// The stream gives them for this number.
    Later(u64),
}

/// The mutable part: memory, and the order in which work is done.
pub trait Stream: Send {
    /// Makes a region at least that large. Growing it loses its contents; a fresh state is zero.
    fn reserve(&mut self, memory: Memory, bytes: u64) -> Result<(), DeviceError>;

    /// Copies bytes to a region.
    fn write(&mut self, memory: Memory, offset: u64, bytes: &[u8]) -> Result<(), DeviceError>;

    /// Copies bytes from a region, behind all work given so far.
    fn read(&mut self, memory: Memory, offset: u64, bytes: &mut [u8]) -> Result<(), DeviceError>;

    /// True if work and reads are started and not waited for, so that it pays to give more work before
    /// the results of earlier work are here.
    fn runs_ahead(&self) -> bool {
        false
    }

    /// Copies bytes between regions, behind all work given so far. The ranges do not overlap.
    fn copy(
        &mut self,
        (from, from_offset): (Memory, u64),
        (to, to_offset): (Memory, u64),
        bytes: usize,
    ) -> Result<(), DeviceError> {
        let mut staged = vec![0u8; bytes];
        self.read(from, from_offset, &mut staged)?;
        self.write(to, to_offset, &staged)
    }

    /// As [`Stream::read`] of `bytes` bytes, but work that is given from now on need not wait until they
    /// are here: [`Stream::finish_read`] does. Every read that is started is finished, in any order.
    fn start_read(
        &mut self,
        memory: Memory,
        offset: u64,
        bytes: usize,
    ) -> Result<PendingRead, DeviceError> {
        let mut read = vec![0u8; bytes];
        self.read(memory, offset, &mut read)?;
        Ok(PendingRead::Ready(read))
    }

    /// The bytes of a read that was started on this stream.
    fn finish_read(&mut self, pending: PendingRead) -> Result<Vec<u8>, DeviceError> {
        match pending {
            PendingRead::Ready(bytes) => Ok(bytes),
            PendingRead::Later(number) => {
                let (what, start, end) = (format!("read {number}"), 0, 1);
                Err(DeviceError::OutOfBounds { what, start, end, size: 0 })
            }
        }
    }

    /// Runs every step. Regions must have been reserved as the program says.
    fn run(&mut self, program: &BoundProgram) -> Result<(), DeviceError>;

    /// Waits until all work given so far is done.
    fn synchronize(&mut self) -> Result<(), DeviceError>;

    /// Bytes reserved: arena, arguments and states.
    fn allocated_bytes(&self) -> u64;
}
