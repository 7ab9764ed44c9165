//! Decomposes what a target has no kernel for, until every op is native to it.

use minuend_ir::decompose::decompose;
use minuend_ir::order::topological;
use minuend_ir::{Graph, IllegalOp, Legality, NodeId, OpInstance, OpSupport, Patch, PatchBuilder};

use crate::pass::{Changed, Pass, PassContext, PassError};
use crate::remark::label;

/// The pass `legalize`. A graph cannot run without it, so `stop_after` does not count what it does.
pub struct Legalize<'t> {
    target: &'t dyn OpSupport,
}

impl<'t> Legalize<'t> {
    /// Legalization for one target.
    pub fn new(target: &'t dyn OpSupport) -> Legalize<'t> {
        Legalize { target }
    }

    /// Asks about every node once and decomposes where the target wants it. Returns how many nodes were
    /// decomposed, and the ops that no kernel and no decomposition helps.
    fn sweep(
        &self,
        graph: &mut Graph,
        cx: &mut PassContext,
    ) -> Result<(usize, Vec<IllegalOp>), PassError> {
        let mut decomposed = 0;
        let mut unsupported = Vec::new();
        for at in topological(graph) {
            // Gone with an earlier decomposition, or its index given to a new node: that is asked about
            // as good as any.
            if !graph.contains(at) {
                continue;
            }
            let legality = self.target.legality(&OpInstance::of(graph, at));
            let reason = match legality {
                Legality::Native => continue,
                Legality::Unsupported { reason } => reason,
                Legality::Decompose { reason } => match decomposition(graph, at)? {
                    Some(patch) => {
                        let op = graph.node(at).op.mnemonic();
                        cx.remark(graph, at, format!("{op} is decomposed: {reason}"));
                        let place = label(graph, at);
                        graph.apply(patch).map_err(|source| PassError::Patch {
                            rewrite: "decompose",
                            at: place,
                            source,
                        })?;
                        decomposed += 1;
                        continue;
                    }
                    None => format!("{reason}, and it has no decomposition"),
                },
            };
            let op = graph.node(at).op.mnemonic();
            unsupported.push(IllegalOp { at: label(graph, at), op, reason });
        }
        Ok((decomposed, unsupported))
    }
}

/// The edit that puts the decomposition of a node's op in its place; none for a primitive op.
fn decomposition(graph: &Graph, at: NodeId) -> Result<Option<Patch>, PassError> {
    let mut patch = PatchBuilder::new(graph);
    let parts =
        decompose(&graph.node(at).op, &graph.operands(at), &mut patch).map_err(|source| {
            PassError::IllTyped { rewrite: "decompose", at: label(graph, at), source }
        })?;
    let Some(parts) = parts else { return Ok(None) };
    for (result, part) in (0u16..).zip(parts) {
        patch.replace(at.result(result), part);
    }
    Ok(Some(patch.finish()))
}

impl Pass for Legalize<'_> {
    fn name(&self) -> &'static str {
        "legalize"
    }

    /// Decomposes until a sweep finds nothing to decompose, then reports every op that the target
    /// cannot run in one error.
    fn run(&self, graph: &mut Graph, cx: &mut PassContext) -> Result<Changed, PassError> {
        let limit = 1000 + 50 * graph.len();
        let mut total = 0;
        loop {
            let (decomposed, unsupported) = self.sweep(graph, cx)?;
            total += decomposed;
            if total > limit {
                return Err(PassError::NoFixpoint { pass: self.name(), limit });
            }
            match (decomposed, unsupported.is_empty()) {
                (0, true) => break,
                (0, false) => return Err(PassError::Unsupported(unsupported)),
                _ => {}
            }
        }
        Ok(if total > 0 { Changed::Yes } else { Changed::No })
    }
}
