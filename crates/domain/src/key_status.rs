//! States of provider keys: set by a person or by the gateway, with end and reason.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ErrorClass, ProviderKeyId, RuleId, UpstreamId};

/// The state of a key. Only states with an `until` end by themselves; the gateway never ends the
/// last two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "until", rename_all = "snake_case")]
pub enum KeyStatus {
    /// The key may be used.
    #[default]
    Active,
    /// The key exceeded a rate limit.
    Cooling(DateTime<Utc>),
    /// The quota of the key is used up until a reset.
    Exhausted(DateTime<Utc>),
    /// The key was rejected and will be tried again.
    DisabledAuto(DateTime<Utc>),
    /// A person disabled the key.
    DisabledManual,
    /// The key was banned; only a person can end that.
    Banned,
}

impl KeyStatus {
    /// All names.
    pub const NAMES: [&'static str; 6] =
        ["active", "cooling", "exhausted", "disabled_auto", "disabled_manual", "banned"];

    /// The name in the API and in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyStatus::Active => "active",
            KeyStatus::Cooling(_) => "cooling",
            KeyStatus::Exhausted(_) => "exhausted",
            KeyStatus::DisabledAuto(_) => "disabled_auto",
            KeyStatus::DisabledManual => "disabled_manual",
            KeyStatus::Banned => "banned",
        }
    }

    /// Returns the time when the state ends by itself.
    pub const fn until(self) -> Option<DateTime<Utc>> {
        match self {
            KeyStatus::Cooling(until)
            | KeyStatus::Exhausted(until)
            | KeyStatus::DisabledAuto(until) => Some(until),
            _ => None,
        }
    }

    /// Returns the state at `now`: `Active` if the state has ended.
    #[must_use]
    pub fn at(self, now: DateTime<Utc>) -> Self {
        if self.until().is_some_and(|until| until <= now) { KeyStatus::Active } else { self }
    }

    /// Returns the status with this name and end, as two columns store it.
    pub fn read(name: &str, until: Option<DateTime<Utc>>) -> Option<Self> {
        Some(match (name, until) {
            ("active", _) => KeyStatus::Active,
            ("cooling", Some(until)) => KeyStatus::Cooling(until),
            ("exhausted", Some(until)) => KeyStatus::Exhausted(until),
            ("disabled_auto", Some(until)) => KeyStatus::DisabledAuto(until),
            ("disabled_manual", _) => KeyStatus::DisabledManual,
            ("banned", _) => KeyStatus::Banned,
            _ => return None,
        })
    }
}

impl fmt::Display for KeyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The state of a key, for all models or for one, with its reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The state.
    pub status: KeyStatus,
    /// The reason: the class of a failure, `rule`, `quota`, `group`, `person`, `probe`, `trial`,
    /// `expired`.
    pub reason: String,
    /// The evidence.
    pub evidence: Evidence,
    /// The time of the transition.
    pub since: DateTime<Utc>,
    /// The number of consecutive failures that led to it.
    pub strikes: u32,
}

/// The evidence for the state of a key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The provider's status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The provider's error code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The class of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ErrorClass>,
    /// The rule that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleId>,
    /// The log entry of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Uuid>,
    /// The evidence in words, without secrets.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
}

/// A transition of a key from one state to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// Which key.
    pub key: ProviderKeyId,
    /// In whose pool.
    pub upstream: UpstreamId,
    /// The only model that is concerned; all models if `None`.
    pub model: Option<String>,
    /// The state before.
    pub from: KeyStatus,
    /// The state after, with its reason.
    pub to: Standing,
    /// The actor: `gateway`, `rule`, or the name of a person.
    pub actor: String,
}
