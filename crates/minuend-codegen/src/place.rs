//! Where the tensors of a launch lie.

use minuend_ir::DType;

use crate::axes::is_dense;
use crate::kernel::Kernel;
use crate::unsupported::Unsupported;

/// A launch with numbers for sizes.
#[derive(Clone, Copy, Debug)]
pub struct LaunchPlaces<'a> {
    /// What is computed.
    pub kernel: &'a Kernel,
    /// What it reads: the op's operands, then those of its tail.
    pub operands: &'a [TensorPlace<'a>],
    /// What it writes.
    pub results: &'a [TensorPlace<'a>],
    /// Sizes it needs as numbers.
    pub scalars: &'a [i64],
}

impl<'a> LaunchPlaces<'a> {
    /// The operand at `index`; an error if there is none.
    pub(crate) fn operand(&self, index: usize) -> Result<&'a TensorPlace<'a>, Unsupported> {
        self.place(self.operands, "operand", index)
    }

    /// The result at `index`; an error if there is none.
    pub(crate) fn result(&self, index: usize) -> Result<&'a TensorPlace<'a>, Unsupported> {
        self.place(self.results, "result", index)
    }

    /// As [`LaunchPlaces::operand`], for one that the plan makes dense.
    pub(crate) fn dense_operand(&self, index: usize) -> Result<&'a TensorPlace<'a>, Unsupported> {
        self.operand(index).and_then(|tensor| self.dense(tensor))
    }

    /// As [`LaunchPlaces::result`], for a dense one.
    pub(crate) fn dense_result(&self, index: usize) -> Result<&'a TensorPlace<'a>, Unsupported> {
        self.result(index).and_then(|tensor| self.dense(tensor))
    }

    /// As [`LaunchPlaces::operand`], for one whose rows along the last axis are dense.
    pub(crate) fn row_operand(&self, index: usize) -> Result<&'a TensorPlace<'a>, Unsupported> {
        let tensor = self.operand(index)?;
        match (tensor.shape.last(), tensor.strides.last()) {
            (Some(1), _) | (_, Some(1)) => Ok(tensor),
            _ => Err(self.unsupported(format!("operand {index} has a strided last axis"))),
        }
    }

    fn place(
        &self,
        places: &'a [TensorPlace<'a>],
        kind: &str,
        index: usize,
    ) -> Result<&'a TensorPlace<'a>, Unsupported> {
        places.get(index).ok_or_else(|| self.unsupported(format!("{kind} {index} is missing")))
    }

    fn dense(&self, tensor: &'a TensorPlace<'a>) -> Result<&'a TensorPlace<'a>, Unsupported> {
        let (shape, strides) = (tensor.shape, tensor.strides);
        if is_dense(shape, strides) {
            return Ok(tensor);
        }
        Err(self.unsupported(format!(
            "a tensor of shape {shape:?} has strides {strides:?}, expected dense ones"
        )))
    }

    fn unsupported(&self, reason: String) -> Unsupported {
        Unsupported { op: self.kernel.op.mnemonic(), reason }
    }
}

/// Faults that kernels count, by word of the fault buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An index of a gather is outside its axis.
    Index = 0,
}

/// A region of memory that kernels reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Region {
    /// Temporary memory.
    Arena,
    /// An argument, by index.
    Argument(usize),
    /// A state, by index.
    State(usize),
    /// A weight, by index.
    Weight(usize),
    /// Partial results between two dispatches of one launch.
    Scratch,
    /// Words that the device counts faults in; see [`Fault`].
    Faults,
    /// Words that are 0 between launches, by which the groups of one launch agree. A launch that uses
    /// some leaves them 0.
    Counters,
}

impl Region {
    /// True if no kernel writes there.
    pub(crate) fn is_read_only(self) -> bool {
        matches!(self, Region::Weight(_))
    }
}

/// A strided tensor in some region. Strides are in elements.
#[derive(Clone, Copy, Debug)]
pub struct TensorPlace<'a> {
    /// Where it lives.
    pub region: Region,
    /// Element type.
    pub dtype: DType,
    /// Byte offset of the first element in the region.
    pub byte_offset: u64,
    /// Sizes of the axes.
    pub shape: &'a [usize],
    /// Elements between neighbours of each axis.
    pub strides: &'a [usize],
}

impl TensorPlace<'_> {
    /// Number of elements; `None` if it overflows.
    pub fn elements(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size))
    }

    /// Bytes from the first element to behind the last; 0 for a tensor without elements.
    pub fn span_bytes(&self) -> u64 {
        if self.shape.contains(&0) {
            return 0;
        }
        let steps = self.shape.iter().zip(self.strides);
        let last: u64 = steps.map(|(size, stride)| (*size as u64 - 1) * *stride as u64).sum();
        (last + 1) * self.dtype.bytes()
    }
}
