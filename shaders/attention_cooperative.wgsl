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
const PARTS: u32 = THREADS / ROWS;
const PART_FOURS: u32 = KEYS / 4u / PARTS;
const HEAD_VECTORS: u32 = HEAD_DIM / 4u;
const VALUE_VECTORS: u32 = VALUE_DIM / 4u;
const HEAD_MATRICES: u32 = HEAD_DIM / SIZE;
const VALUE_MATRICES: u32 = VALUE_DIM / SIZE;
const KEY_MATRICES: u32 = KEYS / SIZE;
const_assert KEYS % (4u * PARTS) == 0u;

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


// Lines are longer than they are used, so that neighbouring lines begin in different banks.
const HEAD_LINE: u32 = HEAD_VECTORS + 2u;
const VALUE_LINE: u32 = VALUE_VECTORS + 2u;
const WEIGHT_LINE: u32 = KEYS / 4u + 2u;
const COLUMN: u32 = ROWS + 4u;
const VALUES_AT: u32 = KEYS * HEAD_LINE;
// Queries by row; later keys, then values, by key.
var<workgroup> tile: array<vec4<f16>, max(ROWS * HEAD_LINE, VALUES_AT + KEYS * VALUE_LINE)>;
// Scores by key, [KEYS][COLUMN]; between tiles and at the end SIZE columns of the output.
var<workgroup> scores: array<f32, KEYS * COLUMN>;
// By row.
var<workgroup> weights: array<vec4<f16>, ROWS * WEIGHT_LINE>;
// What a row's output shrinks by; at the end the sums of the parts of rows.
var<workgroup> factors: array<f32, THREADS>;
var<workgroup> must_shrink: atomic<u32>;

// Keys seen by a query row: the first, and the one behind the last.
fn seen_from(row: u32) -> u32 {
    let end = seen_to(row);
    return select(0u, end - min(end, sizes.window), sizes.causal != 0u);
}

fn seen_to(row: u32) -> u32 {
    let past = row + 1u + sizes.keys - sizes.queries;
    return select(sizes.keys, min(past, sizes.keys), sizes.causal != 0u);
}

//@region main
@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
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

    // Rows behind the last repeat it and are not stored.
    for (var item = lane; item < ROWS * HEAD_VECTORS; item = item + THREADS) {
        let row = item / HEAD_VECTORS;
        let q_head = out_head * STREAMS + row / POSITIONS;
        let at = sizes.q_offset + batch * sizes.q_batch + q_head * sizes.q_head
            + min(first_row + row % POSITIONS, last_row) * sizes.q_row;
        let value = q[at + item % HEAD_VECTORS] * (sizes.scale * LOG2_E);
        tile[row * HEAD_LINE + item % HEAD_VECTORS] = vec4<f16>(value);
    }
    workgroupBarrier();
    let own_rows = subgroup * SIZE;
    var queries: array<MatrixA, HEAD_MATRICES>;
    for (var m = 0u; m < HEAD_MATRICES; m = m + 1u) { //@unroll
        queries[m] = coopLoadT<MatrixA>(&tile[own_rows * HEAD_LINE + m * SIZE / 4u], HEAD_LINE);
    }
    var acc: array<MatrixC, VALUE_MATRICES>;
    for (var m = 0u; m < VALUE_MATRICES; m = m + 1u) { //@unroll
        acc[m] = MatrixC();
    }
    workgroupBarrier();

    // The row that this invocation takes a part of, and the sum of its part's weights.
    let row = lane % ROWS;
    let part = lane / ROWS;
    let row_sees_from = seen_from(min(first_row + row % POSITIONS, last_row));
    let row_sees_to = seen_to(min(first_row + row % POSITIONS, last_row));
    var reference = MASKED;
    var sum = 0.0;

    let all_see_from = seen_from(last_row);
    let all_see_to = seen_to(first_row);
    let last_key = seen_to(last_row);
    for (var first_key = seen_from(first_row) / KEYS * KEYS; first_key < last_key; first_key = first_key + KEYS) {
        for (var item = lane; item < KEYS * HEAD_VECTORS; item = item + THREADS) {
            let key = first_key + item / HEAD_VECTORS;
            var value = vec4<f32>();
            if (key < sizes.keys) {
                value = k[k_head + key * sizes.k_row + item % HEAD_VECTORS];
            }
            tile[item / HEAD_VECTORS * HEAD_LINE + item % HEAD_VECTORS] = vec4<f16>(value);
        }
        for (var item = lane; item < KEYS * VALUE_VECTORS; item = item + THREADS) {
            let key = first_key + item / VALUE_VECTORS;
            var value = vec4<f32>();
            if (key < sizes.keys) {
                value = v[v_head + key * sizes.v_row + item % VALUE_VECTORS];
            }
            tile[VALUES_AT + item / VALUE_VECTORS * VALUE_LINE + item % VALUE_VECTORS] = vec4<f16>(value);
        }
        if (lane == 0u) {
            atomicStore(&must_shrink, 0u);
        }
        workgroupBarrier();
        for (var n = 0u; n < KEY_MATRICES; n = n + 1u) {
            var products = MatrixC();
            let line = n * SIZE * HEAD_LINE;
            for (var m = 0u; m < HEAD_MATRICES; m = m + 1u) { //@unroll
                let keys = coopLoad<MatrixB>(&tile[line + m * SIZE / 4u], HEAD_LINE);
                products = coopMultiplyAdd(queries[m], keys, products);
            }
            let at = n * SIZE * COLUMN + own_rows;
            let stride = COLUMN;
            coopStore(products, &scores[at], stride);
        }
        workgroupBarrier();

        // Scores in units of log2.
        var from_key = 0u;
        var to_key = KEYS;
        if (first_key < all_see_from || first_key + KEYS > all_see_to) {
            from_key = max(row_sees_from, first_key) - first_key;
            to_key = min(max(row_sees_to, first_key) - first_key, KEYS);
        }
        var greatest = MASKED;
        for (var key = from_key; key < to_key; key = key + 1u) {
            greatest = max(greatest, scores[key * COLUMN + row]);
        }
        var shrink = 1.0;
        if (greatest > reference + SLACK) {
            shrink = exp2(reference - greatest);
            reference = greatest;
            sum = sum * shrink;
            atomicStore(&must_shrink, 1u);
        }
        if (part == 0u) {
            factors[row] = shrink;
        }
        for (var four = part * PART_FOURS; four < (part + 1u) * PART_FOURS; four = four + 1u) {
            let at = four * 4u * COLUMN + row;
            let keys = vec4<u32>(four * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
            let is_seen = (keys >= vec4<u32>(from_key)) & (keys < vec4<u32>(to_key));
            let own = vec4<f32>(scores[at], scores[at + COLUMN], scores[at + 2u * COLUMN],
                scores[at + 3u * COLUMN]);
            let values = select(vec4<f32>(), exp2(own - vec4<f32>(reference)), is_seen);
            sum = sum + (values.x + values.y) + (values.z + values.w);
            weights[row * WEIGHT_LINE + four] = vec4<f16>(values);
        }
        workgroupBarrier();

        // The same for all invocations: nobody writes it before the next barrier.
        if (atomicLoad(&must_shrink) != 0u) {
            for (var m = 0u; m < VALUE_MATRICES; m = m + 1u) { //@unroll
                let stride = COLUMN;
                coopStore(acc[m], &scores[own_rows], stride);
                workgroupBarrier();
                for (var column = part; column < SIZE; column = column + PARTS) {
                    scores[column * COLUMN + row] = scores[column * COLUMN + row] * factors[row];
                }
                workgroupBarrier();
                acc[m] = coopLoad<MatrixC>(&scores[own_rows], stride);
            }
        }
        for (var n = 0u; n < KEY_MATRICES; n = n + 1u) {
            let at = own_rows * WEIGHT_LINE + n * SIZE / 4u;
            let own = coopLoadT<MatrixA>(&weights[at], WEIGHT_LINE);
            let line = VALUES_AT + n * SIZE * VALUE_LINE;
            for (var m = 0u; m < VALUE_MATRICES; m = m + 1u) { //@unroll
                let values = coopLoadT<MatrixB>(&tile[line + m * SIZE / 4u], VALUE_LINE);
                acc[m] = coopMultiplyAdd(own, values, acc[m]);
            }
        }
        workgroupBarrier();
    }

    factors[lane] = sum;
    for (var m = 0u; m < VALUE_MATRICES; m = m + 1u) { //@unroll
        let stride = COLUMN;
        coopStore(acc[m], &scores[own_rows], stride);
        workgroupBarrier();
        for (var item = lane; item < POSITIONS * SIZE / 4u; item = item + THREADS) {
            let own = item / (SIZE / 4u);
            let column = item % (SIZE / 4u) * 4u;
            if (first_row + own < sizes.queries) {
                var value = vec4<f32>();
                for (var stream = 0u; stream < STREAMS; stream = stream + 1u) {
                    let row = own + stream * POSITIONS;
                    var total = 0.0;
                    for (var part = 0u; part < PARTS; part = part + 1u) {
                        total = total + factors[part * ROWS + row];
                    }
                    // Without keys the sum is 0 and so is the result.
                    var factor = select(1.0 / total, 0.0, total == 0.0);
                    if (stream == 1u) {
                        factor = -factor * second_factor(batch, out_head, first_row + own);
                    }
                    let at = column * COLUMN + row;
                    value = value + factor * vec4<f32>(scores[at], scores[at + COLUMN],
                        scores[at + 2u * COLUMN], scores[at + 3u * COLUMN]);
                }
                let at = sizes.out_offset + batch * sizes.out_batch + out_head * sizes.out_head
                    + (first_row + own) * sizes.out_row;
                out[at + (m * SIZE + column) / 4u] = value;
            }
        }
        workgroupBarrier();
    }
}
//@end
