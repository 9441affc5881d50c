//! Authentication and authorisation: keys, passwords, sessions, encryption of secrets.
//!
//! The crate computes over values: it reads no file, no database and no request. All keys derive
//! from one [`MasterKey`], with a separate sub-key for each use, so that a leak of one use does not
//! help in another.

pub mod actor;
pub mod audit;
pub mod csrf;
pub mod error;
pub mod fingerprints;
pub mod grant;
pub mod master_key;
pub mod name;
pub mod opaque;
pub mod passwords;
pub mod permissions;
mod random;
pub mod role;
pub mod sealer;
pub mod service_keys;
pub mod sessions;

pub use actor::Actor;
pub use audit::AuditChain;
pub use csrf::Csrf;
pub use error::{MasterKeyError, PasswordError, SealError, SessionError};
pub use fingerprints::Fingerprints;
pub use grant::{DataScope, Grant};
pub use master_key::MasterKey;
pub use name::{fold_name, name_mark};
pub use opaque::{Opaque, OpaqueKind, Renewals};
pub use passwords::{Passwords, Verdict};
pub use permissions::{Permission, Permissions};
pub use role::Role;
pub use sealer::{Place, Sealer};
pub use service_keys::{Minted, Presented, ServiceKeys};
pub use sessions::{AccessToken, Session, Sessions};
