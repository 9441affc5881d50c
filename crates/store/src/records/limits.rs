//! Which limits are looked for.

/// Which limits are wanted; `None` wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitFilter {
    /// Of this scope, as [`Scope::as_str`](domain::Scope::as_str) names it.
    pub scope: Option<&'static str>,
    /// Of this id, network or model.
    pub scope_id: Option<String>,
}
