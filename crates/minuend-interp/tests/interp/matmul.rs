//! Matrix products on hand-computed values.

use minuend_ir::{DType, Emit};

use crate::case::{Case, assert_close};

#[test]
fn both_forms_of_the_right_side() {
    let mut case = Case::new();
    let a = case.reals(&[2, 3], &[1., 2., 3., 4., 5., 6.]);
    let b = case.reals(&[3, 2], &[7., 8., 9., 10., 11., 12.]);
    let b_transposed = case.given(
        minuend_interp::Tensor::from_reals(DType::Bf16, &[2, 3], vec![7., 9., 11., 8., 10., 12.])
            .unwrap(),
    );
    let plain = case.graph.matmul(a, b).unwrap();
    let transposed = case.graph.matmul_transposed(a, b_transposed).unwrap();
    assert_eq!(case.real_output(plain, &[2, 2]), [58., 64., 139., 154.]);
    assert_eq!(case.real_output(transposed, &[2, 2]), [58., 64., 139., 154.]);
}

#[test]
fn outer_axes_broadcast_both_ways() {
    let mut case = Case::new();
    // lhs [2, 1, 1, 2] and rhs [3, 2, 1] give [2, 3, 1, 1].
    let a = case.reals(&[2, 1, 1, 2], &[1., 2., 3., 4.]);
    let b = case.reals(&[3, 2, 1], &[1., 0., 0., 1., 1., 1.]);
    let product = case.graph.matmul(a, b).unwrap();
    assert_eq!(case.real_output(product, &[2, 3, 1, 1]), [1., 2., 3., 3., 4., 7.]);
}

#[test]
fn empty_inner_axis_gives_zero() {
    let mut case = Case::new();
    let (a, b) = (case.reals(&[2, 0], &[]), case.reals(&[0, 3], &[]));
    let plain = case.graph.matmul(a, b).unwrap();
    let c = case.reals(&[3, 0], &[]);
    let transposed = case.graph.matmul_transposed(a, c).unwrap();
    for product in [plain, transposed] {
        let found = case.real_output(product, &[2, 3]);
        assert!(found.iter().all(|value| value.to_bits() == 0));
    }
}

#[test]
fn the_two_forms_agree_on_odd_sizes() {
    let mut case = Case::new();
    let (a, b) = (case.noise(&[2, 1, 5, 17]), case.noise(&[3, 17, 9]));
    let plain = case.graph.matmul(a, b).unwrap();
    let swapped = case.graph.swap_last_axes(b).unwrap();
    let transposed = case.graph.matmul_transposed(a, swapped).unwrap();
    let outputs = case.outputs(&[plain, transposed]);
    assert_eq!(outputs[0].shape(), [2, 3, 5, 9]);
    let [found, expected] = [&outputs[0], &outputs[1]].map(|side| side.reals().unwrap());
    // Sums of 17 products of magnitude at most 4.
    assert_close(found, expected, 17.0 * 4.0 * f64::EPSILON);
}
