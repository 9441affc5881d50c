//! How much of a unit, as people write it and read it. Money is written in dollars and kept in
//! billionths of a dollar, exactly.

use domain::Unit;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;
use utoipa::ToSchema;

/// A dollar as it is kept.
const NANO: u64 = 1_000_000_000;
/// Up to here a float shows every billionth.
const SHOWN_AS_FLOAT: u64 = 1_000_000_000_000_000;

/// A number that is not negative; dollars, also as a decimal text, where money is meant.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
#[schema(value_type = f64, example = 50)]
pub(crate) struct Amount(String);

impl Amount {
    /// So much of a unit, as it is kept.
    pub(super) fn of(unit: Unit, amount: u64) -> Self {
        Self(written(unit, amount))
    }

    /// How much that is of a unit, as it is kept; or why it is not.
    pub(super) fn read(&self, unit: Unit) -> Result<u64, &'static str> {
        match unit {
            Unit::Cost => {
                dollars(&self.0).ok_or("must be dollars such as 12.5, with at most 9 decimals")
            }
            _ => self.0.parse().map_err(|_| "must be a whole number that is not negative"),
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::String(text) => Some(text),
            Value::Number(number) if number.is_f64() => {
                // A whole number stays one, however it was written.
                number.as_f64().map(|number| number.to_string())
            }
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        text.map(Self).ok_or_else(|| D::Error::custom("must be a number"))
    }
}

/// An amount as people read it.
pub(super) fn shown(unit: Unit, amount: u64) -> Value {
    match unit {
        Unit::Cost if amount.is_multiple_of(NANO) => (amount / NANO).into(),
        Unit::Cost if amount < SHOWN_AS_FLOAT => (amount as f64 / NANO as f64).into(),
        Unit::Cost => written(unit, amount).into(),
        _ => amount.into(),
    }
}

/// An amount as people write it.
fn written(unit: Unit, amount: u64) -> String {
    match unit {
        Unit::Cost => format!("{}.{:09}", amount / NANO, amount % NANO),
        _ => amount.to_string(),
    }
}

/// Billionths of a dollar, of dollars in decimal.
fn dollars(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 9 {
        return None;
    }
    let nano: u64 = format!("{decimals:0<9}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(NANO)?.checked_add(nano)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_kept_and_shown_exactly() {
        let rows = [
            ("12.5", Some(12_500_000_000), "12.5"),
            ("0.1", Some(100_000_000), "0.1"),
            ("0.000000001", Some(1), "1e-9"),
            ("1000000", Some(1_000_000_000_000_000), "1000000"),
            ("1234567.123456789", Some(1_234_567_123_456_789), "\"1234567.123456789\""),
            ("0", Some(0), "0"),
        ];
        for (text, nano, told) in rows {
            assert_eq!(dollars(text), nano, "{text}");
            let unit = Unit::Cost;
            assert_eq!(shown(unit, nano.unwrap()).to_string(), told, "{text}");
            assert_eq!(dollars(&written(unit, nano.unwrap())), nano, "{text}");
        }
        for text in ["", "-1", "1e3", "1.", ".5", "0.0000000001", "99999999999999", "1,5"] {
            assert_eq!(dollars(text), None, "{text}");
        }
    }
}
