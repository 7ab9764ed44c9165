//! Random elementwise graphs: whatever is grouped, the outputs are the same expressions.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use minuend_codegen::{Tail, TailOperand};
use minuend_ir::ops::{BinaryOp, UnaryOp};
use minuend_ir::{DType, Dim, Graph, Op, SymbolTable, TensorType, ValueId};

use super::program_of;
use crate::program::{Program, Step, Storage, TensorRef};

/// The outputs as digests of the expressions that the launches compute.
fn digests(program: &Program) -> Vec<u64> {
    fn digest(op: &str, operands: &[u64]) -> u64 {
        let mut hasher = DefaultHasher::new();
        (op, operands).hash(&mut hasher);
        hasher.finish()
    }
    let mut blocks: HashMap<usize, u64> = HashMap::new();
    let value = |blocks: &HashMap<usize, u64>, tensor: &TensorRef| match tensor.storage {
        Storage::Block(index) => blocks[&index],
        Storage::Argument(index) => digest("argument", &[index as u64]),
        Storage::State(_) | Storage::Weight(_) => panic!("the graph has none"),
    };
    for step in &program.steps {
        let Step::Launch(launch) = step else { continue };
        let kernel = &program.kernels[launch.kernel];
        assert_eq!(kernel.operands.len(), launch.operands.len());
        let operands: Vec<u64> = launch.operands.iter().map(|at| value(&blocks, at)).collect();
        let steps = match &kernel.tail {
            Tail::None => &[][..],
            Tail::Elementwise(steps) => steps,
            Tail::Swiglu => panic!("the graph has none"),
        };
        let own = if matches!(kernel.op, Op::Unary(_)) { 1 } else { 2 };
        let mut values = vec![digest(kernel.op.mnemonic(), &operands[..own])];
        for step in steps {
            let read = step.operands.iter().map(|operand| match operand {
                TailOperand::Value(index) => values[*index],
                TailOperand::Operand(index) => operands[*index],
            });
            let read: Vec<u64> = read.collect();
            values.push(digest(step.op.mnemonic(), &read));
        }
        let Storage::Block(block) = launch.results[0].storage else { panic!("not a block") };
        blocks.insert(block, values.last().copied().unwrap());
    }
    program
        .outputs
        .iter()
        .map(|output| match output.tensor.storage {
            Storage::Block(index) => blocks[&index],
            _ => panic!("an output that nothing computes"),
        })
        .collect()
}

/// A graph of elementwise ops over operands drawn from all values so far, the latest preferred.
fn random_graph(mut seed: u64) -> Graph {
    let mut draw = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let mut graph = Graph::new("g", SymbolTable::default());
    let (wide, narrow) = ([Dim::from(3), Dim::from(4)], [Dim::from(4)]);
    let mut values: Vec<ValueId> = vec![
        graph.argument("x", TensorType::new(DType::F32, wide)).unwrap(),
        graph.argument("y", TensorType::new(DType::F32, narrow)).unwrap(),
    ];
    for _ in 0..14 {
        let mut pick = || {
            let last = values.len();
            values[if draw(3) == 0 { draw(last) } else { last - 1 - draw(last.min(3)) }]
        };
        let (a, b) = (pick(), pick());
        let node = match draw(3) {
            0 => graph.add(Op::Unary(UnaryOp::ALL[draw(13)]), &[a]),
            1 => graph.add(Op::Binary(BinaryOp::Add), &[a, b]),
            _ => graph.add(Op::Binary(BinaryOp::Sub), &[a, b]),
        };
        values.push(node.unwrap().result(0));
    }
    let outputs: Vec<ValueId> = [0, 1 + draw(6)].map(|back| values[values.len() - 1 - back]).into();
    graph.set_return(&outputs, &[]).unwrap();
    graph
}

#[test]
fn groups_compute_what_their_nodes_do() {
    let (mut fused_launches, mut launches) = (0, 0);
    for seed in 0..2000 {
        let alone = program_of(random_graph(seed), 0);
        for max_operands in [2, 3, 16] {
            let fused = program_of(random_graph(seed), max_operands);
            assert_eq!(digests(&fused), digests(&alone), "seed {seed}, {max_operands} operands");
            fused_launches += fused.steps.len();
            launches += alone.steps.len();
        }
    }
    assert!(fused_launches * 4 < launches * 3, "{fused_launches} of {launches} launches");
}
