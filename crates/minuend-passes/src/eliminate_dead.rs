//! Removes what the return does not need.

use minuend_ir::Graph;

use crate::pass::{Changed, Pass, PassContext, PassError};

/// The pass `eliminate-dead`. Inputs stay: they are the graph's signature. It is no rewrite that
/// `stop_after` counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct EliminateDead;

impl Pass for EliminateDead {
    fn name(&self) -> &'static str {
        "eliminate-dead"
    }

    fn run(&self, graph: &mut Graph, _: &mut PassContext) -> Result<Changed, PassError> {
        Ok(if graph.remove_unreachable() > 0 { Changed::Yes } else { Changed::No })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{graph_of, run};
    use minuend_ir::ops::UnaryOp;
    use minuend_ir::{DType, Emit, TensorType};

    #[test]
    fn dead_nodes_go_and_inputs_stay() {
        let graph = graph_of(|graph| {
            let x = graph.argument("x", TensorType::fixed(DType::F32, &[4])).unwrap();
            let unused = graph.argument("y", TensorType::fixed(DType::F32, &[4])).unwrap();
            let dead = graph.unary(UnaryOp::Exp, unused).unwrap();
            graph.unary(UnaryOp::Neg, dead).unwrap();
            vec![graph.unary(UnaryOp::Abs, x).unwrap()]
        });
        let ran = run(&graph, &EliminateDead, &[]);
        assert_eq!((ran.changed, ran.graph.len()), (Changed::Yes, 4));
        assert_eq!(ran.graph.inputs().len(), 2);
        assert_eq!(run(&ran.graph, &EliminateDead, &[]).changed, Changed::No);
    }
}
