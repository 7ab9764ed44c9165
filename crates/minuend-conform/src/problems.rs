//! The problems that every device must solve: every op on sizes that straddle tiles, batches of
//! several sequences, one token alone, every element type, windows, and states over several runs.

mod attention;
mod cache;
mod elementwise;
mod layout;
mod matmul;
mod norms;
mod reductions;
mod rotations;
mod sampling;

use minuend::Device;
use minuend::ir::DType;

use crate::problem::{Built, Problem, Sizes};
use crate::subjects::runs_in;

/// Batches and tokens on both sides of tile edges, one token among them.
const SIZES: [Sizes<'static>; 6] = [
    &[("B", 2), ("S", 7)],
    &[("B", 1), ("S", 1)],
    &[("B", 3), ("S", 2)],
    &[("B", 1), ("S", 65)],
    &[("B", 2), ("S", 64)],
    &[("B", 1), ("S", 129)],
];

/// As [`SIZES`], for ops whose cost grows with the square of the tokens.
const SMALL_SIZES: [Sizes<'static>; 4] =
    [&[("B", 2), ("S", 7)], &[("B", 1), ("S", 1)], &[("B", 3), ("S", 2)], &[("B", 1), ("S", 17)]];

type Make = Box<dyn Fn(&str) -> Built<Problem> + Send + Sync>;

/// A problem that is built when it is needed.
pub struct NamedProblem {
    /// What it is about: `attention`, `matmul`.
    pub family: &'static str,
    /// Its name, unique in its family.
    pub name: String,
    /// Element type of the activations.
    pub activations: DType,
    /// Whether it is one of the few that stand for their family.
    pub is_quick: bool,
    /// Whether it takes the interpreter so long that an unoptimised build leaves it out.
    pub is_large: bool,
    make: Make,
}

impl NamedProblem {
    /// Builds the problem: the same at every call.
    ///
    /// # Errors
    /// None for the problems of this crate; it is written so that no problem can panic.
    pub fn build(&self) -> Built<Problem> {
        (self.make)(&self.name)
    }

    /// True if the device has kernels for activations of that type.
    pub fn runs_on(&self, device: &dyn Device) -> bool {
        runs_in(device.target(), self.activations)
    }

    /// Family and name: `matmul/weight 7x2 bf16`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.family, self.name)
    }
}

/// Collects the problems of a family.
struct Problems {
    family: &'static str,
    activations: DType,
    list: Vec<NamedProblem>,
}

impl Problems {
    /// Adds a problem. Names end with the type of the activations, unless it is f32.
    fn add(
        &mut self,
        is_quick: bool,
        name: impl Into<String>,
        make: impl Fn(&str) -> Built<Problem> + Send + Sync + 'static,
    ) {
        let (family, activations) = (self.family, self.activations);
        let name = match activations {
            DType::F32 => name.into(),
            other => format!("{}, activations {other}", name.into()),
        };
        let (is_large, make): (bool, Make) = (false, Box::new(make));
        self.list.push(NamedProblem { family, name, activations, is_quick, is_large, make });
    }

    /// Adds a problem that takes the interpreter long.
    fn add_large(
        &mut self,
        name: impl Into<String>,
        make: impl Fn(&str) -> Built<Problem> + Send + Sync + 'static,
    ) {
        self.add(false, name, make);
        if let Some(last) = self.list.last_mut() {
            last.is_large = true;
        }
    }
}

/// Element types of activations. A device solves the problems of those that it has kernels for.
pub const ACTIVATIONS: [DType; 3] = [DType::F32, DType::Bf16, DType::F16];

type List = fn(&mut Problems);

const FAMILIES: [(&str, List); 9] = [
    ("elementwise", elementwise::list),
    ("layout", layout::list),
    ("matmul", matmul::list),
    ("reductions", reductions::list),
    ("sampling", sampling::list),
    ("norms", norms::list),
    ("rotations", rotations::list),
    ("attention", attention::list),
    ("cache", cache::list),
];

/// Every problem, by family.
pub fn all() -> Vec<NamedProblem> {
    let mut problems = Problems { family: "", activations: DType::F32, list: Vec::new() };
    for (family, list) in FAMILIES {
        problems.family = family;
        for activations in ACTIVATIONS {
            problems.activations = activations;
            list(&mut problems);
        }
    }
    problems.list
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn problems_can_be_built_and_have_names_of_their_own() {
        let mut names = BTreeSet::new();
        for problem in all() {
            let built = problem.build().unwrap();
            assert_eq!(built.name, problem.name);
            let outputs = built.graph.outputs().len();
            assert_eq!((built.tolerances.len(), outputs > 0), (outputs, true), "{}", built.name);
            assert!(names.insert(problem.full_name()), "{} twice", problem.full_name());
        }
        for (family, _) in FAMILIES {
            assert!(all().iter().any(|problem| problem.family == family && problem.is_quick));
        }
    }
}
