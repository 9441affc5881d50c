//! The 7 built-in roles and the permissions of each.

use std::{fmt, str::FromStr};

use domain::Fault;
use serde::{Deserialize, Serialize};

use crate::{Permission, Permissions};

/// The role of a user, which determines the permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Has every permission.
    SuperAdmin,
    /// Runs the gateway and its users, but gives out no roles and sees no secret in clear.
    Admin,
    /// Runs upstreams, keys, routes and rules.
    Operator,
    /// Looks into everything that was done, and changes nothing.
    SecurityAuditor,
    /// Looks at numbers and log entries.
    Analyst,
    /// Makes their own service keys and sees their own calls.
    Developer,
    /// A program that looks at its own keys, calls and numbers.
    ServiceAccount,
}

impl Role {
    /// All roles, from the one that may most.
    pub const ALL: [Role; 7] = [
        Role::SuperAdmin,
        Role::Admin,
        Role::Operator,
        Role::SecurityAuditor,
        Role::Analyst,
        Role::Developer,
        Role::ServiceAccount,
    ];

    /// Whether the role has this permission.
    pub fn may(self, permission: Permission) -> bool {
        use Permission::*;
        match self {
            Role::SuperAdmin => true,
            Role::Admin => !matches!(permission, RoleAssign | ProviderKeyReveal | LogBody),
            Role::Operator => matches!(
                permission,
                UpstreamRead
                    | UpstreamWrite
                    | ProviderKeyRead
                    | ProviderKeyWrite
                    | ServiceKeyRead
                    | ServiceKeyWrite
                    | RuleWrite
                    | LogRead
                    | StatsRead
                    | CertWrite
            ),
            Role::SecurityAuditor => matches!(
                permission,
                UserRead
                    | UpstreamRead
                    | ProviderKeyRead
                    | ServiceKeyRead
                    | LogRead
                    | StatsRead
                    | AuditRead
            ),
            Role::Analyst => matches!(permission, UpstreamRead | LogRead | StatsRead),
            Role::Developer => matches!(
                permission,
                UpstreamRead | ServiceKeyRead | ServiceKeyWrite | LogRead | StatsRead
            ),
            Role::ServiceAccount => matches!(permission, ServiceKeyRead | LogRead | StatsRead),
        }
    }

    /// Every permission of the role.
    pub fn permissions(self) -> Permissions {
        Permission::ALL.into_iter().filter(|permission| self.may(*permission)).collect()
    }

    /// Whether the role sees resources of all owners. Other roles see and change only their own.
    pub const fn sees_all(self) -> bool {
        !matches!(self, Role::Developer | Role::ServiceAccount)
    }

    /// Whom the role is for, as one sentence.
    pub const fn description(self) -> &'static str {
        match self {
            Role::SuperAdmin => "Has every permission.",
            Role::Admin => {
                "Runs the gateway and its users, but gives out no roles and sees no secret in clear."
            }
            Role::Operator => "Runs upstreams, keys, routes and rules.",
            Role::SecurityAuditor => "Looks into everything that was done, and changes nothing.",
            Role::Analyst => "Looks at numbers and log entries.",
            Role::Developer => "Makes their own service keys and sees their own calls.",
            Role::ServiceAccount => "A program that looks at its own keys, calls and numbers.",
        }
    }

    /// The name in the API and in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::SuperAdmin => "super_admin",
            Role::Admin => "admin",
            Role::Operator => "operator",
            Role::SecurityAuditor => "security_auditor",
            Role::Analyst => "analyst",
            Role::Developer => "developer",
            Role::ServiceAccount => "service_account",
        }
    }
}

impl FromStr for Permission {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let known = Permission::ALL.into_iter().find(|permission| permission.as_str() == text);
        known.ok_or_else(|| Fault::new("permissions", "unknown permission"))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
            let names: Vec<_> = Role::ALL.iter().map(|role| role.as_str()).collect();
            Fault::new("role", format!("unknown role; one of {}", names.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table, as a person would check it: one column per role, in the order of `ALL`.
    #[test]
    fn each_role_may_exactly_this() {
        let table = "
            user.read          x x . x . . .
            user.write         x x . . . . .
            role.assign        x . . . . . .
            upstream.read      x x x x x x .
            upstream.write     x x x . . . .
            providerkey.read   x x x x . . .
            providerkey.write  x x x . . . .
            providerkey.reveal x . . . . . .
            servicekey.read    x x x x . x x
            servicekey.write   x x x . . x .
            rule.write         x x x . . . .
            log.read           x x x x x x x
            log.body           x . . . . . .
            stats.read         x x x x x x x
            config.write       x x . . . . .
            cert.write         x x x . . . .
            audit.read         x x . x . . .";
        let rows: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|row| !row.is_empty())
            .collect();
        assert_eq!(rows.len(), Permission::ALL.len());
        for (permission, row) in Permission::ALL.into_iter().zip(rows) {
            assert_eq!(permission.as_str(), row[0]);
            for (role, mark) in Role::ALL.into_iter().zip(&row[1..]) {
                assert_eq!(role.may(permission), *mark == "x", "{role} {permission}");
            }
        }
    }

    #[test]
    fn only_the_highest_role_may_everything() {
        for role in Role::ALL {
            let all = role.permissions() == Permissions::ALL;
            assert_eq!(all, role == Role::SuperAdmin, "{role}");
        }
    }

    #[test]
    fn names_read_back() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse::<Role>(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        assert!("root".parse::<Role>().unwrap_err().message.contains("super_admin"));
        for permission in Permission::ALL {
            assert_eq!(permission.as_str().parse::<Permission>(), Ok(permission));
            assert_eq!(serde_json::to_value(permission).unwrap(), permission.to_string());
        }
    }
}
