//! Compiles rules; conditions that can never hold are refused with their path.

use regex::{Regex, RegexBuilder};
use serde_json::Value;
use serde_json_path::JsonPath;

use super::{
    Condition, Observation, Operator, Reading, Rule, Subject, Test,
    judge::{Check, Found, Node, Order, Text},
    sets::{Classes, May, Statuses},
};
use crate::{ErrorClass, Faults, matching::is_token};

/// Longest text, pattern, name or path in a test.
const TEXT_MAX: usize = 1024;
/// Most values in a list.
const LIST_MAX: usize = 100;
/// Largest compiled pattern, in bytes.
const REGEX_MAX: usize = 256 << 10;

/// A compiled rule.
#[derive(Debug)]
pub struct CompiledRule {
    /// The rule.
    pub rule: Rule,
    node: Node,
    /// The calls on which it may fire.
    may: May,
    wants_body: bool,
    wants_events: bool,
    concerns_answers: bool,
}

impl CompiledRule {
    /// Statuses from this on are errors.
    pub(super) const FAILED_FROM: u16 = 400;

    /// Compiles a rule.
    ///
    /// # Errors
    ///
    /// Returns the invalid fields with their paths (`conditions.all[1].value`).
    pub fn compile(rule: Rule) -> Result<CompiledRule, Faults> {
        let mut reader = Compiler { faults: rule.faults(), tests: 0 };
        let node = reader.node(&rule.conditions, "conditions", 1);
        let mut faults = reader.faults;
        if faults.0.is_empty() {
            contradictions(&node, "conditions", &mut faults);
        }
        let may = node.may().0;
        let wants_body = node.has(|check| matches!(check, Check::Body(_) | Check::Json(..)));
        let wants_events = node.has(|check| matches!(check, Check::Event(_)));
        let mut compiled =
            CompiledRule { rule, node, may, wants_body, wants_events, concerns_answers: false };
        let mut statuses = 100..Self::FAILED_FROM;
        compiled.concerns_answers = statuses.any(|status| compiled.concerns(Some(status), None));
        faults.none_or(compiled)
    }

    /// Whether it may fire on a call with this status and class, whatever else is known. This check
    /// excludes most rules quickly.
    pub fn may_fire(&self, status: Option<u16>, class: Option<ErrorClass>) -> bool {
        self.may.has(status, class)
    }

    /// Whether a call with this status and class concerns it: it may fire, or counts the call as a
    /// miss.
    pub fn concerns(&self, status: Option<u16>, class: Option<ErrorClass>) -> bool {
        self.rule.counts_misses() || self.may_fire(status, class)
    }

    /// Whether the conditions hold for what is known of a call. Tests of unknown values do not
    /// hold.
    pub fn judge(&self, seen: &Observation<'_>) -> bool {
        self.may_fire(seen.status, seen.class) && self.judge_reading(&Reading::of(*seen))
    }

    /// Does the same with a shared reading, for several rules on one call.
    pub fn judge_reading(&self, of: &Reading<'_>) -> bool {
        self.may_fire(of.seen.status, of.seen.class) && self.node.holds(of) == Some(true)
    }

    /// Whether the conditions hold, without the short way.
    #[cfg(test)]
    pub(super) fn node_holds(&self, of: &Reading<'_>) -> bool {
        self.node.holds(of) == Some(true)
    }

    /// Whether successful answers may concern it.
    pub fn concerns_answers(&self) -> bool {
        self.concerns_answers
    }

    /// Whether it tests bodies.
    pub fn wants_body(&self) -> bool {
        self.wants_body
    }

    /// Whether it tests events of streams.
    pub fn wants_events(&self) -> bool {
        self.wants_events
    }
}

/// Adds a fault for conditions that can never hold, as far as that can be determined.
fn contradictions(node: &Node, place: &str, faults: &mut Faults) {
    let words = "can never match: its conditions contradict each other";
    if let Node::All(all) = node {
        // Latencies between bounds that exclude each other.
        let mut bounds = (f64::MIN, f64::MAX);
        for node in all {
            if let Node::Is(Check::Latency(order, value)) = node {
                match order {
                    Order::Greater | Order::GreaterOrEqual => bounds.0 = bounds.0.max(*value),
                    Order::Less | Order::LessOrEqual => bounds.1 = bounds.1.min(*value),
                }
            }
        }
        if bounds.0 > bounds.1 {
            return faults.add(place, words);
        }
    }
    if !node.may().0.is_never() {
        return;
    }
    let (nodes, member): (&[Node], _) = match node {
        Node::All(nodes) => (nodes, "all"),
        Node::Any(nodes) => (nodes, "any"),
        _ => (&[], ""),
    };
    let before = faults.0.len();
    for (i, node) in nodes.iter().enumerate() {
        contradictions(node, &format!("{place}.{member}[{i}]"), faults);
    }
    if faults.0.len() == before {
        faults.add(place, words);
    }
}

/// Compiles conditions and collects faults.
struct Compiler {
    faults: Faults,
    tests: usize,
}

/// A placeholder after a fault: the rule is refused anyway.
fn nothing() -> Check {
    Check::Status(Statuses::EMPTY)
}

impl Compiler {
    fn node(&mut self, condition: &Condition, place: &str, depth: usize) -> Node {
        if depth > Condition::DEPTH_MAX {
            let most = Condition::DEPTH_MAX;
            self.faults.add(place, format!("must be nested at most {most} levels deep"));
            return Node::Is(nothing());
        }
        match condition {
            Condition::All { all } => {
                Node::All(self.list(all, &format!("{place}.all"), "never has to match", depth))
            }
            Condition::Any { any } => {
                Node::Any(self.list(any, &format!("{place}.any"), "can never match", depth))
            }
            Condition::Not { not } => {
                Node::Not(Box::new(self.node(not, &format!("{place}.not"), depth + 1)))
            }
            Condition::Is(test) => {
                self.tests += 1;
                if self.tests == Condition::TESTS_MAX + 1 {
                    let words = format!("must be at most {} tests", Condition::TESTS_MAX);
                    self.faults.add("conditions", words);
                }
                if self.tests > Condition::TESTS_MAX {
                    return Node::Is(nothing());
                }
                let check = check(test).unwrap_or_else(|(member, words)| {
                    self.faults.add(format!("{place}.{member}"), words);
                    nothing()
                });
                Node::Is(check)
            }
        }
    }

    fn list(&mut self, list: &[Condition], place: &str, empty: &str, depth: usize) -> Vec<Node> {
        if list.is_empty() {
            self.faults.add(place, format!("is empty: it {empty}"));
        }
        let nodes = list.iter().enumerate();
        nodes.map(|(i, one)| self.node(one, &format!("{place}[{i}]"), depth + 1)).collect()
    }
}

/// A fault of a test: the member and the message.
type Wrong = (&'static str, String);

fn wrong<T>(member: &'static str, words: impl Into<String>) -> Result<T, Wrong> {
    Err((member, words.into()))
}

/// Compiles a single test.
fn check(test: &Test) -> Result<Check, Wrong> {
    let named = matches!(test.subject, Subject::JsonPath | Subject::Header);
    match &test.name {
        None if named => return wrong("name", "is missing: the header's name or the JSON path"),
        Some(_) if !named => return wrong("name", "has no meaning here"),
        Some(name) if name.is_empty() || name.len() > TEXT_MAX => {
            return wrong("name", format!("must be 1 to {TEXT_MAX} bytes"));
        }
        _ => {}
    }
    let name = test.name.as_deref().unwrap_or_default();
    Ok(match test.subject {
        Subject::StatusCode => Check::Status(statuses(test)?),
        Subject::ErrorClass => Check::Class(classes(test)?),
        Subject::Latency => match order(test.operator) {
            Some(Order::Less) if number(test)? <= 0.0 => {
                return wrong("value", "can never match: nothing takes less than no time");
            }
            Some(order) => Check::Latency(order, number(test)?),
            None => return misfit("greater_than, greater_or_equal, less_than or less_or_equal"),
        },
        Subject::BodyText => match test.operator {
            Operator::Matches => return wrong("operator", "is that of the type body_regex"),
            _ => Check::Body(text(test)?),
        },
        Subject::BodyRegex => match test.operator {
            Operator::Matches => Check::Body(text(test)?),
            _ => return misfit("matches"),
        },
        Subject::StreamEvent => Check::Event(text(test)?),
        Subject::Header => {
            if !name.bytes().all(is_token) {
                return wrong("name", "must be the name of a header");
            }
            Check::Header(name.to_ascii_lowercase(), found(test)?)
        }
        Subject::JsonPath => Check::Json(path(name)?, found(test)?),
    })
}

fn misfit<T>(fitting: &str) -> Result<T, Wrong> {
    wrong("operator", format!("does not fit the type; use {fitting}"))
}

fn order(operator: Operator) -> Option<Order> {
    Some(match operator {
        Operator::GreaterThan => Order::Greater,
        Operator::GreaterOrEqual => Order::GreaterOrEqual,
        Operator::LessThan => Order::Less,
        Operator::LessOrEqual => Order::LessOrEqual,
        _ => return None,
    })
}

fn statuses(test: &Test) -> Result<Statuses, Wrong> {
    let status = |value: &Value| match value.as_u64().and_then(|n| u16::try_from(n).ok()) {
        Some(status @ 100..600) => Ok(status),
        _ => wrong("value", "must be a status: a whole number from 100 to 599"),
    };
    let set = match test.operator {
        Operator::Equals | Operator::NotEquals | Operator::In | Operator::NotIn => {
            let list = values(test)?.iter().map(status).collect::<Result<Vec<_>, _>>()?;
            let is_in = matches!(test.operator, Operator::Equals | Operator::In);
            Statuses::of(|status| list.contains(&status) == is_in)
        }
        other => match order(other) {
            Some(order) => {
                let than = f64::from(status(&test.value)?);
                Statuses::of(|status| order.holds(f64::from(status), than))
            }
            None => return misfit("equals, not_equals, in, not_in, greater_than, less_than, …"),
        },
    };
    if set.is_empty() {
        return wrong("value", "can never match: no status from 100 to 599 is like that");
    }
    Ok(set)
}

fn classes(test: &Test) -> Result<Classes, Wrong> {
    let is_in = match test.operator {
        Operator::Equals | Operator::In => true,
        Operator::NotEquals | Operator::NotIn => false,
        _ => return misfit("equals, not_equals, in or not_in"),
    };
    let class = |value: &Value| match value.as_str().unwrap_or_default().parse::<ErrorClass>() {
        Ok(class) => Ok(class),
        Err(fault) => wrong("value", fault.message),
    };
    let list = values(test)?.iter().map(class).collect::<Result<Vec<_>, _>>()?;
    Ok(Classes::of(|class| list.contains(&class) == is_in))
}

/// Returns the values of a test: one, or a list if the operator needs one.
fn values(test: &Test) -> Result<&[Value], Wrong> {
    if !matches!(test.operator, Operator::In | Operator::NotIn) {
        return match &test.value {
            Value::Null => wrong("value", "is missing"),
            one => Ok(std::slice::from_ref(one)),
        };
    }
    match &test.value {
        Value::Array(list) if list.is_empty() => wrong("value", "is an empty list"),
        Value::Array(list) if list.len() > LIST_MAX => {
            wrong("value", format!("must be at most {LIST_MAX} values"))
        }
        Value::Array(list) => Ok(list),
        _ => wrong("value", "must be a list"),
    }
}

fn number(test: &Test) -> Result<f64, Wrong> {
    match test.value.as_f64() {
        Some(number) => Ok(number),
        None => wrong("value", "must be a number"),
    }
}

fn text(test: &Test) -> Result<Text, Wrong> {
    let value = match test.value.as_str() {
        Some(value) if value.len() > TEXT_MAX => {
            return wrong("value", format!("must be at most {TEXT_MAX} bytes"));
        }
        Some(value) => value,
        None => return wrong("value", "must be a text"),
    };
    let whole = matches!(test.operator, Operator::Equals | Operator::NotEquals);
    if value.is_empty() && !whole {
        return wrong("value", "must not be empty");
    }
    let owned = value.to_owned();
    let not = |text| Text::Not(Box::new(text));
    Ok(match test.operator {
        Operator::Equals => Text::Equals(owned),
        Operator::NotEquals => not(Text::Equals(owned)),
        Operator::Contains => Text::Contains(owned),
        Operator::NotContains => not(Text::Contains(owned)),
        Operator::StartsWith => Text::StartsWith(owned),
        Operator::EndsWith => Text::EndsWith(owned),
        Operator::Matches => Text::Matches(pattern(value)?),
        _ => {
            return misfit(
                "equals, not_equals, contains, not_contains, starts_with, ends_with or matches",
            );
        }
    })
}

fn pattern(pattern: &str) -> Result<Regex, Wrong> {
    let mut builder = RegexBuilder::new(pattern);
    match builder.size_limit(REGEX_MAX).dfa_size_limit(REGEX_MAX).nest_limit(64).build() {
        Ok(regex) => Ok(regex),
        Err(regex::Error::CompiledTooBig(_)) => {
            wrong("value", "is too large a regular expression when compiled; repeat less")
        }
        Err(error) => {
            let words = error.to_string();
            let last = words.lines().last().unwrap_or_default().trim_start_matches("error: ");
            wrong("value", format!("is not a valid regular expression: {last}"))
        }
    }
}

/// Compiles the comparison with values of a header or in JSON.
fn found(test: &Test) -> Result<Found, Wrong> {
    if let Some(order) = order(test.operator) {
        return Ok(Found::Number(order, number(test)?));
    }
    let size = |value: &Value| value.to_string().len() <= TEXT_MAX;
    Ok(match test.operator {
        Operator::Exists => match &test.value {
            Value::Null => Found::Exists(true),
            Value::Bool(wanted) => Found::Exists(*wanted),
            _ => return wrong("value", "must be true, false or nothing"),
        },
        Operator::Equals | Operator::In | Operator::NotEquals | Operator::NotIn => {
            let list = match (test.subject, test.operator, &test.value) {
                // In JSON, null is a value too.
                (Subject::JsonPath, Operator::Equals | Operator::NotEquals, null @ Value::Null) => {
                    std::slice::from_ref(null)
                }
                _ => values(test)?,
            };
            if !list.iter().all(size) {
                return wrong("value", format!("must be at most {TEXT_MAX} bytes each"));
            }
            match test.operator {
                Operator::Equals | Operator::In => Found::OneOf(list.to_vec()),
                _ => Found::NoneOf(list.to_vec()),
            }
        }
        Operator::NotContains => {
            let contains = Test { operator: Operator::Contains, ..test.clone() };
            Found::NoText(text(&contains)?)
        }
        _ => Found::Text(text(test)?),
    })
}

fn path(path: &str) -> Result<JsonPath, Wrong> {
    // Each of these multiplies the work by the size of the document.
    if path.matches("..").count() > 2 || path.matches('$').count() > 1 {
        return wrong("name", "may descend (`..`) at most twice, and begin (`$`) once");
    }
    match JsonPath::parse(path) {
        Ok(path) => Ok(path),
        Err(error) => wrong("name", format!("is not a valid JSON path (RFC 9535): {error}")),
    }
}
