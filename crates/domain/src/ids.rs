//! Ids, one type each, so that the id of a key cannot be used as that of an upstream.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl From<i64> for $name {
            fn from(id: i64) -> Self {
                Self(id)
            }
        }

        impl From<$name> for i64 {
            fn from(id: $name) -> i64 {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

ids! {
    /// A role of users.
    RoleId,
    /// A user of the management plane, and the owner of resources.
    UserId,
    /// A configured place to send calls.
    UpstreamId,
    /// A secret that a provider gave us.
    ProviderKeyId,
    /// A secret that we gave a caller.
    ServiceKeyId,
    /// A model name that callers may ask for.
    RouteId,
    /// A limit on what callers may use.
    LimitId,
    /// A rule.
    RuleId,
    /// An alert.
    AlertId,
    /// The number that grows with every change of the catalog.
    Revision,
}
