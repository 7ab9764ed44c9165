//! What the bulk copy engine (TMA) is told of a tensor.

use minuend_ir::DType;
use smallvec::SmallVec;

use crate::place::Region;

/// Order of a tile's 16-byte pieces in shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Swizzle {
    /// As in the tensor.
    None,
    /// Within 8 rows of 128 bytes, piece `i` of row `r` lies at `i ^ r`.
    Bytes128,
}

/// How much of global memory a miss in the second-level cache brings in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Promotion {
    /// 128 bytes.
    Bytes128,
    /// 256 bytes.
    Bytes256,
}

/// A tensor map: a tensor in global memory and the box of it that one copy moves. Axes are listed
/// innermost first. Elements outside the tensor read as 0 and are not written.
///
/// CUDA driver API, `cuTensorMapEncodeTiled`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorMap {
    /// Where the tensor lives.
    pub region: Region,
    /// Byte offset of its first element in the region; the address must be a multiple of 16.
    pub byte_offset: u64,
    /// Element type.
    pub dtype: DType,
    /// Sizes of the axes, at most 5, each at least 1.
    pub sizes: SmallVec<[u64; 5]>,
    /// Bytes between neighbours along each axis but the innermost, whose elements are dense. Multiples
    /// of 16.
    pub strides: SmallVec<[u64; 4]>,
    /// Sizes of the box, at most 256 each; 128 bytes along the innermost axis with a swizzle.
    pub tile: SmallVec<[u32; 5]>,
    /// Order in shared memory.
    pub swizzle: Swizzle,
    /// Cache policy.
    pub promotion: Promotion,
}

impl TensorMap {
    /// True if the driver accepts such sizes and strides. The address of the region is a multiple of
    /// 256.
    pub fn is_valid(&self) -> bool {
        let rank = self.sizes.len();
        let inner_bytes = self.tile.first().map_or(0, |size| u64::from(*size) * self.dtype.bytes());
        (1..=5).contains(&rank)
            && self.tile.len() == rank
            && self.strides.len() + 1 == rank
            && self.byte_offset.is_multiple_of(16)
            && self.strides.iter().all(|bytes| bytes.is_multiple_of(16) && *bytes < 1 << 40)
            && self.sizes.iter().all(|size| (1..=1 << 32).contains(size))
            && self.tile.iter().all(|size| (1..=256).contains(size))
            && inner_bytes.is_multiple_of(16)
            && (self.swizzle == Swizzle::None || inner_bytes <= 128)
    }
}
