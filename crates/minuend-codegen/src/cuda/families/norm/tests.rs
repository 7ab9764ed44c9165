//! Which variant rows get.

use std::slice::from_ref;

use minuend_ir::{Op, Real};

use super::*;
use crate::cuda::families::launches::{argument, number, only, select};
use crate::tensor::Tensor;

fn op() -> RmsNorm {
    RmsNorm { epsilon: Real::new(1e-6) }
}

fn norm(x: Tensor, weight: Tensor) -> KernelLaunch {
    let result = Tensor::dense(x.dtype, &x.shape);
    only(select(Op::RmsNorm(op()), &[x, weight], &[result]).unwrap())
}

#[test]
fn a_token_takes_one_load_of_each_thread() {
    for (dtype, length, threads) in [(DType::Bf16, 4096, 512), (DType::F32, 4096, 1024)] {
        let weight = Tensor::dense(DType::F32, &[length]);
        let launch = norm(Tensor::dense(dtype, &[1, 1, length]), weight);
        assert_eq!((launch.grid[0], launch.threads), (1, threads));
        assert_eq!((number(&launch, "LANES"), number(&launch, "CHUNKS")), (0, 1));
        assert_eq!(argument(&launch, "residual"), &Arg::Null);
        assert_eq!(argument(&launch, "inverse_length"), &Arg::Float(1.0 / 4096.0));
    }
}

#[test]
fn heads_share_a_warp() {
    let x = Tensor::dense(DType::Bf16, &[1, 32, 500, 128]).with_strides(&[0, 128, 6144, 1]);
    let launch = norm(x, Tensor::dense(DType::Bf16, &[128]));
    assert_eq!((number(&launch, "LANES"), number(&launch, "WIDTH")), (16, 8));
    assert_eq!((launch.grid[0], launch.threads), (2000, 128));
    assert_eq!(argument(&launch, "vectors"), &Arg::Int(16));
    assert_eq!(argument(&launch, "shape"), &Arg::Axes([32, 500, 1, 1, 1, 1]));
    assert_eq!(argument(&launch, "x_strides"), &Arg::Strides([128, 6144, 0, 0, 0, 0]));
}

#[test]
fn others_are_read_one_by_one() {
    let x = || Tensor::dense(DType::F16, &[6, 64]);
    let weight = || Tensor::dense(DType::F32, &[64]);
    let width = |x, weight| number(&norm(x, weight), "WIDTH");
    assert_eq!(width(x(), weight()), 8);
    assert_eq!(width(x().at(2), weight()), 1);
    assert_eq!(width(x(), weight().at(8)), 1);
    assert_eq!(width(x().at(16), weight().at(16)), 8);
    assert_eq!(width(x().with_strides(&[66, 1]), weight()), 1);
    let odd = Tensor::dense(DType::F16, &[6, 33]);
    assert_eq!(width(odd, Tensor::dense(DType::F16, &[33])), 1);
}

#[test]
fn sums_have_two_results() {
    let x = Tensor::dense(DType::F32, &[4, 64]);
    let residual = x.clone().with_strides(&[128, 1]).at(512);
    let operands = [x.clone(), residual, Tensor::dense(DType::F32, &[64])];
    let results = [x.clone().at(4096), x.clone().at(8192)];
    let launch = only(select(Op::AddRmsNorm(op()), &operands, &results).unwrap());
    assert_eq!(argument(&launch, "sum"), &Arg::tensor(&results[0].place()));
    assert_eq!(argument(&launch, "normed"), &Arg::tensor(&results[1].place()));
    assert_eq!(argument(&launch, "residual_strides"), &Arg::Strides([128, 0, 0, 0, 0, 0]));
    assert!(select(Op::AddRmsNorm(op()), &operands, &[x]).is_err());
}

#[test]
fn rows_must_lie_together() {
    let x = Tensor::dense(DType::F32, &[4, 64]);
    let weight = Tensor::dense(DType::F32, &[64]);
    let columns = x.clone().with_strides(&[1, 4]);
    assert!(select(Op::RmsNorm(op()), &[columns.clone(), weight.clone()], from_ref(&x)).is_err());
    assert!(select(Op::RmsNorm(op()), &[x, weight], &[columns]).is_err());
}

/// Every holding is compiled with both widths, and every pair of types with the largest one.
#[test]
fn rows_take_every_branch() {
    let rows = rows();
    let has = |row: &KernelSpec, spec: KernelSpec| {
        spec.defines.iter().all(|define| row.defines.contains(define))
    };
    let holding = |holding: Holding| holding.set(KernelSpec::new(""));
    for kind in Holding::KINDS {
        for width in [1, 4, 8] {
            let of_kind = holding(kind).with_int("WIDTH", width);
            assert!(rows.iter().any(|row| has(row, of_kind.clone())), "{}", of_kind.label());
        }
    }
    for (x, weight) in FLOATS.into_iter().flat_map(|x| FLOATS.map(|weight| (x, weight))) {
        let types = KernelSpec::new("")
            .with_type("ELEMENT", element(x))
            .with_type("WEIGHT", element(weight))
            .with_int("WIDTH", widest(x) as i32);
        let [.., held, long] = Holding::KINDS;
        for kind in [held, long] {
            let of_types = kind.set(types.clone());
            assert!(rows.iter().any(|row| has(row, of_types.clone())), "{}", of_types.label());
        }
    }
}
