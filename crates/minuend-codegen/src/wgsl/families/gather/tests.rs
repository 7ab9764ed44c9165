//! What is moved at once, and tables larger than a binding.

use minuend_ir::Op;

use super::*;
use crate::kernel::Tail;
use crate::tensor::Tensor;
use crate::wgsl::families::launches::{select, select_with, uniform};
use crate::wgsl::place::Region;

fn gather(axis: usize, data: Tensor, count: usize) -> Dispatch {
    let shape = [&data.shape[..axis], &[count], &data.shape[axis + 1..]].concat();
    let result = Tensor::dense(data.dtype, &shape);
    let indices = Tensor::dense(DType::I64, &[count]);
    select(Op::Gather(Gather { axis }), &[data, indices], &[result]).unwrap().remove(0)
}

#[test]
fn the_largest_unit_that_fits_is_moved() {
    let label = |dispatch: Dispatch| dispatch.spec.label();
    let data = |dtype, shape: &[usize]| Tensor::dense(dtype, shape);
    let found = label(gather(0, data(DType::F32, &[9, 8]), 3));
    assert!(found.contains("Unit=vec4<u32>"), "{found}");
    let found = label(gather(0, data(DType::F32, &[9, 8]).at(4), 3));
    assert!(found.contains("Unit=u32"), "{found}");
    let found = label(gather(0, data(DType::Bf16, &[9, 6]), 3));
    assert!(found.contains("Unit=u32"), "{found}");
    let found = label(gather(0, data(DType::F16, &[9, 7]), 3));
    assert!(found.contains("BITS=16"), "{found}");
    let found = label(gather(0, data(DType::Bool, &[9, 7]), 3));
    assert!(found.contains("BITS=8"), "{found}");
    let dispatch = gather(1, data(DType::I64, &[9, 7]), 3);
    assert_eq!(uniform(&dispatch, "row_units"), [2]);
    assert_eq!(uniform(&dispatch, "units"), [54]);
    assert_eq!(dispatch.windows[3].region, Region::Faults);
}

#[test]
fn a_large_table_takes_several_dispatches() {
    let limits = WgslLimits { max_binding_bytes: 1024, ..WgslLimits::portable() };
    let data = Tensor::dense(DType::F32, &[20, 16]).at(64).weight();
    let indices = Tensor::dense(DType::I32, &[2]);
    let result = Tensor::dense(DType::F32, &[2, 16]);
    let op = Op::Gather(Gather { axis: 0 });
    let (operands, results) = ([data, indices], [result]);
    let chosen = select_with(op, Tail::None, &operands, &results, &limits).unwrap();
    // 768 bytes are 12 rows.
    assert_eq!(chosen.len(), 2);
    assert_eq!(uniform(&chosen[0], "window_rows"), [12]);
    assert_eq!(uniform(&chosen[1], "first_row"), [12]);
    assert_eq!(uniform(&chosen[1], "window_rows"), [8]);
    assert_eq!(chosen[1].windows[0].start, 768);
    assert_eq!(uniform(&chosen[1], "data_offset"), [(64 + 12 * 64 - 768) / 16]);
    let faults: Vec<u32> = chosen.iter().flat_map(|d| uniform(d, "counts_faults")).collect();
    assert_eq!(faults, [1, 0]);
}

#[test]
fn an_empty_table_is_bound_all_the_same() {
    let dispatch = gather(0, Tensor::dense(DType::F32, &[0, 4]), 3);
    assert_eq!(uniform(&dispatch, "rows"), [0]);
}
