//! Results that shaders write, and shapes and strides as uniforms.

use crate::axes::Axes;
use crate::wgsl::dispatch::LaunchPlaces;
use crate::wgsl::error::ShaderError;
use crate::wgsl::place::{TensorPlace, Uniforms};

/// Largest rank that shaders index.
pub(crate) const MAX_RANK: usize = 6;

/// The result at `index`, which is dense and starts at a whole word.
pub(crate) fn result_place<'a>(
    launch: &LaunchPlaces<'a>,
    index: usize,
) -> Result<&'a TensorPlace<'a>, ShaderError> {
    let result = launch.dense_result(index)?;
    if result.byte_offset.is_multiple_of(4) {
        return Ok(result);
    }
    let op = launch.kernel.op.mnemonic();
    let reason = format!("the result starts at byte {}, not at a word", result.byte_offset);
    Err(ShaderError::Unsupported { op, reason })
}

impl Axes {
    /// Adds the uniform array `shape` and one array of strides for each name.
    pub(crate) fn uniforms(
        &self,
        uniforms: &mut Uniforms,
        names: &[&'static str],
    ) -> Result<(), ShaderError> {
        uniforms.array("shape", self.shape.iter().copied(), 8)?;
        for (name, strides) in names.iter().zip(&self.strides) {
            uniforms.array(name, strides.iter().copied(), 8)?;
        }
        Ok(())
    }
}
