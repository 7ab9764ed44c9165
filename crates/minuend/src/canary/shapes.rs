//! Which small cases stand for the launches of a program.
//!
//! Devices choose kernels by element types, alignment, head sizes, lengths of rows, and whether there
//! are few rows or many. A case keeps what decides and shrinks the rest.

use std::collections::HashSet;

use minuend_codegen::Kernel;
use minuend_ir::ops::Mask;
use minuend_ir::{Dim, Op};
use minuend_plan::{Launch, Program, Step, Storage, TensorRef};

/// A kernel with the shapes of its operands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CaseShape {
    /// The kernel. The window of an attention may be smaller than the program's.
    pub(super) kernel: Kernel,
    /// For each operand of the launch.
    pub(super) operands: Vec<CaseOperand>,
    /// The result is large, and only some of its rows and columns are compared.
    pub(super) is_sampled: bool,
}

/// An operand of a case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CaseOperand {
    /// Sizes of its axes.
    pub(super) shape: Vec<usize>,
    /// Whether it is a weight in the program.
    pub(super) is_weight: bool,
}

/// Most cases of elementwise kernels, of which a program may have many.
const MOST_ELEMENTWISE: usize = 24;
/// Rows of products: one decoded token, a few sequences at once, a prompt.
const ROWS: [usize; 3] = [1, 5, 67];
/// Rows, and columns, of products that keep a large device busy with tiles of 64 by 64 and of 128 by 128.
const LARGE: [usize; 2] = [1024, 2048];
/// Inner sizes of products of few rows: many invocations share a sum. And of many rows.
const INNER: [usize; 2] = [1024, 128];
/// A size that is known at run time only.
const SOME: usize = 70;
/// Entries of a table to gather from.
const TABLE: usize = 17;
/// Elements of a row whose length decides how many invocations share it.
const LONGEST_ROW: usize = 8192;
/// Tokens in front of a decoded one: more than one workgroup of a split attention takes.
const PAST: usize = 132;
/// Tokens in front of a prompt: with it, more than two blocks of keys of a kernel of many queries.
const PROMPT_PAST: usize = 250;
/// Query rows of one K/V head that are many.
const MANY_ROWS: usize = 72;
/// The largest window: it must hide some of the keys.
const WINDOW: u32 = 40;

/// The cases of a program, each once.
pub(super) fn of(program: &Program) -> Vec<CaseShape> {
    let mut seen = HashSet::new();
    let mut cases = Vec::new();
    let mut elementwise = 0;
    for step in &program.steps {
        let Step::Launch(launch) = step else { continue };
        let Some(kernel) = program.kernels.get(launch.kernel) else { continue };
        let small = operand_shapes(launch, kernel).unwrap_or_default().into_iter();
        let large = large_products(launch, kernel).unwrap_or_default().into_iter();
        let all = small.map(|shapes| (shapes, false)).chain(large.map(|shapes| (shapes, true)));
        for (operands, is_sampled) in all {
            let weight = |tensor: &TensorRef| matches!(tensor.storage, Storage::Weight(_));
            let is_weight = launch.operands.iter().map(weight);
            let operands = operands.into_iter().zip(is_weight);
            let operands = operands.map(|(shape, is_weight)| CaseOperand { shape, is_weight });
            let (kernel, operands) = (windowed(kernel), operands.collect());
            let case = CaseShape { kernel, operands, is_sampled };
            if seen.contains(&case) {
                continue;
            }
            if case.kernel.op.is_elementwise() {
                elementwise += 1;
                if elementwise > MOST_ELEMENTWISE {
                    continue;
                }
            }
            seen.insert(case.clone());
            cases.push(case);
        }
    }
    cases
}

/// The kernel with a window that a case fills.
fn windowed(kernel: &Kernel) -> Kernel {
    let mut kernel = kernel.clone();
    if let Op::Attention(minuend_ir::ops::Attention { mask, .. })
    | Op::DiffAttention(minuend_ir::ops::DiffAttention { mask, .. }) = &mut kernel.op
        && let Mask::SlidingWindow { window } = mask
    {
        *window = (*window).min(WINDOW);
    }
    kernel
}

/// Shapes of the operands of each case; `None` for ops without operands or of shapes that no rule
/// covers.
fn operand_shapes(launch: &Launch, kernel: &Kernel) -> Option<Vec<Vec<Vec<usize>>>> {
    let operand = |index: usize| launch.operands.get(index).map(|tensor| tensor.shape.as_slice());
    match &kernel.op {
        Op::Matmul(op) => {
            let (lhs, rhs) = (operand(0)?, operand(1)?);
            let cases = ROWS.map(|rows| {
                let columns = few_columns(rhs, op.transpose_rhs)?;
                let mut shapes = product(lhs, rhs, op.transpose_rhs, rows, columns)?;
                let result = launch.results.first()?.shape.as_slice();
                let own = product_result(&shapes, op.transpose_rhs)?;
                for tail in launch.operands.iter().skip(2) {
                    shapes.push(under(&tail.shape, result, &own)?);
                }
                Some(shapes)
            });
            cases.into_iter().collect()
        }
        Op::RmsNorm(_) => {
            let row = row_length(operand(0)?.last()?, LONGEST_ROW);
            Some(vec![vec![rows_of(operand(0)?.len(), row, 3), vec![row]]])
        }
        Op::AddRmsNorm(_) => {
            let row = row_length(operand(0)?.last()?, LONGEST_ROW);
            let x = rows_of(operand(0)?.len(), row, 3);
            Some(vec![vec![x.clone(), x, vec![row]]])
        }
        Op::Rope(_) => {
            let [_, heads, _, features] = operand(0)? else { return None };
            let (heads, features) = (at_most(heads, 3), size(features)?);
            let case = |batch: usize, tokens: usize| {
                let positions = match operand(1)?.len() {
                    1 => vec![tokens],
                    _ => vec![batch, tokens],
                };
                Some(vec![vec![batch, heads, tokens, features], positions])
            };
            [case(1, 1), case(2, 5)].into_iter().collect()
        }
        Op::Attention(_) => attention(operand(0)?, operand(1)?, operand(2)?, false),
        Op::DiffAttention(_) => attention(operand(0)?, operand(1)?, operand(2)?, true),
        Op::Gather(op) => {
            let data = operand(0)?.iter().enumerate().map(|(axis, dim)| match axis {
                _ if axis == op.axis => at_most(dim, TABLE),
                _ if axis + 1 == operand(0).map_or(0, <[Dim]>::len) => row_length(dim, LONGEST_ROW),
                _ => at_most(dim, 3),
            });
            let indices = operand(1)?.len();
            let data: Vec<usize> = data.collect();
            let of = |count: usize| {
                let last = indices.checked_sub(1);
                (0..indices).map(|axis| if Some(axis) == last { count } else { 1 }).collect()
            };
            Some(vec![vec![data.clone(), of(1)], vec![data, of(5)]])
        }
        Op::Softmax(op) => Some(along(operand(0)?, op.axis)),
        Op::Reduce(op) => Some(along(operand(0)?, op.axis)),
        Op::ArgMax(op) => Some(along(operand(0)?, op.axis)),
        Op::Sample => {
            let logits =
                along(operand(0)?, operand(0)?.len().checked_sub(1)?).into_iter().flatten();
            let case = |logits: Vec<usize>| {
                let mut uniform = logits.clone();
                uniform.last_mut().into_iter().for_each(|last| *last = 1);
                vec![logits, vec![], vec![], vec![], uniform]
            };
            Some(logits.map(case).collect())
        }
        op if op.is_elementwise() => {
            let result = launch.results.first()?.shape.as_slice();
            let last = result.len().checked_sub(1);
            let sizes = result.iter().enumerate().map(|(axis, dim)| {
                if Some(axis) == last { row_length(dim, 128) } else { at_most(dim, 3) }
            });
            let sizes: Vec<usize> = sizes.collect();
            let shapes = launch.operands.iter().map(|tensor| under(&tensor.shape, result, &sizes));
            Some(vec![shapes.collect::<Option<_>>()?])
        }
        _ => None,
    }
}

/// A size without symbols.
fn size(dim: &Dim) -> Option<usize> {
    dim.as_const().and_then(|size| usize::try_from(size).ok())
}

/// A size of which a few will do.
fn at_most(dim: &Dim, most: usize) -> usize {
    size(dim).map_or(most, |size| size.min(most))
}

/// The length of a row: itself if it is at most `most`, which is 64 or more, otherwise one that is
/// aligned like it.
fn row_length(dim: &Dim, most: usize) -> usize {
    match size(dim) {
        None => SOME,
        Some(size) if size <= most => size,
        Some(size) => most - 64 + size % 64,
    }
}

/// `rows` rows of a tensor of that rank.
fn rows_of(rank: usize, row: usize, rows: usize) -> Vec<usize> {
    let axes = (0..rank).rev().map(|behind| match behind {
        0 => row,
        1 => rows,
        _ => 1,
    });
    axes.collect()
}

/// Few rows along `axis`; of a length that is known at run time only, short ones and long ones.
fn along(x: &[Dim], axis: usize) -> Vec<Vec<Vec<usize>>> {
    let other = (0..x.len()).rev().find(|at| *at != axis);
    let of = |length: usize| {
        let axes = (0..x.len()).map(|at| match at {
            _ if at == axis => length,
            _ if Some(at) == other => x.get(at).map_or(1, |dim| at_most(dim, 3)),
            _ => 1,
        });
        vec![axes.collect()]
    };
    match x.get(axis).map(size) {
        Some(None) => vec![of(SOME), of(5 * SOME)],
        Some(Some(_)) => {
            x.get(axis).map(|dim| of(row_length(dim, LONGEST_ROW))).into_iter().collect()
        }
        None => Vec::new(),
    }
}

/// Products of a prompt with a large weight; `None` for products of other kinds.
fn large_products(launch: &Launch, kernel: &Kernel) -> Option<Vec<Vec<Vec<usize>>>> {
    let (Op::Matmul(op), [lhs, rhs]) = (&kernel.op, launch.operands.as_slice()) else {
        return None;
    };
    let (lhs, rhs) = (lhs.shape.as_slice(), rhs.shape.as_slice());
    let is_prompt = rhs.len() == 2 && !lhs.get(lhs.len().checked_sub(2)?)?.is(1);
    let columns = size(rhs.get(usize::from(!op.transpose_rhs))?)?;
    let sizes = LARGE.into_iter().filter(|least| is_prompt && columns >= *least);
    // Three rows more than fill the tiles.
    sizes.map(|size| product(lhs, rhs, op.transpose_rhs, size + 3, size + columns % 8)).collect()
}

/// Columns of a product of few: aligned as those of the program.
fn few_columns(rhs: &[Dim], transposed: bool) -> Option<usize> {
    let n = rhs.get(rhs.len().checked_sub(if transposed { 2 } else { 1 })?)?;
    Some(match size(n) {
        None => SOME,
        Some(n) if n <= 96 => n,
        Some(n) => 64 + n % 8,
    })
}

/// Operands of a product of that many rows and columns.
fn product(
    lhs: &[Dim],
    rhs: &[Dim],
    transposed: bool,
    rows: usize,
    columns: usize,
) -> Option<Vec<Vec<usize>>> {
    let (lhs_outer, lhs_matrix) = lhs.split_at_checked(lhs.len().checked_sub(2)?)?;
    let (rhs_outer, _) = rhs.split_at_checked(rhs.len().checked_sub(2)?)?;
    let [few, many] = INNER;
    let inner = row_length(lhs_matrix.get(1)?, if rows > 8 { many } else { few });
    let is_batched = !rhs_outer.is_empty();
    let outer = |dim: &Dim| if dim.is(1) || !is_batched { 1 } else { 2 };
    let mut left: Vec<usize> = lhs_outer.iter().map(outer).collect();
    let mut right: Vec<usize> = rhs_outer.iter().map(outer).collect();
    // Where each sequence has one row, its rows are those of the batch.
    match left.last_mut() {
        Some(last) if !is_batched && lhs_matrix.first()?.is(1) => {
            *last = rows;
            left.push(1);
        }
        _ => left.push(rows),
    }
    left.push(inner);
    right.extend(if transposed { [columns, inner] } else { [inner, columns] });
    Some(vec![left, right])
}

/// The shape of the product of these operands.
fn product_result(operands: &[Vec<usize>], transposed: bool) -> Option<Vec<usize>> {
    let [left, right] = operands else { return None };
    let rank = left.len().max(right.len());
    let outer = |behind: usize| {
        let at = |shape: &[usize]| {
            let axis = shape.len().checked_sub(behind + 1);
            axis.and_then(|axis| shape.get(axis).copied()).unwrap_or(1)
        };
        at(left).max(at(right))
    };
    let mut shape: Vec<usize> = (2..rank).rev().map(outer).collect();
    shape.push(*left.get(left.len().checked_sub(2)?)?);
    shape.push(*right.get(right.len().checked_sub(if transposed { 2 } else { 1 })?)?);
    Some(shape)
}

/// The shape of an operand that broadcasts to the result, whose sizes in the case are `sizes`.
fn under(operand: &[Dim], result: &[Dim], sizes: &[usize]) -> Option<Vec<usize>> {
    let skipped = result.len().checked_sub(operand.len())?;
    let axes = operand.iter().zip(result.iter().zip(sizes).skip(skipped));
    let axes = axes.map(|(own, (whole, size))| if own == whole { *size } else { 1 });
    Some(axes.collect())
}

/// Operands of an attention, or of a differential one with its lambda: one decoded token, and a prompt.
fn attention(q: &[Dim], k: &[Dim], v: &[Dim], is_paired: bool) -> Option<Vec<Vec<Vec<usize>>>> {
    let ([_, heads, queries, features], [_, groups, keys, _], [_, _, _, values]) = (q, k, v) else {
        return None;
    };
    let (features, values) = (size(features)?, size(values)?);
    let (heads, groups) = (size(heads)?, size(groups)?);
    let each = heads.checked_div(groups)?.max(1);
    let case = |groups: usize, tokens: usize, past: usize| {
        let heads = groups * each;
        // Without a cache all tokens of a prompt are queries.
        let (tokens, past) = match (queries == keys, tokens) {
            (false, _) => (tokens, past),
            (true, 1) => (1, 0),
            (true, _) => (tokens + past, 0),
        };
        let kv = |width: usize| vec![1, groups, tokens + past, width];
        let mut shapes = vec![vec![1, heads, tokens, features], kv(features), kv(values)];
        if is_paired {
            shapes.push(vec![1, heads / 2, tokens, 1]);
        }
        shapes
    };
    Some(vec![case(groups.min(2), 1, PAST), case(1, 1 + MANY_ROWS / each, PROMPT_PAST)])
}
