//! What stands between the softmax and the product with values, and softmaxes that no product reads.

use super::*;

fn causally(d: &mut Drawing, scores: ValueId) -> ValueId {
    let visible = d.causal();
    d.masked(visible, scores)
}

#[test]
fn zeros_in_the_place_of_nan_weights_go() {
    let ran = assert_raised(
        &with_weights(causally, |d, weights| {
            let is_nan = d.graph.compare(CompareOp::Ne, weights, weights).unwrap();
            let zero = d.real(0.0);
            d.graph.select(is_nan, zero, weights).unwrap()
        }),
        Mask::Causal,
    );
    assert!(!ran.ops().contains(&"select"), "{:?}", ran.ops());
    let by_number = with_weights(causally, |d, weights| {
        let is_number = d.graph.compare(CompareOp::Eq, weights, weights).unwrap();
        let zero = d.real(0.0);
        d.graph.select(is_number, weights, zero).unwrap()
    });
    assert_raised(&by_number, Mask::Causal);
}

#[test]
fn other_choices_behind_the_softmax_stay() {
    let ones = with_weights(causally, |d, weights| {
        let is_nan = d.graph.compare(CompareOp::Ne, weights, weights).unwrap();
        let one = d.real(1.0);
        d.graph.select(is_nan, one, weights).unwrap()
    });
    assert_refused(&ones, "are read by");
    let swapped = with_weights(causally, |d, weights| {
        let is_nan = d.graph.compare(CompareOp::Ne, weights, weights).unwrap();
        let zero = d.real(0.0);
        d.graph.select(is_nan, weights, zero).unwrap()
    });
    assert_refused(&swapped, "are read by");
    let small = with_weights(causally, |d, weights| {
        let least = d.real(0.01);
        let is_small = d.graph.compare(CompareOp::Lt, weights, least).unwrap();
        let zero = d.real(0.0);
        d.graph.select(is_small, zero, weights).unwrap()
    });
    assert_refused(&small, "(lt), expected a product with values");
    // A graph's user sees which weights are NaN.
    let mut d = Drawing::new();
    let q = d.queries(2);
    let (k, v) = d.keys_and_values(2);
    let weights = d.causal_weights(q, k);
    let is_nan = d.graph.compare(CompareOp::Ne, weights, weights).unwrap();
    let zero = d.real(0.0);
    let guarded = d.graph.select(is_nan, zero, weights).unwrap();
    let o = d.graph.matmul(guarded, v).unwrap();
    assert_refused(&d.returning(&[o, is_nan]), "(ne)");
}

#[test]
fn a_softmax_that_no_product_reads_has_a_remark() {
    let mut d = Drawing::new();
    let q = d.queries(2);
    let (k, _) = d.keys_and_values(2);
    let scores = d.scores(q, k);
    let weights = d.softmax(scores);
    assert_refused(&d.returning(&[weights]), "(return), expected a product with values");
    let mut d = Drawing::new();
    let q = d.queries(2);
    let (k, _) = d.keys_and_values(2);
    let scores = d.scores(q, k);
    let weights = d.softmax(scores);
    let squares = d.graph.mul(weights, weights).unwrap();
    assert_refused(&d.returning(&[squares]), "(mul), expected a product with values");
    // The scores are looked at first: they are the first edge that differs.
    let mut d = Drawing::new();
    let x = d.queries(2);
    let weights = d.softmax(x);
    assert_refused(&d.returning(&[weights]), "the softmax reads %q (input)");
    // The weights are the right side of a product.
    let mut d = Drawing::new();
    let shape = [d.b.clone(), 2.into(), 4.into(), d.s.clone()];
    let q = d.queries(2);
    let shape_k = [d.b.clone(), 2.into(), d.t.clone(), 4.into()];
    let (u, k) = (d.input("u", &shape), d.input("k", &shape_k));
    let scores = d.scores(q, k);
    let weights = d.softmax(scores);
    let o = d.graph.matmul(u, weights).unwrap();
    assert_refused(&d.returning(&[o]), "(matmul), expected a product with values");
    // Added, not subtracted maps.
    let mut d = Drawing::new();
    let q = d.queries(2);
    let (k, v) = d.keys_and_values(2);
    let weights = d.causal_weights(q, k);
    let half = d.real(0.5);
    let other = d.graph.mul(weights, half).unwrap();
    let sum = d.graph.add_values(weights, other).unwrap();
    let o = d.graph.matmul(sum, v).unwrap();
    assert_refused(&d.returning(&[o]), "expected a product with values");
}
