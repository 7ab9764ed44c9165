//! How shaders are told what an attention launch consists of and where it lies.

use minuend_ir::ops::Mask;

use crate::attention::{Problem, strides};
use crate::wgsl::dispatch::Dispatch;
use crate::wgsl::error::ShaderError;
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::place::{TensorPlace, Window};
use crate::wgsl::template::{KernelSpec, Param};

/// Parameters of the shaders in which a workgroup sees all keys of its queries.
pub(super) const WHOLE: [&str; 3] = ["PAIRED", "HEAD_DIM", "VALUE_DIM"];

impl Problem<'_> {
    /// Keys that a query sees on average, roughly.
    pub(super) fn mean_keys(&self) -> usize {
        let causal = self.keys.saturating_sub(self.queries / 2).max(1);
        match self.mask {
            Mask::Full => self.keys,
            Mask::Causal => causal,
            Mask::SlidingWindow { window } => causal.min(window as usize),
        }
    }

    /// Multiply-adds of one query row of one head, roughly.
    pub(super) fn row_work(&self) -> u64 {
        let per_key = self.head_dim.saturating_add(self.value_dim);
        (self.mean_keys() as u64).saturating_mul(per_key as u64)
    }

    /// True if all vectors of 4 elements lie at multiples of 4 elements.
    pub(super) fn is_aligned(&self) -> bool {
        let divides = |place: &TensorPlace<'_>| {
            place.byte_offset.is_multiple_of(16)
                && place.shape[3].is_multiple_of(4)
                && strides(place).into_iter().all(|stride| stride.is_multiple_of(4))
        };
        [self.q, self.k, self.v, self.out].into_iter().all(divides)
    }

    /// A specification with the type of elements and those of the other parameters of the operands
    /// that the template has.
    pub(super) fn spec(
        &self,
        template: &'static str,
        names: &[&'static str],
    ) -> Result<KernelSpec, ShaderError> {
        let value = if self.is_aligned() { "vec4<f32>" } else { "f32" };
        let mut spec = KernelSpec::new(template).with("Value", Param::Type(value));
        for name in names.iter().copied() {
            let value = match name {
                "HEAD_DIM" => self.head_dim,
                "VALUE_DIM" => self.value_dim,
                _ => {
                    spec = spec.with_bool(name, self.lambda.is_some());
                    continue;
                }
            };
            let word = u32::try_from(value).map_err(|_| ShaderError::Size { name, value })?;
            spec = spec.with_u32(name, word);
        }
        Ok(spec)
    }

    /// Elements of the type `Value`.
    fn width(&self) -> usize {
        if self.is_aligned() { 4 } else { 1 }
    }

    /// Binds a tensor and adds where it lies: `names` are its binding, then the fields of its offset
    /// and of its strides over batches, heads and rows.
    fn place(
        &self,
        dispatch: &mut Dispatch,
        place: &TensorPlace<'_>,
        names: [&'static str; 5],
        width: usize,
        limits: &WgslLimits,
    ) -> Result<(), ShaderError> {
        // A tensor without elements is never read; its binding must have some memory behind it.
        let bound = if place.shape.contains(&0) { self.out } else { place };
        let (window, offset) = Window::of(bound, limits)?;
        dispatch.bind(names[0], window);
        dispatch.uniforms.size(names[1], offset as usize / width)?;
        for (name, stride) in names[2..].iter().zip(strides(place)) {
            dispatch.uniforms.size(name, stride / width)?;
        }
        Ok(())
    }

    /// Adds the fields that say which keys a query sees.
    pub(super) fn add_mask(&self, dispatch: &mut Dispatch) {
        let (causal, window) = match self.mask {
            Mask::Full => (0, u32::MAX),
            Mask::Causal => (1, u32::MAX),
            Mask::SlidingWindow { window } => (1, window),
        };
        dispatch.uniforms.word("causal", causal);
        dispatch.uniforms.word("window", window);
        dispatch.uniforms.float("scale", self.scale);
    }

    /// Binds q, k and v and adds where they lie.
    pub(super) fn add_sources(
        &self,
        dispatch: &mut Dispatch,
        limits: &WgslLimits,
    ) -> Result<(), ShaderError> {
        let width = self.width();
        let names = ["q", "q_offset", "q_batch", "q_head", "q_row"];
        self.place(dispatch, self.q, names, width, limits)?;
        let names = ["k", "k_offset", "k_batch", "k_head", "k_row"];
        self.place(dispatch, self.k, names, width, limits)?;
        let names = ["v", "v_offset", "v_batch", "v_head", "v_row"];
        self.place(dispatch, self.v, names, width, limits)
    }

    /// Binds the result, then lambda if there is one, and adds where they lie.
    pub(super) fn add_result(
        &self,
        dispatch: &mut Dispatch,
        limits: &WgslLimits,
    ) -> Result<(), ShaderError> {
        let names = ["out", "out_offset", "out_batch", "out_head", "out_row"];
        self.place(dispatch, self.out, names, self.width(), limits)?;
        let names = ["lambda", "lambda_offset", "lambda_batch", "lambda_head", "lambda_row"];
        match self.lambda {
            Some(lambda) => self.place(dispatch, lambda, names, 1, limits),
            None => {
                names[1..].iter().for_each(|name| dispatch.uniforms.word(name, 0));
                Ok(())
            }
        }
    }

    /// Adds the fields and bindings of a shader in which a workgroup sees all keys of its queries.
    pub(super) fn add_whole(
        &self,
        dispatch: &mut Dispatch,
        slices: usize,
        tiles: usize,
        limits: &WgslLimits,
    ) -> Result<(), ShaderError> {
        let uniforms = &mut dispatch.uniforms;
        uniforms.size("queries", self.queries)?;
        uniforms.size("keys", self.keys)?;
        uniforms.size("slices", slices)?;
        uniforms.size("heads", self.heads)?;
        uniforms.size("batch", self.batch)?;
        uniforms.size("tiles", tiles)?;
        uniforms.size("group_heads", self.group_heads())?;
        self.add_mask(dispatch);
        self.add_sources(dispatch, limits)?;
        self.add_result(dispatch, limits)
    }
}

/// The regions that say how a vector of 4 elements is read from single ones, and what stands in for
/// the second softmax where there is none.
pub(super) fn region(spec: &KernelSpec, name: &str) -> Option<&'static str> {
    match name {
        "factor" if !spec.is_set("PAIRED") => Some(NO_FACTOR),
        "q_vector" if is_scalar(spec) => Some(Q_BY_ELEMENT),
        "kv_vectors" if is_scalar(spec) => Some(KV_BY_ELEMENT),
        "store_vector" if is_scalar(spec) => Some(STORE_BY_ELEMENT),
        _ => None,
    }
}

fn is_scalar(spec: &KernelSpec) -> bool {
    spec.param("Value") == Some(Param::Type("f32"))
}

const NO_FACTOR: &str = "\
fn second_factor(batch: u32, head: u32, row: u32) -> f32 {
    return 0.0;
}
";

const Q_BY_ELEMENT: &str = "\
// Elements behind the last are 0.
fn q_vector(row: u32, vector: u32) -> vec4<f32> {
    var value = vec4<f32>();
    for (var index = 0u; index < 4u && vector * 4u + index < HEAD_DIM; index = index + 1u) {
        value[index] = q[row + vector * 4u + index];
    }
    return value;
}
";

const KV_BY_ELEMENT: &str = "\
// Elements behind the last are 0.
fn k_vector(row: u32, vector: u32) -> vec4<f32> {
    var value = vec4<f32>();
    for (var index = 0u; index < 4u && vector * 4u + index < HEAD_DIM; index = index + 1u) {
        value[index] = k[row + vector * 4u + index];
    }
    return value;
}

fn v_vector(row: u32, vector: u32) -> vec4<f32> {
    var value = vec4<f32>();
    for (var index = 0u; index < 4u && vector * 4u + index < VALUE_DIM; index = index + 1u) {
        value[index] = v[row + vector * 4u + index];
    }
    return value;
}
";

const STORE_BY_ELEMENT: &str = "\
fn store_vector(row: u32, vector: u32, value: vec4<f32>) {
    for (var index = 0u; index < 4u && vector * 4u + index < VALUE_DIM; index = index + 1u) {
        out[row + vector * 4u + index] = value[index];
    }
}
";

/// Adds the accesses of bindings as a plan sets them that has everything in temporary memory.
pub(super) fn with_accesses(spec: KernelSpec, bindings: &[&'static str]) -> KernelSpec {
    let reads_lambda = spec.is_set("PAIRED") && bindings.contains(&"out");
    let lambda = reads_lambda.then_some("lambda");
    let bindings = bindings.iter().copied().chain(lambda);
    bindings.fold(spec, |spec, name| spec.with(name, Param::ReadOnly(false)))
}
