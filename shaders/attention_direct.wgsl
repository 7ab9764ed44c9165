// Attention and differential attention with the online softmax (Dao et al., FlashAttention, 2022),
// without workgroup memory: for adapters that run on the CPU, where all invocations of a workgroup
// read the same keys and values at once and keep everything else in registers and on the stack.
//
// An invocation owns 4 rows: 4 query positions of an output head, or 2 positions of a differential
// head for both of its streams. The loops over columns are unrolled, since arrays must not be indexed
// by variables to be kept like that.
//
// Offsets and strides count elements of the type Value.

const PAIRED: bool = true; //@param
const HEAD_DIM: u32 = 64u; //@param
// Columns of the values, and those of them that an invocation accumulates, a multiple of 4.
const VALUE_DIM: u32 = 64u; //@param
const SLICE_DIM: u32 = 64u; //@param
alias Value = vec4<f32>; //@param

const THREADS: u32 = 8u;
const ROWS: u32 = 4u;
const STREAMS: u32 = 1u + u32(PAIRED);
const OWN_POSITIONS: u32 = ROWS / STREAMS;
const POSITIONS: u32 = THREADS * OWN_POSITIONS;
const KEYS: u32 = 4u;
const HEAD_VECTORS: u32 = (HEAD_DIM + 3u) / 4u;
const VALUE_VECTORS: u32 = (VALUE_DIM + 3u) / 4u;
const COLUMNS: u32 = SLICE_DIM / 4u;

// Least finite float: the score of a key that a row does not see. A row whose keys so far are all
// masked weighs each 1; its first seen key rescales that by exactly 0.
const MASKED: f32 = -3.4028234e38;
const LOG2_E: f32 = 1.4426950408889634;

struct Sizes {
    first_group: u32,
    queries: u32,
    keys: u32,
    // Workgroups side by side: slices of the value columns, output heads, batches.
    slices: u32,
    heads: u32,
    batch: u32,
    // Tiles of query positions.
    tiles: u32,
    // Output heads of a key/value head.
    group_heads: u32,
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
    out_offset: u32,
    out_batch: u32,
    out_head: u32,
    out_row: u32,
    lambda_offset: u32,
    lambda_batch: u32,
    lambda_head: u32,
    lambda_row: u32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> q: array<Value>; //@access
@group(0) @binding(2) var<storage, read_write> k: array<Value>; //@access
@group(0) @binding(3) var<storage, read_write> v: array<Value>; //@access
@group(0) @binding(4) var<storage, read_write> out: array<Value>; //@access

//@region factor
@group(0) @binding(5) var<storage, read_write> lambda: array<f32>; //@access

// The factor of a differential head's second stream.
fn second_factor(batch: u32, head: u32, row: u32) -> f32 {
    let at = batch * sizes.lambda_batch + head * sizes.lambda_head + row * sizes.lambda_row;
    return 1.0 / (1.0 + exp(min(-lambda[sizes.lambda_offset + at], 88.0)));
}
//@end

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

//@region store_vector
fn store_vector(row: u32, vector: u32, value: vec4<f32>) {
    out[row + vector] = value;
}
//@end

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
    // Tiles that see most keys come first.
    var rest = sizes.first_group + group.x;
    let slice = rest % sizes.slices;
    rest = rest / sizes.slices;
    let out_head = rest % sizes.heads;
    rest = rest / sizes.heads;
    let batch = rest % sizes.batch;
    let tile = sizes.tiles - 1u - rest / sizes.batch;

    let first_row = tile * POSITIONS;
    let last_row = min(first_row + POSITIONS, sizes.queries) - 1u;
    let own_row = first_row + lane * OWN_POSITIONS;
    let kv_head = out_head / sizes.group_heads;
    let k_head = sizes.k_offset + batch * sizes.k_batch + kv_head * sizes.k_head;
    let v_head = sizes.v_offset + batch * sizes.v_batch + kv_head * sizes.v_head;
    let first_vector = slice * COLUMNS;

    // Rows behind the last repeat it and are not stored.
    var maxima: array<f32, ROWS>;
    var sums: array<f32, ROWS>;
    // Queries times the scale, in units of log2.
    var queries: array<vec4<f32>, ROWS * HEAD_VECTORS>;
    var acc: array<vec4<f32>, ROWS * COLUMNS>;
    for (var i = 0u; i < ROWS; i = i + 1u) { //@unroll
        let q_head = out_head * STREAMS + i / OWN_POSITIONS;
        let row = min(own_row + i % OWN_POSITIONS, last_row);
        let q_row = sizes.q_offset + batch * sizes.q_batch + q_head * sizes.q_head + row * sizes.q_row;
        for (var vector = 0u; vector < HEAD_VECTORS; vector = vector + 1u) { //@unroll
            queries[i * HEAD_VECTORS + vector] = q_vector(q_row, vector) * (sizes.scale * LOG2_E);
        }
        maxima[i] = MASKED;
        sums[i] = 0.0;
        for (var j = 0u; j < COLUMNS; j = j + 1u) { //@unroll
            acc[i * COLUMNS + j] = vec4<f32>();
        }
    }

    let all_see_from = seen_from(last_row);
    let all_see_to = seen_to(first_row);
    let last_key = seen_to(last_row);
    for (var first_key = seen_from(first_row) / KEYS * KEYS; first_key < last_key; first_key = first_key + KEYS) {
        // A key behind the last is the last once more, and masked.
        let keys = min(vec4<u32>(first_key) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(sizes.keys - 1u));
        let k_rows = vec4<u32>(k_head) + keys * sizes.k_row;
        var scores: array<vec4<f32>, ROWS>;
        for (var i = 0u; i < ROWS; i = i + 1u) { //@unroll
            scores[i] = vec4<f32>();
        }
        for (var vector = 0u; vector < HEAD_VECTORS; vector = vector + 1u) { //@unroll
            let columns = transpose(mat4x4<f32>(k_vector(k_rows.x, vector), k_vector(k_rows.y, vector),
                k_vector(k_rows.z, vector), k_vector(k_rows.w, vector)));
            for (var i = 0u; i < ROWS; i = i + 1u) { //@unroll
                scores[i] = add_products(scores[i], queries[i * HEAD_VECTORS + vector], columns);
            }
        }
        if (first_key < all_see_from || first_key + KEYS > all_see_to) {
            for (var i = 0u; i < ROWS; i = i + 1u) { //@unroll
                let row = min(own_row + i % OWN_POSITIONS, last_row);
                let positions = vec4<u32>(first_key) + vec4<u32>(0u, 1u, 2u, 3u);
                let is_seen = (positions >= vec4<u32>(seen_from(row))) & (positions < vec4<u32>(seen_to(row)));
                scores[i] = select(vec4<f32>(MASKED), scores[i], is_seen);
            }
        }
        var shrinks: array<f32, ROWS>;
        for (var i = 0u; i < ROWS; i = i + 1u) { //@unroll
            let pairwise = max(scores[i].xy, scores[i].zw);
            let greater = max(maxima[i], max(pairwise.x, pairwise.y));
            shrinks[i] = exp2(maxima[i] - greater);
            maxima[i] = greater;
            scores[i] = exp2(scores[i] - vec4<f32>(greater));
            sums[i] = sums[i] * shrinks[i] + (scores[i].x + scores[i].y) + (scores[i].z + scores[i].w);
        }
        let v_rows = vec4<u32>(v_head) + keys * sizes.v_row;
        for (var j = 0u; j < COLUMNS; j = j + 1u) { //@unroll
            let vector = min(first_vector + j, VALUE_VECTORS - 1u);
            let values = mat4x4<f32>(v_vector(v_rows.x, vector), v_vector(v_rows.y, vector),
                v_vector(v_rows.z, vector), v_vector(v_rows.w, vector));
            for (var i = 0u; i < ROWS; i = i + 1u) { //@unroll
                acc[i * COLUMNS + j] = add_products(acc[i * COLUMNS + j] * shrinks[i], scores[i], values);
            }
        }
    }

    for (var i = 0u; i < OWN_POSITIONS; i = i + 1u) { //@unroll
        let row = own_row + i;
        if (row < sizes.queries) {
            let out_row = sizes.out_offset + batch * sizes.out_batch + out_head * sizes.out_head
                + row * sizes.out_row;
            // Without keys the sum is 0 and so is the result.
            let norm = select(1.0 / sums[i], 0.0, sums[i] == 0.0);
            let second = i + ROWS - OWN_POSITIONS;
            var factor = 0.0;
            if (PAIRED) {
                factor = select(second_factor(batch, out_head, row) / sums[second], 0.0, sums[second] == 0.0);
            }
            for (var j = 0u; j < COLUMNS; j = j + 1u) { //@unroll
                var value = acc[i * COLUMNS + j] * norm;
                if (PAIRED) {
                    value = value - acc[second * COLUMNS + j] * factor;
                }
                if (first_vector + j < VALUE_VECTORS) {
                    store_vector(out_row, first_vector + j, value);
                }
            }
        }
    }
}
//@end
