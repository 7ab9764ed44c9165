//! What a graph takes and gives, by name, and what is wrong with tensors that are given.

use std::fmt;

use half::{bf16, f16};
use minuend_ir::{Bindings, DType, Dim, Graph, SymbolTable, TensorType};
use minuend_runtime::HostTensor;

/// A name and the type of what it stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedType {
    /// The name in the file.
    pub name: String,
    /// Element type and sizes.
    pub ty: TensorType,
}

/// Inputs and outputs of a graph, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// What each run is given.
    pub inputs: Vec<NamedType>,
    /// What each run gives.
    pub outputs: Vec<NamedType>,
    /// The symbols of the types, with their ranges.
    pub symbols: SymbolTable,
}

/// All that is wrong with the inputs of a run: one on a line, of several each on its own below a headline.
#[derive(Clone, Debug, PartialEq)]
pub struct InputProblems(pub Vec<InputProblem>);

impl std::error::Error for InputProblems {}

impl fmt::Display for InputProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [problem] => write!(f, "{problem}"),
            problems => {
                write!(f, "{} problems with the inputs", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

/// What is wrong with one input of a run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InputProblem {
    /// It is not given.
    #[error("input {name} is missing, expected {expected}")]
    Missing {
        /// The input.
        name: String,
        /// Its type.
        expected: String,
    },
    /// There is none of that name.
    #[error("unknown input {name}, expected {known}")]
    Unknown {
        /// The name given.
        name: String,
        /// The names of all inputs.
        known: String,
    },
    /// It is given more than once.
    #[error("input {name} is given twice")]
    Repeated {
        /// The input.
        name: String,
    },
    /// It is of another element type.
    #[error("input {name} is of type {found}, expected {expected}")]
    Type {
        /// The input.
        name: String,
        /// Its element type.
        found: DType,
        /// The declared one.
        expected: DType,
    },
    /// It has another number of axes.
    #[error("input {name} has {found} axes, expected {expected}")]
    Rank {
        /// The input.
        name: String,
        /// Its number of axes.
        found: usize,
        /// The declared number and type.
        expected: String,
    },
    /// An axis is of a size that it may not have.
    #[error("input {name}, axis {axis}: {found}, expected {expected}")]
    Size {
        /// The input.
        name: String,
        /// The axis.
        axis: usize,
        /// Its size.
        found: usize,
        /// The sizes that would do.
        expected: String,
    },
    /// A finite value that the element type of the computation does not hold.
    #[error("input {name} has the value {value}, which {dtype} cannot hold; use f32")]
    Range {
        /// The input.
        name: String,
        /// The value.
        value: f32,
        /// The element type.
        dtype: DType,
    },
}

impl Signature {
    /// Arguments and outputs of a graph whose outputs have these names.
    pub(crate) fn of(graph: &Graph, output_names: &[String]) -> Signature {
        let inputs = graph.inputs().iter().map(|input| {
            let value = input.result(0);
            let name = graph.value_name(value).map(|name| name.to_string()).unwrap_or_default();
            NamedType { name, ty: graph.ty(value).clone() }
        });
        let outputs = graph.outputs().into_iter().zip(output_names);
        let outputs = outputs
            .map(|(value, name)| NamedType { name: name.clone(), ty: graph.ty(value).clone() });
        Signature {
            inputs: inputs.collect(),
            outputs: outputs.collect(),
            symbols: graph.symbols().clone(),
        }
    }

    /// The given tensors in the order of the inputs. Floats are converted to the type that the graph computes
    /// in, of whatever float type they are; other types must agree.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn in_order(
        &self,
        given: Vec<(String, HostTensor)>,
    ) -> Result<Vec<HostTensor>, InputProblems> {
        let mut problems = Vec::new();
        let mut slots: Vec<Option<HostTensor>> = vec![None; self.inputs.len()];
        for (name, tensor) in given {
            match self.inputs.iter().position(|input| input.name == name) {
                None => problems.push(InputProblem::Unknown { name, known: names(&self.inputs) }),
                Some(index) if slots[index].is_some() => {
                    problems.push(InputProblem::Repeated { name });
                }
                Some(index) => slots[index] = Some(tensor),
            }
        }
        for (input, slot) in self.inputs.iter().zip(&mut slots) {
            let expected = || input.ty.display(&self.symbols).to_string();
            match slot {
                None => {
                    let name = input.name.clone();
                    problems.push(InputProblem::Missing { name, expected: expected() });
                }
                Some(tensor) => match converted(input, tensor) {
                    Ok(None) => {}
                    Ok(Some(converted)) => *slot = Some(converted),
                    Err(problem) => problems.push(problem),
                },
            }
        }
        self.check_sizes(&slots, &mut problems);
        if problems.is_empty() {
            Ok(slots.into_iter().flatten().collect())
        } else {
            Err(InputProblems(problems))
        }
    }

    fn check_sizes(&self, slots: &[Option<HostTensor>], problems: &mut Vec<InputProblem>) {
        let mut bindings = Bindings::new();
        // Where each symbol has its value from, by its index.
        let mut places: Vec<(usize, String)> = Vec::new();
        let mut axes = Vec::new();
        for (input, tensor) in self.inputs.iter().zip(slots) {
            let Some(tensor) = tensor else { continue };
            if tensor.shape().len() != input.ty.rank() {
                problems.push(InputProblem::Rank {
                    name: input.name.clone(),
                    found: tensor.shape().len(),
                    expected: format!("{}: {}", input.ty.rank(), input.ty.display(&self.symbols)),
                });
                continue;
            }
            let sizes = input.ty.shape.iter().zip(tensor.shape()).enumerate();
            axes.extend(sizes.map(|(axis, (dim, found))| (&input.name, axis, dim, *found)));
        }
        let fault = |name: &String, axis, found, expected| InputProblem::Size {
            name: name.clone(),
            axis,
            found,
            expected,
        };
        for (name, axis, dim, found) in &axes {
            let [symbol] = dim.symbols()[..] else { continue };
            if **dim != Dim::symbol(symbol) || bindings.get(symbol).is_some() {
                continue;
            }
            let Some(info) = self.symbols.info(symbol) else { continue };
            let size = *found as u64;
            if size < info.min {
                problems.push(fault(name, *axis, *found, format!("at least {}", info.min)));
            } else if size > info.max {
                problems.push(fault(name, *axis, *found, format!("at most {}", info.max)));
            } else if !size.is_multiple_of(info.multiple_of) {
                let expected = format!("a multiple of {}", info.multiple_of);
                problems.push(fault(name, *axis, *found, expected));
            }
            bindings.set(symbol, size);
            places.push((symbol.index(), format!("{} of input {name}, axis {axis}", info.name)));
        }
        for (name, axis, dim, found) in &axes {
            let Some(size) = dim.eval(&bindings) else { continue };
            if usize::try_from(size) == Ok(*found) {
                continue;
            }
            let sources = dim.symbols().into_iter().filter_map(|symbol| {
                places.iter().find(|(index, _)| *index == symbol.index()).map(|(_, place)| place)
            });
            let sources: Vec<&str> = sources.map(String::as_str).collect();
            let expected = match sources.as_slice() {
                [] => size.to_string(),
                _ => {
                    format!("{size} ({}, with {})", dim.display(&self.symbols), sources.join(", "))
                }
            };
            problems.push(fault(name, *axis, *found, expected));
        }
    }
}

/// The names, one behind the other.
pub(crate) fn names(types: &[NamedType]) -> String {
    match types {
        [] => "none".to_string(),
        _ => types.iter().map(|named| named.name.as_str()).collect::<Vec<_>>().join(", "),
    }
}

/// A tensor in the type of an input; `None` if it is of that type already.
fn converted(input: &NamedType, tensor: &HostTensor) -> Result<Option<HostTensor>, InputProblem> {
    let (found, expected) = (tensor.dtype(), input.ty.dtype);
    if found == expected {
        return Ok(None);
    }
    let name = || input.name.clone();
    let other = || InputProblem::Type { name: name(), found, expected };
    let values = floats(tensor).filter(|_| expected.is_float()).ok_or_else(other)?;
    let mut bytes = Vec::with_capacity(values.len().saturating_mul(4));
    for value in values {
        let rounded = match expected {
            DType::F16 => {
                let rounded = f16::from_f32(value);
                bytes.extend_from_slice(&rounded.to_le_bytes());
                rounded.to_f32()
            }
            DType::Bf16 => {
                let rounded = bf16::from_f32(value);
                bytes.extend_from_slice(&rounded.to_le_bytes());
                rounded.to_f32()
            }
            DType::F32 | DType::I64 | DType::I32 | DType::Bool => {
                bytes.extend_from_slice(&value.to_le_bytes());
                value
            }
        };
        if value.is_finite() && !rounded.is_finite() {
            return Err(InputProblem::Range { name: name(), value, dtype: expected });
        }
    }
    HostTensor::from_bytes(expected, tensor.shape(), bytes).ok_or_else(other).map(Some)
}

/// The values of a tensor of any float type.
pub fn floats(tensor: &HostTensor) -> Option<Vec<f32>> {
    let bytes = tensor.bytes();
    let halves = bytes.as_chunks::<2>().0.iter();
    match tensor.dtype() {
        DType::F32 => tensor.to_f32(),
        DType::F16 => Some(halves.map(|raw| f16::from_le_bytes(*raw).to_f32()).collect()),
        DType::Bf16 => Some(halves.map(|raw| bf16::from_le_bytes(*raw).to_f32()).collect()),
        DType::I64 | DType::I32 | DType::Bool => None,
    }
}

/// The values of a tensor of integers or truth values.
pub fn integers(tensor: &HostTensor) -> Option<Vec<i64>> {
    let bytes = tensor.bytes();
    match tensor.dtype() {
        DType::I64 => tensor.to_i64(),
        DType::I32 => {
            let words = bytes.as_chunks::<4>().0.iter();
            Some(words.map(|raw| i64::from(i32::from_le_bytes(*raw))).collect())
        }
        DType::Bool => Some(bytes.iter().map(|byte| i64::from(*byte)).collect()),
        DType::F32 | DType::F16 | DType::Bf16 => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `x: f32[B, S, 4]` of up to 64 tokens, `ids: i64[S]`, `mask: f16[P + S]`, `past: f32[P]`.
    fn signature() -> Signature {
        let mut symbols = SymbolTable::default();
        let [b, s, p] = [("B", 1, 8), ("S", 2, 64), ("P", 0, 9)]
            .map(|(name, min, max)| Dim::symbol(symbols.declare(name, min, max).unwrap()));
        let named = |name: &str, dtype, shape: Vec<Dim>| NamedType {
            name: name.into(),
            ty: TensorType::new(dtype, shape),
        };
        let inputs = vec![
            named("x", DType::F32, vec![b, s.clone(), 4.into()]),
            named("ids", DType::I64, vec![s.clone()]),
            named("mask", DType::F16, vec![&p + &s]),
            named("past", DType::F32, vec![p]),
        ];
        Signature { inputs, outputs: Vec::new(), symbols }
    }

    fn zeros(dtype: DType, shape: &[usize]) -> HostTensor {
        let bytes = shape.iter().product::<usize>() * dtype.bytes() as usize;
        HostTensor::from_bytes(dtype, shape, vec![0; bytes]).unwrap()
    }

    fn good() -> Vec<(String, HostTensor)> {
        vec![
            ("past".into(), zeros(DType::F32, &[3])),
            ("mask".into(), zeros(DType::F16, &[8])),
            ("ids".into(), zeros(DType::I64, &[5])),
            ("x".into(), zeros(DType::F32, &[2, 5, 4])),
        ]
    }

    fn message(given: Vec<(String, HostTensor)>) -> String {
        signature().in_order(given).unwrap_err().to_string()
    }

    fn with(name: &str, tensor: HostTensor) -> Vec<(String, HostTensor)> {
        let mut given = good();
        given.iter_mut().find(|(given, _)| given == name).unwrap().1 = tensor;
        given
    }

    #[test]
    fn tensors_are_put_in_order_and_floats_are_converted() {
        let ordered = signature().in_order(good()).unwrap();
        assert_eq!(ordered[0].shape(), [2, 5, 4]);
        assert_eq!(ordered[1].dtype(), DType::I64);
        let mask = HostTensor::from_f32(&[8], &[1.5; 8]).unwrap();
        let ordered = signature().in_order(with("mask", mask)).unwrap();
        assert_eq!((ordered[2].dtype(), &ordered[2].bytes()[..2]), (DType::F16, &[0, 0x3e][..]));
        assert_eq!(floats(&ordered[2]).unwrap(), [1.5; 8]);
    }

    #[test]
    fn each_fault_says_what_was_expected() {
        let of = |name, tensor| message(with(name, tensor));
        assert_eq!(of("ids", zeros(DType::F32, &[5])), "input ids is of type f32, expected i64");
        assert_eq!(of("x", zeros(DType::I64, &[2, 5, 4])), "input x is of type i64, expected f32");
        assert_eq!(of("past", zeros(DType::F32, &[])), "input past has 0 axes, expected 1: f32[P]");
        assert_eq!(of("x", zeros(DType::F32, &[2, 5, 3])), "input x, axis 2: 3, expected 4");
        assert_eq!(
            of("x", zeros(DType::F32, &[9, 5, 4])),
            "input x, axis 0: 9, expected at most 8"
        );
        assert_eq!(
            of("ids", zeros(DType::I64, &[6])),
            "input ids, axis 0: 6, expected 5 (S, with S of input x, axis 1)"
        );
        assert_eq!(
            of("mask", zeros(DType::F16, &[7])),
            "input mask, axis 0: 7, expected 8 (S + P, with S of input x, axis 1, P of input past, \
             axis 0)"
        );
        let large = HostTensor::from_f32(&[8], &[1e6; 8]).unwrap();
        assert!(of("mask", large).contains("1000000, which f16 cannot hold"));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let mut given = good();
        given.retain(|(name, _)| name != "ids");
        given.push(("y".into(), zeros(DType::F32, &[1])));
        given.push(("x".into(), zeros(DType::F32, &[1])));
        given[1].1 = zeros(DType::F16, &[70]);
        let text = message(given);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "4 problems with the inputs");
        assert_eq!(lines[1], "  unknown input y, expected x, ids, mask, past");
        assert_eq!(lines[2], "  input x is given twice");
        assert_eq!(lines[3], "  input ids is missing, expected i64[S]");
        assert!(lines[4].starts_with("  input mask, axis 0: 70"), "{text}");
    }
}
