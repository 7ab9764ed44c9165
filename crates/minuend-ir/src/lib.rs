//! The intermediate representation of minuend.
//!
//! # Values and nodes
//! A [`Graph`] is a directed acyclic graph. A node is one [`Op`] with the types of its results; a
//! [`ValueId`] names one result of one node. Every tensor is a value, values are never written twice,
//! and nothing has side effects. Edges are the only record of dataflow: an edge says which result of
//! the producer feeds which operand slot of the consumer.
//!
//! The end of a graph is an [`Op::Return`] node that uses every output, so "has one use" needs no
//! special case for outputs, and dead code is what the return does not reach.
//!
//! # Types and symbols
//! A type is an element type and a shape; a size is a [`Dim`], a polynomial over the graph's symbols
//! with equality that is algebraic equality. By convention the front ends use `B` (batch), `S` (query
//! tokens), `P` (past tokens) and name `T = P + S`. Symbols have ranges; a property of sizes holds in
//! the compiler only if it holds for every value in range.
//!
//! Inference is the check: [`Op::infer`] gives the result types or says which operand or attribute is
//! wrong. [`Graph::add`] calls it, so an ill-typed node is never in a graph; the verifier calls it again.
//!
//! # State
//! An input of kind state is kept by the session between runs; the return names its next value. A
//! key/value cache is a state of shape `[B, kv_heads, P, d]` whose next value has shape
//! `[B, kv_heads, P + S, d]`.
//!
//! # Levels
//! A graph is at one of four [`GraphLevel`]s. Front ends write source graphs of primitive ops; the
//! passes raise them through canonical and fused to legal, where every op is native to one target. A
//! [`LegalGraph`] is the proof of the last step, and the only thing a plan is made from.
//!
//! # Meaning
//! Floats stand for real numbers: the float64 interpreter defines every op, and element types say how
//! values are stored. Sums, softmax and norms are computed in f32 or better on every device.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod decompose;
mod dim;
pub mod dot;
mod dtype;
mod emit;
mod error;
mod graph;
mod op;
pub mod ops;
pub mod order;
mod patch;
mod real;
mod support;
mod symbol;
mod tensor_type;
pub mod text;
mod value;
pub mod verify;
pub mod view;

pub use dim::{Dim, DisplayDim};
pub use dtype::DType;
pub use emit::{Emit, Emitted};
pub use error::{TypeError, TypeErrorKind};
pub use graph::{Graph, GraphLevel, Node, State};
pub use op::{Op, ResultTypes};
pub use patch::{Applied, Patch, PatchBuilder, PatchError};
pub use real::Real;
pub use support::{IllegalOp, LegalGraph, Legality, LegalityError, OpInstance, OpSupport};
pub use symbol::{Bindings, Name, SymbolError, SymbolId, SymbolInfo, SymbolTable};
pub use tensor_type::{DisplayShape, DisplayType, Shape, TensorType};
pub use value::{NodeId, ValueId};
