// Registers of warpgroups that do unlike work. All warps of a warpgroup call these together; a
// thread waits in take_registers until others have given enough.
#pragma once

namespace minuend {

template <int Count>
__device__ __forceinline__ void give_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
}

template <int Count>
__device__ __forceinline__ void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
}

}  // namespace minuend
