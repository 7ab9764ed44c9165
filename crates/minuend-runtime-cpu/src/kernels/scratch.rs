//! Working memory of a task.

/// One cache line, which is also the widest vector.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

// SAFETY: `Line` is an array of f32 without padding; the all-zero bit pattern is valid.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: `Line` is an array of f32, `repr(C)`, its size (64) a multiple of its alignment (64), so
// without padding; every bit pattern is valid.
unsafe impl bytemuck::Pod for Line {}

/// f32 working memory aligned to cache lines, reused from one task to the next.
#[derive(Default)]
pub(super) struct Scratch {
    lines: Vec<Line>,
}

impl Scratch {
    /// `len` elements whose values are left from earlier uses, or zero.
    pub(super) fn take(&mut self, len: usize) -> &mut [f32] {
        let lines = len.div_ceil(16);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0.0; 16]));
        }
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..len]
    }

    /// `len` elements, all zero.
    pub(super) fn zeroed(&mut self, len: usize) -> &mut [f32] {
        let elements = self.take(len);
        elements.fill(0.0);
        elements
    }
}
