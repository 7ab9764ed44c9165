//! The attributes, meaning and type rules of every op, one file per family.

pub mod attention;
pub mod boundary;
pub mod diff_attention;
pub mod elementwise;
pub mod kv_append;
pub mod layout;
pub mod matmul;
pub(crate) mod operands;
pub mod reduce;
pub mod rms_norm;
pub mod rope;
pub mod sample;
pub mod swiglu;

pub use attention::{Attention, Mask};
pub use boundary::{Constant, DimValue, Input, InputKind, Iota, Literal, Return, Weight};
pub use diff_attention::{DiffAttention, HeadPairing};
pub use elementwise::{BinaryOp, Cast, CompareOp, UnaryOp};
pub use kv_append::KvAppend;
pub use layout::{Broadcast, Concat, Gather, Reshape, Slice, Transpose};
pub use matmul::Matmul;
pub use reduce::{ArgMax, Reduce, ReduceKind, Softmax};
pub use rms_norm::RmsNorm;
pub use rope::{Rope, RopeLayout};
pub use sample::SampleRules;
