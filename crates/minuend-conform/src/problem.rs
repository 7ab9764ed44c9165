//! A small graph with inputs, and how exactly a device must compute it.

use minuend::ir::{Bindings, DType, Dim, Graph, TensorType};
use minuend_interp::Tensor;

use crate::error::ConformError;
use crate::float_types::{coarseness, is_half};
use crate::weight_table::WeightTable;

/// Sizes of the symbols in one run.
pub type Sizes<'a> = &'a [(&'a str, u64)];

/// What building a problem gives.
pub type Built<T> = Result<T, ConformError>;

/// How far an output may be from the interpreter's, per element: `units * 2^-24 * magnitude`, where
/// 2^-24 is the rounding of one f32 operation. An output of 16 bits may be off by the rounding of storing
/// it beside, which is no part of this.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// For the graph as it is and for the graph that the passes raise.
    pub fused: f64,
    /// For the graph with its fused ops decomposed.
    pub decomposed: f64,
    /// Roundings of the magnitude to activations of 16 bits, on the way to the output: what kernels
    /// round although they compute in f32. Counts for nothing where activations are f32.
    pub narrow: f64,
    /// The same for the graph with its fused ops decomposed.
    pub decomposed_narrow: f64,
    /// Units to add where functions are as exact as [`Accuracy::GpuBuiltIns`](crate::Accuracy).
    pub built_in: f64,
    /// Units to add beside that where products are [`Accuracy::HalfProducts`](crate::Accuracy).
    pub half_products: f64,
    /// Roundings to add to `built_in`, per element: an output of [`Problem::magnitudes`], behind those
    /// of the magnitudes.
    pub built_in_slack: Option<usize>,
}

impl Tolerance {
    /// So many units whatever the runner and the device.
    pub fn units(units: f64) -> Tolerance {
        Tolerance {
            fused: units,
            decomposed: units,
            narrow: 0.0,
            decomposed_narrow: 0.0,
            built_in: 0.0,
            half_products: 0.0,
            built_in_slack: None,
        }
    }
}

/// A graph that a device must compute as the interpreter does.
pub struct Problem {
    /// What it is about.
    pub name: String,
    /// The graph.
    pub graph: Graph,
    /// The same graph, returning the magnitude to which each output's error is compared: a tensor of
    /// the output's shape, or of one element. Slacks of built-in functions follow.
    pub magnitudes: Graph,
    /// For each output.
    pub tolerances: Vec<Tolerance>,
    /// Arguments of each run. All runs are of one session.
    pub runs: Vec<Vec<Tensor>>,
    /// Trained tensors.
    pub weights: WeightTable,
    /// How many launches of an op the plan must have, for ops of interest.
    pub launches: Vec<(&'static str, usize)>,
    /// Two ops of which the second may be the tail of the first: if the plan makes it so wherever the
    /// first is, nothing is [`Tolerance::narrow`].
    pub exact_tail: Option<[&'static str; 2]>,
    /// Element type of the activations.
    pub activations: DType,
    /// Positions for which a session of the runs must have memory.
    pub capacity: u64,
}

impl Problem {
    /// One rounding to the type of the activations, in units; 0 if that is f32, whose roundings are
    /// units.
    pub fn narrow_units(&self) -> f64 {
        if is_half(self.activations) { coarseness(self.activations) } else { 0.0 }
    }
}

/// Bindings of symbols by name.
///
/// # Errors
/// [`ConformError::UnknownSize`] for a name that is no symbol.
pub fn bindings(graph: &Graph, sizes: Sizes<'_>) -> Built<Bindings> {
    let mut bindings = Bindings::new();
    for (name, size) in sizes {
        let symbol = graph.symbols().id(name);
        let symbol = symbol.ok_or_else(|| ConformError::UnknownSize { name: name.to_string() })?;
        bindings.set(symbol, *size);
    }
    Ok(bindings)
}

/// A type's sizes as numbers.
///
/// # Errors
/// [`ConformError::Unbound`] for a size whose symbols have no values.
pub fn sizes_of(ty: &TensorType, bindings: &Bindings) -> Built<Vec<usize>> {
    let size = |dim: &Dim| {
        let size = dim.eval_size(bindings).and_then(|size| usize::try_from(size).ok());
        size.ok_or_else(|| ConformError::Unbound { size: format!("{dim:?}") })
    };
    ty.shape.iter().map(size).collect()
}
