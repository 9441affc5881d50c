//! Log entries: moved in from the journals, each exactly once; and found again.

mod append;
mod arrived;
mod attempts;
mod conditions;
mod convert;
mod find;
mod names;
mod past;
mod session_list;
mod sessions;

pub(crate) use names::{Named, StoredNames, last as last_names};
