//! The verifier: every invariant of a graph, every violation collected.
//!
//! Structure (`structure.rs`): there is one return and every operand exists; operand slots are
//! `0, 1, ...` without gaps; there is no cycle; every state input has a next value, and only those.
//! Types (`types.rs`): inference, run again, gives the types that the graph records; a state's next
//! value has the state's type but for axes whose size is a symbol.
//! Levels (`levels.rs`): only ops and forms of the graph's level occur.
//!
//! Not checked: that names are unique (printing makes them so), that every node is needed (dead nodes
//! are legal), and that weights exist (the graph does not hold them).

mod levels;
mod structure;
mod types;

use std::fmt;

use crate::error::TypeErrorKind;
use crate::graph::{Graph, GraphLevel};
use crate::value::{NodeId, ValueId};

/// One violated invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyError {
    /// Where; `None` for the graph as a whole.
    pub at: Option<NodeId>,
    /// The place in words: `%o = diff_attention`.
    pub place: String,
    /// What is violated.
    pub kind: VerifyErrorKind,
}

/// The violated invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyErrorKind {
    /// There is no return.
    NoReturn,
    /// Operand slots have a gap or name one slot twice.
    Slots,
    /// An operand names a result that its node does not have.
    NoSuchResult,
    /// The node depends on itself.
    Cycle,
    /// Another number of next states than of state inputs.
    States {
        /// State inputs.
        inputs: usize,
        /// Next values.
        next: usize,
    },
    /// The op cannot be applied to these operands.
    Type {
        /// The fault.
        kind: TypeErrorKind,
        /// Name of the operand at fault: `%lam`.
        operand: Option<String>,
    },
    /// The recorded result type is not the inferred one.
    ResultType {
        /// Which result.
        result: usize,
        /// The recorded type.
        found: String,
        /// The inferred type.
        expected: String,
    },
    /// A state's next value has another type.
    StateType {
        /// The next value's type.
        found: String,
        /// The state's type.
        expected: String,
    },
    /// The op or its form is not allowed at the graph's level.
    Level {
        /// The graph's level.
        level: GraphLevel,
        /// Why not.
        rule: &'static str,
    },
}

impl fmt::Display for VerifyErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifyErrorKind::NoReturn => f.write_str("the graph has no return"),
            VerifyErrorKind::Slots => f.write_str("operand slots are not 0, 1, 2, ..."),
            VerifyErrorKind::NoSuchResult => f.write_str("an operand names a missing result"),
            VerifyErrorKind::Cycle => f.write_str("the node depends on itself"),
            VerifyErrorKind::States { inputs, next } => {
                write!(f, "{next} next states, expected one for each of {inputs} state inputs")
            }
            VerifyErrorKind::Type { kind, operand } => {
                match (kind.operand(), operand) {
                    (Some(slot), Some(name)) => write!(f, "operand {slot} ({name}): ")?,
                    (Some(slot), None) => write!(f, "operand {slot}: ")?,
                    (None, _) => {}
                }
                write!(f, "{}", kind.fault())
            }
            VerifyErrorKind::ResultType { result, found, expected } => {
                write!(f, "result {result} is declared {found}, inferred {expected}")
            }
            VerifyErrorKind::StateType { found, expected } => {
                write!(f, "next state is {found}, expected {expected} or larger symbolic axes")
            }
            VerifyErrorKind::Level { level, rule } => {
                write!(f, "not allowed at level {}: {rule}", level.name())
            }
        }
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.kind)
    }
}

/// Every violation found, in order of the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyErrors(pub Vec<VerifyError>);

impl fmt::Display for VerifyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for VerifyErrors {}

/// Violations found so far.
struct Findings<'g> {
    graph: &'g Graph,
    errors: Vec<VerifyError>,
}

impl Findings<'_> {
    fn push(&mut self, at: NodeId, kind: VerifyErrorKind) {
        let place = place(self.graph, at);
        self.errors.push(VerifyError { at: Some(at), place, kind });
    }

    fn push_graph(&mut self, kind: VerifyErrorKind) {
        let place = format!("graph @{}", self.graph.name());
        self.errors.push(VerifyError { at: None, place, kind });
    }
}

fn place(graph: &Graph, at: NodeId) -> String {
    let node = graph.node(at);
    let names: Vec<String> = node.names.iter().flatten().map(|name| format!("%{name}")).collect();
    if names.is_empty() {
        return node.op.mnemonic().to_string();
    }
    format!("{} = {}", names.join(", "), node.op.mnemonic())
}

fn value_label(graph: &Graph, value: ValueId) -> Option<String> {
    graph.value_name(value).map(|name| format!("%{name}"))
}

/// Checks every invariant, the level's among them.
pub fn verify(graph: &Graph) -> Result<(), VerifyErrors> {
    verify_at(graph, graph.level())
}

/// Checks every invariant as if the graph were at another level: between two levels a graph has left
/// the forms of the lower one behind and does not keep to those of the higher one yet.
pub fn verify_at(graph: &Graph, level: GraphLevel) -> Result<(), VerifyErrors> {
    let mut findings = Findings { graph, errors: Vec::new() };
    structure::check(&mut findings);
    // Types and levels are read through operands: a broken structure would only repeat itself there.
    if findings.errors.is_empty() {
        types::check(&mut findings);
        levels::check(&mut findings, level);
    }
    if findings.errors.is_empty() { Ok(()) } else { Err(VerifyErrors(findings.errors)) }
}
