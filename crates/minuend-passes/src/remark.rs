//! Near-misses: what a pass recognised and why it left it alone.

use std::fmt;

use minuend_ir::{Graph, NodeId};

/// Why a pass did not transform something that looks like its pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The pass.
    pub pass: &'static str,
    /// The value at which the pattern would end: `%o`.
    pub at: String,
    /// The first condition that failed.
    pub message: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.pass, self.at, self.message)
    }
}

/// A node in words: its first result's name, or its mnemonic and index.
pub(crate) fn label(graph: &Graph, at: NodeId) -> String {
    let node = graph.node(at);
    match node.names.iter().flatten().next() {
        Some(name) => format!("%{name}"),
        None => format!("{}#{}", node.op.mnemonic(), at.index()),
    }
}
