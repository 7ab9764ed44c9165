//! Branches whose condition is known while importing.

use crate::node::{Node, Refusal, Results};
use crate::value::Value;

/// `If`: the branch that is taken, in place of the node.
pub(super) fn branch(n: &mut Node<'_>) -> Results {
    let condition = match n.value(0)? {
        Value::Stored(stored) => stored.bools().and_then(|truths| truths.first().copied()),
        _ => None,
    };
    let condition = condition.ok_or_else(|| {
        Refusal::new(
            "its condition is computed from data",
            "export with one branch, or with a condition that sizes decide",
        )
    })?;
    let name = if condition { "then_branch" } else { "else_branch" };
    let graph = n.attr_graph(name).cloned();
    let graph = graph.ok_or_else(|| Refusal::new(format!("{name} is missing"), ""))?;
    let opset = n.opset();
    let results = n.importer.inner(&graph, opset)?;
    // What went wrong inside has been said.
    if results.iter().any(|value| matches!(value, Value::Unknown)) {
        return Err(Refusal::Narrowed);
    }
    Ok(results)
}
