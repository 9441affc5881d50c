//! Lets a call in: what it asks for, what is reserved for it, and the one log entry that it leaves.
//! Limits themselves are counted in `limits`.

pub(crate) mod billing;
pub(crate) mod demand;
pub(crate) mod entry;
pub(crate) mod estimate;
pub(crate) mod judging;
pub(crate) mod permit;
pub(crate) mod stake;
pub(crate) mod visit;

pub(crate) use self::{
    entry::{Entry, Sent, masked},
    permit::Permit,
    visit::Visit,
};
