//! What an ONNX file consists of, without running it.

use minuend_ir::Op;
use minuend_ir::order::topological;

use super::FusionReport;
use crate::compile::CompileOptions;
use crate::error::Error;
use crate::onnx_model::OnnxModel;
use crate::signature::Signature;

/// Everything that can be said about a file from its graph.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxInspection {
    /// Inputs and outputs.
    pub signature: Signature,
    /// The stored tensors that the graph reads.
    pub weights: WeightTotals,
    /// What the passes made of the graph.
    pub fusion: FusionReport,
}

/// Stored tensors, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WeightTotals {
    /// Number of tensors.
    pub tensors: usize,
    /// Their elements.
    pub elements: u64,
    /// Their bytes as they are stored.
    pub bytes: u64,
}

impl OnnxModel {
    /// Counts weights, fuses the graph and reports what became of it. In the types of the file unless another
    /// type is asked for.
    ///
    /// # Errors
    /// As [`OnnxModel::graph`], and [`Error::Compile`] if a pass fails.
    pub fn inspect(&self) -> Result<OnnxInspection, Error> {
        let graph = self.graph()?;
        let names: Vec<String> =
            self.signature().outputs.into_iter().map(|output| output.name).collect();
        let mut weights = WeightTotals::default();
        for id in topological(&graph) {
            let Op::Weight(weight) = &graph.node(id).op else { continue };
            let elements = weight.ty.elements().as_const().unwrap_or(0);
            let elements = u64::try_from(elements).unwrap_or(0);
            weights.tensors += weight.parts.len();
            weights.elements = weights.elements.saturating_add(elements);
            let bytes = elements.saturating_mul(weight.ty.dtype.bytes());
            weights.bytes = weights.bytes.saturating_add(bytes);
        }
        Ok(OnnxInspection {
            signature: Signature::of(&graph, &names),
            weights,
            fusion: FusionReport::of(graph, &CompileOptions::default())?,
        })
    }
}
