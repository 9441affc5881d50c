//! Whoever changes something.

use std::net::IpAddr;

use domain::UserId;

use crate::{Permission, Role};

/// Who changes something; it stands in the audit entry of the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A person who is signed in.
    User {
        /// Their id.
        id: UserId,
        /// Their name at that time.
        name: String,
        /// Their role at that time.
        role: Role,
        /// From where they do it.
        ip: Option<IpAddr>,
    },
    /// The gateway itself: its command line, its own tasks.
    System,
}

impl Actor {
    /// Whether it may do this.
    pub fn may(&self, permission: Permission) -> bool {
        match self {
            Actor::User { role, .. } => role.may(permission),
            Actor::System => true,
        }
    }

    /// Whose things it can see and change: one user's, or everybody's where there is none.
    pub fn confined_to(&self) -> Option<UserId> {
        match self {
            Actor::User { id, role, .. } if !role.sees_all() => Some(*id),
            _ => None,
        }
    }

    /// The user's id, where it is a user.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Actor::User { id, .. } => Some(*id),
            Actor::System => None,
        }
    }

    /// What people read in the audit: the user's name or `system`.
    pub fn name(&self) -> &str {
        match self {
            Actor::User { name, .. } => name,
            Actor::System => "system",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(role: Role) -> Actor {
        Actor::User { id: UserId(3), name: "lin".to_owned(), role, ip: None }
    }

    #[test]
    fn a_user_may_what_the_role_may_and_the_system_may_all() {
        assert!(user(Role::Operator).may(Permission::UpstreamWrite));
        assert!(!user(Role::Analyst).may(Permission::UpstreamWrite));
        assert!(Permission::ALL.into_iter().all(|p| Actor::System.may(p)));
    }

    #[test]
    fn a_developer_is_confined_to_their_own_things() {
        assert_eq!(user(Role::Developer).confined_to(), Some(UserId(3)));
        assert_eq!(user(Role::Admin).confined_to(), None);
        assert_eq!(Actor::System.confined_to(), None);
        assert_eq!((Actor::System.name(), Actor::System.user()), ("system", None));
        assert_eq!((user(Role::Admin).name(), user(Role::Admin).user()), ("lin", Some(UserId(3))));
    }
}
