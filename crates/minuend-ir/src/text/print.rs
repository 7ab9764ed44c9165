//! A graph as canonical text.

use std::fmt;

use super::attributes::{Attribute, attributes_of};
use super::lex::{bare_or_quoted, quote};
use super::names::ValueNames;
use crate::graph::{Graph, GraphLevel};
use crate::op::Op;
use crate::ops::{InputKind, Literal};
use crate::order::topological;
use crate::symbol::SymbolTable;
use crate::tensor_type::DisplayShape;
use crate::value::{NodeId, ValueId};

/// The canonical text of a graph, with a line break at the end.
pub fn print(graph: &Graph) -> String {
    graph.to_string()
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = topological(self);
        let printer = Printer { graph: self, names: ValueNames::in_order(self, &order) };
        printer.signature(f)?;
        for id in order {
            match &self.node(id).op {
                Op::Input(_) => {}
                Op::Return(_) => printer.end(f)?,
                op => printer.statement(id, op, f)?,
            }
        }
        f.write_str("}\n")
    }
}

struct Printer<'g> {
    graph: &'g Graph,
    names: ValueNames,
}

impl Printer<'_> {
    fn signature(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Some(self.graph.name()).filter(|name| !name.is_empty()).unwrap_or("unnamed");
        write!(f, "graph @{}(", bare_or_quoted(name))?;
        match self.graph.inputs() {
            [] => {}
            [only] => f.write_str(&self.parameter(*only))?,
            inputs => {
                f.write_str("\n")?;
                for input in inputs {
                    writeln!(f, "  {},", self.parameter(*input))?;
                }
            }
        }
        f.write_str(")")?;
        self.bounds(f)?;
        if self.graph.level() != GraphLevel::Source {
            write!(f, " level {}", self.graph.level().name())?;
        }
        f.write_str(" {\n")
    }

    fn parameter(&self, id: NodeId) -> String {
        let value = id.result(0);
        let state = match &self.graph.node(id).op {
            Op::Input(input) if input.kind == InputKind::State => "state ",
            _ => "",
        };
        let ty = self.graph.ty(value).display(self.graph.symbols());
        format!("{}: {state}{ty}", self.names.of(value))
    }

    fn bounds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symbols = self.graph.symbols();
        let ranges = symbols.symbols().map(|(_, info)| {
            let step = match info.multiple_of {
                1 => String::new(),
                step => format!(" step {step}"),
            };
            format!("{} in {}..={}{step}", info.name, info.min, info.max)
        });
        let aliases = symbols
            .aliases()
            .map(|(name, dim)| format!("{name} = {}", dim.display_expanded(symbols)));
        let bounds: Vec<String> = ranges.chain(aliases).collect();
        if bounds.is_empty() {
            return Ok(());
        }
        write!(f, " where {}", bounds.join(", "))
    }

    fn statement(&self, id: NodeId, op: &Op, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symbols = self.graph.symbols();
        let node = self.graph.node(id);
        let results = (0..=u16::MAX).zip(&node.results).map(|(result, _)| id.result(result));
        write!(f, "  {} = {}", self.list(results), op.mnemonic())?;
        let operands = self.list(self.graph.operands(id));
        if !operands.is_empty() {
            write!(f, " {operands}")?;
        }
        let attributes: Vec<String> = attributes_of(op)
            .into_iter()
            .map(|(name, value)| format!("{name} = {}", DisplayAttribute { value, symbols }))
            .collect();
        if !attributes.is_empty() {
            write!(f, " {{{}}}", attributes.join(", "))?;
        }
        let types: Vec<String> =
            node.results.iter().map(|ty| ty.display(symbols).to_string()).collect();
        writeln!(f, " : {}", types.join(", "))
    }

    fn end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outputs = self.graph.outputs().into_iter().map(|value| self.names.of(value));
        let states = self.graph.states().into_iter().map(|state| {
            format!("{} -> {}", self.names.of(state.next), self.names.of(state.input))
        });
        let values: Vec<String> = outputs.chain(states).collect();
        match values.as_slice() {
            [] => f.write_str("  return\n"),
            values => writeln!(f, "  return {}", values.join(", ")),
        }
    }

    fn list(&self, values: impl IntoIterator<Item = ValueId>) -> String {
        let names: Vec<String> = values.into_iter().map(|value| self.names.of(value)).collect();
        names.join(", ")
    }
}

/// An attribute's value as text.
pub(crate) struct DisplayAttribute<'g> {
    pub(crate) value: Attribute<'g>,
    pub(crate) symbols: &'g SymbolTable,
}

impl fmt::Display for DisplayAttribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Attribute::Axis(axis) => write!(f, "{axis}"),
            Attribute::Axes(axes) => one_or_list(axes, false, f),
            Attribute::Count(count) => write!(f, "{count}"),
            Attribute::Flag(flag) => write!(f, "{flag}"),
            Attribute::Word(word) => f.write_str(word),
            Attribute::Mask(mask) => write!(f, "{mask}"),
            Attribute::Real(real) => write!(f, "{real}"),
            Attribute::Size(dim) => write!(f, "{}", dim.display(self.symbols)),
            Attribute::Shape(shape) => {
                write!(f, "{}", DisplayShape { shape, symbols: self.symbols })
            }
            Attribute::Names(names) => {
                let names: Vec<String> = names.iter().map(|name| quote(name)).collect();
                one_or_list(&names, true, f)
            }
            Attribute::Literal(Literal::Reals(values)) => one_or_list(values, true, f),
            Attribute::Literal(Literal::Ints(values)) => one_or_list(values, true, f),
            Attribute::Literal(Literal::Bools(values)) => one_or_list(values, true, f),
        }
    }
}

/// Values in brackets, or a single value alone where that is the short form.
fn one_or_list<T: fmt::Display>(
    values: &[T],
    one_is_bare: bool,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    if let ([value], true) = (values, one_is_bare) {
        return write!(f, "{value}");
    }
    f.write_str("[")?;
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{value}")?;
    }
    f.write_str("]")
}
