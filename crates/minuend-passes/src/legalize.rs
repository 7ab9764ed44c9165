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
            PassError::IllTyped {
                rewrite: "decompose",
                at: label(graph, at),
                source: Box::new(source),
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{graph_of, run};
    use minuend_ir::ops::{DiffAttention, HeadPairing, Mask, RmsNorm, UnaryOp};
    use minuend_ir::{DType, Emit, Op, Real, TensorType};

    /// A target that decomposes and refuses ops by name.
    struct Target {
        decomposed: &'static [&'static str],
        refused: &'static [&'static str],
    }

    impl OpSupport for Target {
        fn legality(&self, op: &OpInstance<'_>) -> Legality {
            let name = op.op.mnemonic();
            if self.refused.contains(&name) {
                Legality::Unsupported { reason: "not here".into() }
            } else if self.decomposed.contains(&name) {
                Legality::Decompose { reason: "no kernel".into() }
            } else {
                Legality::Native
            }
        }
    }

    fn block() -> Graph {
        graph_of(|graph| {
            let mut tensor = |name: &str, heads: usize, features: usize| {
                graph
                    .argument(name, TensorType::fixed(DType::F32, &[1, heads, 3, features]))
                    .unwrap()
            };
            let operands =
                [tensor("q", 4, 8), tensor("k", 2, 8), tensor("v", 2, 8), tensor("lambda", 2, 1)];
            let attention = DiffAttention {
                pairing: HeadPairing::Interleaved,
                mask: Mask::Causal,
                scale: Real::new(0.25),
            };
            let o = graph.value(Op::DiffAttention(attention), &operands).unwrap();
            let w = graph.weight("w", TensorType::fixed(DType::F32, &[8])).unwrap();
            let norm = Op::AddRmsNorm(RmsNorm { epsilon: Real::new(1e-6) });
            let norm = graph.emit(norm, &[o, o, w]).unwrap();
            vec![norm.result(0), norm.result(1)]
        })
    }

    #[test]
    fn decompositions_are_decomposed() {
        let target = Target {
            decomposed: &["diff_attention", "attention", "add_rms_norm", "rms_norm"],
            refused: &[],
        };
        let ran = run(&block(), &Legalize::new(&target), &[]);
        assert!(ran.ops().iter().all(|op| !target.decomposed.contains(op)));
        assert!(ran.ops().contains(&"softmax"));
        assert_eq!(ran.remarks.len(), 4);
        assert!(ran.remarks.iter().any(|r| r.ends_with("attention is decomposed: no kernel")));
    }

    #[test]
    fn native_ops_stay() {
        let target = Target { decomposed: &["rope"], refused: &["gather"] };
        let ran = run(&block(), &Legalize::new(&target), &[]);
        assert_eq!((ran.changed, ran.ops()), (Changed::No, vec!["diff_attention", "add_rms_norm"]));
    }

    #[test]
    fn stop_after_does_not_count_it() {
        let target = Target { decomposed: &["diff_attention"], refused: &[] };
        let mut cx = PassContext::new(Some(0));
        let mut graph = block();
        assert_eq!(Legalize::new(&target).run(&mut graph, &mut cx), Ok(Changed::Yes));
        assert!(graph.op_counts().contains_key("attention"));
    }

    #[test]
    fn everything_the_target_lacks_is_in_one_error() {
        let target = Target {
            decomposed: &["diff_attention", "attention", "exp"],
            refused: &["softmax", "sin"],
        };
        let mut graph = block();
        let o = graph.outputs()[0];
        let e = graph.unary(UnaryOp::Exp, o).unwrap();
        let s = graph.unary(UnaryOp::Sin, e).unwrap();
        graph.set_name(s, "s");
        graph.set_return(&[s], &[]).unwrap();
        let result = Legalize::new(&target).run(&mut graph, &mut PassContext::new(None));
        let Err(PassError::Unsupported(ops)) = result else { panic!("{result:?}") };
        let found: Vec<(&str, &str)> = ops.iter().map(|op| (op.op, op.reason.as_str())).collect();
        let without = "no kernel, and it has no decomposition";
        assert_eq!(found, [("softmax", "not here"), ("exp", without), ("sin", "not here")]);
        assert_eq!(ops[2].at, "%s");
    }
}
