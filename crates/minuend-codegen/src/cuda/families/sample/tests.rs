//! A block for each row, and how wide it reads.

use minuend_ir::Op;

use super::*;
use crate::cuda::families::launches::{argument, number, only, select};
use crate::tensor::Tensor;

fn launches(logits: Tensor) -> Result<Works, CudaError> {
    let mut row = logits.shape.clone();
    *row.last_mut().unwrap() = 1;
    let setting = |dtype| Tensor::dense(dtype, &[]);
    let settings = [DType::F32, DType::I64, DType::F32].map(setting);
    let mut operands = vec![logits];
    operands.extend(settings);
    operands.push(Tensor::dense(DType::F32, &row));
    select(Op::Sample, &operands, &[Tensor::dense(DType::I64, &row)])
}

fn launch(shape: &[usize], byte_offset: u64) -> KernelLaunch {
    only(launches(Tensor::dense(DType::F32, shape).at(byte_offset)).unwrap())
}

#[test]
fn aligned_rows_are_read_in_vectors() {
    let vocabulary = launch(&[3, 1, 128_256], 256);
    assert_eq!((vocabulary.grid, vocabulary.threads), ([3, 1, 1], 1024));
    assert_eq!(number(&vocabulary, "WIDTH"), 4);
    assert_eq!(argument(&vocabulary, "vectors"), &Arg::Int(32_064));
    for (shape, offset) in [([2, 1001], 0), ([2, 1000], 8)] {
        let single = launch(&shape, offset);
        assert_eq!(number(&single, "WIDTH"), 1);
        assert_eq!(argument(&single, "vectors"), &Arg::Int(shape[1] as i32));
    }
    assert_eq!(argument(&launch(&[2, 0], 0), "vectors"), &Arg::Int(0));
}

#[test]
fn masses_have_room() {
    assert!(launches(Tensor::dense(DType::F32, &[1, LONGEST_ROW])).is_ok());
    assert!(launches(Tensor::dense(DType::F32, &[1, LONGEST_ROW + 1])).is_err());
    let strided = Tensor::dense(DType::F32, &[2, 8]).with_strides(&[16, 1]);
    assert!(launches(strided).is_err());
}
