//! Units of counting and calendar periods.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::Fault;

/// The unit that a limit or a quota counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Calls.
    Requests,
    /// Input tokens.
    TokensIn,
    /// Output tokens.
    TokensOut,
    /// Input and output tokens.
    Tokens,
    /// Money, in billionths of a dollar.
    Cost,
    /// Concurrent calls.
    Concurrency,
}

impl Unit {
    /// All units, in the order in which they are listed to people.
    pub const ALL: [Unit; 6] = [
        Unit::Requests,
        Unit::TokensIn,
        Unit::TokensOut,
        Unit::Tokens,
        Unit::Cost,
        Unit::Concurrency,
    ];

    /// The name in configuration, columns and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Unit::Requests => "requests",
            Unit::TokensIn => "tokens_in",
            Unit::TokensOut => "tokens_out",
            Unit::Tokens => "tokens",
            Unit::Cost => "cost",
            Unit::Concurrency => "concurrency",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Unit {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        Unit::ALL.into_iter().find(|unit| unit.as_str() == text).ok_or_else(|| {
            Fault::new(
                "unit",
                "must be requests, tokens_in, tokens_out, tokens, cost or concurrency",
            )
        })
    }
}

/// A calendar period in a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// From one full minute to the next.
    Minute,
    /// From one full hour to the next.
    Hour,
    /// From 0:00 to 0:00.
    Day,
    /// From Monday, 0:00, to Monday.
    Week,
    /// From the first of a month, 0:00, to the first of the next.
    Month,
    /// No end: everything counts.
    Total,
}

impl Period {
    /// All periods, in the order in which they are listed to people.
    pub const ALL: [Period; 6] =
        [Period::Minute, Period::Hour, Period::Day, Period::Week, Period::Month, Period::Total];

    /// The name in configuration, columns and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Period::Minute => "minute",
            Period::Hour => "hour",
            Period::Day => "day",
            Period::Week => "week",
            Period::Month => "month",
            Period::Total => "total",
        }
    }

    /// Returns the period that contains `now`, in the time zone `zone`. A day on which clocks
    /// change is one day of 23 or 25 hours.
    pub fn around(self, now: DateTime<Utc>, zone: Tz) -> Span {
        let local = now.with_timezone(&zone);
        let day = local.date_naive();
        let short = |length: TimeDelta| {
            // Offsets of some zones are not whole hours.
            let offset = i64::from(chrono::Offset::fix(local.offset()).local_minus_utc());
            let (length, at) = (length.num_seconds(), now.timestamp() + offset);
            let start = at.div_euclid(length) * length - offset;
            let moment = |at| DateTime::from_timestamp(at, 0).unwrap_or(now);
            Span { start: moment(start), end: Some(moment(start + length)) }
        };
        let days = |first: NaiveDate, next: Option<NaiveDate>| Span {
            start: midnight(first, zone),
            end: next.map(|next| midnight(next, zone)),
        };
        match self {
            Period::Minute => short(TimeDelta::minutes(1)),
            Period::Hour => short(TimeDelta::hours(1)),
            Period::Day => days(day, day.checked_add_days(Days::new(1))),
            Period::Week => {
                let behind = u64::from(day.weekday().num_days_from_monday());
                let monday = day.checked_sub_days(Days::new(behind)).unwrap_or(day);
                days(monday, monday.checked_add_days(Days::new(7)))
            }
            Period::Month => {
                let first = day.with_day(1).unwrap_or(day);
                days(first, first.checked_add_months(Months::new(1)))
            }
            Period::Total => Span { start: DateTime::UNIX_EPOCH, end: None },
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Period {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        Period::ALL
            .into_iter()
            .find(|period| period.as_str() == text)
            .ok_or_else(|| Fault::new("period", "must be minute, hour, day, week, month or total"))
    }
}

/// From one moment to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first moment of the span.
    pub start: DateTime<Utc>,
    /// The first moment after the span; `None` if it has no end.
    pub end: Option<DateTime<Utc>>,
}

/// Returns the first moment of a day: the moment after the change if clocks skip midnight, the
/// first midnight if there are two.
fn midnight(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let mut at = day.and_time(NaiveTime::MIN);
    // No time zone ever skipped more than a day.
    for _ in 0..=96 {
        if let Some(found) = zone.from_local_datetime(&at).earliest() {
            return found.to_utc();
        }
        at += TimeDelta::minutes(15);
    }
    day.and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    use chrono_tz::{America, Asia, UTC};

    use super::*;

    fn check(period: Period, zone: Tz, now: &str, start: &str, end: &str) {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let span = period.around(at(now), zone);
        assert_eq!((span.start, span.end), (at(start), Some(at(end))), "{period} {zone} {now}");
    }

    #[test]
    fn a_period_begins_and_ends_by_the_clock_of_its_zone() {
        let (los_angeles, shanghai) = (America::Los_Angeles, Asia::Shanghai);
        let rows = [
            (
                Period::Day,
                UTC,
                "2026-11-21T15:00:00Z",
                "2026-11-21T00:00:00Z",
                "2026-11-22T00:00:00Z",
            ),
            (
                Period::Day,
                shanghai,
                "2026-11-21T15:59:59Z",
                "2026-11-20T16:00:00Z",
                "2026-11-21T16:00:00Z",
            ),
            (
                Period::Day,
                shanghai,
                "2026-11-21T16:00:00Z",
                "2026-11-21T16:00:00Z",
                "2026-11-22T16:00:00Z",
            ),
            // Clocks go forward on 8 March 2026 and back on 1 November 2026: 23 and 25 hours.
            (
                Period::Day,
                los_angeles,
                "2026-03-08T20:00:00Z",
                "2026-03-08T08:00:00Z",
                "2026-03-09T07:00:00Z",
            ),
            (
                Period::Day,
                los_angeles,
                "2026-11-01T20:00:00Z",
                "2026-11-01T07:00:00Z",
                "2026-11-02T08:00:00Z",
            ),
            // There is no 0:00 in Havana on that day.
            (
                Period::Day,
                America::Havana,
                "2026-03-08T12:00:00Z",
                "2026-03-08T05:00:00Z",
                "2026-03-09T04:00:00Z",
            ),
            (
                Period::Week,
                UTC,
                "2026-11-22T23:00:00Z",
                "2026-11-16T00:00:00Z",
                "2026-11-23T00:00:00Z",
            ),
            (
                Period::Month,
                los_angeles,
                "2026-11-30T23:00:00Z",
                "2026-11-01T07:00:00Z",
                "2026-12-01T08:00:00Z",
            ),
            (
                Period::Month,
                UTC,
                "2026-12-31T23:00:00Z",
                "2026-12-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
            (
                Period::Hour,
                Asia::Kolkata,
                "2026-11-21T15:10:00Z",
                "2026-11-21T14:30:00Z",
                "2026-11-21T15:30:00Z",
            ),
            (
                Period::Minute,
                UTC,
                "2026-11-21T15:10:59.9Z",
                "2026-11-21T15:10:00Z",
                "2026-11-21T15:11:00Z",
            ),
        ];
        for (period, zone, now, start, end) in rows {
            check(period, zone, now, start, end);
        }
        assert_eq!(Period::Total.around(Utc::now(), UTC).end, None);
    }
}
