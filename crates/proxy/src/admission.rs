//! Lets a call in: what it asks for, what is reserved for it, and the one log entry that it leaves.
//! Limits themselves are counted in `limits`.

pub(crate) mod billing;
pub(crate) mod demand;
pub(crate) mod estimate;
pub(crate) mod permit;
pub(crate) mod stake;

pub(crate) use self::permit::{Permit, Sent, admit, enter_refused, masked};
