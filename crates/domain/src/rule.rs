//! A rule: what is to happen when calls of an upstream meet conditions.
//!
//! What an administrator may write stands in [`compile`] and [`read`], what a call must be like in
//! [`judge`], and how often that must happen in [`tally`]. What is done then is the data plane's
//! business.

mod compile;
mod judge;
mod read;
mod reading;
mod ready;
mod ruleset;
mod sets;
mod tally;
#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{ErrorClass, Faults, RuleId, Upstream, UpstreamId, UserId};

pub use compile::CompiledRule;
pub use reading::Reading;
pub use ready::ReadyMade;
pub use ruleset::Ruleset;
pub use tally::{Attempted, Tallies};

/// What is to happen when calls meet conditions.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its id.
    pub id: RuleId,
    /// Who made it.
    pub owner: UserId,
    /// The upstream whose calls it judges; those of all where none is named.
    pub upstream: Option<UpstreamId>,
    /// What people call it.
    pub name: String,
    /// What a call must be like.
    pub conditions: Condition,
    /// How often that must happen; every time where nothing is said.
    pub threshold: Option<Threshold>,
    /// What is done then, in order.
    pub actions: Vec<Action>,
    /// How long `disable_key`, `cool_key` and `disable_upstream` last.
    pub auto_enable_delay: Option<Duration>,
    /// How long the rule is quiet about the same key after it fired.
    pub cool_down: Duration,
    /// Lower is judged first.
    pub priority: i32,
    /// Whether rules after it are left out when it fires.
    pub stops: bool,
    /// Whether it only tells what it would have done.
    pub shadow: bool,
    /// Whether it is judged.
    pub enabled: bool,
    /// Which form of the rule this is: it grows with every change.
    pub version: i64,
}

impl Rule {
    /// A rule with everything else as usual.
    pub fn new(
        id: RuleId,
        owner: UserId,
        name: impl Into<String>,
        conditions: Condition,
        actions: Vec<Action>,
    ) -> Self {
        Self {
            id,
            owner,
            upstream: None,
            name: name.into(),
            conditions,
            threshold: None,
            actions,
            auto_enable_delay: None,
            cool_down: Duration::ZERO,
            priority: 0,
            stops: false,
            shadow: false,
            enabled: true,
            version: 1,
        }
    }
}

/// What a call must be like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", untagged)]
pub enum Condition {
    /// All of these.
    All {
        /// At least one.
        all: Vec<Condition>,
    },
    /// One of these.
    Any {
        /// At least one.
        any: Vec<Condition>,
    },
    /// Not this.
    Not {
        /// What must not be.
        not: Box<Condition>,
    },
    /// One thing about the call.
    Is(Test),
}

/// One thing about a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// What is looked at.
    #[serde(rename = "type")]
    pub subject: Subject,
    /// The name of the header, or the path into the JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    #[serde(default)]
    pub value: serde_json::Value,
}

/// What of a call is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The provider's status.
    StatusCode,
    /// The body as text.
    BodyText,
    /// The body, by a regular expression.
    BodyRegex,
    /// A value in the body, by its JSON path (RFC 9535).
    JsonPath,
    /// A header of the answer.
    Header,
    /// Milliseconds to the first of the answer, or to the failure.
    Latency,
    /// The data of an event of the stream.
    StreamEvent,
    /// The class of the failure.
    ErrorClass,
}

/// How two things are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// They are the same.
    Equals,
    /// They are not.
    NotEquals,
    /// It is one of a list.
    In,
    /// It is none of a list.
    NotIn,
    /// It is larger.
    GreaterThan,
    /// It is larger or the same.
    GreaterOrEqual,
    /// It is smaller.
    LessThan,
    /// It is smaller or the same.
    LessOrEqual,
    /// The text is a part of it.
    Contains,
    /// The text is no part of it.
    NotContains,
    /// It begins with the text.
    StartsWith,
    /// It ends with the text.
    EndsWith,
    /// The regular expression finds something in it.
    Matches,
    /// It is there at all.
    Exists,
}

/// How often conditions must be met before a rule fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// So often.
    pub count: u32,
    /// Among so many last calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
    /// Within so much time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// Whose calls count together.
    #[serde(default)]
    pub per: Per,
}

/// Whose calls count together towards a [`Threshold`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// Those with one provider key.
    #[default]
    Key,
    /// Those to one upstream.
    Upstream,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The key is out until the delay is over.
    DisableKey,
    /// The key is given up.
    BanKey,
    /// The key rests for the delay.
    CoolKey,
    /// The upstream rests for the delay.
    DisableUpstream,
    /// The call goes on with the next key or target, though the answer would have passed.
    RetryNext,
    /// A person is told.
    Alert,
    /// It is written to the log.
    Log,
    /// The log entry is marked with the rule's name.
    Tag,
}

/// What a rule is told of a call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Observation<'a> {
    /// The provider's status, where one came.
    pub status: Option<u16>,
    /// The class of the failure, where it is one.
    pub class: Option<ErrorClass>,
    /// The header lines of the answer, where it is known which it had.
    pub headers: Option<&'a dyn HeaderLines>,
    /// As much of the body as was looked at.
    pub body: Option<&'a [u8]>,
    /// The data of an event of the stream.
    pub event: Option<&'a [u8]>,
    /// How long the answer, or the failure, took to come.
    pub latency: Option<Duration>,
}

/// The header lines of an answer.
pub trait HeaderLines: fmt::Debug {
    /// Gives the value of each line of this name, whatever its case.
    fn each(&self, name: &str, value: &mut dyn FnMut(&[u8]));
}

impl Rule {
    /// Most rules that judge one upstream.
    pub const PER_UPSTREAM_MAX: usize = 200;
    /// As much of a body as is looked at; what comes after it is not known.
    pub const BODY_MAX: usize = 64 << 10;
    /// Most calls that a threshold counts.
    pub const COUNT_MAX: u32 = 1000;

    /// Whether it judges calls of `upstream`.
    pub fn concerns(&self, upstream: &Upstream) -> bool {
        self.upstream.is_none_or(|id| id == upstream.id)
    }

    /// How long what `action` does lasts; none where it does not end by itself, or is done at once.
    pub fn lasts(&self, action: Action) -> Option<Duration> {
        let unsaid = match action {
            Action::DisableKey => Duration::from_secs(3600),
            Action::CoolKey | Action::DisableUpstream => Duration::from_secs(60),
            _ => return None,
        };
        Some(self.auto_enable_delay.unwrap_or(unsaid))
    }

    /// Everything about it that could not be served, but for its conditions: those are checked by
    /// [`CompiledRule::compile`].
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if self.name.trim().is_empty() || self.name.len() > 128 {
            faults.add("name", "must be 1 to 128 bytes");
        }
        if self.actions.is_empty() {
            faults.add("actions", "must be at least one");
        }
        for (i, action) in self.actions.iter().enumerate() {
            if self.actions[..i].contains(action) {
                faults.add(format!("actions[{i}]"), "is given twice");
            }
        }
        let of_key = [Action::DisableKey, Action::BanKey, Action::CoolKey];
        if of_key.iter().filter(|action| self.actions.contains(action)).count() > 1 {
            let words = "only one of disable_key, ban_key and cool_key can be done to a key";
            faults.add("actions", words);
        }
        let delays = Duration::from_secs(60)..=Duration::from_secs(365 * 86_400);
        if self.auto_enable_delay.is_some_and(|delay| !delays.contains(&delay)) {
            faults.add("auto_enable_delay_hours", "must be 1 minute to 365 days");
        }
        if self.cool_down > Duration::from_secs(30 * 86_400) {
            faults.add("cool_down", "must be at most 30 days");
        }
        if let Some(threshold) = &self.threshold {
            threshold.faults(&mut faults);
        }
        faults
    }
}

impl Threshold {
    fn faults(&self, faults: &mut Faults) {
        let most = Rule::COUNT_MAX;
        if !(1..=most).contains(&self.count) {
            faults.add("threshold.count", format!("must be 1 to {most}"));
        }
        match (self.last, self.window) {
            (Some(_), Some(_)) => {
                faults.add("threshold", "must name one of last and window, not both");
            }
            (None, None) => faults.add("threshold", "must name one of last and window"),
            (Some(last), None) if !(1..=most).contains(&last) => {
                faults.add("threshold.last", format!("must be 1 to {most}"));
            }
            (Some(last), None) if self.count > last => {
                faults.add("threshold.count", "must be at most `last`, or it is never reached");
            }
            (None, Some(window))
                if window < Duration::from_secs(1) || window > Duration::from_secs(7 * 86_400) =>
            {
                faults.add("threshold.window", "must be 1 s to 7 days");
            }
            _ => {}
        }
    }
}

impl Action {
    /// All of them, in the order in which they are listed to people.
    pub const ALL: [Action; 8] = [
        Action::DisableKey,
        Action::BanKey,
        Action::CoolKey,
        Action::DisableUpstream,
        Action::RetryNext,
        Action::Alert,
        Action::Log,
        Action::Tag,
    ];

    /// The name in configuration, columns and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::DisableKey => "disable_key",
            Action::BanKey => "ban_key",
            Action::CoolKey => "cool_key",
            Action::DisableUpstream => "disable_upstream",
            Action::RetryNext => "retry_next",
            Action::Alert => "alert",
            Action::Log => "log",
            Action::Tag => "tag",
        }
    }
}
