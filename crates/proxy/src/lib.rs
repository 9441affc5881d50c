//! The data plane, on Pingora.
