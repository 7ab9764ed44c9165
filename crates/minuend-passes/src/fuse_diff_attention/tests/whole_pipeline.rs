//! From primitive ops, as exporters write them, through the cleaning passes and both raising passes.

use minuend_ir::ops::{Constant, Literal};
use minuend_ir::{DType, GraphLevel, TensorType};

use super::*;
use crate::testing::assert_same_meaning;
use crate::{EliminateCommon, EliminateDead, Pipeline, PipelineOptions, VerifyMode};
use crate::{canonicalize, fold_constants, recognize_attention};

/// The graph behind the passes, and what they remarked.
fn through(before: &Graph) -> (Graph, Vec<String>) {
    let pipeline = Pipeline::empty()
        .pass(EliminateDead)
        .pass(canonicalize::pass())
        .pass(fold_constants::pass())
        .pass(canonicalize::pass())
        .pass(EliminateCommon)
        .pass(recognize_attention::pass())
        .pass(canonicalize::pass())
        .pass(EliminateCommon)
        .reach(GraphLevel::Canonical)
        .pass(pass())
        .pass(EliminateDead);
    let options = PipelineOptions { verify: VerifyMode::AtLevels, ..PipelineOptions::default() };
    let mut graph = before.clone();
    let report = pipeline.run(&mut graph, &options, None).unwrap();
    assert_same_meaning(before, &graph, &SIZES);
    (graph, report.remarks.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn assert_whole(graph: &Graph) {
    let (raised, remarks) = through(graph);
    let counts = raised.op_counts();
    assert_eq!(remarks, Vec::<String>::new());
    assert_eq!(counts.get("diff_attention"), Some(&1), "{counts:?}");
    for gone in ["softmax", "attention", "select", "iota", "compare"] {
        assert_eq!(counts.get(gone), None, "{counts:?}");
    }
}

/// Rows of an axis by literal indices.
fn gathered(d: &mut Drawing, x: ValueId, axis: usize, indices: &[i64]) -> ValueId {
    let values = Literal::Ints(indices.into());
    let ty = TensorType::fixed(DType::I64, &[indices.len()]);
    let indices = d.graph.value(Op::Constant(Constant { ty, values }), &[]).unwrap();
    d.graph.gather(axis, x, indices).unwrap()
}

#[test]
fn gathers_by_literal_indices() {
    let mut d = Drawing::new();
    let q = d.queries(8);
    let (k, v) = d.keys_and_values(2);
    let a = d.causal_attention(q, k, v);
    let g = head_gate(&mut d, 4);
    let even = gathered(&mut d, a, 1, &[0, 2, 4, 6]);
    let odd = gathered(&mut d, a, 1, &[1, 3, 5, 7]);
    let o = subtract(&mut d, even, g, odd);
    assert_whole(&d.returning(&[o]));
}

#[test]
fn gathers_of_halves_are_refused() {
    let mut d = Drawing::new();
    let q = d.queries(8);
    let (k, v) = d.keys_and_values(2);
    let a = d.causal_attention(q, k, v);
    let g = head_gate(&mut d, 4);
    let first = gathered(&mut d, a, 1, &[0, 1, 2, 3]);
    let second = gathered(&mut d, a, 1, &[4, 5, 6, 7]);
    let o = subtract(&mut d, first, g, second);
    let (graph, remarks) = through(&d.returning(&[o]));
    assert_eq!(graph.op_counts().get("diff_attention"), None);
    assert!(remarks.iter().any(|remark| remark.contains("different K/V groups")), "{remarks:?}");
}

/// The published layer: one packed input `[B, S, ..]`, a cache, and the difference behind a transpose.
#[test]
fn the_published_layer() {
    let (heads, groups) = (8i64, 2i64);
    let mut d = Drawing::new();
    let (b, s, p, t) = (d.b.clone(), d.s.clone(), d.p.clone(), d.t.clone());
    let packed = d.input("packed", &[b.clone(), s.clone(), (heads * 4 + heads / 2).into()]);
    let new = d.input("kv", &[b.clone(), 2.into(), s.clone(), groups.into(), 4.into()]);
    let old = d.input("cache", &[b.clone(), (2 * groups).into(), p, 4.into()]);
    let q = d.graph.slice(packed, Slice::range(2, 0, heads * 4)).unwrap();
    let q = d.graph.reshape(q, &[b.clone(), s.clone(), heads.into(), 4.into()]).unwrap();
    let q = d.graph.transpose(q, &[0, 2, 1, 3]).unwrap();
    let root = d.real(0.5f64.sqrt());
    let q = d.graph.mul(q, root).unwrap();
    let mut kv = Vec::new();
    for part in 0..2 {
        let x = d.graph.slice(new, Slice::range(1, part, part + 1)).unwrap();
        let x = d.graph.reshape(x, &[b.clone(), s.clone(), groups.into(), 4.into()]).unwrap();
        let x = d.graph.transpose(x, &[0, 2, 1, 3]).unwrap();
        let range = Slice::range(1, part * groups, (part + 1) * groups);
        let past = d.graph.slice(old, range).unwrap();
        kv.push(d.graph.concat(2, &[past, x]).unwrap());
    }
    let k = d.repeated(kv[0], q);
    let k = d.graph.mul(k, root).unwrap();
    let k = d.graph.swap_last_axes(k).unwrap();
    let scores = d.graph.matmul(q, k).unwrap();
    let visible = d.causal();
    let (zero, hidden) = (d.real(0.0), d.real(f64::from(f32::MIN)));
    let mask = d.graph.select(visible, zero, hidden).unwrap();
    let mask = d.graph.reshape(mask, &[Dim::one(), Dim::one(), s.clone(), t]).unwrap();
    let scores = d.graph.add_values(scores, mask).unwrap();
    let weights = d.softmax(scores);
    let v = d.repeated(kv[1], q);
    let a = d.graph.matmul(weights, v).unwrap();
    let a = d.graph.transpose(a, &[0, 2, 1, 3]).unwrap();
    let lambda = Slice::range(2, heads * 4, heads * 4 + heads / 2);
    let lambda = d.graph.slice(packed, lambda).unwrap();
    let g = d.graph.unary(UnaryOp::Sigmoid, lambda).unwrap();
    let g = d.graph.reshape(g, &[b.clone(), s.clone(), (heads / 2).into(), 1.into()]).unwrap();
    let (even, odd) = (every_second(&mut d, a, 2, 0), every_second(&mut d, a, 2, 1));
    let o = subtract(&mut d, even, g, odd);
    let o = d.graph.reshape(o, &[b, s, (heads * 2).into()]).unwrap();
    assert_whole(&d.returning(&[o]));
}

#[test]
fn products_with_batch_and_heads_merged() {
    let mut d = Drawing::new();
    let q = d.queries(4);
    let (k, v) = d.keys_and_values(2);
    let (b, s, t) = (d.b.clone(), d.s.clone(), d.t.clone());
    let (k, v) = (d.repeated(k, q), d.repeated(v, q));
    let merged = &b * 4;
    let q = d.graph.reshape(q, &[merged.clone(), s.clone(), 4.into()]).unwrap();
    let k = d.graph.reshape(k, &[merged.clone(), t.clone(), 4.into()]).unwrap();
    let v = d.graph.reshape(v, &[merged.clone(), t.clone(), 3.into()]).unwrap();
    let scores = d.scores(q, k);
    let scores = d.graph.reshape(scores, &[b.clone(), 4.into(), s.clone(), t.clone()]).unwrap();
    let visible = d.causal();
    let scores = d.masked(visible, scores);
    let weights = d.softmax(scores);
    let weights = d.graph.reshape(weights, &[merged, s.clone(), t]).unwrap();
    let a = d.graph.matmul(weights, v).unwrap();
    let a = d.graph.reshape(a, &[b, 4.into(), s, 3.into()]).unwrap();
    let g = head_gate(&mut d, 2);
    let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
    let o = subtract(&mut d, even, g, odd);
    assert_whole(&d.returning(&[o]));
}

#[test]
fn two_attentions_in_primitive_ops() {
    for (heads, groups) in [(2, 1), (4, 1), (4, 2), (8, 2)] {
        let mut d = Drawing::new();
        let q = d.queries(heads);
        let (k, v) = d.keys_and_values(groups);
        let parts = [0, 1].map(|start| {
            let q = every_second(&mut d, q, 1, start);
            d.causal_attention(q, k, v)
        });
        let g = head_gate(&mut d, heads / 2);
        let o = subtract(&mut d, parts[0], g, parts[1]);
        assert_whole(&d.returning(&[o]));
    }
}

#[test]
fn subtracted_maps_in_primitive_ops() {
    let mut d = Drawing::new();
    let q = d.queries(8);
    let (k, v) = d.keys_and_values(2);
    let weights = d.causal_weights(q, k);
    let g = head_gate(&mut d, 4);
    let (even, odd) = (every_second(&mut d, weights, 1, 0), every_second(&mut d, weights, 1, 1));
    let map = subtract(&mut d, even, g, odd);
    let half = d.graph.slice(q, Slice::range(1, 0, 4)).unwrap();
    let v = d.repeated(v, half);
    let o = d.graph.matmul(map, v).unwrap();
    assert_whole(&d.returning(&[o]));
}

/// Random selections and orders of heads: fused or not, the meaning stays.
#[test]
fn random_selections_keep_their_meaning() {
    let mut seed = 1u64;
    let mut below = |count: u64| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) % count
    };
    let mut fused = 0;
    for _ in 0..400 {
        let groups = [1, 2, 4][below(3) as usize];
        let (mut d, a) = attended(8, groups);
        let (b, s) = (d.b.clone(), d.s.clone());
        let mut split: Vec<Dim> = vec![b.clone(), 2.into(), 2.into(), 2.into(), s, 3.into()];
        let cube = d.graph.reshape(a, &split).unwrap();
        let axis = 1 + below(3) as usize;
        let first = below(2) as i64;
        let shuffle = below(3) == 0;
        split.remove(axis);
        let parts = [first, 1 - first].map(|start| {
            let part = d.graph.slice(cube, Slice::range(axis, start, start + 1)).unwrap();
            let part = d.graph.reshape(part, &split).unwrap();
            // Both parts alike, or each on its own.
            if shuffle && below(2) == 0 {
                d.graph.transpose(part, &[0, 2, 1, 3, 4]).unwrap()
            } else {
                part
            }
        });
        let shapes = [
            vec![Dim::one(), 2.into(), 1.into(), 1.into()],
            vec![b, 1.into(), 2.into(), d.s.clone(), 1.into()],
            split[..4].iter().cloned().chain([Dim::one()]).collect(),
        ];
        let g = gate(&mut d, &shapes[below(3) as usize]);
        let o = subtract(&mut d, parts[0], g, parts[1]);
        let ran = run(&d.returning(&[o]), &pass(), &SIZES);
        fused += u64::from(ran.ops().contains(&"diff_attention"));
    }
    assert!((40..200).contains(&fused), "{fused} of 400 fused");
}
