//! A file that was imported.

use std::path::Path;

use bytes::Bytes;
use minuend_ir::{DType, Graph};

use crate::error::OnnxError;
use crate::external::ExternalFiles;
use crate::file;
use crate::import::{Imported, import};
use crate::proto::ModelProto;
use crate::weights::{WeightData, WeightTable};

/// How a file is imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Computes everything that is of a float type in this one; `None` keeps the file's types. Weights are
    /// declared in a 16-bit type that they are computed in, for whoever loads them to convert, and otherwise
    /// as they are stored.
    pub activations: Option<DType>,
}

/// An imported ONNX model: its graph, and the stored tensors that the graph names.
#[derive(Clone, Debug)]
pub struct OnnxModel {
    graph: Graph,
    weights: WeightTable,
    outputs: Vec<String>,
    nodes: usize,
    opset: i64,
    producer: String,
    notes: Vec<String>,
}

impl OnnxModel {
    /// Reads a file. Tensor data is mapped and not read; the file, and files of external data beside it, must
    /// not be changed as long as the model or its weights live.
    ///
    /// # Errors
    /// [`OnnxError`]; [`OnnxError::Model`] lists everything that is damaged or not supported.
    pub fn open(path: impl AsRef<Path>, options: &ImportOptions) -> Result<OnnxModel, OnnxError> {
        let path = path.as_ref();
        let folder = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => Path::new("."),
        };
        let model = file::read(path)?;
        OnnxModel::of(&model, Some(folder), &path.display().to_string(), options)
    }

    /// Decodes a file's bytes; `label` stands for the file in errors. External data is refused.
    ///
    /// # Errors
    /// As [`OnnxModel::open`].
    pub fn from_bytes(
        bytes: impl Into<Bytes>,
        label: &str,
        options: &ImportOptions,
    ) -> Result<OnnxModel, OnnxError> {
        OnnxModel::of(&file::decode(bytes.into(), label)?, None, label, options)
    }

    fn of(
        model: &ModelProto,
        folder: Option<&Path>,
        label: &str,
        options: &ImportOptions,
    ) -> Result<OnnxModel, OnnxError> {
        let Imported { graph, weights, outputs, nodes, opset, notes } =
            import(model, &mut ExternalFiles::beside(folder), options)
                .map_err(|problems| OnnxError::Model { path: label.to_string(), problems })?;
        let producer = format!("{} {}", model.producer_name, model.producer_version);
        let producer = producer.trim().to_string();
        Ok(OnnxModel { graph, weights, outputs, nodes, opset, producer, notes })
    }

    /// The graph, at level source. Its arguments have the file's names.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Names of the graph's outputs, in their order.
    pub fn output_names(&self) -> &[String] {
        &self.outputs
    }

    /// The stored tensor that a weight of the graph names. Matrices that products read are `[n, k]`; they are
    /// transposed anew by each call.
    pub fn weight(&self, name: &str) -> Option<WeightData> {
        self.weights.get(name)
    }

    /// Names of all weights.
    pub fn weight_names(&self) -> impl Iterator<Item = &str> {
        self.weights.names()
    }

    /// Nodes of the file, functions expanded.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Version of the standard operators.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// The program that wrote the file, as it calls itself.
    pub fn producer(&self) -> &str {
        &self.producer
    }

    /// What is unusual about the file, and what was taken otherwise than it says.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}
