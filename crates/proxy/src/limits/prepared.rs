//! A limit with what of it is the same for every call, made once for each snapshot: most limits name
//! whom they concern, and the names of their counters need not be put together again.

use std::{net::IpAddr, sync::Arc};

use chrono_tz::Tz;
use cluster::Measure;
use domain::{Algorithm, Caller, Limit, Scope, Unit};

use crate::clock::moment;

/// A limit, ready to be asked.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) limit: Arc<Limit>,
    /// By what it counts, where it names that itself.
    named: Option<Counted>,
    /// How it is measured, where no calendar has a say in it.
    measure: Option<Measure>,
}

/// By what a limit counts a caller, and in which counter.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub(super) subject: Arc<str>,
    pub(super) counter: Arc<str>,
}

/// The beginning of the names of a limit's counters; what it counts by follows. How it counts is
/// part of it: a limit that is changed from a day to a month begins with what the log knows of the
/// month.
pub(crate) fn counters_of(limit: &Limit) -> String {
    let (id, unit) = (limit.id, limit.unit);
    match limit.algorithm {
        Algorithm::TokenBucket { .. } => format!("limit:{id}:{unit}:bucket:"),
        Algorithm::SlidingWindow { .. } => format!("limit:{id}:{unit}:last:"),
        Algorithm::Concurrency => format!("limit:{id}:{unit}:once:"),
        Algorithm::Calendar { period, timezone: None } => format!("limit:{id}:{unit}:{period}:"),
        Algorithm::Calendar { period, timezone: Some(zone) } => {
            format!("limit:{id}:{unit}:{period}@{zone}:")
        }
    }
}

/// The counter of a limit for one subject.
pub(super) fn counter(limit: &Limit, subject: &str) -> String {
    let mut name = counters_of(limit);
    name.push_str(subject);
    name
}

impl Prepared {
    pub(super) fn new(limit: &Arc<Limit>) -> Self {
        let named = match &limit.scope {
            Scope::Global => Some("all".to_owned()),
            Scope::Ip(network) => network.map(|network| network.to_string()),
            Scope::User(user) => user.map(|user| user.to_string()),
            Scope::ServiceKey(key) => key.map(|key| key.to_string()),
            Scope::Model(model) => model.clone(),
            Scope::Upstream(upstream) => upstream.map(|upstream| upstream.to_string()),
        };
        let named = named.map(|subject| Counted::new(limit, subject));
        let calendar = matches!(limit.algorithm, Algorithm::Calendar { .. });
        // Whatever the time and the zone.
        let measure = (!calendar).then(|| measure(limit, 0, Tz::UTC));
        Self { limit: limit.clone(), named, measure }
    }

    /// By what it counts this caller; none where it does not concern it.
    pub(super) fn counts(&self, who: &Who<'_>) -> Option<Counted> {
        if let Scope::Ip(Some(network)) = &self.limit.scope
            && !who.ip.is_some_and(|ip| network.contains(&ip.to_canonical()))
        {
            return None;
        }
        if let Some(named) = &self.named {
            return Some(named.clone());
        }
        let subject = match &self.limit.scope {
            Scope::Ip(_) => address(who.ip?),
            Scope::User(_) => who.caller.key.owner.to_string(),
            Scope::ServiceKey(_) => who.caller.key.id.to_string(),
            Scope::Model(_) => who.model?.to_owned(),
            Scope::Global | Scope::Upstream(_) => return None,
        };
        Some(Counted::new(&self.limit, subject))
    }

    /// By what it counts calls to an upstream.
    pub(super) fn counts_upstream(&self, id: domain::UpstreamId) -> Counted {
        self.named.clone().unwrap_or_else(|| Counted::new(&self.limit, id.to_string()))
    }

    /// How its use is measured at `now_us`.
    pub(super) fn measure(&self, now_us: i64, zone: Tz) -> Measure {
        self.measure.unwrap_or_else(|| measure(&self.limit, now_us, zone))
    }
}

impl Counted {
    fn new(limit: &Limit, subject: String) -> Self {
        let counter = counter(limit, &subject).into();
        Self { subject: subject.into(), counter }
    }
}

/// What counts as one address: of IPv6 the network that one customer gets.
fn address(ip: std::net::IpAddr) -> String {
    match ip.to_canonical() {
        std::net::IpAddr::V4(v4) => v4.to_string(),
        std::net::IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// How the use of a limit is measured at `now_us`.
pub(super) fn measure(limit: &Limit, now_us: i64, zone: Tz) -> Measure {
    match limit.algorithm {
        Algorithm::TokenBucket { window, burst } => {
            Measure::Bucket { window, burst: burst.unwrap_or(limit.limit) }
        }
        Algorithm::SlidingWindow { window } => Measure::Sliding { window },
        Algorithm::Concurrency => Measure::AtOnce,
        Algorithm::Calendar { period, timezone } => {
            let span = period.around(moment(now_us), timezone.unwrap_or(zone));
            Measure::Period {
                start_us: span.start.timestamp_micros(),
                end_us: span.end.map(|end| end.timestamp_micros()),
            }
        }
    }
}

/// Who calls, for which model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) model: Option<&'a str>,
}

/// Whether it is known only from the request or the answer how much of a unit a call uses.
pub(super) fn is_metered(unit: Unit) -> bool {
    !matches!(unit, Unit::Requests | Unit::Concurrency)
}

/// When all of a limit is there again, if nothing more is used.
pub(super) fn reset_us(measure: &Measure, limit: u64, used: u64, now_us: i64) -> Option<i64> {
    let micros = |window: std::time::Duration| i64::try_from(window.as_micros()).ok();
    match *measure {
        Measure::AtOnce => None,
        Measure::Period { end_us, .. } => end_us,
        Measure::Sliding { window } => now_us.checked_add(micros(window)?),
        Measure::Bucket { window, .. } => {
            let share = u128::from(used) * window.as_micros() / u128::from(limit.max(1));
            now_us.checked_add(i64::try_from(share).ok()?)
        }
    }
}
