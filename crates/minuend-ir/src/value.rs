//! Names of nodes, of their results, and of the places that read them.

use petgraph::graph::NodeIndex;

/// A node of one graph. Not kept across the node's removal: indices are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) NodeIndex<u32>);

impl NodeId {
    /// A dense index, for tables by node.
    pub fn index(self) -> usize {
        self.0.index()
    }

    /// The result of that number.
    pub fn result(self, result: u16) -> ValueId {
        ValueId { node: self, result }
    }
}

/// One result of one node: every tensor in a graph is named by a `ValueId`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId {
    /// The node that computes it.
    pub node: NodeId,
    /// Which of the node's results.
    pub result: u16,
}

/// Edge weight: which result of the producer feeds which operand slot of the consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) operand: u16,
    pub(crate) result: u16,
}
