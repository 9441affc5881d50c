//! Log entries: moved in from the journals, each exactly once; and found again.

mod append;
mod arrived;
mod attempts;
mod bulk;
mod conditions;
mod convert;
mod find;
mod names;
mod past;
mod session_list;
mod sessions;

pub(crate) use append::{SUMMED_MAX, class_bounds, hour_of};
pub(crate) use names::{Named, StoredNames, last as last_names};
