//! Users, their credentials and what they did. Password hashes and token digests are made by
//! `auth`; here they are opaque.

use std::{net::IpAddr, time::Duration};

use auth::{DataScope, Grant, Permissions};
use chrono::{DateTime, Utc};
use domain::{KeyFault, RoleId, UserId};
use secrecy::SecretString;
use uuid::Uuid;

/// A user, as administrators and they themselves edit one.
#[derive(Debug, Clone)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// The name to sign in with; unique whatever its case, spacing at the ends or spelling in
    /// Unicode.
    pub name: String,
    /// Where to write to.
    pub email: Option<String>,
    /// What they want to be called, 1 to 128 bytes.
    pub display_name: Option<String>,
    /// The language of the pages that they see, as a language tag.
    pub language: Option<String>,
    /// The name of their role.
    pub role: String,
    /// Whether they may sign in, and their service keys are accepted.
    pub active: bool,
    /// The hash of a new password, where an edit sets one. It is never read back.
    pub password_hash: Option<SecretString>,
}

impl User {
    /// A user who may sign in, without a password yet.
    pub fn new(id: UserId, name: String, role: String) -> Self {
        Self {
            id,
            name,
            email: None,
            display_name: None,
            language: None,
            role,
            active: true,
            password_hash: None,
        }
    }
}

/// Which users are wanted; `None` wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// Those with the role of this name.
    pub role: Option<String>,
    /// Those who may sign in, or those who may not.
    pub active: Option<bool>,
}

/// What users may do: a role that is built in, or one that an administrator defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleDefinition {
    /// Its id.
    pub id: RoleId,
    /// The name that users carry; it never changes.
    pub name: String,
    /// Whom it is for; at most [`RoleDefinition::DESCRIPTION_MAX`] bytes.
    pub description: String,
    /// What it allows.
    pub permissions: Permissions,
    /// Whose resources the permissions concern.
    pub scope: DataScope,
}

impl RoleDefinition {
    /// Most bytes of a description.
    pub const DESCRIPTION_MAX: usize = 500;

    /// A role that allows nothing yet.
    pub fn new(id: RoleId, name: String) -> Self {
        let (permissions, scope) = (Permissions::NONE, DataScope::Own);
        Self { id, name, description: String::new(), permissions, scope }
    }

    /// Whether the code defines it.
    pub fn built_in(&self) -> bool {
        self.name.parse::<auth::Role>().is_ok()
    }

    /// What its users may do.
    pub fn grant(&self) -> Grant {
        Grant { role: self.name.clone(), permissions: self.permissions, scope: self.scope }
    }
}

/// A user to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// The name to sign in with; unique whatever its case, spacing at the ends or spelling in
    /// Unicode.
    pub name: String,
    /// Where to write to.
    pub email: Option<String>,
    /// What they may do.
    pub role: auth::Role,
    /// The hash of the password; without one nobody can sign in.
    pub password_hash: Option<String>,
}

/// What to change of a user; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserEdit {
    /// A new name.
    pub name: Option<String>,
    /// Where to write to; `Some(None)` forgets it.
    pub email: Option<Option<String>>,
    /// What they may do. Ends all their sessions.
    pub role: Option<auth::Role>,
    /// The hash of a new password. Ends all their sessions.
    pub password_hash: Option<String>,
    /// Whether they may sign in. Ends all their sessions when they may not.
    pub active: Option<bool>,
}

/// A user as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Their id.
    pub id: UserId,
    /// The name they sign in with, as it was entered.
    pub name: String,
    /// Where to write to.
    pub email: Option<String>,
    /// What they want to be called.
    pub display_name: Option<String>,
    /// The language of the pages that they see.
    pub language: Option<String>,
    /// Their role, and what it allows.
    pub grant: auth::Grant,
    /// Whether they may sign in.
    pub active: bool,
    /// Grows when all their sessions must end; sessions carry it.
    pub epoch: i64,
    /// When they were made.
    pub created_at: DateTime<Utc>,
    /// When they were last changed.
    pub updated_at: DateTime<Utc>,
}

/// What a sign-in is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who it would be.
    pub user: UserRow,
    /// The hash of their password.
    pub password_hash: Option<String>,
}

/// An open session, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSession {
    /// Its id.
    pub id: Uuid,
    /// The address from which it was opened.
    pub address: Option<String>,
    /// What opened it, as its `User-Agent` says.
    pub client: Option<String>,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    pub seen_at: DateTime<Utc>,
    /// When it ends unless it is renewed.
    pub expires_at: DateTime<Utc>,
}

/// A refresh token to be remembered: the digest of it, never the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshToken {
    /// The digest of the token.
    pub digest: [u8; 32],
    /// From when on it is no longer accepted.
    pub expires_at: DateTime<Utc>,
}

/// A refresh token that was shown, and what would take its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal<'a> {
    /// The digest of the token that was shown.
    pub shown: [u8; 32],
    /// The digests of the tokens that follow it, the nearest first; at least one.
    pub successors: &'a [[u8; 32]],
    /// From when on the successor is no longer accepted.
    pub expires_at: DateTime<Utc>,
    /// For how long a token that was spent may be shown again.
    pub grace: Duration,
}

/// What became of a refresh token that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spent {
    /// It was good, or was spent a moment ago; one of its successors is in its place.
    Renewed {
        /// Whose it is, as they are now.
        user: UserRow,
        /// The session it belongs to.
        session: Uuid,
        /// Which of the successors is the good one.
        successor: usize,
    },
    /// It was spent longer ago than the grace allows: somebody has a copy. The whole session is
    /// ended.
    Reused,
    /// It is unknown, expired, or its user may not sign in (any more).
    Refused,
}

/// How often signing in has failed lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoginFailures {
    /// How often in a row.
    pub count: u32,
    /// When it last did.
    pub last_at: Option<DateTime<Utc>>,
}

/// Which refused service keys are wanted; `None` wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusedKeyFilter {
    /// Shown by calls from this address, as it was masked.
    pub address: Option<String>,
    /// With this public id.
    pub key_id: Option<String>,
    /// Not accepted for this reason.
    pub fault: Option<KeyFault>,
}

/// One line of the audit trail.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// Its place in the chain.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who; none is the gateway itself.
    pub user: Option<UserId>,
    /// What they were called then.
    pub actor: String,
    /// From where.
    pub ip: Option<IpAddr>,
    /// What was done: `created`, `edited`, `deleted`, `signed_in`, …
    pub action: String,
    /// To which kind of thing.
    pub subject: String,
    /// To which one.
    pub subject_id: Option<i64>,
    /// What was done as the API calls it: `upstream.edit`, `auth.login`.
    pub called: String,
    /// What the thing was called then.
    pub name: Option<String>,
    /// Whether it was refused.
    pub refused: bool,
    /// Why, as whoever did it said.
    pub comment: Option<String>,
    /// The change of the configuration that it was.
    pub revision: Option<i64>,
    /// Before and after, field by field; secrets only as `changed`.
    pub detail: serde_json::Value,
}

/// Which lines of the audit trail are wanted; `None` wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// By this user.
    pub user: Option<UserId>,
    /// By whoever has these characters in the name.
    pub actor: Option<String>,
    /// From this address.
    pub ip: Option<IpAddr>,
    /// Of this action, as the API calls it: `upstream.edit`.
    pub action: Option<String>,
    /// About this kind of thing.
    pub subject: Option<String>,
    /// About the thing with this id.
    pub subject_id: Option<i64>,
    /// Not before this moment.
    pub from: Option<DateTime<Utc>>,
    /// Before this moment.
    pub to: Option<DateTime<Utc>>,
    /// Whether it was refused.
    pub refused: Option<bool>,
}

/// What became of checking the audit trail from end to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditVerdict {
    /// How many lines were read.
    pub lines: u64,
    /// The first line that is not as it was written, or before which one is missing.
    pub broken_at: Option<i64>,
    /// The link of the last line that is whole. Who notes it elsewhere can tell later whether lines
    /// were taken away at the end.
    pub head: [u8; 32],
}
