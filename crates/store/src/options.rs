//! How a change is made, as whoever asks for it says: on which version, and why.

use std::sync::Arc;

/// Conditions of the changes that are made with a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeOptions {
    /// Refuses the change of one thing unless it was last changed at one of these moments, in
    /// microseconds since 1970.
    pub if_last_changed: Option<Vec<i64>>,
    /// Why the change is made: it stands in the history and the audit trail.
    pub comment: Option<Arc<str>>,
}
