//! Actors: the authors of changes.

use std::net::IpAddr;

use domain::UserId;

use crate::{DataScope, Grant, Permission};

/// The author of a change, recorded in its audit entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A signed-in user.
    User {
        /// The user's id.
        id: UserId,
        /// The user's name at that time.
        name: String,
        /// The user's role at that time, its permissions and its data scope.
        grant: Grant,
        /// The user's address.
        ip: Option<IpAddr>,
    },
    /// The gateway itself: the command line or a task.
    System,
}

impl Actor {
    /// Whether the actor has the permission.
    pub fn may(&self, permission: Permission) -> bool {
        match self {
            Actor::User { grant, .. } => grant.may(permission),
            Actor::System => true,
        }
    }

    /// Whether the actor may do everything that the grant allows: nobody gives more than they have.
    pub fn covers(&self, other: &Grant) -> bool {
        match self {
            Actor::User { grant, .. } => grant.covers(other),
            Actor::System => true,
        }
    }

    /// Returns the only owner whose resources the actor can see and change; `None` for all
    /// resources.
    pub fn confined_to(&self) -> Option<UserId> {
        match self {
            Actor::User { id, grant, .. } if grant.scope == DataScope::Own => Some(*id),
            _ => None,
        }
    }

    /// Returns the id if the actor is a user.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Actor::User { id, .. } => Some(*id),
            Actor::System => None,
        }
    }

    /// Returns the address of a user, where it is known.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Actor::User { ip, .. } => *ip,
            Actor::System => None,
        }
    }

    /// Returns the name in the audit: the user's name or `system`.
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
    use crate::Role;

    fn user(role: Role) -> Actor {
        Actor::User { id: UserId(3), name: "lin".to_owned(), grant: role.into(), ip: None }
    }

    #[test]
    fn a_user_may_what_the_role_may_and_the_system_may_all() {
        assert!(user(Role::Operator).may(Permission::UpstreamWrite));
        assert!(!user(Role::Analyst).may(Permission::UpstreamWrite));
        assert!(Permission::ALL.into_iter().all(|p| Actor::System.may(p)));
        assert!(user(Role::Admin).covers(&Role::Operator.into()));
        assert!(!user(Role::Admin).covers(&Role::SuperAdmin.into()));
        assert!(Actor::System.covers(&Role::SuperAdmin.into()));
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
