//! Small attentions: their operands in global memory, and what the interpreter says of them.

use minuend::ir::DType;
use minuend::ir::text::parse;
use minuend_interp::{Tensor, Weights, evaluate};

use super::element::Element;
use super::global_memory::GlobalTensor;
use crate::random::Random;
use crate::schedule::{TileOrder, VisibleKeys};
use crate::shape::{ROWS, Shape, Work};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mask {
    Full,
    Causal,
    Window(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Problem {
    pub(crate) work: Work,
    pub(crate) element: Element,
    pub(crate) head_dim: usize,
    pub(crate) batches: usize,
    pub(crate) query_heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) mask: Mask,
    /// Thread blocks of the grid.
    pub(crate) blocks: usize,
    pub(crate) seed: u64,
}

pub(crate) struct Operands {
    pub(crate) q: GlobalTensor,
    pub(crate) k: GlobalTensor,
    pub(crate) v: GlobalTensor,
    /// One column; no head without a difference.
    pub(crate) lambda: GlobalTensor,
}

impl Problem {
    pub(crate) fn shape(&self) -> Shape {
        Shape::of(self.head_dim, self.work)
    }

    pub(crate) fn is_difference(&self) -> bool {
        self.work == Work::Difference
    }

    pub(crate) fn out_heads(&self) -> usize {
        if self.is_difference() { self.query_heads / 2 } else { self.query_heads }
    }

    pub(crate) fn softmax_scale(&self) -> f64 {
        1.0 / (self.head_dim as f64).sqrt()
    }

    pub(crate) fn visible(&self) -> VisibleKeys {
        let reach = if self.mask == Mask::Full { self.keys } else { self.keys - self.queries };
        let window = match self.mask {
            Mask::Window(window) => window as i64,
            Mask::Full | Mask::Causal => i64::from(i32::MAX),
        };
        VisibleKeys { keys: self.keys as i64, reach: reach as i64, window }
    }

    pub(crate) fn order(&self) -> TileOrder {
        TileOrder {
            work: self.work,
            row_tiles: self.queries.div_ceil(self.work.tokens()),
            units: self.query_heads / self.work.heads(),
            batches: self.batches,
            section: 2,
        }
    }

    /// Random operands. Keys are longer the earlier their block is, so that maxima grow as blocks are
    /// taken from the last on; some by much, some by little.
    pub(crate) fn operands(&self) -> Operands {
        let mut random = Random::new(self.seed);
        let Problem { head_dim, batches, query_heads, kv_heads, queries, keys, .. } = *self;
        let tokens_outside = random.one_in(2);
        let mut filled = |sizes, scale: &dyn Fn(usize) -> f32| {
            let mut tensor = GlobalTensor::new(sizes, tokens_outside);
            for index in tensor.indices() {
                let value = random.signed() * scale(index[1]);
                tensor.set(index, self.element.encode(value));
            }
            tensor
        };
        let growing = |key: usize| 1.0 + 3.0 / (1 + key / ROWS) as f32;
        let gates = if self.is_difference() { self.out_heads() } else { 0 };
        Operands {
            q: filled([head_dim, queries, query_heads, batches], &|_| 3.0),
            k: filled([head_dim, keys, kv_heads, batches], &growing),
            v: filled([head_dim, keys, kv_heads, batches], &|_| 1.0),
            lambda: filled([1, queries, gates, batches], &|_| 4.0),
        }
    }

    fn tensor(&self, tensor: &GlobalTensor, change: impl Fn(f64) -> f64) -> Tensor {
        let [columns, tokens, heads, batches] = tensor.sizes;
        let values = tensor.indices().map(|index| self.element.decode(tensor.get(index)));
        let values = values.map(|value| change(f64::from(value))).collect();
        Tensor::from_reals(self.dtype(), &[batches, heads, tokens, columns], values).unwrap()
    }

    fn dtype(&self) -> DType {
        if self.element == Element::Bf16 { DType::Bf16 } else { DType::F16 }
    }

    /// What the interpreter gives, `[batches, heads, queries, head_dim]`, and for every element the
    /// attention over the magnitudes of values, both heads' added: what errors are measured in.
    pub(crate) fn expected(&self, operands: &Operands) -> (Vec<f64>, Vec<f64>) {
        let q = self.tensor(&operands.q, |x| x);
        let k = self.tensor(&operands.k, |x| x);
        let v = self.tensor(&operands.v, |x| x);
        let magnitudes = self.tensor(&operands.v, f64::abs);
        let attention = |v: &Tensor| self.evaluated("attention", &[&q, &k, v]);
        let scales = attention(&magnitudes);
        if !self.is_difference() {
            return (attention(&v), scales);
        }
        let lambda = self.tensor(&operands.lambda, |x| x);
        let expected = self.evaluated("diff_attention", &[&q, &k, &v, &lambda]);
        let gates = lambda.reals().unwrap().iter().map(|x| 1.0 / (1.0 + (-x).exp()));
        let gates: Vec<f64> = gates.collect();
        let head = self.queries * self.head_dim;
        let scales = (0..expected.len())
            .map(|at| {
                let signal = scales[at / head * 2 * head + at % head];
                let noise = scales[(at / head * 2 + 1) * head + at % head];
                signal + gates[at / self.head_dim] * noise
            })
            .collect();
        (expected, scales)
    }

    fn evaluated(&self, op: &str, operands: &[&Tensor]) -> Vec<f64> {
        let is_difference = op == "diff_attention";
        let names = ["%q", "%k", "%v", "%l"];
        let ty = |sizes: &[usize]| {
            let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
            format!("{}[{}]", self.element.name(), sizes.join(", "))
        };
        let declared: Vec<String> = operands
            .iter()
            .zip(names)
            .map(|(operand, name)| format!("{name}: {}", ty(operand.shape())))
            .collect();
        let mask = match self.mask {
            Mask::Full => "full".to_string(),
            Mask::Causal => "causal".to_string(),
            Mask::Window(window) => format!("window({window})"),
        };
        let pairing = if is_difference { "pairing = interleaved, " } else { "" };
        let heads = if is_difference { self.out_heads() } else { self.query_heads };
        let source = format!(
            "graph @g({}) {{\n  %o = {op} {} {{mask = {mask}, {pairing}scale = {:?}}} : {}\n  return %o\n}}",
            declared.join(", "),
            names[..operands.len()].join(", "),
            self.softmax_scale(),
            ty(&[self.batches, heads, self.queries, self.head_dim]),
        );
        let graphs = parse(&source).unwrap_or_else(|e| panic!("{}", e.render("graph", &source)));
        let operands: Vec<Tensor> = operands.iter().map(|operand| (*operand).clone()).collect();
        let weights = std::collections::HashMap::<String, std::sync::Arc<Tensor>>::new();
        let outcome = evaluate(&graphs[0], &operands, &weights as &dyn Weights).unwrap();
        outcome.outputs[0].reals().unwrap().to_vec()
    }

    /// The logarithm of the sum of exponentials of a row's visible scores.
    pub(crate) fn logsumexp(&self, operands: &Operands, row: [usize; 3]) -> f64 {
        let [query, head, batch] = row;
        let kv_head = head / (self.query_heads / self.kv_heads);
        let visible = self.visible();
        let value = |bits| f64::from(self.element.decode(bits));
        let scores = (visible.first(query)..visible.end(query)).map(|key| {
            let products = (0..self.head_dim).map(|column| {
                value(operands.q.get([column, query, head, batch]))
                    * value(operands.k.get([column, key, kv_head, batch]))
            });
            products.sum::<f64>() * self.softmax_scale()
        });
        let scores: Vec<f64> = scores.collect();
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        top + scores.iter().map(|score| (score - top).exp()).sum::<f64>().ln()
    }
}
