//! A small graph with inputs, and how exactly a device must compute it.

use minuend::ir::ops::{UnaryOp, Weight};
use minuend::ir::{
    Bindings, DType, Dim, Emit, Graph, GraphLevel, Op, SymbolTable, TensorType, ValueId,
};
use minuend_interp::Tensor;

use crate::random_values::{RandomValues, Values};
use crate::weight_table::WeightTable;

/// Largest value of every symbol of a problem.
const LARGEST: u64 = 256;

/// Sizes of the symbols in one run.
pub type Sizes<'a> = &'a [(&'a str, u64)];

/// How far an output may be from the interpreter's, per element: `units * 2^-24 * magnitude`, where
/// 2^-24 is the rounding of one f32 operation.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// For the graph as it is and for the graph that the passes raise.
    pub fused: f64,
    /// For the graph with its fused ops decomposed.
    pub decomposed: f64,
}

/// A graph that a device must compute as the interpreter does.
pub struct Problem {
    /// What fails if the test fails.
    pub name: String,
    /// The graph.
    pub graph: Graph,
    /// The same graph, returning the magnitude to which each output's error is compared: a tensor of
    /// the output's shape, or of one element.
    pub magnitudes: Graph,
    /// For each output.
    pub tolerances: Vec<Tolerance>,
    /// Arguments of each run. All runs are of one session.
    pub runs: Vec<Vec<Tensor>>,
    /// Trained tensors.
    pub weights: WeightTable,
    /// How many launches of an op the plan must have, for ops of interest.
    pub launches: Vec<(&'static str, usize)>,
}

/// Builds a [`Problem`].
pub struct ProblemBuilder {
    /// The graph so far. Inputs and weights are added through the builder.
    pub graph: Graph,
    random: RandomValues,
    values: Vec<(DType, ValueId, Values)>,
    outputs: Vec<ValueId>,
    magnitudes: Vec<ValueId>,
    tolerances: Vec<Tolerance>,
    next_states: Vec<ValueId>,
    weights: WeightTable,
    launches: Vec<(&'static str, usize)>,
}

impl ProblemBuilder {
    /// An empty problem over the symbols `B` and `S`.
    pub fn new(name: &str) -> ProblemBuilder {
        let mut symbols = SymbolTable::default();
        symbols.declare("B", 1, LARGEST).unwrap();
        symbols.declare("S", 1, LARGEST).unwrap();
        let seed = name.bytes().fold(7u64, |seed, byte| seed * 31 % (1 << 40) + u64::from(byte));
        ProblemBuilder {
            graph: Graph::new(name, symbols),
            random: RandomValues::new(seed),
            values: Vec::new(),
            outputs: Vec::new(),
            magnitudes: Vec::new(),
            tolerances: Vec::new(),
            next_states: Vec::new(),
            weights: WeightTable::default(),
            launches: Vec::new(),
        }
    }

    /// An empty problem over the symbols `B`, `S`, `P` and `T = P + S`.
    pub fn with_past(name: &str) -> ProblemBuilder {
        let mut builder = ProblemBuilder::new(name);
        let symbols = builder.graph.symbols_mut();
        let tokens = symbols.lookup("S").unwrap();
        let past = Dim::symbol(symbols.declare("P", 0, LARGEST).unwrap());
        symbols.define("T", &past + &tokens).unwrap();
        builder
    }

    /// A shape from its sizes in words: `B S 64`.
    pub fn shape(&self, sizes: &str) -> Vec<Dim> {
        let size = |word: &str| match word.parse::<usize>() {
            Ok(number) => Dim::from(number),
            Err(_) => self.graph.symbols().lookup(word).unwrap(),
        };
        sizes.split_whitespace().map(size).collect()
    }

    /// An argument.
    pub fn argument(&mut self, name: &str, dtype: DType, shape: &str, values: Values) -> ValueId {
        let ty = TensorType::new(dtype, self.shape(shape));
        let value = self.graph.argument(name, ty).unwrap();
        self.values.push((dtype, value, values));
        value
    }

    /// An f32 argument of reals in -2..2.
    pub fn reals(&mut self, name: &str, shape: &str) -> ValueId {
        self.argument(name, DType::F32, shape, Values::Within(2.0))
    }

    /// A state, which starts without elements along its growing axis.
    pub fn state(&mut self, name: &str, shape: &str) -> ValueId {
        let ty = TensorType::new(DType::F32, self.shape(shape));
        self.graph.state(name, ty).unwrap()
    }

    /// The next value of the next state in order of declaration.
    pub fn next_state(&mut self, value: ValueId) {
        self.next_states.push(value);
    }

    /// A weight of one part of reals in -1..1.
    pub fn weight(&mut self, name: &str, dtype: DType, shape: &[usize]) -> ValueId {
        self.packed_weight(&[name], dtype, &[shape[0]], &shape[1..])
    }

    /// A weight of parts stacked along axis 0, of `rows` each.
    pub fn packed_weight(
        &mut self,
        names: &[&str],
        dtype: DType,
        rows: &[usize],
        inner: &[usize],
    ) -> ValueId {
        for (name, rows) in names.iter().zip(rows) {
            let shape = [&[*rows], inner].concat();
            let tensor = self.random.tensor(dtype, &shape, &Values::Within(1.0));
            self.weights.insert(name, tensor);
        }
        let shape = [&[rows.iter().sum::<usize>()], inner].concat();
        let parts = names.iter().map(|name| (*name).into()).collect();
        let op = Op::Weight(Weight { parts, ty: TensorType::fixed(dtype, &shape) });
        self.graph.value(op, &[]).unwrap()
    }

    /// An output that is right only if every element is the same.
    pub fn exact(&mut self, value: ValueId) {
        self.within(value, 0.0, value);
    }

    /// An output of which each element may be off by `units` roundings of its own magnitude.
    pub fn relative(&mut self, value: ValueId, units: f64) {
        self.within(value, units, value);
    }

    /// An output of which each element may be off by `units` roundings of `magnitude`.
    pub fn within(&mut self, value: ValueId, units: f64, magnitude: ValueId) {
        self.outputs.push(value);
        self.magnitudes.push(magnitude);
        self.tolerances.push(Tolerance { fused: units, decomposed: units });
    }

    /// The last output's units where fused ops are decomposed.
    pub fn decomposed_within(&mut self, units: f64) {
        self.tolerances.last_mut().unwrap().decomposed = units;
    }

    /// The plan must launch that op so many times.
    pub fn launches(&mut self, mnemonic: &'static str, times: usize) {
        self.launches.push((mnemonic, times));
    }

    /// `|x|`.
    pub fn abs(&mut self, x: ValueId) -> ValueId {
        self.graph.unary(UnaryOp::Abs, x).unwrap()
    }

    /// The problem with one run for each of `runs`.
    pub fn finish(mut self, runs: &[Sizes<'_>]) -> Problem {
        self.graph.set_level(GraphLevel::Fused);
        let mut graph = self.graph.clone();
        graph.set_return(&self.outputs, &self.next_states).unwrap();
        // A plan asks who uses a value; what only the magnitudes use is no part of the problem.
        graph.remove_unreachable();
        let mut magnitudes = self.graph.clone();
        magnitudes.set_return(&self.magnitudes, &self.next_states).unwrap();
        let arguments = |sizes: &Sizes<'_>| {
            let bindings = bindings(&self.graph, sizes);
            let tensor = |(dtype, value, values): &(DType, ValueId, Values)| {
                let shape = sizes_of(self.graph.ty(*value), &bindings);
                self.random.tensor(*dtype, &shape, values)
            };
            self.values.iter().map(tensor).collect()
        };
        Problem {
            name: graph.name().to_string(),
            runs: runs.iter().map(arguments).collect(),
            graph,
            magnitudes,
            tolerances: self.tolerances,
            weights: self.weights,
            launches: self.launches,
        }
    }
}

/// Bindings of symbols by name.
pub fn bindings(graph: &Graph, sizes: Sizes<'_>) -> Bindings {
    let mut bindings = Bindings::new();
    for (name, size) in sizes {
        bindings.set(graph.symbols().id(name).unwrap(), *size);
    }
    bindings
}

/// A type's sizes as numbers.
pub fn sizes_of(ty: &TensorType, bindings: &Bindings) -> Vec<usize> {
    let size = |dim: &Dim| usize::try_from(dim.eval_size(bindings).unwrap()).unwrap();
    ty.shape.iter().map(size).collect()
}
