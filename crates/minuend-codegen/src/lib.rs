//! Targets: what a backend can run, and the kernels it selects.
