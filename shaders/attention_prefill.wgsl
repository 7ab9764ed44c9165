// Attention and differential attention over tiles of keys with the online softmax (Dao et al.,
// FlashAttention, 2022), register blocked.
//
// A workgroup owns a tile of query positions of one output head; the two query heads of a differential
// head share the tile, so every key and value is read once for both. An invocation owns
// ROWS_PER_THREAD rows: the positions of its row group, for the first stream and then for the second.
// Of these rows it computes the scores of 4 neighbouring keys of each key tile, and of the output the
// vec4 columns lane, lane + 8, ... of the workgroup's slice of the value columns.
//
// Offsets and strides count elements of the type Value.

const PAIRED: bool = true; //@param
const HEAD_DIM: u32 = 64u; //@param
const VALUE_DIM: u32 = 64u; //@param
// Invocations of a workgroup.
const THREADS: u32 = 128u; //@param
const ROWS_PER_THREAD: u32 = 4u; //@param
// vec4 columns of keys or values that are in workgroup memory at once.
const CHUNK: u32 = 16u; //@param
// vec4 columns of the output that an invocation accumulates: a workgroup's slice has 8 times as many.
const COLUMNS: u32 = 2u; //@param
// Keys and values have workgroup memory of their own, and so have the row maxima.
const SEPARATE: bool = false; //@param
alias Value = vec4<f32>; //@param

const STREAMS: u32 = 1u + u32(PAIRED);
const ROW_GROUPS: u32 = THREADS / 8u;
const ROWS: u32 = ROW_GROUPS * ROWS_PER_THREAD;
// Query positions of an invocation, and of a workgroup.
const OWN_POSITIONS: u32 = ROWS_PER_THREAD / STREAMS;
const POSITIONS: u32 = ROWS / STREAMS;
const KEYS: u32 = 32u;
const HEAD_VECTORS: u32 = (HEAD_DIM + 3u) / 4u;
const VALUE_VECTORS: u32 = (VALUE_DIM + 3u) / 4u;
const KEY_CHUNKS: u32 = max(1u, (HEAD_VECTORS + CHUNK - 1u) / CHUNK);
const CHUNK_COLUMNS: u32 = min(CHUNK / 8u, COLUMNS);
const VALUE_STRIDE: u32 = 8u * CHUNK_COLUMNS;
const VALUE_CHUNKS: u32 = COLUMNS / CHUNK_COLUMNS;
const_assert COLUMNS % CHUNK_COLUMNS == 0u;
const_assert CHUNK % 8u == 0u;
const_assert ROWS_PER_THREAD % 4u == 0u;

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

const TILE: u32 = KEYS * CHUNK;
const VALUES_AT: u32 = u32(SEPARATE) * TILE;
const WEIGHTS_AT: u32 = VALUES_AT + TILE;
const WEIGHTS: u32 = ROWS * KEYS / 4u;
const MAXIMA_AT: u32 = WEIGHTS_AT + u32(SEPARATE) * WEIGHTS;
const MAXIMA: u32 = ROWS * 2u;
// Keys: vec4 of 4 neighbouring keys, [4 * CHUNK][KEYS / 4]. Values: [KEYS][VALUE_STRIDE]. Weights, the
// exponentials of the scores: vec4 of 4 neighbouring keys, [ROWS][KEYS / 4] with the second index
// xor-ed by the row group so that row groups read from different banks. Maxima: vec4 of 4 rows,
// [ROWS / 4][8].
var<workgroup> memory: array<vec4<f32>, WEIGHTS_AT + WEIGHTS + u32(SEPARATE) * MAXIMA>;

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

fn greatest(values: vec4<f32>) -> f32 {
    return max(max(values.x, values.y), max(values.z, values.w));
}

fn load_keys(lane: u32, head: u32, first_key: u32, chunk: u32) {
    for (var item = lane; item < CHUNK * KEYS / 4u; item = item + THREADS) {
        let vector = chunk * CHUNK + item / 8u;
        let key = first_key + item % 8u * 4u;
        var rows = mat4x4<f32>();
        for (var index = 0u; index < 4u; index = index + 1u) {
            if (vector < HEAD_VECTORS && key + index < sizes.keys) {
                rows[index] = k_vector(head + (key + index) * sizes.k_row, vector);
            }
        }
        let columns = transpose(rows);
        let at = item / 8u * 32u + item % 8u;
        memory[at] = columns[0];
        memory[at + 8u] = columns[1];
        memory[at + 16u] = columns[2];
        memory[at + 24u] = columns[3];
    }
}

fn load_values(lane: u32, head: u32, first_key: u32, first_vector: u32) {
    for (var item = lane; item < KEYS * VALUE_STRIDE; item = item + THREADS) {
        let vector = first_vector + item % VALUE_STRIDE;
        let key = first_key + item / VALUE_STRIDE;
        var value = vec4<f32>();
        if (vector < VALUE_VECTORS && key < sizes.keys) {
            value = v_vector(head + key * sizes.v_row, vector);
        }
        memory[VALUES_AT + item] = value;
    }
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
    let column = lane % 8u;
    let row_group = lane / 8u;
    let own_row = first_row + row_group * OWN_POSITIONS;
    let kv_head = out_head / sizes.group_heads;
    let k_head = sizes.k_offset + batch * sizes.k_batch + kv_head * sizes.k_head;
    let v_head = sizes.v_offset + batch * sizes.v_batch + kv_head * sizes.v_head;
    let first_vector = slice * COLUMNS * 8u;

    // Rows behind the last repeat it and are not stored.
    var q_rows: array<u32, ROWS_PER_THREAD>;
    var maxima: array<f32, ROWS_PER_THREAD>;
    // Of the keys that this invocation scores; the row's sum is taken at the end.
    var sums: array<f32, ROWS_PER_THREAD>;
    var acc: array<vec4<f32>, ROWS_PER_THREAD * COLUMNS>;
    for (var i = 0u; i < ROWS_PER_THREAD; i = i + 1u) { //@unroll
        let q_head = out_head * STREAMS + i / OWN_POSITIONS;
        let row = min(own_row + i % OWN_POSITIONS, last_row);
        q_rows[i] = sizes.q_offset + batch * sizes.q_batch + q_head * sizes.q_head + row * sizes.q_row;
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
        var scores: array<vec4<f32>, ROWS_PER_THREAD>;
        for (var i = 0u; i < ROWS_PER_THREAD; i = i + 1u) { //@unroll
            scores[i] = vec4<f32>();
        }
        for (var chunk = 0u; chunk < KEY_CHUNKS; chunk = chunk + 1u) {
            if (chunk != 0u) {
                workgroupBarrier();
            }
            load_keys(lane, k_head, first_key, chunk);
            if (SEPARATE && chunk == 0u) {
                load_values(lane, v_head, first_key, first_vector);
            }
            workgroupBarrier();
            let end = min(CHUNK, HEAD_VECTORS - chunk * CHUNK);
            for (var vector = 0u; vector < end; vector = vector + 1u) {
                let at = vector * 32u + column;
                let keys = mat4x4<f32>(memory[at], memory[at + 8u], memory[at + 16u], memory[at + 24u]);
                for (var i = 0u; i < ROWS_PER_THREAD; i = i + 1u) { //@unroll
                    scores[i] = add_products(scores[i], q_vector(q_rows[i], chunk * CHUNK + vector), keys);
                }
            }
        }

        // Scores in units of log2.
        let is_masked = first_key < all_see_from || first_key + KEYS > all_see_to;
        for (var i = 0u; i < ROWS_PER_THREAD; i = i + 1u) { //@unroll
            scores[i] = scores[i] * (sizes.scale * LOG2_E);
            if (is_masked) {
                let row = min(own_row + i % OWN_POSITIONS, last_row);
                let keys = vec4<u32>(first_key + column * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
                let is_seen = (keys >= vec4<u32>(seen_from(row))) & (keys < vec4<u32>(seen_to(row)));
                scores[i] = select(vec4<f32>(MASKED), scores[i], is_seen);
            }
        }
        for (var i = 0u; i < ROWS_PER_THREAD; i = i + 4u) { //@unroll
            let at = MAXIMA_AT + (row_group * ROWS_PER_THREAD + i) * 2u + column;
            memory[at] = vec4<f32>(greatest(scores[i]), greatest(scores[i + 1u]),
                greatest(scores[i + 2u]), greatest(scores[i + 3u]));
        }
        workgroupBarrier();
        var tile_maxima: array<vec4<f32>, ROWS_PER_THREAD / 4u>;
        for (var i = 0u; i < ROWS_PER_THREAD; i = i + 4u) { //@unroll
            let at = MAXIMA_AT + (row_group * ROWS_PER_THREAD + i) * 2u;
            let lower = max(max(memory[at], memory[at + 1u]), max(memory[at + 2u], memory[at + 3u]));
            let upper = max(max(memory[at + 4u], memory[at + 5u]), max(memory[at + 6u], memory[at + 7u]));
            tile_maxima[i / 4u] = max(lower, upper);
        }
        if (!SEPARATE) {
            // The keys are used up, and the maxima are read before weights take their place.
            load_values(lane, v_head, first_key, first_vector);
            workgroupBarrier();
        }
        for (var i = 0u; i < ROWS_PER_THREAD; i = i + 1u) { //@unroll
            let greater = max(maxima[i], tile_maxima[i / 4u][i % 4u]);
            let shrink = exp2(maxima[i] - greater);
            maxima[i] = greater;
            let weights = exp2(scores[i] - vec4<f32>(greater));
            sums[i] = sums[i] * shrink + (weights.x + weights.y) + (weights.z + weights.w);
            for (var j = 0u; j < COLUMNS; j = j + 1u) { //@unroll
                acc[i * COLUMNS + j] = acc[i * COLUMNS + j] * shrink;
            }
            let row = row_group * ROWS_PER_THREAD + i;
            memory[WEIGHTS_AT + row * 8u + (column ^ (row_group & 7u))] = weights;
        }
        workgroupBarrier();
        for (var chunk = 0u; chunk < VALUE_CHUNKS; chunk = chunk + 1u) { //@unroll
            if (chunk != 0u) {
                workgroupBarrier();
                load_values(lane, v_head, first_key, first_vector + chunk * VALUE_STRIDE);
                workgroupBarrier();
            }
            for (var four = 0u; four < KEYS / 4u; four = four + 1u) {
                var weights: array<vec4<f32>, ROWS_PER_THREAD>;
                for (var i = 0u; i < ROWS_PER_THREAD; i = i + 1u) { //@unroll
                    let row = row_group * ROWS_PER_THREAD + i;
                    weights[i] = memory[WEIGHTS_AT + row * 8u + (four ^ (row_group & 7u))];
                }
                for (var j = 0u; j < CHUNK_COLUMNS; j = j + 1u) { //@unroll
                    let at = VALUES_AT + four * 4u * VALUE_STRIDE + j * 8u + column;
                    let values = mat4x4<f32>(memory[at], memory[at + VALUE_STRIDE],
                        memory[at + 2u * VALUE_STRIDE], memory[at + 3u * VALUE_STRIDE]);
                    for (var i = 0u; i < ROWS_PER_THREAD; i = i + 1u) { //@unroll
                        let own = i * COLUMNS + chunk * CHUNK_COLUMNS + j;
                        acc[own] = add_products(acc[own], weights[i], values);
                    }
                }
            }
        }
        workgroupBarrier();
    }

    // The rows' sums over the 8 invocations that score them.
    for (var i = 0u; i < ROWS_PER_THREAD; i = i + 4u) { //@unroll
        let at = MAXIMA_AT + (row_group * ROWS_PER_THREAD + i) * 2u + column;
        memory[at] = vec4<f32>(sums[i], sums[i + 1u], sums[i + 2u], sums[i + 3u]);
    }
    workgroupBarrier();
    for (var i = 0u; i < ROWS_PER_THREAD; i = i + 4u) { //@unroll
        var total = vec4<f32>();
        for (var other = 0u; other < 8u; other = other + 1u) {
            total = total + memory[MAXIMA_AT + (row_group * ROWS_PER_THREAD + i) * 2u + other];
        }
        // Without keys the sum is 0 and so is the result.
        total = select(vec4<f32>(1.0) / total, vec4<f32>(), total == vec4<f32>());
        sums[i] = total.x;
        sums[i + 1u] = total.y;
        sums[i + 2u] = total.z;
        sums[i + 3u] = total.w;
    }
    for (var i = 0u; i < OWN_POSITIONS; i = i + 1u) { //@unroll
        let row = own_row + i;
        if (row < sizes.queries) {
            let out_row = sizes.out_offset + batch * sizes.out_batch + out_head * sizes.out_head
                + row * sizes.out_row;
            var factor = 0.0;
            if (PAIRED) {
                factor = second_factor(batch, out_head, row);
            }
            for (var j = 0u; j < COLUMNS; j = j + 1u) { //@unroll
                var value = acc[i * COLUMNS + j] * sums[i];
                if (PAIRED) {
                    let second = i + ROWS_PER_THREAD - OWN_POSITIONS;
                    value = value - factor * (acc[second * COLUMNS + j] * sums[second]);
                }
                let vector = first_vector + j * 8u + column;
                if (vector < VALUE_VECTORS) {
                    store_vector(out_row, vector, value);
                }
            }
        }
    }
}
//@end
