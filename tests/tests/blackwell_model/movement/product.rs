//! `tcgen05.mma.cta_group::1.kind::f16`: sums (+)= left right, over 16.

use super::descriptor::{Instruction, Matrix};
use super::shared_memory::SharedMemory;
use super::tensor_memory::TensorMemory;

/// Length of the summed axis.
const DEPTH: usize = 16;

/// Where the left operand is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left {
    /// By the word of its descriptor.
    Shared(u64),
    /// By its address: row `r` in lane `r`, two elements to a column.
    Tensor(u32),
}

pub(crate) fn multiply(
    tensor: &mut TensorMemory,
    shared: &SharedMemory,
    sums: u32,
    left: Left,
    right: u64,
    instruction: u32,
    accumulates: bool,
) -> Result<(), String> {
    let instruction = Instruction::decode(instruction)?;
    let right = Matrix::decode(right)?;
    let lefts = left_operand(tensor, shared, left, &instruction)?;
    let mut rights = vec![0.0f32; DEPTH * instruction.columns];
    for summed in 0..DEPTH {
        for column in 0..instruction.columns {
            let address = right.address(column, summed, instruction.right_outer_is_dense);
            let value = instruction.right.decode(shared.read(address)?);
            rights[summed * instruction.columns + column] = value;
        }
    }
    if sums >> 16 != 0 {
        return Err(format!("sums of 128 rows begin at lane 0, not at {sums:#x}"));
    }
    for row in 0..instruction.rows {
        let columns = instruction.columns;
        let words = tensor.columns_mut(row, sums as usize, columns)?;
        let mut total: Vec<f32> = words.iter().map(|word| f32::from_bits(*word)).collect();
        if !accumulates {
            total.fill(0.0);
        }
        for summed in 0..DEPTH {
            let left = lefts[row * DEPTH + summed];
            let rights = &rights[summed * columns..][..columns];
            for (total, right) in total.iter_mut().zip(rights) {
                *total += left * right;
            }
        }
        for (word, total) in words.iter_mut().zip(total) {
            *word = total.to_bits();
        }
    }
    Ok(())
}

/// `[rows, DEPTH]`.
fn left_operand(
    tensor: &TensorMemory,
    shared: &SharedMemory,
    left: Left,
    instruction: &Instruction,
) -> Result<Vec<f32>, String> {
    let mut values = Vec::new();
    match left {
        Left::Shared(word) => {
            let matrix = Matrix::decode(word)?;
            for row in 0..instruction.rows {
                for summed in 0..DEPTH {
                    let address = matrix.address(row, summed, instruction.left_outer_is_dense);
                    values.push(instruction.left.decode(shared.read(address)?));
                }
            }
        }
        Left::Tensor(address) => {
            if address >> 16 != 0 || instruction.left_outer_is_dense {
                return Err(format!("a left operand at {address:#x} of tensor memory"));
            }
            for row in 0..instruction.rows {
                for word in tensor.columns(row, address as usize, DEPTH / 2)? {
                    let halves = [*word as u16, (*word >> 16) as u16];
                    values.extend(halves.map(|half| instruction.left.decode(half)));
                }
            }
        }
    }
    Ok(values)
}
