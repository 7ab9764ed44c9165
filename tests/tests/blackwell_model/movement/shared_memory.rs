//! Shared memory of a thread block, by address.

/// Exchanges the 16-byte pieces of rows of `width` bytes (128, 64, 32; or 16 for none), by bits of the
/// address: with 128, piece `p` of row `r` lies at `p ^ (r % 8)`.
pub(crate) fn swizzled(address: usize, width: usize) -> usize {
    let pieces = width / 16;
    address ^ ((address >> 7 & (pieces - 1)) << 4)
}

/// All that a thread block may have.
const BYTES: usize = 227 << 10;

pub(crate) struct SharedMemory {
    bytes: Vec<u8>,
}

impl SharedMemory {
    /// Full of NaN: what is read without having been written shows.
    pub(crate) fn new() -> SharedMemory {
        SharedMemory { bytes: vec![0xff; BYTES] }
    }

    pub(crate) fn read(&self, address: usize) -> Result<u16, String> {
        match self.bytes.get(address..address + 2) {
            Some(bytes) => Ok(u16::from_le_bytes([bytes[0], bytes[1]])),
            None => Err(format!("reads shared memory at {address:#x}")),
        }
    }

    pub(crate) fn write(&mut self, address: usize, value: u16) -> Result<(), String> {
        match self.bytes.get_mut(address..address + 2) {
            Some(bytes) => bytes.copy_from_slice(&value.to_le_bytes()),
            None => return Err(format!("writes shared memory at {address:#x}")),
        }
        Ok(())
    }
}
