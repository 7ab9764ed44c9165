//! Where trained tensors come from.

use bytes::Bytes;
use minuend_ir::DType;
use minuend_plan::WeightSlot;

use crate::device::DeviceError;

/// A trained tensor in row-major order, little endian. The bytes may lie in a memory map, and need not
/// be aligned to the element type.
#[derive(Clone, Debug)]
pub struct StoredTensor {
    /// Element type.
    pub dtype: DType,
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Bytes,
}

/// A table of trained tensors by name.
pub trait WeightSource {
    /// The tensor of that name.
    fn stored(&self, name: &str) -> Option<StoredTensor>;
}

/// The tensors of a weight, in order, after checking that, stacked along axis 0, they are what the
/// program declares.
pub fn stored_parts(
    slot: &WeightSlot,
    source: &dyn WeightSource,
) -> Result<Vec<StoredTensor>, DeviceError> {
    let mut stored = Vec::with_capacity(slot.parts.len());
    for name in &slot.parts {
        let tensor = source.stored(name);
        let missing = || DeviceError::MissingWeight { name: name.to_string() };
        stored.push(tensor.ok_or_else(missing)?);
    }
    check_types(slot, &stored)?;
    Ok(stored)
}

fn check_types(slot: &WeightSlot, stored: &[StoredTensor]) -> Result<(), DeviceError> {
    let declared: Vec<usize> = slot
        .ty
        .shape
        .iter()
        .filter_map(|dim| dim.as_const().and_then(|size| usize::try_from(size).ok()))
        .collect();
    let rows = stored.iter().try_fold(0usize, |sum, tensor| {
        tensor.shape.first().and_then(|rows| sum.checked_add(*rows))
    });
    let is_one = stored.len() == 1;
    for (name, tensor) in slot.parts.iter().zip(stored) {
        let fits = if is_one {
            tensor.shape == declared
        } else {
            rows == declared.first().copied() && tensor.shape.get(1..) == declared.get(1..)
        };
        let width = usize::try_from(tensor.dtype.bytes()).unwrap_or(0);
        let bytes = tensor.shape.iter().try_fold(width, |bytes, size| bytes.checked_mul(*size));
        if !fits || tensor.dtype != slot.ty.dtype || bytes != Some(tensor.data.len()) {
            return Err(DeviceError::WeightType {
                name: name.to_string(),
                found: format!("{}{:?} of {} bytes", tensor.dtype, tensor.shape, tensor.data.len()),
                expected: format!("{}{declared:?}", slot.ty.dtype),
            });
        }
    }
    Ok(())
}
