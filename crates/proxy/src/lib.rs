//! The data plane, on Pingora.

pub mod journal;
