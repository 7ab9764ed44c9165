//! The dataflow graph. petgraph stays private to this crate; edges are the only record of dataflow.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use petgraph::Direction;
use petgraph::stable_graph::StableDiGraph;
use petgraph::visit::EdgeRef;
use smallvec::SmallVec;

use crate::emit::Emit;
use crate::error::TypeError;
use crate::op::{Op, ResultTypes};
use crate::ops::{Input, InputKind, Return};
use crate::symbol::{Name, SymbolTable};
use crate::tensor_type::TensorType;
use crate::value::{NodeId, Use, ValueId};

/// How far a graph has come; each level says which ops and forms may occur (see
/// [`verify`](crate::verify)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GraphLevel {
    /// As a front end writes it.
    Source,
    /// One spelling per idiom.
    Canonical,
    /// Fused ops may occur.
    Fused,
    /// Every op is native to the target.
    Legal,
}

impl GraphLevel {
    /// Every level, lowest first.
    pub const ALL: [GraphLevel; 4] =
        [GraphLevel::Source, GraphLevel::Canonical, GraphLevel::Fused, GraphLevel::Legal];

    /// The word used in the text format.
    pub fn name(self) -> &'static str {
        match self {
            GraphLevel::Source => "source",
            GraphLevel::Canonical => "canonical",
            GraphLevel::Fused => "fused",
            GraphLevel::Legal => "legal",
        }
    }
}

/// One operation and the types of its results.
#[derive(Clone, Debug)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// Types of the results.
    pub results: ResultTypes,
    /// Names of the results, where given; as long as `results`.
    pub names: SmallVec<[Option<Name>; 1]>,
}

/// A state input and the value that the next run starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The input that holds the state.
    pub input: ValueId,
    /// Its next value.
    pub next: ValueId,
}

/// A typed dataflow graph: nodes compute values from values, and a return uses the results.
#[derive(Clone, Debug)]
pub struct Graph {
    name: Name,
    pub(crate) dag: StableDiGraph<Node, Use, u32>,
    symbols: SymbolTable,
    inputs: Vec<NodeId>,
    ret: Option<NodeId>,
    level: GraphLevel,
}

impl Graph {
    /// An empty graph over the given symbols.
    pub fn new(name: &str, symbols: SymbolTable) -> Graph {
        Graph {
            name: name.into(),
            dag: StableDiGraph::default(),
            symbols,
            inputs: Vec::new(),
            ret: None,
            level: GraphLevel::Source,
        }
    }

    /// The graph's name, without the `@` of the text format.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The symbols of its types.
    pub fn symbols(&self) -> &SymbolTable {
        &self.symbols
    }

    /// Changes what is known about the symbols. Ids stay valid as long as symbols are only added.
    pub fn symbols_mut(&mut self) -> &mut SymbolTable {
        &mut self.symbols
    }

    /// The level it claims to be at; [`verify`](crate::verify::verify) checks the claim.
    pub fn level(&self) -> GraphLevel {
        self.level
    }

    /// Claims a level.
    pub fn set_level(&mut self, level: GraphLevel) {
        self.level = level;
    }

    /// Adds an op. An ill-typed op is refused, so it never is in a graph.
    pub fn add(&mut self, op: Op, operands: &[ValueId]) -> Result<NodeId, TypeError> {
        let types: Vec<&TensorType> = operands.iter().map(|value| self.ty(*value)).collect();
        let results = op.infer(&types, &self.symbols)?;
        Ok(self.insert(op, operands, results))
    }

    /// Declares a parameter that is given anew for every run.
    pub fn argument(&mut self, name: &str, ty: TensorType) -> Result<ValueId, TypeError> {
        self.parameter(name, InputKind::Argument, ty)
    }

    /// Declares a parameter that the session keeps between runs.
    pub fn state(&mut self, name: &str, ty: TensorType) -> Result<ValueId, TypeError> {
        self.parameter(name, InputKind::State, ty)
    }

    fn parameter(
        &mut self,
        name: &str,
        kind: InputKind,
        ty: TensorType,
    ) -> Result<ValueId, TypeError> {
        let value = self.add(Op::Input(Input { kind, ty }), &[])?.result(0);
        self.set_name(value, name);
        Ok(value)
    }

    /// Adds an op with result types that nobody has checked; the verifier will.
    pub(crate) fn insert(&mut self, op: Op, operands: &[ValueId], results: ResultTypes) -> NodeId {
        let names = smallvec::smallvec![None; results.len()];
        let is_input = matches!(op, Op::Input(_));
        let is_return = matches!(op, Op::Return(_));
        let node = NodeId(self.dag.add_node(Node { op, results, names }));
        for (operand, value) in (0..=u16::MAX).zip(operands) {
            self.connect(node, operand, *value);
        }
        if is_input {
            self.inputs.push(node);
        }
        if is_return {
            self.ret = Some(node);
        }
        node
    }

    fn connect(&mut self, user: NodeId, operand: u16, value: ValueId) {
        self.dag.add_edge(value.node.0, user.0, Use { operand, result: value.result });
    }

    /// Ends the graph: `outputs`, then the next value of every state input in order.
    pub fn set_return(
        &mut self,
        outputs: &[ValueId],
        next_states: &[ValueId],
    ) -> Result<(), TypeError> {
        if let Some(old) = self.ret.take() {
            self.dag.remove_node(old.0);
        }
        let operands: Vec<ValueId> = outputs.iter().chain(next_states).copied().collect();
        self.add(Op::Return(Return { outputs: outputs.len() }), &operands).map(|_| ())
    }

    /// The node of that id.
    ///
    /// # Panics
    /// If the node was removed: ids must not be kept across a removal.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.dag[id.0]
    }

    /// True if a node of that id exists.
    pub fn contains(&self, id: NodeId) -> bool {
        self.dag.contains_node(id.0)
    }

    /// The op that computes a value.
    pub fn def(&self, value: ValueId) -> &Op {
        &self.node(value.node).op
    }

    /// A value's type.
    ///
    /// # Panics
    /// If there is no such value.
    pub fn ty(&self, value: ValueId) -> &TensorType {
        &self.node(value.node).results[usize::from(value.result)]
    }

    /// A value's name, if it has one.
    pub fn value_name(&self, value: ValueId) -> Option<&Name> {
        self.node(value.node).names.get(usize::from(value.result)).and_then(Option::as_ref)
    }

    /// Names a value.
    pub fn set_name(&mut self, value: ValueId, name: &str) {
        let names = self.dag.node_weight_mut(value.node.0).map(|node| &mut node.names);
        if let Some(slot) = names.and_then(|names| names.get_mut(usize::from(value.result))) {
            *slot = Some(name.into());
        }
    }

    /// The values a node reads, by slot.
    pub fn operands(&self, id: NodeId) -> SmallVec<[ValueId; 4]> {
        let mut slots: SmallVec<[(u16, ValueId); 4]> = self
            .dag
            .edges_directed(id.0, Direction::Incoming)
            .map(|edge| {
                let value = ValueId { node: NodeId(edge.source()), result: edge.weight().result };
                (edge.weight().operand, value)
            })
            .collect();
        slots.sort_unstable_by_key(|(operand, _)| *operand);
        slots.into_iter().map(|(_, value)| value).collect()
    }

    /// The value in one operand slot.
    pub fn operand(&self, id: NodeId, slot: usize) -> Option<ValueId> {
        self.dag
            .edges_directed(id.0, Direction::Incoming)
            .find(|edge| usize::from(edge.weight().operand) == slot)
            .map(|edge| ValueId { node: NodeId(edge.source()), result: edge.weight().result })
    }

    /// Every operand slot that reads a value, ordered by node and slot. The return counts.
    pub fn uses(&self, value: ValueId) -> SmallVec<[(NodeId, u16); 4]> {
        let mut uses: SmallVec<[(NodeId, u16); 4]> = self
            .dag
            .edges_directed(value.node.0, Direction::Outgoing)
            .filter(|edge| edge.weight().result == value.result)
            .map(|edge| (NodeId(edge.target()), edge.weight().operand))
            .collect();
        uses.sort_unstable();
        uses
    }

    /// True if exactly one operand slot reads the value.
    pub fn has_one_use(&self, value: ValueId) -> bool {
        self.uses(value).len() == 1
    }

    /// The parameters, in order of declaration.
    pub fn inputs(&self) -> &[NodeId] {
        &self.inputs
    }

    /// The return node, once there is one.
    pub fn return_node(&self) -> Option<NodeId> {
        self.ret
    }

    /// The outputs, in order.
    pub fn outputs(&self) -> Vec<ValueId> {
        let mut values = self.returned();
        values.truncate(self.output_count());
        values
    }

    /// The states, in order of their inputs.
    pub fn states(&self) -> Vec<State> {
        let next = self.returned().split_off(self.output_count().min(self.returned().len()));
        let inputs = self.inputs.iter().filter(
            |input| matches!(&self.node(**input).op, Op::Input(op) if op.kind == InputKind::State),
        );
        inputs.zip(next).map(|(input, next)| State { input: input.result(0), next }).collect()
    }

    fn returned(&self) -> Vec<ValueId> {
        self.ret.map_or_else(Vec::new, |ret| self.operands(ret).into_vec())
    }

    fn output_count(&self) -> usize {
        match self.ret.map(|ret| &self.node(ret).op) {
            Some(Op::Return(op)) => op.outputs,
            _ => 0,
        }
    }

    /// Ids of all nodes, dead ones included, in order of index.
    pub fn node_ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.dag.node_indices().map(NodeId)
    }

    /// Number of nodes, dead ones included.
    pub fn len(&self) -> usize {
        self.dag.node_count()
    }

    /// True for a graph without nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often each op occurs among the nodes that the return needs, by mnemonic.
    pub fn op_counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for id in crate::order::topological(self) {
            *counts.entry(self.node(id).op.mnemonic()).or_insert(0) += 1;
        }
        counts
    }

    /// Makes every user of `old` read `new`, but for the users in `except`.
    pub(crate) fn replace_uses(&mut self, old: ValueId, new: ValueId, except: &[NodeId]) {
        let edges: Vec<_> = self
            .dag
            .edges_directed(old.node.0, Direction::Outgoing)
            .filter(|edge| edge.weight().result == old.result)
            .filter(|edge| !except.contains(&NodeId(edge.target())))
            .map(|edge| (edge.id(), NodeId(edge.target()), edge.weight().operand))
            .collect();
        for (edge, user, operand) in edges {
            self.dag.remove_edge(edge);
            self.connect(user, operand, new);
        }
    }

    /// Removes the node if nothing reads it, then its operands alike. Inputs and the return stay.
    /// Returns how many nodes went.
    pub(crate) fn remove_if_dead(&mut self, id: NodeId) -> usize {
        let mut removed = 0;
        let mut queue = VecDeque::from([id]);
        while let Some(id) = queue.pop_front() {
            let Some(node) = self.dag.node_weight(id.0) else { continue };
            let is_kept = matches!(node.op, Op::Input(_) | Op::Return(_));
            let is_read = self.dag.edges_directed(id.0, Direction::Outgoing).next().is_some();
            if is_kept || is_read {
                continue;
            }
            queue.extend(self.operands(id).into_iter().map(|value| value.node));
            self.dag.remove_node(id.0);
            removed += 1;
        }
        removed
    }

    /// Removes every node that the return does not need, inputs excepted. Returns how many went.
    pub fn remove_unreachable(&mut self) -> usize {
        let live: std::collections::HashSet<NodeId> =
            crate::order::topological(self).into_iter().collect();
        let before = self.len();
        let inputs: std::collections::HashSet<NodeId> = self.inputs.iter().copied().collect();
        self.dag.retain_nodes(|_, index| {
            let id = NodeId(index);
            live.contains(&id) || inputs.contains(&id)
        });
        before - self.len()
    }
}

impl Emit for Graph {
    fn emit(&mut self, op: Op, operands: &[ValueId]) -> Result<NodeId, TypeError> {
        self.add(op, operands)
    }

    fn type_of(&self, value: ValueId) -> &TensorType {
        self.ty(value)
    }

    fn symbols(&self) -> &SymbolTable {
        &self.symbols
    }
}
