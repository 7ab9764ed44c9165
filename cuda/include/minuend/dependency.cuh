// Kernels of a stream that begin before the one in front of them has ended (programmatic dependent
// launch). The host decides which launches do; for others, and before sm_90, neither call does
// anything.
//
// What a kernel must keep: it reads memory that some kernel writes, and writes any, only behind the
// wait. Pointers to such memory are not `const .. __restrict__`: the compiler would take it as
// constant while the kernel runs, and could read it before the wait.
#pragma once

namespace minuend {

// Waits until the kernels in front of this one are complete and what they wrote can be read, also
// by copies that are started behind it. Every thread that touches their memory calls it.
__device__ __forceinline__ void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Lets the next kernel begin once every block has come here or ended. It takes what the blocks that
// run leave free of registers and shared memory, and waits for all of them to end.
__device__ __forceinline__ void let_next_start() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace minuend
