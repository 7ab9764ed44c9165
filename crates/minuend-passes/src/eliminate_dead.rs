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
