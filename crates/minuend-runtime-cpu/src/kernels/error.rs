//! What a kernel refuses.

/// Why a kernel, or a view it is given, was refused. A kernel that returns an error has written
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// An operand's shape does not follow from the other operands.
    #[error("{kernel}: operand {operand} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The kernel's name.
        kernel: &'static str,
        /// The operand's name in the kernel's signature.
        operand: &'static str,
        /// The shape given.
        found: Vec<usize>,
        /// The shape that the other operands ask for.
        expected: Vec<usize>,
    },
    /// An operand has the wrong number of axes.
    #[error("{kernel}: operand {operand} has rank {found}, expected {expected}")]
    Rank {
        /// The kernel's name.
        kernel: &'static str,
        /// The operand's name in the kernel's signature.
        operand: &'static str,
        /// The rank given.
        found: usize,
        /// The rank expected.
        expected: usize,
    },
    /// One extent has to be a multiple of another (heads of key/value heads, head_dim of 2).
    #[error("{kernel}: {what} is {found}, expected a multiple of {divisor}")]
    Multiple {
        /// The kernel's name.
        kernel: &'static str,
        /// What the extent is.
        what: &'static str,
        /// The extent given.
        found: usize,
        /// What has to divide it.
        divisor: usize,
    },
    /// A kernel reads or writes rows as slices and the last axis is not dense.
    #[error(
        "{kernel}: the last axis of operand {operand} has stride {found}, expected 1; \
         copy the operand to a dense buffer first"
    )]
    LastAxis {
        /// The kernel's name.
        kernel: &'static str,
        /// The operand's name in the kernel's signature.
        operand: &'static str,
        /// The stride given, in elements.
        found: usize,
    },
    /// A view's shape and strides differ in length, or exceed the supported rank.
    #[error("view has {shape} extents and {strides} strides, expected as many, at most {max}")]
    ViewRank {
        /// Number of extents.
        shape: usize,
        /// Number of strides.
        strides: usize,
        /// The largest rank supported.
        max: usize,
    },
    /// A view reaches past its slice, or its size overflows `usize`.
    #[error(
        "view of shape {shape:?}, strides {strides:?} leaves its slice of {available} elements"
    )]
    Bounds {
        /// The view's shape.
        shape: Vec<usize>,
        /// The view's strides, in elements.
        strides: Vec<usize>,
        /// Elements in the slice.
        available: usize,
    },
    /// Two indices of a view that is written may name the same element.
    #[error("output view of shape {shape:?}, strides {strides:?} may name one element twice")]
    Overlap {
        /// The view's shape.
        shape: Vec<usize>,
        /// The view's strides, in elements.
        strides: Vec<usize>,
    },
}
