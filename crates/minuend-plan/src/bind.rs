//! A program with its symbols fixed: every tensor a byte range with strides.

use std::sync::Arc;

use minuend_codegen::{Region, TensorPlace};
use minuend_ir::{Bindings, DType, Dim, Name, SymbolId, SymbolTable};
use smallvec::SmallVec;

use crate::arena::{Placement, place};
use crate::program::{Program, Step, Storage, TensorRef};

/// A tensor with numbers for sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundTensor {
    /// Where it lives. A block's place is part of `byte_offset`.
    pub storage: Storage,
    /// Element type.
    pub dtype: DType,
    /// Byte offset of the first element in the arena, argument, state or weight.
    pub byte_offset: u64,
    /// Sizes of the axes.
    pub shape: SmallVec<[usize; 6]>,
    /// Elements between neighbours of each axis.
    pub strides: SmallVec<[usize; 6]>,
}

impl BoundTensor {
    /// The tensor as kernels are told of it.
    pub fn place(&self) -> TensorPlace<'_> {
        let region = match self.storage {
            Storage::Block(_) => Region::Arena,
            Storage::Argument(index) => Region::Argument(index),
            Storage::State(index) => Region::State(index),
            Storage::Weight(index) => Region::Weight(index),
        };
        let (dtype, byte_offset) = (self.dtype, self.byte_offset);
        TensorPlace { region, dtype, byte_offset, shape: &self.shape, strides: &self.strides }
    }

    /// Bytes from the first element to behind the last; 0 for a tensor without elements.
    pub fn span_bytes(&self) -> u64 {
        if self.shape.contains(&0) {
            return 0;
        }
        let last = self.shape.iter().zip(&self.strides).map(|(n, stride)| (n - 1) * stride);
        (last.sum::<usize>() as u64 + 1) * self.dtype.bytes()
    }
}

/// One launch with numbers for sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundLaunch {
    /// Index into [`Program::kernels`].
    pub kernel: usize,
    /// Index of the step, for error messages.
    pub step: usize,
    /// What it reads.
    pub operands: Vec<BoundTensor>,
    /// What it writes.
    pub results: Vec<BoundTensor>,
    /// Sizes it needs as numbers.
    pub scalars: SmallVec<[i64; 1]>,
}

/// One copy between tensors of one shape and type, with numbers for sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundCopy {
    /// Index of the step, for error messages.
    pub step: usize,
    /// Read.
    pub from: BoundTensor,
    /// Written.
    pub to: BoundTensor,
}

/// One step with numbers for sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundStep {
    /// Runs a kernel.
    Launch(BoundLaunch),
    /// Moves elements.
    Copy(Box<BoundCopy>),
}

/// A program ready to run for one set of sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundProgram {
    /// What is done, in order. A step that is the same as in an earlier program is the very same one.
    pub steps: Vec<Arc<BoundStep>>,
    /// The outputs behind the last step.
    pub outputs: Vec<BoundTensor>,
    /// Places of the blocks.
    pub placement: Placement,
    /// Bytes of each argument.
    pub argument_bytes: Vec<u64>,
    /// Bytes of each state's memory.
    pub state_bytes: Vec<u64>,
    /// Values of the symbols.
    bindings: Bindings,
}

impl BoundProgram {
    /// Size of the arena in bytes.
    pub fn arena_bytes(&self) -> u64 {
        self.placement.bytes
    }
}

/// Why a program cannot be bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// A symbol has no value.
    #[error("symbol {0} has no value")]
    Unbound(String),
    /// A symbol's value is outside its range.
    #[error("symbol {name} is {value}, expected {min}..={max}")]
    OutOfRange {
        /// The symbol.
        name: String,
        /// Its value.
        value: u64,
        /// Its least value.
        min: u64,
        /// Its greatest value.
        max: u64,
    },
    /// A symbol's value is not the multiple it is declared to be.
    #[error("symbol {name} is {value}, expected a multiple of {multiple_of}")]
    NotMultiple {
        /// The symbol.
        name: String,
        /// Its value.
        value: u64,
        /// The declared divisor.
        multiple_of: u64,
    },
    /// A size is negative or too large to address.
    #[error("size {0} is negative or too large for this machine")]
    Size(String),
    /// A state would grow beyond its memory.
    #[error("state %{name} would hold {needed} positions, its memory holds {capacity}")]
    Capacity {
        /// The state.
        name: Name,
        /// Positions behind the run.
        needed: u64,
        /// Positions that fit.
        capacity: u64,
    },
}

impl Program {
    /// Fixes the symbols. `reuse` is this program bound earlier: its placement is taken over when no
    /// block's size differs, and then every step whose symbols have the same values.
    pub fn bind(
        &self,
        bindings: &Bindings,
        reuse: Option<&BoundProgram>,
    ) -> Result<BoundProgram, BindError> {
        check_ranges(&self.symbols, bindings)?;
        let numbers = Numbers { symbols: &self.symbols, bindings };
        for state in &self.states {
            let Some(axis) = state.growing_axis else { continue };
            let needed = numbers.size(&state.next[axis])?;
            let capacity = numbers.size(&state.allocated[axis])?;
            if needed > capacity {
                let name = state.name.clone();
                return Err(BindError::Capacity { name, needed, capacity });
            }
        }
        let sizes = self.blocks.iter().map(|block| numbers.size(&block.bytes));
        let sizes: Vec<u64> = sizes.collect::<Result<_, _>>()?;
        let reuse = reuse.filter(|old| old.placement.sizes == sizes);
        let placement = match reuse {
            Some(old) => old.placement.clone(),
            None => {
                place(&self.blocks, sizes).ok_or_else(|| BindError::Size("of the arena".into()))?
            }
        };
        let tensors = Tensors { numbers, placement: &placement };
        let mut steps = Vec::with_capacity(self.steps.len());
        for (index, step) in self.steps.iter().enumerate() {
            let same = reuse.filter(|old| {
                let symbols = self.step_symbols.get(index);
                symbols.is_some_and(|symbols| {
                    symbols.iter().all(|id| old.bindings.get(*id) == bindings.get(*id))
                })
            });
            steps.push(match same.and_then(|old| old.steps.get(index)) {
                Some(same) => Arc::clone(same),
                None => Arc::new(tensors.step(index, step)?),
            });
        }
        let outputs = self.outputs.iter().map(|output| tensors.tensor(&output.tensor));
        let outputs = outputs.collect::<Result<_, _>>()?;
        let arguments = self.arguments.iter();
        let argument_bytes = arguments
            .map(|argument| numbers.bytes(argument.ty.dtype, &argument.ty.shape))
            .collect::<Result<_, _>>()?;
        let states = self.states.iter();
        let state_bytes = states
            .map(|state| numbers.bytes(state.ty.dtype, &state.allocated))
            .collect::<Result<_, _>>()?;
        let bindings = bindings.clone();
        Ok(BoundProgram { steps, outputs, placement, argument_bytes, state_bytes, bindings })
    }
}

/// A symbol without a value is found when a size needs it: a graph may declare more than it uses.
fn check_ranges(symbols: &SymbolTable, bindings: &Bindings) -> Result<(), BindError> {
    for (id, info) in symbols.symbols() {
        let name = || info.name.to_string();
        let Some(value) = bindings.get(id) else { continue };
        if value < info.min || value > info.max {
            let (min, max) = (info.min, info.max);
            return Err(BindError::OutOfRange { name: name(), value, min, max });
        }
        if value % info.multiple_of != 0 {
            let multiple_of = info.multiple_of;
            return Err(BindError::NotMultiple { name: name(), value, multiple_of });
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Numbers<'a> {
    symbols: &'a SymbolTable,
    bindings: &'a Bindings,
}

impl Numbers<'_> {
    /// Why a size has no value.
    fn fault(&self, dim: &Dim) -> BindError {
        let is_unbound = |id: &SymbolId| self.bindings.get(*id).is_none();
        let unbound = dim.symbols().into_iter().find(is_unbound);
        match unbound.and_then(|id| self.symbols.info(id)) {
            Some(info) => BindError::Unbound(info.name.to_string()),
            None => BindError::Size(dim.display(self.symbols).to_string()),
        }
    }

    fn size(&self, dim: &Dim) -> Result<u64, BindError> {
        dim.eval_size(self.bindings).ok_or_else(|| self.fault(dim))
    }

    fn index(&self, dim: &Dim) -> Result<usize, BindError> {
        usize::try_from(self.size(dim)?)
            .map_err(|_| BindError::Size(dim.display(self.symbols).to_string()))
    }

    fn bytes(&self, dtype: DType, shape: &[Dim]) -> Result<u64, BindError> {
        let elements: Dim = shape.iter().product();
        let too_large = || BindError::Size(elements.display(self.symbols).to_string());
        self.size(&elements)?.checked_mul(dtype.bytes()).ok_or_else(too_large)
    }
}

struct Tensors<'a> {
    numbers: Numbers<'a>,
    placement: &'a Placement,
}

impl Tensors<'_> {
    fn step(&self, index: usize, step: &Step) -> Result<BoundStep, BindError> {
        Ok(match step {
            Step::Copy(copy) => {
                let (from, to) = (self.tensor(&copy.from)?, self.tensor(&copy.to)?);
                BoundStep::Copy(Box::new(BoundCopy { step: index, from, to }))
            }
            Step::Launch(launch) => {
                let operands = launch.operands.iter().map(|tensor| self.tensor(tensor));
                let results = launch.results.iter().map(|tensor| self.tensor(tensor));
                let scalar = |dim: &Dim| {
                    dim.eval(self.numbers.bindings).ok_or_else(|| self.numbers.fault(dim))
                };
                BoundStep::Launch(BoundLaunch {
                    kernel: launch.kernel,
                    step: index,
                    operands: operands.collect::<Result<_, _>>()?,
                    results: results.collect::<Result<_, _>>()?,
                    scalars: launch.scalars.iter().map(scalar).collect::<Result<_, _>>()?,
                })
            }
        })
    }

    fn tensor(&self, tensor: &TensorRef) -> Result<BoundTensor, BindError> {
        let base = match tensor.storage {
            Storage::Block(index) => self.placement.offsets.get(index).copied().unwrap_or(0),
            Storage::Argument(_) | Storage::State(_) | Storage::Weight(_) => 0,
        };
        let offset = self.numbers.size(&tensor.offset)?.checked_mul(tensor.dtype.bytes());
        let byte_offset = offset.and_then(|offset| offset.checked_add(base));
        let too_large = || BindError::Size(tensor.offset.display(self.numbers.symbols).to_string());
        let sizes = |dims: &[Dim]| -> Result<SmallVec<[usize; 6]>, BindError> {
            dims.iter().map(|dim| self.numbers.index(dim)).collect()
        };
        Ok(BoundTensor {
            storage: tensor.storage,
            dtype: tensor.dtype,
            byte_offset: byte_offset.ok_or_else(too_large)?,
            shape: sizes(&tensor.shape)?,
            strides: sizes(&tensor.strides)?,
        })
    }
}
