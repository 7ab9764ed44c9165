//! Host models of the tcgen05 forward attention, `cuda/attention/forward_tcgen05.cu`. No card with these
//! instructions is needed: what the kernel says is checked here, not what it is compiled to.
//!
//! - [`pipeline`]: every warp of a thread block as a program of waits, arrivals and accesses; barriers,
//!   copies, products and stores as agents of their own. Programs run interleaved in many ways; a
//!   deadlock, a wait that passes in the wrong phase, a race and a stale read are faults.
//! - [`movement`]: the bytes of small attentions, moved and multiplied as descriptors say, against the
//!   interpreter.
//!
//! Both take tiles and key blocks from [`schedule`], and sizes from [`shape`], which [`tuning`] compares with
//! the rows of the kernel's template. Each model has a list of mistakes, and has to notice every one of them
//! in work that passes without it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod movement;
mod pipeline;
mod random;
mod schedule;
mod shape;
mod tuning;
