//! What all attempts of a call at one upstream have in common.

use std::sync::Arc;

use crate::{
    attempt::conversion::Wording,
    gateway::{Gateway, Running, World},
    request::inbound::Call,
    routing::Planned,
};

/// What is asked, by whom, and in which view of the world.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) gateway: &'a Arc<Gateway>,
    pub(crate) world: &'a World,
    pub(crate) caller: &'a domain::Caller,
    pub(crate) shown_key: &'a str,
    pub(crate) call: &'a Call,
}

/// All attempts at one upstream.
pub(crate) struct Round<'a> {
    pub(crate) asking: Asking<'a>,
    pub(crate) running: &'a Running,
    pub(crate) target: &'a Planned,
    /// The call in the target's dialect, where that is another one.
    pub(crate) wording: Option<&'a Wording>,
}
