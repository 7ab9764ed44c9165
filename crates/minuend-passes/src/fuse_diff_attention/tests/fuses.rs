use minuend_ir::DType;
use minuend_ir::ops::{RmsNorm, Rope, RopeLayout};

use super::*;

/// Sizes of heads and groups where both heads of a pair read one group.
const HEADS_AND_GROUPS: [(i64, i64); 5] = [(2, 1), (4, 1), (4, 2), (8, 2), (12, 2)];

#[test]
fn strided_slices() {
    for (heads, groups) in HEADS_AND_GROUPS {
        let (mut d, a) = attended(heads, groups);
        let g = head_gate(&mut d, heads / 2);
        let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
        let o = subtract(&mut d, even, g, odd);
        let ran = assert_fused(&d.returning(&[o]));
        assert_eq!(ran.ops(), ["diff_attention"]);
    }
}

#[test]
fn the_product_is_commutative() {
    let (mut d, a) = attended(4, 2);
    let g = head_gate(&mut d, 2);
    let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
    let gated = d.graph.mul(odd, g).unwrap();
    let o = d.graph.sub(even, gated).unwrap();
    assert_fused(&d.returning(&[o]));
}

#[test]
fn pairs_as_an_axis_of_their_own() {
    let (mut d, a) = attended(8, 2);
    let g = head_gate(&mut d, 4);
    let (b, s) = (d.b.clone(), d.s.clone());
    let pairs = [b.clone(), 4.into(), 2.into(), s.clone(), 3.into()];
    let split = d.graph.reshape(a, &pairs).unwrap();
    let mut parts = Vec::new();
    for start in [0, 1] {
        let part = d.graph.slice(split, Slice::range(2, start, start + 1)).unwrap();
        parts.push(d.graph.reshape(part, &[b.clone(), 4.into(), s.clone(), 3.into()]).unwrap());
    }
    let o = subtract(&mut d, parts[0], g, parts[1]);
    let ran = assert_fused(&d.returning(&[o]));
    assert_eq!(ran.ops(), ["diff_attention"]);
}

#[test]
fn the_axis_of_pairs_kept() {
    let (mut d, a) = attended(8, 2);
    let (b, s) = (d.b.clone(), d.s.clone());
    let g = gate(&mut d, &[b.clone(), 4.into(), 1.into(), s.clone(), 1.into()]);
    let pairs = [b.clone(), 4.into(), 2.into(), s.clone(), 3.into()];
    let split = d.graph.reshape(a, &pairs).unwrap();
    let even = d.graph.slice(split, Slice::range(2, 0, 1)).unwrap();
    let odd = d.graph.slice(split, Slice::range(2, 1, 2)).unwrap();
    let o = subtract(&mut d, even, g, odd);
    let ran = assert_fused(&d.returning(&[o]));
    assert_eq!(ran.ops(), ["reshape", "diff_attention", "reshape"]);
}

#[test]
fn groups_and_pairs_as_axes() {
    // [B, groups, pairs in a group, 2, S, d]
    let (mut d, a) = attended(12, 2);
    let (b, s) = (d.b.clone(), d.s.clone());
    let axes = [b.clone(), 2.into(), 3.into(), 2.into(), s.clone(), 3.into()];
    let split = d.graph.reshape(a, &axes).unwrap();
    let g = gate(&mut d, &[b.clone(), 2.into(), 3.into(), s.clone(), 1.into()]);
    let mut parts = Vec::new();
    for start in [0, 1] {
        let part = d.graph.slice(split, Slice::range(3, start, start + 1)).unwrap();
        let shape = [b.clone(), 2.into(), 3.into(), s.clone(), 3.into()];
        parts.push(d.graph.reshape(part, &shape).unwrap());
    }
    let o = subtract(&mut d, parts[0], g, parts[1]);
    let ran = assert_fused(&d.returning(&[o]));
    assert_eq!(ran.ops(), ["reshape", "diff_attention", "reshape"]);
}

#[test]
fn tokens_before_heads() {
    // The reference: results transposed to [B, S, 2h, d], lambda [B, S, h] with an axis added.
    for (heads, groups) in HEADS_AND_GROUPS {
        let (mut d, a) = attended(heads, groups);
        let (b, s) = (d.b.clone(), d.s.clone());
        let a = d.graph.transpose(a, &[0, 2, 1, 3]).unwrap();
        let g = gate(&mut d, &[b.clone(), s.clone(), (heads / 2).into()]);
        let g = d.graph.reshape(g, &[b, s, (heads / 2).into(), 1.into()]).unwrap();
        let (even, odd) = (every_second(&mut d, a, 2, 0), every_second(&mut d, a, 2, 1));
        let o = subtract(&mut d, even, g, odd);
        let ran = assert_fused(&d.returning(&[o]));
        let (lambda, back) = match heads {
            2 => (vec!["reshape"], "reshape"),
            _ => (vec!["transpose", "reshape"], "transpose"),
        };
        assert_eq!(ran.ops(), [lambda, vec!["diff_attention", back]].concat());
    }
}

#[test]
fn transposed_behind_the_selection() {
    let (mut d, a) = attended(4, 2);
    let (b, s) = (d.b.clone(), d.s.clone());
    let g = gate(&mut d, &[b, s, 2.into(), 1.into()]);
    let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
    let even = d.graph.transpose(even, &[0, 2, 1, 3]).unwrap();
    let odd = d.graph.transpose(odd, &[0, 2, 1, 3]).unwrap();
    let o = subtract(&mut d, even, g, odd);
    let ran = assert_fused(&d.returning(&[o]));
    assert_eq!(ran.ops(), ["transpose", "diff_attention", "transpose"]);
}

#[test]
fn transposed_behind_the_product() {
    let (mut d, a) = attended(4, 2);
    let g = head_gate(&mut d, 2);
    let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
    let even = d.graph.transpose(even, &[2, 0, 3, 1]).unwrap();
    let gated = d.graph.mul(g, odd).unwrap();
    let gated = d.graph.transpose(gated, &[2, 0, 3, 1]).unwrap();
    let o = d.graph.sub(even, gated).unwrap();
    let ran = assert_fused(&d.returning(&[o]));
    assert_eq!(ran.ops(), ["diff_attention", "transpose"]);
}

#[test]
fn heads_and_features_merged() {
    // [B, S, h d] with the gate repeated over each head's features.
    let (mut d, a) = attended(4, 2);
    let (b, s) = (d.b.clone(), d.s.clone());
    let g = gate(&mut d, &[b.clone(), s.clone(), 2.into()]);
    let g = d.graph.repeat_interleaved(g, 2, &3.into()).unwrap();
    let merged = [b, s, 6.into()];
    let mut parts = Vec::new();
    for start in [0, 1] {
        let part = every_second(&mut d, a, 1, start);
        let part = d.graph.transpose(part, &[0, 2, 1, 3]).unwrap();
        parts.push(d.graph.reshape(part, &merged).unwrap());
    }
    let o = subtract(&mut d, parts[0], g, parts[1]);
    let ran = assert_fused(&d.returning(&[o]));
    assert_eq!(ran.ops(), ["transpose", "reshape", "diff_attention", "transpose", "reshape"]);
}

#[test]
fn gates_of_fewer_axes() {
    // One lambda per head, and one per head of each token shared by the batch.
    let (mut d, a) = attended(4, 2);
    let g = gate(&mut d, &[2.into(), 1.into(), 1.into()]);
    let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
    let o = subtract(&mut d, even, g, odd);
    assert_fused(&d.returning(&[o]));
    let (mut d, a) = attended(4, 2);
    let s = d.s.clone();
    let g = gate(&mut d, &[2.into(), s, 1.into()]);
    let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
    let o = subtract(&mut d, even, g, odd);
    assert_fused(&d.returning(&[o]));
}

#[test]
fn every_second_of_twice_as_many_lambdas() {
    let (mut d, a) = attended(4, 2);
    let g = head_gate(&mut d, 4);
    let g = every_second(&mut d, g, 1, 1);
    let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
    let o = subtract(&mut d, even, g, odd);
    let ran = assert_fused(&d.returning(&[o]));
    assert_eq!(ran.ops(), ["slice", "diff_attention"]);
}

#[test]
fn casts_between() {
    let mut d = Drawing::new();
    let (b, s, t) = (d.b.clone(), d.s.clone(), d.t.clone());
    let q = d.typed_input("q", DType::Bf16, &[b.clone(), 4.into(), s.clone(), 4.into()]);
    let k = d.typed_input("k", DType::Bf16, &[b.clone(), 2.into(), t.clone(), 4.into()]);
    let v = d.typed_input("v", DType::Bf16, &[b.clone(), 2.into(), t, 3.into()]);
    let lambda = d.typed_input("lambda", DType::Bf16, &[b, 2.into(), s, 1.into()]);
    let a = attend(&mut d, q, k, v);
    let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
    let lambda = d.graph.cast(lambda, DType::F32).unwrap();
    let g = d.graph.unary(UnaryOp::Sigmoid, lambda).unwrap();
    let even = d.graph.cast(even, DType::F32).unwrap();
    let odd = d.graph.cast(odd, DType::F32).unwrap();
    let o = subtract(&mut d, even, g, odd);
    let o = d.graph.cast(o, DType::Bf16).unwrap();
    let mut graph = d.returning(&[o]);
    let mut cx = crate::PassContext::new(None);
    crate::Pass::run(&pass(), &mut graph, &mut cx).unwrap();
    assert_eq!(graph.op_counts().get("diff_attention"), Some(&1));
    assert_eq!(graph.op_counts().get("attention"), None);
    // Only the result is cast: to f32 as the difference was, and back.
    assert_eq!(graph.op_counts().get("cast"), Some(&2));
}

/// Two attentions over parts of one tensor of queries.
fn two_attentions(
    groups: i64,
    heads: i64,
    q_parts: impl Fn(&mut Drawing) -> [ValueId; 2],
) -> Graph {
    let mut d = Drawing::new();
    let parts = q_parts(&mut d);
    let (k, v) = d.keys_and_values(groups);
    let a = attend(&mut d, parts[0], k, v);
    let b = attend(&mut d, parts[1], k, v);
    let g = head_gate(&mut d, heads);
    let o = subtract(&mut d, a, g, b);
    d.returning(&[o])
}

#[test]
fn two_attentions_over_strided_queries() {
    for (heads, groups) in HEADS_AND_GROUPS {
        let graph = two_attentions(groups, heads / 2, |d| {
            let q = d.queries(heads);
            [0, 1].map(|start| every_second(d, q, 1, start))
        });
        let ran = assert_fused(&graph);
        assert_eq!(ran.ops(), ["diff_attention"]);
    }
}

#[test]
fn two_attentions_over_queries_rotated_and_normalised_apart() {
    let graph = two_attentions(2, 2, |d| {
        let q = d.queries(4);
        let s = d.s.clone();
        let positions = d.typed_input("positions", DType::I64, &[s]);
        let weight = d.input("weight", &[4.into()]);
        [0, 1].map(|start| {
            let part = every_second(d, q, 1, start);
            let norm = RmsNorm { epsilon: Real::new(1e-6) };
            let part = d.graph.value(Op::RmsNorm(norm), &[part, weight]).unwrap();
            let rope = Rope { layout: RopeLayout::HalfSplit, theta: Real::new(1e4) };
            d.graph.value(Op::Rope(rope), &[part, positions]).unwrap()
        })
    });
    let ran = assert_fused(&graph);
    assert_eq!(ran.ops(), ["rms_norm", "rope", "diff_attention"]);
}

#[test]
fn two_attentions_over_a_packed_projection() {
    // [B, S, 2h d] split into [.., h, 2, d], and transposed behind the selection.
    for heads in [1i64, 2] {
        let graph = two_attentions(1, heads, |d| {
            let (b, s) = (d.b.clone(), d.s.clone());
            let x = d.input("x", &[b.clone(), s.clone(), (heads * 8).into()]);
            let pairs = [b.clone(), s.clone(), heads.into(), 2.into(), 4.into()];
            let x = d.graph.reshape(x, &pairs).unwrap();
            [0, 1].map(|start| {
                let part = d.graph.slice(x, Slice::range(3, start, start + 1)).unwrap();
                let shape = [b.clone(), s.clone(), heads.into(), 4.into()];
                let part = d.graph.reshape(part, &shape).unwrap();
                d.graph.transpose(part, &[0, 2, 1, 3]).unwrap()
            })
        });
        let ran = assert_fused(&graph);
        assert!(!ran.ops().contains(&"slice"), "{:?}", ran.ops());
    }
}

#[test]
fn primitive_spellings_are_raised_and_fused() {
    for (heads, groups) in HEADS_AND_GROUPS {
        let mut d = Drawing::new();
        let q = d.queries(heads);
        let (k, v) = d.keys_and_values(groups);
        let a = d.causal_attention(q, k, v);
        let g = head_gate(&mut d, heads / 2);
        let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
        let o = subtract(&mut d, even, g, odd);
        let graph = raised(&d.returning(&[o]));
        assert_eq!(assert_fused(&graph).ops(), ["diff_attention"]);
    }
}

#[test]
fn subtracted_maps_are_raised_and_fused() {
    for (heads, groups) in [(2, 1), (4, 1), (4, 2), (8, 2)] {
        let mut d = Drawing::new();
        let q = d.queries(heads);
        let (k, v) = d.keys_and_values(groups);
        let g = head_gate(&mut d, heads / 2);
        let weights = d.causal_weights(q, k);
        let (even, odd) =
            (every_second(&mut d, weights, 1, 0), every_second(&mut d, weights, 1, 1));
        let map = subtract(&mut d, even, g, odd);
        let half = d.graph.slice(q, Slice::range(1, 0, heads / 2)).unwrap();
        let v = d.repeated(v, half);
        let o = d.graph.matmul(map, v).unwrap();
        let graph = raised(&d.returning(&[o]));
        assert_eq!(assert_fused(&graph).ops(), ["diff_attention"]);
    }
}

#[test]
fn maps_with_an_axis_of_pairs() {
    // Weights [B, h, 2, S, T], one product with values [B, h, S, d].
    let mut d = Drawing::new();
    let q = d.queries(4);
    let (k, v) = d.keys_and_values(2);
    let (b, s, t) = (d.b.clone(), d.s.clone(), d.t.clone());
    let g = head_gate(&mut d, 2);
    let q = d.graph.reshape(q, &[b.clone(), 2.into(), 2.into(), s.clone(), 4.into()]).unwrap();
    let k = d.graph.reshape(k, &[b.clone(), 2.into(), 1.into(), t.clone(), 4.into()]).unwrap();
    let scores = d.scores(q, k);
    let visible = d.causal();
    let scores = d.masked(visible, scores);
    let weights = d.softmax(scores);
    let maps = [0, 1].map(|start| {
        let map = d.graph.slice(weights, Slice::range(2, start, start + 1)).unwrap();
        d.graph.reshape(map, &[b.clone(), 2.into(), s.clone(), t.clone()]).unwrap()
    });
    let map = subtract(&mut d, maps[0], g, maps[1]);
    let o = d.graph.matmul(map, v).unwrap();
    let graph = raised(&d.returning(&[o]));
    assert_fused(&graph);
}

/// The graph behind attention recognition.
fn raised(graph: &Graph) -> Graph {
    let ran = run(graph, &crate::recognize_attention::pass(), &SIZES);
    assert_eq!(ran.remarks, Vec::<String>::new());
    ran.graph
}
