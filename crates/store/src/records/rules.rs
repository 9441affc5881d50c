//! Rules as they are entered, changed and read.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{
    Condition, Rule, UpstreamId, UserId,
    rule::{Action, Threshold},
};

/// A rule to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRule {
    /// The upstream whose calls it judges; those of all where none is named.
    pub upstream: Option<UpstreamId>,
    /// What people call it; unique for the upstream.
    pub name: String,
    /// What a call must be like.
    pub conditions: Condition,
    /// How often that must happen.
    pub threshold: Option<Threshold>,
    /// What is done then.
    pub actions: Vec<Action>,
    /// How long that lasts.
    pub auto_enable_delay: Option<Duration>,
    /// How long it is quiet about the same key after it fired.
    pub cool_down: Duration,
    /// Lower is judged first.
    pub priority: i32,
    /// Whether rules after it are left out when it fires.
    pub stops: bool,
    /// Whether it only tells what it would have done.
    pub shadow: bool,
    /// Whether it is judged.
    pub enabled: bool,
    /// Who owns it; whoever makes it when not given.
    pub owner: Option<UserId>,
}

/// What to change of a rule; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuleEdit {
    /// Another upstream; `Some(None)` for the calls of all.
    pub upstream: Option<Option<UpstreamId>>,
    /// A new name.
    pub name: Option<String>,
    /// All conditions anew.
    pub conditions: Option<Condition>,
    /// Another threshold; `Some(None)` for every time.
    pub threshold: Option<Option<Threshold>>,
    /// All actions anew.
    pub actions: Option<Vec<Action>>,
    /// How long they last; `Some(None)` for as long as usual.
    pub auto_enable_delay: Option<Option<Duration>>,
    /// How long it is quiet about the same key after it fired.
    pub cool_down: Option<Duration>,
    /// Lower is judged first.
    pub priority: Option<i32>,
    /// Whether rules after it are left out when it fires.
    pub stops: Option<bool>,
    /// Whether it only tells what it would have done.
    pub shadow: Option<bool>,
    /// Whether it is judged.
    pub enabled: Option<bool>,
}

/// A rule as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleRow {
    /// The rule.
    pub rule: Rule,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}
