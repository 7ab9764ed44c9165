//! Edits of a graph: nodes to add and values to replace, built against the graph and applied at once.

use smallvec::SmallVec;

use petgraph::graph::NodeIndex;

use crate::emit::Emit;
use crate::error::TypeError;
use crate::graph::Graph;
use crate::op::{Op, ResultTypes};
use crate::symbol::SymbolTable;
use crate::tensor_type::TensorType;
use crate::value::{NodeId, ValueId};

/// Node ids from here on name nodes of a patch that is not applied yet.
const FIRST_PENDING: usize = 1 << 30;

#[derive(Clone, Debug)]
struct PendingNode {
    op: Op,
    operands: SmallVec<[ValueId; 4]>,
    results: ResultTypes,
}

/// A patch under construction. New nodes are checked as they are added.
pub struct PatchBuilder<'g> {
    graph: &'g Graph,
    patch: Patch,
}

/// An edit of one graph.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    nodes: Vec<PendingNode>,
    replacements: Vec<(ValueId, ValueId)>,
}

/// A replacement that would change a value's type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value of type {found} would replace one of type {expected}")]
pub struct PatchError {
    found: String,
    expected: String,
}

/// What applying a patch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The nodes added, in order.
    pub added: Vec<NodeId>,
    /// How many nodes became dead and were removed.
    pub removed: usize,
}

impl<'g> PatchBuilder<'g> {
    /// An empty patch against `graph`.
    pub fn new(graph: &'g Graph) -> PatchBuilder<'g> {
        PatchBuilder { graph, patch: Patch::default() }
    }

    /// Users of `old` will read `new` instead. Nodes of this patch that read `old` keep doing so.
    pub fn replace(&mut self, old: ValueId, new: ValueId) {
        self.patch.replacements.push((old, new));
    }

    /// The finished patch.
    pub fn finish(self) -> Patch {
        self.patch
    }

    /// The finished patch, replacing one value.
    pub fn replacing(mut self, old: ValueId, new: ValueId) -> Patch {
        self.replace(old, new);
        self.patch
    }

    fn pending(&self, id: NodeId) -> Option<&PendingNode> {
        self.patch.nodes.get(id.index().checked_sub(FIRST_PENDING)?)
    }

    /// The op that computes a value, be it of the graph or of the patch.
    pub fn def(&self, value: ValueId) -> &Op {
        match self.pending(value.node) {
            Some(node) => &node.op,
            None => self.graph.def(value),
        }
    }
}

impl Emit for PatchBuilder<'_> {
    fn emit(&mut self, op: Op, operands: &[ValueId]) -> Result<NodeId, TypeError> {
        let types: Vec<&TensorType> = operands.iter().map(|value| self.type_of(*value)).collect();
        let results = op.infer(&types, self.graph.symbols())?;
        let id = NodeId(NodeIndex::new(FIRST_PENDING + self.patch.nodes.len()));
        self.patch.nodes.push(PendingNode { op, operands: operands.into(), results });
        Ok(id)
    }

    fn type_of(&self, value: ValueId) -> &TensorType {
        match self.pending(value.node) {
            Some(node) => &node.results[usize::from(value.result)],
            None => self.graph.ty(value),
        }
    }

    fn symbols(&self) -> &SymbolTable {
        self.graph.symbols()
    }
}

impl Graph {
    /// Applies a patch built against this very graph. A replacement takes over the name of what it
    /// replaces; what became dead is removed. On an error the graph is as it was.
    pub fn apply(&mut self, patch: Patch) -> Result<Applied, PatchError> {
        for (old, new) in &patch.replacements {
            let expected = self.ty(*old);
            let found = match new.node.index().checked_sub(FIRST_PENDING) {
                Some(pending) => &patch.nodes[pending].results[usize::from(new.result)],
                None => self.ty(*new),
            };
            if found != expected {
                return Err(PatchError {
                    found: found.display(self.symbols()).to_string(),
                    expected: expected.display(self.symbols()).to_string(),
                });
            }
        }
        let mut added = Vec::with_capacity(patch.nodes.len());
        for node in patch.nodes {
            let operands: SmallVec<[ValueId; 4]> =
                node.operands.iter().map(|value| settle(*value, &added)).collect();
            added.push(self.insert(node.op, &operands, node.results));
        }
        let mut removed = 0;
        for (old, new) in &patch.replacements {
            let new = settle(*new, &added);
            self.replace_uses(*old, new, &added);
            if self.value_name(new).is_none()
                && let Some(name) = self.value_name(*old).cloned()
            {
                self.set_name(new, &name);
            }
        }
        for (old, _) in &patch.replacements {
            removed += self.remove_if_dead(old.node);
        }
        for node in &added {
            if self.contains(*node) && !matches!(self.node(*node).op, Op::Return(_)) {
                removed += self.remove_if_dead(*node);
            }
        }
        added.retain(|node| self.contains(*node));
        Ok(Applied { added, removed })
    }
}

fn settle(value: ValueId, added: &[NodeId]) -> ValueId {
    match value.node.index().checked_sub(FIRST_PENDING) {
        Some(pending) => added[pending].result(value.result),
        None => value,
    }
}
