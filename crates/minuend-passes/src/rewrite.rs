//! Local rewrites and their driver.

use minuend_ir::order::topological;
use minuend_ir::{Graph, NodeId, Patch, TypeError};

use crate::pass::{Changed, Pass, PassContext, PassError};
use crate::remark::label;

/// What trying a rewrite gives: an edit, or nothing where the pattern does not match.
pub type Rewritten = Result<Option<Patch>, TypeError>;

/// A local rewrite: tried at every node, reads the graph, returns an edit.
pub trait Rewrite {
    /// The name in logs: `drop-identity-reshape`.
    fn name(&self) -> &'static str;

    /// The edit at this node, if the pattern ends here. Near-misses go to `cx` as remarks.
    fn try_at(&self, graph: &Graph, at: NodeId, cx: &mut PassContext) -> Rewritten;
}

/// A rewrite that is one function without state.
pub struct Rule {
    /// The name in logs.
    pub name: &'static str,
    /// See [`Rewrite::try_at`].
    pub try_at: fn(&Graph, NodeId, &mut PassContext) -> Rewritten,
}

impl Rewrite for Rule {
    fn name(&self) -> &'static str {
        self.name
    }

    fn try_at(&self, graph: &Graph, at: NodeId, cx: &mut PassContext) -> Rewritten {
        (self.try_at)(graph, at, cx)
    }
}

/// A pass that is a set of rewrites, applied until none matches.
pub struct RewritePass {
    name: &'static str,
    rewrites: Vec<Box<dyn Rewrite>>,
}

impl RewritePass {
    /// A pass of these rewrites; earlier ones are tried first.
    pub fn new(name: &'static str, rewrites: Vec<Box<dyn Rewrite>>) -> RewritePass {
        RewritePass { name, rewrites }
    }

    /// A pass of rules.
    pub fn of_rules(name: &'static str, rules: Vec<Rule>) -> RewritePass {
        let boxed = rules.into_iter().map(|rule| -> Box<dyn Rewrite> { Box::new(rule) });
        RewritePass::new(name, boxed.collect())
    }

    /// Tries every rewrite at a node; true if one was applied.
    fn rewrite_at(
        &self,
        graph: &mut Graph,
        at: NodeId,
        cx: &mut PassContext,
    ) -> Result<bool, PassError> {
        for rewrite in &self.rewrites {
            let name = rewrite.name();
            let patch = rewrite.try_at(graph, at, cx).map_err(|source| PassError::IllTyped {
                rewrite: name,
                at: label(graph, at),
                source: Box::new(source),
            })?;
            let Some(patch) = patch else { continue };
            if !cx.permit(name, graph, at) {
                return Ok(false);
            }
            let place = label(graph, at);
            graph.apply(patch).map_err(|source| PassError::Patch {
                rewrite: name,
                at: place,
                source,
            })?;
            return Ok(true);
        }
        Ok(false)
    }
}

impl Pass for RewritePass {
    fn name(&self) -> &'static str {
        self.name
    }

    /// Sweeps over the graph in topological order until a sweep changes nothing. The number of
    /// rewrites is bounded by the size of the graph; passing the bound is an error, never a silent stop.
    fn run(&self, graph: &mut Graph, cx: &mut PassContext) -> Result<Changed, PassError> {
        let limit = 1000 + 50 * graph.len();
        let mut applied = 0;
        loop {
            cx.clear_remarks();
            let before = applied;
            for at in topological(graph) {
                // A node may have gone with an earlier edit of this sweep. If its index was given to a
                // new node, trying the rewrites there is as good as anywhere.
                while graph.contains(at) && self.rewrite_at(graph, at, cx)? {
                    applied += 1;
                    if applied > limit {
                        return Err(PassError::NoFixpoint { pass: self.name, limit });
                    }
                }
            }
            if applied == before || cx.is_exhausted() {
                break;
            }
        }
        Ok(if applied > 0 { Changed::Yes } else { Changed::No })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minuend_ir::ops::UnaryOp;
    use minuend_ir::{DType, Emit, Op, PatchBuilder, SymbolTable, TensorType};

    fn graph() -> Graph {
        let mut graph = Graph::new("g", SymbolTable::default());
        let x = graph.argument("x", TensorType::fixed(DType::F32, &[4])).unwrap();
        let y = graph.unary(UnaryOp::Neg, x).unwrap();
        graph.set_return(&[y], &[]).unwrap();
        graph
    }

    fn swap(graph: &Graph, at: NodeId, from: UnaryOp, to: UnaryOp) -> Rewritten {
        if graph.node(at).op != Op::Unary(from) {
            return Ok(None);
        }
        let mut patch = PatchBuilder::new(graph);
        let operands = graph.operands(at);
        let new = patch.value(Op::Unary(to), &operands)?;
        Ok(Some(patch.replacing(at.result(0), new)))
    }

    #[test]
    fn rules_that_undo_each_other_are_an_error() {
        let there = Rule {
            name: "there",
            try_at: |graph, at, _| swap(graph, at, UnaryOp::Neg, UnaryOp::Abs),
        };
        let back = Rule {
            name: "back",
            try_at: |graph, at, _| swap(graph, at, UnaryOp::Abs, UnaryOp::Neg),
        };
        let pass = RewritePass::of_rules("ping-pong", vec![there, back]);
        let result = pass.run(&mut graph(), &mut PassContext::new(None));
        assert!(matches!(result, Err(PassError::NoFixpoint { pass: "ping-pong", .. })));
    }

    #[test]
    fn stop_after_leaves_the_rest_alone() {
        let rule = || Rule {
            name: "there",
            try_at: |graph, at, _| swap(graph, at, UnaryOp::Neg, UnaryOp::Abs),
        };
        let pass = RewritePass::of_rules("once", vec![rule()]);
        let mut untouched = graph();
        assert_eq!(pass.run(&mut untouched, &mut PassContext::new(Some(0))), Ok(Changed::No));
        let mut cx = PassContext::new(Some(1));
        assert_eq!(pass.run(&mut untouched, &mut cx), Ok(Changed::Yes));
        assert_eq!(cx.log().len(), 1);
    }
}
