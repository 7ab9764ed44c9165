//! Devices, executables, sessions and weights.
