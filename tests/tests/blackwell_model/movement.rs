//! Where the bytes go: small attentions, computed as the kernel moves them.
//!
//! Global memory is copied in boxes to swizzled shared memory; products find their operands through the
//! words of their descriptors, which are decoded from their bits; scores, weights and sums lie in lanes
//! and columns of tensor memory, of which a warp reaches a quarter. One thing happens after the other:
//! what may happen at the same time is the other model's.

mod agreement;
mod descriptor;
pub(crate) mod element;
mod global_memory;
mod kernel;
mod mistakes;
mod problem;
mod product;
mod shared_memory;
mod softmax;
mod tensor_memory;
pub(crate) mod wiring;
