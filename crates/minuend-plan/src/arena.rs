//! Places for blocks whose sizes are known: greedy by size, first gap that fits.

use crate::program::Block;

/// Every block starts at a multiple of this many bytes.
pub const ALIGNMENT: u64 = 64;

/// Where each block of the arena lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Sizes the placement was made for, in bytes.
    pub(crate) sizes: Vec<u64>,
    /// Byte offset of each block.
    pub offsets: Vec<u64>,
    /// Size of the arena.
    pub bytes: u64,
}

/// Places blocks so that two that live at the same time never overlap. `None` if sizes overflow.
///
/// Large blocks are placed first; each goes to the lowest gap between blocks that share a step with it.
pub(crate) fn place(blocks: &[Block], sizes: Vec<u64>) -> Option<Placement> {
    let mut by_size: Vec<usize> = (0..blocks.len()).collect();
    by_size.sort_by_key(|index| (std::cmp::Reverse(sizes.get(*index)), *index));
    let mut offsets = vec![0u64; blocks.len()];
    let mut placed: Vec<usize> = Vec::with_capacity(blocks.len());
    let mut total = 0u64;
    for index in by_size {
        let (block, size) = (&blocks[index], sizes[index]);
        let mut taken: Vec<(u64, u64)> = placed
            .iter()
            .filter(|other| {
                let other = &blocks[**other];
                other.first <= block.last && block.first <= other.last
            })
            .map(|other| (offsets[*other], offsets[*other] + sizes[*other]))
            .collect();
        taken.sort_unstable();
        let mut offset = 0u64;
        for (start, end) in taken {
            if offset.checked_add(size)? <= start {
                break;
            }
            offset = offset.max(end.checked_next_multiple_of(ALIGNMENT)?);
        }
        offsets[index] = offset;
        total = total.max(offset.checked_add(size)?);
        placed.push(index);
    }
    Some(Placement { sizes, offsets, bytes: total })
}

#[cfg(test)]
mod tests {
    use super::*;
    use minuend_ir::Dim;

    fn block(first: usize, last: usize) -> Block {
        Block { bytes: Dim::zero(), first, last }
    }

    #[test]
    fn blocks_that_meet_never_overlap() {
        let blocks: Vec<Block> =
            (0..40).map(|i| block(i, i + 1 + (i * 7) % 5)).chain([block(0, 100)]).collect();
        let sizes: Vec<u64> = (0..41).map(|i| 1 + (i * 37) % 1000).collect();
        let placement = place(&blocks, sizes.clone()).unwrap();
        for a in 0..blocks.len() {
            for b in 0..a {
                let meet = blocks[a].first <= blocks[b].last && blocks[b].first <= blocks[a].last;
                let (x, y) = (placement.offsets[a], placement.offsets[b]);
                let apart = x + sizes[a] <= y || y + sizes[b] <= x;
                assert!(!meet || apart, "blocks {a} and {b}");
            }
            assert_eq!(placement.offsets[a] % ALIGNMENT, 0);
            assert!(placement.offsets[a] + sizes[a] <= placement.bytes);
        }
    }

    #[test]
    fn a_dead_block_gives_its_place() {
        let blocks = [block(0, 1), block(1, 2), block(2, 3)];
        let placement = place(&blocks, vec![640, 640, 640]).unwrap();
        assert_eq!(placement.bytes, 1280);
        assert_eq!(placement.offsets, [0, 640, 0]);
    }

    #[test]
    fn overflow_is_refused() {
        let blocks = [block(0, 1), block(0, 1)];
        assert_eq!(place(&blocks, vec![u64::MAX, u64::MAX]), None);
    }
}
