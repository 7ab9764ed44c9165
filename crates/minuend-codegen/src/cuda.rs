//! The CUDA target: kernels chosen and specialised for each launch, to be compiled by NVRTC.
//!
//! The plan says what is computed on which tensors; [`works`] says which kernels and library products do
//! it, with which parameters, arguments and grids, for one set of sizes. [`specialise`] gives what the
//! compiler is to be given. None of this needs a device or a compiler: what a GPU can do is
//! [`CudaLimits`].
//!
//! Every kernel is a file under `cuda/` that compiles as it lies there, with default values for its
//! parameters (`#ifndef`); a specification gives other values as `-D` options. A file has one entry, whose
//! parameters are plain: pointers, `int`, `long long`, `float`, and the structs of
//! `minuend/types.cuh` that [`Arg`] names.

mod arch;
mod error;
mod families;
mod launch;
mod limits;
mod overlap;
mod select;
mod signature;
mod target;
mod template;
mod templates;
mod tensor_map;

pub use arch::{ARCHES, Arch};
pub use error::CudaError;
pub use launch::{Arg, KernelLaunch, Matrix, Product, Work, Works};
pub use limits::CudaLimits;
pub use overlap::Overlap;
pub use select::{copies, works};
pub use signature::{Parameter, parameters};
pub use target::CudaTarget;
pub use template::{Define, KernelSource, KernelSpec, Needs, Opcode, Template, specialise};
pub use templates::{headers, template, templates};
pub use tensor_map::{Promotion, Swizzle, TensorMap};
