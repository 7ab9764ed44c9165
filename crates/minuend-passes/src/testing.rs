//! Runs a pass in a test and proves that it kept the graph's meaning.

use std::collections::HashMap;
use std::sync::Arc;

use minuend_interp::{Data, Tensor, evaluate};
use minuend_ir::order::topological;
use minuend_ir::verify::verify;
use minuend_ir::{Bindings, DType, Dim, Graph, GraphLevel, Op, SymbolTable, TensorType, ValueId};

use crate::{Changed, Pass, PassContext};

/// What a pass made of a graph.
pub(crate) struct Ran {
    pub(crate) graph: Graph,
    pub(crate) changed: Changed,
    pub(crate) remarks: Vec<String>,
}

impl Ran {
    /// Mnemonics of the ops in topological order, without inputs, weights, constants and the return.
    pub(crate) fn ops(&self) -> Vec<&'static str> {
        let nodes = topological(&self.graph).into_iter().map(|id| &self.graph.node(id).op);
        let is_shown = |op: &&Op| {
            !matches!(op, Op::Input(_) | Op::Weight(_) | Op::Constant(_) | Op::Return(_))
        };
        nodes.filter(is_shown).map(Op::mnemonic).collect()
    }

    /// The one op of that mnemonic.
    pub(crate) fn the(&self, mnemonic: &str) -> &Op {
        let nodes = topological(&self.graph).into_iter().map(|id| &self.graph.node(id).op);
        let found: Vec<&Op> = nodes.filter(|op| op.mnemonic() == mnemonic).collect();
        assert_eq!(found.len(), 1, "expected one {mnemonic} among {:?}", self.ops());
        found[0]
    }
}

/// Runs a pass, verifies the result, and compares the interpreter before and after on random inputs
/// with these sizes of the symbols.
pub(crate) fn run(before: &Graph, pass: &dyn Pass, sizes: &[(&str, u64)]) -> Ran {
    let mut graph = before.clone();
    let mut cx = PassContext::new(None);
    cx.enter(pass.name());
    let changed = pass.run(&mut graph, &mut cx).unwrap();
    let mut raised = graph.clone();
    raised.set_level(raised.level().max(GraphLevel::Fused));
    verify(&raised).unwrap();
    assert_same_meaning(before, &graph, sizes);
    let remarks = cx.remarks().iter().map(ToString::to_string).collect();
    Ran { graph, changed, remarks }
}

/// Panics unless both graphs give the same outputs and states, within the rounding of f64.
pub(crate) fn assert_same_meaning(before: &Graph, after: &Graph, sizes: &[(&str, u64)]) {
    let mut bindings = Bindings::new();
    for (name, size) in sizes {
        bindings.set(before.symbols().id(name).unwrap(), *size);
    }
    let mut random = Random(7);
    let inputs: Vec<Tensor> = before
        .inputs()
        .iter()
        .map(|id| random.tensor(&before.node(*id).results[0], &bindings))
        .collect();
    let mut weights: HashMap<String, Arc<Tensor>> = HashMap::new();
    for id in topological(before) {
        if let Op::Weight(weight) = &before.node(id).op {
            let [name] = weight.parts.as_slice() else { panic!("a weight of several parts") };
            let tensor = || Arc::new(random.tensor(&weight.ty, &bindings));
            weights.entry(name.to_string()).or_insert_with(tensor);
        }
    }
    let expected = evaluate(before, &inputs, &weights).unwrap();
    let found = evaluate(after, &inputs, &weights).unwrap();
    let values = |outcome: &minuend_interp::Outcome| {
        [outcome.outputs.clone(), outcome.next_states.clone()].concat()
    };
    let (expected, found) = (values(&expected), values(&found));
    assert_eq!(expected.len(), found.len());
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(expected.shape(), found.shape());
        assert_close(expected.data(), found.data());
    }
}

/// Passes reassociate products and sums of a few terms: relative 1e-9 leaves f64 some six digits.
fn assert_close(expected: &Data, found: &Data) {
    let (Data::Reals(expected), Data::Reals(found)) = (expected, found) else {
        assert_eq!(expected, found);
        return;
    };
    let largest = expected.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    for (index, (a, b)) in expected.iter().zip(found).enumerate() {
        let is_close = (a - b).abs() <= 1e-9 * largest || (a.is_nan() && b.is_nan()) || a == b;
        assert!(is_close, "element {index} was {a}, is {b}");
    }
}

/// A linear congruential generator (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    /// Reals in -1..1; integers that are distinct small positions; truth values.
    fn tensor(&mut self, ty: &TensorType, bindings: &Bindings) -> Tensor {
        let size = |dim: &minuend_ir::Dim| usize::try_from(dim.eval_size(bindings).unwrap());
        let shape: Vec<usize> = ty.shape.iter().map(|dim| size(dim).unwrap()).collect();
        let count: usize = shape.iter().product();
        let data = match ty.dtype {
            DType::F32 | DType::F16 | DType::Bf16 => {
                let real = |_| self.next() as f64 / f64::from(1u32 << 30) - 1.0;
                Data::Reals((0..count).map(real).collect())
            }
            DType::I64 | DType::I32 => {
                Data::Ints((0..count).map(|_| (self.next() % 8) as i64).collect())
            }
            DType::Bool => Data::Bools((0..count).map(|_| self.next().is_multiple_of(2)).collect()),
        };
        Tensor::new(ty.dtype, &shape, data).unwrap()
    }
}

/// A graph over the symbols `B`, `S`, `P` and `T = P + S` that returns what `build` makes.
pub(crate) fn graph_of(build: impl FnOnce(&mut Graph) -> Vec<ValueId>) -> Graph {
    let mut symbols = SymbolTable::default();
    let mut declare = |name, min| Dim::symbol(symbols.declare(name, min, 64).unwrap());
    let (_, s, p) = (declare("B", 1), declare("S", 1), declare("P", 0));
    symbols.define("T", &p + &s).unwrap();
    let mut graph = Graph::new("g", symbols);
    let outputs = build(&mut graph);
    graph.set_return(&outputs, &[]).unwrap();
    graph
}

/// The size of that name.
pub(crate) fn dim(graph: &Graph, name: &str) -> Dim {
    graph.symbols().lookup(name).unwrap()
}
