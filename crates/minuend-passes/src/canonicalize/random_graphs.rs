//! Random graphs through the cleaning passes: meaning is kept, a fixpoint is found, and it is one.
//!
//! Factors are powers of two, so that reassociation is exact and a difference is never rounding.

use minuend_ir::ops::{BinaryOp, CompareOp, Constant, Literal, ReduceKind, Slice, UnaryOp};
use minuend_ir::{Bindings, DType, Dim, Emit, Emitted, Graph, Op, TensorType, ValueId};

use crate::testing::{dim, graph_of, run};
use crate::{Changed, EliminateCommon, Pass, PassContext};

/// Sizes of the symbols; small, for axes multiply.
const SIZES: [(&str, u64); 2] = [("S", 3), ("P", 2)];

/// Most elements of a value.
const LIMIT: u64 = 2000;

struct Random(u64);

impl Random {
    /// A number below `end`, from the upper bits of a linear congruential generator (MMIX).
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % end
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

fn reshaped(graph: &mut Graph, x: ValueId, random: &mut Random) -> Emitted {
    let mut shape = graph.ty(x).shape.clone();
    let axis = random.below(shape.len().max(1));
    match random.below(4) {
        0 => shape.insert(random.below(shape.len() + 1), Dim::one()),
        1 => shape.retain(|size| !size.is(1)),
        2 if axis + 1 < shape.len() => {
            let inner = shape.remove(axis + 1);
            shape[axis] = &shape[axis] * &inner;
        }
        _ => {
            let Some(outer) = shape.get(axis).and_then(|size| size.exact_div(&Dim::from(2))) else {
                return Ok(x);
            };
            shape[axis] = outer;
            shape.insert(axis + 1, Dim::from(2));
        }
    }
    graph.reshape(x, &shape)
}

fn transposed(graph: &mut Graph, x: ValueId, random: &mut Random) -> Emitted {
    let mut perm: Vec<usize> = (0..graph.ty(x).rank()).collect();
    for to in 1..perm.len() {
        perm.swap(to, random.below(to + 1));
    }
    graph.transpose(x, &perm)
}

fn sliced(graph: &mut Graph, x: ValueId, random: &mut Random) -> Emitted {
    let shape = graph.ty(x).shape.clone();
    let axis = random.below(shape.len().max(1));
    let Some(size) = shape.get(axis) else { return Ok(x) };
    let start = Dim::from(random.below(2));
    let end = random.pick(&[None, Some(size.clone()), Some(size - &Dim::one()), Some(2.into())]);
    let step = random.pick(&[1, 1, 2, 3]);
    graph.slice(x, Slice { axis, start, end, step })
}

fn gathered(graph: &mut Graph, x: ValueId, random: &mut Random) -> Emitted {
    let rank = graph.ty(x).rank();
    let axis = random.below(rank.max(1));
    let fits = graph.ty(x).shape.get(axis).and_then(Dim::as_const).is_some_and(|size| size >= 4);
    if !fits {
        return Ok(x);
    }
    let indices: &[i64] = random.pick(&[&[0, 2][..], &[1, 3], &[0, 1, 2], &[3], &[1, 0], &[2, 2]]);
    let ty = TensorType::fixed(DType::I64, &[indices.len()]);
    let indices = Constant { ty, values: Literal::Ints(indices.into()) };
    let indices = graph.value(Op::Constant(indices), &[])?;
    graph.gather(axis, x, indices)
}

fn repeated(graph: &mut Graph, x: ValueId, random: &mut Random) -> Emitted {
    let mut shape = graph.ty(x).shape.clone();
    for axis in 0..shape.len() {
        if shape[axis].is(1) {
            shape[axis] = random.pick(&[1.into(), 2.into(), dim(graph, "S")]);
        }
    }
    if random.below(2) == 0 {
        shape.insert(0, random.pick(&[Dim::one(), 2.into()]));
    }
    graph.broadcast(x, &shape)
}

fn combined(graph: &mut Graph, x: ValueId, y: ValueId, random: &mut Random) -> Emitted {
    let c = random.pick(&[0.0, 1.0, 2.0, 0.5, -4.0]);
    let c = graph.real(graph.ty(x).dtype, c)?;
    let op = random.pick(&[BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul]);
    match random.below(8) {
        0 => graph.binary(op, c, x),
        1 => graph.binary(BinaryOp::Div, x, c),
        2 => {
            let repeated = graph.broadcast(c, &graph.ty(x).shape.clone())?;
            graph.binary(op, x, repeated)
        }
        3 | 4 => graph.binary(op, x, c),
        5 => {
            let y = graph.unary(UnaryOp::Neg, y)?;
            graph.add_values(x, y)
        }
        6 => {
            let gate = graph.unary(UnaryOp::Sigmoid, x)?;
            graph.mul(gate, x)
        }
        _ => graph.binary(op, x, y),
    }
}

fn product(graph: &mut Graph, x: ValueId, y: ValueId, random: &mut Random) -> Emitted {
    let y = if random.below(2) == 0 { y } else { x };
    // Bounded operands keep products of products in range.
    let (x, y) = (graph.unary(UnaryOp::Sigmoid, x)?, graph.unary(UnaryOp::Tanh, y)?);
    let half = graph.real(graph.ty(x).dtype, 0.5)?;
    let x = if random.below(2) == 0 { graph.mul(x, half)? } else { x };
    let y = if random.below(2) == 0 { graph.swap_last_axes(y)? } else { y };
    graph.matmul(x, y).or_else(|_| graph.matmul_transposed(x, y))
}

fn normalised(graph: &mut Graph, x: ValueId, random: &mut Random) -> Emitted {
    let axis = random.below(graph.ty(x).rank().max(1));
    let max = graph.reduce(ReduceKind::Max, axis, x)?;
    let shifted = graph.sub(x, max)?;
    let e = graph.unary(UnaryOp::Exp, shifted)?;
    let sum = graph.reduce(ReduceKind::Sum, axis, e)?;
    graph.binary(BinaryOp::Div, e, sum)
}

/// Numbers by way of truth values: comparisons, their negations and conjunctions, casts and choices.
fn chosen(graph: &mut Graph, x: ValueId, y: ValueId, random: &mut Random) -> Emitted {
    let dtype = graph.ty(x).dtype;
    let (op, other) = (random.pick(&CompareOp::ALL), random.pick(&[0.0, 0.5, 1.0, f64::NAN]));
    let c = graph.real(dtype, other)?;
    let y = if graph.ty(y).dtype == dtype && random.below(2) == 0 { y } else { c };
    let mut truth = graph.compare(op, x, y)?;
    if random.below(3) == 0 {
        truth = graph.unary(UnaryOp::Not, truth)?;
    }
    if random.below(3) == 0 {
        let other = graph.compare(random.pick(&CompareOp::ALL), c, x)?;
        truth = graph.binary(random.pick(&[BinaryOp::And, BinaryOp::Or]), truth, other)?;
    }
    if random.below(2) == 0 {
        return graph.cast(truth, dtype);
    }
    let d = graph.real(dtype, random.pick(&[0.0, 1.0, -2.0]))?;
    match random.below(4) {
        0 => graph.select(truth, x, d),
        1 => graph.select(truth, c, x),
        _ => graph.select(truth, c, d),
    }
}

fn grown(graph: &mut Graph, x: ValueId, y: ValueId, random: &mut Random) -> Emitted {
    match random.below(18) {
        14..=17 => chosen(graph, x, y, random),
        0..=2 => reshaped(graph, x, random),
        3 | 4 => transposed(graph, x, random),
        5 => sliced(graph, x, random),
        6 => gathered(graph, x, random),
        7 => repeated(graph, x, random),
        8 | 9 => combined(graph, x, y, random),
        10 => product(graph, x, y, random),
        11 => normalised(graph, x, random),
        12 => graph.cast(x, random.pick(&[DType::F32, DType::F32, DType::Bf16])),
        _ => graph.concat(0, &[x, y]).or_else(|_| graph.concat(0, &[x])),
    }
}

fn random_graph(seed: u64) -> Graph {
    let mut random = Random(seed);
    graph_of(|graph| {
        let (s, p) = (dim(graph, "S"), dim(graph, "P"));
        let mut bindings = Bindings::new();
        for (name, size) in SIZES {
            bindings.set(graph.symbols().id(name).unwrap(), size);
        }
        let x = TensorType::new(DType::F32, [Dim::from(2), s, Dim::from(4)]);
        let y = TensorType::new(DType::F32, [p, Dim::from(1), Dim::from(4)]);
        let mut values = vec![graph.argument("x", x).unwrap(), graph.argument("y", y).unwrap()];
        values.push(graph.weight("w", TensorType::fixed(DType::Bf16, &[4, 4])).unwrap());
        for _ in 0..24 {
            // The last values are the likeliest operands: chains, not a bush.
            let recent = values.len() - random.below(values.len().min(3)) - 1;
            let (x, y) = (values[recent], random.pick(&values));
            let Ok(value) = grown(graph, x, y, &mut random) else { continue };
            let count = graph.ty(value).elements().eval_size(&bindings);
            if count.is_some_and(|count| count <= LIMIT) && graph.ty(value).rank() <= 6 {
                values.push(value);
            }
        }
        values.split_off(values.len() - 3)
    })
}

#[test]
fn meaning_is_kept_and_a_fixpoint_is_found() {
    let passes: [&dyn Pass; 4] =
        [&super::pass(), &crate::fold_constants::pass(), &EliminateCommon, &super::pass()];
    for seed in 0..400 {
        let mut graph = random_graph(seed);
        for pass in passes {
            graph = run(&graph, pass, &SIZES).graph;
        }
        let again = super::pass().run(&mut graph, &mut PassContext::new(None));
        assert_eq!(again, Ok(Changed::No), "seed {seed}");
    }
}
