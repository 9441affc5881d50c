//! Ready-made rules: what has proved itself with each provider, as one file of data. An
//! administrator copies one, and changes it.

use std::{sync::LazyLock, time::Duration};

use serde::{Deserialize, Deserializer, de::Error};

use super::{Action, Condition, Rule, Threshold};
use crate::{Provider, RuleId, UpstreamId, UserId};

/// The data. Compiled in, so that it is as old as the program that reads it.
const FILE: &str = include_str!("../../presets/rules.json");

/// A rule that somebody may copy.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadyMade {
    /// By which it is named; lowercase.
    pub name: String,
    /// For whose upstreams; for all where none is named.
    pub provider: Option<Provider>,
    /// What it does, in a line.
    pub title: String,
    /// What a call must be like.
    pub conditions: Condition,
    /// How often that must happen.
    #[serde(default, deserialize_with = "threshold")]
    pub threshold: Option<Threshold>,
    /// What is done then.
    pub actions: Vec<Action>,
    /// How long that lasts, in seconds.
    #[serde(default)]
    pub lasts_seconds: Option<u64>,
    /// How long it is quiet about the same key, in seconds.
    #[serde(default)]
    pub cool_down_seconds: u64,
}

impl ReadyMade {
    /// The rule, for one upstream or for all.
    pub fn rule(&self, id: RuleId, owner: UserId, upstream: Option<UpstreamId>) -> Rule {
        Rule {
            id,
            owner,
            upstream,
            name: self.name.clone(),
            conditions: self.conditions.clone(),
            threshold: self.threshold,
            actions: self.actions.clone(),
            auto_enable_delay: self.lasts_seconds.map(Duration::from_secs),
            cool_down: Duration::from_secs(self.cool_down_seconds),
            priority: 0,
            stops: false,
            shadow: false,
            enabled: true,
            version: 1,
        }
    }
}

impl Rule {
    /// All ready-made rules, in the order in which they are listed to people.
    pub fn ready_made() -> &'static [ReadyMade] {
        static ALL: LazyLock<Vec<ReadyMade>> =
            LazyLock::new(|| serde_json::from_str(FILE).expect("a test reads the same text"));
        &ALL
    }
}

/// A threshold with its window in seconds, as people write it.
fn threshold<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Threshold>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        count: u32,
        last: Option<u32>,
        window_seconds: Option<u64>,
        #[serde(default)]
        per: super::Per,
    }
    let Some(written) = Option::<Written>::deserialize(from)? else { return Ok(None) };
    if written.last.is_some() == written.window_seconds.is_some() {
        return Err(D::Error::custom("a threshold names one of last and window_seconds"));
    }
    let window = written.window_seconds.map(Duration::from_secs);
    let Written { count, last, per, .. } = written;
    Ok(Some(Threshold { count, last, window, per }))
}
