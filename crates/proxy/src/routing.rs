//! Which targets may answer a call, in which order, and in which dialect each is asked.

pub(crate) mod belongs;
pub(crate) mod plan;
pub(crate) mod road;

pub(crate) use self::plan::{Chance, Plan, Planned, plan};
