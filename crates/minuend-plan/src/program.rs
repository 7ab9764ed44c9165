//! The linear program: steps, buffers, and where values live.

use minuend_codegen::Kernel;
use minuend_ir::{DType, Dim, Name, Shape, SymbolId, SymbolTable, TensorType};
use smallvec::SmallVec;

/// A region of memory that a tensor lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Storage {
    /// A block of the arena, by index into [`Program::blocks`].
    Block(usize),
    /// An argument, by index into [`Program::arguments`].
    Argument(usize),
    /// A state, by index into [`Program::states`].
    State(usize),
    /// A weight, by index into [`Program::weights`].
    Weight(usize),
}

/// A strided tensor in some storage. Offset and strides are in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorRef {
    /// Where it lives.
    pub storage: Storage,
    /// Element type.
    pub dtype: DType,
    /// Position of the first element.
    pub offset: Dim,
    /// Sizes of the axes.
    pub shape: Shape,
    /// Elements between neighbours of each axis.
    pub strides: Shape,
}

/// An argument of the graph, given for each run in row-major order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub ty: TensorType,
}

/// A state: memory that outlives a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSlot {
    /// Its name.
    pub name: Name,
    /// Its type before a run.
    pub ty: TensorType,
    /// Its shape behind a run.
    pub next: Shape,
    /// The axis that grows, if one does. Memory holds [`Program::capacity`] positions of it.
    pub growing_axis: Option<usize>,
    /// The shape of the memory: `ty` with the capacity as the growing axis.
    pub allocated: Shape,
}

impl StateSlot {
    /// The symbol that counts the positions of a growing state: its growing axis is the symbol alone.
    pub fn growing_symbol(&self) -> Option<SymbolId> {
        let size = self.ty.shape.get(self.growing_axis?)?;
        match size.symbols().as_slice() {
            [symbol] if *size == Dim::symbol(*symbol) => Some(*symbol),
            _ => None,
        }
    }
}

/// A weight, resident for as long as the executable lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightSlot {
    /// Names of the stored tensors, stacked along axis 0.
    pub parts: Vec<Name>,
    /// Type of the stacked tensor.
    pub ty: TensorType,
    /// Every user is a matrix product that can read the parts where they are. Otherwise the device
    /// must make them one dense tensor.
    pub may_stay_apart: bool,
}

/// A block of the arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Size in bytes.
    pub bytes: Dim,
    /// The step that writes it first.
    pub first: usize,
    /// The last step that reads it; the number of steps for outputs.
    pub last: usize,
}

/// A named result of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The value's name.
    pub name: Name,
    /// Where it is behind the last step.
    pub tensor: TensorRef,
}

/// One kernel launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Index into [`Program::kernels`].
    pub kernel: usize,
    /// What it reads.
    pub operands: Vec<TensorRef>,
    /// What it writes.
    pub results: Vec<TensorRef>,
    /// Sizes it needs as numbers, such as the value of a `dim`.
    pub scalars: SmallVec<[Dim; 1]>,
    /// The value computed, for plans and profiles.
    pub label: String,
}

/// A copy between tensors of one shape and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyStep {
    /// Read.
    pub from: TensorRef,
    /// Written.
    pub to: TensorRef,
    /// The value moved, for plans and profiles.
    pub label: String,
}

/// One step of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Runs a kernel.
    Launch(Launch),
    /// Moves elements.
    Copy(Box<CopyStep>),
}

/// A linear program over buffers, with sizes that are polynomials.
#[derive(Clone, Debug)]
pub struct Program {
    /// The graph's name.
    pub name: String,
    /// The target's name.
    pub target: &'static str,
    /// The graph's symbols, and the capacity of the states.
    pub symbols: SymbolTable,
    /// How many positions the memory of growing states holds; `None` if no state grows.
    pub capacity: Option<SymbolId>,
    /// The distinct kernels.
    pub kernels: Vec<Kernel>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Temporary memory.
    pub blocks: Vec<Block>,
    /// What each run is given.
    pub arguments: Vec<Argument>,
    /// What outlives a run.
    pub states: Vec<StateSlot>,
    /// Trained tensors.
    pub weights: Vec<WeightSlot>,
    /// What each run gives.
    pub outputs: Vec<Output>,
    /// For each step, the symbols that its sizes depend on.
    pub(crate) step_symbols: Vec<SmallVec<[SymbolId; 4]>>,
}

impl Step {
    /// The symbols that its sizes depend on. The places of blocks are not among them.
    pub(crate) fn symbols(&self) -> SmallVec<[SymbolId; 4]> {
        let (tensors, scalars): (Vec<&TensorRef>, &[Dim]) = match self {
            Step::Copy(copy) => (vec![&copy.from, &copy.to], &[]),
            Step::Launch(launch) => {
                (launch.operands.iter().chain(&launch.results).collect(), &launch.scalars)
            }
        };
        let of_tensor = |tensor: &TensorRef| {
            let dims = tensor.shape.iter().chain(&tensor.strides).chain([&tensor.offset]);
            dims.flat_map(Dim::symbols).collect::<Vec<_>>()
        };
        let mut found: SmallVec<[SymbolId; 4]> = tensors
            .into_iter()
            .flat_map(of_tensor)
            .chain(scalars.iter().flat_map(Dim::symbols))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Program {
    /// How often the launches compute the given op, by mnemonic, ops in the tail of a kernel included.
    pub fn launches_of(&self, mnemonic: &str) -> usize {
        let count = |step: &Step| match step {
            Step::Launch(launch) => {
                let ops = self.kernels[launch.kernel].ops();
                ops.into_iter().filter(|op| *op == mnemonic).count()
            }
            Step::Copy(_) => 0,
        };
        self.steps.iter().map(count).sum()
    }

    /// Bytes of all weights in the types they are stored in.
    pub fn weight_bytes(&self) -> u64 {
        let bytes = |slot: &WeightSlot| {
            let elements = slot.ty.elements().as_const().unwrap_or(0);
            u64::try_from(elements).unwrap_or(0).saturating_mul(slot.ty.dtype.bytes())
        };
        self.weights.iter().map(bytes).sum()
    }
}
