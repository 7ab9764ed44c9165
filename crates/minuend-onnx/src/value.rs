//! What a name of a file stands for while it is imported.

use std::rc::Rc;

use minuend_ir::{DType, Dim, ValueId};

use crate::stored::Stored;

/// A value of the file. Only what the graph computes with becomes a value of the graph.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A value of the graph.
    Tensor(ValueId),
    /// Integers that are known as functions of the sizes.
    Sizes(Sizes),
    /// Data of the file.
    Stored(Rc<Stored>),
    /// The result of a node that could not be imported.
    Unknown,
}

/// A small integer tensor whose elements are sizes or numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// I64 or I32.
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    /// Row-major, as many as the shape says.
    pub(crate) elements: Vec<Dim>,
}

/// Integer tensors of up to so many elements are evaluated while importing.
pub(crate) const MOST_SIZES: usize = 64;

impl Sizes {
    /// A vector of i64.
    pub(crate) fn vector(elements: Vec<Dim>) -> Sizes {
        Sizes { dtype: DType::I64, shape: vec![elements.len()], elements }
    }

    /// A scalar of i64.
    pub(crate) fn scalar(element: Dim) -> Sizes {
        Sizes { dtype: DType::I64, shape: Vec::new(), elements: vec![element] }
    }

    /// The same elements in another shape of as many.
    pub(crate) fn reshaped(self, shape: Vec<usize>) -> Sizes {
        Sizes { shape, ..self }
    }

    /// The numbers, if all are.
    pub(crate) fn as_ints(&self) -> Option<Vec<i64>> {
        self.elements.iter().map(Dim::as_const).collect()
    }
}

impl Value {
    /// A stored tensor; small integers as sizes.
    pub(crate) fn of_stored(stored: Stored) -> Value {
        if stored.elements() <= MOST_SIZES
            && let Some(ints) = stored.ints()
        {
            let elements = ints.into_iter().map(Dim::from).collect();
            return Value::Sizes(Sizes { dtype: stored.dtype, shape: stored.shape, elements });
        }
        Value::Stored(Rc::new(stored))
    }
}
