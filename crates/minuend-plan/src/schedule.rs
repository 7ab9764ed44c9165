//! From a legal graph to steps over buffers.

mod growth;

use std::collections::{HashMap, HashSet};

use minuend_codegen::{Kernel, Target};
use minuend_ir::ops::{InputKind, Slice};
use minuend_ir::order::topological;
use minuend_ir::text::ValueNames;
use minuend_ir::view::{View, dense_strides};
use minuend_ir::{
    DType, Dim, Graph, LegalGraph, NodeId, Op, Shape, State, SymbolId, SymbolTable, TensorType,
    ValueId,
};
use smallvec::{SmallVec, smallvec};

use crate::error::PlanError;
use crate::lifetime;
use crate::program::{
    Argument, Block, CopyStep, Launch, Output, Program, StateSlot, Step, Storage, TensorRef,
    WeightSlot,
};
use crate::storage_order::result_strides;
use crate::tails::{Group, Groups};

/// Name of the symbol that counts the positions for which growing states have memory.
const CAPACITY: &str = "capacity";

/// Makes the program of a legal graph.
pub fn plan(graph: &LegalGraph, target: &dyn Target) -> Result<Program, PlanError> {
    let graph = graph.graph();
    let mut planner = Planner::new(graph, target)?;
    let order = topological(graph);
    let groups = Groups::of(graph, target, &order)?;
    for id in order {
        match groups.ending_at(id) {
            Some(group) => planner.launch(group),
            None if groups.is_unstored(id) => {}
            None => planner.node(id)?,
        }
    }
    planner.finish()
}

struct Planner<'g> {
    graph: &'g Graph,
    target: &'g dyn Target,
    states: Vec<State>,
    program: Program,
    kernels: HashMap<Kernel, usize>,
    places: HashMap<ValueId, TensorRef>,
    names: ValueNames,
    /// What the return needs.
    live: HashSet<NodeId>,
}

impl<'g> Planner<'g> {
    fn new(graph: &'g Graph, target: &'g dyn Target) -> Result<Planner<'g>, PlanError> {
        let mut planner = Planner {
            graph,
            target,
            states: graph.states(),
            program: Program {
                name: graph.name().to_string(),
                target: target.name(),
                symbols: graph.symbols().clone(),
                capacity: None,
                kernels: Vec::new(),
                steps: Vec::new(),
                blocks: Vec::new(),
                arguments: Vec::new(),
                states: Vec::new(),
                weights: Vec::new(),
                outputs: Vec::new(),
                step_symbols: Vec::new(),
            },
            kernels: HashMap::new(),
            places: HashMap::new(),
            names: ValueNames::new(graph),
            live: topological(graph).into_iter().collect(),
        };
        for input in graph.inputs() {
            planner.input(*input)?;
        }
        planner.check_growth()?;
        Ok(planner)
    }

    /// A session knows a state's size by the symbol that its growing axis is: the symbol must be alone
    /// there, and mean the same wherever a state has it.
    fn check_growth(&self) -> Result<(), PlanError> {
        let states = &self.program.states;
        for state in states {
            let Some(axis) = state.growing_axis else { continue };
            let size = &state.ty.shape[axis];
            let is_elsewhere = |symbol: SymbolId| {
                states.iter().any(|other| {
                    other.ty.shape.iter().enumerate().any(|(at, dim)| {
                        let grows_alike =
                            other.growing_axis == Some(at) && other.next[at] == state.next[axis];
                        dim.symbols().contains(&symbol) && !grows_alike
                    })
                })
            };
            if state.growing_symbol().is_none_or(is_elsewhere) {
                let found = size.display(&self.program.symbols).to_string();
                return Err(PlanError::StateSize { name: state.name.to_string(), axis, found });
            }
        }
        Ok(())
    }

    /// The value as the printed graph names it.
    fn label(&self, value: ValueId) -> String {
        self.names.of(value)
    }

    fn input(&mut self, id: NodeId) -> Result<(), PlanError> {
        let value = id.result(0);
        let ty = self.graph.ty(value).clone();
        let name = self.graph.value_name(value).cloned();
        let name = name.unwrap_or_else(|| format!("input{}", id.index()).into());
        let Op::Input(op) = self.graph.def(value) else { return Ok(()) };
        let place = match op.kind {
            InputKind::Argument => {
                let storage = Storage::Argument(self.program.arguments.len());
                self.program.arguments.push(Argument { name, ty: ty.clone() });
                dense(storage, &ty)
            }
            InputKind::State => {
                let slot = self.state_slot(name.to_string(), value, &ty)?;
                let storage = Storage::State(self.program.states.len());
                let strides = dense_strides(&slot.allocated);
                self.program.states.push(slot);
                TensorRef { strides, ..dense(storage, &ty) }
            }
        };
        self.places.insert(value, place);
        Ok(())
    }

    fn state_slot(
        &mut self,
        name: String,
        value: ValueId,
        ty: &TensorType,
    ) -> Result<StateSlot, PlanError> {
        let next = self.states.iter().find(|state| state.input == value);
        let next = next.map_or_else(|| ty.shape.clone(), |s| self.graph.ty(s.next).shape.clone());
        let growing: SmallVec<[usize; 1]> = ty
            .shape
            .iter()
            .zip(&next)
            .enumerate()
            .filter(|(_, (old, new))| old != new)
            .map(|(axis, _)| axis)
            .collect();
        let mut allocated = ty.shape.clone();
        let growing_axis = match growing.as_slice() {
            [] => None,
            [axis] => {
                allocated[*axis] = self.capacity()?;
                Some(*axis)
            }
            axes => return Err(PlanError::StateGrowth { name, axes: axes.len() }),
        };
        Ok(StateSlot { name: name.into(), ty: ty.clone(), next, growing_axis, allocated })
    }

    /// The capacity symbol; declared when the first growing state asks for it.
    fn capacity(&mut self) -> Result<Dim, PlanError> {
        if let Some(id) = self.program.capacity {
            return Ok(Dim::symbol(id));
        }
        let symbols = &mut self.program.symbols;
        let mut name = CAPACITY.to_string();
        while symbols.lookup(&name).is_some() {
            name.push('_');
        }
        let id = symbols.declare(&name, 0, SymbolTable::LIMIT)?;
        self.program.capacity = Some(id);
        Ok(Dim::symbol(id))
    }

    fn node(&mut self, id: NodeId) -> Result<(), PlanError> {
        let graph = self.graph;
        let node = graph.node(id);
        let operands = graph.operands(id);
        match (&node.op, operands.as_slice()) {
            (Op::Input(_), _) => Ok(()),
            (Op::Return(_), _) => self.returns(),
            (Op::Weight(weight), _) => {
                let value = id.result(0);
                let may_stay_apart = graph.uses(value).iter().all(|(user, slot)| {
                    let is_dead = !self.live.contains(user);
                    let is_rows = *slot == 1
                        && matches!(graph.node(*user).op, Op::Matmul(op) if op.transpose_rhs);
                    is_rows || is_dead
                });
                let storage = Storage::Weight(self.program.weights.len());
                let (parts, ty) = (weight.parts.clone(), weight.ty.clone());
                self.places.insert(value, dense(storage, &ty));
                self.program.weights.push(WeightSlot { parts, ty, may_stay_apart });
                Ok(())
            }
            (op, [source]) if op.is_view() => self.view(op, id.result(0), *source),
            (Op::Concat(op), parts) => self.concat(op.axis, id.result(0), parts),
            (Op::KvAppend(op), [cache, new]) => self.append(op.axis, id.result(0), *cache, *new),
            _ => {
                self.launch(&Group::alone(graph, self.target, id)?);
                Ok(())
            }
        }
    }

    fn place(&self, value: ValueId) -> TensorRef {
        match self.places.get(&value) {
            Some(place) => place.clone(),
            None => unreachable!("topological order places operands before their users"),
        }
    }

    /// A fresh block of the arena for a value.
    fn block(&mut self, dtype: DType, shape: &[Dim], strides: Shape) -> TensorRef {
        let elements: Dim = shape.iter().product();
        let bytes = &elements * i64::try_from(dtype.bytes()).unwrap_or(i64::MAX);
        let storage = Storage::Block(self.program.blocks.len());
        self.program.blocks.push(Block { bytes, first: 0, last: 0 });
        TensorRef { storage, dtype, offset: Dim::zero(), shape: shape.into(), strides }
    }

    fn copy(&mut self, from: TensorRef, to: TensorRef, label: String) {
        self.program.steps.push(Step::Copy(Box::new(CopyStep { from, to, label })));
    }

    /// The same elements in row-major order in a block of their own.
    fn copy_dense(&mut self, from: TensorRef, label: String) -> TensorRef {
        let to = self.block(from.dtype, &from.shape, dense_strides(&from.shape));
        self.copy(from, to.clone(), label);
        to
    }

    fn view(&mut self, op: &Op, value: ValueId, source: ValueId) -> Result<(), PlanError> {
        let source = self.place(source);
        let viewed = match view_of(&source, op) {
            Some(place) => Some(place),
            None => {
                let label = self.label(value);
                view_of(&self.copy_dense(source, label), op)
            }
        };
        let label = || self.label(value);
        let place = viewed.ok_or_else(|| PlanError::Layout { label: label() })?;
        self.places.insert(value, place);
        Ok(())
    }

    fn concat(&mut self, axis: usize, value: ValueId, parts: &[ValueId]) -> Result<(), PlanError> {
        let ty = self.graph.ty(value).clone();
        let to = self.block(ty.dtype, &ty.shape, dense_strides(&ty.shape));
        let mut start = Dim::zero();
        for part in parts {
            let from = self.place(*part);
            let size = from.shape[axis].clone();
            let end = &start + &size;
            let target = self.part(&to, axis, start, end.clone(), value)?;
            let label = self.label(value);
            self.copy(from, target, label);
            start = end;
        }
        self.places.insert(value, to);
        Ok(())
    }

    fn part(
        &self,
        whole: &TensorRef,
        axis: usize,
        start: Dim,
        end: Dim,
        value: ValueId,
    ) -> Result<TensorRef, PlanError> {
        let slice = Op::Slice(Slice { axis, start, end: Some(end), step: 1 });
        view_of(whole, &slice).ok_or_else(|| PlanError::Layout { label: self.label(value) })
    }

    fn launch(&mut self, group: &Group) {
        let mut operands = Vec::with_capacity(group.operands.len());
        for operand in &group.operands {
            let place = self.place(operand.value);
            let last_is_dense = place
                .shape
                .last()
                .zip(place.strides.last())
                .is_none_or(|(size, stride)| stride.is(1) || size.is(1));
            let reads_strided = |(reader, slot): &(NodeId, usize)| {
                self.target.reads_strided(&self.graph.node(*reader).op, *slot, last_is_dense)
            };
            let fits = is_row_major(&place) || operand.readers.iter().all(reads_strided);
            let label = self.label(operand.value);
            operands.push(if fits { place } else { self.copy_dense(place, label) });
        }
        let (op, last) = (&self.graph.node(group.head).op, group.last());
        let mut results = Vec::new();
        for (result, ty) in (0..=u16::MAX).zip(&self.graph.node(last).results) {
            let place = match self.cache_tail(op, last.result(result), &operands) {
                Some(tail) => tail,
                None => self.block(ty.dtype, &ty.shape, result_strides(op, &ty.shape)),
            };
            self.places.insert(last.result(result), place.clone());
            results.push(place);
        }
        let scalars = match op {
            Op::DimValue(op) => smallvec![op.size.clone()],
            _ => SmallVec::new(),
        };
        let next = self.kernels.len();
        let index = *self.kernels.entry(group.kernel.clone()).or_insert(next);
        if index == next {
            self.program.kernels.push(group.kernel.clone());
        }
        let label = self.label(last.result(0));
        let launch = Launch { kernel: index, operands, results, scalars, label };
        self.program.steps.push(Step::Launch(launch));
    }

    /// Outputs where they lie; next states to where the next run looks for them.
    fn returns(&mut self) -> Result<(), PlanError> {
        let states = self.states.clone();
        let is_moved = |planner: &Self, state: &State| {
            let (old, new) = (planner.place(state.input), planner.place(state.next));
            new.storage != old.storage || new.strides != old.strides || new.offset != old.offset
        };
        let moved: Vec<State> =
            states.iter().filter(|state| is_moved(self, state)).copied().collect();
        // Writing one state must not change an output or another next state that is still to be read;
        // arguments and weights are not memory that outputs are read from.
        let mut outputs = Vec::new();
        for (index, value) in self.graph.outputs().into_iter().enumerate() {
            let mut tensor = self.place(value);
            let is_volatile = match tensor.storage {
                Storage::Block(_) => false,
                Storage::State(_) => !moved.is_empty(),
                Storage::Argument(_) | Storage::Weight(_) => true,
            };
            if is_volatile {
                tensor = self.copy_dense(tensor, self.label(value));
            }
            let name = self.graph.value_name(value).cloned();
            let name = name.unwrap_or_else(|| format!("output{index}").into());
            outputs.push(Output { name, tensor });
        }
        let mut sources = Vec::new();
        for state in &moved {
            let mut from = self.place(state.next);
            if matches!(from.storage, Storage::State(_)) {
                from = self.copy_dense(from, self.label(state.next));
            }
            sources.push(from);
        }
        for (state, from) in moved.iter().zip(sources) {
            let to = TensorRef { shape: from.shape.clone(), ..self.place(state.input) };
            let label = self.label(state.next);
            self.copy(from, to, label);
        }
        self.program.outputs = outputs;
        Ok(())
    }

    fn finish(mut self) -> Result<Program, PlanError> {
        let program = &mut self.program;
        lifetime::assign(&mut program.blocks, &program.steps, &program.outputs);
        program.step_symbols = program.steps.iter().map(Step::symbols).collect();
        Ok(self.program)
    }
}

fn dense(storage: Storage, ty: &TensorType) -> TensorRef {
    let (shape, strides) = (ty.shape.clone(), dense_strides(&ty.shape));
    TensorRef { storage, dtype: ty.dtype, offset: Dim::zero(), shape, strides }
}

/// The view that a layout op makes of a strided tensor, if strides can express it.
fn view_of(source: &TensorRef, op: &Op) -> Option<TensorRef> {
    let view = View::strided(source.offset.clone(), &source.shape, &source.strides).apply(op)?;
    let (shape, strides) = (view.shape(), view.strides()?);
    Some(TensorRef { offset: view.offset, shape, strides, ..source.clone() })
}

/// True if the elements lie in row-major order without gaps; strides of axes of size 1 do not matter.
fn is_row_major(place: &TensorRef) -> bool {
    let dense = dense_strides(&place.shape);
    let mut axes = place.shape.iter().zip(place.strides.iter().zip(&dense));
    axes.all(|(size, (stride, dense))| size.is(1) || stride == dense)
}
