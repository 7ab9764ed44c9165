//! Zeroed host memory that starts on a cache line.

use minuend_runtime::DeviceError;

/// One cache line, so that every block of the arena starts on one.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

// SAFETY: an array of bytes has no padding, no invalid bit pattern and no interior mutability.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Line {}

/// Owned bytes, aligned to 64.
#[derive(Default)]
pub(crate) struct AlignedBytes {
    lines: Vec<Line>,
    len: usize,
}

impl AlignedBytes {
    /// Zeroed memory; an error instead of an abort when there is none.
    pub(crate) fn zeroed(bytes: u64, what: &str) -> Result<AlignedBytes, DeviceError> {
        let failed = || DeviceError::OutOfMemory { bytes, what: what.to_string() };
        let len = usize::try_from(bytes).map_err(|_| failed())?;
        let count = len.div_ceil(64);
        let mut lines = Vec::new();
        lines.try_reserve_exact(count).map_err(|_| failed())?;
        lines.resize(count, Line([0; 64]));
        Ok(AlignedBytes { lines, len })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len as u64
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}
