//! Words, distances and orders that the kernel is made of, as data: a mistake is one that differs.

use super::element::Element;
use crate::shape::{CHUNK_BYTES, ROWS, STAGES, Shape};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Wiring {
    /// Bytes of the swizzle of tensor maps; 16 is none.
    pub(crate) q_swizzle: usize,
    pub(crate) kv_swizzle: usize,
    pub(crate) out_swizzle: usize,
    /// Descriptors of tiles at address 0.
    pub(crate) q_descriptor: u64,
    pub(crate) k_descriptor: u64,
    pub(crate) v_descriptor: u64,
    pub(crate) scores_instruction: u32,
    pub(crate) sums_instruction: u32,
    /// Bytes from 64 columns of queries and keys to the next, and from 16 of them to the next.
    pub(crate) chunk_bytes: usize,
    pub(crate) step_bytes: usize,
    /// From 16 values to the next, and columns of their weights.
    pub(crate) v_step_bytes: usize,
    pub(crate) weights_step: usize,
    /// Columns of tensor memory, of each stage.
    pub(crate) scores_column: [usize; STAGES],
    pub(crate) weights_column: [usize; STAGES],
    pub(crate) sums_column: [usize; STAGES],
    /// The first product of a sum over columns or over keys adds to what lies there.
    pub(crate) scores_accumulate: bool,
    pub(crate) sums_accumulate: bool,
    /// The half of a column that an even key's weight takes is the high one.
    pub(crate) even_is_high: bool,
    /// The quarter of lanes (and of rows) of each warp of four.
    pub(crate) quarter: [usize; 4],
    /// Rows of a stage's queries behind those of the first, if they are of one head.
    pub(crate) stage_tokens: usize,
    /// Pieces of staged rows are exchanged.
    pub(crate) stages_swizzled: bool,
    /// Tokens of the staged rows of a warp.
    pub(crate) store_rows: usize,
    pub(crate) hides_keys: bool,
    /// Blocks by which the first unmasked block of keys, and the first masked one behind, are too late.
    pub(crate) unmasked_off: [i64; 2],
    pub(crate) rescales: bool,
    pub(crate) has_gate: bool,
    /// Where things lie in shared memory.
    pub(crate) q_start: usize,
    pub(crate) out_start: usize,
    pub(crate) kv_start: usize,
}

/// K-major: 1024 >> 4 from 8 rows to the next, version 1, swizzle of 128 bytes (2).
const ROWS_DESCRIPTOR: u64 = 0x4000_4040_0000_0000;

/// MN-major: the same, and 16384 >> 4 from 64 columns to the next.
const COLUMNS_DESCRIPTOR: u64 = 0x4000_4040_0400_0000;

impl Wiring {
    pub(crate) fn of(shape: &Shape, element: Element) -> Wiring {
        let d = shape.head_dim;
        let types = if element == Element::Bf16 { 0x480 } else { 0 };
        let kv_start = 1024;
        let q_start = kv_start + shape.kv_stages * shape.tile_bytes();
        let out_start = q_start + shape.q_stages * STAGES * shape.tile_bytes();
        Wiring {
            q_swizzle: 128,
            kv_swizzle: 128,
            out_swizzle: 128,
            q_descriptor: ROWS_DESCRIPTOR,
            k_descriptor: ROWS_DESCRIPTOR,
            v_descriptor: COLUMNS_DESCRIPTOR,
            scores_instruction: 0x820_0010 | types,
            sums_instruction: if d == 128 { 0x821_0010 } else { 0x811_0010 } | types,
            chunk_bytes: CHUNK_BYTES,
            step_bytes: 32,
            v_step_bytes: 2048,
            weights_step: 8,
            scores_column: [0, 128],
            weights_column: [0, 128],
            sums_column: [256, 256 + d],
            scores_accumulate: false,
            sums_accumulate: false,
            even_is_high: false,
            quarter: [0, 1, 2, 3],
            stage_tokens: ROWS,
            stages_swizzled: true,
            store_rows: 32,
            hides_keys: true,
            unmasked_off: [0; 2],
            rescales: true,
            has_gate: true,
            q_start,
            out_start,
            kv_start,
        }
    }
}
