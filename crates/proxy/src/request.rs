//! What comes in: whose service key, what is asked, and what is answered without asking anybody.

pub(crate) mod inbound;
pub(crate) mod local;
pub(crate) mod own_usage;
pub(crate) mod preflight;
