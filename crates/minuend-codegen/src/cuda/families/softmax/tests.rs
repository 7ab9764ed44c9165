//! What a launch becomes.

use std::slice::from_ref;

use minuend_ir::Op;

use super::*;
use crate::cuda::families::launches::{argument, number, only, select};
use crate::tensor::Tensor;

fn softmax(x: Tensor, axis: usize) -> KernelLaunch {
    let result = Tensor::dense(x.dtype, &x.shape);
    only(select(Op::Softmax(Softmax { axis }), &[x], &[result]).unwrap())
}

#[test]
fn rows_along_any_axis() {
    let x = Tensor::dense(DType::F32, &[4, 64, 6]).with_strides(&[1, 24, 4]);
    let launch = softmax(x.clone(), 1);
    assert_eq!((number(&launch, "WIDTH"), number(&launch, "CHUNKS")), (1, 1));
    assert_eq!(argument(&launch, "x_step"), &Arg::Long(24));
    assert_eq!(argument(&launch, "result_step"), &Arg::Long(6));
    assert_eq!(argument(&launch, "x_strides"), &Arg::Strides([1, 4, 0, 0, 0, 0]));
    assert_eq!(argument(&launch, "result_strides"), &Arg::Strides([384, 1, 0, 0, 0, 0]));
    let op = Op::Softmax(Softmax { axis: 3 });
    assert!(select(op, from_ref(&x), from_ref(&x)).is_err());
    // Strided results are not written.
    let op = Op::Softmax(Softmax { axis: 2 });
    assert!(select(op, from_ref(&x), from_ref(&x)).is_err());
}

#[test]
fn every_choice_is_a_row() {
    let rows = rows();
    for dtype in FLOATS {
        for length in [8, 128, 256, 1000, 4096, 40_000] {
            for count in [1, 3000] {
                let launch = softmax(Tensor::dense(dtype, &[count, length]), 1);
                assert!(rows.contains(&launch.spec), "{}", launch.spec.label());
                assert_eq!(number(&launch, "WIDTH"), widest(dtype) as i32);
                let launch = softmax(Tensor::dense(dtype, &[count, length]), 0);
                assert!(rows.contains(&launch.spec), "{}", launch.spec.label());
                assert_eq!(number(&launch, "LANES") == 1, length >= 1024, "{length}");
            }
        }
    }
}
