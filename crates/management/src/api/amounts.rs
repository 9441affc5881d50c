//! How much of a unit, as people write it and read it: a number, or dollars where money is meant.

use std::borrow::Cow;

use domain::Unit;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, Type},
};

use super::money::{self, NANO};

/// How much of a unit: a whole number; dollars as decimal text where the unit is `cost`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Amount(String);

impl Amount {
    /// So much of a unit, as it is kept.
    pub(super) fn of(unit: Unit, amount: u64) -> Self {
        Self(match unit {
            Unit::Cost => money::written(amount, NANO),
            _ => amount.to_string(),
        })
    }

    /// How much that is of a unit, as it is kept; or why it is not.
    pub(super) fn read(&self, unit: Unit) -> Result<u64, &'static str> {
        match unit {
            Unit::Cost => money::read(&self.0, NANO)
                .ok_or("must be dollars such as \"12.5\", with at most 9 decimals"),
            _ => self.0.parse().map_err(|_| "must be a whole number that is not negative"),
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let said = money::said(Value::deserialize(deserializer)?);
        said.map(Self).ok_or_else(|| D::Error::custom("must be a number"))
    }
}

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0));
        OneOfBuilder::new()
            .item(number.description(Some("Of every unit; whole unless the unit is `cost`.")))
            .item(money::text("", NANO).description(Some("Dollars, where the unit is `cost`.")))
            .description(Some("How much of a unit. Answers have dollars as text."))
            .examples([50])
            .into()
    }
}

impl ToSchema for Amount {
    fn name() -> Cow<'static, str> {
        "Amount".into()
    }
}

/// An amount as people read it.
pub(super) fn shown(unit: Unit, amount: u64) -> Value {
    match unit {
        Unit::Cost => money::written(amount, NANO).into(),
        _ => amount.into(),
    }
}
