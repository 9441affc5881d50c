//! The 17 permissions, and sets of them.

use std::{fmt, ops::BitAnd};

use serde::{Serialize, Serializer};

macro_rules! permissions {
    ($(#[doc = $doc:literal] $name:ident = $text:literal),+ $(,)?) => {
        /// A permission.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum Permission {$(
            #[doc = $doc]
            #[serde(rename = $text)]
            $name,
        )+}

        impl Permission {
            /// All permissions, in the order in which they are listed to people.
            pub const ALL: [Permission; 17] = [$(Permission::$name),+];

            /// The name in the API.
            pub const fn as_str(self) -> &'static str {
                match self {$(Permission::$name => $text),+}
            }

            /// What it allows, as one sentence.
            pub const fn description(self) -> &'static str {
                match self {$(Permission::$name => $doc.trim_ascii()),+}
            }
        }
    };
}

permissions! {
    /// See the users.
    UserRead = "user.read",
    /// Make, change, disable and delete users.
    UserWrite = "user.write",
    /// Give a user another role.
    RoleAssign = "role.assign",
    /// See upstreams and routes.
    UpstreamRead = "upstream.read",
    /// Make, change and delete upstreams and routes.
    UpstreamWrite = "upstream.write",
    /// See provider keys, masked.
    ProviderKeyRead = "providerkey.read",
    /// Enter, change and delete provider keys.
    ProviderKeyWrite = "providerkey.write",
    /// See a provider key in clear.
    ProviderKeyReveal = "providerkey.reveal",
    /// See service keys, which are never in clear.
    ServiceKeyRead = "servicekey.read",
    /// Make, change and delete service keys.
    ServiceKeyWrite = "servicekey.write",
    /// Make, change and delete rules.
    RuleWrite = "rule.write",
    /// See log entries.
    LogRead = "log.read",
    /// See recorded bodies.
    LogBody = "log.body",
    /// See numbers: dashboard, usage, cost.
    StatsRead = "stats.read",
    /// Change the settings of the gateway.
    ConfigWrite = "config.write",
    /// Manage certificates.
    CertWrite = "cert.write",
    /// Read the audit.
    AuditRead = "audit.read",
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of permissions. In JSON it is the list of their names, in the order of
/// [`Permission::ALL`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Permissions(u32);

impl Permissions {
    /// No permission.
    pub const NONE: Self = Self(0);
    /// Every permission.
    pub const ALL: Self = Self((1 << Permission::ALL.len()) - 1);

    /// Whether the set has the permission.
    pub const fn contains(self, permission: Permission) -> bool {
        self.0 & bit(permission) != 0
    }

    /// Whether the set has every permission of `other`.
    pub const fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Returns the permissions of the set, in the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.contains(*permission))
    }
}

const fn bit(permission: Permission) -> u32 {
    1 << permission as u32
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |bits, permission| bits | bit(permission)))
    }
}

impl BitAnd for Permissions {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Permission::as_str)).finish()
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        let some: Permissions = [Permission::AuditRead, Permission::UserRead, Permission::UserRead]
            .into_iter()
            .collect();
        assert_eq!(some.iter().collect::<Vec<_>>(), [Permission::UserRead, Permission::AuditRead]);
        assert!(some.contains(Permission::UserRead) && !some.contains(Permission::UserWrite));
        assert_eq!(
            serde_json::to_value(some).unwrap(),
            serde_json::json!(["user.read", "audit.read"])
        );
        assert_eq!(Permissions::ALL.iter().count(), Permission::ALL.len());
        assert_eq!(Permissions::NONE.iter().count(), 0);
    }

    #[test]
    fn a_set_covers_its_parts_and_nothing_more() {
        let one: Permissions = [Permission::LogRead].into_iter().collect();
        let two: Permissions = [Permission::LogRead, Permission::LogBody].into_iter().collect();
        assert!(two.covers(one) && !one.covers(two) && one.covers(one));
        assert!(Permissions::ALL.covers(two) && two.covers(Permissions::NONE));
        assert_eq!(one & two, one);
        assert_eq!(format!("{two:?}"), r#"{"log.read", "log.body"}"#);
    }
}
