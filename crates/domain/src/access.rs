//! The restrictions of a service key: networks, methods and hours.

use chrono::{DateTime, Datelike, NaiveTime, Utc, Weekday};
use chrono_tz::Tz;
use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use crate::Faults;

/// From where, when and for what a service key is accepted. What is empty allows everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Access {
    /// The only networks from which it is accepted.
    pub ips: Vec<IpNet>,
    /// The only HTTP methods.
    pub methods: Vec<String>,
    /// The only times.
    pub hours: Vec<Hours>,
}

/// Hours of some days, by the clock of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// The days; every day if empty.
    #[serde(default)]
    pub days: Vec<Weekday>,
    /// The start of the hours.
    pub from: NaiveTime,
    /// The end of the hours; at or before `from` it is on the next day.
    pub to: NaiveTime,
    /// The time zone of the hours; UTC if `None`.
    #[serde(default)]
    pub timezone: Option<Tz>,
}

/// Returns the network in the form in which addresses are compared: an IPv4-mapped IPv6 network
/// (`::ffff:10.0.0.0/104`) becomes the IPv4 network, and bits beyond the prefix length are cleared.
pub fn canonical(network: IpNet) -> IpNet {
    let mapped = || {
        let IpNet::V6(network) = network else { return None };
        let length = network.prefix_len().checked_sub(96)?;
        Ipv4Net::new(network.addr().to_ipv4_mapped()?, length).ok().map(IpNet::V4)
    };
    mapped().unwrap_or(network).trunc()
}

impl Hours {
    /// Whether `now` is within the hours.
    pub fn hold(&self, now: DateTime<Utc>) -> bool {
        let local = now.with_timezone(&self.timezone.unwrap_or(Tz::UTC));
        let (day, time) = (local.weekday(), local.time());
        let on = |day: Weekday| self.days.is_empty() || self.days.contains(&day);
        if self.from < self.to {
            return on(day) && (self.from..self.to).contains(&time);
        }
        (on(day) && time >= self.from) || (on(day.pred()) && time < self.to)
    }
}

impl Access {
    /// Returns every invalid field.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        for (field, len) in [
            ("allowed_ips", self.ips.len()),
            ("allowed_methods", self.methods.len()),
            ("allowed_hours", self.hours.len()),
        ] {
            if len > 100 {
                faults.add(field, "must be at most 100");
            }
        }
        let upper = |m: &String| {
            !m.is_empty() && m.len() <= 16 && m.bytes().all(|b| b.is_ascii_uppercase())
        };
        if !self.methods.iter().all(upper) {
            faults.add("allowed_methods", "each must be an HTTP method in capitals");
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_the_form_that_addresses_have() {
        for (text, expected) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("::ffff:127.0.0.1/128", "127.0.0.1/32"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("::1/128", "::1/128"),
            ("2001:db8::1/32", "2001:db8::/32"),
        ] {
            assert_eq!(canonical(text.parse().unwrap()).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn hours_may_pass_midnight() {
        let night = Hours {
            days: vec![Weekday::Fri],
            from: NaiveTime::from_hms_opt(22, 0, 0).unwrap(),
            to: NaiveTime::from_hms_opt(6, 0, 0).unwrap(),
            timezone: Some(Tz::Europe__Berlin),
        };
        // Friday 2026-11-20; Berlin is an hour ahead of UTC.
        for (at, holds) in [
            ("2026-11-20T20:59:59Z", false),
            ("2026-11-20T21:00:00Z", true),
            ("2026-11-21T04:59:59Z", true),
            ("2026-11-21T05:00:00Z", false),
            ("2026-11-20T03:00:00Z", false),
        ] {
            assert_eq!(night.hold(at.parse().unwrap()), holds, "{at}");
        }
    }
}
