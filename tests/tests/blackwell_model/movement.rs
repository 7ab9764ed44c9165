//! Data movement.
