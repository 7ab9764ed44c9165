// An index of each row drawn at random, as a token is by its logits: the op `sample`. One workgroup for
// each row.
//
// A cut keeps what is above a threshold, and some of what is equal to it, from the front. The threshold is
// found digit by digit, from the numbers or the masses of what has each digit. Masses are sums of weights
// in multiples of 2^-40, in words as int64 has them: they are the same in any order. There is room for
// 2^23 weights.

struct Sizes {
    first_group: u32,
    length: u32,
    logits_offset: u32,
    temperature_offset: u32,
    top_k_offset: u32,
    top_p_offset: u32,
    uniform_offset: u32,
    result_offset: u32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
// As bits, which keep NaN.
@group(0) @binding(1) var<storage, read_write> logits: array<u32>; //@access
@group(0) @binding(2) var<storage, read_write> temperature: array<f32>; //@access
// Low word, high word.
@group(0) @binding(3) var<storage, read_write> top_k: array<vec2<u32>>; //@access
@group(0) @binding(4) var<storage, read_write> top_p: array<f32>; //@access
@group(0) @binding(5) var<storage, read_write> uniforms: array<f32>; //@access
// Low word, high word.
@group(0) @binding(6) var<storage, read_write> result: array<vec2<u32>>; //@access

//@region library
fn is_nan_f32(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn exp_f32(x: f32) -> f32 {
    return exp(x);
}

fn add_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn sub_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

fn less_i64(a: vec2<u32>, b: vec2<u32>) -> bool {
    return select(a.y < b.y, a.x < b.x, a.y == b.y);
}

fn div_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    var rest = a;
    var quotient = vec2<u32>(0u, 0u);
    while ((b.x | b.y) != 0u && !less_i64(rest, b)) {
        rest = sub_i64(rest, b);
        quotient = add_i64(quotient, vec2<u32>(1u, 0u));
    }
    return quotient;
}

fn wide_product(a: u32, b: u32) -> vec2<u32> {
    let middle = (a >> 16u) * (b & 0xffffu) + (((a & 0xffffu) * (b & 0xffffu)) >> 16u);
    let other = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
    return vec2<u32>(a * b, (a >> 16u) * (b >> 16u) + (middle >> 16u) + (other >> 16u));
}

fn mul_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let product = wide_product(a.x, b.x);
    return vec2<u32>(product.x, product.y + a.x * b.y + a.y * b.x);
}
//@end

const GROUP_SIZE: u32 = 256u;
// The least and the greatest temperature: 2^-100 and 2^100.
const LEAST_TEMPERATURE: f32 = 7.888609052210118e-31;
const MOST_TEMPERATURE: f32 = 1.2676506002282294e30;
// The greatest number below 1.
const MOST_UNIFORM: f32 = 0.99999994;

var<workgroup> largest: atomic<u32>;
// What there is of each digit: low words and high words of numbers or masses.
var<workgroup> digits_low: array<atomic<u32>, GROUP_SIZE>;
var<workgroup> digits_high: array<atomic<u32>, GROUP_SIZE>;
var<workgroup> terms: array<vec2<u32>, GROUP_SIZE>;
var<workgroup> counts: array<u32, GROUP_SIZE>;
var<workgroup> chosen: u32;
var<workgroup> rest_at_chosen: vec2<u32>;

// What decides about the row.
struct Row {
    logits_at: u32,
    // The largest logit as a key.
    best: u32,
    temperature: f32,
}

// What may be drawn: all that is above the key, and as many of what is equal to it.
struct Kept {
    key: u32,
    equals: u32,
}

// Where a cut is made: what is above that key, if its number or its mass is to be cut, is cut so that the
// first of it reach a goal.
struct Cut {
    is_made: bool,
    of_number: bool,
    above: u32,
    goal: vec2<u32>,
}

// A threshold, and what is missing of the goal behind all that is above it.
struct Threshold {
    key: u32,
    rest: vec2<u32>,
}

// Ordered like the numbers, 0 and -0 being equal; 0 for what is not finite, and only for that.
fn key_of(bits: u32) -> u32 {
    let magnitude = bits & 0x7fffffffu;
    if (magnitude >= 0x7f800000u) {
        return 0u;
    }
    return select(magnitude | 0x80000000u, ~bits, magnitude != 0u && (bits >> 31u) != 0u);
}

// The number of a key that is not 0.
fn value_of(key: u32) -> f32 {
    return bitcast<f32>(select(~key, key ^ 0x80000000u, (key >> 31u) != 0u));
}

// The weight e^((logit - largest) / temperature) of a key that is not 0, rounded down.
fn weight_of(row: Row, key: u32) -> vec2<u32> {
    // Half of it is finite, and e^-32 is below 2^-40.
    let half = value_of(key) * 0.5 - value_of(row.best) * 0.5;
    if (half < -16.0 * row.temperature) {
        return vec2<u32>(0u, 0u);
    }
    let bits = bitcast<u32>(exp_f32(half / row.temperature * 2.0));
    let mantissa = (bits & 0x7fffffu) | 0x800000u;
    let halvings = 127u - (bits >> 23u);
    if (halvings <= 17u) {
        let left = 17u - halvings;
        return vec2<u32>(mantissa << left, (mantissa >> 1u) >> (31u - left));
    }
    return vec2<u32>(select(0u, mantissa >> (halvings - 17u), halvings <= 40u), 0u);
}

// The share of a mass, `part` being in multiples of 2^-32; rounded down.
fn share_of(mass: vec2<u32>, part: u32) -> vec2<u32> {
    return add_i64(wide_product(mass.y, part), vec2<u32>(wide_product(mass.x, part).y, 0u));
}

// A number as multiples of 2^-32: the nearest below 1, 0 for NaN and for what is negative.
fn part_of(x: f32) -> u32 {
    if (is_nan_f32(x) || x <= 0.0) {
        return 0u;
    }
    return u32(min(x, MOST_UNIFORM) * 4294967296.0);
}

// How many of equal weights make up for what is missing.
fn equals_for(missing: vec2<u32>, weight: vec2<u32>) -> u32 {
    let most = sub_i64(add_i64(missing, weight), vec2<u32>(1u, 0u));
    return div_i64(most, weight).x;
}

// The sum over the workgroup, the same for all invocations.
fn group_total(lane: u32, value: vec2<u32>) -> vec2<u32> {
    terms[lane] = value;
    for (var half = GROUP_SIZE / 2u; half > 0u; half = half / 2u) {
        workgroupBarrier();
        if (lane < half) {
            terms[lane] = add_i64(terms[lane], terms[lane + half]);
        }
    }
    workgroupBarrier();
    let total = terms[0];
    workgroupBarrier();
    return total;
}

// The largest key such that what is at or above it, of what the cut is about, reaches the goal; all of it
// does.
fn find_threshold(lane: u32, row: Row, cut: Cut) -> Threshold {
    let end = select(0u, sizes.length, cut.is_made);
    var found = Threshold(0u, cut.goal);
    for (var digit = 0u; digit < 4u; digit = digit + 1u) {
        let shift = 24u - 8u * digit;
        atomicStore(&digits_low[lane], 0u);
        atomicStore(&digits_high[lane], 0u);
        workgroupBarrier();
        for (var index = lane; index < end; index = index + GROUP_SIZE) {
            let key = key_of(logits[row.logits_at + index]);
            // The digits before are those that were found.
            if (key > cut.above && ((key ^ found.key) >> shift) < GROUP_SIZE) {
                var size = vec2<u32>(1u, 0u);
                if (!cut.of_number) {
                    size = weight_of(row, key);
                }
                let at = (key >> shift) % GROUP_SIZE;
                let before = atomicAdd(&digits_low[at], size.x);
                let high = size.y + select(0u, 1u, before + size.x < before);
                if (high != 0u) {
                    atomicAdd(&digits_high[at], high);
                }
            }
        }
        workgroupBarrier();
        if (lane == 0u) {
            var at = GROUP_SIZE - 1u;
            var rest = found.rest;
            loop {
                let low = atomicLoad(&digits_low[at]);
                let size = vec2<u32>(low, atomicLoad(&digits_high[at]));
                if (at == 0u || !less_i64(size, rest)) {
                    break;
                }
                rest = sub_i64(rest, size);
                at = at - 1u;
            }
            chosen = at;
            rest_at_chosen = rest;
        }
        workgroupBarrier();
        found = Threshold(found.key | (chosen << shift), rest_at_chosen);
        workgroupBarrier();
    }
    return found;
}

@compute @workgroup_size(GROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let number = sizes.first_group + group.x;
    let length = sizes.length;
    let logits_at = sizes.logits_offset + number * length;
    if (lane == 0u) {
        atomicStore(&largest, 0u);
    }
    workgroupBarrier();
    var own = 0u;
    var finite = 0u;
    for (var index = lane; index < length; index = index + GROUP_SIZE) {
        let key = key_of(logits[logits_at + index]);
        own = max(own, key);
        finite = finite + select(0u, 1u, key != 0u);
    }
    atomicMax(&largest, own);
    // Barriers of the sum are behind every maximum.
    var count = group_total(lane, vec2<u32>(finite, 0u)).x;
    let best = atomicLoad(&largest);

    let degrees = temperature[sizes.temperature_offset];
    let most = top_k[sizes.top_k_offset];
    let share = top_p[sizes.top_p_offset];
    let has_temperature = !is_nan_f32(degrees) && degrees >= LEAST_TEMPERATURE;
    let row = Row(logits_at, best, select(1.0, min(degrees, MOST_TEMPERATURE), has_temperature));
    let has_choice = best != 0u && has_temperature && !(most.x == 1u && most.y == 0u);
    var kept = Kept(0u, 0u);
    if (!has_choice) {
        kept = Kept(best, 1u);
    }

    let is_counted = has_choice && most.y == 0u && most.x != 0u && most.x < count;
    let largest_of_all = find_threshold(lane, row, Cut(is_counted, true, 0u, most));
    if (is_counted) {
        kept = Kept(largest_of_all.key, largest_of_all.rest.x);
    }

    let is_shared = has_choice && !is_nan_f32(share) && share < 1.0;
    var mass = vec2<u32>(0u, 0u);
    for (var index = lane; index < select(0u, length, is_shared); index = index + GROUP_SIZE) {
        let key = key_of(logits[logits_at + index]);
        if (key > kept.key) {
            mass = add_i64(mass, weight_of(row, key));
        }
    }
    let above = group_total(lane, mass);
    var of_equal = vec2<u32>(0u, 0u);
    if (is_shared && kept.equals != 0u) {
        of_equal = weight_of(row, kept.key);
    }
    let whole = add_i64(above, mul_i64(vec2<u32>(kept.equals, 0u), of_equal));
    var goal = share_of(whole, part_of(share));
    if ((goal.x | goal.y) == 0u) {
        goal.x = 1u;
    }
    let is_beyond_equals = is_shared && !less_i64(above, goal);
    let most_likely = find_threshold(lane, row, Cut(is_beyond_equals, false, kept.key, goal));
    if (is_beyond_equals) {
        let weight = weight_of(row, most_likely.key);
        kept = Kept(most_likely.key, equals_for(most_likely.rest, weight));
    } else if (is_shared) {
        kept.equals = equals_for(sub_i64(goal, above), of_equal);
    }

    // Each invocation has a part of the row, so that what lies before an element is a matter of few sums.
    of_equal = vec2<u32>(0u, 0u);
    if (best != 0u && kept.equals != 0u) {
        of_equal = weight_of(row, kept.key);
    }
    let part = (length + GROUP_SIZE - 1u) / GROUP_SIZE;
    let first = min(lane * part, length);
    let end = min(first + part, length);
    mass = vec2<u32>(0u, 0u);
    var equal = 0u;
    for (var index = first; index < end; index = index + 1u) {
        let key = key_of(logits[logits_at + index]);
        if (key > kept.key) {
            mass = add_i64(mass, weight_of(row, key));
        } else if (key == kept.key && kept.equals != 0u) {
            equal = equal + 1u;
        }
    }
    terms[lane] = mass;
    counts[lane] = equal;
    workgroupBarrier();
    if (lane == 0u) {
        var total = vec2<u32>(0u, 0u);
        var before = 0u;
        for (var at = 0u; at < GROUP_SIZE; at = at + 1u) {
            let equals = min(counts[at], kept.equals - min(before, kept.equals));
            let own_mass = add_i64(terms[at], mul_i64(vec2<u32>(equals, 0u), of_equal));
            // Where the part begins.
            terms[at] = total;
            let own_count = counts[at];
            counts[at] = before;
            total = add_i64(total, own_mass);
            before = before + own_count;
        }
        let wanted = share_of(total, part_of(uniforms[sizes.uniform_offset + number]));
        // The last part that begins at or before what is wanted. Parts behind it that are empty begin
        // beyond it, as what is wanted is less than all.
        var at = GROUP_SIZE - 1u;
        while (at > 0u && less_i64(wanted, terms[at])) {
            at = at - 1u;
        }
        chosen = at;
        rest_at_chosen = wanted;
        if (best == 0u) {
            result[sizes.result_offset + number] = vec2<u32>(0xffffffffu, 0xffffffffu);
        }
    }
    workgroupBarrier();
    if (lane == chosen && best != 0u) {
        var sum = terms[lane];
        var rank = counts[lane];
        for (var index = first; index < end; index = index + 1u) {
            let key = key_of(logits[logits_at + index]);
            if (key > kept.key) {
                sum = add_i64(sum, weight_of(row, key));
            } else if (key == kept.key && kept.equals != 0u) {
                sum = add_i64(sum, select(vec2<u32>(0u, 0u), of_equal, rank < kept.equals));
                rank = rank + 1u;
            }
            if (less_i64(rest_at_chosen, sum)) {
                result[sizes.result_offset + number] = vec2<u32>(index, 0u);
                break;
            }
        }
    }
}
