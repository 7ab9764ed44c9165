//! Groups, on a target that runs every op and fuses as much as a limit on operands lets it.

mod packed_swiglu;
mod random_graphs;

use minuend_codegen::{CodegenError, Kernel, Tail, Target};
use minuend_ir::text::parse;
use minuend_ir::{Bindings, Graph, LegalGraph, Legality, Op, OpInstance, OpSupport};

use crate::program::{Program, Step};
use crate::schedule::plan;

/// Runs everything, and fuses where the launch has at most so many operands.
struct Fusing {
    max_operands: usize,
}

impl OpSupport for Fusing {
    fn legality(&self, _op: &OpInstance<'_>) -> Legality {
        Legality::Native
    }
}

impl Target for Fusing {
    fn name(&self) -> &'static str {
        "fusing"
    }

    fn select(&self, op: &OpInstance<'_>) -> Result<Kernel, CodegenError> {
        Ok(Kernel {
            op: op.op.clone(),
            operands: op.operands.iter().map(|ty| ty.dtype).collect(),
            results: op.results.iter().map(|ty| ty.dtype).collect(),
            tail: Tail::None,
        })
    }

    fn reads_strided(&self, op: &Op, _operand: usize, dense_last_axis: bool) -> bool {
        op.is_elementwise() && (dense_last_axis || !matches!(op, Op::Swiglu))
    }

    fn fuses(&self, kernel: &Kernel) -> bool {
        assert_ne!(kernel.tail, Tail::None, "the plan asks about tails alone");
        kernel.operands.len() <= self.max_operands
    }
}

fn program_of(graph: Graph, max_operands: usize) -> Program {
    let target = Fusing { max_operands };
    let legal = LegalGraph::check(graph, &target).unwrap();
    plan(&legal, &target).unwrap()
}

fn program(source: &str) -> Program {
    program_of(parse(source).unwrap().remove(0), 16)
}

/// The steps as a printed plan shows them, without numbers and labels.
fn steps_of(program: &Program) -> Vec<String> {
    let mut bindings = Bindings::default();
    for (id, info) in program.symbols.symbols() {
        bindings.set(id, info.min.max(2));
    }
    if let Some(capacity) = program.capacity {
        bindings.set(capacity, 64);
    }
    let bound = program.bind(&bindings, None).unwrap();
    let text = program.display(&bound).to_string();
    let steps = text.lines().filter_map(|line| {
        let (number, step) = line.trim_start().split_once(' ')?;
        number.parse::<usize>().ok()?;
        Some(step.split(" ; ").next()?.to_string())
    });
    steps.collect()
}

fn steps(source: &str) -> Vec<String> {
    steps_of(&program(source))
}

/// The kernels of the launches, in order.
fn launched(source: &str) -> Vec<String> {
    let program = program(source);
    let launches = program.steps.iter().filter_map(|step| match step {
        Step::Launch(launch) => Some(&program.kernels[launch.kernel]),
        Step::Copy(_) => None,
    });
    launches.map(|kernel| format!("{}{}", kernel.op.mnemonic(), kernel.tail)).collect()
}

#[test]
fn a_chain_is_one_launch() {
    let found = steps(
        "graph @g(%x: f32[B, 4], %y: f32[4]) where B in 1..=8 {
           %a = exp %x : f32[B, 4]
           %b = mul %y, %a : f32[B, 4]
           %c = neg %b : f32[B, 4]
           %d = cast %c {to = f16} : f16[B, 4]
           return %d
         }",
    );
    let expected = "exp+mul(x1, v0)+neg(v1)+cast(v2) %x:f32[B, 4], %y:f32[4] -> b0:f16[B, 4]";
    assert_eq!(found, [expected]);
}

#[test]
fn a_product_takes_bias_and_residual() {
    let program = program(
        "graph @g(%x: f32[B, 4], %r: f32[B, 6]) where B in 1..=8 {
           %w = weight {name = \"w\"} : bf16[6, 4]
           %p = matmul %x, %w {transpose_rhs = true} : f32[B, 6]
           %bias = weight {name = \"b\"} : f32[6]
           %a = add %p, %bias : f32[B, 6]
           %y = add %r, %a : f32[B, 6]
           return %y
         }",
    );
    let expected = "matmul+add(v0, x2)+add(x3, v1) %x:f32[B, 4], w0:bf16[6, 4], w1:f32[6], \
                    %r:f32[B, 6] -> b0:f32[B, 6]";
    assert_eq!(steps_of(&program), [expected]);
    assert_eq!(program.launches_of("matmul"), 1);
    assert_eq!(program.launches_of("add"), 2);
    assert_eq!(program.launches_of("mul"), 0);
    assert!(program.weights[0].may_stay_apart && !program.weights[1].may_stay_apart);
}

#[test]
fn the_launch_stands_where_its_last_member_does() {
    let found = steps(
        "graph @g(%x: f32[4, 4], %z: f32[4, 4]) {
           %p = matmul %x, %z {transpose_rhs = false} : f32[4, 4]
           %s = softmax %z {axis = 1} : f32[4, 4]
           %y = add %p, %s : f32[4, 4]
           return %y
         }",
    );
    let expected = [
        "softmax %z:f32[4, 4] -> b0:f32[4, 4]",
        "matmul+add(v0, x2) %x:f32[4, 4], %z:f32[4, 4], b0:f32[4, 4] -> b1:f32[4, 4]",
    ];
    assert_eq!(found, expected);
}

#[test]
fn comparisons_and_choices_follow() {
    let found = steps(
        "graph @g(%x: f32[2, 4], %y: f32[4], %z: f32[2, 1]) {
           %a = lt %x, %y : bool[2, 4]
           %b = not %a : bool[2, 4]
           %c = select %b, %z, %y : f32[2, 4]
           return %c
         }",
    );
    let expected = "lt+not(v0)+select(v1, x2, x3) %x:f32[2, 4], %y:f32[4], %z:f32[2, 1], \
                    %y:f32[4] -> b0:f32[2, 4]";
    assert_eq!(found, [expected]);
}

#[test]
fn a_value_may_be_read_twice_inside() {
    let square = "graph @g(%x: f32[4], %y: f32[4]) {
       %a = add %x, %y : f32[4]
       %b = mul %a, %a : f32[4]
       return %b
     }";
    assert_eq!(launched(square), ["add+mul(v0, v0)"]);
    let diamond = "graph @g(%x: f32[4], %y: f32[4]) {
       %a = add %x, %y : f32[4]
       %s = sigmoid %a : f32[4]
       %t = tanh %a : f32[4]
       %b = mul %s, %t : f32[4]
       %c = sub %b, %y : f32[4]
       %d = mul %c, %y : f32[4]
       return %d
     }";
    let found = launched(diamond);
    assert_eq!(found, ["add+sigmoid(v0)+tanh(v0)+mul(v1, v2)+sub(v3, x2)+mul(v4, x2)"]);
}

#[test]
fn a_diamond_with_a_reader_outside_stays_open() {
    // The sum is stored for the softmax; what it is read for besides starts a group of its own.
    let found = launched(
        "graph @g(%x: f32[4], %y: f32[4]) {
           %a = add %x, %y : f32[4]
           %s = sigmoid %a : f32[4]
           %b = mul %s, %a : f32[4]
           %t = softmax %a {axis = 0} : f32[4]
           return %b, %t
         }",
    );
    assert_eq!(found, ["add", "sigmoid+mul(v0, x1)", "softmax"]);
}

#[test]
fn values_with_two_users_are_stored() {
    let found = launched(
        "graph @g(%x: f32[4]) {
           %a = exp %x : f32[4]
           %b = neg %a : f32[4]
           %c = sqrt %a : f32[4]
           return %b, %c
         }",
    );
    assert_eq!(found, ["exp", "neg", "sqrt"]);
}

#[test]
fn outputs_are_stored() {
    let found = launched(
        "graph @g(%x: f32[4]) {
           %a = exp %x : f32[4]
           %b = neg %a : f32[4]
           return %a, %b
         }",
    );
    assert_eq!(found, ["exp", "neg"]);
}

#[test]
fn a_value_that_broadcasts_is_stored() {
    let found = launched(
        "graph @g(%x: f32[4], %y: f32[2, 4], %z: f32[1]) {
           %a = exp %x : f32[4]
           %b = add %a, %y : f32[2, 4]
           %c = exp %z : f32[1]
           %d = mul %b, %c : f32[2, 4]
           return %d
         }",
    );
    assert_eq!(found, ["exp", "exp", "add+mul(v0, x2)"]);
}

#[test]
fn other_ops_end_a_group() {
    let found = launched(
        "graph @g(%x: f32[4, 4]) {
           %a = exp %x : f32[4, 4]
           %b = softmax %a {axis = 1} : f32[4, 4]
           %c = neg %b : f32[4, 4]
           %d = transpose %c {perm = [1, 0]} : f32[4, 4]
           %e = sqrt %d : f32[4, 4]
           return %e
         }",
    );
    assert_eq!(found, ["exp", "softmax", "neg", "sqrt"]);
}

#[test]
fn the_target_limits_a_group() {
    let source = "graph @g(%x: f32[4], %y: f32[4], %z: f32[4]) {
       %a = add %x, %y : f32[4]
       %b = exp %a : f32[4]
       %c = add %b, %z : f32[4]
       %d = neg %c : f32[4]
       return %d
     }";
    let found = |max_operands| {
        steps_of(&program_of(parse(source).unwrap().remove(0), max_operands))
            .into_iter()
            .map(|step| step.split(" %").next().unwrap().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(found(3), ["add+exp(v0)+add(v1, x2)+neg(v2)"]);
    assert_eq!(found(2), ["add+exp(v0)", "add+neg(v0) b0:f32[4],"]);
    assert_eq!(found(0).len(), 4);
}

#[test]
fn strides_are_judged_by_the_reader() {
    let source = |op: &str| {
        format!(
            "graph @g(%x: f32[4, 4], %y: f32[4, 4]) {{
               %a = exp %x : f32[4, 4]
               %t = transpose %y {{perm = [1, 0]}} : f32[4, 4]
               %b = {op} %a, %t : f32[4, 4]
               return %b
             }}"
        )
    };
    let expected = "exp+mul(v0, x1) %x:f32[4, 4], %y:f32[4, 4] by [1, 4] -> b0:f32[4, 4]";
    assert_eq!(steps(&source("mul")), [expected]);
    let copied = [
        "copy %y:f32[4, 4] by [1, 4] -> b0:f32[4, 4]",
        "exp+swiglu(v0, x1) %x:f32[4, 4], b0:f32[4, 4] -> b1:f32[4, 4]",
    ];
    assert_eq!(steps(&source("swiglu")), copied);
}

#[test]
fn products_of_gate_and_up_apart_make_one_tail() {
    let found = launched(
        "graph @g(%x: f32[2, 4]) {
           %wg = weight {name = \"gate\"} : f32[8, 4]
           %gate = matmul %x, %wg {transpose_rhs = true} : f32[2, 8]
           %wu = weight {name = \"up\"} : f32[8, 4]
           %up = matmul %x, %wu {transpose_rhs = true} : f32[2, 8]
           %y = swiglu %gate, %up : f32[2, 8]
           return %y
         }",
    );
    assert_eq!(found, ["matmul", "matmul+swiglu(v0, x2)"]);
}

/// A group reads what its first member reads later than that member stands in the order. Growth in
/// place lies in between here, and writes behind the positions that the group reads.
#[test]
fn growth_in_place_leaves_what_a_group_reads() {
    let found = steps(
        "graph @g(%x: f32[1, S, 4], %past: state f32[1, P, 4])
         where S in 1..=64, P in 0..=64, T = S + P {
           %a = exp %past : f32[1, P, 4]
           %k = kv_append %past, %x {axis = 1} : f32[1, T, 4]
           %m = reduce_max %k {axis = 1} : f32[1, 1, 4]
           %y = mul %a, %m : f32[1, P, 4]
           return %y, %k -> %past
         }",
    );
    let group = found.iter().position(|step| step.starts_with("exp+mul")).unwrap();
    let growth = found.iter().position(|step| step.starts_with("copy")).unwrap();
    assert!(growth < group, "{found:?}");
    assert!(found[growth].contains("-> %past+4*P:f32[1, S, 4]"), "{found:?}");
    assert!(found[group].contains(" %past:f32[1, P, 4]"), "{found:?}");
}

/// The next value of a state that does not grow is written behind every launch.
#[test]
fn a_state_is_replaced_behind_every_group() {
    let found = steps(
        "graph @g(%x: f32[4], %old: state f32[4]) {
           %a = exp %old : f32[4]
           %next = add %old, %x : f32[4]
           %y = mul %a, %x : f32[4]
           return %y, %next -> %old
         }",
    );
    let expected = [
        "exp+mul(v0, x1) %old:f32[4], %x:f32[4] -> b0:f32[4]",
        "add %old:f32[4], %x:f32[4] -> b1:f32[4]",
        "copy b1:f32[4] -> %old:f32[4]",
    ];
    assert_eq!(found, expected);
}
