//! Element types by the numbers of the schema.

use minuend_ir::DType;

use crate::proto::data_type;

/// How an element type of a file is represented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ElementType {
    /// As it is.
    Same(DType),
    /// Stored in f64, computed in f32.
    Double,
    /// Stored in a byte, computed in i32.
    Byte {
        /// Two's complement.
        is_signed: bool,
    },
}

impl ElementType {
    /// The type of that number, or why there is none.
    pub(crate) fn of(number: i32) -> Result<ElementType, String> {
        Ok(match number {
            data_type::FLOAT => ElementType::Same(DType::F32),
            data_type::FLOAT16 => ElementType::Same(DType::F16),
            data_type::BFLOAT16 => ElementType::Same(DType::Bf16),
            data_type::INT64 => ElementType::Same(DType::I64),
            data_type::INT32 => ElementType::Same(DType::I32),
            data_type::BOOL => ElementType::Same(DType::Bool),
            data_type::DOUBLE => ElementType::Double,
            data_type::UINT8 => ElementType::Byte { is_signed: false },
            data_type::INT8 => ElementType::Byte { is_signed: true },
            other => return Err(format!("element type {}", name(other))),
        })
    }

    /// The type in which it is computed.
    pub(crate) fn dtype(self) -> DType {
        match self {
            ElementType::Same(dtype) => dtype,
            ElementType::Double => DType::F32,
            ElementType::Byte { .. } => DType::I32,
        }
    }

    /// The name of the file's type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ElementType::Same(dtype) => dtype.name(),
            ElementType::Double => "f64",
            ElementType::Byte { is_signed: true } => "i8",
            ElementType::Byte { is_signed: false } => "u8",
        }
    }

    /// Bytes of a stored element.
    pub(crate) fn stored_bytes(self) -> usize {
        match self {
            // No truncation: at most 8.
            ElementType::Same(dtype) => dtype.bytes() as usize,
            ElementType::Double => 8,
            ElementType::Byte { .. } => 1,
        }
    }
}

/// The name in the schema.
fn name(number: i32) -> String {
    let known = match number {
        0 => "undefined",
        4 => "uint16",
        5 => "int16",
        8 => "string",
        12 => "uint32",
        13 => "uint64",
        14 => "complex64",
        15 => "complex128",
        17..=20 => "float8",
        21 => "uint4",
        22 => "int4",
        23 => "float4e2m1",
        _ => return format!("{number}, which the schema does not have"),
    };
    known.to_string()
}
