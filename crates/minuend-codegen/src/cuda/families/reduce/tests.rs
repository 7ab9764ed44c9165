//! How many threads share a row.

use std::slice::from_ref;

use minuend_ir::Op;

use super::teams::Holding;
use super::*;
use crate::cuda::families::launches::{argument, limits, number, only, select};
use crate::tensor::Tensor;

fn mean(x: Tensor, axis: usize) -> KernelLaunch {
    let mut shape = x.shape.clone();
    shape[axis] = 1;
    let result = Tensor::dense(x.dtype, &shape);
    let op = Op::Reduce(Reduce { kind: ReduceKind::Mean, axis });
    only(select(op, &[x], &[result]).unwrap())
}

fn index(x: Tensor, axis: usize) -> KernelLaunch {
    let mut shape = x.shape.clone();
    shape.remove(axis);
    let result = Tensor::dense(DType::I64, &shape);
    only(select(Op::ArgMax(ArgMax { axis }), &[x], &[result]).unwrap())
}

#[test]
fn long_rows_are_shared() {
    let team = |rows, vectors, step| Team::for_one_pass(rows, vectors, step, &limits());
    assert_eq!(team(5000, 99, 7), Team::ONE);
    assert_eq!(team(5000, 99, 1).lanes, 32);
    assert_eq!(team(9, 128, 7).lanes, 32);
    assert_eq!(team(9, 129, 1), Team { lanes: 0, threads: 64 });
    assert_eq!(team(9, 1 << 20, 1), Team { lanes: 0, threads: 512 });
    assert_eq!(team(1, 0, 1).blocks(1), Ok(1));
    assert_eq!(Team::ONE.blocks(129), Ok(2));
    assert!(Team::ONE.blocks(1 << 31).is_err());
}

/// What is held covers the row, and every kind is chosen somewhere.
#[test]
fn rows_are_held() {
    let mut kinds: Vec<_> = Holding::KINDS.map(|kind| kind.set(KernelSpec::new(""))).into();
    for vectors in [0, 1, 16, 17, 32, 33, 128, 129, 1024, 1025, 2048, 2049, 1 << 20] {
        for rows in [1, 100_000] {
            let holding = Holding::choose(rows, vectors, &limits());
            let team = holding.team;
            let threads = if team.lanes == 0 { team.threads } else { team.lanes };
            let held = threads as usize * holding.chunks;
            assert_eq!(holding.is_long, held < vectors, "{vectors}: {holding:?}");
            assert!(team.threads.is_multiple_of(32));
            assert!(team.threads <= if holding.chunks == 1 { 1024 } else { 512 });
            let spec = holding.set(KernelSpec::new(""));
            kinds.retain(|kind| *kind != spec);
        }
    }
    assert_eq!(kinds, []);
}

#[test]
fn the_axis_is_stepped_through() {
    let launch = mean(Tensor::dense(DType::F32, &[4, 300, 6]).at(8), 1);
    assert_eq!(number(&launch, "WIDTH"), 1);
    assert_eq!(argument(&launch, "step"), &Arg::Long(6));
    assert_eq!(argument(&launch, "rows"), &Arg::Int(24));
    assert_eq!(argument(&launch, "divisor"), &Arg::Float(300.0));
    assert_eq!(argument(&launch, "shape"), &Arg::Axes([4, 6, 1, 1, 1, 1]));
    assert_eq!(argument(&launch, "x_strides"), &Arg::Strides([1800, 1, 0, 0, 0, 0]));
    let empty = mean(Tensor::dense(DType::Bf16, &[4, 0]), 1);
    assert_eq!(argument(&empty, "vectors"), &Arg::Int(0));
    assert_eq!(argument(&empty, "divisor"), &Arg::Float(0.0));
}

#[test]
fn aligned_rows_are_read_in_vectors() {
    let width = |x: Tensor| number(&mean(x, 1), "WIDTH");
    let x = |dtype| Tensor::dense(dtype, &[4, 64]);
    assert_eq!(width(x(DType::F32)), 4);
    assert_eq!(width(x(DType::F16)), 8);
    assert_eq!(width(x(DType::F16).at(8)), 1);
    assert_eq!(width(x(DType::F16).with_strides(&[68, 1])), 1);
    assert_eq!(width(x(DType::F32).with_strides(&[68, 1])), 4);
    assert_eq!(width(Tensor::dense(DType::F32, &[4, 66])), 1);
    // The stride of an axis of size 1 is never used.
    assert_eq!(width(Tensor::dense(DType::F32, &[1, 64]).with_strides(&[3, 1])), 4);
}

#[test]
fn a_few_long_rows_are_spread_over_the_device() {
    let launch = index(Tensor::dense(DType::F32, &[1, 128_256]), 1);
    assert_eq!(number(&launch, "WIDTH"), 4);
    assert_eq!((launch.grid, launch.threads), ([126, 1, 1], 256));
    assert_eq!(argument(&launch, "blocks_of_row"), &Arg::Int(126));
    let counters = Arg::Pointer { region: Region::Counters, byte_offset: 0 };
    assert_eq!(argument(&launch, "counters"), &counters);
    let launch = index(Tensor::dense(DType::Bf16, &[8, 128_256]), 1);
    assert_eq!((launch.grid, number(&launch, "WIDTH")), ([8 * 33, 1, 1], 8));
    let launch = index(Tensor::dense(DType::F32, &[5000, 1000]), 1);
    assert_eq!((launch.grid, launch.threads), ([5000, 1, 1], 256));
    assert_eq!(argument(&launch, "counters"), &Arg::Null);
    let launch = index(Tensor::dense(DType::F32, &[2, 0]), 1);
    assert_eq!((launch.grid, launch.threads), ([2, 1, 1], 32));
}

/// Shared rows never exceed the counters, whatever the device.
#[test]
fn counters_suffice() {
    let gpu = CudaLimits { multiprocessors: 1 << 20, ..limits() };
    assert!(arg_max_blocks(ARG_MAX_SHARED_ROWS, 1 << 20, &gpu) > 1);
    assert_eq!(arg_max_blocks(ARG_MAX_SHARED_ROWS + 1, 1 << 20, &gpu), 1);
}

#[test]
fn the_axis_must_be_there() {
    let (x, to) = (Tensor::dense(DType::F32, &[2, 3]), Tensor::dense(DType::I64, &[2]));
    assert!(select(Op::ArgMax(ArgMax { axis: 2 }), from_ref(&x), from_ref(&to)).is_err());
}

#[test]
fn every_choice_is_a_row() {
    let rows = reduce_rows();
    for dtype in FLOATS {
        for shape in [[3, 65], [2, 4096], [40, 5000]] {
            for axis in [0, 1] {
                let x = Tensor::dense(dtype, &shape);
                assert!(rows.contains(&mean(x.clone(), axis).spec));
                assert!(arg_max_rows().contains(&index(x, axis).spec));
            }
        }
    }
}
