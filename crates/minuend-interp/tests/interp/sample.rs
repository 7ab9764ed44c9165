//! Random choices on hand-computed values.

use minuend_interp::Draw;
use minuend_ir::Emit;
use minuend_ir::ops::SampleRules;

use crate::case::Case;

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// Weights 1, 3, 2, 2 at temperature 1.
fn logits() -> [f64; 4] {
    [1.0f64, 3.0, 2.0, 2.0].map(f64::ln)
}

fn draw(temperature: f64, top_k: i64, top_p: f64, uniform: f64) -> Draw {
    Draw { temperature, top_k, top_p, uniform }
}

/// What each of these numbers draws.
fn drawn(top_k: i64, top_p: f64, uniforms: &[f64]) -> Vec<usize> {
    let choose = |uniform: &f64| draw(1.0, top_k, top_p, *uniform).choose(&logits()).unwrap();
    uniforms.iter().map(choose).collect()
}

#[test]
fn kept_indices_share_the_unit_interval_in_their_order() {
    // Of 8 parts.
    let uniforms = [0.0, 0.12, 0.13, 0.49, 0.51, 0.74, 0.76, 0.99];
    assert_eq!(drawn(0, 1.0, &uniforms), [0, 0, 1, 1, 2, 2, 3, 3]);
    assert_eq!(drawn(-1, NAN, &uniforms), [0, 0, 1, 1, 2, 2, 3, 3]);
    assert_eq!(drawn(9, 2.0, &uniforms), [0, 0, 1, 1, 2, 2, 3, 3]);
    // Beyond the interval, its ends.
    assert_eq!(drawn(0, 1.0, &[NAN, -1.0, 1.0, INF]), [0, 0, 3, 3]);
}

#[test]
fn top_k_keeps_the_largest_and_of_equals_the_lowest_index() {
    let uniforms = [0.0, 0.59, 0.61, 0.99];
    assert_eq!(drawn(1, 1.0, &uniforms), [1, 1, 1, 1]);
    assert_eq!(drawn(2, 1.0, &uniforms), [1, 1, 2, 2]);
    assert_eq!(drawn(3, 1.0, &[0.42, 0.43, 0.71, 0.72]), [1, 2, 2, 3]);
}

#[test]
fn top_p_keeps_the_fewest_that_reach_the_share() {
    let all = [0.0, 0.99];
    // 3/8, 5/8, 7/8 and 1.
    assert_eq!(drawn(0, 0.3, &all), [1, 1]);
    assert_eq!(drawn(0, 0.4, &all), [1, 2]);
    assert_eq!(drawn(0, 0.7, &all), [1, 3]);
    assert_eq!(drawn(0, 0.9, &all), [0, 3]);
    assert_eq!(drawn(0, 0.0, &all), [1, 1]);
    assert_eq!(drawn(0, -INF, &all), [1, 1]);
    // The share of what top_k keeps: 3/5 and 1.
    assert_eq!(drawn(2, 0.59, &all), [1, 1]);
    assert_eq!(drawn(2, 0.61, &all), [1, 2]);
}

#[test]
fn temperature_flattens_or_sharpens() {
    let at = |temperature, uniform| draw(temperature, 0, 1.0, uniform).choose(&logits()).unwrap();
    // Weights 1, 9, 4, 4 and, all but equal, 1, 1, 1, 1.
    assert_eq!([at(0.5, 0.05), at(0.5, 0.06), at(0.5, 0.55), at(0.5, 0.56)], [0, 1, 1, 2]);
    assert_eq!([at(INF, 0.24), at(INF, 0.26), at(INF, 0.51), at(INF, 0.76)], [0, 1, 2, 3]);
    for none in [0.0, -1.0, NAN, 1e-40] {
        assert_eq!([at(none, 0.0), at(none, 0.99)], [1, 1]);
    }
    assert_eq!([at(1e-30, 0.0), at(1e-30, 0.99)], [1, 1]);
    assert_eq!(draw(0.0, 0, 1.0, 0.9).choose(&[-0.0, 0.0]), Some(0));
}

#[test]
fn what_is_not_finite_is_never_drawn() {
    let logits = [NAN, 0.0, INF, -INF, 0.0];
    assert_eq!(draw(1.0, 0, 1.0, 0.49).choose(&logits), Some(1));
    assert_eq!(draw(1.0, 0, 1.0, 0.51).choose(&logits), Some(4));
    assert_eq!(draw(1.0, 0, 1.0, 0.5).choose(&[NAN, INF, -INF]), None);
    assert_eq!(draw(0.0, 0, 1.0, 0.5).choose(&[]), None);
}

#[test]
fn every_row_has_its_own_number() {
    let mut case = Case::new();
    let [a, b, c, d] = logits();
    let rows = [a, b, c, d, NAN, NAN, -INF, INF, d, c, b, a];
    let x = case.reals(&[3, 1, 4], &rows);
    let uniform = case.reals(&[3, 1, 1], &[0.51, 0.5, 0.51]);
    let rules = SampleRules {
        temperature: case.reals(&[], &[1.0]),
        top_k: case.graph.int(3).unwrap(),
        top_p: case.reals(&[], &[1.0]),
    };
    let y = case.graph.sample(x, rules, uniform).unwrap();
    let outputs = case.outputs(&[y]);
    assert_eq!(outputs[0].shape(), [3, 1, 1]);
    // Of the last row 2, 2, 3 are kept.
    assert_eq!(outputs[0].ints().unwrap(), [2, -1, 1]);
}
