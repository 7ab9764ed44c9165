//! Weights in the float type they are stored in, widened to f32 lane by lane or tile by tile.

use bytemuck::Pod;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use pulp::Simd;

use super::KernelError;

/// Weight elements in their stored float type, often a slice of a memory-mapped file.
#[derive(Debug, Clone, Copy)]
pub enum WeightRef<'a> {
    /// IEEE binary32.
    F32(&'a [f32]),
    /// IEEE binary16.
    F16(&'a [f16]),
    /// bfloat16.
    Bf16(&'a [bf16]),
}

impl<'a> WeightRef<'a> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::F16(data) => data.len(),
            Self::Bf16(data) => data.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements `start..start + dst.len()` as f32.
    pub(super) fn widen_into(&self, start: usize, dst: &mut [f32]) {
        let end = start + dst.len();
        match self {
            Self::F32(data) => dst.copy_from_slice(&data[start..end]),
            Self::F16(data) => data[start..end].convert_to_f32_slice(dst),
            Self::Bf16(data) => {
                let data = &data[start..end];
                pulp::Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        for (wide, narrow) in dst.iter_mut().zip(data) {
                            *wide = f32::from_bits(u32::from(narrow.to_bits()) << 16);
                        }
                    },
                );
            }
        }
    }
}

/// A dense row-major block `[rows, cols]` of a weight. A packed weight is a list of such blocks,
/// stacked along axis 0, each read where it is stored.
#[derive(Debug, Clone, Copy)]
pub struct WeightRows<'a> {
    data: WeightRef<'a>,
    rows: usize,
    cols: usize,
}

impl<'a> WeightRows<'a> {
    /// The block `[rows, cols]` whose elements are `data`.
    ///
    /// # Errors
    /// [`KernelError::Bounds`] unless `data` has exactly `rows * cols` elements.
    pub fn new(data: WeightRef<'a>, rows: usize, cols: usize) -> Result<Self, KernelError> {
        if rows.checked_mul(cols) != Some(data.len()) {
            return Err(KernelError::Bounds {
                shape: vec![rows, cols],
                strides: vec![cols, 1],
                available: data.len(),
            });
        }
        Ok(Self { data, rows, cols })
    }

    /// The elements, row by row.
    pub fn data(&self) -> WeightRef<'a> {
        self.data
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements per row.
    pub fn cols(&self) -> usize {
        self.cols
    }
}

/// A stored float type that widens to f32 in registers.
pub(super) trait WeightElement: Pod + Send + Sync {
    /// Whether [`WeightElement::widen`] returns the even elements first and the odd ones second,
    /// rather than the first half and the second half.
    const EVEN_ODD: bool;

    /// The `2 * S::F32_LANES` elements of `chunk` as f32.
    fn widen<S: Simd>(simd: S, chunk: &[Self]) -> (S::f32s, S::f32s);
}

/// Vector number `index` of `data`, at any alignment.
#[inline(always)]
pub(super) fn load_lanes<S: Simd>(_simd: S, data: &[f32], index: usize) -> S::f32s {
    let lanes = S::F32_LANES;
    bytemuck::pod_read_unaligned(bytemuck::cast_slice(&data[index * lanes..(index + 1) * lanes]))
}

/// Two 16-bit elements per 32-bit lane: the even elements are the low halves, as in little-endian
/// memory order.
#[inline(always)]
fn load_pairs<S: Simd, W: Pod>(simd: S, chunk: &[W]) -> S::u32s {
    let pairs = bytemuck::pod_read_unaligned(bytemuck::cast_slice(&chunk[..2 * S::F32_LANES]));
    if cfg!(target_endian = "big") {
        let shift = simd.splat_u32s(16);
        simd.or_u32s(
            simd.wrapping_dyn_shl_u32s(pairs, shift),
            simd.wrapping_dyn_shr_u32s(pairs, shift),
        )
    } else {
        pairs
    }
}

impl WeightElement for f32 {
    const EVEN_ODD: bool = false;

    #[inline(always)]
    fn widen<S: Simd>(simd: S, chunk: &[Self]) -> (S::f32s, S::f32s) {
        (load_lanes(simd, chunk, 0), load_lanes(simd, chunk, 1))
    }
}

impl WeightElement for bf16 {
    const EVEN_ODD: bool = true;

    #[inline(always)]
    fn widen<S: Simd>(simd: S, chunk: &[Self]) -> (S::f32s, S::f32s) {
        let pairs = load_pairs(simd, chunk);
        let even = simd.wrapping_dyn_shl_u32s(pairs, simd.splat_u32s(16));
        let odd = simd.and_u32s(pairs, simd.splat_u32s(0xffff_0000));
        (simd.transmute_f32s_u32s(even), simd.transmute_f32s_u32s(odd))
    }
}

/// binary16 in the low half of each lane as f32: the exponent and mantissa are moved into place
/// and the difference of the exponent biases, 112, is multiplied in, which is exact for
/// subnormals as well. Infinity and NaN keep an all-ones exponent.
#[inline(always)]
fn widen_f16_lanes<S: Simd>(simd: S, half: S::u32s) -> S::f32s {
    let magnitude = simd
        .wrapping_dyn_shl_u32s(simd.and_u32s(half, simd.splat_u32s(0x7fff)), simd.splat_u32s(13));
    let sign = simd
        .wrapping_dyn_shl_u32s(simd.and_u32s(half, simd.splat_u32s(0x8000)), simd.splat_u32s(16));
    let two_to_112 = simd.splat_f32s(f32::from_bits((127 + 112) << 23));
    let finite = simd.mul_f32s(simd.transmute_f32s_u32s(magnitude), two_to_112);
    let special = simd.or_u32s(magnitude, simd.splat_u32s(0x7f80_0000));
    let is_special = simd.greater_than_or_equal_u32s(magnitude, simd.splat_u32s(0x7c00 << 13));
    let value = simd.select_u32s(is_special, special, simd.transmute_u32s_f32s(finite));
    simd.transmute_f32s_u32s(simd.or_u32s(value, sign))
}

/// As [`widen_f16_lanes`] of the low and of the high halves, by the instruction for it. `None` where
/// the vectors in use are not those of AVX-512.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn convert_f16_pairs<S: Simd>(pairs: S::u32s) -> Option<(S::f32s, S::f32s)> {
    use std::arch::x86_64::{__m512i, _mm512_cvtepi32_epi16, _mm512_cvtph_ps, _mm512_srli_epi32};
    if std::any::TypeId::of::<S>() != std::any::TypeId::of::<pulp::x86::V4>() {
        return None;
    }
    let pairs: __m512i = bytemuck::try_cast(pairs).ok()?;
    // SAFETY: `S` is `V4`, of which the caller has a value, and one is made only where AVX-512F is.
    let (low, high) = unsafe {
        let high = _mm512_srli_epi32::<16>(pairs);
        let low = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(pairs));
        (low, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(high)))
    };
    Some((bytemuck::try_cast(low).ok()?, bytemuck::try_cast(high).ok()?))
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn convert_f16_pairs<S: Simd>(_pairs: S::u32s) -> Option<(S::f32s, S::f32s)> {
    None
}

impl WeightElement for f16 {
    const EVEN_ODD: bool = true;

    #[inline(always)]
    fn widen<S: Simd>(simd: S, chunk: &[Self]) -> (S::f32s, S::f32s) {
        let pairs = load_pairs(simd, chunk);
        if let Some(converted) = convert_f16_pairs::<S>(pairs) {
            return converted;
        }
        let high = simd.wrapping_dyn_shr_u32s(pairs, simd.splat_u32s(16));
        (widen_f16_lanes(simd, pairs), widen_f16_lanes(simd, high))
    }
}

#[cfg(test)]
mod tests {
    use super::super::on_every_simd;
    use super::*;
    use pulp::WithSimd;

    struct WidenAll<'a, W>(&'a [W]);
    impl<W: WeightElement> WithSimd for WidenAll<'_, W> {
        type Output = Vec<f32>;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
            let mut out = Vec::new();
            for chunk in self.0.chunks_exact(2 * S::F32_LANES) {
                let (a, b) = W::widen(simd, chunk);
                let (a, b) = ([a], [b]);
                let a: &[f32] = bytemuck::cast_slice(&a);
                let b: &[f32] = bytemuck::cast_slice(&b);
                if W::EVEN_ODD {
                    out.extend(a.iter().zip(b).flat_map(|(a, b)| [*a, *b]));
                } else {
                    out.extend(a.iter().chain(b));
                }
            }
            out
        }
    }

    fn assert_same(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            if expected.is_nan() {
                assert!(found.is_nan(), "element {i}: {found}");
            } else {
                assert_eq!(found.to_bits(), expected.to_bits(), "element {i}");
            }
        }
    }

    #[test]
    fn every_16_bit_pattern_widens_exactly() {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        let expected: Vec<f32> = halves.iter().map(|v| v.to_f32()).collect();
        on_every_simd(|| WidenAll(&halves), |found| assert_same(&found, &expected));
        let mut wide = vec![0.0; halves.len()];
        WeightRef::F16(&halves).widen_into(0, &mut wide);
        assert_same(&wide, &expected);

        let brains: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
        let expected: Vec<f32> = brains.iter().map(|v| v.to_f32()).collect();
        on_every_simd(|| WidenAll(&brains), |found| assert_same(&found, &expected));
        WeightRef::Bf16(&brains).widen_into(0, &mut wide);
        assert_same(&wide, &expected);
    }

    #[test]
    fn unaligned_chunks() {
        let brains: Vec<bf16> = (0..97).map(|i| bf16::from_f32(i as f32)).collect();
        let expected: Vec<f32> = brains[1..].iter().map(|v| v.to_f32()).collect();
        on_every_simd(|| WidenAll(&brains[1..]), |found| assert_same(&found, &expected));
    }
}
