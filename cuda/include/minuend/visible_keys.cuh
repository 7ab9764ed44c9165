// Which keys a query of attention sees.
#pragma once

#include "minuend/types.cuh"

namespace minuend {

// Query i sees keys [first(i), end(i)), at least one of them unless there are none. A query's
// position among the keys is i + reach, where reach is keys - queries under a causal mask; a mask
// that hides nothing has reach = keys. The host sees to it that no sum of queries, keys and reach
// overflows.
struct VisibleKeys {
    int keys;
    int reach;
    // Keys that a query sees at most; the greatest int if there is no such limit.
    int window;

    __device__ __forceinline__ int end(int query) const { return min(query + 1 + reach, keys); }

    __device__ __forceinline__ int first(int query) const {
        return max(query + 1 + reach - window, 0);
    }

    // True if every query of [first_query, last_query] sees all of [first_key, end_key).
    __device__ __forceinline__ bool all_see(int first_query, int last_query, int first_key,
                                            int end_key) const {
        return first(last_query) <= first_key && end_key <= end(first_query);
    }
};

}  // namespace minuend
