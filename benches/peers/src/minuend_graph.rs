//! A small graph through minuend's compiler, run by a session.

use std::collections::HashMap;
use std::sync::Arc;

use minuend::ir::DType;
use minuend::ir::text::parse;
use minuend::{
    CompileOptions, Device, Executable, HostTensor, Session, StoredTensor, WeightSource, compile,
};

use crate::Outcome;

/// Weights by name.
#[derive(Default)]
pub(crate) struct Weights(HashMap<String, StoredTensor>);

impl Weights {
    /// One f32 weight.
    pub(crate) fn of(name: &str, shape: &[usize], values: &[f32]) -> Weights {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor = StoredTensor { dtype: DType::F32, shape: shape.to_vec(), data: bytes.into() };
        Weights(HashMap::from([(name.to_string(), tensor)]))
    }
}

impl WeightSource for Weights {
    fn stored(&self, name: &str) -> Option<StoredTensor> {
        self.0.get(name).cloned()
    }
}

/// A compiled graph with its arguments.
pub(crate) struct GraphRun {
    session: Session,
    arguments: Vec<HostTensor>,
}

impl GraphRun {
    /// Compiles the only graph of `source` and checks that one op of the compiled graph is `op`: the
    /// figures are of that kernel.
    pub(crate) fn new(
        device: &Arc<dyn Device>,
        source: &str,
        op: &str,
        weights: &Weights,
        arguments: &[(&[usize], &[f32])],
    ) -> Outcome<GraphRun> {
        let graph = parse(source)?.pop().ok_or("no graph")?;
        let compiled = compile(graph, device.target(), &CompileOptions::default())?;
        let count = compiled.legal.graph().op_counts().get(op).copied().unwrap_or(0);
        if count != 1 {
            return Err(format!("the compiled graph has {count} {op} ops, expected 1").into());
        }
        let session = Executable::load(&**device, compiled.program, weights)?.session(0)?;
        let arguments = arguments.iter().map(|(shape, values)| HostTensor::from_f32(shape, values));
        let arguments = arguments.collect::<Option<_>>().ok_or("values do not fit their shape")?;
        Ok(GraphRun { session, arguments })
    }

    /// Runs once; gives the first output.
    pub(crate) fn run(&mut self) -> Outcome<Vec<f32>> {
        let outputs = self.session.run(&self.arguments)?;
        Ok(outputs.first().and_then(HostTensor::to_f32).ok_or("no f32 output")?)
    }
}
