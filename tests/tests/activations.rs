#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use minuend::*;
use minuend::ir::*;
use minuend_tests::{models, rounding::rounding};
use minuend_interp::{Tensor, Weights, evaluate};
use std::sync::Arc;
use std::collections::HashMap;
use std::cell::RefCell;

struct W<'m>(&'m Model, DType, RefCell<HashMap<String, Arc<Tensor>>>);
impl Weights for W<'_> {
    fn weight(&self, name: &str) -> Option<Arc<Tensor>> {
        let mut m = self.2.borrow_mut();
        Some(m.entry(name.to_string()).or_insert_with(|| {
            let t = self.0.stored(name).unwrap().converted(name, self.1).unwrap().unwrap();
            Arc::new(Tensor::from_bytes(t.dtype, &t.shape, &t.data).unwrap())
        }).clone())
    }
}

#[test]
fn probe() {
    for dtype in [DType::Bf16, DType::F16] {
        for dir in models::all() {
            let model = Model::open(&dir).unwrap().with_activations(Activations::Of(dtype));
            let expected = ExpectedOutputs::open(dir.join("expected.safetensors")).unwrap();
            let source = model.graph(LogitRows::All).unwrap();
            let mut fused = source.clone();
            minuend::fuse(&mut fused, &CompileOptions::default()).unwrap();
            let w = W(&model, dtype, Default::default());
            println!("{dtype} {} stored {:?}: {:?}", dir.display(), model.config().stored_dtype, fused.op_counts());
            for group in &expected.groups {
                let n = group.input_ids.len() / group.batch;
                let ids = Tensor::from_ints(DType::I64, &[group.batch, n], group.input_ids.iter().map(|x| *x as i64).collect()).unwrap();
                for (what, graph) in [("exact", &source), ("src rounded", &rounding(&source)), ("fused rounded", &rounding(&fused))] {
                    if what == "src rounded" && n > 100 { continue; }
                    let mut inputs = vec![ids.clone()];
                    for s in graph.states() {
                        let ty = graph.ty(s.input);
                        inputs.push(Tensor::from_reals(ty.dtype, &[group.batch, ty.shape[1].as_const().unwrap() as usize, 0, ty.shape[3].as_const().unwrap() as usize], vec![]).unwrap());
                    }
                    let t = std::time::Instant::now();
                    let out = evaluate(graph, &inputs, &w).unwrap();
                    let v: Vec<f32> = out.outputs[0].reals().unwrap().iter().map(|x| *x as f32).collect();
                    println!("  {} {n}: {what}: {:?} {:?}", group.name, errors(&v, &group.logits), t.elapsed());
                }
            }
        }
    }
}
