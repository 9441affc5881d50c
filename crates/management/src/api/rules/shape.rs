//! How rules are written: conditions in their short forms, delays in hours, fields by the names
//! that the API gives them.

use std::time::Duration;

use domain::{
    CompiledRule, Condition, Fault, Faults, Rule,
    rule::{Operator, Subject, Test},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};
use store::StoreError;
use utoipa::ToSchema;

use crate::{api::values::Seconds, error::ApiError};

const HOUR: f64 = 3600.0;

/// A duration in hours, with decimals where it has them.
#[derive(Debug, Clone, Copy, PartialEq, ToSchema)]
#[schema(value_type = f64, example = 24)]
pub(crate) struct DelayHours(pub(super) Duration);

impl Serialize for DelayHours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.subsec_nanos() == 0 && self.0.as_secs().is_multiple_of(3600) {
            serializer.serialize_u64(self.0.as_secs() / 3600)
        } else {
            serializer.serialize_f64(self.0.as_secs_f64() / HOUR)
        }
    }
}

impl<'de> Deserialize<'de> for DelayHours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hours = f64::deserialize(deserializer)?;
        // Milliseconds are what the store keeps.
        Duration::try_from_secs_f64((hours * HOUR * 1000.0).round() / 1000.0)
            .map(Self)
            .map_err(|_| D::Error::custom("must be a number of hours"))
    }
}

/// A delay that may be given in hours or in seconds, not in both.
pub(super) fn delay(
    faults: &mut Faults,
    hours: Option<DelayHours>,
    seconds: Option<Seconds>,
) -> Option<Duration> {
    if hours.is_some() && seconds.is_some() {
        let words = "does not go together with `auto_enable_delay_hours`";
        faults.add("auto_enable_delay_seconds", words);
    }
    hours.map(|hours| hours.0).or(seconds.map(|seconds| seconds.0))
}

/// Reads conditions. A list is short for `all` of it, and the path of a `json_path` may be called
/// that.
pub(super) fn read(conditions: &Value) -> Result<Condition, Faults> {
    let mut written = match conditions {
        Value::Array(all) => Value::Object(Map::from_iter([("all".into(), all.clone().into())])),
        other => other.clone(),
    };
    spell(&mut written);
    Condition::read(&written)
}

/// Whether `new` conditions are of another kind than those that are `now`: they have another shape,
/// so that nothing of the old ones has a place in them.
pub(super) fn other_kind(new: &Value, now: &Value) -> bool {
    let shapes = ["all", "any", "not", "type"];
    let mut named = shapes.iter().filter(|shape| new.get(*shape).is_some_and(|it| !it.is_null()));
    named.any(|shape| match *shape {
        "type" => new["type"] != now["type"],
        shape => now.get(shape).is_none(),
    })
}

/// Conditions as the API shows them.
pub(super) fn shown(conditions: &Condition) -> Value {
    serde_json::to_value(conditions).expect("conditions are plain values")
}

/// Calls the path of each `json_path` what the reader of conditions calls it.
fn spell(conditions: &mut Value) {
    match conditions {
        Value::Object(members) => {
            if members.get("type").is_some_and(|of| of == "json_path")
                && !members.contains_key("name")
                && let Some(path) = members.remove("path")
            {
                members.insert("name".into(), path);
            }
            for word in ["all", "any", "not"] {
                members.get_mut(word).map(spell);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(spell),
        _ => {}
    }
}

/// Stands where conditions could not be read, so that the rest can be looked at.
pub(super) fn placeholder() -> Condition {
    Condition::Is(Test {
        subject: Subject::StatusCode,
        name: None,
        operator: Operator::Equals,
        value: 429.into(),
    })
}

/// The rule as it would judge calls, or what is wrong with it.
pub(super) fn judged(rule: Rule, seconds: bool) -> Result<CompiledRule, Faults> {
    CompiledRule::compile(rule).map_err(|faults| spelled(faults, seconds))
}

/// A refusal of the store with fields as the API spells them.
pub(super) fn named(refused: StoreError, seconds: bool) -> ApiError {
    match refused {
        StoreError::Unservable(faults) => ApiError::Invalid(spelled(faults, seconds)),
        other => other.into(),
    }
}

/// Fields of the domain as the API spells them; `seconds` says in what the delay was given.
fn spelled(faults: Faults, seconds: bool) -> Faults {
    let spelled = |fault: Fault| match fault.field.as_str() {
        "cool_down" => Fault::new("cool_down_seconds", fault.message),
        "threshold.window" => Fault::new("threshold.window_seconds", fault.message),
        "auto_enable_delay_hours" if seconds => {
            Fault::new("auto_enable_delay_seconds", fault.message)
        }
        _ => fault,
    };
    Faults(faults.0.into_iter().map(spelled).collect())
}
