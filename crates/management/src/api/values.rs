//! Values that upstreams and presets have in common, as the API spells them.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use utoipa::ToSchema;

/// One step after the header policy.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeaderRule {
    /// The header's name, lowercase.
    name: String,
    /// The value to set; `null` removes the header.
    value: Option<String>,
}

/// A field of the query that every call on a model route has.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueryField {
    /// Its name; both consist of a-z, 0-9 and `-._~`.
    #[schema(example = "api-version")]
    name: String,
    /// Its value.
    #[schema(example = "2024-10-21")]
    value: String,
}

impl From<domain::HeaderRule> for HeaderRule {
    fn from(rule: domain::HeaderRule) -> Self {
        Self { name: rule.name, value: rule.value }
    }
}

impl From<HeaderRule> for domain::HeaderRule {
    fn from(rule: HeaderRule) -> Self {
        Self { name: rule.name, value: rule.value }
    }
}

impl From<domain::QueryField> for QueryField {
    fn from(field: domain::QueryField) -> Self {
        Self { name: field.name, value: field.value }
    }
}

impl From<QueryField> for domain::QueryField {
    fn from(field: QueryField) -> Self {
        Self { name: field.name, value: field.value }
    }
}

/// A duration in seconds, with decimals where it has them.
#[derive(Debug, Clone, Copy, PartialEq, ToSchema)]
#[schema(value_type = f64, example = 60)]
pub(crate) struct Seconds(pub(crate) Duration);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.subsec_nanos() == 0 {
            serializer.serialize_u64(self.0.as_secs())
        } else {
            serializer.serialize_f64(self.0.as_secs_f64())
        }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        // Milliseconds are what the store keeps.
        Duration::try_from_secs_f64((seconds * 1000.0).round() / 1000.0)
            .map(Self)
            .map_err(|_| D::Error::custom("must be a number of seconds"))
    }
}

/// A duration in milliseconds, as a number.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// A time zone, by its name in the IANA database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, example = "Europe/Berlin")]
pub(crate) struct Zone(pub(crate) chrono_tz::Tz);

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let zone = text.parse().map(Self);
        zone.map_err(|_| D::Error::custom("must be the name of a time zone such as Europe/Berlin"))
    }
}

/// Where a provider key goes in a request: `bearer`, `header:NAME` or `query:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, example = "bearer")]
pub(crate) struct KeyPlacement(pub(crate) domain::KeyPlacement);

impl fmt::Display for KeyPlacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for KeyPlacement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyPlacement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let placement = domain::KeyPlacement::from_str(&text);
        placement.map(Self).map_err(|fault| D::Error::custom(fault.message))
    }
}

/// A list in the other spelling.
pub(crate) fn all<A, B: From<A>>(values: Vec<A>) -> Vec<B> {
    values.into_iter().map(B::from).collect()
}
