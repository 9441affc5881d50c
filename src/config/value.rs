//! Parses the text of a setting: `30s`, `32MiB`, `10.0.0.0/8`. Names and origins of settings are
//! handled elsewhere.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use secrecy::SecretString;

use super::settings::Kind;

/// The parsed value of a setting.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Not set, and without a default.
    Unset,
    Switch(bool),
    /// Counts and sizes.
    Number(u64),
    Duration(Duration),
    Address(SocketAddr),
    Path(PathBuf),
    /// Texts and choices.
    Text(String),
    Networks(Vec<IpNet>),
    Secret(SecretString),
}

/// Parses a value.
///
/// # Errors
///
/// Returns what is accepted.
pub(crate) fn parse(kind: &Kind, items: &[String]) -> Result<Value, String> {
    if let Kind::Networks = kind {
        return networks(items).map(Value::Networks);
    }
    let [text] = items else {
        return Err("must be one value, not a list".into());
    };
    let text = text.trim();
    if text.is_empty() {
        return Ok(Value::Unset);
    }
    match kind {
        Kind::Switch => match text {
            "true" | "yes" | "on" | "1" => Ok(Value::Switch(true)),
            "false" | "no" | "off" | "0" => Ok(Value::Switch(false)),
            _ => Err("must be true or false".into()),
        },
        Kind::Count(range) => {
            let count = text.replace('_', "").parse().ok().filter(|n| range.contains(n));
            count.map(Value::Number).ok_or_else(|| {
                format!("must be a whole number from {} to {}", range.start(), range.end())
            })
        }
        Kind::Size(range) => {
            size(text).filter(|n| range.contains(n)).map(Value::Number).ok_or_else(|| {
                let (from, to) = (show_size(*range.start()), show_size(*range.end()));
                format!("must be a size such as 10MB, from {from} to {to}")
            })
        }
        Kind::Delay if text == "0" => Ok(Value::Duration(Duration::ZERO)),
        Kind::Delay => humantime::parse_duration(text)
            .ok()
            .filter(|time| *time <= Duration::from_secs(3600))
            .map(Value::Duration)
            .ok_or_else(|| "must be a time such as 5s, 250ms or 0s, at most an hour".into()),
        Kind::Duration => humantime::parse_duration(text)
            .ok()
            .filter(|time| !time.is_zero() && *time <= Duration::from_secs(31 * 86_400))
            .map(Value::Duration)
            .ok_or_else(|| "must be a time such as 30s, 15m or 250ms, at most 31 days".into()),
        Kind::Address => text
            .parse()
            .map(Value::Address)
            .map_err(|_| "must be an address and a port, such as 127.0.0.1:9090".into()),
        Kind::Path => Ok(Value::Path(text.into())),
        Kind::Text => Ok(Value::Text(text.into())),
        Kind::Choice(words) if words.contains(&text) => Ok(Value::Text(text.into())),
        Kind::Choice(words) => Err(format!("must be one of {}", words.join(", "))),
        Kind::Secret | Kind::OutsideSecret => Ok(Value::Secret(text.into())),
        Kind::Networks => unreachable!("answered above"),
    }
}

fn networks(items: &[String]) -> Result<Vec<IpNet>, String> {
    let parts = items.iter().flat_map(|item| item.split(','));
    parts
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.parse::<IpNet>()
                .map(|net| net.trunc())
                .or_else(|_| part.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| format!("`{part}` is not a network such as 10.0.0.0/8 or fd00::/8"))
        })
        .collect()
}

const UNITS: [(&str, u64); 9] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("b", 1),
];

fn size(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| text.strip_suffix(name).map(|digits| (digits, *unit)))
        .unwrap_or((&text, 1));
    digits.trim().replace('_', "").parse::<u64>().ok()?.checked_mul(unit)
}

fn show_size(bytes: u64) -> String {
    match UNITS[..4].iter().rev().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => {
            let name = name[..1].to_ascii_uppercase() + "iB";
            format!("{}{name}", bytes / unit)
        }
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, text: &str, expected: Result<&str, &str>) {
        let got = parse(&kind, &[text.to_owned()]);
        let got = match &got {
            Ok(Value::Number(n)) => Ok(n.to_string()),
            Ok(Value::Networks(nets)) => Ok(format!("{nets:?}")),
            Ok(Value::Duration(time)) => Ok(format!("{time:?}")),
            Ok(value) => Ok(format!("{value:?}")),
            Err(message) => Err(message.clone()),
        };
        assert_eq!(got, expected.map(Into::into).map_err(Into::into), "{kind:?} {text:?}");
    }

    #[test]
    fn values_are_read_as_people_write_them() {
        check(Kind::Size(0..=u64::MAX), "10MB", Ok("10000000"));
        check(Kind::Size(0..=u64::MAX), "32 MiB", Ok("33554432"));
        check(Kind::Size(0..=u64::MAX), "4_096", Ok("4096"));
        check(
            Kind::Size(1024..=1 << 20),
            "5GB",
            Err("must be a size such as 10MB, from 1KiB to 1MiB"),
        );
        check(Kind::Size(0..=8), "many", Err("must be a size such as 10MB, from 0B to 8B"));
        check(Kind::Count(1..=9), "0", Err("must be a whole number from 1 to 9"));
        check(Kind::Duration, "1m 30s", Ok("90s"));
        check(
            Kind::Duration,
            "0s",
            Err("must be a time such as 30s, 15m or 250ms, at most 31 days"),
        );
        check(Kind::Delay, "0s", Ok("0ns"));
        check(Kind::Delay, "2h", Err("must be a time such as 5s, 250ms or 0s, at most an hour"));
        check(Kind::Switch, "yes", Ok("Switch(true)"));
        check(Kind::Switch, "perhaps", Err("must be true or false"));
        check(Kind::Networks, "10.1.2.3/8, ::1", Ok("[10.0.0.0/8, ::1/128]"));
        check(
            Kind::Networks,
            "here",
            Err("`here` is not a network such as 10.0.0.0/8 or fd00::/8"),
        );
        check(Kind::Address, "9090", Err("must be an address and a port, such as 127.0.0.1:9090"));
        check(Kind::Choice(&["a", "b"]), "c", Err("must be one of a, b"));
        check(Kind::Text, "", Ok("Unset"));
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        let value = parse(&Kind::Secret, &["hunter2".into()]).unwrap();
        assert!(!format!("{value:?}").contains("hunter2"));
    }
}
