//! What a model consists of and what it costs, without running it.

mod arithmetic;
mod cost;
mod fusion;
mod onnx;
mod parameters;

use minuend_models::LogitRows;

pub use arithmetic::AttentionArithmetic;
pub use cost::{Cost, RunCost};
pub use fusion::{FusionReport, PackedProjection};
pub use onnx::{OnnxInspection, WeightTotals};
pub use parameters::Parameters;

use crate::compile::CompileOptions;
use crate::error::Error;
use crate::model::Model;

/// Everything that can be said about a model from its config and its graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// Parameters by part.
    pub parameters: Parameters,
    /// Attention parameters of DIFF V2 and of plain attention.
    pub arithmetic: AttentionArithmetic,
    /// Operations and cache bytes.
    pub cost: Cost,
    /// What the passes made of the graph.
    pub fusion: FusionReport,
}

impl Model {
    /// Counts parameters and operations, fuses the graph and reports what became of it.
    ///
    /// # Errors
    /// [`Error::Model`] if the config's sizes do not make a graph, [`Error::Compile`] if a pass fails.
    pub fn inspect(&self) -> Result<Inspection, Error> {
        let graph = self.graph(LogitRows::Last)?;
        let config = self.config();
        let parameters = Parameters::of(config);
        Ok(Inspection {
            cost: Cost::of(config, &parameters, &graph),
            arithmetic: AttentionArithmetic::of(config),
            parameters,
            fusion: FusionReport::of(graph, &CompileOptions::default())?,
        })
    }
}
