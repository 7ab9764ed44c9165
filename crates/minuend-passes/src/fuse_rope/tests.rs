use super::*;
use crate::Changed;
use crate::testing::{Ran, run};
use minuend_ir::decompose::{decompose, rope_frequencies};
use minuend_ir::ops::{RopeLayout, Slice, UnaryOp};
use minuend_ir::{Dim, SymbolTable, TensorType};

const SIZES: &[(&str, u64)] = &[("B", 2), ("S", 3)];
const THETA: f64 = 10_000.0;
const HEADS: i64 = 5;
const FEATURES: usize = 8;

struct Sizes {
    b: Dim,
    s: Dim,
}

impl Sizes {
    /// `[B, heads, S, d]`.
    fn heads_first(&self) -> [Dim; 4] {
        [self.b.clone(), HEADS.into(), self.s.clone(), FEATURES.into()]
    }

    /// `[B, S, heads, d]`.
    fn tokens_first(&self) -> [Dim; 4] {
        [self.b.clone(), self.s.clone(), HEADS.into(), FEATURES.into()]
    }
}

fn graph() -> (Graph, Sizes) {
    let mut symbols = SymbolTable::default();
    let b = Dim::symbol(symbols.declare("B", 1, 64).unwrap());
    let s = Dim::symbol(symbols.declare("S", 1, 64).unwrap());
    (Graph::new("g", symbols), Sizes { b, s })
}

fn finish(mut g: Graph, y: ValueId) -> Ran {
    g.set_name(y, "y");
    g.set_return(&[y], &[]).unwrap();
    let ran = run(&g, &pass(), SIZES);
    let canonical = run(&g, &crate::canonicalize::pass(), SIZES).graph;
    let behind = run(&canonical, &pass(), SIZES);
    assert_eq!(behind.changed, ran.changed, "behind canonicalize: {:?}", behind.ops());
    ran
}

#[track_caller]
fn fused(ran: &Ran, layout: RopeLayout) {
    assert_eq!(*ran.the("rope"), Op::Rope(Rope { layout, theta: THETA.into() }));
    let others = ["mul", "cos", "sin", "concat", "slice", "add", "sub"];
    assert!(ran.ops().iter().all(|op| !others.contains(op)), "left {:?}", ran.ops());
}

#[track_caller]
fn refused(ran: &Ran, reason: &str) {
    assert_eq!(ran.changed, Changed::No);
    assert_eq!(ran.remarks, [format!("fuse-rope at %y: {reason}")]);
}

fn frequencies() -> Vec<f64> {
    rope_frequencies(THETA, FEATURES).collect()
}

/// `positions [S] * frequencies` as `[S, n]`.
fn angle(g: &mut Graph, sizes: &Sizes, frequencies: &[f64]) -> ValueId {
    let positions = TensorType::new(DType::I64, [sizes.s.clone()]);
    let positions = g.argument("positions", positions).unwrap();
    let positions = g.cast(positions, DType::F32).unwrap();
    let column = g.reshape(positions, &[sizes.s.clone(), Dim::one()]).unwrap();
    let frequencies = g.reals(DType::F32, frequencies).unwrap();
    g.mul(column, frequencies).unwrap()
}

fn waves(g: &mut Graph, angle: ValueId) -> (ValueId, ValueId) {
    (g.unary(UnaryOp::Cos, angle).unwrap(), g.unary(UnaryOp::Sin, angle).unwrap())
}

fn half(x: ValueId, g: &mut Graph, which: usize) -> ValueId {
    let half = FEATURES / 2;
    g.slice(x, Slice::range(3, which * half, (which + 1) * half)).unwrap()
}

/// `x * cos + concat(-x[d/2:], x[:d/2]) * sin`.
fn rotate_half(g: &mut Graph, x: ValueId, (cos, sin): (ValueId, ValueId)) -> ValueId {
    let (a, b) = (half(x, g, 0), half(x, g, 1));
    let b = g.unary(UnaryOp::Neg, b).unwrap();
    let turned = g.concat(3, &[b, a]).unwrap();
    let (straight, turned) = (g.mul(x, cos).unwrap(), g.mul(sin, turned).unwrap());
    g.add_values(turned, straight).unwrap()
}

/// `(a cos - b sin, b cos + a sin)`.
fn rotate(
    g: &mut Graph,
    (a, b): (ValueId, ValueId),
    (cos, sin): (ValueId, ValueId),
) -> (ValueId, ValueId) {
    let (a_cos, b_sin) = (g.mul(cos, a).unwrap(), g.mul(b, sin).unwrap());
    let (a_sin, b_cos) = (g.mul(sin, a).unwrap(), g.mul(b, cos).unwrap());
    (g.sub(a_cos, b_sin).unwrap(), g.add_values(b_cos, a_sin).unwrap())
}

/// Both parts next to each other: `[.., n]` twice becomes `[.., 2n]`.
fn stack(g: &mut Graph, parts: [ValueId; 2]) -> ValueId {
    let mut shape = g.ty(parts[0]).shape.clone();
    shape.push(Dim::one());
    let axis = shape.len() - 1;
    let parts = parts.map(|part| g.reshape(part, &shape).unwrap());
    let pairs = g.concat(axis, &parts).unwrap();
    shape.pop();
    shape[axis - 1] = &shape[axis - 1] * 2;
    g.reshape(pairs, &shape).unwrap()
}

#[test]
fn the_decomposition_of_rope_fuses_back() {
    for layout in [RopeLayout::Interleaved, RopeLayout::HalfSplit] {
        for (dtype, is_batched) in [(DType::F32, false), (DType::F16, true)] {
            let (mut g, sizes) = graph();
            let x = g.argument("x", TensorType::new(dtype, sizes.heads_first())).unwrap();
            let shape = [sizes.b.clone(), sizes.s.clone()];
            let shape = shape.into_iter().skip(usize::from(!is_batched));
            let positions = g.argument("p", TensorType::new(DType::I64, shape)).unwrap();
            let op = Op::Rope(Rope { layout, theta: THETA.into() });
            let y = decompose(&op, &[x, positions], &mut g).unwrap().unwrap()[0];
            let ran = finish(g, y);
            fused(&ran, layout);
            assert_eq!(ran.ops(), ["rope"]);
        }
    }
}

#[test]
fn full_tables_and_the_negated_half_fuse() {
    for literal in [false, true] {
        let (mut g, sizes) = graph();
        let x = g.argument("x", TensorType::new(DType::F16, sizes.heads_first())).unwrap();
        let full = if literal {
            let twice = [frequencies(), frequencies()].concat();
            angle(&mut g, &sizes, &twice)
        } else {
            let angle = angle(&mut g, &sizes, &frequencies());
            g.concat(1, &[angle, angle]).unwrap()
        };
        let full = g.reshape(full, &[1.into(), 1.into(), sizes.s, FEATURES.into()]).unwrap();
        let (cos, sin) = waves(&mut g, full);
        let tables = (g.cast(cos, DType::F16).unwrap(), g.cast(sin, DType::F16).unwrap());
        let y = rotate_half(&mut g, x, tables);
        let ran = finish(g, y);
        fused(&ran, RopeLayout::HalfSplit);
        assert_eq!(ran.ops(), ["rope"]);
    }
}

#[test]
fn an_outer_product_of_batched_positions_serves_query_and_key() {
    let (mut g, sizes) = graph();
    let q = g.argument("q", TensorType::new(DType::F32, sizes.heads_first())).unwrap();
    let k = g.argument("k", TensorType::new(DType::F32, sizes.heads_first())).unwrap();
    let positions = TensorType::new(DType::I64, [sizes.b.clone(), sizes.s.clone()]);
    let positions = g.argument("positions", positions).unwrap();
    let row = g.reshape(positions, &[sizes.b.clone(), Dim::one(), sizes.s.clone()]).unwrap();
    let row = g.cast(row, DType::F32).unwrap();
    let pairs = Dim::from(FEATURES / 2);
    let column = g.reals(DType::F32, &frequencies()).unwrap();
    let column = g.reshape(column, &[Dim::one(), pairs.clone(), Dim::one()]).unwrap();
    let column = g.broadcast(column, &[sizes.b.clone(), pairs, Dim::one()]).unwrap();
    let angle = g.matmul(column, row).unwrap();
    let angle = g.transpose(angle, &[0, 2, 1]).unwrap();
    let full = g.concat(2, &[angle, angle]).unwrap();
    let (cos, sin) = waves(&mut g, full);
    let shape = [sizes.b, Dim::one(), sizes.s, FEATURES.into()];
    let tables = (g.reshape(cos, &shape).unwrap(), g.reshape(sin, &shape).unwrap());
    let y = rotate_half(&mut g, q, tables);
    let z = rotate_half(&mut g, k, tables);
    g.set_return(&[y, z], &[]).unwrap();
    assert_eq!(run(&g, &pass(), SIZES).ops(), ["rope", "rope"]);
}

#[test]
fn heads_behind_tokens_are_transposed_around_rope() {
    let (mut g, sizes) = graph();
    let x = g.argument("x", TensorType::new(DType::F32, sizes.tokens_first())).unwrap();
    let angle = angle(&mut g, &sizes, &frequencies());
    let angle = g.reshape(angle, &[sizes.s, Dim::one(), (FEATURES / 2).into()]).unwrap();
    let tables = waves(&mut g, angle);
    let a = g.slice(x, Slice::strided(3, 0, 2)).unwrap();
    let b = g.slice(x, Slice::strided(3, 1, 2)).unwrap();
    let (a, b) = rotate(&mut g, (a, b), tables);
    let y = stack(&mut g, [a, b]);
    let ran = finish(g, y);
    fused(&ran, RopeLayout::Interleaved);
    assert_eq!(ran.ops(), ["transpose", "rope", "transpose"]);
}

#[test]
fn pairs_selected_from_an_axis_of_two_fuse() {
    let (mut g, sizes) = graph();
    let merged = [sizes.b.clone(), sizes.s.clone(), (HEADS * FEATURES as i64).into()];
    let x = g.argument("x", TensorType::new(DType::F32, merged)).unwrap();
    let mut pairs = sizes.tokens_first().to_vec();
    pairs[3] = (FEATURES / 2).into();
    let part = pairs.clone();
    pairs.push(2.into());
    let apart = g.reshape(x, &pairs).unwrap();
    let members = [0, 1].map(|which| {
        let select = g.slice(apart, Slice::range(4, which, which + 1)).unwrap();
        g.reshape(select, &part).unwrap()
    });
    let angle = angle(&mut g, &sizes, &frequencies());
    let angle = g.reshape(angle, &[sizes.s, Dim::one(), (FEATURES / 2).into()]).unwrap();
    let tables = waves(&mut g, angle);
    let (a, b) = rotate(&mut g, members.into(), tables);
    let y = stack(&mut g, [a, b]);
    let ran = finish(g, y);
    fused(&ran, RopeLayout::Interleaved);
    assert_eq!(ran.ops(), ["reshape", "transpose", "rope", "transpose"]);
}

#[test]
fn every_second_feature_negated_with_repeated_tables_fuses() {
    let (mut g, sizes) = graph();
    let x = g.argument("x", TensorType::new(DType::F32, sizes.heads_first())).unwrap();
    let angle = angle(&mut g, &sizes, &frequencies());
    let (cos, sin) = waves(&mut g, angle);
    let tables = [cos, sin].map(|table| g.repeat_interleaved(table, 1, &2.into()).unwrap());
    let a = g.slice(x, Slice::strided(3, 0, 2)).unwrap();
    let b = g.slice(x, Slice::strided(3, 1, 2)).unwrap();
    let b = g.unary(UnaryOp::Neg, b).unwrap();
    let turned = stack(&mut g, [b, a]);
    let (straight, turned) = (g.mul(x, tables[0]).unwrap(), g.mul(turned, tables[1]).unwrap());
    let y = g.add_values(straight, turned).unwrap();
    let ran = finish(g, y);
    fused(&ran, RopeLayout::Interleaved);
    assert_eq!(ran.ops(), ["rope"]);
}

#[test]
fn part_of_the_features_may_be_rotated() {
    let (mut g, sizes) = graph();
    let mut wide = sizes.heads_first();
    wide[3] = 12.into();
    let x = g.argument("x", TensorType::new(DType::F32, wide)).unwrap();
    let rotated = g.slice(x, Slice::range(3, 0, FEATURES)).unwrap();
    let kept = g.slice(x, Slice::range(3, FEATURES, 12)).unwrap();
    let angle = angle(&mut g, &sizes, &frequencies());
    let full = g.concat(1, &[angle, angle]).unwrap();
    let tables = waves(&mut g, full);
    let rotated = rotate_half(&mut g, rotated, tables);
    let y = g.concat(3, &[rotated, kept]).unwrap();
    assert_eq!(finish(g, y).ops(), ["slice", "rope", "slice", "concat"]);
}

/// By halves, with what a case changes: tables made of the angle, and the halves of `x`.
fn by_halves(
    frequencies: &[f64],
    tables: impl FnOnce(&mut Graph, ValueId) -> (ValueId, ValueId),
    halves: [usize; 2],
) -> Ran {
    let (mut g, sizes) = graph();
    let x = g.argument("x", TensorType::new(DType::F32, sizes.heads_first())).unwrap();
    let angle = angle(&mut g, &sizes, frequencies);
    let tables = tables(&mut g, angle);
    let parts = halves.map(|which| half(x, &mut g, which));
    let (a, b) = rotate(&mut g, parts.into(), tables);
    let y = g.concat(3, &[a, b]).unwrap();
    finish(g, y)
}

#[test]
fn halves_fuse() {
    fused(&by_halves(&frequencies(), waves, [0, 1]), RopeLayout::HalfSplit);
}

#[test]
fn frequencies_of_no_one_base_stay() {
    let mut scaled = frequencies();
    scaled[2] /= 8.0;
    let ran = by_halves(&scaled, waves, [0, 1]);
    assert_eq!(ran.changed, Changed::No);
    assert_eq!(ran.remarks.len(), 1);
    let expected = "fuse-rope at %y: frequencies are not theta^(-2i/d): index 2 is 0.00125";
    assert!(ran.remarks[0].starts_with(expected), "{}", ran.remarks[0]);
}

#[test]
fn scaled_tables_stay() {
    let scaled = |g: &mut Graph, angle| {
        let (cos, sin) = waves(g, angle);
        let scale = g.real(DType::F32, 1.25).unwrap();
        (g.mul(cos, scale).unwrap(), g.mul(scale, sin).unwrap())
    };
    let ran = by_halves(&frequencies(), scaled, [0, 1]);
    refused(&ran, "a table of cosines or sines is scaled by 1.25");
}

#[test]
fn a_rotation_by_the_negative_angle_stays() {
    let backward = |g: &mut Graph, angle| {
        let (cos, sin) = waves(g, angle);
        (cos, g.unary(UnaryOp::Neg, sin).unwrap())
    };
    refused(&by_halves(&frequencies(), backward, [0, 1]), "the rotation is by the negative angle");
}

#[test]
fn cosines_and_sines_of_different_angles_stay() {
    let different = |g: &mut Graph, angle: ValueId| {
        let other = rope_frequencies(500.0, FEATURES).collect::<Vec<f64>>();
        let other = g.reals(DType::F32, &other).unwrap();
        let column = g.operand(angle.node, 0).unwrap();
        let other = g.mul(column, other).unwrap();
        (g.unary(UnaryOp::Cos, angle).unwrap(), g.unary(UnaryOp::Sin, other).unwrap())
    };
    let ran = by_halves(&frequencies(), different, [0, 1]);
    refused(&ran, "cosines and sines are of different angles");
}

#[test]
fn frequencies_that_are_no_literal_stay() {
    let trained = |g: &mut Graph, angle: ValueId| {
        let column = g.operand(angle.node, 0).unwrap();
        let pairs = TensorType::fixed(DType::F32, &[FEATURES / 2]);
        let frequencies = g.weight("frequencies", pairs).unwrap();
        let angle = g.mul(column, frequencies).unwrap();
        waves(g, angle)
    };
    let ran = by_halves(&frequencies(), trained, [0, 1]);
    refused(&ran, "the angle is not the product of positions and literal frequencies");
}

#[test]
fn positions_that_are_no_integers_stay() {
    let real = |g: &mut Graph, angle: ValueId| {
        let column = g.operand(angle.node, 0).unwrap();
        let frequencies = g.operand(angle.node, 1).unwrap();
        let root = g.unary(UnaryOp::Exp, column).unwrap();
        let angle = g.mul(root, frequencies).unwrap();
        waves(g, angle)
    };
    let ran = by_halves(&frequencies(), real, [0, 1]);
    refused(&ran, "the positions are not integers, one for each token");
}

#[test]
fn parts_that_are_not_the_pairs_are_no_rotation() {
    for halves in [[1, 0], [0, 0]] {
        let ran = by_halves(&frequencies(), waves, halves);
        assert_eq!((ran.changed, ran.remarks.len()), (Changed::No, 0));
    }
    let same = |g: &mut Graph, angle| {
        let (cos, _) = waves(g, angle);
        (cos, cos)
    };
    assert_eq!(by_halves(&frequencies(), same, [0, 1]).changed, Changed::No);
}

#[test]
fn mixed_pairings_are_no_rotation() {
    // Pairs are taken interleaved and put back by halves.
    let (mut g, sizes) = graph();
    let x = g.argument("x", TensorType::new(DType::F32, sizes.heads_first())).unwrap();
    let angle = angle(&mut g, &sizes, &frequencies());
    let tables = waves(&mut g, angle);
    let a = g.slice(x, Slice::strided(3, 0, 2)).unwrap();
    let b = g.slice(x, Slice::strided(3, 1, 2)).unwrap();
    let (a, b) = rotate(&mut g, (a, b), tables);
    let y = g.concat(3, &[a, b]).unwrap();
    assert_eq!(finish(g, y).changed, Changed::No);
}

#[test]
fn angles_that_differ_by_head_stay() {
    let (mut g, sizes) = graph();
    let x = g.argument("x", TensorType::new(DType::F32, sizes.heads_first())).unwrap();
    let positions = TensorType::new(DType::I64, [HEADS.into(), sizes.s, Dim::one()]);
    let positions = g.argument("positions", positions).unwrap();
    let positions = g.cast(positions, DType::F32).unwrap();
    let literal = g.reals(DType::F32, &frequencies()).unwrap();
    let angle = g.mul(positions, literal).unwrap();
    let tables = waves(&mut g, angle);
    let parts = [0, 1].map(|which| half(x, &mut g, which));
    let (a, b) = rotate(&mut g, parts.into(), tables);
    let y = g.concat(3, &[a, b]).unwrap();
    refused(&finish(g, y), "the positions are not integers, one for each token");
}
