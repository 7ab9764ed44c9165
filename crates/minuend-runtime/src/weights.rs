//! Where trained tensors come from.

mod conversion;

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

impl StoredTensor {
    /// The tensor `name` in another float type, rounded to the nearest value (ties to even). Nothing is
    /// copied where the type is the same; integers and truth values are not converted and `None`.
    ///
    /// # Errors
    /// [`DeviceError::WeightRange`] for a finite value that the type cannot hold, and
    /// [`DeviceError::OutOfMemory`].
    pub fn converted(&self, name: &str, to: DType) -> Result<Option<StoredTensor>, DeviceError> {
        conversion::converted(name, self, to)
    }
}

/// A table of trained tensors by name.
pub trait WeightSource {
    /// The tensor of that name.
    fn stored(&self, name: &str) -> Option<StoredTensor>;
}

/// The tensors of a weight, in order, after checking that, stacked along axis 0, they are what the
/// program declares. One that is stored in another float type is converted
/// ([`StoredTensor::converted`]), one at a time.
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
    for (name, tensor) in slot.parts.iter().zip(&mut stored) {
        // What is of no float type has passed the check, so it is of the declared type.
        if let Some(converted) = tensor.converted(name, slot.ty.dtype)? {
            *tensor = converted;
        }
    }
    Ok(stored)
}

/// True if a tensor of type `found` can be loaded as `declared`.
fn is_convertible(found: DType, declared: DType) -> bool {
    found == declared || (found.is_float() && declared.is_float())
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
        let is_convertible = is_convertible(tensor.dtype, slot.ty.dtype);
        if !fits || !is_convertible || bytes != Some(tensor.data.len()) {
            return Err(DeviceError::WeightType {
                name: name.to_string(),
                found: format!("{}{:?} of {} bytes", tensor.dtype, tensor.shape, tensor.data.len()),
                expected: format!("{}{declared:?}", slot.ty.dtype),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use minuend_ir::TensorType;

    struct Table(Vec<(&'static str, StoredTensor)>);

    impl WeightSource for Table {
        fn stored(&self, name: &str) -> Option<StoredTensor> {
            let found = self.0.iter().find(|(stored, _)| *stored == name);
            found.map(|(_, tensor)| tensor.clone())
        }
    }

    fn tensor(dtype: DType, shape: &[usize]) -> StoredTensor {
        let bytes = shape.iter().product::<usize>() * dtype.bytes() as usize;
        StoredTensor { dtype, shape: shape.to_vec(), data: vec![0; bytes].into() }
    }

    fn slot(dtype: DType, shape: &[usize], parts: &[&str]) -> WeightSlot {
        let parts = parts.iter().map(|part| (*part).into()).collect();
        WeightSlot { parts, ty: TensorType::fixed(dtype, shape), may_stay_apart: true }
    }

    #[test]
    fn parts_of_several_types_become_the_declared_one() {
        let table = Table(vec![
            ("a", tensor(DType::F32, &[2, 4])),
            ("b", tensor(DType::F16, &[1, 4])),
            ("c", tensor(DType::Bf16, &[3, 4])),
        ]);
        let parts = stored_parts(&slot(DType::Bf16, &[6, 4], &["a", "b", "c"]), &table).unwrap();
        let found: Vec<_> = parts.iter().map(|part| (part.dtype, part.data.len())).collect();
        assert_eq!(found, [(DType::Bf16, 16), (DType::Bf16, 8), (DType::Bf16, 24)]);
    }

    #[test]
    fn other_mismatches_are_errors() {
        let table =
            Table(vec![("a", tensor(DType::F32, &[2, 4])), ("n", tensor(DType::I64, &[2]))]);
        let message = |slot: WeightSlot| stored_parts(&slot, &table).unwrap_err().to_string();
        let of_shape = message(slot(DType::Bf16, &[4, 2], &["a"]));
        assert_eq!(of_shape, "weight a is f32[2, 4] of 32 bytes, expected bf16[4, 2]");
        let of_type = message(slot(DType::F32, &[2], &["n"]));
        assert_eq!(of_type, "weight n is i64[2] of 16 bytes, expected f32[2]");
        assert!(message(slot(DType::I32, &[2, 4], &["a"])).contains("expected i32[2, 4]"));
        assert_eq!(message(slot(DType::F32, &[1], &["x"])), "weight x is missing");
    }
}
