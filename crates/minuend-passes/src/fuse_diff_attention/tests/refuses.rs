use minuend_ir::DType;
use minuend_ir::ops::{Rope, RopeLayout};

use super::*;

/// `a[first..] - g a[second..]` over the heads that two slices select.
fn sliced(heads: i64, groups: i64, first: Slice, second: Slice) -> Graph {
    let (mut d, a) = attended(heads, groups);
    let a0 = d.graph.slice(a, first).unwrap();
    let a1 = d.graph.slice(a, second).unwrap();
    let paired = d.graph.size(a0, 1).as_const().unwrap();
    let g = head_gate(&mut d, paired);
    let o = subtract(&mut d, a0, g, a1);
    d.returning(&[o])
}

/// Neighbours paired, the gate given.
fn gated(make: impl FnOnce(&mut Drawing) -> ValueId) -> Graph {
    let (mut d, a) = attended(4, 2);
    let g = make(&mut d);
    let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
    let o = subtract(&mut d, even, g, odd);
    d.returning(&[o])
}

#[test]
fn halves_read_different_groups() {
    let graph = sliced(8, 2, Slice::range(1, 0, 4), Slice::range(1, 4, 8));
    assert_refused(&graph, "heads 0 and 4 read groups 0 and 1");
    let graph = sliced(12, 3, Slice::range(1, 0, 6), Slice::range(1, 6, 12));
    assert_refused(&graph, "pair heads read different K/V groups: heads 0 and 6");
    let graph = sliced(8, 2, Slice::range(1, 4, 8), Slice::range(1, 0, 4));
    assert_refused(&graph, "read different K/V groups");
}

#[test]
fn halves_of_one_group() {
    let graph = sliced(8, 1, Slice::range(1, 0, 4), Slice::range(1, 4, 8));
    assert_refused(&graph, "halves pairing: heads i and i + h");
}

#[test]
fn halves_as_an_axis() {
    // Reshape to [B, 2, h, S, d] and select.
    let (mut d, a) = attended(8, 2);
    let (b, s) = (d.b.clone(), d.s.clone());
    let halves = [b.clone(), 2.into(), 4.into(), s.clone(), 3.into()];
    let split = d.graph.reshape(a, &halves).unwrap();
    let parts = [0, 1].map(|start| {
        let part = d.graph.slice(split, Slice::range(1, start, start + 1)).unwrap();
        d.graph.reshape(part, &[b.clone(), 4.into(), s.clone(), 3.into()]).unwrap()
    });
    let g = head_gate(&mut d, 4);
    let o = subtract(&mut d, parts[0], g, parts[1]);
    assert_refused(&d.returning(&[o]), "read different K/V groups");
}

#[test]
fn swapped_pairs() {
    let graph = sliced(8, 2, Slice::strided(1, 1, 2), Slice::strided(1, 0, 2));
    assert_refused(&graph, "the pairs are swapped");
    let graph = sliced(2, 1, Slice::range(1, 1, 2), Slice::range(1, 0, 1));
    assert_refused(&graph, "the pairs are swapped");
}

#[test]
fn a_pair_that_straddles_groups() {
    let graph = sliced(6, 2, Slice::strided(1, 0, 2), Slice::strided(1, 1, 2));
    assert_refused(&graph, "straddles K/V groups");
    let graph = sliced(4, 4, Slice::strided(1, 0, 2), Slice::strided(1, 1, 2));
    assert_refused(&graph, "straddles K/V groups");
}

#[test]
fn other_selections_of_heads() {
    let graph = sliced(8, 2, Slice::range(1, 0, 2), Slice::range(1, 2, 4));
    assert_refused(&graph, "2 heads are paired with 2 of 8 heads");
    let graph = sliced(8, 2, Slice::strided(1, 0, 2), Slice::strided(1, 0, 2));
    assert_refused(&graph, "heads 0 + 2i are paired with heads 0 + 2i");
    let graph = sliced(8, 2, Slice::strided(1, 0, 2), Slice::range(1, 4, 8));
    assert_refused(&graph, "heads 0 + 2i are paired with heads 4 + 1i");
}

#[test]
fn part_of_the_features() {
    let mut d = Drawing::new();
    let q = d.queries(4);
    let (k, _) = d.keys_and_values(2);
    let a = attend(&mut d, q, k, k);
    let g = head_gate(&mut d, 2);
    let a = d.graph.slice(a, Slice::range(3, 0, 2)).unwrap();
    let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
    let o = subtract(&mut d, even, g, odd);
    assert_refused(&d.returning(&[o]), "only part of the features");
}

#[test]
fn the_product_is_subtracted_from() {
    let (mut d, a) = attended(4, 2);
    let g = head_gate(&mut d, 2);
    let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
    let gated = d.graph.mul(g, odd).unwrap();
    let o = d.graph.sub(gated, even).unwrap();
    assert_refused(&d.returning(&[o]), "the product is subtracted from, not subtracted");
}

#[test]
fn no_lambda() {
    let (mut d, a) = attended(4, 2);
    let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
    let o = d.graph.sub(even, odd).unwrap();
    assert_refused(&d.returning(&[o]), "no lambda (ablation 2)");
}

#[test]
fn two_gates() {
    let (mut d, a) = attended(4, 2);
    let g = head_gate(&mut d, 4);
    let all = d.graph.mul(g, a).unwrap();
    let (even, odd) = (every_second(&mut d, all, 1, 0), every_second(&mut d, all, 1, 1));
    let o = d.graph.sub(even, odd).unwrap();
    assert_refused(&d.returning(&[o]), "two-gate form, V3");
    let (mut d, a) = attended(4, 2);
    let g = head_gate(&mut d, 2);
    let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
    let even = d.graph.mul(g, even).unwrap();
    let o = subtract(&mut d, even, g, odd);
    assert_refused(&d.returning(&[o]), "two-gate form, V3");
}

#[test]
fn lambda_without_sigmoid() {
    let raw = |d: &mut Drawing| {
        let shape = [d.b.clone(), 2.into(), d.s.clone(), Dim::one()];
        d.input("lambda", &shape)
    };
    assert_refused(&gated(raw), "lambda is not behind a sigmoid (ablation 3): the gate is %lambda");
    let tanh = |d: &mut Drawing| {
        let lambda = raw(d);
        d.graph.unary(UnaryOp::Tanh, lambda).unwrap()
    };
    assert_refused(&gated(tanh), "(tanh)");
    let doubled = |d: &mut Drawing| {
        let g = head_gate(d, 2);
        let two = d.real(2.0);
        d.graph.mul(two, g).unwrap()
    };
    assert_refused(&gated(doubled), "(mul)");
}

#[test]
fn lambda_of_a_layer() {
    assert_refused(&gated(|d| d.real(0.8)), "lambda is the constant 0.8");
    assert_refused(&gated(|d| d.input("lambda", &[])), "one number for the layer (DIFF V1)");
    assert_refused(&gated(|d| gate(d, &[Dim::one()])), "one number for the layer (DIFF V1)");
}

#[test]
fn lambda_of_each_feature() {
    assert_refused(&gated(|d| gate(d, &[3.into()])), "varies along the features");
    let full = |d: &mut Drawing| {
        let shape = [d.b.clone(), 2.into(), d.s.clone(), 3.into()];
        gate(d, &shape)
    };
    assert_refused(&gated(full), "varies along the features");
}

#[test]
fn intermediates_used_elsewhere() {
    for picked in 0..4 {
        let (mut d, a) = attended(4, 2);
        let g = head_gate(&mut d, 2);
        let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
        let product = d.graph.mul(g, odd).unwrap();
        let o = d.graph.sub(even, product).unwrap();
        let other = [a, even, odd, product][picked];
        let mut graph = d.returning(&[o, other]);
        assert_refused(&graph, "is also an output");
        let negated = graph.unary(UnaryOp::Neg, other).unwrap();
        graph.set_return(&[o, negated], &[]).unwrap();
        assert_refused(&graph, "is also used by");
    }
}

#[test]
fn a_gate_used_elsewhere_is_no_obstacle() {
    let (mut d, a) = attended(4, 2);
    let g = head_gate(&mut d, 2);
    let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
    let o = subtract(&mut d, even, g, odd);
    assert_fused(&d.returning(&[o, g]));
}

/// Two attentions of two heads over one or two groups, whose parts may differ.
struct Two {
    ops: [Attention; 2],
    queries: [Slice; 2],
    own_keys: bool,
    own_values: bool,
}

impl Two {
    fn new() -> Two {
        let op = Attention { mask: Mask::Causal, scale: Real::new(0.5) };
        Two {
            ops: [op; 2],
            queries: [Slice::strided(1, 0, 2), Slice::strided(1, 1, 2)],
            own_keys: false,
            own_values: false,
        }
    }

    fn graph(self) -> Graph {
        let mut d = Drawing::new();
        let q = d.queries(4);
        let (k, v) = d.keys_and_values(2);
        let (mut k1, mut v1) = (k, v);
        if self.own_keys {
            let ty = d.graph.ty(k).clone();
            k1 = d.graph.argument("k1", ty).unwrap();
        }
        if self.own_values {
            let ty = d.graph.ty(v).clone();
            v1 = d.graph.argument("v1", ty).unwrap();
        }
        let [q0, q1] = self.queries.map(|slice| d.graph.slice(q, slice).unwrap());
        let a0 = d.graph.attention(self.ops[0], q0, k, v).unwrap();
        let a1 = d.graph.attention(self.ops[1], q1, k1, v1).unwrap();
        let heads = d.graph.size(a0, 1).as_const().unwrap();
        let g = head_gate(&mut d, heads);
        let o = subtract(&mut d, a0, g, a1);
        d.returning(&[o])
    }
}

#[test]
fn two_attentions_that_agree_are_fused() {
    assert_fused(&Two::new().graph());
}

#[test]
fn two_attentions_that_differ() {
    let two = Two { own_keys: true, ..Two::new() };
    assert_refused(&two.graph(), "read different keys: %k and %k1");
    let two = Two { own_values: true, ..Two::new() };
    assert_refused(&two.graph(), "read different values: %v and %v1");
    let mut two = Two::new();
    two.ops[1].mask = Mask::Full;
    assert_refused(&two.graph(), "different masks");
    let mut two = Two::new();
    two.ops[1].mask = Mask::SlidingWindow { window: 2 };
    assert_refused(&two.graph(), "is causal, attention");
    let mut two = Two::new();
    two.ops[1].scale = Real::new(0.25);
    assert_refused(&two.graph(), "has 0.5, ");
}

#[test]
fn two_attentions_whose_queries_are_no_pairs() {
    let queries = [Slice::range(1, 0, 2), Slice::range(1, 2, 4)];
    assert_refused(&Two { queries, ..Two::new() }.graph(), "halves pairing");
    let queries = [Slice::strided(1, 1, 2), Slice::strided(1, 0, 2)];
    assert_refused(&Two { queries, ..Two::new() }.graph(), "the pairs are swapped");
    let queries = [Slice::strided(1, 0, 2), Slice::strided(1, 0, 2)];
    assert_refused(&Two { queries, ..Two::new() }.graph(), "not every second head");
    let mut d = Drawing::new();
    let q = d.queries(2);
    let ty = d.graph.ty(q).clone();
    let other = d.graph.argument("other", ty).unwrap();
    let (k, v) = d.keys_and_values(1);
    let (a, b) = (attend(&mut d, q, k, v), attend(&mut d, other, k, v));
    let g = head_gate(&mut d, 2);
    let o = subtract(&mut d, a, g, b);
    assert_refused(&d.returning(&[o]), "%q and %other are no heads of one tensor");
}

#[test]
fn queries_rotated_to_different_positions() {
    let mut d = Drawing::new();
    let q = d.queries(4);
    let (k, v) = d.keys_and_values(2);
    let s = d.s.clone();
    let parts = [0, 1].map(|start| {
        let q = every_second(&mut d, q, 1, start);
        let name = ["first", "second"][start as usize];
        let positions = d.typed_input(name, DType::I64, std::slice::from_ref(&s));
        let rope = Rope { layout: RopeLayout::Interleaved, theta: Real::new(1e4) };
        let q = d.graph.value(Op::Rope(rope), &[q, positions]).unwrap();
        attend(&mut d, q, k, v)
    });
    let g = head_gate(&mut d, 2);
    let o = subtract(&mut d, parts[0], g, parts[1]);
    assert_refused(&d.returning(&[o]), "are no heads of one tensor");
}

#[test]
fn part_of_one_of_two_attentions() {
    let mut d = Drawing::new();
    let q = d.queries(8);
    let (k, v) = d.keys_and_values(2);
    let parts = [0, 1].map(|start| {
        let q = every_second(&mut d, q, 1, start);
        let a = attend(&mut d, q, k, v);
        d.graph.slice(a, Slice::range(1, 0, 2)).unwrap()
    });
    let g = head_gate(&mut d, 2);
    let o = subtract(&mut d, parts[0], g, parts[1]);
    assert_refused(&d.returning(&[o]), "only part of the heads");
}

#[test]
fn heads_in_another_order_than_their_partners() {
    // The odd heads are transposed with the pairs in columns: head i meets another head's partner.
    let (mut d, a) = attended(8, 1);
    let (b, s) = (d.b.clone(), d.s.clone());
    let g = head_gate(&mut d, 4);
    let (even, odd) = (every_second(&mut d, a, 1, 0), every_second(&mut d, a, 1, 1));
    let square = [b.clone(), 2.into(), 2.into(), s.clone(), 3.into()];
    let odd = d.graph.reshape(odd, &square).unwrap();
    let odd = d.graph.transpose(odd, &[0, 2, 1, 3, 4]).unwrap();
    let odd = d.graph.reshape(odd, &[b, 4.into(), s, 3.into()]).unwrap();
    let o = subtract(&mut d, even, g, odd);
    assert_refused(&d.returning(&[o]), "stand in different orders");
}

#[test]
fn a_difference_of_other_things_is_no_candidate() {
    let (mut d, a) = attended(4, 2);
    let ty = d.graph.ty(a).clone();
    let x = d.graph.argument("x", ty).unwrap();
    let o = d.graph.sub(x, a).unwrap();
    let ran = run(&d.returning(&[o]), &pass(), &SIZES);
    assert_eq!((ran.changed, ran.remarks.len()), (crate::Changed::No, 0));
}
