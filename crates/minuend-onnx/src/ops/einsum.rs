//! Sums of products by named axes.

use minuend_ir::ops::ReduceKind;
use minuend_ir::{Dim, Emit, ValueId};

use crate::node::{Node, Refusal, Results, one};

/// `Einsum` of one or two operands: axes in both and in the result are outer, axes in both alone are summed
/// by a matrix product.
pub(super) fn einsum(n: &mut Node<'_>) -> Results {
    let text = n.attr_text("equation").unwrap_or_default();
    let equation = Equation::of(n, &text)?;
    let mut operands = Vec::new();
    for (input, axes) in equation.operands.iter().enumerate() {
        let value = n.tensor(input)?;
        operands.push(Named { value, axes: axes.clone() });
    }
    let mut operands = operands.into_iter();
    let first = operands.next().ok_or_else(|| Refusal::new("no operands", ""))?;
    let result = match operands.next() {
        None => first.summed(n, |axis| equation.result.contains(&axis))?,
        Some(second) => {
            let needed =
                |of: &Named, axis| equation.result.contains(&axis) || of.axes.contains(&axis);
            let left = first.clone().summed(n, |axis| needed(&second, axis))?;
            let right = second.summed(n, |axis| needed(&first, axis))?;
            product(n, left, right, &equation.result)?
        }
    };
    one(result.ordered(n, &equation.result)?.value)
}

/// Axes by letter; the axes of an ellipsis are numbered from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Axis {
    Outer(usize),
    Letter(char),
}

struct Equation {
    operands: Vec<Vec<Axis>>,
    result: Vec<Axis>,
}

impl Equation {
    fn of(n: &Node<'_>, text: &str) -> Result<Equation, Refusal> {
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match plain.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (plain.as_str(), None),
        };
        let terms: Vec<&str> = left.split(',').collect();
        if terms.len() != n.inputs() || terms.len() > 2 {
            let found = format!("the equation {text:?} of {} operands", n.inputs());
            return Err(Refusal::new(found, "write it with one or two operands at a time"));
        }
        let mut operands = Vec::new();
        for (input, term) in terms.iter().enumerate() {
            operands.push(axes(term, Some(n.shape(input)?.len()), text)?);
        }
        let outer = operands.iter().flatten().filter(|axis| matches!(axis, Axis::Outer(_)));
        let mut outer: Vec<Axis> = outer.copied().collect();
        outer.sort();
        outer.dedup();
        // Numbered from the end, so the outermost has the highest number.
        outer.reverse();
        let result = match right {
            Some(right) => {
                let named = axes(right, None, text)?;
                let spread = named.into_iter().flat_map(|axis| match axis {
                    Axis::Outer(_) => outer.clone(),
                    letter => vec![letter],
                });
                spread.collect()
            }
            // Letters that occur once, in the alphabet's order.
            None => {
                let mut letters: Vec<Axis> = operands.iter().flatten().copied().collect();
                letters.retain(|axis| matches!(axis, Axis::Letter(_)));
                letters.sort();
                let once =
                    letters.iter().filter(|a| letters.iter().filter(|b| b == a).count() == 1);
                outer.iter().chain(once).copied().collect()
            }
        };
        Ok(Equation { operands, result })
    }
}

/// The axes of a term; an ellipsis takes what its rank leaves, or stands for itself without a rank.
fn axes(term: &str, rank: Option<usize>, text: &str) -> Result<Vec<Axis>, Refusal> {
    let refused = |why: &str| Refusal::new(format!("the equation {text:?}: {why}"), "");
    let letters = term.replace("...", "");
    if !letters.chars().all(|c| c.is_ascii_alphabetic()) {
        return Err(refused("expected letters, commas, an ellipsis and an arrow"));
    }
    let mut seen: Vec<char> = letters.chars().collect();
    seen.sort_unstable();
    if seen.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(refused("a letter stands twice in one term (a diagonal)"));
    }
    let outer = match (rank, term.contains("...")) {
        (None, _) => 1,
        (Some(rank), true) => {
            rank.checked_sub(letters.len()).ok_or_else(|| refused("more letters than axes"))?
        }
        (Some(rank), false) if rank == letters.len() => 0,
        (Some(rank), false) => {
            return Err(refused(&format!("{} letters for {rank} axes", letters.len())));
        }
    };
    let mut axes = Vec::new();
    let mut rest = term;
    while let Some(c) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix("...") {
            axes.extend((0..outer).rev().map(Axis::Outer));
            rest = behind;
        } else {
            axes.push(Axis::Letter(c));
            rest = &rest[1..];
        }
    }
    Ok(axes)
}

/// A value whose axes have names.
#[derive(Clone)]
struct Named {
    value: ValueId,
    axes: Vec<Axis>,
}

impl Named {
    fn size(&self, n: &mut Node<'_>, axis: Axis) -> Option<Dim> {
        let at = self.axes.iter().position(|own| *own == axis)?;
        Some(n.graph().size(self.value, at))
    }

    /// Sums over the axes that are not kept.
    fn summed(
        mut self,
        n: &mut Node<'_>,
        is_kept: impl Fn(Axis) -> bool,
    ) -> Result<Named, Refusal> {
        while let Some(at) = self.axes.iter().position(|axis| !is_kept(*axis)) {
            let mut shape = n.graph().type_of(self.value).shape.clone();
            let sum = n.graph().reduce(ReduceKind::Sum, at, self.value)?;
            shape.remove(at);
            self.value = n.graph().reshape(sum, &shape)?;
            self.axes.remove(at);
        }
        Ok(self)
    }

    /// The axes in another order.
    fn ordered(self, n: &mut Node<'_>, order: &[Axis]) -> Result<Named, Refusal> {
        let perm: Option<Vec<usize>> =
            order.iter().map(|axis| self.axes.iter().position(|own| own == axis)).collect();
        let perm = perm.filter(|perm| perm.len() == self.axes.len());
        let perm = perm.ok_or_else(|| {
            Refusal::new("the result names axes that no operand has, or not all of them", "")
        })?;
        let value = n.graph().transpose(self.value, &perm)?;
        Ok(Named { value, axes: order.to_vec() })
    }
}

/// Axes of a product of two operands.
struct Product {
    /// In both operands and in the result.
    outer: Vec<Axis>,
    /// In the left operand alone. All but the last are outer axes, too, along which the right one repeats.
    rows: Vec<Axis>,
    /// In the right operand alone.
    columns: Vec<Axis>,
    summed: Vec<Axis>,
}

impl Product {
    fn of(left: &Named, right: &Named, result: &[Axis]) -> Product {
        let in_both = |axis: &Axis| left.axes.contains(axis) && right.axes.contains(axis);
        let of_left = |is_wanted: &dyn Fn(&Axis) -> bool| -> Vec<Axis> {
            left.axes.iter().filter(|axis| is_wanted(axis)).copied().collect()
        };
        // Outer axes in the order of the left operand, so that it is turned least.
        let outer = of_left(&|axis| in_both(axis) && result.contains(axis));
        let summed = of_left(&|axis| in_both(axis) && !result.contains(axis));
        let mut rows = of_left(&|axis| !in_both(axis));
        let columns = right.axes.iter().filter(|axis| !in_both(axis)).copied().collect();
        // Scores have their queries in front of the keys as the result has them, weighted values as the
        // weights have them: there the summed axis is not the last of the right operand.
        if right.axes.last().is_some_and(|axis| summed.contains(axis)) {
            rows.sort_by_key(|axis| result.iter().position(|other| other == axis));
        }
        Product { outer, rows, columns, summed }
    }
}

fn product(n: &mut Node<'_>, left: Named, right: Named, result: &[Axis]) -> Result<Named, Refusal> {
    let axes = Product::of(&left, &right, result);
    // Where each is one of many matrices, the operand with more axes is on the left: groups of heads that
    // share keys stay apart.
    if !axes.outer.is_empty() && axes.columns.len() > axes.rows.len() {
        return product(n, right, left, result);
    }
    let Product { outer, rows, columns, summed } = axes;
    let (spread, rows) = match rows.split_last() {
        Some((last, others)) if !outer.is_empty() => (others.to_vec(), vec![*last]),
        _ => (Vec::new(), rows),
    };
    let mut sizes = |of: &Named, axes: &[Axis]| -> Vec<Dim> {
        axes.iter().filter_map(|axis| of.size(n, *axis)).collect()
    };
    let (outer_sizes, other_outer) = (sizes(&left, &outer), sizes(&right, &outer));
    let (spread_sizes, row_sizes) = (sizes(&left, &spread), sizes(&left, &rows));
    let column_sizes = sizes(&right, &columns);
    let summed_size: Dim = sizes(&left, &summed).iter().product();
    let right_summed: Dim = sizes(&right, &summed).iter().product();
    // Axes of size 1 are repeated by the product.
    let is_same = outer_sizes.iter().zip(&other_outer).all(|(a, b)| a == b);
    if !is_same || summed_size != right_summed {
        return Err(Refusal::new("an axis has different sizes in the operands", "repeat it first"));
    }
    let shaped = |outer: [&[Dim]; 2], last: [&Dim; 2]| -> Vec<Dim> {
        outer.into_iter().flatten().chain(last).cloned().collect()
    };
    let rows_size: Dim = row_sizes.iter().product();
    let columns_size: Dim = column_sizes.iter().product();
    let left = left.ordered(n, &[&outer[..], &spread, &rows, &summed].concat())?;
    let right = right.ordered(n, &[&outer[..], &columns, &summed].concat())?;
    let once = vec![Dim::one(); spread.len()];
    let g = n.graph();
    let a = [outer_sizes.as_slice(), spread_sizes.as_slice()];
    let b = g.reshape(right.value, &shaped([a[0], &once], [&columns_size, &summed_size]))?;
    let b = g.broadcast(b, &shaped(a, [&columns_size, &summed_size]))?;
    let a = g.reshape(left.value, &shaped(a, [&rows_size, &summed_size]))?;
    let product = g.matmul_transposed(a, b)?;
    let shape: Vec<Dim> = [outer_sizes, spread_sizes, row_sizes, column_sizes].concat();
    let value = g.reshape(product, &shape)?;
    Ok(Named { value, axes: [outer, spread, rows, columns].concat() })
}
