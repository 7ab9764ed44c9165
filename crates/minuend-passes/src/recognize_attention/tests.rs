mod guards;

use minuend_ir::ops::{BinaryOp, CompareOp, Mask, Slice, UnaryOp};
use minuend_ir::{DType, Dim, Emit, Graph, Op, ValueId};

use super::pass;
use crate::attention_graphs::{Drawing, SIZES};
use crate::testing::{Ran, run};

/// The pass leaves one attention with this mask and scale 0.5, and no softmax.
#[track_caller]
fn assert_raised(graph: &Graph, mask: Mask) -> Ran {
    let ran = run(graph, &pass(), &SIZES);
    let Op::Attention(attention) = ran.the("attention") else { unreachable!() };
    assert_eq!(attention.mask, mask);
    assert_eq!(attention.scale.get(), 0.5);
    assert!(!ran.ops().contains(&"softmax"), "{:?}", ran.ops());
    assert_eq!(ran.remarks, Vec::<String>::new());
    ran
}

/// The pass changes nothing, and says so in a remark with these words.
#[track_caller]
fn assert_refused(graph: &Graph, words: &str) {
    let ran = run(graph, &pass(), &SIZES);
    assert!(!ran.ops().contains(&"attention"), "{:?}", ran.ops());
    assert!(ran.remarks.iter().any(|remark| remark.contains(words)), "{:?}", ran.remarks);
    // One for each softmax, and one for each product that could have been an attention.
    assert!(ran.remarks.len() <= 2, "{:?}", ran.remarks);
}

/// Multi-head attention whose scores `mask` changes.
fn with_mask(mask: impl FnOnce(&mut Drawing, ValueId) -> ValueId) -> Graph {
    with_weights(mask, |_, weights| weights)
}

/// Multi-head attention whose scores `mask` changes, and whose weights `guard` changes.
fn with_weights(
    mask: impl FnOnce(&mut Drawing, ValueId) -> ValueId,
    guard: impl FnOnce(&mut Drawing, ValueId) -> ValueId,
) -> Graph {
    let mut d = Drawing::new();
    let q = d.queries(2);
    let (k, v) = d.keys_and_values(2);
    let scores = d.scores(q, k);
    let scores = mask(&mut d, scores);
    let weights = d.softmax(scores);
    let weights = guard(&mut d, weights);
    let o = d.graph.matmul(weights, v).unwrap();
    d.returning(&[o])
}

#[test]
fn plain_attention_needs_no_layout_op() {
    let ran = assert_raised(&with_mask(|_, scores| scores), Mask::Full);
    assert_eq!(ran.ops(), ["attention"]);
}

#[test]
fn scale_may_stand_anywhere_or_nowhere() {
    let graph = with_mask(|d, scores| {
        let visible = d.causal();
        let masked = d.masked(visible, scores);
        let (two, half) = (d.real(2.0), d.real(2.0));
        let masked = d.graph.mul(two, masked).unwrap();
        d.graph.binary(BinaryOp::Div, masked, half).unwrap()
    });
    assert_raised(&graph, Mask::Causal);
    let mut d = Drawing::new();
    let q = d.queries(2);
    let (k, v) = d.keys_and_values(2);
    let k = d.graph.swap_last_axes(k).unwrap();
    let scores = d.graph.matmul(q, k).unwrap();
    let weights = d.softmax(scores);
    let o = d.graph.matmul(weights, v).unwrap();
    let ran = run(&d.returning(&[o]), &pass(), &SIZES);
    assert_eq!(ran.ops(), ["attention"]);
    assert!(matches!(ran.the("attention"), Op::Attention(op) if op.scale.get() == 1.0));
}

#[test]
fn causal_masks_in_boolean_form() {
    assert_raised(
        &with_mask(|d, scores| {
            let visible = d.causal();
            d.masked(visible, scores)
        }),
        Mask::Causal,
    );
    // Hidden where key > query, -1e9 for -inf, the mask broadcast to [1, 1, S, T].
    let graph = with_mask(|d, scores| {
        let (row, column) = d.positions();
        let hidden = d.graph.compare(CompareOp::Lt, row, column).unwrap();
        let shape = [Dim::one(), Dim::one(), d.s.clone(), d.t.clone()];
        let hidden = d.graph.reshape(hidden, &shape).unwrap();
        let fill = d.real(-1e9);
        d.graph.select(hidden, fill, scores).unwrap()
    });
    assert_raised(&graph, Mask::Causal);
    // Negated, and conjoined with what always holds.
    let graph = with_mask(|d, scores| {
        let (row, column) = d.positions();
        let later = d.graph.compare(CompareOp::Gt, column, row).unwrap();
        let visible = d.graph.unary(UnaryOp::Not, later).unwrap();
        let end = d.graph.dim(d.t.clone()).unwrap();
        let inside = d.graph.compare(CompareOp::Lt, column, end).unwrap();
        let visible = d.graph.binary(BinaryOp::And, inside, visible).unwrap();
        d.masked(visible, scores)
    });
    assert_raised(&graph, Mask::Causal);
}

#[test]
fn causal_masks_in_additive_form() {
    let graph = with_mask(|d, scores| {
        let visible = d.causal();
        let (zero, hidden) = (d.real(0.0), d.real(f64::NEG_INFINITY));
        let mask = d.graph.select(visible, zero, hidden).unwrap();
        let shape = [d.b.clone(), Dim::one(), d.s.clone(), d.t.clone()];
        let mask = d.graph.broadcast(mask, &shape).unwrap();
        d.graph.add_values(mask, scores).unwrap()
    });
    assert_raised(&graph, Mask::Causal);
    // (1 - visible) * -1e30, from a slice of a larger mask, behind a cast.
    let graph = with_mask(|d, scores| {
        let (row, column) = d.positions();
        let later = d.graph.compare(CompareOp::Gt, column, row).unwrap();
        let number = d.graph.cast(later, DType::F16).unwrap();
        let number = d.graph.cast(number, DType::F32).unwrap();
        let fill = d.real(-1e30);
        let mask = d.graph.mul(number, fill).unwrap();
        d.graph.add_values(scores, mask).unwrap()
    });
    assert_raised(&graph, Mask::Causal);
    let graph = with_mask(|d, scores| {
        let visible = d.causal();
        let number = d.graph.cast(visible, DType::F32).unwrap();
        let (one, fill) = (d.real(1.0), d.real(-1e30));
        let number = d.graph.sub(one, number).unwrap();
        let mask = d.graph.mul(fill, number).unwrap();
        d.graph.add_values(scores, mask).unwrap()
    });
    assert_raised(&graph, Mask::Causal);
}

#[test]
fn a_causal_mask_cut_from_a_square_one() {
    let graph = with_mask(|d, scores| {
        let row = d.graph.iota(d.t.clone()).unwrap();
        let column = row;
        let row = d.graph.reshape(row, &[d.t.clone(), Dim::one()]).unwrap();
        let visible = d.graph.compare(CompareOp::Ge, row, column).unwrap();
        let last = Slice::range(0, d.p.clone(), d.t.clone());
        let visible = d.graph.slice(visible, last).unwrap();
        d.masked(visible, scores)
    });
    assert_raised(&graph, Mask::Causal);
}

#[test]
fn windows_and_nested_masks() {
    let graph = with_mask(|d, scores| {
        let visible = d.window(4);
        d.masked(visible, scores)
    });
    assert_raised(&graph, Mask::SlidingWindow { window: 4 });
    // Two masks one behind the other, the second additive.
    let graph = with_mask(|d, scores| {
        let visible = d.window(3);
        let causal = d.causal();
        let (zero, hidden) = (d.real(0.0), d.real(f64::NEG_INFINITY));
        let mask = d.graph.select(visible, zero, hidden).unwrap();
        let scores = d.masked(causal, scores);
        d.graph.add_values(scores, mask).unwrap()
    });
    assert_raised(&graph, Mask::SlidingWindow { window: 3 });
    // select(causal, select(recent, 0, -inf), -inf)
    let graph = with_mask(|d, scores| {
        let causal = d.causal();
        let recent = d.window(2);
        let (zero, hidden) = (d.real(0.0), d.real(f64::NEG_INFINITY));
        let inner = d.graph.select(recent, zero, hidden).unwrap();
        let mask = d.graph.select(causal, inner, hidden).unwrap();
        d.graph.add_values(scores, mask).unwrap()
    });
    assert_raised(&graph, Mask::SlidingWindow { window: 2 });
}

#[test]
fn grouped_keys_are_read_once() {
    for groups in [1, 2] {
        let mut d = Drawing::new();
        let q = d.queries(4);
        let (k, v) = d.keys_and_values(groups);
        let o = d.causal_attention(q, k, v);
        let ran = assert_raised(&d.returning(&[o]), Mask::Causal);
        assert_eq!(ran.ops(), ["attention"]);
    }
}

#[test]
fn groups_as_an_axis_of_their_own() {
    let mut d = Drawing::new();
    let q = d.queries(6);
    let (k, v) = d.keys_and_values(2);
    let (b, s, t) = (d.b.clone(), d.s.clone(), d.t.clone());
    let five = |rows: &Dim, repeat: i64, features: i64| {
        [b.clone(), 2.into(), repeat.into(), rows.clone(), features.into()]
    };
    let q5 = d.graph.reshape(q, &five(&s, 3, 4)).unwrap();
    let k5 = d.graph.reshape(k, &five(&t, 1, 4)).unwrap();
    let v5 = d.graph.reshape(v, &five(&t, 1, 3)).unwrap();
    let scores = d.scores(q5, k5);
    let four = [b.clone(), 6.into(), s.clone(), t.clone()];
    let scores = d.graph.reshape(scores, &four).unwrap();
    let visible = d.causal();
    let scores = d.masked(visible, scores);
    let weights = d.softmax(scores);
    let five_axes = [b.clone(), 2.into(), 3.into(), s.clone(), t.clone()];
    let weights = d.graph.reshape(weights, &five_axes).unwrap();
    let o = d.graph.matmul(weights, v5).unwrap();
    let ran = assert_raised(&d.returning(&[o]), Mask::Causal);
    assert_eq!(ran.ops(), ["attention", "reshape"]);
}

#[test]
fn casts_to_f32_for_the_softmax_do_not_hide_it() {
    let mut d = Drawing::new();
    let (b, s, t) = (d.b.clone(), d.s.clone(), d.t.clone());
    let q = d.typed_input("q", DType::Bf16, &[b.clone(), 2.into(), s, 4.into()]);
    let k = d.typed_input("k", DType::Bf16, &[b.clone(), 2.into(), t.clone(), 4.into()]);
    let v = d.typed_input("v", DType::Bf16, &[b, 2.into(), t, 3.into()]);
    let q = d.graph.cast(q, DType::F32).unwrap();
    let wide = d.graph.cast(k, DType::F32).unwrap();
    let scores = d.scores(q, wide);
    let weights = d.softmax(scores);
    let weights = d.graph.cast(weights, DType::Bf16).unwrap();
    let o = d.graph.matmul(weights, v).unwrap();
    let mut graph = d.returning(&[o]);
    let mut cx = crate::PassContext::new(None);
    crate::Pass::run(&pass(), &mut graph, &mut cx).unwrap();
    assert_eq!(graph.op_counts().get("cast"), None);
    assert_eq!(graph.op_counts().get("attention"), Some(&1));
}

/// Weights of `heads` heads over `groups` groups, of which a selection is multiplied with as many values.
fn selected(heads: i64, groups: i64, select: impl Fn(&mut Drawing, ValueId) -> ValueId) -> Graph {
    let mut d = Drawing::new();
    let q = d.queries(heads);
    let (k, v) = d.keys_and_values(groups);
    let weights = d.causal_weights(q, k);
    let chosen = select(&mut d, weights);
    let values = d.repeated(v, q);
    let values = select(&mut d, values);
    let o = d.graph.matmul(chosen, values).unwrap();
    d.returning(&[o])
}

#[test]
fn selected_heads_are_selected_queries() {
    for groups in [1, 2, 4, 8] {
        let odd = |d: &mut Drawing, x| d.graph.slice(x, Slice::strided(1, 1, 2)).unwrap();
        let ran = assert_raised(&selected(8, groups, odd), Mask::Causal);
        assert_eq!(
            ran.ops().iter().filter(|op| **op == "broadcast").count(),
            0,
            "{groups} {:?}",
            ran.ops()
        );
    }
    let half = |d: &mut Drawing, x| d.graph.slice(x, Slice::range(1, 4, 8)).unwrap();
    assert_raised(&selected(8, 2, half), Mask::Causal);
    // Heads 1, 3, 5 of 6 in groups of three: no even choice from each group.
    let odd = |d: &mut Drawing, x| d.graph.slice(x, Slice::strided(1, 1, 2)).unwrap();
    let ran = assert_raised(&selected(6, 2, odd), Mask::Causal);
    assert_eq!(ran.ops().iter().filter(|op| **op == "broadcast").count(), 2);
}

#[test]
fn two_selections_of_one_softmax_are_two_attentions() {
    let mut d = Drawing::new();
    let q = d.queries(4);
    let (k, v) = d.keys_and_values(2);
    let weights = d.causal_weights(q, k);
    let mut parts = Vec::new();
    let per_head = d.graph.repeat_interleaved(v, 1, &1.into()).unwrap();
    for start in [0, 1] {
        let part = d.graph.slice(weights, Slice::strided(1, start, 2)).unwrap();
        parts.push(d.graph.matmul(part, per_head).unwrap());
    }
    let ran = run(&d.returning(&parts), &pass(), &SIZES);
    assert_eq!(ran.ops(), ["slice", "attention", "slice", "attention"]);
}

#[test]
fn subtracted_maps_become_two_attentions() {
    let mut d = Drawing::new();
    let q = d.queries(4);
    let (k, v) = d.keys_and_values(2);
    let lambda = [d.b.clone(), 2.into(), d.s.clone(), Dim::one()];
    let lambda = d.input("lambda", &lambda);
    let gate = d.graph.unary(UnaryOp::Sigmoid, lambda).unwrap();
    let weights = d.causal_weights(q, k);
    let p0 = d.graph.slice(weights, Slice::strided(1, 0, 2)).unwrap();
    let p1 = d.graph.slice(weights, Slice::strided(1, 1, 2)).unwrap();
    let gated = d.graph.mul(p1, gate).unwrap();
    let map = d.graph.sub(p0, gated).unwrap();
    let o = d.graph.matmul(map, v).unwrap();
    let ran = run(&d.returning(&[o]), &pass(), &SIZES);
    assert_eq!(ran.ops().iter().filter(|op| **op == "attention").count(), 2);
    assert!(!ran.ops().contains(&"softmax"));
}

/// Maps subtracted with a gate of this shape, made from `[B, 2, S, 1]` or `[T]`.
fn subtracted(gate: impl FnOnce(&mut Drawing) -> ValueId, also_out: bool) -> Graph {
    let mut d = Drawing::new();
    let q = d.queries(4);
    let (k, v) = d.keys_and_values(2);
    let gate = gate(&mut d);
    let weights = d.causal_weights(q, k);
    let p0 = d.graph.slice(weights, Slice::strided(1, 0, 2)).unwrap();
    let p1 = d.graph.slice(weights, Slice::strided(1, 1, 2)).unwrap();
    let gated = d.graph.mul(gate, p1).unwrap();
    let map = d.graph.sub(p0, gated).unwrap();
    let o = d.graph.matmul(map, v).unwrap();
    if also_out { d.returning(&[o, map]) } else { d.returning(&[o]) }
}

#[test]
fn subtracted_maps_with_a_repeated_gate() {
    let graph = subtracted(
        |d| {
            let lambda = [d.b.clone(), 2.into(), d.s.clone(), Dim::one()];
            let lambda = d.input("lambda", &lambda);
            let wide = [d.b.clone(), 2.into(), d.s.clone(), d.t.clone()];
            d.graph.broadcast(lambda, &wide).unwrap()
        },
        false,
    );
    let ran = run(&graph, &pass(), &SIZES);
    assert_eq!(ran.ops().iter().filter(|op| **op == "attention").count(), 2);
}

#[test]
fn subtracted_maps_are_refused() {
    let by_key = |d: &mut Drawing| {
        let keys = [d.t.clone()];
        d.input("lambda", &keys)
    };
    assert_refused(&subtracted(by_key, false), "gated differently for each key");
    let scalar = |d: &mut Drawing| d.real(0.25);
    assert_refused(&subtracted(scalar, true), "are also an output");
}

#[test]
fn unknown_masks_are_refused() {
    let given = with_mask(|d, scores| {
        let shape = [d.s.clone(), d.t.clone()];
        let visible = d.typed_input("visible", DType::Bool, &shape);
        d.masked(visible, scores)
    });
    assert_refused(&given, "%visible (input) is no condition on positions");
    let bias = with_mask(|d, scores| {
        let shape = [d.s.clone(), d.t.clone()];
        let bias = d.input("bias", &shape);
        d.graph.add_values(scores, bias).unwrap()
    });
    assert_refused(&bias, "%bias (input)");
    let soft = with_mask(|d, scores| {
        let visible = d.causal();
        let (zero, hidden) = (d.real(0.0), d.real(-10.0));
        let mask = d.graph.select(visible, zero, hidden).unwrap();
        d.graph.add_values(scores, mask).unwrap()
    });
    assert_refused(&soft, "-10 is added to scores");
    let partly = with_mask(|d, scores| {
        let visible = d.causal();
        let hidden = d.real(-1e4);
        d.graph.select(visible, scores, hidden).unwrap()
    });
    assert_refused(&partly, "something else than -inf");
    let alternatives = with_mask(|d, scores| {
        let (row, column) = d.positions();
        let causal = d.causal();
        let one = d.graph.int(1).unwrap();
        let first = d.graph.compare(CompareOp::Lt, column, one).unwrap();
        let later = d.graph.compare(CompareOp::Ge, column, row).unwrap();
        let either = d.graph.binary(BinaryOp::Or, first, later).unwrap();
        let visible = d.graph.binary(BinaryOp::And, causal, either).unwrap();
        d.masked(visible, scores)
    });
    assert_refused(&alternatives, "alternative conditions");
}

#[test]
fn other_bounds_are_refused() {
    // Without the past: query i sees keys j <= i.
    let square = with_mask(|d, scores| {
        let (_, column) = d.positions();
        let row = d.graph.iota(d.s.clone()).unwrap();
        let row = d.graph.reshape(row, &[d.s.clone(), Dim::one()]).unwrap();
        let visible = d.graph.compare(CompareOp::Le, column, row).unwrap();
        d.masked(visible, scores)
    });
    assert_refused(&square, "sees keys up to i + 0, expected up to i + P");
    let strict = with_mask(|d, scores| {
        let (row, column) = d.positions();
        let visible = d.graph.compare(CompareOp::Lt, column, row).unwrap();
        let zero = d.graph.int(0).unwrap();
        let first = d.graph.compare(CompareOp::Ge, row, zero).unwrap();
        let visible = d.graph.binary(BinaryOp::And, visible, first).unwrap();
        d.masked(visible, scores)
    });
    assert_refused(&strict, "expected up to i + P");
    let no_causal = with_mask(|d, scores| {
        let (row, column) = d.positions();
        let two = d.graph.int(2).unwrap();
        let oldest = d.graph.sub(row, two).unwrap();
        let visible = d.graph.compare(CompareOp::Gt, column, oldest).unwrap();
        d.masked(visible, scores)
    });
    assert_refused(&no_causal, "without a causal bound");
    let by_head = with_mask(|d, scores| {
        let (row, column) = d.positions();
        let head = d.graph.iota(2.into()).unwrap();
        let head = d.graph.reshape(head, &[2.into(), Dim::one(), Dim::one()]).unwrap();
        let row = d.graph.add_values(row, head).unwrap();
        let visible = d.graph.compare(CompareOp::Le, column, row).unwrap();
        d.masked(visible, scores)
    });
    assert_refused(&by_head, "varies along axis 1");
    let steep = with_mask(|d, scores| {
        let (row, column) = d.positions();
        let two = d.graph.int(2).unwrap();
        let row = d.graph.mul(two, row).unwrap();
        let visible = d.graph.compare(CompareOp::Le, column, row).unwrap();
        d.masked(visible, scores)
    });
    assert_refused(&steep, "compares 2 * query with -1 * key");
}

#[test]
fn masks_scaled_away_are_refused() {
    let tiny = with_mask(|d, scores| {
        let visible = d.causal();
        let masked = d.masked(visible, scores);
        let negative = d.real(-0.5);
        d.graph.mul(masked, negative).unwrap()
    });
    assert_refused(&tiny, "may no longer hide keys");
}

#[test]
fn other_uses_of_the_weights_are_refused() {
    let mut d = Drawing::new();
    let q = d.queries(2);
    let (k, v) = d.keys_and_values(2);
    let weights = d.causal_weights(q, k);
    let o = d.graph.matmul(weights, v).unwrap();
    let mut shown = d.returning(&[o, weights]);
    assert_refused(&shown, "are also an output");
    let twice = shown.mul(weights, weights).unwrap();
    shown.set_return(&[o, twice], &[]).unwrap();
    assert_refused(&shown, "are also used by");
}

#[test]
fn another_softmax_axis_and_other_scores_are_refused() {
    let mut d = Drawing::new();
    let q = d.queries(2);
    let (k, v) = d.keys_and_values(2);
    let scores = d.scores(q, k);
    let weights = d.graph.softmax(2, scores).unwrap();
    let o = d.graph.matmul(weights, v).unwrap();
    assert_refused(&d.returning(&[o]), "softmax over axis 2, expected the last, 3");
    let capped = with_mask(|d, scores| d.graph.unary(UnaryOp::Tanh, scores).unwrap());
    assert_refused(&capped, "(tanh), expected a product");
}

#[test]
fn rows_and_columns_may_not_change_places() {
    // The weights are transposed between the softmax and the product: P^T v.
    let mut d = Drawing::new();
    let q = d.queries(2);
    let shape = [d.b.clone(), 2.into(), d.s.clone(), 4.into()];
    let (k, v) = (d.input("k", &shape), d.input("v", &shape));
    let scores = d.scores(q, k);
    let weights = d.softmax(scores);
    let weights = d.graph.swap_last_axes(weights).unwrap();
    let o = d.graph.matmul(weights, v).unwrap();
    assert_refused(&d.returning(&[o]), "moves its last two axes");
}

#[test]
fn keys_shared_by_a_batch_are_broadcast() {
    let mut d = Drawing::new();
    let q = d.queries(2);
    let t = d.t.clone();
    let k = d.input("k", &[2.into(), t.clone(), 4.into()]);
    let v = d.input("v", &[2.into(), t, 3.into()]);
    let scores = d.scores(q, k);
    let weights = d.softmax(scores);
    let o = d.graph.matmul(weights, v).unwrap();
    let ran = assert_raised(&d.returning(&[o]), Mask::Full);
    assert_eq!(ran.ops(), ["broadcast", "broadcast", "attention"]);
}

#[test]
fn tokens_before_heads() {
    // q, k, v [B, S, H, d] as projections give them.
    let mut d = Drawing::new();
    let (b, s, t) = (d.b.clone(), d.s.clone(), d.t.clone());
    let q = d.input("q", &[b.clone(), s.clone(), 16.into()]);
    let k = d.input("k", &[b.clone(), t.clone(), 2.into(), 4.into()]);
    let v = d.input("v", &[b.clone(), t, 2.into(), 3.into()]);
    let q = d.graph.reshape(q, &[b, s, 4.into(), 4.into()]).unwrap();
    let q = d.graph.transpose(q, &[0, 2, 1, 3]).unwrap();
    let k = d.graph.transpose(k, &[0, 2, 1, 3]).unwrap();
    let v = d.graph.transpose(v, &[0, 2, 1, 3]).unwrap();
    let o = d.causal_attention(q, k, v);
    let o = d.graph.transpose(o, &[0, 2, 1, 3]).unwrap();
    let ran = assert_raised(&d.returning(&[o]), Mask::Causal);
    assert_eq!(
        ran.ops(),
        ["reshape", "transpose", "transpose", "transpose", "attention", "transpose"]
    );
}

#[test]
fn values_given_transposed() {
    let mut d = Drawing::new();
    let q = d.queries(4);
    let (k, v) = d.keys_and_values(2);
    let weights = d.causal_weights(q, k);
    let v = d.repeated(v, q);
    let v = d.graph.swap_last_axes(v).unwrap();
    let o = d.graph.matmul_transposed(weights, v).unwrap();
    let ran = assert_raised(&d.returning(&[o]), Mask::Causal);
    assert_eq!(ran.ops(), ["attention"]);
}

#[test]
fn a_window_without_constant_size_is_refused() {
    let graph = with_mask(|d, scores| {
        let causal = d.causal();
        let (row, column) = d.positions();
        let size = d.graph.dim(d.s.clone()).unwrap();
        let oldest = d.graph.sub(row, size).unwrap();
        let recent = d.graph.compare(CompareOp::Gt, column, oldest).unwrap();
        let visible = d.graph.binary(BinaryOp::And, causal, recent).unwrap();
        d.masked(visible, scores)
    });
    assert_refused(&graph, "less a constant window");
}

#[test]
fn a_mask_may_not_be_scaled_down_to_nothing() {
    let graph = with_mask(|d, scores| {
        let visible = d.causal();
        let fill = d.real(-1e9);
        let masked = d.graph.select(visible, scores, fill).unwrap();
        let tiny = d.real(1e-9);
        d.graph.mul(masked, tiny).unwrap()
    });
    assert_refused(&graph, "may no longer hide keys");
}
