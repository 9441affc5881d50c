//! Log entries: moved in from the journals, each exactly once; and found again.

mod append;
mod bulk;
mod convert;
mod find;

pub(crate) use append::{class_bounds, hour_of};
