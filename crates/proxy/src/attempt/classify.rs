//! What a failure is: from a provider's status, header lines and body to a verdict. What means what
//! is data ([`ErrorRule`]); how long the provider wants to be left alone is read here.

use std::time::Duration;

use chrono::{DateTime, Utc};
use dialect::ProviderError;
use domain::{ErrorClass, ErrorRule, Said, Upstream, Verdict};
use serde_json::Value;

/// A longer wait than this is a mistake.
const WAIT_MAX: Duration = Duration::from_secs(366 * 86_400);
/// Most names of an error, and longest name that is kept.
const NAMES_MAX: usize = 16;
const NAME_MAX: usize = 64;

/// What an error answer is. `body` is as much of it as can be read; empty where nothing can.
pub(crate) fn classify<'a>(
    upstream: &Upstream,
    status: u16,
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    body: &[u8],
    now: DateTime<Utc>,
) -> Verdict {
    let waits = Waits::of(headers, now);
    let json = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let error = error_in(&json);
    let mut names = Vec::new();
    name(&json, &mut names);
    name(error, &mut names);
    let message = [error, &json["message"]].into_iter().find_map(message_of).unwrap_or_default();
    let body = String::from_utf8_lossy(body).to_lowercase();
    let names = names.iter().map(String::as_str).take(NAMES_MAX).collect();
    let said = Said { status: Some(status), names, message, body: &body };
    let row = ErrorRule::class_of(upstream, &said);
    let told = retry_delay(error).or_else(|| try_again_in(message));
    let retry_after = match row.class {
        // The time of a smaller limit is told with a larger one too; only the period is believed.
        _ if row.period.is_some() => None,
        ErrorClass::RateLimited => waits.asked.or(told).or(waits.reset()),
        _ => waits.asked.or(told),
    };
    let code = row.code.clone().or_else(|| code_of(&said.names));
    Verdict {
        class: row.class,
        of_model: row.of_model,
        retry_after: retry_after.map(|wait| wait.min(WAIT_MAX)),
        period: row.period,
        status: Some(status),
        code,
    }
}

/// What an error is that came where an answer was promised. `status` is the one of the answer.
pub(crate) fn classify_event(
    upstream: &Upstream,
    error: &ProviderError,
    status: Option<u16>,
) -> Verdict {
    let body = error.message.to_lowercase();
    let names = if error.code.is_empty() { vec![] } else { vec![error.code.as_str()] };
    let said = Said { status: Some(error.status), names, message: &error.message, body: &body };
    let row = ErrorRule::class_of(upstream, &said);
    let class = match row.class {
        // Where nothing is said, nothing but the break of the answer is known.
        ErrorClass::ServerFault if error.code.is_empty() => ErrorClass::StreamError,
        class => class,
    };
    let wait = error.retry_after.filter(|_| row.period.is_none()).map(|wait| wait.min(WAIT_MAX));
    let code = code_of(&said.names);
    let (of_model, period) = (row.of_model, row.period);
    Verdict { class, of_model, retry_after: wait, period, status, code }
}

/// A failure without a word of the provider.
pub(crate) fn silent(class: ErrorClass) -> Verdict {
    Verdict { class, of_model: false, retry_after: None, period: None, status: None, code: None }
}

/// The object that tells of the error: Google's may come in a list.
fn error_in(json: &Value) -> &Value {
    let whole = json.as_array().and_then(|all| all.first()).unwrap_or(json);
    match &whole["error"] {
        Value::Null => whole,
        error => error,
    }
}

fn message_of(error: &Value) -> Option<&str> {
    error.as_str().or_else(|| error["message"].as_str())
}

/// Everything that an object calls the error.
fn name(error: &Value, names: &mut Vec<String>) {
    let details = error["details"].as_array().into_iter().flatten();
    let reasons = details.take(NAMES_MAX).map(|detail| &detail["reason"]);
    for value in [&error["code"], &error["type"], &error["status"]].into_iter().chain(reasons) {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => continue,
        };
        if (1..=NAME_MAX).contains(&text.len()) && !names.contains(&text) {
            names.push(text);
        }
    }
}

/// The most precise name that is kept: not a number that only repeats the status.
fn code_of(names: &[&str]) -> Option<String> {
    let said = |name: &&&str| **name != "error" && name.parse::<u16>().map_or(true, |n| n >= 600);
    names.iter().find(said).map(|name| (*name).to_owned())
}

/// Google's `RetryInfo`: `"retryDelay": "37s"`.
fn retry_delay(error: &Value) -> Option<Duration> {
    let details = error["details"].as_array()?;
    span(details.iter().find_map(|detail| detail["retryDelay"].as_str())?)
}

/// OpenAI's words: `Please try again in 7m12s.`
fn try_again_in(message: &str) -> Option<Duration> {
    let (_, after) = message.split_once("try again in ")?;
    span(after.split([' ', ',']).next()?.trim_end_matches('.'))
}

/// Times as Go writes them: `6m0s`, `1h2m3.5s`, `20ms`.
fn span(text: &str) -> Option<Duration> {
    let (mut seconds, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let length = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        seconds += number
            * match &rest[..length] {
                "d" => 86_400.0,
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                _ => return None,
            };
        rest = &rest[length..];
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

/// What header lines say of when to come back.
#[derive(Debug, Default)]
struct Waits {
    /// It is asked for: `retry-after-ms`, or `retry-after` (RFC 9110, 10.2.3).
    asked: Option<Duration>,
    /// Limits: whose, what is left of it, and in how long it is whole again.
    limits: Vec<(String, Option<f64>, Option<Duration>)>,
}

impl Waits {
    fn of<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>, now: DateTime<Utc>) -> Self {
        let mut waits = Waits::default();
        let mut exact = false;
        for (name, value) in headers {
            let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value))
            else {
                continue;
            };
            let (name, value) = (name.to_ascii_lowercase(), value.trim());
            if name == "retry-after-ms" {
                let millis = value.parse::<f64>().ok();
                let wait = millis.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
                exact = wait.is_some();
                waits.asked = wait.or(waits.asked);
            } else if name == "retry-after" && !exact {
                waits.asked = seconds_or_date(value, now).or(waits.asked);
            } else if waits.limits.len() < NAMES_MAX {
                waits.limit(&name, value, now);
            }
        }
        waits
    }

    /// `x-ratelimit-reset-requests: 6m0s`, `anthropic-ratelimit-tokens-reset: 2024-…Z`, and their
    /// `remaining`.
    fn limit(&mut self, name: &str, value: &str, now: DateTime<Utc>) {
        let Some((_, what)) = name.split_once("ratelimit-") else { return };
        let words = || what.split('-').filter(|word| !matches!(*word, "reset" | "remaining"));
        let of = words().collect::<Vec<_>>().join("-");
        let has = |word| what.split('-').any(|other| other == word);
        let (remaining, reset) = match (has("remaining"), has("reset")) {
            (true, _) => (value.parse().ok(), None),
            (_, true) => (None, moment(value, now)),
            _ => return,
        };
        match self.limits.iter_mut().find(|(other, ..)| *other == of) {
            Some((_, left, wait)) => (*left, *wait) = (remaining.or(*left), reset.or(*wait)),
            None => self.limits.push((of, remaining, reset)),
        }
    }

    /// In how long there is room: when every limit of which nothing is left is whole again; the
    /// soonest where none is told to be used up.
    fn reset(&self) -> Option<Duration> {
        let used_up = self.limits.iter().filter(|(_, left, _)| left.is_some_and(|n| n <= 0.0));
        let all = self.limits.iter().filter_map(|(.., wait)| *wait);
        used_up.filter_map(|(.., wait)| *wait).max().or_else(|| all.min())
    }
}

fn seconds_or_date(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = DateTime::parse_from_rfc2822(value).ok()?;
    (date.to_utc() - now).to_std().ok()
}

/// A reset: a time of the clock, a span, seconds, or seconds or milliseconds since 1970.
fn moment(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let until = |at: DateTime<Utc>| Some((at - now).to_std().unwrap_or_default());
    if let Ok(at) = DateTime::parse_from_rfc3339(value) {
        return until(at.to_utc());
    }
    match value.parse::<f64>() {
        Ok(millis) if millis >= 1e11 => until(DateTime::from_timestamp_millis(millis as i64)?),
        Ok(seconds) if seconds >= 1e9 => until(DateTime::from_timestamp(seconds as i64, 0)?),
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => span(value),
    }
}

#[cfg(test)]
mod tests;
