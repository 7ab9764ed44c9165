//! What launches become.

use minuend_ir::Op;

use super::*;
use crate::cuda::families::launches::{argument, number, only, select};
use crate::tensor::Tensor;

fn gather(axis: usize, data: Tensor, indices: Tensor, to: &[usize]) -> Result<Works, CudaError> {
    let result = Tensor::dense(data.dtype, to).at(1024);
    select(Op::Gather(Gather { axis }), &[data, indices], &[result])
}

#[test]
fn rows_move_by_the_largest_unit() {
    let indices = || Tensor::dense(DType::I64, &[2, 3]);
    let launch = gather(0, Tensor::dense(DType::Bf16, &[100, 64]), indices(), &[2, 3, 64]);
    let launch = only(launch.unwrap());
    assert_eq!(number(&launch, "UNIT_BYTES"), 16);
    let sizes = ["units", "row_units", "count", "rows"].map(|name| argument(&launch, name).clone());
    assert_eq!(sizes, [48, 8, 6, 100].map(Arg::Int));
    let unit = |data: Tensor, width: usize| {
        let launch = gather(0, data, indices(), &[2, 3, width]);
        number(&only(launch.unwrap()), "UNIT_BYTES")
    };
    assert_eq!(unit(Tensor::dense(DType::Bf16, &[9, 3]), 3), 2);
    assert_eq!(unit(Tensor::dense(DType::Bf16, &[9, 8]).at(8), 8), 8);
    assert_eq!(unit(Tensor::dense(DType::Bool, &[9, 5]), 5), 1);
    assert_eq!(unit(Tensor::dense(DType::I64, &[9, 1]), 1), 8);
}

#[test]
fn an_axis_inside_has_outer_rows() {
    let data = Tensor::dense(DType::F32, &[5, 7, 2]);
    let launch = gather(1, data, Tensor::dense(DType::I32, &[4]), &[5, 4, 2]);
    let launch = only(launch.unwrap());
    let sizes = ["units", "row_units", "count", "rows"].map(|name| argument(&launch, name).clone());
    assert_eq!(sizes, [20, 1, 4, 7].map(Arg::Int));
    let faults = Arg::Pointer { region: Region::Faults, byte_offset: 0 };
    assert_eq!(*argument(&launch, "faults"), faults);
}

#[test]
fn what_does_not_fit_is_refused() {
    let data = || Tensor::dense(DType::F32, &[5, 8]);
    let indices = || Tensor::dense(DType::I32, &[4]);
    assert!(gather(2, data(), indices(), &[4, 8]).is_err());
    assert!(gather(0, data(), indices(), &[4, 7]).is_err());
    assert!(gather(0, data(), Tensor::dense(DType::F32, &[4]), &[4, 8]).is_err());
    assert!(gather(0, data().with_strides(&[1, 5]), indices(), &[4, 8]).is_err());
    let empty = gather(0, Tensor::dense(DType::F32, &[0, 8]), indices(), &[4, 8]);
    assert_eq!(*argument(&only(empty.unwrap()), "rows"), Arg::Int(0));
}
