// Attention of few queries over many keys, first part: each workgroup takes some keys of one key/value
// head and gives, for every query row of that head, the greatest score, the sum of the exponentials
// and the sum of the values weighted by them. attention_merge.wgsl puts the parts together.
//
// All query heads of a key/value head, of both streams where there are two, are rows of one workgroup,
// so that keys and values are read once. Offsets and strides count elements of the type Value.

const HEAD_DIM: u32 = 64u; //@param
const VALUE_DIM: u32 = 64u; //@param
// Query rows of a workgroup, in fours.
const ROW_FOURS: u32 = 2u; //@param
const KEYS_PER_THREAD: u32 = 1u; //@param
alias Value = vec4<f32>; //@param

const THREADS: u32 = 128u;
const ROWS: u32 = ROW_FOURS * 4u;
const KEYS: u32 = THREADS * KEYS_PER_THREAD;
const HEAD_VECTORS: u32 = (HEAD_DIM + 3u) / 4u;
const VALUE_VECTORS: u32 = (VALUE_DIM + 3u) / 4u;
// Invocations that share the keys of a value column. Those that are left over have none.
const SUBSETS: u32 = THREADS / VALUE_VECTORS;
const_assert THREADS % (8u * ROW_FOURS) == 0u;
const_assert VALUE_VECTORS <= THREADS;

// Least finite float: the score of a key that a row does not see. A row that sees none of the keys
// weighs each 1; the merge multiplies that by exactly 0.
const MASKED: f32 = -3.4028234e38;
const LOG2_E: f32 = 1.4426950408889634;

struct Sizes {
    first_group: u32,
    queries: u32,
    keys: u32,
    // The first key that any row sees, rounded down to a workgroup's keys, and how many workgroups
    // share the keys from there on.
    first_key: u32,
    splits: u32,
    // Workgroups side by side that divide a key/value head's rows.
    row_blocks: u32,
    kv_heads: u32,
    // Query heads of a key/value head.
    group_queries: u32,
    // Query rows of all heads and batches.
    all_rows: u32,
    causal: u32,
    window: u32,
    scale: f32,
    q_offset: u32,
    q_batch: u32,
    q_head: u32,
    q_row: u32,
    k_offset: u32,
    k_batch: u32,
    k_head: u32,
    k_row: u32,
    v_offset: u32,
    v_batch: u32,
    v_head: u32,
    v_row: u32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> q: array<Value>; //@access
@group(0) @binding(2) var<storage, read_write> k: array<Value>; //@access
@group(0) @binding(3) var<storage, read_write> v: array<Value>; //@access
// [splits][all_rows][VALUE_VECTORS + 1]: the weighted values, then greatest score and sum.
@group(0) @binding(4) var<storage, read_write> parts: array<vec4<f32>>; //@access

//@region q_vector
fn q_vector(row: u32, vector: u32) -> vec4<f32> {
    return q[row + vector];
}
//@end

//@region kv_vectors
fn k_vector(row: u32, vector: u32) -> vec4<f32> {
    return k[row + vector];
}

fn v_vector(row: u32, vector: u32) -> vec4<f32> {
    return v[row + vector];
}
//@end

const QUERIES: u32 = ROWS * HEAD_VECTORS;
const WEIGHTS_AT: u32 = max(QUERIES, 4u * THREADS);
// Queries: vec4 of 4 rows, [4 * HEAD_VECTORS][ROW_FOURS]. Their place is then taken by what rows are
// reduced from: vec4 of 4 rows, [THREADS] and [8 * ROW_FOURS], at last vec4 columns, [4][THREADS].
// Scores, then their exponentials: vec4 of 4 rows, [ROW_FOURS][KEYS].
var<workgroup> memory: array<vec4<f32>, WEIGHTS_AT + ROW_FOURS * KEYS>;

// Keys seen by a query row: the first, and the one behind the last.
fn seen_from(row: u32) -> u32 {
    let end = seen_to(row);
    return select(0u, end - min(end, sizes.window), sizes.causal != 0u);
}

fn seen_to(row: u32) -> u32 {
    let past = row + 1u + sizes.keys - sizes.queries;
    return select(sizes.keys, min(past, sizes.keys), sizes.causal != 0u);
}

// sum + factors.x * a + factors.y * b + factors.z * c + factors.w * d
fn add_products(sum: vec4<f32>, factors: vec4<f32>, terms: mat4x4<f32>) -> vec4<f32> {
    return fma(vec4<f32>(factors.w), terms[3], fma(vec4<f32>(factors.z), terms[2],
        fma(vec4<f32>(factors.y), terms[1], fma(vec4<f32>(factors.x), terms[0], sum))));
}

//@region main
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var rest = sizes.first_group + group.x;
    let split = rest % sizes.splits;
    rest = rest / sizes.splits;
    let first_row = rest % sizes.row_blocks * ROWS;
    rest = rest / sizes.row_blocks;
    let kv_head = rest % sizes.kv_heads;
    let batch = rest / sizes.kv_heads;

    let head_rows = sizes.group_queries * sizes.queries;
    let first_key = sizes.first_key + split * KEYS;
    let k_head = sizes.k_offset + batch * sizes.k_batch + kv_head * sizes.k_head;
    let v_head = sizes.v_offset + batch * sizes.v_batch + kv_head * sizes.v_head;

    for (var item = lane; item < QUERIES / 4u; item = item + THREADS) {
        let vector = item / ROW_FOURS;
        var rows = mat4x4<f32>();
        for (var index = 0u; index < 4u; index = index + 1u) {
            let row = first_row + item % ROW_FOURS * 4u + index;
            if (row < head_rows) {
                let q_head = kv_head * sizes.group_queries + row / sizes.queries;
                let at = sizes.q_offset + batch * sizes.q_batch + q_head * sizes.q_head
                    + row % sizes.queries * sizes.q_row;
                rows[index] = q_vector(at, vector) * (sizes.scale * LOG2_E);
            }
        }
        let columns = transpose(rows);
        let at = vector * 4u * ROW_FOURS + item % ROW_FOURS;
        memory[at] = columns[0];
        memory[at + ROW_FOURS] = columns[1];
        memory[at + 2u * ROW_FOURS] = columns[2];
        memory[at + 3u * ROW_FOURS] = columns[3];
    }
    workgroupBarrier();

    // Scores in units of log2, of 4 rows each.
    var scores: array<vec4<f32>, KEYS_PER_THREAD * ROW_FOURS>;
    for (var own = 0u; own < KEYS_PER_THREAD; own = own + 1u) { //@unroll
        for (var four = 0u; four < ROW_FOURS; four = four + 1u) { //@unroll
            scores[own * ROW_FOURS + four] = vec4<f32>();
        }
    }
    // Written out for usual sizes, so that many loads are under way at once.
    for (var vector = 0u; vector < HEAD_VECTORS; vector = vector + 1u) { //@unroll
        var keys: array<vec4<f32>, KEYS_PER_THREAD>;
        for (var own = 0u; own < KEYS_PER_THREAD; own = own + 1u) { //@unroll
            // A key behind the last is the last once more, and masked.
            let key = min(first_key + own * THREADS + lane, sizes.keys - 1u);
            keys[own] = k_vector(k_head + key * sizes.k_row, vector);
        }
        for (var four = 0u; four < ROW_FOURS; four = four + 1u) { //@unroll
            let at = vector * 4u * ROW_FOURS + four;
            let columns = mat4x4<f32>(memory[at], memory[at + ROW_FOURS], memory[at + 2u * ROW_FOURS],
                memory[at + 3u * ROW_FOURS]);
            for (var own = 0u; own < KEYS_PER_THREAD; own = own + 1u) { //@unroll
                let at = own * ROW_FOURS + four;
                scores[at] = add_products(scores[at], keys[own], columns);
            }
        }
    }
    for (var four = 0u; four < ROW_FOURS; four = four + 1u) { //@unroll
        let rows = vec4<u32>(first_row + four * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
        let positions = rows % vec4<u32>(sizes.queries);
        let from_keys = vec4<u32>(seen_from(positions.x), seen_from(positions.y), seen_from(positions.z),
            seen_from(positions.w));
        let to_keys = vec4<u32>(seen_to(positions.x), seen_to(positions.y), seen_to(positions.z),
            seen_to(positions.w));
        for (var own = 0u; own < KEYS_PER_THREAD; own = own + 1u) { //@unroll
            let key = vec4<u32>(first_key + own * THREADS + lane);
            let at = own * ROW_FOURS + four;
            scores[at] = select(vec4<f32>(MASKED), scores[at], (key >= from_keys) & (key < to_keys));
            memory[WEIGHTS_AT + four * KEYS + own * THREADS + lane] = scores[at];
        }
    }
    workgroupBarrier();

    // Greatest scores: of some keys by every invocation, then of 8 parts.
    let four = lane % ROW_FOURS;
    var greatest = vec4<f32>(MASKED);
    for (var key = lane / ROW_FOURS; key < KEYS; key = key + THREADS / ROW_FOURS) {
        greatest = max(greatest, memory[WEIGHTS_AT + four * KEYS + key]);
    }
    memory[lane] = greatest;
    workgroupBarrier();
    if (lane < 8u * ROW_FOURS) {
        for (var part = lane; part < THREADS; part = part + 8u * ROW_FOURS) {
            greatest = max(greatest, memory[part]);
        }
        memory[THREADS + lane] = greatest;
    }
    workgroupBarrier();
    for (var four = 0u; four < ROW_FOURS; four = four + 1u) { //@unroll
        var greatest = vec4<f32>(MASKED);
        for (var part = 0u; part < 8u; part = part + 1u) {
            greatest = max(greatest, memory[THREADS + part * ROW_FOURS + four]);
        }
        for (var own = 0u; own < KEYS_PER_THREAD; own = own + 1u) { //@unroll
            memory[WEIGHTS_AT + four * KEYS + own * THREADS + lane] =
                exp2(scores[own * ROW_FOURS + four] - greatest);
        }
    }
    greatest = vec4<f32>(MASKED);
    for (var part = 0u; part < 8u; part = part + 1u) {
        greatest = max(greatest, memory[THREADS + part * ROW_FOURS + four]);
    }
    workgroupBarrier();

    // Sums of the weights in the same way.
    var sum = vec4<f32>();
    for (var key = lane / ROW_FOURS; key < KEYS; key = key + THREADS / ROW_FOURS) {
        sum = sum + memory[WEIGHTS_AT + four * KEYS + key];
    }
    memory[lane] = sum;
    workgroupBarrier();
    let row_stride = VALUE_VECTORS + 1u;
    let first_part = split * sizes.all_rows
        + (batch * sizes.kv_heads + kv_head) * head_rows + first_row;
    if (lane < ROW_FOURS) {
        sum = vec4<f32>();
        for (var part = lane; part < THREADS; part = part + ROW_FOURS) {
            sum = sum + memory[part];
        }
        for (var index = 0u; index < 4u; index = index + 1u) {
            let row = lane * 4u + index;
            if (first_row + row < head_rows) {
                parts[(first_part + row) * row_stride + VALUE_VECTORS] =
                    vec4<f32>(greatest[index], sum[index], 0.0, 0.0);
            }
        }
    }

    // Values times weights: a vec4 column of some keys by every invocation.
    let column = lane % VALUE_VECTORS;
    let subset = lane / VALUE_VECTORS;
    var acc: array<vec4<f32>, ROWS>;
    for (var i = 0u; i < ROWS; i = i + 1u) { //@unroll
        acc[i] = vec4<f32>();
    }
    let count = select(0u, min(KEYS, sizes.keys - first_key), subset < SUBSETS);
    // Four keys at once, so that as many loads are under way.
    var key = subset;
    for (; key + 3u * SUBSETS < count; key = key + 4u * SUBSETS) {
        var values: array<vec4<f32>, 4>;
        for (var index = 0u; index < 4u; index = index + 1u) { //@unroll
            values[index] = v_vector(v_head + (first_key + key + index * SUBSETS) * sizes.v_row, column);
        }
        for (var index = 0u; index < 4u; index = index + 1u) { //@unroll
            for (var four = 0u; four < ROW_FOURS; four = four + 1u) { //@unroll
                let weights = memory[WEIGHTS_AT + four * KEYS + key + index * SUBSETS];
                acc[four * 4u] = fma(vec4<f32>(weights.x), values[index], acc[four * 4u]);
                acc[four * 4u + 1u] = fma(vec4<f32>(weights.y), values[index], acc[four * 4u + 1u]);
                acc[four * 4u + 2u] = fma(vec4<f32>(weights.z), values[index], acc[four * 4u + 2u]);
                acc[four * 4u + 3u] = fma(vec4<f32>(weights.w), values[index], acc[four * 4u + 3u]);
            }
        }
    }
    for (; key < count; key = key + SUBSETS) {
        let value = v_vector(v_head + (first_key + key) * sizes.v_row, column);
        for (var four = 0u; four < ROW_FOURS; four = four + 1u) { //@unroll
            let weights = memory[WEIGHTS_AT + four * KEYS + key];
            acc[four * 4u] = fma(vec4<f32>(weights.x), value, acc[four * 4u]);
            acc[four * 4u + 1u] = fma(vec4<f32>(weights.y), value, acc[four * 4u + 1u]);
            acc[four * 4u + 2u] = fma(vec4<f32>(weights.z), value, acc[four * 4u + 2u]);
            acc[four * 4u + 3u] = fma(vec4<f32>(weights.w), value, acc[four * 4u + 3u]);
        }
    }
    for (var four = 0u; four < ROW_FOURS; four = four + 1u) { //@unroll
        workgroupBarrier();
        for (var index = 0u; index < 4u; index = index + 1u) { //@unroll
            memory[index * THREADS + lane] = acc[four * 4u + index];
        }
        workgroupBarrier();
        for (var item = lane; item < 4u * VALUE_VECTORS; item = item + THREADS) {
            let row = item / VALUE_VECTORS;
            let vector = item % VALUE_VECTORS;
            var total = vec4<f32>();
            for (var other = 0u; other < SUBSETS; other = other + 1u) {
                total = total + memory[row * THREADS + other * VALUE_VECTORS + vector];
            }
            if (first_row + four * 4u + row < head_rows) {
                parts[(first_part + four * 4u + row) * row_stride + vector] = total;
            }
        }
    }
}
//@end
