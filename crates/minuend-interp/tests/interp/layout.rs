//! Ops that move elements.

use minuend_interp::Tensor;
use minuend_ir::ops::{Constant, Literal, Slice};
use minuend_ir::{DType, Dim, Emit, Op, TensorType};

use crate::case::Case;

fn dims(sizes: &[usize]) -> Vec<Dim> {
    sizes.iter().map(|size| Dim::from(*size)).collect()
}

/// `[2, 3, 2]` with element values `100 i + 10 j + k`.
const CUBE: [f64; 12] = [0., 1., 10., 11., 20., 21., 100., 101., 110., 111., 120., 121.];

#[test]
fn transpose_and_reshape() {
    let mut case = Case::new();
    let x = case.reals(&[2, 3, 2], &CUBE);
    let y = case.graph.transpose(x, &[2, 0, 1]).unwrap();
    let z = case.graph.reshape(y, &dims(&[3, 4])).unwrap();
    let expected = [0., 10., 20., 100., 110., 120., 1., 11., 21., 101., 111., 121.];
    assert_eq!(case.real_output(y, &[2, 2, 3]), expected);
    assert_eq!(case.real_output(z, &[3, 4]), expected);
}

#[test]
fn slices() {
    let mut case = Case::new();
    let x = case.reals(&[2, 3, 2], &CUBE);
    let graph = &mut case.graph;
    let middle = graph.slice(x, Slice::range(1, 1, 3)).unwrap();
    let even = graph.slice(x, Slice::strided(1, 0, 2)).unwrap();
    let odd = graph.slice(x, Slice::strided(1, 1, 2)).unwrap();
    let far = graph.slice(x, Slice::strided(2, 1, u32::MAX)).unwrap();
    let none = graph.slice(x, Slice::range(0, 2, 2)).unwrap();
    assert_eq!(case.real_output(middle, &[2, 2, 2]), [10., 11., 20., 21., 110., 111., 120., 121.]);
    assert_eq!(case.real_output(even, &[2, 2, 2]), [0., 1., 20., 21., 100., 101., 120., 121.]);
    assert_eq!(case.real_output(odd, &[2, 1, 2]), [10., 11., 110., 111.]);
    assert_eq!(case.real_output(far, &[2, 3, 1]), [1., 11., 21., 101., 111., 121.]);
    assert!(case.real_output(none, &[0, 3, 2]).is_empty());
}

#[test]
fn concat_along_inner_outer_and_empty() {
    let mut case = Case::new();
    let a = case.ints(&[2, 2], &[1, 2, 3, 4]);
    let b = case.ints(&[2, 1], &[5, 6]);
    let none = case.ints(&[2, 0], &[]);
    let graph = &mut case.graph;
    let inner = graph.concat(1, &[a, none, b]).unwrap();
    let outer = graph.concat(0, &[a, a]).unwrap();
    let outputs = case.outputs(&[inner, outer]);
    assert_eq!(outputs[0].shape(), [2, 3]);
    assert_eq!(outputs[0].ints().unwrap(), [1, 2, 5, 3, 4, 6]);
    assert_eq!(outputs[1].ints().unwrap(), [1, 2, 3, 4, 1, 2, 3, 4]);
}

#[test]
fn broadcast_and_interleaved_repetition() {
    let mut case = Case::new();
    let x = case.bools(&[2, 1], &[true, false]);
    let repeated = case.graph.broadcast(x, &dims(&[2, 2, 3])).unwrap();
    let y = case.reals(&[1, 2, 2], &[1., 2., 3., 4.]);
    let heads = case.graph.repeat_interleaved(y, 1, &Dim::from(2)).unwrap();
    let outputs = case.outputs(&[repeated, heads]);
    let block = [true, true, true, false, false, false];
    assert_eq!(outputs[0].bools().unwrap(), [block, block].as_flattened());
    assert_eq!(outputs[1].reals().unwrap(), [1., 2., 1., 2., 3., 4., 3., 4.]);
}

#[test]
fn gather_rows_and_inner_axes() {
    let mut case = Case::new();
    let x = case.reals(&[2, 3, 2], &CUBE);
    let rows = case.ints(&[1, 3], &[1, 0, 1]);
    let columns = case.small_ints(&[2], &[2, 0]);
    let embedding = case.graph.gather(0, x, rows).unwrap();
    let inner = case.graph.gather(1, x, columns).unwrap();
    let expected = [&CUBE[6..], &CUBE[..6], &CUBE[6..]].concat();
    assert_eq!(case.real_output(embedding, &[1, 3, 3, 2]), expected);
    assert_eq!(case.real_output(inner, &[2, 2, 2]), [20., 21., 0., 1., 120., 121., 100., 101.]);
}

#[test]
fn gather_refuses_an_index_outside_the_axis() {
    for index in [3, -1, i64::MAX, i64::MIN] {
        let mut case = Case::new();
        let x = case.reals(&[3, 1], &[1., 2., 3.]);
        let rows = case.ints(&[2], &[2, index]);
        let y = case.graph.gather(0, x, rows).unwrap();
        case.graph.set_name(y, "embedded");
        let expected =
            format!("%embedded = gather: index {index} at position 1 is outside axis 0 of size 3");
        assert_eq!(case.error(y), expected);
    }
}

#[test]
fn literals_and_integers() {
    let mut case = Case::new();
    let mut literal = |ty: TensorType, values| {
        case.graph.value(Op::Constant(Constant { ty, values }), &[]).unwrap()
    };
    let filled = literal(TensorType::fixed(DType::I32, &[2, 2]), Literal::Ints([7].into()));
    let listed =
        literal(TensorType::fixed(DType::Bool, &[2]), Literal::Bools([true, false].into()));
    let empty = literal(TensorType::fixed(DType::I64, &[0]), Literal::Ints([7].into()));
    let iota = case.graph.iota(Dim::from(4)).unwrap();
    let none = case.graph.iota(Dim::zero()).unwrap();
    let size = case.graph.dim(Dim::from(-3)).unwrap();
    let third = case.graph.real(DType::Bf16, 1.0 / 3.0).unwrap();
    let outputs = case.outputs(&[filled, listed, empty, iota, none, size, third]);
    assert_eq!(outputs[0], Tensor::from_ints(DType::I32, &[2, 2], vec![7; 4]).unwrap());
    assert_eq!(outputs[1].bools().unwrap(), [true, false]);
    assert!(outputs[2].is_empty());
    assert_eq!(outputs[3].ints().unwrap(), [0, 1, 2, 3]);
    assert!(outputs[4].is_empty());
    assert_eq!(outputs[5].ints().unwrap(), [-3]);
    assert_eq!(outputs[6].reals().unwrap(), [1.0 / 3.0]);
}
