//! Provider keys and service keys as they are entered, changed and read. A secret goes in and
//! never comes out: what is read holds its mask.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{Faults, KeyState, ProviderKeyId, Quota, UpstreamId, UserId};
use secrecy::SecretString;

/// A provider key as it is edited and shown: a secret goes in and never comes out.
#[derive(Debug, Clone)]
pub struct MaskedKey {
    /// Its id.
    pub id: ProviderKeyId,
    /// Whose pool it is in.
    pub upstream: UpstreamId,
    /// Who owns it.
    pub owner: UserId,
    /// What people call it.
    pub name: String,
    /// A secret to be put in the place of the stored one.
    pub secret: Option<SecretString>,
    /// What people see of the secret.
    pub mask: String,
    /// Whether it may be used.
    pub state: KeyState,
    /// Its share under `weighted`.
    pub weight: u32,
    /// Whether its quota counts.
    pub enable_quota: bool,
    /// How many requests it may make a day.
    pub quota_total: Option<u64>,
    /// What else it may use.
    pub quotas: Vec<Quota>,
    /// The keys with which it shares its limits.
    pub group: Option<String>,
    /// When a person last said that it is to be used.
    pub cleared_at: Option<DateTime<Utc>>,
    /// What people noted about it.
    pub note: String,
    /// Labels by which people find it.
    pub tags: Vec<String>,
}

/// Which provider keys are meant; what is not named leaves none out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderKeyFilter {
    /// Only those of this pool.
    pub upstream: Option<UpstreamId>,
    /// Only those of which a person decided so.
    pub state: Option<KeyState>,
    /// Only those of this quota group.
    pub group: Option<String>,
    /// Only those with these characters in their name, whose value ends so as far as its mask shows
    /// it, or whose whole value this is.
    pub search: Option<String>,
    /// Only those with this tag.
    pub tag: Option<String>,
    /// Only these.
    pub ids: Option<Vec<ProviderKeyId>>,
}

/// Which provider keys are changed at once.
#[derive(Debug, Clone)]
pub enum WhichKeys {
    /// These, as far as there are such.
    Ids(Vec<ProviderKeyId>),
    /// Those with these secrets, in whichever pools.
    Values(Vec<SecretString>),
    /// All that the filter means.
    Filter(ProviderKeyFilter),
}

/// A provider key of a list that is imported into one pool.
#[derive(Debug, Clone)]
pub struct ImportedKey {
    /// What people call it; a name is found where none is given.
    pub name: Option<String>,
    /// The secret.
    pub secret: SecretString,
    /// Whether it may be used; it may when nothing is said.
    pub state: Option<KeyState>,
    /// Its share under `weighted`; 1 when not given.
    pub weight: Option<u32>,
    /// Whether `quota_total` counts; it does when nothing is said.
    pub enable_quota: Option<bool>,
    /// How many requests it may make a day.
    pub quota_total: Option<u64>,
    /// What else it may use.
    pub quotas: Vec<Quota>,
    /// The keys with which it shares its limits.
    pub group: Option<String>,
    /// What people noted about it.
    pub note: String,
    /// Labels by which people find it.
    pub tags: Vec<String>,
}

/// What became of one key of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportResult {
    /// It was entered; without an id where it only would be.
    Created(Option<ProviderKeyId>),
    /// The pool has it already: this one.
    InPool(ProviderKeyId),
    /// The list has it already, at this place (from 0).
    InList(usize),
    /// It cannot be as it is.
    Invalid(Faults),
}

/// What is done to many provider keys at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyBulk {
    /// They are decided to be used, or not. That they may also voids what the gateway concluded.
    State(KeyState),
    /// They get these values.
    Set(KeySet),
    /// They are deleted.
    Delete,
}

/// What many provider keys get at once; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    /// Their share under `weighted`.
    pub weight: Option<u32>,
    /// The quota group they are in; `Some(None)` takes them out of theirs.
    pub group: Option<Option<String>>,
    /// What people noted about them.
    pub note: Option<String>,
}

/// How many keys a change of many was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysChanged {
    /// How many were meant.
    pub matched: u64,
    /// How many of them there are.
    pub done: u64,
    /// The first of them, at most a thousand.
    pub ids: Vec<ProviderKeyId>,
}

/// A provider key as it is exported.
#[derive(Debug, Clone)]
pub struct ExportedKey {
    /// The key, masked.
    pub key: MaskedKey,
    /// The secret, where it was asked for and opens.
    pub secret: Option<SecretString>,
}

/// A service key that takes the place of another. It was minted before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotatedServiceKey {
    /// The part by which it is found.
    pub public_id: String,
    /// The digest of the whole key.
    pub digest: [u8; 32],
    /// Its last four characters.
    pub last_four: String,
    /// How long the old key is accepted yet.
    pub grace: Duration,
}
