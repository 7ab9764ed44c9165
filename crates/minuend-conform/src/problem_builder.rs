//! Builds problems: a graph with its inputs, and a tolerance for each output.

use minuend::ir::ops::{BinaryOp, UnaryOp, Weight};
use minuend::ir::{DType, Dim, Emit, Graph, GraphLevel, Op, SymbolTable, TensorType, ValueId};

use crate::accuracy::{self, Slack};
use crate::error::ConformError;
use crate::problem::{Built, Problem, Sizes, Tolerance, bindings, sizes_of};
use crate::random_values::{RandomValues, Values};
use crate::weight_table::WeightTable;

/// Largest value of every symbol of a problem.
const LARGEST: u64 = 1 << 13;

/// Least number of positions for which sessions of problems have memory.
const LEAST_CAPACITY: u64 = 256;

/// Builds a [`Problem`].
pub struct ProblemBuilder {
    /// The graph so far. Inputs and weights are added through the builder.
    pub graph: Graph,
    random: RandomValues,
    values: Vec<(DType, ValueId, Values)>,
    outputs: Vec<ValueId>,
    magnitudes: Vec<ValueId>,
    slacks: Vec<ValueId>,
    tolerances: Vec<Tolerance>,
    next_states: Vec<ValueId>,
    weights: WeightTable,
    launches: Vec<(&'static str, usize)>,
    exact_tail: Option<[&'static str; 2]>,
    activations: DType,
}

impl ProblemBuilder {
    /// An empty problem over the symbols `B` and `S`, with f32 activations.
    ///
    /// # Errors
    /// None for a problem of this crate; it is written so that no problem can panic.
    pub fn new(name: &str) -> Built<ProblemBuilder> {
        let mut symbols = SymbolTable::default();
        symbols.declare("B", 1, LARGEST)?;
        symbols.declare("S", 1, LARGEST)?;
        let seed = name.bytes().fold(7u64, |seed, byte| seed * 31 % (1 << 40) + u64::from(byte));
        Ok(ProblemBuilder {
            graph: Graph::new(name, symbols),
            random: RandomValues::new(seed),
            values: Vec::new(),
            outputs: Vec::new(),
            magnitudes: Vec::new(),
            slacks: Vec::new(),
            tolerances: Vec::new(),
            next_states: Vec::new(),
            weights: WeightTable::default(),
            launches: Vec::new(),
            exact_tail: None,
            activations: DType::F32,
        })
    }

    /// The same with activations of another float type.
    pub fn in_type(mut self, activations: DType) -> ProblemBuilder {
        self.activations = activations;
        self
    }

    /// Element type of the activations.
    pub fn activations(&self) -> DType {
        self.activations
    }

    /// An empty problem over the symbols `B`, `S`, `P` and `T = P + S`.
    ///
    /// # Errors
    /// As [`ProblemBuilder::new`].
    pub fn with_past(name: &str) -> Built<ProblemBuilder> {
        let mut builder = ProblemBuilder::new(name)?;
        let tokens = builder.size("S")?;
        let symbols = builder.graph.symbols_mut();
        let past = Dim::symbol(symbols.declare("P", 0, LARGEST)?);
        symbols.define("T", &past + &tokens)?;
        Ok(builder)
    }

    /// Adds the symbols `E` and `N = S + E`: tokens of which only the last `S` ask.
    ///
    /// # Errors
    /// A symbol that is there.
    pub fn with_earlier(mut self) -> Built<ProblemBuilder> {
        let tokens = self.size("S")?;
        let symbols = self.graph.symbols_mut();
        let earlier = Dim::symbol(symbols.declare("E", 0, LARGEST)?);
        symbols.define("N", &earlier + &tokens)?;
        Ok(self)
    }

    /// One size in words: `64`, `S`.
    ///
    /// # Errors
    /// [`ConformError::UnknownSize`].
    pub fn size(&self, word: &str) -> Built<Dim> {
        match word.parse::<usize>() {
            Ok(number) => Ok(Dim::from(number)),
            Err(_) => {
                let size = self.graph.symbols().lookup(word);
                size.ok_or_else(|| ConformError::UnknownSize { name: word.to_string() })
            }
        }
    }

    /// A shape from its sizes in words: `B S 64`.
    ///
    /// # Errors
    /// [`ConformError::UnknownSize`].
    pub fn shape(&self, sizes: &str) -> Built<Vec<Dim>> {
        sizes.split_whitespace().map(|word| self.size(word)).collect()
    }

    /// An argument.
    ///
    /// # Errors
    /// [`ConformError::UnknownSize`].
    pub fn argument(
        &mut self,
        name: &str,
        dtype: DType,
        shape: &str,
        values: Values,
    ) -> Built<ValueId> {
        let ty = TensorType::new(dtype, self.shape(shape)?);
        let value = self.graph.argument(name, ty)?;
        self.values.push((dtype, value, values));
        Ok(value)
    }

    /// An argument of reals in -2..2, of the activations' type.
    ///
    /// # Errors
    /// [`ConformError::UnknownSize`].
    pub fn reals(&mut self, name: &str, shape: &str) -> Built<ValueId> {
        self.argument(name, self.activations, shape, Values::Within(2.0))
    }

    /// A state of the activations' type, which starts without elements along its growing axis.
    ///
    /// # Errors
    /// [`ConformError::UnknownSize`].
    pub fn state(&mut self, name: &str, shape: &str) -> Built<ValueId> {
        let ty = TensorType::new(self.activations, self.shape(shape)?);
        Ok(self.graph.state(name, ty)?)
    }

    /// The next value of the next state in order of declaration.
    pub fn next_state(&mut self, value: ValueId) {
        self.next_states.push(value);
    }

    /// A weight of one part of reals in -1..1, of at least one axis.
    ///
    /// # Errors
    /// Shapes too large for the interpreter.
    pub fn weight(&mut self, name: &str, dtype: DType, shape: &[usize]) -> Built<ValueId> {
        let (rows, inner) = shape.split_first().unwrap_or((&1, &[]));
        self.packed_weight(&[name], dtype, &[*rows], inner)
    }

    /// A weight of parts stacked along axis 0, of `rows` each.
    ///
    /// # Errors
    /// Shapes too large for the interpreter.
    pub fn packed_weight(
        &mut self,
        names: &[&str],
        dtype: DType,
        rows: &[usize],
        inner: &[usize],
    ) -> Built<ValueId> {
        for (name, rows) in names.iter().zip(rows) {
            let shape = [&[*rows], inner].concat();
            let tensor = self.random.tensor(dtype, &shape, &Values::Within(1.0))?;
            self.weights.insert(name, tensor);
        }
        let shape = [&[rows.iter().sum::<usize>()], inner].concat();
        let parts = names.iter().map(|name| (*name).into()).collect();
        let op = Op::Weight(Weight { parts, ty: TensorType::fixed(dtype, &shape) });
        Ok(self.graph.value(op, &[])?)
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
        self.tolerances.push(Tolerance::units(units));
    }

    /// The last output's units where fused ops are decomposed.
    pub fn decomposed_within(&mut self, units: f64) {
        if let Some(tolerance) = self.tolerances.last_mut() {
            tolerance.decomposed = units;
        }
    }

    /// Roundings to the activations' type on the way to the last output, in units of its magnitude: where
    /// fused ops are kernels, and where they are decomposed.
    pub fn narrowed(&mut self, fused: f64, decomposed: f64) {
        if let Some(tolerance) = self.tolerances.last_mut() {
            (tolerance.narrow, tolerance.decomposed_narrow) = (fused, decomposed);
        }
    }

    /// A magnitude for values that are rounded to f16 on the way to an output: below 2^-14 a value is off
    /// by up to 2^-25 whatever it is. `reach` is how far an output moves for each unit by which all of
    /// them are off. The magnitude itself in every other type, whose values are as exact when they are
    /// small.
    ///
    /// # Errors
    /// A magnitude of another type than the activations'.
    pub fn narrowed_magnitude(&mut self, magnitude: ValueId, reach: f64) -> Built<ValueId> {
        if self.activations != DType::F16 {
            return Ok(magnitude);
        }
        let least = self.graph.real(DType::F16, reach / f64::from(1 << 14))?;
        Ok(self.graph.add_values(magnitude, least)?)
    }

    /// More units for the last output on devices whose functions are GPU built-ins.
    pub fn built_in_slack(&mut self, units: f64) {
        if let Some(tolerance) = self.tolerances.last_mut() {
            tolerance.built_in = units;
        }
    }

    /// More units for the last output on devices that round the operands of products to f16.
    pub fn half_products_slack(&mut self, units: f64) {
        if let Some(tolerance) = self.tolerances.last_mut() {
            tolerance.half_products = units;
        }
    }

    /// A function of each element as an output, off by at most `units` roundings of its value; by the
    /// slack of the built-in function beside that where a device's functions are built-ins.
    ///
    /// # Errors
    /// A type that the function does not take.
    pub fn function(&mut self, op: UnaryOp, x: ValueId, units: f64) -> Built<ValueId> {
        let y = self.graph.unary(op, x)?;
        self.relative(y, units);
        let slack = accuracy::slack(op);
        if slack != Slack::default() {
            let (x, y) = (self.abs(x)?, self.abs(y)?);
            let relative = self.linear(slack.relative, slack.relative_by_x, x)?;
            let relative = self.graph.mul(relative, y)?;
            let absolute = self.linear(slack.absolute, slack.absolute_by_x, x)?;
            let slack = self.graph.add_values(relative, absolute)?;
            self.slack_value(slack);
        }
        Ok(y)
    }

    /// A quotient as an output, as [`ProblemBuilder::function`].
    ///
    /// # Errors
    /// Types that do not divide.
    pub fn quotient(&mut self, x: ValueId, y: ValueId, units: f64) -> Built<ValueId> {
        let value = self.graph.binary(BinaryOp::Div, x, y)?;
        self.relative(value, units);
        self.built_in_slack(accuracy::DIVISION);
        Ok(value)
    }

    /// A power of positive bases as an output, as [`ProblemBuilder::function`]. The built-in is
    /// `exp2(z)` of `z = y log2(x)`: an error of z is one of the result, times ln 2.
    ///
    /// # Errors
    /// Types without powers.
    pub fn power(&mut self, x: ValueId, y: ValueId, units: f64) -> Built<ValueId> {
        let value = self.graph.binary(BinaryOp::Pow, x, y)?;
        self.relative(value, units);
        let log = self.graph.unary(UnaryOp::Log, x)?;
        let z = self.graph.mul(y, log)?;
        // |y ln x| is ln 2 |z|: with ln 2 < 1 it stands for z in the slack of z, and for 1.5 z below.
        let (z, y, size) = (self.abs(z)?, self.abs(y)?, self.abs(value)?);
        let of_exponential = self.linear(accuracy::EXP, 1.5 * accuracy::EXP_BY_X, z)?;
        let of_product = self.linear(0.0, accuracy::LOG.0 + 1.0, z)?;
        let of_logarithm = self.linear(0.0, accuracy::LOG.1, y)?;
        let of_argument = self.graph.add_values(of_product, of_logarithm)?;
        let sum = self.graph.add_values(of_exponential, of_argument)?;
        let slack = self.graph.mul(sum, size)?;
        self.slack_value(slack);
        Ok(value)
    }

    /// `constant + factor x`.
    fn linear(&mut self, constant: f64, factor: f64, x: ValueId) -> Built<ValueId> {
        let dtype = self.graph.ty(x).dtype;
        let factor = self.graph.real(dtype, factor)?;
        let constant = self.graph.real(dtype, constant)?;
        let product = self.graph.mul(x, factor)?;
        Ok(self.graph.add_values(product, constant)?)
    }

    /// The roundings to add to the last output's tolerance, per element.
    fn slack_value(&mut self, slack: ValueId) {
        if let Some(tolerance) = self.tolerances.last_mut() {
            tolerance.built_in_slack = Some(self.slacks.len());
            self.slacks.push(slack);
        }
    }

    /// The plan must launch that op so many times.
    pub fn launches(&mut self, mnemonic: &'static str, times: usize) {
        self.launches.push((mnemonic, times));
    }

    /// Where the plan makes `tail` the tail of every launch of `op`, nothing in between is rounded.
    pub fn exact_tail(&mut self, op: &'static str, tail: &'static str) {
        self.exact_tail = Some([op, tail]);
    }

    /// `|x|`.
    ///
    /// # Errors
    /// A type without magnitudes.
    pub fn abs(&mut self, x: ValueId) -> Built<ValueId> {
        Ok(self.graph.unary(UnaryOp::Abs, x)?)
    }

    /// The problem with one run for each of `runs`.
    ///
    /// # Errors
    /// Sizes that do not fit the arguments' shapes.
    pub fn finish(mut self, runs: &[Sizes<'_>]) -> Built<Problem> {
        self.graph.set_level(GraphLevel::Fused);
        let mut graph = self.graph.clone();
        graph.set_return(&self.outputs, &self.next_states)?;
        // A plan asks who uses a value; what only the magnitudes use is no part of the problem.
        graph.remove_unreachable();
        let mut magnitudes = self.graph.clone();
        let bounds = [&self.magnitudes[..], &self.slacks].concat();
        magnitudes.set_return(&bounds, &self.next_states)?;
        let first_slack = self.magnitudes.len();
        for tolerance in &mut self.tolerances {
            tolerance.built_in_slack = tolerance.built_in_slack.map(|at| first_slack + at);
        }
        let mut arguments = Vec::new();
        let mut positions = 0;
        for sizes in runs {
            let tokens =
                sizes.iter().filter(|(name, _)| ["S", "E"].contains(name)).map(|(_, n)| *n);
            positions += tokens.sum::<u64>();
            let bindings = bindings(&self.graph, sizes)?;
            let mut of_run = Vec::new();
            for (dtype, value, values) in &self.values {
                let shape = sizes_of(self.graph.ty(*value), &bindings)?;
                of_run.push(self.random.tensor(*dtype, &shape, values)?);
            }
            arguments.push(of_run);
        }
        Ok(Problem {
            name: graph.name().to_string(),
            runs: arguments,
            graph,
            magnitudes,
            tolerances: self.tolerances,
            weights: self.weights,
            launches: self.launches,
            exact_tail: self.exact_tail,
            activations: self.activations,
            // One more than the runs fill, so that a cache does not end where its memory does.
            capacity: LEAST_CAPACITY.max(positions + 1),
        })
    }
}
