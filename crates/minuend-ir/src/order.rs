//! The order in which a graph is printed, rewritten and run.

use std::collections::HashMap;

use crate::graph::Graph;
use crate::value::NodeId;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Open,
    Done,
}

/// The nodes that the return needs, each behind its operands, the return last.
///
/// The order is a function of the graph's meaning alone: depth first from the return in order of
/// operands, never of the order in which nodes were added. On a cyclic graph, which the verifier
/// rejects, the edge that closes the cycle is passed over.
pub fn topological(graph: &Graph) -> Vec<NodeId> {
    walk(graph).0
}

/// A node on a cycle, if there is one among the nodes that the return needs.
pub(crate) fn find_cycle(graph: &Graph) -> Option<NodeId> {
    walk(graph).1
}

fn walk(graph: &Graph) -> (Vec<NodeId>, Option<NodeId>) {
    let mut order = Vec::with_capacity(graph.len());
    let mut cycle = None;
    let mut marks: HashMap<NodeId, Mark> = HashMap::with_capacity(graph.len());
    let mut stack = Vec::new();
    if let Some(ret) = graph.return_node() {
        marks.insert(ret, Mark::Open);
        stack.push((ret, graph.operands(ret), 0));
    }
    while let Some((id, operands, next)) = stack.last_mut() {
        let Some(operand) = operands.get(*next).map(|value| value.node) else {
            marks.insert(*id, Mark::Done);
            order.push(*id);
            stack.pop();
            continue;
        };
        *next += 1;
        match marks.get(&operand) {
            Some(Mark::Done) => {}
            Some(Mark::Open) => cycle = Some(operand),
            None => {
                marks.insert(operand, Mark::Open);
                stack.push((operand, graph.operands(operand), 0));
            }
        }
    }
    (order, cycle)
}
