//! Kinds of things in the catalog: one enum for the names that tables, tombstones, the audit trail
//! and the paths of fields give them.

/// A kind of thing in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A configured place to send calls.
    Upstream,
    /// A secret that a provider gave us.
    ProviderKey,
    /// A secret that we gave a caller.
    ServiceKey,
    /// A model name and its targets.
    Route,
    /// What happens when calls meet conditions.
    Rule,
    /// How much callers may use.
    Limit,
    /// A person who signs in.
    User,
    /// What users may do.
    Role,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 8] = [
        Kind::Upstream,
        Kind::ProviderKey,
        Kind::ServiceKey,
        Kind::Route,
        Kind::Rule,
        Kind::Limit,
        Kind::User,
        Kind::Role,
    ];

    /// One of them, as the audit trail and error messages name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Upstream => "upstream",
            Kind::ProviderKey => "provider_key",
            Kind::ServiceKey => "service_key",
            Kind::Route => "route",
            Kind::Rule => "rule",
            Kind::Limit => "limit",
            Kind::User => "user",
            Kind::Role => "role",
        }
    }

    /// The table that holds them, which tombstones, id counters and paths of fields name too.
    pub const fn table(self) -> &'static str {
        match self {
            Kind::Upstream => "upstreams",
            Kind::ProviderKey => "provider_keys",
            Kind::ServiceKey => "service_keys",
            Kind::Route => "routes",
            Kind::Rule => "rules",
            Kind::Limit => "limits",
            Kind::User => "users",
            Kind::Role => "roles",
        }
    }

    /// The kind whose table has this name.
    pub(crate) fn of_table(table: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.table() == table)
    }
}
