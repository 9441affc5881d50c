//! What somebody may do, and with whose resources.

use std::{fmt, str::FromStr};

use domain::Fault;
use serde::Serialize;

use crate::{Permission, Permissions, Role};

/// Whose resources somebody sees and changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DataScope {
    /// Only their own.
    Own,
    /// Those of everybody.
    All,
}

/// What somebody may do: the name of the role, its permissions, and its data scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The name of the role.
    pub role: String,
    /// The permissions.
    pub permissions: Permissions,
    /// Whose resources they concern.
    pub scope: DataScope,
}

impl DataScope {
    /// All scopes, from the narrowest.
    pub const ALL: [DataScope; 2] = [DataScope::Own, DataScope::All];

    /// The name in the API and in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            DataScope::Own => "own",
            DataScope::All => "all",
        }
    }
}

impl Grant {
    /// Whether it has the permission.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(permission)
    }

    /// Whether it goes at least as far as `other`: nobody gives away more than they have.
    pub fn covers(&self, other: &Grant) -> bool {
        self.permissions.covers(other.permissions) && self.scope >= other.scope
    }

    /// Whether service keys of whoever has it may use the upstreams of others: of those who manage
    /// the upstreams of everybody.
    pub fn uses_all_upstreams(&self) -> bool {
        self.scope == DataScope::All && self.may(Permission::UpstreamWrite)
    }
}

impl From<Role> for Grant {
    fn from(role: Role) -> Self {
        let scope = if role.sees_all() { DataScope::All } else { DataScope::Own };
        Self { role: role.to_string(), permissions: role.permissions(), scope }
    }
}

impl fmt::Display for DataScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DataScope {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let known = DataScope::ALL.into_iter().find(|scope| scope.as_str() == text);
        known.ok_or_else(|| Fault::new("data_scope", "must be `own` or `all`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_covers_what_is_not_stronger() {
        let of = Grant::from;
        assert!(of(Role::SuperAdmin).covers(&of(Role::Admin)));
        assert!(!of(Role::Admin).covers(&of(Role::SuperAdmin)));
        assert!(of(Role::Admin).covers(&of(Role::Operator)));
        assert!(!of(Role::Operator).covers(&of(Role::SecurityAuditor)));
        let everything_of_ones_own =
            Grant { role: "own".to_owned(), permissions: Permissions::ALL, scope: DataScope::Own };
        assert!(!everything_of_ones_own.covers(&of(Role::Analyst)));
        assert!(everything_of_ones_own.covers(&of(Role::Developer)));
    }

    #[test]
    fn those_who_manage_all_upstreams_use_them_all() {
        let using: Vec<_> =
            Role::ALL.into_iter().filter(|role| Grant::from(*role).uses_all_upstreams()).collect();
        assert_eq!(using, [Role::SuperAdmin, Role::Admin, Role::Operator]);
    }

    #[test]
    fn scopes_read_back() {
        for scope in DataScope::ALL {
            assert_eq!(scope.as_str().parse::<DataScope>(), Ok(scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.to_string());
        }
        assert!("team".parse::<DataScope>().is_err());
    }
}
