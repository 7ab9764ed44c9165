//! Files of named tensors, to run a graph on and to compare with.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use minuend_ir::DType;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError};

use crate::ModelError;
use crate::safetensors_file::{self, StoredTensor};

/// A tensor of a file, row-major and little endian. Floats of 64 bits are rounded to f32, and integers of
/// 8 bits are widened to i32: these are the types that graphs compute in.
#[derive(Clone, Debug, PartialEq)]
pub struct FileTensor {
    /// Element type.
    pub dtype: DType,
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Bytes,
}

/// Reads all tensors of a safetensors file. The file must not change as long as they live.
///
/// # Errors
/// When the file cannot be read or is malformed, or [`ModelError::TensorTypes`] with every tensor of a
/// type that there is not.
pub fn read_tensors(path: impl AsRef<Path>) -> Result<BTreeMap<String, FileTensor>, ModelError> {
    let path = path.as_ref();
    let mut problems = Vec::new();
    let mut tensors = BTreeMap::new();
    for (name, stored) in safetensors_file::open(path)? {
        match decoded(&stored) {
            Some((dtype, data)) => {
                tensors.insert(name, FileTensor { dtype, shape: stored.shape, data });
            }
            None => problems.push(format!("tensor {name} is {:?}", stored.dtype)),
        }
    }
    if problems.is_empty() {
        Ok(tensors)
    } else {
        Err(ModelError::TensorTypes { path: path.display().to_string(), problems })
    }
}

fn decoded(stored: &StoredTensor) -> Option<(DType, Bytes)> {
    let same = |dtype| Some((dtype, stored.data.clone()));
    let ints = |widened: fn(u8) -> i32| {
        let bytes: Vec<u8> =
            stored.data.iter().flat_map(|byte| widened(*byte).to_le_bytes()).collect();
        Some((DType::I32, bytes.into()))
    };
    match stored.dtype {
        Dtype::F32 => same(DType::F32),
        Dtype::F16 => same(DType::F16),
        Dtype::BF16 => same(DType::Bf16),
        Dtype::I64 => same(DType::I64),
        Dtype::I32 => same(DType::I32),
        Dtype::BOOL => same(DType::Bool),
        Dtype::F64 => {
            let values = stored.data.as_chunks::<8>().0.iter();
            let rounded = values.flat_map(|raw| (f64::from_le_bytes(*raw) as f32).to_le_bytes());
            Some((DType::F32, rounded.collect::<Vec<u8>>().into()))
        }
        Dtype::U8 => ints(i32::from),
        Dtype::I8 => ints(|byte| i32::from(byte.cast_signed())),
        _ => None,
    }
}

/// Writes tensors to a safetensors file.
///
/// # Errors
/// [`ModelError::Write`].
pub fn write_tensors(
    path: impl AsRef<Path>,
    tensors: &BTreeMap<String, FileTensor>,
) -> Result<(), ModelError> {
    let path = path.as_ref();
    let failed = |reason: SafeTensorError| ModelError::Write {
        path: path.display().to_string(),
        reason: reason.to_string(),
    };
    let views = tensors.iter().map(|(name, tensor)| {
        let view = TensorView::new(stored_type(tensor.dtype), tensor.shape.clone(), &tensor.data);
        Ok((name.as_str(), view?))
    });
    let views = views.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    safetensors::serialize_to_file(views, None, path).map_err(failed)
}

fn stored_type(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::Bf16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::Bool => Dtype::BOOL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ints(values: &[i32]) -> FileTensor {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        FileTensor { dtype: DType::I32, shape: vec![values.len()], data: data.into() }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("io.safetensors");
        let half = FileTensor { dtype: DType::Bf16, shape: vec![], data: vec![0x80, 0x3f].into() };
        let tensors = BTreeMap::from([("a/b".into(), ints(&[1, -2])), ("half".into(), half)]);
        write_tensors(&path, &tensors).unwrap();
        assert_eq!(read_tensors(&path).unwrap(), tensors);
        let message = write_tensors(directory.path().join("no/x"), &tensors).unwrap_err();
        assert!(message.to_string().contains("cannot write the file"), "{message}");
    }

    #[test]
    fn other_types_become_those_of_graphs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("io.safetensors");
        let write = |dtype, data: &[u8]| {
            let shape = vec![data.len() * 8 / dtype_bits(dtype)];
            let view = TensorView::new(dtype, shape, data).unwrap();
            safetensors::serialize_to_file([("t", view)], None, &path).unwrap();
            read_tensors(&path)
        };
        assert_eq!(write(Dtype::I8, &[1, 0xff]).unwrap()["t"], ints(&[1, -1]));
        assert_eq!(write(Dtype::U8, &[1, 0xff]).unwrap()["t"], ints(&[1, 255]));
        let real = write(Dtype::F64, &1.5f64.to_le_bytes()).unwrap()["t"].clone();
        assert_eq!((real.dtype, &real.data[..]), (DType::F32, &1.5f32.to_le_bytes()[..]));
        let message = write(Dtype::U16, &[1, 0]).unwrap_err().to_string();
        assert!(message.contains("tensor t is U16; expected F64"), "{message}");
    }

    fn dtype_bits(dtype: Dtype) -> usize {
        dtype.bitsize()
    }
}
