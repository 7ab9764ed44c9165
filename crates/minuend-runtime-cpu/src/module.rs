//! A loaded program: its kernels and its weights.

use std::sync::Arc;

use bytes::Bytes;
use half::{bf16, f16};
use minuend_codegen::Kernel;
use minuend_ir::DType;
use minuend_plan::{Program, WeightSlot};
use minuend_runtime::{DeviceError, Module, Stream, WeightSource, stored_parts};
use rayon::ThreadPool;

use crate::kernels::{KernelError, WeightRef, WeightRows};
use crate::memory::AlignedBytes;
use crate::stream::CpuStream;

/// Kernels and weights, shared by all sessions.
pub(crate) struct CpuModule {
    pub(crate) pool: Arc<ThreadPool>,
    pub(crate) kernels: Vec<Kernel>,
    pub(crate) weights: Vec<CpuWeight>,
}

/// A weight in the type it is stored in. Aligned bytes of a memory map are used where they lie.
pub(crate) struct CpuWeight {
    pub(crate) dtype: DType,
    parts: Vec<Part>,
}

struct Part {
    bytes: PartBytes,
    /// Sizes of the part's axes.
    shape: Vec<usize>,
}

enum PartBytes {
    Shared(Bytes),
    Owned(AlignedBytes),
}

impl Part {
    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            PartBytes::Shared(bytes) => bytes,
            PartBytes::Owned(bytes) => bytes.bytes(),
        }
    }
}

impl CpuModule {
    pub(crate) fn load(
        pool: Arc<ThreadPool>,
        program: &Program,
        weights: &dyn WeightSource,
    ) -> Result<CpuModule, DeviceError> {
        let load = |slot: &WeightSlot| CpuWeight::load(slot, weights);
        let weights = program.weights.iter().map(load).collect::<Result<_, _>>()?;
        Ok(CpuModule { pool, kernels: program.kernels.clone(), weights })
    }
}

impl Module for CpuModule {
    fn open(self: Arc<Self>) -> Result<Box<dyn Stream>, DeviceError> {
        Ok(Box::new(CpuStream::new(self)))
    }
}

impl CpuWeight {
    fn load(slot: &WeightSlot, source: &dyn WeightSource) -> Result<CpuWeight, DeviceError> {
        let stored = stored_parts(slot, source)?;
        let name = slot.parts.join(" + ");
        let mut parts = Vec::with_capacity(stored.len());
        for tensor in stored {
            let is_aligned = (tensor.data.as_ptr() as usize)
                .is_multiple_of(usize::try_from(tensor.dtype.bytes()).unwrap_or(1));
            let bytes = if is_aligned {
                PartBytes::Shared(tensor.data)
            } else {
                PartBytes::Owned(joined(&name, &[&tensor.data])?)
            };
            parts.push(Part { bytes, shape: tensor.shape });
        }
        if parts.len() > 1 && !slot.may_stay_apart {
            let all: Vec<&[u8]> = parts.iter().map(Part::bytes).collect();
            let bytes = PartBytes::Owned(joined(&name, &all)?);
            let shape = slot.ty.shape.iter().filter_map(|dim| dim.as_const());
            let shape = shape.filter_map(|size| usize::try_from(size).ok()).collect();
            parts = vec![Part { bytes, shape }];
        }
        Ok(CpuWeight { dtype: slot.ty.dtype, parts })
    }

    /// The bytes of a weight that is one tensor.
    pub(crate) fn dense_bytes(&self) -> Option<&[u8]> {
        match self.parts.as_slice() {
            [part] => Some(part.bytes()),
            _ => None,
        }
    }

    /// The rows of a matrix, part by part.
    pub(crate) fn rows(&self) -> Result<Vec<WeightRows<'_>>, KernelError> {
        let block = |part| {
            let part: &Part = part;
            let (rows, cols) = match part.shape.as_slice() {
                [rows, cols] => (*rows, *cols),
                shape => (1, shape.iter().product()),
            };
            WeightRows::new(weight_ref(self.dtype, part.bytes())?, rows, cols)
        };
        self.parts.iter().map(block).collect()
    }
}

/// Typed elements of a stored weight.
pub(crate) fn weight_ref(dtype: DType, bytes: &[u8]) -> Result<WeightRef<'_>, KernelError> {
    fn typed<T: bytemuck::Pod>(bytes: &[u8]) -> Result<&[T], KernelError> {
        let available = bytes.len();
        bytemuck::try_cast_slice(bytes).map_err(|_| KernelError::Bounds {
            shape: vec![available / size_of::<T>()],
            strides: vec![1],
            available,
        })
    }
    match dtype {
        DType::F16 => Ok(WeightRef::F16(typed::<f16>(bytes)?)),
        DType::Bf16 => Ok(WeightRef::Bf16(typed::<bf16>(bytes)?)),
        DType::F32 | DType::I64 | DType::I32 | DType::Bool => {
            Ok(WeightRef::F32(typed::<f32>(bytes)?))
        }
    }
}

fn joined(name: &str, parts: &[&[u8]]) -> Result<AlignedBytes, DeviceError> {
    let total: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = AlignedBytes::zeroed(total as u64, &format!("weight {name}"))?;
    let mut rest = bytes.bytes_mut();
    for part in parts {
        let (to, behind) = rest.split_at_mut(part.len());
        to.copy_from_slice(part);
        rest = behind;
    }
    Ok(bytes)
}
