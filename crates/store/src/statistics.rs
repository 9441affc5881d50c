//! Roll-ups: sums of log entries by minute, hour and day, raised in the transaction that inserts
//! the entries. Every chart and total reads them and none reads the entries.
//!
//! One entry counts in up to four breakdowns. The dimensions that they share are the upstream, the
//! label and the class; the keys of callers and of providers are apart, because their product would
//! have a row for nearly every call.

mod dimensions;
mod fold;
mod labels;
mod plan;
mod quantile;
mod read;
mod write;

pub(crate) use dimensions::{Breakdown, OTHER, SUMMED_MAX};
pub(crate) use fold::Fold;
pub(crate) use labels::Labels;
pub(crate) use plan::{floors, plan};
pub(crate) use write::write;
