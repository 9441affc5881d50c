//! The other road: a call that is said again in its target's dialect, and the answer in the
//! client's.
//!
//! Nothing of it is begun before a target needs it: the request is read once for a call, and
//! written once for each target, before that target is asked. What a target cannot be told is
//! either a list for the client ([`Wording`]) or a reason to pass the target over. What a dialect
//! looks like is the business of `dialect`; bytes, time and failures are what is dealt with here.

mod answer;
mod converted;
mod failure;
mod media;
mod request;
mod stream;
mod vectors;
mod wording;

pub(crate) use answer::received;
pub(crate) use converted::{Converted, Whole};
pub(crate) use request::{Conversion, Worded};
pub(crate) use stream::{Ending, Flow};
pub(crate) use wording::Wording;
