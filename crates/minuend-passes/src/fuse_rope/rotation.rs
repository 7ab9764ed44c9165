//! Recognition of a rotation: `(a cos - b sin, a sin + b cos)` for the pairs `(a, b)` of one value.
//!
//! Nothing is matched by form. For each member of the pairs, the elements of the result that belong to
//! it are followed up through sums, concatenations and layout ops to products of a table and a part of
//! some value; which part decides.

use minuend_ir::ops::{BinaryOp, Reshape, RopeLayout, Slice, UnaryOp};
use minuend_ir::view::View;
use minuend_ir::{Dim, Graph, Op, Shape, ValueId};
use smallvec::SmallVec;

use super::angle::{Table, Wave};
use super::window::Window;
use crate::matcher::{pair, without_float_casts};

/// How many steps are made up from a result, over all branches.
const STEPS: usize = 64;

/// A rotation of the pairs of `x`.
pub(super) struct Rotation {
    pub(super) layout: RopeLayout,
    pub(super) x: Source,
    /// False for `(a cos + b sin, b cos - a sin)`.
    pub(super) is_forward: bool,
    /// The tables of all four products.
    pub(super) tables: [Table; 4],
}

/// What is rotated: a value whose elements in row-major order are those of the result, or part of the
/// features of a value `[_, _, _, n]`.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) value: ValueId,
    pub(super) features: Option<Slice>,
}

impl Source {
    /// The rotated elements, in the shape of the result, as a view of the value.
    fn view(&self, graph: &Graph, result: &Shape) -> Option<View> {
        match &self.features {
            None => Some(View::dense(result)),
            Some(slice) => {
                View::dense(&graph.ty(self.value).shape).apply(&Op::Slice(slice.clone()))
            }
        }
    }
}

/// The rotation that a value, read as `shape` `[_, _, _, d]`, is the result of.
pub(super) fn rotation(graph: &Graph, result: ValueId, shape: &Shape) -> Option<Rotation> {
    [RopeLayout::HalfSplit, RopeLayout::Interleaved]
        .into_iter()
        .find_map(|layout| rotation_of(graph, result, shape, layout))
}

fn rotation_of(
    graph: &Graph,
    result: ValueId,
    shape: &Shape,
    layout: RopeLayout,
) -> Option<Rotation> {
    let [first, second] = members(layout, shape)?;
    let in_result = |member: &Window| {
        let member = member.clone();
        if graph.ty(result).shape == *shape {
            return member;
        }
        member.behind(Op::Reshape(Reshape { shape: shape.clone() }))
    };
    let first_rows = Member::of(graph, result, in_result(&first))?;
    let second_rows = Member::of(graph, result, in_result(&second))?;
    let products = [first_rows.cos, first_rows.sin, second_rows.cos, second_rows.sin];
    let parts = [&first, &second, &second, &first];
    let (x, signs) = sources(graph, products.first()?, shape).into_iter().find_map(|x| {
        let whole = x.view(graph, shape)?;
        let expected = parts.map(|part| part.view_of(whole.clone()));
        let signs = signs(graph, x.value, &products, &expected)?;
        Some((x, signs))
    })?;
    let is_forward = match signs {
        [false, true, false, false] => true,
        [false, false, false, true] => false,
        _ => return None,
    };
    let tables = products.map(|product| product.table);
    Some(Rotation { layout, x, is_forward, tables })
}

/// The windows on the first and on the second features of all pairs.
fn members(layout: RopeLayout, shape: &Shape) -> Option<[Window; 2]> {
    let axis = shape.len().checked_sub(1)?;
    let features = shape.last()?;
    let half = features.exact_div(&Dim::from(2))?;
    let slices = match layout {
        RopeLayout::Interleaved => [Slice::strided(axis, 0, 2), Slice::strided(axis, 1, 2)],
        RopeLayout::HalfSplit => [
            Slice::range(axis, 0, half.clone()),
            Slice::range(axis, half.clone(), features.clone()),
        ],
    };
    let mut part = shape.clone();
    *part.last_mut()? = half;
    Some(slices.map(|slice| Window::of_slice(slice, part.clone())))
}

/// A part of some value times a table.
struct Product {
    is_negative: bool,
    table: Table,
    x: ValueId,
    window: Window,
}

/// The sum that one member of the pairs becomes.
struct Member {
    cos: Product,
    sin: Product,
}

impl Member {
    fn of(graph: &Graph, result: ValueId, window: Window) -> Option<Member> {
        let mut sum = Sum { graph, products: SmallVec::new(), steps_left: STEPS };
        sum.collect(result, window, false)?;
        let (first, second) = match sum.products.into_inner() {
            Ok([first, second]) => (first, second),
            Err(_) => return None,
        };
        match (first.table.wave, second.table.wave) {
            (Wave::Cos, Wave::Sin) => Some(Member { cos: first, sin: second }),
            (Wave::Sin, Wave::Cos) => Some(Member { cos: second, sin: first }),
            _ => None,
        }
    }
}

struct Sum<'g> {
    graph: &'g Graph,
    products: SmallVec<[Product; 2]>,
    steps_left: usize,
}

impl Sum<'_> {
    /// Notes the products whose sum the window on the value is; `None` if it is no such sum.
    fn collect(&mut self, value: ValueId, window: Window, is_negative: bool) -> Option<()> {
        self.steps_left = self.steps_left.checked_sub(1)?;
        let graph = self.graph;
        let shape = &graph.ty(value).shape;
        match graph.def(value) {
            Op::Unary(UnaryOp::Neg) => {
                let source = graph.operand(value.node, 0)?;
                self.collect(source, window, !is_negative)
            }
            Op::Binary(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                let (a, b) = pair(graph, value.node)?;
                let is_subtracted = *op == BinaryOp::Sub;
                self.collect(a, window.clone().repeated(graph, a, shape), is_negative)?;
                self.collect(b, window.repeated(graph, b, shape), is_negative ^ is_subtracted)
            }
            Op::Binary(BinaryOp::Mul) if self.products.len() < 2 => {
                let (a, b) = pair(graph, value.node)?;
                let product = [(a, b), (b, a)].into_iter().find_map(|(x, table)| {
                    let seen = window.clone().repeated(graph, table, shape);
                    let table = Table::at(graph, table, seen)?;
                    let is_negative = is_negative ^ table.is_negative;
                    let window = window.clone().repeated(graph, x, shape);
                    Some(Product { is_negative, table, x, window })
                });
                self.products.push(product?);
                Some(())
            }
            _ => {
                let (source, window) = window.step(graph, value)?;
                self.collect(source, window, is_negative)
            }
        }
    }
}

/// What could be rotated, behind the part of it in a product, nearest first.
fn sources(graph: &Graph, product: &Product, result: &Shape) -> SmallVec<[Source; 4]> {
    let elements: Dim = result.iter().product();
    let mut found = SmallVec::new();
    let mut value = without_float_casts(graph, product.x);
    for _ in 0..STEPS {
        if graph.ty(value).elements() == elements {
            found.push(Source { value, features: None });
        } else if let Some(slice) = features(graph, value, product, result) {
            found.push(Source { value, features: Some(slice) });
        }
        match graph.operand(value.node, 0) {
            Some(source) if graph.def(value).is_view() => {
                value = without_float_casts(graph, source);
            }
            _ => break,
        }
    }
    found
}

/// As many features of a value as the result has, from the first that the product reads; `None` if the
/// value differs from the result in another axis.
fn features(graph: &Graph, value: ValueId, product: &Product, result: &Shape) -> Option<Slice> {
    let shape = &graph.ty(value).shape;
    let axis = shape.len().checked_sub(1)?;
    let (size, count) = (shape.last()?.as_const()?, result.last()?.as_const()?);
    if shape.len() != result.len() || shape.get(..axis) != result.get(..axis) {
        return None;
    }
    let (_, view) = part_of(graph, value, product)?;
    let start = view.offset.as_const()?;
    let end = start.checked_add(count).filter(|end| start >= 0 && *end <= size)?;
    Some(Slice::range(axis, start, end))
}

/// Whether each product is subtracted, if each is of the expected part of `x`.
fn signs(
    graph: &Graph,
    x: ValueId,
    products: &[Product; 4],
    expected: &[Option<View>; 4],
) -> Option<[bool; 4]> {
    let mut signs = [false; 4];
    for ((sign, product), expected) in signs.iter_mut().zip(products).zip(expected) {
        let (is_negative, view) = part_of(graph, x, product)?;
        if Some(&view) != expected.as_ref() {
            return None;
        }
        *sign = is_negative;
    }
    Some(signs)
}

/// The part of `x` in a product, and whether its negative is meant.
fn part_of(graph: &Graph, x: ValueId, product: &Product) -> Option<(bool, View)> {
    let (mut value, mut window) = (product.x, product.window.clone());
    let mut is_negative = product.is_negative;
    for _ in 0..STEPS {
        value = without_float_casts(graph, value);
        if value == x {
            return Some((is_negative, window.view(&graph.ty(x).shape)?));
        }
        if *graph.def(value) == Op::Unary(UnaryOp::Neg) {
            is_negative = !is_negative;
            value = graph.operand(value.node, 0)?;
        } else {
            (value, window) = window.step(graph, value)?;
        }
    }
    None
}
