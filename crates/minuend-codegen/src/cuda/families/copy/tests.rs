//! What launches become.

use minuend_ir::ops::{DimValue, Iota, Literal};
use minuend_ir::{Dim, Op, Real, TensorType};

use super::*;
use crate::cuda::families::launches::{argument, copy, number, only, select, select_with};
use crate::kernel::Tail;
use crate::tensor::Tensor;

/// `UNIT_BYTES`, `RANK` and `PER_THREAD`.
fn form(launch: &KernelLaunch) -> [i32; 3] {
    ["UNIT_BYTES", "RANK", "PER_THREAD"].map(|name| number(launch, name))
}

#[test]
fn an_append_to_a_cache_moves_16_bytes_at_once() {
    // Rows of a batch of 2 behind position 7 of caches with 100 positions, 4 heads of 64.
    let new = Tensor::dense(DType::Bf16, &[2, 3, 4, 64]);
    let cache =
        Tensor::dense(DType::Bf16, &[2, 3, 4, 64]).with_strides(&[25600, 256, 64, 1]).at(7 * 512);
    let launch = only(copy(&new, &cache).unwrap());
    assert_eq!(form(&launch), [16, 2, 1]);
    assert_eq!(*argument(&launch, "units"), Arg::Int(192));
    assert_eq!(*argument(&launch, "shape"), Arg::Axes([2, 96, 1, 1, 1, 1]));
    assert_eq!(*argument(&launch, "from_strides"), Arg::Strides([96, 1, 0, 0, 0, 0]));
    assert_eq!(*argument(&launch, "to_strides"), Arg::Strides([3200, 1, 0, 0, 0, 0]));
}

#[test]
fn units_fit_both_sides() {
    let dense = |width| Tensor::dense(DType::F16, &[4, width]);
    let unit = |from: &Tensor, to: &Tensor| number(&only(copy(from, to).unwrap()), "UNIT_BYTES");
    assert_eq!(unit(&dense(24), &dense(24)), 16);
    assert_eq!(unit(&dense(24).at(8), &dense(24)), 8);
    assert_eq!(unit(&dense(24), &dense(24).at(4)), 4);
    assert_eq!(unit(&dense(24).with_strides(&[25, 1]), &dense(24)), 2);
    assert_eq!(unit(&dense(6), &dense(6).with_strides(&[8, 1])), 4);
    assert_eq!(unit(&dense(8).with_strides(&[1, 4]), &dense(8)), 2);
    assert_eq!(unit(&dense(8).with_strides(&[0, 0]), &dense(8)), 2);
    let bytes = || Tensor::dense(DType::Bool, &[3, 5]);
    assert_eq!(unit(&bytes(), &bytes()), 1);
    let scalar = || Tensor::dense(DType::I64, &[]);
    assert_eq!(unit(&scalar(), &scalar()), 8);
}

#[test]
fn large_copies_move_several_units_by_a_thread() {
    let x = || Tensor::dense(DType::F32, &[1 << 11, 1 << 11]);
    let launch = only(copy(&x(), &x().at(1 << 24)).unwrap());
    assert_eq!(form(&launch), [16, 1, 4]);
    assert_eq!(launch.grid, [1 << 10, 1, 1]);
}

#[test]
fn axes_follow_the_destination() {
    // Both sides are transposed alike.
    let x = || Tensor::dense(DType::F32, &[64, 128]).with_strides(&[1, 64]);
    let launch = only(copy(&x(), &x()).unwrap());
    assert_eq!(form(&launch), [16, 1, 1]);
}

#[test]
fn transpositions_go_by_tiles() {
    let from = Tensor::dense(DType::Bf16, &[2, 300, 100]).with_strides(&[30000, 1, 300]);
    let to = Tensor::dense(DType::Bf16, &[2, 300, 100]);
    let launch = only(copy(&from, &to).unwrap());
    assert_eq!(launch.spec.template, "copy/transpose");
    assert_eq!(launch.grid, [2 * 5 * 2, 1, 1]);
    let sizes = ["rows", "columns"].map(|name| argument(&launch, name).clone());
    assert_eq!(sizes, [300, 100].map(Arg::Int));
    let strides = ["from_column_stride", "to_row_stride"];
    let strides = strides.map(|name| argument(&launch, name).clone());
    assert_eq!(strides, [300, 100].map(Arg::Long));
    assert_eq!(*argument(&launch, "shape"), Arg::Axes([2, 1, 1, 1, 1, 1]));
    let narrow = Tensor::dense(DType::Bf16, &[3000, 16]);
    let launch = only(copy(&narrow.clone().with_strides(&[1, 3000]), &narrow).unwrap());
    assert_eq!(launch.spec.template, "copy/strided");
}

#[test]
fn copies_between_unlike_tensors_are_refused() {
    let x = Tensor::dense(DType::F32, &[4]);
    assert!(copy(&x, &Tensor::dense(DType::I32, &[4])).is_err());
    assert!(copy(&x, &Tensor::dense(DType::F32, &[5])).is_err());
    let empty = Tensor::dense(DType::F32, &[0, 4]);
    assert!(copy(&empty, &empty).unwrap().steps.is_empty());
}

#[test]
fn one_value_fills_and_others_are_copied() {
    let reals = |count| {
        let values = Literal::Reals((0..count).map(|_| Real::new(1.0)).collect());
        Op::Constant(Constant { ty: TensorType::scalar(DType::Bf16), values })
    };
    let to = |shape: &[usize]| [Tensor::dense(DType::Bf16, shape).at(64)];
    let launch = only(select(reals(1), &[], &to(&[3, 8])).unwrap());
    assert_eq!(number(&launch, "UNIT_BYTES"), 16);
    assert_eq!(*argument(&launch, "bits"), Arg::Long(0x3f80_3f80_3f80_3f80));
    assert_eq!(*argument(&launch, "units"), Arg::Int(3));
    let launch = only(select(reals(1), &[], &to(&[])).unwrap());
    assert_eq!(number(&launch, "UNIT_BYTES"), 2);
    let launch = only(select(reals(1), &[], &[to(&[4])[0].clone().with_strides(&[2])]).unwrap());
    assert_eq!(*argument(&launch, "from_strides"), Arg::Strides([0; 6]));
    let launch = only(select(reals(6), &[], &to(&[3, 2])).unwrap());
    let data = Arg::Data([0x80, 0x3f].repeat(6).into());
    assert_eq!((form(&launch), argument(&launch, "from")), ([4, 1, 1], &data));
    assert!(select(reals(5), &[], &to(&[3, 2])).is_err());
}

#[test]
fn sizes_and_counts_are_integers() {
    let to = [Tensor::dense(DType::I64, &[])];
    let size = || Op::DimValue(DimValue { size: Dim::from(7) });
    let launch = only(select_with(size(), Tail::None, &[], &to, &[1 << 40]).unwrap());
    assert_eq!(*argument(&launch, "start"), Arg::Long(1 << 40));
    assert!(select(size(), &[], &to).is_err());
    let to = [Tensor::dense(DType::I64, &[300])];
    let launch = only(select(Op::Iota(Iota { size: Dim::from(300) }), &[], &to).unwrap());
    assert_eq!((launch.grid[0], argument(&launch, "start")), (2, &Arg::Long(0)));
}

#[test]
fn values_repeat_up_to_eight_bytes() {
    assert_eq!(repeated(&[1]), 0x0101_0101_0101_0101);
    assert_eq!(repeated(&[0x80, 0x3f]), 0x3f80_3f80_3f80_3f80);
    assert_eq!(repeated(&[0, 0, 0x80, 0x3f]), 0x3f80_0000_3f80_0000);
    assert_eq!(repeated(&[0xfe, 255, 255, 255, 255, 255, 255, 255]), -2);
    assert_eq!(repeated(&[]), 0);
}
