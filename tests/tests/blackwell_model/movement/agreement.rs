//! What is moved and multiplied agrees with the interpreter; with a mistake, it does not.

use super::element::Element;
use super::kernel::run;
use super::mistakes::{self, Mistake};
use super::problem::{Mask, Operands, Problem};
use super::wiring::Wiring;
use crate::shape::Work;

/// Most that a result may differ, against the attention over the magnitudes of values (of both heads,
/// the second times its gate).
///
/// A weight is rounded by half a unit in its last place, 2^-8 of it in bf16 (8 significant bits) and
/// 2^-11 in f16 (11 bits), so a weighted sum is off by no more than that of the scale; rounding the
/// result adds the same again, as no result is larger than its scale. Errors of f32, 2^-24 of scores up
/// to a few hundred, have room because no sum meets the worst case in all its terms. A weight below
/// f16's normal numbers is off by 2^-25 while the largest of its row is at least 1: nothing beside 2^-11.
fn tolerance(element: Element) -> f64 {
    match element {
        Element::Bf16 => 2f64.powi(-7),
        Element::F16 => 2f64.powi(-10),
    }
}

/// f32 scores of a few hundred powers of two, each off by some 2^-24 of itself.
const LOGSUMEXP_TOLERANCE: f64 = 1e-4;

struct Reference {
    operands: Operands,
    expected: Vec<f64>,
    scales: Vec<f64>,
}

impl Reference {
    fn of(problem: &Problem) -> Reference {
        let operands = problem.operands();
        let (expected, scales) = problem.expected(&operands);
        Reference { operands, expected, scales }
    }

    /// Rows that were rescaled and kept, if nothing is too far off.
    fn compare(&self, problem: &Problem, wiring: &Wiring) -> Result<(usize, usize), String> {
        let results = run(problem, &self.operands, wiring)?;
        for (at, index) in results.out.indices().enumerate() {
            let found = f64::from(problem.element.decode(results.out.get(index)));
            let error = (found - self.expected[at]).abs() / self.scales[at];
            let error = error / tolerance(problem.element);
            if error.is_nan() || error > 1.0 {
                let expected = self.expected[at];
                return Err(format!("{index:?} is {found}, expected {expected}: {error} too far"));
            }
            let stores = results.out.stores[results.out.at(index)];
            if stores != 1 {
                return Err(format!("{index:?} is stored {stores} times"));
            }
        }
        if results.out.stores_in_gaps() > 0 {
            return Err("results are stored outside of the tensor".to_string());
        }
        for (row, found) in results.logsumexp.iter().enumerate().step_by(7) {
            let (query, head) = (row % problem.queries, row / problem.queries);
            let place = [query, head % problem.query_heads, head / problem.query_heads];
            let expected = problem.logsumexp(&self.operands, place);
            let error = (f64::from(*found) - expected).abs();
            if error.is_nan() || error > LOGSUMEXP_TOLERANCE * expected.abs().max(1.0) {
                return Err(format!("logsumexp of {place:?} is {found}, expected {expected}"));
            }
        }
        Ok((results.rescaled, results.kept))
    }
}

fn agrees(problem: &Problem) -> (usize, usize) {
    let wiring = Wiring::of(&problem.shape(), problem.element);
    match Reference::of(problem).compare(problem, &wiring) {
        Ok(counts) => counts,
        Err(error) => panic!("{problem:?}: {error}"),
    }
}

const SMALL: Problem = Problem {
    work: Work::Difference,
    element: Element::Bf16,
    head_dim: 64,
    batches: 1,
    query_heads: 4,
    kv_heads: 1,
    queries: 77,
    keys: 77,
    mask: Mask::Causal,
    blocks: 2,
    seed: 1,
};

/// Lengths: queries, keys.
const LENGTHS: [(usize, usize); 7] =
    [(1, 1), (77, 77), (128, 128), (200, 200), (300, 300), (1, 300), (77, 205)];

fn of_all_lengths(element: Element, head_dim: usize) {
    let (mut rescaled, mut kept) = (0, 0);
    for (number, (queries, keys)) in LENGTHS.into_iter().enumerate() {
        let masks = [Mask::Causal, Mask::Full, Mask::Window(100)];
        for (seed, mask) in masks.into_iter().enumerate() {
            // Works take turns, so that each meets each mask and length over both widths and types.
            let turn = number + seed + head_dim / 64 + usize::from(element == Element::F16);
            let work = Work::ALL[turn % 3];
            let seed = (10 * number + seed) as u64;
            let blocks = 1 + number % 3;
            let problem =
                Problem { work, element, head_dim, queries, keys, mask, blocks, seed, ..SMALL };
            let counts = agrees(&problem);
            rescaled += counts.0;
            kept += counts.1;
        }
    }
    assert!(rescaled > 0 && kept > 0, "{rescaled} rows rescaled, {kept} kept");
}

#[test]
fn bf16_of_64_columns_agrees_with_the_interpreter() {
    of_all_lengths(Element::Bf16, 64);
}

#[test]
fn bf16_of_128_columns_agrees_with_the_interpreter() {
    of_all_lengths(Element::Bf16, 128);
}

#[test]
fn f16_of_64_columns_agrees_with_the_interpreter() {
    of_all_lengths(Element::F16, 64);
}

#[test]
fn f16_of_128_columns_agrees_with_the_interpreter() {
    of_all_lengths(Element::F16, 128);
}

#[test]
fn grouped_heads_and_batches_agree_with_the_interpreter() {
    for (number, work) in Work::ALL.into_iter().enumerate() {
        for kv_heads in [1, 2] {
            let seed = 100 + number as u64;
            let (queries, keys) = (130, 150);
            let problem =
                Problem { work, kv_heads, batches: 2, queries, keys, blocks: 3, seed, ..SMALL };
            agrees(&problem);
        }
    }
}

/// A single head over two tiles of tokens, of which the first sees none of the last keys; and keys fewer
/// than queries.
#[test]
fn single_heads_with_hidden_blocks_agree_with_the_interpreter() {
    let single = Problem { work: Work::Single, query_heads: 1, blocks: 1, ..SMALL };
    agrees(&Problem { queries: 256, keys: 256, ..single });
    agrees(&Problem { queries: 256, keys: 384, mask: Mask::Window(30), ..single });
    agrees(&Problem { queries: 300, keys: 77, mask: Mask::Full, ..single });
}

/// Windows that are wider than blocks, so that there are unmasked ones between masked ones: bounds of both
/// lie on the edges of blocks and beside them.
#[test]
fn windows_with_unmasked_blocks_agree_with_the_interpreter() {
    for (number, work) in Work::ALL.into_iter().enumerate() {
        let queries = work.tokens();
        for (turn, first_end) in [511, 512, 513].into_iter().enumerate() {
            // The first query sees keys up to `first_end`, the last one from `last_first` on.
            let last_first = [127, 128, 129][(turn + number) % 3];
            let keys = queries + first_end - 1;
            let mask = Mask::Window(keys - last_first);
            let seed = (200 + 3 * number + turn) as u64;
            let problem =
                Problem { work, query_heads: 2, queries, keys, mask, blocks: 1, seed, ..SMALL };
            let visible = problem.visible();
            assert_eq!((visible.end(0), visible.first(queries - 1)), (first_end, last_first));
            assert!(has_unmasked_between_masked(&problem), "{problem:?}");
            agrees(&problem);
        }
    }
}

fn has_unmasked_between_masked(problem: &Problem) -> bool {
    let blocks = problem.visible().blocks(0, problem.work.tokens());
    [blocks.first, blocks.unmasked_first, blocks.unmasked_end, blocks.end]
        .is_sorted_by(|a, b| a < b)
}

#[test]
fn every_mistake_is_noticed() {
    let difference = Problem { head_dim: 128, query_heads: 2, queries: 140, keys: 300, ..SMALL };
    let single = Problem { work: Work::Single, query_heads: 1, queries: 200, ..difference };
    let windowed = Problem { head_dim: 64, keys: 560, mask: Mask::Window(300), ..difference };
    assert!(has_unmasked_between_masked(&windowed));
    let mut missed = Vec::new();
    let mut try_all = |problem: &Problem, all: &[Mistake]| {
        let reference = Reference::of(problem);
        let right = Wiring::of(&problem.shape(), problem.element);
        reference.compare(problem, &right).unwrap();
        for (name, make) in all {
            let mut wiring = right;
            make(&mut wiring);
            match reference.compare(problem, &wiring) {
                Err(error) => println!("{name}: {error}"),
                Ok(_) => missed.push(*name),
            }
        }
    };
    try_all(&difference, &mistakes::ALL);
    try_all(&difference, &mistakes::OF_SOME[..2]);
    try_all(&single, &mistakes::OF_SOME[2..]);
    try_all(&windowed, &mistakes::OF_WINDOWS);
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
