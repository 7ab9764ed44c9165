//! Rewrites that earn fused differential attention from primitive operations.
