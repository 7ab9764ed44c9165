//! Where the elements of a view lie in row-major data.

/// Distance in elements between neighbours along each axis of a row-major tensor.
pub(crate) fn row_major_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Strides by which a row-major tensor of shape `from` is read as shape `to`: aligned at the last
/// axis, 0 along axes that are repeated. `from` broadcasts to `to`.
pub(crate) fn broadcast_strides(from: &[usize], to: &[usize]) -> Vec<usize> {
    let missing = to.len().saturating_sub(from.len());
    let strides = row_major_strides(from);
    let repeated = |axis: usize| from[axis] == 1 && to[axis + missing] != 1;
    let own = (0..from.len()).map(|axis| if repeated(axis) { 0 } else { strides[axis] });
    std::iter::repeat_n(0, missing).chain(own).collect()
}

/// Offsets of the elements of a strided view, in row-major order of the view.
pub(crate) struct Offsets {
    shape: Vec<usize>,
    strides: Vec<usize>,
    /// Index of the next element along each axis.
    index: Vec<usize>,
    next: usize,
    remaining: usize,
}

impl Offsets {
    /// The view of that shape that begins at element `start`; one stride for each axis.
    pub(crate) fn new(shape: &[usize], strides: Vec<usize>, start: usize) -> Offsets {
        Offsets {
            shape: shape.to_vec(),
            strides,
            index: vec![0; shape.len()],
            next: start,
            remaining: shape.iter().product(),
        }
    }

    /// A row-major tensor of shape `from` read as shape `to`, to which it broadcasts.
    pub(crate) fn broadcast(from: &[usize], to: &[usize]) -> Offsets {
        Offsets::new(to, broadcast_strides(from, to), 0)
    }
}

impl Iterator for Offsets {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.remaining = self.remaining.checked_sub(1)?;
        let offset = self.next;
        for axis in (0..self.shape.len()).rev() {
            self.index[axis] += 1;
            self.next += self.strides[axis];
            if self.index[axis] < self.shape[axis] {
                break;
            }
            self.next -= self.strides[axis] * self.shape[axis];
            self.index[axis] = 0;
        }
        Some(offset)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

/// A shape seen from one axis: elements are `[outer, size, inner]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AxisSplit {
    /// Product of the axes before.
    pub(crate) outer: usize,
    /// Size of the axis.
    pub(crate) size: usize,
    /// Product of the axes behind: the distance between neighbours along the axis.
    pub(crate) inner: usize,
}

impl AxisSplit {
    /// Splits at `axis`, which the shape has.
    pub(crate) fn new(shape: &[usize], axis: usize) -> AxisSplit {
        AxisSplit {
            outer: shape[..axis].iter().product(),
            size: shape[axis],
            inner: shape[axis + 1..].iter().product(),
        }
    }
}
