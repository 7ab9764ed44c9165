// What a generated kernel computes for each element. The compiler writes this text anew for every
// kernel; what lies here is an example of its form.
#pragma once

#include "minuend/elementary.cuh"
#include "minuend/operands.cuh"
#include "minuend/sine.cuh"

namespace minuend {

using Operands = Types<bf16, bf16>;
using Result = bf16;

__device__ __forceinline__ Result value_of(bf16 x0, bf16 x1) {
    const float operand_0 = to_float(x0);
    const float operand_1 = to_float(x1);
    const float value_0 = silu(operand_0) * operand_1;
    return from_float<bf16>(value_0);
}

}  // namespace minuend
