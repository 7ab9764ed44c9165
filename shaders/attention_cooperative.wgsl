enable f16;
enable wgpu_cooperative_matrix;

// Attention and differential attention by cooperative matrices: queries, keys, values and the weights
// of the softmax are rounded to f16, sums are f32. Online softmax as in attention_prefill.wgsl.
//
// A workgroup owns a tile of query positions of one output head, for both streams of a differential
// head: its rows are the positions for the first stream, then those for the second. A subgroup computes
// SIZE rows of the scores and of the output. The elements of a matrix are in no order that a shader may
// know, so scores pass through workgroup memory, where every invocation takes a part of a row's keys.
//
// A row's weights are relative to a reference score, which follows the row's greatest score only when
// that is exceeded by a factor of 2^8: rescaling the output, which also needs workgroup memory, is then
// rare, and weights of at most 2^8 are far from the largest f16.
//
// All barriers are those of the workgroup, also where only invocations of one subgroup exchange values.
//
// Offsets and strides count vec4.

const PAIRED: bool = true; //@param
// Multiples of SIZE.
const HEAD_DIM: u32 = 64u; //@param
const VALUE_DIM: u32 = 64u; //@param
// Keys of a tile, a multiple of SIZE and of 4 * SUBGROUP / SIZE.
const KEYS: u32 = 64u; //@param
// Rows, columns and inner size of a matrix.
const SIZE: u32 = 16u; //@param
// Invocations of a subgroup, a multiple of SIZE, and subgroups of a workgroup.
const SUBGROUP: u32 = 32u; //@param
const SUBGROUPS: u32 = 4u; //@param
alias Value = vec4<f32>; //@param
alias MatrixA = coop_mat16x16<f16, A>; //@param
alias MatrixB = coop_mat16x16<f16, B>; //@param
alias MatrixC = coop_mat16x16<f32, C>; //@param

const THREADS: u32 = SUBGROUP * SUBGROUPS;
const STREAMS: u32 = 1u + u32(PAIRED);
const ROWS: u32 = SIZE * SUBGROUPS;
const POSITIONS: u32 = ROWS / STREAMS;
// Invocations that share a row, and the fours of keys that each of them takes.
const PARTS: u32 = SUBGROUP / SIZE;
const PART_FOURS: u32 = KEYS / 4u / PARTS;
const HEAD_VECTORS: u32 = HEAD_DIM / 4u;
const VALUE_VECTORS: u32 = VALUE_DIM / 4u;
const HEAD_MATRICES: u32 = HEAD_DIM / SIZE;
const VALUE_MATRICES: u32 = VALUE_DIM / SIZE;
const KEY_MATRICES: u32 = KEYS / SIZE;
const_assert KEYS % (4u * PARTS) == 0u;
// vec4 of keys and of values that an invocation brings for a tile.
const KEYS_EACH: u32 = (KEYS * HEAD_VECTORS + THREADS - 1u) / THREADS;
const VALUES_EACH: u32 = (KEYS * VALUE_VECTORS + THREADS - 1u) / THREADS;

// Least finite float, the greatest score of no key.
const MASKED: f32 = -3.4028234e38;
const LOG2_E: f32 = 1.4426950408889634;
// Log2 of the greatest weight.
const SLACK: f32 = 8.0;

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

// Lines are longer than they are used, so that neighbouring lines begin in different banks. Matrices
// begin at multiples of 16 bytes: every array's size is one.
const HEAD_LINE: u32 = HEAD_VECTORS + 2u;
const VALUE_LINE: u32 = VALUE_VECTORS + 2u;
const WEIGHT_LINE: u32 = KEYS / 4u + 2u;
const SCORE_LINE: u32 = KEYS / 4u + 1u;
// By key.
var<workgroup> tile_keys: array<vec4<f16>, KEYS * HEAD_LINE>;
var<workgroup> tile_values: array<vec4<f16>, KEYS * VALUE_LINE>;
// By row: scores; between tiles and at the end SIZE columns of the output.
var<workgroup> scores: array<vec4<f32>, ROWS * SCORE_LINE>;
// By row: at first KEYS columns of the queries.
var<workgroup> weights: array<vec4<f16>, ROWS * WEIGHT_LINE>;
// By row, at the end: the factor of the output.
var<workgroup> factors: array<f32, ROWS>;
// Of every subgroup: 1 if rows of its output shrink.
var<workgroup> shrinks: array<u32, 8>;
const_assert SUBGROUPS <= 8u;

// Keys seen by a query row: the first, and the one behind the last.
fn seen_from(row: u32) -> u32 {
    let end = seen_to(row);
    return select(0u, end - min(end, sizes.window), sizes.causal != 0u);
}

fn seen_to(row: u32) -> u32 {
    let past = row + 1u + sizes.keys - sizes.queries;
    return select(sizes.keys, min(past, sizes.keys), sizes.causal != 0u);
}

// Keys behind the last are 0.
fn key_vector(k_head: u32, first_key: u32, item: u32) -> vec4<f32> {
    let key = first_key + item / HEAD_VECTORS;
    if (key < sizes.keys && item < KEYS * HEAD_VECTORS) {
        return k[k_head + key * sizes.k_row + item % HEAD_VECTORS];
    }
    return vec4<f32>();
}

fn value_vector(v_head: u32, first_key: u32, item: u32) -> vec4<f32> {
    let key = first_key + item / VALUE_VECTORS;
    if (key < sizes.keys && item < KEYS * VALUE_VECTORS) {
        return v[v_head + key * sizes.v_row + item % VALUE_VECTORS];
    }
    return vec4<f32>();
}

//@region main
@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    // Tiles that see most keys come first.
    var rest = sizes.first_group + group.x;
    let out_head = rest % sizes.heads;
    rest = rest / sizes.heads;
    let batch = rest % sizes.batch;
    let first_row = (sizes.tiles - 1u - rest / sizes.batch) * POSITIONS;
    let last_row = min(first_row + POSITIONS, sizes.queries) - 1u;
    let kv_head = out_head / sizes.group_heads;
    let k_head = sizes.k_offset + batch * sizes.k_batch + kv_head * sizes.k_head;
    let v_head = sizes.v_offset + batch * sizes.v_batch + kv_head * sizes.v_head;

    if (invocation < 8u) {
        shrinks[invocation] = 0u;
    }
    let own_rows = subgroup * SIZE;
    var queries: array<MatrixA, HEAD_MATRICES>;
    for (var m = 0u; m < HEAD_MATRICES; m = m + 1u) { //@unroll
        if (m % KEY_MATRICES == 0u) {
            workgroupBarrier();
            for (var item = lane; item < SIZE * KEYS / 4u; item = item + SUBGROUP) {
                let row = own_rows + item / (KEYS / 4u);
                let vector = m * SIZE / 4u + item % (KEYS / 4u);
                // Rows behind the last repeat it and are not stored.
                let q_head = out_head * STREAMS + row / POSITIONS;
                let at = sizes.q_offset + batch * sizes.q_batch + q_head * sizes.q_head
                    + min(first_row + row % POSITIONS, last_row) * sizes.q_row;
                if (vector < HEAD_VECTORS) {
                    let value = q[at + vector] * (sizes.scale * LOG2_E);
                    weights[row * WEIGHT_LINE + item % (KEYS / 4u)] = vec4<f16>(value);
                }
            }
            workgroupBarrier();
        }
        let at = own_rows * WEIGHT_LINE + m % KEY_MATRICES * (SIZE / 4u);
        queries[m] = coopLoadT<MatrixA>(&weights[at], WEIGHT_LINE);
    }
    var acc: array<MatrixC, VALUE_MATRICES>;
    for (var m = 0u; m < VALUE_MATRICES; m = m + 1u) { //@unroll
        acc[m] = MatrixC();
    }

    // The row that this invocation takes a part of, and the sum of its part's weights.
    let row = own_rows + lane % SIZE;
    let part = lane / SIZE;
    let row_sees_from = seen_from(min(first_row + row % POSITIONS, last_row));
    let row_sees_to = seen_to(min(first_row + row % POSITIONS, last_row));
    var reference = MASKED;
    var sum = 0.0;

    let all_see_from = seen_from(last_row);
    let all_see_to = seen_to(first_row);
    let last_key = seen_to(last_row);
    let begin = seen_from(first_row) / KEYS * KEYS;
    // The next tile is on its way in registers while this one is multiplied.
    var next_keys: array<vec4<f32>, KEYS_EACH>;
    var next_values: array<vec4<f32>, VALUES_EACH>;
    for (var i = 0u; i < KEYS_EACH; i = i + 1u) { //@unroll
        next_keys[i] = key_vector(k_head, begin, invocation + i * THREADS);
    }
    for (var i = 0u; i < VALUES_EACH; i = i + 1u) { //@unroll
        next_values[i] = value_vector(v_head, begin, invocation + i * THREADS);
    }
    for (var first_key = begin; first_key < last_key; first_key = first_key + KEYS) {
        // What was read of the tile before, and of the queries, is read.
        workgroupBarrier();
        for (var i = 0u; i < KEYS_EACH; i = i + 1u) { //@unroll
            let item = invocation + i * THREADS;
            if (item < KEYS * HEAD_VECTORS) {
                let at = item / HEAD_VECTORS * HEAD_LINE + item % HEAD_VECTORS;
                tile_keys[at] = vec4<f16>(next_keys[i]);
            }
        }
        for (var i = 0u; i < VALUES_EACH; i = i + 1u) { //@unroll
            let item = invocation + i * THREADS;
            if (item < KEYS * VALUE_VECTORS) {
                let at = item / VALUE_VECTORS * VALUE_LINE + item % VALUE_VECTORS;
                tile_values[at] = vec4<f16>(next_values[i]);
            }
        }
        workgroupBarrier();
        for (var i = 0u; i < KEYS_EACH; i = i + 1u) { //@unroll
            next_keys[i] = key_vector(k_head, first_key + KEYS, invocation + i * THREADS);
        }
        for (var i = 0u; i < VALUES_EACH; i = i + 1u) { //@unroll
            next_values[i] = value_vector(v_head, first_key + KEYS, invocation + i * THREADS);
        }
        for (var n = 0u; n < KEY_MATRICES; n = n + 1u) { //@unroll
            var products = MatrixC();
            for (var m = 0u; m < HEAD_MATRICES; m = m + 1u) { //@unroll
                let start = n * SIZE * HEAD_LINE + m * (SIZE / 4u);
                let keys = coopLoad<MatrixB>(&tile_keys[start], HEAD_LINE);
                products = coopMultiplyAdd(queries[m], keys, products);
            }
            let at = own_rows * SCORE_LINE + n * (SIZE / 4u);
            let stride = SCORE_LINE;
            coopStoreT(products, &scores[at], stride);
        }
        workgroupBarrier();

        // Scores in units of log2.
        var own: array<vec4<f32>, PART_FOURS>;
        for (var i = 0u; i < PART_FOURS; i = i + 1u) { //@unroll
            own[i] = scores[row * SCORE_LINE + part * PART_FOURS + i];
        }
        if (first_key < all_see_from || first_key + KEYS > all_see_to) {
            for (var i = 0u; i < PART_FOURS; i = i + 1u) { //@unroll
                let keys = vec4<u32>(first_key + (part * PART_FOURS + i) * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
                let is_seen = (keys >= vec4<u32>(row_sees_from)) & (keys < vec4<u32>(row_sees_to));
                own[i] = select(vec4<f32>(MASKED), own[i], is_seen);
            }
        }
        var most = vec4<f32>(MASKED);
        for (var i = 0u; i < PART_FOURS; i = i + 1u) { //@unroll
            most = max(most, own[i]);
        }
        var greatest = max(max(most.x, most.y), max(most.z, most.w));
        for (var other = SIZE; other < SUBGROUP; other = other * 2u) {
            greatest = max(greatest, subgroupShuffleXor(greatest, other));
        }
        let exceeds = greatest > reference + SLACK;
        let shrink = select(1.0, exp2(reference - greatest), exceeds);
        reference = select(reference, greatest, exceeds);
        let any_exceeds = subgroupAny(exceeds);
        if (lane == 0u) {
            shrinks[subgroup] = u32(any_exceeds);
        }
        // A masked score is far below any reference; without one yet, rows see no key of the tile.
        let base = select(reference, 0.0, reference == MASKED);
        var total = vec4<f32>();
        for (var i = 0u; i < PART_FOURS; i = i + 1u) { //@unroll
            let values = exp2(own[i] - vec4<f32>(base));
            total = total + values;
            weights[row * WEIGHT_LINE + part * PART_FOURS + i] = vec4<f16>(values);
        }
        sum = sum * shrink + (total.x + total.y) + (total.z + total.w);
        workgroupBarrier();

        // The same for all invocations: written before the barrier above, and not again before the next two.
        let shrinks_first = shrinks[0] | shrinks[1] | shrinks[2] | shrinks[3];
        let shrinks_last = shrinks[4] | shrinks[5] | shrinks[6] | shrinks[7];
        if ((shrinks_first | shrinks_last) != 0u) {
            for (var m = 0u; m < VALUE_MATRICES; m = m + 1u) { //@unroll
                let at = own_rows * SCORE_LINE;
                let stride = SCORE_LINE;
                coopStoreT(acc[m], &scores[at], stride);
                workgroupBarrier();
                for (var four = part; four < SIZE / 4u; four = four + PARTS) {
                    scores[row * SCORE_LINE + four] = scores[row * SCORE_LINE + four] * shrink;
                }
                workgroupBarrier();
                acc[m] = coopLoadT<MatrixC>(&scores[at], stride);
            }
        }
        for (var n = 0u; n < KEY_MATRICES; n = n + 1u) { //@unroll
            let at = own_rows * WEIGHT_LINE + n * (SIZE / 4u);
            let own_weights = coopLoadT<MatrixA>(&weights[at], WEIGHT_LINE);
            for (var m = 0u; m < VALUE_MATRICES; m = m + 1u) { //@unroll
                let start = n * SIZE * VALUE_LINE + m * (SIZE / 4u);
                let values = coopLoadT<MatrixB>(&tile_values[start], VALUE_LINE);
                acc[m] = coopMultiplyAdd(own_weights, values, acc[m]);
            }
        }
    }

    for (var other = SIZE; other < SUBGROUP; other = other * 2u) {
        sum = sum + subgroupShuffleXor(sum, other);
    }
    // Without keys the sum is 0 and so is the result.
    var factor = select(1.0 / sum, 0.0, sum == 0.0);
    if (PAIRED && row >= POSITIONS) {
        factor = -factor * second_factor(batch, out_head, min(first_row + row % POSITIONS, last_row));
    }
    workgroupBarrier();
    if (lane < SIZE) {
        factors[row] = factor;
    }
    for (var m = 0u; m < VALUE_MATRICES; m = m + 1u) { //@unroll
        let start = own_rows * SCORE_LINE;
        let stride = SCORE_LINE;
        coopStoreT(acc[m], &scores[start], stride);
        workgroupBarrier();
        for (var item = invocation; item < POSITIONS * SIZE / 4u; item = item + THREADS) {
            let position = item / (SIZE / 4u);
            let vector = item % (SIZE / 4u);
            if (first_row + position < sizes.queries) {
                var value = factors[position] * scores[position * SCORE_LINE + vector];
                if (PAIRED) {
                    let second = position + POSITIONS;
                    value = value + factors[second] * scores[second * SCORE_LINE + vector];
                }
                let at = sizes.out_offset + batch * sizes.out_batch + out_head * sizes.out_head
                    + (first_row + position) * sizes.out_row;
                out[at + m * (SIZE / 4u) + vector] = value;
            }
        }
        workgroupBarrier();
    }
}
//@end
