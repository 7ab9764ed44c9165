//! The pipeline of a thread block: who waits for whom, and what lies where when it is read.
//!
//! A warp is one program: its lanes run together, so what happens between the lanes of a warp is not
//! modelled. Products run one after the other in the order in which they are issued, also those of
//! different shapes; this is what the kernel relies on when scores overwrite the weights of a product
//! before.

mod barrier;
mod memory;
mod mistakes;
mod program;
mod roles;
mod runs;
mod scheduler;
mod spoiled;
mod thread_block;
