//! Provider keys and service keys as they are entered, changed and read. A secret goes in and
//! never comes out: what is read holds its mask.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{
    Access, Faults, KeptStanding, KeyState, ProviderKeyId, Quota, ServiceKey, ServiceKeyId,
    UpstreamId, UserId, access::Hours,
};
use ipnet::IpNet;
use secrecy::SecretString;

/// A provider key to be entered into the pool of an upstream.
#[derive(Debug, Clone)]
pub struct NewProviderKey {
    /// Whose pool.
    pub upstream: UpstreamId,
    /// What people call it; unique in the pool.
    pub name: String,
    /// The secret.
    pub secret: SecretString,
    /// Whether it may be used; it may when nothing is said.
    pub state: Option<KeyState>,
    /// Its share under `weighted`; 1 when not given.
    pub weight: Option<u32>,
    /// Whether its quota counts.
    pub enable_quota: bool,
    /// How many requests it may make a day.
    pub quota_total: Option<u64>,
    /// What else it may use.
    pub quotas: Vec<Quota>,
    /// The keys with which it shares its limits.
    pub group: Option<String>,
    /// What people noted about it.
    pub note: String,
    /// Who owns it; whoever enters it when not given.
    pub owner: Option<UserId>,
}

impl NewProviderKey {
    /// A key with a name and a secret, and everything else as usual.
    pub fn new(upstream: UpstreamId, name: impl Into<String>, secret: SecretString) -> Self {
        Self {
            upstream,
            name: name.into(),
            secret,
            state: None,
            weight: None,
            enable_quota: false,
            quota_total: None,
            quotas: Vec::new(),
            group: None,
            note: String::new(),
            owner: None,
        }
    }
}

/// What to change of a provider key; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct ProviderKeyEdit {
    /// A new name.
    pub name: Option<String>,
    /// A new secret in place of the old one.
    pub secret: Option<SecretString>,
    /// Whether it may be used. That it may also voids what the gateway concluded about it.
    pub state: Option<KeyState>,
    /// Its share under `weighted`.
    pub weight: Option<u32>,
    /// Whether its quota counts.
    pub enable_quota: Option<bool>,
    /// How many requests it may make a day; `Some(None)` forgets the number.
    pub quota_total: Option<Option<u64>>,
    /// All other quotas anew.
    pub quotas: Option<Vec<Quota>>,
    /// The keys with which it shares its limits; `Some(None)` takes it out of its group.
    pub group: Option<Option<String>>,
    /// What people noted about it.
    pub note: Option<String>,
}

/// A provider key as stored, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderKeyRow {
    /// Its id.
    pub id: ProviderKeyId,
    /// Whose pool it is in.
    pub upstream: UpstreamId,
    /// Who owns it.
    pub owner: UserId,
    /// What people call it.
    pub name: String,
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
    /// When it was entered.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A provider key as stored, and what is kept of how it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptKey {
    /// The key.
    pub row: ProviderKeyRow,
    /// What was found of it, for all models or for one, and is not over. What a person made void
    /// since is left out.
    pub standings: Vec<KeptStanding>,
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
    /// Only those of this user.
    pub owner: Option<UserId>,
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
    pub row: ProviderKeyRow,
    /// The secret, where it was asked for and opens.
    pub secret: Option<SecretString>,
}

/// A service key to be stored. It was minted before: the key itself never comes here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewServiceKey {
    /// What people call it.
    pub name: String,
    /// The part by which it is found.
    pub public_id: String,
    /// The digest of the whole key.
    pub digest: [u8; 32],
    /// Its last four characters.
    pub last_four: String,
    /// Whether it is accepted; it is when nothing is said.
    pub enabled: Option<bool>,
    /// From when on it is no longer accepted.
    pub expires_at: Option<DateTime<Utc>>,
    /// The only upstreams it may reach; empty means all that its owner may.
    pub allowed_upstreams: Vec<UpstreamId>,
    /// The only models it may ask for; empty means any.
    pub allowed_models: Vec<String>,
    /// From where, when and for what it is accepted.
    pub access: Access,
    /// Who owns it; whoever makes it when not given.
    pub owner: Option<UserId>,
}

/// What to change of a service key; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceKeyEdit {
    /// A new name.
    pub name: Option<String>,
    /// Whether it is accepted.
    pub enabled: Option<bool>,
    /// From when on it is no longer accepted; `Some(None)` lets it live for ever.
    pub expires_at: Option<Option<DateTime<Utc>>>,
    /// The only upstreams it may reach.
    pub allowed_upstreams: Option<Vec<UpstreamId>>,
    /// The only models it may ask for.
    pub allowed_models: Option<Vec<String>>,
    /// The only networks from which it is accepted.
    pub allowed_ips: Option<Vec<IpNet>>,
    /// The only HTTP methods.
    pub allowed_methods: Option<Vec<String>>,
    /// The only times.
    pub allowed_hours: Option<Vec<Hours>>,
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

/// A service key as stored. It holds the digest, which the API never shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceKeyRow {
    /// The key.
    pub key: ServiceKey,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl ServiceKeyRow {
    /// Its id.
    pub fn id(&self) -> ServiceKeyId {
        self.key.id
    }
}
