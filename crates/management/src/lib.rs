//! The management plane, on Axum.
