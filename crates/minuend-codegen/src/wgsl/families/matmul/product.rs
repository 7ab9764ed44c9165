//! A product with as few axes as possible, and the memory it reads.

use std::ops::Range;
use std::sync::Arc;

use minuend_ir::ops::Matmul;

use crate::axes::{PerAxis, broadcast_strides, coalesce};
use crate::kernel::Tail;
use crate::wgsl::dispatch::LaunchPlaces;
use crate::wgsl::error::ShaderError;
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::place::{TensorPlace, Uniforms, Window};

/// Batch axes that shaders index.
const MAX_BATCH_RANK: usize = 4;
/// Columns that all tiles divide.
const WHOLE_TILES: usize = 128;

/// `result[b, row, column] = sum over k of lhs[b, row, k] * rhs[b, column, k]`, batch entry by entry.
#[derive(Clone, Debug)]
pub(super) struct Product<'a> {
    pub(super) lhs: TensorPlace<'a>,
    pub(super) rhs: TensorPlace<'a>,
    pub(super) result: TensorPlace<'a>,
    /// Rows of one batch entry.
    pub(super) rows: usize,
    /// Columns of the result.
    pub(super) columns: usize,
    /// Length of the sums.
    pub(super) k: usize,
    /// Sizes of the batch axes, at most [`MAX_BATCH_RANK`].
    pub(super) batch_shape: PerAxis,
    lhs_batch: PerAxis,
    rhs_batch: PerAxis,
    /// Neighbours along k are closer in the rhs than neighbours along the columns.
    pub(super) k_inner: bool,
    /// Elements of the rhs between neighbours of its outer axis and of its inner one.
    pub(super) outer_stride: usize,
    pub(super) inner_stride: usize,
    /// Columns of the rhs come in two halves, gate and up.
    pub(super) is_swiglu: bool,
}

/// The operands of one dispatch: the memory it sees, and where in it they begin.
pub(super) struct Bound {
    pub(super) lhs: (Window, u32),
    pub(super) rhs: (Window, u32),
    /// The second half of the rhs; the rhs where there is none.
    pub(super) up: (Window, u32),
    pub(super) result: (Window, u32),
    /// Columns of the result.
    pub(super) columns: Range<usize>,
}

impl<'a> Product<'a> {
    pub(super) fn of(op: Matmul, launch: &LaunchPlaces<'a>) -> Result<Product<'a>, ShaderError> {
        let name = launch.kernel.op.mnemonic();
        let unsupported =
            |reason: &str| ShaderError::Unsupported { op: name, reason: reason.to_string() };
        let (Some(lhs), Some(rhs)) = (launch.operands.first(), launch.operands.get(1)) else {
            return Err(unsupported("it has fewer than two operands"));
        };
        let Some(result) = launch.results.first() else {
            return Err(unsupported("it has no result"));
        };
        let is_swiglu = match launch.kernel.tail {
            Tail::None => false,
            Tail::Swiglu => true,
            Tail::Elementwise(_) => return Err(unsupported("its tail is elementwise")),
        };
        let ([lhs_outer @ .., rows, k], [rhs_outer @ .., a, b], [outer @ .., _, columns]) =
            (lhs.shape, rhs.shape, result.shape)
        else {
            return Err(unsupported("an operand has fewer than two axes"));
        };
        let [rhs_batch_strides @ .., stride_a, stride_b] = rhs.strides else {
            return Err(unsupported("an operand has fewer than two axes"));
        };
        let (rhs_columns, rhs_k, column_stride, k_stride) = match op.transpose_rhs {
            true => (*a, *b, *stride_a, *stride_b),
            false => (*b, *a, *stride_b, *stride_a),
        };
        let halves = 1 + usize::from(is_swiglu);
        if rhs_k != *k || rhs_columns / halves != *columns || !rhs_columns.is_multiple_of(halves) {
            return Err(unsupported("the shapes of its operands do not fit"));
        }
        if is_swiglu && (rhs.shape.len() != 2 || !op.transpose_rhs) {
            return Err(unsupported("a gated product takes a weight [n, k]"));
        }
        let lhs_strides = lhs.strides.get(..lhs_outer.len()).unwrap_or(&[]);
        let lhs_strides = broadcast_strides(name, lhs_outer, lhs_strides, outer)?;
        let rhs_strides = broadcast_strides(name, rhs_outer, rhs_batch_strides, outer)?;
        let mut batch = coalesce(outer, &[&lhs_strides, &rhs_strides]);
        let mut rows = *rows;
        // Rows that meet the same rhs, one entry's behind the other's, are rows of one product.
        while let Some(size) = batch.shape.last()
            && (*size == 1
                || (batch.strides[0].last() == Some(&(rows * k))
                    && batch.strides[1].last() == Some(&0)))
        {
            rows *= size;
            batch.shape.pop();
            batch.strides.iter_mut().for_each(|strides| {
                strides.pop();
            });
        }
        if batch.shape.len() > MAX_BATCH_RANK {
            return Err(unsupported("it has more than four batch axes"));
        }
        // An axis of size 1 has no neighbours: the other one is the inner axis then. The halves of a
        // gated weight are ranges of its outer axis.
        let k_inner = match (rhs_columns, *k) {
            _ if is_swiglu => true,
            (1, _) => true,
            (_, 1) => false,
            _ => k_stride <= column_stride,
        };
        let [rhs_batch, lhs_batch] = [1, 0].map(|operand: usize| batch.strides[operand].clone());
        Ok(Product {
            lhs: *lhs,
            rhs: *rhs,
            result: *result,
            rows,
            columns: *columns,
            k: *k,
            batch_shape: batch.shape,
            lhs_batch,
            rhs_batch,
            k_inner,
            outer_stride: if k_inner { column_stride } else { k_stride },
            inner_stride: if k_inner { k_stride } else { column_stride },
            is_swiglu,
        })
    }

    /// Number of batch entries.
    pub(super) fn batches(&self) -> usize {
        self.batch_shape.iter().product()
    }

    /// Columns in ranges whose part of the rhs the adapter can bind.
    fn column_ranges(&self, limits: &WgslLimits) -> Result<Vec<Range<usize>>, ShaderError> {
        let whole = std::iter::once(0..self.columns).collect();
        // A range begins at any column, so up to one alignment lies before it in the binding.
        let slack = limits.offset_alignment;
        let fits = self.rhs.span_bytes() + slack <= limits.max_binding_bytes;
        if fits || self.rhs.shape.len() != 2 || !self.k_inner {
            return Ok(whole);
        }
        let bytes = self.rhs.dtype.bytes();
        let column_bytes = self.outer_stride as u64 * bytes;
        let row_bytes = ((self.k as u64).saturating_sub(1) * self.inner_stride as u64 + 1) * bytes;
        let available = limits.max_binding_bytes.saturating_sub(slack);
        if row_bytes > available {
            let needed = row_bytes + slack;
            return Err(ShaderError::Binding { needed, available: limits.max_binding_bytes });
        }
        let most = (available - row_bytes) / column_bytes.max(1) + 1;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        // Whole tiles, where a range has any.
        let step = if most >= WHOLE_TILES { most - most % WHOLE_TILES } else { most };
        Ok((0..self.columns)
            .step_by(step)
            .map(|first| first..first.saturating_add(step).min(self.columns))
            .collect())
    }

    /// The memory of each dispatch: one, or several with a range of columns each.
    pub(super) fn bind(&self, limits: &WgslLimits) -> Result<Vec<Bound>, ShaderError> {
        let lhs = self.operand(&self.lhs, limits)?;
        let result = Window::of(&self.result, limits)?;
        let columns = |range: &Range<usize>, half: usize| {
            if self.rhs.shape.len() != 2 || !self.k_inner || self.k == 0 {
                return self.operand(&self.rhs, limits);
            }
            let first = half * self.columns + range.start;
            let skipped = first as u64 * self.outer_stride as u64 * self.rhs.dtype.bytes();
            let part = TensorPlace {
                byte_offset: self.rhs.byte_offset + skipped,
                shape: &[range.len(), self.k],
                strides: &[self.outer_stride, self.inner_stride],
                ..self.rhs
            };
            Window::of(&part, limits)
        };
        let ranges = self.column_ranges(limits)?;
        let bound = ranges.into_iter().map(|range| {
            let rhs = columns(&range, 0)?;
            let up = if self.is_swiglu { columns(&range, 1)? } else { rhs.clone() };
            Ok(Bound { lhs: lhs.clone(), rhs, up, result: result.clone(), columns: range })
        });
        bound.collect()
    }

    /// The window on an operand. Without elements it has no memory: what stands for it is not read.
    fn operand(
        &self,
        place: &TensorPlace<'_>,
        limits: &WgslLimits,
    ) -> Result<(Window, u32), ShaderError> {
        if self.k == 0 {
            return Ok((Window::of_data(Arc::new([0; 4])), 0));
        }
        Window::of(place, limits)
    }

    /// True if all that is read begins at multiples of `unit` elements, in windows that begin at
    /// multiples of 16 bytes, and a row or column holds whole units.
    pub(super) fn is_aligned(&self, bound: &Bound, lhs_unit: usize, rhs_unit: usize) -> bool {
        let begins = |(window, offset): &(Window, u32), unit: usize| {
            window.start.is_multiple_of(16) && (*offset as usize).is_multiple_of(unit)
        };
        let all = |strides: &[usize], unit: usize| {
            strides.iter().all(|stride| stride.is_multiple_of(unit))
        };
        let inner = if self.k_inner { self.k } else { self.columns };
        begins(&bound.lhs, lhs_unit)
            && begins(&bound.rhs, rhs_unit)
            && begins(&bound.up, rhs_unit)
            && self.k.is_multiple_of(lhs_unit)
            && inner.is_multiple_of(rhs_unit)
            && self.inner_stride == 1
            && self.outer_stride.is_multiple_of(rhs_unit)
            && all(&self.lhs_batch, lhs_unit)
            && all(&self.rhs_batch, rhs_unit)
    }

    /// The batch axes, outermost first behind axes of size 1.
    pub(super) fn push_batch(&self, uniforms: &mut Uniforms) -> Result<(), ShaderError> {
        let missing = MAX_BATCH_RANK.saturating_sub(self.batch_shape.len());
        let filled = |own: &[usize], fill: usize| {
            let mut all = PerAxis::from_elem(fill, missing);
            all.extend_from_slice(own);
            all
        };
        uniforms.array("batch_shape", filled(&self.batch_shape, 1), MAX_BATCH_RANK)?;
        uniforms.array("lhs_batch", filled(&self.lhs_batch, 0), MAX_BATCH_RANK)?;
        uniforms.array("rhs_batch", filled(&self.rhs_batch, 0), MAX_BATCH_RANK)
    }
}
