//! Tensors that a file stores, checked against what they say about themselves.

use std::cell::OnceCell;

use bytes::Bytes;
use half::{bf16, f16};
use minuend_ir::DType;

use crate::element_type::ElementType;
use crate::external::ExternalFiles;
use crate::formula::Formula;
use crate::proto::{EXTERNAL, TensorProto};

/// A tensor in row-major order, little endian, of a type that graphs have.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    /// As many bytes as type and shape ask for; not aligned to the element type.
    pub(crate) data: Bytes,
    /// What it is computed by, once it was looked at.
    formula: OnceCell<Option<Formula>>,
}

impl PartialEq for Stored {
    fn eq(&self, other: &Stored) -> bool {
        let Stored { name, dtype, shape, data, formula: _ } = self;
        let is_same_memory = data.as_ptr() == other.data.as_ptr();
        (name, dtype, shape) == (&other.name, &other.dtype, &other.shape)
            && (is_same_memory || *data == other.data)
    }
}

impl Stored {
    /// The tensor, or what is wrong with it.
    pub(crate) fn of(tensor: &TensorProto, files: &mut ExternalFiles) -> Result<Stored, String> {
        let ty = ElementType::of(tensor.data_type)?;
        let (shape, count) = sizes(&tensor.dims)?;
        let expected = count
            .checked_mul(ty.stored_bytes())
            .ok_or_else(|| format!("dims {:?} are more bytes than there are", tensor.dims))?;
        let raw = if tensor.data_location == EXTERNAL {
            files.read(&tensor.external_data, expected)?
        } else if let Some(raw) = &tensor.raw_data {
            raw.clone()
        } else {
            typed(tensor, ty)?
        };
        if raw.len() != expected {
            return Err(format!(
                "{} bytes of data, expected {expected} for dims {:?}",
                raw.len(),
                tensor.dims
            ));
        }
        let data = converted(raw, ty);
        Ok(Stored::new(&tensor.name, ty.dtype(), shape, data))
    }

    /// A tensor of as many bytes as type and shape ask for.
    pub(crate) fn new(name: &str, dtype: DType, shape: Vec<usize>, data: Bytes) -> Stored {
        Stored { name: name.to_string(), dtype, shape, data, formula: OnceCell::new() }
    }

    /// What the tensor is computed by, if it is.
    pub(crate) fn formula(&self) -> Option<&Formula> {
        self.formula.get_or_init(|| Formula::of(self)).as_ref()
    }

    /// Number of elements.
    pub(crate) fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The values of a float tensor.
    pub(crate) fn reals(&self) -> Option<Vec<f64>> {
        let values = match self.dtype {
            DType::F32 => self.map(|bytes| f64::from(f32::from_le_bytes(bytes))),
            DType::F16 => self.map(|bytes| f64::from(f16::from_le_bytes(bytes))),
            DType::Bf16 => self.map(|bytes| f64::from(bf16::from_le_bytes(bytes))),
            DType::I64 | DType::I32 | DType::Bool => return None,
        };
        Some(values)
    }

    /// The values of an integer tensor.
    pub(crate) fn ints(&self) -> Option<Vec<i64>> {
        let values = match self.dtype {
            DType::I64 => self.map(i64::from_le_bytes),
            DType::I32 => self.map(|bytes| i64::from(i32::from_le_bytes(bytes))),
            DType::F32 | DType::F16 | DType::Bf16 | DType::Bool => return None,
        };
        Some(values)
    }

    /// The values of a truth tensor.
    pub(crate) fn bools(&self) -> Option<Vec<bool>> {
        (self.dtype == DType::Bool).then(|| self.data.iter().map(|byte| *byte != 0).collect())
    }

    fn map<const N: usize, T>(&self, read: impl Fn([u8; N]) -> T) -> Vec<T> {
        let (elements, _) = self.data.as_chunks::<N>();
        elements.iter().map(|bytes| read(*bytes)).collect()
    }
}

/// The shape and the number of elements.
fn sizes(dims: &[i64]) -> Result<(Vec<usize>, usize), String> {
    let mut count = 1usize;
    let mut shape = Vec::with_capacity(dims.len());
    for dim in dims {
        let size =
            usize::try_from(*dim).map_err(|_| format!("dims {dims:?}, expected none below 0"))?;
        shape.push(size);
        count = count
            .checked_mul(size)
            .filter(|count| i64::try_from(*count).is_ok())
            .ok_or_else(|| format!("dims {dims:?} are more elements than there can be"))?;
    }
    // A size of 0 beside a huge one: no element, but sizes that no product can hold.
    if shape.iter().any(|size| *size > 1 << 40) {
        return Err(format!("dims {dims:?}, expected at most 2^40 each"));
    }
    Ok((shape, count))
}

/// The bytes of elements that are stored as numbers of the schema.
fn typed(tensor: &TensorProto, ty: ElementType) -> Result<Bytes, String> {
    let narrow = |what: &str| format!("int32_data has values beyond {what}");
    let bytes: Vec<u8> = match ty {
        ElementType::Same(DType::F32) => {
            tensor.float_data.iter().flat_map(|value| value.to_le_bytes()).collect()
        }
        ElementType::Same(DType::I64) => {
            tensor.int64_data.iter().flat_map(|value| value.to_le_bytes()).collect()
        }
        ElementType::Same(DType::I32) => {
            tensor.int32_data.iter().flat_map(|value| value.to_le_bytes()).collect()
        }
        ElementType::Same(DType::F16 | DType::Bf16) => {
            let bits = tensor.int32_data.iter().map(|value| u16::try_from(*value));
            let bits = bits.collect::<Result<Vec<_>, _>>().map_err(|_| narrow("16 bits"))?;
            bits.iter().flat_map(|bits| bits.to_le_bytes()).collect()
        }
        ElementType::Same(DType::Bool) => {
            tensor.int32_data.iter().map(|value| u8::from(*value != 0)).collect()
        }
        ElementType::Double => {
            tensor.double_data.iter().flat_map(|value| value.to_le_bytes()).collect()
        }
        ElementType::Byte { is_signed } => {
            let byte = |value: &i32| match is_signed {
                true => i8::try_from(*value).map(|value| value.to_le_bytes()[0]),
                false => u8::try_from(*value),
            };
            let bytes = tensor.int32_data.iter().map(byte).collect::<Result<Vec<_>, _>>();
            bytes.map_err(|_| narrow("a byte"))?
        }
    };
    Ok(bytes.into())
}

/// The bytes in the type in which they are computed.
fn converted(raw: Bytes, ty: ElementType) -> Bytes {
    match ty {
        ElementType::Same(_) => raw,
        ElementType::Double => {
            let (values, _) = raw.as_chunks::<8>();
            values
                .iter()
                .flat_map(|value| (f64::from_le_bytes(*value) as f32).to_le_bytes())
                .collect()
        }
        ElementType::Byte { is_signed } => {
            let widen = |byte: &u8| match is_signed {
                true => i32::from(i8::from_le_bytes([*byte])),
                false => i32::from(*byte),
            };
            raw.iter().flat_map(|byte| widen(byte).to_le_bytes()).collect()
        }
    }
}
