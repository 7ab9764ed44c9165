//! Stored weights: dtype, shape and bytes.

use bytes::Bytes;
use minuend_ir::DType;

/// Element type of a stored weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoredDtype {
    /// IEEE 754 binary32, 4 bytes.
    F32,
    /// IEEE 754 binary16, 2 bytes.
    F16,
    /// bfloat16 (the upper half of a binary32), 2 bytes.
    Bf16,
}

impl StoredDtype {
    /// Size of one element in bytes.
    pub fn size_in_bytes(self) -> usize {
        match self {
            StoredDtype::F32 => 4,
            StoredDtype::F16 | StoredDtype::Bf16 => 2,
        }
    }

    /// The element type of a graph's weight that is stored so.
    pub fn dtype(self) -> DType {
        match self {
            StoredDtype::F32 => DType::F32,
            StoredDtype::F16 => DType::F16,
            StoredDtype::Bf16 => DType::Bf16,
        }
    }

    /// The name that `torch_dtype` uses: `float32`, `float16` or `bfloat16`.
    pub fn torch_name(self) -> &'static str {
        match self {
            StoredDtype::F32 => "float32",
            StoredDtype::F16 => "float16",
            StoredDtype::Bf16 => "bfloat16",
        }
    }

    /// The inverse of [`StoredDtype::torch_name`]; a `torch.` before the name is accepted.
    pub fn from_torch_name(name: &str) -> Option<StoredDtype> {
        let name = name.strip_prefix("torch.").unwrap_or(name);
        [StoredDtype::F32, StoredDtype::F16, StoredDtype::Bf16]
            .into_iter()
            .find(|dtype| dtype.torch_name() == name)
    }

    pub(crate) fn from_safetensors(dtype: safetensors::Dtype) -> Option<StoredDtype> {
        match dtype {
            safetensors::Dtype::F32 => Some(StoredDtype::F32),
            safetensors::Dtype::F16 => Some(StoredDtype::F16),
            safetensors::Dtype::BF16 => Some(StoredDtype::Bf16),
            _ => None,
        }
    }
}

/// One weight, a slice of the memory map of its file.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Element type.
    pub dtype: StoredDtype,
    /// Dimensions, outermost first; a linear layer is `[out, in]`.
    pub shape: Vec<usize>,
    /// Elements in row-major order, little endian, exactly `elements * size_in_bytes` bytes. The
    /// start need not be aligned to the element size.
    pub data: Bytes,
}
