//! The names that values have in print: unique, and readable by the parser.

use std::collections::{HashMap, HashSet};

use super::lex::value_label;
use crate::graph::Graph;
use crate::order::topological;
use crate::value::{NodeId, ValueId};

/// A name of every value that is printed: parameters and what the return needs.
pub struct ValueNames(HashMap<ValueId, String>);

/// True for a name that only stands for a number.
pub(super) fn is_number(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

impl ValueNames {
    /// The names of a graph's values. Values keep their names; of values of one name, the later in
    /// print order get the suffix `.2`, `.3`; values without a name are numbered in print order.
    pub fn new(graph: &Graph) -> ValueNames {
        ValueNames::in_order(graph, &topological(graph))
    }

    /// The same, for an order taken already.
    pub(crate) fn in_order(graph: &Graph, order: &[NodeId]) -> ValueNames {
        let mut naming = Naming::default();
        let mut names = HashMap::new();
        for id in graph.inputs().iter().chain(order) {
            for (result, name) in (0..=u16::MAX).zip(&graph.node(*id).names) {
                let value = id.result(result);
                names.entry(value).or_insert_with(|| naming.unique(name.as_deref()));
            }
        }
        ValueNames(names)
    }

    /// The value's name with its sign: `%x`, `%"a b"`, `%12`. A dead value is `%?`.
    pub fn of(&self, value: ValueId) -> String {
        match self.0.get(&value) {
            Some(name) => value_label(name),
            None => "%?".to_string(),
        }
    }
}

#[derive(Default)]
struct Naming {
    taken: HashSet<String>,
    /// The next suffix to try, by name.
    suffixes: HashMap<String, usize>,
    numbered: usize,
}

impl Naming {
    fn unique(&mut self, name: Option<&str>) -> String {
        let Some(name) = name.filter(|name| !is_number(name)) else {
            self.numbered += 1;
            return (self.numbered - 1).to_string();
        };
        if self.taken.insert(name.to_string()) {
            return name.to_string();
        }
        let suffix = self.suffixes.entry(name.to_string()).or_insert(2);
        loop {
            let unique = format!("{name}.{suffix}");
            *suffix += 1;
            if self.taken.insert(unique.clone()) {
                return unique;
            }
        }
    }
}
