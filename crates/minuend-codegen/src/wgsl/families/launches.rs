//! Launches for tests of the selection.

use minuend_ir::Op;

use crate::kernel::{Kernel, Tail};
use crate::tensor::Tensor;
use crate::wgsl::dispatch::{Dispatch, LaunchPlaces};
use crate::wgsl::error::ShaderError;
use crate::wgsl::limits::WgslLimits;
use crate::wgsl::place::TensorPlace;
use crate::wgsl::select::dispatches;
use crate::wgsl::template::{Dialect, specialise};
use crate::wgsl::validate::validate;

/// The dispatches of an op with a tail, each of which has a valid text that declares the bindings and
/// uniforms that the dispatch gives.
pub(crate) fn select_with(
    op: Op,
    tail: Tail,
    operands: &[Tensor],
    results: &[Tensor],
    limits: &WgslLimits,
) -> Result<Vec<Dispatch>, ShaderError> {
    let kernel = Kernel {
        op,
        operands: operands.iter().map(|tensor| tensor.dtype).collect(),
        results: results.iter().map(|tensor| tensor.dtype).collect(),
        tail,
    };
    let operands: Vec<TensorPlace<'_>> = operands.iter().map(Tensor::place).collect();
    let results: Vec<TensorPlace<'_>> = results.iter().map(Tensor::place).collect();
    let launch =
        LaunchPlaces { kernel: &kernel, operands: &operands, results: &results, scalars: &[] };
    let chosen = dispatches(&launch, limits)?;
    for dispatch in &chosen {
        let source = specialise(&dispatch.spec, Dialect::Native)?;
        let checked = validate(&source)?;
        assert_eq!(checked.read_only.len(), dispatch.windows.len(), "{}", source.label);
        let fields = checked.uniforms.iter();
        let declared = fields.flat_map(|field| vec![field.name.as_str(); field.words as usize]);
        let given = dispatch.uniforms.words.iter().map(|(name, _)| *name);
        assert!(declared.eq(given), "{}: {:?}", source.label, dispatch.uniforms);
        for window in &dispatch.windows {
            assert!(window.bytes > 0 && window.bytes <= limits.max_binding_bytes);
        }
    }
    Ok(chosen)
}

/// As [`select_with`], on the portable profile and without a tail.
pub(crate) fn select(
    op: Op,
    operands: &[Tensor],
    results: &[Tensor],
) -> Result<Vec<Dispatch>, ShaderError> {
    select_with(op, Tail::None, operands, results, &WgslLimits::portable())
}

/// The words of a uniform field.
pub(crate) fn uniform(dispatch: &Dispatch, name: &str) -> Vec<u32> {
    let words = dispatch.uniforms.words.iter();
    words.filter(|(known, _)| *known == name).map(|(_, word)| *word).collect()
}
