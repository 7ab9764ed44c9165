// The largest over a workgroup of at most 256 invocations, the same for all of them.

var<workgroup> group_max_terms: array<f32, GROUP_SIZE>;
var<workgroup> group_max_partial: array<f32, 16>;

fn group_max(lane: u32, value: f32) -> f32 {
    group_max_terms[lane] = value;
    workgroupBarrier();
    if (lane < 16u) {
        var partial = group_max_terms[lane];
        for (var index = lane + 16u; index < GROUP_SIZE; index = index + 16u) {
            partial = larger(partial, group_max_terms[index]);
        }
        group_max_partial[lane] = partial;
    }
    workgroupBarrier();
    var most = group_max_partial[0];
    for (var index = 1u; index < 16u; index = index + 1u) {
        most = larger(most, group_max_partial[index]);
    }
    return most;
}
