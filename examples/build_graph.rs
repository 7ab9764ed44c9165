//! A DIFF V2 attention block built by hand, printed, fused and run:
//! `cargo run --release --example build_graph`.

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;

use minuend::ir::ops::{Attention, Mask, Slice, UnaryOp};
use minuend::ir::{DType, Dim, Emit, Graph, Real, SymbolTable, TensorType};
use minuend::{CompileOptions, HostTensor, StoredTensor, WeightSource, load_checked};

/// Output heads; there are twice as many query heads, over one key/value head.
const PAIRS: usize = 2;
const HEAD_DIM: usize = 8;

/// The graph takes its projections as arguments, so there are no trained tensors.
struct NoWeights;

impl WeightSource for NoWeights {
    fn stored(&self, _name: &str) -> Option<StoredTensor> {
        None
    }
}

/// `a[0::2] - sigmoid(lambda) * a[1::2]`, as the published form computes it.
fn diff_attention_block() -> Result<Graph, Box<dyn Error>> {
    let mut symbols = SymbolTable::default();
    let batch = Dim::symbol(symbols.declare("B", 1, 8)?);
    let tokens = Dim::symbol(symbols.declare("S", 1, 1024)?);
    let mut graph = Graph::new("diff_attention_block", symbols);
    let heads = |count: usize, width: usize| {
        let shape = [batch.clone(), count.into(), tokens.clone(), width.into()];
        TensorType::new(DType::F32, shape)
    };
    let q = graph.argument("q", heads(2 * PAIRS, HEAD_DIM))?;
    let k = graph.argument("k", heads(1, HEAD_DIM))?;
    let v = graph.argument("v", heads(1, HEAD_DIM))?;
    let lambda = graph.argument("lambda", heads(PAIRS, 1))?;

    let scale = Real::new((HEAD_DIM as f64).powf(-0.5));
    let both = graph.attention(Attention { mask: Mask::Causal, scale }, q, k, v)?;
    let signal = graph.slice(both, Slice::strided(1, 0, 2))?;
    let noise = graph.slice(both, Slice::strided(1, 1, 2))?;
    let gate = graph.unary(UnaryOp::Sigmoid, lambda)?;
    let gated = graph.mul(gate, noise)?;
    let difference = graph.sub(signal, gated)?;
    graph.set_name(difference, "difference");
    graph.set_return(&[difference], &[])?;
    Ok(graph)
}

/// Numbers that are easy to tell apart.
fn ramp(shape: &[usize]) -> Result<HostTensor, Box<dyn Error>> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
    HostTensor::from_f32(shape, &values).ok_or_else(|| "sizes disagree".into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let source = diff_attention_block()?;
    println!("as built:\n{source}");

    let mut fused = source.clone();
    minuend::fuse(&mut fused, &CompileOptions::default())?;
    println!("fused:\n{fused}");

    let device = minuend::open_device("cpu", 0)?;
    let compiled = minuend::compile(source, device.target(), &CompileOptions::default())?;
    let executable = load_checked(&*device, compiled.program, &NoWeights)?;
    let tokens = 5;
    let arguments = [
        ramp(&[1, 2 * PAIRS, tokens, HEAD_DIM])?,
        ramp(&[1, 1, tokens, HEAD_DIM])?,
        ramp(&[1, 1, tokens, HEAD_DIM])?,
        ramp(&[1, PAIRS, tokens, 1])?,
    ];
    let outputs = executable.session(0)?.run(&arguments)?;
    for output in outputs {
        let values = output.to_f32().unwrap_or_default();
        println!("ran on {}: {:?}, first values {:?}", device.name(), output.shape(), &values[..4]);
    }
    Ok(())
}
