//! Reads conditions and reports faults with their paths.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Condition, Test};
use crate::{Fault, Faults};

impl Condition {
    /// Deepest nesting of conditions.
    pub const DEPTH_MAX: usize = 8;
    /// Most tests of one rule.
    pub const TESTS_MAX: usize = 64;

    /// Reads conditions strictly.
    ///
    /// # Errors
    ///
    /// Returns the faults; their fields are paths (`conditions.all[1].operator`).
    pub fn read(value: &Value) -> Result<Condition, Faults> {
        condition(value, "conditions", 1).map_err(|fault| Faults(vec![fault]))
    }
}

fn condition(value: &Value, place: &str, depth: usize) -> Result<Condition, Fault> {
    let Value::Object(members) = value else {
        let words = "must be a test, or an object with `all`, `any` or `not`";
        return Err(Fault::new(place, words));
    };
    if depth > Condition::DEPTH_MAX {
        let words = format!("must be nested at most {} levels deep", Condition::DEPTH_MAX);
        return Err(Fault::new(place, words));
    }
    let Some(word) = ["all", "any", "not"].into_iter().find(|word| members.contains_key(*word))
    else {
        return test(value, place).map(Condition::Is);
    };
    if let Some(other) = members.keys().find(|member| *member != word) {
        let words = format!("does not go together with `{word}`");
        return Err(Fault::new(format!("{place}.{other}"), words));
    }
    let (inner, place) = (&members[word], format!("{place}.{word}"));
    if word == "not" {
        return Ok(Condition::Not { not: Box::new(condition(inner, &place, depth + 1)?) });
    }
    let Value::Array(list) = inner else {
        return Err(Fault::new(place, "must be a list"));
    };
    let nested = list.iter().enumerate();
    let nested = nested.map(|(i, one)| condition(one, &format!("{place}[{i}]"), depth + 1));
    let nested = nested.collect::<Result<Vec<_>, _>>()?;
    Ok(match word {
        "all" => Condition::All { all: nested },
        _ => Condition::Any { any: nested },
    })
}

fn test(value: &Value, place: &str) -> Result<Test, Fault> {
    for member in value.as_object().into_iter().flat_map(|members| members.keys()) {
        if !["type", "name", "operator", "value"].contains(&member.as_str()) {
            let words = "is unknown; a test has type, name, operator and value";
            return Err(Fault::new(format!("{place}.{member}"), words));
        }
    }
    Ok(Test {
        subject: word(value, place, "type")?,
        name: match &value["name"] {
            Value::Null => None,
            Value::String(name) => Some(name.clone()),
            _ => return Err(Fault::new(format!("{place}.name"), "must be a text")),
        },
        operator: word(value, place, "operator")?,
        value: value["value"].clone(),
    })
}

/// Reads a member with one of a few values.
fn word<T: DeserializeOwned>(value: &Value, place: &str, member: &str) -> Result<T, Fault> {
    let place = format!("{place}.{member}");
    let word = &value[member];
    if !word.is_string() {
        return Err(Fault::new(place, "is required, as a text"));
    }
    T::deserialize(word).map_err(|error| {
        let said = error.to_string();
        let words = said.rsplit_once(", expected ").map_or("", |(_, words)| words);
        Fault::new(place, format!("must be {words}"))
    })
}
