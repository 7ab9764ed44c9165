// What a generated kernel computes for each element. The compiler writes this text anew for every
// kernel; what lies here is an example of its form.
#pragma once

#include "minuend/types.cuh"

namespace minuend {}  // namespace minuend
