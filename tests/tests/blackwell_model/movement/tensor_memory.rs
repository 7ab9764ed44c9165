//! Tensor memory: 128 lanes of 512 columns of 32 bits. An address is `lane << 16 | column`.

pub(crate) const LANES: usize = 128;
const COLUMNS: usize = 512;

/// Lanes that a warp reaches, and threads of a warp.
pub(crate) const WARP_LANES: usize = 32;

pub(crate) struct TensorMemory {
    words: Vec<u32>,
}

impl TensorMemory {
    /// Full of NaN.
    pub(crate) fn new() -> TensorMemory {
        TensorMemory { words: vec![u32::MAX; LANES * COLUMNS] }
    }

    /// Columns of one lane.
    pub(crate) fn columns(
        &self,
        lane: usize,
        first: usize,
        count: usize,
    ) -> Result<&[u32], String> {
        check(first, count)?;
        Ok(&self.words[lane * COLUMNS + first..][..count])
    }

    pub(crate) fn columns_mut(
        &mut self,
        lane: usize,
        first: usize,
        count: usize,
    ) -> Result<&mut [u32], String> {
        check(first, count)?;
        Ok(&mut self.words[lane * COLUMNS + first..][..count])
    }

    /// `tcgen05.ld.32x32b.xCOUNT`: thread `i` of the warp gets the columns of lane `i` of its quarter.
    pub(crate) fn load(
        &self,
        warp: usize,
        address: u32,
        count: usize,
    ) -> Result<Vec<Vec<u32>>, String> {
        let (lane, column) = reached(warp, address)?;
        (0..WARP_LANES)
            .map(|thread| Ok(self.columns(lane + thread, column, count)?.to_vec()))
            .collect()
    }

    /// `tcgen05.st.32x32b`, of as many columns as each thread has registers.
    pub(crate) fn store(
        &mut self,
        warp: usize,
        address: u32,
        registers: &[Vec<u32>],
    ) -> Result<(), String> {
        let (lane, column) = reached(warp, address)?;
        for (thread, registers) in registers.iter().enumerate() {
            self.columns_mut(lane + thread, column, registers.len())?.copy_from_slice(registers);
        }
        Ok(())
    }
}

fn check(first: usize, count: usize) -> Result<(), String> {
    if first + count > COLUMNS {
        return Err(format!("columns {first} to {} of tensor memory", first + count));
    }
    Ok(())
}

/// First lane and column of a warp's access.
fn reached(warp: usize, address: u32) -> Result<(usize, usize), String> {
    let (lane, column) = ((address >> 16) as usize, (address & 0xffff) as usize);
    if lane != warp % 4 * WARP_LANES {
        return Err(format!("warp {warp} accesses lane {lane} of tensor memory"));
    }
    Ok((lane, column))
}
