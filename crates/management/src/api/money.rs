//! Money in the API: dollars as decimal text, so that no reader rounds them. Numbers are taken too
//! where money is sent.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, Type},
};

/// Decimals of a dollar as it is kept: billionths.
pub(super) const NANO: usize = 9;
/// Decimals of a price for a million tokens: it is kept as billionths for a thousand.
const PER_MILLION: usize = 6;

/// What something cost, kept as billionths of a dollar.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost(pub(crate) i64);

/// Dollars of a price, kept as billionths.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Dollars(pub(crate) u64);

/// Dollars for a million tokens, kept as billionths for a thousand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PerMillion(pub(crate) u64);

impl Serialize for Cost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sign = if self.0 < 0 { "-" } else { "" };
        serializer.collect_str(&format_args!("{sign}{}", written(self.0.unsigned_abs(), NANO)))
    }
}

macro_rules! prices {
    ($($name:ident $decimals:ident $words:literal),+ $(,)?) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&written(self.0, $decimals))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let sent = said(Value::deserialize(deserializer)?);
                let parts = sent.and_then(|text| read(&text, $decimals));
                parts.map(Self).ok_or_else(|| D::Error::custom($words))
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let number = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0));
                let dollars = OneOfBuilder::new().item(text("", $decimals)).item(number);
                dollars.examples(["1.25"]).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }
    )+};
}

prices! {
    PerMillion PER_MILLION "must be dollars such as \"1.25\", not negative and with at most 6 decimals",
    Dollars NANO "must be dollars such as \"1.25\", not negative and with at most 9 decimals",
}

impl PartialSchema for Cost {
    fn schema() -> RefOr<Schema> {
        text("-?", NANO).description(Some("Dollars as decimal text.")).into()
    }
}

impl ToSchema for Cost {
    fn name() -> Cow<'static, str> {
        "Cost".into()
    }
}

/// A decimal text as the API's description has it.
pub(super) fn text(sign: &str, decimals: usize) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(format!("^{sign}[0-9]{{1,13}}(\\.[0-9]{{1,{decimals}}})?$")))
        .examples(["0.0125"])
}

/// A number as it was sent, or a text.
pub(super) fn said(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        // A whole number stays one, however it was written.
        Value::Number(number) if number.is_f64() => number.as_f64().map(|n| n.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// So many smallest parts as decimal text: 1,250,000 with 6 decimals is `1.25`.
pub(super) fn written(parts: u64, decimals: usize) -> String {
    let one = 10_u64.pow(u32::try_from(decimals).unwrap_or_default());
    let (whole, rest) = (parts / one, parts % one);
    match rest {
        0 => whole.to_string(),
        _ => format!("{whole}.{rest:0decimals$}").trim_end_matches('0').to_owned(),
    }
}

/// A decimal text as so many smallest parts; none where it is negative, too large or finer.
pub(super) fn read(text: &str, decimals: usize) -> Option<u64> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(rest) || rest.len() > decimals {
        return None;
    }
    let rest: u64 = format!("{rest:0<decimals$}").parse().ok()?;
    let one = 10_u64.checked_pow(u32::try_from(decimals).ok()?)?;
    whole.parse::<u64>().ok()?.checked_mul(one)?.checked_add(rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn money_is_read_and_written_exactly() {
        for (sent, nano, told) in [
            (json!("12.5"), 12_500_000_000, "12.5"),
            (json!(12.5), 12_500_000_000, "12.5"),
            (json!(0.1), 100_000_000, "0.1"),
            (json!("0.100"), 100_000_000, "0.1"),
            (json!(1e-9), 1, "0.000000001"),
            (json!("1234567.123456789"), 1_234_567_123_456_789, "1234567.123456789"),
            (json!(50), 50_000_000_000, "50"),
            (json!(50.0), 50_000_000_000, "50"),
            (json!(0), 0, "0"),
        ] {
            let read: Dollars = serde_json::from_value(sent.clone()).unwrap();
            assert_eq!(read.0, nano, "{sent}");
            assert_eq!(serde_json::to_value(read).unwrap(), told, "{sent}");
        }
        for sent in [
            json!(""),
            json!("-1"),
            json!(-1),
            json!("1e3"),
            json!("1."),
            json!(".5"),
            json!("0.0000000001"),
            json!(1e40),
            json!("99999999999999"),
            json!("1,5"),
            json!(true),
            json!(null),
        ] {
            assert!(serde_json::from_value::<Dollars>(sent.clone()).is_err(), "{sent}");
        }
    }

    #[test]
    fn prices_have_six_decimals_and_costs_a_sign() {
        let price: PerMillion = serde_json::from_value(json!(0.000001)).unwrap();
        assert_eq!((price.0, serde_json::to_value(price).unwrap()), (1, json!("0.000001")));
        assert!(serde_json::from_value::<PerMillion>(json!("0.0000001")).is_err());
        assert_eq!(serde_json::to_value(Cost(-1_500_000)).unwrap(), "-0.0015");
        assert_eq!(serde_json::to_value(Cost(0)).unwrap(), "0");
    }
}
