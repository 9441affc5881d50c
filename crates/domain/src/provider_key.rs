//! Provider keys.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{Fault, Faults, ProviderKeyId, Quota, UpstreamId, UserId};

/// A secret that a provider gave us, in the pool of one upstream.
#[derive(Debug, Clone)]
pub struct ProviderKey {
    /// Its id.
    pub id: ProviderKeyId,
    /// The upstream of its pool.
    pub upstream: UpstreamId,
    /// The user who entered it.
    pub owner: UserId,
    /// The name, unique in its pool.
    pub name: String,
    /// The decrypted secret, which is sent only to the provider.
    pub secret: SecretString,
    /// The state set by a person.
    pub state: KeyState,
    /// The share under `weighted`, 1 to 1000.
    pub weight: u32,
    /// The quotas; if empty, those of the pool.
    pub quotas: Vec<Quota>,
    /// The quota group: keys of one account or project share limits.
    pub group: Option<String>,
    /// The time when a person last activated it: earlier states set by the gateway are void.
    pub cleared_at: Option<DateTime<Utc>>,
}

impl ProviderKey {
    /// Highest weight.
    pub const WEIGHT_MAX: u32 = 1000;

    /// Returns every invalid field.
    pub fn faults(&self) -> Faults {
        use secrecy::ExposeSecret;
        let mut faults = Faults::default();
        if self.name.trim().is_empty() || self.name.len() > 128 {
            faults.add("name", "must be 1 to 128 bytes");
        }
        if !(1..=Self::WEIGHT_MAX).contains(&self.weight) {
            faults.add("weight", format!("must be 1 to {}", Self::WEIGHT_MAX));
        }
        if self.group.as_ref().is_some_and(|g| g.is_empty() || g.len() > 128) {
            faults.add("quota_group", "must be 1 to 128 bytes");
        }
        for fault in Quota::faults(&self.quotas).0 {
            faults.add(format!("quotas{}", fault.field), fault.message);
        }
        let secret = self.secret.expose_secret();
        if secret.is_empty()
            || secret.len() > 4096
            || secret.bytes().any(|b| !(0x21..=0x7e).contains(&b))
        {
            faults.add("key_value", "must be 1 to 4096 visible ASCII characters without spaces");
        }
        faults
    }
}

/// The state of a key set by a person. States set by the gateway are not configuration: see
/// [`live`](crate::live).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// In use.
    Active,
    /// Disabled by a person; only a person enables it.
    Disabled,
    /// Banned; only a person ends that.
    Banned,
}

impl KeyState {
    /// All states, in the order in which they are listed to people.
    pub const ALL: [KeyState; 3] = [KeyState::Active, KeyState::Disabled, KeyState::Banned];

    /// The name in the API and in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyState::Active => "active",
            KeyState::Disabled => "disabled_manual",
            KeyState::Banned => "banned",
        }
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyState {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        KeyState::ALL
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| Fault::new("state", "must be active, disabled_manual or banned"))
    }
}

/// Returns the masked form of a secret: its first characters and its last four, never enough to use
/// it.
pub fn mask(secret: &str) -> String {
    let chars: Vec<char> = secret.chars().collect();
    if chars.len() < 12 {
        return "…".to_owned();
    }
    let head: String = chars.iter().take(3).collect();
    let tail: String = chars.iter().skip(chars.len() - 4).collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_never_shows_a_short_secret() {
        assert_eq!(mask("sk-live-1234567890abcd"), "sk-…abcd");
        assert_eq!(mask("sk-xxxxx"), "…");
        assert_eq!(mask(""), "…");
    }
}
