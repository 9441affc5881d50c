//! What a limit says, as people write it: who, how much of what, over how long.

use std::{net::IpAddr, str::FromStr, time::Duration};

use chrono_tz::Tz;
use domain::{Faults, Scope, ServiceKeyId, UpstreamId, UserId, access::canonical};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    api::amounts::Amount,
    words::{Period, Unit},
};

/// Whose use counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScopeName {
    Global,
    Ip,
    User,
    ServiceKey,
    Model,
    Upstream,
}

/// How use is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Algorithm {
    TokenBucket,
    SlidingWindow,
    Concurrency,
    Calendar,
}

/// The id of a user, a service key or an upstream; an address or a network; a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(example = 1)]
pub(crate) enum ScopeId {
    Id(i64),
    Text(String),
}

/// A length of time such as `30s`, `90m`, `1h` or `7d`, or a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, example = "1h", pattern = "^[0-9]{1,9} ?(ms|s|m|h|d)$")]
pub(crate) struct Stretch(Duration);

/// What a limit says, as it is written.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) scope: ScopeName,
    pub(super) scope_id: Option<ScopeId>,
    pub(super) unit: Unit,
    pub(super) algorithm: Option<Algorithm>,
    pub(super) limit: Amount,
    pub(super) window: Option<Stretch>,
    pub(super) burst: Option<Amount>,
    pub(super) period: Option<Period>,
    pub(super) timezone: Option<String>,
    /// Nothing where nothing is said of it, or that nobody is to be told.
    pub(super) alert_percent: Option<Option<u8>>,
}

/// What a limit says, as it is kept.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) scope: Scope,
    pub(super) unit: domain::Unit,
    pub(super) algorithm: domain::Algorithm,
    pub(super) limit: u64,
    pub(super) alert_percent: Option<u8>,
}

impl Terms {
    /// What a kept limit says.
    pub(super) fn of(limit: &domain::Limit) -> Self {
        let (scope, scope_id) = named(&limit.scope);
        let amount = |amount| Amount::of(limit.unit, amount);
        let mut terms = Self {
            scope,
            scope_id,
            unit: limit.unit.into(),
            algorithm: Some(limit.algorithm.into()),
            limit: amount(limit.limit),
            window: None,
            burst: None,
            period: None,
            timezone: None,
            alert_percent: None,
        };
        match limit.algorithm {
            domain::Algorithm::TokenBucket { window, burst } => {
                (terms.window, terms.burst) = (Some(Stretch(window)), burst.map(amount));
            }
            domain::Algorithm::SlidingWindow { window } => terms.window = Some(Stretch(window)),
            domain::Algorithm::Concurrency => {}
            domain::Algorithm::Calendar { period, timezone } => {
                terms.period = Some(period.into());
                terms.timezone = timezone.map(|zone| zone.to_string());
                terms.alert_percent = Some(limit.alert_percent);
            }
        }
        terms
    }

    /// Counts by another algorithm: what only the one before had is gone.
    pub(super) fn count_by(&mut self, algorithm: Algorithm) {
        self.algorithm = Some(algorithm);
        if !matches!(algorithm, Algorithm::TokenBucket | Algorithm::SlidingWindow) {
            self.window = None;
        }
        if algorithm != Algorithm::TokenBucket {
            self.burst = None;
        }
        if algorithm != Algorithm::Calendar {
            (self.period, self.timezone, self.alert_percent) = (None, None, None);
        }
    }

    /// Reads it, or tells every field at fault.
    pub(super) fn read(&self) -> Result<Known, Faults> {
        let mut faults = Faults::default();
        let scope = scope(self.scope, self.scope_id.as_ref());
        let scope = scope.map_err(|words| faults.add("scope_id", words)).ok();
        let unit = domain::Unit::from(self.unit);
        let limit = amount(&mut faults, "limit", unit, &self.limit);
        let algorithm = self.counted(unit, &mut faults);
        let calendar = matches!(algorithm, Some(domain::Algorithm::Calendar { .. }));
        let usual = calendar.then_some(domain::Limit::ALERT_PERCENT);
        let alert_percent = self.alert_percent.unwrap_or(usual);
        match (scope, limit, algorithm) {
            (Some(scope), Some(limit), Some(algorithm)) => {
                faults.none_or(Known { scope, unit, algorithm, limit, alert_percent })
            }
            _ => Err(faults),
        }
    }

    /// The algorithm with all that belongs to it, and nothing else.
    fn counted(&self, unit: domain::Unit, faults: &mut Faults) -> Option<domain::Algorithm> {
        let algorithm = match (self.algorithm, self.period, self.unit) {
            (Some(algorithm), ..) => algorithm,
            (None, Some(_), _) => Algorithm::Calendar,
            (None, None, Unit::Concurrency) => Algorithm::Concurrency,
            (None, None, _) => {
                faults.add("algorithm", "is required, unless a period is given");
                return None;
            }
        };
        let windows = matches!(algorithm, Algorithm::TokenBucket | Algorithm::SlidingWindow);
        if self.window.is_some() && !windows {
            faults.add("window", "goes with token_bucket and sliding_window only");
        }
        if self.burst.is_some() && algorithm != Algorithm::TokenBucket {
            faults.add("burst", "goes with token_bucket only");
        }
        if self.period.is_some() && algorithm != Algorithm::Calendar {
            faults.add("period", "goes with calendar only");
        }
        if self.timezone.is_some() && algorithm != Algorithm::Calendar {
            faults.add("timezone", "goes with calendar only");
        }
        if self.alert_percent.flatten().is_some() && algorithm != Algorithm::Calendar {
            faults.add("alert_percent", "goes with calendar only");
        }
        if windows && self.window.is_none() {
            faults.add("window", "is required, for example 1h");
        }
        Some(match algorithm {
            Algorithm::TokenBucket => {
                let burst = self.burst.as_ref();
                let burst = burst.and_then(|burst| amount(faults, "burst", unit, burst));
                domain::Algorithm::TokenBucket { window: self.window?.0, burst }
            }
            Algorithm::SlidingWindow => domain::Algorithm::SlidingWindow { window: self.window?.0 },
            Algorithm::Concurrency => domain::Algorithm::Concurrency,
            Algorithm::Calendar => {
                let zone = self.timezone.as_deref().map(Tz::from_str).transpose();
                let words = "must be a time zone such as Asia/Shanghai";
                let timezone = zone.map_err(|_| faults.add("timezone", words)).unwrap_or_default();
                if self.period.is_none() {
                    faults.add("period", "is required with calendar");
                }
                domain::Algorithm::Calendar { period: self.period?.into(), timezone }
            }
        })
    }
}

impl ScopeName {
    /// The name in the API and in columns.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Global => Scope::Global.as_str(),
            Self::Ip => Scope::Ip(None).as_str(),
            Self::User => Scope::User(None).as_str(),
            Self::ServiceKey => Scope::ServiceKey(None).as_str(),
            Self::Model => Scope::Model(None).as_str(),
            Self::Upstream => Scope::Upstream(None).as_str(),
        }
    }
}

/// The id of a scope as columns hold it.
pub(super) fn filtered(scope: Option<ScopeName>, id: &ScopeId) -> String {
    let text = match id {
        ScopeId::Id(id) => id.to_string(),
        ScopeId::Text(text) => text.clone(),
    };
    match (scope, network(&text)) {
        (Some(ScopeName::Ip), Some(net)) => net.to_string(),
        _ => text,
    }
}

fn amount(faults: &mut Faults, field: &str, unit: domain::Unit, text: &Amount) -> Option<u64> {
    text.read(unit).map_err(|words| faults.add(field, words)).ok()
}

fn named(scope: &Scope) -> (ScopeName, Option<ScopeId>) {
    match scope {
        Scope::Global => (ScopeName::Global, None),
        Scope::Ip(net) => (ScopeName::Ip, net.map(|net| ScopeId::Text(net.to_string()))),
        Scope::User(id) => (ScopeName::User, id.map(|id| ScopeId::Id(id.0))),
        Scope::ServiceKey(id) => (ScopeName::ServiceKey, id.map(|id| ScopeId::Id(id.0))),
        Scope::Model(model) => (ScopeName::Model, model.clone().map(ScopeId::Text)),
        Scope::Upstream(id) => (ScopeName::Upstream, id.map(|id| ScopeId::Id(id.0))),
    }
}

fn scope(name: ScopeName, id: Option<&ScopeId>) -> Result<Scope, &'static str> {
    let Some(id) = id else {
        return Ok(match name {
            ScopeName::Global => Scope::Global,
            ScopeName::Ip => Scope::Ip(None),
            ScopeName::User => Scope::User(None),
            ScopeName::ServiceKey => Scope::ServiceKey(None),
            ScopeName::Model => Scope::Model(None),
            ScopeName::Upstream => Scope::Upstream(None),
        });
    };
    let number = match id {
        ScopeId::Id(id) => Some(*id),
        ScopeId::Text(text) => text.parse().ok(),
    };
    let number = number.ok_or("must be an id");
    Ok(match (name, id) {
        (ScopeName::Global, _) => return Err("does not go with the scope global"),
        (ScopeName::User, _) => Scope::User(Some(UserId(number?))),
        (ScopeName::ServiceKey, _) => Scope::ServiceKey(Some(ServiceKeyId(number?))),
        (ScopeName::Upstream, _) => Scope::Upstream(Some(UpstreamId(number?))),
        (ScopeName::Model, ScopeId::Text(model)) => Scope::Model(Some(model.clone())),
        (ScopeName::Model, ScopeId::Id(_)) => return Err("must be the name of a model"),
        (ScopeName::Ip, ScopeId::Text(text)) => {
            Scope::Ip(Some(network(text).ok_or("must be an address or a network")?))
        }
        (ScopeName::Ip, ScopeId::Id(_)) => return Err("must be an address or a network"),
    })
}

/// A network, or the network of one address.
fn network(text: &str) -> Option<IpNet> {
    let net = text.parse::<IpNet>().ok();
    net.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).map(canonical)
}

impl From<domain::Algorithm> for Algorithm {
    fn from(algorithm: domain::Algorithm) -> Self {
        match algorithm {
            domain::Algorithm::TokenBucket { .. } => Self::TokenBucket,
            domain::Algorithm::SlidingWindow { .. } => Self::SlidingWindow,
            domain::Algorithm::Concurrency => Self::Concurrency,
            domain::Algorithm::Calendar { .. } => Self::Calendar,
        }
    }
}

impl<'de> Deserialize<'de> for Stretch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let window = match Value::deserialize(deserializer)? {
            Value::String(text) => humantime::parse_duration(&text).ok(),
            Value::Number(number) => {
                number.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            }
            _ => None,
        };
        let kept = |window: Duration| u64::try_from(window.as_millis()).ok();
        let window = window.and_then(kept).map(|ms| Self(Duration::from_millis(ms)));
        window.ok_or_else(|| D::Error::custom("must be a time such as 30s or 1h, or seconds"))
    }
}

impl Serialize for Stretch {
    /// In the largest unit of which it is a whole number.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ms = self.0.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
        let fits = |(length, _): &&(u128, &str)| ms.is_multiple_of(*length);
        let (length, unit) = units.iter().find(fits).unwrap_or(&units[4]);
        serializer.collect_str(&format_args!("{}{unit}", ms / length))
    }
}

#[cfg(test)]
mod tests;
