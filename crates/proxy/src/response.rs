//! An answer on its way to the client: passed on as it is or converted, counted and entered.

pub(crate) mod delivery;
pub(crate) mod drain;
pub(crate) mod measured;
pub(crate) mod relay;
pub(crate) mod tunnel;
