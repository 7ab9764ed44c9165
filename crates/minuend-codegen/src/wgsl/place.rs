//! Which part of memory a shader sees.

use smallvec::SmallVec;

pub use crate::place::{Region, TensorPlace};

use crate::wgsl::error::ShaderError;
use crate::wgsl::limits::WgslLimits;

/// The bytes of a region that a dispatch reaches through one binding.
///
/// A binding starts at an aligned place at or before the tensor, so that it is the same for every run
/// and bind groups can be kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The region.
    pub region: Region,
    /// First byte, a multiple of the adapter's offset alignment.
    pub start: u64,
    /// Bytes that must be visible.
    pub bytes: u64,
    /// Words given with the kernel in place of a region's memory, for literals and tables.
    pub data: Option<std::sync::Arc<[u32]>>,
}

impl Window {
    /// A window on words that belong to the kernel.
    pub fn of_data(words: std::sync::Arc<[u32]>) -> Window {
        let bytes = words.len() as u64 * 4;
        Window { region: Region::Scratch, start: 0, bytes, data: Some(words) }
    }

    /// A window on the first bytes of scratch memory.
    pub fn of_scratch(bytes: u64) -> Window {
        Window { region: Region::Scratch, start: 0, bytes, data: None }
    }

    /// A window on the fault counters.
    pub fn of_faults() -> Window {
        Window { region: Region::Faults, start: 0, bytes: 16, data: None }
    }

    /// The window on a tensor, and the element of the window at which the tensor starts. It starts where
    /// the region does, wherever the tensor's end can be reached from there.
    pub fn of(tensor: &TensorPlace<'_>, limits: &WgslLimits) -> Result<(Window, u32), ShaderError> {
        let end = tensor.byte_offset.saturating_add(tensor.span_bytes());
        let start = if end <= limits.max_binding_bytes {
            0
        } else {
            tensor.byte_offset - tensor.byte_offset % limits.offset_alignment
        };
        let bytes = tensor.byte_offset - start + tensor.span_bytes();
        if bytes > limits.max_binding_bytes {
            return Err(ShaderError::Binding {
                needed: bytes,
                available: limits.max_binding_bytes,
            });
        }
        let element = (tensor.byte_offset - start) / tensor.dtype.bytes();
        let element = u32::try_from(element).unwrap_or(u32::MAX);
        let window = Window { region: tensor.region, start, bytes, data: None };
        Ok((window, element))
    }
}

/// The words of a kernel's uniform struct, in the order of its fields. A field that is an array gives
/// as many words of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uniforms {
    /// Field name and word.
    pub words: SmallVec<[(&'static str, u32); 32]>,
}

impl Uniforms {
    /// Adds a size or stride.
    pub fn size(&mut self, name: &'static str, value: usize) -> Result<(), ShaderError> {
        let word = u32::try_from(value).map_err(|_| ShaderError::Size { name, value })?;
        self.words.push((name, word));
        Ok(())
    }

    /// Adds a word as it is.
    pub fn word(&mut self, name: &'static str, word: u32) {
        self.words.push((name, word));
    }

    /// Adds a float.
    pub fn float(&mut self, name: &'static str, value: f32) {
        self.words.push((name, value.to_bits()));
    }

    /// Adds an array of `count` words, zeros behind the given ones.
    pub fn array(
        &mut self,
        name: &'static str,
        values: impl IntoIterator<Item = usize>,
        count: usize,
    ) -> Result<(), ShaderError> {
        let from = self.words.len();
        for value in values {
            self.size(name, value)?;
        }
        while self.words.len() < from + count {
            self.words.push((name, 0));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use minuend_ir::DType;

    use super::*;

    #[test]
    fn a_window_starts_with_its_region_where_it_can() {
        let limits = WgslLimits { max_binding_bytes: 4096, ..WgslLimits::portable() };
        let place = |byte_offset, size| {
            let region = Region::State(0);
            let (shape, strides) = ([size], [1]);
            let tensor = TensorPlace {
                region,
                dtype: DType::F32,
                byte_offset,
                shape: &shape,
                strides: &strides,
            };
            Window::of(&tensor, &limits).map(|(window, first)| (window.start, window.bytes, first))
        };
        assert_eq!(place(4000, 24), Ok((0, 4096, 1000)));
        // Behind what a binding reaches from the start: from the aligned place before the tensor.
        assert_eq!(place(4100, 24), Ok((4096, 100, 1)));
        assert_eq!(place(0, 1024), Ok((0, 4096, 0)));
        let too_large = ShaderError::Binding { needed: 4100, available: 4096 };
        assert_eq!(place(0, 1025), Err(too_large));
    }
}
