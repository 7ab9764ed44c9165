//! Strided tensors in row-major order on the host.

use minuend_ir::DType;
use minuend_plan::BoundTensor;

/// True if the elements lie in row-major order with nothing in between.
pub(crate) fn is_dense(tensor: &BoundTensor) -> bool {
    let mut expected = 1;
    tensor.shape.iter().zip(&tensor.strides).rev().all(|(size, stride)| {
        let fits = *size == 1 || *stride == expected;
        expected *= size;
        fits
    })
}

/// Elements of a strided tensor in row-major order, row by row of the last axis.
pub(crate) fn gather(tensor: &BoundTensor, span: &[u8], size: usize) -> Vec<u8> {
    let width = element_bytes(tensor.dtype);
    let (row_len, step) = match (tensor.shape.last(), tensor.strides.last()) {
        (Some(len), Some(step)) => (*len, *step),
        _ => (1, 1),
    };
    let mut bytes = Vec::with_capacity(size);
    let mut index = vec![0usize; tensor.shape.len().saturating_sub(1)];
    while bytes.len() < size {
        let start: usize = index.iter().zip(&tensor.strides).map(|(i, stride)| i * stride).sum();
        if step == 1 {
            bytes.extend_from_slice(&span[start * width..(start + row_len) * width]);
        } else {
            for at in (0..row_len).map(|i| start + i * step) {
                bytes.extend_from_slice(&span[at * width..(at + 1) * width]);
            }
        }
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            if index[axis] < tensor.shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    bytes
}

fn element_bytes(dtype: DType) -> usize {
    usize::try_from(dtype.bytes()).unwrap_or(usize::MAX)
}
