//! The idioms of language models spelled in primitive ops, in one of several ways each, as front ends
//! spell them. Some spellings the passes recognise, others they must leave alone.

use minuend::ir::decompose::{decompose, rope_frequencies, visible_keys};
use minuend::ir::ops::{
    Attention, BinaryOp, CompareOp, Constant, Literal, Mask, ReduceKind, RmsNorm, Rope, RopeLayout,
    Slice, UnaryOp,
};
use minuend::ir::{DType, Dim, Emit, Emitted, Graph, Op, Real, TensorType, ValueId};
use minuend_interp::Tensor;

use minuend_conform::random_values::{RandomValues, Values};
use minuend_conform::weight_table::WeightTable;

/// Writes a graph by making random choices.
pub struct Author {
    /// The graph so far.
    pub graph: Graph,
    /// Where choices come from.
    pub random: RandomValues,
    /// Data of the weights so far.
    pub weights: WeightTable,
    weight_count: usize,
}

/// Heads of an attention.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Query heads.
    pub queries: usize,
    /// Key/value heads.
    pub groups: usize,
    /// Features of each, even.
    pub head_dim: usize,
}

impl Author {
    /// An author of a graph that has no nodes yet.
    pub fn new(graph: Graph, random: RandomValues) -> Author {
        Author { graph, random, weights: WeightTable::default(), weight_count: 0 }
    }

    /// The size of that name.
    pub fn dim(&self, name: &str) -> Dim {
        self.graph.symbols().lookup(name).unwrap()
    }

    /// A weight of reals in -1..1, in a random float type, widened to f32.
    pub fn weight(&mut self, shape: &[usize]) -> Emitted {
        let dtype = self.random.pick(&[DType::F32, DType::F32, DType::Bf16, DType::F16]);
        let tensor: Tensor = self.random.tensor(dtype, shape, &Values::Within(1.0)).unwrap();
        let name = format!("w{}", self.weight_count);
        self.weight_count += 1;
        self.weights.insert(&name, tensor);
        let weight = self.graph.weight(&name, TensorType::fixed(dtype, shape))?;
        self.graph.cast(weight, DType::F32)
    }

    /// `a op b`, or the other way round where that is the same.
    pub fn commuted(&mut self, op: BinaryOp, a: ValueId, b: ValueId) -> Emitted {
        if op.is_commutative() && self.random.once_in(2) {
            return self.graph.binary(op, b, a);
        }
        self.graph.binary(op, a, b)
    }

    fn real(&mut self, value: f64) -> Emitted {
        self.graph.real(DType::F32, value)
    }

    /// `x W^T`, the weight stored either way.
    pub fn projection(&mut self, x: ValueId, outputs: usize) -> Emitted {
        let inputs = self.graph.ty(x).shape.last().unwrap().as_const().unwrap() as usize;
        match self.random.below(4) {
            0 => {
                let weight = self.weight(&[inputs, outputs])?;
                self.graph.matmul(x, weight)
            }
            1 => {
                let weight = self.weight(&[outputs, inputs])?;
                self.graph.matmul_transposed(x, weight)
            }
            _ => {
                let weight = self.weight(&[outputs, inputs])?;
                let weight = self.graph.swap_last_axes(weight)?;
                self.graph.matmul(x, weight)
            }
        }
    }

    /// `x * rsqrt(mean(x^2) + epsilon) * w` over the last axis.
    pub fn rms_norm(&mut self, x: ValueId) -> Emitted {
        let shape = self.graph.ty(x).shape.clone();
        let axis = shape.len() - 1;
        let features = shape[axis].as_const().unwrap() as usize;
        let weight = self.weight(&[features])?;
        if self.random.once_in(2) {
            let op = Op::RmsNorm(RmsNorm { epsilon: Real::new(1e-5) });
            return Ok(decompose(&op, &[x, weight], &mut self.graph)?.unwrap()[0]);
        }
        let square = if self.random.once_in(2) {
            let two = self.real(2.0)?;
            self.graph.binary(BinaryOp::Pow, x, two)?
        } else {
            self.graph.mul(x, x)?
        };
        let mean = if self.random.once_in(3) {
            let sum = self.graph.reduce(ReduceKind::Sum, axis, square)?;
            let count = self.real(features as f64)?;
            self.graph.binary(BinaryOp::Div, sum, count)?
        } else {
            self.graph.reduce(ReduceKind::Mean, axis, square)?
        };
        let epsilon = self.real(1e-5)?;
        let mean = self.commuted(BinaryOp::Add, mean, epsilon)?;
        let normed = match self.random.below(3) {
            0 => {
                let root = self.graph.unary(UnaryOp::Sqrt, mean)?;
                self.graph.binary(BinaryOp::Div, x, root)?
            }
            1 => {
                let root = self.graph.unary(UnaryOp::Sqrt, mean)?;
                let factor = self.graph.unary(UnaryOp::Reciprocal, root)?;
                self.commuted(BinaryOp::Mul, x, factor)?
            }
            _ => {
                let factor = self.graph.unary(UnaryOp::Rsqrt, mean)?;
                self.commuted(BinaryOp::Mul, x, factor)?
            }
        };
        self.commuted(BinaryOp::Mul, normed, weight)
    }

    /// `down(silu(gate x) * up x)`.
    pub fn feed_forward(&mut self, x: ValueId, inner: usize) -> Emitted {
        let outputs = self.graph.ty(x).shape.last().unwrap().as_const().unwrap() as usize;
        let (gate, up) = if self.random.once_in(3) {
            let both = self.projection(x, 2 * inner)?;
            let axis = self.graph.ty(both).rank() - 1;
            let gate = self.graph.slice(both, Slice::range(axis, 0, inner))?;
            (gate, self.graph.slice(both, Slice::range(axis, inner, 2 * inner))?)
        } else {
            (self.projection(x, inner)?, self.projection(x, inner)?)
        };
        let active = if self.random.once_in(2) {
            self.graph.unary(UnaryOp::Silu, gate)?
        } else {
            let sigmoid = self.graph.unary(UnaryOp::Sigmoid, gate)?;
            self.commuted(BinaryOp::Mul, gate, sigmoid)?
        };
        let gated = self.commuted(BinaryOp::Mul, active, up)?;
        self.projection(gated, outputs)
    }

    /// `0 .. S` behind the past: `i64 [S]`.
    pub fn positions(&mut self) -> Emitted {
        let (tokens, past) = (self.dim("S"), self.dim("P"));
        let index = self.graph.iota(tokens)?;
        let past = self.graph.dim(past)?;
        self.commuted(BinaryOp::Add, index, past)
    }

    /// `x [B, heads, S, d]` rotated by position.
    pub fn rope(&mut self, x: ValueId, layout: RopeLayout) -> Emitted {
        let positions = self.positions()?;
        let op = Op::Rope(Rope { layout, theta: Real::new(1e4) });
        if self.random.once_in(4) {
            return self.graph.value(op, &[x, positions]);
        }
        if layout == RopeLayout::HalfSplit && !self.random.once_in(3) {
            return self.rope_from_tables(x, positions);
        }
        Ok(decompose(&op, &[x, positions], &mut self.graph)?.unwrap()[0])
    }

    /// As [`Author::rope`] by halves, with rows of stored tables `[positions, d/2]` or `[positions, d]`.
    fn rope_from_tables(&mut self, x: ValueId, positions: ValueId) -> Emitted {
        let head_dim = self.graph.size(x, 3).as_const().unwrap() as usize;
        let half = head_dim / 2;
        let is_full = self.random.once_in(2);
        let mut frequencies: Vec<f64> = rope_frequencies(1e4, head_dim).collect();
        if is_full {
            frequencies.extend_from_within(..);
        }
        let width = frequencies.len();
        let rows = self.random.pick(&[1024i64, 40_000]);
        let g = &mut self.graph;
        let row = g.iota(rows.into())?;
        let row = g.cast(row, DType::F32)?;
        let row = g.reshape(row, &[rows.into(), Dim::one()])?;
        let frequencies = g.reals(DType::F32, &frequencies)?;
        let angles = g.mul(row, frequencies)?;
        let (cos, sin) = (g.unary(UnaryOp::Cos, angles)?, g.unary(UnaryOp::Sin, angles)?);
        let [cos, sin] = if self.random.once_in(3) {
            let both = self.graph.concat(1, &[cos, sin])?;
            let both = self.rows_at(both, positions)?;
            let part = |start: usize| Slice::range(1, start, start + width);
            [self.graph.slice(both, part(0))?, self.graph.slice(both, part(width))?]
        } else {
            [self.rows_at(cos, positions)?, self.rows_at(sin, positions)?]
        };
        let g = &mut self.graph;
        let first = g.slice(x, Slice::range(3, 0, half))?;
        let second = g.slice(x, Slice::range(3, half, head_dim))?;
        if is_full {
            let negative = g.unary(UnaryOp::Neg, second)?;
            let turned = g.concat(3, &[negative, first])?;
            let (kept, turned) = (g.mul(x, cos)?, g.mul(turned, sin)?);
            return g.add_values(kept, turned);
        }
        let (first_cos, second_sin) = (g.mul(first, cos)?, g.mul(second, sin)?);
        let (first_sin, second_cos) = (g.mul(first, sin)?, g.mul(second, cos)?);
        let low = g.sub(first_cos, second_sin)?;
        let high = g.add_values(second_cos, first_sin)?;
        g.concat(3, &[low, high])
    }

    /// The rows of a table that belong to the positions `P ..`, by index or as a range.
    fn rows_at(&mut self, table: ValueId, positions: ValueId) -> Emitted {
        let (tokens, past) = (self.dim("S"), self.dim("P"));
        if self.random.once_in(2) {
            self.graph.gather(0, table, positions)
        } else {
            self.graph.slice(table, Slice::range(0, past.clone(), &past + &tokens))
        }
    }

    /// A projection of `x [B, S, D]` as heads: `[B, heads, S, d]`.
    fn heads(&mut self, x: ValueId, heads: usize, head_dim: usize) -> Emitted {
        let (batch, tokens) = (self.dim("B"), self.dim("S"));
        let flat = self.projection(x, heads * head_dim)?;
        let apart = [batch, tokens, heads.into(), head_dim.into()];
        let apart = self.graph.reshape(flat, &apart)?;
        self.graph.transpose(apart, &[0, 2, 1, 3])
    }

    /// Query, key and value of an attention from `x [B, S, D]`, keys and values `[B, groups, tokens, d]`
    /// behind cached ones where `states` are given. Returns what the states become.
    pub fn attention_operands(
        &mut self,
        x: ValueId,
        heads: Heads,
        states: Option<[ValueId; 2]>,
    ) -> Result<[ValueId; 3], minuend::ir::TypeError> {
        let Heads { queries, groups, head_dim } = heads;
        let mut q = self.heads(x, queries, head_dim)?;
        let mut k = self.heads(x, groups, head_dim)?;
        let mut v = self.heads(x, groups, head_dim)?;
        if self.random.once_in(2) {
            let layout = self.random.pick(&[RopeLayout::Interleaved, RopeLayout::HalfSplit]);
            (q, k) = (self.rope(q, layout)?, self.rope(k, layout)?);
        }
        if let Some([keys, values]) = states {
            k = self.graph.concat(2, &[keys, k])?;
            v = self.graph.concat(2, &[values, v])?;
        }
        Ok([q, k, v])
    }

    /// Scores that count where a key is seen, in one of the spellings of exporters.
    fn masked(&mut self, scores: ValueId, seen: ValueId) -> Emitted {
        let hidden = self.real(f64::NEG_INFINITY)?;
        let (zero, one) = (self.real(0.0)?, self.real(1.0)?);
        let spelling = self.random.below(9);
        let g = &mut self.graph;
        let mask = match spelling {
            0 => g.select(seen, zero, hidden)?,
            1 => {
                let unseen = g.unary(UnaryOp::Not, seen)?;
                return g.select(unseen, hidden, scores);
            }
            // A triangle of ones that is compared with zero.
            2 => {
                let ones = g.select(seen, one, zero)?;
                let unseen = g.compare(CompareOp::Eq, ones, zero)?;
                g.select(unseen, hidden, zero)?
            }
            // `(1 - seen) * least`.
            3 => {
                let seen = g.cast(seen, DType::F32)?;
                let unseen = g.sub(one, seen)?;
                let least = self.real(-6e34)?;
                self.commuted(BinaryOp::Mul, unseen, least)?
            }
            4 => {
                let seen = g.cast(seen, DType::I64)?;
                let one = g.int(1)?;
                let unseen = g.compare(CompareOp::Lt, seen, one)?;
                return g.select(unseen, hidden, scores);
            }
            // A product of truth values as numbers.
            5 => {
                let seen = g.cast(seen, DType::F32)?;
                let both = g.mul(seen, seen)?;
                let both = g.cast(both, DType::Bool)?;
                let unseen = g.unary(UnaryOp::Not, both)?;
                g.select(unseen, hidden, zero)?
            }
            // Hugging Face: what is not seen as a number, filled where it is true.
            6 => {
                let seen = g.cast(seen, DType::F32)?;
                let unseen = g.sub(one, seen)?;
                let is_unseen = g.cast(unseen, DType::Bool)?;
                g.select(is_unseen, hidden, unseen)?
            }
            _ => return g.select(seen, scores, hidden),
        };
        self.commuted(BinaryOp::Add, scores, mask)
    }

    /// `softmax(scale * q k^T + mask)`, the keys grouped: `[B, heads, S, T]`.
    pub fn attention_weights(&mut self, q: ValueId, k: ValueId, op: Attention) -> Emitted {
        let scale = self.real(op.scale.get())?;
        let (mut q, mut k) = (q, self.expanded(k, q)?);
        let scaled = self.random.below(4);
        if scaled == 0 {
            q = self.commuted(BinaryOp::Mul, q, scale)?;
        } else if scaled == 1 {
            k = self.commuted(BinaryOp::Mul, k, scale)?;
        }
        let mut scores = if self.random.once_in(2) {
            self.graph.matmul_transposed(q, k)?
        } else {
            let k = self.graph.swap_last_axes(k)?;
            self.graph.matmul(q, k)?
        };
        if scaled == 2 {
            let divisor = self.real(1.0 / op.scale.get())?;
            scores = self.graph.binary(BinaryOp::Div, scores, divisor)?;
        } else if scaled == 3 {
            scores = self.commuted(BinaryOp::Mul, scores, scale)?;
        }
        let (tokens, keys) = (self.graph.size(q, 2), self.graph.size(k, 2));
        if let Some(seen) = visible_keys(op.mask, &tokens, &keys, &mut self.graph)? {
            scores = self.masked(scores, seen)?;
        }
        if self.random.once_in(3) {
            return self.spelled_softmax(scores, 3);
        }
        let weights = self.graph.softmax(3, scores)?;
        if self.random.once_in(2) {
            let is_nan = self.graph.compare(CompareOp::Ne, weights, weights)?;
            let zero = self.real(0.0)?;
            return self.graph.select(is_nan, zero, weights);
        }
        Ok(weights)
    }

    /// `e^(x - max) / sum e^(x - max)`.
    pub fn spelled_softmax(&mut self, x: ValueId, axis: usize) -> Emitted {
        let most = self.graph.reduce(ReduceKind::Max, axis, x)?;
        let shifted = self.graph.sub(x, most)?;
        let powers = self.graph.unary(UnaryOp::Exp, shifted)?;
        let sum = self.graph.reduce(ReduceKind::Sum, axis, powers)?;
        self.graph.binary(BinaryOp::Div, powers, sum)
    }

    /// Keys or values `[B, groups, T, d]` repeated to as many heads as the queries have.
    pub fn expanded(&mut self, x: ValueId, q: ValueId) -> Emitted {
        let times = self.graph.size(q, 1).exact_div(&self.graph.size(x, 1)).unwrap();
        self.graph.repeat_interleaved(x, 1, &times)
    }

    /// `softmax(scale * q k^T + mask) v`.
    pub fn attention(&mut self, [q, k, v]: [ValueId; 3], op: Attention) -> Emitted {
        let weights = self.attention_weights(q, k, op)?;
        let v = self.expanded(v, q)?;
        self.graph.matmul(weights, v)
    }

    /// Heads `[B, h, S, d]` of one kind: even or odd ones, or one half of them.
    fn some_heads(&mut self, x: ValueId, selection: usize, second: usize) -> Emitted {
        let heads = self.graph.size(x, 1).as_const().unwrap() as usize;
        let first =
            |at: usize| if selection == 3 { second * heads / 2 + at } else { 2 * at + second };
        match selection {
            0 => self.graph.slice(x, Slice::strided(1, second, 2)),
            1 => {
                let mut pairs = self.graph.ty(x).shape.clone();
                pairs[1] = Dim::from(heads / 2);
                let one = pairs.clone();
                pairs.insert(2, 2.into());
                let pairs = self.graph.reshape(x, &pairs)?;
                let half = self.graph.slice(pairs, Slice::range(2, second, second + 1))?;
                self.graph.reshape(half, &one)
            }
            _ => {
                let indices: Vec<i64> = (0..heads / 2).map(|at| first(at) as i64).collect();
                let ty = TensorType::fixed(DType::I64, &[indices.len()]);
                let indices = Constant { ty, values: Literal::Ints(indices.into()) };
                let indices = self.graph.value(Op::Constant(indices), &[])?;
                self.graph.gather(1, x, indices)
            }
        }
    }

    /// The difference of attentions with a gate projected from `x [B, S, D]`: `[B, pairs, S, d]`.
    pub fn differential_attention(
        &mut self,
        x: ValueId,
        [q, k, v]: [ValueId; 3],
        op: Attention,
    ) -> Emitted {
        let pairs = self.graph.size(q, 1).as_const().unwrap() as usize / 2;
        let lambda = self.projection(x, pairs)?;
        // The gate is on [B, S, pairs] or, hoisted, behind the change of layout.
        let early = self.random.once_in(2);
        let lambda = if early { self.graph.unary(UnaryOp::Sigmoid, lambda)? } else { lambda };
        let lambda = self.graph.transpose(lambda, &[0, 2, 1])?;
        let mut column = self.graph.ty(lambda).shape.clone();
        column.push(Dim::one());
        let lambda = self.graph.reshape(lambda, &column)?;
        let gate = if early { lambda } else { self.graph.unary(UnaryOp::Sigmoid, lambda)? };
        // The fourth selection pairs the halves, which only one K/V group makes the same attention.
        let selection = self.random.pick(&[0, 0, 0, 1, 2, 3]);
        let (first, second) = match self.random.below(3) {
            0 if self.graph.size(k, 1).is(1) => {
                // Two attentions, of the queries of each kind.
                let even = self.some_heads(q, selection, 0)?;
                let odd = self.some_heads(q, selection, 1)?;
                (self.attention([even, k, v], op)?, self.attention([odd, k, v], op)?)
            }
            1 => {
                // One product with the values, of the difference of the weights.
                let weights = self.attention_weights(q, k, op)?;
                let even = self.some_heads(weights, selection, 0)?;
                let odd = self.some_heads(weights, selection, 1)?;
                let gated = self.commuted(BinaryOp::Mul, gate, odd)?;
                let difference = self.graph.sub(even, gated)?;
                let v = self.expanded(v, difference)?;
                return self.graph.matmul(difference, v);
            }
            _ => {
                let both = self.attention([q, k, v], op)?;
                (self.some_heads(both, selection, 0)?, self.some_heads(both, selection, 1)?)
            }
        };
        let gated = self.commuted(BinaryOp::Mul, gate, second)?;
        self.graph.sub(first, gated)
    }

    /// A random mask; those of tokens by their position need as many keys as queries.
    pub fn mask(&mut self) -> Mask {
        let window = 1 + self.random.below(4) as u32;
        self.random.pick(&[Mask::Causal, Mask::Causal, Mask::Full, Mask::SlidingWindow { window }])
    }
}
