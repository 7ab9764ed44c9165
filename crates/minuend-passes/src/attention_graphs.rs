//! Graphs of attention in primitive ops, as exporters spell it, for tests of the passes that raise it.

use minuend_ir::ops::{BinaryOp, CompareOp};
use minuend_ir::{DType, Dim, Emit, Graph, SymbolTable, TensorType, ValueId};

/// Sizes under which meanings are compared: a batch of two, an odd number of queries, past tokens.
pub(crate) const SIZES: [(&str, u64); 3] = [("B", 2), ("S", 5), ("P", 3)];

/// A graph under construction with symbols `B`, `S`, `P` and `T = P + S`.
pub(crate) struct Drawing {
    pub(crate) graph: Graph,
    pub(crate) b: Dim,
    pub(crate) s: Dim,
    pub(crate) p: Dim,
    pub(crate) t: Dim,
}

impl Drawing {
    pub(crate) fn new() -> Drawing {
        let mut symbols = SymbolTable::default();
        let b = Dim::symbol(symbols.declare("B", 1, 8).unwrap());
        let s = Dim::symbol(symbols.declare("S", 1, 64).unwrap());
        let p = Dim::symbol(symbols.declare("P", 0, 64).unwrap());
        let t = &p + &s;
        symbols.define("T", t.clone()).unwrap();
        let mut graph = Graph::new("drawing", symbols);
        // The interpreter learns sizes from the shapes of inputs: this one tells it `P`.
        graph.argument("past", TensorType::new(DType::F32, [p.clone()])).unwrap();
        Drawing { graph, b, s, p, t }
    }

    pub(crate) fn input(&mut self, name: &str, shape: &[Dim]) -> ValueId {
        self.typed_input(name, DType::F32, shape)
    }

    pub(crate) fn typed_input(&mut self, name: &str, dtype: DType, shape: &[Dim]) -> ValueId {
        self.graph.argument(name, TensorType::new(dtype, shape.iter().cloned())).unwrap()
    }

    /// `[B, heads, S, 4]`.
    pub(crate) fn queries(&mut self, heads: i64) -> ValueId {
        let shape = [self.b.clone(), heads.into(), self.s.clone(), 4.into()];
        self.input("q", &shape)
    }

    /// `k [B, groups, T, 4]` and `v [B, groups, T, 3]`.
    pub(crate) fn keys_and_values(&mut self, groups: i64) -> (ValueId, ValueId) {
        let shape = |d: i64| [self.b.clone(), groups.into(), self.t.clone(), d.into()];
        let (k, v) = (shape(4), shape(3));
        (self.input("k", &k), self.input("v", &v))
    }

    /// Query and key positions: `[S, 1]` and `[T]`.
    pub(crate) fn positions(&mut self) -> (ValueId, ValueId) {
        let g = &mut self.graph;
        let row = g.iota(self.s.clone()).unwrap();
        let past = g.dim(self.p.clone()).unwrap();
        let row = g.add_values(row, past).unwrap();
        let row = g.reshape(row, &[self.s.clone(), Dim::one()]).unwrap();
        (row, g.iota(self.t.clone()).unwrap())
    }

    /// `key <= query`, `[S, T]`.
    pub(crate) fn causal(&mut self) -> ValueId {
        let (row, column) = self.positions();
        self.graph.compare(CompareOp::Le, column, row).unwrap()
    }

    /// `query - window < key <= query`, `[S, T]`.
    pub(crate) fn window(&mut self, window: i64) -> ValueId {
        let causal = self.causal();
        let (row, column) = self.positions();
        let g = &mut self.graph;
        let window = g.int(window).unwrap();
        let oldest = g.sub(row, window).unwrap();
        let recent = g.compare(CompareOp::Gt, column, oldest).unwrap();
        g.binary(BinaryOp::And, causal, recent).unwrap()
    }

    pub(crate) fn real(&mut self, value: f64) -> ValueId {
        self.graph.real(DType::F32, value).unwrap()
    }

    /// The scores where the truth value holds, else `-inf`.
    pub(crate) fn masked(&mut self, visible: ValueId, scores: ValueId) -> ValueId {
        let hidden = self.real(f64::NEG_INFINITY);
        self.graph.select(visible, scores, hidden).unwrap()
    }

    /// `0.5 q k^T`.
    pub(crate) fn scores(&mut self, q: ValueId, k: ValueId) -> ValueId {
        let product = self.graph.matmul_transposed(q, k).unwrap();
        let scale = self.real(0.5);
        self.graph.mul(product, scale).unwrap()
    }

    /// Softmax over the last axis.
    pub(crate) fn softmax(&mut self, scores: ValueId) -> ValueId {
        let last = self.graph.ty(scores).rank() - 1;
        self.graph.softmax(last, scores).unwrap()
    }

    /// Causal attention weights of queries `[B, H, S, 4]` over keys `[B, g, T, 4]`, the keys repeated.
    pub(crate) fn causal_weights(&mut self, q: ValueId, k: ValueId) -> ValueId {
        let k = self.repeated(k, q);
        let scores = self.scores(q, k);
        let visible = self.causal();
        let scores = self.masked(visible, scores);
        self.softmax(scores)
    }

    /// Grouped keys or values repeated to one for each head of `q`.
    pub(crate) fn repeated(&mut self, grouped: ValueId, q: ValueId) -> ValueId {
        let heads = self.graph.size(q, 1);
        let repeat = heads.exact_div(&self.graph.size(grouped, 1)).unwrap();
        self.graph.repeat_interleaved(grouped, 1, &repeat).unwrap()
    }

    /// Causal attention in primitive ops.
    pub(crate) fn causal_attention(&mut self, q: ValueId, k: ValueId, v: ValueId) -> ValueId {
        let weights = self.causal_weights(q, k);
        let v = self.repeated(v, q);
        self.graph.matmul(weights, v).unwrap()
    }

    /// The finished graph.
    pub(crate) fn returning(mut self, outputs: &[ValueId]) -> Graph {
        self.graph.set_return(outputs, &[]).unwrap();
        self.graph
    }
}
