//! Random source graphs, well typed by construction: a residual stream of tokens that passes norms,
//! attentions and feed-forward networks in many spellings, and arbitrary ops beside it.
//!
//! Values stay bounded, so that a difference between two evaluations is a wrong rewrite and not an
//! amplified rounding.

use minuend::ir::ops::{
    Attention, BinaryOp, Constant, InputKind, Literal, ReduceKind, Slice, UnaryOp,
};
use minuend::ir::{
    Bindings, DType, Dim, Emit, Emitted, Graph, GraphLevel, Op, Real, SymbolTable, TensorType,
    ValueId,
};
use minuend_interp::Tensor;

use crate::idioms::{Author, Heads};
use minuend_conform::problem::{Problem, Sizes, Tolerance, bindings, sizes_of};
use minuend_conform::random_values::{RandomValues, Values};
use minuend_conform::weight_table::WeightTable;

/// Sizes at which random graphs are evaluated. All differ from each other, so that mixed-up axes show.
pub const SIZES: Sizes<'static> = &[("B", 2), ("S", 3), ("P", 4)];

/// Rows of the embedding.
const VOCABULARY: usize = 8;

/// Most elements of a value at [`SIZES`].
const LIMIT: u64 = 3000;

/// A graph and what it is evaluated on.
pub struct RandomGraph {
    /// The graph, at level source.
    pub graph: Graph,
    /// Its arguments and states at [`SIZES`].
    pub inputs: Vec<Tensor>,
    /// Its weights.
    pub weights: WeightTable,
}

impl RandomGraph {
    /// Several runs of one session, from an empty cache. Each element may be off by `units` roundings of
    /// the largest of its output, or of 1: what cancels was once about that.
    pub fn problem(mut self, seed: u64, units: f64) -> Problem {
        let mut magnitudes = self.graph.clone();
        let mut largest = Vec::new();
        for output in self.graph.outputs() {
            let mut most = magnitudes.unary(UnaryOp::Abs, output).unwrap();
            for axis in 0..magnitudes.ty(output).rank() {
                most = magnitudes.reduce(ReduceKind::Max, axis, most).unwrap();
            }
            let one = magnitudes.real(DType::F32, 1.0).unwrap();
            largest.push(magnitudes.binary(BinaryOp::Max, most, one).unwrap());
        }
        let next: Vec<ValueId> = self.graph.states().iter().map(|state| state.next).collect();
        magnitudes.set_return(&largest, &next).unwrap();
        let mut random = RandomValues::new(seed);
        let mut arguments = |tokens: u64| {
            let bindings = bindings(&self.graph, &[("B", 2), ("S", tokens), ("P", 0)]).unwrap();
            let types =
                self.graph.inputs().iter().filter_map(|id| match &self.graph.node(*id).op {
                    Op::Input(op) if op.kind == InputKind::Argument => Some(&op.ty),
                    _ => None,
                });
            types.map(|ty| input(&mut random, ty, &bindings)).collect()
        };
        let runs = vec![arguments(3), arguments(1), arguments(2)];
        self.graph.set_level(GraphLevel::Source);
        Problem {
            name: format!("random graph {seed}"),
            tolerances: vec![Tolerance::units(units); largest.len()],
            graph: self.graph,
            magnitudes,
            runs,
            weights: self.weights,
            launches: Vec::new(),
            exact_tail: None,
            activations: DType::F32,
            capacity: 256,
        }
    }
}

fn input(random: &mut RandomValues, ty: &TensorType, bindings: &Bindings) -> Tensor {
    let values = match ty.dtype {
        DType::I64 | DType::I32 => Values::Below(VOCABULARY as i64),
        DType::Bool => Values::Truth,
        DType::F32 | DType::F16 | DType::Bf16 => Values::Within(1.0),
    };
    random.tensor(ty.dtype, &sizes_of(ty, bindings).unwrap(), &values).unwrap()
}

/// The graph of a seed. `narrow` lets it hold activations in 16 bits, which not every target runs.
pub fn random_graph(seed: u64, narrow: bool) -> RandomGraph {
    let mut symbols = SymbolTable::default();
    let mut declare = |name, min| Dim::symbol(symbols.declare(name, min, 256).unwrap());
    let (_, s, p) = (declare("B", 1), declare("S", 1), declare("P", 0));
    symbols.define("T", &p + &s).unwrap();
    let mut author = Author::new(Graph::new("random", symbols), RandomValues::new(seed));
    let written = write(&mut author, narrow);
    let Author { mut graph, mut random, weights, .. } = author;
    graph.set_return(&written.outputs, &written.states).unwrap();
    let bindings = bindings(&graph, SIZES).unwrap();
    let types = graph.inputs().iter().map(|id| graph.ty(id.result(0)));
    let inputs = types.map(|ty| input(&mut random, ty, &bindings)).collect();
    RandomGraph { graph, inputs, weights }
}

/// What a written graph returns.
struct Written {
    outputs: Vec<ValueId>,
    states: Vec<ValueId>,
}

/// Values that further ops may read.
struct Pool {
    values: Vec<ValueId>,
    narrow: bool,
    bindings: Bindings,
}

impl Pool {
    /// Keeps a value unless it is too large to evaluate quickly.
    fn keep(&mut self, author: &Author, value: ValueId) {
        let ty = author.graph.ty(value);
        let fits = ty.elements().eval_size(&self.bindings).is_some_and(|count| count <= LIMIT);
        if fits && ty.rank() <= 5 && ty.dtype == DType::F32 {
            self.values.push(value);
        }
    }

    /// One of the values; the last are the likeliest, which makes chains and not a bush.
    fn pick(&self, random: &mut RandomValues) -> ValueId {
        let reach = if random.once_in(3) { self.values.len() } else { self.values.len().min(4) };
        self.values[self.values.len() - 1 - random.below(reach)]
    }
}

fn write(author: &mut Author, narrow: bool) -> Written {
    let width = 2 * author.random.pick(&[2usize, 3, 4]);
    let (batch, tokens) = (author.dim("B"), author.dim("S"));
    let ty = TensorType::new(DType::I64, [batch.clone(), tokens.clone()]);
    let ids = author.graph.argument("ids", ty).unwrap();
    let ty = TensorType::new(DType::F32, [batch, tokens, width.into()]);
    let hidden = author.graph.argument("hidden", ty).unwrap();
    let layers = author.random.below(3);
    // A state in every graph, so that a session knows how many tokens are past.
    let past = author.dim("P");
    let old = author.graph.state("positions", TensorType::new(DType::F32, [past])).unwrap();
    let new = author.positions().unwrap();
    let new = author.graph.cast(new, DType::F32).unwrap();
    let all = author.graph.concat(0, &[old, new]).unwrap();
    let mut written = Written { outputs: Vec::new(), states: vec![all] };
    let bindings = bindings(&author.graph, SIZES).unwrap();
    let mut pool = Pool { values: vec![hidden], narrow, bindings };

    let table = author.weight(&[VOCABULARY, width]).unwrap();
    let embedded = author.graph.gather(0, table, ids).unwrap();
    let mut x = author.commuted(BinaryOp::Add, embedded, hidden).unwrap();
    for layer in 0..layers {
        pool.keep(author, x);
        x = residual(author, x, |author, normed| {
            let (attended, next) = attention_block(author, normed, layer)?;
            written.states.extend(next);
            Ok(attended)
        })
        .unwrap();
        if author.random.once_in(2) {
            wander(author, &mut pool, 3);
        }
        let inner = author.random.pick(&[3usize, 4, 6]);
        x = residual(author, x, |author, normed| author.feed_forward(normed, inner)).unwrap();
    }
    pool.keep(author, x);
    wander(author, &mut pool, if layers == 0 { 24 } else { 8 });
    // The norm bounds the stream, whose magnitude grows with its blocks.
    let last = author.rms_norm(x).unwrap();
    let count = 1 + author.random.below(3);
    written.outputs = vec![last];
    for _ in 0..count {
        written.outputs.push(pool.pick(&mut author.random));
    }
    written
}

/// `x + block(norm(x))`, sometimes with the norm used twice or left out.
fn residual(
    author: &mut Author,
    x: ValueId,
    block: impl FnOnce(&mut Author, ValueId) -> Emitted,
) -> Emitted {
    let normed = author.rms_norm(x)?;
    let update = block(author, normed)?;
    author.commuted(BinaryOp::Add, x, update)
}

/// Attention on `x [B, S, D]`, plain or differential, with or without a cache; and what the states of
/// the cache become.
fn attention_block(
    author: &mut Author,
    x: ValueId,
    layer: usize,
) -> Result<(ValueId, Vec<ValueId>), minuend::ir::TypeError> {
    let groups = author.random.pick(&[1usize, 2]);
    let head_dim = author.random.pick(&[2usize, 4]);
    let is_differential = !author.random.once_in(3);
    let ratio = author.random.pick(&[1usize, 2]);
    let queries = groups * ratio * if is_differential { 2 } else { 1 };
    let heads = Heads { queries, groups, head_dim };
    let states = if author.random.once_in(3) {
        None
    } else {
        let shape = [author.dim("B"), groups.into(), author.dim("P"), head_dim.into()];
        let ty = TensorType::new(DType::F32, shape);
        let keys = author.graph.state(&format!("keys.{layer}"), ty.clone())?;
        Some([keys, author.graph.state(&format!("values.{layer}"), ty)?])
    };
    let operands = author.attention_operands(x, heads, states)?;
    let next = if states.is_some() { operands[1..].to_vec() } else { Vec::new() };
    let op = Attention { mask: author.mask(), scale: Real::new((head_dim as f64).powf(-0.5)) };
    let attended = if is_differential {
        author.differential_attention(x, operands, op)?
    } else {
        author.attention(operands, op)?
    };
    let (batch, tokens) = (author.dim("B"), author.dim("S"));
    let joined = author.graph.transpose(attended, &[0, 2, 1, 3])?;
    let inner = if is_differential { queries / 2 } else { queries } * head_dim;
    let joined = author.graph.reshape(joined, &[batch, tokens, inner.into()])?;
    let width = author.graph.size(x, 2).as_const().unwrap() as usize;
    Ok((author.projection(joined, width)?, next))
}

/// Adds ops on values of the pool. An op that does not fit its operands is left out.
fn wander(author: &mut Author, pool: &mut Pool, steps: usize) {
    for _ in 0..steps {
        let (x, y) = (pool.pick(&mut author.random), pool.pick(&mut author.random));
        if let Ok(value) = step(author, x, y, pool.narrow) {
            pool.keep(author, value);
        }
    }
}

fn step(author: &mut Author, x: ValueId, y: ValueId, narrow: bool) -> Emitted {
    let rank = author.graph.ty(x).rank();
    let axis = author.random.below(rank.max(1));
    match author.random.below(16) {
        0 | 1 => reshaped(author, x, axis),
        2 | 3 => {
            let mut perm: Vec<usize> = (0..rank).collect();
            for to in 1..rank {
                perm.swap(to, author.random.below(to + 1));
            }
            author.graph.transpose(x, &perm)
        }
        4 => sliced(author, x, axis),
        5 => gathered(author, x, axis),
        6 => repeated(author, x),
        7 | 8 => combined(author, x, y),
        9 => {
            // The same value computed twice.
            let op = author.random.pick(&[UnaryOp::Tanh, UnaryOp::Sigmoid, UnaryOp::Silu]);
            let (a, b) = (author.graph.unary(op, x)?, author.graph.unary(op, x)?);
            author.commuted(BinaryOp::Add, a, b)
        }
        10 => {
            // Bounded operands keep products of products in range.
            let (x, y) = (bounded(author, x)?, bounded(author, y)?);
            author.graph.matmul(x, y).or_else(|_| author.graph.matmul_transposed(x, y))
        }
        11 => {
            let kind = author.random.pick(&ReduceKind::ALL);
            author.graph.reduce(kind, axis, x)
        }
        12 if rank > 0 && author.random.once_in(2) => author.spelled_softmax(x, axis),
        12 => author.graph.softmax(axis, x),
        13 => {
            let other = if narrow { [DType::Bf16, DType::F16] } else { [DType::F32; 2] };
            let other = author.random.pick(&other);
            let x = author.graph.cast(x, other)?;
            author.graph.cast(x, DType::F32)
        }
        14 => author.graph.concat(axis, &[x, y]).or_else(|_| author.graph.concat(axis, &[x, x])),
        _ => {
            let x = bounded(author, x)?;
            let features = author.graph.ty(x).shape.last().and_then(Dim::as_const);
            if features.is_some() && rank >= 2 { author.projection(x, 4) } else { Ok(x) }
        }
    }
}

fn bounded(author: &mut Author, x: ValueId) -> Emitted {
    author.graph.unary(UnaryOp::Tanh, x)
}

fn reshaped(author: &mut Author, x: ValueId, axis: usize) -> Emitted {
    let mut shape = author.graph.ty(x).shape.clone();
    match author.random.below(4) {
        0 => shape.insert(author.random.below(shape.len() + 1), Dim::one()),
        1 => shape.retain(|size| !size.is(1)),
        2 if axis + 1 < shape.len() => {
            let inner = shape.remove(axis + 1);
            shape[axis] = &shape[axis] * &inner;
        }
        _ => {
            let outer = shape.get(axis).and_then(|size| size.exact_div(&Dim::from(2)));
            let Some(outer) = outer else { return Ok(x) };
            shape[axis] = outer;
            shape.insert(axis + 1, Dim::from(2));
        }
    }
    author.graph.reshape(x, &shape)
}

fn sliced(author: &mut Author, x: ValueId, axis: usize) -> Emitted {
    let Some(size) = author.graph.ty(x).shape.get(axis).cloned() else { return Ok(x) };
    let start = Dim::from(author.random.below(2));
    let ends = [None, Some(size.clone()), Some(&size - &Dim::one()), Some(2.into())];
    let (end, step) = (author.random.pick(&ends), author.random.pick(&[1, 1, 2, 3]));
    author.graph.slice(x, Slice { axis, start, end, step })
}

fn gathered(author: &mut Author, x: ValueId, axis: usize) -> Emitted {
    let size = author.graph.ty(x).shape.get(axis).and_then(Dim::as_const);
    if size.is_none_or(|size| size < 4) {
        return Ok(x);
    }
    let choices: [&[i64]; 6] = [&[0, 2], &[1, 3], &[0, 1, 2], &[3], &[1, 0], &[2, 2]];
    let indices = author.random.pick(&choices);
    let ty = TensorType::fixed(DType::I64, &[indices.len()]);
    let indices = Constant { ty, values: Literal::Ints(indices.into()) };
    let indices = author.graph.value(Op::Constant(indices), &[])?;
    author.graph.gather(axis, x, indices)
}

fn repeated(author: &mut Author, x: ValueId) -> Emitted {
    let mut shape = author.graph.ty(x).shape.clone();
    let tokens = author.dim("S");
    for size in shape.iter_mut().filter(|size| size.is(1)) {
        *size = author.random.pick(&[1.into(), 2.into(), tokens.clone()]);
    }
    if author.random.once_in(2) {
        shape.insert(0, author.random.pick(&[Dim::one(), 2.into()]));
    }
    author.graph.broadcast(x, &shape)
}

/// Sums, products and what is left alone in them; literals are powers of two or neutral elements.
fn combined(author: &mut Author, x: ValueId, y: ValueId) -> Emitted {
    let op = author.random.pick(&[BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul]);
    let literal = author.random.pick(&[0.0, 1.0, 2.0, 0.5, -0.25]);
    let c = author.graph.real(DType::F32, literal)?;
    let (x, y) = (bounded(author, x)?, bounded(author, y)?);
    match author.random.below(8) {
        0 => author.graph.binary(op, c, x),
        1 => {
            let c = author.graph.real(DType::F32, if literal == 0.0 { 4.0 } else { literal })?;
            author.graph.binary(BinaryOp::Div, x, c)
        }
        2 => {
            let shape = author.graph.ty(x).shape.clone();
            let c = author.graph.broadcast(c, &shape)?;
            author.graph.binary(op, x, c)
        }
        3 => author.graph.binary(op, x, c),
        4 => {
            let y = author.graph.unary(UnaryOp::Neg, y)?;
            author.commuted(BinaryOp::Add, x, y)
        }
        5 => {
            let less = author.graph.compare(minuend::ir::ops::CompareOp::Lt, x, c)?;
            author.graph.select(less, c, x)
        }
        6 => author.graph.binary(BinaryOp::Max, x, y),
        _ => author.graph.binary(op, x, y),
    }
}
