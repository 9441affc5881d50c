//! Attempts at the targets of a plan: what is sent, what comes back, whose fault a failure is, what
//! follows from it and what rules say. An answer on its way to the client is `response`.

pub(crate) mod address;
pub(crate) mod choice;
pub(crate) mod classify;
pub(crate) mod conversion;
pub(crate) mod exchange;
pub(crate) mod failed;
pub(crate) mod faults;
pub(crate) mod judge;
pub(crate) mod next;
pub(crate) mod outbound;
pub(crate) mod probe;
pub(crate) mod profile;
pub(crate) mod reached;
pub(crate) mod refused;
pub(crate) mod round;
pub(crate) mod scripting;
pub(crate) mod tally;
pub(crate) mod upload;
pub(crate) mod upstream;
pub(crate) mod watch;
