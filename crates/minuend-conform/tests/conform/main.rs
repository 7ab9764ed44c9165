//! Devices that compute wrong must fail, and say where.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod reports;
mod wrong_device;
mod wrong_kernels;
