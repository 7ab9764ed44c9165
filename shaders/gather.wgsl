// Rows by index: one invocation copies one unit of a row, a word or four.
//
// A window shows the rows from first_row on; indices of other rows are left to other dispatches. An index
// outside the axis is counted, once for each index, and gives zeros.

const INDEX_WORDS: u32 = 2u; //@param
alias Unit = u32; //@param

struct Sizes {
    first_group: u32,
    // Units of the result, of a row, and rows of the result for each index of the outer axes.
    units: u32,
    row_units: u32,
    indices: u32,
    // Size of the axis, and the part of it that the window shows.
    rows: u32,
    first_row: u32,
    window_rows: u32,
    // 1 for the dispatch that sees to faults.
    counts_faults: u32,
    data_offset: u32,
    indices_offset: u32,
    result_offset: u32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> data: array<Unit>; //@access
@group(0) @binding(2) var<storage, read_write> indices: array<u32>; //@access
@group(0) @binding(3) var<storage, read_write> result: array<Unit>; //@access
@group(0) @binding(4) var<storage, read_write> faults: array<atomic<u32>, 4>;

const GROUP_SIZE: u32 = 256u;

@compute @workgroup_size(GROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let unit = (sizes.first_group + group.x) * GROUP_SIZE + lane;
    if (unit >= sizes.units) {
        return;
    }
    let in_row = unit % sizes.row_units;
    let row = unit / sizes.row_units;
    let position = row % sizes.indices;
    let outer = row / sizes.indices;

    let index_at = sizes.indices_offset + position * INDEX_WORDS;
    let index = indices[index_at];
    // A negative index of one word is above every size; one of two words shows in the high word.
    var is_valid = index < sizes.rows;
    if (INDEX_WORDS == 2u) {
        is_valid = is_valid && indices[index_at + 1u] == 0u;
    }
    if (!is_valid) {
        if (sizes.counts_faults == 1u) {
            if (in_row == 0u && outer == 0u) {
                atomicAdd(&faults[0], 1u);
            }
            result[sizes.result_offset + unit] = Unit();
        }
        return;
    }
    let window_row = index - sizes.first_row;
    if (index >= sizes.first_row && window_row < sizes.window_rows) {
        let data_at = (outer * sizes.rows + window_row) * sizes.row_units + in_row;
        result[sizes.result_offset + unit] = data[sizes.data_offset + data_at];
    }
}
