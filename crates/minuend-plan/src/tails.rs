//! Which ops a kernel applies to its result before it stores it.
//!
//! A group is a head, a product or an elementwise op, and the elementwise ops behind it, all of one
//! shape. It is one launch, made where its last member stands in the order, so that all it reads has
//! been computed. What its earlier members read is thereby read later than in the graph's order, and
//! is still the same: blocks are written once before they are read, and the old value of a state stays
//! until the return, since growth in place writes behind it.

use std::collections::{HashMap, HashSet};

use minuend_codegen::{CodegenError, Kernel, Tail, TailOperand, TailStep, Target};
use minuend_ir::ops::Slice;
use minuend_ir::view::{View, trace};
use minuend_ir::{Dim, Graph, NodeId, Op, OpInstance, ValueId};
use smallvec::{SmallVec, smallvec};

/// One operand of a launch.
#[derive(Clone)]
pub(crate) struct LaunchOperand {
    /// The value read.
    pub(crate) value: ValueId,
    /// The nodes of the group that read it, and in which operand slot.
    pub(crate) readers: SmallVec<[(NodeId, usize); 1]>,
}

/// Nodes that are one launch.
#[derive(Clone)]
pub(crate) struct Group {
    /// The node whose op the kernel is named for.
    pub(crate) head: NodeId,
    /// The nodes of the tail, in order.
    behind: Vec<NodeId>,
    /// The kernel for all of them.
    pub(crate) kernel: Kernel,
    /// Operands of the launch, as many as the kernel has.
    pub(crate) operands: Vec<LaunchOperand>,
}

impl Group {
    /// A node that is a launch alone.
    pub(crate) fn alone(
        graph: &Graph,
        target: &dyn Target,
        id: NodeId,
    ) -> Result<Group, CodegenError> {
        let kernel = target.select(&OpInstance::of(graph, id))?;
        let values = graph.operands(id).into_iter().enumerate();
        let operands =
            values.map(|(slot, value)| LaunchOperand { value, readers: smallvec![(id, slot)] });
        Ok(Group { head: id, behind: Vec::new(), kernel, operands: operands.collect() })
    }

    /// The node whose results are stored.
    pub(crate) fn last(&self) -> NodeId {
        self.behind.last().copied().unwrap_or(self.head)
    }

    /// The nodes, in order; the results of all but the last are never stored.
    fn members(&self) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::once(self.head).chain(self.behind.iter().copied())
    }

    /// The group with one more elementwise node behind it.
    fn with(&self, graph: &Graph, user: NodeId) -> Group {
        let mut group = self.clone();
        let own = graph.operands(self.head).len();
        let mut operands = SmallVec::new();
        for (slot, value) in graph.operands(user).into_iter().enumerate() {
            if let Some(index) = self.members().position(|member| member.result(0) == value) {
                operands.push(TailOperand::Value(index));
                continue;
            }
            let mut extra = group.operands.iter().skip(own);
            let index = match extra.position(|operand| operand.value == value) {
                Some(index) => own + index,
                None => {
                    group.kernel.operands.push(graph.ty(value).dtype);
                    group.operands.push(LaunchOperand { value, readers: SmallVec::new() });
                    group.operands.len() - 1
                }
            };
            group.operands[index].readers.push((user, slot));
            operands.push(TailOperand::Operand(index));
        }
        let result = graph.ty(user.result(0)).dtype;
        let mut steps = match std::mem::take(&mut group.kernel.tail) {
            Tail::Elementwise(steps) => steps,
            Tail::None | Tail::Swiglu => Vec::new(),
        };
        steps.push(TailStep { op: graph.node(user).op.clone(), operands, result });
        group.kernel.tail = Tail::Elementwise(steps);
        group.kernel.results = smallvec![result];
        group.behind.push(user);
        group
    }
}

/// The groups of a graph that have more than one member.
#[derive(Default)]
pub(crate) struct Groups {
    by_last: HashMap<NodeId, Group>,
    unstored: HashSet<NodeId>,
}

impl Groups {
    /// Forms the groups for which the target makes kernels. `order` is the order of the plan.
    pub(crate) fn of(
        graph: &Graph,
        target: &dyn Target,
        order: &[NodeId],
    ) -> Result<Groups, CodegenError> {
        let position = order.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        let mut finder = Finder { graph, target, position, groups: Groups::default() };
        let has_op = |id: &&NodeId, is_of: fn(&Op) -> bool| is_of(&graph.node(**id).op);
        for id in order.iter().filter(|id| has_op(id, |op| matches!(op, Op::Swiglu))) {
            finder.packed_swiglu(*id)?;
        }
        let is_head = |op: &Op| op.is_elementwise() || matches!(op, Op::Matmul(_));
        for id in order.iter().filter(|id| has_op(id, is_head)) {
            finder.chain_behind(*id)?;
        }
        Ok(finder.groups)
    }

    /// True for a node whose results the launch of a group computes and nothing stores.
    pub(crate) fn is_unstored(&self, id: NodeId) -> bool {
        self.unstored.contains(&id)
    }

    /// The group that ends at the node.
    pub(crate) fn ending_at(&self, id: NodeId) -> Option<&Group> {
        self.by_last.get(&id)
    }

    fn contains(&self, id: NodeId) -> bool {
        self.unstored.contains(&id) || self.by_last.contains_key(&id)
    }

    /// Adds a group, and views between its members that nothing else reads.
    fn add(&mut self, group: Group, views: impl IntoIterator<Item = NodeId>) {
        let last = group.last();
        self.unstored.extend(group.members().filter(|member| *member != last).chain(views));
        self.by_last.insert(last, group);
    }
}

struct Finder<'g> {
    graph: &'g Graph,
    target: &'g dyn Target,
    /// Where each node that the return needs stands in the order.
    position: HashMap<NodeId, usize>,
    groups: Groups,
}

impl Finder<'_> {
    /// The nodes that read a node's first result, of those that the return needs.
    fn users(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let users = self.graph.uses(id.result(0)).into_iter().map(|(user, _)| user);
        users.filter(|user| self.position.contains_key(user))
    }

    /// The longest group from a head along elementwise users. It may end only where every value but
    /// the last is read by members alone; then no operand of the launch depends on a member.
    fn chain_behind(&mut self, head: NodeId) -> Result<(), CodegenError> {
        if self.groups.contains(head) {
            return Ok(());
        }
        let mut group = Group::alone(self.graph, self.target, head)?;
        let mut longest = None;
        let mut members = HashSet::from([head]);
        while let Some(user) = self.next_user(head, &members) {
            group = group.with(self.graph, user);
            if !self.target.fuses(&group.kernel) {
                break;
            }
            members.insert(user);
            let mut inner = group.members().filter(|member| *member != user);
            if inner.all(|member| self.users(member).all(|user| members.contains(&user))) {
                longest = Some(group.clone());
            }
        }
        if let Some(group) = longest {
            self.groups.add(group, []);
        }
        Ok(())
    }

    /// The first node in the order that reads a member and is none; `None` if there is none, or one
    /// that can never become a member.
    fn next_user(&self, head: NodeId, members: &HashSet<NodeId>) -> Option<NodeId> {
        let shape = &self.graph.ty(head.result(0)).shape;
        let mut first = None;
        for user in members.iter().flat_map(|member| self.users(*member)) {
            if members.contains(&user) {
                continue;
            }
            let node = self.graph.node(user);
            let has_shape = node.results.first().is_some_and(|ty| ty.shape == *shape);
            if !node.op.is_elementwise() || !has_shape || self.groups.contains(user) {
                return None;
            }
            first = first.into_iter().chain([user]).min_by_key(|user| self.position.get(user));
        }
        first
    }

    /// A group of a product with a packed gate/up weight and the SwiGLU of its halves, which nothing
    /// else reads.
    fn packed_swiglu(&mut self, id: NodeId) -> Result<(), CodegenError> {
        let graph = self.graph;
        let operands = graph.operands(id);
        let [gate, up] = operands.as_slice() else { return Ok(()) };
        let ((product, gate_view), (base, up_view)) = (trace(graph, *gate), trace(graph, *up));
        let Op::Matmul(matmul) = graph.def(product) else { return Ok(()) };
        let weight = graph.operand(product.node, 1);
        let is_projection = matmul.transpose_rhs
            && weight.is_some_and(|weight| {
                matches!(graph.def(weight), Op::Weight(_)) && graph.ty(weight).rank() == 2
            });
        let is_packed = base == product
            && halves(&graph.ty(product).shape)
                .is_some_and(|[lower, upper]| gate_view == lower && up_view == upper)
            && graph.ty(id.result(0)).shape == gate_view.shape();
        if !is_projection || !is_packed {
            return Ok(());
        }
        let mut views = HashSet::new();
        for mut value in [*gate, *up] {
            while value != product {
                views.insert(value.node);
                let Some(source) = graph.operand(value.node, 0) else { return Ok(()) };
                value = source;
            }
        }
        let mut values = views.iter().copied().chain([product.node]);
        if values.any(|at| self.users(at).any(|user| user != id && !views.contains(&user))) {
            return Ok(());
        }
        let mut group = Group::alone(graph, self.target, product.node)?;
        group.behind.push(id);
        group.kernel.tail = Tail::Swiglu;
        group.kernel.results = smallvec![graph.ty(id.result(0)).dtype];
        if self.target.fuses(&group.kernel) {
            self.groups.add(group, views);
        }
        Ok(())
    }
}

/// Views of the two halves of the last axis; `None` if its size is not even.
fn halves(shape: &[Dim]) -> Option<[View; 2]> {
    let axis = shape.len().checked_sub(1)?;
    let size = shape.last()?;
    let half = size.exact_div(&Dim::from(2))?;
    let view = |start: Dim, end: Dim| {
        let slice = Slice { axis, start, end: Some(end), step: 1 };
        View::dense(shape).apply(&Op::Slice(slice))
    };
    Some([view(Dim::zero(), half.clone())?, view(half, size.clone())?])
}

#[cfg(test)]
mod tests;
