//! What a target can run, and the proof that a graph asks for nothing else.

use std::fmt;

use smallvec::SmallVec;

use crate::graph::{Graph, GraphLevel};
use crate::op::Op;
use crate::order::topological;
use crate::symbol::SymbolTable;
use crate::tensor_type::TensorType;
use crate::value::NodeId;
use crate::verify::{VerifyErrors, verify};

/// An op with the types it is applied to.
pub struct OpInstance<'a> {
    /// The op.
    pub op: &'a Op,
    /// Types of the operands.
    pub operands: SmallVec<[&'a TensorType; 4]>,
    /// The ops that compute the operands.
    pub sources: SmallVec<[&'a Op; 4]>,
    /// Types of the results.
    pub results: &'a [TensorType],
    /// The symbols of the types.
    pub symbols: &'a SymbolTable,
}

impl<'a> OpInstance<'a> {
    /// The op of a node.
    pub fn of(graph: &'a Graph, id: NodeId) -> OpInstance<'a> {
        let node = graph.node(id);
        let operands = graph.operands(id);
        OpInstance {
            op: &node.op,
            operands: operands.iter().map(|value| graph.ty(*value)).collect(),
            sources: operands.iter().map(|value| graph.def(*value)).collect(),
            results: &node.results,
            symbols: graph.symbols(),
        }
    }
}

/// A target's answer about one op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Legality {
    /// The target has a kernel.
    Native,
    /// The target runs the op's decomposition; the reason is told to the user.
    Decompose {
        /// Why there is no kernel.
        reason: String,
    },
    /// The target cannot run it.
    Unsupported {
        /// Why not.
        reason: String,
    },
}

/// What the legalizer asks of a target.
pub trait OpSupport {
    /// Whether and how the target runs an op.
    fn legality(&self, op: &OpInstance<'_>) -> Legality;
}

/// A graph that passed the verifier at level legal, every op native to one target.
#[derive(Clone, Debug)]
pub struct LegalGraph(Graph);

/// An op that a target cannot run as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IllegalOp {
    /// The node's first result as text, or its mnemonic.
    pub at: String,
    /// The op.
    pub op: &'static str,
    /// Why not.
    pub reason: String,
}

impl fmt::Display for IllegalOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.at, self.op, self.reason)
    }
}

/// Why a graph is not legal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LegalityError {
    /// It is not even valid.
    #[error(transparent)]
    Invalid(#[from] VerifyErrors),
    /// Ops without a kernel, all of them.
    #[error("the target cannot run {}", list(.0))]
    Illegal(Vec<IllegalOp>),
}

fn list(ops: &[IllegalOp]) -> String {
    ops.iter().map(IllegalOp::to_string).collect::<Vec<_>>().join("; ")
}

impl LegalGraph {
    /// Verifies the graph at level legal and asks the target about every op.
    pub fn check(mut graph: Graph, target: &dyn OpSupport) -> Result<LegalGraph, LegalityError> {
        graph.set_level(GraphLevel::Legal);
        verify(&graph)?;
        let mut illegal = Vec::new();
        for id in topological(&graph) {
            let reason = match target.legality(&OpInstance::of(&graph, id)) {
                Legality::Native => continue,
                Legality::Decompose { reason } | Legality::Unsupported { reason } => reason,
            };
            let op = graph.node(id).op.mnemonic();
            let name = graph.node(id).names.iter().flatten().next();
            let at = name.map_or_else(|| op.to_string(), |name| format!("%{name}"));
            illegal.push(IllegalOp { at, op, reason });
        }
        if illegal.is_empty() {
            Ok(LegalGraph(graph))
        } else {
            Err(LegalityError::Illegal(illegal))
        }
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.0
    }
}
