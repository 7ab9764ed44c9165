//! From places in a plan to views of memory.

use std::marker::PhantomData;

use minuend_plan::{BoundTensor, Storage};

use crate::kernels::{KernelError, StridedMut, StridedRef};
use crate::memory::AlignedBytes;
use crate::module::CpuWeight;

/// Why a launch could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error("{what} {index} of the program does not exist")]
    Missing { what: &'static str, index: usize },
    #[error("a tensor of bytes {start}..{end} leaves its memory of {size} bytes")]
    Outside { start: u64, end: u64, size: usize },
    #[error("a result would be written into its storage while an operand is read from it")]
    Overlap,
    #[error("a result lies in an argument or a weight, which are not written")]
    ReadOnly,
    #[error("the elements are not aligned to their type")]
    Alignment,
    #[error("index {index} is outside of 0..{size}")]
    Index { index: i64, size: usize },
    #[error("the op has {found} operands, expected {expected}")]
    Operands { found: usize, expected: usize },
    #[error("result {result} was given out before")]
    GivenOut { result: usize },
    #[error("operand {operand} is strided, expected dense")]
    NotDense { operand: usize },
    #[error("a packed weight is not one tensor")]
    PackedWeight,
    #[error("this op runs as a view, a copy or not at all; it has no kernel")]
    NoKernel,
}

/// A region as a pointer, so that several views of it can live at once.
#[derive(Clone, Copy)]
struct Region<'a> {
    data: *mut u8,
    len: usize,
    owner: PhantomData<&'a mut [u8]>,
}

impl<'a> Region<'a> {
    fn new(memory: &'a mut AlignedBytes) -> Region<'a> {
        let bytes = memory.bytes_mut();
        Region { data: bytes.as_mut_ptr(), len: bytes.len(), owner: PhantomData }
    }
}

/// Every region that a program's tensors lie in.
pub(crate) struct Regions<'a> {
    pub(crate) weights: &'a [CpuWeight],
    arena: Region<'a>,
    arguments: Vec<Region<'a>>,
    states: Vec<Region<'a>>,
}

// SAFETY: the regions are exclusive borrows of plain bytes, kept as pointers. Views of them are made by
// one thread at a time, for one launch: `launch` runs inside the pool, and `Regions` is not cloned.
unsafe impl Send for Regions<'_> {}
// SAFETY: as above.
unsafe impl Sync for Regions<'_> {}

impl<'a> Regions<'a> {
    pub(crate) fn new(
        weights: &'a [CpuWeight],
        arena: &'a mut AlignedBytes,
        arguments: &'a mut [AlignedBytes],
        states: &'a mut [AlignedBytes],
    ) -> Regions<'a> {
        Regions {
            weights,
            arena: Region::new(arena),
            arguments: arguments.iter_mut().map(Region::new).collect(),
            states: states.iter_mut().map(Region::new).collect(),
        }
    }

    fn region(&self, storage: Storage) -> Result<Region<'a>, LaunchError> {
        let get = |regions: &[Region<'a>], what, index: usize| {
            regions.get(index).copied().ok_or(LaunchError::Missing { what, index })
        };
        match storage {
            Storage::Block(_) => Ok(self.arena),
            Storage::Argument(index) => get(&self.arguments, "argument", index),
            Storage::State(index) => get(&self.states, "state", index),
            Storage::Weight(_) => Err(LaunchError::ReadOnly),
        }
    }

    pub(crate) fn weight(&self, index: usize) -> Result<&'a CpuWeight, LaunchError> {
        self.weights.get(index).ok_or(LaunchError::Missing { what: "weight", index })
    }

    /// The bytes of an operand: from its first element to behind its last.
    ///
    /// # Safety
    /// While they are borrowed, nothing writes them: the results of the same launch are disjoint from
    /// them, which [`check_disjoint`] asserts.
    pub(crate) unsafe fn operand_bytes(&self, at: &BoundTensor) -> Result<&'a [u8], LaunchError> {
        if let Storage::Weight(index) = at.storage {
            let bytes = self.weight(index)?.dense_bytes().ok_or(LaunchError::PackedWeight)?;
            let range = range(at, bytes.len())?;
            return Ok(&bytes[range]);
        }
        let region = self.region(at.storage)?;
        let range = range(at, region.len)?;
        // SAFETY: the range lies in the region, which outlives `'a`; the caller sees to it that
        // nothing writes it.
        Ok(unsafe { std::slice::from_raw_parts(region.data.add(range.start), range.len()) })
    }

    /// A strided view of an operand.
    ///
    /// # Safety
    /// As [`Regions::operand_bytes`].
    pub(crate) unsafe fn read<T: bytemuck::Pod>(
        &self,
        at: &BoundTensor,
    ) -> Result<StridedRef<'a, T>, LaunchError> {
        // SAFETY: the caller's promise.
        let bytes = unsafe { self.operand_bytes(at) }?;
        let data = bytemuck::try_cast_slice(bytes).map_err(|_| LaunchError::Alignment)?;
        Ok(StridedRef::new(data, &at.shape, &at.strides)?)
    }

    /// A strided view of a result.
    ///
    /// # Safety
    /// The bytes are disjoint from those of every other view that lives at the same time.
    pub(crate) unsafe fn write<T: bytemuck::Pod>(
        &self,
        at: &BoundTensor,
    ) -> Result<StridedMut<'a, T>, LaunchError> {
        if let Storage::Argument(_) = at.storage {
            return Err(LaunchError::ReadOnly);
        }
        let region = self.region(at.storage)?;
        let range = range(at, region.len)?;
        // SAFETY: the range lies in the region, which outlives `'a`, and the caller sees to it that
        // no other view overlaps it.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(region.data.add(range.start), range.len()) };
        let data = bytemuck::try_cast_slice_mut(bytes).map_err(|_| LaunchError::Alignment)?;
        Ok(StridedMut::new(data, &at.shape, &at.strides)?)
    }
}

fn range(at: &BoundTensor, size: usize) -> Result<std::ops::Range<usize>, LaunchError> {
    let (start, end) = (at.byte_offset, at.byte_offset.saturating_add(at.span_bytes()));
    if start == end {
        return Ok(0..0);
    }
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) if end <= size => Ok(start..end),
        _ => Err(LaunchError::Outside { start, end, size }),
    }
}

/// No result may share bytes with an operand or another result.
pub(crate) fn check_disjoint(
    operands: &[BoundTensor],
    results: &[BoundTensor],
) -> Result<(), LaunchError> {
    let region = |storage| match storage {
        // All blocks lie in one arena.
        Storage::Block(_) => Storage::Block(0),
        other => other,
    };
    let overlap = |a: &BoundTensor, b: &BoundTensor| {
        region(a.storage) == region(b.storage)
            && a.byte_offset < b.byte_offset + b.span_bytes()
            && b.byte_offset < a.byte_offset + a.span_bytes()
    };
    for (index, result) in results.iter().enumerate() {
        let others = operands.iter().chain(&results[..index]);
        if others.into_iter().any(|other| overlap(result, other)) {
            return Err(LaunchError::Overlap);
        }
    }
    Ok(())
}
