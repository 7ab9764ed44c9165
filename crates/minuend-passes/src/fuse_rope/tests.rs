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

/// Rows of the table of positions 0 to 128 in which the angles of some tests are given.
const ROWS: usize = 128;

/// `[ROWS, n]`, scaled positions times frequencies.
fn table_angle(g: &mut Graph, scale: f64, frequencies: &[f64]) -> ValueId {
    let positions = g.iota(ROWS.into()).unwrap();
    let positions = g.cast(positions, DType::F32).unwrap();
    let column = g.reshape(positions, &[ROWS.into(), Dim::one()]).unwrap();
    let scale = g.real(DType::F32, scale).unwrap();
    let column = g.mul(column, scale).unwrap();
    let frequencies = g.reals(DType::F32, frequencies).unwrap();
    g.mul(column, frequencies).unwrap()
}

/// By halves, with rows `[.., n]` that `rows` takes of the tables.
fn by_table(
    scale: f64,
    repeat: usize,
    mut rows: impl FnMut(&mut Graph, &Sizes, ValueId) -> ValueId,
) -> Ran {
    let (mut g, sizes) = graph();
    let x = g.argument("x", TensorType::new(DType::F32, sizes.heads_first())).unwrap();
    let angle = table_angle(&mut g, scale, &frequencies().repeat(repeat));
    let (cos, sin) = waves(&mut g, angle);
    let tables = (rows(&mut g, &sizes, cos), rows(&mut g, &sizes, sin));
    let y = if repeat == 2 {
        rotate_half(&mut g, x, tables)
    } else {
        let parts = (half(x, &mut g, 0), half(x, &mut g, 1));
        let (a, b) = rotate(&mut g, parts, tables);
        g.concat(3, &[a, b]).unwrap()
    };
    finish(g, y)
}

fn indices(g: &mut Graph, shape: &[Dim]) -> ValueId {
    let given = g.inputs().iter().map(|id| id.result(0)).find(|id| g.ty(*id).dtype.is_int());
    given.unwrap_or_else(|| {
        g.argument("ids", TensorType::new(DType::I64, shape.iter().cloned())).unwrap()
    })
}

#[test]
fn a_range_of_a_table_counts() {
    for (start, left) in [(0, vec!["iota", "rope"]), (5, vec!["iota", "dim", "add", "rope"])] {
        for repeat in [1, 2] {
            let ran = by_table(1.0, repeat, |g, sizes, table| {
                let end = &sizes.s + start;
                g.slice(table, Slice::range(0, start, end)).unwrap()
            });
            assert_eq!(*ran.the("rope"), half_split());
            assert_eq!(ran.ops(), left);
        }
    }
}

fn half_split() -> Op {
    Op::Rope(Rope { layout: RopeLayout::HalfSplit, theta: THETA.into() })
}

#[test]
fn indices_of_rows_are_positions() {
    for repeat in [1, 2] {
        let ran = by_table(1.0, repeat, |g, sizes, table| {
            let ids = indices(g, std::slice::from_ref(&sizes.s));
            g.gather(0, table, ids).unwrap()
        });
        fused(&ran, RopeLayout::HalfSplit);
        assert_eq!(ran.ops(), ["rope"]);
        let batched = by_table(1.0, repeat, |g, sizes, table| {
            let ids = indices(g, &[sizes.b.clone(), sizes.s.clone()]);
            let rows = g.gather(0, table, ids).unwrap();
            let features = g.size(rows, 2);
            let shape = [sizes.b.clone(), Dim::one(), sizes.s.clone(), features];
            g.reshape(rows, &shape).unwrap()
        });
        fused(&batched, RopeLayout::HalfSplit);
        assert_eq!(batched.ops(), ["rope"]);
    }
}

#[test]
fn rows_of_a_table_with_outer_axes() {
    // [1, 1, N, d], of which axis 2 is gathered, or which loses its outer axes before.
    let gathered = by_table(1.0, 2, |g, sizes, table| {
        let wide = [Dim::one(), Dim::one(), ROWS.into(), FEATURES.into()];
        let table = g.reshape(table, &wide).unwrap();
        let ids = indices(g, std::slice::from_ref(&sizes.s));
        g.gather(2, table, ids).unwrap()
    });
    assert_eq!(gathered.ops(), ["rope"]);
    let squeezed = by_table(1.0, 2, |g, sizes, table| {
        let wide = [Dim::one(), Dim::one(), ROWS.into(), FEATURES.into()];
        let table = g.reshape(table, &wide).unwrap();
        let table = g.reshape(table, &[ROWS.into(), FEATURES.into()]).unwrap();
        let ids = indices(g, std::slice::from_ref(&sizes.s));
        g.gather(0, table, ids).unwrap()
    });
    assert_eq!(squeezed.ops(), ["rope"]);
    let ranged = by_table(1.0, 2, |g, sizes, table| {
        let wide = [Dim::one(), Dim::one(), ROWS.into(), FEATURES.into()];
        let table = g.reshape(table, &wide).unwrap();
        g.slice(table, Slice::range(2, 0, sizes.s.clone())).unwrap()
    });
    assert_eq!(ranged.ops(), ["iota", "rope"]);
}

/// Cosines and sines in one table, of which the rows are taken before or behind the two come apart.
fn stacked(axis_of_its_own: bool, is_gathered: bool, rows_first: bool) -> Ran {
    let (mut g, sizes) = graph();
    let x = g.argument("x", TensorType::new(DType::F32, sizes.heads_first())).unwrap();
    let angle = table_angle(&mut g, 1.0, &frequencies());
    let (cos, sin) = waves(&mut g, angle);
    let pairs = FEATURES / 2;
    let parts = [cos, sin].map(|wave| {
        let mut shape = g.ty(wave).shape.clone();
        if axis_of_its_own {
            shape.push(Dim::one());
        }
        g.reshape(wave, &shape).unwrap()
    });
    let axis = if axis_of_its_own { 2 } else { 1 };
    let both = g.concat(axis, &parts).unwrap();
    let ids = is_gathered.then(|| indices(&mut g, std::slice::from_ref(&sizes.s)));
    let rows = |g: &mut Graph, table| match ids {
        Some(ids) => g.gather(0, table, ids).unwrap(),
        None => g.slice(table, Slice::range(0, 0, sizes.s.clone())).unwrap(),
    };
    let both = if rows_first { rows(&mut g, both) } else { both };
    let size = if axis_of_its_own { 1 } else { pairs };
    let tables = [0, 1].map(|which| {
        let part = g.slice(both, Slice::range(axis, which * size, (which + 1) * size)).unwrap();
        let part = if rows_first { part } else { rows(&mut g, part) };
        g.reshape(part, &[sizes.s.clone(), pairs.into()]).unwrap()
    });
    let parts = (half(x, &mut g, 0), half(x, &mut g, 1));
    let (a, b) = rotate(&mut g, parts, tables.into());
    let y = g.concat(3, &[a, b]).unwrap();
    finish(g, y)
}

#[test]
fn one_table_of_cosines_and_sines() {
    for axis_of_its_own in [false, true] {
        for rows_first in [false, true] {
            let gathered = stacked(axis_of_its_own, true, rows_first);
            assert_eq!(gathered.ops(), ["rope"], "{axis_of_its_own} {rows_first}");
            let ranged = stacked(axis_of_its_own, false, rows_first);
            assert_eq!(ranged.ops(), ["iota", "rope"], "{axis_of_its_own} {rows_first}");
        }
    }
}

#[test]
fn other_rows_stay() {
    // Positions in steps of two, in the table or in the range.
    let ran = by_table(2.0, 1, |g, sizes, table| {
        let ids = indices(g, std::slice::from_ref(&sizes.s));
        g.gather(0, table, ids).unwrap()
    });
    refused(&ran, "the positions are not integers, one for each token");
    let ran = by_table(1.0, 1, |g, sizes, table| {
        let rows = g.slice(table, Slice::strided(0, 0, 2)).unwrap();
        g.slice(rows, Slice::range(0, 0, sizes.s.clone())).unwrap()
    });
    refused(&ran, "the positions are not integers, one for each token");
    // Rows of rows: the first indices choose which positions the second ones are.
    let ran = by_table(1.0, 1, |g, sizes, table| {
        let falling = (0..16).rev().map(f64::from).collect::<Vec<f64>>();
        let falling = g.reals(DType::F32, &falling).unwrap();
        let falling = g.cast(falling, DType::I64).unwrap();
        let rows = g.gather(0, table, falling).unwrap();
        let ids = indices(g, std::slice::from_ref(&sizes.s));
        g.gather(0, rows, ids).unwrap()
    });
    assert_eq!(ran.changed, Changed::No);
    // The rows are chosen for each head.
    let ran = by_table(1.0, 1, |g, sizes, table| {
        let ids = indices(g, &[HEADS.into(), sizes.s.clone()]);
        g.gather(0, table, ids).unwrap()
    });
    refused(&ran, "the positions are not integers, one for each token");
    // Frequencies are gathered, not positions.
    let ran = by_table(1.0, 2, |g, sizes, table| {
        let ids = indices(g, &[FEATURES.into()]);
        let table = g.gather(1, table, ids).unwrap();
        g.slice(table, Slice::range(0, 0, sizes.s.clone())).unwrap()
    });
    assert_eq!(ran.changed, Changed::No);
}
