//! The float64 reference interpreter: the definition of every op.
