//! From where, when and for what a service key is accepted, as the API spells it.

use std::str::FromStr;

use chrono::{NaiveTime, Weekday};
use domain::access::canonical;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use utoipa::ToSchema;

use super::values::Zone;

/// A network, as address and length; an address alone is the network of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, example = "10.0.0.0/8")]
pub(crate) struct Network(pub(crate) IpNet);

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let one = || text.parse().ok().map(|address: std::net::IpAddr| address.into());
        let network = text.parse().ok().or_else(one).map(|network| Self(canonical(network)));
        network.ok_or_else(|| D::Error::custom("must be a network such as 10.0.0.0/8"))
    }
}

/// Hours of some days. Hours that end at or before their start end on the next day.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"days": ["mon", "fri"], "from": "08:00", "to": "18:30",
    "timezone": "Europe/Berlin"}))]
pub(crate) struct Hours {
    /// `mon` to `sun`; all where none is named.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    days: Vec<Day>,
    /// The time of the day from which on it may be used.
    #[schema(value_type = String, example = "08:00")]
    from: Time,
    /// The time of the day from which on it may not be used any more; before `from` it is the next
    /// day's.
    #[schema(value_type = String, example = "18:30")]
    to: Time,
    /// By the clock of which zone; UTC where none is named.
    #[serde(default)]
    timezone: Option<Zone>,
}

/// A day of the week, by the first three letters of its English name.
#[derive(Debug, Clone, Copy)]
struct Day(Weekday);

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string().to_ascii_lowercase())
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let day = Weekday::from_str(&text);
        day.map(Self)
            .map_err(|_| D::Error::custom("must be one of mon, tue, wed, thu, fri, sat, sun"))
    }
}

/// What a clock on a wall shows.
#[derive(Debug, Clone, Copy)]
struct Time(NaiveTime);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let whole = self.0.format("%S").to_string() == "00";
        serializer.collect_str(&self.0.format(if whole { "%H:%M" } else { "%H:%M:%S" }))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parse = |form| NaiveTime::parse_from_str(&text, form);
        let time = parse("%H:%M").or_else(|_| parse("%H:%M:%S"));
        time.map(Self).map_err(|_| D::Error::custom("must be a time of the day such as 08:00"))
    }
}

impl From<domain::access::Hours> for Hours {
    fn from(hours: domain::access::Hours) -> Self {
        Self {
            days: hours.days.into_iter().map(Day).collect(),
            from: Time(hours.from),
            to: Time(hours.to),
            timezone: hours.timezone.map(Zone),
        }
    }
}

impl From<Hours> for domain::access::Hours {
    fn from(hours: Hours) -> Self {
        Self {
            days: hours.days.into_iter().map(|day| day.0).collect(),
            from: hours.from.0,
            to: hours.to.0,
            timezone: hours.timezone.map(|zone| zone.0),
        }
    }
}

impl From<IpNet> for Network {
    fn from(network: IpNet) -> Self {
        Self(network)
    }
}

impl From<Network> for IpNet {
    fn from(network: Network) -> Self {
        network.0
    }
}
