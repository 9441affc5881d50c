//! Evaluates conditions. Tests of unknown values hold as little as their negations: a rule about
//! the body does not fire on a call without one, not even under `not`.

use regex::Regex;
use serde_json::Value;
use serde_json_path::JsonPath;

use super::{
    Reading,
    sets::{Classes, May, Statuses},
};

/// Compiled conditions.
#[derive(Debug)]
pub(super) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Is(Check),
}

/// A compiled test.
#[derive(Debug)]
pub(super) enum Check {
    Status(Statuses),
    Class(Classes),
    /// Milliseconds.
    Latency(Order, f64),
    Body(Text),
    Json(JsonPath, Found),
    Header(String, Found),
    Event(Text),
}

/// The order of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// A comparison with text.
#[derive(Debug)]
pub(super) enum Text {
    Equals(String),
    Contains(String),
    StartsWith(String),
    EndsWith(String),
    Matches(Regex),
    Not(Box<Text>),
}

/// A comparison with optional values.
#[derive(Debug)]
pub(super) enum Found {
    /// Whether there are values.
    Exists(bool),
    /// One value is one of these.
    OneOf(Vec<Value>),
    /// No value is one of these.
    NoneOf(Vec<Value>),
    /// One value is a number in this order.
    Number(Order, f64),
    /// One value is a text like this.
    Text(Text),
    /// No value is a text like this.
    NoText(Text),
}

impl Node {
    /// Whether it holds; `None` if that is unknown.
    pub(super) fn holds(&self, of: &Reading<'_>) -> Option<bool> {
        match self {
            Node::All(all) => every(all.iter().map(|node| node.holds(of)), false),
            Node::Any(any) => every(any.iter().map(|node| node.holds(of)), true),
            Node::Not(not) => not.holds(of).map(|holds| !holds),
            Node::Is(check) => check.holds(of),
        }
    }

    /// Returns the calls for which it may hold, and those for which it may be known not to hold.
    pub(super) fn may(&self) -> (May, May) {
        match self {
            Node::All(all) => all
                .iter()
                .map(Node::may)
                .fold((May::EVER, May::NEVER), |(holds, fails), (one, other)| {
                    (holds.and(&one), fails.or(&other))
                }),
            Node::Any(any) => any
                .iter()
                .map(Node::may)
                .fold((May::NEVER, May::EVER), |(holds, fails), (one, other)| {
                    (holds.or(&one), fails.and(&other))
                }),
            Node::Not(not) => {
                let (holds, fails) = not.may();
                (fails, holds)
            }
            Node::Is(Check::Status(set)) => {
                let others = Statuses::of(|status| !set.has(Some(status)));
                (May::with_status(*set), May::with_status(others))
            }
            Node::Is(Check::Class(set)) => {
                let others = Classes::of(|class| !set.has(Some(class)));
                (May::with_class(*set), May::with_class(others))
            }
            Node::Is(_) => (May::EVER, May::EVER),
        }
    }

    /// Whether any test in it satisfies `like`.
    pub(super) fn has(&self, like: fn(&Check) -> bool) -> bool {
        match self {
            Node::All(nodes) | Node::Any(nodes) => nodes.iter().any(|node| node.has(like)),
            Node::Not(node) => node.has(like),
            Node::Is(check) => like(check),
        }
    }
}

/// Returns `decisive` if one item has that value, the opposite if all have the opposite, and
/// otherwise `None`.
fn every(all: impl Iterator<Item = Option<bool>>, decisive: bool) -> Option<bool> {
    let mut known = true;
    for one in all {
        match one {
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
            None => known = false,
        }
    }
    known.then_some(!decisive)
}

impl Check {
    fn holds(&self, of: &Reading<'_>) -> Option<bool> {
        let seen = &of.seen;
        Some(match self {
            Check::Status(set) => set.has(Some(seen.status?)),
            Check::Class(set) => set.has(Some(seen.class?)),
            Check::Latency(order, value) => order.holds(seen.latency?.as_secs_f64() * 1e3, *value),
            Check::Body(text) => text.holds(of.text()?),
            Check::Event(text) => text.holds(of.event()?),
            Check::Json(path, found) => {
                let nodes = path.query(of.json()?);
                return found.holds(|| nodes.iter().copied());
            }
            Check::Header(name, found) => {
                // Without an answer no header can be missing.
                seen.status?;
                let mut values: Vec<Value> = Vec::new();
                seen.headers?.each(name, &mut |value| {
                    values.push(String::from_utf8_lossy(value).trim().into());
                });
                return found.holds(|| values.iter());
            }
        })
    }
}

impl Found {
    /// Whether it holds for these values; `None` if there are no values that can be compared.
    fn holds<'v, I: Iterator<Item = &'v Value>>(&self, values: impl Fn() -> I) -> Option<bool> {
        if let Found::Exists(wanted) = self {
            return Some(values().next().is_some() == *wanted);
        }
        values().next()?;
        Some(match self {
            Found::OneOf(list) => values().any(|value| list.iter().any(|one| same(one, value))),
            Found::NoneOf(list) => !values().any(|value| list.iter().any(|one| same(one, value))),
            Found::Number(order, than) => {
                let mut numbers = values().filter_map(number).peekable();
                numbers.peek()?;
                numbers.any(|number| order.holds(number, *than))
            }
            Found::Text(text) => values().any(|value| text.holds_of(value)),
            Found::NoText(text) => !values().any(|value| text.holds_of(value)),
            Found::Exists(_) => true,
        })
    }
}

/// Whether two values are equal: numbers by value, also a number and its text.
fn same(one: &Value, other: &Value) -> bool {
    if one == other {
        return true;
    }
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Number(a), Value::String(b)) | (Value::String(b), Value::Number(a)) => {
            b.parse().ok() == a.as_f64()
        }
        _ => false,
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

impl Order {
    pub(super) fn holds(self, one: f64, other: f64) -> bool {
        match self {
            Order::Greater => one > other,
            Order::GreaterOrEqual => one >= other,
            Order::Less => one < other,
            Order::LessOrEqual => one <= other,
        }
    }
}

impl Text {
    fn holds(&self, of: &str) -> bool {
        match self {
            Text::Equals(text) => of == text,
            Text::Contains(text) => of.contains(text.as_str()),
            Text::StartsWith(text) => of.starts_with(text.as_str()),
            Text::EndsWith(text) => of.ends_with(text.as_str()),
            Text::Matches(regex) => regex.is_match(of),
            Text::Not(text) => !text.holds(of),
        }
    }

    /// Does the same for a JSON value; values other than strings are compared as they are written.
    fn holds_of(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.holds(text),
            other => self.holds(&other.to_string()),
        }
    }
}
