//! Tests of the reference interpreter: hand-computed values, published values, and every fused op
//! against its decomposition.

#![allow(clippy::unwrap_used)]

mod binding;
mod case;
mod elementwise;
mod fused;
mod golden;
mod layout;
mod matmul;
mod reduce;
mod state;
mod tensors;
mod weights;
