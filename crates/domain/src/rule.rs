//! A rule: what is to happen when calls of an upstream meet conditions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ErrorClass, Faults, RuleId, UpstreamId, UserId};

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
    /// The header lines of the answer.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// As much of the body as was looked at.
    pub body: Option<&'a [u8]>,
    /// The data of an event of the stream.
    pub event: Option<&'a [u8]>,
    /// How long the answer, or the failure, took to come.
    pub latency: Option<Duration>,
}

impl Rule {
    /// Most rules that judge one upstream.
    pub const PER_UPSTREAM_MAX: usize = 200;

    /// Everything about it that could not be served.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if self.name.trim().is_empty() || self.name.len() > 128 {
            faults.add("name", "must be 1 to 128 bytes");
        }
        if self.actions.is_empty() {
            faults.add("actions", "must be at least one");
        }
        faults
    }
}
