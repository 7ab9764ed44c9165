// What the copy engine is told of the operands of a forward attention.
#pragma once

#include "minuend/tma.cuh"

namespace minuend {

// Tensors of axes columns, tokens, heads, batches, with boxes of 64 columns; the thread that copies
// says what else is in a box.
struct ForwardMaps {
    const TensorMap& q;
    const TensorMap& k;
    const TensorMap& v;
};

}  // namespace minuend
