//! Ready-made rules for providers, as one file of data, for administrators to copy and change.

use std::{sync::LazyLock, time::Duration};

use serde::{Deserialize, Deserializer, de::Error};

use super::{Action, Condition, Rule, Threshold};
use crate::{Provider, RuleId, UpstreamId, UserId};

/// The data, compiled in so that it matches the program.
const FILE: &str = include_str!("../../presets/rules.json");

/// A ready-made rule.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadyMade {
    /// The name; lowercase.
    pub name: String,
    /// The provider whose upstreams it is for; all providers if `None`.
    pub provider: Option<Provider>,
    /// The title, one line.
    pub title: String,
    /// The conditions.
    pub conditions: Condition,
    /// The threshold.
    #[serde(default, deserialize_with = "threshold")]
    pub threshold: Option<Threshold>,
    /// The actions.
    pub actions: Vec<Action>,
    /// The duration of the actions, in seconds.
    #[serde(default)]
    pub lasts_seconds: Option<u64>,
    /// The time in which it ignores the same key after firing, in seconds.
    #[serde(default)]
    pub cool_down_seconds: u64,
}

impl ReadyMade {
    /// Returns the rule, for one upstream or for all.
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

/// Reads a threshold with its window in seconds.
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
