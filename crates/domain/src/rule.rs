//! Rules: actions on attempts that meet conditions.
//!
//! [`compile`] and [`read`] define what an administrator may write, [`judge`] evaluates conditions,
//! and [`tally`] counts towards thresholds. The data plane carries out the actions.

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

/// A rule: conditions on attempts, a threshold and actions.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its id.
    pub id: RuleId,
    /// Who made it.
    pub owner: UserId,
    /// The upstream whose attempts it is evaluated on; all upstreams if `None`.
    pub upstream: Option<UpstreamId>,
    /// The name for people.
    pub name: String,
    /// What a call must be like.
    pub conditions: Condition,
    /// The threshold; `None` fires every time.
    pub threshold: Option<Threshold>,
    /// The actions, in order.
    pub actions: Vec<Action>,
    /// The duration of `disable_key`, `cool_key` and `disable_upstream`.
    pub auto_enable_delay: Option<Duration>,
    /// The time after firing in which the rule ignores the same key.
    pub cool_down: Duration,
    /// The priority; the lower number is evaluated first.
    pub priority: i32,
    /// Whether rules after it are skipped when it fires.
    pub stops: bool,
    /// Whether it is in shadow mode: it reports its actions without carrying them out.
    pub shadow: bool,
    /// Whether the rule is enabled.
    pub enabled: bool,
    /// The version, which grows with every change.
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
    /// All of these hold.
    All {
        /// At least one.
        all: Vec<Condition>,
    },
    /// One of these holds.
    Any {
        /// At least one.
        any: Vec<Condition>,
    },
    /// This does not hold.
    Not {
        /// The negated condition.
        not: Box<Condition>,
    },
    /// A single test.
    Is(Test),
}

/// A single test of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// The subject of the test.
    #[serde(rename = "type")]
    pub subject: Subject,
    /// The name of the header, or the JSON path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The operator.
    pub operator: Operator,
    /// The value or values to compare with.
    #[serde(default)]
    pub value: serde_json::Value,
}

/// The subject of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The provider's status.
    StatusCode,
    /// The body as text.
    BodyText,
    /// The body, for regular expressions.
    BodyRegex,
    /// A value in the body, by JSON path (RFC 9535).
    JsonPath,
    /// A header of the answer.
    Header,
    /// The milliseconds to the beginning of the answer, or to the failure.
    Latency,
    /// The data of an event of the stream.
    StreamEvent,
    /// The class of the failure.
    ErrorClass,
}

/// The operator of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// Equal.
    Equals,
    /// Not equal.
    NotEquals,
    /// One of a list.
    In,
    /// None of a list.
    NotIn,
    /// Greater.
    GreaterThan,
    /// Greater or equal.
    GreaterOrEqual,
    /// Less.
    LessThan,
    /// Less or equal.
    LessOrEqual,
    /// Contains the text.
    Contains,
    /// Does not contain the text.
    NotContains,
    /// Starts with the text.
    StartsWith,
    /// Ends with the text.
    EndsWith,
    /// The regular expression matches a part of it.
    Matches,
    /// Present.
    Exists,
}

/// The threshold of a rule: how often its conditions must be met before it fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// The number of times.
    pub count: u32,
    /// The number of last attempts among which they count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
    /// The time within which they count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// The attempts that count together.
    #[serde(default)]
    pub per: Per,
}

/// The attempts that count together towards a [`Threshold`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// The attempts with one provider key.
    #[default]
    Key,
    /// The attempts at one upstream.
    Upstream,
}

/// An action of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The key is disabled until the delay is over.
    DisableKey,
    /// The key is banned.
    BanKey,
    /// The key cools down for the delay.
    CoolKey,
    /// The upstream is suspended for the delay.
    DisableUpstream,
    /// The call continues with the next key or target, although the answer would have been passed
    /// on.
    RetryNext,
    /// An alert is raised.
    Alert,
    /// A log line is written.
    Log,
    /// The log entry gets the name of the rule as a tag.
    Tag,
}

/// The parts of an attempt that rules test.
#[derive(Debug, Clone, Copy, Default)]
pub struct Observation<'a> {
    /// The provider's status, if there is one.
    pub status: Option<u16>,
    /// The class of the failure, if it failed.
    pub class: Option<ErrorClass>,
    /// The header lines of the answer, if they are known.
    pub headers: Option<&'a dyn HeaderLines>,
    /// The beginning of the body, up to [`Rule::BODY_MAX`].
    pub body: Option<&'a [u8]>,
    /// The data of an event of the stream.
    pub event: Option<&'a [u8]>,
    /// The time to the answer or failure.
    pub latency: Option<Duration>,
}

/// The header lines of an answer.
pub trait HeaderLines: fmt::Debug {
    /// Calls `value` with each line of this name, ignoring case.
    fn each(&self, name: &str, value: &mut dyn FnMut(&[u8]));
}

impl Rule {
    /// Most rules of one upstream.
    pub const PER_UPSTREAM_MAX: usize = 200;
    /// Bytes of a body that are tested; the rest is unknown.
    pub const BODY_MAX: usize = 64 << 10;
    /// Most attempts that a threshold counts.
    pub const COUNT_MAX: u32 = 1000;

    /// Whether it is evaluated on attempts at `upstream`.
    pub fn concerns(&self, upstream: &Upstream) -> bool {
        self.upstream.is_none_or(|id| id == upstream.id)
    }

    /// Returns the duration of `action`; `None` if it does not end by itself, or is done at once.
    pub fn lasts(&self, action: Action) -> Option<Duration> {
        let unsaid = match action {
            Action::DisableKey => Duration::from_secs(3600),
            Action::CoolKey | Action::DisableUpstream => Duration::from_secs(60),
            _ => return None,
        };
        Some(self.auto_enable_delay.unwrap_or(unsaid))
    }

    /// Returns every invalid field except those of its conditions, which [`CompiledRule::compile`]
    /// checks.
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
