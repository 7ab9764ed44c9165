//! Why there is no plan.

use minuend_codegen::CodegenError;
use minuend_ir::SymbolError;

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The target has no kernel after all.
    #[error(transparent)]
    Codegen(#[from] CodegenError),
    /// A state grows along more than one axis.
    #[error("state %{name} grows along {axes} axes, at most 1 is supported")]
    StateGrowth {
        /// The state.
        name: String,
        /// How many axes differ between the state and its next value.
        axes: usize,
    },
    /// A state whose size is not that of one symbol of its own.
    #[error(
        "state %{name} grows along axis {axis} of size {found}, expected a symbol alone; every state \
         that grows with it must grow alike, and no other state may have it as a size"
    )]
    StateSize {
        /// The state.
        name: String,
        /// The growing axis.
        axis: usize,
        /// The axis' size.
        found: String,
    },
    /// A layout op of a dense tensor that strides cannot express.
    #[error("{label}: the layout cannot be expressed by strides")]
    Layout {
        /// The value.
        label: String,
    },
    /// The capacity of the states could not be declared.
    #[error(transparent)]
    Symbol(#[from] SymbolError),
}
