//! The ways to run a problem.

use std::sync::{Arc, OnceLock};

use minuend::ir::ops::InputKind;
use minuend::ir::text::{parse, print};
use minuend::ir::{Bindings, DType, Dim, Graph, GraphLevel, LegalGraph, Op};
use minuend::{
    CompileOptions, CpuTarget, Device, Executable, HostTensor, Program, Target, VerifyMode,
};
use minuend_interp::{Tensor, Weights, evaluate};
use minuend_passes::{Legalize, Pass, PassContext};

use crate::decomposing_target::DecomposingTarget;
use crate::problem::{Problem, sizes_of};
use crate::random_values::bytes_of;

/// How a device comes to run a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// Every op as it is, the kernels for fused ops among them.
    Kernels,
    /// As [`Runner::Kernels`], the graph printed and parsed before.
    AfterText,
    /// Fused ops spelled in primitive ops, and what the whole pipeline makes of them.
    Raised,
    /// Every fused op as the primitive ops it means.
    Decomposed,
}

impl Runner {
    /// Every runner.
    pub const ALL: [Runner; 4] =
        [Runner::Kernels, Runner::AfterText, Runner::Raised, Runner::Decomposed];

    /// The program that this runner makes of a problem.
    pub fn program(self, problem: &Problem) -> Program {
        let graph = problem.graph.clone();
        match self {
            Runner::Kernels => legalized(graph, &CpuTarget),
            Runner::AfterText => {
                let text = print(&graph);
                let [parsed] = parse(&text).unwrap().try_into().unwrap();
                assert_eq!(print(&parsed), text, "{} printed again", problem.name);
                legalized(parsed, &CpuTarget)
            }
            Runner::Raised => {
                let options =
                    CompileOptions { verify: VerifyMode::EveryPass, ..CompileOptions::default() };
                minuend::compile(primitive(&graph), &CpuTarget, &options).unwrap().program
            }
            Runner::Decomposed => legalized(graph, &DecomposingTarget),
        }
    }

    /// The outputs of every run on the CPU.
    pub fn run(self, problem: &Problem) -> Vec<Vec<Tensor>> {
        run_on_cpu(problem, self.program(problem))
    }
}

/// The graph with every fused op spelled in primitive ops, at level source.
pub fn primitive(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    Legalize::new(&DecomposingTarget).run(&mut graph, &mut PassContext::new(None)).unwrap();
    graph.set_level(GraphLevel::Source);
    graph
}

fn legalized(mut graph: Graph, target: &dyn Target) -> Program {
    Legalize::new(target).run(&mut graph, &mut PassContext::new(None)).unwrap();
    let legal = LegalGraph::check(graph, target).unwrap();
    minuend_plan::plan(&legal, target).unwrap()
}

/// One CPU device of two threads for all tests of a program.
pub fn cpu() -> &'static dyn Device {
    static CPU: OnceLock<Arc<dyn Device>> = OnceLock::new();
    &**CPU.get_or_init(|| minuend::open_device("cpu", 2).unwrap())
}

/// Positions for which sessions of problems have memory.
const CAPACITY: u64 = 256;

fn run_on_cpu(problem: &Problem, program: Program) -> Vec<Vec<Tensor>> {
    let executable = Executable::load(cpu(), program, &problem.weights).unwrap();
    let mut session = executable.session(CAPACITY).unwrap();
    let mut run = |arguments: &Vec<Tensor>| -> Vec<Tensor> {
        let arguments: Vec<HostTensor> = arguments.iter().map(host_tensor).collect();
        let outputs = session.run(&arguments);
        let outputs = outputs.unwrap_or_else(|error| panic!("{}: {error}", problem.name));
        outputs.iter().map(interpreter_tensor).collect()
    };
    problem.runs.iter().map(&mut run).collect()
}

/// The tensor as an argument of a session.
pub fn host_tensor(tensor: &Tensor) -> HostTensor {
    HostTensor::from_bytes(tensor.dtype(), tensor.shape(), bytes_of(tensor)).unwrap()
}

fn interpreter_tensor(tensor: &HostTensor) -> Tensor {
    Tensor::from_bytes(tensor.dtype(), tensor.shape(), tensor.bytes()).unwrap()
}

/// The outputs of every run of a graph on the interpreter, states going from each to the next.
pub fn interpret(graph: &Graph, runs: &[Vec<Tensor>], weights: &dyn Weights) -> Vec<Vec<Tensor>> {
    let mut states: Option<Vec<Tensor>> = None;
    let mut run = |arguments: &Vec<Tensor>| {
        let current = states.take().unwrap_or_else(|| empty_states(graph, arguments));
        let (mut arguments, mut current) = (arguments.iter(), current.into_iter());
        let inputs: Vec<Tensor> = graph
            .inputs()
            .iter()
            .map(|id| match &graph.node(*id).op {
                Op::Input(op) if op.kind == InputKind::State => current.next().unwrap(),
                _ => arguments.next().unwrap().clone(),
            })
            .collect();
        let outcome = evaluate(graph, &inputs, weights).unwrap();
        states = Some(outcome.next_states);
        outcome.outputs
    };
    runs.iter().map(&mut run).collect()
}

/// States as they are before the first run: zeros, and nothing along growing axes.
fn empty_states(graph: &Graph, arguments: &[Tensor]) -> Vec<Tensor> {
    let mut bindings = Bindings::new();
    for (id, info) in graph.symbols().symbols() {
        bindings.set(id, info.min);
    }
    let mut given = arguments.iter();
    let mut states = Vec::new();
    for id in graph.inputs() {
        let Op::Input(op) = &graph.node(*id).op else { continue };
        match op.kind {
            InputKind::State => states.push(&op.ty),
            InputKind::Argument => {
                for (dim, size) in op.ty.shape.iter().zip(given.next().unwrap().shape()) {
                    if let [symbol] = dim.symbols().as_slice()
                        && *dim == Dim::symbol(*symbol)
                    {
                        bindings.set(*symbol, *size as u64);
                    }
                }
            }
        }
    }
    let zeros = |ty: &&minuend::ir::TensorType| {
        let shape = sizes_of(ty, &bindings);
        Tensor::from_reals(DType::F32, &shape, vec![0.0; shape.iter().product()]).unwrap()
    };
    states.iter().map(zeros).collect()
}
