//! Whether conditions hold for a call. What is not known holds as little as its opposite: a rule
//! about the body does not fire on a call without one, not even under `not`.

use regex::Regex;
use serde_json::Value;
use serde_json_path::JsonPath;

use super::{
    Reading,
    sets::{Classes, May, Statuses},
};

/// Conditions, ready to judge.
#[derive(Debug)]
pub(super) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Is(Check),
}

/// One thing about a call, ready to be looked at.
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

/// How numbers stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// What a text must be like.
#[derive(Debug)]
pub(super) enum Text {
    Equals(String),
    Contains(String),
    StartsWith(String),
    EndsWith(String),
    Matches(Regex),
    Not(Box<Text>),
}

/// What values that may be there must be like.
#[derive(Debug)]
pub(super) enum Found {
    /// They are there at all, or not.
    Exists(bool),
    /// One of them is one of these.
    OneOf(Vec<Value>),
    /// None of them is one of these.
    NoneOf(Vec<Value>),
    /// One of them is such a number.
    Number(Order, f64),
    /// One of them is such a text.
    Text(Text),
    /// None of them is such a text.
    NoText(Text),
}

impl Node {
    /// Whether it holds; none where that is not known.
    pub(super) fn holds(&self, of: &Reading<'_>) -> Option<bool> {
        match self {
            Node::All(all) => every(all.iter().map(|node| node.holds(of)), false),
            Node::Any(any) => every(any.iter().map(|node| node.holds(of)), true),
            Node::Not(not) => not.holds(of).map(|holds| !holds),
            Node::Is(check) => check.holds(of),
        }
    }

    /// For which calls it may hold, and for which it may be known not to.
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

    /// Whether anything in it is like that.
    pub(super) fn has(&self, like: fn(&Check) -> bool) -> bool {
        match self {
            Node::All(nodes) | Node::Any(nodes) => nodes.iter().any(|node| node.has(like)),
            Node::Not(node) => node.has(like),
            Node::Is(check) => like(check),
        }
    }
}

/// `decisive` as soon as one is that; the opposite where all are; otherwise it is not known.
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
                // Without an answer there is nothing that a header could be missing from.
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
    /// Whether it holds for these values; none where there are none that could be looked at.
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

/// Whether two values are the same: numbers by what they are worth, a number and the text of it too.
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

    /// The same of a value: what is no text is looked at as it is written.
    fn holds_of(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.holds(text),
            other => self.holds(&other.to_string()),
        }
    }
}
