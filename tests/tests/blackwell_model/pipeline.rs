//! The pipeline of a thread block: who waits for whom, and what lies where when it is read.
//!
//! A stage is one of the two tiles of 128 queries that are worked on side by side, a ring stage a place in
//! a ring of shared memory; the kernel calls them so, too.
//!
//! A warp is one program: its lanes run together, so what happens between the lanes of a warp is not
//! modelled. Products run one after the other in the order in which they are issued, also those of
//! different shapes; this is what the kernel relies on when scores overwrite the weights of a product
//! before.

mod barrier;
mod fault;
mod memory;
mod mistakes;
mod program;
mod roles;
mod runs;
mod scheduler;
mod spoiled;
pub(crate) mod thread_block;
