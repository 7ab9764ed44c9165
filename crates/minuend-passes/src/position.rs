//! Which integer each element of an index tensor is: positions, rows and columns of masks.
//!
//! Masks and rotary angles are computed from `iota`, sizes and integer literals. Such a value is an
//! affine function of its own indices, and two spellings of one mask have one such function.

use minuend_ir::ops::{BinaryOp, Constant, Literal, UnaryOp};
use minuend_ir::view::{View, dense_strides};
use minuend_ir::{DType, Dim, Graph, Op, TensorType, ValueId};
use smallvec::{SmallVec, smallvec};

/// A value whose element at `(i_0, .., i_{r-1})` is `sum_k coefficients[k] * i_k + constant`.
///
/// One coefficient for each axis; 0 for an axis of size 1. Every element lies within +-2^52, and
/// within the range of the element type where that is an integer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexForm {
    /// Difference between neighbours along each axis.
    pub(crate) coefficients: SmallVec<[i64; 4]>,
    /// The element at index 0.
    pub(crate) constant: Dim,
}

/// Magnitude within which integers are exact in f64, and their sums exact in i64.
const LIMIT: i64 = 1 << 52;

/// How many values one analysis looks at: index arithmetic is short, and shared operands are visited
/// once for each path to them.
const VISITS: usize = 256;

/// The affine form of an integer value, or of a float value that holds integers. Casts between number
/// types keep the form: they mean the same integer. `None` if the value depends on anything but sizes
/// and literals, or not affinely.
pub(crate) fn index_form(graph: &Graph, value: ValueId) -> Option<IndexForm> {
    Analysis { graph, visits_left: VISITS }.form(value)
}

impl IndexForm {
    fn splat(constant: Dim, rank: usize) -> IndexForm {
        IndexForm { coefficients: smallvec![0; rank], constant }
    }

    /// True if every element is the same number.
    pub(crate) fn is_splat(&self) -> bool {
        self.coefficients.iter().all(|coefficient| *coefficient == 0)
    }

    /// The form of this value under the elementwise rules: missing outer axes are repeated.
    fn broadcast(&self, rank: usize) -> Option<IndexForm> {
        let missing = rank.checked_sub(self.coefficients.len())?;
        let mut coefficients: SmallVec<[i64; 4]> = smallvec![0; missing];
        coefficients.extend_from_slice(&self.coefficients);
        Some(IndexForm { coefficients, constant: self.constant.clone() })
    }

    /// `self + factor * other`, both of one rank.
    fn plus(&self, other: &IndexForm, factor: i64) -> Option<IndexForm> {
        let pairs = self.coefficients.iter().zip(&other.coefficients);
        let coefficients =
            pairs.map(|(a, b)| a.checked_add(b.checked_mul(factor)?)).collect::<Option<_>>()?;
        let constant = &self.constant + &(&other.constant * factor);
        Some(IndexForm { coefficients, constant })
    }

    /// `self * factor`.
    fn times(&self, factor: &Dim) -> Option<IndexForm> {
        let coefficients = match factor.as_const() {
            Some(factor) => {
                let scaled = self.coefficients.iter().map(|value| value.checked_mul(factor));
                scaled.collect::<Option<_>>()?
            }
            None if self.is_splat() => self.coefficients.clone(),
            None => return None,
        };
        Some(IndexForm { coefficients, constant: &self.constant * factor })
    }

    /// True if every element is a value of the type.
    fn fits(&self, ty: &TensorType, graph: &Graph) -> bool {
        let (least, most) = match ty.dtype {
            DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
            DType::I64 | DType::F32 | DType::F16 | DType::Bf16 => (-LIMIT, LIMIT),
            DType::Bool => return false,
        };
        let (mut low, mut high) = self.constant.bounds(graph.symbols());
        for (coefficient, size) in self.coefficients.iter().zip(&ty.shape) {
            let last = size.max(graph.symbols()).saturating_sub(1).max(0);
            let end = coefficient.saturating_mul(last);
            low = low.saturating_add(end.min(0));
            high = high.saturating_add(end.max(0));
        }
        least <= low && high <= most
    }
}

struct Analysis<'g> {
    graph: &'g Graph,
    visits_left: usize,
}

impl Analysis<'_> {
    fn form(&mut self, value: ValueId) -> Option<IndexForm> {
        self.visits_left = self.visits_left.checked_sub(1)?;
        let ty = self.graph.ty(value);
        let form = self.unchecked_form(value, ty)?;
        form.fits(ty, self.graph).then_some(form)
    }

    fn unchecked_form(&mut self, value: ValueId, ty: &TensorType) -> Option<IndexForm> {
        match self.graph.def(value) {
            Op::Iota(iota) if iota.size.is(1) => Some(IndexForm::splat(Dim::zero(), 1)),
            Op::Iota(_) => Some(IndexForm { coefficients: smallvec![1], constant: Dim::zero() }),
            Op::DimValue(dim) => Some(IndexForm::splat(dim.size.clone(), 0)),
            Op::Constant(constant) => literal_form(constant),
            Op::Cast(_) => {
                let source = self.graph.operand(value.node, 0)?;
                self.form(source)
            }
            Op::Unary(UnaryOp::Neg) => {
                let source = self.graph.operand(value.node, 0)?;
                self.form(source)?.times(&Dim::from(-1))
            }
            Op::Binary(op) => self.binary(*op, value, ty.rank()),
            op if op.is_view() => {
                let source = self.graph.operand(value.node, 0)?;
                let form = self.form(source)?;
                viewed(&form, self.graph.ty(source), op)
            }
            _ => None,
        }
    }

    fn binary(&mut self, op: BinaryOp, value: ValueId, rank: usize) -> Option<IndexForm> {
        if !matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul) {
            return None;
        }
        let a = self.graph.operand(value.node, 0)?;
        let b = self.graph.operand(value.node, 1)?;
        let a = self.form(a)?.broadcast(rank)?;
        let b = self.form(b)?.broadcast(rank)?;
        match op {
            BinaryOp::Add => a.plus(&b, 1),
            BinaryOp::Sub => a.plus(&b, -1),
            _ if b.is_splat() => a.times(&b.constant),
            _ if a.is_splat() => b.times(&a.constant),
            _ => None,
        }
    }
}

/// A layout op moves the elements of an affine value as it moves those of a tensor whose strides are
/// the coefficients.
fn viewed(form: &IndexForm, source: &TensorType, op: &Op) -> Option<IndexForm> {
    let strides: SmallVec<[Dim; 4]> =
        form.coefficients.iter().map(|coefficient| Dim::from(*coefficient)).collect();
    let view = View::strided(form.constant.clone(), &source.shape, &strides).apply(op)?;
    let coefficients = view.strides()?.iter().map(Dim::as_const).collect::<Option<_>>()?;
    Some(IndexForm { coefficients, constant: view.offset })
}

fn literal_form(constant: &Constant) -> Option<IndexForm> {
    let values: Vec<i64> = match &constant.values {
        Literal::Ints(values) => values.to_vec(),
        Literal::Reals(values) => {
            values.iter().map(|value| integer(value.get())).collect::<Option<_>>()?
        }
        Literal::Bools(_) => return None,
    };
    let first = *values.first()?;
    let rank = constant.ty.rank();
    if values.iter().all(|value| *value == first) {
        return Some(IndexForm::splat(Dim::from(first), rank));
    }
    affine_literal(&values, first, &constant.ty)
}

/// A literal of one value per element, if the values are affine in the indices.
fn affine_literal(values: &[i64], first: i64, ty: &TensorType) -> Option<IndexForm> {
    let strides = dense_strides(&ty.shape);
    let mut coefficients: SmallVec<[i64; 4]> = SmallVec::new();
    let mut axes: SmallVec<[(usize, usize); 4]> = SmallVec::new();
    for (size, stride) in ty.shape.iter().zip(&strides) {
        let size = usize::try_from(size.as_const()?).ok()?;
        let stride = usize::try_from(stride.as_const()?).ok()?;
        let neighbour = if size > 1 { *values.get(stride)? } else { first };
        coefficients.push(neighbour.checked_sub(first)?);
        axes.push((size, stride));
    }
    for (position, value) in values.iter().enumerate() {
        let mut expected = first;
        for (coefficient, (size, stride)) in coefficients.iter().zip(&axes) {
            let index = position.checked_div(*stride)?.checked_rem(*size)?;
            let step = coefficient.checked_mul(i64::try_from(index).ok()?)?;
            expected = expected.checked_add(step)?;
        }
        if *value != expected {
            return None;
        }
    }
    Some(IndexForm { coefficients, constant: Dim::from(first) })
}

/// The integer that a real number is, within the limit.
fn integer(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() <= LIMIT as f64).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use minuend_ir::ops::Slice;
    use minuend_ir::{Emit, Real, SymbolTable};

    fn graph() -> (Graph, Dim, Dim) {
        let mut symbols = SymbolTable::default();
        let s = Dim::symbol(symbols.declare("S", 1, 8192).unwrap());
        let p = Dim::symbol(symbols.declare("P", 0, 131_072).unwrap());
        (Graph::new("g", symbols), s, p)
    }

    fn form(coefficients: &[i64], constant: impl Into<Dim>) -> Option<IndexForm> {
        let coefficients = SmallVec::from_slice(coefficients);
        Some(IndexForm { coefficients, constant: constant.into() })
    }

    fn ints(graph: &mut Graph, shape: &[usize], values: &[i64]) -> ValueId {
        let values = Literal::Ints(values.into());
        let ty = TensorType::fixed(DType::I64, shape);
        graph.value(Op::Constant(Constant { ty, values }), &[]).unwrap()
    }

    #[test]
    fn rows_minus_columns_of_a_causal_mask() {
        let (mut g, s, p) = graph();
        let t = &p + &s;
        let row = g.iota(s.clone()).unwrap();
        let past = g.dim(p.clone()).unwrap();
        let row = g.add_values(row, past).unwrap();
        let row = g.reshape(row, &[s.clone(), Dim::one()]).unwrap();
        let column = g.iota(t.clone()).unwrap();
        let distance = g.sub(column, row).unwrap();
        assert_eq!(index_form(&g, row), form(&[1, 0], p.clone()));
        assert_eq!(index_form(&g, distance), form(&[-1, 1], &Dim::zero() - &p));
        let window = g.int(3).unwrap();
        let scaled = g.mul(window, distance).unwrap();
        assert_eq!(index_form(&g, scaled), form(&[-3, 3], &p * -3));
    }

    #[test]
    fn layout_ops_move_coefficients() {
        let (mut g, s, _) = graph();
        let flat = g.iota(Dim::from(24)).unwrap();
        let cube = g.reshape(flat, &[2.into(), 3.into(), 4.into()]).unwrap();
        assert_eq!(index_form(&g, cube), form(&[12, 4, 1], 0));
        let turned = g.transpose(cube, &[2, 0, 1]).unwrap();
        assert_eq!(index_form(&g, turned), form(&[1, 12, 4], 0));
        let odd = g.slice(turned, Slice::strided(0, 1, 2)).unwrap();
        assert_eq!(index_form(&g, odd), form(&[2, 12, 4], 1));
        let merged = g.reshape(turned, &[4.into(), 6.into()]).unwrap();
        assert_eq!(index_form(&g, merged), form(&[1, 4], 0));
        let crossed = g.reshape(turned, &[24.into()]).unwrap();
        assert_eq!(index_form(&g, crossed), None);
        let row = g.iota(s.clone()).unwrap();
        let row = g.reshape(row, &[s.clone(), Dim::one()]).unwrap();
        let wide = g.broadcast(row, &[7.into(), s.clone(), s.clone()]).unwrap();
        assert_eq!(index_form(&g, wide), form(&[0, 1, 0], 0));
    }

    #[test]
    fn casts_keep_the_form_where_the_integers_fit() {
        let (mut g, s, _) = graph();
        let row = g.iota(s).unwrap();
        let two = g.real(DType::F32, 2.0).unwrap();
        let float = g.cast(row, DType::F32).unwrap();
        let even = g.mul(two, float).unwrap();
        let narrow = g.cast(even, DType::I32).unwrap();
        assert_eq!(index_form(&g, narrow), form(&[2], 0));
        let half = g.real(DType::F32, 0.5).unwrap();
        let uneven = g.mul(float, half).unwrap();
        assert_eq!(index_form(&g, uneven), None);
        let huge = g.int(1 << 31).unwrap();
        let shifted = g.add_values(row, huge).unwrap();
        assert_eq!(index_form(&g, shifted), form(&[1], 1i64 << 31));
        let saturated = g.cast(shifted, DType::I32).unwrap();
        assert_eq!(index_form(&g, saturated), None);
        let truth = g.cast(row, DType::Bool).unwrap();
        assert_eq!(index_form(&g, truth), None);
        let back = g.cast(truth, DType::I64).unwrap();
        assert_eq!(index_form(&g, back), None);
    }

    #[test]
    fn literals_are_affine_or_refused() {
        let (mut g, ..) = graph();
        let grid = ints(&mut g, &[2, 3], &[5, 3, 1, 9, 7, 5]);
        assert_eq!(index_form(&g, grid), form(&[4, -2], 5));
        let bent = ints(&mut g, &[2, 3], &[5, 3, 1, 9, 7, 4]);
        assert_eq!(index_form(&g, bent), None);
        let splat = ints(&mut g, &[2, 3], &[-4]);
        assert_eq!(index_form(&g, splat), form(&[0, 0], -4));
        let extremes = ints(&mut g, &[2], &[i64::MIN, i64::MAX]);
        assert_eq!(index_form(&g, extremes), None);
        let values = Literal::Reals([0.0, 1.0, 2.0].map(Real::new).as_slice().into());
        let ty = TensorType::fixed(DType::F32, &[3]);
        let reals = g.value(Op::Constant(Constant { ty, values }), &[]).unwrap();
        assert_eq!(index_form(&g, reals), form(&[1], 0));
        let nan = g.real(DType::F32, f64::NAN).unwrap();
        assert_eq!(index_form(&g, nan), None);
    }

    #[test]
    fn what_is_not_affine_in_sizes_is_refused() {
        let (mut g, s, _) = graph();
        let row = g.iota(s.clone()).unwrap();
        let square = g.mul(row, row).unwrap();
        assert_eq!(index_form(&g, square), None);
        let size = g.dim(s.clone()).unwrap();
        let stretched = g.mul(row, size).unwrap();
        assert_eq!(index_form(&g, stretched), None);
        let area = g.mul(size, size).unwrap();
        assert_eq!(index_form(&g, area), form(&[], &s * &s));
        let given = g.argument("n", TensorType::scalar(DType::I64)).unwrap();
        let shifted = g.add_values(row, given).unwrap();
        assert_eq!(index_form(&g, shifted), None);
        let halved = g.binary(BinaryOp::Div, row, size).unwrap();
        assert_eq!(index_form(&g, halved), None);
    }

    #[test]
    fn shared_operands_do_not_take_exponential_time() {
        let (mut g, ..) = graph();
        let mut value = g.int(0).unwrap();
        for _ in 0..200 {
            value = g.add_values(value, value).unwrap();
        }
        assert_eq!(index_form(&g, value), None);
    }
}
