//! What the import of one node sees: its inputs and attributes, and the graph that grows.

use std::rc::Rc;

use bytes::Bytes;
use minuend_ir::{DType, Dim, Emit, Graph, Shape, SymbolTable, TypeError, TypeErrorKind, ValueId};

use crate::flatten::FlatNode;
use crate::import::Importer;
use crate::proto::{AttributeProto, GraphProto, TensorProto};
use crate::stored::Stored;
use crate::value::{Sizes, Value};

/// Why a node is not imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// What was found and expected, and the smallest change that would help.
    Because { found: String, help: String },
    /// A result that may hold more elements than there can be, with the ranges that sizes have.
    TooLarge { found: String },
    /// A range became narrower; the next try may succeed.
    Narrowed,
}

impl Refusal {
    pub(crate) fn new(found: impl Into<String>, help: impl Into<String>) -> Refusal {
        Refusal::Because { found: found.into(), help: help.into() }
    }
}

impl From<TypeError> for Refusal {
    fn from(error: TypeError) -> Refusal {
        let found = error.to_string();
        match error.kind {
            TypeErrorKind::Size { .. } => Refusal::TooLarge { found },
            _ => Refusal::new(found, ""),
        }
    }
}

impl From<String> for Refusal {
    fn from(found: String) -> Refusal {
        Refusal::new(found, "")
    }
}

/// The results of a node, in the order of its outputs.
pub(crate) type Results = Result<Vec<Value>, Refusal>;

/// One node and what it is imported into.
pub(crate) struct Node<'a> {
    pub(crate) importer: &'a mut Importer,
    pub(crate) flat: &'a FlatNode,
}

/// One result, a value of the graph.
pub(crate) fn one(value: ValueId) -> Results {
    Ok(vec![Value::Tensor(value)])
}

impl Node<'_> {
    /// Where ops are added.
    pub(crate) fn graph(&mut self) -> &mut Graph {
        &mut self.importer.graph
    }

    pub(crate) fn symbols(&self) -> &SymbolTable {
        self.importer.graph.symbols()
    }

    /// The version of the node's operator set.
    pub(crate) fn opset(&self) -> i64 {
        self.flat.opset
    }

    /// Number of outputs that have a name.
    pub(crate) fn outputs(&self) -> usize {
        self.flat.node.output.len()
    }

    /// True if the output is asked for.
    pub(crate) fn has_output(&self, index: usize) -> bool {
        self.flat.node.output.get(index).is_some_and(|name| !name.is_empty())
    }

    /// Number of inputs, with those left out in between.
    pub(crate) fn inputs(&self) -> usize {
        self.flat.node.input.len()
    }

    fn input_name(&self, index: usize) -> Option<&str> {
        self.flat.node.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// True if the input is given.
    pub(crate) fn has(&self, index: usize) -> bool {
        self.input_name(index).is_some()
    }

    /// The input as it is known.
    pub(crate) fn value(&self, index: usize) -> Result<&Value, Refusal> {
        let missing = || Refusal::new(format!("input {index} is missing"), "");
        let name = self.input_name(index).ok_or_else(missing)?;
        self.importer.value(name).ok_or_else(missing)
    }

    /// The input as a value of the graph.
    pub(crate) fn tensor(&mut self, index: usize) -> Result<ValueId, Refusal> {
        let value = self.value(index)?.clone();
        self.importer.tensor(&value)
    }

    /// As [`Node::tensor`]; `None` for an input that is left out.
    pub(crate) fn optional_tensor(&mut self, index: usize) -> Result<Option<ValueId>, Refusal> {
        if self.has(index) { self.tensor(index).map(Some) } else { Ok(None) }
    }

    /// The shape of an input.
    pub(crate) fn shape(&self, index: usize) -> Result<Shape, Refusal> {
        Ok(self.importer.shape(self.value(index)?))
    }

    /// The integers of an input that are known as functions of the sizes; `None` for other inputs.
    pub(crate) fn known_sizes(&self, index: usize) -> Result<Option<Sizes>, Refusal> {
        Ok(match self.value(index)? {
            Value::Sizes(sizes) => Some(sizes.clone()),
            Value::Stored(stored) => stored.ints().map(|ints| Sizes {
                dtype: stored.dtype,
                shape: stored.shape.clone(),
                elements: ints.into_iter().map(Dim::from).collect(),
            }),
            Value::Tensor(_) | Value::Unknown => None,
        })
    }

    /// The integers of an input that must be known as functions of the sizes.
    pub(crate) fn sizes(&self, index: usize, what: &str) -> Result<Vec<Dim>, Refusal> {
        self.known_sizes(index)?.map(|sizes| sizes.elements).ok_or_else(|| {
            Refusal::new(
                format!("{what} (input {index}) are computed from data"),
                "make them constants, or functions of the input's sizes",
            )
        })
    }

    /// The integers of an input that must be constants.
    pub(crate) fn ints(&self, index: usize, what: &str) -> Result<Vec<i64>, Refusal> {
        let sizes = self.sizes(index, what)?;
        sizes.iter().map(Dim::as_const).collect::<Option<_>>().ok_or_else(|| {
            Refusal::new(format!("{what} (input {index}) depend on sizes"), "make them constants")
        })
    }

    /// A stored tensor of the file.
    pub(crate) fn stored(&self, index: usize) -> Option<Rc<Stored>> {
        match self.value(index) {
            Ok(Value::Stored(stored)) => Some(Rc::clone(stored)),
            _ => None,
        }
    }

    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.flat.node.attribute.iter().find(|attribute| attribute.name == name)
    }

    /// True if the attribute is given.
    pub(crate) fn has_attribute(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    pub(crate) fn attr_int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.i)
    }

    pub(crate) fn attr_float(&self, name: &str, default: f32) -> f64 {
        f64::from(self.attribute(name).map_or(default, |attribute| attribute.f))
    }

    pub(crate) fn attr_ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice())
    }

    pub(crate) fn attr_floats(&self, name: &str) -> Option<&[f32]> {
        self.attribute(name).map(|attribute| attribute.floats.as_slice())
    }

    pub(crate) fn attr_text(&self, name: &str) -> Option<String> {
        let text: &Bytes = &self.attribute(name)?.s;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    pub(crate) fn attr_tensor(&self, name: &str) -> Option<&TensorProto> {
        self.attribute(name)?.t.as_ref()
    }

    pub(crate) fn attr_graph(&self, name: &str) -> Option<&GraphProto> {
        self.attribute(name)?.g.as_ref()
    }

    /// An axis that counts from the end if it is negative.
    pub(crate) fn axis(&self, axis: i64, rank: usize) -> Result<usize, Refusal> {
        resolved_axis(axis, rank).ok_or_else(|| {
            let found = format!("axis {axis} of a tensor of {rank} axes");
            Refusal::new(found, format!("expected -{rank} to {}", rank.saturating_sub(1)))
        })
    }

    /// Several axes, each once, in increasing order.
    pub(crate) fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>, Refusal> {
        let mut resolved = Vec::with_capacity(axes.len().min(rank));
        for axis in axes {
            let axis = self.axis(*axis, rank)?;
            if resolved.contains(&axis) {
                return Err(Refusal::new(format!("axis {axis} is given twice"), ""));
            }
            resolved.push(axis);
        }
        resolved.sort_unstable();
        Ok(resolved)
    }

    /// Axes that are an input in newer operator sets and an attribute in older ones.
    pub(crate) fn axes_argument(&self, index: usize) -> Result<Option<Vec<i64>>, Refusal> {
        if self.has(index) {
            return self.ints(index, "axes").map(Some);
        }
        Ok(self.attr_ints("axes").map(<[i64]>::to_vec))
    }

    /// Takes note that `dim` must not be negative: it is so already, or a symbol's range is narrowed.
    pub(crate) fn demand_at_least_zero(
        &mut self,
        dim: &Dim,
        found: impl FnOnce(&SymbolTable) -> String,
    ) -> Result<(), Refusal> {
        let symbols = self.importer.graph.symbols();
        if dim.at_least(0, symbols) {
            return Ok(());
        }
        if self.importer.ranges.demand_at_least_zero(dim, symbols) {
            return Err(Refusal::Narrowed);
        }
        Err(Refusal::new(found(symbols), ""))
    }

    /// A float scalar of the element type of `like`.
    pub(crate) fn real_like(&mut self, like: ValueId, value: f64) -> Result<ValueId, Refusal> {
        let dtype = self.graph().type_of(like).dtype;
        Ok(self.graph().real(dtype, value)?)
    }

    /// The element type that a float type of the file has in the graph.
    pub(crate) fn activation(&self, dtype: DType) -> DType {
        self.importer.activation(dtype)
    }
}

/// An axis that counts from the end if it is negative.
pub(crate) fn resolved_axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let axis = if axis < 0 { axis.checked_add(rank)? } else { axis };
    usize::try_from(axis).ok().filter(|_| axis < rank)
}
