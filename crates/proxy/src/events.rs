//! What other parts of the gateway listen to: events of keys, breakers and rules, calls with refused
//! service keys, and recorded bodies. Each is a queue with a cap; nobody waits for whoever listens.

pub(crate) mod recording;
pub(crate) mod refused_keys;
pub(crate) mod telling;
