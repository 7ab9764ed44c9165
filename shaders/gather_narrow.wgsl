// Rows by index, of elements that are half a word or a quarter of one, whose rows do not start at whole
// words: one invocation puts together one word of the result.
//
// A window shows the rows from first_row on; indices of other rows are left to other dispatches. An index
// outside the axis is counted, once for each index, and gives zeros.

const INDEX_WORDS: u32 = 2u; //@param
const BITS: u32 = 16u; //@param

const_assert BITS == 8u || BITS == 16u;
const PER_WORD: u32 = 32u / BITS;
const MASK: u32 = (1u << BITS) - 1u;

struct Sizes {
    first_group: u32,
    // Elements of the result, of a row, and rows of the result for each index of the outer axes.
    elements: u32,
    row_elements: u32,
    indices: u32,
    // Size of the axis, and the part of it that the window shows.
    rows: u32,
    first_row: u32,
    window_rows: u32,
    // 1 for the dispatch that sees to faults, the first.
    counts_faults: u32,
    data_offset: u32,
    indices_offset: u32,
    result_offset: u32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> data: array<u32>; //@access
@group(0) @binding(2) var<storage, read_write> indices: array<u32>; //@access
@group(0) @binding(3) var<storage, read_write> result: array<u32>; //@access
@group(0) @binding(4) var<storage, read_write> faults: array<atomic<u32>, 4>;

const GROUP_SIZE: u32 = 256u;

@compute @workgroup_size(GROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let word = (sizes.first_group + group.x) * GROUP_SIZE + lane;
    let first = word * PER_WORD;
    if (first >= sizes.elements) {
        return;
    }
    // Elements behind the last are padding of the result's block, which nobody else writes.
    var packed = 0u;
    if (sizes.counts_faults == 0u) {
        packed = result[sizes.result_offset + word];
    }
    let last = min(first + PER_WORD, sizes.elements);
    for (var element = first; element < last; element = element + 1u) {
        let in_row = element % sizes.row_elements;
        let row = element / sizes.row_elements;
        let position = row % sizes.indices;
        let outer = row / sizes.indices;

        let index_at = sizes.indices_offset + position * INDEX_WORDS;
        let index = indices[index_at];
        // A negative index of one word is above every size; one of two words shows in the high word.
        var is_valid = index < sizes.rows;
        if (INDEX_WORDS == 2u) {
            is_valid = is_valid && indices[index_at + 1u] == 0u;
        }
        let window_row = index - sizes.first_row;
        if (is_valid && index >= sizes.first_row && window_row < sizes.window_rows) {
            let data_at = sizes.data_offset
                + (outer * sizes.rows + window_row) * sizes.row_elements + in_row;
            let value = (data[data_at / PER_WORD] >> ((data_at % PER_WORD) * BITS)) & MASK;
            let shift = (element - first) * BITS;
            packed = (packed & ~(MASK << shift)) | (value << shift);
        } else if (!is_valid && sizes.counts_faults == 1u && in_row == 0u && outer == 0u) {
            atomicAdd(&faults[0], 1u);
        }
    }
    result[sizes.result_offset + word] = packed;
}
