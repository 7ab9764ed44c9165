//! A graph as Graphviz input: `minuend ... | dot -Tsvg`.

use std::fmt::Write;

use crate::graph::Graph;
use crate::op::Op;
use crate::order::topological;
use crate::text::{DisplayAttribute, ValueNames, attributes_of};
use crate::value::NodeId;

/// Literals of more values than this are drawn without them.
const MAX_SHOWN_VALUES: usize = 4;

/// The graph in the DOT language: a box for each op that the return needs and for each parameter,
/// small ellipses for weights and literals, an edge for each operand.
pub fn dot(graph: &Graph) -> String {
    let order = topological(graph);
    let names = ValueNames::in_order(graph, &order);
    let mut text = format!("digraph {} {{\n", quote(graph.name()));
    text.push_str("  node [fontname = \"monospace\", fontsize = 10, shape = box];\n");
    text.push_str("  edge [fontname = \"monospace\", fontsize = 8];\n");
    let dead_inputs = graph.inputs().iter().filter(|input| !order.contains(input));
    for id in dead_inputs.chain(&order) {
        let style = match &graph.node(*id).op {
            Op::Weight(_) | Op::Constant(_) => ", shape = ellipse, fontsize = 8",
            Op::Input(_) | Op::Return(_) => ", style = bold",
            _ => "",
        };
        let label = quote(&label(graph, &names, *id));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  n{} [label = {label}{style}];", id.index());
    }
    for id in &order {
        for value in graph.operands(*id) {
            let name = quote(&names.of(value));
            let (from, to) = (value.node.index(), id.index());
            let _ = writeln!(text, "  n{from} -> n{to} [label = {name}];");
        }
    }
    text.push_str("}\n");
    text
}

/// Mnemonic, attributes, then name and type of each result, one to a line.
fn label(graph: &Graph, names: &ValueNames, id: NodeId) -> String {
    let node = graph.node(id);
    let symbols = graph.symbols();
    let mut lines = vec![node.op.mnemonic().to_string()];
    let is_long = matches!(&node.op, Op::Constant(op) if op.values.len() > MAX_SHOWN_VALUES);
    if is_long {
        lines.push("value = ...".to_string());
    } else {
        for (name, value) in attributes_of(&node.op) {
            lines.push(format!("{name} = {}", DisplayAttribute { value, symbols }));
        }
    }
    for (result, ty) in (0..=u16::MAX).zip(&node.results) {
        lines.push(format!("{}: {}", names.of(id.result(result)), ty.display(symbols)));
    }
    lines.join("\n")
}

/// A DOT string: quotes and backslashes escaped, a line break as `\n`.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_edges_and_escapes() {
        let source = r#"graph @"a \"b\""(%x: f32[4], %unused: f32[]) {
  %w = weight {name = "model\\w"} : f32[4]
  %y = mul %x, %w : f32[4]
  return %y
}
"#;
        let graphs = crate::text::parse(source).unwrap();
        let expected = r#"digraph "a \"b\"" {
  node [fontname = "monospace", fontsize = 10, shape = box];
  edge [fontname = "monospace", fontsize = 8];
  n1 [label = "input\n%unused: f32[]", style = bold];
  n0 [label = "input\n%x: f32[4]", style = bold];
  n2 [label = "weight\nname = \"model\\\\w\"\n%w: f32[4]", shape = ellipse, fontsize = 8];
  n3 [label = "mul\n%y: f32[4]"];
  n4 [label = "return", style = bold];
  n0 -> n3 [label = "%x"];
  n2 -> n3 [label = "%w"];
  n3 -> n4 [label = "%y"];
}
"#;
        assert_eq!(dot(&graphs[0]), expected);
    }
}
