//! How a provider key stands: what a person decided, what the machine found, until when and why.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ErrorClass, ProviderKeyId, RuleId, UpstreamId};

/// How a key stands. Only what has an `until` ends by itself; the machine never ends the last two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "until", rename_all = "snake_case")]
pub enum KeyStatus {
    /// It may be picked.
    #[default]
    Active,
    /// It asked too often.
    Cooling(DateTime<Utc>),
    /// What it may use is used up until a reset.
    Exhausted(DateTime<Utc>),
    /// It was found bad, and is tried again.
    DisabledAuto(DateTime<Utc>),
    /// A person switched it off.
    DisabledManual,
    /// It was given up; only a person takes that back.
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

    /// When it ends by itself.
    pub const fn until(self) -> Option<DateTime<Utc>> {
        match self {
            KeyStatus::Cooling(until)
            | KeyStatus::Exhausted(until)
            | KeyStatus::DisabledAuto(until) => Some(until),
            _ => None,
        }
    }

    /// How it stands at `now`: what ended by itself is `Active`.
    #[must_use]
    pub fn at(self, now: DateTime<Utc>) -> Self {
        if self.until().is_some_and(|until| until <= now) { KeyStatus::Active } else { self }
    }

    /// The status of this name, as two columns hold it.
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

/// How a key stands, for all models or for one, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// How.
    pub status: KeyStatus,
    /// Why: the class of a failure, `rule`, `quota`, `group`, `person`, `probe`, `trial`, `expired`.
    pub reason: String,
    /// What it was concluded from.
    pub evidence: Evidence,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Failures in a row that led here.
    pub strikes: u32,
}

/// What a conclusion about a key was drawn from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The provider's status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The provider's code of the error.
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
    /// The same in words, without secrets.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
}

/// A step of a key from one status to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// Which key.
    pub key: ProviderKeyId,
    /// In whose pool.
    pub upstream: UpstreamId,
    /// For which model only; all where none is named.
    pub model: Option<String>,
    /// How it stood before.
    pub from: KeyStatus,
    /// How it stands now, and why.
    pub to: Standing,
    /// Who did it: `gateway`, `rule`, or a person's name.
    pub actor: String,
}
