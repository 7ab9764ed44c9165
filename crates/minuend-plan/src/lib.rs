//! Plans: the linear program that a device runs.
//!
//! [`plan`] turns a legal graph into a [`Program`]: steps over buffers, with sizes that are still
//! polynomials. Layout ops become views wherever strides can express them. [`Program::bind`] fixes
//! the symbols of one run and gives a [`BoundProgram`]: every tensor a byte range with strides, and
//! every block of the arena a place.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod arena;
mod bind;
mod error;
mod lifetime;
mod print;
mod program;
mod schedule;
mod storage_order;
mod tails;

pub use arena::{ALIGNMENT, Placement};
pub use bind::{BindError, BoundCopy, BoundLaunch, BoundProgram, BoundStep, BoundTensor};
pub use error::PlanError;
pub use print::DisplayProgram;
pub use program::{
    Argument, Block, CopyStep, Launch, Output, Program, StateSlot, Step, Storage, TensorRef,
    WeightSlot,
};
pub use schedule::plan;
