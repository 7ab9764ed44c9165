//! What a target selects for an op.

use minuend_ir::{DType, Op};
use smallvec::SmallVec;

/// A kernel that the backend itself contains: the op with its attributes, and the element types it is
/// compiled for. Sizes and strides are arguments of the launch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// What it computes.
    pub op: Op,
    /// Element types of the operands.
    pub operands: SmallVec<[DType; 4]>,
    /// Element types of the results.
    pub results: SmallVec<[DType; 2]>,
}

impl Kernel {
    /// The name shown in plans and profiles: mnemonic and element types.
    pub fn name(&self) -> String {
        let list = |types: &[DType]| types.iter().map(|t| t.name()).collect::<Vec<_>>().join(",");
        format!("{}<{}; {}>", self.op.mnemonic(), list(&self.operands), list(&self.results))
    }
}
