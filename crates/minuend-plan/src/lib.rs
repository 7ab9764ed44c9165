//! Schedule, lifetimes, symbolic arena: the linear program a device runs.
