// Attention of few queries over many keys, second part: merges what the workgroups of
// attention_split.wgsl give for each output row. Each of the two softmaxes of a differential row is
// merged and normalised by itself before the difference is taken. One workgroup for each output row.
//
// Offsets and strides of the result count elements of the type Value.

const PAIRED: bool = true; //@param
const VALUE_DIM: u32 = 64u; //@param
alias Value = vec4<f32>; //@param

const THREADS: u32 = 128u;
const STREAMS: u32 = 1u + u32(PAIRED);
const VALUE_VECTORS: u32 = (VALUE_DIM + 3u) / 4u;
// Invocations that share the parts of a value column. Those that are left over have none.
const SUBSETS: u32 = THREADS / VALUE_VECTORS;
const_assert VALUE_VECTORS <= THREADS;
// Parts that an invocation reads at once.
const AT_ONCE: u32 = 8u;

// Least finite float, the greatest score of no key.
const MASKED: f32 = -3.4028234e38;

struct Sizes {
    first_group: u32,
    queries: u32,
    heads: u32,
    splits: u32,
    // Query rows of all heads and batches.
    all_rows: u32,
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
// [splits][all_rows][VALUE_VECTORS + 1]: the weighted values, then greatest score and sum.
@group(0) @binding(1) var<storage, read_write> parts: array<vec4<f32>>; //@access
@group(0) @binding(2) var<storage, read_write> out: array<Value>; //@access

//@region factor
@group(0) @binding(3) var<storage, read_write> lambda: array<f32>; //@access

// The factor of a differential head's second stream.
fn second_factor(batch: u32, head: u32, row: u32) -> f32 {
    let at = batch * sizes.lambda_batch + head * sizes.lambda_head + row * sizes.lambda_row;
    return 1.0 / (1.0 + exp(min(-lambda[sizes.lambda_offset + at], 88.0)));
}
//@end

//@region store_vector
fn store_vector(row: u32, vector: u32, value: vec4<f32>) {
    out[row + vector] = value;
}
//@end

var<workgroup> sums_of_values: array<vec4<f32>, THREADS>;
// Greatest score and sum of weights.
var<workgroup> sums_of_weights: array<vec2<f32>, THREADS>;

//@region merged
// The normalised output of a query row, for the first VALUE_VECTORS invocations.
fn merged(lane: u32, row: u32) -> vec4<f32> {
    let column = lane % VALUE_VECTORS;
    let subset = lane / VALUE_VECTORS;
    var greatest = MASKED;
    var sum = 0.0;
    var acc = vec4<f32>();
    let count = select(0u, sizes.splits, subset < SUBSETS);
    // Several parts at once, so that as many loads are under way. A part behind the last is the last once
    // more, with no weight.
    for (var first = subset; first < count; first = first + AT_ONCE * SUBSETS) {
        var weights: array<vec4<f32>, AT_ONCE>;
        var values: array<vec4<f32>, AT_ONCE>;
        for (var i = 0u; i < AT_ONCE; i = i + 1u) { //@unroll
            let split = min(first + i * SUBSETS, count - 1u);
            let at = (split * sizes.all_rows + row) * (VALUE_VECTORS + 1u);
            weights[i] = parts[at + VALUE_VECTORS];
            values[i] = parts[at + column];
        }
        var greater = greatest;
        for (var i = 0u; i < AT_ONCE; i = i + 1u) { //@unroll
            greater = max(greater, weights[i].x);
        }
        let shrink = exp2(greatest - greater);
        sum = sum * shrink;
        acc = acc * shrink;
        for (var i = 0u; i < AT_ONCE; i = i + 1u) { //@unroll
            let is_own = first + i * SUBSETS < count;
            let weight = select(0.0, exp2(weights[i].x - greater), is_own);
            sum = sum + weights[i].y * weight;
            acc = acc + values[i] * weight;
        }
        greatest = greater;
    }
    // What an earlier call left here is read by now.
    workgroupBarrier();
    sums_of_values[lane] = acc;
    sums_of_weights[lane] = vec2<f32>(greatest, sum);
    workgroupBarrier();
    greatest = MASKED;
    for (var other = 0u; other < SUBSETS; other = other + 1u) {
        greatest = max(greatest, sums_of_weights[other * VALUE_VECTORS].x);
    }
    sum = 0.0;
    acc = vec4<f32>();
    for (var other = 0u; other < SUBSETS; other = other + 1u) {
        let at = other * VALUE_VECTORS + column;
        let weight = exp2(sums_of_weights[at].x - greatest);
        sum = sum + sums_of_weights[at].y * weight;
        acc = acc + sums_of_values[at] * weight;
    }
    return acc / sum;
}
//@end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let out_row = sizes.first_group + group.x;
    let row = out_row % sizes.queries;
    let head = out_row / sizes.queries % sizes.heads;
    let batch = out_row / sizes.queries / sizes.heads;

    let first = (batch * sizes.heads + head) * STREAMS * sizes.queries + row;
    var value = merged(lane, first);
    if (PAIRED) {
        value = value - second_factor(batch, head, row) * merged(lane, first + sizes.queries);
    }
    if (lane < VALUE_VECTORS) {
        let at = sizes.out_offset + batch * sizes.out_batch + head * sizes.out_head + row * sizes.out_row;
        store_vector(at, lane, value);
    }
}
