//! Service keys and callers.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use ipnet::IpNet;

use crate::{
    Access, Faults, KeyFault, ServiceKeyId, Upstream, UpstreamId, UserId, access::canonical,
    model_pattern, tags,
};

/// A secret that we gave to a caller; only its digest is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceKey {
    /// Its id.
    pub id: ServiceKeyId,
    /// The owner; the key never has more access than its owner.
    pub owner: UserId,
    /// The name for people.
    pub name: String,
    /// The public part of the key, by which it is looked up.
    pub public_id: String,
    /// The HMAC-SHA-256 of the whole key, with which keys are compared.
    pub digest: [u8; 32],
    /// Its last four characters, for people.
    pub last_four: String,
    /// Whether it is accepted.
    pub enabled: bool,
    /// The time from which the key is not accepted.
    pub expires_at: Option<DateTime<Utc>>,
    /// The upstreams that the key may use; if empty, those of its owner.
    pub allowed_upstreams: Vec<UpstreamId>,
    /// The patterns of models that the key may request; if empty, any.
    pub allowed_models: Vec<String>,
    /// The restrictions of networks, methods and hours.
    pub access: Access,
    /// The key before rotation, which is accepted for some time.
    pub previous: Option<PreviousKey>,
    /// Labels by which people find it.
    pub tags: Vec<String>,
}

/// The previous key after a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousKey {
    /// The public part of the key.
    pub public_id: String,
    /// The HMAC-SHA-256 of the whole key.
    pub digest: [u8; 32],
    /// The time from which the key is not accepted.
    pub until: DateTime<Utc>,
}

impl ServiceKey {
    /// A key that was just minted, with everything else as usual.
    pub fn new(
        id: ServiceKeyId,
        owner: UserId,
        name: impl Into<String>,
        public_id: String,
        digest: [u8; 32],
        last_four: String,
    ) -> Self {
        Self {
            id,
            owner,
            name: name.into(),
            public_id,
            digest,
            last_four,
            enabled: true,
            expires_at: None,
            allowed_upstreams: Vec::new(),
            allowed_models: Vec::new(),
            access: Access::default(),
            previous: None,
            tags: Vec::new(),
        }
    }

    /// Everything about it that could not be served.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if self.name.trim().is_empty() || self.name.len() > 128 {
            faults.add("name", "must be 1 to 128 bytes");
        }
        for (i, model) in self.allowed_models.iter().enumerate() {
            if let Some(words) = model_pattern::fault(model) {
                faults.add(format!("allowed_models[{i}]"), words);
            }
        }
        faults.0.extend(tags::faults(&self.tags).0);
        faults.0.extend(self.access.faults().0);
        faults
    }
}

/// A caller: a service key with its owner, as compiled into a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The service key.
    pub key: ServiceKey,
    /// Whether the owner exists and may sign in.
    pub owner_active: bool,
    /// Whether the owner may use the upstreams of others.
    pub owner_uses_all: bool,
}

impl Caller {
    /// Returns why the key is not accepted at `now`, if it is not.
    pub fn refused_at(&self, now: DateTime<Utc>) -> Option<KeyFault> {
        if !self.key.enabled || !self.owner_active {
            Some(KeyFault::Disabled)
        } else if self.key.expires_at.is_some_and(|end| end <= now) {
            Some(KeyFault::Expired)
        } else {
            None
        }
    }

    /// Returns the digest that the key with this public id must have at `now`: that of the current
    /// or of the previous key.
    pub fn digest(&self, public_id: &str, now: DateTime<Utc>) -> Option<&[u8; 32]> {
        if self.key.public_id == public_id {
            return Some(&self.key.digest);
        }
        let previous = self.key.previous.as_ref()?;
        (previous.public_id == public_id && previous.until > now).then_some(&previous.digest)
    }

    /// Returns why the key is not accepted from this address, with this method, at this time, if it
    /// is not.
    pub fn kept_out(
        &self,
        ip: Option<IpAddr>,
        method: &str,
        now: DateTime<Utc>,
    ) -> Option<&'static str> {
        let ips = &self.key.access.ips;
        let holds = |net: &IpNet, ip: IpAddr| canonical(*net).contains(&ip.to_canonical());
        let from = |ip: IpAddr| ips.iter().any(|net| holds(net, ip));
        if !ips.is_empty() && !ip.is_some_and(from) {
            return Some("from this address");
        }
        self.kept_out_at(method, now)
    }

    /// Returns the same without checking the address.
    pub fn kept_out_at(&self, method: &str, now: DateTime<Utc>) -> Option<&'static str> {
        let access = &self.key.access;
        if !access.methods.is_empty() && !access.methods.iter().any(|m| m == method) {
            Some("with this method")
        } else if !access.hours.is_empty() && !access.hours.iter().any(|hours| hours.hold(now)) {
            Some("at this time")
        } else {
            None
        }
    }

    /// Whether this caller may send calls to `upstream`.
    pub fn may_reach(&self, upstream: &Upstream) -> bool {
        (self.owner_uses_all || upstream.owner == self.key.owner)
            && (self.key.allowed_upstreams.is_empty()
                || self.key.allowed_upstreams.contains(&upstream.id))
    }

    /// Whether this caller may request `model`.
    pub fn may_ask_for(&self, model: &str) -> bool {
        let allowed = &self.key.allowed_models;
        allowed.is_empty() || allowed.iter().any(|pattern| model_pattern::fits(pattern, model))
    }
}
