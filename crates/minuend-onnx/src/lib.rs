//! ONNX files as graphs of primitive ops.
//!
//! [`OnnxModel::open`] reads a file of opset 13 to 23 and gives a source-level [`Graph`](minuend_ir::Graph) with the
//! file's input and output names, and a table of the stored tensors that the graph names. What is computed
//! from sizes (`Shape`, `Gather`, `Concat`, `Reshape` chains) is evaluated on symbols while reading, so that it is
//! not in the graph. Axes without a fixed size become symbols; what a file demands of them (a table has
//! 64 rows, so at most 64 tokens) becomes their range.
//!
//! Nothing is recognised here but what cannot be seen later, because the data of tensors is not part of a
//! graph: stored triangles and rotary tables become the expressions that compute them. Differential
//! attention, norms and rotations are found by the passes.
//!
//! ```no_run
//! # fn main() -> Result<(), minuend_onnx::OnnxError> {
//! let model = minuend_onnx::OnnxModel::open("model.onnx", &Default::default())?;
//! println!("{}", model.graph());
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod element_type;
mod error;
mod external;
mod file;
mod flatten;
mod formula;
mod import;
mod materialise;
mod model;
mod node;
mod ops;
pub mod proto;
mod sizes;
mod stored;
mod symbols;
mod value;
mod weights;

pub use error::{OnnxError, Problem};
pub use model::{ImportOptions, OnnxModel};
pub use weights::WeightData;
