//! A sequence of runs that share states.

use std::borrow::Cow;
use std::sync::Arc;

use minuend_ir::{Bindings, DType, Dim, Name};
use minuend_plan::{BoundProgram, BoundTensor, Program, StateSlot, Storage};

use crate::device::{DeviceError, Memory, PendingRead, Stream};
use crate::host_tensor::{HostTensor, byte_size};
use crate::row_major::{gather, is_dense};
use crate::run_error::RunError;

/// An argument of a run.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Given by the host.
    Host(&'a HostTensor),
    /// What the output with this index of the last run is; it stays on the device.
    LastOutput(usize),
    /// What the argument was in the last run since the session was opened or reset; it is not given to the
    /// device again.
    Kept,
}

/// An output that is on its way to the host; see [`Session::start_reading`].
#[derive(Debug)]
pub struct PendingTensor {
    read: PendingRead,
    tensor: BoundTensor,
    name: Name,
}

/// Runs a program again and again; its states live here.
pub struct Session {
    program: Arc<Program>,
    stream: Box<dyn Stream>,
    capacity: u64,
    /// Current value of each symbol that a growing state's axis is.
    grown: Bindings,
    /// Sizes of the last run since the states were reset.
    held: Option<Bindings>,
    /// The program as bound for the last run.
    bound: Option<BoundProgram>,
    peak_arena_bytes: u64,
}

impl Session {
    pub(crate) fn new(program: Arc<Program>, stream: Box<dyn Stream>, capacity: u64) -> Session {
        let mut session = Session {
            program,
            stream,
            capacity,
            grown: Bindings::new(),
            held: None,
            bound: None,
            peak_arena_bytes: 0,
        };
        session.reset();
        session
    }

    /// Forgets the states: growing ones have their least size again, others are zero.
    pub fn reset(&mut self) {
        self.held = None;
        let program = &self.program;
        for symbol in program.states.iter().filter_map(StateSlot::growing_symbol) {
            let least = program.symbols.info(symbol).map_or(0, |info| info.min);
            self.grown.set(symbol, least);
        }
    }

    /// Positions for which growing states have memory.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Positions that the growing states hold; 0 if none grows.
    pub fn position(&self) -> u64 {
        let mut symbols = self.program.states.iter().filter_map(StateSlot::growing_symbol);
        symbols.next().and_then(|symbol| self.grown.get(symbol)).unwrap_or(0)
    }

    /// Bytes reserved on the device: arena, arguments and states.
    pub fn allocated_bytes(&self) -> u64 {
        self.stream.allocated_bytes()
    }

    /// The largest arena that a run needed, in bytes.
    pub fn peak_arena_bytes(&self) -> u64 {
        self.peak_arena_bytes
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Runs the program on arguments in the order of [`Program::arguments`] and returns its outputs.
    pub fn run(&mut self, arguments: &[HostTensor]) -> Result<Vec<HostTensor>, RunError> {
        let all: Vec<usize> = (0..self.program.outputs.len()).collect();
        self.run_for(arguments, &all)
    }

    /// As [`Session::run`], but returns only the outputs with the indices `wanted`, in that order. The
    /// others are computed and not read from the device.
    ///
    /// # Errors
    /// As [`Session::run`], and [`RunError::NoSuchOutput`].
    pub fn run_for(
        &mut self,
        arguments: &[HostTensor],
        wanted: &[usize],
    ) -> Result<Vec<HostTensor>, RunError> {
        let count = self.program.outputs.len();
        if let Some(wanted) = wanted.iter().copied().find(|index| *index >= count) {
            return Err(RunError::NoSuchOutput { wanted, count });
        }
        let inputs: Vec<Input<'_>> = arguments.iter().map(Input::Host).collect();
        self.give(&inputs)?;
        wanted.iter().map(|index| self.read(*index)).collect()
    }

    /// Gives a run to the device and waits for nothing.
    ///
    /// # Errors
    /// As [`Session::run`], [`RunError::NoSuchOutput`] for an output that the last run did not have, and
    /// [`RunError::NothingKept`].
    pub fn give(&mut self, inputs: &[Input<'_>]) -> Result<(), RunError> {
        let program = Arc::clone(&self.program);
        let fed = inputs.iter().enumerate().map(|(index, input)| self.fed(index, *input));
        let fed = fed.collect::<Result<Vec<_>, _>>()?;
        let bindings = self.bindings(&fed)?;
        self.check_states(&bindings)?;
        let bound = program.bind(&bindings, self.bound.as_ref())?;
        for (index, bytes) in bound.argument_bytes.iter().enumerate() {
            self.stream.reserve(Memory::Argument(index), *bytes)?;
        }
        for (index, input) in inputs.iter().enumerate() {
            let argument = Memory::Argument(index);
            match (input, &fed[index].tensor) {
                (Input::Host(tensor), _) => self.stream.write(argument, 0, tensor.bytes())?,
                // Before the arena is reserved anew, where the output may lie.
                (Input::LastOutput(_), Some(tensor)) => {
                    let from = (self.memory_of(tensor)?, tensor.byte_offset);
                    let bytes = usize::try_from(tensor.span_bytes()).unwrap_or(usize::MAX);
                    self.stream.copy(from, (argument, 0), bytes)?;
                }
                (Input::LastOutput(_), None) | (Input::Kept, _) => {}
            }
        }
        self.reserve(&bound)?;
        if self.held.is_none() {
            self.clear_fixed_states(&bound)?;
        }
        self.stream.run(&bound)?;
        self.grow(&bindings);
        self.held = Some(bindings);
        self.peak_arena_bytes = self.peak_arena_bytes.max(bound.arena_bytes());
        self.bound = Some(bound);
        Ok(())
    }

    /// Type and shape of an argument, and where it is if it is on the device.
    fn fed<'a>(&self, index: usize, input: Input<'a>) -> Result<Fed<'a>, RunError> {
        match input {
            Input::Kept => self.kept(index),
            Input::Host(tensor) => {
                let shape = Cow::Borrowed(tensor.shape());
                Ok(Fed { dtype: tensor.dtype(), shape, tensor: None })
            }
            Input::LastOutput(index) => {
                let tensor = self.output(index)?;
                // Where rows have gaps, the host would have to close them; outputs are dense otherwise.
                if !is_dense(&tensor) {
                    let count = self.program.outputs.len();
                    return Err(RunError::NoSuchOutput { wanted: index, count });
                }
                let shape = Cow::Owned(tensor.shape.to_vec());
                Ok(Fed { dtype: tensor.dtype, shape, tensor: Some(tensor) })
            }
        }
    }

    /// The argument of the last run with that index.
    fn kept(&self, index: usize) -> Result<Fed<'static>, RunError> {
        let (found, expected) = (index + 1, self.program.arguments.len());
        let declared = self.program.arguments.get(index);
        let declared = declared.ok_or(RunError::ArgumentCount { found, expected })?;
        let size = |held: &Bindings, dim: &Dim| usize::try_from(dim.eval_size(held)?).ok();
        let shape = self.held.as_ref().and_then(|held| {
            declared.ty.shape.iter().map(|dim| size(held, dim)).collect::<Option<Vec<_>>>()
        });
        let nothing = || RunError::NothingKept { name: declared.name.to_string() };
        let shape = Cow::Owned(shape.ok_or_else(nothing)?);
        Ok(Fed { dtype: declared.ty.dtype, shape, tensor: None })
    }

    /// An output of the last run.
    fn output(&self, index: usize) -> Result<BoundTensor, RunError> {
        let outputs = self.bound.as_ref().map_or(&[][..], |bound| &bound.outputs);
        let missing = RunError::NoSuchOutput { wanted: index, count: outputs.len() };
        outputs.get(index).cloned().ok_or(missing)
    }

    /// Reads an output of the last run.
    ///
    /// # Errors
    /// [`RunError::NoSuchOutput`], [`RunError::OutputSize`], and [`RunError::Device`] if a run failed.
    pub fn read(&mut self, index: usize) -> Result<HostTensor, RunError> {
        let pending = self.start_reading(index)?;
        self.finish_reading(pending)
    }

    /// Asks for an output of the last run. Runs that are given behind this do not change what is read,
    /// nor do they wait for it.
    ///
    /// # Errors
    /// As [`Session::read`].
    pub fn start_reading(&mut self, index: usize) -> Result<PendingTensor, RunError> {
        let tensor = self.output(index)?;
        let name = self.program.outputs[index].name.clone();
        let memory = self.memory_of(&tensor)?;
        let size = byte_size(tensor.dtype, &tensor.shape);
        let span = usize::try_from(tensor.span_bytes()).ok();
        let Some((_, span)) = size.zip(span) else {
            return Err(RunError::OutputSize { name: name.to_string() });
        };
        let read = self.stream.start_read(memory, tensor.byte_offset, span)?;
        Ok(PendingTensor { read, tensor, name })
    }

    /// Waits for an output.
    ///
    /// # Errors
    /// As [`Session::read`].
    pub fn finish_reading(&mut self, pending: PendingTensor) -> Result<HostTensor, RunError> {
        let PendingTensor { read, tensor, name } = pending;
        let too_large = || RunError::OutputSize { name: name.to_string() };
        let size = byte_size(tensor.dtype, &tensor.shape).ok_or_else(too_large)?;
        let span = self.stream.finish_read(read)?;
        let bytes = if is_dense(&tensor) { span } else { gather(&tensor, &span, size) };
        HostTensor::from_bytes(tensor.dtype, &tensor.shape, bytes).ok_or_else(too_large)
    }

    /// True if it pays to give more runs before the outputs of earlier ones are read.
    pub fn runs_ahead(&self) -> bool {
        self.stream.runs_ahead()
    }

    /// Forgets the last positions of the growing states, so that they hold `positions`. More than they
    /// hold changes nothing.
    pub fn rewind(&mut self, positions: u64) {
        let program = Arc::clone(&self.program);
        for symbol in program.states.iter().filter_map(StateSlot::growing_symbol) {
            let held = self.grown.get(symbol).unwrap_or(0);
            self.grown.set(symbol, held.min(positions));
        }
    }

    /// Waits until the runs so far are done. A run that returned outputs is done already.
    ///
    /// # Errors
    /// [`RunError::Device`] if one of them failed.
    pub fn synchronize(&mut self) -> Result<(), RunError> {
        Ok(self.stream.synchronize()?)
    }

    /// Values of all symbols: from the arguments' shapes, the states' sizes and the capacity.
    fn bindings(&self, arguments: &[Fed<'_>]) -> Result<Bindings, RunError> {
        let program = &*self.program;
        if arguments.len() != program.arguments.len() {
            let (found, expected) = (arguments.len(), program.arguments.len());
            return Err(RunError::ArgumentCount { found, expected });
        }
        let mut bindings = self.grown.clone();
        if let Some(symbol) = program.capacity {
            bindings.set(symbol, self.capacity);
        }
        for (declared, given) in program.arguments.iter().zip(arguments) {
            for (dim, size) in declared.ty.shape.iter().zip(&*given.shape) {
                if let [symbol] = dim.symbols().as_slice()
                    && *dim == Dim::symbol(*symbol)
                    && bindings.get(*symbol).is_none()
                {
                    bindings.set(*symbol, *size as u64);
                }
            }
        }
        for (declared, given) in program.arguments.iter().zip(arguments) {
            let sizes = declared.ty.shape.iter().zip(&*given.shape);
            let fits = declared.ty.dtype == given.dtype
                && declared.ty.rank() == given.shape.len()
                && sizes.into_iter().all(|(dim, size)| {
                    dim.eval_size(&bindings).is_none_or(|expected| expected == *size as u64)
                });
            if !fits {
                return Err(RunError::ArgumentType {
                    name: declared.name.to_string(),
                    found: format!("{}{:?}", given.dtype, given.shape),
                    expected: declared.ty.display(&program.symbols).to_string(),
                });
            }
        }
        Ok(bindings)
    }

    /// Along axes that do not grow, states must have the sizes they were filled with.
    fn check_states(&self, bindings: &Bindings) -> Result<(), RunError> {
        let Some(held) = &self.held else { return Ok(()) };
        for state in &self.program.states {
            for (axis, dim) in state.ty.shape.iter().enumerate() {
                let sizes = dim.eval_size(held).zip(dim.eval_size(bindings));
                if let Some((held, found)) = sizes
                    && state.growing_axis != Some(axis)
                    && held != found
                {
                    let name = state.name.to_string();
                    return Err(RunError::StateSize { name, axis, held, found });
                }
            }
        }
        Ok(())
    }

    /// States that do not grow are zero in a fresh session.
    fn clear_fixed_states(&mut self, bound: &BoundProgram) -> Result<(), DeviceError> {
        const CHUNK: u64 = 1 << 20;
        let zeros = vec![0u8; CHUNK as usize];
        let states = self.program.states.iter().zip(&bound.state_bytes).enumerate();
        for (index, (_, bytes)) in states.filter(|(_, (state, _))| state.growing_axis.is_none()) {
            for start in (0..*bytes).step_by(CHUNK as usize) {
                let length = CHUNK.min(bytes - start) as usize;
                self.stream.write(Memory::State(index), start, &zeros[..length])?;
            }
        }
        Ok(())
    }

    fn reserve(&mut self, bound: &BoundProgram) -> Result<(), DeviceError> {
        self.stream.reserve(Memory::Arena, bound.arena_bytes())?;
        for (index, bytes) in bound.state_bytes.iter().enumerate() {
            self.stream.reserve(Memory::State(index), *bytes)?;
        }
        Ok(())
    }

    fn grow(&mut self, bindings: &Bindings) {
        for state in &self.program.states {
            let next = state.growing_axis.and_then(|axis| state.next.get(axis));
            let size = next.and_then(|size| size.eval_size(bindings));
            if let Some((symbol, size)) = state.growing_symbol().zip(size) {
                self.grown.set(symbol, size);
            }
        }
    }

    /// The memory that a tensor of the last run lies in.
    fn memory_of(&self, tensor: &BoundTensor) -> Result<Memory, DeviceError> {
        match tensor.storage {
            Storage::Block(_) => Ok(Memory::Arena),
            Storage::Argument(index) => Ok(Memory::Argument(index)),
            Storage::State(index) => Ok(Memory::State(index)),
            Storage::Weight(_) => Err(DeviceError::Setup {
                device: self.program.target.into(),
                reason: "an output is a weight itself; return a computed value".into(),
            }),
        }
    }
}

/// What is known of an argument before a run.
struct Fed<'a> {
    dtype: DType,
    shape: Cow<'a, [usize]>,
    /// Where it is on the device.
    tensor: Option<BoundTensor>,
}
