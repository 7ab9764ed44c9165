//! Why a tensor cannot be made or a graph cannot be evaluated.

use std::fmt;

use minuend_ir::{DType, TypeError};

use crate::tensor::Tensor;

/// A tensor whose parts do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// Another number of values than the shape has elements.
    #[error("tensor {} has {found} values, expected {expected}", TypeText(*.dtype, .shape))]
    Length {
        /// Element type.
        dtype: DType,
        /// Sizes of the axes.
        shape: Vec<usize>,
        /// Values given.
        found: usize,
        /// Elements of the shape.
        expected: usize,
    },
    /// Another number of bytes than the type takes.
    #[error("tensor {} has {found} bytes, expected {expected}", TypeText(*.dtype, .shape))]
    Bytes {
        /// Element type.
        dtype: DType,
        /// Sizes of the axes.
        shape: Vec<usize>,
        /// Bytes given.
        found: usize,
        /// Bytes of the type.
        expected: usize,
    },
    /// The values are of another kind than the element type: reals for an integer type, say.
    #[error("values are {held}, expected values of type {dtype}")]
    Kind {
        /// Element type.
        dtype: DType,
        /// What the values are.
        held: &'static str,
    },
    /// A value that the element type does not have.
    #[error("value {index} is {found}, which is no value of type {dtype}")]
    Value {
        /// Element type.
        dtype: DType,
        /// Position in row-major order.
        index: usize,
        /// The value.
        found: i64,
    },
    /// More than [`Tensor::MAX_ELEMENTS`] elements.
    #[error(
        "tensor {} is too large, at most {} elements are supported",
        TypeText(*.dtype, .shape), Tensor::MAX_ELEMENTS
    )]
    TooLarge {
        /// Element type.
        dtype: DType,
        /// Sizes of the axes.
        shape: Vec<usize>,
    },
}

/// What is wrong at one node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The op does not apply to its operands, or its recorded result types are not the inferred ones.
    #[error("ill-typed, verify the graph first: {0}")]
    Type(String),
    /// An operand has no value when the node is reached.
    #[error("operand {operand} is not computed before its use, the graph has a cycle")]
    NoOperand {
        /// The operand's slot.
        operand: usize,
    },
    /// A size has no value.
    #[error(
        "size {size} has a symbol that no input binds, declare an input with that symbol as an axis"
    )]
    Unbound {
        /// The size, in names of symbols.
        size: String,
    },
    /// The table holds no such weight.
    #[error("weight {name} is missing")]
    MissingWeight {
        /// Its name in the weight table.
        name: String,
    },
    /// The table's weight is of another type than the graph declares.
    #[error("weight {name} is {found}, expected {expected}")]
    WeightType {
        /// Its name in the weight table.
        name: String,
        /// Its type in the table.
        found: String,
        /// The declared type.
        expected: String,
    },
    /// An index outside the gathered axis.
    #[error("index {found} at position {position} is outside axis {axis} of size {size}")]
    Index {
        /// Position among the indices, in row-major order.
        position: usize,
        /// The index.
        found: i64,
        /// The gathered axis.
        axis: usize,
        /// Its size.
        size: usize,
    },
    /// A value cannot be held.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

impl From<TypeError> for Fault {
    fn from(error: TypeError) -> Fault {
        Fault::Type(error.kind.to_string())
    }
}

/// Why a graph was not evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// Another number of inputs.
    #[error("graph @{graph} takes {expected} inputs, found {found}")]
    InputCount {
        /// The graph.
        graph: String,
        /// Inputs given.
        found: usize,
        /// Arguments and states that it declares.
        expected: usize,
    },
    /// An input of another element type or rank.
    #[error("input {input} is {found}, expected {expected}")]
    InputType {
        /// Name of the input, `%ids`, or its position.
        input: String,
        /// Type given.
        found: String,
        /// Type declared.
        expected: String,
    },
    /// An axis of an input with a size that the other inputs or the symbol's range exclude.
    #[error("input {input}: axis {axis} ({size}) is {found}, expected {expected}")]
    InputAxis {
        /// Name of the input, `%ids`, or its position.
        input: String,
        /// The axis.
        axis: usize,
        /// Its declared size.
        size: String,
        /// Its size as given.
        found: usize,
        /// The sizes that would do.
        expected: String,
    },
    /// An axis of an input that names a symbol which no input binds.
    #[error(
        "input {input}: axis {axis} ({size}) has a symbol that no input binds, declare an input \
         with that symbol as an axis"
    )]
    InputUnbound {
        /// Name of the input, `%ids`, or its position.
        input: String,
        /// The axis.
        axis: usize,
        /// Its declared size.
        size: String,
    },
    /// The graph has no return.
    #[error("graph @{graph} has no return")]
    NoReturn {
        /// The graph.
        graph: String,
    },
    /// A node cannot be computed.
    #[error("{node} = {op}: {fault}")]
    Node {
        /// Name of the node's first named result, `%probs`, or its number.
        node: String,
        /// The op's mnemonic.
        op: &'static str,
        /// What is wrong.
        fault: Fault,
    },
}

/// A type without symbols as text: `f32[2, 3]`.
pub(crate) struct TypeText<'a>(pub(crate) DType, pub(crate) &'a [usize]);

impl fmt::Display for TypeText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.0, self.1)
    }
}
