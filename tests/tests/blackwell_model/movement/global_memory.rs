//! Tensors in global memory, and the copies of boxes from and to them (TMA).

use super::shared_memory::{SharedMemory, swizzled};

/// Axes: columns, tokens, heads, batches.
pub(crate) type Axes = [usize; 4];

/// Elements of 16 bits of `[batches, heads, tokens, columns]`, in one of several orders in memory.
pub(crate) struct GlobalTensor {
    memory: Vec<u16>,
    /// How often an element has been stored.
    pub(crate) stores: Vec<u32>,
    pub(crate) sizes: Axes,
    /// Elements from one to the next along each axis.
    strides: Axes,
}

impl GlobalTensor {
    /// Full of NaN. Tokens are rows of all heads if `tokens_outside`, with a gap behind each; else each
    /// head has its own tokens.
    pub(crate) fn new(sizes: Axes, tokens_outside: bool) -> GlobalTensor {
        let [columns, tokens, heads, batches] = sizes;
        let strides = if tokens_outside {
            let row = heads * columns + 8;
            [1, row, columns, tokens * row]
        } else {
            [1, columns, tokens * columns, heads * tokens * columns]
        };
        let length = strides[3] * batches;
        GlobalTensor { memory: vec![0xffff; length], stores: vec![0; length], sizes, strides }
    }

    pub(crate) fn at(&self, index: Axes) -> usize {
        index.iter().zip(self.strides).map(|(index, stride)| index * stride).sum()
    }

    pub(crate) fn get(&self, index: Axes) -> u16 {
        self.memory[self.at(index)]
    }

    pub(crate) fn set(&mut self, index: Axes, value: u16) {
        let at = self.at(index);
        self.memory[at] = value;
    }

    /// Every index, the last axis outermost, as the interpreter orders elements.
    pub(crate) fn indices(&self) -> impl Iterator<Item = Axes> + use<> {
        let [columns, tokens, heads, batches] = self.sizes;
        (0..batches * heads * tokens * columns).map(move |at| {
            let row = at / columns;
            [at % columns, row % tokens, row / tokens % heads, row / tokens / heads]
        })
    }

    /// Elements stored outside of the tensor: in a gap.
    pub(crate) fn stores_in_gaps(&self) -> u32 {
        let inside: u32 = self.indices().map(|index| self.stores[self.at(index)]).sum();
        self.stores.iter().sum::<u32>() - inside
    }
}

/// What a tensor map says of the copies through it, beside the tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BoxShape {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    /// Bytes of the swizzle; 16 for none.
    pub(crate) swizzle: usize,
}

impl BoxShape {
    /// Elements of a box that begins at `start`: where each is in the tensor, if it is, and in shared
    /// memory from `address` on.
    fn elements(
        self,
        tensor: &GlobalTensor,
        start: Axes,
        address: usize,
    ) -> Result<Vec<(Option<Axes>, usize)>, String> {
        let row_bytes = 2 * self.columns;
        if self.swizzle > 16 && row_bytes > self.swizzle {
            return Err(format!("a box's row of {row_bytes} bytes is wider than its swizzle"));
        }
        if !address.is_multiple_of(128) {
            return Err(format!("a box at {address:#x}, which is not a multiple of 128"));
        }
        let mut elements = Vec::new();
        for row in 0..self.rows {
            for column in 0..self.columns {
                let index = [start[0] + column, start[1] + row, start[2], start[3]];
                let is_inside = index.iter().zip(tensor.sizes).all(|(index, size)| *index < size);
                let dense = address + row * row_bytes + 2 * column;
                elements.push((is_inside.then_some(index), swizzled(dense, self.swizzle)));
            }
        }
        Ok(elements)
    }

    /// `cp.async.bulk.tensor` to shared memory: elements outside of the tensor are 0.
    pub(crate) fn load(
        self,
        tensor: &GlobalTensor,
        start: Axes,
        shared: &mut SharedMemory,
        address: usize,
    ) -> Result<(), String> {
        for (index, address) in self.elements(tensor, start, address)? {
            shared.write(address, index.map_or(0, |index| tensor.get(index)))?;
        }
        Ok(())
    }

    /// `cp.async.bulk.tensor` from shared memory: elements outside of the tensor are not written.
    pub(crate) fn store(
        self,
        tensor: &mut GlobalTensor,
        start: Axes,
        shared: &SharedMemory,
        address: usize,
    ) -> Result<(), String> {
        for (index, address) in self.elements(tensor, start, address)? {
            let value = shared.read(address)?;
            if let Some(index) = index {
                tensor.set(index, value);
                let at = tensor.at(index);
                tensor.stores[at] += 1;
            }
        }
        Ok(())
    }
}
