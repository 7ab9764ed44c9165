// The sum over a workgroup of at most 256 invocations, the same for all of them.

var<workgroup> group_terms: array<f32, GROUP_SIZE>;
var<workgroup> group_partial_sums: array<f32, 16>;

fn group_sum(lane: u32, value: f32) -> f32 {
    group_terms[lane] = value;
    workgroupBarrier();
    if (lane < 16u) {
        var partial = 0.0;
        for (var index = lane; index < GROUP_SIZE; index = index + 16u) {
            partial = partial + group_terms[index];
        }
        group_partial_sums[lane] = partial;
    }
    workgroupBarrier();
    var total = 0.0;
    for (var index = 0u; index < 16u; index = index + 1u) {
        total = total + group_partial_sums[index];
    }
    // A next sum overwrites only the terms before its first barrier, which nobody reads here.
    return total;
}
