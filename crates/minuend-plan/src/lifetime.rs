//! From which step to which a block holds a value.

use crate::program::{Block, Output, Step, Storage, TensorRef};

/// Sets `first` and `last` of every block. Blocks of outputs live to the end.
pub(crate) fn assign(blocks: &mut [Block], steps: &[Step], outputs: &[Output]) {
    for block in blocks.iter_mut() {
        (block.first, block.last) = (usize::MAX, 0);
    }
    let mut touch = |tensor: &TensorRef, step: usize| {
        if let Storage::Block(index) = tensor.storage
            && let Some(block) = blocks.get_mut(index)
        {
            block.first = block.first.min(step);
            block.last = block.last.max(step);
        }
    };
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::Launch(launch) => {
                launch.operands.iter().for_each(|tensor| touch(tensor, index));
                launch.results.iter().for_each(|tensor| touch(tensor, index));
            }
            Step::Copy(copy) => {
                touch(&copy.from, index);
                touch(&copy.to, index);
            }
        }
    }
    for output in outputs {
        touch(&output.tensor, steps.len());
    }
}
