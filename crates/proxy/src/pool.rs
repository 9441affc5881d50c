//! The pool of an upstream: its keys and the order in which they are used, its connections, circuit
//! breakers and queue. Which call goes to which upstream is decided in `routing`.

pub(crate) mod balancer;
pub(crate) mod breaker;
pub(crate) mod health;
pub(crate) mod line;
pub(crate) mod race;
pub(crate) mod resolver;
pub(crate) mod waiting;
