//! How a limit is told: which one, whose, how much of what, until when; and in the header lines that
//! clients of each dialect know.

use std::{fmt, sync::Arc, time::Duration};

use domain::{Algorithm, Dialect, Limit, Scope, Unit};

use super::prepared::{measure, reset_us};
use crate::{clock::moment, http1::push_number};

/// A limit that keeps a call out.
#[derive(Debug)]
pub(crate) struct LimitRefused {
    limit: Arc<Limit>,
    /// By what it counts this caller.
    subject: Arc<str>,
    why: Why,
    now_us: i64,
}

/// Why a limit keeps a call out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// So much is used, and there is room again then; never where the call asks for more than the
    /// limit allows at all, and not known of calls at once. There `may_end` be room before, when
    /// calls under way use less than they hold.
    Over { used: u64, until_us: Option<i64>, may_end: bool },
    /// It counts money, and the price of the model is not known.
    Unpriced,
}

impl LimitRefused {
    pub(crate) fn new(limit: &Arc<Limit>, subject: &Arc<str>, why: Why, now_us: i64) -> Self {
        Self { limit: limit.clone(), subject: subject.clone(), why, now_us }
    }

    /// Stable, for machines.
    pub(crate) fn code(&self) -> &'static str {
        match self.why {
            Why::Unpriced => "price_unknown",
            Why::Over { .. } if self.is_budget() => "budget_exceeded",
            Why::Over { .. } => "rate_limit_exceeded",
        }
    }

    pub(crate) fn status(&self) -> u16 {
        match self.why {
            Why::Unpriced => 403,
            Why::Over { .. } => 429,
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self.why {
            // A call that is under way may end at any time.
            Why::Over { may_end: true, .. } => Some(Duration::from_secs(1)),
            Why::Over { until_us: Some(until_us), .. } => {
                Some(Duration::from_micros(u64::try_from(until_us - self.now_us).unwrap_or(0)))
            }
            _ => None,
        }
    }

    /// Whether a call like this one never has room.
    pub(crate) fn never_fits(&self) -> bool {
        matches!(self.why, Why::Over { until_us: None, may_end: false, .. } | Why::Unpriced)
    }

    /// The header lines that clients of this dialect know.
    pub(crate) fn headers(&self, dialect: Option<Dialect>, fields: &mut Vec<u8>) {
        let Why::Over { used, until_us, .. } = self.why else { return };
        let left = self.limit.holds().saturating_sub(used);
        // A period's end is known without a zone, the other ends do not depend on one.
        let known = || {
            let measure = measure(&self.limit, self.now_us, chrono_tz::UTC);
            reset_us(&measure, self.limit.limit, used, self.now_us)
        };
        let row = (self.limit.as_ref(), left, until_us.or_else(known));
        push_headers(dialect, std::iter::once(row), self.now_us, fields);
    }

    fn is_budget(&self) -> bool {
        matches!(self.limit.algorithm, Algorithm::Calendar { .. })
    }

    /// Which limit has no room, for whom, and how much of it is used.
    pub(super) fn over(&self) -> Option<(&Arc<Limit>, &str, u64)> {
        match self.why {
            Why::Over { used, .. } => Some((&self.limit, &self.subject, used)),
            Why::Unpriced => None,
        }
    }
}

/// Which limit, and whose.
pub(super) struct Named<'a> {
    pub(super) limit: &'a Limit,
    pub(super) subject: &'a str,
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limit { id, name, scope, .. } = self.limit;
        let named = if name.is_empty() { String::new() } else { format!(" `{name}`") };
        write!(f, "the limit{named} (id {id}) of ")?;
        match scope {
            Scope::Global => write!(f, "all calls"),
            Scope::Ip(_) => write!(f, "the address {}", self.subject),
            Scope::User(_) => write!(f, "the user {}", self.subject),
            Scope::ServiceKey(_) => write!(f, "the service key {}", self.subject),
            Scope::Model(_) => write!(f, "the model `{}`", self.subject),
            Scope::Upstream(_) => write!(f, "the upstream {}", self.subject),
        }
    }
}

/// So much of a unit, in words.
pub(super) fn amount(unit: Unit, amount: u64) -> String {
    match unit {
        Unit::Cost => {
            let text = dollars(amount);
            format!("{text} dollar{}", if text == "1" { "" } else { "s" })
        }
        Unit::Requests => counted(amount, "request"),
        Unit::TokensIn => counted(amount, "input token"),
        Unit::TokensOut => counted(amount, "output token"),
        Unit::Tokens => counted(amount, "token"),
        Unit::Concurrency => format!("{} at once", counted(amount, "call")),
    }
}

/// Billionths of a dollar as decimal text.
pub(crate) fn dollars(nano: u64) -> String {
    let text = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// So many of a thing; one stands in the singular.
fn counted(amount: u64, thing: &str) -> String {
    format!("{amount} {thing}{}", if amount == 1 { "" } else { "s" })
}

/// How much a limit allows, in words.
pub(super) fn allowance(limit: &Limit) -> String {
    let most = amount(limit.unit, limit.limit);
    match limit.algorithm {
        Algorithm::TokenBucket { window, burst: Some(burst) } => {
            format!("{most} in {}, {burst} at once", span(window))
        }
        Algorithm::TokenBucket { window, .. } | Algorithm::SlidingWindow { window } => {
            format!("{most} in {}", span(window))
        }
        Algorithm::Concurrency => most,
        Algorithm::Calendar { period, .. } if period.as_str() == "total" => {
            format!("{most} in all")
        }
        Algorithm::Calendar { period, .. } => format!("{most} a {period}"),
    }
}

impl fmt::Display for LimitRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.limit.as_ref();
        write!(f, "{}", Named { limit, subject: &self.subject })?;
        let over = allowance(limit);
        match self.why {
            Why::Unpriced => write!(
                f,
                " counts money ({over}), and the price of this model is not known; \
                 set it in `policy.prices` of the upstream"
            ),
            Why::Over { used, until_us, may_end } => {
                write!(f, " is reached: {over}, {} used or reserved", amount(limit.unit, used))?;
                match until_us {
                    _ if may_end => {
                        write!(f, "; there may be room when calls under way have ended")
                    }
                    Some(until_us) => {
                        let until =
                            moment(until_us).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
                        write!(f, "; there is room for this call at {until}")
                    }
                    None => write!(f, "; this call alone may use more than that, ask for less"),
                }
            }
        }
    }
}

/// A length of time in its largest whole unit.
fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "min")];
    match units.iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", seconds / unit),
        None => format!("{seconds} s"),
    }
}

/// So many kinds of limits clients know.
const KINDS: usize = 3;
/// About as long a header line is.
const LINE: usize = 48;

/// What clients know by name.
fn kind(unit: Unit, dialect: Option<Dialect>) -> Option<&'static str> {
    let anthropic = dialect == Some(Dialect::AnthropicMessages);
    match unit {
        Unit::Requests => Some("requests"),
        Unit::TokensIn if anthropic => Some("input-tokens"),
        Unit::TokensOut if anthropic => Some("output-tokens"),
        Unit::Tokens | Unit::TokensIn | Unit::TokensOut => Some("tokens"),
        Unit::Cost | Unit::Concurrency => None,
    }
}

/// The header lines for limits, what is left of them and when they are whole again: of those of a
/// kind the one with least left.
///
/// OpenAI: <https://platform.openai.com/docs/guides/rate-limits>; Anthropic:
/// <https://docs.anthropic.com/en/api/rate-limits>. Gemini has no such headers; it gets OpenAI's.
pub(crate) fn push_headers<'a>(
    dialect: Option<Dialect>,
    rows: impl Iterator<Item = (&'a Limit, u64, Option<i64>)>,
    now_us: i64,
    fields: &mut Vec<u8>,
) {
    let mut tightest: Vec<(&str, u64, u64, Option<i64>)> = Vec::with_capacity(KINDS);
    for (limit, left, reset_us) in rows {
        let Some(kind) = kind(limit.unit, dialect) else { continue };
        match tightest.iter_mut().find(|(other, ..)| *other == kind) {
            Some(row) if row.2 > left => *row = (kind, limit.holds(), left, reset_us),
            Some(_) => {}
            None => tightest.push((kind, limit.holds(), left, reset_us)),
        }
    }
    fields.reserve(tightest.len() * 3 * LINE);
    let anthropic = dialect == Some(Dialect::AnthropicMessages);
    let begin = |fields: &mut Vec<u8>, kind: &str, what: &str| {
        let parts = match anthropic {
            true => ["anthropic-ratelimit-", kind, "-", what],
            false => ["x-ratelimit-", what, "-", kind],
        };
        parts.iter().for_each(|part| fields.extend_from_slice(part.as_bytes()));
        fields.extend_from_slice(b": ");
    };
    for (kind, limit, left, reset_us) in tightest {
        for (what, number) in [("limit", limit), ("remaining", left)] {
            begin(fields, kind, what);
            push_number(fields, number);
            fields.extend_from_slice(b"\r\n");
        }
        let Some(reset_us) = reset_us else { continue };
        let reset = match anthropic {
            true => moment(reset_us).to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            false => after(reset_us - now_us),
        };
        begin(fields, kind, "reset");
        fields.extend_from_slice(reset.as_bytes());
        fields.extend_from_slice(b"\r\n");
    }
}

/// A time to come as OpenAI writes it: `1s`, `6m0s`, `120ms`.
fn after(us: i64) -> String {
    let millis = us.max(0) / 1000;
    let (seconds, minutes, hours) = (millis / 1000, millis / 60_000, millis / 3_600_000);
    match (hours, minutes, seconds) {
        (0, 0, 0) => format!("{millis}ms"),
        (0, 0, _) => format!("{seconds}s"),
        (0, ..) => format!("{minutes}m{}s", seconds % 60),
        _ => format!("{hours}h{}m{}s", minutes % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_openai_does() {
        for (us, text) in [
            (120_000, "120ms"),
            (1_000_000, "1s"),
            (360_000_000, "6m0s"),
            (7_384_000_000, "2h3m4s"),
            (-5, "0ms"),
        ] {
            assert_eq!(after(us), text);
        }
        assert_eq!(span(Duration::from_secs(3600)), "1 h");
        assert_eq!(span(Duration::from_secs(90)), "90 s");
    }
}
